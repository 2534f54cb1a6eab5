//! The decision about a signal: is it ours, how bad is it, and what is to be done?
//!
//! Pure: a Health event or an alarm and the owner's policy in, an [`Incident`] with its responses
//! out. [`response`](crate::detect::run) acts on it.

pub mod alarm;
pub mod health;
pub mod run;

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::arn::Arn;
use crate::ops_item::{ItemKey, Severity};

/// Something the owner may choose to have done about a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    /// Keep an OpsItem.
    Track,
    /// Tell people.
    Notify,
    /// Start the recovery runbook, which asks for approval unless the owner waived it.
    Recover,
}

impl Response {
    /// Reads `track`, `notify` or `recover`.
    pub fn parse(text: &str) -> Option<Response> {
        match text {
            "track" => Some(Response::Track),
            "notify" => Some(Response::Notify),
            "recover" => Some(Response::Recover),
            _ => None,
        }
    }
}

/// What the owner chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The Region where the workload runs.
    pub primary_region: String,
    /// The Region where it is to be recovered, and where this system runs.
    pub recovery_region: String,
    /// What is to be done.
    pub responses: Vec<Response>,
    /// The recovery runbook; without one, nothing is started.
    pub runbook: Option<String>,
    /// Runbooks that people may start by hand: to start the workload's instances, to deploy its stack.
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

/// Whether the trouble is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is, as far as is known.
    Open,
    /// It is over.
    Over,
}

impl State {
    /// The other one.
    #[must_use]
    pub fn other(self) -> State {
        match self {
            State::Open => State::Over,
            State::Over => State::Open,
        }
    }
}

/// A signal that concerns this workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// What kind of signal it is, for subscription filters: `health-event` or `alarm`.
    pub kind: &'static str,
    /// The same for everything that is ever said about this incident.
    pub key: ItemKey,
    /// How long after its end the same trouble is still the same incident. Without a limit, what
    /// has the same key always is.
    pub reopens_within: Option<TimeDelta>,
    /// Whether this signal may be the first that is heard of the incident.
    pub opens: bool,
    /// The same for all pages and duplicates of one message about it.
    pub message_key: String,
    /// Whether it is over.
    pub state: State,
    /// How bad it is.
    pub severity: Severity,
    /// One line, in words.
    pub title: String,
    /// Title and severity that it would have in the other state, for the run that finds that another
    /// one knew better.
    pub otherwise: (String, Severity),
    /// Markdown for the OpsItem.
    pub description: String,
    /// Plain text for people.
    pub message: String,
    /// When the trouble began, where this signal tells.
    pub began: Option<DateTime<Utc>>,
    /// When AWS last said something about it.
    pub updated: Option<DateTime<Utc>>,
    /// The Region in trouble.
    pub region: String,
    /// The resources of this account that are affected, where AWS names them by ARN.
    pub resources: Vec<Arn>,
    /// The runbooks that may be of use.
    pub runbooks: Vec<String>,
}

/// What is to be done about a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each event, and it is taken apart at once"
)]
pub enum Judgement {
    /// Nothing, and why.
    Ignore(&'static str),
    /// This, in this order.
    Respond(Incident, Vec<Response>),
}

/// A time for people, or that it was not said.
fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or("not said".to_owned(), |time| {
        time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
    })
}

/// Which runbooks there are, in sentences.
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
