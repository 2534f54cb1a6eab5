//! The phases that the time of a recovery is divided into.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::report::format::seconds_between;

/// The name of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// From the beginning of the incident until its OpsItem was created.
    Detect,
    /// Until the execution started.
    Decide,
    /// Until the recovery plan was made.
    Plan,
    /// Until the stacks were deployed.
    Infrastructure,
    /// Until the last restore job ended.
    Restore,
    /// Until the last resource was integrated.
    Integrate,
    /// Until the verification ended.
    Verify,
    /// Until traffic was moved to the recovery Region.
    FailOver,
}

impl PhaseName {
    /// All of them, in their order.
    pub const ALL: [PhaseName; 8] = [
        PhaseName::Detect,
        PhaseName::Decide,
        PhaseName::Plan,
        PhaseName::Infrastructure,
        PhaseName::Restore,
        PhaseName::Integrate,
        PhaseName::Verify,
        PhaseName::FailOver,
    ];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            PhaseName::Detect => "detect",
            PhaseName::Decide => "decide",
            PhaseName::Plan => "plan",
            PhaseName::Infrastructure => "infrastructure",
            PhaseName::Restore => "restore",
            PhaseName::Integrate => "integrate",
            PhaseName::Verify => "verify",
            PhaseName::FailOver => "fail-over",
        }
    }
}

/// A phase of the recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Phase {
    /// The phase's name.
    pub phase: PhaseName,
    /// The end of the previous phase.
    pub from: DateTime<Utc>,
    /// The start of the next phase.
    pub to: DateTime<Utc>,
    /// From the start of the phase to its end.
    pub seconds: i64,
}

/// When each phase ended; `None` where that is not known or has not happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseEnds {
    /// When the incident began.
    pub began: Option<DateTime<Utc>>,
    /// When its OpsItem was created.
    pub tracked: Option<DateTime<Utc>>,
    /// When the execution started.
    pub started: DateTime<Utc>,
    /// When the recovery plan was made.
    pub planned: Option<DateTime<Utc>>,
    /// When the stacks were deployed.
    pub stood: Option<DateTime<Utc>>,
    /// When the last restore job ended, whether it completed or failed.
    pub restored: Option<DateTime<Utc>>,
    /// When the last resource was integrated.
    pub integrated: Option<DateTime<Utc>>,
    /// When the verification ended.
    pub verified: Option<DateTime<Utc>>,
    /// When the fail over ended.
    pub failed_over: Option<DateTime<Utc>>,
}

/// Returns when the recovery began, and its phases without gaps. The time of a phase whose end is not known
/// counts in the next one. A phase that would end before it begins takes no time: the moments come from the
/// clocks of several services. Fractions of a second are dropped, so that the phases add up to the total.
pub fn partition(ends: &PhaseEnds) -> (DateTime<Utc>, Vec<Phase>) {
    let started = full_second(ends.started);
    let known = [ends.began, ends.tracked];
    let start = known
        .into_iter()
        .flatten()
        .map(full_second)
        .fold(started, DateTime::min);
    let phase_ends = [
        (PhaseName::Detect, ends.began.and(ends.tracked)),
        (
            PhaseName::Decide,
            ends.began.or(ends.tracked).map(|_| started),
        ),
        (PhaseName::Plan, ends.planned),
        (PhaseName::Infrastructure, ends.stood),
        (PhaseName::Restore, ends.restored),
        (PhaseName::Integrate, ends.integrated),
        (PhaseName::Verify, ends.verified),
        (PhaseName::FailOver, ends.failed_over),
    ];
    let mut from = start;
    let phases = phase_ends
        .into_iter()
        .filter_map(|(phase, end)| {
            let to = full_second(end?).max(from);
            let seconds = seconds_between(from, to);
            Some(Phase {
                phase,
                from: std::mem::replace(&mut from, to),
                to,
                seconds,
            })
        })
        .collect();
    (start, phases)
}

/// The moment without its fraction of a second.
fn full_second(moment: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(moment.timestamp(), 0).unwrap_or(moment)
}
