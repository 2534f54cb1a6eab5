//! The settings that health-event-responder and alarm-responder share.

use recovery_core::detect::{Policy, Response};

use crate::settings::{Settings, SettingsError, Variables};

/// The settings of the functions that respond to a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponderSettings {
    /// `PRIMARY_REGION`, `AWS_REGION`, `RESPONSES`, `RECOVERY_RUNBOOK` and `OTHER_RUNBOOKS`.
    pub policy: Policy,
    /// `TOPIC_ARN`: the SNS topic of the operators, or `off`.
    pub topic: Option<String>,
}

impl ResponderSettings {
    /// The variables that template.yaml sets for these functions.
    pub const NAMES: &'static [&'static str] = &[
        "OTHER_RUNBOOKS",
        "PRIMARY_REGION",
        "RECOVERY_RUNBOOK",
        "RESPONSES",
        "TOPIC_ARN",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<ResponderSettings, SettingsError> {
        let mut read = Settings::from(variables);
        let settings = ResponderSettings {
            policy: Policy {
                primary_region: read.region("PRIMARY_REGION"),
                recovery_region: read.region("AWS_REGION"),
                responses: read.required_list(
                    "RESPONSES",
                    "track, notify or recover, separated by commas",
                    Response::parse,
                ),
                runbook: read.runbook_or_off("RECOVERY_RUNBOOK"),
                other_runbooks: read.runbooks("OTHER_RUNBOOKS"),
            },
            topic: read.topic_or_off("TOPIC_ARN"),
        };
        read.complete(settings)
    }
}
