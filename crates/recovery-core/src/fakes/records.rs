//! Restore jobs of the world and what they made.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, InstanceId, RecoveryPointArn, RestoreJobId, VolumeId};
use crate::aws::backup::{EBS, RestoreJob, RestoreRequest, StartAnswer};
use crate::aws::ec2::{Attachment, Volume};
use crate::error::{Error, Fault};
use crate::fakes::{World, not_found};
use crate::ports::{Metrics, Page, RestoreJobs};
use crate::report::measures::Measures;

/// Restore jobs on one page of AWS Backup's listing.
const JOBS_ON_A_PAGE: usize = 1000;

/// A completed job of `point` that made the volume `vol-<n>`.
pub fn completed_job(
    n: &str,
    point: &str,
    role: &str,
    created: DateTime<Utc>,
    completed: DateTime<Utc>,
) -> RestoreJob {
    let volume = format!("arn:aws:ec2:us-west-2:111122223333:volume/vol-{n}");
    RestoreJob {
        status: Some("COMPLETED".to_owned()),
        resource_type: Some(EBS.to_owned()),
        created_resource: Arn::parse(&volume).ok(),
        recovery_point: RecoveryPointArn::parse(point).ok(),
        iam_role: Arn::parse(role).ok(),
        created: Some(created),
        completed: Some(completed),
        ..RestoreJob::known_by_id(RestoreJobId::new(format!("job-{n}")))
    }
}

/// The volume `vol-<n>`, attached to the instance `i-<instance>` at that moment.
pub fn attached_volume(n: &str, instance: &str, since: DateTime<Utc>) -> Volume {
    Volume {
        id: VolumeId::new(format!("vol-{n}")),
        state: "in-use".into(),
        zone: "us-west-2a".to_owned(),
        attachments: vec![Attachment {
            instance: InstanceId::new(format!("i-{instance}")),
            device: "/dev/sdf".to_owned(),
            state: "attached".into(),
            since: Some(since),
        }],
        key: None,
        restore_test: false,
        owner: None,
        size: Some(8),
        encrypted: Some(true),
        snapshot: None,
    }
}

impl RestoreJobs for World {
    async fn describe(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        let operation = "backup:DescribeRestoreJob";
        self.call(operation, id.as_str(), |state| {
            state
                .restore_jobs
                .get(id.as_str())
                .cloned()
                .ok_or_else(|| not_found(operation, id.as_str()))
        })
    }

    async fn list(
        &self,
        resource_type: Option<&str>,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        self.call("backup:ListRestoreJobs", page.unwrap_or("first"), |state| {
            let of_type = |job: &&RestoreJob| {
                resource_type.is_none_or(|of| job.resource_type.as_deref() == Some(of))
            };
            let mut all: Vec<&RestoreJob> = state
                .restore_jobs
                .values()
                .filter(of_type)
                .filter(|job| job.created.is_none_or(|created| created >= since))
                .collect();
            if state.order_of_jobs != 0 {
                all.sort_by_key(|job| {
                    let mut hasher = DefaultHasher::new();
                    (state.order_of_jobs, job.id.as_str()).hash(&mut hasher);
                    hasher.finish()
                });
            }
            let from = page.and_then(|page| page.parse().ok()).unwrap_or(0);
            let most = state.jobs_on_a_page.unwrap_or(JOBS_ON_A_PAGE);
            let to = all.len().min(from + most);
            Ok(Page {
                listed: all[from..to].iter().map(|job| (*job).clone()).collect(),
                next: (to < all.len()).then(|| to.to_string()),
            })
        })
    }

    async fn metadata(&self, id: &RestoreJobId) -> Result<BTreeMap<String, String>, Error> {
        self.call("backup:GetRestoreJobMetadata", id.as_str(), |state| {
            let mut started = state.backups.started.iter();
            let request = started.find(|(_, started)| started == id);
            Ok(request.map_or_else(BTreeMap::new, |(request, _)| request.metadata.clone()))
        })
    }

    async fn start(&self, request: &RestoreRequest) -> Result<StartAnswer, Error> {
        let operation = "backup:StartRestoreJob";
        self.call(operation, request.point.as_str(), |state| {
            let fault = |message: &str| Fault::new(operation, "restore", message, "Check it.");
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
            let created = backups.now;
            state.restore_jobs.insert(
                id.to_string(),
                RestoreJob {
                    status: Some("PENDING".to_owned()),
                    recovery_point: Some(request.point.clone()),
                    iam_role: Arn::parse(&request.role).ok(),
                    created: Some(created),
                    ..RestoreJob::known_by_id(id.clone())
                },
            );
            Ok(StartAnswer::Started(id))
        })
    }
}

impl Metrics for World {
    fn record(&self, measures: &Measures) {
        self.state().measures.push(measures.clone());
    }
}
