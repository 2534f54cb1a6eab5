//! Restore completed → the volume is back on its instance.
//!
//! Takes the event `Restore Job State Change` or, from a person or a state machine,
//! `{"restoreJobId": "…"}`; of a drill, `{"restoreJobId": "…", "drill": {"stack": "…"}}`. A state machine
//! adds the plan's `item`, which names the recovery point whose tags stand in for missing ones.

use recovery_core::aws::arn::Scope;
use recovery_core::error::Error;
use recovery_core::event::backup;
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::volume::run::integrate;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, IntegrationPorts};
use recovery_lambda::{SettingsError, Variables};
use serde_json::Value;

/// The function's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID` and `AWS_REGION`, where this system runs; and `DRILL_RESTORE_ROLE_ARN`.
    pub ownership: Ownership,
    /// `TOPIC_ARN`: the SNS topic for people, or `off`.
    pub topic: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] =
        &["ACCOUNT_ID", "DRILL_RESTORE_ROLE_ARN", "TOPIC_ARN"];

    /// Reads the environment.
    ///
    /// # Errors
    /// Everything that is missing.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            ownership: Ownership {
                scope: Scope {
                    account: read.account("ACCOUNT_ID"),
                    region: read.region("AWS_REGION"),
                },
                drill_role: read.arn("DRILL_RESTORE_ROLE_ARN"),
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
    ownership: &Ownership,
    payload: &Value,
) -> Result<Outcome, Error> {
    match backup::restore_to_integrate(payload)? {
        Ok(restore) => integrate(ports, clock, ownership, restore).await,
        Err(reason) => Ok(Outcome::ignored(reason)),
    }
}
