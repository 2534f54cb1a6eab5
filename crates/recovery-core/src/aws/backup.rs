//! Restore jobs, as AWS Backup and their events describe them, recovery points and restore tests.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, RecoveryPointArn, RestoreJobId, VolumeId};
use crate::aws::ec2::DeviceName;
use crate::error::{Error, Fault};
use crate::plan::request::Mode;

/// What is known of an AWS Backup restore job. Everything but its id can be unknown.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRestoreJob.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreJob {
    /// The job's id.
    pub id: RestoreJobId,
    /// `PENDING`, `RUNNING`, `COMPLETED`, `FAILED`, `ABORTED`.
    pub status: Option<String>,
    /// Why the job is in this status, in the service's words.
    pub status_message: Option<String>,
    /// `EBS`, `RDS`, …
    pub resource_type: Option<String>,
    /// What the restore made.
    pub created_resource: Option<Arn>,
    /// What it was made from.
    pub recovery_point: Option<RecoveryPointArn>,
    /// The same recovery point in other forms of ARN: an event may name it in two, and AWS Backup in a
    /// third.
    pub other_forms: Vec<RecoveryPointArn>,
    /// What was backed up once, in the primary Region.
    pub source_resource: Option<Arn>,
    /// The role that AWS Backup restored with. Drills have one of their own, which tells their jobs
    /// from those of a recovery.
    pub iam_role: Option<Arn>,
    /// Whether a restore testing plan started the job: AWS Backup deletes what it made.
    pub restore_test: bool,
    /// When the job was created.
    pub created: Option<DateTime<Utc>>,
    /// When the job ended.
    pub completed: Option<DateTime<Utc>>,
}

/// What the plan of a recovery knows of a restore, and its recovery point does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedAs {
    /// Another recovery point of the same resource, whose tags stand in for those that the restored one
    /// lacks.
    pub tags_from: Option<RecoveryPointArn>,
    /// Device names that other volumes of the plan claim on the same target.
    pub reserved: BTreeSet<DeviceName>,
}

/// A restore that is to be integrated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// What restored it.
    pub job: RestoreJob,
    /// The stack of the drill that it belongs to, in the place of the one that the tags name.
    pub drill: Option<String>,
    /// What its plan says, where it has one.
    pub planned: PlannedAs,
    /// Whether operators are notified of what hinders it also where no OpsItem can be created, which
    /// would record that they were.
    pub tells_unrecorded: bool,
}

impl From<RestoreJob> for Restore {
    /// A restore of the workload itself.
    fn from(job: RestoreJob) -> Restore {
        Restore {
            job,
            drill: None,
            planned: PlannedAs::default(),
            tells_unrecorded: true,
        }
    }
}

/// The resource type of EBS volumes in AWS Backup.
pub const EBS: &str = "EBS";

impl RestoreJob {
    /// A job of which only the id is known.
    pub fn known_by_id(id: RestoreJobId) -> RestoreJob {
        RestoreJob {
            id,
            status: None,
            status_message: None,
            resource_type: None,
            created_resource: None,
            recovery_point: None,
            other_forms: Vec::new(),
            source_resource: None,
            iam_role: None,
            restore_test: false,
            created: None,
            completed: None,
        }
    }

    /// Whether the job ended well.
    pub fn is_completed(&self) -> bool {
        self.status.as_deref() == Some("COMPLETED")
    }

    /// Whether the job ended, and not well.
    pub fn has_failed(&self) -> bool {
        matches!(self.status.as_deref(), Some("FAILED" | "ABORTED"))
    }

    /// Whether AWS Backup has not finished it.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.status.as_deref(), Some("PENDING" | "RUNNING"))
    }

    /// Whether all is known that an integration needs of the job.
    pub fn is_settled(&self) -> bool {
        self.status.is_some()
            && self.resource_type.is_some()
            && self.created_resource.is_some()
            && self.recovery_point.is_some()
            && self.iam_role.is_some()
    }

    /// Whether a drill made it, whose restores have this role; nothing where the job does not say
    /// its role.
    pub fn is_of_drill(&self, drill_role: &str) -> Option<bool> {
        self.iam_role
            .as_ref()
            .map(|role| role.as_str() == drill_role)
    }

    /// Whether it belongs to a recovery of this mode. A job that does not say its role is not a drill's.
    pub(crate) fn belongs_to(&self, mode: Mode, drill_role: &str) -> bool {
        let of_drill = self.is_of_drill(drill_role) == Some(true);
        !self.restore_test && of_drill == (mode == Mode::Drill)
    }

    /// Orders jobs of one recovery point: a completed one is above others, then the newest.
    pub(crate) fn rank(&self) -> (bool, Option<DateTime<Utc>>, &str) {
        (self.is_completed(), self.created, self.id.as_str())
    }

    /// The EBS volume that it made, where it made one.
    pub fn created_volume(&self) -> Option<VolumeId> {
        let created = self.created_resource.as_ref()?;
        created
            .resource_id("volume")
            .filter(|_| created.service() == "ec2")
            .map(VolumeId::new)
    }

    /// The recovery point in every form of ARN that is known.
    pub fn points(&self) -> impl Iterator<Item = &RecoveryPointArn> {
        self.recovery_point.iter().chain(&self.other_forms)
    }

    /// This job, as [`settled_by`](RestoreJob::settled_by) `answer`.
    ///
    /// # Errors
    /// [`Error::Retryable`] if this job is known to have completed and the answer says that it is
    /// running: AWS Backup's answers can be older than its events.
    pub(crate) fn completed_from(self, answer: RestoreJob) -> Result<RestoreJob, Error> {
        if self.is_completed() && answer.is_under_way() {
            return Err(Error::Retryable(Fault::new(
                "backup:DescribeRestoreJob",
                self.id.as_str(),
                "the job is completed by its event, but not yet by this answer",
                "Nothing to do yet: this restore job is tried again.",
            )));
        }
        Ok(self.settled_by(answer))
    }

    /// This job with what it lacks taken from `other`, an answer about the same job. Where both
    /// know something, `other` is the newer; a restore test by either account stays one.
    #[must_use]
    pub fn settled_by(self, other: RestoreJob) -> RestoreJob {
        let mut points: Vec<RecoveryPointArn> = Vec::new();
        for point in other.points().chain(self.points()) {
            if !points.contains(point) {
                points.push(point.clone());
            }
        }
        let mut points = points.into_iter();
        RestoreJob {
            id: self.id,
            status: other.status.or(self.status),
            status_message: other.status_message.or(self.status_message),
            resource_type: other.resource_type.or(self.resource_type),
            created_resource: other.created_resource.or(self.created_resource),
            recovery_point: points.next(),
            other_forms: points.collect(),
            source_resource: other.source_resource.or(self.source_resource),
            iam_role: other.iam_role.or(self.iam_role),
            restore_test: self.restore_test || other.restore_test,
            created: other.created.or(self.created),
            completed: other.completed.or(self.completed),
        }
    }
}

/// A restore to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The recovery point.
    pub point: RecoveryPointArn,
    /// `EBS`, …
    pub resource_type: String,
    /// What AWS Backup must be told of the new resource.
    pub metadata: BTreeMap<String, String>,
    /// The role that AWS Backup restores with.
    pub role: String,
    /// The same token starts one job only, for as long as AWS Backup remembers it.
    pub token: String,
    /// Whether the recovery point's tags are copied to the new resource.
    pub copy_tags: bool,
}

/// The answer to an attempt to start a restore, where any AWS Backup could give it.
#[derive(Debug)]
pub enum StartAnswer {
    /// The job of this token: just begun, or begun before.
    Started(RestoreJobId),
    /// The recovery point is not there.
    PointGone(Fault),
    /// AWS Backup does not restore this recovery point so.
    Rejected(Fault),
}

/// A restore job of a restore testing plan, as AWS Backup knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreTest {
    /// The job.
    pub job: RestoreJob,
    /// `SUCCESSFUL`, `FAILED`, `TIMED_OUT` or `VALIDATING`, where there is a result.
    pub validation: Option<String>,
    /// `DELETING`, `SUCCESSFUL` or `FAILED`, once AWS Backup has begun to delete what the test made.
    pub deletion: Option<String>,
}

impl RestoreTest {
    /// The result, if it is one that cannot be changed any more.
    pub(crate) fn result(&self) -> Option<&str> {
        self.validation
            .as_deref()
            .filter(|status| *status != "VALIDATING")
    }
}

/// What is reported to AWS Backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether the restore did what it should.
    pub successful: bool,
    /// What was found.
    pub message: String,
}

/// A recovery point, as `backup:ListRecoveryPointsByBackupVault` tells it.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_RecoveryPointByBackupVault.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryPoint {
    /// Its ARN.
    pub arn: RecoveryPointArn,
    /// What was backed up, in the primary Region.
    pub resource: Arn,
    /// `EBS`, `RDS`, …; empty where AWS Backup does not say.
    pub resource_type: String,
    /// `COMPLETED`, `AVAILABLE`, `PARTIAL`, `EXPIRED`, …
    pub status: String,
    /// When the backup was made. A copy keeps the moment of its source.
    pub created: DateTime<Utc>,
    /// Its size in bytes. For a volume, the size of the volume.
    pub size_bytes: Option<u64>,
    /// Whether it is the parent of a composite recovery point (a whole stack).
    pub is_parent: bool,
    /// Whether it is a part of a composite recovery point.
    pub is_child: bool,
    /// Whether a scan found malware in it.
    pub threats_found: bool,
    /// When its lifecycle moves it, or moved it, to cold storage.
    pub cold_from: Option<DateTime<Utc>>,
    /// Whether its lifecycle holds for types that are archived only where the owner asked for that.
    pub archives: bool,
}
