//! What a function answers when it did not fail.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::aws::arn::OpsItemId;

/// The answer of a function, as JSON: `{"outcome": "integrated", "volumeId": "vol-…", …}`.
///
/// `outcome` and `reason` are kebab-case words that a state machine can branch on; the other
/// members are ids and numbers, present where there is something to name or to count. The answers of
/// planner and reporter have more: see [`Outcome::with_member`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(flatten)]
    ids: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    counts: BTreeMap<&'static str, usize>,
    #[serde(flatten)]
    members: BTreeMap<&'static str, Value>,
}

impl Outcome {
    fn new(outcome: &'static str, reason: Option<&'static str>) -> Outcome {
        Outcome {
            outcome,
            reason,
            ids: BTreeMap::new(),
            counts: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    /// The restored volume is attached to its instance, by this run.
    pub fn integrated() -> Outcome {
        Outcome::new("integrated", None)
    }

    /// The restored volume was attached to its instance before this run.
    pub fn already_integrated() -> Outcome {
        Outcome::new("already-integrated", None)
    }

    /// Nothing to do for this input, and why.
    pub fn ignored(reason: &'static str) -> Outcome {
        Outcome::new("ignored", Some(reason))
    }

    /// The plan is made, and kept.
    pub fn planned() -> Outcome {
        Outcome::new("planned", None)
    }

    /// The restore is under way, or over: by this run, or one before it.
    pub fn started() -> Outcome {
        Outcome::new("started", None)
    }

    /// A rule forbids to go on; `reason` names the rule. People have been told, or the answer has
    /// the remedy for who asked.
    pub fn refused(reason: &'static str) -> Outcome {
        Outcome::new("refused", Some(reason))
    }

    /// The signal was answered as the policy says.
    pub fn responded() -> Outcome {
        Outcome::new("responded", None)
    }

    /// The job or signal has its OpsItem.
    pub fn tracked() -> Outcome {
        Outcome::new("tracked", None)
    }

    /// The job has no OpsItem, since OpsCenter's quota lets none be created. Operators were notified of
    /// what needs them.
    pub fn untracked() -> Outcome {
        Outcome::new("untracked", Some("ops-item-quota"))
    }

    /// The OpsItem of the job or incident is resolved.
    pub fn resolved() -> Outcome {
        Outcome::new("resolved", None)
    }

    /// The restores of late were looked at; the counts say what became of them.
    pub fn reconciled() -> Outcome {
        Outcome::new("reconciled", None)
    }

    /// Every planned item is restored and attached.
    pub fn verified() -> Outcome {
        Outcome::new("verified", None)
    }

    /// Planned items are left that are not restored or not attached.
    pub fn unfinished() -> Outcome {
        Outcome::new("unfinished", None)
    }

    /// The report of the recovery is kept, and people were told of it.
    pub fn reported() -> Outcome {
        Outcome::new("reported", None)
    }

    /// The execution was redriven: the recovery goes on.
    pub fn resumed() -> Outcome {
        Outcome::new("resumed", None)
    }

    /// A restore test has its result, by this run; `validation` says which.
    pub fn validated() -> Outcome {
        Outcome::new("validated", None)
    }

    /// A restore test had its result before this run.
    pub fn already_validated() -> Outcome {
        Outcome::new("already-validated", None)
    }

    /// The routing controls are as wanted, by this run.
    pub fn shifted() -> Outcome {
        Outcome::new("shifted", None)
    }

    /// The routing controls were as wanted before this run.
    pub fn already_shifted() -> Outcome {
        Outcome::new("already-shifted", None)
    }

    /// The recovery of the whole workload has come to its end.
    pub fn recovered() -> Outcome {
        Outcome::new("recovered", None)
    }

    /// Adds an id, under the name it has in the answer (camelCase). The answer is logged: an id of
    /// unknown origin that is no name but half a payload is cut.
    #[must_use]
    pub fn with(mut self, name: &'static str, id: impl Into<String>) -> Outcome {
        let id = crate::text::within(&crate::text::one_line(&id.into()), 1_000);
        self.ids.insert(name, id);
        self
    }

    /// Adds the id of the OpsItem, or that OpsCenter's quota let none be created.
    #[must_use]
    pub fn with_item(self, item: Option<&OpsItemId>) -> Outcome {
        match item {
            Some(item) => self.with("opsItemId", item.as_str()),
            None => self.with("opsItem", "not-created"),
        }
    }

    /// Adds a number, under the name it has in the answer (camelCase).
    #[must_use]
    pub fn with_count(mut self, name: &'static str, count: usize) -> Outcome {
        self.counts.insert(name, count);
        self
    }

    /// Adds what is more than an id, under the name it has in the answer (camelCase). No log gets it.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: Value) -> Outcome {
        self.members.insert(name, value);
        self
    }

    /// The outcome as a log gets it: kind, reason, ids and numbers.
    #[must_use]
    pub fn redacted(&self) -> Outcome {
        Outcome {
            outcome: self.outcome,
            reason: self.reason,
            ids: self.ids.clone(),
            counts: self.counts.clone(),
            members: BTreeMap::new(),
        }
    }

    /// The kind of outcome: `integrated`, `ignored`, …
    pub fn kind(&self) -> &'static str {
        self.outcome
    }

    /// The rule behind an `ignored` or `refused`.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The number that was added under `name`.
    pub fn count(&self, name: &str) -> Option<usize> {
        self.counts.get(name).copied()
    }

    /// The id that was added under `name`.
    pub fn id(&self, name: &str) -> Option<&str> {
        self.ids.get(name).map(String::as_str)
    }

    /// What was added under `name` as more than an id.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
}
