//! EBS volumes, for the parts of the integration that all resource types share.

use crate::aws::backup::EBS;
use crate::integrate::kind::ResourceKind;
use crate::integrate::mount::{MOUNT, MOUNTED, MOUNTING, SECONDS_TO_MOUNT};
use crate::ops_item::INTEGRATION;

/// Operational data: the volume of the attachment.
pub(super) const VOLUME: &str = "recovery:volume";
/// Operational data: the instance of the attachment.
pub(super) const INSTANCE: &str = "recovery:instance";
/// Operational data: the device name of the attachment.
pub(super) const DEVICE: &str = "recovery:device";
/// Operational data: the device name of the owner's tag, if EC2 has refused it.
pub(super) const REFUSED_DEVICE: &str = "recovery:refused-device";
/// Operational data: seconds from the end of the restore job to the attachment.
const SECONDS: &str = "recovery:seconds-to-attach";

/// EBS volumes that are attached and have a mount point.
pub(crate) const MOUNTED_VOLUME: ResourceKind = ResourceKind {
    integrated: MOUNTED,
    state_key: MOUNT,
    integrating: MOUNTING,
    with: "in its instance",
    by_hand: "Mount the volume",
    result_keys: &[SECONDS_TO_MOUNT],
    seconds_key: SECONDS_TO_MOUNT,
    ..EBS_VOLUME
};

/// EBS volumes.
pub(crate) const EBS_VOLUME: ResourceKind = ResourceKind {
    resource_types: &[EBS],
    noun: "volume",
    integrated: "attached",
    state_key: INTEGRATION,
    integrating: "attaching",
    with: "to its instance",
    by_hand: "Attach the volume",
    why: "The tags of the recovery point name this target.",
    note: "The first read of each block is slow until the volume is initialized.",
    function: "restore-integrator",
    result_keys: &[INSTANCE, DEVICE, SECONDS],
    seconds_key: SECONDS,
};
