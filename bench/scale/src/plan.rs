//! One plan over a vault that is made up as it is read, so that the memory is the planner's own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn};
use recovery_core::aws::auto_scaling::Group;
use recovery_core::aws::backup::RecoveryPoint;
use recovery_core::aws::cloudformation::{ListedResource, StackResource};
use recovery_core::aws::ec2::Instance;
use recovery_core::error::Error;
use recovery_core::fakes::{FakeClock, World};
use recovery_core::plan::run::{PlannerConfig, handle};
use recovery_core::ports::{
    AutoScalingGroups, Clock, DataStorePorts, DbClusters, DbInstances, Images, Instances, Objects,
    Page, PlanningPorts, RecoveryPointTags, RecoveryPoints, RestoreJobs, StackResources, Stacks,
    Tables, TaggedResources, TargetPorts,
};
use recovery_core::tags::Tags;
use serde_json::{Value, json};

/// Recovery points of each resource.
const EACH: usize = 30;
/// Recovery points on a page of AWS Backup's listing.
const PAGE: usize = 1000;

/// A vault with this many recovery points.
struct Vault {
    points: usize,
    now: DateTime<Utc>,
    calls: AtomicUsize,
    stored: Mutex<usize>,
    /// What the plan of volumes does not read.
    empty: World,
}

/// Makes a plan for a vault with this many recovery points: what it took, as JSON.
pub(crate) fn one(points: usize) -> Value {
    let vault = Vault {
        points,
        now: FakeClock::new().now(),
        calls: AtomicUsize::new(0),
        stored: Mutex::new(0),
        empty: World::new(),
    };
    let places = PlannerConfig {
        vault: "recovery".to_owned(),
        bucket: "recovery".to_owned(),
    };
    let begun = std::time::Instant::now();
    let input = json!({"workload": "shop", "mode": "recover"});
    let clock = FakeClock::new();
    let outcome = handle(&vault, &clock, &places, &input).now_or_never();
    let taken = begun.elapsed();
    let planned = matches!(outcome, Some(Ok(outcome)) if outcome.kind() == "planned");
    json!({
        "planned": planned,
        "resources": points.div_ceil(EACH),
        "calls": vault.calls.load(Ordering::Relaxed),
        "milliseconds": taken.as_secs_f64() * 1000.0,
        "peakKb": peak(),
    })
}

/// The most memory that this process ever had, in kilobytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or(0)
}

impl Vault {
    fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn point(&self, n: usize) -> Option<RecoveryPoint> {
        // The backups of one resource lie far apart in the listing.
        let resources = self.points.div_ceil(EACH);
        let (resource, age) = (n % resources, n / resources);
        Some(RecoveryPoint {
            arn: RecoveryPointArn::parse(&format!("arn:aws:ec2:us-west-2::snapshot/snap-{n:017x}"))
                .ok()?,
            resource: Arn::parse(&format!(
                "arn:aws:ec2:us-east-1:111122223333:volume/vol-{resource:017x}"
            ))
            .ok()?,
            resource_type: "EBS".to_owned(),
            status: "COMPLETED".to_owned(),
            created: self.now - TimeDelta::hours(age as i64 + 1),
            size_bytes: Some(8 << 30),
            is_parent: false,
            is_child: false,
            threats_found: false,
            cold_from: None,
            archives: false,
        })
    }
}

impl RecoveryPoints for Vault {
    async fn list(
        &self,
        _: &str,
        page: Option<&str>,
    ) -> Result<Page<Option<RecoveryPoint>>, Error> {
        self.count();
        let from: usize = page.and_then(|page| page.parse().ok()).unwrap_or(0);
        let to = self.points.min(from + PAGE);
        Ok(Page {
            listed: (from..to).map(|n| self.point(n)).collect(),
            next: (to < self.points).then(|| to.to_string()),
        })
    }

    async fn restore_metadata(
        &self,
        _: &str,
        _: &RecoveryPointArn,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        self.count();
        Ok(None)
    }
}

impl RecoveryPointTags for Vault {
    async fn list(&self, _: &RecoveryPointArn) -> Result<Tags, Error> {
        self.count();
        Ok(Tags::new())
    }

    async fn list_together(
        &self,
        _: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        self.count();
        Ok(BTreeMap::new())
    }

    async fn list_planned(&self, ids: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        self.count();
        let tags = |id: &&str| {
            let tags = [
                ("recovery:workload", "shop"),
                ("recovery:stack", "shop"),
                ("recovery:logical-id", "Server"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
            ((*id).to_owned(), Tags::from(tags))
        };
        Ok(ids.iter().map(tags).collect())
    }
}

impl StackResources for Vault {
    async fn describe(&self, _: &str, _: &str) -> Result<Option<StackResource>, Error> {
        self.count();
        Ok(None)
    }

    async fn list(&self, _: &str) -> Result<Option<Vec<ListedResource>>, Error> {
        self.count();
        Ok(None)
    }
}

impl Instances for Vault {
    async fn describe(&self, id: &InstanceId) -> Result<Instance, Error> {
        self.count();
        Ok(Instance {
            id: id.clone(),
            state: "running".into(),
            zone: "us-west-2a".to_owned(),
            devices: Vec::new(),
        })
    }

    async fn list_of_stack(&self, _: &str, _: &str) -> Result<Vec<Instance>, Error> {
        self.count();
        Ok(Vec::new())
    }

    async fn list_of_group(&self, _: &str) -> Result<Vec<Instance>, Error> {
        self.count();
        Ok(Vec::new())
    }
}

impl AutoScalingGroups for Vault {
    async fn describe(&self, _: &str) -> Result<Option<Group>, Error> {
        self.count();
        Ok(None)
    }
}

impl Objects for Vault {
    async fn put(&self, _: &str, body: String) -> Result<(), Error> {
        self.count();
        *self
            .stored
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) += body.len();
        Ok(())
    }

    async fn get(&self, _: &str) -> Result<Option<String>, Error> {
        self.count();
        Ok(None)
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Page<String>, Error> {
        self.count();
        Ok(Page {
            listed: Vec::new(),
            next: None,
        })
    }
}

impl TargetPorts for Vault {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        self
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        &self.empty
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        &self.empty
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        self
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        self
    }
}

impl DataStorePorts for Vault {
    fn db_instances(&self) -> &(impl DbInstances + Sync) {
        &self.empty
    }

    fn db_clusters(&self) -> &(impl DbClusters + Sync) {
        &self.empty
    }

    fn tables(&self) -> &(impl Tables + Sync) {
        &self.empty
    }
}

impl PlanningPorts for Vault {
    fn images(&self) -> &(impl Images + Sync) {
        &self.empty
    }

    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.empty
    }

    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync) {
        self
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        self
    }

    fn objects(&self) -> &(impl Objects + Sync) {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_one_call_per_page_and_batch() {
        let plan = one(3_000);
        assert_eq!(plan["planned"], true, "{plan}");
        assert_eq!(plan["resources"], 100);
        // Three pages, one batch of tags, the target, the object.
        assert!(plan["calls"].as_u64() <= Some(8), "{plan}");
    }
}
