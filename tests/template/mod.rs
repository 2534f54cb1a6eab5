//! `template.yaml` keeps its contract: rules with events, functions with packages and settings,
//! roles with what the adapters call, and nothing that fails is lost in silence. The templates of
//! `infra/` keep theirs: they forward what it asks for, and nothing twice.

mod backup_plan;
mod dashboard;
mod forwarding;
mod functions;
mod least_privilege;
mod names;
mod parameters;
pub(crate) mod permissions;
mod recovery_vault;
mod rules;
mod safety_net;
mod state_machines;
mod workload;
