//! A Region in virtual time: each call takes a while, and EC2 grants only so many.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use recovery_core::aws::arn::{InstanceId, OpsItemId, RecoveryPointArn, RestoreJobId, VolumeId};
use recovery_core::aws::auto_scaling::Group;
use recovery_core::aws::backup::RestoreJob;
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::{AttachAnswer, DeviceName, Instance, Volume};
use recovery_core::error::{Error, Fault};
use recovery_core::fakes::World;
use recovery_core::notification::Notification;
use recovery_core::ops_item::{Claim, ItemKey, NewOpsItem, OpsItem, OpsItemChange};
use recovery_core::ports::{
    Clock, Instances, Notifications, OpsItems, Page, RecoveryPointTags, RestoreJobs, Restores,
    StackResources, Volumes,
};
use recovery_core::tags::Tags;
use tokio::time::Instant;

/// How long a call takes.
const LATENCY: Duration = Duration::from_millis(30);
/// What the SDK does about a call that is refused: crates/recovery-aws/src/client.rs.
const ATTEMPTS: u32 = 4;
const OPERATION: Duration = Duration::from_secs(20);
/// Restore jobs on a page of AWS Backup's listing.
const PAGE: usize = 1000;

/// Tokens of one action: how many there can be, and how many come each second.
fn quota(action: &str) -> Option<(f64, f64)> {
    match action {
        "ec2:AttachVolume" => Some((50.0, 5.0)),
        action if action.starts_with("ec2:Describe") => Some((100.0, 20.0)),
        _ => None,
    }
}

struct Bucket {
    tokens: f64,
    since: Instant,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) calls: usize,
    pub(crate) refused: usize,
}

/// The Region.
pub(crate) struct Region<'a> {
    world: &'a World,
    buckets: Mutex<BTreeMap<&'static str, Bucket>>,
    counts: Mutex<Counts>,
    random: Mutex<fastrand::Rng>,
}

impl<'a> Region<'a> {
    pub(crate) fn of(world: &'a World) -> Region<'a> {
        Region {
            world,
            buckets: Mutex::default(),
            counts: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(7)),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        *locked(&self.counts)
    }

    fn granted(&self, action: &'static str) -> bool {
        let Some((most, each_second)) = quota(action) else {
            return true;
        };
        let now = Instant::now();
        let mut buckets = locked(&self.buckets);
        let bucket = buckets.entry(action).or_insert(Bucket {
            tokens: most,
            since: now,
        });
        let came = (now - bucket.since).as_secs_f64() * each_second;
        bucket.tokens = (bucket.tokens + came).min(most);
        bucket.since = now;
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        }
        granted
    }

    /// The call as the SDK makes it: what is refused is tried again after a pause, `attempts` times.
    async fn call<T>(
        &self,
        action: &'static str,
        attempts: u32,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        for attempt in 1.. {
            locked(&self.counts).calls += 1;
            tokio::time::sleep(LATENCY).await;
            if self.granted(action) {
                return call.await;
            }
            locked(&self.counts).refused += 1;
            let pause = locked(&self.random).f64() * f64::from(1_u32 << attempt.min(5)) / 2.0;
            let pause = Duration::from_secs_f64(pause.min(20.0));
            if attempt >= attempts || begun.elapsed() + pause > OPERATION {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        let fault = Fault::new(action, "a call", "Request limit exceeded.", "Wait.");
        Err(Error::Retryable(fault.with_code("RequestLimitExceeded")))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The clock of a run that has this much time.
pub(crate) struct RunClock {
    begun: Instant,
    time: Duration,
    epoch: (Instant, DateTime<Utc>),
}

impl RunClock {
    pub(crate) fn new(time: Duration, epoch: (Instant, DateTime<Utc>)) -> RunClock {
        RunClock {
            begun: Instant::now(),
            time,
            epoch,
        }
    }
}

impl Clock for RunClock {
    fn now(&self) -> DateTime<Utc> {
        let (instant, date) = self.epoch;
        date + TimeDelta::from_std(instant.elapsed()).unwrap_or_default()
    }

    fn remaining(&self) -> Duration {
        self.time.saturating_sub(self.begun.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Restores for Region<'_> {
    async fn restores(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        let listed = async {
            let state = self.world.state();
            let from: usize = page.and_then(|page| page.parse().ok()).unwrap_or(0);
            let all = state.restore_jobs.values();
            let recent = all.filter(|job| job.completed.is_none_or(|completed| completed >= since));
            let listed: Vec<RestoreJob> = recent.skip(from).take(PAGE).cloned().collect();
            let next = (from + listed.len() < state.restore_jobs.len())
                .then(|| (from + listed.len()).to_string());
            Ok(Page { listed, next })
        };
        self.call("backup:ListRestoreJobs", ATTEMPTS, listed).await
    }

    async fn volumes(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, Error> {
        self.call("ec2:DescribeVolumes", ATTEMPTS, self.world.volumes(ids))
            .await
    }

    async fn tags_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        let tags = self.world.tags_together(points);
        self.call("ec2:DescribeTags", ATTEMPTS, tags).await
    }
}

impl RestoreJobs for Region<'_> {
    async fn restore_job(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        let job = self.world.restore_job(id);
        self.call("backup:DescribeRestoreJob", ATTEMPTS, job).await
    }
}

impl RecoveryPointTags for Region<'_> {
    async fn tags(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        self.call("ec2:DescribeTags", ATTEMPTS, self.world.tags(point))
            .await
    }
}

impl StackResources for Region<'_> {
    async fn stack_resource(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<Option<StackResource>, Error> {
        let resource = self.world.stack_resource(stack, logical_id);
        self.call("cloudformation:DescribeStackResource", ATTEMPTS, resource)
            .await
    }
}

impl Volumes for Region<'_> {
    async fn volume(&self, id: &VolumeId) -> Result<Volume, Error> {
        self.call("ec2:DescribeVolumes", ATTEMPTS, self.world.volume(id))
            .await
    }

    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<AttachAnswer, Error> {
        let attached = self.world.attach(volume, instance, device);
        match self.call("ec2:AttachVolume", 1, attached).await {
            Err(Error::Retryable(fault)) if fault.code() == Some("RequestLimitExceeded") => {
                Ok(AttachAnswer::Busy(fault))
            }
            answer => answer,
        }
    }
}

impl Instances for Region<'_> {
    async fn instance(&self, id: &InstanceId) -> Result<Instance, Error> {
        self.call("ec2:DescribeInstances", ATTEMPTS, self.world.instance(id))
            .await
    }

    async fn stack_instances(&self, stack: &str, logical_id: &str) -> Result<Vec<Instance>, Error> {
        let instances = self.world.stack_instances(stack, logical_id);
        self.call("ec2:DescribeInstances", ATTEMPTS, instances)
            .await
    }

    async fn group(&self, name: &str) -> Result<Option<Group>, Error> {
        self.call(
            "autoscaling:DescribeAutoScalingGroups",
            ATTEMPTS,
            self.world.group(name),
        )
        .await
    }

    async fn group_instances(&self, group: &str) -> Result<Vec<Instance>, Error> {
        let instances = self.world.group_instances(group);
        self.call("ec2:DescribeInstances", ATTEMPTS, instances)
            .await
    }
}

impl OpsItems for Region<'_> {
    async fn find(&self, key: &ItemKey) -> Result<Vec<OpsItem>, Error> {
        self.call("ssm:DescribeOpsItems", ATTEMPTS, self.world.find(key))
            .await
    }

    async fn open(&self, kind: &'static str) -> Result<Vec<OpsItem>, Error> {
        self.call("ssm:DescribeOpsItems", ATTEMPTS, self.world.open(kind))
            .await
    }

    async fn get(&self, id: &OpsItemId) -> Result<OpsItem, Error> {
        self.call("ssm:GetOpsItem", ATTEMPTS, self.world.get(id))
            .await
    }

    async fn create(&self, item: &NewOpsItem) -> Result<Claim, Error> {
        self.call("ssm:CreateOpsItem", ATTEMPTS, self.world.create(item))
            .await
    }

    async fn update(&self, id: &OpsItemId, change: &OpsItemChange) -> Result<(), Error> {
        self.call("ssm:UpdateOpsItem", ATTEMPTS, self.world.update(id, change))
            .await
    }
}

impl Notifications for Region<'_> {
    async fn notify(&self, notification: &Notification) -> Result<(), Error> {
        self.call("sns:Publish", ATTEMPTS, self.world.notify(notification))
            .await
    }
}
