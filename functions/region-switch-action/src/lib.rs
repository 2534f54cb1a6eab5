//! A step of a plan of ARC Region switch → the whole recovery of the workload, as one execution of the
//! state machine.
//!
//! Takes what a custom action Lambda block passes: `{"PlanArn": "…", "ExecutionId": "…", …}`, and what
//! the owner adds to it: `{"action": "activate", "region": "…"}`.

use recovery_core::fail_over::run_region_switch::RegionSwitchConfig;
use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::fail_over::run_region_switch::handle;

/// The function's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `STATE_MACHINE_ARN`: what recovers.
    pub state_machine: String,
    /// `RECOVERY_WORKLOAD`, and Lambda's `AWS_REGION`: what is recovered, and where.
    pub config: RegionSwitchConfig,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &["RECOVERY_WORKLOAD", "STATE_MACHINE_ARN"];

    /// Reads the environment.
    ///
    /// # Errors
    /// Everything that is missing or wrong.
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
