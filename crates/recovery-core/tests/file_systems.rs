//! Integration of restored file systems against the in-memory fakes: what is created, published, mounted, refused and
//! skipped, and that a repetition changes nothing.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn, RestoreJobId, Scope};
use recovery_core::aws::backup::{Drill, Restore, RestoreRequest};
use recovery_core::aws::cloudformation::{StackResource, StackState};
use recovery_core::aws::ec2::Instance;
use recovery_core::aws::file_system::{AccessPoint, EfsState, FsxState, FsxType, MountTarget};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, Mounts, StoredItem, World};
use recovery_core::integrate::file_system::run::{FileSystemConfig, integrate};
use recovery_core::integrate::run_invoke::Integrators;
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::integrate::skip::Ownership;
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;

const WORKLOAD: (&str, &str) = ("recovery:workload", "shop");
const STACK: (&str, &str) = ("recovery:stack", "shop");
const GROUPS: (&str, &str) = ("recovery:security-groups", "Nfs");
const PUBLISH: (&str, &str) = ("recovery:publish", "/recovery/shop/shared");
const TAGS: [(&str, &str); 4] = [WORKLOAD, STACK, GROUPS, PUBLISH];
const TARGET: &str = "elasticfilesystem:CreateMountTarget";

fn config() -> FileSystemConfig {
    FileSystemConfig {
        ownership: Ownership {
            scope: Scope {
                account: "111122223333".to_owned(),
                region: "us-west-2".to_owned(),
            },
            drill_role: DRILL_ROLE.to_owned(),
        },
        publish_path: "/recovery/".to_owned(),
    }
}

/// The stack with three subnets in two zones, and a security group.
fn add_network(world: &World, stack: &str) {
    world.add_subnets();
    let mut state = world.state();
    for (name, resource_type, id) in [
        ("A1", "AWS::EC2::Subnet", "subnet-a1"),
        ("A2", "AWS::EC2::Subnet", "subnet-a2"),
        ("B1", "AWS::EC2::Subnet", "subnet-b1"),
        ("Nfs", "AWS::EC2::SecurityGroup", "sg-1"),
    ] {
        let resource = StackResource {
            resource_type: resource_type.to_owned(),
            physical_id: Some(id.to_owned()),
            status: "CREATE_COMPLETE".into(),
        };
        let key = (stack.to_owned(), name.to_owned());
        state.stack_resources.insert(key, resource);
    }
}

fn efs(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    add_network(&world, "shop");
    world.add_restored_efs(tags);
    world
}

fn lustre(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    world.add_restored_lustre(tags);
    world
}

fn ontap(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    world.add_restored_ontap_volume(tags);
    world
}

fn deliver_in(world: &World, drill: Option<Drill>) -> Result<Outcome, Error> {
    let restore = Restore {
        drill,
        ..Restore::from(world.state().restore_jobs["job-fs"].clone())
    };
    integrate(world, &FakeClock::new(), &config(), restore)
        .now_or_never()
        .unwrap()
}

fn deliver(world: &World) -> Result<Outcome, Error> {
    deliver_in(world, None)
}

/// Delivers until the answer is not `pending`.
#[track_caller]
fn to_the_end(world: &World) -> Outcome {
    for _ in 0..20 {
        match deliver(world) {
            Ok(outcome) if outcome.kind() == "pending" => {}
            Err(Error::Retryable(_)) => {}
            answer => return answer.unwrap(),
        }
    }
    panic!("always pending");
}

/// The only OpsItem.
#[track_caller]
fn item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    assert_eq!(world.state().problems, Vec::<String>::new());
    items[0].clone()
}

fn parameters(world: &World) -> Vec<(String, String)> {
    let parameters = world.state().parameters.clone();
    parameters
        .into_iter()
        .map(|(name, parameter)| (name, parameter.value))
        .collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn reason(outcome: &Outcome) -> String {
    format!("{}/{}", outcome.kind(), outcome.reason().unwrap_or("-"))
}

#[track_caller]
fn assert_refused(world: &World, reason: &str) {
    for _ in 0..2 {
        let outcome = to_the_end(world);
        assert_eq!(outcome.reason(), Some(reason));
    }
    assert_eq!(item(world).item.status, Status::Open);
    assert_eq!(world.state().notifications.len(), 1);
}

fn changes(world: &World) -> usize {
    let calls = world.calls();
    let changes = ["Create", "Put", "Update", "Publish"];
    calls
        .iter()
        .filter(|call| {
            changes
                .iter()
                .any(|verb| call.contains(&format!(":{verb}")))
        })
        .count()
}

#[test]
fn efs_gets_a_mount_target_in_each_zone_and_its_addresses_are_published() {
    let world = efs(&TAGS);
    let first = deliver(&world).unwrap();
    assert_eq!(first.kind(), "pending");
    assert!(world.state().parameters.is_empty(), "nothing answers yet");
    let outcome = to_the_end(&world);
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("fileSystemId"), Some("fs-1"));
    let addresses = "us-west-2a=10.0.1.5 us-west-2b=10.0.2.5";
    assert_eq!(outcome.id("address"), Some(addresses));
    let created = world.state().file_systems.created.clone();
    let subnets: Vec<&str> = created.iter().map(|it| it.subnet.as_str()).collect();
    assert_eq!(subnets, ["subnet-a1", "subnet-b1"]);
    assert!(created.iter().all(|it| it.security_groups == ["sg-1"]));
    assert_eq!(
        parameters(&world),
        owned(&[
            ("/recovery/shop/shared/addresses", addresses),
            (
                "/recovery/shop/shared/arn",
                "arn:aws:elasticfilesystem:us-west-2:111122223333:file-system/fs-1"
            ),
            (
                "/recovery/shop/shared/dns-name",
                "fs-1.efs.us-west-2.amazonaws.com"
            ),
            ("/recovery/shop/shared/id", "fs-1"),
        ])
    );
    // Nobody has found the directory with the files.
    let item = item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert!(
        item.description.contains("aws-backup-restore_"),
        "{}",
        item.description
    );
    assert!(
        item.description.contains("file system policy"),
        "{}",
        item.description
    );
    let before = changes(&world);
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    assert_eq!(changes(&world), before, "a repetition changes nothing");
}

#[test]
fn efs_with_an_access_point_to_the_restored_files_has_nothing_left_to_do() {
    let world = efs(&TAGS);
    to_the_end(&world);
    let point = AccessPoint {
        id: "fsap-1".to_owned(),
        path: "/aws-backup-restore_1".to_owned(),
        creates_directory: false,
        state: EfsState::Available,
    };
    world
        .state()
        .file_systems
        .access_points
        .insert("fs-1".to_owned(), vec![point]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(item(&world).item.status, Status::Resolved);
    let parameters = world.state().parameters.clone();
    assert_eq!(
        parameters["/recovery/shop/shared/access-point"].value,
        "fsap-1"
    );
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
}

#[test]
fn fsx_publishes_the_names_that_it_reads() {
    let world = lustre(&[WORKLOAD, STACK, GROUPS, PUBLISH]);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    let host = "fs-2.fsx.us-west-2.amazonaws.com";
    assert_eq!(
        parameters(&world),
        owned(&[
            (
                "/recovery/shop/shared/arn",
                "arn:aws:fsx:us-west-2:111122223333:file-system/fs-2"
            ),
            ("/recovery/shop/shared/dns-name", host),
            ("/recovery/shop/shared/id", "fs-2"),
            ("/recovery/shop/shared/mount-name", "fzlesbev"),
        ])
    );
    let item = item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert!(item.description.contains("data repository associations"));
    let before = changes(&world);
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    assert_eq!(changes(&world), before);
}

#[test]
fn a_volume_of_ontap_is_published_with_its_path() {
    let tags = [WORKLOAD, ("recovery:logical-id", "svm-0a1b2c3d"), PUBLISH];
    let world = ontap(&tags);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let host = "svm-3.fs-3.fsx.us-west-2.amazonaws.com";
    let parameters = world.state().parameters.clone();
    assert_eq!(parameters["/recovery/shop/shared/dns-name"].value, host);
    assert_eq!(
        parameters["/recovery/shop/shared/junction-path"].value,
        "/orders"
    );
    assert_eq!(item(&world).item.status, Status::Resolved);
    // Without a path, nobody can mount it.
    let hidden = ontap(&tags);
    hidden
        .state()
        .file_systems
        .volumes
        .get_mut("fsvol-3")
        .unwrap()
        .junction_path = None;
    assert_eq!(deliver(&hidden).unwrap().kind(), "integrated");
    assert_eq!(item(&hidden).item.status, Status::Open);
}

#[test]
fn waits_for_what_takes_minutes() {
    let pending = |world: &World, what: &str| {
        let outcome = deliver(world).unwrap();
        assert_eq!(outcome.kind(), "pending");
        let awaited = outcome.id("waitingFor").unwrap();
        assert!(awaited.contains(what), "{awaited}");
        assert!(world.state().parameters.is_empty());
    };
    let world = efs(&TAGS);
    let set = |state: EfsState| {
        world
            .state()
            .file_systems
            .efs
            .get_mut("fs-1")
            .unwrap()
            .state = state;
    };
    set(EfsState::Creating);
    pending(&world, "fs-1 (now creating)");
    set(EfsState::Available);
    world.state().file_systems.reads_until_available = usize::MAX;
    pending(&world, "subnet-a1 to show");
    pending(&world, "fsmt-1 (now creating)");
    let early = efs(&TAGS);
    early.state().stack_states.insert(
        "shop".to_owned(),
        StackState {
            status: "CREATE_IN_PROGRESS".to_owned(),
            reason: None,
        },
    );
    pending(&early, "the stack shop to be complete");
    let fsx = lustre(&TAGS);
    let set = |state: FsxState| {
        fsx.state().file_systems.fsx.get_mut("fs-2").unwrap().state = state;
    };
    set(FsxState::Creating);
    pending(&fsx, "fs-2 (now CREATING)");
    set(FsxState::Available);
    fsx.state()
        .file_systems
        .fsx
        .get_mut("fs-2")
        .unwrap()
        .mount_name = None;
    pending(&fsx, "fs-2");
}

#[test]
fn refuses_what_a_person_must_decide() {
    let target = |subnet: &str| MountTarget {
        id: "fsmt-9".to_owned(),
        subnet: subnet.to_owned(),
        zone: "us-west-2a".to_owned(),
        address: Some("10.0.9.5".to_owned()),
        state: EfsState::Available,
    };
    let foreign = efs(&TAGS);
    foreign
        .state()
        .file_systems
        .mount_targets
        .insert("fs-1".to_owned(), vec![target("subnet-x")]);
    assert_refused(&foreign, "mount-target-elsewhere");
    // It is ours: the tags name its subnet.
    let ours = efs(&TAGS);
    ours.state()
        .file_systems
        .mount_targets
        .insert("fs-1".to_owned(), vec![target("subnet-a2")]);
    assert_eq!(to_the_end(&ours).kind(), "integrated");
    assert_eq!(ours.state().file_systems.created.len(), 1);
    let rejected = efs(&TAGS);
    rejected.state().file_systems.rejects_mount_targets = Some("NoFreeAddressesInSubnet");
    assert_refused(&rejected, "network-rejected");
    let several = efs(&TAGS);
    several
        .state()
        .file_systems
        .subnets
        .get_mut("subnet-b1")
        .unwrap()
        .vpc = "vpc-2".to_owned();
    assert_refused(&several, "subnets-of-several-vpcs");
    let gone = efs(&TAGS);
    gone.state().file_systems.efs.clear();
    assert_refused(&gone, "file-system-gone");
    let failed = lustre(&TAGS);
    {
        let mut state = failed.state();
        let found = state.file_systems.fsx.get_mut("fs-2").unwrap();
        found.state = FsxState::Failed;
        found.failure = Some("no capacity".to_owned());
    }
    assert_refused(&failed, "file-system-unusable");
    assert!(item(&failed).description.contains("no capacity"));
    assert_refused(&efs(&[WORKLOAD, STACK]), "tag-missing");
    let missing = efs(&[WORKLOAD, STACK, ("recovery:security-groups", "Web")]);
    assert_refused(&missing, "reference-missing");
    let no_machine = ontap(&[WORKLOAD, STACK]);
    no_machine.state().file_systems.machines.clear();
    assert_refused(&no_machine, "file-system-gone");
}

#[test]
fn lifts_a_refusal_when_the_cause_is_gone() {
    let world = efs(&TAGS);
    world.state().file_systems.rejects_mount_targets = Some("NoFreeAddressesInSubnet");
    assert_eq!(reason(&to_the_end(&world)), "refused/network-rejected");
    world.state().file_systems.rejects_mount_targets = None;
    assert_eq!(to_the_end(&world).kind(), "integrated");
    assert!(
        item(&world).title.contains("integrated"),
        "{}",
        item(&world).title
    );
}

#[test]
fn leaves_alone_what_is_not_the_workloads() {
    let world = efs(&[("Name", "shared")]);
    assert_eq!(reason(&deliver(&world).unwrap()), "ignored/untagged");
    assert!(world.state().file_systems.created.is_empty());
    let test = efs(&TAGS);
    test.state()
        .file_systems
        .efs
        .get_mut("fs-1")
        .unwrap()
        .restore_test = true;
    assert_eq!(reason(&deliver(&test).unwrap()), "ignored/restore-test");
    // A person restores single files, or into a file system that exists.
    for (key, value) in [("newFileSystem", "false"), ("ItemsToRestore", "[\"/a\"]")] {
        let partial = efs(&TAGS);
        let request = RestoreRequest {
            point: RecoveryPointArn::parse("arn:aws:backup:us-west-2:1:recovery-point:1").unwrap(),
            resource_type: "EFS".to_owned(),
            metadata: [(key.to_owned(), value.to_owned())].into(),
            role: String::new(),
            token: String::new(),
            copy_tags: false,
        };
        let started = (request, RestoreJobId::new("job-fs"));
        partial.state().backups.started.push(started);
        assert_eq!(
            reason(&deliver(&partial).unwrap()),
            "ignored/partial-restore"
        );
        assert!(partial.state().file_systems.created.is_empty());
    }
    let elsewhere = efs(&TAGS);
    elsewhere
        .state()
        .restore_jobs
        .get_mut("job-fs")
        .unwrap()
        .created_resource =
        Arn::parse("arn:aws:elasticfilesystem:eu-west-1:111122223333:file-system/fs-1").ok();
    assert_eq!(reason(&deliver(&elsewhere).unwrap()), "refused/not-here");
}

#[test]
fn an_unusable_optional_tag_leaves_something_to_do() {
    let world = lustre(&[
        WORKLOAD,
        STACK,
        GROUPS,
        ("recovery:publish", "/other/path"),
        ("recovery:mount", "relative"),
    ]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let item = item(&world);
    assert_eq!(item.item.status, Status::Open);
    for tag in ["recovery:publish", "recovery:mount"] {
        assert!(item.description.contains(tag), "{}", item.description);
    }
}

#[test]
fn says_where_to_mount_it() {
    let world = lustre(&[
        WORKLOAD,
        STACK,
        GROUPS,
        ("recovery:logical-id", "Web"),
        ("recovery:mount", "/shared"),
    ]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let item = item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert!(
        item.description
            .contains("Mount it at `/shared` on `Web` yourself."),
        "{}",
        item.description
    );
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
}

fn drill(stack: &str) -> Option<Drill> {
    Some(Drill {
        stack: stack.to_owned(),
        name: Some("d-1".to_owned()),
    })
}

#[test]
fn a_drill_uses_its_own_stack_and_publishes_below_its_own_path() {
    let world = efs(&TAGS);
    add_network(&world, "shop-drill");
    {
        let mut state = world.state();
        let job = state.restore_jobs.get_mut("job-fs").unwrap();
        job.iam_role = Arn::parse(DRILL_ROLE).ok();
        let own = |stack: &str, name: &str| (stack.to_owned(), name.to_owned());
        let group = &mut state
            .stack_resources
            .get_mut(&own("shop-drill", "Nfs"))
            .unwrap();
        group.physical_id = Some("sg-2".to_owned());
    }
    assert_eq!(reason(&deliver(&world).unwrap()), "ignored/drill");
    let outcome = deliver_in(&world, drill("shop")).unwrap();
    assert_eq!(reason(&outcome), "refused/drill-target");
    let nameless = Drill {
        stack: "shop-drill".to_owned(),
        name: None,
    };
    assert_eq!(
        deliver_in(&world, Some(nameless)).unwrap_err().error_type(),
        "Permanent"
    );
    assert_eq!(world.state().file_systems.created, []);
    deliver_in(&world, drill("shop-drill")).unwrap();
    let outcome = deliver_in(&world, drill("shop-drill")).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    let state = world.state();
    assert!(
        state
            .file_systems
            .created
            .iter()
            .all(|it| it.security_groups == ["sg-2"])
    );
    let id = &state.parameters["/recovery/shop/shared/drill/d-1/id"];
    assert_eq!(id.tags["recovery:drill"], "d-1");
    assert!(!state.parameters.contains_key("/recovery/shop/shared/id"));
    drop(state);
    let outside = efs(&[WORKLOAD, STACK, ("recovery:security-groups", "sg-0a1b2c3d")]);
    outside
        .state()
        .restore_jobs
        .get_mut("job-fs")
        .unwrap()
        .iam_role = Arn::parse(DRILL_ROLE).ok();
    let outcome = deliver_in(&outside, drill("shop-drill")).unwrap();
    assert_eq!(reason(&outcome), "refused/outside-of-drill");
}

#[test]
fn whatever_call_fails_the_end_is_the_same() {
    let operations = [
        TARGET,
        "elasticfilesystem:DescribeFileSystems",
        "elasticfilesystem:DescribeMountTargets",
        "elasticfilesystem:DescribeAccessPoints",
        "ec2:DescribeSubnets",
        "cloudformation:ListStackResources",
        "backup:ListTags",
        "backup:GetRestoreJobMetadata",
        "ssm:PutParameter",
        "ssm:GetParameters",
        "ssm:CreateOpsItem",
        "ssm:UpdateOpsItem",
    ];
    let whole = efs(&TAGS);
    to_the_end(&whole);
    for operation in operations {
        let is_called = whole.calls().iter().any(|call| call.starts_with(operation));
        assert!(is_called, "{operation} is not called");
        for failure in [Failure::Throttled, Failure::AnswerLost] {
            let world = efs(&TAGS);
            world.fail(operation, failure);
            to_the_end(&world);
            assert_eq!(parameters(&world), parameters(&whole), "{operation}");
            let created = |world: &World| world.state().file_systems.created.clone();
            assert_eq!(created(&world), created(&whole), "{operation} {failure:?}");
            assert_eq!(item(&world).title, item(&whole).title, "{operation}");
        }
    }
}

#[test]
fn a_change_that_is_denied_notifies_once() {
    let world = efs(&TAGS);
    for _ in 0..2 {
        world.fail(TARGET, Failure::Denied);
        assert_eq!(deliver(&world).unwrap_err().error_type(), "Permanent");
    }
    assert_eq!(world.state().notifications.len(), 1);
    assert_eq!(item(&world).item.status, Status::Open);
    assert_eq!(to_the_end(&world).kind(), "integrated");
}

const SERVER: (&str, &str) = ("recovery:logical-id", "Web");
const MOUNT: (&str, &str) = ("recovery:mount", "/shared");
const DIRECTORY: &str = "/aws-backup-restore_2026-11-23T03-10-00-000Z";
const START: &str = "ssm:StartAutomationExecution";

/// The runbook mounts on a group of these instances, which the stack has.
fn mount_on(world: &World, stack: &str, instances: &[&str]) {
    let resource = StackResource {
        resource_type: "AWS::AutoScaling::AutoScalingGroup".to_owned(),
        physical_id: Some(format!("{stack}-web")),
        status: "CREATE_COMPLETE".into(),
    };
    let instances: Vec<_> = instances.iter().map(|id| InstanceId::new(*id)).collect();
    let mut state = world.state();
    state.mounts = Mounts::on();
    for id in &instances {
        let instance = Instance {
            id: id.clone(),
            state: "running".into(),
            zone: "us-west-2a".to_owned(),
            devices: Vec::new(),
        };
        state.instances.insert(id.clone(), instance);
    }
    let key = (stack.to_owned(), "Web".to_owned());
    state.stack_resources.insert(key, resource);
    state.groups.insert(format!("{stack}-web"), instances);
}

fn mounted_efs() -> World {
    let world = efs(&[&TAGS[..], &[SERVER, MOUNT]].concat());
    mount_on(&world, "shop", &["i-2", "i-1"]);
    world
}

fn mounted_lustre() -> World {
    let world = lustre(&[&TAGS[..], &[SERVER, MOUNT]].concat());
    mount_on(&world, "shop", &["i-1"]);
    world
}

/// The parameters of the executions of the runbook, as `Name=value`.
fn started(world: &World) -> Vec<Vec<String>> {
    let executions = world.state().mounts.executions.clone();
    let shown = |(name, values): &(&str, Vec<String>)| format!("{name}={}", values.join(" "));
    executions
        .iter()
        .map(|(_, parameters)| parameters.iter().map(shown).collect())
        .collect()
}

fn attempt(world: &World, mount_attempt: u32) -> Outcome {
    let mut restore = Restore::from(world.state().restore_jobs["job-fs"].clone());
    restore.planned.mount_attempt = mount_attempt;
    integrate(world, &FakeClock::new(), &config(), restore)
        .now_or_never()
        .unwrap()
        .unwrap()
}

/// The functions that a run of the reconciler invokes.
fn reconciled(world: &World) -> Vec<String> {
    let integrators = Integrators {
        database: "database-integrator".to_owned(),
        table: "table-integrator".to_owned(),
        file_system: "file-system-integrator".to_owned(),
        bucket: "bucket-integrator".to_owned(),
        instance: "instance-integrator".to_owned(),
    };
    let window = LookbackWindow {
        lookback: TimeDelta::days(365_000),
        patience: TimeDelta::minutes(30),
        interval: Duration::from_secs(60),
    };
    let ownership = config().ownership;
    reconcile(world, &FakeClock::new(), &ownership, &integrators, window)
        .now_or_never()
        .unwrap()
        .unwrap();
    let invocations = std::mem::take(&mut world.state().invocations);
    invocations.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn efs_is_mounted_on_every_instance_through_an_access_point_to_the_restored_directory() {
    let world = mounted_efs();
    let outcome = to_the_end(&world);
    assert_eq!(outcome.kind(), "integrated");
    let addresses = "Addresses=us-west-2a=10.0.1.5 us-west-2b=10.0.2.5";
    assert_eq!(
        started(&world),
        [
            vec![
                "InstanceIds=i-1",
                "Operation=find-restored-directory",
                "Type=EFS",
                "Source=fs-1",
                addresses,
            ],
            vec![
                "InstanceIds=i-1 i-2",
                "Operation=mount",
                "Type=EFS",
                "Source=fs-1",
                "Path=/shared",
                &format!("Export={DIRECTORY}"),
                addresses,
                "AccessPoint=fsap-1",
            ],
        ]
    );
    let points = world.state().file_systems.created_points.clone();
    let [point] = points.as_slice() else {
        panic!("{points:?}");
    };
    assert_eq!((point.path.as_str(), point.tags.len()), (DIRECTORY, 0));
    let parameters = world.state().parameters.clone();
    for (leaf, value) in [("access-point", "fsap-1"), ("directory", DIRECTORY)] {
        let name = format!("/recovery/shop/shared/{leaf}");
        assert_eq!(parameters[&name].value, value);
    }
    let item = item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert_eq!(
        item.title,
        "Restored file system fs-1 mounted at /shared on 2 instances"
    );
    for part in [
        "is mounted at `/shared` on `i-1` (`tls`), `i-2` (`tls`), now and at each boot",
        "file system policy",
    ] {
        assert!(item.description.contains(part), "{}", item.description);
    }
    assert!(world.state().notifications.is_empty());
    // A repetition reads the network and the item, and nothing of the mount.
    let calls = world.calls().len();
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    let again = world.calls().split_off(calls);
    assert!(
        again
            .iter()
            .all(|call| !call.contains("Automation") && !call.contains("AutoScaling")),
        "{again:?}"
    );
    assert_eq!(reconciled(&world), Vec::<String>::new());
}

#[test]
fn each_type_of_fsx_is_mounted_by_the_names_that_are_read() {
    let mounted = |world: &World| {
        let outcome = deliver(world).unwrap();
        assert_eq!(outcome.kind(), "integrated");
        assert_eq!(item(world).item.status, Status::Resolved);
        let [parameters] = <[Vec<String>; 1]>::try_from(started(world)).unwrap();
        parameters[2..].join(" ")
    };
    let host = "fs-2.fsx.us-west-2.amazonaws.com";
    let world = mounted_lustre();
    assert_eq!(
        mounted(&world),
        format!("Type=LUSTRE Source={host} Path=/shared Export=fzlesbev")
    );
    assert!(
        item(&world).description.contains("on `i-1`, now and at"),
        "{}",
        item(&world).description
    );
    let change = |kind: FsxType, root_volume: Option<&str>| {
        let world = mounted_lustre();
        let mut state = world.state();
        let found = state.file_systems.fsx.get_mut("fs-2").unwrap();
        found.kind = kind;
        found.mount_name = None;
        found.root_volume = root_volume.map(str::to_owned);
        drop(state);
        world
    };
    let openzfs = change(FsxType::OpenZfs, Some("fsvol-1"));
    let outcome = deliver(&openzfs).unwrap();
    assert_eq!(
        outcome.id("waitingFor"),
        Some("the root volume fsvol-1 to show")
    );
    openzfs
        .state()
        .file_systems
        .volume_paths
        .insert("fsvol-1".to_owned(), "/fsx".to_owned());
    assert_eq!(
        mounted(&openzfs),
        format!("Type=OPENZFS Source={host} Path=/shared Export=/fsx")
    );
    let path = openzfs.state().parameters["/recovery/shop/shared/volume-path"].clone();
    assert_eq!(path.value, "/fsx");
    assert_eq!(
        mounted(&change(FsxType::Windows, None)),
        format!("Type=WINDOWS Source={host} Path=/shared Export=share")
    );
    let machine = ("recovery:logical-id", "svm-0a1b2c3d Web");
    let volume = ontap(&[WORKLOAD, STACK, machine, MOUNT]);
    mount_on(&volume, "shop", &["i-1"]);
    assert_eq!(
        mounted(&volume),
        "Type=ONTAP Source=svm-3.fs-3.fsx.us-west-2.amazonaws.com Path=/shared Export=/orders"
    );
}

#[test]
fn what_nothing_says_how_to_mount_is_left_to_do() {
    let left = |world: &World, text: &str| {
        assert_eq!(to_the_end(world).kind(), "integrated");
        let item = item(world);
        assert_eq!(item.item.status, Status::Open);
        assert!(item.description.contains(text), "{}", item.description);
        assert_eq!(started(world), Vec::<Vec<String>>::new());
        assert_eq!(deliver(world).unwrap().kind(), "already-integrated");
    };
    let nowhere = efs(&[&TAGS[..], &[MOUNT]].concat());
    mount_on(&nowhere, "shop", &["i-1"]);
    left(&nowhere, "because no tag names its instances");
    assert!(item(&nowhere).description.contains("create-access-point"));
    let machine = ("recovery:logical-id", "svm-0a1b2c3d Web");
    let share = ontap(&[WORKLOAD, STACK, machine, ("recovery:mount", "D:")]);
    mount_on(&share, "shop", &["i-1"]);
    left(&share, "Mount it at `D:` on `Web` yourself.");
    let switched_off = mounted_efs();
    switched_off.state().mounts = Mounts::default();
    left(&switched_off, "Mount it at `/shared` on `Web` yourself.");
    // Without a mount point, nothing is mounted.
    let unwanted = lustre(&[&TAGS[..], &[SERVER]].concat());
    mount_on(&unwanted, "shop", &["i-1"]);
    assert_eq!(deliver(&unwanted).unwrap().kind(), "integrated");
    assert_eq!(item(&unwanted).item.status, Status::Resolved);
    assert_eq!(started(&unwanted), Vec::<Vec<String>>::new());
}

#[test]
fn waits_for_instances_and_the_runbook_and_the_reconciler_continues() {
    let world = mounted_lustre();
    let pending = |what: &str| {
        let outcome = deliver(&world).unwrap();
        assert_eq!(outcome.kind(), "pending");
        let awaited = outcome.id("waitingFor").unwrap();
        assert!(awaited.contains(what), "{awaited}");
        assert_eq!(outcome.id("fileSystemId"), Some("fs-2"));
        let item = item(&world);
        assert_eq!(item.item.status, Status::Open);
        assert_eq!(item.title, "Restored file system fs-2 integrated");
        assert!(item.description.contains("No action needed now."));
        assert_eq!(item.item.data["recovery:mount"], "mounting");
        assert_eq!(reconciled(&world), ["file-system-integrator"]);
    };
    world.state().groups.clear();
    pending("the group `shop-web` to exist");
    // Its addresses are published nevertheless.
    assert!(
        world
            .state()
            .parameters
            .contains_key("/recovery/shop/shared/dns-name")
    );
    world
        .state()
        .groups
        .insert("shop-web".to_owned(), Vec::new());
    pending("the group to have an instance");
    mount_on(&world, "shop", &["i-1"]);
    world.state().mounts.run_on = true;
    pending("fs-2.fsx.us-west-2.amazonaws.com at /shared on i-1");
    // The group has another instance now: it is mounted on both.
    mount_on(&world, "shop", &["i-1", "i-2"]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(started(&world)[0][0], "InstanceIds=i-1 i-2");
    assert_eq!(item(&world).item.status, Status::Resolved);
    // Later instances mount by their own user data.
    mount_on(&world, "shop", &["i-1", "i-2", "i-3"]);
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    assert_eq!(started(&world), Vec::<Vec<String>>::new());
}

#[test]
fn a_refused_mount_stays_in_the_ops_item_and_a_later_attempt_begins_again() {
    let world = mounted_lustre();
    let failure = ("refused", "path-not-empty", 1);
    world
        .state()
        .mounts
        .failures
        .insert("i-1".to_owned(), failure);
    assert_eq!(reason(&deliver(&world).unwrap()), "refused/mount-refused");
    let refused = item(&world);
    assert_eq!(refused.item.status, Status::Open);
    assert_eq!(
        refused.title,
        "Restored file system not mounted: mount-refused"
    );
    for part in [
        "`path-not-empty` (`found on i-1`)",
        "invoke the function file-system-integrator with `{\"restoreJobId\": \"job-fs\", \"mountAttempt\": 1}`",
    ] {
        assert!(
            refused.description.contains(part),
            "{}",
            refused.description
        );
    }
    assert_eq!(world.state().notifications.len(), 1);
    assert_eq!(reconciled(&world), Vec::<String>::new());
    assert_eq!(reason(&deliver(&world).unwrap()), "refused/mount-refused");
    assert_eq!(
        (started(&world).len(), world.state().notifications.len()),
        (1, 1)
    );
    assert_eq!(attempt(&world, 1).kind(), "integrated");
    assert_eq!(started(&world).len(), 2);
    assert_eq!(item(&world).item.status, Status::Resolved);
}

#[test]
fn refuses_instances_and_directories_that_it_cannot_use() {
    let crowded = mounted_lustre();
    let many: Vec<String> = (0..51).map(|n| format!("i-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    mount_on(&crowded, "shop", &many);
    assert_refused(&crowded, "too-many-instances");
    let missing = mounted_lustre();
    missing.state().stack_resources.clear();
    add_network(&missing, "shop");
    assert_refused(&missing, "reference-missing");
    let full = mounted_efs();
    full.state().file_systems.rejects_access_points = Some("AccessPointLimitExceeded");
    assert_refused(&full, "network-rejected");
    assert_eq!(
        item(&full).title,
        "Restored file system not mounted: network-rejected"
    );
    full.state().file_systems.rejects_access_points = None;
    assert_eq!(to_the_end(&full).kind(), "integrated");
    let dead = mounted_efs();
    let point = AccessPoint {
        id: "fsap-9".to_owned(),
        path: DIRECTORY.to_owned(),
        creates_directory: false,
        state: EfsState::Error,
    };
    dead.state()
        .file_systems
        .access_points
        .insert("fs-1".to_owned(), vec![point]);
    assert_refused(&dead, "file-system-unusable");
}

#[test]
fn a_drill_mounts_on_its_own_instances_and_tags_its_access_point() {
    let world = mounted_efs();
    add_network(&world, "shop-drill");
    mount_on(&world, "shop-drill", &["i-9"]);
    let job_of_drill = |world: &World| {
        let mut state = world.state();
        let job = state.restore_jobs.get_mut("job-fs").unwrap();
        job.iam_role = Arn::parse(DRILL_ROLE).ok();
    };
    job_of_drill(&world);
    let outcome = (0..9).find_map(|_| {
        let outcome = deliver_in(&world, drill("shop-drill")).unwrap();
        (outcome.kind() != "pending").then_some(outcome)
    });
    assert_eq!(outcome.unwrap().kind(), "integrated");
    assert!(
        started(&world)
            .iter()
            .all(|parameters| parameters[0] == "InstanceIds=i-9")
    );
    let points = world.state().file_systems.created_points.clone();
    assert_eq!(points[0].tags, [("recovery:drill", "d-1".to_owned())]);
    let outside = efs(&[&TAGS[..], &[("recovery:logical-id", "asg:shop-web"), MOUNT]].concat());
    job_of_drill(&outside);
    let outcome = deliver_in(&outside, drill("shop-drill")).unwrap();
    assert_eq!(reason(&outcome), "refused/outside-of-drill");
}

#[test]
fn whatever_call_of_a_mount_fails_the_end_is_the_same() {
    let whole = mounted_efs();
    to_the_end(&whole);
    for operation in [
        START,
        "ssm:GetAutomationExecution",
        "autoscaling:DescribeAutoScalingGroups",
        "elasticfilesystem:CreateAccessPoint",
        "elasticfilesystem:DescribeAccessPoints",
        "ssm:CreateOpsItem",
        "ssm:UpdateOpsItem",
        "ssm:GetOpsItem",
        "ssm:PutParameter",
    ] {
        let is_called = whole.calls().iter().any(|call| call.starts_with(operation));
        assert!(is_called, "{operation} is not called");
        for failure in [Failure::Throttled, Failure::AnswerLost] {
            let world = mounted_efs();
            world.fail(operation, failure);
            to_the_end(&world);
            assert_eq!(started(&world), started(&whole), "{operation}");
            assert_eq!(parameters(&world), parameters(&whole), "{operation}");
            let points = |world: &World| world.state().file_systems.created_points.clone();
            assert_eq!(points(&world), points(&whole), "{operation} {failure:?}");
            assert_eq!(item(&world).title, item(&whole).title, "{operation}");
        }
    }
}

#[test]
fn a_runbook_that_may_not_be_started_notifies_once_and_the_reconciler_repeats_it() {
    let world = mounted_lustre();
    for _ in 0..2 {
        world.fail(START, Failure::Denied);
        assert_eq!(deliver(&world).unwrap_err().error_type(), "Permanent");
        assert_eq!(item(&world).title, "Restored file system still not mounted");
        assert_eq!(reconciled(&world), ["file-system-integrator"]);
    }
    assert_eq!(world.state().notifications.len(), 1);
    // The item does not say any more that it fails.
    world.state().mounts.run_on = true;
    assert_eq!(deliver(&world).unwrap().kind(), "pending");
    assert_eq!(item(&world).title, "Restored file system fs-2 integrated");
    world.state().mounts.run_on = false;
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(item(&world).item.status, Status::Resolved);
}
