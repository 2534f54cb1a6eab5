//! The reconciler against the in-memory fakes: every restore is integrated or its failure is notified,
//! and restores that are already integrated need no further calls.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::time::Duration;

use chrono::TimeDelta;
use recovery_core::aws::arn::{InstanceId, RecoveryPointArn, Scope, VolumeId};
use recovery_core::aws::backup::{PlannedAs, Restore};
use recovery_core::aws::ec2::Attachment;
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, World};
use recovery_core::integrate::run_invoke::Integrators;
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::volume::run::integrate;
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;

const WINDOW: LookbackWindow = LookbackWindow {
    lookback: TimeDelta::hours(24),
    patience: TimeDelta::minutes(30),
    interval: Duration::from_mins(1),
};

fn integrators() -> Integrators {
    Integrators {
        database: "database-integrator".to_owned(),
        table: "table-integrator".to_owned(),
        file_system: "file-system-integrator".to_owned(),
    }
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

async fn run(world: &World) -> Result<Outcome, Error> {
    reconcile(
        world,
        &FakeClock::new(),
        &ownership(),
        &integrators(),
        WINDOW,
    )
    .await
}

/// Restore jobs on one page of the world's listing.
const JOBS_ON_A_PAGE: usize = 3;

/// A world with this many completed restores, none integrated, for one instance.
fn restored(count: usize) -> World {
    let world = World::with_restored_volume();
    world.state().jobs_on_a_page = Some(JOBS_ON_A_PAGE);
    for n in 2..=count {
        world.add_restored_volume(&n.to_string(), &[]);
    }
    world
}

/// Moves the completion of the restore job this far into the past.
fn age(world: &World, job: &str, minutes: i64) {
    let mut state = world.state();
    let job = state.restore_jobs.get_mut(job).unwrap();
    job.completed = job
        .completed
        .map(|completed| completed - TimeDelta::minutes(minutes));
}

fn attached(world: &World) -> usize {
    let state = world.state();
    state
        .volumes
        .values()
        .filter(|volume| !volume.attachments.is_empty())
        .count()
}

fn count(world: &World, call: &str) -> usize {
    let calls = world.calls();
    calls.iter().filter(|made| made.starts_with(call)).count()
}

fn clear_calls(world: &World) {
    world.state().calls.clear();
}

#[tokio::test]
async fn integrates_every_restore_whose_event_was_lost() {
    // More than one page, and more than the concurrency limit.
    let world = restored(11);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.kind(), "reconciled");
    assert_eq!(outcome.count("restores"), Some(11));
    assert_eq!(outcome.count("integrated"), Some(11));
    assert_eq!(attached(&world), 11);
    assert_eq!(world.attachments_made(), 11);
    let state = world.state();
    assert_eq!(state.items.len(), 11);
    for stored in &state.items {
        assert_eq!(stored.item.status, Status::Resolved);
    }
    assert!(state.notifications.is_empty());
}

#[tokio::test]
async fn makes_only_list_calls_for_integrated_restores() {
    let world = restored(11);
    run(&world).await.unwrap();
    clear_calls(&world);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("restores"), Some(11));
    assert_eq!(outcome.count("integrated"), None);
    let pages = 11_usize.div_ceil(JOBS_ON_A_PAGE);
    assert_eq!(count(&world, "backup:ListRestoreJobs"), pages);
    assert_eq!(count(&world, "ec2:DescribeVolumes"), pages);
    assert_eq!(count(&world, "ssm:DescribeOpsItems"), 1);
    assert_eq!(world.calls().len(), 2 * pages + 1);
}

#[tokio::test]
async fn integrates_an_untagged_restore_with_the_tags_that_its_ops_item_names() {
    let world = restored(2);
    let stack = ("shop".to_owned(), "Server".to_owned());
    let server = {
        let mut state = world.state();
        let tags = state.tags.remove("arn:aws:ec2:us-west-2::snapshot/snap-1");
        let older = "arn:aws:ec2:us-west-2::snapshot/snap-0".to_owned();
        state.tags.insert(older, tags.unwrap());
        state.tags.remove("arn:aws:ec2:us-west-2::snapshot/snap-2");
        state.stack_resources.remove(&stack).unwrap()
    };
    // The state machine requested it with the plan before the stack existed.
    let job = world.state().restore_jobs["job-1"].clone();
    let asked = Restore {
        planned: PlannedAs {
            tags_from: RecoveryPointArn::parse("arn:aws:ec2:us-west-2::snapshot/snap-0").ok(),
            ..PlannedAs::default()
        },
        ..Restore::from(job)
    };
    let error = integrate(&world, &FakeClock::new(), &ownership(), asked).await;
    assert_eq!(error.unwrap_err().error_type(), "Retryable");
    world.state().stack_resources.insert(stack, server);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("integrated"), Some(1));
    assert_eq!(attached(&world), 1, "the other one has no target");
}

#[tokio::test]
async fn makes_two_calls_without_restores() {
    let world = World::new();
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("restores"), Some(0));
    assert_eq!(
        world.calls(),
        [
            "backup:ListRestoreJobs first",
            "ssm:DescribeOpsItems open restores"
        ]
    );
}

#[tokio::test]
async fn skips_restores_outside_the_workload_without_further_calls() {
    let world = restored(5);
    {
        let mut state = world.state();
        // A restore test by its job, one by its volume, an untagged restore, a deleted volume, and a
        // volume of another account.
        state.restore_jobs.get_mut("job-1").unwrap().restore_test = true;
        let tested = VolumeId::new("vol-2");
        state.volumes.get_mut(&tested).unwrap().restore_test = true;
        let untagged = state
            .tags
            .keys()
            .find(|arn| arn.ends_with("snap-3"))
            .cloned();
        state.tags.remove(&untagged.unwrap());
        state.volumes.remove(&VolumeId::new("vol-4"));
        let elsewhere = "arn:aws:ec2:us-west-2:999999999999:volume/vol-5";
        state
            .restore_jobs
            .get_mut("job-5")
            .unwrap()
            .created_resource = recovery_core::aws::arn::Arn::parse(elsewhere).ok();
    }
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("restores"), Some(5));
    assert_eq!(attached(&world), 0);
    assert!(world.state().items.is_empty());
    assert_eq!(count(&world, "cloudformation"), 0);
    assert_eq!(count(&world, "tags "), 0);
}

#[tokio::test]
async fn skips_restores_before_the_lookback_window() {
    let world = restored(1);
    age(&world, "job-1", 24 * 60);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("restores"), Some(0));
    assert_eq!(attached(&world), 0);
}

#[tokio::test]
async fn records_an_attachment_that_was_not_recorded() {
    let world = restored(1);
    // The integrator attached the volume and stopped before it updated the OpsItem.
    let job = world.state().restore_jobs["job-1"].clone();
    world.fail("ssm:UpdateOpsItem", Failure::Denied);
    integrate(&world, &FakeClock::new(), &ownership(), job)
        .await
        .unwrap_err();
    assert_eq!(attached(&world), 1);
    assert_eq!(world.state().items[0].item.status, Status::Open);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("alreadyIntegrated"), Some(1));
    assert_eq!(world.state().items.len(), 1);
    assert_eq!(world.state().items[0].item.status, Status::Resolved);
    assert_eq!(world.attachments_made(), 1);
}

#[tokio::test]
async fn skips_volumes_that_a_user_attached_elsewhere() {
    let world = restored(1);
    {
        let mut state = world.state();
        let volume = state.volumes.get_mut(&VolumeId::new("vol-1")).unwrap();
        volume.state = "in-use".into();
        volume.attachments.push(Attachment {
            instance: InstanceId::new("i-other"),
            device: "/dev/sdf".to_owned(),
            state: "attached".into(),
            since: None,
        });
    }
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("refused"), None);
    assert!(world.state().items.is_empty());
    assert!(world.state().notifications.is_empty());
}

#[tokio::test]
async fn continues_after_a_failed_restore_and_notifies_once() {
    let world = restored(5);
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("integrated"), Some(4));
    assert_eq!(outcome.count("failing"), Some(1));
    {
        let state = world.state();
        let [told] = state.notifications.as_slice() else {
            panic!("{:#?}", state.notifications);
        };
        assert_eq!(told.subject, "Restored volume still not attached");
        assert!(told.message.contains("UnauthorizedOperation"));
        let open: Vec<_> = state
            .items
            .iter()
            .filter(|stored| stored.item.status == Status::Open)
            .collect();
        assert_eq!(open.len(), 1);
        assert!(open[0].description.contains("UnauthorizedOperation"));
        assert!(
            open[0]
                .description
                .contains("retried automatically at each run of restore-reconciler")
        );
    }
    // It fails again: no further notification.
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("failing"), Some(1));
    assert_eq!(world.state().notifications.len(), 1);
    // Then it succeeds.
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("integrated"), Some(1));
    assert_eq!(attached(&world), 5);
    assert!(
        world
            .state()
            .items
            .iter()
            .all(|stored| stored.item.status == Status::Resolved)
    );
}

#[tokio::test]
async fn notifies_once_when_a_target_is_missing_for_30_minutes() {
    let world = restored(2);
    let target = world.state().stack_resources.clone();
    world.state().stack_resources.clear();
    for _ in 0..3 {
        let outcome = run(&world).await.unwrap();
        assert_eq!(outcome.count("waiting"), Some(2));
    }
    assert!(world.state().items.is_empty());
    assert!(world.state().notifications.is_empty());
    for job in ["job-1", "job-2"] {
        age(&world, job, 30);
    }
    for _ in 0..3 {
        let outcome = run(&world).await.unwrap();
        assert_eq!(outcome.count("failing"), Some(2));
        assert_eq!(world.state().notifications.len(), 2);
        assert_eq!(world.state().items.len(), 2);
    }
    let message = world.state().notifications[0].message.clone();
    assert!(message.contains("does not exist yet"), "{message}");
    assert!(message.contains("Deploy the stack"), "{message}");
    world.state().stack_resources = target;
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("integrated"), Some(2));
    assert_eq!(world.state().items.len(), 2);
}

#[tokio::test]
async fn does_not_reopen_a_resolved_ops_item_for_the_same_failure() {
    let world = restored(1);
    world.state().stack_resources.clear();
    age(&world, "job-1", 45);
    run(&world).await.unwrap();
    {
        let mut state = world.state();
        state.items[0].item.status = Status::Resolved;
        // Even if no notification is recorded.
        state.items[0].item.data.remove("recovery:notified");
    }
    run(&world).await.unwrap();
    assert_eq!(world.state().items.len(), 1);
    assert_eq!(world.state().items[0].item.status, Status::Resolved);
    assert_eq!(world.state().notifications.len(), 1);
}

#[tokio::test]
async fn returns_an_error_after_all_restores_when_a_notification_fails() {
    let world = restored(3);
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    world.fail("sns:Publish", Failure::Denied);
    let error = run(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert_eq!(error.fault().operation(), "sns:Publish");
    assert_eq!(attached(&world), 2);
    // The next run notifies.
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    run(&world).await.unwrap();
    assert_eq!(world.state().notifications.len(), 1);
}

#[tokio::test]
async fn notifies_once_of_a_repeated_refusal() {
    let world = restored(1);
    world
        .state()
        .instances
        .get_mut(&InstanceId::new("i-1"))
        .unwrap()
        .zone = "us-west-2b".to_owned();
    for _ in 0..3 {
        let outcome = run(&world).await.unwrap();
        assert_eq!(outcome.count("refused"), Some(1));
    }
    assert_eq!(world.state().notifications.len(), 1);
    assert_eq!(world.state().items.len(), 1);
}

#[tokio::test]
async fn starts_no_integration_without_enough_time() {
    let world = restored(5);
    let clock = FakeClock::with_budget(Duration::from_secs(74));
    let outcome = reconcile(&world, &clock, &ownership(), &integrators(), WINDOW)
        .await
        .unwrap();
    assert_eq!(outcome.count("left"), Some(5));
    assert_eq!(attached(&world), 0);
    // Restores that wait are left to the next run.
    for volume in world.state().volumes.values_mut() {
        volume.state = "creating".into();
    }
    let clock = FakeClock::new();
    let outcome = reconcile(&world, &clock, &ownership(), &integrators(), WINDOW)
        .await
        .unwrap();
    assert_eq!(outcome.count("waiting"), Some(5));
    let taken = Duration::from_secs(300) - recovery_core::ports::Clock::remaining(&clock);
    // The fake clock adds up concurrent waits.
    assert!(taken < Duration::from_secs(5 * 40), "{taken:?}");
}

#[tokio::test]
async fn leaves_remaining_restores_to_the_next_run() {
    let world = restored(20);
    for volume in world.state().volumes.values_mut() {
        volume.state = "creating".into();
    }
    // Eight at a time wait 30 s each. The fake clock adds them up.
    let clock = FakeClock::with_budget(Duration::from_secs(900));
    let outcome = reconcile(&world, &clock, &ownership(), &integrators(), WINDOW)
        .await
        .unwrap();
    let (waiting, left) = (outcome.count("waiting"), outcome.count("left"));
    assert!(waiting.is_some_and(|waiting| waiting < 20), "{outcome:?}");
    assert_eq!(waiting.unwrap() + left.unwrap(), 20, "{outcome:?}");
}

/// Sets the status of the restore job to RUNNING.
fn set_running(world: &World, job: &str) {
    let mut state = world.state();
    let job = state.restore_jobs.get_mut(job).unwrap();
    job.status = Some("RUNNING".to_owned());
    job.completed = None;
    job.created_resource = None;
}

#[tokio::test]
async fn lists_again_while_a_restore_is_running() {
    let world = restored(3);
    set_running(&world, "job-1");
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    let clock = FakeClock::new();
    let outcome = reconcile(&world, &clock, &ownership(), &integrators(), WINDOW)
        .await
        .unwrap();
    assert_eq!(count(&world, "backup:ListRestoreJobs first"), 4);
    let taken = Duration::from_secs(300) - recovery_core::ports::Clock::remaining(&clock);
    assert!(taken < WINDOW.interval, "{taken:?}");
    // Each was processed once, including the one that failed.
    assert_eq!(outcome.count("restores"), Some(2));
    assert_eq!(outcome.count("integrated"), Some(1));
    assert_eq!(outcome.count("failing"), Some(1));
    // No second list call if too little time is left to integrate.
    let world = restored(1);
    set_running(&world, "job-1");
    let clock = FakeClock::with_budget(Duration::from_secs(89));
    reconcile(&world, &clock, &ownership(), &integrators(), WINDOW)
        .await
        .unwrap();
    assert_eq!(count(&world, "backup:ListRestoreJobs first"), 1);
}

#[tokio::test]
async fn does_not_wait_for_restore_tests_and_drills() {
    let world = restored(2);
    set_running(&world, "job-1");
    set_running(&world, "job-2");
    {
        let mut state = world.state();
        state.restore_jobs.get_mut("job-1").unwrap().restore_test = true;
        state.restore_jobs.get_mut("job-2").unwrap().iam_role =
            recovery_core::aws::arn::Arn::parse(DRILL_ROLE).ok();
    }
    run(&world).await.unwrap();
    assert_eq!(count(&world, "backup:ListRestoreJobs"), 1);
}

#[tokio::test]
async fn integrates_the_oldest_first_and_failed_ones_last() {
    let attached_in_order = |world: &World| -> Vec<String> {
        let calls = world.calls();
        let attached = calls
            .iter()
            .filter_map(|call| call.strip_prefix("ec2:AttachVolume "));
        attached
            .map(|call| call.split(' ').next().unwrap().to_owned())
            .collect()
    };
    let world = restored(9);
    age(&world, "job-9", 5);
    run(&world).await.unwrap();
    assert_eq!(attached_in_order(&world)[0], "vol-9");

    let world = restored(1);
    age(&world, "job-1", 5);
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("failing"), Some(1));
    for n in 2..=9 {
        world.add_restored_volume(&n.to_string(), &[]);
    }
    run(&world).await.unwrap();
    assert_eq!(attached_in_order(&world).len(), 9);
    assert_eq!(attached_in_order(&world)[8], "vol-1");
}

#[tokio::test]
async fn returns_an_error_when_a_list_call_fails() {
    for call in [
        "backup:ListRestoreJobs",
        "ssm:DescribeOpsItems",
        "ec2:DescribeVolumes",
        "ec2:DescribeTags",
    ] {
        let world = restored(2);
        world.fail(call, Failure::Throttled);
        let error = run(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable", "{call}");
        assert_eq!(run(&world).await.unwrap().count("integrated"), Some(2));
    }
}

/// Detaches the first volume.
fn detach(world: &World) {
    let mut state = world.state();
    let volume = state.volumes.get_mut(&VolumeId::new("vol-1")).unwrap();
    volume.state = "available".into();
    volume.attachments.clear();
    for instance in state.instances.values_mut() {
        instance.devices.clear();
    }
}

/// Replaces the first instance of the stack by another one in this state.
fn replace(world: &World, state: &str) {
    detach(world);
    let mut all = world.state();
    let gone = all.instances.get_mut(&InstanceId::new("i-1")).unwrap();
    gone.state = "terminated".into();
    let mut new = gone.clone();
    new.id = InstanceId::new("i-2");
    new.state = state.into();
    all.instances.insert(new.id.clone(), new);
    for resource in all.stack_resources.values_mut() {
        resource.physical_id = Some("i-2".to_owned());
    }
}

fn recorded(world: &World, key: &str) -> String {
    world.state().items[0].item.data[key].clone()
}

#[tokio::test]
async fn attaches_to_the_replacement_instance_and_updates_the_ops_item() {
    let world = restored(1);
    run(&world).await.unwrap();
    assert_eq!(recorded(&world, "recovery:instance"), "i-1");
    replace(&world, "running");
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("integrated"), Some(1));
    assert_eq!(recorded(&world, "recovery:instance"), "i-2");
    let state = world.state();
    let [item] = state.items.as_slice() else {
        panic!("{:#?}", state.items);
    };
    assert!(item.title.ends_with("attached to i-2"), "{}", item.title);
    assert_eq!(item.item.status, Status::Resolved);
    assert!(state.notifications.is_empty());
}

#[tokio::test]
async fn notifies_when_the_replacement_instance_is_not_ready() {
    let world = restored(1);
    run(&world).await.unwrap();
    replace(&world, "pending");
    age(&world, "job-1", 45);
    for _ in 0..2 {
        let outcome = run(&world).await.unwrap();
        assert_eq!(outcome.count("failing"), Some(1));
        assert_eq!(recorded(&world, "recovery:integration"), "failing");
        assert_eq!(world.state().items[0].item.status, Status::Open);
        assert_eq!(world.state().notifications.len(), 1);
    }
}

#[tokio::test]
async fn does_not_reattach_a_volume_that_a_user_detached() {
    let world = restored(1);
    run(&world).await.unwrap();
    detach(&world);
    for _ in 0..2 {
        let outcome = run(&world).await.unwrap();
        assert_eq!(outcome.count("ignored"), Some(1));
    }
    assert_eq!(world.attachments_made(), 1);
    assert!(world.state().notifications.is_empty());
    assert_eq!(world.state().items[0].item.status, Status::Resolved);
    // A request for this restore attaches it.
    let job = world.state().restore_jobs["job-1"].clone();
    integrate(&world, &FakeClock::new(), &ownership(), job)
        .await
        .unwrap();
    assert_eq!(world.attachments_made(), 2);
}

/// A user resolved the OpsItem, the cause was fixed, and the run stopped between the attachment and its
/// record.
#[tokio::test]
async fn records_an_unrecorded_attachment_of_a_resolved_ops_item() {
    let world = restored(1);
    let target = std::mem::take(&mut world.state().stack_resources);
    age(&world, "job-1", 45);
    run(&world).await.unwrap();
    world.state().items[0].item.status = Status::Resolved;
    world.state().stack_resources = target;
    // It opens the OpsItem and attaches the volume. It can record neither the attachment nor the
    // failure.
    world.pass("ssm:UpdateOpsItem");
    world.fail("ssm:UpdateOpsItem", Failure::Denied);
    world.fail("ssm:UpdateOpsItem", Failure::Denied);
    run(&world).await.unwrap_err();
    assert_eq!(attached(&world), 1);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("alreadyIntegrated"), Some(1));
    assert_eq!(recorded(&world, "recovery:integration"), "attached");
    assert_eq!(world.state().items[0].item.status, Status::Resolved);
}

/// The refusal still applies, but one check failed and was recorded.
#[tokio::test]
async fn restores_an_overwritten_refusal_without_another_notification() {
    let world = restored(1);
    let volume = VolumeId::new("vol-1");
    world.state().volumes.get_mut(&volume).unwrap().zone = "us-west-2b".to_owned();
    run(&world).await.unwrap();
    assert_eq!(recorded(&world, "recovery:integration"), "refused");
    // The failure is not notified: operators know only of the refusal.
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    world.fail("sns:Publish", Failure::Denied);
    run(&world).await.unwrap_err();
    assert_eq!(recorded(&world, "recovery:integration"), "failing");
    run(&world).await.unwrap();
    assert_eq!(recorded(&world, "recovery:integration"), "refused");
    assert_eq!(world.state().notifications.len(), 1);
}

/// A completed restore of a table whose recovery point has these tags, and its function.
async fn integrate_table(world: &World) -> Outcome {
    use recovery_core::integrate::table::run::{TableConfig, integrate};
    let config = TableConfig {
        ownership: ownership(),
        publish_path: "/recovery/".to_owned(),
    };
    let job = world.state().restore_jobs["job-1"].clone();
    integrate(world, &FakeClock::new(), &config, job)
        .await
        .unwrap()
}

fn invocations(world: &World) -> Vec<(String, String)> {
    let state = world.state();
    let of = state.invocations.iter();
    of.map(|(function, payload)| {
        (
            function.clone(),
            payload["restoreJobId"].as_str().unwrap().to_owned(),
        )
    })
    .collect()
}

#[tokio::test]
async fn invokes_the_integrators_of_databases_and_tables_until_they_are_done() {
    let world = World::with_restored_table(&[("recovery:workload", "shop")]);
    let mut database = world.state().restore_jobs["job-1"].clone();
    database.id = recovery_core::aws::arn::RestoreJobId::new("job-2");
    database.resource_type = Some("Aurora".to_owned());
    world
        .state()
        .restore_jobs
        .insert("job-2".to_owned(), database);
    let expected = [
        ("table-integrator", "job-1"),
        ("database-integrator", "job-2"),
    ];
    let expected = expected.map(|(function, job)| (function.to_owned(), job.to_owned()));
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("invoked"), Some(2));
    assert_eq!(invocations(&world), expected);
    // The table is done, and its OpsItem is resolved.
    while integrate_table(&world).await.kind() == "pending" {}
    world.state().invocations.clear();
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("invoked"), Some(1));
    assert_eq!(invocations(&world), expected[1..]);
}

#[tokio::test]
async fn invokes_the_integrator_of_a_database_whose_settings_rds_accepts_after_a_backup() {
    for (deferred, invoked) in [("protected", 1), ("none", 0)] {
        let world = World::with_restored_table(&[("recovery:workload", "shop")]);
        // With its key and kind.
        while integrate_table(&world).await.kind() == "pending" {}
        {
            let mut state = world.state();
            state.restore_jobs.get_mut("job-1").unwrap().resource_type = Some("RDS".to_owned());
            let item = &mut state.items[0].item;
            item.status = Status::Open;
            for (key, value) in [
                ("integration", "integrated"),
                ("deferred-settings", deferred),
            ] {
                item.data
                    .insert(format!("recovery:{key}"), value.to_owned());
            }
        }
        run(&world).await.unwrap();
        assert_eq!(invocations(&world).len(), invoked, "{deferred}");
    }
}

/// The plan of a recovery took the tags from another recovery point, which only the OpsItem names.
#[tokio::test]
async fn invokes_an_integrator_with_the_recovery_point_that_has_the_tags() {
    let world = World::with_restored_table(&[]);
    assert_eq!(integrate_table(&world).await.reason(), Some("untagged"));
    let older = "arn:aws:backup:us-west-2:111122223333:recovery-point:0";
    let tags = [("recovery:workload".to_owned(), "shop".to_owned())];
    {
        let mut state = world.state();
        state.tags.insert(older.to_owned(), tags.into());
        let data = &mut state.items[0].item.data;
        data.insert("recovery:tags-from".to_owned(), older.to_owned());
    }
    run(&world).await.unwrap();
    let (_, payload) = world.state().invocations[0].clone();
    assert_eq!(
        payload,
        serde_json::json!({"restoreJobId": "job-1", "tagsFrom": older})
    );
    let asked = recovery_core::event::backup::restore_to_integrate(&payload);
    let planned = asked.unwrap().unwrap().planned;
    assert_eq!(planned.tags_from.unwrap().as_str(), older);
}

#[tokio::test]
async fn invokes_nothing_for_restores_without_tags_drills_and_old_restores() {
    let world = World::with_restored_table(&[]);
    assert_eq!(integrate_table(&world).await.reason(), Some("untagged"));
    run(&world).await.unwrap();
    assert_eq!(invocations(&world), []);
    let change = async |change: &dyn Fn(&mut recovery_core::aws::backup::RestoreJob)| {
        let world = World::with_restored_table(&[("recovery:workload", "shop")]);
        change(world.state().restore_jobs.get_mut("job-1").unwrap());
        run(&world).await.unwrap();
        assert_eq!(invocations(&world), []);
        let calls = world.calls();
        let listings = calls.iter().filter(|call| call.contains("resolved"));
        assert_eq!(listings.count(), 0, "{calls:?}");
    };
    change(&|job| job.iam_role = recovery_core::aws::arn::Arn::parse(DRILL_ROLE).ok()).await;
    change(&|job| job.restore_test = true).await;
    change(&|job| job.status = Some("RUNNING".to_owned())).await;
    change(&|job| job.completed = job.completed.map(|at| at - TimeDelta::hours(25))).await;
}

#[tokio::test]
async fn reports_a_failed_invocation_after_the_others() {
    let world = World::with_restored_table(&[("recovery:workload", "shop")]);
    let mut second = world.state().restore_jobs["job-1"].clone();
    second.id = recovery_core::aws::arn::RestoreJobId::new("job-2");
    world
        .state()
        .restore_jobs
        .insert("job-2".to_owned(), second);
    world.fail("lambda:InvokeFunction", Failure::Throttled);
    let error = run(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_eq!(invocations(&world).len(), 1);
}
