//! AWS Health event → incident: an OpsItem, a message to people, the recovery runbook, as the
//! owner's policy says.

use recovery_core::respond::{Policy, Response};
use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::response::handle;

/// The function's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `PRIMARY_REGION`, `AWS_REGION`, `RESPONSES` and `RECOVERY_RUNBOOK`: what the owner chose.
    pub policy: Policy,
    /// `TOPIC_ARN`: the SNS topic for people, or `off`.
    pub topic: Option<String>,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[
        "PRIMARY_REGION",
        "RECOVERY_RUNBOOK",
        "RESPONSES",
        "TOPIC_ARN",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// Everything that is missing or wrong.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            policy: Policy {
                primary_region: read.required("PRIMARY_REGION"),
                recovery_region: read.required("AWS_REGION"),
                responses: read.required_list(
                    "RESPONSES",
                    "track, notify or recover, separated by commas",
                    Response::parse,
                ),
                runbook: read.required_or_off("RECOVERY_RUNBOOK"),
            },
            topic: read.required_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}
