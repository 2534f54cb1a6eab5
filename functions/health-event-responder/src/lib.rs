//! AWS Health event → incident: an OpsItem, a message to people, the recovery runbook, as the
//! owner's policy says.

pub use recovery_core::detect::run::handle_health as handle;
pub use recovery_lambda::ResponderSettings as Settings;
