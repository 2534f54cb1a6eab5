//! Starts the restore job of one planned item, in the Availability Zone of its target.
//!
//! The input is `{"planHash": "…", "mode": "…", "item": {…}, "execution": {"name": "…", "startedAt": "…"}}`, from a state
//! machine or a person, with an item of a plan of `recovery-planner` and the execution that the restore belongs to.

use recovery_core::restore::run::RestoreConfig;
use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::restore::run::handle;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `VAULT_NAME`, `RESTORE_ROLE_ARN`, `DRILL_RESTORE_ROLE_ARN` and `RESTORE_KEY_ARN` (or `off`), and `AWS_REGION`.
    pub config: RestoreConfig,
    /// `PLAN_BUCKET`: where restore jobs are recorded.
    pub bucket: String,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[
        "DRILL_RESTORE_ROLE_ARN",
        "INSTANCE_PROFILES",
        "PLAN_BUCKET",
        "RESTORE_KEY_ARN",
        "RESTORE_ROLE_ARN",
        "VAULT_NAME",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            config: RestoreConfig {
                vault: read.required("VAULT_NAME"),
                role: read.arn("RESTORE_ROLE_ARN"),
                drill_role: read.arn("DRILL_RESTORE_ROLE_ARN"),
                key: read.arn_or_off("RESTORE_KEY_ARN"),
                instance_profiles: read.word_or_off("INSTANCE_PROFILES", "backed-up"),
                region: read.region("AWS_REGION"),
            },
            bucket: read.required("PLAN_BUCKET"),
        };
        read.complete(settings)
    }
}
