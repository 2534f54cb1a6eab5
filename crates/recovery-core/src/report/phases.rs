//! The phases of a recovery: one partition of its time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::seconds_between;

/// A part of the recovery time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// From the beginning of the trouble until it has its OpsItem.
    Detect,
    /// Until the execution starts.
    Decide,
    /// Until the plan is made.
    Plan,
    /// Until the stacks stand.
    Infrastructure,
    /// Until the last restore job has ended.
    Restore,
    /// Until the last volume is attached.
    Integrate,
    /// Until the verification has ended.
    Verify,
    /// Until the traffic goes to this Region.
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

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which.
    pub phase: PhaseName,
    /// Where the one before it ends.
    pub from: DateTime<Utc>,
    /// Where the next one begins.
    pub to: DateTime<Utc>,
    /// From the one to the other.
    pub seconds: i64,
}

/// When each phase ended; nothing where that is not known or has not happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moments {
    /// When the trouble began.
    pub began: Option<DateTime<Utc>>,
    /// When it had its OpsItem.
    pub tracked: Option<DateTime<Utc>>,
    /// When the execution started.
    pub started: DateTime<Utc>,
    /// When the plan was made.
    pub planned: Option<DateTime<Utc>>,
    /// When the stacks stood.
    pub stood: Option<DateTime<Utc>>,
    /// When the last restore job ended, well or not.
    pub restored: Option<DateTime<Utc>>,
    /// When the last volume was attached.
    pub integrated: Option<DateTime<Utc>>,
    /// When the verification ended.
    pub verified: Option<DateTime<Utc>>,
    /// When the fail-over ended.
    pub failed_over: Option<DateTime<Utc>>,
}

/// Where the recovery time begins, and its phases, one behind the other. A phase whose end is not known
/// is absent, and its time is the next one's; one that would end before it begins takes no time, since
/// the moments are told by several clocks. Each moment counts as its full second, so that the phases
/// add up to the whole.
pub fn partition(moments: &Moments) -> (DateTime<Utc>, Vec<Phase>) {
    let started = full_second(moments.started);
    let known = [moments.began, moments.tracked];
    let start = known
        .into_iter()
        .flatten()
        .map(full_second)
        .fold(started, DateTime::min);
    let ends = [
        (PhaseName::Detect, moments.began.and(moments.tracked)),
        (
            PhaseName::Decide,
            moments.began.or(moments.tracked).map(|_| started),
        ),
        (PhaseName::Plan, moments.planned),
        (PhaseName::Infrastructure, moments.stood),
        (PhaseName::Restore, moments.restored),
        (PhaseName::Integrate, moments.integrated),
        (PhaseName::Verify, moments.verified),
        (PhaseName::FailOver, moments.failed_over),
    ];
    let mut from = start;
    let phases = ends
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
