//! Compares the volume of a completed restore test with its recovery point. Reports the result to AWS Backup, and notifies
//! operators of a failure.
//!
//! The input is the event `Restore Job State Change` or, from a person, `{"restoreJobId": "…"}`.

use recovery_core::aws::arn::Scope;
use recovery_core::error::Error;
use recovery_core::event::backup;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, ValidationPorts};
use recovery_core::restore::run_test_validation::validate;
use recovery_lambda::{SettingsError, Variables};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID` and `AWS_REGION`.
    pub scope: Scope,
    /// `TOPIC_ARN`: the SNS topic of the operators, or `off`.
    pub topic: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &["ACCOUNT_ID", "TOPIC_ARN"];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            scope: Scope {
                account: read.account("ACCOUNT_ID"),
                region: read.region("AWS_REGION"),
            },
            topic: read.topic_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}

/// Validates the restored resource of the restore job in `payload`, if a restore test started it.
///
/// # Errors
/// [`Error::Permanent`] for invalid input, and those of [`validate`].
pub async fn handle(
    ports: &impl ValidationPorts,
    clock: &impl Clock,
    scope: &Scope,
    payload: &Value,
) -> Result<Outcome, Error> {
    match backup::completed_restore(payload)? {
        Ok(job) => validate(ports, clock, scope, job).await,
        Err(reason) => Ok(Outcome::ignored(reason)),
    }
}
