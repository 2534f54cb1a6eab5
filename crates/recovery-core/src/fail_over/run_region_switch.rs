//! Runs the recovery as one step of an ARC Region switch plan. The plan's custom action Lambda block invokes this
//! repeatedly, until it succeeds or times out.
//!
//! Safe to repeat: the name of the state machine's execution is derived from the execution of the plan.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::step_functions::Execution;
use crate::error::{Error, Fault};
use crate::outcome::Outcome;
use crate::plan::digest::digest;
use crate::ports::{Clock, RecoveryExecutions};
use crate::text::{code, shown};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionSwitchConfig {
    /// Value of the tag `recovery:workload`.
    pub workload: String,
    /// The Region of this function: the one that the plan activates.
    pub region: String,
}

/// Pause between two checks of a running execution.
const PAUSE: Duration = Duration::from_secs(30);
/// Time that a run keeps for the last check and the answer.
const RESERVE: Duration = Duration::from_secs(45);

const REMEDY: &str = "Pass {\"PlanArn\": \"…\", \"ExecutionId\": \"…\"}, like Region switch, if the payload of the step is a JSON object or empty.";

/// The payload of Region switch, and what the plan may add to it:
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

/// Starts the recovery once for the plan's execution, and waits for its end as long as this run can.
///
/// # Errors
/// [`Error::Retryable`] while the recovery runs, or if a failed call may succeed later; [`Error::Permanent`] if
/// the recovery has failed, for invalid input, or for a call that failed for good.
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
            // An execution that was just started may not be listed yet.
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
                format!("the recovery is still running: {arn}"),
                "No action needed. Region switch invokes this function again after its retry interval, until its timeout.",
            )));
        }
        clock.sleep(PAUSE).await;
    }
}

/// The name of the state machine's execution. It has the same form as the names of the runbook
/// `StartRegionRecovery`, so that the runbook finds it and does not start a second recovery of the workload.
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
                "the recovery ended with {}: {}: {}",
                shown(&execution.status),
                shown(error),
                code(cause)
            ),
            "Fix the cause, then redrive the execution in Step Functions. The next run of this step waits for it. The recovery continues even if the plan has timed out.",
        )
        .with_code(shown(&execution.status)),
    )
}
