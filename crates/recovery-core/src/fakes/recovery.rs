//! The world's recovery points, kept plans and started restores.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, RecoveryPointArn, RestoreJobId};
use crate::aws::backup::{Job, RecoveryPoint, RestoreJob, RestoreRequest, StartAnswer};
use crate::error::{Error, Fault};
use crate::fakes::World;
use crate::ports::{
    KeptObjects, Page, PlanObjects, RecoveryPoints, RestoreStarts, SNAPSHOTS_AT_ONCE, SnapshotTags,
};
use crate::tags::{PLANNED, Tags};

/// Recovery points, kept plans and started restores.
#[derive(Debug, Clone)]
pub struct Backups {
    /// Recovery points, in the order in which they are listed.
    pub points: Vec<RecoveryPoint>,
    /// How many of them a page has.
    pub page_size: usize,
    /// What is stored with recovery points, by ARN; of one without an entry, nothing is.
    pub metadata: BTreeMap<String, BTreeMap<String, String>>,
    /// Kept objects by key.
    pub objects: BTreeMap<String, String>,
    /// Restores that were started, and their jobs, the first first.
    pub started: Vec<(RestoreRequest, RestoreJobId)>,
    /// How many of these were started so long ago that their tokens are forgotten.
    pub forgotten: usize,
    /// When restores are created that are started now.
    pub now: DateTime<Utc>,
    /// In whose words AWS Backup refuses to start a restore, if it does.
    pub rejects: Option<String>,
}

impl Default for Backups {
    fn default() -> Backups {
        Backups {
            points: Vec::new(),
            page_size: 1000,
            metadata: BTreeMap::new(),
            objects: BTreeMap::new(),
            started: Vec::new(),
            forgotten: 0,
            // 2026-11-23T06:30:00Z, after the recovery points and executions of most tests.
            now: DateTime::from_timestamp_nanos(1_795_415_400_000_000_000),
            rejects: None,
        }
    }
}

/// A completed recovery point `snap-<snapshot>` of the volume `vol-<volume>`, made at `created`.
pub fn volume_point(
    volume: &str,
    snapshot: &str,
    created: DateTime<Utc>,
) -> Result<RecoveryPoint, Error> {
    Ok(RecoveryPoint {
        arn: RecoveryPointArn::parse(&format!("arn:aws:ec2:us-west-2::snapshot/snap-{snapshot}"))?,
        resource: Arn::parse(&format!(
            "arn:aws:ec2:us-east-1:111122223333:volume/vol-{volume}"
        ))?,
        resource_type: "EBS".to_owned(),
        status: "COMPLETED".to_owned(),
        created,
        size_bytes: Some(8 << 30),
        is_parent: false,
        is_child: false,
        threats_found: false,
        cold_from: None,
        archives: false,
    })
}

impl World {
    /// Puts a recovery point into the vault: of the workload `shop`, for `Server` in the stack `shop`, with
    /// more or other tags.
    pub fn add_point(&self, point: RecoveryPoint, extra: &[(&str, &str)]) {
        let usual = [
            ("recovery:workload", "shop"),
            ("recovery:stack", "shop"),
            ("recovery:logical-id", "Server"),
        ];
        let tags = usual.iter().chain(extra);
        let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut state = self.state();
        state.tags.insert(point.arn.to_string(), tags.collect());
        state.backups.points.push(point);
    }
}

impl World {
    /// Lets AWS Backup forget the idempotency tokens of all restores that were started so far.
    pub fn forget_tokens(&self) {
        let mut state = self.state();
        state.backups.forgotten = state.backups.started.len();
    }

    /// Gives every restore that was started this status, in all answers of AWS Backup.
    pub fn set_started(&self, status: &str) {
        let mut state = self.state();
        let state = &mut *state;
        for (_, id) in &state.backups.started {
            if let Some(job) = state.restore_jobs.get_mut(id.as_str()) {
                job.status = Some(status.to_owned());
            }
            let listed = state.records.jobs.iter_mut();
            for job in listed.filter(|job| job.id == *id) {
                job.status = status.to_owned();
            }
        }
    }
}

impl RecoveryPoints for World {
    async fn recovery_points(
        &self,
        vault: &str,
        page: Option<&str>,
    ) -> Result<Page<Option<RecoveryPoint>>, Error> {
        self.call("backup:ListRecoveryPointsByBackupVault", vault, |state| {
            let backups = &state.backups;
            let start: usize = page.and_then(|page| page.parse().ok()).unwrap_or(0);
            let end = (start + backups.page_size).min(backups.points.len());
            Ok(Page {
                listed: backups.points[start..end]
                    .iter()
                    .cloned()
                    .map(Some)
                    .collect(),
                next: (end < backups.points.len()).then(|| end.to_string()),
            })
        })
    }
}

impl SnapshotTags for World {
    async fn snapshot_tags(&self, ids: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        let operation = "ec2:DescribeTags";
        self.call(operation, &format!("{} snapshots", ids.len()), |state| {
            if ids.len() > SNAPSHOTS_AT_ONCE {
                return Err(Error::Permanent(
                    Fault::new(operation, "filter", "too many values", "Ask for fewer.")
                        .with_code("FilterLimitExceeded"),
                ));
            }
            Ok(ids
                .iter()
                .filter_map(|id| {
                    let (_, tags) = state
                        .tags
                        .iter()
                        .find(|(arn, _)| arn.ends_with(&format!("/{id}")))?;
                    let planned: Tags = tags
                        .iter()
                        .filter(|(key, _)| PLANNED.contains(&key.as_str()))
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect();
                    (!planned.is_empty()).then(|| ((*id).to_owned(), planned))
                })
                .collect())
        })
    }
}

impl PlanObjects for World {
    async fn store(&self, key: &str, body: String) -> Result<(), Error> {
        self.call("s3:PutObject", key, |state| {
            state.backups.objects.entry(key.to_owned()).or_insert(body);
            Ok(())
        })
    }

    async fn stored(&self, key: &str) -> Result<Option<String>, Error> {
        self.call("s3:GetObject", key, |state| {
            Ok(state.backups.objects.get(key).cloned())
        })
    }
}

impl KeptObjects for World {
    async fn kept(&self, prefix: &str, page: Option<&str>) -> Result<Page<String>, Error> {
        self.call("s3:ListBucket", prefix, |state| {
            let backups = &state.backups;
            let keys: Vec<&String> = backups
                .objects
                .keys()
                .filter(|key| key.starts_with(prefix))
                .collect();
            let start: usize = page.and_then(|page| page.parse().ok()).unwrap_or(0);
            let end = (start + backups.page_size).min(keys.len());
            Ok(Page {
                listed: keys[start..end].iter().map(|key| (*key).clone()).collect(),
                next: (end < keys.len()).then(|| end.to_string()),
            })
        })
    }
}

impl RestoreStarts for World {
    async fn restore_metadata(
        &self,
        _vault: &str,
        point: &RecoveryPointArn,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        let operation = "backup:GetRecoveryPointRestoreMetadata";
        self.call(operation, point.as_str(), |state| {
            let backups = &state.backups;
            let there = backups.points.iter().any(|listed| listed.arn == *point);
            let stored = backups.metadata.get(point.as_str());
            Ok(there.then(|| stored.cloned().unwrap_or_default()))
        })
    }

    async fn start_restore(&self, request: &RestoreRequest) -> Result<StartAnswer, Error> {
        let operation = "backup:StartRestoreJob";
        self.call(operation, request.point.as_str(), |state| {
            let fault = |message: &str| Fault::new(operation, "restore", message, "Fix it.");
            let backups = &mut state.backups;
            if let Some(words) = &backups.rejects {
                return Ok(StartAnswer::Rejected(fault(words)));
            }
            if !backups
                .points
                .iter()
                .any(|point| point.arn == request.point)
            {
                return Ok(StartAnswer::PointGone(fault(
                    "Recovery point does not exist",
                )));
            }
            let mut remembered = backups.started.iter().skip(backups.forgotten);
            if let Some((_, id)) = remembered.find(|(before, _)| before.token == request.token) {
                return Ok(StartAnswer::Started(id.clone()));
            }
            let id = RestoreJobId::new(format!("planned-{}", backups.started.len() + 1));
            backups.started.push((request.clone(), id.clone()));
            state.restore_jobs.insert(
                id.to_string(),
                RestoreJob {
                    status: Some("PENDING".to_owned()),
                    recovery_point: Some(request.point.clone()),
                    iam_role: Arn::parse(&request.role).ok(),
                    ..RestoreJob::known_by_id(id.clone())
                },
            );
            state.records.jobs.push(Job {
                id: id.clone(),
                status: "PENDING".to_owned(),
                message: None,
                recovery_point: Some(request.point.to_string()),
                created_resource: None,
                role: Some(request.role.clone()),
                restore_test: false,
                created: Some(backups.now),
                completed: None,
            });
            Ok(StartAnswer::Started(id))
        })
    }
}
