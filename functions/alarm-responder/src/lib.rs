//! CloudWatch alarm → incident: an OpsItem, a message to people, the recovery runbook, as the
//! owner's policy says. Which alarms count is for the rule in template.yaml to say.

pub use recovery_core::detect::run::handle_alarm as handle;
pub use recovery_lambda::ResponderSettings as Settings;
