//! What became of each item of the plan, by its restore job and its volume.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::aws::arn::VolumeId;
use crate::aws::backup::RestoreJob;
use crate::aws::ec2::{Attachment, AttachmentState, Volume};
use crate::plan::item::Item;
use crate::plan::recovery_plan::Plan;
use crate::plan::request::Mode;
use crate::report::problem::Problem;
use crate::text;

/// What was observed: the jobs of each recovery point, and their volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    jobs: HashMap<String, Jobs>,
    volumes: HashMap<VolumeId, Volume>,
}

/// The restore jobs of one recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Jobs {
    /// The one that counts.
    best: RestoreJob,
    /// Others that failed.
    failed: Vec<RestoreJob>,
}

impl Jobs {
    /// Keeps the better one, and of the other that it failed.
    fn add(&mut self, job: RestoreJob) {
        // Pages may overlap.
        if self.best.id == job.id || self.failed.iter().any(|failed| failed.id == job.id) {
            return;
        }
        let other = if job.rank() > self.best.rank() {
            std::mem::replace(&mut self.best, job)
        } else {
            job
        };
        if other.has_failed() {
            self.failed.push(other);
        }
    }

    /// Those that had failed when the one that counts was created, the first first.
    fn failed_before(&self) -> Vec<&RestoreJob> {
        let before =
            |job: &&RestoreJob| job.completed.is_some() && job.completed <= self.best.created;
        let mut failed: Vec<&RestoreJob> = self.failed.iter().filter(before).collect();
        failed.sort_by_key(|job| (job.created, job.id.as_str()));
        failed
    }
}

impl Observed {
    /// Keeps a job if it belongs to a recovery of this mode, and it is the best of its recovery point or
    /// failed. Jobs of recovery points that are not in the plan do no harm.
    pub fn add_job(&mut self, job: RestoreJob, mode: Mode, drill_role: &str) {
        let Some(point) = job.recovery_point.as_ref().map(ToString::to_string) else {
            return;
        };
        if !job.belongs_to(mode, drill_role) {
            return;
        }
        match self.jobs.entry(point) {
            Entry::Occupied(mut jobs) => jobs.get_mut().add(job),
            Entry::Vacant(place) => {
                let (best, failed) = (job, Vec::new());
                place.insert(Jobs { best, failed });
            }
        }
    }

    /// Keeps a volume.
    pub fn add_volume(&mut self, volume: Volume) {
        self.volumes.insert(volume.id.clone(), volume);
    }

    /// The volumes that the jobs of this plan made, each once.
    pub fn volumes_of(&self, plan: &Plan) -> Vec<VolumeId> {
        let mut ids: Vec<VolumeId> = plan
            .items()
            .filter_map(|item| self.jobs.get(&item.recovery_point_arn))
            .map(|jobs| &jobs.best)
            .filter(|job| job.is_completed())
            .filter_map(RestoreJob::created_volume)
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// An item of the plan with its job and volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced<'a> {
    pub item: &'a Item,
    /// Its job.
    pub job: Option<&'a RestoreJob>,
    /// Jobs that failed before that one was created.
    pub failed_before: Vec<&'a RestoreJob>,
    /// The volume that the job made.
    pub volume: Option<VolumeId>,
    /// How that is attached.
    pub attachment: Option<&'a Attachment>,
    /// What is left to do.
    pub unfinished: Option<Unfinished>,
}

impl Traced<'_> {
    /// The subjects that a problem of this item may have.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [
            Some(self.item.resource_arn.as_str()),
            Some(self.item.recovery_point_arn.as_str()),
            self.job.map(|job| job.id.as_str()),
            self.volume.as_ref().map(VolumeId::as_str),
        ]
        .into_iter()
        .flatten()
    }
}

/// Why an item is not restored and attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The step that is left: `start`, `restore` or `integrate`.
    pub step: &'static str,
    pub resource: String,
    /// The reason code, in kebab case.
    pub reason: &'static str,
    /// What was found.
    pub why: String,
    /// What fixes it.
    pub remedy: &'static str,
}

impl Unfinished {
    /// As a problem of the report.
    pub fn problem(&self) -> Problem {
        Problem {
            step: self.step.to_owned(),
            subject: self.resource.clone(),
            reason: self.reason.to_owned(),
            why: self.why.clone(),
            remedy: Some(self.remedy.to_owned()),
        }
    }
}

/// Each item of the plan with its job and volume, in the plan's order.
pub fn trace<'a>(plan: &'a Plan, observed: &'a Observed) -> Vec<Traced<'a>> {
    plan.items()
        .map(|item| {
            let jobs = observed.jobs.get(&item.recovery_point_arn);
            let job = jobs.map(|jobs| &jobs.best);
            let volume = job
                .filter(|job| job.is_completed())
                .and_then(RestoreJob::created_volume);
            let seen = volume.as_ref().and_then(|id| observed.volumes.get(id));
            let attachment = seen.and_then(|seen| {
                let mut attachments = seen.attachments.iter();
                attachments.find(|attachment| attachment.state == AttachmentState::Attached)
            });
            let unfinished =
                left(job, volume.as_ref(), seen, attachment).map(|(step, reason, why, remedy)| {
                    Unfinished {
                        step,
                        resource: item.resource_arn.clone(),
                        reason,
                        why,
                        remedy,
                    }
                });
            Traced {
                item,
                job,
                failed_before: jobs.map_or_else(Vec::new, Jobs::failed_before),
                volume,
                attachment,
                unfinished,
            }
        })
        .collect()
}

type Left = (&'static str, &'static str, String, &'static str);

/// What is left to do: step, reason code, what was found, and what fixes it.
fn left(
    job: Option<&RestoreJob>,
    volume: Option<&VolumeId>,
    seen: Option<&Volume>,
    attachment: Option<&Attachment>,
) -> Option<Left> {
    const AGAIN: &str =
        "Read the OpsItem of its restore job, fix the cause, then redrive the execution.";
    let Some(job) = job else {
        return Some((
            "start",
            "not-started",
            "no restore job exists for its recovery point".to_owned(),
            "Redrive the execution: this starts the restore.",
        ));
    };
    if !job.is_completed() {
        let status = job.status.as_deref().unwrap_or_default();
        let (reason, remedy) = match status {
            "FAILED" => (
                "restore-failed",
                "Read the job's message. Usual causes are a key, a quota or the restore role. Fix it, then redrive the execution.",
            ),
            "ABORTED" => (
                "restore-aborted",
                "Redrive the execution: this starts another restore job.",
            ),
            _ => (
                "restore-running",
                "Wait until the job has ended, then redrive the execution.",
            ),
        };
        let said = match &job.status_message {
            Some(message) if !message.trim().is_empty() => {
                format!(": {}", text::within(&text::one_line(message), 600))
            }
            _ => String::new(),
        };
        return Some((
            "restore",
            reason,
            format!(
                "restore job {} is {}{said}",
                text::shown(job.id.as_str()),
                text::shown(status),
            ),
            remedy,
        ));
    }
    let Some(volume) = volume else {
        return Some((
            "integrate",
            "no-volume",
            format!(
                "restore job {} names no volume",
                text::shown(job.id.as_str())
            ),
            AGAIN,
        ));
    };
    if attachment.is_some() {
        return None;
    }
    Some(match seen {
        None => (
            "integrate",
            "volume-gone",
            format!("volume {volume} does not exist in EC2"),
            "Restore the recovery point again and attach the volume by hand.",
        ),
        Some(seen) => match seen.attachments.first() {
            Some(half) => (
                "integrate",
                "not-attached-yet",
                format!(
                    "{volume} is {} at {}",
                    text::shown(half.state.as_str()),
                    half.instance
                ),
                "Check the volume and its instance in EC2, then redrive the execution.",
            ),
            None => (
                "integrate",
                "not-attached",
                format!(
                    "{volume} is {} and not attached to an instance",
                    text::shown(seen.state.as_str())
                ),
                AGAIN,
            ),
        },
    })
}
