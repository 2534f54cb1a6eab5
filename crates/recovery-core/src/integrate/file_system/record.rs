//! What the OpsItem of a restore job says about the integration and the mount of its file system.

use chrono::{DateTime, Utc};

use crate::aws::arn::OpsItemId;
use crate::aws::backup::{Restore, RestoreJob};
use crate::integrate::file_system::kind::{ADDRESS, FILE_SYSTEM, IDENTIFIER, MOUNTED_FILE_SYSTEM};
use crate::integrate::file_system::mount::{MountSource, WantedMount};
use crate::integrate::mount::answer::InstanceAnswer;
use crate::integrate::mount::record::Mount;
use crate::integrate::mount::request::MountType;
use crate::integrate::mount::{MOUNT, MOUNTED, MOUNTING};
use crate::integrate::publish::{Publication, replaced_note};
use crate::integrate::record::{IntegrationResult, LEFT, result_change, shown_left};
use crate::ops_item::{INTEGRATION, OpsItem, OpsItemChange, Status, says};
use crate::outcome::Outcome;
use crate::text::{code, first_few, shown};

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
    /// How instances mount it; `None` if AWS does not say that.
    pub(super) mount: Option<MountSource>,
    /// Whether this run changed it.
    pub(super) acted: bool,
}

/// An integrated file system.
pub(super) struct Integrated<'a> {
    pub(super) reachable: &'a Reachable,
    pub(super) publication: Option<&'a Publication>,
    /// The parameters that this run replaced.
    pub(super) replaced: &'a [String],
    /// The mount that follows.
    pub(super) mount: Option<&'a WantedMount>,
}

/// Whether the item records that this file system is integrated, and mounted if that is wanted, and nothing is left to
/// do.
pub(super) fn records_all(item: &OpsItem, reachable: &Reachable, mounts: bool) -> bool {
    item.status == Status::Resolved
        && records(item, reachable)
        && (!mounts || says(item, MOUNT, MOUNTED))
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
    named(outcome, reachable, job, item)
}

/// The outcome with what it is about.
pub(super) fn named(
    outcome: Outcome,
    reachable: &Reachable,
    job: &RestoreJob,
    item: Option<&OpsItemId>,
) -> Outcome {
    outcome
        .with("restoreJobId", job.id.as_str())
        .with("fileSystemId", &reachable.id)
        .with("address", &reachable.address)
        .with_item(item)
}

impl Integrated<'_> {
    /// Whether the item records this result, and how the mount that follows stands.
    pub(super) fn is_recorded(&self, item: &OpsItem) -> bool {
        records(item, self.reachable)
            && says(item, LEFT, &shown_left(&self.reachable.left))
            && (self.mount.is_none() || item.data.contains_key(MOUNT))
    }

    /// Whether the item records this result, and that the file system is mounted.
    pub(super) fn is_recorded_as_mounted(&self, item: &OpsItem) -> bool {
        self.is_recorded(item) && says(item, MOUNT, MOUNTED)
    }

    /// The change that records the result in the job's item, of which `item` is known.
    pub(super) fn change(
        &self,
        restore: &Restore,
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let Reachable { id, left, .. } = self.reachable;
        let mut data = self.data();
        data.extend(self.mount.map(|_| (MOUNT, MOUNTING.to_owned())));
        let result = IntegrationResult {
            continues: self.mount.map(continues),
            title: format!("Restored file system {id} integrated"),
            done: self.reached(),
            notes: self.notes(item),
            left: left.clone(),
            data,
        };
        let mut change = result_change(&FILE_SYSTEM, restore, result, now);
        // Also if it was mounted before, and is mounted again: an item that is resolved is not continued.
        if self.mount.is_some() && item.is_some() {
            change.status = Some(Status::Open);
        }
        change
    }

    /// The change that records in the job's item, of which `item` is known, that the file system is mounted.
    pub(super) fn mounted_change(
        &self,
        restore: &Restore,
        (mount, answers): (&WantedMount, &[InstanceAnswer]),
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let Reachable { id, left, .. } = self.reachable;
        let on = match answers {
            [only] => shown(&only.instance_id),
            all => format!("{} instances", all.len()),
        };
        let mut data = self.data();
        data.push((INTEGRATION, FILE_SYSTEM.integrated.to_owned()));
        let source = &mount.source;
        let point = source.access_point.as_deref();
        data.push(Mount::of(source.mount_type, &mount.path, point, answers).data());
        let mut notes = self.notes(item);
        notes.extend(unencrypted(answers));
        let result = IntegrationResult {
            continues: None,
            title: format!(
                "Restored file system {id} mounted at {} on {on}",
                mount.path
            ),
            done: format!(
                "{}, and is mounted at {} on {}, now and at each boot",
                self.reached(),
                code(&mount.path),
                listed(answers)
            ),
            notes,
            left: left.clone(),
            data,
        };
        result_change(&MOUNTED_FILE_SYSTEM, restore, result, now)
    }

    /// Where clients reach it, as a sentence without its full stop.
    fn reached(&self) -> String {
        let Reachable {
            id, noun, address, ..
        } = self.reachable;
        format!(
            "The {noun} {} can be reached at {}",
            code(id),
            code(address)
        )
    }

    fn data(&self) -> Vec<(&'static str, String)> {
        let Reachable {
            id, address, left, ..
        } = self.reachable;
        vec![
            (IDENTIFIER, id.clone()),
            (ADDRESS, address.clone()),
            (LEFT, shown_left(left)),
        ]
    }

    /// What else an operator should know.
    fn notes(&self, item: Option<&OpsItem>) -> Vec<String> {
        let published = match self.publication {
            Some(publication) => format!(
                "Its addresses are published below {}.",
                code(publication.path())
            ),
            None => "Its addresses are not published in parameters.".to_owned(),
        };
        let lost = self.reachable.lost;
        std::iter::once(published)
            .chain(replaced_note(item, self.replaced))
            .chain([format!("A restore loses settings. Check: {lost}.")])
            .collect()
    }
}

/// What follows by itself, as sentences.
fn continues(mount: &WantedMount) -> String {
    let first = match mount.source.mount_type {
        MountType::Efs => {
            " Before that, it finds the directory with the restored files, and an access point to it is created, unless there is one."
        }
        _ => "",
    };
    format!(
        "The runbook MountFileSystem mounts it at {} on {}. It waits for the agents of the instances, at most 36 minutes.{first}",
        code(&mount.path),
        code(&mount.server)
    )
}

/// The instances within a sentence.
fn listed(answers: &[InstanceAnswer]) -> String {
    let shown = |answer: &InstanceAnswer| {
        let transport = answer.transport.as_deref().unwrap_or_default();
        match transport {
            "" => code(&answer.instance_id),
            transport => format!("{} ({})", code(&answer.instance_id), code(transport)),
        }
    };
    first_few(answers.iter().map(shown))
}

/// A note about instances that mount EFS without encryption.
fn unencrypted(answers: &[InstanceAnswer]) -> Option<String> {
    let count = answers
        .iter()
        .filter(|answer| answer.transport.as_deref() == Some("nfs"))
        .count();
    (count > 0).then(|| {
        format!(
            "The traffic of {count} of {} instances to it is not encrypted, because efs-utils is not installed.",
            answers.len()
        )
    })
}
