//! Makes the recovery plan of a workload, and stores it in the recovery bucket. The answer contains a small plan, too.
//!
//! The input is `{"workload": "…", "mode": "recover"}`, from a state machine or a person: see
//! [`recovery_core::plan::request`].

use recovery_core::plan::run::PlannerConfig;
use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::plan::run::handle;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `VAULT_NAME` and `PLAN_BUCKET`: the vault with the recovery points, and the bucket for plans.
    pub config: PlannerConfig,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &["PLAN_BUCKET", "VAULT_NAME"];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            config: PlannerConfig {
                vault: read.required("VAULT_NAME"),
                bucket: read.required("PLAN_BUCKET"),
            },
        };
        read.complete(settings)
    }
}
