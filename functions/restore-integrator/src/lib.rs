//! Restore completed → the volume is back on its instance.
//!
//! Takes the event `Restore Job State Change` or, from a person or a state machine,
//! `{"restoreJobId": "…"}`.

use recovery_core::arn::{Here, RestoreJobId};
use recovery_core::error::Error;
use recovery_core::event::{self, backup};
use recovery_core::integration::integrate;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, IntegrationPorts};
use recovery_core::restore_job::RestoreJob;
use recovery_lambda::{SettingsError, Variables};
use serde_json::Value;

/// The function's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID` and `AWS_REGION`: where this system runs.
    pub here: Here,
    /// `TOPIC_ARN`: the SNS topic for people, or `off`.
    pub topic: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &["ACCOUNT_ID", "TOPIC_ARN"];

    /// Reads the environment.
    ///
    /// # Errors
    /// Everything that is missing.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            here: Here {
                account: read.account("ACCOUNT_ID"),
                region: read.region("AWS_REGION"),
            },
            topic: read.topic_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}

/// Integrates what the restore job in `payload` made.
///
/// # Errors
/// [`Error::Permanent`] for input that cannot be read, and those of [`integrate`].
pub async fn handle(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    here: &Here,
    payload: &Value,
) -> Result<Outcome, Error> {
    let job = match payload.get("restoreJobId") {
        Some(id) => asked_for(id)?,
        None => {
            let event = event::parse(payload)?;
            if event.source != backup::SOURCE {
                return Ok(Outcome::ignored("source"));
            }
            if event.detail_type != backup::RESTORE_JOB {
                return Ok(Outcome::ignored("detail-type"));
            }
            // Before anything else is read: the event of a job that was only created names no job.
            if event.detail.get("status").and_then(Value::as_str) != Some("COMPLETED") {
                return Ok(Outcome::ignored("status"));
            }
            backup::restore_job(&event)?
        }
    };
    integrate(ports, clock, here, job).await
}

/// A job of which nothing is known but the id that someone gave.
fn asked_for(id: &Value) -> Result<RestoreJob, Error> {
    let id = id
        .as_str()
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| {
            Error::Permanent(recovery_core::error::Fault::new(
                "parse input",
                "restoreJobId",
                "it is empty or not text",
                "Pass {\"restoreJobId\": \"…\"} with the id of a restore job of AWS Backup.",
            ))
        })?;
    Ok(RestoreJob::known_by_id(RestoreJobId::new(id)))
}
