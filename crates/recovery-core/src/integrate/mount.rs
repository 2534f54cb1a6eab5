//! Mounts restored volumes and file systems in their instances, by the runbook `MountFileSystem`
//! (`infra/runbooks/mount-file-system.yaml`).
//!
//! A [`MountRequest`](request::MountRequest) says what is mounted where. [`run::follow`] starts the runbook, once,
//! and says how it ended. An execution takes up to 45 minutes, because it waits for the agents of the instances:
//! until it has ended, the answer is pending.
//!
//! The OpsItem of the restore job records each execution (see `executions`), and what is mounted where (see
//! [`record`]), which the report shows.

use crate::integrate::kind::FAILING;
use crate::ops_item::{OpsItem, says};

pub mod answer;
pub(crate) mod executions;
pub mod record;
pub mod refusal;
pub mod request;
pub mod run;

/// Operational data: whether what is integrated is mounted: `mounting`, `mounted`, `refused` or `failing`.
pub(crate) const MOUNT: &str = "recovery:mount";
/// Operational data: seconds from the end of the restore job to the mount.
pub(crate) const SECONDS_TO_MOUNT: &str = "recovery:seconds-to-mount";
/// The value of [`MOUNT`] while the mount continues.
pub(crate) const MOUNTING: &str = "mounting";
/// The value of [`MOUNT`] when it has ended.
pub(crate) const MOUNTED: &str = "mounted";

/// Whether the item records a mount that continues, or that failed and is retried.
pub(crate) fn is_unfinished(item: &OpsItem) -> bool {
    says(item, MOUNT, MOUNTING) || says(item, MOUNT, FAILING)
}
