//! A planned restore begins: once, in the zone of its target, or with a reason why not.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use chrono::DateTime;
use recovery_core::arn::InstanceId;
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, RESTORE_ROLE, World, volume_point};
use recovery_core::outcome::Outcome;
use recovery_core::ports::RestoreRequest;
use recovery_core::restore_start::{Means, handle};
use serde_json::{Value, json};

const POINT: &str = "arn:aws:ec2:us-west-2::snapshot/snap-a";
const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1";

fn means() -> Means {
    Means {
        vault: "recovery".to_owned(),
        role: RESTORE_ROLE.to_owned(),
        drill_role: DRILL_ROLE.to_owned(),
        key: None,
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
            "target": {"stack": "shop", "logicalId": "Server", "device": "/dev/sdg"},
            "metadata": {"availabilityZone": "us-west-2f"},
            "predictions": {},
        },
    })
}

fn input_with(pointer: &str, value: Value) -> Value {
    let mut input = input();
    *input.pointer_mut(pointer).unwrap() = value;
    input
}

async fn started(world: &World) -> Outcome {
    handle(world, &means(), &input()).await.unwrap()
}

fn requests(world: &World) -> Vec<RestoreRequest> {
    let state = world.state();
    let started = state.backups.started.values();
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
async fn a_restore_begins_in_the_zone_of_its_target_wherever_the_plan_saw_it() {
    let world = world();
    let outcome = started(&world).await;
    assert_eq!(outcome.kind(), "started");
    assert_eq!(outcome.id("restoreJobId"), Some("planned-1"));
    assert_eq!(outcome.id("availabilityZone"), Some("us-west-2a"));
    let [request] = requests(&world).try_into().unwrap();
    assert_eq!(request.point.as_str(), POINT);
    assert_eq!(request.resource_type, "EBS");
    assert_eq!(request.role, means().role);
    assert!(request.copy_tags);
    assert_eq!(request.token.len(), 64);
    assert_eq!(
        request.metadata,
        [("availabilityZone".to_owned(), "us-west-2a".to_owned())].into()
    );
}

#[tokio::test]
async fn what_is_stored_and_the_owners_key_are_in_the_metadata() {
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
    let means = Means {
        key: Some(KEY.to_owned()),
        ..means()
    };
    handle(&world, &means, &input()).await.unwrap();
    let [request] = requests(&world).try_into().unwrap();
    assert_eq!(
        json!(request.metadata),
        json!({
            "availabilityZone": "us-west-2a", "encrypted": "true", "kmsKeyId": KEY,
            "volumeType": "gp3", "iops": "4000",
        })
    );
}

#[tokio::test]
async fn the_same_item_is_one_job_until_that_job_has_failed() {
    let world = world();
    // The answer is lost, and asked for again.
    world.fail("backup:StartRestoreJob", Failure::AnswerLost);
    let error = handle(&world, &means(), &input()).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    for status in ["PENDING", "RUNNING", "COMPLETED"] {
        let id = "planned-1".to_owned();
        if let Some(job) = world.state().restore_jobs.get_mut(&id) {
            job.status = Some(status.to_owned());
        }
        assert_eq!(
            started(&world).await.id("restoreJobId"),
            Some("planned-1"),
            "{status}"
        );
    }
    assert_eq!(requests(&world).len(), 1);
    // Where the plan has changed elsewhere, what is restored stays; another resource is another job.
    let other = input_with("/planHash", json!("f".repeat(64)));
    let outcome = handle(&world, &means(), &other).await.unwrap();
    assert_eq!(outcome.id("restoreJobId"), Some("planned-1"));
    let other = input_with(
        "/item/resourceArn",
        json!("arn:aws:ec2:us-east-1:1:volume/vol-b"),
    );
    let outcome = handle(&world, &means(), &other).await.unwrap();
    assert_eq!(outcome.id("restoreJobId"), Some("planned-2"));
    // What failed is restored anew, as often as it may.
    for attempt in 3..12 {
        for job in world.state().restore_jobs.values_mut() {
            job.status = Some(["FAILED", "ABORTED"][attempt % 2].to_owned());
        }
        let outcome = started(&world).await;
        assert_eq!(
            outcome.id("restoreJobId").unwrap(),
            format!("planned-{attempt}")
        );
    }
    for job in world.state().restore_jobs.values_mut() {
        job.status = Some("FAILED".to_owned());
        job.status_message = Some("The role may not use the key.".to_owned());
    }
    let outcome = handle(&world, &means(), &input()).await;
    assert_refused(outcome, "restore-keeps-failing", "may not use the key");
    assert_eq!(requests(&world).len(), 11);
}

#[tokio::test]
async fn a_target_that_is_not_there_yet_is_waited_for_and_nothing_begins() {
    let world = world();
    world.state().stack_resources.clear();
    let error = handle(&world, &means(), &input()).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert!(error.to_string().contains("Deploy the stack"), "{error}");
    assert!(requests(&world).is_empty());
}

#[tokio::test]
async fn what_must_not_begin_is_refused_with_the_remedy() {
    let refused = |world: World, input: Value| async move {
        let outcome = handle(&world, &means(), &input).await;
        assert!(requests(&world).is_empty());
        outcome
    };
    let gone = world();
    for state in ["shutting-down", "terminated"] {
        gone.state()
            .instances
            .get_mut(&InstanceId::new("i-1"))
            .unwrap()
            .state = state.to_owned();
        assert_refused(
            handle(&gone, &means(), &input()).await,
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
        "no target",
    );
    let other = input_with("/item/type", json!("RDS"));
    assert_refused(refused(world(), other).await, "type-not-restored", "RDS");
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
async fn trouble_at_each_call_is_an_error_of_its_kind_and_repeated_it_is_one_job() {
    for operation in [
        "cloudformation:DescribeStackResource",
        "ec2:DescribeInstances",
        "backup:GetRecoveryPointRestoreMetadata",
        "backup:StartRestoreJob",
        "backup:DescribeRestoreJob",
    ] {
        for (failure, kind) in [
            (Failure::Throttled, "Retryable"),
            (Failure::AnswerLost, "Retryable"),
            (Failure::Denied, "Permanent"),
        ] {
            let world = world();
            world.fail(operation, failure);
            let error = handle(&world, &means(), &input()).await.unwrap_err();
            assert_eq!(error.error_type(), kind, "{operation}");
            assert_eq!(started(&world).await.id("restoreJobId"), Some("planned-1"));
            assert_eq!(requests(&world).len(), 1, "{operation}");
        }
    }
}

/// The same item, for a drill of this name.
fn drill(name: &str) -> Value {
    let mut input = input_with("/mode", json!("drill"));
    input["drill"] = json!(name);
    input
}

#[tokio::test]
async fn a_drill_restores_with_its_own_role_without_tags_and_anew_each_time() {
    let world = world();
    for (n, name) in ["drill-1", "drill-1", "drill_2"].into_iter().enumerate() {
        let outcome = handle(&world, &means(), &drill(name)).await.unwrap();
        assert_eq!(outcome.kind(), "started");
        assert_eq!(outcome.id("mode"), Some("drill"));
        assert_eq!(outcome.id("drill"), Some(name));
        let job = ["planned-1", "planned-1", "planned-2"][n];
        assert_eq!(outcome.id("restoreJobId"), Some(job));
    }
    // The real one is no drill's, whatever was restored before.
    let outcome = started(&world).await;
    assert_eq!(outcome.id("restoreJobId"), Some("planned-3"));
    assert_eq!(outcome.id("drill"), None);
    let state = world.state();
    let started: Vec<(&str, &str, bool)> = state
        .backups
        .started
        .values()
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

/// AWS Backup answers a token with its job for days: another token for the same would restore twice.
#[tokio::test]
async fn the_token_of_a_recovery_stays_what_it_was() {
    let world = world();
    started(&world).await;
    let [request] = requests(&world).try_into().unwrap();
    assert_eq!(
        request.token,
        "07cb2c761352a8e6cfe01eda91deabb2d54a1429a238fc50538fedcfa28e7d0e"
    );
}

#[tokio::test]
async fn a_drill_has_a_name_that_an_execution_can_have_and_a_recovery_has_none() {
    let world = world();
    let named = |mode: &str, name: Value| {
        let mut input = input_with("/mode", json!(mode));
        input["drill"] = name;
        input
    };
    for payload in [
        named("recover", json!("drill-1")),
        named("drill", Value::Null),
        input_with("/mode", json!("drill")),
        named("drill", json!("")),
        named("drill", json!("a b")),
        named("drill", json!("a/b")),
        named("drill", json!("é")),
        named("drill", json!("x".repeat(81))),
        named("drill", json!(7)),
    ] {
        let error = handle(&world, &means(), &payload).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        let text = error.to_string();
        assert!(
            text.contains("drill") && text.contains("the name of the drill's execution"),
            "{text}"
        );
    }
    assert!(world.calls().is_empty());
    for name in ["a", "A-_9", &"x".repeat(80)] {
        assert_eq!(
            handle(&world, &means(), &drill(name)).await.unwrap().kind(),
            "started",
            "{name}"
        );
    }
    let recover = named("recover", Value::Null);
    let outcome = handle(&world, &means(), &recover).await.unwrap();
    assert_eq!(outcome.kind(), "started");
}

#[tokio::test]
async fn what_is_no_planned_item_is_an_error_that_names_it() {
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
        let error = handle(&world, &means(), &payload).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(world.calls().is_empty());
}
