//! The metadata of a restore, by the type of the resource.

use std::collections::BTreeMap;

use crate::plan::restore_metadata::{FileSystemPlace, MetadataFacts, Place};
use crate::plan::{database, ebs, file_system, table};
use crate::restore::refusal::StartRefusal;

/// The metadata for `StartRestoreJob`. `region` is this Region.
///
/// # Errors
/// A [`StartRefusal`] if the resource cannot be restored as it was.
pub(super) fn metadata(
    facts: MetadataFacts<'_>,
    region: &str,
) -> Result<BTreeMap<String, String>, StartRefusal> {
    match facts.place {
        Place::Zone(zone) => Ok(ebs::metadata(facts, zone)),
        Place::Database(place) => Ok(database::metadata(facts, place)),
        Place::Table(name) => {
            table::metadata(facts, name, region).map_err(StartRefusal::KeyElsewhere)
        }
        Place::FileSystem(FileSystemPlace::Efs) => {
            Ok(file_system::efs_metadata(facts, facts.token))
        }
        Place::FileSystem(FileSystemPlace::Fsx(place)) => {
            file_system::fsx_metadata(facts, place).map_err(StartRefusal::FileSystem)
        }
        Place::FileSystem(FileSystemPlace::Volume { machine }) => {
            Ok(file_system::volume_metadata(facts, machine, facts.token))
        }
    }
}
