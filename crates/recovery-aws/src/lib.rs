//! Adapters from the ports of `recovery-core` to the AWS SDK: translate, take every page, classify
//! errors. No decision is made here.
//!
//! This is the only crate of the deployed system that names the SDK. One file per service; each
//! adapter lists the IAM actions it needs beside its calls.

mod auto_scaling;
mod backup;
mod client;
mod cloudformation;
mod ec2;
mod error;
mod records;
mod restore_tests;
mod routing_cluster;
mod s3;
mod sns;
mod ssm;
mod state_machine;
#[cfg(test)]
mod wire;

pub use auto_scaling::AutoScaling;
pub use backup::Backup;
pub use client::{Config, load_config};
pub use cloudformation::CloudFormation;
pub use ec2::Ec2;
pub use records::Records;
pub use restore_tests::RestoreTesting;
pub use routing_cluster::RoutingCluster;
pub use s3::PlanBucket;
pub use sns::Topic;
pub use ssm::{OpsCenter, RunbookRunner};
pub use state_machine::StateMachine;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use recovery_core::aws::arn::{
    InstanceId, OpsItemId, RecoveryPointArn, RestoreJobId, TagHome, VolumeId,
};
use recovery_core::aws::auto_scaling::Group;
use recovery_core::aws::backup::{
    Job, RecoveryPoint, Report, RestoreJob, RestoreRequest, RestoreTest, StartAnswer,
};
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::{
    AttachAnswer, DeviceName, Instance, RecoveredVolume, Snapshot, TestVolume, Volume,
};
use recovery_core::error::{Error, Fault};
use recovery_core::notification::Notification;
use recovery_core::ops_item::{Claim, DatedItem, ItemKey, NewOpsItem, OpsItem, OpsItemChange};
use recovery_core::ports::{
    DatedOpsItems, Instances, KeptObjects, Notifications, OpsItems, Page, PlanObjects,
    RecoveryPointTags, RecoveryPoints, RecoveryRecords, RestoreJobs, RestoreStarts, RestoreTests,
    Restores, Runbooks, SnapshotTags, StackResources, Volumes,
};
use recovery_core::tags::{PLANNED, Tags};

/// What the integration of a restored volume reaches AWS through.
#[derive(Debug)]
pub struct IntegrationAdapters {
    auto_scaling: AutoScaling,
    backup: Backup,
    cloudformation: CloudFormation,
    ec2: Ec2,
    ops_center: OpsCenter,
    topic: Topic,
}

impl IntegrationAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        AutoScaling::ACTIONS,
        Backup::ACTIONS,
        CloudFormation::ACTIONS,
        Ec2::ACTIONS,
        OpsCenter::ACTIONS,
        Topic::ACTIONS,
    ];

    /// The further ones that the reconciliation needs.
    pub const RECONCILIATION_ACTIONS: &'static [&'static [&'static str]] =
        &[Backup::LISTING_ACTIONS];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> IntegrationAdapters {
        IntegrationAdapters {
            auto_scaling: AutoScaling::new(config),
            backup: Backup::new(config),
            cloudformation: CloudFormation::new(config),
            ec2: Ec2::new(config),
            ops_center: OpsCenter::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

/// What the reconciliation of restores reaches AWS through: what the integration does, and listings.
impl Restores for IntegrationAdapters {
    async fn restores(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        self.backup.restores(since, page).await
    }

    async fn volumes(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, Error> {
        self.ec2.volumes(ids).await
    }

    async fn tags_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        let held_by_ec2: BTreeMap<&str, &RecoveryPointArn> = points
            .iter()
            .filter_map(|point| match point.tag_home() {
                TagHome::Ec2(id) => Some((id, point)),
                TagHome::Backup | TagHome::Elsewhere => None,
            })
            .collect();
        if held_by_ec2.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids: Vec<&str> = held_by_ec2.keys().copied().collect();
        let mut tags = self.ec2.tags_together(&ids, "recovery points").await?;
        Ok(held_by_ec2
            .into_iter()
            .map(|(id, point)| (point.clone(), tags.remove(id).unwrap_or_default()))
            .collect())
    }
}

impl RestoreJobs for IntegrationAdapters {
    async fn restore_job(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        self.backup.restore_job(id).await
    }
}

impl Volumes for IntegrationAdapters {
    async fn volume(&self, id: &VolumeId) -> Result<Volume, Error> {
        self.ec2.volume(id).await
    }

    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<AttachAnswer, Error> {
        self.ec2.attach(volume, instance, device).await
    }
}

/// What the validation of a restore test reaches AWS through.
#[derive(Debug)]
pub struct ValidationAdapters {
    testing: RestoreTesting,
    ops_center: OpsCenter,
    topic: Topic,
}

impl ValidationAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] =
        &[RestoreTesting::ACTIONS, OpsCenter::ACTIONS, Topic::ACTIONS];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> ValidationAdapters {
        ValidationAdapters {
            testing: RestoreTesting::new(config),
            ops_center: OpsCenter::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

impl RestoreTests for ValidationAdapters {
    async fn restore_test(&self, id: &RestoreJobId) -> Result<RestoreTest, Error> {
        self.testing.restore_test(id).await
    }

    async fn test_volume(&self, id: &VolumeId) -> Result<Option<TestVolume>, Error> {
        self.testing.test_volume(id).await
    }

    async fn snapshot(&self, id: &str) -> Result<Option<Snapshot>, Error> {
        self.testing.snapshot(id).await
    }

    async fn report(&self, id: &RestoreJobId, report: &Report) -> Result<(), Error> {
        self.testing.report(id, report).await
    }
}

/// What the tracking of jobs reaches AWS through.
#[derive(Debug)]
pub struct TrackingAdapters {
    ops_center: OpsCenter,
    topic: Topic,
}

impl TrackingAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[OpsCenter::ACTIONS, Topic::ACTIONS];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> TrackingAdapters {
        TrackingAdapters {
            ops_center: OpsCenter::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

/// What the response to a signal reaches AWS through.
#[derive(Debug)]
pub struct ResponseAdapters {
    ops_center: OpsCenter,
    topic: Topic,
    runbooks: RunbookRunner,
}

impl ResponseAdapters {
    /// The IAM actions that it needs; those of [`RunbookRunner`] only where a runbook is configured.
    pub const ACTIONS: &'static [&'static [&'static str]] =
        &[OpsCenter::ACTIONS, Topic::ACTIONS, RunbookRunner::ACTIONS];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> ResponseAdapters {
        ResponseAdapters {
            ops_center: OpsCenter::new(config),
            topic: Topic::new(config, topic),
            runbooks: RunbookRunner::new(config),
        }
    }
}

impl Runbooks for ResponseAdapters {
    async fn start(
        &self,
        runbook: &str,
        token: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<String, Error> {
        self.runbooks.start(runbook, token, parameters).await
    }
}

/// What the planning of a recovery reaches AWS through.
#[derive(Debug)]
pub struct PlanningAdapters {
    auto_scaling: AutoScaling,
    backup: Backup,
    cloudformation: CloudFormation,
    ec2: Ec2,
    plans: PlanBucket,
}

impl PlanningAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        AutoScaling::ACTIONS,
        Backup::PLANNING_ACTIONS,
        CloudFormation::ACTIONS,
        Ec2::TARGET_ACTIONS,
        Ec2::TAG_ACTIONS,
        PlanBucket::ACTIONS,
        PlanBucket::LISTING_ACTIONS,
    ];

    /// Clients for every service it needs; plans are kept in `bucket`.
    pub fn new(config: &Config, bucket: String) -> PlanningAdapters {
        PlanningAdapters {
            auto_scaling: AutoScaling::new(config),
            backup: Backup::new(config),
            cloudformation: CloudFormation::new(config),
            ec2: Ec2::new(config),
            plans: PlanBucket::new(config, bucket),
        }
    }
}

impl RecoveryPoints for PlanningAdapters {
    async fn recovery_points(
        &self,
        vault: &str,
        page: Option<&str>,
    ) -> Result<Page<Option<RecoveryPoint>>, Error> {
        self.backup.recovery_points(vault, page).await
    }
}

impl KeptObjects for PlanningAdapters {
    async fn kept(&self, prefix: &str, page: Option<&str>) -> Result<Page<String>, Error> {
        self.plans.kept(prefix, page).await
    }
}

impl SnapshotTags for PlanningAdapters {
    async fn snapshot_tags(&self, ids: &[&str]) -> Result<BTreeMap<String, Tags>, Error> {
        self.ec2.chosen_tags(ids, &PLANNED).await
    }
}

/// What the report of a recovery reaches AWS through.
#[derive(Debug)]
pub struct ReportingAdapters {
    records: Records,
    plans: PlanBucket,
    ops_center: OpsCenter,
    topic: Topic,
}

impl ReportingAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        Records::ACTIONS,
        PlanBucket::ACTIONS,
        OpsCenter::ACTIONS,
        Topic::ACTIONS,
    ];

    /// Clients for every service it needs; plans and reports are kept in `bucket`, notification goes to
    /// `topic`, if any.
    pub fn new(config: &Config, bucket: String, topic: Option<String>) -> ReportingAdapters {
        ReportingAdapters {
            records: Records::new(config),
            plans: PlanBucket::new(config, bucket),
            ops_center: OpsCenter::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

/// Restore jobs and their volumes are observed in the same way.
macro_rules! records {
    ($($adapters:ty),*) => {$(
        impl RecoveryRecords for $adapters {
            async fn jobs_since(
                &self,
                since: DateTime<Utc>,
                page: Option<&str>,
            ) -> Result<Page<Job>, Error> {
                self.records.jobs_since(since, page).await
            }

            async fn recovered_volumes(
                &self,
                ids: &[VolumeId],
            ) -> Result<Vec<RecoveredVolume>, Error> {
                self.records.recovered_volumes(ids).await
            }
        }
    )*};
}

records!(ReportingAdapters, StartingAdapters);

impl DatedOpsItems for ReportingAdapters {
    async fn dated_item(&self, id: &OpsItemId) -> Result<Option<DatedItem>, Error> {
        records::dated_item(&self.ops_center, id).await
    }
}

/// Plans, records of restore jobs and reports are kept in the same way.
macro_rules! objects {
    ($($adapters:ty),*) => {$(
        impl PlanObjects for $adapters {
            async fn store(&self, key: &str, body: String) -> Result<(), Error> {
                self.plans.store(key, body).await
            }

            async fn stored(&self, key: &str) -> Result<Option<String>, Error> {
                self.plans.stored(key).await
            }
        }
    )*};
}

objects!(PlanningAdapters, ReportingAdapters, StartingAdapters);

/// What the start of a planned restore reaches AWS through.
#[derive(Debug)]
pub struct StartingAdapters {
    auto_scaling: AutoScaling,
    backup: Backup,
    cloudformation: CloudFormation,
    ec2: Ec2,
    records: Records,
    plans: PlanBucket,
}

impl StartingAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        AutoScaling::ACTIONS,
        Backup::STARTING_ACTIONS,
        CloudFormation::ACTIONS,
        Ec2::TARGET_ACTIONS,
        Records::ACTIONS,
        PlanBucket::ACTIONS,
    ];

    /// Clients for every service it needs; restore jobs are recorded in `bucket`.
    pub fn new(config: &Config, bucket: String) -> StartingAdapters {
        StartingAdapters {
            auto_scaling: AutoScaling::new(config),
            backup: Backup::new(config),
            cloudformation: CloudFormation::new(config),
            ec2: Ec2::new(config),
            records: Records::new(config),
            plans: PlanBucket::new(config, bucket),
        }
    }
}

impl RestoreJobs for StartingAdapters {
    async fn restore_job(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        self.backup.restore_job(id).await
    }
}

impl RestoreStarts for StartingAdapters {
    async fn restore_metadata(
        &self,
        vault: &str,
        point: &RecoveryPointArn,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        self.backup.restore_metadata(vault, point).await
    }

    async fn start_restore(&self, request: &RestoreRequest) -> Result<StartAnswer, Error> {
        self.backup.start_restore(request).await
    }
}

/// Tags are asked for in the same way.
macro_rules! tags {
    ($($adapters:ty),*) => {$(
        impl RecoveryPointTags for $adapters {
            async fn tags(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
                match point.tag_home() {
                    TagHome::Ec2(id) => self.ec2.tags(id).await,
                    TagHome::Backup => self.backup.tags(point).await,
                    TagHome::Elsewhere => Err(Error::Permanent(Fault::new(
                        "read tags",
                        point.as_str(),
                        "the tags of recovery points of this form are kept by a service that this function does not ask",
                        "Attach the volume by hand.",
                    ))),
                }
            }
        }
    )*};
}

tags!(IntegrationAdapters, PlanningAdapters);

/// Targets are looked for in the same way.
macro_rules! targets {
    ($($adapters:ty),*) => {$(
        impl StackResources for $adapters {
            async fn stack_resource(
                &self,
                stack: &str,
                logical_id: &str,
            ) -> Result<Option<StackResource>, Error> {
                self.cloudformation.stack_resource(stack, logical_id).await
            }
        }

        impl Instances for $adapters {
            async fn instance(&self, id: &InstanceId) -> Result<Instance, Error> {
                self.ec2.instance(id).await
            }

            async fn stack_instances(
                &self,
                stack: &str,
                logical_id: &str,
            ) -> Result<Vec<Instance>, Error> {
                self.ec2.stack_instances(stack, logical_id).await
            }

            async fn group(&self, name: &str) -> Result<Option<Group>, Error> {
                self.auto_scaling.group(name).await
            }

            async fn group_instances(&self, group: &str) -> Result<Vec<Instance>, Error> {
                self.ec2.group_instances(group).await
            }
        }
    )*};
}

targets!(IntegrationAdapters, PlanningAdapters, StartingAdapters);

/// All kinds of adapters keep OpsItems and notify operators in the same way.
macro_rules! ops_items_and_notifications {
    ($($adapters:ty),*) => {$(
        impl OpsItems for $adapters {
            async fn find(&self, key: &ItemKey) -> Result<Vec<OpsItem>, Error> {
                self.ops_center.find(key).await
            }

            async fn open(&self, kind: &'static str) -> Result<Vec<OpsItem>, Error> {
                self.ops_center.open(kind).await
            }

            async fn get(&self, id: &OpsItemId) -> Result<OpsItem, Error> {
                self.ops_center.get(id).await
            }

            async fn create(&self, item: &NewOpsItem) -> Result<Claim, Error> {
                self.ops_center.create(item).await
            }

            async fn update(&self, id: &OpsItemId, change: &OpsItemChange) -> Result<(), Error> {
                self.ops_center.update(id, change).await
            }
        }

        impl Notifications for $adapters {
            async fn notify(&self, notification: &Notification) -> Result<(), Error> {
                self.topic.notify(notification).await
            }
        }
    )*};
}

ops_items_and_notifications!(
    IntegrationAdapters,
    ReportingAdapters,
    ResponseAdapters,
    TrackingAdapters,
    ValidationAdapters
);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire};

    /// Reads the tags of `point`. Returns the actions that were called.
    async fn asked(point: &str, answers: Vec<Answer>) -> (Vec<String>, Result<Tags, Error>) {
        let wire = Wire::answering(answers);
        let adapters = IntegrationAdapters::new(&wire.config(), None);
        let point = RecoveryPointArn::parse(point).unwrap();
        let tags = RecoveryPointTags::tags(&adapters, &point).await;
        (wire.actions().into_iter().collect(), tags)
    }

    #[tokio::test]
    async fn reads_tags_from_the_service_of_the_arn() {
        let tag = || {
            vec![Answer::ec2(
                "DescribeTags",
                "<tagSet><item><key>a</key><value>1</value></item></tagSet>",
            )]
        };
        for point in [
            "arn:aws:ec2:us-west-2::snapshot/snap-1",
            "arn:aws-us-gov:ec2:us-gov-west-1::image/ami-1",
        ] {
            let (actions, tags) = asked(point, tag()).await;
            assert_eq!(actions, ["ec2:DescribeTags"]);
            assert_eq!(tags.unwrap()["a"], "1");
        }
        let point = "arn:aws-cn:backup:cn-north-1:111122223333:recovery-point:1EB3B5E7";
        let answers = vec![Answer::rest(&json!({"Tags": {"a": "1"}}))];
        let (actions, tags) = asked(point, answers).await;
        assert_eq!(actions, ["backup:ListTags"]);
        assert_eq!(tags.unwrap()["a"], "1");
        let point = "arn:aws:rds:us-west-2:111122223333:snapshot:awsbackup:job-1";
        let (actions, tags) = asked(point, Vec::new()).await;
        assert!(actions.is_empty());
        assert_eq!(tags.unwrap_err().error_type(), "Permanent");
    }

    #[tokio::test]
    async fn reads_tags_of_many_snapshots_in_one_call() {
        let wire = Wire::answering([Answer::ec2(
            "DescribeTags",
            "<tagSet><item><resourceId>snap-1</resourceId><key>a</key><value>1</value></item>\
             <item><resourceId>snap-2</resourceId><key>a</key><value>2</value></item></tagSet>",
        )]);
        let adapters = IntegrationAdapters::new(&wire.config(), None);
        let points = [
            "arn:aws:ec2:us-west-2::snapshot/snap-1",
            "arn:aws:ec2:us-west-2::snapshot/snap-2",
            "arn:aws:ec2:us-west-2::snapshot/snap-3",
            "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7",
        ]
        .map(|arn| RecoveryPointArn::parse(arn).unwrap());
        let tags = adapters.tags_together(&points).await.unwrap();
        assert_eq!(tags[&points[0]]["a"], "1");
        assert_eq!(tags[&points[1]]["a"], "2");
        assert!(tags[&points[2]].is_empty());
        // Recovery points of AWS Backup are read one by one, elsewhere.
        assert_eq!(tags.len(), 3);
        assert_eq!(wire.sent().len(), 1);
        let none = adapters.tags_together(&points[3..]).await.unwrap();
        assert!(none.is_empty());
        assert_eq!(wire.sent().len(), 1);
    }

    #[tokio::test]
    async fn response_adapters_call_only_their_actions() {
        let wire = Wire::answering([
            Answer::json(&json!({"OpsItemId": "oi-1"})),
            Answer::query("Publish", "<MessageId>m</MessageId>"),
            Answer::json(&json!({"AutomationExecutionId": "e"})),
        ]);
        let topic = "arn:aws:sns:us-west-2:111122223333:recovery";
        let adapters = ResponseAdapters::new(&wire.config(), Some(topic.to_owned()));
        let id = OpsItemId::new("oi-1");
        adapters
            .update(&id, &OpsItemChange::default())
            .await
            .unwrap();
        let notification = Notification {
            subject: "s".to_owned(),
            pointer: "p".to_owned(),
            message: "m".to_owned(),
            attributes: Vec::new(),
        };
        adapters.notify(&notification).await.unwrap();
        adapters.start("Recover", "token", &[]).await.unwrap();
        let allowed: Vec<&str> = ResponseAdapters::ACTIONS.concat();
        for action in wire.actions() {
            assert!(allowed.contains(&action.as_str()), "{action}");
        }
        assert_eq!(wire.sent().len(), 3);
    }
}
