//! The world's recovery points, kept plans and started restores.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, RecoveryPointArn, RestoreJobId};
use crate::aws::backup::{RecoveryPoint, RestoreRequest};
use crate::error::Error;
use crate::fakes::World;
use crate::ports::{Objects, Page, RecoveryPoints};

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
        }
    }
}

impl RecoveryPoints for World {
    async fn list(
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
}

impl Objects for World {
    async fn put(&self, key: &str, body: String) -> Result<(), Error> {
        self.call("s3:PutObject", key, |state| {
            state.backups.objects.entry(key.to_owned()).or_insert(body);
            Ok(())
        })
    }

    async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        self.call("s3:GetObject", key, |state| {
            Ok(state.backups.objects.get(key).cloned())
        })
    }

    async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page<String>, Error> {
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
