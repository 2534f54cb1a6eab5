//! What the OpsItem of a restore job says about the integration of its file system.

use chrono::{DateTime, Utc};

use crate::aws::arn::OpsItemId;
use crate::aws::backup::{Restore, RestoreJob};
use crate::integrate::file_system::kind::{ADDRESS, FILE_SYSTEM, IDENTIFIER};
use crate::integrate::publish::{Publication, replaced_note};
use crate::integrate::record::{IntegrationResult, LEFT, result_change, shown_left};
use crate::ops_item::{INTEGRATION, OpsItem, OpsItemChange, Status, says};
use crate::outcome::Outcome;
use crate::text::code;

/// A file system that clients can reach.
#[derive(Debug)]
pub(super) struct Reachable {
    /// Its id, or that of the volume.
    pub(super) id: String,
    /// What it is, in a sentence: `EFS file system`.
    pub(super) noun: &'static str,
    /// Where clients reach it.
    pub(super) address: String,
    /// The values to publish, by the last part of the names of their parameters.
    pub(super) values: Vec<(&'static str, String)>,
    /// Settings that a restore loses, as a list.
    pub(super) lost: &'static str,
    /// What a person must still do, as sentences.
    pub(super) left: Vec<String>,
    /// Whether this run changed it.
    pub(super) acted: bool,
}

/// An integrated file system.
pub(super) struct Integrated<'a> {
    pub(super) reachable: &'a Reachable,
    pub(super) publication: Option<&'a Publication>,
    /// The parameters that this run replaced.
    pub(super) replaced: &'a [String],
}

/// Whether the item records that this file system is integrated, and nothing is left to do.
pub(super) fn records_all(item: &OpsItem, reachable: &Reachable) -> bool {
    item.status == Status::Resolved && records(item, reachable)
}

fn records(item: &OpsItem, reachable: &Reachable) -> bool {
    says(item, INTEGRATION, FILE_SYSTEM.integrated)
        && says(item, IDENTIFIER, &reachable.id)
        && says(item, ADDRESS, &reachable.address)
}

/// The answer of the function. `item` is the id of the job's OpsItem, if it has one.
pub(super) fn outcome(
    by_this_run: bool,
    reachable: &Reachable,
    job: &RestoreJob,
    item: Option<&OpsItemId>,
) -> Outcome {
    let outcome = match by_this_run {
        true => Outcome::integrated(),
        false => Outcome::already_integrated(),
    };
    outcome
        .with("restoreJobId", job.id.as_str())
        .with("fileSystemId", &reachable.id)
        .with("address", &reachable.address)
        .with_item(item)
}

impl Integrated<'_> {
    /// Whether the item records this result.
    pub(super) fn is_recorded(&self, item: &OpsItem) -> bool {
        records(item, self.reachable) && says(item, LEFT, &shown_left(&self.reachable.left))
    }

    /// The change that records the result in the job's item, of which `item` is known.
    pub(super) fn change(
        &self,
        restore: &Restore,
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let Reachable {
            id,
            noun,
            address,
            lost,
            left,
            ..
        } = self.reachable;
        let published = match self.publication {
            Some(publication) => format!(
                "Its addresses are published below {}.",
                code(publication.path())
            ),
            None => "Its addresses are not published in parameters.".to_owned(),
        };
        let notes = std::iter::once(published)
            .chain(replaced_note(item, self.replaced))
            .chain([format!("A restore loses settings. Check: {lost}.")])
            .collect();
        let result = IntegrationResult {
            continues: None,
            title: format!("Restored file system {id} integrated"),
            done: format!(
                "The {noun} {} can be reached at {}",
                code(id),
                code(address)
            ),
            notes,
            left: left.clone(),
            data: vec![
                (IDENTIFIER, id.clone()),
                (ADDRESS, address.clone()),
                (LEFT, shown_left(left)),
            ],
        };
        result_change(&FILE_SYSTEM, restore, result, now)
    }
}
