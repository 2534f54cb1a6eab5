//! Keeps one OpsItem for each restore, copy or backup job that ended.

use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::track::run::handle;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `DRILL_RESTORE_ROLE_ARN`: the role that only drills restore with.
    pub drill_role: String,
    /// `TOPIC_ARN`: the SNS topic of the operators, or `off`.
    pub topic: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &["DRILL_RESTORE_ROLE_ARN", "TOPIC_ARN"];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            drill_role: read.arn("DRILL_RESTORE_ROLE_ARN"),
            topic: read.topic_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}
