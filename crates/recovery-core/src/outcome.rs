//! What a function answers when it did not fail.

use std::collections::BTreeMap;

use serde::Serialize;

/// The answer of a function, as JSON: `{"outcome": "integrated", "volumeId": "vol-…", …}`.
///
/// `outcome` and `reason` are kebab-case words that a state machine can branch on; the other
/// members are ids and numbers, present where there is something to name or to count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(flatten)]
    ids: BTreeMap<&'static str, String>,
    #[serde(flatten)]
    counts: BTreeMap<&'static str, usize>,
}

impl Outcome {
    fn new(outcome: &'static str, reason: Option<&'static str>) -> Outcome {
        Outcome {
            outcome,
            reason,
            ids: BTreeMap::new(),
            counts: BTreeMap::new(),
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

    /// A rule forbids to go on; `reason` names the rule. People have been told.
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

    /// The OpsItem of the job or incident is resolved.
    pub fn resolved() -> Outcome {
        Outcome::new("resolved", None)
    }

    /// The restores of late were looked at; the counts say what became of them.
    pub fn reconciled() -> Outcome {
        Outcome::new("reconciled", None)
    }

    /// Adds an id, under the name it has in the answer (camelCase).
    #[must_use]
    pub fn with(mut self, name: &'static str, id: impl Into<String>) -> Outcome {
        self.ids.insert(name, id.into());
        self
    }

    /// Adds a number, under the name it has in the answer (camelCase).
    #[must_use]
    pub fn with_count(mut self, name: &'static str, count: usize) -> Outcome {
        self.counts.insert(name, count);
        self
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
}
