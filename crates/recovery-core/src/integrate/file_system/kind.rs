//! File systems, for the parts of the integration that all resource types share.

use crate::aws::file_system::FILE_SYSTEM_TYPES;
use crate::integrate::kind::ResourceKind;
use crate::integrate::mount::{MOUNT, MOUNTED, MOUNTING, SECONDS_TO_MOUNT};
use crate::ops_item::INTEGRATION;

/// Operational data: the id of the file system or volume.
pub(super) const IDENTIFIER: &str = "recovery:restored-file-system";
/// Operational data: where clients reach it.
pub(super) const ADDRESS: &str = "recovery:address";
/// Operational data: seconds from the end of the restore job to the integration.
const SECONDS: &str = "recovery:seconds-to-integrate";

/// File systems that clients can reach, and that have a mount point.
pub(crate) const MOUNTED_FILE_SYSTEM: ResourceKind = ResourceKind {
    integrated: MOUNTED,
    state_key: MOUNT,
    integrating: MOUNTING,
    with: "on its instances",
    by_hand: "Mount the file system",
    result_keys: &[SECONDS_TO_MOUNT],
    seconds_key: SECONDS_TO_MOUNT,
    ..FILE_SYSTEM
};

/// File systems of EFS and FSx, and volumes of FSx for ONTAP.
pub(crate) const FILE_SYSTEM: ResourceKind = ResourceKind {
    resource_types: FILE_SYSTEM_TYPES,
    noun: "file system",
    integrated: "integrated",
    state_key: INTEGRATION,
    integrating: "integrating",
    with: "with its workload",
    by_hand: "Integrate the file system",
    why: "The tags of the recovery point name its network and its addresses.",
    note: "The first read of each file of FSx is slow until it is loaded from the backup.",
    function: "file-system-integrator",
    result_keys: &[IDENTIFIER, ADDRESS, SECONDS],
    seconds_key: SECONDS,
};
