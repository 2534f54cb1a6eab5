//! What the world shows of a recovery, and the numbers that were recorded of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, InstanceId, OpsItemId, RestoreJobId, VolumeId};
use crate::aws::backup::Job;
use crate::aws::ec2::{RecoveredVolume, Since};
use crate::error::{Error, Fault};
use crate::fakes::World;
use crate::ops_item::DatedItem;
use crate::ports::{DatedOpsItems, Metrics, Page, RecoveryRecords, VOLUMES_AT_ONCE};
use crate::report::measures::Measures;

/// Restore jobs and volumes with their times, and recorded numbers.
#[derive(Debug, Clone)]
pub struct Records {
    /// Restore jobs, in the order in which they are listed.
    pub jobs: Vec<Job>,
    /// How many of them a page has.
    pub page_size: usize,
    /// Volumes by id.
    pub volumes: BTreeMap<VolumeId, RecoveredVolume>,
    /// When OpsItems were created.
    pub created: BTreeMap<OpsItemId, DateTime<Utc>>,
    /// Numbers, as they were recorded.
    pub measures: Vec<Measures>,
}

impl Default for Records {
    fn default() -> Records {
        Records {
            jobs: Vec::new(),
            page_size: 1000,
            volumes: BTreeMap::new(),
            created: BTreeMap::new(),
            measures: Vec::new(),
        }
    }
}

/// A completed job of `point` that made the volume `vol-<n>`.
pub fn completed_job(
    n: &str,
    point: &str,
    role: &str,
    created: DateTime<Utc>,
    completed: DateTime<Utc>,
) -> Job {
    let volume = format!("arn:aws:ec2:us-west-2:111122223333:volume/vol-{n}");
    Job {
        id: RestoreJobId::new(format!("job-{n}")),
        status: "COMPLETED".to_owned(),
        message: None,
        recovery_point: Some(point.to_owned()),
        created_resource: Arn::parse(&volume).ok(),
        role: Some(role.to_owned()),
        restore_test: false,
        created: Some(created),
        completed: Some(completed),
    }
}

/// The volume `vol-<n>`, attached to the instance `i-<instance>` at that moment.
pub fn attached_volume(n: &str, instance: &str, since: DateTime<Utc>) -> RecoveredVolume {
    RecoveredVolume {
        id: VolumeId::new(format!("vol-{n}")),
        state: "in-use".into(),
        zone: Some("us-west-2a".to_owned()),
        attachments: vec![Since {
            instance: InstanceId::new(format!("i-{instance}")),
            device: "/dev/sdf".to_owned(),
            state: "attached".into(),
            since: Some(since),
        }],
    }
}

impl RecoveryRecords for World {
    async fn jobs_since(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<Job>, Error> {
        self.call("backup:ListRestoreJobs", page.unwrap_or("first"), |state| {
            let records = &state.records;
            let all: Vec<&Job> = records
                .jobs
                .iter()
                .filter(|job| job.created.is_some_and(|created| created >= since))
                .collect();
            let from = page.and_then(|page| page.parse().ok()).unwrap_or(0);
            let to = all.len().min(from + records.page_size);
            Ok(Page {
                listed: all[from..to].iter().map(|job| (*job).clone()).collect(),
                next: (to < all.len()).then(|| to.to_string()),
            })
        })
    }

    async fn recovered_volumes(&self, ids: &[VolumeId]) -> Result<Vec<RecoveredVolume>, Error> {
        let operation = "ec2:DescribeVolumes";
        self.call(operation, &ids.len().to_string(), |state| {
            if ids.len() > VOLUMES_AT_ONCE {
                return Err(Error::Permanent(
                    Fault::new(operation, "filter", "too many values", "Ask for fewer.")
                        .with_code("FilterLimitExceeded"),
                ));
            }
            let volumes = &state.records.volumes;
            Ok(ids
                .iter()
                .filter_map(|id| volumes.get(id).cloned())
                .collect())
        })
    }
}

impl DatedOpsItems for World {
    async fn dated_item(&self, id: &OpsItemId) -> Result<Option<DatedItem>, Error> {
        self.call("ssm:GetOpsItem", id.as_str(), |state| {
            let stored = state.items.iter().find(|stored| stored.item.id == *id);
            Ok(stored.map(|stored| DatedItem {
                item: stored.item.clone(),
                created: state.records.created.get(id).copied(),
            }))
        })
    }
}

impl Metrics for World {
    fn record(&self, measures: &Measures) {
        self.state().records.measures.push(measures.clone());
    }
}
