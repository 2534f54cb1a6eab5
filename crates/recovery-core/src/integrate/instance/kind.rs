//! Instances, for the parts of the integration that all resource types share.

use crate::aws::instance::EC2;
use crate::integrate::kind::ResourceKind;
use crate::ops_item::INTEGRATION;

/// Operational data: the id of the instance.
pub(super) const IDENTIFIER: &str = "recovery:restored-instance";
/// Operational data: the target groups that it was registered with, or `none`.
pub(super) const REGISTERED: &str = "recovery:registered-with";
/// Operational data: its private address.
pub(super) const ADDRESS: &str = "recovery:address";
/// Operational data: seconds from the end of the restore job to the integration.
const SECONDS: &str = "recovery:seconds-to-integrate";

/// Instances that were restored from their images.
pub(crate) const INSTANCE: ResourceKind = ResourceKind {
    resource_types: &[EC2],
    noun: "instance",
    integrated: "integrated",
    state_key: INTEGRATION,
    integrating: "integrating",
    with: "with its workload",
    by_hand: "Integrate the instance",
    why: "The tags of the recovery point name its target groups and its addresses.",
    note: "The first read of each block of a volume is slow until EBS has loaded it from the image.",
    function: "instance-integrator",
    result_keys: &[IDENTIFIER, ADDRESS, REGISTERED, SECONDS],
    seconds_key: SECONDS,
};
