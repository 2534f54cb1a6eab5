//! `template.yaml` is consistent: rules with events, functions with packages and settings, roles with
//! the calls of the adapters, and no failure is lost unnoticed. The templates of `infra/` forward
//! exactly the events that it needs.

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
