//! A restore, copy or backup job ended → it has one OpsItem.

use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::track::run::handle;

/// The function's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `DRILL_RESTORE_ROLE_ARN`: the role that drills, and nothing else, restore with.
    pub drill_role: String,
    /// `TOPIC_ARN`: the SNS topic for people, or `off`.
    pub topic: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &["DRILL_RESTORE_ROLE_ARN", "TOPIC_ARN"];

    /// Reads the environment.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            drill_role: read.arn("DRILL_RESTORE_ROLE_ARN"),
            topic: read.topic_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}
