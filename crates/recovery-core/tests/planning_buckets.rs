//! Plans with buckets, and the start of their restores: targets, refusals, metadata, and the restore jobs that can be
//! used again. What the report and the reconciler say of them.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::BTreeMap;

use chrono::TimeDelta;
use recovery_core::aws::arn::{Arn, RecoveryPointArn, Scope};
use recovery_core::aws::backup::RecoveryPoint;
use recovery_core::aws::bucket::{BucketEncryption, ObjectOwnership};
use recovery_core::fakes::{
    DRILL_ROLE, Failure, FakeBucket, FakeClock, RESTORE_ROLE, World, volume_point,
};
use recovery_core::integrate::bucket::run::{BucketConfig, integrate};
use recovery_core::integrate::run_invoke::Integrators;
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::plan::run::{PlannerConfig, handle as plan_handle};
use recovery_core::plan::{BucketTarget, Plan, Target};
use recovery_core::ports::Clock;
use recovery_core::report::request::Objectives;
use recovery_core::report::run::{ReportConfig, handle as report_handle};
use recovery_core::restore::run::{RestoreConfig, handle};
use serde_json::{Value, json};

const POINT: &str =
    "arn:aws:backup:us-west-2:111122223333:recovery-point:orders-20261123050000-1a2b3c4d";
const OTHER: &str =
    "arn:aws:backup:us-west-2:111122223333:recovery-point:media-20261123050000-5e6f7a8b";
const NOTHING: &str = "There are no objects that match the restore request for arn:aws:backup:us-west-2:1:recovery-point:1.";
const MISSING: &str = "One or more objects failed to be restored from the recovery point.";

fn add(world: &World, arn: &str, bucket: &str, tags: &[(&str, &str)]) {
    let created = FakeClock::new().now() - TimeDelta::hours(1);
    let point = RecoveryPoint {
        arn: RecoveryPointArn::parse(arn).unwrap(),
        resource: Arn::parse(&format!("arn:aws:s3:::{bucket}")).unwrap(),
        resource_type: "S3".to_owned(),
        ..volume_point("x", "x", created).unwrap()
    };
    let usual = [("recovery:workload", "shop"), ("recovery:stack", "shop")];
    let tags = usual.iter().chain(tags);
    let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut state = world.state();
    state.tags.insert(arn.to_owned(), tags.collect());
    state.backups.points.push(point);
}

/// The bucket `orders` with these tags in addition, and the stack `shop` with the bucket `Assets`.
fn tagged(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    world.add_bucket("shop");
    let target = ("recovery:logical-id", "Assets");
    add(&world, POINT, "orders", &[&[target], tags].concat());
    world
}

fn world() -> World {
    tagged(&[])
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

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.refusals.iter().map(|it| it.reason.as_str()).collect()
}

/// The start of the only item.
async fn input(world: &World) -> Value {
    let plan = plan(world).await;
    let item = plan.items().next().unwrap();
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
        key: Some("arn:aws:kms:us-west-2:111122223333:key/vault".to_owned()),
        instance_profiles: true,
        region: "us-west-2".to_owned(),
    };
    handle(world, &config, input).await.unwrap()
}

async fn started_with(world: &World) -> BTreeMap<String, String> {
    let outcome = start(world, &input(world).await).await;
    assert_eq!(outcome.kind(), "started", "{outcome:?}");
    let state = world.state();
    let (request, _) = state.backups.started.last().unwrap();
    assert!(!request.copy_tags, "the tags of the bucket are the stack's");
    request.metadata.clone()
}

fn change(world: &World, change: impl FnOnce(&mut FakeBucket)) {
    change(world.state().buckets.get_mut("assets-1").unwrap());
}

#[tokio::test]
async fn the_target_is_the_bucket_of_the_stack() {
    let world = tagged(&[
        ("recovery:versions", "3"),
        ("recovery:prefixes", "2026/ images/"),
    ]);
    let plan = plan(&world).await;
    assert_eq!(reasons(&plan), [""; 0]);
    let item = plan.items().next().unwrap();
    let target = BucketTarget {
        stack: Some("shop".to_owned()),
        bucket: "Assets".to_owned(),
        versions: Some("3".to_owned()),
        prefixes: vec!["2026/".to_owned(), "images/".to_owned()],
    };
    assert_eq!(item.target, Target::Bucket(target));
    assert_eq!(plan.stacks.len(), 1);
    // The plan's JSON leads to the same plan.
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[tokio::test]
async fn refuses_what_has_no_bucket_of_its_own() {
    let into_itself = World::new();
    let name = ("recovery:logical-id", "name:orders");
    add(&into_itself, POINT, "orders", &[name]);
    assert_eq!(reasons(&plan(&into_itself).await), ["tag-invalid"]);
    let without = World::new();
    add(&without, POINT, "orders", &[]);
    assert_eq!(reasons(&plan(&without).await), ["tag-missing"]);
    // Objects of the same name would be those of one of both.
    let twice = world();
    let target = ("recovery:logical-id", "Assets");
    add(&twice, OTHER, "media", &[target]);
    let plan_of_both = plan(&twice).await;
    assert_eq!(
        reasons(&plan_of_both),
        ["bucket-claimed-twice", "bucket-claimed-twice"]
    );
    assert_eq!(plan_of_both.totals.items, 0);
}

#[tokio::test]
async fn an_unusable_optional_tag_prevents_no_restore() {
    let world = tagged(&[("recovery:versions", "many"), ("recovery:prefixes", "/a")]);
    let plan_with = plan(&world).await;
    let item = plan_with.items().next().unwrap();
    assert_eq!(item.unusable_tags.len(), 2, "{item:?}");
    let metadata = started_with(&world).await;
    assert!(!metadata.contains_key("RestoreLatestVersionsUpTo"));
    assert!(!metadata.contains_key("ItemsToRestore"));
}

#[tokio::test]
async fn starts_with_the_settings_of_the_bucket() {
    let plain = started_with(&world()).await;
    assert_eq!(plain["DestinationBucketName"], "assets-1");
    assert_eq!(plain["EncryptionType"], "SSE-S3");
    assert_eq!(plain["RestoreACLs"], "false");
    let acls = world();
    change(&acls, |bucket| {
        bucket.ownership = ObjectOwnership::ObjectWriter;
        bucket.blocks_public_acls = false;
        bucket.encryption = BucketEncryption::Kms(Some("alias/media".to_owned()));
    });
    let metadata = started_with(&acls).await;
    assert_eq!(metadata["RestoreACLs"], "true");
    assert_eq!(metadata["EncryptionType"], "SSE-KMS");
    assert_eq!(metadata["KMSKey"], "alias/media");
    // One public list would be rejected, and its object missing.
    change(&acls, |bucket| bucket.blocks_public_acls = true);
    acls.state().backups.started.clear();
    acls.state().restore_jobs.clear();
    let mut other = input(&acls).await;
    other["execution"]["name"] = json!("shop-2");
    assert_eq!(start(&acls, &other).await.kind(), "started");
    let (request, _) = acls.state().backups.started[0].clone();
    assert_eq!(request.metadata["RestoreACLs"], "false");
}

#[tokio::test]
async fn waits_for_the_bucket_and_refuses_one_without_versions() {
    let world = world();
    let input = input(&world).await;
    let resources = std::mem::take(&mut world.state().stack_resources);
    let awaited = start(&world, &input).await;
    assert_eq!(awaited.id("waitingFor"), Some("the stack shop to exist"));
    world.state().stack_resources = resources;
    let buckets = std::mem::take(&mut world.state().buckets);
    let awaited = start(&world, &input).await;
    assert_eq!(
        awaited.id("waitingFor"),
        Some("the bucket assets-1 to exist")
    );
    world.state().buckets = buckets;
    change(&world, |bucket| bucket.versioned = false);
    let refused = start(&world, &input).await;
    assert_eq!(refused.reason(), Some("bucket-not-versioned"));
    let remedy = refused.id("remedy").unwrap();
    assert!(
        remedy.contains("put-bucket-versioning --bucket assets-1"),
        "{remedy}"
    );
    assert_eq!(world.state().backups.started, []);
}

#[tokio::test]
async fn starts_one_job_despite_a_failure_of_any_call() {
    for operation in [
        "cloudformation:ListStackResources",
        "s3:GetBucketVersioning",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetEncryptionConfiguration",
        "backup:StartRestoreJob",
    ] {
        let world = world();
        let input = input(&world).await;
        world.fail(operation, Failure::AnswerLost);
        let config = RestoreConfig {
            vault: "recovery".to_owned(),
            role: RESTORE_ROLE.to_owned(),
            drill_role: DRILL_ROLE.to_owned(),
            key: None,
            instance_profiles: true,
            region: "us-west-2".to_owned(),
        };
        let error = handle(&world, &config, &input).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable", "{operation}");
        world.forget_tokens();
        assert_eq!(start(&world, &input).await.kind(), "started");
        assert_eq!(world.state().backups.started.len(), 1, "{operation}");
    }
}

#[tokio::test]
async fn another_execution_uses_a_running_job_only() {
    let world = world();
    let mut input = input(&world).await;
    let first = start(&world, &input).await;
    let first = first.id("restoreJobId").unwrap().to_owned();
    input["execution"]["name"] = json!("shop-2");
    let again = start(&world, &input).await;
    assert_eq!(again.id("restoreJobId"), Some(first.as_str()));
    // What it restored may have been deleted since.
    world.set_started("COMPLETED");
    input["execution"]["name"] = json!("shop-3");
    let new = start(&world, &input).await;
    assert_ne!(new.id("restoreJobId"), Some(first.as_str()));
}

#[tokio::test]
async fn a_redrive_restores_what_is_missing() {
    let world = world();
    let input = input(&world).await;
    let first = start(&world, &input).await;
    let first = first.id("restoreJobId").unwrap().to_owned();
    world.set_started("COMPLETED");
    let again = start(&world, &input).await;
    assert_eq!(
        again.id("restoreJobId"),
        Some(first.as_str()),
        "it is complete"
    );
    {
        let mut state = world.state();
        let job = state.restore_jobs.get_mut(&first).unwrap();
        job.resource_type = Some("S3".to_owned());
        job.status_message = Some(MISSING.to_owned());
    }
    let second = start(&world, &input).await;
    assert_eq!(second.kind(), "started");
    assert_ne!(second.id("restoreJobId"), Some(first.as_str()));
    assert_eq!(world.state().backups.started.len(), 2);
}

/// The plan, its started job, and its fields after its end with this message.
async fn ended(message: Option<&str>) -> (World, Plan) {
    let world = world();
    let plan = plan(&world).await;
    start(&world, &input(&world).await).await;
    world.set_started("COMPLETED");
    for job in world.state().restore_jobs.values_mut() {
        job.created_resource = Arn::parse("arn:aws:s3:::assets-1").ok();
        job.completed = Some(FakeClock::new().now() - TimeDelta::minutes(5));
        job.status_message = message.map(str::to_owned);
        job.resource_type = Some("S3".to_owned());
    }
    (world, plan)
}

async fn verified(world: &World, plan: &Plan) -> Value {
    let config = ReportConfig {
        bucket: "recovery".to_owned(),
        objectives: Objectives::default(),
        drill_role: DRILL_ROLE.to_owned(),
    };
    let key = "plans/shop/x.json";
    let text = json!(plan).to_string();
    world.state().backups.objects.insert(key.to_owned(), text);
    let input = json!({
        "do": "verify", "workload": "shop", "mode": "recover",
        "execution": {
            "arn": "arn:aws:states:us-west-2:111122223333:execution:r:shop-1", "name": "shop-1",
            "startedAt": "2026-11-23T05:55:00Z",
        },
        "plan": {"hash": "0", "key": key},
        "problems": [],
    });
    json!(
        report_handle(world, world, &FakeClock::new(), &config, &input)
            .await
            .unwrap()
    )
}

#[tokio::test]
async fn a_bucket_counts_as_done_only_if_no_object_is_missing() {
    let (world, plan) = ended(None).await;
    let complete = verified(&world, &plan).await;
    assert_eq!(complete["outcome"], "verified", "{complete}");
    let (world, plan) = ended(Some(MISSING)).await;
    let partial = verified(&world, &plan).await;
    let left = &partial["unfinishedItems"][0];
    assert_eq!(left["reason"], "restore-partial", "{partial}");
    let why = left["why"].as_str().unwrap();
    assert!(why.contains(MISSING), "{why}");
    let (world, plan) = ended(Some(NOTHING)).await;
    let empty = verified(&world, &plan).await;
    assert_eq!(empty["outcome"], "verified", "{empty}");
    let mut limited = json!(plan);
    limited["waves"][0]["items"][0]["target"]["prefixes"] = json!(["2025/"]);
    let limited = serde_json::from_value(limited).unwrap();
    let nothing = verified(&world, &limited).await;
    let left = &nothing["unfinishedItems"][0];
    assert_eq!(left["reason"], "nothing-restored", "{nothing}");
    let (world, plan) = ended(None).await;
    world.state().buckets.clear();
    let gone = verified(&world, &plan).await;
    assert_eq!(
        gone["unfinishedItems"][0]["reason"], "resource-gone",
        "{gone}"
    );
}

fn ownership() -> Ownership {
    Ownership {
        scope: Scope {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        },
        drill_role: DRILL_ROLE.to_owned(),
    }
}

async fn invocations(world: &World) -> Vec<String> {
    let integrators = Integrators {
        database: "database-integrator".to_owned(),
        table: "table-integrator".to_owned(),
        file_system: "file-system-integrator".to_owned(),
        bucket: "bucket-integrator".to_owned(),
        instance: "instance-integrator".to_owned(),
    };
    let window = LookbackWindow {
        lookback: TimeDelta::hours(24),
        patience: TimeDelta::minutes(30),
        interval: std::time::Duration::from_mins(1),
    };
    world.state().invocations.clear();
    reconcile(world, &FakeClock::new(), &ownership(), &integrators, window)
        .await
        .unwrap();
    let state = world.state();
    state
        .invocations
        .iter()
        .map(|(function, _)| function.clone())
        .collect()
}

#[tokio::test]
async fn the_reconciler_invokes_the_integrator_until_the_result_is_recorded() {
    for message in [None, Some(MISSING)] {
        let world = World::new();
        world.add_bucket("shop");
        let tags = [("stack", "shop"), ("logical-id", "Assets")];
        let tags = tags.map(|(key, value)| (format!("recovery:{key}"), value));
        let tags = tags.each_ref().map(|(key, value)| (key.as_str(), *value));
        world.add_restored_bucket(&tags);
        for job in world.state().restore_jobs.values_mut() {
            job.status_message = message.map(str::to_owned);
        }
        assert_eq!(invocations(&world).await, ["bucket-integrator"]);
        let config = BucketConfig {
            ownership: ownership(),
            publish_path: "/recovery/".to_owned(),
        };
        let job = world.state().restore_jobs["job-bucket"].clone();
        integrate(&world, &FakeClock::new(), &config, job)
            .await
            .unwrap();
        assert_eq!(invocations(&world).await, [""; 0], "{message:?}");
    }
}
