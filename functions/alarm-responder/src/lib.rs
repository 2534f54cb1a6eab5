//! Responds to a CloudWatch alarm with an OpsItem, a notification and the recovery runbook, according to the policy. The
//! rule in template.yaml selects the alarms.

pub use recovery_core::detect::run::handle_alarm as handle;
pub use recovery_lambda::ResponderSettings as Settings;
