//! The ports of each phase: which adapters a function has, and which IAM actions it needs.

use recovery_core::ports::{
    AutoScalingGroups, BucketIntegrationPorts, BucketPorts, Buckets, DataStorePorts, DatabasePorts,
    DbClusters, DbInstances, EfsFileSystems, FileSystemIntegrationPorts, FileSystemPorts,
    FsxFileSystems, Functions, Images, InstanceIntegrationPorts, InstancePorts, Instances,
    IntegrationPorts, MountPorts, MountRunbook, Notifications, Objects, OpsItems, Parameters,
    PlanningPorts, PublishingPorts, ReconciliationPorts, RecoveryPointTags, RecoveryPoints,
    ReportingPorts, ResponsePorts, RestoreJobs, RestoreTests, RestoredPorts, Runbooks, Servers,
    Snapshots, StackResources, Stacks, StartingPorts, Subnets, TablePorts, Tables, TaggedResources,
    TargetGroups, TargetPorts, TrackingPorts, ValidationPorts, Volumes,
};

use crate::recovery_point_tags::{AllTagStores, DatabaseTagStores, FileSystemTagStores, TagStores};
use crate::{
    AutoScaling, Backup, CloudFormation, Config, DynamoDb, Ec2, Efs, Fsx, Invoker, LoadBalancing,
    MountRunner, OpsCenter, ParameterStore, PlanBucket, Rds, RunbookRunner, S3, Tagging, Topic,
};

/// What the integration of a restored volume reaches AWS through.
#[derive(Debug)]
pub struct IntegrationAdapters {
    auto_scaling: AutoScaling,
    cloudformation: CloudFormation,
    tagging: Tagging,
    mounts: MountRunner,
    ops_center: OpsCenter,
    tags: TagStores,
    topic: Topic,
}

impl IntegrationAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        AutoScaling::ACTIONS,
        Backup::INTEGRATION_ACTIONS,
        CloudFormation::ACTIONS,
        Tagging::ACTIONS,
        Ec2::INTEGRATION_ACTIONS,
        MountRunner::ACTIONS,
        OpsCenter::ACTIONS,
        Topic::ACTIONS,
    ];

    /// Clients for every service it needs; notification goes to `topic`, if any, and `mount_runbook` mounts, if any.
    pub fn new(
        config: &Config,
        topic: Option<String>,
        mount_runbook: Option<String>,
    ) -> IntegrationAdapters {
        IntegrationAdapters {
            mounts: MountRunner::new(config, mount_runbook),
            auto_scaling: AutoScaling::new(config),
            cloudformation: CloudFormation::new(config),
            tagging: Tagging::new(config),
            ops_center: OpsCenter::new(config),
            tags: TagStores::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

impl TargetPorts for IntegrationAdapters {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        &self.cloudformation
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        &self.cloudformation
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        &self.tagging
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        &self.tags.ec2
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        &self.auto_scaling
    }
}

impl TrackingPorts for IntegrationAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl RestoredPorts for IntegrationAdapters {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.tags.backup
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        &self.tags
    }
}

impl MountPorts for IntegrationAdapters {
    fn mount_runbook(&self) -> &(impl MountRunbook + Sync) {
        &self.mounts
    }
}

impl IntegrationPorts for IntegrationAdapters {
    fn volumes(&self) -> &(impl Volumes + Sync) {
        &self.tags.ec2
    }
}

/// What the integration of a restored table reaches AWS through.
#[derive(Debug)]
pub struct TableAdapters {
    dynamodb: DynamoDb,
    ops_center: OpsCenter,
    parameters: ParameterStore,
    tags: TagStores,
    topic: Topic,
}

impl TableAdapters {
    /// The IAM actions that it needs. The recovery points of tables are those of AWS Backup, which has their tags.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        Backup::INTEGRATION_ACTIONS,
        DynamoDb::ACTIONS,
        OpsCenter::ACTIONS,
        ParameterStore::ACTIONS,
        Topic::ACTIONS,
    ];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> TableAdapters {
        TableAdapters {
            dynamodb: DynamoDb::new(config),
            ops_center: OpsCenter::new(config),
            parameters: ParameterStore::new(config),
            tags: TagStores::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

impl TrackingPorts for TableAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl RestoredPorts for TableAdapters {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.tags.backup
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        &self.tags
    }
}

impl PublishingPorts for TableAdapters {
    fn parameters(&self) -> &(impl Parameters + Sync) {
        &self.parameters
    }
}

impl TablePorts for TableAdapters {
    fn tables(&self) -> &(impl Tables + Sync) {
        &self.dynamodb
    }
}

/// What the integration of a restored database reaches AWS through.
#[derive(Debug)]
pub struct DatabaseAdapters {
    ops_center: OpsCenter,
    parameters: ParameterStore,
    tags: DatabaseTagStores,
    topic: Topic,
}

impl DatabaseAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        Backup::INTEGRATION_ACTIONS,
        OpsCenter::ACTIONS,
        ParameterStore::ACTIONS,
        Rds::TAG_ACTIONS,
        Rds::INTEGRATION_ACTIONS,
        Topic::ACTIONS,
    ];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> DatabaseAdapters {
        DatabaseAdapters {
            ops_center: OpsCenter::new(config),
            parameters: ParameterStore::new(config),
            tags: DatabaseTagStores::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

impl TrackingPorts for DatabaseAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl RestoredPorts for DatabaseAdapters {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.tags.backup
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        &self.tags
    }
}

impl PublishingPorts for DatabaseAdapters {
    fn parameters(&self) -> &(impl Parameters + Sync) {
        &self.parameters
    }
}

impl DatabasePorts for DatabaseAdapters {
    fn db_instances(&self) -> &(impl DbInstances + Sync) {
        &self.tags.rds
    }

    fn db_clusters(&self) -> &(impl DbClusters + Sync) {
        &self.tags.rds
    }
}

/// What the integration of a restored file system reaches AWS through.
#[derive(Debug)]
pub struct FileSystemAdapters {
    auto_scaling: AutoScaling,
    cloudformation: CloudFormation,
    ec2: Ec2,
    efs: Efs,
    mounts: MountRunner,
    ops_center: OpsCenter,
    parameters: ParameterStore,
    tagging: Tagging,
    tags: FileSystemTagStores,
    topic: Topic,
}

impl FileSystemAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        AutoScaling::ACTIONS,
        Backup::INTEGRATION_ACTIONS,
        Backup::METADATA_ACTIONS,
        CloudFormation::REFERENCE_ACTIONS,
        Ec2::SUBNET_ACTIONS,
        Ec2::TARGET_ACTIONS,
        Efs::ACTIONS,
        Fsx::INTEGRATION_ACTIONS,
        Fsx::TAG_ACTIONS,
        MountRunner::ACTIONS,
        OpsCenter::ACTIONS,
        ParameterStore::ACTIONS,
        Tagging::ACTIONS,
        Topic::ACTIONS,
    ];

    /// Clients for every service it needs; notification goes to `topic`, if any, and `mount_runbook` mounts, if any.
    pub fn new(
        config: &Config,
        topic: Option<String>,
        mount_runbook: Option<String>,
    ) -> FileSystemAdapters {
        FileSystemAdapters {
            mounts: MountRunner::new(config, mount_runbook),
            auto_scaling: AutoScaling::new(config),
            cloudformation: CloudFormation::new(config),
            ec2: Ec2::new(config),
            efs: Efs::new(config),
            ops_center: OpsCenter::new(config),
            parameters: ParameterStore::new(config),
            tagging: Tagging::new(config),
            tags: FileSystemTagStores::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

impl TargetPorts for FileSystemAdapters {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        &self.cloudformation
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        &self.cloudformation
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        &self.tagging
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        &self.ec2
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        &self.auto_scaling
    }
}

impl TrackingPorts for FileSystemAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl RestoredPorts for FileSystemAdapters {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.tags.backup
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        &self.tags
    }
}

impl PublishingPorts for FileSystemAdapters {
    fn parameters(&self) -> &(impl Parameters + Sync) {
        &self.parameters
    }
}

impl FileSystemPorts for FileSystemAdapters {
    fn efs(&self) -> &(impl EfsFileSystems + Sync) {
        &self.efs
    }

    fn fsx(&self) -> &(impl FsxFileSystems + Sync) {
        &self.tags.fsx
    }
}

impl MountPorts for FileSystemAdapters {
    fn mount_runbook(&self) -> &(impl MountRunbook + Sync) {
        &self.mounts
    }
}

impl FileSystemIntegrationPorts for FileSystemAdapters {
    fn subnets(&self) -> &(impl Subnets + Sync) {
        &self.ec2
    }
}

/// What the integration of a restored bucket reaches AWS through.
#[derive(Debug)]
pub struct BucketAdapters {
    auto_scaling: AutoScaling,
    cloudformation: CloudFormation,
    ops_center: OpsCenter,
    parameters: ParameterStore,
    s3: S3,
    tagging: Tagging,
    tags: TagStores,
    topic: Topic,
}

impl BucketAdapters {
    /// The IAM actions that it needs. The recovery points of buckets are those of AWS Backup, which has their tags.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        Backup::INTEGRATION_ACTIONS,
        Backup::METADATA_ACTIONS,
        CloudFormation::REFERENCE_ACTIONS,
        OpsCenter::ACTIONS,
        ParameterStore::ACTIONS,
        S3::LOOKUP_ACTIONS,
        Tagging::ACTIONS,
        Topic::ACTIONS,
    ];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> BucketAdapters {
        BucketAdapters {
            auto_scaling: AutoScaling::new(config),
            cloudformation: CloudFormation::new(config),
            ops_center: OpsCenter::new(config),
            parameters: ParameterStore::new(config),
            s3: S3::new(config),
            tagging: Tagging::new(config),
            tags: TagStores::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

impl TargetPorts for BucketAdapters {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        &self.cloudformation
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        &self.cloudformation
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        &self.tagging
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        &self.tags.ec2
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        &self.auto_scaling
    }
}

impl TrackingPorts for BucketAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl RestoredPorts for BucketAdapters {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.tags.backup
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        &self.tags
    }
}

impl PublishingPorts for BucketAdapters {
    fn parameters(&self) -> &(impl Parameters + Sync) {
        &self.parameters
    }
}

impl BucketPorts for BucketAdapters {
    fn buckets(&self) -> &(impl Buckets + Sync) {
        &self.s3
    }
}

impl BucketIntegrationPorts for BucketAdapters {}

/// What the integration of a restored instance reaches AWS through.
#[derive(Debug)]
pub struct InstanceAdapters {
    auto_scaling: AutoScaling,
    cloudformation: CloudFormation,
    load_balancing: LoadBalancing,
    ops_center: OpsCenter,
    parameters: ParameterStore,
    tagging: Tagging,
    tags: TagStores,
    topic: Topic,
}

impl InstanceAdapters {
    /// The IAM actions that it needs. EC2 has the tags of the image.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        Backup::INTEGRATION_ACTIONS,
        Backup::METADATA_ACTIONS,
        Backup::POINT_METADATA_ACTIONS,
        CloudFormation::ACTIONS,
        Ec2::SERVER_ACTIONS,
        Ec2::TAG_ACTIONS,
        LoadBalancing::ACTIONS,
        OpsCenter::ACTIONS,
        ParameterStore::ACTIONS,
        Tagging::ACTIONS,
        Topic::ACTIONS,
    ];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> InstanceAdapters {
        InstanceAdapters {
            auto_scaling: AutoScaling::new(config),
            cloudformation: CloudFormation::new(config),
            load_balancing: LoadBalancing::new(config),
            ops_center: OpsCenter::new(config),
            parameters: ParameterStore::new(config),
            tagging: Tagging::new(config),
            tags: TagStores::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

impl TargetPorts for InstanceAdapters {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        &self.cloudformation
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        &self.cloudformation
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        &self.tagging
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        &self.tags.ec2
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        &self.auto_scaling
    }
}

impl TrackingPorts for InstanceAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl RestoredPorts for InstanceAdapters {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.tags.backup
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        &self.tags
    }
}

impl PublishingPorts for InstanceAdapters {
    fn parameters(&self) -> &(impl Parameters + Sync) {
        &self.parameters
    }
}

impl InstancePorts for InstanceAdapters {
    fn servers(&self) -> &(impl Servers + Sync) {
        &self.tags.ec2
    }
}

impl InstanceIntegrationPorts for InstanceAdapters {
    fn target_groups(&self) -> &(impl TargetGroups + Sync) {
        &self.load_balancing
    }

    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync) {
        &self.tags.backup
    }
}

/// What the reconciliation of restores reaches AWS through.
#[derive(Debug)]
pub struct ReconciliationAdapters {
    integration: IntegrationAdapters,
    invoker: Invoker,
}

impl ReconciliationAdapters {
    /// The IAM actions that it needs, in addition to those of [`IntegrationAdapters`].
    pub const ACTIONS: &'static [&'static [&'static str]] =
        &[Backup::LISTING_ACTIONS, Invoker::ACTIONS];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(
        config: &Config,
        topic: Option<String>,
        mount_runbook: Option<String>,
    ) -> ReconciliationAdapters {
        ReconciliationAdapters {
            integration: IntegrationAdapters::new(config, topic, mount_runbook),
            invoker: Invoker::new(config),
        }
    }
}

impl TargetPorts for ReconciliationAdapters {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        self.integration.stack_resources()
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        self.integration.stacks()
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        self.integration.tagged_resources()
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        self.integration.instances()
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        self.integration.groups()
    }
}

impl TrackingPorts for ReconciliationAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        self.integration.ops_items()
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        self.integration.notifications()
    }
}

impl RestoredPorts for ReconciliationAdapters {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        self.integration.restore_jobs()
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        self.integration.recovery_point_tags()
    }
}

impl MountPorts for ReconciliationAdapters {
    fn mount_runbook(&self) -> &(impl MountRunbook + Sync) {
        self.integration.mount_runbook()
    }
}

impl IntegrationPorts for ReconciliationAdapters {
    fn volumes(&self) -> &(impl Volumes + Sync) {
        self.integration.volumes()
    }
}

impl ReconciliationPorts for ReconciliationAdapters {
    fn functions(&self) -> &(impl Functions + Sync) {
        &self.invoker
    }
}

/// What the validation of a restore test reaches AWS through.
#[derive(Debug)]
pub struct ValidationAdapters {
    backup: Backup,
    ec2: Ec2,
    ops_center: OpsCenter,
    topic: Topic,
}

impl ValidationAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        Backup::VALIDATION_ACTIONS,
        Ec2::VALIDATION_ACTIONS,
        OpsCenter::ACTIONS,
        Topic::ACTIONS,
    ];

    /// Clients for every service it needs; notification goes to `topic`, if any.
    pub fn new(config: &Config, topic: Option<String>) -> ValidationAdapters {
        ValidationAdapters {
            backup: Backup::new(config),
            ec2: Ec2::new(config),
            ops_center: OpsCenter::new(config),
            topic: Topic::new(config, topic),
        }
    }
}

impl TrackingPorts for ValidationAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl ValidationPorts for ValidationAdapters {
    fn restore_tests(&self) -> &(impl RestoreTests + Sync) {
        &self.backup
    }

    fn volumes(&self) -> &(impl Volumes + Sync) {
        &self.ec2
    }

    fn snapshots(&self) -> &(impl Snapshots + Sync) {
        &self.ec2
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

impl TrackingPorts for TrackingAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
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

impl TrackingPorts for ResponseAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl ResponsePorts for ResponseAdapters {
    fn runbooks(&self) -> &(impl Runbooks + Sync) {
        &self.runbooks
    }
}

/// What the planning of a recovery reaches AWS through.
#[derive(Debug)]
pub struct PlanningAdapters {
    auto_scaling: AutoScaling,
    cloudformation: CloudFormation,
    tagging: Tagging,
    plans: PlanBucket,
    tags: AllTagStores,
    dynamodb: DynamoDb,
}

impl PlanningAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        AutoScaling::ACTIONS,
        Backup::PLANNING_ACTIONS,
        CloudFormation::ACTIONS,
        Tagging::ACTIONS,
        Ec2::IMAGE_ACTIONS,
        Ec2::TARGET_ACTIONS,
        Ec2::TAG_ACTIONS,
        PlanBucket::ACTIONS,
        PlanBucket::LISTING_ACTIONS,
        Fsx::TAG_ACTIONS,
        Rds::TAG_ACTIONS,
        Backup::LISTING_ACTIONS,
        DynamoDb::LOOKUP_ACTIONS,
        Rds::LOOKUP_ACTIONS,
    ];

    /// Clients for every service it needs; plans are kept in `bucket`.
    pub fn new(config: &Config, bucket: String) -> PlanningAdapters {
        PlanningAdapters {
            auto_scaling: AutoScaling::new(config),
            cloudformation: CloudFormation::new(config),
            tagging: Tagging::new(config),
            plans: PlanBucket::new(config, bucket),
            tags: AllTagStores::new(config),
            dynamodb: DynamoDb::new(config),
        }
    }
}

impl TargetPorts for PlanningAdapters {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        &self.cloudformation
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        &self.cloudformation
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        &self.tagging
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        &self.tags.stores.ec2
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        &self.auto_scaling
    }
}

impl DataStorePorts for PlanningAdapters {
    fn db_instances(&self) -> &(impl DbInstances + Sync) {
        &self.tags.rds
    }

    fn db_clusters(&self) -> &(impl DbClusters + Sync) {
        &self.tags.rds
    }

    fn tables(&self) -> &(impl Tables + Sync) {
        &self.dynamodb
    }
}

impl PlanningPorts for PlanningAdapters {
    fn images(&self) -> &(impl Images + Sync) {
        &self.tags.stores.ec2
    }

    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.tags.stores.backup
    }

    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync) {
        &self.tags.stores.backup
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        &self.tags
    }

    fn objects(&self) -> &(impl Objects + Sync) {
        &self.plans
    }
}

/// What the start of a planned restore reaches AWS through.
#[derive(Debug)]
pub struct StartingAdapters {
    auto_scaling: AutoScaling,
    backup: Backup,
    cloudformation: CloudFormation,
    tagging: Tagging,
    ec2: Ec2,
    plans: PlanBucket,
    dynamodb: DynamoDb,
    efs: Efs,
    fsx: Fsx,
    rds: Rds,
    s3: S3,
}

impl StartingAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        AutoScaling::ACTIONS,
        Backup::STARTING_ACTIONS,
        CloudFormation::ACTIONS,
        Tagging::ACTIONS,
        Ec2::IMAGE_ACTIONS,
        Ec2::SUBNET_ACTIONS,
        Ec2::TARGET_ACTIONS,
        Ec2::VOLUME_ACTIONS,
        PlanBucket::ACTIONS,
        DynamoDb::LOOKUP_ACTIONS,
        Efs::LOOKUP_ACTIONS,
        Fsx::LOOKUP_ACTIONS,
        Rds::LOOKUP_ACTIONS,
        S3::SETTINGS_ACTIONS,
    ];

    /// Clients for every service it needs; restore jobs are recorded in `bucket`.
    pub fn new(config: &Config, bucket: String) -> StartingAdapters {
        StartingAdapters {
            auto_scaling: AutoScaling::new(config),
            backup: Backup::new(config),
            cloudformation: CloudFormation::new(config),
            tagging: Tagging::new(config),
            ec2: Ec2::new(config),
            plans: PlanBucket::new(config, bucket),
            dynamodb: DynamoDb::new(config),
            efs: Efs::new(config),
            fsx: Fsx::new(config),
            rds: Rds::new(config),
            s3: S3::new(config),
        }
    }
}

impl TargetPorts for StartingAdapters {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        &self.cloudformation
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        &self.cloudformation
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        &self.tagging
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        &self.ec2
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        &self.auto_scaling
    }
}

impl BucketPorts for StartingAdapters {
    fn buckets(&self) -> &(impl Buckets + Sync) {
        &self.s3
    }
}

impl FileSystemPorts for StartingAdapters {
    fn efs(&self) -> &(impl EfsFileSystems + Sync) {
        &self.efs
    }

    fn fsx(&self) -> &(impl FsxFileSystems + Sync) {
        &self.fsx
    }
}

impl DataStorePorts for StartingAdapters {
    fn db_instances(&self) -> &(impl DbInstances + Sync) {
        &self.rds
    }

    fn db_clusters(&self) -> &(impl DbClusters + Sync) {
        &self.rds
    }

    fn tables(&self) -> &(impl Tables + Sync) {
        &self.dynamodb
    }
}

impl InstancePorts for StartingAdapters {
    fn servers(&self) -> &(impl Servers + Sync) {
        &self.ec2
    }
}

impl StartingPorts for StartingAdapters {
    fn images(&self) -> &(impl Images + Sync) {
        &self.ec2
    }

    fn subnets(&self) -> &(impl Subnets + Sync) {
        &self.ec2
    }

    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync) {
        &self.backup
    }

    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.backup
    }

    fn volumes(&self) -> &(impl Volumes + Sync) {
        &self.ec2
    }

    fn objects(&self) -> &(impl Objects + Sync) {
        &self.plans
    }
}

/// What the report of a recovery reaches AWS through.
#[derive(Debug)]
pub struct ReportingAdapters {
    backup: Backup,
    ec2: Ec2,
    plans: PlanBucket,
    ops_center: OpsCenter,
    topic: Topic,
    dynamodb: DynamoDb,
    efs: Efs,
    fsx: Fsx,
    rds: Rds,
    s3: S3,
}

impl ReportingAdapters {
    /// The IAM actions that it needs.
    pub const ACTIONS: &'static [&'static [&'static str]] = &[
        Backup::LISTING_ACTIONS,
        Ec2::TARGET_ACTIONS,
        Ec2::VOLUME_ACTIONS,
        PlanBucket::ACTIONS,
        OpsCenter::ACTIONS,
        Topic::ACTIONS,
        DynamoDb::LOOKUP_ACTIONS,
        Efs::LOOKUP_ACTIONS,
        Efs::MOUNT_TARGET_ACTIONS,
        Fsx::LOOKUP_ACTIONS,
        Rds::LOOKUP_ACTIONS,
        S3::LOOKUP_ACTIONS,
    ];

    /// Clients for every service it needs; plans and reports are kept in `bucket`, notification goes to
    /// `topic`, if any.
    pub fn new(config: &Config, bucket: String, topic: Option<String>) -> ReportingAdapters {
        ReportingAdapters {
            backup: Backup::new(config),
            ec2: Ec2::new(config),
            plans: PlanBucket::new(config, bucket),
            ops_center: OpsCenter::new(config),
            topic: Topic::new(config, topic),
            dynamodb: DynamoDb::new(config),
            efs: Efs::new(config),
            fsx: Fsx::new(config),
            rds: Rds::new(config),
            s3: S3::new(config),
        }
    }
}

impl TrackingPorts for ReportingAdapters {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        &self.ops_center
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        &self.topic
    }
}

impl BucketPorts for ReportingAdapters {
    fn buckets(&self) -> &(impl Buckets + Sync) {
        &self.s3
    }
}

impl FileSystemPorts for ReportingAdapters {
    fn efs(&self) -> &(impl EfsFileSystems + Sync) {
        &self.efs
    }

    fn fsx(&self) -> &(impl FsxFileSystems + Sync) {
        &self.fsx
    }
}

impl DataStorePorts for ReportingAdapters {
    fn db_instances(&self) -> &(impl DbInstances + Sync) {
        &self.rds
    }

    fn db_clusters(&self) -> &(impl DbClusters + Sync) {
        &self.rds
    }

    fn tables(&self) -> &(impl Tables + Sync) {
        &self.dynamodb
    }
}

impl InstancePorts for ReportingAdapters {
    fn servers(&self) -> &(impl Servers + Sync) {
        &self.ec2
    }
}

impl ReportingPorts for ReportingAdapters {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        &self.backup
    }

    fn volumes(&self) -> &(impl Volumes + Sync) {
        &self.ec2
    }

    fn objects(&self) -> &(impl Objects + Sync) {
        &self.plans
    }
}

#[cfg(test)]
mod tests {
    use recovery_core::aws::arn::OpsItemId;
    use recovery_core::notification::Notification;
    use recovery_core::ops_item::OpsItemChange;
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire};

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
            .ops_items()
            .update(&id, &OpsItemChange::default())
            .await
            .unwrap();
        let notification = Notification {
            subject: "s".to_owned(),
            pointer: "p".to_owned(),
            message: "m".to_owned(),
            attributes: Vec::new(),
        };
        adapters
            .notifications()
            .publish(&notification)
            .await
            .unwrap();
        adapters
            .runbooks()
            .start("Recover", "token", &[])
            .await
            .unwrap();
        let allowed: Vec<&str> = ResponseAdapters::ACTIONS.concat();
        for action in wire.actions() {
            assert!(allowed.contains(&action.as_str()), "{action}");
        }
        assert_eq!(wire.sent().len(), 3);
    }
}
