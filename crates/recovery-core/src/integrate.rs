//! Connects restored resources to the infrastructure of the recovery Region.

pub mod auto_scaling;
pub mod run_reconcile;
pub mod volume;
