//! One wrapper around every port: an [`Interceptor`] decides what becomes of each call.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::aws::arn::{InstanceId, OpsItemId, RecoveryPointArn, RestoreJobId, VolumeId};
use crate::aws::auto_scaling::Group;
use crate::aws::backup::{
    Job, RecoveryPoint, Report, RestoreJob, RestoreRequest, RestoreTest, StartAnswer,
};
use crate::aws::cloudformation::StackResource;
use crate::aws::ec2::{
    AttachAnswer, DeviceName, Instance, RecoveredVolume, Snapshot, TestVolume, Volume,
};
use crate::aws::routing_control::{ClusterEndpoint, RoutingControl, ShiftAnswer, Switch};
use crate::aws::step_functions::Execution;
use crate::error::Error;
use crate::fakes::tags_operation;
use crate::notification::Notification;
use crate::ops_item::{Claim, DatedItem, ItemKey, NewOpsItem, OpsItem, OpsItemChange};
use crate::ports::{
    Clock, DatedOpsItems, Instances, KeptObjects, Metrics, Notifications, OpsItems, Page,
    PlanObjects, RecoveryExecutions, RecoveryPointTags, RecoveryPoints, RecoveryRecords,
    RestoreJobs, RestoreStarts, RestoreTests, Restores, RoutingControls, Runbooks, SnapshotTags,
    StackResources, Volumes,
};
use crate::report::measures::Measures;
use crate::tags::Tags;

/// A call through a port.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The IAM action.
    pub operation: &'static str,
    /// What the call is about: one id, or several separated by spaces. For a notification, its message.
    pub subject: &'a str,
    /// What the call changes.
    pub effect: Effect<'a>,
}

/// What a call changes.
#[derive(Debug, Clone, Copy)]
pub enum Effect<'a> {
    /// Nothing: the call reads.
    None,
    /// Attaches a volume to an instance.
    Attach(&'a VolumeId, &'a InstanceId, &'a DeviceName),
    /// Creates an OpsItem.
    Create(&'a NewOpsItem),
    /// Updates an OpsItem.
    Update(&'a OpsItemId, &'a OpsItemChange),
    /// Publishes a notification.
    Publish(&'a Notification),
    /// Something else.
    Other,
}

/// Decides what becomes of each call through the ports that it is wrapped around.
pub trait Interceptor: Sync {
    /// Answers `call`. `make` makes the call: an interceptor can call it once, never or several times, act
    /// before and after, and change the answer, whose type says which it is (see [`answered`]).
    fn intercept<T, F>(
        &self,
        call: Call<'_>,
        make: impl Fn() -> F + Send,
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send;
}

/// The answer as a `T`, if it is one: for interceptors that change answers.
pub fn answered<T: 'static>(answer: &mut impl std::any::Any) -> Option<&mut T> {
    let answer: &mut dyn std::any::Any = answer;
    answer.downcast_mut()
}

/// Ports through which each call is intercepted. `P` points to the ports that answer.
///
/// It dereferences to its interceptor, which tests ask what it saw.
#[derive(Debug)]
pub struct Intercepted<P, I> {
    /// The ports that answer.
    pub ports: P,
    /// What decides.
    pub interceptor: I,
}

impl<P, I> Deref for Intercepted<P, I> {
    type Target = I;

    fn deref(&self) -> &I {
        &self.interceptor
    }
}

impl<P, I: Interceptor> Intercepted<P, I> {
    /// A call that reads.
    async fn read<T, F>(
        &self,
        operation: &'static str,
        subject: &str,
        make: impl Fn() -> F + Send,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        self.call(operation, subject, Effect::None, make).await
    }

    /// A call with this effect.
    async fn call<T, F>(
        &self,
        operation: &'static str,
        subject: &str,
        effect: Effect<'_>,
        make: impl Fn() -> F + Send,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let call = Call {
            operation,
            subject,
            effect,
        };
        self.interceptor.intercept(call, make).await
    }
}

fn subjects<T: ToString>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(" ")
}

impl<P: Sync, I: Clock> Clock for Intercepted<P, I> {
    fn now(&self) -> DateTime<Utc> {
        self.interceptor.now()
    }

    fn remaining(&self) -> Duration {
        self.interceptor.remaining()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        self.interceptor.sleep(duration)
    }
}

impl<P: Deref<Target: Metrics> + Sync, I: Sync> Metrics for Intercepted<P, I> {
    fn record(&self, measures: &Measures) {
        self.ports.record(measures);
    }
}

impl<P, I> RestoreJobs for Intercepted<P, I>
where
    P: Deref<Target: RestoreJobs + Sync> + Sync,
    I: Interceptor,
{
    async fn restore_job(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        self.read("backup:DescribeRestoreJob", id.as_str(), || {
            self.ports.restore_job(id)
        })
        .await
    }
}

impl<P, I> Restores for Intercepted<P, I>
where
    P: Deref<Target: Restores + Sync> + Sync,
    I: Interceptor,
{
    async fn restores(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        self.read(
            "backup:ListRestoreJobs",
            page.unwrap_or("first page"),
            || self.ports.restores(since, page),
        )
        .await
    }

    async fn volumes(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, Error> {
        self.read("ec2:DescribeVolumes", &subjects(ids), || {
            self.ports.volumes(ids)
        })
        .await
    }

    async fn tags_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        self.read("ec2:DescribeTags", &subjects(points), || {
            self.ports.tags_together(points)
        })
        .await
    }
}

impl<P, I> RestoreTests for Intercepted<P, I>
where
    P: Deref<Target: RestoreTests + Sync> + Sync,
    I: Interceptor,
{
    async fn restore_test(&self, id: &RestoreJobId) -> Result<RestoreTest, Error> {
        self.read("backup:DescribeRestoreJob", id.as_str(), || {
            self.ports.restore_test(id)
        })
        .await
    }

    async fn test_volume(&self, id: &VolumeId) -> Result<Option<TestVolume>, Error> {
        self.read("ec2:DescribeVolumes", id.as_str(), || {
            self.ports.test_volume(id)
        })
        .await
    }

    async fn snapshot(&self, id: &str) -> Result<Option<Snapshot>, Error> {
        self.read("ec2:DescribeSnapshots", id, || self.ports.snapshot(id))
            .await
    }

    async fn report(&self, id: &RestoreJobId, report: &Report) -> Result<(), Error> {
        self.call(
            "backup:PutRestoreValidationResult",
            id.as_str(),
            Effect::Other,
            || self.ports.report(id, report),
        )
        .await
    }
}

impl<P, I> RecoveryPoints for Intercepted<P, I>
where
    P: Deref<Target: RecoveryPoints + Sync> + Sync,
    I: Interceptor,
{
    async fn recovery_points(
        &self,
        vault: &str,
        page: Option<&str>,
    ) -> Result<Page<Option<RecoveryPoint>>, Error> {
        self.read("backup:ListRecoveryPointsByBackupVault", vault, || {
            self.ports.recovery_points(vault, page)
        })
        .await
    }
}

impl<P, I> SnapshotTags for Intercepted<P, I>
where
    P: Deref<Target: SnapshotTags + Sync> + Sync,
    I: Interceptor,
{
    async fn snapshot_tags(&self, ids: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        self.read("ec2:DescribeTags", &subjects(ids), || {
            self.ports.snapshot_tags(ids)
        })
        .await
    }
}

impl<P, I> PlanObjects for Intercepted<P, I>
where
    P: Deref<Target: PlanObjects + Sync> + Sync,
    I: Interceptor,
{
    async fn store(&self, key: &str, body: String) -> Result<(), Error> {
        self.call("s3:PutObject", key, Effect::Other, || {
            self.ports.store(key, body.clone())
        })
        .await
    }

    async fn stored(&self, key: &str) -> Result<Option<String>, Error> {
        self.read("s3:GetObject", key, || self.ports.stored(key))
            .await
    }
}

impl<P, I> KeptObjects for Intercepted<P, I>
where
    P: Deref<Target: KeptObjects + Sync> + Sync,
    I: Interceptor,
{
    async fn kept(&self, prefix: &str, page: Option<&str>) -> Result<Page<String>, Error> {
        self.read("s3:ListBucket", prefix, || self.ports.kept(prefix, page))
            .await
    }
}

impl<P, I> RecoveryRecords for Intercepted<P, I>
where
    P: Deref<Target: RecoveryRecords + Sync> + Sync,
    I: Interceptor,
{
    async fn jobs_since(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<Job>, Error> {
        self.read(
            "backup:ListRestoreJobs",
            page.unwrap_or("first page"),
            || self.ports.jobs_since(since, page),
        )
        .await
    }

    async fn recovered_volumes(&self, ids: &[VolumeId]) -> Result<Vec<RecoveredVolume>, Error> {
        self.read("ec2:DescribeVolumes", &subjects(ids), || {
            self.ports.recovered_volumes(ids)
        })
        .await
    }
}

impl<P, I> DatedOpsItems for Intercepted<P, I>
where
    P: Deref<Target: DatedOpsItems + Sync> + Sync,
    I: Interceptor,
{
    async fn dated_item(&self, id: &OpsItemId) -> Result<Option<DatedItem>, Error> {
        self.read("ssm:GetOpsItem", id.as_str(), || self.ports.dated_item(id))
            .await
    }
}

impl<P, I> RestoreStarts for Intercepted<P, I>
where
    P: Deref<Target: RestoreStarts + Sync> + Sync,
    I: Interceptor,
{
    async fn restore_metadata(
        &self,
        vault: &str,
        point: &RecoveryPointArn,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        self.read(
            "backup:GetRecoveryPointRestoreMetadata",
            point.as_str(),
            || self.ports.restore_metadata(vault, point),
        )
        .await
    }

    async fn start_restore(&self, request: &RestoreRequest) -> Result<StartAnswer, Error> {
        self.call(
            "backup:StartRestoreJob",
            request.point.as_str(),
            Effect::Other,
            || self.ports.start_restore(request),
        )
        .await
    }
}

impl<P, I> RoutingControls for Intercepted<P, I>
where
    P: Deref<Target: RoutingControls + Sync> + Sync,
    I: Interceptor,
{
    async fn routing_state(
        &self,
        endpoint: &ClusterEndpoint,
        control: &RoutingControl,
    ) -> Result<Option<Switch>, Error> {
        self.read(
            "route53-recovery-cluster:GetRoutingControlState",
            control.as_str(),
            || self.ports.routing_state(endpoint, control),
        )
        .await
    }

    async fn set_routing(
        &self,
        endpoint: &ClusterEndpoint,
        wanted: &[(RoutingControl, Switch)],
    ) -> Result<ShiftAnswer, Error> {
        self.call(
            "route53-recovery-cluster:UpdateRoutingControlStates",
            &endpoint.region,
            Effect::Other,
            || self.ports.set_routing(endpoint, wanted),
        )
        .await
    }
}

impl<P, I> RecoveryExecutions for Intercepted<P, I>
where
    P: Deref<Target: RecoveryExecutions + Sync> + Sync,
    I: Interceptor,
{
    async fn recovery(&self, name: &str) -> Result<Option<Execution>, Error> {
        self.read("states:DescribeExecution", name, || {
            self.ports.recovery(name)
        })
        .await
    }

    async fn start_recovery(&self, name: &str, input: &str) -> Result<(), Error> {
        self.call("states:StartExecution", name, Effect::Other, || {
            self.ports.start_recovery(name, input)
        })
        .await
    }
}

impl<P, I> RecoveryPointTags for Intercepted<P, I>
where
    P: Deref<Target: RecoveryPointTags + Sync> + Sync,
    I: Interceptor,
{
    async fn tags(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        self.read(tags_operation(point)?, point.as_str(), || {
            self.ports.tags(point)
        })
        .await
    }
}

impl<P, I> StackResources for Intercepted<P, I>
where
    P: Deref<Target: StackResources + Sync> + Sync,
    I: Interceptor,
{
    async fn stack_resource(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<Option<StackResource>, Error> {
        self.read("cloudformation:DescribeStackResource", stack, || {
            self.ports.stack_resource(stack, logical_id)
        })
        .await
    }
}

impl<P, I> Volumes for Intercepted<P, I>
where
    P: Deref<Target: Volumes + Sync> + Sync,
    I: Interceptor,
{
    async fn volume(&self, id: &VolumeId) -> Result<Volume, Error> {
        self.read("ec2:DescribeVolumes", id.as_str(), || self.ports.volume(id))
            .await
    }

    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<AttachAnswer, Error> {
        self.call(
            "ec2:AttachVolume",
            volume.as_str(),
            Effect::Attach(volume, instance, device),
            || self.ports.attach(volume, instance, device),
        )
        .await
    }
}

impl<P, I> Instances for Intercepted<P, I>
where
    P: Deref<Target: Instances + Sync> + Sync,
    I: Interceptor,
{
    async fn instance(&self, id: &InstanceId) -> Result<Instance, Error> {
        self.read("ec2:DescribeInstances", id.as_str(), || {
            self.ports.instance(id)
        })
        .await
    }

    async fn stack_instances(&self, stack: &str, logical_id: &str) -> Result<Vec<Instance>, Error> {
        self.read("ec2:DescribeInstances", stack, || {
            self.ports.stack_instances(stack, logical_id)
        })
        .await
    }

    async fn group(&self, name: &str) -> Result<Option<Group>, Error> {
        self.read("autoscaling:DescribeAutoScalingGroups", name, || {
            self.ports.group(name)
        })
        .await
    }

    async fn group_instances(&self, group: &str) -> Result<Vec<Instance>, Error> {
        self.read("ec2:DescribeInstances", group, || {
            self.ports.group_instances(group)
        })
        .await
    }
}

impl<P, I> OpsItems for Intercepted<P, I>
where
    P: Deref<Target: OpsItems + Sync> + Sync,
    I: Interceptor,
{
    async fn find(&self, key: &ItemKey) -> Result<Vec<OpsItem>, Error> {
        self.read("ssm:DescribeOpsItems", key.as_str(), || {
            self.ports.find(key)
        })
        .await
    }

    async fn open(&self, kind: &'static str) -> Result<Vec<OpsItem>, Error> {
        self.read("ssm:DescribeOpsItems", kind, || self.ports.open(kind))
            .await
    }

    async fn get(&self, id: &OpsItemId) -> Result<OpsItem, Error> {
        self.read("ssm:GetOpsItem", id.as_str(), || self.ports.get(id))
            .await
    }

    async fn create(&self, item: &NewOpsItem) -> Result<Claim, Error> {
        self.call(
            "ssm:CreateOpsItem",
            item.key.as_str(),
            Effect::Create(item),
            || self.ports.create(item),
        )
        .await
    }

    async fn update(&self, id: &OpsItemId, change: &OpsItemChange) -> Result<(), Error> {
        self.call(
            "ssm:UpdateOpsItem",
            id.as_str(),
            Effect::Update(id, change),
            || self.ports.update(id, change),
        )
        .await
    }
}

impl<P, I> Notifications for Intercepted<P, I>
where
    P: Deref<Target: Notifications + Sync> + Sync,
    I: Interceptor,
{
    async fn notify(&self, notification: &Notification) -> Result<(), Error> {
        self.call(
            "sns:Publish",
            &notification.message,
            Effect::Publish(notification),
            || self.ports.notify(notification),
        )
        .await
    }
}

impl<P, I> Runbooks for Intercepted<P, I>
where
    P: Deref<Target: Runbooks + Sync> + Sync,
    I: Interceptor,
{
    async fn start(
        &self,
        runbook: &str,
        token: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<String, Error> {
        self.call(
            "ssm:StartAutomationExecution",
            runbook,
            Effect::Other,
            || self.ports.start(runbook, token, parameters),
        )
        .await
    }
}
