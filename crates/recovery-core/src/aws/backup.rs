//! Restore jobs, as AWS Backup and their events describe them, recovery points and restore tests.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, RecoveryPointArn, RestoreJobId, VolumeId};
use crate::aws::bucket::{Restored, S3};
use crate::aws::ec2::DeviceName;
use crate::error::{Error, Fault};
use crate::plan::request::Mode;

/// A restore job, according to its event or to `backup:DescribeRestoreJob`. Everything except its id can be
/// unknown.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRestoreJob.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreJob {
    pub id: RestoreJobId,
    /// `PENDING`, `RUNNING`, `COMPLETED`, `FAILED`, `ABORTED`.
    pub status: Option<String>,
    /// The message of AWS Backup about the status.
    pub status_message: Option<String>,
    /// `EBS`, `RDS`, …
    pub resource_type: Option<String>,
    /// The restored resource.
    pub created_resource: Option<Arn>,
    pub recovery_point: Option<RecoveryPointArn>,
    /// Other ARNs of the same recovery point. An event may contain two, and AWS Backup may return a third.
    pub other_forms: Vec<RecoveryPointArn>,
    /// The protected resource, in the primary Region.
    pub source_resource: Option<Arn>,
    /// The role that AWS Backup restored with. Drills have a separate role, which identifies their jobs.
    pub iam_role: Option<Arn>,
    /// Whether a restore testing plan started the job. AWS Backup deletes the restored resource of such a job.
    pub restore_test: bool,
    /// When the job was created.
    pub created: Option<DateTime<Utc>>,
    /// When the job ended.
    pub completed: Option<DateTime<Utc>>,
}

/// What the plan adds to the information of the recovery point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedAs {
    /// Another recovery point of the same resource. Its tags replace those that the restored one lacks.
    pub tags_from: Option<RecoveryPointArn>,
    /// Device names that other volumes of the plan claim on the same target.
    pub reserved: BTreeSet<DeviceName>,
    /// How often a person or a redrive asked for another attempt to mount it, after one was refused.
    pub mount_attempt: u32,
}

/// The drill that a restore belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// Its stack. It replaces the stack that the tags name.
    pub stack: String,
    /// The name of its execution. It is the value of the tag [`DRILL`](crate::tags::DRILL) of everything
    /// that the drill makes. `None` if a person did not pass it: a volume does not need it.
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    pub job: RestoreJob,
    /// The drill that it belongs to.
    pub drill: Option<Drill>,
    pub planned: PlannedAs,
    /// Whether operators are notified of a failure even if OpsCenter's quota is used up, so that no OpsItem records
    /// the notification.
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

    pub fn is_completed(&self) -> bool {
        self.status.as_deref() == Some("COMPLETED")
    }

    /// Whether it failed or was aborted.
    pub fn has_failed(&self) -> bool {
        matches!(self.status.as_deref(), Some("FAILED" | "ABORTED"))
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.status.as_deref(), Some("PENDING" | "RUNNING"))
    }

    /// Whether all fields are known that an integration needs.
    pub fn is_settled(&self) -> bool {
        self.status.is_some()
            && self.resource_type.is_some()
            && self.created_resource.is_some()
            && self.recovery_point.is_some()
            && self.iam_role.is_some()
    }

    /// Whether it belongs to a drill, whose restores have this role; `None` if the role of the job is unknown.
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

    /// The EBS volume that it created, if any.
    pub fn created_volume(&self) -> Option<VolumeId> {
        let created = self.created_resource.as_ref()?;
        created
            .resource_id("volume")
            .filter(|_| created.service() == "ec2")
            .map(VolumeId::new)
    }

    /// What it restored, if it restored a bucket and is completed.
    pub fn restored(&self) -> Option<Restored> {
        let is_of_bucket = self.resource_type.as_deref() == Some(S3);
        (is_of_bucket && self.is_completed()).then(|| Restored::of(self.status_message.as_deref()))
    }

    /// All known ARNs of the recovery point.
    pub fn points(&self) -> impl Iterator<Item = &RecoveryPointArn> {
        self.recovery_point.iter().chain(&self.other_forms)
    }

    /// [`settled_by`](RestoreJob::settled_by) with a check of the statuses.
    ///
    /// # Errors
    /// [`Error::Retryable`] if this job is completed, but still running according to `answer`: the answers of AWS Backup
    /// can be older than its events.
    pub(crate) fn completed_from(self, answer: RestoreJob) -> Result<RestoreJob, Error> {
        if self.is_completed() && answer.is_running() {
            return Err(Error::Retryable(Fault::new(
                "backup:DescribeRestoreJob",
                self.id.as_str(),
                "the event says that the job is completed, but AWS Backup does not say so yet",
                "No action needed. The restore job is checked again automatically.",
            )));
        }
        Ok(self.settled_by(answer))
    }

    /// Completes this job with the fields of `other`, a newer description of the same job. If both have a field,
    /// that of `other` counts. It is a restore test if one of them says so.
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    pub point: RecoveryPointArn,
    /// `EBS`, …
    pub resource_type: String,
    pub metadata: BTreeMap<String, String>,
    /// The role that AWS Backup restores with.
    pub role: String,
    /// The idempotency token: the same token starts only one job, while AWS Backup remembers it.
    pub token: String,
    /// Whether the recovery point's tags are copied to the new resource.
    pub copy_tags: bool,
}

/// The result of `StartRestoreJob`.
#[derive(Debug)]
pub enum StartAnswer {
    /// The job of this token: started now or earlier.
    Started(RestoreJobId),
    /// The recovery point does not exist.
    PointGone(Fault),
    /// AWS Backup rejected the request.
    Rejected(Fault),
}

/// A restore job of a restore testing plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreTest {
    pub job: RestoreJob,
    /// `SUCCESSFUL`, `FAILED`, `TIMED_OUT` or `VALIDATING`.
    pub validation: Option<String>,
    /// `DELETING`, `SUCCESSFUL` or `FAILED`, after AWS Backup has begun to delete the restored resource.
    pub deletion: Option<String>,
}

impl RestoreTest {
    /// The final result.
    pub(crate) fn result(&self) -> Option<&str> {
        self.validation
            .as_deref()
            .filter(|status| *status != "VALIDATING")
    }
}

/// The result of a validation, for AWS Backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub successful: bool,
    pub message: String,
}

/// A recovery point of `backup:ListRecoveryPointsByBackupVault`.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_RecoveryPointByBackupVault.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryPoint {
    pub arn: RecoveryPointArn,
    /// The protected resource, in the primary Region.
    pub resource: Arn,
    /// `EBS`, `RDS`, …; empty if AWS Backup returns none.
    pub resource_type: String,
    /// `COMPLETED`, `AVAILABLE`, `PARTIAL`, `EXPIRED`, …
    pub status: String,
    /// When the backup was created. A copy keeps the time of its source.
    pub created: DateTime<Utc>,
    /// Its size in bytes. For a volume, the size of the volume.
    pub size_bytes: Option<u64>,
    /// Whether it is the parent of a composite recovery point (a stack).
    pub is_parent: bool,
    /// Whether it is a part of a composite recovery point.
    pub is_child: bool,
    /// Whether a scan found malware in it.
    pub threats_found: bool,
    /// When its lifecycle moves or moved it to cold storage.
    pub cold_from: Option<DateTime<Utc>>,
    /// Whether its lifecycle opts in to archiving.
    pub archives: bool,
}
