//! Adapters from the ports of `recovery-core` to the AWS SDK: translate, take every page, classify
//! errors. No decision is made here.
//!
//! This is the only crate of the deployed system that names the SDK. One file per service; each
//! adapter lists the IAM actions it needs beside its calls. `adapters.rs` has the ports of each phase.

mod adapters;
mod auto_scaling;
mod backup;
mod client;
mod cloudformation;
mod dynamodb;
mod ec2;
mod efs;
mod error;
mod fsx;
mod lambda;
mod mount_runbook;
mod parameter_store;
mod rds;
mod recovery_point_tags;
mod routing_cluster;
mod s3;
mod sns;
mod ssm;
mod state_machine;
mod tagging;
#[cfg(test)]
mod wire;

pub use adapters::{
    DatabaseAdapters, FileSystemAdapters, IntegrationAdapters, PlanningAdapters,
    ReconciliationAdapters, ReportingAdapters, ResponseAdapters, StartingAdapters, TableAdapters,
    TrackingAdapters, ValidationAdapters,
};
pub use auto_scaling::AutoScaling;
pub use backup::Backup;
pub use client::{Config, load_config};
pub use cloudformation::CloudFormation;
pub use dynamodb::DynamoDb;
pub use ec2::Ec2;
pub use efs::Efs;
pub use fsx::Fsx;
pub use lambda::Invoker;
pub use mount_runbook::MountRunner;
pub use parameter_store::ParameterStore;
pub use rds::Rds;
pub use routing_cluster::RoutingCluster;
pub use s3::PlanBucket;
pub use sns::Topic;
pub use ssm::{OpsCenter, RunbookRunner};
pub use state_machine::StateMachine;
pub use tagging::Tagging;
