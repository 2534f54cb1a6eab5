//! Verifies a recovery, reports it, and stops the execution if it is incomplete. The report is stored in the recovery
//! bucket and in the OpsItem, and operators are notified.
//!
//! The input is `{"do": "verify", "report" or "stop", …}`, from a state machine or a person: see
//! [`recovery_core::report::request`].

use recovery_core::report::Objectives;
use recovery_core::report::run::ReportConfig;
use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::report::run::handle;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `PLAN_BUCKET`, `RECOVERY_TIME_TARGET_MINUTES`, `RECOVERY_POINT_TARGET_MINUTES` (or `off`) and
    /// `DRILL_RESTORE_ROLE_ARN`: the bucket of plans and reports, the RTO and RPO, and the role that
    /// drills restore with.
    pub config: ReportConfig,
    /// `TOPIC_ARN`: the SNS topic of the operators, or `off`.
    pub topic: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[
        "DRILL_RESTORE_ROLE_ARN",
        "PLAN_BUCKET",
        "RECOVERY_POINT_TARGET_MINUTES",
        "RECOVERY_TIME_TARGET_MINUTES",
        "TOPIC_ARN",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            config: ReportConfig {
                bucket: read.required("PLAN_BUCKET"),
                objectives: Objectives {
                    rto_minutes: read.number_or_off("RECOVERY_TIME_TARGET_MINUTES"),
                    rpo_minutes: read.number_or_off("RECOVERY_POINT_TARGET_MINUTES"),
                },
                drill_role: read.arn("DRILL_RESTORE_ROLE_ARN"),
            },
            topic: read.topic_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}
