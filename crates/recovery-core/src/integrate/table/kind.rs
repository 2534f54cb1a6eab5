//! DynamoDB tables, for the parts of the integration that all resource types share.

use crate::aws::table::DYNAMODB;
use crate::integrate::kind::ResourceKind;
use crate::ops_item::INTEGRATION;

/// Operational data: the table. Another table of the same name has another ARN or id.
pub(super) const TABLE: &str = "recovery:table";
/// Operational data: the id of the table.
pub(super) const TABLE_ID: &str = "recovery:table-id";
/// Operational data: the ARN of the table's stream.
pub(super) const STREAM: &str = "recovery:stream";
/// Operational data: seconds from the end of the restore job to the last setting.
const SECONDS: &str = "recovery:seconds-to-configure";

/// DynamoDB tables.
pub(crate) const DYNAMODB_TABLE: ResourceKind = ResourceKind {
    resource_types: &[DYNAMODB],
    noun: "table",
    integrated: "configured",
    state_key: INTEGRATION,
    integrating: "configuring",
    with: "with its settings",
    by_hand: "Configure the table",
    why: "The tags of the recovery point name its settings and its address.",
    note: "The table can be used.",
    function: "table-integrator",
    result_keys: &[TABLE_ID, STREAM, SECONDS],
    seconds_key: SECONDS,
};
