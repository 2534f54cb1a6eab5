//! The ports: traits through which the core calls AWS.
//!
//! A port is a noun of one AWS service, such as [`Volumes`]. Its methods are the verbs of the service's
//! API, and each calls one operation: all its pages, or the one page that a [`Page`] returns. The adapters in
//! `recovery-aws` implement the ports, and so does `World` of the fakes.
//!
//! Each phase of a recovery has a trait with an accessor for each port that it uses, such as
//! [`IntegrationPorts`], so that the code reads `ports.volumes().attach(…)`. A function that uses one port
//! takes this port.
//!
//! A new port takes its trait here, an accessor in each phase that uses it, an adapter in `recovery-aws`,
//! its fake, and its place in `Intercepted`, through which all tests inject faults.

use std::collections::BTreeMap;
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
use crate::notification::Notification;
use crate::ops_item::{Claim, ItemKey, NewOpsItem, OpsItem, OpsItemChange};
use crate::report::measures::Measures;
use crate::tags::Tags;

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries of this page.
    pub listed: Vec<T>,
    /// The token that asks for the next page, if there is one.
    pub next: Option<String>,
}

/// Restore jobs of AWS Backup.
pub trait RestoreJobs {
    /// The job as it is now.
    fn describe(&self, id: &RestoreJobId)
    -> impl Future<Output = Result<RestoreJob, Error>> + Send;

    /// One page of the jobs that were created at `since` or later, whatever their status, in any order.
    /// With a resource type, only jobs that restore resources of this type.
    fn list(
        &self,
        resource_type: Option<&str>,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> impl Future<Output = Result<Page<RestoreJob>, Error>> + Send;

    /// The metadata with which the job was started.
    fn metadata(
        &self,
        id: &RestoreJobId,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, Error>> + Send;

    /// Starts a restore job. As long as AWS Backup remembers the request's token, it does not start a
    /// second job for it, but returns the first.
    fn start(
        &self,
        request: &RestoreRequest,
    ) -> impl Future<Output = Result<StartAnswer, Error>> + Send;
}

/// Restore tests of AWS Backup: restore jobs that a restore testing plan started.
pub trait RestoreTests {
    /// The job of the test as it is now, and its result.
    fn describe(
        &self,
        id: &RestoreJobId,
    ) -> impl Future<Output = Result<RestoreTest, Error>> + Send;

    /// Reports the result of the test. A result cannot be changed afterwards.
    fn put_result(
        &self,
        id: &RestoreJobId,
        report: &Report,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Recovery points in backup vaults.
pub trait RecoveryPoints {
    /// One page of the recovery points in the vault, in any order. `None` stands for an entry without an
    /// ARN, a resource or a date.
    fn list(
        &self,
        vault: &str,
        page: Option<&str>,
    ) -> impl Future<Output = Result<Page<Option<RecoveryPoint>>, Error>> + Send;

    /// The metadata that AWS Backup stored with the recovery point for its restore; `None` if the vault
    /// does not contain the recovery point.
    fn restore_metadata(
        &self,
        vault: &str,
        point: &RecoveryPointArn,
    ) -> impl Future<Output = Result<Option<BTreeMap<String, String>>, Error>> + Send;
}

/// How many snapshots and images [`RecoveryPointTags::list_planned`] takes: EC2 accepts 200 values in all
/// filters of a call together, and the keys of the tags are values, too (`FilterLimitExceeded` in
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>).
pub const SNAPSHOTS_AT_ONCE: usize = 200 - crate::tags::PLANNED.len();

/// Tags of recovery points. Which service stores them follows from the ARN
/// ([`tag_home`](RecoveryPointArn::tag_home)).
pub trait RecoveryPointTags {
    /// All tags of the recovery point, from every page.
    fn list(&self, point: &RecoveryPointArn) -> impl Future<Output = Result<Tags, Error>> + Send;

    /// All tags of those of the recovery points whose tags EC2 stores, by recovery point. At most 200.
    fn list_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> impl Future<Output = Result<BTreeMap<RecoveryPointArn, Tags>, Error>> + Send;

    /// The [`PLANNED`](crate::tags::PLANNED) tags of these snapshots and images, by id; without those
    /// that have none of these tags. At most [`SNAPSHOTS_AT_ONCE`].
    fn list_planned(
        &self,
        ids: &[&str],
    ) -> impl Future<Output = Result<BTreeMap<String, Tags>, Error>> + Send;
}

/// Objects in the recovery bucket: plans, records of restore jobs, reports.
pub trait Objects {
    /// Stores `body` under `key`. An object that exists under this key stays as it is.
    fn put(&self, key: &str, body: String) -> impl Future<Output = Result<(), Error>> + Send;

    /// The object under `key`; `None` if there is none.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<String>, Error>> + Send;

    /// One page of the keys that begin with `prefix`, in any order.
    fn list(
        &self,
        prefix: &str,
        page: Option<&str>,
    ) -> impl Future<Output = Result<Page<String>, Error>> + Send;
}

/// Resources of CloudFormation stacks in the recovery Region.
pub trait StackResources {
    /// The resource with this logical id; `None` if the stack or the resource does not exist.
    fn describe(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> impl Future<Output = Result<Option<StackResource>, Error>> + Send;

    /// All resources of the stack, from every page; `None` if the stack does not exist. `stack` is a name,
    /// or the ARN of a nested stack.
    fn list(
        &self,
        stack: &str,
    ) -> impl Future<Output = Result<Option<Vec<ListedResource>>, Error>> + Send;
}

/// CloudFormation stacks in the recovery Region.
pub trait Stacks {
    /// The state of the stack; `None` if it does not exist.
    fn describe(
        &self,
        stack: &str,
    ) -> impl Future<Output = Result<Option<StackState>, Error>> + Send;
}

/// Resources of all services by their tags, in the Resource Groups Tagging API. It can be some seconds
/// behind the services.
pub trait TaggedResources {
    /// The resources of this type, such as `rds:subgrp`, with this tag, from every page.
    fn list(
        &self,
        resource_type: &str,
        key: &str,
        value: &str,
    ) -> impl Future<Output = Result<Vec<Arn>, Error>> + Send;
}

/// How many volumes [`Volumes::list`] takes: EC2 accepts 200 values in a filter
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>).
pub const VOLUMES_AT_ONCE: usize = 200;

/// EBS volumes.
pub trait Volumes {
    /// The volume as it is now. A volume that EC2 does not show is an error.
    fn describe(&self, id: &VolumeId) -> impl Future<Output = Result<Volume, Error>> + Send;

    /// The volumes with these ids that exist, as they are now, in any order. At most
    /// [`VOLUMES_AT_ONCE`].
    fn list(&self, ids: &[VolumeId]) -> impl Future<Output = Result<Vec<Volume>, Error>> + Send;

    /// Attaches the volume, in a single attempt. `AttachVolume` takes no client token: after an error,
    /// describe the volume before you attach it again.
    fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> impl Future<Output = Result<AttachAnswer, Error>> + Send;
}

/// EBS snapshots.
pub trait Snapshots {
    /// The snapshot; `None` if EC2 does not know it.
    fn describe(&self, id: &str) -> impl Future<Output = Result<Option<Snapshot>, Error>> + Send;
}

/// EC2 instances.
pub trait Instances {
    /// The instance as it is now. An instance that EC2 does not show is an error.
    fn describe(&self, id: &InstanceId) -> impl Future<Output = Result<Instance, Error>> + Send;

    /// The instances with CloudFormation's tags for this stack and logical id.
    fn list_of_stack(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> impl Future<Output = Result<Vec<Instance>, Error>> + Send;

    /// The instances with the tag of this Auto Scaling group that are `pending` or `running`, in whatever
    /// lifecycle state of the group.
    fn list_of_group(
        &self,
        group: &str,
    ) -> impl Future<Output = Result<Vec<Instance>, Error>> + Send;
}

/// EC2 Auto Scaling groups.
pub trait AutoScalingGroups {
    /// The group with this name; `None` if it does not exist.
    fn describe(&self, name: &str) -> impl Future<Output = Result<Option<Group>, Error>> + Send;
}

/// DB instances of RDS, Aurora, DocumentDB and Neptune.
pub trait DbInstances {
    /// The instance as it is now; `None` if it does not exist.
    fn describe(
        &self,
        id: &DbInstanceId,
    ) -> impl Future<Output = Result<Option<DbInstance>, Error>> + Send;

    /// The instances of the cluster, as they are now, in any order.
    fn list_of_cluster(
        &self,
        cluster: &DbClusterId,
    ) -> impl Future<Output = Result<Vec<DbInstance>, Error>> + Send;

    /// Creates an instance in a cluster. `CreateDBInstance` takes no client token: the identifier shows
    /// whether an earlier call took effect.
    fn create(
        &self,
        new: &NewDbInstance,
    ) -> impl Future<Output = Result<CreateAnswer, Error>> + Send;

    /// Changes one setting of the instance, immediately.
    fn modify(
        &self,
        id: &DbInstanceId,
        change: &DbChange,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// DB clusters of Aurora, DocumentDB and Neptune.
pub trait DbClusters {
    /// The cluster as it is now; `None` if it does not exist.
    fn describe(
        &self,
        id: &DbClusterId,
    ) -> impl Future<Output = Result<Option<DbCluster>, Error>> + Send;

    /// Changes one setting of the cluster, immediately.
    fn modify(
        &self,
        id: &DbClusterId,
        change: &DbChange,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sets the capacity of the cluster's serverless instances, immediately.
    fn scale(
        &self,
        id: &DbClusterId,
        scaling: Scaling,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// DynamoDB tables. While DynamoDB creates a table, every operation except `DescribeTable` answers that it does not
/// exist: that is `None`, or [`ChangeAnswer::Busy`].
pub trait Tables {
    /// The table with this name as it is now; `None` if it does not exist.
    fn describe(&self, name: &str) -> impl Future<Output = Result<Option<Table>, Error>> + Send;

    /// The continuous backups of the table.
    fn continuous_backups(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<ContinuousBackups>, Error>> + Send;

    /// The expiry of the table's items.
    fn time_to_live(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<TimeToLive>, Error>> + Send;

    /// All tags of the table, from every page.
    fn list_tags(&self, table: &Arn) -> impl Future<Output = Result<Option<Tags>, Error>> + Send;

    /// Makes one kind of change. The table is `UPDATING` afterwards, except for its protection.
    fn update(
        &self,
        name: &str,
        change: &TableChange,
    ) -> impl Future<Output = Result<ChangeAnswer, Error>> + Send;

    /// Enables continuous backups, for this many days or for DynamoDB's default.
    fn update_continuous_backups(
        &self,
        name: &str,
        days: Option<u8>,
    ) -> impl Future<Output = Result<ChangeAnswer, Error>> + Send;

    /// Lets items expire at the time in `attribute`.
    fn update_time_to_live(
        &self,
        name: &str,
        attribute: &str,
    ) -> impl Future<Output = Result<ChangeAnswer, Error>> + Send;

    /// Adds tags to the table. Tags with other keys stay.
    fn tag(
        &self,
        table: &Arn,
        tags: &Tags,
    ) -> impl Future<Output = Result<ChangeAnswer, Error>> + Send;
}

/// Subnets of EC2.
pub trait Subnets {
    /// The subnets with these ids, in this order. A subnet that does not exist is an error.
    fn list(&self, ids: &[String]) -> impl Future<Output = Result<Vec<Subnet>, Error>> + Send;
}

/// File systems of Amazon EFS.
pub trait EfsFileSystems {
    /// The file system as it is now; `None` if it does not exist.
    fn describe(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<EfsFileSystem>, Error>> + Send;

    /// All mount targets of the file system, from every page.
    fn list_mount_targets(
        &self,
        file_system: &str,
    ) -> impl Future<Output = Result<Vec<MountTarget>, Error>> + Send;

    /// All access points of the file system, from every page.
    fn list_access_points(
        &self,
        file_system: &str,
    ) -> impl Future<Output = Result<Vec<AccessPoint>, Error>> + Send;

    /// Creates a mount target. `CreateMountTarget` takes no client token: the list shows whether an earlier call
    /// took effect.
    fn create_mount_target(
        &self,
        new: &NewMountTarget,
    ) -> impl Future<Output = Result<EfsAnswer, Error>> + Send;

    /// Creates an access point, once for each token.
    fn create_access_point(
        &self,
        new: &NewAccessPoint,
    ) -> impl Future<Output = Result<EfsAnswer, Error>> + Send;
}

/// File systems of Amazon FSx, and volumes of FSx for ONTAP.
pub trait FsxFileSystems {
    /// The file system as it is now; `None` if it does not exist.
    fn describe(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<FsxFileSystem>, Error>> + Send;

    /// The volume as it is now; `None` if it does not exist.
    fn volume(&self, id: &str) -> impl Future<Output = Result<Option<FsxVolume>, Error>> + Send;

    /// The path at which clients mount a volume of OpenZFS; `None` if it does not exist.
    fn volume_path(&self, id: &str) -> impl Future<Output = Result<Option<String>, Error>> + Send;

    /// Where the storage virtual machine is reached; `None` if it does not exist.
    fn storage_machine(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<StorageMachine>, Error>> + Send;
}

/// Buckets of S3 in the recovery Region. Each method returns `None` if the bucket does not exist.
pub trait Buckets {
    /// Whether the bucket keeps the versions of its objects.
    fn is_versioned(
        &self,
        bucket: &str,
    ) -> impl Future<Output = Result<Option<bool>, Error>> + Send;

    /// Who owns the objects of the bucket.
    fn ownership(
        &self,
        bucket: &str,
    ) -> impl Future<Output = Result<Option<ObjectOwnership>, Error>> + Send;

    /// Whether the bucket rejects objects whose access control list makes them public.
    fn blocks_public_acls(
        &self,
        bucket: &str,
    ) -> impl Future<Output = Result<Option<bool>, Error>> + Send;

    /// How the bucket encrypts objects.
    fn encryption(
        &self,
        bucket: &str,
    ) -> impl Future<Output = Result<Option<BucketEncryption>, Error>> + Send;
}

/// Images (AMIs) of EC2.
pub trait Images {
    /// The image; `None` if EC2 does not know it.
    fn describe(&self, id: &str) -> impl Future<Output = Result<Option<Image>, Error>> + Send;
}

/// Restored EC2 instances.
pub trait Servers {
    /// The instance as it is now; `None` if EC2 does not know it.
    fn find(&self, id: &InstanceId) -> impl Future<Output = Result<Option<Server>, Error>> + Send;

    /// Its status checks; `None` if EC2 shows none, as of an instance that is not running.
    fn checks(&self, id: &InstanceId)
    -> impl Future<Output = Result<Option<Checks>, Error>> + Send;
}

/// Target groups of Elastic Load Balancing.
pub trait TargetGroups {
    /// The target group; `None` if it does not exist.
    fn describe(
        &self,
        arn: &str,
    ) -> impl Future<Output = Result<Option<TargetGroup>, Error>> + Send;

    /// The health of the instance in the target group; `None` if it is not registered, or the group does not exist.
    fn health(
        &self,
        arn: &str,
        id: &InstanceId,
    ) -> impl Future<Output = Result<Option<TargetHealth>, Error>> + Send;

    /// Registers the instance. `RegisterTargets` changes nothing for a target that is registered.
    fn register(
        &self,
        arn: &str,
        id: &InstanceId,
    ) -> impl Future<Output = Result<RegisterAnswer, Error>> + Send;
}

/// OpsItems of Systems Manager OpsCenter.
pub trait OpsItems {
    /// All items with this key, in any status, the oldest first.
    fn list(&self, key: &ItemKey) -> impl Future<Output = Result<Vec<OpsItem>, Error>> + Send;

    /// All open items of this [`KIND`](crate::ops_item::KIND), the oldest first.
    fn list_open(
        &self,
        kind: &'static str,
    ) -> impl Future<Output = Result<Vec<OpsItem>, Error>> + Send;

    /// All resolved items of this [`KIND`](crate::ops_item::KIND) that were created after `since`, the oldest
    /// first.
    fn list_resolved(
        &self,
        kind: &'static str,
        since: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<OpsItem>, Error>> + Send;

    /// The item with this id. An item that does not exist is an error.
    fn get(&self, id: &OpsItemId) -> impl Future<Output = Result<OpsItem, Error>> + Send;

    /// The item with this id; `None` if it does not exist.
    fn find(&self, id: &OpsItemId) -> impl Future<Output = Result<Option<OpsItem>, Error>> + Send;

    /// Creates the item, unless an open item has the same key.
    fn create(&self, item: &NewOpsItem) -> impl Future<Output = Result<Claim, Error>> + Send;

    /// Updates the item.
    fn update(
        &self,
        id: &OpsItemId,
        change: &OpsItemChange,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The SNS topic that notifies operators.
pub trait Notifications {
    /// Publishes the notification. Succeeds without a call if notification is switched off.
    fn publish(
        &self,
        notification: &Notification,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// How many parameters [`Parameters::get`] takes
/// (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html>).
pub const PARAMETERS_AT_ONCE: usize = 10;

/// Parameters of Systems Manager Parameter Store.
pub trait Parameters {
    /// The values of the parameters with these names, by name; without those that do not exist. At most
    /// [`PARAMETERS_AT_ONCE`].
    fn get(
        &self,
        names: &[String],
    ) -> impl Future<Output = Result<BTreeMap<String, String>, Error>> + Send;

    /// Creates the parameter with these tags. False if it exists; it stays as it is.
    fn create(
        &self,
        name: &str,
        value: &str,
        tags: &[(&'static str, String)],
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Replaces the value of the parameter. Its tags stay as they are.
    fn replace(&self, name: &str, value: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Runbooks of Systems Manager Automation.
pub trait Runbooks {
    /// Starts the runbook, once for each token. Returns the id of its execution.
    fn start(
        &self,
        runbook: &str,
        token: &str,
        parameters: &[(&'static str, String)],
    ) -> impl Future<Output = Result<String, Error>> + Send;
}

/// The runbook that mounts, `MountFileSystem`, and its executions.
pub trait MountRunbook {
    /// Its name; `None` if mounting is switched off.
    fn name(&self) -> Option<&str>;

    /// Starts it, once for each token. Returns the id of the execution.
    fn start(
        &self,
        token: &str,
        parameters: &[(&'static str, Vec<String>)],
    ) -> impl Future<Output = Result<String, Error>> + Send;

    /// The execution as it is now; `None` if it does not exist.
    fn describe(
        &self,
        execution: &str,
    ) -> impl Future<Output = Result<Option<RunbookExecution>, Error>> + Send;
}

/// Routing controls of Application Recovery Controller, through one endpoint of their cluster.
pub trait RoutingControls {
    /// The state of the control; `None` if it is neither on nor off.
    fn get(
        &self,
        endpoint: &ClusterEndpoint,
        control: &RoutingControl,
    ) -> impl Future<Output = Result<Option<Switch>, Error>> + Send;

    /// Sets all these controls in one transaction, in a single attempt, and overrides no safety rule.
    /// After an error, use another endpoint.
    fn update(
        &self,
        endpoint: &ClusterEndpoint,
        wanted: &[(RoutingControl, Switch)],
    ) -> impl Future<Output = Result<ShiftAnswer, Error>> + Send;
}

/// Executions of the state machine that recovers a Region.
pub trait RecoveryExecutions {
    /// The execution with this name, as it is now; `None` if it does not exist.
    fn describe(&self, name: &str)
    -> impl Future<Output = Result<Option<Execution>, Error>> + Send;

    /// Starts an execution with this name and input. Succeeds without an effect if this name was used
    /// before.
    fn start(&self, name: &str, input: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Lambda functions of this deployment.
pub trait Functions {
    /// Invokes the function, and does not wait for its answer. Lambda retries a failed invocation.
    fn invoke(
        &self,
        function: &str,
        payload: &Value,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Metrics for dashboards and alarms.
pub trait Metrics: Sync {
    /// Records the measures. What cannot be recorded is lost: no recovery waits for its metrics.
    fn record(&self, measures: &Measures);
}

/// The time, and how much of it a run has left.
pub trait Clock: Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;

    /// The time that is left to this run.
    fn remaining(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The ports to resolve references, and to find the instance that a restore is for.
pub trait TargetPorts: Sync {
    /// Resources of CloudFormation stacks.
    fn stack_resources(&self) -> &(impl StackResources + Sync);
    /// CloudFormation stacks.
    fn stacks(&self) -> &(impl Stacks + Sync);
    /// Resources by their tags.
    fn tagged_resources(&self) -> &(impl TaggedResources + Sync);
    /// EC2 instances.
    fn instances(&self) -> &(impl Instances + Sync);
    /// Auto Scaling groups.
    fn groups(&self) -> &(impl AutoScalingGroups + Sync);
}

/// The ports to record something in an OpsItem and to notify operators, as the tracking of jobs does.
pub trait TrackingPorts: Sync {
    /// OpsItems.
    fn ops_items(&self) -> &(impl OpsItems + Sync);
    /// The SNS topic.
    fn notifications(&self) -> &(impl Notifications + Sync);
}

/// The ports that the integration of every resource type needs.
pub trait RestoredPorts: TrackingPorts {
    /// Restore jobs.
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync);
    /// Tags of recovery points.
    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync);
}

/// The ports to mount restored volumes and file systems in their instances.
pub trait MountPorts: TrackingPorts {
    /// The runbook that mounts.
    fn mount_runbook(&self) -> &(impl MountRunbook + Sync);
}

/// The ports to integrate restored resources of a type whose addresses are published.
pub trait PublishingPorts: RestoredPorts {
    /// Parameters of Systems Manager.
    fn parameters(&self) -> &(impl Parameters + Sync);
}

/// The ports to integrate restored tables.
pub trait TablePorts: PublishingPorts {
    /// DynamoDB tables.
    fn tables(&self) -> &(impl Tables + Sync);
}

/// The ports to integrate restored volumes.
pub trait IntegrationPorts: TargetPorts + RestoredPorts + MountPorts {
    /// EBS volumes.
    fn volumes(&self) -> &(impl Volumes + Sync);
}

/// The ports to integrate restored databases.
pub trait DatabasePorts: PublishingPorts {
    /// DB instances.
    fn db_instances(&self) -> &(impl DbInstances + Sync);
    /// DB clusters.
    fn db_clusters(&self) -> &(impl DbClusters + Sync);
}

/// The ports to describe file systems.
pub trait FileSystemPorts: Sync {
    /// File systems of EFS.
    fn efs(&self) -> &(impl EfsFileSystems + Sync);
    /// File systems of FSx.
    fn fsx(&self) -> &(impl FsxFileSystems + Sync);
}

/// The ports to integrate restored file systems.
pub trait FileSystemIntegrationPorts:
    PublishingPorts + TargetPorts + FileSystemPorts + MountPorts
{
    /// Subnets.
    fn subnets(&self) -> &(impl Subnets + Sync);
}

/// The ports to describe buckets.
pub trait BucketPorts: Sync {
    /// Buckets of S3.
    fn buckets(&self) -> &(impl Buckets + Sync);
}

/// The ports to integrate restored buckets.
pub trait BucketIntegrationPorts: PublishingPorts + TargetPorts + BucketPorts {}

/// The ports to describe restored instances.
pub trait InstancePorts: Sync {
    /// Restored EC2 instances.
    fn servers(&self) -> &(impl Servers + Sync);
}

/// The ports to integrate restored instances.
pub trait InstanceIntegrationPorts: PublishingPorts + TargetPorts + InstancePorts {
    /// Target groups.
    fn target_groups(&self) -> &(impl TargetGroups + Sync);
    /// Recovery points.
    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync);
}

/// The ports to integrate every restore that is not integrated.
pub trait ReconciliationPorts: IntegrationPorts {
    /// Lambda functions.
    fn functions(&self) -> &(impl Functions + Sync);
}

/// The ports to respond to a disaster signal.
pub trait ResponsePorts: TrackingPorts {
    /// Runbooks.
    fn runbooks(&self) -> &(impl Runbooks + Sync);
}

/// The ports to describe databases and tables.
pub trait DataStorePorts: Sync {
    /// DB instances.
    fn db_instances(&self) -> &(impl DbInstances + Sync);
    /// DB clusters.
    fn db_clusters(&self) -> &(impl DbClusters + Sync);
    /// DynamoDB tables.
    fn tables(&self) -> &(impl Tables + Sync);
}

/// The ports to plan a recovery.
pub trait PlanningPorts: TargetPorts + DataStorePorts {
    /// Images.
    fn images(&self) -> &(impl Images + Sync);
    /// Restore jobs.
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync);
    /// Recovery points.
    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync);
    /// Their tags.
    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync);
    /// Objects in the recovery bucket.
    fn objects(&self) -> &(impl Objects + Sync);
}

/// The ports to start a planned restore.
pub trait StartingPorts:
    TargetPorts + DataStorePorts + FileSystemPorts + BucketPorts + InstancePorts
{
    /// Images.
    fn images(&self) -> &(impl Images + Sync);
    /// Subnets.
    fn subnets(&self) -> &(impl Subnets + Sync);
    /// Recovery points.
    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync);
    /// Restore jobs.
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync);
    /// EBS volumes.
    fn volumes(&self) -> &(impl Volumes + Sync);
    /// Objects in the recovery bucket.
    fn objects(&self) -> &(impl Objects + Sync);
}

/// The ports to validate a restore test.
pub trait ValidationPorts: TrackingPorts {
    /// Restore tests.
    fn restore_tests(&self) -> &(impl RestoreTests + Sync);
    /// EBS volumes.
    fn volumes(&self) -> &(impl Volumes + Sync);
    /// EBS snapshots.
    fn snapshots(&self) -> &(impl Snapshots + Sync);
}

/// The ports to report on a recovery.
pub trait ReportingPorts:
    TrackingPorts + DataStorePorts + FileSystemPorts + BucketPorts + InstancePorts
{
    /// Restore jobs.
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync);
    /// EBS volumes.
    fn volumes(&self) -> &(impl Volumes + Sync);
    /// Objects in the recovery bucket.
    fn objects(&self) -> &(impl Objects + Sync);
}
