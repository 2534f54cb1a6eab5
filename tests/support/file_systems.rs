//! A world in which a restore job of a file system completed: the file system, its network, and the recovery
//! point with its tags.

use recovery_core::aws::arn::{Arn, InstanceId, Scope};
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::file_system::{
    AccessPoint, EfsFileSystem, EfsState, FileSystemId, FsxFileSystem, FsxState, FsxType,
};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, FileSystems, Mounts, World};
use recovery_core::integrate::file_system::run::FileSystemConfig;
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, FileSystemIntegrationPorts};
use serde_json::Value;

use super::disturbed::{Disturbed, finish};
use super::restored::{instance, job_of, ownership, retag, usual_ownership};

/// The event of a restored file system of EFS.
pub(crate) const EFS_FILE: &str = "restore-completed-efs";
/// The event of a restored file system of FSx.
pub(crate) const FSX_FILE: &str = "restore-completed-fsx";
/// The file system of EFS of that event.
pub(crate) const EFS: &str = "fs-01b9607b9f19357b8";
/// The file system of FSx of that event.
pub(crate) const FSX: &str = "fs-0eed05b9922f955a4";
/// The tags of the recovery point.
pub(crate) const TAGS: [(&str, &str); 4] = [
    ("recovery:workload", "shop"),
    ("recovery:stack", "shop"),
    ("recovery:security-groups", "Nfs"),
    ("recovery:publish", "/recovery/shop/shared"),
];

/// The tags of one that the runbook mounts.
pub(crate) const MOUNT_TAGS: [(&str, &str); 6] = [
    TAGS[0],
    TAGS[1],
    TAGS[2],
    TAGS[3],
    ("recovery:logical-id", "Web"),
    ("recovery:mount", "/shared"),
];

/// Whether the event is one of a restored file system.
pub(crate) fn is_of_file_system(event: &Value) -> bool {
    event
        .pointer("/detail/resourceType")
        .is_some_and(|name| name == "EFS" || name == "FSx")
}

/// The world in which `event`, of a completed restore of a file system, was sent.
pub(crate) fn file_system_world(event: &Value) -> World {
    let world = World::new();
    world.add_subnets();
    add_network(&world, "shop");
    let job = job_of(event);
    let created = job.created_resource.clone().expect("a created resource");
    let mut state = world.state();
    for point in job.points() {
        let tags = TAGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        state.tags.insert(point.to_string(), tags.into());
    }
    add_file_system(&mut state.file_systems, &created);
    state.restore_jobs.insert(job.id.to_string(), job);
    drop(state);
    world
}

/// The subnets of two zones and the security group of a stack.
pub(crate) fn add_network(world: &World, stack: &str) {
    for (name, resource_type, id) in [
        ("A", "AWS::EC2::Subnet", "subnet-a1"),
        ("B", "AWS::EC2::Subnet", "subnet-b1"),
        ("Nfs", "AWS::EC2::SecurityGroup", "sg-1"),
    ] {
        let resource = StackResource {
            resource_type: resource_type.to_owned(),
            physical_id: Some(id.to_owned()),
            status: "CREATE_COMPLETE".into(),
        };
        let key = (stack.to_owned(), name.to_owned());
        world.state().stack_resources.insert(key, resource);
    }
}

/// The runbook mounts the file system on these instances of an Auto Scaling group of the stack.
pub(crate) fn mount_on_group(world: &World, stack: &str, instances: &[&str]) {
    retag(world, &MOUNT_TAGS);
    let resource = StackResource {
        resource_type: "AWS::AutoScaling::AutoScalingGroup".to_owned(),
        physical_id: Some("web".to_owned()),
        status: "CREATE_COMPLETE".into(),
    };
    let members = instances.iter().map(|id| InstanceId::new(*id)).collect();
    let mut state = world.state();
    state.mounts = Mounts::on();
    for id in instances {
        let instance = instance(id, "us-west-2a");
        state.instances.insert(instance.id.clone(), instance);
    }
    let key = (stack.to_owned(), "Web".to_owned());
    state.stack_resources.insert(key, resource);
    state.groups.insert("web".to_owned(), members);
}

/// As [`mount_on_group`], on one instance.
pub(crate) fn mount_on_instance(world: &World, id: &str) {
    retag(world, &MOUNT_TAGS);
    let resource = StackResource {
        resource_type: "AWS::EC2::Instance".to_owned(),
        physical_id: Some(id.to_owned()),
        status: "CREATE_COMPLETE".into(),
    };
    let mut state = world.state();
    state.mounts = Mounts::on();
    let key = ("shop".to_owned(), "Web".to_owned());
    state.stack_resources.insert(key, resource);
    let instance = instance(id, "us-west-2a");
    state.instances.insert(instance.id.clone(), instance);
}

/// The access point of EFS that serves the restored files.
pub(crate) fn add_access_point(world: &World) {
    let point = AccessPoint {
        id: "fsap-1".to_owned(),
        path: "/aws-backup-restore_2026-11-23T03-10-00-000Z".to_owned(),
        creates_directory: false,
        state: EfsState::Available,
    };
    let mut state = world.state();
    let points = &mut state.file_systems.access_points;
    points.insert(EFS.to_owned(), vec![point]);
}

fn add_file_system(file_systems: &mut FileSystems, created: &Arn) {
    match FileSystemId::of(created) {
        Some(FileSystemId::Efs(id)) => {
            let file_system = EfsFileSystem {
                id: id.clone(),
                arn: created.clone(),
                state: EfsState::Available,
                restore_test: false,
            };
            file_systems.efs.insert(id, file_system);
        }
        Some(FileSystemId::Fsx(id)) => {
            let file_system = FsxFileSystem {
                id: id.clone(),
                arn: created.clone(),
                kind: FsxType::Lustre,
                state: FsxState::Available,
                failure: None,
                dns_name: Some(format!("{id}.fsx.us-west-2.amazonaws.com")),
                mount_name: Some("fzlesbev".to_owned()),
                root_volume: None,
                restore_test: false,
            };
            file_systems.fsx.insert(id, file_system);
        }
        other => panic!("{other:?}"),
    }
}

/// The settings of file-system-integrator in the deployment that `event` belongs to.
pub(crate) fn file_system_config(event: &Value) -> FileSystemConfig {
    FileSystemConfig {
        ownership: if event.get("account").is_some() {
            ownership(event)
        } else {
            usual_ownership()
        },
        publish_path: "/recovery/".to_owned(),
    }
}

/// As [`file_system_config`], for this account and Region.
pub(crate) fn file_system_config_in(scope: &Scope) -> FileSystemConfig {
    FileSystemConfig {
        ownership: Ownership {
            scope: scope.clone(),
            drill_role: DRILL_ROLE.to_owned(),
        },
        publish_path: "/recovery/".to_owned(),
    }
}

/// Delivers `event` to file-system-integrator, with any ports and clock.
pub(crate) async fn file_system_integration(
    ports: &impl FileSystemIntegrationPorts,
    clock: &impl Clock,
    event: &Value,
) -> Result<Outcome, Error> {
    file_system_integrator::handle(ports, clock, &file_system_config(event), event).await
}

/// Delivers `event` to file-system-integrator.
pub(crate) fn integrate_file_system(world: &World, event: &Value) -> Result<Outcome, Error> {
    finish(file_system_integration(
        &Disturbed::not(world),
        &FakeClock::new(),
        event,
    ))
}

/// Delivers `event` until the answer is not `pending`.
pub(crate) fn integrate_file_system_to_the_end(
    world: &World,
    event: &Value,
) -> Result<Outcome, Error> {
    loop {
        let answer = integrate_file_system(world, event);
        if !answer.as_ref().is_ok_and(|it| it.kind() == "pending") {
            return answer;
        }
    }
}
