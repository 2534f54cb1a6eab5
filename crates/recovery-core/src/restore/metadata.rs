//! The metadata of a restore, by the type of the resource.

use std::collections::BTreeMap;

use crate::plan::restore_metadata::{MetadataFacts, Place};
use crate::plan::{database, ebs, table};

/// The metadata for `StartRestoreJob`. `region` is this Region.
///
/// # Errors
/// The ARN of the KMS key of the primary Region, unless a key of this Region replaces it.
pub(super) fn metadata(
    facts: MetadataFacts<'_>,
    region: &str,
) -> Result<BTreeMap<String, String>, String> {
    match facts.place {
        Place::Zone(zone) => Ok(ebs::metadata(facts, zone)),
        Place::Database(place) => Ok(database::metadata(facts, place)),
        Place::Table(name) => table::metadata(facts, name, region),
    }
}
