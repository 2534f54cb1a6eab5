//! Registers the instance of a completed restore job of EC2 with its target groups, follows its health, and publishes its
//! addresses.
//!
//! The input is the event `Restore Job State Change` or, from a person or a state machine, `{"restoreJobId": "…"}`; for a
//! drill, `{"restoreJobId": "…", "drill": {"stack": "…", "name": "…"}}`. A state machine adds the plan's `item`, which can
//! name another recovery point with the missing tags; `restore-reconciler` adds only that recovery point, as `tagsFrom`.

use recovery_core::aws::arn::Scope;
use recovery_core::error::Error;
use recovery_core::event::backup;
use recovery_core::integrate::instance::run::{InstanceConfig, integrate};
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, InstanceIntegrationPorts};
use recovery_lambda::{SettingsError, Variables};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID`, `AWS_REGION`, `DRILL_RESTORE_ROLE_ARN`, `VAULT_NAME` and `PUBLISH_PATH`.
    pub config: InstanceConfig,
    /// `TOPIC_ARN`: the SNS topic of the operators, or `off`.
    pub topic: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[
        "ACCOUNT_ID",
        "DRILL_RESTORE_ROLE_ARN",
        "PUBLISH_PATH",
        "TOPIC_ARN",
        "VAULT_NAME",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            config: InstanceConfig {
                ownership: Ownership {
                    scope: Scope {
                        account: read.account("ACCOUNT_ID"),
                        region: read.region("AWS_REGION"),
                    },
                    drill_role: read.arn("DRILL_RESTORE_ROLE_ARN"),
                },
                vault: read.required("VAULT_NAME"),
                publish_path: read.path("PUBLISH_PATH"),
            },
            topic: read.topic_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}

/// Integrates the restored instance of the restore job in `payload`.
///
/// # Errors
/// [`Error::Permanent`] for invalid input, and those of [`integrate`].
pub async fn handle(
    ports: &impl InstanceIntegrationPorts,
    clock: &impl Clock,
    config: &InstanceConfig,
    payload: &Value,
) -> Result<Outcome, Error> {
    match backup::restore_to_integrate(payload)? {
        Ok(restore) => integrate(ports, clock, config, restore).await,
        Err(reason) => Ok(Outcome::ignored(reason)),
    }
}
