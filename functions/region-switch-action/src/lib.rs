//! Runs the recovery of the workload as one step of an ARC Region switch plan, in one execution of the state machine.
//!
//! The input is that of a custom action Lambda block: `{"PlanArn": "…", "ExecutionId": "…", …}`. The plan may add
//! `{"action": "activate", "region": "…"}`.

use recovery_core::fail_over::run_region_switch::RegionSwitchConfig;
use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::fail_over::run_region_switch::handle;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `STATE_MACHINE_ARN`: the state machine of the recovery.
    pub state_machine: String,
    /// `RECOVERY_WORKLOAD` and `AWS_REGION`.
    pub config: RegionSwitchConfig,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &["RECOVERY_WORKLOAD", "STATE_MACHINE_ARN"];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            state_machine: read.arn("STATE_MACHINE_ARN"),
            config: RegionSwitchConfig {
                workload: read.workload("RECOVERY_WORKLOAD"),
                region: read.region("AWS_REGION"),
            },
        };
        read.complete(settings)
    }
}
