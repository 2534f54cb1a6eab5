//! Plans with file systems of EFS and FSx, and the start of their restores: targets, refusals, references,
//! metadata, and the restore jobs that can be used again.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::BTreeMap;

use chrono::TimeDelta;
use recovery_core::aws::arn::{Arn, RecoveryPointArn};
use recovery_core::aws::backup::RecoveryPoint;
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, RESTORE_ROLE, World, volume_point};
use recovery_core::outcome::Outcome;
use recovery_core::plan::run::{PlannerConfig, handle as plan_handle};
use recovery_core::plan::{Plan, Target};
use recovery_core::ports::Clock;
use recovery_core::restore::run::{RestoreConfig, handle};
use serde_json::{Value, json};

const EFS: &str = "arn:aws:backup:us-west-2:111122223333:recovery-point:1";
const LUSTRE: &str = "arn:aws:fsx:us-west-2:111122223333:backup/backup-2";
const VOLUME: &str = "arn:aws:fsx:us-west-2:111122223333:backup/backup-3";
const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1";

fn point(kind: &str, arn: &str, resource: &str) -> RecoveryPoint {
    let created = FakeClock::new().now() - TimeDelta::hours(1);
    RecoveryPoint {
        arn: RecoveryPointArn::parse(arn).unwrap(),
        resource: Arn::parse(resource).unwrap(),
        resource_type: kind.to_owned(),
        ..volume_point("x", "x", created).unwrap()
    }
}

fn add(world: &World, point: RecoveryPoint, tags: &[(&str, &str)]) {
    let mut state = world.state();
    let tags = tags.iter().chain(&[("recovery:workload", "shop")]);
    let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    state.tags.insert(point.arn.to_string(), tags.collect());
    state.backups.points.push(point);
}

/// A file system of EFS, one of Lustre and a volume of ONTAP, and the stack `shop` with their network.
fn world() -> World {
    let world = World::new();
    world.add_subnets();
    for (name, resource_type, id) in [
        ("A", "AWS::EC2::Subnet", "subnet-a1"),
        ("B", "AWS::EC2::Subnet", "subnet-b1"),
        ("Nfs", "AWS::EC2::SecurityGroup", "sg-1"),
        ("Svm", "AWS::FSx::StorageVirtualMachine", "svm-1"),
        ("Ad", "AWS::DirectoryService::MicrosoftAD", "d-1"),
    ] {
        let resource = StackResource {
            resource_type: resource_type.to_owned(),
            physical_id: Some(id.to_owned()),
            status: "CREATE_COMPLETE".into(),
        };
        let key = ("shop".to_owned(), name.to_owned());
        world.state().stack_resources.insert(key, resource);
    }
    let stack = ("recovery:stack", "shop");
    let network = [stack, ("recovery:security-groups", "Nfs")];
    add(
        &world,
        point(
            "EFS",
            EFS,
            "arn:aws:elasticfilesystem:us-east-1:111122223333:file-system/fs-1",
        ),
        &network,
    );
    add(
        &world,
        point(
            "FSx",
            LUSTRE,
            "arn:aws:fsx:us-east-1:111122223333:file-system/fs-2",
        ),
        &[&network[..], &[("recovery:publish", "/recovery/shop/fast")]].concat(),
    );
    add(
        &world,
        point(
            "FSx",
            VOLUME,
            "arn:aws:fsx:us-east-1:111122223333:volume/fs-3/fsvol-3",
        ),
        &[stack],
    );
    store(
        &world,
        EFS,
        &[("Encrypted", "true"), ("file-system-id", "fs-1")],
    );
    store(
        &world,
        LUSTRE,
        &[
            ("SubnetIds", "[\"subnet-primary\"]"),
            ("StorageCapacity", "1200"),
            (
                "LustreConfiguration",
                "{\"DeploymentType\":\"PERSISTENT_2\"}",
            ),
        ],
    );
    store(
        &world,
        VOLUME,
        &[
            ("Name", "orders"),
            ("OntapConfiguration", "{\"junctionPath\":\"/o\"}"),
        ],
    );
    world
}

fn store(world: &World, point: &str, metadata: &[(&str, &str)]) {
    let metadata = metadata.iter();
    let metadata: BTreeMap<String, String> = metadata
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    world
        .state()
        .backups
        .metadata
        .insert(point.to_owned(), metadata);
}

async fn plan(world: &World) -> Plan {
    let config = PlannerConfig {
        vault: "recovery".to_owned(),
        bucket: "plans".to_owned(),
    };
    let input = json!({"workload": "shop", "mode": "recover"});
    let outcome = plan_handle(world, &FakeClock::new(), &config, &input)
        .await
        .unwrap();
    let key = outcome.id("planKey").unwrap();
    serde_json::from_str(&world.state().backups.objects[key]).unwrap()
}

fn start_of(plan: &Plan, point: &str) -> Value {
    let item = plan
        .items()
        .find(|it| it.recovery_point_arn == point)
        .unwrap();
    json!({
        "planHash": plan.hash,
        "mode": "recover",
        "item": item,
        "execution": {"name": "shop-1", "startedAt": "2026-11-23T05:55:00Z"},
    })
}

async fn start(world: &World, input: &Value) -> Outcome {
    let config = RestoreConfig {
        vault: "recovery".to_owned(),
        role: RESTORE_ROLE.to_owned(),
        drill_role: DRILL_ROLE.to_owned(),
        key: Some(KEY.to_owned()),
        region: "us-west-2".to_owned(),
    };
    handle(world, &config, input).await.unwrap()
}

async fn started_with(world: &World, point: &str) -> BTreeMap<String, String> {
    let plan = plan(world).await;
    let outcome = start(world, &start_of(&plan, point)).await;
    assert_eq!(outcome.kind(), "started", "{outcome:?}");
    let state = world.state();
    let (request, _) = state.backups.started.last().unwrap();
    assert!(request.copy_tags);
    request.metadata.clone()
}

#[tokio::test]
async fn each_file_system_has_its_target() {
    let world = world();
    let plan = plan(&world).await;
    assert_eq!(plan.refusals, []);
    assert_eq!(plan.totals.items, 3);
    assert_eq!(plan.stacks.len(), 1);
    for item in plan.items() {
        let Target::FileSystem(target) = &item.target else {
            panic!("{item:?}");
        };
        assert_eq!(target.stack.as_deref(), Some("shop"));
        let is_volume = item.resource_arn.contains(":volume/");
        assert_eq!(target.security_groups.is_empty(), is_volume);
    }
    // The plan's JSON leads to the same plan.
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[tokio::test]
async fn refuses_what_lacks_its_network_and_what_publishes_twice() {
    let world = world();
    {
        let mut state = world.state();
        state
            .tags
            .get_mut(EFS)
            .unwrap()
            .remove("recovery:security-groups");
        let publish = (
            "recovery:publish".to_owned(),
            "/recovery/shop/fast".to_owned(),
        );
        state.tags.get_mut(VOLUME).unwrap().extend([publish]);
    }
    let plan = plan(&world).await;
    let mut reasons: Vec<&str> = plan.refusals.iter().map(|it| it.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "publish-claimed-twice",
            "publish-claimed-twice",
            "tag-missing"
        ]
    );
}

#[tokio::test]
async fn starts_with_the_network_of_this_region() {
    let efs = started_with(&world(), EFS).await;
    assert_eq!(efs["newFileSystem"], "true");
    assert_eq!(efs["KmsKeyId"], KEY);
    assert_eq!(efs["CreationToken"].len(), 64);
    let lustre = started_with(&world(), LUSTRE).await;
    assert_eq!(lustre["SubnetIds"], "[\"subnet-a1\"]");
    assert_eq!(lustre["SecurityGroupIds"], "[\"sg-1\"]");
    assert_eq!(lustre["StorageCapacity"], "1200");
    let volume = started_with(&world(), VOLUME).await;
    assert_eq!(volume["Name"], "orders");
    assert_eq!(
        volume["OntapConfiguration"],
        "{\"junctionPath\":\"/o\",\"storageVirtualMachineId\":\"svm-1\"}"
    );
}

#[tokio::test]
async fn a_file_system_of_windows_joins_the_directory_of_this_region() {
    let windows = |tags: &[(&str, &str)]| {
        let world = world();
        let configuration =
            "{\"ActiveDirectoryId\":\"d-primary\",\"DeploymentType\":\"MULTI_AZ_1\"}";
        store(&world, LUSTRE, &[("WindowsConfiguration", configuration)]);
        let tags = tags.iter();
        let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        world.state().tags.get_mut(LUSTRE).unwrap().extend(tags);
        world
    };
    let made = started_with(&windows(&[("recovery:directory", "Ad")]), LUSTRE).await;
    assert_eq!(made["SubnetIds"], "[\"subnet-a1\",\"subnet-b1\"]");
    assert_eq!(
        made["WindowsConfiguration"],
        "{\"ActiveDirectoryId\":\"d-1\",\"DeploymentType\":\"MULTI_AZ_1\",\"PreferredSubnetId\":\"subnet-a1\"}"
    );
    for (tags, reason) in [
        (&[][..], "directory-missing"),
        (
            &[("recovery:directory", "Ad"), ("recovery:subnets", "A")][..],
            "subnets-too-few",
        ),
        (&[("recovery:directory", "Forest")][..], "reference-missing"),
    ] {
        let world = windows(tags);
        let plan = plan(&world).await;
        let outcome = start(&world, &start_of(&plan, LUSTRE)).await;
        assert_eq!(outcome.reason(), Some(reason));
        assert!(world.state().backups.started.is_empty());
    }
}

#[tokio::test]
async fn waits_for_the_network_of_fsx_but_not_for_that_of_efs() {
    let world = world();
    let plan = plan(&world).await;
    world.state().stack_resources.clear();
    let outcome = start(&world, &start_of(&plan, EFS)).await;
    assert_eq!(outcome.kind(), "started", "the restore needs no network");
    for point in [LUSTRE, VOLUME] {
        let outcome = start(&world, &start_of(&plan, point)).await;
        assert_eq!(outcome.kind(), "pending", "{outcome:?}");
    }
}

#[tokio::test]
async fn uses_a_restore_job_again_only_while_its_file_system_exists() {
    let world = world();
    let plan = plan(&world).await;
    let first = start(&world, &start_of(&plan, EFS)).await;
    let first = first.id("restoreJobId").unwrap().to_owned();
    let other = |name: &str| {
        let mut input = start_of(&plan, EFS);
        input["execution"]["name"] = json!(name);
        input
    };
    let again = start(&world, &other("shop-2")).await;
    assert_eq!(
        again.id("restoreJobId"),
        Some(first.as_str()),
        "it is running"
    );
    world.add_restored_efs(&[]);
    world.state().restore_jobs.remove("job-fs");
    {
        let mut state = world.state();
        let job = state.restore_jobs.get_mut(&first).unwrap();
        job.status = Some("COMPLETED".to_owned());
        job.created_resource =
            Arn::parse("arn:aws:elasticfilesystem:us-west-2:111122223333:file-system/fs-1").ok();
    }
    let again = start(&world, &other("shop-3")).await;
    assert_eq!(again.id("restoreJobId"), Some(first.as_str()), "it exists");
    world.state().file_systems.efs.clear();
    let new = start(&world, &other("shop-4")).await;
    assert_ne!(
        new.id("restoreJobId"),
        Some(first.as_str()),
        "it was deleted"
    );
    // Single files were restored by a person.
    world.state().backups.started[1]
        .0
        .metadata
        .insert("ItemsToRestore".to_owned(), "[\"/a\"]".to_owned());
    let newer = start(&world, &other("shop-5")).await;
    assert_ne!(newer.id("restoreJobId"), new.id("restoreJobId"));
}

#[tokio::test]
async fn a_drill_uses_no_file_system_of_another_drill() {
    let world = world();
    let plan = plan(&world).await;
    let drill = |name: &str| {
        let mut input = start_of(&plan, EFS);
        input["mode"] = json!("drill");
        input["execution"]["name"] = json!(name);
        input
    };
    let first = start(&world, &drill("d-1")).await;
    let second = start(&world, &drill("d-2")).await;
    assert_ne!(first.id("restoreJobId"), second.id("restoreJobId"));
    let again = start(&world, &drill("d-1")).await;
    assert_eq!(again.id("restoreJobId"), first.id("restoreJobId"));
}
