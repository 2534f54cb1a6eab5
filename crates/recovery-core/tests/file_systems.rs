//! Integration of restored file systems against the in-memory fakes: what is created, published, refused and
//! skipped, and that a repetition changes nothing.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use futures_util::FutureExt;
use recovery_core::aws::arn::{Arn, RecoveryPointArn, RestoreJobId, Scope};
use recovery_core::aws::backup::{Drill, Restore, RestoreRequest};
use recovery_core::aws::cloudformation::{StackResource, StackState};
use recovery_core::aws::file_system::{AccessPoint, EfsState, FsxState, MountTarget};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, StoredItem, World};
use recovery_core::integrate::file_system::run::{FileSystemConfig, integrate};
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
