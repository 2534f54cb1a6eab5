//! Connects restored resources to the infrastructure of the recovery Region.
//!
//! | file | for all resource types |
//! |---|---|
//! | [`kind`] | what differs between types in the parts that they share |
//! | [`skip`], `run_job` | which restores are integrated |
//! | `run_tags` | the tags of the recovery point |
//! | [`target`], [`auto_scaling`], `run_target` | the instance that the tags name |
//! | [`refusal`], [`record`], `run_record` | refusals, failures and results in the OpsItem of the job |
//! | [`mount`] | paths in the guest operating system, by a runbook |
//! | [`publish`], `run_publish` | addresses in parameters of Systems Manager |
//! | [`run_reconcile`] | restores whose event was lost or came too early; of volumes only |
//!
//! Each type has a folder: [`database`], [`file_system`], [`table`], [`volume`].

pub mod auto_scaling;
pub(crate) mod backoff;
pub mod database;
pub mod file_system;
pub mod kind;
pub mod mount;
pub mod publish;
pub mod record;
pub mod refusal;
pub mod run_invoke;
mod run_job;
mod run_publish;
pub mod run_reconcile;
mod run_record;
mod run_tags;
pub(crate) mod run_target;
pub mod skip;
pub mod table;
pub mod target;
pub mod volume;
