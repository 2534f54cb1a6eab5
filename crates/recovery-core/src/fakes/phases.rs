//! The phases' ports of everything that implements every port: of [`World`](super::World) and of what is
//! wrapped around it.

use crate::ports::{
    AutoScalingGroups, BucketIntegrationPorts, BucketPorts, Buckets, DataStorePorts, DatabasePorts,
    DbClusters, DbInstances, EfsFileSystems, FileSystemIntegrationPorts, FileSystemPorts,
    FsxFileSystems, Functions, Images, InstanceIntegrationPorts, InstancePorts, Instances,
    IntegrationPorts, MountPorts, MountRunbook, Notifications, Objects, OpsItems, Parameters,
    PlanningPorts, PublishingPorts, ReconciliationPorts, RecoveryExecutions, RecoveryPointTags,
    RecoveryPoints, ReportingPorts, ResponsePorts, RestoreJobs, RestoreTests, RestoredPorts,
    RoutingControls, Runbooks, Servers, Snapshots, StackResources, Stacks, StartingPorts, Subnets,
    TablePorts, Tables, TaggedResources, TargetGroups, TargetPorts, TrackingPorts, ValidationPorts,
    Volumes,
};

/// Every port.
pub trait AllPorts:
    AutoScalingGroups
    + Buckets
    + DbClusters
    + DbInstances
    + EfsFileSystems
    + FsxFileSystems
    + Images
    + Servers
    + TargetGroups
    + Functions
    + Instances
    + MountRunbook
    + Notifications
    + Objects
    + OpsItems
    + Parameters
    + RecoveryExecutions
    + RecoveryPointTags
    + RecoveryPoints
    + RestoreJobs
    + RestoreTests
    + RoutingControls
    + Runbooks
    + Snapshots
    + StackResources
    + Stacks
    + Subnets
    + TaggedResources
    + Tables
    + Volumes
    + Sync
{
}

impl AllPorts for super::World {}

impl<A: AllPorts> TargetPorts for A {
    fn stack_resources(&self) -> &(impl StackResources + Sync) {
        self
    }

    fn stacks(&self) -> &(impl Stacks + Sync) {
        self
    }

    fn tagged_resources(&self) -> &(impl TaggedResources + Sync) {
        self
    }

    fn instances(&self) -> &(impl Instances + Sync) {
        self
    }

    fn groups(&self) -> &(impl AutoScalingGroups + Sync) {
        self
    }
}

impl<A: AllPorts> TrackingPorts for A {
    fn ops_items(&self) -> &(impl OpsItems + Sync) {
        self
    }

    fn notifications(&self) -> &(impl Notifications + Sync) {
        self
    }
}

impl<A: AllPorts> RestoredPorts for A {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        self
    }

    fn recovery_point_tags(&self) -> &(impl RecoveryPointTags + Sync) {
        self
    }
}

impl<A: AllPorts> MountPorts for A {
    fn mount_runbook(&self) -> &(impl MountRunbook + Sync) {
        self
    }
}

impl<A: AllPorts> PublishingPorts for A {
    fn parameters(&self) -> &(impl Parameters + Sync) {
        self
    }
}

impl<A: AllPorts> DatabasePorts for A {
    fn db_instances(&self) -> &(impl DbInstances + Sync) {
        self
    }

    fn db_clusters(&self) -> &(impl DbClusters + Sync) {
        self
    }
}

impl<A: AllPorts> TablePorts for A {
    fn tables(&self) -> &(impl Tables + Sync) {
        self
    }
}

impl<A: AllPorts> FileSystemPorts for A {
    fn efs(&self) -> &(impl EfsFileSystems + Sync) {
        self
    }

    fn fsx(&self) -> &(impl FsxFileSystems + Sync) {
        self
    }
}

impl<A: AllPorts> FileSystemIntegrationPorts for A {
    fn subnets(&self) -> &(impl Subnets + Sync) {
        self
    }
}

impl<A: AllPorts> BucketPorts for A {
    fn buckets(&self) -> &(impl Buckets + Sync) {
        self
    }
}

impl<A: AllPorts> BucketIntegrationPorts for A {}

impl<A: AllPorts> InstancePorts for A {
    fn servers(&self) -> &(impl Servers + Sync) {
        self
    }
}

impl<A: AllPorts> InstanceIntegrationPorts for A {
    fn target_groups(&self) -> &(impl TargetGroups + Sync) {
        self
    }

    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync) {
        self
    }
}

impl<A: AllPorts> IntegrationPorts for A {
    fn volumes(&self) -> &(impl Volumes + Sync) {
        self
    }
}

impl<A: AllPorts> ReconciliationPorts for A {
    fn functions(&self) -> &(impl Functions + Sync) {
        self
    }
}

impl<A: AllPorts> ResponsePorts for A {
    fn runbooks(&self) -> &(impl Runbooks + Sync) {
        self
    }
}

impl<A: AllPorts> DataStorePorts for A {
    fn db_instances(&self) -> &(impl DbInstances + Sync) {
        self
    }

    fn db_clusters(&self) -> &(impl DbClusters + Sync) {
        self
    }

    fn tables(&self) -> &(impl Tables + Sync) {
        self
    }
}

impl<A: AllPorts> PlanningPorts for A {
    fn images(&self) -> &(impl Images + Sync) {
        self
    }

    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        self
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

impl<A: AllPorts> StartingPorts for A {
    fn images(&self) -> &(impl Images + Sync) {
        self
    }

    fn subnets(&self) -> &(impl Subnets + Sync) {
        self
    }

    fn recovery_points(&self) -> &(impl RecoveryPoints + Sync) {
        self
    }

    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        self
    }

    fn volumes(&self) -> &(impl Volumes + Sync) {
        self
    }

    fn objects(&self) -> &(impl Objects + Sync) {
        self
    }
}

impl<A: AllPorts> ValidationPorts for A {
    fn restore_tests(&self) -> &(impl RestoreTests + Sync) {
        self
    }

    fn volumes(&self) -> &(impl Volumes + Sync) {
        self
    }

    fn snapshots(&self) -> &(impl Snapshots + Sync) {
        self
    }
}

impl<A: AllPorts> ReportingPorts for A {
    fn restore_jobs(&self) -> &(impl RestoreJobs + Sync) {
        self
    }

    fn volumes(&self) -> &(impl Volumes + Sync) {
        self
    }

    fn objects(&self) -> &(impl Objects + Sync) {
        self
    }
}
