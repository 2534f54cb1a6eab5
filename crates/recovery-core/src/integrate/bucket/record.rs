//! What the OpsItem of a restore job says about its bucket.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::aws::arn::OpsItemId;
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::bucket::Restored;
use crate::integrate::bucket::kind::{BUCKET, S3_BUCKET};
use crate::integrate::publish::{Publication, replaced_note};
use crate::integrate::record::{IntegrationResult, LEFT, result_change, shown_left};
use crate::ops_item::{INTEGRATION, OpsItem, OpsItemChange, Status, says};
use crate::outcome::Outcome;
use crate::plan::restore_metadata::stored;
use crate::text::code;

/// A bucket in which no object is missing.
pub(super) struct Complete<'a> {
    pub(super) bucket: &'a str,
    pub(super) restored: Restored,
    /// What the job was started with.
    pub(super) metadata: &'a BTreeMap<String, String>,
    pub(super) publication: Option<&'a Publication>,
    /// The parameters that this run replaced.
    pub(super) replaced: &'a [String],
    /// What a person must still do, as sentences.
    pub(super) left: Vec<String>,
}

/// The answer of the function. `item` is the id of the job's OpsItem, if it has one.
pub(super) fn answer(
    outcome: Outcome,
    bucket: &str,
    job: &RestoreJob,
    item: Option<&OpsItemId>,
) -> Outcome {
    outcome
        .with("restoreJobId", job.id.as_str())
        .with("bucket", bucket)
        .with_item(item)
}

fn records(item: &OpsItem, bucket: &str) -> bool {
    says(item, INTEGRATION, S3_BUCKET.integrated) && says(item, BUCKET, bucket)
}

/// Whether the item records that this bucket is complete, and nothing is left to do.
pub(super) fn records_all(item: &OpsItem, bucket: &str) -> bool {
    item.status == Status::Resolved && records(item, bucket)
}

impl Complete<'_> {
    /// Whether the item records this result.
    pub(super) fn is_recorded(&self, item: &OpsItem) -> bool {
        records(item, self.bucket) && says(item, LEFT, &shown_left(&self.left))
    }

    /// The change that records the result in the job's item, of which `item` is known.
    pub(super) fn change(
        &self,
        restore: &Restore,
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let published = match self.publication {
            Some(publication) => {
                format!("Its name is published below {}.", code(publication.path()))
            }
            None => "Its name is not published in parameters.".to_owned(),
        };
        let notes = std::iter::once(published)
            .chain(replaced_note(item, self.replaced))
            .chain([self.differences()])
            .collect();
        let what = match self.restored {
            Restored::NoObjects => "The recovery point contains no object for the bucket",
            Restored::Everything | Restored::Partial => "No object is missing in the bucket",
        };
        let result = IntegrationResult {
            continues: None,
            title: format!("Restored bucket {} complete", self.bucket),
            done: format!("{what} {}", code(self.bucket)),
            notes,
            left: self.left.clone(),
            data: vec![
                (BUCKET, self.bucket.to_owned()),
                (LEFT, shown_left(&self.left)),
            ],
        };
        result_change(&S3_BUCKET, restore, result, now)
    }

    /// How the restored objects differ from those of the source.
    fn differences(&self) -> String {
        let versions = match stored(self.metadata, "RestoreLatestVersionsUpTo") {
            None | Some("1") => "only the newest version of each was restored".to_owned(),
            Some("all") => "all versions were restored".to_owned(),
            Some(count) => format!("up to {} versions of each were restored", code(count)),
        };
        let acls = match stored(self.metadata, "RestoreACLs") {
            Some(word) if word.eq_ignore_ascii_case("false") => {
                ", and without access control lists, because the bucket or the backup has none"
            }
            _ => "",
        };
        format!(
            "Objects have new version ids and dates and the storage class Standard; {versions}{acls}. The policy of the bucket, its lifecycle, notifications, CORS and replication are those of its stack."
        )
    }
}
