//! The answer of a function that did not fail.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::aws::arn::OpsItemId;

/// The answer of a function, as JSON: `{"outcome": "integrated", "volumeId": "vol-…", …}`.
///
/// `outcome` and `reason` are kebab-case words that a state machine can branch on. The other members are
/// ids and numbers. The answers of planner and reporter have more: see [`Outcome::with_member`].
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

    /// The restored resource is integrated, by this run.
    pub fn integrated() -> Outcome {
        Outcome::new("integrated", None)
    }

    /// The restored resource was integrated before this run.
    pub fn already_integrated() -> Outcome {
        Outcome::new("already-integrated", None)
    }

    /// The integration, or the start of a restore, waits for something that takes its time; `waitingFor`
    /// in the answer says what. It is not an error: the state machine asks again, and so does the
    /// reconciler.
    pub fn pending(waiting_for: impl Into<String>) -> Outcome {
        Outcome::new("pending", None).with("waitingFor", waiting_for)
    }

    /// This input needs no action. `reason` says why.
    pub fn ignored(reason: &'static str) -> Outcome {
        Outcome::new("ignored", Some(reason))
    }

    pub fn planned() -> Outcome {
        Outcome::new("planned", None)
    }

    /// The restore job exists: this run or an earlier one started it.
    pub fn started() -> Outcome {
        Outcome::new("started", None)
    }

    /// A rule forbids the step. `reason` is its code. Operators were notified, or the answer has the remedy.
    pub fn refused(reason: &'static str) -> Outcome {
        Outcome::new("refused", Some(reason))
    }

    /// The responses of the policy were carried out.
    pub fn responded() -> Outcome {
        Outcome::new("responded", None)
    }

    /// The job or signal has its OpsItem.
    pub fn tracked() -> Outcome {
        Outcome::new("tracked", None)
    }

    /// The job has no OpsItem, because OpsCenter's quota is used up. Operators were notified if they must act.
    pub fn untracked() -> Outcome {
        Outcome::new("untracked", Some("ops-item-quota"))
    }

    /// The OpsItem of the job or incident is resolved.
    pub fn resolved() -> Outcome {
        Outcome::new("resolved", None)
    }

    /// The recent restores were checked. The counts have the results.
    pub fn reconciled() -> Outcome {
        Outcome::new("reconciled", None)
    }

    /// Every planned item is restored and integrated.
    pub fn verified() -> Outcome {
        Outcome::new("verified", None)
    }

    /// Some planned items are not restored or not attached.
    pub fn unfinished() -> Outcome {
        Outcome::new("unfinished", None)
    }

    /// The report of the recovery is stored, and operators were notified.
    pub fn reported() -> Outcome {
        Outcome::new("reported", None)
    }

    /// The execution was redriven: the recovery continues.
    pub fn resumed() -> Outcome {
        Outcome::new("resumed", None)
    }

    /// This run reported the result of a restore test, in `validation`.
    pub fn validated() -> Outcome {
        Outcome::new("validated", None)
    }

    /// The restore test had a result before this run.
    pub fn already_validated() -> Outcome {
        Outcome::new("already-validated", None)
    }

    /// This run set the routing controls.
    pub fn shifted() -> Outcome {
        Outcome::new("shifted", None)
    }

    /// The routing controls were set before this run.
    pub fn already_shifted() -> Outcome {
        Outcome::new("already-shifted", None)
    }

    /// The recovery of the workload succeeded.
    pub fn recovered() -> Outcome {
        Outcome::new("recovered", None)
    }

    /// Adds an id under its name in the answer (camelCase). The answer is logged, so a foreign id is cut at
    /// 1,000 bytes.
    #[must_use]
    pub fn with(mut self, name: &'static str, id: impl Into<String>) -> Outcome {
        let id = crate::text::within(&crate::text::one_line(&id.into()), 1_000);
        self.ids.insert(name, id);
        self
    }

    /// Adds the id of the OpsItem. `None`: not created, because OpsCenter's quota is used up.
    #[must_use]
    pub fn with_item(self, item: Option<&OpsItemId>) -> Outcome {
        match item {
            Some(item) => self.with("opsItemId", item.as_str()),
            None => self.with("opsItem", "not-created"),
        }
    }

    /// Adds a number under its name in the answer (camelCase).
    #[must_use]
    pub fn with_count(mut self, name: &'static str, count: usize) -> Outcome {
        self.counts.insert(name, count);
        self
    }

    /// Adds a value under its name in the answer (camelCase). It is not logged.
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: Value) -> Outcome {
        self.members.insert(name, value);
        self
    }

    /// The outcome for the log: without the members that [`Outcome::with_member`] added.
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

    /// The reason code of `ignored` and `refused`.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    pub fn count(&self, name: &str) -> Option<usize> {
        self.counts.get(name).copied()
    }

    pub fn id(&self, name: &str) -> Option<&str> {
        self.ids.get(name).map(String::as_str)
    }

    /// The value that [`Outcome::with_member`] added.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }
}
