//! A restore, copy or backup job ended → it has one OpsItem.

use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::job_tracking::handle;

/// The function's environment: it needs none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings;

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[];

    /// Reads the environment.
    ///
    /// # Errors
    /// None, as there is nothing to read.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        recovery_lambda::Settings::from(variables).complete(Settings)
    }
}
