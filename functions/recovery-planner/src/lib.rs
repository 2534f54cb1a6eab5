//! A workload's name → the plan of its recovery, kept in the bucket and, if small, in the answer.
//!
//! Takes `{"workload": "…", "mode": "recover"}` from a state machine or a person; more in
//! [`recovery_core::plan::request`].

use recovery_core::plan::run::PlannerConfig;
use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::plan::run::handle;

/// The function's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `VAULT_NAME` and `PLAN_BUCKET`: where recovery points are looked for and plans are kept.
    pub config: PlannerConfig,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &["PLAN_BUCKET", "VAULT_NAME"];

    /// Reads the environment.
    ///
    /// # Errors
    /// Everything that is missing.
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
