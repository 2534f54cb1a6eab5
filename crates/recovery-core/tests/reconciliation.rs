//! What no event told of, in a world in memory: every restore ends integrated or people know why not,
//! and what is done already costs nothing.

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
use recovery_core::integrate::run::{Ownership, integrate};
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;

const HORIZON: LookbackWindow = LookbackWindow {
    lookback: TimeDelta::hours(24),
    patience: TimeDelta::minutes(30),
    interval: Duration::from_mins(1),
};

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
    reconcile(world, &FakeClock::new(), &ownership(), HORIZON).await
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

/// Lets the restore job have ended this long ago.
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

fn forget_calls(world: &World) {
    world.state().calls.clear();
}

#[tokio::test]
async fn every_restore_that_no_event_told_of_is_integrated() {
    // More than one page, more than can go at the same time.
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
async fn what_is_integrated_costs_pages_and_nothing_more() {
    let world = restored(11);
    run(&world).await.unwrap();
    forget_calls(&world);
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
async fn a_recovery_point_without_tags_is_integrated_by_those_that_its_item_names() {
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
    // The state machine asked with the plan, when the stack was not there.
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
    assert_eq!(attached(&world), 1, "nobody says where the other belongs");
}

#[tokio::test]
async fn nothing_restored_costs_two_calls() {
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
async fn what_belongs_to_nobody_here_is_left_alone_without_calls_of_its_own() {
    let world = restored(5);
    {
        let mut state = world.state();
        // A restore test by its job, one by its volume, an untagged one, one that is gone, one of
        // someone else.
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
async fn what_was_restored_before_the_horizon_is_left_alone() {
    let world = restored(1);
    age(&world, "job-1", 24 * 60);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("restores"), Some(0));
    assert_eq!(attached(&world), 0);
}

#[tokio::test]
async fn an_attachment_that_was_not_written_down_is_written_down() {
    let world = restored(1);
    // opsitem-creator made the item, then the integrator attached and died.
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
async fn a_volume_that_people_use_already_is_theirs() {
    let world = restored(1);
    {
        let mut state = world.state();
        let volume = state.volumes.get_mut(&VolumeId::new("vol-1")).unwrap();
        volume.state = "in-use".to_owned();
        volume.attachments.push(Attachment {
            instance: InstanceId::new("i-other"),
            device: "/dev/sdf".to_owned(),
            state: "attached".to_owned(),
            since: None,
        });
    }
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("refused"), None);
    assert!(world.state().items.is_empty());
    assert!(world.state().notifications.is_empty());
}

#[tokio::test]
async fn one_that_fails_does_not_stop_the_others_and_is_told_once() {
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
                .contains("tried again every few minutes")
        );
    }
    // It fails again: nobody is told again.
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("failing"), Some(1));
    assert_eq!(world.state().notifications.len(), 1);
    // And then it succeeds.
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
async fn a_target_that_comes_late_is_waited_for_in_silence_and_raised_once() {
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
async fn what_a_person_has_resolved_is_not_opened_for_the_same_failure() {
    let world = restored(1);
    world.state().stack_resources.clear();
    age(&world, "job-1", 45);
    run(&world).await.unwrap();
    {
        let mut state = world.state();
        state.items[0].item.status = Status::Resolved;
        // Even where nothing shows that people were told.
        state.items[0].item.data.remove("recovery:notified");
    }
    run(&world).await.unwrap();
    assert_eq!(world.state().items.len(), 1);
    assert_eq!(world.state().items[0].item.status, Status::Resolved);
    assert_eq!(world.state().notifications.len(), 1);
}

#[tokio::test]
async fn a_failure_that_people_cannot_be_told_of_is_an_error_after_all_had_their_turn() {
    let world = restored(3);
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    world.fail("sns:Publish", Failure::Denied);
    let error = run(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert_eq!(error.fault().operation(), "sns:Publish");
    assert_eq!(attached(&world), 2);
    // People are told at the next run.
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    run(&world).await.unwrap();
    assert_eq!(world.state().notifications.len(), 1);
}

#[tokio::test]
async fn a_refusal_is_told_once_however_often_it_is_looked_at() {
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
async fn no_turn_begins_without_the_time_for_it() {
    let world = restored(5);
    let clock = FakeClock::with_budget(Duration::from_secs(74));
    let outcome = reconcile(&world, &clock, &ownership(), HORIZON)
        .await
        .unwrap();
    assert_eq!(outcome.count("left"), Some(5));
    assert_eq!(attached(&world), 0);
    // Those that wait give up their turn: the next run comes in minutes.
    for volume in world.state().volumes.values_mut() {
        volume.state = "creating".to_owned();
    }
    let clock = FakeClock::new();
    let outcome = reconcile(&world, &clock, &ownership(), HORIZON)
        .await
        .unwrap();
    assert_eq!(outcome.count("waiting"), Some(5));
    let taken = Duration::from_secs(300) - recovery_core::ports::Clock::remaining(&clock);
    // The clock of the fakes adds up what goes on at the same time.
    assert!(taken < Duration::from_secs(5 * 40), "{taken:?}");
}

#[tokio::test]
async fn what_a_run_has_not_begun_when_the_next_one_is_due_is_left_to_that_one() {
    let world = restored(20);
    for volume in world.state().volumes.values_mut() {
        volume.state = "creating".to_owned();
    }
    // Eight at a time wait half a minute each, which the clock of the fakes adds up.
    let clock = FakeClock::with_budget(Duration::from_secs(900));
    let outcome = reconcile(&world, &clock, &ownership(), HORIZON)
        .await
        .unwrap();
    let (waiting, left) = (outcome.count("waiting"), outcome.count("left"));
    assert!(waiting.is_some_and(|waiting| waiting < 20), "{outcome:?}");
    assert_eq!(waiting.unwrap() + left.unwrap(), 20, "{outcome:?}");
}

/// Lets AWS Backup still work on the restore.
fn under_way(world: &World, job: &str) {
    let mut state = world.state();
    let job = state.restore_jobs.get_mut(job).unwrap();
    job.status = Some("RUNNING".to_owned());
    job.completed = None;
    job.created_resource = None;
}

#[tokio::test]
async fn while_a_restore_is_under_way_the_restores_are_listed_until_the_next_run() {
    let world = restored(3);
    under_way(&world, "job-1");
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    let clock = FakeClock::new();
    let outcome = reconcile(&world, &clock, &ownership(), HORIZON)
        .await
        .unwrap();
    assert_eq!(count(&world, "backup:ListRestoreJobs first"), 4);
    let taken = Duration::from_secs(300) - recovery_core::ports::Clock::remaining(&clock);
    assert!(taken < HORIZON.interval, "{taken:?}");
    // Each was attended to once, also the one that failed.
    assert_eq!(outcome.count("restores"), Some(2));
    assert_eq!(outcome.count("integrated"), Some(1));
    assert_eq!(outcome.count("failing"), Some(1));
    // Not where no time would be left for what it finds.
    let world = restored(1);
    under_way(&world, "job-1");
    let clock = FakeClock::with_budget(Duration::from_secs(89));
    reconcile(&world, &clock, &ownership(), HORIZON)
        .await
        .unwrap();
    assert_eq!(count(&world, "backup:ListRestoreJobs first"), 1);
}

#[tokio::test]
async fn nobody_waits_for_the_restores_of_tests_and_drills() {
    let world = restored(2);
    under_way(&world, "job-1");
    under_way(&world, "job-2");
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
async fn the_oldest_has_its_turn_first_but_what_has_failed_before_comes_last() {
    let turns = |world: &World| -> Vec<String> {
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
    assert_eq!(turns(&world)[0], "vol-9");

    let world = restored(1);
    age(&world, "job-1", 5);
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("failing"), Some(1));
    for n in 2..=9 {
        world.add_restored_volume(&n.to_string(), &[]);
    }
    run(&world).await.unwrap();
    assert_eq!(turns(&world).len(), 9);
    assert_eq!(turns(&world)[8], "vol-1");
}

#[tokio::test]
async fn a_listing_that_fails_is_an_error() {
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

/// Takes the first volume off its instance.
fn take_off(world: &World) {
    let mut state = world.state();
    let volume = state.volumes.get_mut(&VolumeId::new("vol-1")).unwrap();
    volume.state = "available".to_owned();
    volume.attachments.clear();
    for instance in state.instances.values_mut() {
        instance.devices.clear();
    }
}

/// The stack has another instance instead of the first, in this state.
fn replace(world: &World, state: &str) {
    take_off(world);
    let mut all = world.state();
    let gone = all.instances.get_mut(&InstanceId::new("i-1")).unwrap();
    gone.state = "terminated".to_owned();
    let mut new = gone.clone();
    new.id = InstanceId::new("i-2");
    new.state = state.to_owned();
    all.instances.insert(new.id.clone(), new);
    for resource in all.stack_resources.values_mut() {
        resource.physical_id = Some("i-2".to_owned());
    }
}

fn said(world: &World, key: &str) -> String {
    world.state().items[0].item.data[key].clone()
}

#[tokio::test]
async fn the_item_follows_the_volume_to_the_instance_that_replaced_the_first() {
    let world = restored(1);
    run(&world).await.unwrap();
    assert_eq!(said(&world, "recovery:instance"), "i-1");
    replace(&world, "running");
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("integrated"), Some(1));
    assert_eq!(said(&world, "recovery:instance"), "i-2");
    let state = world.state();
    let [item] = state.items.as_slice() else {
        panic!("{:#?}", state.items);
    };
    assert!(item.title.ends_with("attached to i-2"), "{}", item.title);
    assert_eq!(item.item.status, Status::Resolved);
    assert!(state.notifications.is_empty());
}

#[tokio::test]
async fn a_volume_that_lost_its_instance_and_finds_no_other_is_told_of() {
    let world = restored(1);
    run(&world).await.unwrap();
    replace(&world, "pending");
    age(&world, "job-1", 45);
    for _ in 0..2 {
        let outcome = run(&world).await.unwrap();
        assert_eq!(outcome.count("failing"), Some(1));
        assert_eq!(said(&world, "recovery:integration"), "failing");
        assert_eq!(world.state().items[0].item.status, Status::Open);
        assert_eq!(world.state().notifications.len(), 1);
    }
}

#[tokio::test]
async fn what_someone_has_taken_off_again_stays_off() {
    let world = restored(1);
    run(&world).await.unwrap();
    take_off(&world);
    for _ in 0..2 {
        let outcome = run(&world).await.unwrap();
        assert_eq!(outcome.count("ignored"), Some(1));
    }
    assert_eq!(world.attachments_made(), 1);
    assert!(world.state().notifications.is_empty());
    assert_eq!(world.state().items[0].item.status, Status::Resolved);
    // Who asks for it gets it.
    let job = world.state().restore_jobs["job-1"].clone();
    integrate(&world, &FakeClock::new(), &ownership(), job)
        .await
        .unwrap();
    assert_eq!(world.attachments_made(), 2);
}

/// A person resolved the item, the cause went away, and the run died between attaching and writing.
#[tokio::test]
async fn an_attachment_to_a_resolved_item_is_written_down_by_the_next_run() {
    let world = restored(1);
    let target = std::mem::take(&mut world.state().stack_resources);
    age(&world, "job-1", 45);
    run(&world).await.unwrap();
    world.state().items[0].item.status = Status::Resolved;
    world.state().stack_resources = target;
    // It opens the item, attaches the volume, and cannot write that down, nor that it cannot.
    world.pass("ssm:UpdateOpsItem");
    world.fail("ssm:UpdateOpsItem", Failure::Denied);
    world.fail("ssm:UpdateOpsItem", Failure::Denied);
    run(&world).await.unwrap_err();
    assert_eq!(attached(&world), 1);
    let outcome = run(&world).await.unwrap();
    assert_eq!(outcome.count("alreadyIntegrated"), Some(1));
    assert_eq!(said(&world, "recovery:integration"), "attached");
    assert_eq!(world.state().items[0].item.status, Status::Resolved);
}

/// The refusal stands, but a look at it failed once, and that was written down.
#[tokio::test]
async fn a_refusal_that_a_failure_has_overwritten_is_written_again_and_not_told_again() {
    let world = restored(1);
    let volume = VolumeId::new("vol-1");
    world.state().volumes.get_mut(&volume).unwrap().zone = "us-west-2b".to_owned();
    run(&world).await.unwrap();
    assert_eq!(said(&world, "recovery:integration"), "refused");
    // People cannot be told of the failure: what they know is the refusal.
    world.fail("cloudformation:DescribeStackResource", Failure::Denied);
    world.fail("sns:Publish", Failure::Denied);
    run(&world).await.unwrap_err();
    assert_eq!(said(&world, "recovery:integration"), "failing");
    run(&world).await.unwrap();
    assert_eq!(said(&world, "recovery:integration"), "refused");
    assert_eq!(world.state().notifications.len(), 1);
}
