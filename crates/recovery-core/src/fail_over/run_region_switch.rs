//! The whole recovery as one step of a plan of ARC Region switch: its custom action Lambda block invokes
//! this again and again, until it succeeds or its timeout is over.
//!
//! Safe to repeat: one execution of a plan is one execution of the state machine, by its name.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::step_functions::Execution;
use crate::error::{Error, Fault};
use crate::outcome::Outcome;
use crate::plan::recovery_plan::digest;
use crate::ports::{Clock, RecoveryExecutions};
use crate::text::{code, shown};

/// What is recovered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionSwitchConfig {
    /// Value of the tag `recovery:workload`.
    pub workload: String,
    /// The Region that this runs in: the one that is activated.
    pub region: String,
}

/// Between two looks at an execution that runs.
const PAUSE: Duration = Duration::from_secs(30);
/// Left of a run's time for the last look and for saying what it saw.
const RESERVE: Duration = Duration::from_secs(45);

/// What an input must look like.
const REMEDY: &str = "Pass {\"PlanArn\": \"…\", \"ExecutionId\": \"…\"}, as Region switch does where the step's payload is a JSON object or is left out.";

/// What Region switch puts into the payload, and what an owner may add to it:
/// <https://docs.aws.amazon.com/arc-region-switch/latest/api/API_Lambdas.html>.
#[derive(Deserialize)]
struct Input {
    #[serde(rename = "PlanArn")]
    plan: String,
    #[serde(rename = "ExecutionId")]
    execution: String,
    action: Option<String>,
    region: Option<String>,
}

/// Starts the recovery for the plan's execution, once, and waits for its end as long as this run may.
///
/// # Errors
/// [`Error::Retryable`] while the recovery runs, or when a call failed that may succeed later;
/// [`Error::Permanent`] when the recovery has failed, for input that cannot be read or a call that failed
/// for good.
pub async fn handle(
    executions: &(impl RecoveryExecutions + Sync),
    clock: &impl Clock,
    config: &RegionSwitchConfig,
    payload: &Value,
) -> Result<Outcome, Error> {
    let wrong = |member: String, what: String| {
        Error::Permanent(Fault::new("parse input", member, what, REMEDY))
    };
    let input: Input = serde_path_to_error::deserialize(payload).map_err(|error| {
        wrong(
            format!("member {}", error.path()),
            shown(&error.inner().to_string()),
        )
    })?;
    for (member, value) in [("PlanArn", &input.plan), ("ExecutionId", &input.execution)] {
        if value.trim().is_empty() {
            return Err(wrong(member.to_owned(), "it is empty".to_owned()));
        }
    }
    if let Some(action) = &input.action
        && !action.eq_ignore_ascii_case("activate")
    {
        return Ok(Outcome::ignored("action").with("action", action));
    }
    if let Some(region) = &input.region
        && *region != config.region
    {
        return Ok(Outcome::ignored("region").with("region", region));
    }
    let name = execution_name(&config.workload, &input.plan, &input.execution);
    let recovery = json!({
        "workload": config.workload,
        "mode": "recover",
        "incident": format!("region-switch/{}/{}", input.plan, input.execution),
    });
    let mut started = false;
    loop {
        let arn = match executions.describe(&name).await? {
            Some(execution) => match execution.status.as_str() {
                "SUCCEEDED" => {
                    return Ok(Outcome::recovered()
                        .with("workload", &config.workload)
                        .with("executionArn", execution.arn));
                }
                "FAILED" | "TIMED_OUT" | "ABORTED" => return Err(failed(&execution)),
                _ => execution.arn,
            },
            // One that was just started may not show yet.
            None if started => name.clone(),
            None => {
                executions.start(&name, &recovery.to_string()).await?;
                started = true;
                name.clone()
            }
        };
        if clock.remaining() < PAUSE + RESERVE {
            return Err(Error::Retryable(Fault::new(
                "await recovery",
                arn.clone(),
                format!("still running: {arn}"),
                "Nothing to do: Region switch invokes this again after its retry interval, until its timeout.",
            )));
        }
        clock.sleep(PAUSE).await;
    }
}

/// The name of the state machine's execution for one execution of a plan. It has the form that the
/// runbook `StartRegionRecovery` gives to its own, so that the runbook knows it for a recovery of this
/// workload, and starts none beside it.
fn execution_name(workload: &str, plan: &str, execution: &str) -> String {
    let hash = digest([plan, execution]);
    format!("{workload}-{}", hash.get(..24).unwrap_or(&hash))
}

fn failed(execution: &Execution) -> Error {
    let error = execution.error.as_deref().unwrap_or("no error named");
    let cause = execution.cause.as_deref().unwrap_or("no cause given");
    Error::Permanent(
        Fault::new(
            "await recovery",
            execution.arn.clone(),
            format!(
                "the recovery has ended {}: {}: {}",
                shown(&execution.status),
                shown(error),
                code(cause)
            ),
            "Remove the cause, then redrive the execution in Step Functions: the next run of this step waits for it. Where the plan has given up meanwhile, the recovery goes on all the same.",
        )
        .with_code(shown(&execution.status)),
    )
}
