//! Attaches the volume of a completed restore job to its instance, and mounts it there.
//!
//! The input is the event `Restore Job State Change` or, from a person or a state machine, `{"restoreJobId": "…"}`; for a
//! drill, `{"restoreJobId": "…", "drill": {"stack": "…"}}`. A state machine adds the plan's `item`, which can name
//! another recovery point with the missing tags. `"mountAttempt": 1` asks for another attempt to mount, after a refusal.

use recovery_core::aws::arn::Scope;
use recovery_core::error::Error;
use recovery_core::event::backup;
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::volume::run::integrate;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, IntegrationPorts};
use recovery_lambda::{SettingsError, Variables};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID`, `AWS_REGION` and `DRILL_RESTORE_ROLE_ARN`.
    pub ownership: Ownership,
    /// `TOPIC_ARN`: the SNS topic of the operators, or `off`.
    pub topic: Option<String>,
    /// `MOUNT_RUNBOOK`: the runbook that mounts volumes in their instances, or `off`.
    pub mount_runbook: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[
        "ACCOUNT_ID",
        "DRILL_RESTORE_ROLE_ARN",
        "MOUNT_RUNBOOK",
        "TOPIC_ARN",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
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
            mount_runbook: read.runbook_or_off("MOUNT_RUNBOOK"),
        };
        read.complete(settings)
    }
}

/// Integrates the restored resource of the restore job in `payload`.
///
/// # Errors
/// [`Error::Permanent`] for invalid input, and those of [`integrate`].
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
