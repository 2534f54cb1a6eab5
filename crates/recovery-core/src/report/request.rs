//! What is asked of the reporter.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::aws::arn::OpsItemId;
use crate::error::{Error, Fault};
use crate::event::date;
use crate::plan::request::{Mode, is_workload};
use crate::report::problem::{Problem, failure_text};
use crate::text;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Check whether each planned item is restored and integrated.
    Verify,
    /// Make and store the report, and notify operators.
    Report,
    /// Fail, unless the execution was redriven.
    Stop,
}

/// A stack of the workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stack {
    /// The stack's name.
    pub stack: String,
    /// What the recovery did with it: existed or created.
    pub did: String,
}

/// The plan that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRef {
    /// Its hash.
    pub hash: String,
    /// Its object in the recovery bucket.
    pub key: String,
    /// When this execution finished planning.
    pub planned_at: Option<DateTime<Utc>>,
}

/// What is asked of the reporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub task: Task,
    /// The workload.
    pub workload: String,
    /// A recovery or a drill.
    pub mode: Mode,
    /// The execution of the state machine.
    pub execution: Execution,
    /// The incident that it answers.
    pub incident: Option<String>,
    /// The incident's OpsItem.
    pub ops_item: Option<OpsItemId>,
    /// The moment to go back to.
    pub restore_to: Option<DateTime<Utc>>,
    /// Objectives that take precedence over those of the settings.
    pub objectives: Objectives,
    /// The plan; absent where planning failed.
    pub plan: Option<PlanRef>,
    /// When the stacks were deployed.
    pub infrastructure_to: Option<DateTime<Utc>>,
    /// The stacks that exist or were created.
    pub stacks: Vec<Stack>,
    /// When the verification ended.
    pub verification_to: Option<DateTime<Utc>>,
    /// When the fail-over ended.
    pub fail_over_to: Option<DateTime<Utc>>,
    /// What the state machine collected.
    pub problems: Vec<Problem>,
    /// How often the execution has been redriven.
    pub redrives: u32,
    /// How many of these redrives the state machine has handled.
    pub round: u32,
}

const REMEDY: &str = "Pass {\"do\": \"verify\", \"report\" or \"stop\", \"workload\": \"…\", \"mode\": \"recover\" or \"drill\", \"execution\": {\"arn\", \"name\", \"startedAt\"}}, and the other members that docs/recover.md lists.";

/// Stacks that are kept in a report.
const STACKS: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(rename = "do")]
    task: Task,
    workload: String,
    mode: Mode,
    execution: InputExecution,
    #[serde(default, deserialize_with = "words")]
    incident: Option<String>,
    #[serde(default, deserialize_with = "words")]
    ops_item_id: Option<String>,
    #[serde(default, deserialize_with = "moment")]
    restore_to: Option<DateTime<Utc>>,
    targets: Option<InputTargets>,
    plan: Option<InputPlan>,
    infrastructure: Option<InputInfrastructure>,
    verification: Option<Span>,
    fail_over: Option<Span>,
    problems: Option<Vec<InputProblem>>,
    redrives: Option<u32>,
    round: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputExecution {
    arn: String,
    name: String,
    started_at: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputTargets {
    recovery_time_minutes: Option<u32>,
    recovery_point_minutes: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputPlan {
    hash: String,
    key: String,
    #[serde(default, deserialize_with = "moment")]
    planned_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct InputInfrastructure {
    #[serde(default, deserialize_with = "moment")]
    to: Option<DateTime<Utc>>,
    stacks: Option<Vec<Stack>>,
}

#[derive(Deserialize)]
struct Span {
    #[serde(default, deserialize_with = "moment")]
    to: Option<DateTime<Utc>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InputProblem {
    #[serde(deserialize_with = "words")]
    step: Option<String>,
    #[serde(deserialize_with = "words")]
    subject: Option<String>,
    #[serde(deserialize_with = "words")]
    reason: Option<String>,
    #[serde(deserialize_with = "words")]
    why: Option<String>,
    #[serde(deserialize_with = "words")]
    error: Option<String>,
    #[serde(deserialize_with = "words")]
    cause: Option<String>,
    #[serde(deserialize_with = "words")]
    remedy: Option<String>,
}

/// A time. Anything else counts as absent, because a report without a phase is better than no report.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().and_then(date))
}

/// A text; null counts as absent, anything else is kept as JSON.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::String(text) if text::is_blank(&text) => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

impl Request {
    /// Parses the input of the reporter. Unknown members are ignored.
    ///
    /// # Errors
    /// [`Error::Permanent`] that names the missing or invalid member.
    pub fn parse(payload: &Value) -> Result<Request, Error> {
        let wrong = |member: &str, what: String| {
            Error::Permanent(Fault::new("parse input", member, what, REMEDY))
        };
        let input: Input = serde_path_to_error::deserialize(payload).map_err(|error| {
            wrong(
                &format!("member {}", error.path()),
                text::shown(&error.inner().to_string()),
            )
        })?;
        if !is_workload(&input.workload) {
            let what = format!("{} is not a workload name", text::shown(&input.workload));
            return Err(wrong("workload", what));
        }
        let name = &input.execution.name;
        if !is_execution_name(name) {
            let what = format!("{} is not an execution name", text::shown(name));
            return Err(wrong("execution.name", what));
        }
        let Some(started_at) = date(&input.execution.started_at) else {
            let what = format!("{} is not a date", text::shown(&input.execution.started_at));
            return Err(wrong("execution.startedAt", what));
        };
        let plan = input.plan.map(|plan| PlanRef {
            hash: plan.hash,
            key: plan.key,
            planned_at: plan.planned_at,
        });
        if let Some(plan) = plan.as_ref().filter(|plan| !plan.key.starts_with("plans/")) {
            let what = format!("{} is not the key of a plan", text::shown(&plan.key));
            return Err(wrong("plan.key", what));
        }
        let targets = input.targets.unwrap_or_default();
        let infrastructure = input.infrastructure;
        Ok(Request {
            task: input.task,
            workload: input.workload,
            mode: input.mode,
            execution: Execution {
                arn: text::shown(&input.execution.arn),
                name: input.execution.name,
                started_at,
            },
            incident: input.incident.map(|incident| kept(&incident, 600)),
            ops_item: input.ops_item_id.map(OpsItemId::new),
            restore_to: input.restore_to,
            objectives: Objectives {
                rto_minutes: targets.recovery_time_minutes,
                rpo_minutes: targets.recovery_point_minutes,
            },
            plan,
            infrastructure_to: infrastructure.as_ref().and_then(|stood| stood.to),
            stacks: infrastructure
                .and_then(|stood| stood.stacks)
                .unwrap_or_default()
                .into_iter()
                .take(STACKS)
                .map(|stack| Stack {
                    stack: kept(&stack.stack, 200),
                    did: kept(&stack.did, 50),
                })
                .collect(),
            verification_to: input.verification.and_then(|span| span.to),
            fail_over_to: input.fail_over.and_then(|span| span.to),
            problems: input
                .problems
                .unwrap_or_default()
                .into_iter()
                .map(problem)
                .collect(),
            redrives: input.redrives.unwrap_or(0),
            round: input.round.unwrap_or(0),
        })
    }
}

fn kept(text: &str, limit: usize) -> String {
    text::within(&text::one_line(text), limit)
}

fn problem(input: InputProblem) -> Problem {
    let said = |text: Option<String>, otherwise: &str, limit: usize| {
        kept(text.as_deref().unwrap_or(otherwise), limit)
    };
    Problem {
        step: said(input.step, "unknown", 50),
        subject: said(input.subject, "(not named)", 300),
        reason: said(input.reason, "unknown", 100),
        why: said(
            input
                .why
                .or_else(|| failure_text(input.error.as_deref(), input.cause.as_deref())),
            "no reason was given",
            1_000,
        ),
        remedy: input.remedy.map(|remedy| kept(&remedy, 1_000)),
    }
}

/// Whether this is a valid name of an execution, and can be part of an object key:
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>.
pub(crate) fn is_execution_name(name: &str) -> bool {
    let lost = |c: char| c.is_whitespace() || c == '/';
    (1..=80).contains(&name.chars().count())
        && !name.contains(lost)
        && text::one_line(name) == name
        && ![".", ".."].contains(&name)
}

/// An execution of the state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// The execution's ARN.
    pub arn: String,
    /// The execution's name.
    pub name: String,
    /// When it was first started.
    pub started_at: DateTime<Utc>,
}

/// The objectives of a recovery, in minutes; `None` where none is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Objectives {
    /// The RTO.
    pub rto_minutes: Option<u32>,
    /// The RPO.
    pub rpo_minutes: Option<u32>,
}

impl Objectives {
    /// These objectives, and `others` where these are not set.
    #[must_use]
    pub fn or(self, others: Objectives) -> Objectives {
        Objectives {
            rto_minutes: self.rto_minutes.or(others.rto_minutes),
            rpo_minutes: self.rpo_minutes.or(others.rpo_minutes),
        }
    }
}
