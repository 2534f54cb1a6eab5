//! What became of each item of the plan, by its restore job and its restored resource.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::arn::{Arn, OpsItemId, RestoreJobId, VolumeId};
use crate::aws::backup::RestoreJob;
use crate::aws::bucket::Restored;
use crate::aws::database::{DbCluster, DbInstance};
use crate::aws::ec2::{Attachment, AttachmentState, InstanceState, Volume};
use crate::aws::file_system::{EfsFileSystem, FsxFileSystem, FsxVolume, MountTarget};
use crate::aws::instance::Server;
use crate::aws::table::{Table, TableStatus};
use crate::integrate::mount::record::Mount;
use crate::plan::item::{BucketTarget, Item, Target};
use crate::plan::recovery_plan::Plan;
use crate::plan::request::Mode;
use crate::report::problem::Problem;
use crate::tags::PREFIXES;
use crate::text;

/// What was observed: the jobs of each recovery point, and what they restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    jobs: HashMap<String, Jobs>,
    volumes: HashMap<VolumeId, Volume>,
    stores: HashMap<Arn, Store>,
    /// How long after the end of their jobs databases and tables were integrated.
    integrated: HashMap<RestoreJobId, TimeDelta>,
    /// Where the volumes and file systems of jobs are mounted.
    mounts: HashMap<RestoreJobId, Mount>,
    /// The volumes and file systems of jobs that are not mounted: what the integration records of the mount.
    unmounted: HashMap<RestoreJobId, String>,
    /// The OpsItems of jobs that are open.
    open_items: HashMap<RestoreJobId, OpsItemId>,
}

/// A database or table, as its service shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Its status, in the words of its service.
    pub status: String,
    /// What keeps applications from using it.
    pub hindrance: Option<String>,
    /// Where applications reach it.
    pub endpoint: Option<String>,
}

impl Store {
    /// A DB instance.
    pub fn of_instance(instance: &DbInstance) -> Store {
        let is_usable = instance.status.is_reachable() && instance.endpoint.is_some();
        Store {
            status: instance.status.to_string(),
            hindrance: (!is_usable).then(|| format!("it is {}", instance.status)),
            endpoint: instance.endpoint.as_ref().map(endpoint),
        }
    }

    /// A DB cluster and its instances. Without an instance that is reachable, it serves nobody.
    pub fn of_cluster(cluster: &DbCluster, instances: &[DbInstance]) -> Store {
        let hindrance = if !cluster.status.is_reachable() {
            Some(format!("it is {}", cluster.status))
        } else if instances.is_empty() {
            Some("it has no instance".to_owned())
        } else if !instances.iter().any(|it| it.status.is_reachable()) {
            Some("none of its instances is available".to_owned())
        } else {
            None
        };
        Store {
            status: cluster.status.to_string(),
            hindrance,
            endpoint: cluster.endpoint.as_ref().map(endpoint),
        }
    }

    /// A table.
    pub fn of_table(table: &Table) -> Store {
        let is_usable = matches!(table.status, TableStatus::Active | TableStatus::Updating);
        Store {
            status: table.status.to_string(),
            hindrance: (!is_usable).then(|| format!("it is {}", table.status)),
            endpoint: None,
        }
    }
}

impl Store {
    /// A file system of EFS. Without a mount target, no client reaches it.
    pub fn of_efs(file_system: &EfsFileSystem, targets: &[MountTarget]) -> Store {
        let is_reachable = |it: &&MountTarget| it.state.is_usable();
        let hindrance = if !file_system.state.is_usable() {
            Some(format!("it is {}", file_system.state))
        } else if targets.is_empty() {
            Some("it has no mount target".to_owned())
        } else if !targets.iter().any(|it| is_reachable(&it)) {
            Some("none of its mount targets is available".to_owned())
        } else {
            None
        };
        let first = targets.iter().find(is_reachable);
        Store {
            status: file_system.state.to_string(),
            hindrance,
            endpoint: first.and_then(|it| it.address.clone()),
        }
    }

    /// A file system of FSx.
    pub fn of_fsx(file_system: &FsxFileSystem) -> Store {
        let is_usable = file_system.state.is_usable() && file_system.dns_name.is_some();
        Store {
            status: file_system.state.to_string(),
            hindrance: (!is_usable).then(|| format!("it is {}", file_system.state)),
            endpoint: file_system.dns_name.clone(),
        }
    }

    /// An instance. Its integration follows its health.
    pub fn of_server(server: &Server) -> Store {
        let is_usable = server.state == InstanceState::Running;
        Store {
            status: server.state.to_string(),
            hindrance: (!is_usable).then(|| format!("it is {}", server.state)),
            endpoint: server.private_address.clone().filter(|_| is_usable),
        }
    }

    /// A bucket, which exists.
    pub fn of_bucket() -> Store {
        Store {
            status: "available".to_owned(),
            hindrance: None,
            endpoint: None,
        }
    }

    /// A volume of FSx for ONTAP.
    pub fn of_volume(volume: &FsxVolume) -> Store {
        let is_usable = volume.state.is_usable();
        Store {
            status: volume.state.to_string(),
            hindrance: (!is_usable).then(|| format!("it is {}", volume.state)),
            endpoint: volume.junction_path.clone(),
        }
    }
}

fn endpoint((host, port): &(String, u16)) -> String {
    format!("{host}:{port}")
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

    /// Keeps a database or table.
    pub fn add_store(&mut self, arn: Arn, store: Store) {
        self.stores.insert(arn, store);
    }

    /// Keeps how long after the end of its job a database or table was integrated.
    pub fn add_integration(&mut self, job: RestoreJobId, after: TimeDelta) {
        self.integrated.insert(job, after);
    }

    /// Keeps where the volume or file system of a job is mounted.
    pub fn add_mount(&mut self, job: RestoreJobId, mount: Mount) {
        self.mounts.insert(job, mount);
    }

    /// Keeps that the volume or file system of a job is not mounted: `refused`, for example.
    pub fn add_unmounted(&mut self, job: RestoreJobId, state: String) {
        self.unmounted.insert(job, state);
    }

    /// Keeps the OpsItem of a job, which is open.
    pub fn add_open_item(&mut self, job: RestoreJobId, item: OpsItemId) {
        self.open_items.insert(job, item);
    }

    /// The completed jobs of this plan.
    pub(super) fn completed<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a RestoreJob> {
        plan.items()
            .filter_map(|item| self.jobs.get(&item.recovery_point_arn))
            .map(|jobs| &jobs.best)
            .filter(|job| job.is_completed())
    }

    /// The databases and tables that the jobs of this plan made, each once.
    pub fn stores_of(&self, plan: &Plan) -> Vec<Arn> {
        let mut arns: Vec<Arn> = self
            .completed(plan)
            .filter(|job| job.created_volume().is_none())
            .filter_map(|job| job.created_resource.clone())
            .collect();
        arns.sort();
        arns.dedup();
        arns
    }

    /// The volumes that the jobs of this plan made, each once.
    pub fn volumes_of(&self, plan: &Plan) -> Vec<VolumeId> {
        let mut ids: Vec<VolumeId> = self
            .completed(plan)
            .filter_map(RestoreJob::created_volume)
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// An item of the plan with its job and what it restored.
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
    /// The database or table that the job made.
    pub store: Option<&'a Store>,
    /// Where the volume or file system is mounted.
    pub mount: Option<&'a Mount>,
    /// When the volume was attached, or the database or table integrated.
    pub integrated_at: Option<DateTime<Utc>>,
    /// The OpsItem of the job, if it is open.
    pub open_item: Option<&'a OpsItemId>,
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
            self.job
                .and_then(|job| job.created_resource.as_ref())
                .map(Arn::as_str),
        ]
        .into_iter()
        .flatten()
    }
}

/// Why an item is not restored and integrated.
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

/// Each item of the plan with its job and what it restored, in the plan's order.
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
            let created = job
                .filter(|job| job.is_completed())
                .and_then(|job| job.created_resource.as_ref());
            let store = created.and_then(|created| observed.stores.get(created));
            let left = job_left(job)
                .or_else(|| nothing_restored(item, job?))
                .or_else(|| match item.target {
                    Target::Volume(_) => volume_left(job, volume.as_ref(), seen, attachment),
                    Target::Database(_)
                    | Target::Table(_)
                    | Target::FileSystem(_)
                    | Target::Bucket(_)
                    | Target::Instance(_) => store_left(job, created, store),
                })
                .or_else(|| mount_left(item, created, observed.unmounted.get(&job?.id)));
            let unfinished = left.map(|(step, reason, why, remedy)| Unfinished {
                step,
                resource: item.resource_arn.clone(),
                reason,
                why,
                remedy,
            });
            let recorded = || Some(job?.completed? + *observed.integrated.get(&job?.id)?);
            let integrated_at = match attachment {
                Some(attachment) => attachment.since,
                None => store.and_then(|_| recorded()),
            };
            Traced {
                item,
                job,
                failed_before: jobs.map_or_else(Vec::new, Jobs::failed_before),
                volume,
                attachment,
                store,
                mount: job.and_then(|job| observed.mounts.get(&job.id)),
                integrated_at,
                open_item: job.and_then(|job| observed.open_items.get(&job.id)),
                unfinished,
            }
        })
        .collect()
}

type Left = (&'static str, &'static str, String, &'static str);

const AGAIN: &str =
    "Read the OpsItem of its restore job, fix the cause, then redrive the execution.";

/// What is left to do for the restore job: step, reason code, what was found, and what fixes it.
fn job_left(job: Option<&RestoreJob>) -> Option<Left> {
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
            Some(message) if !text::is_blank(message) => {
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
    if job.restored() == Some(Restored::Partial) {
        let message = job.status_message.as_deref().unwrap_or_default();
        return Some((
            "restore",
            "restore-partial",
            format!(
                "restore job {} left objects out: {}",
                text::shown(job.id.as_str()),
                text::within(&text::one_line(message), 600)
            ),
            "Fix the cause, often a KMS key or a setting of the bucket, then redrive the execution: another restore job adds what is missing.",
        ));
    }
    None
}

/// What is left to do for a bucket if its recovery point contains none of the objects to restore.
fn nothing_restored(item: &Item, job: &RestoreJob) -> Option<Left> {
    let Target::Bucket(BucketTarget { prefixes, .. }) = &item.target else {
        return None;
    };
    (job.restored() == Some(Restored::NoObjects) && !prefixes.is_empty()).then(|| {
        let job = text::shown(job.id.as_str());
        let prefixes = text::shown(&prefixes.join(" "));
        (
            "restore",
            "nothing-restored",
            format!("restore job {job} restored nothing: the recovery point contains no object that {PREFIXES} {prefixes} names"),
            "Correct the tag recovery:prefixes of the recovery point, then start a recovery with another name: a redrive keeps the plan.",
        )
    })
}

/// What the messages say of a job.
fn named(job: Option<&RestoreJob>) -> String {
    text::shown(job.map_or("", |job| job.id.as_str()))
}

/// What is left to do for a database or table that the job made.
fn store_left(
    job: Option<&RestoreJob>,
    created: Option<&Arn>,
    store: Option<&Store>,
) -> Option<Left> {
    let Some(created) = created else {
        let why = format!("restore job {} names no restored resource", named(job));
        return Some(("integrate", "no-resource", why, AGAIN));
    };
    let created = text::shown(created.as_str());
    match store {
        None => Some((
            "integrate",
            "resource-gone",
            format!("{created} does not exist"),
            "Find out who deleted it (CloudTrail). Then start a recovery with another name: a redrive keeps this restore job.",
        )),
        Some(Store {
            hindrance: Some(hindrance),
            ..
        }) => Some((
            "integrate",
            "not-available",
            format!("{created} cannot be used: {}", text::shown(hindrance)),
            AGAIN,
        )),
        Some(_) => None,
    }
}

/// What is left to do for a volume that the job made.
fn volume_left(
    job: Option<&RestoreJob>,
    volume: Option<&VolumeId>,
    seen: Option<&Volume>,
    attachment: Option<&Attachment>,
) -> Option<Left> {
    let Some(volume) = volume else {
        return Some((
            "integrate",
            "no-volume",
            format!("restore job {} names no volume", named(job)),
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

/// What is left to do for a volume or file system that is not known to be mounted. `known` is what is known of the
/// mount, as a sentence.
fn mount_left(item: &Item, created: Option<&Arn>, known: Option<&String>) -> Option<Left> {
    let (path, created, known) = (item.target.mount()?, created?, known?);
    Some((
        "integrate",
        "not-mounted",
        format!(
            "{} is not known to be mounted at {}: {known}",
            text::shown(created.as_str()),
            text::shown(path),
        ),
        "Read the OpsItem of its restore job, and fix the cause, or mount it by hand and resolve the OpsItem. Then redrive the execution.",
    ))
}
