//! Starting the restore of a plan item: once, in the zone of its target, or a refusal with its reason.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use chrono::{DateTime, TimeDelta};
use recovery_core::aws::arn::{
    Arn, DbInstanceId, InstanceId, RecoveryPointArn, RestoreJobId, VolumeId,
};
use recovery_core::aws::backup::{RestoreJob, RestoreRequest};
use recovery_core::aws::cloudformation::{StackResource, StackState};
use recovery_core::aws::database::{DbInstance, DbSettings};
use recovery_core::aws::ec2::Volume;
use recovery_core::aws::table::TableStatus;
use recovery_core::error::Error;
use recovery_core::fakes::{
    Call, DRILL_ROLE, Failure, FakeTable, Intercepted, Interceptor, RESTORE_ROLE, World,
    attached_volume, completed_job, volume_point,
};
use recovery_core::outcome::Outcome;
use recovery_core::restore::run::{RestoreConfig, handle};
use serde_json::{Value, json};

const POINT: &str = "arn:aws:ec2:us-west-2::snapshot/snap-a";
const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1";

fn config() -> RestoreConfig {
    RestoreConfig {
        vault: "recovery".to_owned(),
        role: RESTORE_ROLE.to_owned(),
        drill_role: DRILL_ROLE.to_owned(),
        key: None,
        instance_profiles: true,
        region: "us-west-2".to_owned(),
    }
}

/// A running instance as `Server` in the stack `shop`, and a recovery point of the volume `vol-a`.
fn world() -> World {
    let world = World::with_restored_volume();
    let created = DateTime::from_timestamp(1_795_400_000, 0).unwrap();
    let point = volume_point("a", "a", created).unwrap();
    world.state().backups.points.push(point);
    world
}

fn input() -> Value {
    json!({
        "planHash": "0123456789abcdef".repeat(4),
        "mode": "recover",
        "item": {
            "resourceArn": "arn:aws:ec2:us-east-1:111122223333:volume/vol-a",
            "recoveryPointArn": POINT,
            "type": "EBS",
            "createdAt": "2026-11-23T05:00:00Z",
            "ageSeconds": 3600,
            "wave": 0,
            "target": {"kind": "volume", "stack": "shop", "logicalId": "Server", "device": "/dev/sdg"},
            "metadata": {"availabilityZone": "us-west-2f"},
            "predictions": {},
        },
        "execution": {"name": "shop-1", "startedAt": "2026-11-23T05:55:00Z"},
    })
}

fn input_with(pointer: &str, value: Value) -> Value {
    let mut input = input();
    *input.pointer_mut(pointer).unwrap() = value;
    input
}

async fn started(world: &World) -> Outcome {
    handle(world, &config(), &input()).await.unwrap()
}

fn requests(world: &World) -> Vec<RestoreRequest> {
    let state = world.state();
    let started = state.backups.started.iter();
    started.map(|(request, _)| request.clone()).collect()
}

#[track_caller]
fn assert_refused(outcome: Result<Outcome, Error>, reason: &str, why: &str) {
    let outcome = outcome.unwrap();
    assert_eq!(
        (outcome.kind(), outcome.reason()),
        ("refused", Some(reason))
    );
    assert!(outcome.id("why").unwrap().contains(why), "{outcome:?}");
    assert!(outcome.id("remedy").unwrap().ends_with('.'), "{outcome:?}");
    assert_eq!(outcome.id("recoveryPointArn"), Some(POINT));
}

#[tokio::test]
async fn uses_the_targets_zone_even_if_the_plan_has_another() {
    let world = world();
    let outcome = started(&world).await;
    assert_eq!(outcome.kind(), "started");
    assert_eq!(outcome.id("restoreJobId"), Some("planned-1"));
    assert_eq!(outcome.id("availabilityZone"), Some("us-west-2a"));
    let [request] = requests(&world).try_into().unwrap();
    assert_eq!(request.point.as_str(), POINT);
    assert_eq!(request.resource_type, "EBS");
    assert_eq!(request.role, config().role);
    assert!(request.copy_tags);
    assert_eq!(request.token.len(), 64);
    assert_eq!(
        request.metadata,
        [("availabilityZone".to_owned(), "us-west-2a".to_owned())].into()
    );
}

#[tokio::test]
async fn uses_stored_metadata_and_the_configured_key() {
    let world = world();
    world.state().backups.metadata.insert(
        POINT.to_owned(),
        [
            ("volumeType", "gp3"),
            ("iops", "4000"),
            ("encrypted", "false"),
            ("availabilityZone", "us-east-1a"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
    );
    let config = RestoreConfig {
        key: Some(KEY.to_owned()),
        ..config()
    };
    handle(&world, &config, &input()).await.unwrap();
    let [request] = requests(&world).try_into().unwrap();
    assert_eq!(
        json!(request.metadata),
        json!({
            "availabilityZone": "us-west-2a", "encrypted": "true", "kmsKeyId": KEY,
            "volumeType": "gp3", "iops": "4000",
        })
    );
}

fn records(world: &World) -> Vec<String> {
    world.state().backups.objects.keys().cloned().collect()
}

#[tokio::test]
async fn records_the_job_before_it_returns_started() {
    let world = world();
    let outcome = started(&world).await;
    let [key] = records(&world).try_into().unwrap();
    let item = key
        .strip_prefix("jobs/shop-1/20261123T055500Z/")
        .and_then(|rest| rest.strip_suffix("/0.json"))
        .unwrap();
    assert_eq!(item.len(), 64, "{key}");
    let record: Value = serde_json::from_str(&world.state().backups.objects[&key]).unwrap();
    assert_eq!(record["restoreJobId"], "planned-1");
    assert_eq!(record["recoveryPointArn"], POINT);
    assert_eq!(outcome.id("restoreJobId"), Some("planned-1"));
    // If the record cannot be written, the item has not started.
    let world = self::world();
    world.fail("s3:PutObject", Failure::Denied);
    let error = handle(&world, &config(), &input()).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    // The next attempt finds the job in the list of AWS Backup.
    world.forget_tokens();
    assert_eq!(started(&world).await.id("restoreJobId"), Some("planned-1"));
}

#[tokio::test]
async fn returns_the_recorded_job_without_token_and_target() {
    let world = world();
    started(&world).await;
    world.forget_tokens();
    world.state().calls.clear();
    world.state().stack_resources.clear();
    world.state().backups.points.clear();
    for status in ["PENDING", "RUNNING", "COMPLETED"] {
        world.set_started(status);
        let outcome = started(&world).await;
        assert_eq!(outcome.id("restoreJobId"), Some("planned-1"), "{status}");
    }
    assert_eq!(requests(&world).len(), 1);
    let read = |call: &String| call.starts_with("s3:Get") || call.contains("DescribeRestoreJob");
    assert!(world.calls().iter().all(read), "{:?}", world.calls());
}

#[tokio::test]
async fn retries_failed_restores_10_times_and_then_refuses() {
    let world = world();
    started(&world).await;
    for attempt in 2..=10 {
        world.set_started(["FAILED", "ABORTED"][attempt % 2]);
        world.forget_tokens();
        let outcome = started(&world).await;
        let expected = format!("planned-{attempt}");
        assert_eq!(outcome.id("restoreJobId"), Some(expected.as_str()));
        assert_eq!(records(&world).len(), attempt);
    }
    world.set_started("FAILED");
    for job in world.state().restore_jobs.values_mut() {
        job.status_message = Some("The role may not use the key.".to_owned());
    }
    let outcome = handle(&world, &config(), &input()).await;
    assert_refused(outcome, "restore-keeps-failing", "may not use the key");
    assert_eq!(requests(&world).len(), 10);
    // Another execution starts a new job.
    let other = input_with("/execution/name", json!("shop-2"));
    let outcome = handle(&world, &config(), &other).await.unwrap();
    assert_eq!(outcome.id("restoreJobId"), Some("planned-11"));
}

#[tokio::test]
async fn starts_one_job_per_item() {
    let world = world();
    world.fail("backup:StartRestoreJob", Failure::AnswerLost);
    let error = handle(&world, &config(), &input()).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    world.forget_tokens();
    assert_eq!(started(&world).await.id("restoreJobId"), Some("planned-1"));
    let other = input_with("/planHash", json!("f".repeat(64)));
    let outcome = handle(&world, &config(), &other).await.unwrap();
    assert_eq!(outcome.id("restoreJobId"), Some("planned-1"));
    let created = DateTime::from_timestamp(1_795_400_000, 0).unwrap();
    let point = volume_point("b", "b", created).unwrap();
    world.state().backups.points.push(point);
    let mut other = input_with(
        "/item/recoveryPointArn",
        json!("arn:aws:ec2:us-west-2::snapshot/snap-b"),
    );
    other["item"]["resourceArn"] = json!("arn:aws:ec2:us-east-1:1:volume/vol-b");
    let outcome = handle(&world, &config(), &other).await.unwrap();
    assert_eq!(outcome.id("restoreJobId"), Some("planned-2"));
}

#[tokio::test]
async fn token_depends_on_name_and_start_of_the_execution() {
    let token = |input: Value| async move {
        let world = world();
        handle(&world, &config(), &input).await.unwrap();
        requests(&world).remove(0).token
    };
    let first = token(input()).await;
    assert_eq!(first, token(input()).await);
    for other in [
        input_with("/execution/name", json!("shop-2")),
        input_with("/execution/startedAt", json!("2027-03-23T05:55:00Z")),
    ] {
        assert_ne!(first, token(other).await);
    }
}

/// A world in which another recovery has restored the item: its job, and its volume attached to the
/// target.
fn recovered_before(status: &str) -> World {
    let world = world();
    let at = |minute: i64| DateTime::from_timestamp(1_795_410_000 + minute * 60, 0).unwrap();
    let mut job = completed_job("9", POINT, RESTORE_ROLE, at(1), at(3));
    job.status = Some(status.to_owned());
    let volume = attached_volume("9", "1", at(4));
    let mut state = world.state();
    state.restore_jobs.insert(job.id.to_string(), job);
    state.volumes.insert(volume.id.clone(), volume);
    drop(state);
    world
}

#[tokio::test]
async fn reuses_a_restore_of_another_recovery_while_its_volume_is_usable() {
    type Change = fn(&mut RestoreJob, &mut Volume);
    let cases: [(&str, Change, bool); 12] = [
        ("it is attached to the target", |_, _| (), true),
        (
            "it is not attached yet",
            |_, volume| volume.attachments.clear(),
            true,
        ),
        (
            "it is attached elsewhere",
            |_, volume| volume.attachments[0].instance = InstanceId::new("i-2"),
            false,
        ),
        (
            "it is in another zone",
            |_, volume| {
                volume.attachments.clear();
                volume.zone = "us-west-2c".to_owned();
            },
            false,
        ),
        (
            "it is gone",
            |_, volume| volume.id = VolumeId::new("vol-8"),
            false,
        ),
        (
            "it is still being restored",
            |job, _| {
                job.status = Some("RUNNING".to_owned());
                job.created_resource = None;
            },
            true,
        ),
        (
            "the job failed",
            |job, _| job.status = Some("FAILED".to_owned()),
            false,
        ),
        (
            "the job was aborted",
            |job, _| job.status = Some("ABORTED".to_owned()),
            false,
        ),
        (
            "a drill restored it",
            |job, _| job.iam_role = Arn::parse(DRILL_ROLE).ok(),
            false,
        ),
        (
            "a restore test restored it",
            |job, _| job.restore_test = true,
            false,
        ),
        (
            "it was restored from another recovery point",
            |job, _| {
                job.recovery_point =
                    RecoveryPointArn::parse("arn:aws:ec2:us-west-2::snapshot/snap-b").ok()
            },
            false,
        ),
        ("its role is unknown", |job, _| job.iam_role = None, false),
    ];
    for (what, change, found) in cases {
        let world = recovered_before("COMPLETED");
        {
            let mut state = world.state();
            let state = &mut *state;
            let job = state.restore_jobs.get_mut("job-9").unwrap();
            let mut volume = state.volumes.remove(&VolumeId::new("vol-9")).unwrap();
            change(job, &mut volume);
            state.volumes.insert(volume.id.clone(), volume);
        }
        let job = if found { "job-9" } else { "planned-1" };
        let outcome = started(&world).await;
        assert_eq!(outcome.id("restoreJobId"), Some(job), "{what}");
        // It is recorded, so it is returned even if the volume is deleted.
        world.state().volumes.clear();
        assert_eq!(
            started(&world).await.id("restoreJobId"),
            Some(job),
            "{what}"
        );
        assert_eq!(requests(&world).len(), usize::from(!found), "{what}");
    }
}

#[tokio::test]
async fn drill_does_not_reuse_restores_of_a_recovery() {
    let world = recovered_before("COMPLETED");
    let outcome = handle(&world, &config(), &drill("drill-1")).await.unwrap();
    assert_eq!(outcome.id("restoreJobId"), Some("planned-1"));
}

#[tokio::test]
async fn searches_every_page_for_the_best_restore() {
    let world = recovered_before("COMPLETED");
    {
        let mut state = world.state();
        state.jobs_on_a_page = Some(2);
        // They are listed before the one that serves.
        for n in 10..15 {
            let mut job = state.restore_jobs["job-9"].clone();
            job.id = RestoreJobId::new(format!("job-{n}"));
            job.created = job.created.map(|at| at + TimeDelta::minutes(n));
            job.created_resource = None;
            job.status = Some("RUNNING".to_owned());
            state.restore_jobs.insert(job.id.to_string(), job);
        }
    }
    assert_eq!(started(&world).await.id("restoreJobId"), Some("job-9"));
}

#[tokio::test]
async fn returns_an_error_that_names_an_invalid_record() {
    let world = world();
    started(&world).await;
    let [key] = records(&world).try_into().unwrap();
    for text in ["", "{}", "[]", "{\"restoreJobId\": 7}"] {
        let object = text.to_owned();
        world.state().backups.objects.insert(key.clone(), object);
        let error = handle(&world, &config(), &input()).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert!(error.to_string().contains(&key), "{error}");
    }
    assert_eq!(requests(&world).len(), 1);
}

#[tokio::test]
async fn starts_nothing_while_the_target_is_missing() {
    let world = world();
    world.state().stack_resources.clear();
    let outcome = handle(&world, &config(), &input()).await.unwrap();
    assert_eq!(outcome.kind(), "pending");
    assert_eq!(outcome.id("waitingFor"), Some("the stack shop to exist"));
    assert!(requests(&world).is_empty());
}

#[tokio::test]
async fn refuses_with_a_remedy() {
    let refused = |world: World, input: Value| async move {
        let outcome = handle(&world, &config(), &input).await;
        assert!(requests(&world).is_empty());
        outcome
    };
    let gone = world();
    for state in ["shutting-down", "terminated"] {
        gone.state()
            .instances
            .get_mut(&InstanceId::new("i-1"))
            .unwrap()
            .state = state.into();
        assert_refused(
            handle(&gone, &config(), &input()).await,
            "instance-gone",
            state,
        );
    }
    let bucket = world();
    for resource in bucket.state().stack_resources.values_mut() {
        resource.resource_type = "AWS::S3::Bucket".to_owned();
    }
    assert_refused(
        refused(bucket, input()).await,
        "target-type",
        "AWS::S3::Bucket",
    );
    let assumed = world();
    assumed.state().stack_resources.clear();
    let mut input_assumed = input();
    input_assumed["item"]["target"]["assumed"] = json!(true);
    assert_refused(
        refused(assumed, input_assumed).await,
        "untagged",
        "no tag that names its target",
    );
    let other = input_with("/item/type", json!("EKS"));
    assert_refused(refused(world(), other).await, "type-not-restored", "EKS");
    let expired = world();
    expired.state().backups.points.clear();
    assert_refused(
        refused(expired, input()).await,
        "point-gone",
        "vault recovery",
    );
    let rejecting = world();
    rejecting.state().backups.rejects = Some("Invalid metadata: `x`".to_owned());
    assert_refused(
        refused(rejecting, input()).await,
        "restore-rejected",
        "Invalid metadata",
    );
}

#[tokio::test]
async fn starts_one_job_despite_a_failure_of_any_call() {
    for operation in [
        "cloudformation:DescribeStackResource",
        "ec2:DescribeInstances",
        "backup:GetRecoveryPointRestoreMetadata",
        "backup:ListRestoreJobs",
        "backup:StartRestoreJob",
        "backup:DescribeRestoreJob",
        "s3:GetObject",
        "s3:PutObject",
    ] {
        for (failure, kind) in [
            (Failure::Throttled, "Retryable"),
            (Failure::AnswerLost, "Retryable"),
            (Failure::Denied, "Permanent"),
        ] {
            let world = world();
            world.fail(operation, failure);
            let error = handle(&world, &config(), &input()).await.unwrap_err();
            assert_eq!(error.error_type(), kind, "{operation}");
            world.forget_tokens();
            assert_eq!(started(&world).await.id("restoreJobId"), Some("planned-1"));
            assert_eq!(requests(&world).len(), 1, "{operation}");
        }
    }
}

/// The same item, for a drill of this name.
fn drill(name: &str) -> Value {
    let mut input = input_with("/mode", json!("drill"));
    input["execution"]["name"] = json!(name);
    input
}

#[tokio::test]
async fn drill_uses_its_role_without_tags_and_starts_a_new_job_each_time() {
    let world = world();
    for (n, name) in ["drill-1", "drill-1", "drill_2"].into_iter().enumerate() {
        let mut input = drill(name);
        if n == 2 {
            // The first drill has ended.
            input["execution"]["startedAt"] = json!("2026-11-24T05:55:00Z");
        }
        let outcome = handle(&world, &config(), &input).await.unwrap();
        assert_eq!(outcome.kind(), "started");
        assert_eq!(outcome.id("mode"), Some("drill"));
        assert_eq!(outcome.id("drill"), Some(name));
        let job = ["planned-1", "planned-1", "planned-2"][n];
        assert_eq!(outcome.id("restoreJobId"), Some(job));
    }
    // A recovery does not reuse the restores of drills.
    let outcome = started(&world).await;
    assert_eq!(outcome.id("restoreJobId"), Some("planned-3"));
    assert_eq!(outcome.id("drill"), None);
    let state = world.state();
    let started: Vec<(&str, &str, bool)> = state
        .backups
        .started
        .iter()
        .map(|(request, id)| (id.as_str(), request.role.as_str(), request.copy_tags))
        .collect();
    for expected in [
        ("planned-1", DRILL_ROLE, false),
        ("planned-2", DRILL_ROLE, false),
        ("planned-3", RESTORE_ROLE, true),
    ] {
        assert!(started.contains(&expected), "{started:?}");
    }
    assert_eq!(started.len(), 3);
}

#[tokio::test]
async fn rejects_invalid_executions_and_drill_names() {
    let world = world();
    let named = |mode: &str, name: Value| {
        let mut input = input_with("/mode", json!(mode));
        input["execution"]["name"] = name;
        input
    };
    for payload in [
        input_with("/execution", Value::Null),
        input_with("/execution/startedAt", Value::Null),
        input_with("/execution/startedAt", json!("yesterday")),
        named("recover", Value::Null),
        named("recover", json!("")),
        named("recover", json!("a b")),
        named("recover", json!("a/b")),
        named("recover", json!("..")),
        named("recover", json!("x".repeat(81))),
        named("drill", json!("a b")),
        named("drill", json!("é")),
        named("drill", json!("a.b")),
        named("drill", json!(7)),
    ] {
        let error = handle(&world, &config(), &payload).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        let text = error.to_string();
        assert!(
            text.contains("execution") && text.contains("\"startedAt\""),
            "{text}"
        );
    }
    assert!(world.calls().is_empty());
    for name in ["a", "A-_9", &"x".repeat(80)] {
        let outcome = handle(&world, &config(), &drill(name)).await.unwrap();
        assert_eq!(outcome.kind(), "started", "{name}");
    }
    let recover = named("recover", json!("été.1"));
    let outcome = handle(&world, &config(), &recover).await.unwrap();
    assert_eq!(outcome.kind(), "started");
}

#[tokio::test]
async fn returns_an_error_that_names_an_invalid_member() {
    let world = world();
    for (payload, expected) in [
        (json!({}), "planHash"),
        (
            json!({"planHash": "0".repeat(64), "mode": "recover"}),
            "item",
        ),
        (input_with("/planHash", json!("abc")), "planHash"),
        (input_with("/mode", json!("test")), "mode"),
        (
            input_with("/item/recoveryPointArn", json!("snap-1")),
            "snap-1",
        ),
        (
            input_with("/item/target/stack", json!("a/b")),
            "item.target",
        ),
        (
            input_with("/item/target/logicalId", json!("a b")),
            "item.target",
        ),
        (
            input_with("/item/target/device", json!("/dev/sda1")),
            "item.target",
        ),
    ] {
        let error = handle(&world, &config(), &payload).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(world.calls().is_empty());
}

/// A database `orders` with the references of its tags, and the stack that brings them.
fn database_world() -> (World, Value) {
    let world = world();
    for (logical_id, resource_type, physical_id) in [
        ("Subnets", "AWS::RDS::DBSubnetGroup", "recovery-subnets"),
        ("DbGroup", "AWS::EC2::SecurityGroup", "sg-0a1b2c3d"),
        ("Tuned", "AWS::RDS::DBParameterGroup", "recovery-tuned"),
    ] {
        add_resource(
            &world,
            logical_id,
            resource_type,
            Some(physical_id),
            "CREATE_COMPLETE",
        );
    }
    let stored = [
        ("DBInstanceClass", "db.m6g.large"),
        ("DBSubnetGroupName", "primary-subnets"),
        ("VpcSecurityGroupIds", "[\"sg-primary\"]"),
    ];
    let stored = stored
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    world
        .state()
        .backups
        .metadata
        .insert(POINT.to_owned(), stored);
    let mut input = input();
    input["item"]["type"] = json!("RDS");
    input["item"]["resourceArn"] = json!("arn:aws:rds:us-east-1:111122223333:db:orders");
    input["item"]["target"] = json!({
        "kind": "database", "identifier": "orders", "stack": "shop", "subnetGroup": "Subnets",
        "securityGroups": ["prefix:DbG", "sg-00000000"], "parameterGroup": "Tuned",
    });
    (world, input)
}

fn add_resource(
    world: &World,
    logical_id: &str,
    resource_type: &str,
    physical_id: Option<&str>,
    status: &str,
) {
    world.state().stack_resources.insert(
        ("shop".to_owned(), logical_id.to_owned()),
        StackResource {
            resource_type: resource_type.to_owned(),
            physical_id: physical_id.map(str::to_owned),
            status: status.into(),
        },
    );
}

fn set_stack(world: &World, status: &str) {
    let state = StackState {
        status: status.to_owned(),
        reason: Some("because".to_owned()),
    };
    world.state().stack_states.insert("shop".to_owned(), state);
}

#[tokio::test]
async fn starts_a_database_in_the_network_that_its_references_name() {
    let (world, input) = database_world();
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "started");
    let [request] = requests(&world).try_into().unwrap();
    let metadata: BTreeMap<&str, &str> = request
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        metadata,
        BTreeMap::from([
            ("DBInstanceClass", "db.m6g.large"),
            ("DBInstanceIdentifier", "orders"),
            ("DBParameterGroupName", "recovery-tuned"),
            ("DBSubnetGroupName", "recovery-subnets"),
            ("VpcSecurityGroupIds", "[\"sg-0a1b2c3d\",\"sg-00000000\"]"),
        ])
    );
    assert!(request.copy_tags);
    let listings = world.calls();
    let of_stack = listings
        .iter()
        .filter(|call| call.contains("ListStackResources"));
    assert_eq!(of_stack.count(), 1, "one listing serves all references");
    // A drill has its own name, and no tags of the workload.
    let (world, mut input) = database_world();
    input["mode"] = json!("drill");
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "started");
    let [request] = requests(&world).try_into().unwrap();
    assert_eq!(request.metadata["DBInstanceIdentifier"], "orders-shop-1");
    assert!(!request.copy_tags);
    assert_eq!(request.role, DRILL_ROLE);
}

#[tokio::test]
async fn starts_as_soon_as_the_references_exist_and_not_before() {
    let (world, input) = database_world();
    set_stack(&world, "CREATE_IN_PROGRESS");
    add_resource(
        &world,
        "Server2",
        "AWS::EC2::Instance",
        None,
        "CREATE_IN_PROGRESS",
    );
    let group = ("shop".to_owned(), "DbGroup".to_owned());
    let listed = world.state().stack_resources.remove(&group).unwrap();
    let pending = async |expected: &str| {
        let outcome = handle(&world, &config(), &input).await.unwrap();
        assert_eq!(outcome.kind(), "pending");
        let waiting_for = outcome.id("waitingFor").unwrap_or_default();
        assert!(waiting_for.contains(expected), "{waiting_for}");
        assert!(requests(&world).is_empty());
    };
    pending("prefix:DbG to exist in stack shop").await;
    add_resource(
        &world,
        "DbGroup",
        "AWS::EC2::SecurityGroup",
        None,
        "CREATE_IN_PROGRESS",
    );
    pending("prefix:DbG in stack shop to be complete").await;
    world.state().stack_resources.insert(group, listed);
    // The stack is still being created, but everything that the database needs stands.
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "started");
}

/// The stack becomes complete after its resources were listed.
struct Completed<'a>(&'a World, Mutex<Option<StackResource>>);

impl Interceptor for Completed<'_> {
    async fn intercept<T, F>(&self, call: Call<'_>, make: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let answered = make().await?;
        let missing = match call.operation {
            "cloudformation:ListStackResources" => self.1.lock().unwrap().take(),
            _ => None,
        };
        if let Some(missing) = missing {
            let key = ("shop".to_owned(), "DbGroup".to_owned());
            self.0.state().stack_resources.insert(key, missing);
            set_stack(self.0, "CREATE_COMPLETE");
        }
        Ok(answered)
    }
}

#[tokio::test]
async fn a_resource_that_was_created_after_the_listing_is_not_missing() {
    let (world, input) = database_world();
    set_stack(&world, "CREATE_IN_PROGRESS");
    let group = ("shop".to_owned(), "DbGroup".to_owned());
    let missing = world.state().stack_resources.remove(&group);
    assert!(missing.is_some());
    let ports = Intercepted {
        ports: &world,
        interceptor: Completed(&world, Mutex::new(missing)),
    };
    let outcome = handle(&ports, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "started", "{outcome:?}");
}

#[tokio::test]
async fn a_pending_poll_makes_no_call_more_than_it_needs() {
    let polled = async |world: &World, input: &Value| {
        let before = world.calls().len();
        let outcome = handle(world, &config(), input).await.unwrap();
        assert_eq!(outcome.kind(), "pending");
        let calls = world.calls()[before..].to_vec();
        calls
            .into_iter()
            .map(|call| call.split(' ').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    // A volume whose stack does not exist.
    let volume = world();
    volume.state().stack_resources.clear();
    assert_eq!(
        polled(&volume, &input()).await,
        [
            "s3:GetObject",
            "cloudformation:DescribeStackResource",
            "cloudformation:ListStackResources"
        ]
    );
    // A database whose security group does not exist.
    let (database, input) = database_world();
    set_stack(&database, "CREATE_IN_PROGRESS");
    let group = ("shop".to_owned(), "DbGroup".to_owned());
    let listed = database.state().stack_resources.remove(&group).unwrap();
    let of_stack = [
        "s3:GetObject",
        "cloudformation:ListStackResources",
        "cloudformation:DescribeStacks",
    ];
    assert_eq!(polled(&database, &input).await, of_stack);
    // Its name becomes free.
    database.state().stack_resources.insert(group, listed);
    add_database(&database, "deleting");
    assert_eq!(
        polled(&database, &input).await,
        [
            "s3:GetObject",
            "cloudformation:ListStackResources",
            "rds:DescribeDBInstances"
        ]
    );
    // A table whose name becomes free.
    let (table, mut input) = (world(), self::input());
    let arn = Arn::parse("arn:aws:dynamodb:us-west-2:111122223333:table/Orders").unwrap();
    let mut deleted = FakeTable::restored(arn, DateTime::UNIX_EPOCH);
    deleted.table.status = TableStatus::Deleting;
    table.state().tables.insert("Orders".to_owned(), deleted);
    input["item"]["type"] = json!("DynamoDB");
    input["item"]["target"] = json!({"kind": "table", "name": "Orders"});
    assert_eq!(
        polled(&table, &input).await,
        ["s3:GetObject", "dynamodb:DescribeTable"]
    );
}

#[tokio::test]
async fn without_a_tag_the_only_subnet_group_of_a_complete_stack_is_used() {
    let (world, mut input) = database_world();
    input["item"]["target"]["subnetGroup"] = Value::Null;
    set_stack(&world, "CREATE_IN_PROGRESS");
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "pending");
    set_stack(&world, "CREATE_COMPLETE");
    add_resource(
        &world,
        "More",
        "AWS::DocDB::DBSubnetGroup",
        Some("more"),
        "CREATE_COMPLETE",
    );
    assert_refused(
        handle(&world, &config(), &input).await,
        "reference-ambiguous",
        "`More`, `Subnets`",
    );
    let more = ("shop".to_owned(), "More".to_owned());
    world.state().stack_resources.remove(&more);
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "started");
}

#[tokio::test]
async fn refuses_references_that_waiting_does_not_help() {
    let check = async |change: &dyn Fn(&World, &mut Value), reason: &str, expected: &str| {
        let (world, mut input) = database_world();
        change(&world, &mut input);
        assert_refused(handle(&world, &config(), &input).await, reason, expected);
        assert!(requests(&world).is_empty());
    };
    let group = |name: &'static str| {
        move |_: &World, input: &mut Value| {
            input["item"]["target"]["securityGroups"] = json!([name]);
        }
    };
    check(
        &group("Missing"),
        "reference-missing",
        "which has `DbGroup`",
    )
    .await;
    check(
        &group("Subnets"),
        "reference-type",
        "AWS::RDS::DBSubnetGroup",
    )
    .await;
    check(&group("name:web"), "reference-unusable", "`name:web`").await;
    check(&group("asg:web"), "reference-unusable", "`asg:web`").await;
    let second = |world: &World, _: &mut Value| {
        add_resource(
            world,
            "DbG2",
            "AWS::EC2::SecurityGroup",
            Some("sg-2"),
            "CREATE_COMPLETE",
        );
    };
    check(&second, "reference-ambiguous", "`DbG2`, `DbGroup`").await;
    let failed = |world: &World, _: &mut Value| {
        add_resource(
            world,
            "DbGroup",
            "AWS::EC2::SecurityGroup",
            None,
            "CREATE_FAILED",
        );
    };
    check(&failed, "reference-failed", "CREATE_FAILED").await;
    // CloudFormation still lists what it has deleted.
    let deleted = |name: &'static str| {
        move |world: &World, input: &mut Value| {
            group(name)(world, input);
            add_resource(
                world,
                "DbGroup",
                "AWS::EC2::SecurityGroup",
                Some("sg-0a1b2c3d"),
                "DELETE_COMPLETE",
            );
        }
    };
    check(&deleted("DbGroup"), "reference-failed", "DELETE_COMPLETE").await;
    check(&deleted("prefix:DbG"), "reference-missing", "prefix:DbG").await;
    let stack_failed = |world: &World, input: &mut Value| {
        set_stack(world, "CREATE_FAILED");
        group("Missing")(world, input);
    };
    check(&stack_failed, "stack-failed", "because").await;
    // The state machine records why it does not create a stack.
    let recorded = |world: &World, input: &mut Value| {
        let mut state = world.state();
        state.stack_resources.clear();
        let problem = json!({"reason": "stack-missing", "why": "no role", "remedy": "Deploy it."});
        state.backups.objects.insert(
            "infrastructure/shop-1/0/shop.json".to_owned(),
            problem.to_string(),
        );
        input["stackProblems"] = json!("infrastructure/shop-1/0/");
    };
    check(&recorded, "stack-failed", "no role").await;
    let (world, mut input) = database_world();
    input["stackProblems"] = json!("reports/");
    let error = handle(&world, &config(), &input).await.unwrap_err();
    assert!(error.to_string().contains("stackProblems"), "{error}");
}

#[tokio::test]
async fn finds_infrastructure_by_tag_and_in_nested_stacks() {
    let (world, mut input) = database_world();
    let tagged = "arn:aws:rds:us-west-2:111122223333:subgrp:by-tag";
    let tag = ["rds:subgrp", "Name", "orders"].map(str::to_owned).into();
    input["item"]["target"]["subnetGroup"] = json!("tag:Name=orders");
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "pending", "the index of tags can be late");
    let arn = Arn::parse(tagged).unwrap();
    world.state().tagged_resources.insert(tag, vec![arn]);
    let nested = "arn:aws:cloudformation:us-west-2:111122223333:stack/shop-Net-1/a";
    let stack = "AWS::CloudFormation::Stack";
    add_resource(
        &world,
        "NetABC123",
        stack,
        Some(nested),
        "CREATE_IN_PROGRESS",
    );
    world.state().stack_resources.insert(
        (nested.to_owned(), "Web".to_owned()),
        StackResource {
            resource_type: "AWS::EC2::SecurityGroup".to_owned(),
            physical_id: Some("sg-0000000f".to_owned()),
            status: "CREATE_COMPLETE".into(),
        },
    );
    input["item"]["target"]["securityGroups"] = json!(["prefix:Net/Web"]);
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "started");
    let [request] = requests(&world).try_into().unwrap();
    assert_eq!(request.metadata["DBSubnetGroupName"], "by-tag");
    assert_eq!(request.metadata["VpcSecurityGroupIds"], "[\"sg-0000000f\"]");
}

#[tokio::test]
async fn starts_a_volume_on_an_instance_outside_a_stack() {
    for (reference, given) in [("i-0a1b2c3d4e5f60718", None), ("tag:Name=db", Some("i-1"))] {
        let world = world();
        if let Some(id) = given {
            let arn = format!("arn:aws:ec2:us-west-2:111122223333:instance/{id}");
            let tag = ["ec2:instance", "Name", "db"].map(str::to_owned).into();
            let arns = vec![Arn::parse(&arn).unwrap()];
            world.state().tagged_resources.insert(tag, arns);
        } else {
            let mut state = world.state();
            let mut instance = state.instances[&InstanceId::new("i-1")].clone();
            instance.id = InstanceId::new(reference);
            state.instances.insert(instance.id.clone(), instance);
        }
        let mut input = input();
        input["item"]["target"] = json!({"kind": "volume", "logicalId": reference});
        let outcome = handle(&world, &config(), &input).await.unwrap();
        assert_eq!(outcome.kind(), "started", "{reference}");
    }
}

/// The DB instance with the name that `database_world` restores to.
fn add_database(world: &World, status: &str) -> Arn {
    let arn = Arn::parse("arn:aws:rds:us-west-2:111122223333:db:orders").unwrap();
    let id = DbInstanceId::new("orders");
    let instance = DbInstance {
        id: id.clone(),
        arn: arn.to_string(),
        status: status.into(),
        cluster: None,
        engine: "postgres".to_owned(),
        engine_version: "16.4".to_owned(),
        endpoint: None,
        settings: DbSettings::default(),
        restore_test: false,
    };
    world.state().databases.instances.insert(id, instance);
    arn
}

#[tokio::test]
async fn a_foreign_database_with_the_name_is_never_touched() {
    let (world, input) = database_world();
    add_database(&world, "available");
    assert_refused(
        handle(&world, &config(), &input).await,
        "name-taken",
        "orders exists",
    );
    assert!(requests(&world).is_empty());
    // Its name becomes free.
    add_database(&world, "deleting");
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "pending");
    assert!(requests(&world).is_empty());
}

#[tokio::test]
async fn a_restore_of_another_recovery_is_used_while_its_database_exists() {
    let (world, input) = database_world();
    let arn = add_database(&world, "available");
    let created = "2026-11-23T05:30:00Z".parse().unwrap();
    let mut job = completed_job("0", POINT, RESTORE_ROLE, created, created);
    job.created_resource = Some(arn);
    let id = job.id.to_string();
    world.state().restore_jobs.insert(id.clone(), job);
    let outcome = handle(&world, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "started");
    assert_eq!(outcome.id("restoreJobId"), Some(id.as_str()));
    assert!(requests(&world).is_empty());
    // It was deleted: another restore starts.
    let (again, _) = database_world();
    let job = world.state().restore_jobs[&id].clone();
    again.state().restore_jobs.insert(id, job);
    let outcome = handle(&again, &config(), &input).await.unwrap();
    assert_eq!(outcome.kind(), "started");
    assert_eq!(requests(&again).len(), 1);
}

#[tokio::test]
async fn a_running_restore_is_used_only_if_it_restores_under_the_same_name() {
    for (name, reused) in [("orders", true), ("Orders", true), ("orders-copy", false)] {
        let (world, mut input) = database_world();
        input["item"]["target"]["identifier"] = json!(name);
        handle(&world, &config(), &input).await.unwrap();
        world.forget_tokens();
        world.state().backups.objects.clear();
        // Another recovery, whose own token starts another job.
        input["item"]["target"]["identifier"] = json!("orders");
        input["execution"]["name"] = json!("shop-2");
        let outcome = handle(&world, &config(), &input).await.unwrap();
        assert_eq!(outcome.kind(), "started");
        let first = outcome.id("restoreJobId") == Some("planned-1");
        assert_eq!((first, requests(&world).len() == 1), (reused, reused));
    }
}
