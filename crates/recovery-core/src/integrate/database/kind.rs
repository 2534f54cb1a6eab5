//! Databases, for the parts of the integration that all resource types share.

use crate::aws::database::DATABASE_TYPES;
use crate::integrate::kind::ResourceKind;
use crate::ops_item::{INTEGRATION, OpsItem};

/// Operational data: the identifier of the database.
pub(super) const IDENTIFIER: &str = "recovery:restored-database";
/// Operational data: host and port of the database.
pub(crate) const ENDPOINT: &str = "recovery:endpoint";
/// Operational data: the settings that RDS accepts only after a backup, or `none`.
pub(super) const DEFERRED: &str = "recovery:deferred-settings";
/// Operational data: seconds from the end of the restore job to the integration.
const SECONDS: &str = "recovery:seconds-to-integrate";

/// Databases of RDS, Aurora, DocumentDB and Neptune.
pub(crate) const DATABASE: ResourceKind = ResourceKind {
    resource_types: DATABASE_TYPES,
    noun: "database",
    integrated: "integrated",
    state_key: INTEGRATION,
    integrating: "integrating",
    with: "with its workload",
    by_hand: "Integrate the database",
    why: "The tags of the recovery point name its instances, settings and addresses.",
    note: "The first read of each block is slow until the storage is initialized.",
    function: "database-integrator",
    result_keys: &[IDENTIFIER, ENDPOINT, SECONDS],
    seconds_key: SECONDS,
};

/// Whether the item records settings that RDS accepts later.
pub(crate) fn has_deferred_settings(item: &OpsItem) -> bool {
    item.data
        .get(DEFERRED)
        .is_some_and(|deferred| deferred != "none")
}
