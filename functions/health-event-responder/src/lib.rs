//! Responds to an AWS Health event with an OpsItem, a notification and the recovery runbook, according to the policy.

pub use recovery_core::detect::run::handle_health as handle;
pub use recovery_lambda::ResponderSettings as Settings;
