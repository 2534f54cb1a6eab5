//! Restore test completed → AWS Backup and people know whether what it made is what was promised.
//!
//! Takes the event `Restore Job State Change` or, from a person, `{"restoreJobId": "…"}`.

use recovery_core::aws::arn::Scope;
use recovery_core::error::Error;
use recovery_core::event::backup;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, ValidationPorts};
use recovery_core::restore::run_test_validation::validate;
use recovery_lambda::{SettingsError, Variables};
use serde_json::Value;

/// The function's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID` and `AWS_REGION`: where this system runs.
    pub scope: Scope,
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
            scope: Scope {
                account: read.account("ACCOUNT_ID"),
                region: read.region("AWS_REGION"),
            },
            topic: read.topic_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}

/// Validates what the restore job in `payload` made, if a restore test started it.
///
/// # Errors
/// [`Error::Permanent`] for input that cannot be read, and those of [`validate`].
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
