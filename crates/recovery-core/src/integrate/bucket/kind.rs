//! S3 buckets, for the parts of the integration that all resource types share.

use crate::aws::bucket::S3;
use crate::integrate::kind::ResourceKind;
use crate::ops_item::INTEGRATION;

/// Operational data: the name of the bucket.
pub const BUCKET: &str = "recovery:restored-bucket";
/// Operational data: seconds from the end of the restore job to its check.
const SECONDS: &str = "recovery:seconds-to-check";
/// What the OpsItem records under [`INTEGRATION`] if objects are missing. Only another restore job adds them.
pub(crate) const PARTIAL: &str = "partial";

/// S3 buckets.
pub(crate) const S3_BUCKET: ResourceKind = ResourceKind {
    resource_types: &[S3],
    noun: "bucket",
    integrated: "complete",
    state_key: INTEGRATION,
    integrating: "checking",
    with: "with the objects of its recovery point",
    by_hand: "Check the bucket",
    why: "AWS Backup reports no missing object.",
    note: "The bucket can be used.",
    function: "bucket-integrator",
    result_keys: &[BUCKET, SECONDS],
    seconds_key: SECONDS,
};
