//! One wrapper around every port: an [`Interceptor`] decides what becomes of each call.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::aws::arn::{
    Arn, DbClusterId, DbInstanceId, InstanceId, OpsItemId, RecoveryPointArn, RestoreJobId, VolumeId,
};
use crate::aws::auto_scaling::Group;
use crate::aws::automation::RunbookExecution;
use crate::aws::backup::{
    RecoveryPoint, Report, RestoreJob, RestoreRequest, RestoreTest, StartAnswer,
};
use crate::aws::bucket::{BucketEncryption, ObjectOwnership};
use crate::aws::cloudformation::{ListedResource, StackResource, StackState};
use crate::aws::database::{CreateAnswer, DbChange, DbCluster, DbInstance, NewDbInstance, Scaling};
use crate::aws::ec2::{AttachAnswer, DeviceName, Image, Instance, Snapshot, Subnet, Volume};
use crate::aws::file_system::{
    AccessPoint, EfsAnswer, EfsFileSystem, FsxFileSystem, FsxVolume, MountTarget, NewAccessPoint,
    NewMountTarget, StorageMachine,
};
use crate::aws::instance::{Checks, RegisterAnswer, Server, TargetGroup, TargetHealth};
use crate::aws::routing_control::{ClusterEndpoint, RoutingControl, ShiftAnswer, Switch};
use crate::aws::step_functions::Execution;
use crate::aws::table::{ChangeAnswer, ContinuousBackups, Table, TableChange, TimeToLive};
use crate::error::Error;
use crate::fakes::phases::AllPorts;
use crate::fakes::tags_operation;
use crate::notification::Notification;
use crate::ops_item::{Claim, ItemKey, NewOpsItem, OpsItem, OpsItemChange};
use crate::ports::{
    AutoScalingGroups, Buckets, Clock, DbClusters, DbInstances, EfsFileSystems, FsxFileSystems,
    Functions, Images, Instances, Metrics, MountRunbook, Notifications, Objects, OpsItems, Page,
    Parameters, RecoveryExecutions, RecoveryPointTags, RecoveryPoints, RestoreJobs, RestoreTests,
    RoutingControls, Runbooks, Servers, Snapshots, StackResources, Stacks, Subnets, Tables,
    TaggedResources, TargetGroups, Volumes,
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

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> AllPorts for Intercepted<P, I> {}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> AutoScalingGroups for Intercepted<P, I> {
    async fn describe(&self, name: &str) -> Result<Option<Group>, Error> {
        self.read("autoscaling:DescribeAutoScalingGroups", name, || {
            AutoScalingGroups::describe(&*self.ports, name)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Buckets for Intercepted<P, I> {
    async fn is_versioned(&self, bucket: &str) -> Result<Option<bool>, Error> {
        self.read("s3:GetBucketVersioning", bucket, || {
            Buckets::is_versioned(&*self.ports, bucket)
        })
        .await
    }

    async fn ownership(&self, bucket: &str) -> Result<Option<ObjectOwnership>, Error> {
        self.read("s3:GetBucketOwnershipControls", bucket, || {
            Buckets::ownership(&*self.ports, bucket)
        })
        .await
    }

    async fn blocks_public_acls(&self, bucket: &str) -> Result<Option<bool>, Error> {
        self.read("s3:GetBucketPublicAccessBlock", bucket, || {
            Buckets::blocks_public_acls(&*self.ports, bucket)
        })
        .await
    }

    async fn encryption(&self, bucket: &str) -> Result<Option<BucketEncryption>, Error> {
        self.read("s3:GetEncryptionConfiguration", bucket, || {
            Buckets::encryption(&*self.ports, bucket)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> DbClusters for Intercepted<P, I> {
    async fn describe(&self, id: &DbClusterId) -> Result<Option<DbCluster>, Error> {
        self.read("rds:DescribeDBClusters", id.as_str(), || {
            DbClusters::describe(&*self.ports, id)
        })
        .await
    }

    async fn modify(&self, id: &DbClusterId, change: &DbChange) -> Result<(), Error> {
        self.call("rds:ModifyDBCluster", id.as_str(), Effect::Other, || {
            DbClusters::modify(&*self.ports, id, change)
        })
        .await
    }

    async fn scale(&self, id: &DbClusterId, scaling: Scaling) -> Result<(), Error> {
        self.call("rds:ModifyDBCluster", id.as_str(), Effect::Other, || {
            DbClusters::scale(&*self.ports, id, scaling)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> DbInstances for Intercepted<P, I> {
    async fn describe(&self, id: &DbInstanceId) -> Result<Option<DbInstance>, Error> {
        self.read("rds:DescribeDBInstances", id.as_str(), || {
            DbInstances::describe(&*self.ports, id)
        })
        .await
    }

    async fn list_of_cluster(&self, cluster: &DbClusterId) -> Result<Vec<DbInstance>, Error> {
        self.read("rds:DescribeDBInstances", cluster.as_str(), || {
            DbInstances::list_of_cluster(&*self.ports, cluster)
        })
        .await
    }

    async fn create(&self, new: &NewDbInstance) -> Result<CreateAnswer, Error> {
        self.call(
            "rds:CreateDBInstance",
            new.id.as_str(),
            Effect::Other,
            || DbInstances::create(&*self.ports, new),
        )
        .await
    }

    async fn modify(&self, id: &DbInstanceId, change: &DbChange) -> Result<(), Error> {
        self.call("rds:ModifyDBInstance", id.as_str(), Effect::Other, || {
            DbInstances::modify(&*self.ports, id, change)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> EfsFileSystems for Intercepted<P, I> {
    async fn describe(&self, id: &str) -> Result<Option<EfsFileSystem>, Error> {
        self.read("elasticfilesystem:DescribeFileSystems", id, || {
            EfsFileSystems::describe(&*self.ports, id)
        })
        .await
    }

    async fn list_mount_targets(&self, file_system: &str) -> Result<Vec<MountTarget>, Error> {
        self.read(
            "elasticfilesystem:DescribeMountTargets",
            file_system,
            || EfsFileSystems::list_mount_targets(&*self.ports, file_system),
        )
        .await
    }

    async fn list_access_points(&self, file_system: &str) -> Result<Vec<AccessPoint>, Error> {
        self.read(
            "elasticfilesystem:DescribeAccessPoints",
            file_system,
            || EfsFileSystems::list_access_points(&*self.ports, file_system),
        )
        .await
    }

    async fn create_mount_target(&self, new: &NewMountTarget) -> Result<EfsAnswer, Error> {
        let subject = format!("{} {}", new.file_system, new.subnet);
        self.call(
            "elasticfilesystem:CreateMountTarget",
            &subject,
            Effect::Other,
            || EfsFileSystems::create_mount_target(&*self.ports, new),
        )
        .await
    }

    async fn create_access_point(&self, new: &NewAccessPoint) -> Result<EfsAnswer, Error> {
        let subject = format!("{} {}", new.file_system, new.path);
        self.call(
            "elasticfilesystem:CreateAccessPoint",
            &subject,
            Effect::Other,
            || EfsFileSystems::create_access_point(&*self.ports, new),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Images for Intercepted<P, I> {
    async fn describe(&self, id: &str) -> Result<Option<Image>, Error> {
        self.read("ec2:DescribeImages", id, || {
            Images::describe(&*self.ports, id)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Servers for Intercepted<P, I> {
    async fn find(&self, id: &InstanceId) -> Result<Option<Server>, Error> {
        self.read("ec2:DescribeInstances", id.as_str(), || {
            Servers::find(&*self.ports, id)
        })
        .await
    }

    async fn checks(&self, id: &InstanceId) -> Result<Option<Checks>, Error> {
        self.read("ec2:DescribeInstanceStatus", id.as_str(), || {
            Servers::checks(&*self.ports, id)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> TargetGroups for Intercepted<P, I> {
    async fn describe(&self, arn: &str) -> Result<Option<TargetGroup>, Error> {
        self.read("elasticloadbalancing:DescribeTargetGroups", arn, || {
            TargetGroups::describe(&*self.ports, arn)
        })
        .await
    }

    async fn health(&self, arn: &str, id: &InstanceId) -> Result<Option<TargetHealth>, Error> {
        let subject = format!("{arn} {id}");
        self.read(
            "elasticloadbalancing:DescribeTargetHealth",
            &subject,
            || TargetGroups::health(&*self.ports, arn, id),
        )
        .await
    }

    async fn register(&self, arn: &str, id: &InstanceId) -> Result<RegisterAnswer, Error> {
        let subject = format!("{arn} {id}");
        self.call(
            "elasticloadbalancing:RegisterTargets",
            &subject,
            Effect::Other,
            || TargetGroups::register(&*self.ports, arn, id),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> FsxFileSystems for Intercepted<P, I> {
    async fn describe(&self, id: &str) -> Result<Option<FsxFileSystem>, Error> {
        self.read("fsx:DescribeFileSystems", id, || {
            FsxFileSystems::describe(&*self.ports, id)
        })
        .await
    }

    async fn volume(&self, id: &str) -> Result<Option<FsxVolume>, Error> {
        self.read("fsx:DescribeVolumes", id, || {
            FsxFileSystems::volume(&*self.ports, id)
        })
        .await
    }

    async fn volume_path(&self, id: &str) -> Result<Option<String>, Error> {
        self.read("fsx:DescribeVolumes", id, || {
            FsxFileSystems::volume_path(&*self.ports, id)
        })
        .await
    }

    async fn storage_machine(&self, id: &str) -> Result<Option<StorageMachine>, Error> {
        self.read("fsx:DescribeStorageVirtualMachines", id, || {
            FsxFileSystems::storage_machine(&*self.ports, id)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Functions for Intercepted<P, I> {
    async fn invoke(&self, function: &str, payload: &Value) -> Result<(), Error> {
        self.call("lambda:InvokeFunction", function, Effect::Other, || {
            Functions::invoke(&*self.ports, function, payload)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Instances for Intercepted<P, I> {
    async fn describe(&self, id: &InstanceId) -> Result<Instance, Error> {
        self.read("ec2:DescribeInstances", id.as_str(), || {
            Instances::describe(&*self.ports, id)
        })
        .await
    }

    async fn list_of_stack(&self, stack: &str, logical_id: &str) -> Result<Vec<Instance>, Error> {
        self.read("ec2:DescribeInstances", stack, || {
            Instances::list_of_stack(&*self.ports, stack, logical_id)
        })
        .await
    }

    async fn list_of_group(&self, group: &str) -> Result<Vec<Instance>, Error> {
        self.read("ec2:DescribeInstances", group, || {
            Instances::list_of_group(&*self.ports, group)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Notifications for Intercepted<P, I> {
    async fn publish(&self, notification: &Notification) -> Result<(), Error> {
        self.call(
            "sns:Publish",
            &notification.message,
            Effect::Publish(notification),
            || Notifications::publish(&*self.ports, notification),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> MountRunbook for Intercepted<P, I> {
    fn name(&self) -> Option<&str> {
        MountRunbook::name(&*self.ports)
    }

    async fn start(
        &self,
        token: &str,
        parameters: &[(&'static str, Vec<String>)],
    ) -> Result<String, Error> {
        self.call(
            "ssm:StartAutomationExecution",
            "MountFileSystem",
            Effect::Other,
            || MountRunbook::start(&*self.ports, token, parameters),
        )
        .await
    }

    async fn describe(&self, execution: &str) -> Result<Option<RunbookExecution>, Error> {
        self.read("ssm:GetAutomationExecution", execution, || {
            MountRunbook::describe(&*self.ports, execution)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Parameters for Intercepted<P, I> {
    async fn get(&self, names: &[String]) -> Result<BTreeMap<String, String>, Error> {
        self.read("ssm:GetParameters", &subjects(names), || {
            Parameters::get(&*self.ports, names)
        })
        .await
    }

    async fn create(
        &self,
        name: &str,
        value: &str,
        tags: &[(&'static str, String)],
    ) -> Result<bool, Error> {
        self.call("ssm:PutParameter", name, Effect::Other, || {
            Parameters::create(&*self.ports, name, value, tags)
        })
        .await
    }

    async fn replace(&self, name: &str, value: &str) -> Result<(), Error> {
        self.call("ssm:PutParameter", name, Effect::Other, || {
            Parameters::replace(&*self.ports, name, value)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Objects for Intercepted<P, I> {
    async fn put(&self, key: &str, body: String) -> Result<(), Error> {
        self.call("s3:PutObject", key, Effect::Other, || {
            Objects::put(&*self.ports, key, body.clone())
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        self.read("s3:GetObject", key, || Objects::get(&*self.ports, key))
            .await
    }

    async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page<String>, Error> {
        self.read("s3:ListBucket", prefix, || {
            Objects::list(&*self.ports, prefix, page)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> OpsItems for Intercepted<P, I> {
    async fn list(&self, key: &ItemKey) -> Result<Vec<OpsItem>, Error> {
        self.read("ssm:DescribeOpsItems", key.as_str(), || {
            OpsItems::list(&*self.ports, key)
        })
        .await
    }

    async fn list_open(&self, kind: &'static str) -> Result<Vec<OpsItem>, Error> {
        self.read("ssm:DescribeOpsItems", kind, || {
            OpsItems::list_open(&*self.ports, kind)
        })
        .await
    }

    async fn list_resolved(
        &self,
        kind: &'static str,
        since: DateTime<Utc>,
    ) -> Result<Vec<OpsItem>, Error> {
        self.read("ssm:DescribeOpsItems", kind, || {
            OpsItems::list_resolved(&*self.ports, kind, since)
        })
        .await
    }

    async fn get(&self, id: &OpsItemId) -> Result<OpsItem, Error> {
        self.read("ssm:GetOpsItem", id.as_str(), || {
            OpsItems::get(&*self.ports, id)
        })
        .await
    }

    async fn find(&self, id: &OpsItemId) -> Result<Option<OpsItem>, Error> {
        self.read("ssm:GetOpsItem", id.as_str(), || {
            OpsItems::find(&*self.ports, id)
        })
        .await
    }

    async fn create(&self, item: &NewOpsItem) -> Result<Claim, Error> {
        self.call(
            "ssm:CreateOpsItem",
            item.key.as_str(),
            Effect::Create(item),
            || OpsItems::create(&*self.ports, item),
        )
        .await
    }

    async fn update(&self, id: &OpsItemId, change: &OpsItemChange) -> Result<(), Error> {
        self.call(
            "ssm:UpdateOpsItem",
            id.as_str(),
            Effect::Update(id, change),
            || OpsItems::update(&*self.ports, id, change),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> RecoveryExecutions for Intercepted<P, I> {
    async fn describe(&self, name: &str) -> Result<Option<Execution>, Error> {
        self.read("states:DescribeExecution", name, || {
            RecoveryExecutions::describe(&*self.ports, name)
        })
        .await
    }

    async fn start(&self, name: &str, input: &str) -> Result<(), Error> {
        self.call("states:StartExecution", name, Effect::Other, || {
            RecoveryExecutions::start(&*self.ports, name, input)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> RecoveryPointTags for Intercepted<P, I> {
    async fn list(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        self.read(tags_operation(point)?, point.as_str(), || {
            RecoveryPointTags::list(&*self.ports, point)
        })
        .await
    }

    async fn list_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        self.read("ec2:DescribeTags", &subjects(points), || {
            RecoveryPointTags::list_together(&*self.ports, points)
        })
        .await
    }

    async fn list_planned(&self, ids: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        self.read("ec2:DescribeTags", &subjects(ids), || {
            RecoveryPointTags::list_planned(&*self.ports, ids)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> RecoveryPoints for Intercepted<P, I> {
    async fn list(
        &self,
        vault: &str,
        page: Option<&str>,
    ) -> Result<Page<Option<RecoveryPoint>>, Error> {
        self.read("backup:ListRecoveryPointsByBackupVault", vault, || {
            RecoveryPoints::list(&*self.ports, vault, page)
        })
        .await
    }

    async fn restore_metadata(
        &self,
        vault: &str,
        point: &RecoveryPointArn,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        self.read(
            "backup:GetRecoveryPointRestoreMetadata",
            point.as_str(),
            || RecoveryPoints::restore_metadata(&*self.ports, vault, point),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> RestoreJobs for Intercepted<P, I> {
    async fn describe(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        self.read("backup:DescribeRestoreJob", id.as_str(), || {
            RestoreJobs::describe(&*self.ports, id)
        })
        .await
    }

    async fn list(
        &self,
        resource_type: Option<&str>,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        self.read(
            "backup:ListRestoreJobs",
            page.unwrap_or("first page"),
            || RestoreJobs::list(&*self.ports, resource_type, since, page),
        )
        .await
    }

    async fn metadata(&self, id: &RestoreJobId) -> Result<BTreeMap<String, String>, Error> {
        self.read("backup:GetRestoreJobMetadata", id.as_str(), || {
            RestoreJobs::metadata(&*self.ports, id)
        })
        .await
    }

    async fn start(&self, request: &RestoreRequest) -> Result<StartAnswer, Error> {
        self.call(
            "backup:StartRestoreJob",
            request.point.as_str(),
            Effect::Other,
            || RestoreJobs::start(&*self.ports, request),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> RestoreTests for Intercepted<P, I> {
    async fn describe(&self, id: &RestoreJobId) -> Result<RestoreTest, Error> {
        self.read("backup:DescribeRestoreJob", id.as_str(), || {
            RestoreTests::describe(&*self.ports, id)
        })
        .await
    }

    async fn put_result(&self, id: &RestoreJobId, report: &Report) -> Result<(), Error> {
        self.call(
            "backup:PutRestoreValidationResult",
            id.as_str(),
            Effect::Other,
            || RestoreTests::put_result(&*self.ports, id, report),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> RoutingControls for Intercepted<P, I> {
    async fn get(
        &self,
        endpoint: &ClusterEndpoint,
        control: &RoutingControl,
    ) -> Result<Option<Switch>, Error> {
        self.read(
            "route53-recovery-cluster:GetRoutingControlState",
            control.as_str(),
            || RoutingControls::get(&*self.ports, endpoint, control),
        )
        .await
    }

    async fn update(
        &self,
        endpoint: &ClusterEndpoint,
        wanted: &[(RoutingControl, Switch)],
    ) -> Result<ShiftAnswer, Error> {
        self.call(
            "route53-recovery-cluster:UpdateRoutingControlStates",
            &endpoint.region,
            Effect::Other,
            || RoutingControls::update(&*self.ports, endpoint, wanted),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Runbooks for Intercepted<P, I> {
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
            || Runbooks::start(&*self.ports, runbook, token, parameters),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Snapshots for Intercepted<P, I> {
    async fn describe(&self, id: &str) -> Result<Option<Snapshot>, Error> {
        self.read("ec2:DescribeSnapshots", id, || {
            Snapshots::describe(&*self.ports, id)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> StackResources for Intercepted<P, I> {
    async fn describe(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<Option<StackResource>, Error> {
        self.read("cloudformation:DescribeStackResource", stack, || {
            StackResources::describe(&*self.ports, stack, logical_id)
        })
        .await
    }

    async fn list(&self, stack: &str) -> Result<Option<Vec<ListedResource>>, Error> {
        self.read("cloudformation:ListStackResources", stack, || {
            StackResources::list(&*self.ports, stack)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Stacks for Intercepted<P, I> {
    async fn describe(&self, stack: &str) -> Result<Option<StackState>, Error> {
        self.read("cloudformation:DescribeStacks", stack, || {
            Stacks::describe(&*self.ports, stack)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Subnets for Intercepted<P, I> {
    async fn list(&self, ids: &[String]) -> Result<Vec<Subnet>, Error> {
        self.read("ec2:DescribeSubnets", &subjects(ids), || {
            Subnets::list(&*self.ports, ids)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> TaggedResources for Intercepted<P, I> {
    async fn list(&self, resource_type: &str, key: &str, value: &str) -> Result<Vec<Arn>, Error> {
        self.read("tag:GetResources", resource_type, || {
            TaggedResources::list(&*self.ports, resource_type, key, value)
        })
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Tables for Intercepted<P, I> {
    async fn describe(&self, name: &str) -> Result<Option<Table>, Error> {
        self.read("dynamodb:DescribeTable", name, || {
            Tables::describe(&*self.ports, name)
        })
        .await
    }

    async fn continuous_backups(&self, name: &str) -> Result<Option<ContinuousBackups>, Error> {
        self.read("dynamodb:DescribeContinuousBackups", name, || {
            Tables::continuous_backups(&*self.ports, name)
        })
        .await
    }

    async fn time_to_live(&self, name: &str) -> Result<Option<TimeToLive>, Error> {
        self.read("dynamodb:DescribeTimeToLive", name, || {
            Tables::time_to_live(&*self.ports, name)
        })
        .await
    }

    async fn list_tags(&self, table: &Arn) -> Result<Option<Tags>, Error> {
        self.read("dynamodb:ListTagsOfResource", table.as_str(), || {
            Tables::list_tags(&*self.ports, table)
        })
        .await
    }

    async fn update(&self, name: &str, change: &TableChange) -> Result<ChangeAnswer, Error> {
        self.call("dynamodb:UpdateTable", name, Effect::Other, || {
            Tables::update(&*self.ports, name, change)
        })
        .await
    }

    async fn update_continuous_backups(
        &self,
        name: &str,
        days: Option<u8>,
    ) -> Result<ChangeAnswer, Error> {
        self.call(
            "dynamodb:UpdateContinuousBackups",
            name,
            Effect::Other,
            || Tables::update_continuous_backups(&*self.ports, name, days),
        )
        .await
    }

    async fn update_time_to_live(
        &self,
        name: &str,
        attribute: &str,
    ) -> Result<ChangeAnswer, Error> {
        self.call("dynamodb:UpdateTimeToLive", name, Effect::Other, || {
            Tables::update_time_to_live(&*self.ports, name, attribute)
        })
        .await
    }

    async fn tag(&self, table: &Arn, tags: &Tags) -> Result<ChangeAnswer, Error> {
        self.call(
            "dynamodb:TagResource",
            table.as_str(),
            Effect::Other,
            || Tables::tag(&*self.ports, table, tags),
        )
        .await
    }
}

impl<P: Deref<Target: AllPorts> + Sync, I: Interceptor> Volumes for Intercepted<P, I> {
    async fn describe(&self, id: &VolumeId) -> Result<Volume, Error> {
        self.read("ec2:DescribeVolumes", id.as_str(), || {
            Volumes::describe(&*self.ports, id)
        })
        .await
    }

    async fn list(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, Error> {
        self.read("ec2:DescribeVolumes", &subjects(ids), || {
            Volumes::list(&*self.ports, ids)
        })
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
            || Volumes::attach(&*self.ports, volume, instance, device),
        )
        .await
    }
}
