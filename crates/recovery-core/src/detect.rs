//! Decides what to do about a disaster signal: whether it concerns this workload, how severe it is, and which
//! responses the policy sets.
//!
//! Pure: makes an [`Incident`] with its responses of a Health event or an alarm, and of the [`Policy`].
//! [`run`] carries the responses out.

pub mod alarm;
pub mod health;
pub mod run;

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::arn::Arn;
use crate::explanation::Explanation;
use crate::ops_item::{ItemKey, Severity};
use crate::report::format::{clock_time, seconds_between};
use crate::report::words::duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    /// Keep an OpsItem.
    Track,
    /// Notify operators.
    Notify,
    /// Start the recovery runbook, which asks for approval unless its parameters waive it.
    Recover,
}

impl Response {
    /// Parses `track`, `notify` or `recover`.
    pub fn parse(text: &str) -> Option<Response> {
        match text {
            "track" => Some(Response::Track),
            "notify" => Some(Response::Notify),
            "recover" => Some(Response::Recover),
            _ => None,
        }
    }
}

/// The settings of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub primary_region: String,
    pub recovery_region: String,
    pub responses: Vec<Response>,
    /// The recovery runbook. `None`: no recovery is started.
    pub runbook: Option<String>,
    /// Runbooks that operators may start: to start the workload's instances, to deploy its stack.
    pub other_runbooks: Vec<String>,
}

impl Policy {
    /// The names of all runbooks, the recovery runbook first.
    pub(crate) fn runbooks(&self) -> Vec<String> {
        self.runbook
            .iter()
            .chain(&self.other_runbooks)
            .cloned()
            .collect()
    }
}

/// The state of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    Over,
}

impl State {
    #[must_use]
    pub fn other(self) -> State {
        match self {
            State::Open => State::Over,
            State::Over => State::Open,
        }
    }
}

/// A disaster signal that concerns this workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// The kind of signal, for subscription filters: `health-event` or `alarm`.
    pub kind: &'static str,
    /// The same for all signals of this incident.
    pub key: ItemKey,
    /// A signal with the same key belongs to the same incident if it arrives within this time after the end.
    /// `None`: always.
    pub reopens_within: Option<TimeDelta>,
    /// Whether this signal may open the incident.
    pub opens: bool,
    /// The same for all pages and duplicates of one message.
    pub message_key: String,
    pub state: State,
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// Title and severity in the other state, for a run that finds a later update by another run.
    pub otherwise: (String, Severity),
    /// Markdown for the OpsItem.
    pub description: String,
    /// The notification.
    pub message: Explanation,
    /// When the incident began, if this signal says so.
    pub began: Option<DateTime<Utc>>,
    /// The time of this signal.
    pub updated: Option<DateTime<Utc>>,
    pub region: String,
    /// The affected resources of this account that AWS names by ARN.
    pub resources: Vec<Arn>,
    /// The runbooks that operators can start from the OpsItem.
    pub runbooks: Vec<String>,
}

/// The decision about a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists for each event, and it is destructured at once"
)]
pub enum Judgement {
    /// No response. The reason code says why.
    Ignore(&'static str),
    /// These responses, in this order.
    Respond(Incident, Vec<Response>),
}

/// The time in RFC 3339, to the second; `unknown` if the signal has none.
fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or("unknown".to_owned(), clock_time)
}

/// The time of the beginning and how long before the update it was.
fn began(began: Option<DateTime<Utc>>, updated: Option<DateTime<Utc>>) -> String {
    let before = began
        .zip(updated)
        .map(|(began, updated)| seconds_between(began, updated))
        .filter(|seconds| *seconds > 0)
        .map(|seconds| format!(", {} before this update", duration(seconds)));
    format!("{}{}", time(began), before.unwrap_or_default())
}

/// What operators must do when an incident is open.
const DECIDE: &str = "Check the workload itself. If users are affected and no end is in sight, start the recovery. The time until you decide counts in the RTO.";
/// What operators must do after the end of an incident.
const CHECK_AFTER_END: &str = "Check that the workload works in the primary Region. If a recovery was started, decide whether to continue it.";

/// What this system does about a signal, in sentences.
fn done(policy: &Policy, responses: &[Response], tracked: bool) -> String {
    let mut done = Vec::new();
    if responses.contains(&Response::Track) && tracked {
        done.push("The OpsItem of this incident was created or updated.".to_owned());
    }
    match &policy.runbook {
        Some(runbook) if responses.contains(&Response::Recover) => done.push(format!(
            "The runbook {runbook} is started once for this incident. It waits for approval, unless you waived it."
        )),
        _ => done.push("No recovery was started.".to_owned()),
    }
    done.join(" ")
}

/// The names of the runbooks, in sentences.
fn runbook(policy: &Policy) -> String {
    let recovery = match &policy.runbook {
        Some(runbook) => format!("The recovery runbook is {}.", crate::text::code(runbook)),
        None => "No recovery runbook is configured.".to_owned(),
    };
    let others: Vec<String> = policy
        .other_runbooks
        .iter()
        .map(|name| crate::text::code(name))
        .collect();
    if others.is_empty() {
        recovery
    } else {
        format!("{recovery} Others: {}.", others.join(", "))
    }
}
