//! Restored volumes that are mounted in their instances, against the in-memory fakes.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use recovery_core::aws::arn::{InstanceId, Scope};
use recovery_core::aws::backup::Restore;
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, Mounts, StoredItem, World};
use recovery_core::integrate::mount::request::{MountRequest, MountType, Operation};
use recovery_core::integrate::mount::run::{MountProgress, follow};
use recovery_core::integrate::run_invoke::Integrators;
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::volume::run::integrate;
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use recovery_core::ports::Clock;

const START: &str = "ssm:StartAutomationExecution";
const DESCRIBE: &str = "ssm:GetAutomationExecution";

fn ownership() -> Ownership {
    Ownership {
        scope: Scope {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        },
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// A restored volume with a mount point, and a runbook that mounts.
fn world() -> World {
    let world = World::with_restored_volume();
    for tags in world.state().tags.values_mut() {
        tags.insert("recovery:mount".to_owned(), "/data".to_owned());
    }
    world.state().mounts = Mounts::on();
    world
}

fn fails(world: &World, outcome: &'static str, reason: &'static str, times: usize) {
    let failure = (outcome, reason, times);
    world
        .state()
        .mounts
        .failures
        .insert("i-1".to_owned(), failure);
}

async fn attempt(world: &World, mount_attempt: u32) -> Result<Outcome, Error> {
    let mut restore = Restore::from(world.state().restore_jobs["job-1"].clone());
    restore.planned.mount_attempt = mount_attempt;
    integrate(world, &FakeClock::new(), &ownership(), restore).await
}

async fn deliver(world: &World) -> Outcome {
    attempt(world, 0).await.unwrap()
}

async fn reconciled(world: &World) -> Outcome {
    let integrators = Integrators {
        database: "database-integrator".to_owned(),
        table: "table-integrator".to_owned(),
        file_system: "file-system-integrator".to_owned(),
    };
    let window = LookbackWindow {
        lookback: TimeDelta::days(365_000),
        patience: TimeDelta::minutes(30),
        interval: Duration::from_secs(60),
    };
    reconcile(world, &FakeClock::new(), &ownership(), &integrators, window)
        .await
        .unwrap()
}

#[track_caller]
fn only_item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    items.into_iter().next().unwrap()
}

fn said(world: &World, key: &str) -> Option<String> {
    only_item(world).item.data.get(key).cloned()
}

fn count(world: &World, operation: &str) -> usize {
    let calls = world.calls();
    calls
        .iter()
        .filter(|call| call.starts_with(operation))
        .count()
}

fn executions(world: &World) -> usize {
    let executions = world.state().mounts.executions.clone();
    let tokens: BTreeSet<&String> = executions.iter().map(|(token, _)| token).collect();
    assert_eq!(tokens.len(), executions.len());
    executions.len()
}

#[tokio::test]
async fn mounts_an_attached_volume_and_resolves_its_ops_item() {
    let world = world();
    let outcome = deliver(&world).await;
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("device"), Some("/dev/sdf"));
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert_eq!(item.title, "Restored volume vol-1 mounted at /data on i-1");
    assert!(
        item.description
            .contains("mounted at `/data` (`xfs` on `/dev/nvme1n1`), now and at each boot"),
        "{}",
        item.description
    );
    let one = |value: &str| vec![value.to_owned()];
    let started = world.state().mounts.executions[0].1.clone();
    assert_eq!(
        started,
        [
            ("InstanceIds", one("i-1")),
            ("Operation", one("mount")),
            ("Type", one("EBS")),
            ("Source", one("vol-1")),
            ("Path", one("/data")),
            ("SizeGiB", one("8")),
        ]
    );
    assert!(world.state().notifications.is_empty());
    assert!(
        world.state().problems.is_empty(),
        "{:?}",
        world.state().problems
    );
    // Again: nothing is started, and nothing is read of the runbook.
    let calls = count(&world, "ssm:GetAuto");
    assert_eq!(deliver(&world).await.kind(), "already-integrated");
    assert_eq!(
        (executions(&world), count(&world, "ssm:GetAuto")),
        (1, calls)
    );
}

#[tokio::test]
async fn is_pending_while_the_runbook_runs_and_the_reconciler_continues() {
    let world = world();
    world.state().mounts.run_on = true;
    let outcome = deliver(&world).await;
    assert_eq!(outcome.kind(), "pending");
    let waits = outcome.id("waitingFor").unwrap();
    assert!(
        waits.starts_with("the runbook MountFileSystem (execution execution-")
            && waits.ends_with(") for vol-1 at /data on i-1"),
        "{waits}"
    );
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert_eq!(item.severity, Severity::Low);
    assert_eq!(
        item.title, "Restored volume vol-1 attached to i-1",
        "{item:?}"
    );
    assert!(item.description.contains("No action needed now."));
    assert_eq!(said(&world, "recovery:mount").as_deref(), Some("mounting"));
    // Polls, and a run of the reconciler, start nothing.
    assert_eq!(deliver(&world).await.kind(), "pending");
    let reads = count(&world, DESCRIBE);
    assert_eq!(reconciled(&world).await.count("mounting"), Some(1));
    assert_eq!(count(&world, DESCRIBE), reads + 1, "it does not wait");
    assert_eq!(executions(&world), 1);
    world.state().mounts.run_on = false;
    assert_eq!(reconciled(&world).await.count("integrated"), Some(1));
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    // It costs nothing any more.
    let calls = count(&world, DESCRIBE);
    assert_eq!(reconciled(&world).await.count("integrated"), None);
    assert_eq!(count(&world, DESCRIBE), calls);
    assert_eq!(world.attachments_made(), 1);
}

#[tokio::test]
async fn a_refusal_stays_in_the_ops_item_and_a_later_attempt_begins_again() {
    let world = world();
    fails(&world, "refused", "path-not-empty", 1);
    let outcome = deliver(&world).await;
    assert_eq!(
        (outcome.kind(), outcome.reason()),
        ("refused", Some("mount-refused"))
    );
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert_eq!(item.title, "Restored volume not mounted: mount-refused");
    for part in [
        "`path-not-empty` (`found on i-1`)",
        "Correct path-not-empty.",
        "{\"restoreJobId\": \"job-1\", \"mountAttempt\": 1}",
    ] {
        assert!(item.description.contains(part), "{}", item.description);
    }
    // The volume stays attached, and the item says so.
    assert_eq!(
        said(&world, "recovery:integration").as_deref(),
        Some("attached")
    );
    assert_eq!(world.state().notifications.len(), 1);
    // The same again: the reconciler leaves it alone, and the event reports it.
    assert_eq!(reconciled(&world).await.count("refused"), None);
    assert_eq!(deliver(&world).await.reason(), Some("mount-refused"));
    assert_eq!(
        (executions(&world), world.state().notifications.len()),
        (1, 1)
    );
    // A person asks for another attempt.
    let outcome = attempt(&world, 1).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(executions(&world), 2);
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert!(
        world.state().problems.is_empty(),
        "{:?}",
        world.state().problems
    );
}

#[tokio::test]
async fn failures_that_may_end_by_themselves_are_tried_three_times() {
    let world = world();
    fails(&world, "retry", "mount-timeout", 2);
    assert_eq!(deliver(&world).await.kind(), "integrated");
    assert_eq!(executions(&world), 3);

    let world = self::world();
    fails(&world, "retry", "mount-timeout", 9);
    assert_eq!(deliver(&world).await.reason(), Some("mount-unfinished"));
    assert_eq!(executions(&world), 3);
    assert_eq!(deliver(&world).await.reason(), Some("mount-unfinished"));
    assert_eq!(executions(&world), 3);
}

#[tokio::test]
async fn an_agent_that_does_not_connect_is_reported_after_one_execution() {
    let world = world();
    fails(&world, "retry", "agent-not-connected", 1);
    assert_eq!(deliver(&world).await.reason(), Some("agent-not-connected"));
    assert_eq!(executions(&world), 1);
    assert_eq!(attempt(&world, 1).await.unwrap().kind(), "integrated");
}

#[tokio::test]
async fn an_execution_without_answers_is_a_refusal() {
    let world = world();
    world.state().mounts.lose_answers = true;
    assert_eq!(deliver(&world).await.reason(), Some("mount-runbook-failed"));
    assert!(
        only_item(&world)
            .description
            .contains("`Step mount timed out`")
    );
}

#[tokio::test]
async fn a_volume_on_another_instance_is_mounted_there() {
    let world = world();
    assert_eq!(deliver(&world).await.kind(), "integrated");
    // Someone replaced the instance, and attached the volume to the new one.
    {
        let mut state = world.state();
        let mut other = state.instances[&InstanceId::new("i-1")].clone();
        other.id = InstanceId::new("i-2");
        state.instances.insert(other.id.clone(), other);
        for resource in state.stack_resources.values_mut() {
            resource.physical_id = Some("i-2".to_owned());
        }
        for volume in state.volumes.values_mut() {
            for attachment in &mut volume.attachments {
                attachment.instance = InstanceId::new("i-2");
            }
        }
    }
    assert_eq!(deliver(&world).await.kind(), "integrated");
    let state = world.state();
    let instances: Vec<&Vec<String>> = state
        .mounts
        .executions
        .iter()
        .map(|(_, parameters)| &parameters[0].1)
        .collect();
    assert_eq!(
        instances,
        [&vec!["i-1".to_owned()], &vec!["i-2".to_owned()]]
    );
}

#[tokio::test]
async fn lost_answers_start_no_second_execution() {
    for operation in [START, DESCRIBE, "ssm:UpdateOpsItem", "ssm:GetOpsItem"] {
        for failure in [Failure::Throttled, Failure::AnswerLost] {
            for passes in 0..3 {
                let world = world();
                for _ in 0..passes {
                    world.pass(operation);
                }
                world.fail(operation, failure);
                let first = attempt(&world, 0).await;
                let second = deliver(&world).await;
                let third = deliver(&world).await;
                let ends = ["integrated", "already-integrated"];
                assert!(
                    ends.contains(&second.kind()) || ends.contains(&third.kind()),
                    "{operation} {failure:?} {passes}: {first:?} {second:?}"
                );
                assert_eq!(executions(&world), 1, "{operation} {failure:?} {passes}");
                assert_eq!(world.attachments_made(), 1);
                let items = world.state().items.clone();
                assert!(
                    items
                        .iter()
                        .all(|item| item.item.status == Status::Resolved),
                    "{operation} {failure:?} {passes}: {items:#?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_runbook_that_may_not_be_started_is_reported_once() {
    let world = world();
    world.fail(START, Failure::Denied);
    world.fail(START, Failure::Denied);
    for _ in 0..2 {
        let error = attempt(&world, 0).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
    }
    let item = only_item(&world);
    assert_eq!(item.title, "Restored volume still not mounted");
    assert_eq!(item.item.status, Status::Open);
    assert_eq!(world.state().notifications.len(), 1);
    assert_eq!(deliver(&world).await.kind(), "integrated");
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

#[tokio::test]
async fn the_reconciler_repeats_a_failed_mount() {
    let world = world();
    world.fail(START, Failure::Denied);
    attempt(&world, 0).await.unwrap_err();
    assert_eq!(said(&world, "recovery:mount").as_deref(), Some("failing"));
    world.state().mounts.run_on = true;
    assert_eq!(reconciled(&world).await.count("mounting"), Some(1));
    // The item does not say any more that it fails.
    let item = only_item(&world);
    assert_eq!(item.title, "Restored volume vol-1 attached to i-1");
    assert_eq!(item.severity, Severity::Low);
    assert!(item.description.contains("No action needed now."));
    assert_eq!(said(&world, "recovery:mount").as_deref(), Some("mounting"));
    world.state().mounts.run_on = false;
    assert_eq!(reconciled(&world).await.count("integrated"), Some(1));
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

#[tokio::test]
async fn without_a_runbook_or_a_mount_point_nothing_is_started() {
    let world = world();
    world.state().mounts = Mounts::default();
    assert_eq!(deliver(&world).await.kind(), "integrated");
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert!(item.description.contains("Mount the volume at `/data`"));

    let world = World::with_restored_volume();
    world.state().mounts = Mounts::on();
    assert_eq!(deliver(&world).await.kind(), "integrated");
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert_eq!(executions(&world), 0);
}

#[tokio::test]
async fn a_file_system_is_mounted_on_every_instance_of_a_group() {
    let world = World::with_restored_volume();
    world.state().mounts = Mounts::on();
    let restore = Restore::from(world.state().restore_jobs["job-1"].clone());
    let mut request = MountRequest::new(
        Operation::Mount,
        MountType::Efs,
        "fs-1",
        vec![InstanceId::new("i-1"), InstanceId::new("i-2")],
    );
    request.path = Some("/shared".to_owned());
    request.access_point = Some("fsap-1".to_owned());
    let clock = FakeClock::new();
    let follow_now = async || {
        follow(&world, &clock, &restore, &request, None, Duration::ZERO)
            .await
            .unwrap()
    };
    world
        .state()
        .mounts
        .failures
        .insert("i-2".to_owned(), ("refused", "tool-missing", 9));
    let MountProgress::Refused(refusal) = follow_now().await else {
        panic!("it is refused on one instance");
    };
    let text = refusal.to_string();
    assert!(text.contains("`i-2`") && !text.contains("`i-1`"), "{text}");
    world.state().mounts.failures.clear();
    let MountProgress::Done(answers) = follow_now().await else {
        panic!("it is mounted on both");
    };
    assert_eq!(answers.len(), 2);
    assert_eq!(executions(&world), 1);
    assert_eq!(clock.remaining(), Duration::from_secs(300));
}

#[tokio::test]
async fn the_restored_directory_is_found_before_the_mount() {
    let world = World::with_restored_volume();
    world.state().mounts = Mounts::on();
    let restore = Restore::from(world.state().restore_jobs["job-1"].clone());
    let request = MountRequest::new(
        Operation::FindRestoredDirectory,
        MountType::Efs,
        "fs-1",
        vec![InstanceId::new("i-1")],
    );
    let clock = FakeClock::new();
    let found = follow(&world, &clock, &restore, &request, None, Duration::ZERO).await;
    let MountProgress::Done(answers) = found.unwrap() else {
        panic!("it is found");
    };
    let directory = answers[0].directory.as_deref();
    assert_eq!(
        directory,
        Some("/aws-backup-restore_2026-11-23T03-10-00-000Z")
    );
}
