//! Makes the file system of a completed restore job of EFS or FSx reachable, publishes its addresses, and mounts it on its
//! instances.
//!
//! The input is the event `Restore Job State Change` or, from a person or a state machine, `{"restoreJobId": "…"}`; for a
//! drill, `{"restoreJobId": "…", "drill": {"stack": "…", "name": "…"}}`. A state machine adds the plan's `item`, which can
//! name another recovery point with the missing tags; `restore-reconciler` adds only that recovery point, as `tagsFrom`.
//! `"mountAttempt": 1` asks for another attempt to mount, after a refusal.

use recovery_core::aws::arn::Scope;
use recovery_core::error::Error;
use recovery_core::event::backup;
use recovery_core::integrate::file_system::run::{FileSystemConfig, integrate};
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, FileSystemIntegrationPorts};
use recovery_lambda::{SettingsError, Variables};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID`, `AWS_REGION`, `DRILL_RESTORE_ROLE_ARN` and `PUBLISH_PATH`.
    pub config: FileSystemConfig,
    /// `TOPIC_ARN`: the SNS topic of the operators, or `off`.
    pub topic: Option<String>,
    /// `MOUNT_RUNBOOK`: the runbook that mounts file systems on their instances, or `off`.
    pub mount_runbook: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[
        "ACCOUNT_ID",
        "DRILL_RESTORE_ROLE_ARN",
        "MOUNT_RUNBOOK",
        "PUBLISH_PATH",
        "TOPIC_ARN",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            config: FileSystemConfig {
                ownership: Ownership {
                    scope: Scope {
                        account: read.account("ACCOUNT_ID"),
                        region: read.region("AWS_REGION"),
                    },
                    drill_role: read.arn("DRILL_RESTORE_ROLE_ARN"),
                },
                publish_path: read.path("PUBLISH_PATH"),
            },
            topic: read.topic_or_off("TOPIC_ARN"),
            mount_runbook: read.runbook_or_off("MOUNT_RUNBOOK"),
        };
        read.complete(settings)
    }
}

/// Integrates the restored file system of the restore job in `payload`.
///
/// # Errors
/// [`Error::Permanent`] for invalid input, and those of [`integrate`].
pub async fn handle(
    ports: &impl FileSystemIntegrationPorts,
    clock: &impl Clock,
    config: &FileSystemConfig,
    payload: &Value,
) -> Result<Outcome, Error> {
    match backup::restore_to_integrate(payload)? {
        Ok(restore) => integrate(ports, clock, config, restore).await,
        Err(reason) => Ok(Outcome::ignored(reason)),
    }
}
