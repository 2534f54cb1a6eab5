//! What the deciding code needs of the world: nouns of the field, one to four methods each.
//!
//! The adapters in `recovery-aws` are one implementation, the fakes the other.

use std::collections::BTreeMap;
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
use crate::notification::Notification;
use crate::ops_item::{Claim, DatedItem, ItemKey, NewOpsItem, OpsItem, OpsItemChange};
use crate::report::measures::Measures;
use crate::tags::Tags;

/// Restore jobs of AWS Backup.
pub trait RestoreJobs {
    /// The job, as AWS Backup knows it now.
    fn restore_job(
        &self,
        id: &RestoreJobId,
    ) -> impl Future<Output = Result<RestoreJob, Error>> + Send;
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on this page.
    pub listed: Vec<T>,
    /// What to ask for the next page with, if there is one.
    pub next: Option<String>,
}

/// Restores of EBS volumes, many at a time.
pub trait Restores {
    /// One page of the jobs that restore an EBS volume and were created after `since`, whatever became
    /// of them.
    fn restores(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> impl Future<Output = Result<Page<RestoreJob>, Error>> + Send;

    /// Those of the volumes that there are, as they are now, in any order.
    fn volumes(&self, ids: &[VolumeId]) -> impl Future<Output = Result<Vec<Volume>, Error>> + Send;

    /// All tags of those recovery points whose tags can be asked for together, by recovery point.
    fn tags_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> impl Future<Output = Result<BTreeMap<RecoveryPointArn, Tags>, Error>> + Send;
}

/// Restore tests of AWS Backup, and what they made.
pub trait RestoreTests {
    /// The restore job of a test, as AWS Backup knows it now.
    fn restore_test(
        &self,
        id: &RestoreJobId,
    ) -> impl Future<Output = Result<RestoreTest, Error>> + Send;

    /// The volume as it is now, or nothing where EC2 does not know it.
    fn test_volume(
        &self,
        id: &VolumeId,
    ) -> impl Future<Output = Result<Option<TestVolume>, Error>> + Send;

    /// The snapshot, or nothing where EC2 does not know it.
    fn snapshot(&self, id: &str) -> impl Future<Output = Result<Option<Snapshot>, Error>> + Send;

    /// Reports the result, which cannot be changed afterwards.
    fn report(
        &self,
        id: &RestoreJobId,
        report: &Report,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Tags of recovery points, wherever their service keeps them.
pub trait RecoveryPointTags {
    /// All tags of the recovery point, from every page.
    fn tags(&self, point: &RecoveryPointArn) -> impl Future<Output = Result<Tags, Error>> + Send;
}

/// Recovery points in backup vaults.
pub trait RecoveryPoints {
    /// One page of the recovery points in the vault, in no order that can be relied on. In the place
    /// of one of which AWS Backup names no ARN, no resource or no date there is nothing.
    fn recovery_points(
        &self,
        vault: &str,
        page: Option<&str>,
    ) -> impl Future<Output = Result<Page<Option<RecoveryPoint>>, Error>> + Send;
}

/// How many snapshots and images can be asked for their tags at once: EC2 takes 200 values in all the
/// filters of a call together, and the keys of the tags are asked for as well (`FilterLimitExceeded` in
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>).
pub const SNAPSHOTS_AT_ONCE: usize = 200 - crate::tags::PLANNED.len();

/// Tags of many EBS snapshots and images at once.
pub trait SnapshotTags {
    /// Those [`PLANNED`](crate::tags::PLANNED) tags that each of these has, by id; one that has
    /// none of them is absent. At most [`SNAPSHOTS_AT_ONCE`].
    fn snapshot_tags(
        &self,
        ids: &[&str],
    ) -> impl Future<Output = Result<BTreeMap<String, Tags>, Error>> + Send;
}

/// Where plans, records of restore jobs and reports are kept.
pub trait PlanObjects {
    /// Keeps `body` under `key`. What is kept there already stays as it is.
    fn store(&self, key: &str, body: String) -> impl Future<Output = Result<(), Error>> + Send;

    /// What is kept under `key`, if anything.
    fn stored(&self, key: &str) -> impl Future<Output = Result<Option<String>, Error>> + Send;
}

/// Which objects are kept.
pub trait KeptObjects {
    /// One page of the keys that begin with `prefix`, in any order.
    fn kept(
        &self,
        prefix: &str,
        page: Option<&str>,
    ) -> impl Future<Output = Result<Page<String>, Error>> + Send;
}

/// The beginning of restores.
pub trait RestoreStarts {
    /// What AWS Backup stored with the recovery point for its restore, or nothing where the
    /// recovery point is not there.
    fn restore_metadata(
        &self,
        vault: &str,
        point: &RecoveryPointArn,
    ) -> impl Future<Output = Result<Option<BTreeMap<String, String>>, Error>> + Send;

    /// Starts the restore, once for each token that AWS Backup remembers.
    fn start_restore(
        &self,
        request: &RestoreRequest,
    ) -> impl Future<Output = Result<StartAnswer, Error>> + Send;
}

/// Resources of CloudFormation stacks in the recovery Region.
pub trait StackResources {
    /// The resource with this logical id, or nothing while stack or resource does not exist.
    fn stack_resource(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> impl Future<Output = Result<Option<StackResource>, Error>> + Send;
}

/// EBS volumes.
pub trait Volumes {
    /// The volume as it is now.
    fn volume(&self, id: &VolumeId) -> impl Future<Output = Result<Volume, Error>> + Send;

    /// Calls `AttachVolume` once, without a retry. It has no client token: after an error, the caller reads the
    /// volume before it calls again.
    fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> impl Future<Output = Result<AttachAnswer, Error>> + Send;
}

/// EC2 instances.
pub trait Instances {
    /// The instance as it is now.
    fn instance(&self, id: &InstanceId) -> impl Future<Output = Result<Instance, Error>> + Send;

    /// The instances that bear CloudFormation's tags of this stack and logical id.
    fn stack_instances(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> impl Future<Output = Result<Vec<Instance>, Error>> + Send;

    /// The Auto Scaling group of this name, or nothing where there is none.
    fn group(&self, name: &str) -> impl Future<Output = Result<Option<Group>, Error>> + Send;

    /// The instances that bear the tag of this Auto Scaling group and are `pending` or `running`, whatever
    /// the group has in mind with them.
    fn group_instances(
        &self,
        group: &str,
    ) -> impl Future<Output = Result<Vec<Instance>, Error>> + Send;
}

/// OpsItems of Systems Manager OpsCenter.
pub trait OpsItems {
    /// All items with this key, in whatever status, the oldest first.
    fn find(&self, key: &ItemKey) -> impl Future<Output = Result<Vec<OpsItem>, Error>> + Send;

    /// All items of this [`KIND`](crate::ops_item::KIND) that are open, the oldest first.
    fn open(&self, kind: &'static str) -> impl Future<Output = Result<Vec<OpsItem>, Error>> + Send;

    /// The item with this id.
    fn get(&self, id: &OpsItemId) -> impl Future<Output = Result<OpsItem, Error>> + Send;

    /// Creates the item, unless one that is open has the same key.
    fn create(&self, item: &NewOpsItem) -> impl Future<Output = Result<Claim, Error>> + Send;

    /// Changes the item.
    fn update(
        &self,
        id: &OpsItemId,
        change: &OpsItemChange,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The most volumes in one call: EC2 accepts 200 values in a filter
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>).
pub const VOLUMES_AT_ONCE: usize = 200;

/// What became of a recovery, as AWS shows it.
pub trait RecoveryRecords {
    /// One page of the restore jobs that were created at `since` or later, in any order.
    fn jobs_since(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> impl Future<Output = Result<Page<Job>, Error>> + Send;

    /// Those of the volumes that there are, as they are now, in any order. At most
    /// [`VOLUMES_AT_ONCE`].
    fn recovered_volumes(
        &self,
        ids: &[VolumeId],
    ) -> impl Future<Output = Result<Vec<RecoveredVolume>, Error>> + Send;
}

/// OpsItems with the times of their creation.
pub trait DatedOpsItems {
    /// The OpsItem with this id and when it was created, or nothing where there is none.
    fn dated_item(
        &self,
        id: &OpsItemId,
    ) -> impl Future<Output = Result<Option<DatedItem>, Error>> + Send;
}

/// Numbers for dashboards and alarms.
pub trait Metrics: Sync {
    /// Records them. What cannot be recorded is lost: no recovery waits for its metrics.
    fn record(&self, measures: &Measures);
}

/// The people on call.
pub trait Notifications {
    /// Notifies them. If notification is `off`, this does nothing and succeeds.
    fn notify(&self, notification: &Notification)
    -> impl Future<Output = Result<(), Error>> + Send;
}

/// Runbooks of Systems Manager Automation.
pub trait Runbooks {
    /// Starts the runbook, once for each token, and answers with the execution's id.
    fn start(
        &self,
        runbook: &str,
        token: &str,
        parameters: &[(&'static str, String)],
    ) -> impl Future<Output = Result<String, Error>> + Send;
}

/// Routing controls of Application Recovery Controller, through one endpoint of their cluster.
pub trait RoutingControls {
    /// The state of the control; nothing where it is neither on nor off.
    fn routing_state(
        &self,
        endpoint: &ClusterEndpoint,
        control: &RoutingControl,
    ) -> impl Future<Output = Result<Option<Switch>, Error>> + Send;

    /// Sets all of them in one transaction, and overrides no safety rule. Asked once, without any
    /// retry: the next attempt is at another endpoint.
    fn set_routing(
        &self,
        endpoint: &ClusterEndpoint,
        wanted: &[(RoutingControl, Switch)],
    ) -> impl Future<Output = Result<ShiftAnswer, Error>> + Send;
}

/// Executions of the state machine that recovers a Region.
pub trait RecoveryExecutions {
    /// The execution of this name, as it is now, or nothing where there is none.
    fn recovery(&self, name: &str)
    -> impl Future<Output = Result<Option<Execution>, Error>> + Send;

    /// Starts the execution of this name with this input. Where there is, or was, one of this name,
    /// this does nothing and succeeds.
    fn start_recovery(
        &self,
        name: &str,
        input: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The time, how much of it is left to a run, and patience.
pub trait Clock: Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;

    /// How long this run may still take.
    fn remaining(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// All that the integration of a restored volume needs.
pub trait IntegrationPorts:
    RestoreJobs
    + RecoveryPointTags
    + StackResources
    + Volumes
    + Instances
    + OpsItems
    + Notifications
    + Sync
{
}

impl<P> IntegrationPorts for P where
    P: RestoreJobs
        + RecoveryPointTags
        + StackResources
        + Volumes
        + Instances
        + OpsItems
        + Notifications
        + Sync
{
}

/// All that the reconciliation of restores needs.
pub trait ReconciliationPorts: IntegrationPorts + Restores {}

impl<P> ReconciliationPorts for P where P: IntegrationPorts + Restores {}

/// All that the response to a signal needs.
pub trait ResponsePorts: OpsItems + Notifications + Runbooks + Sync {}

impl<P> ResponsePorts for P where P: OpsItems + Notifications + Runbooks + Sync {}

/// All that the planning of a recovery needs.
pub trait PlanningPorts:
    RecoveryPoints
    + SnapshotTags
    + RecoveryPointTags
    + StackResources
    + Instances
    + PlanObjects
    + KeptObjects
    + Sync
{
}

impl<P> PlanningPorts for P where
    P: RecoveryPoints
        + SnapshotTags
        + RecoveryPointTags
        + StackResources
        + Instances
        + PlanObjects
        + KeptObjects
        + Sync
{
}

/// All that the start of a planned restore needs.
pub trait StartingPorts:
    StackResources + Instances + RestoreStarts + RestoreJobs + RecoveryRecords + PlanObjects + Sync
{
}

impl<P> StartingPorts for P where
    P: StackResources
        + Instances
        + RestoreStarts
        + RestoreJobs
        + RecoveryRecords
        + PlanObjects
        + Sync
{
}

/// All that the validation of a restore test needs.
pub trait ValidationPorts: RestoreTests + OpsItems + Notifications + Sync {}

impl<P> ValidationPorts for P where P: RestoreTests + OpsItems + Notifications + Sync {}

/// All that the report of a recovery needs.
pub trait ReportingPorts:
    PlanObjects + RecoveryRecords + DatedOpsItems + OpsItems + Notifications + Sync
{
}

impl<P> ReportingPorts for P where
    P: PlanObjects + RecoveryRecords + DatedOpsItems + OpsItems + Notifications + Sync
{
}
