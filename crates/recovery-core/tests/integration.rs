//! The integration of a restored volume, walked through a world in memory: what is done, what is
//! left alone, and that every way there ends the same.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::time::Duration;

use proptest::prelude::*;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn, RestoreJobId, Scope, VolumeId};
use recovery_core::aws::backup::{PlannedAs, Restore, RestoreJob};
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::{Attachment, DeviceName, Instance};
use recovery_core::error::Error;
use recovery_core::fakes::{AttachTrouble, DRILL_ROLE, Failure, FakeClock, StoredItem, World};
use recovery_core::integrate::run::{Ownership, integrate};
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use recovery_core::ports::Clock;

const ATTACH: &str = "ec2:AttachVolume";

/// Changes a world for a test.
type Arrange = fn(&World);

fn ownership() -> Ownership {
    Ownership {
        scope: Scope {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        },
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// The job of the world's volume `vol-1`, as its event tells it.
fn job(world: &World) -> RestoreJob {
    world.state().restore_jobs["job-1"].clone()
}

/// One delivery of the event.
async fn deliver(world: &World) -> Result<Outcome, Error> {
    deliver_job(world, job(world)).await
}

async fn deliver_job(world: &World, job: RestoreJob) -> Result<Outcome, Error> {
    integrate(world, &FakeClock::new(), &ownership(), job).await
}

fn items(world: &World) -> Vec<StoredItem> {
    world.state().items.clone()
}

/// The only OpsItem that is not a duplicate resolved in favour of another.
#[track_caller]
fn the_item(world: &World) -> StoredItem {
    let mut items = items(world);
    items.retain(|item| !item.description.contains("resolved in its favour"));
    assert_eq!(items.len(), 1, "{items:#?}");
    items.remove(0)
}

fn told(world: &World) -> Vec<String> {
    let state = world.state();
    let subject = |sent: &recovery_core::notification::Notification| sent.subject.clone();
    state.notifications.iter().map(subject).collect()
}

fn count(world: &World, operation: &str) -> usize {
    let calls = world.calls();
    calls
        .iter()
        .filter(|call| call.starts_with(operation))
        .count()
}

fn with_volume(world: &World, change: impl FnOnce(&mut recovery_core::aws::ec2::Volume)) {
    change(
        world
            .state()
            .volumes
            .get_mut(&VolumeId::new("vol-1"))
            .unwrap(),
    );
}

fn with_instance(world: &World, change: impl FnOnce(&mut Instance)) {
    change(
        world
            .state()
            .instances
            .get_mut(&InstanceId::new("i-1"))
            .unwrap(),
    );
}

fn with_target(world: &World, change: impl FnOnce(&mut StackResource)) {
    let key = ("shop".to_owned(), "Server".to_owned());
    change(world.state().stack_resources.get_mut(&key).unwrap());
}

fn tag(world: &World, key: &str, value: &str) {
    for tags in world.state().tags.values_mut() {
        tags.insert(key.to_owned(), value.to_owned());
    }
}

fn untag(world: &World, key: &str) {
    for tags in world.state().tags.values_mut() {
        tags.remove(key);
    }
}

#[track_caller]
fn outcome(result: &Result<Outcome, Error>) -> (&'static str, Option<&'static str>) {
    match result {
        Ok(outcome) => (outcome.kind(), outcome.reason()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_volume_comes_back_and_its_item_says_so() {
    let world = World::with_restored_volume();
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    for (name, id) in [
        ("restoreJobId", "job-1"),
        ("volumeId", "vol-1"),
        ("instanceId", "i-1"),
        ("device", "/dev/sdf"),
        ("opsItemId", "oi-1"),
    ] {
        assert_eq!(outcome.id(name), Some(id), "{name}");
    }
    let item = the_item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert_eq!(item.severity, Severity::Low);
    assert_eq!(item.title, "Restored volume vol-1 attached to i-1");
    assert_eq!(item.item.data["recovery:integration"], "attached");
    assert_eq!(item.item.data["recovery:seconds-to-attach"], "42");
    assert!(
        item.description
            .contains("42 s after the restore completed")
    );
    assert!(told(&world).is_empty());
    assert_eq!(
        world.calls(),
        [
            "ec2:DescribeTags arn:aws:ec2:us-west-2::snapshot/snap-1",
            "ec2:DescribeVolumes vol-1",
            "cloudformation:DescribeStackResource shop/Server",
            "ec2:DescribeInstances shop/Server",
            "ec2:AttachVolume vol-1 i-1 /dev/sdf",
            "ssm:CreateOpsItem restore-job/job-1",
            "ssm:UpdateOpsItem oi-1",
            "ssm:DescribeOpsItems restore-job/job-1",
        ]
    );
}

#[tokio::test]
async fn the_same_event_again_changes_nothing() {
    let world = World::with_restored_volume();
    deliver(&world).await.unwrap();
    let before = the_item(&world);
    let again = deliver(&world).await.unwrap();
    assert_eq!(again.kind(), "already-integrated");
    assert_eq!(again.id("opsItemId"), Some("oi-1"));
    assert_eq!(world.attachments_made(), 1);
    assert_eq!(count(&world, ATTACH), 1);
    assert_eq!(the_item(&world).description, before.description);
}

/// The calls of each scenario, in order: a number that grows is seen here. Of those in one bracket, none
/// waits for another.
#[tokio::test]
async fn no_call_is_made_that_the_end_does_not_need() {
    let deliver_to = async |world: &World, job: RestoreJob| {
        world.state().calls.clear();
        deliver_job(world, job).await.unwrap();
        let calls = world.calls();
        let short = |call: &String| call.split(' ').next().unwrap().to_owned();
        calls.iter().map(short).collect::<Vec<_>>()
    };
    // [tags, volume] → [stack, instance] → [attach, item] → [item]
    let world = World::with_restored_volume();
    track_first(&world).await;
    let calls = deliver_to(&world, job(&world)).await;
    assert_eq!(calls.len(), 7, "{calls:?}");
    assert_eq!(
        calls[4..],
        ["ec2:AttachVolume", "ssm:CreateOpsItem", "ssm:UpdateOpsItem"]
    );
    // Nothing was tracked before: one more look at the items.
    let world = World::with_restored_volume();
    let calls = deliver_to(&world, job(&world)).await;
    assert_eq!(calls.len(), 8, "{calls:?}");
    // [tags, volume] → [item]
    let calls = deliver_to(&world, job(&world)).await;
    assert_eq!(calls.len(), 3, "{calls:?}");
    // A job of which only the id is known: [job] before the others.
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let calls = deliver_to(&world, known).await;
    assert_eq!(calls.len(), 4, "{calls:?}");
    // A group: its instances are asked for when CloudFormation has named it.
    let world = World::with_restored_volume();
    with_target(&world, |target| {
        target.resource_type = "AWS::AutoScaling::AutoScalingGroup".into();
        target.physical_id = Some("group".into());
    });
    let ids = vec![InstanceId::new("i-1")];
    world.state().groups.insert("group".into(), ids);
    track_first(&world).await;
    let calls = deliver_to(&world, job(&world)).await;
    // [tags, volume] → [stack, instance] → [group, its instances] → [attach, item] → [item]
    assert_eq!(calls.len(), 9, "{calls:?}");
    // Not ours by its tags: [tags, volume]. By the event alone: none.
    let world = World::with_restored_volume();
    world.state().tags.clear();
    assert_eq!(deliver_to(&world, job(&world)).await.len(), 2);
    let mut test = job(&world);
    test.restore_test = true;
    assert_eq!(deliver_to(&world, test).await.len(), 0);
}

/// opsitem-creator has tracked the restore already.
async fn track_first(world: &World) {
    use recovery_core::track::run::restore_item;
    recovery_core::ops_item::run::find_or_create(world, &restore_item(&job(world), false))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_attachment_that_takes_a_while_is_waited_for() {
    let world = World::with_restored_volume();
    world.state().looks_until_attached = 3;
    let clock = FakeClock::new();
    let outcome = integrate(&world, &clock, &ownership(), job(&world))
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert!(clock.remaining() > Duration::from_secs(290));
    assert_eq!(count(&world, ATTACH), 1);
}

/// Of an accepted attachment, only the volume is asked for, as long as it shows it.
#[tokio::test]
async fn a_check_of_an_accepted_attachment_is_one_call() {
    let world = World::with_restored_volume();
    world.state().looks_until_attached = 2;
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    let calls = world.calls();
    let accepted = calls.iter().position(|call| call.starts_with(ATTACH));
    let after = &calls[accepted.unwrap()..];
    let made = |call: &str| after.iter().filter(|made| made.starts_with(call)).count();
    assert_eq!(made("ec2:DescribeVolumes"), 3, "{after:?}");
    assert_eq!(made("ec2:DescribeInstances"), 0, "{after:?}");
    // An instance that goes away meanwhile is noticed all the same.
    let world = World::with_restored_volume();
    world.state().looks_until_attached = 1;
    world.state().looks_until_shown = 2;
    deliver(&world).await.unwrap();
    let calls = world.calls();
    let accepted = calls.iter().position(|call| call.starts_with(ATTACH));
    let after = &calls[accepted.unwrap()..];
    let made = |call: &str| after.iter().filter(|made| made.starts_with(call)).count();
    assert_eq!(made("ec2:DescribeInstances"), 2, "{after:?}");
}

/// What was attached, taken off by a person and attached again under another name, died before it was
/// written down.
#[tokio::test]
async fn an_attachment_under_another_name_than_the_item_says_is_written_down() {
    let world = World::with_restored_volume();
    deliver(&world).await.unwrap();
    {
        let mut state = world.state();
        let volume = state.volumes.get_mut(&VolumeId::new("vol-1")).unwrap();
        volume.attachments[0].device = "/dev/sdp".to_owned();
    }
    deliver(&world).await.unwrap();
    assert_eq!(the_item(&world).item.data["recovery:device"], "/dev/sdp");
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_looking() {
    let world = World::with_restored_volume();
    world.fail(ATTACH, Failure::AnswerLost);
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "already-integrated");
    assert_eq!(count(&world, ATTACH), 1);
    assert_eq!(
        the_item(&world).item.data["recovery:integration"],
        "attached"
    );
}

/// A restore of a whole Region meets EC2's limit on AttachVolume: 5 a second.
#[tokio::test]
async fn throttled_calls_are_waited_out() {
    let world = World::with_restored_volume();
    for _ in 0..10 {
        world.fail(ATTACH, Failure::Throttled);
    }
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(count(&world, ATTACH), 11);
    assert_eq!(world.attachments_made(), 1);
    // So are the looks between two attempts.
    let world = World::with_restored_volume();
    world.fail(ATTACH, Failure::Throttled);
    for call in ["ec2:DescribeVolumes", "ec2:DescribeInstances"] {
        world.pass(call);
        for _ in 0..3 {
            world.fail(call, Failure::Throttled);
        }
    }
    assert_eq!(deliver(&world).await.unwrap().kind(), "integrated");
    assert_eq!(world.attachments_made(), 1);
}

/// A thousand restores at once use up what EC2 grants for looking, too.
#[tokio::test]
async fn looks_that_are_not_granted_are_waited_out() {
    for call in [
        "ec2:DescribeTags",
        "ec2:DescribeVolumes",
        "cloudformation:DescribeStackResource",
    ] {
        let world = World::with_restored_volume();
        for _ in 0..6 {
            world.fail(call, Failure::Throttled);
        }
        let outcome = deliver(&world).await.unwrap();
        assert_eq!(outcome.kind(), "integrated", "{call}");
        assert_eq!(world.attachments_made(), 1);
        let world = World::with_restored_volume();
        for _ in 0..1000 {
            world.fail(call, Failure::Throttled);
        }
        let clock = FakeClock::new();
        let error = integrate(&world, &clock, &ownership(), job(&world))
            .await
            .unwrap_err();
        assert_eq!(error.fault().code(), Some("RequestLimitExceeded"));
        let left = clock.remaining();
        assert!((45..70).contains(&left.as_secs()), "{left:?}");
        assert!(count(&world, call) < 50, "{}", count(&world, call));
    }
}

#[tokio::test]
async fn throttling_that_does_not_end_is_left_to_the_next_run() {
    let world = World::with_restored_volume();
    for _ in 0..1000 {
        world.fail(ATTACH, Failure::Throttled);
    }
    let error = deliver(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_eq!(error.fault().code(), Some("RequestLimitExceeded"));
    let asked = count(&world, ATTACH);
    assert!((20..100).contains(&asked), "{asked}");
    assert_eq!(the_item(&world).item.status, Status::Open);
}

/// EC2's answers disagree for moments: whatever shows first, the volume is asked for once and
/// nobody is told that its name is taken, by itself.
#[tokio::test]
async fn an_attachment_that_does_not_show_yet_is_waited_for() {
    for tags in [&[][..], &[("recovery:device", "/dev/sdf")][..]] {
        for lost in [false, true] {
            let world = World::with_restored_volume();
            world.add_restored_volume("1", tags);
            world.state().looks_until_attached = 1;
            world.state().looks_until_shown = 3;
            if lost {
                world.fail(ATTACH, Failure::AnswerLost);
            }
            let outcome = deliver(&world).await.unwrap();
            assert_eq!(outcome.id("device"), Some("/dev/sdf"));
            assert_eq!(count(&world, ATTACH), 1);
            assert_eq!(the_item(&world).item.status, Status::Resolved);
            assert!(world.state().notifications.is_empty());
        }
    }
}

/// What fails for good is an error, and no later run would write it down either.
#[tokio::test]
async fn a_denied_attachment_is_not_tried_again_and_leaves_an_open_item() {
    let world = World::with_restored_volume();
    for delivery in 1..3 {
        world.fail(ATTACH, Failure::Denied);
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_eq!(error.fault().code(), Some("UnauthorizedOperation"));
        assert_eq!(count(&world, ATTACH), delivery);
        let item = the_item(&world);
        assert_eq!(item.item.status, Status::Open);
        assert_eq!(item.severity, Severity::High);
        for part in [ATTACH, "UnauthorizedOperation", "**What to do.**"] {
            assert!(item.description.contains(part), "{}", item.description);
        }
        assert_eq!(told(&world), ["Restored volume still not attached"]);
    }
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(the_item(&world).item.status, Status::Resolved);
}

/// Where the item cannot be written either, the next run has to.
#[tokio::test]
async fn what_fails_for_good_and_cannot_be_written_down_yet_comes_again() {
    let world = World::with_restored_volume();
    world.fail(ATTACH, Failure::Denied);
    for _ in 0..20 {
        world.fail("ssm:UpdateOpsItem", Failure::Throttled);
    }
    let error = deliver(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_eq!(error.fault().operation(), "ssm:UpdateOpsItem");
    assert_eq!(told(&world), ["Restored volume still not attached"]);
}

/// AWS Backup restored it, and it is not there, or not there any more.
#[tokio::test]
async fn a_volume_that_does_not_exist_is_refused_with_its_remedy() {
    let world = World::with_restored_volume();
    world.state().volumes.clear();
    let clock = FakeClock::new();
    let result = integrate(&world, &clock, &ownership(), job(&world)).await;
    assert_eq!(outcome(&result), ("refused", Some("volume-gone")));
    // EC2 is given the time to show it.
    assert!(clock.remaining() < Duration::from_secs(70));
    let item = the_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert!(item.description.contains("vol-1"), "{}", item.description);
    assert!(item.description.contains("key"), "{}", item.description);
}

#[tokio::test]
async fn what_stays_attaching_or_detaching_says_what_to_look_at() {
    for (state, parts) in [
        (
            "attaching",
            ["guest of i-1 has the name /dev/sdk", "--force"],
        ),
        ("busy", ["unmount /dev/sdk on i-1", "stop i-1"]),
        ("detaching", ["unmount /dev/sdk on i-1", "stop i-1"]),
    ] {
        let world = World::with_restored_volume();
        world.state().looks_until_attached = 1000;
        with_volume(&world, |volume| {
            volume.state = "in-use".into();
            volume.attachments = vec![Attachment {
                instance: InstanceId::new("i-1"),
                device: "/dev/sdk".into(),
                state: state.into(),
                since: None,
            }];
        });
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable");
        for part in parts {
            assert!(error.to_string().contains(part), "{state}: {error}");
        }
    }
}

/// EC2 attaches no volume while it is being modified, which takes minutes.
#[tokio::test]
async fn a_modification_of_the_volume_is_waited_for() {
    let world = World::with_restored_volume();
    world.state().attach_trouble = Some((AttachTrouble::Modifying, 10));
    let clock = FakeClock::new();
    let outcome = integrate(&world, &clock, &ownership(), job(&world)).await;
    assert_eq!(outcome.unwrap().kind(), "integrated");
    assert_eq!(count(&world, ATTACH), 11);
    assert!(clock.remaining() < Duration::from_secs(260));
    let world = World::with_restored_volume();
    world.state().attach_trouble = Some((AttachTrouble::Modifying, 1000));
    let error = deliver(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_eq!(error.fault().operation(), ATTACH);
    assert!(count(&world, ATTACH) < 60, "{}", count(&world, ATTACH));
}

#[tokio::test]
async fn a_device_name_that_ec2_refuses_does_not_prevent_the_attachment() {
    let world = World::with_restored_volume();
    tag(&world, "recovery:device", "/dev/xvddz");
    world.state().attach_trouble = Some((AttachTrouble::Device("/dev/xvddz"), 1));
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("device"), Some("/dev/sdf"));
    for _ in 0..2 {
        let item = the_item(&world);
        assert_eq!(item.item.status, Status::Open);
        assert!(
            item.description
                .contains("the tag recovery:device of the recovery point is `/dev/xvddz`"),
            "{}",
            item.description
        );
        deliver(&world).await.unwrap();
    }
    // A run that died before it wrote that down comes to the same.
    let world = World::with_restored_volume();
    tag(&world, "recovery:device", "/dev/xvddz");
    world.state().attach_trouble = Some((AttachTrouble::Device("/dev/xvddz"), 1));
    // The name is noted; what is written after the attachment is not.
    world.pass("ssm:UpdateOpsItem");
    world.fail("ssm:UpdateOpsItem", Failure::Denied);
    deliver(&world).await.unwrap_err();
    assert_eq!(world.attachments_made(), 1);
    deliver(&world).await.unwrap();
    let item = the_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert!(
        item.description.contains("`/dev/xvddz`"),
        "{}",
        item.description
    );
    // One that nobody asked for is passed over.
    let world = World::with_restored_volume();
    world.state().attach_trouble = Some((AttachTrouble::Device("/dev/sdf"), 1));
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.id("device"), Some("/dev/sdg"));
    assert_eq!(the_item(&world).item.status, Status::Resolved);
}

const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Each is an open item whose remedy names the key or the instance.
#[tokio::test]
async fn what_ec2_has_against_an_attachment_is_refused_with_its_remedy() {
    for (trouble, reason, remedy) in [
        (AttachTrouble::Key, "key-unusable", KEY),
        (AttachTrouble::ProductCode, "product-code", "stop i-1"),
        (AttachTrouble::Unsupported, "unsupported", "i-1"),
        (AttachTrouble::Vanishes, "volume-gone", "vol-1"),
    ] {
        let world = World::with_restored_volume();
        with_volume(&world, |volume| volume.key = Some(KEY.into()));
        world.state().attach_trouble = Some((trouble, 1));
        let result = deliver(&world).await;
        assert_eq!(outcome(&result), ("refused", Some(reason)));
        assert_eq!(count(&world, ATTACH), 1, "{reason}");
        let item = the_item(&world);
        assert_eq!(item.item.status, Status::Open, "{reason}");
        let (_, what_to_do) = item.description.split_once("**What to do.**").unwrap();
        assert!(what_to_do.contains(remedy), "{}", item.description);
        assert_eq!(told(&world).len(), 1, "{reason}");
    }
}

/// EC2 accepted it, and nothing comes of it: so a key that is disabled shows.
#[tokio::test]
async fn an_attachment_that_is_dropped_is_refused_with_its_remedy() {
    for key in [Some(KEY), None] {
        let world = World::with_restored_volume();
        with_volume(&world, |volume| volume.key = key.map(str::to_owned));
        world.state().drops_attachments = true;
        let clock = FakeClock::new();
        let result = integrate(&world, &clock, &ownership(), job(&world)).await;
        assert_eq!(outcome(&result), ("refused", Some("attachment-dropped")));
        assert_eq!(count(&world, ATTACH), 1);
        // EC2's answers may lag behind for a while, but a run of the reconciler must come to this.
        let waited = Duration::from_secs(300) - clock.remaining();
        assert!((20..30).contains(&waited.as_secs()), "{waited:?}");
        let item = the_item(&world);
        assert_eq!(item.item.status, Status::Open);
        let names = key.unwrap_or("i-1");
        assert!(item.description.contains(names), "{}", item.description);
    }
}

/// The target is an Auto Scaling group of these instances, each with its lifecycle state.
fn with_group(world: &World, desired: usize, members: &[(&str, &str)]) {
    with_target(world, |target| {
        target.resource_type = "AWS::AutoScaling::AutoScalingGroup".into();
        target.physical_id = Some("group".into());
    });
    let mut state = world.state();
    let first = state.instances[&InstanceId::new("i-1")].clone();
    let ids = members.iter().map(|(id, _)| InstanceId::new(*id)).collect();
    state.groups.insert("group".into(), ids);
    state.capacities.insert("group".into(), desired);
    for (id, lifecycle) in members {
        let id = InstanceId::new(*id);
        state.lifecycles.insert(id.clone(), (*lifecycle).to_owned());
        let running = Instance {
            id: id.clone(),
            devices: Vec::new(),
            ..first.clone()
        };
        state.instances.entry(id).or_insert(running);
    }
}

/// EC2 shows all of them as running.
#[tokio::test]
async fn members_of_a_group_that_are_leaving_or_in_a_warm_pool_do_not_count() {
    for other in [
        "Terminating",
        "Terminating:Wait",
        "Warmed:Running",
        "Warmed:Pending:Wait",
        "Standby",
        "Detaching",
    ] {
        let world = World::with_restored_volume();
        with_group(&world, 1, &[("i-2", other), ("i-1", "InService")]);
        let outcome = deliver(&world).await.unwrap();
        assert_eq!(outcome.id("instanceId"), Some("i-1"), "{other}");
    }
}

/// It launches the new one before it terminates the old one.
#[tokio::test]
async fn an_instance_refresh_is_waited_for() {
    let world = World::with_restored_volume();
    let refresh = |old, new| with_group(&world, 1, &[("i-1", old), ("i-2", new)]);
    for (old, new) in [("InService", "Pending"), ("InService", "InService")] {
        refresh(old, new);
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable");
        assert!(
            error.to_string().contains("desired capacity of 1"),
            "{error}"
        );
        assert!(items(&world).is_empty());
    }
    refresh("Terminating:Wait", "InService");
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.id("instanceId"), Some("i-2"));
}

/// A volume that the old one still has comes to the new one when the old one is gone.
#[tokio::test]
async fn a_member_that_is_being_terminated_is_waited_for_while_it_has_the_volume() {
    let world = World::with_restored_volume();
    with_group(&world, 1, &[("i-1", "InService")]);
    assert_eq!(deliver(&world).await.unwrap().kind(), "integrated");
    world.state().items.clear();
    with_group(
        &world,
        1,
        &[("i-1", "Terminating:Wait"), ("i-2", "InService")],
    );
    let error = deliver(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert!(error.to_string().contains("terminate i-1"), "{error}");
    with_instance(&world, |instance| instance.devices.clear());
    with_volume(&world, |volume| {
        volume.state = "available".into();
        volume.attachments.clear();
    });
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.id("instanceId"), Some("i-2"));
}

/// EC2 knows of it before the group does.
#[tokio::test]
async fn a_member_in_service_that_has_ended_is_replaced() {
    for state in ["shutting-down", "terminated"] {
        let world = World::with_restored_volume();
        with_group(&world, 1, &[("i-1", "InService")]);
        with_instance(&world, |instance| instance.state = state.into());
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable");
        assert!(
            error.to_string().contains(&format!("i-1 is {state}")),
            "{error}"
        );
    }
}

const BACKUPS_FORM: &str = "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7";

/// The event names the recovery point in AWS Backup's form only, and the tags are EC2's.
#[tokio::test]
async fn tags_that_the_events_form_does_not_lead_to_are_looked_for_under_the_jobs() {
    let world = World::with_restored_volume();
    let event = RestoreJob {
        recovery_point: RecoveryPointArn::parse(BACKUPS_FORM).ok(),
        ..job(&world)
    };
    let outcome = deliver_job(&world, event.clone()).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(count(&world, "backup:DescribeRestoreJob"), 1);
    // The job's form decides: there are no tags.
    let world = World::with_restored_volume();
    world.state().tags.clear();
    let outcome = deliver_job(&world, event.clone()).await.unwrap();
    assert_eq!(outcome.reason(), Some("untagged"));
    // The job knows no other form.
    let world = World::with_restored_volume();
    let known = event.clone();
    world.state().restore_jobs.insert("job-1".into(), known);
    let error = deliver_job(&world, event.clone()).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert_eq!(error.fault().code(), Some("ResourceNotFoundException"));
    // Whether it is ours is not known.
    assert!(items(&world).is_empty());
    // The job cannot be asked for the moment.
    let world = World::with_restored_volume();
    world.fail("backup:DescribeRestoreJob", Failure::AnswerLost);
    let clock = FakeClock::with_budget(Duration::ZERO);
    let error = integrate(&world, &clock, &ownership(), event)
        .await
        .unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
}

#[tokio::test]
async fn waiting_ends_before_the_functions_time_does() {
    let arrange: [(&str, Arrange); 4] = [
        ("creating", |world| {
            with_volume(world, |volume| volume.state = "creating".into())
        }),
        ("pending", |world| {
            with_instance(world, |instance| instance.state = "pending".into())
        }),
        ("stopping", |world| {
            with_instance(world, |instance| instance.state = "stopping".into())
        }),
        ("attached", |world| {
            world.state().looks_until_attached = 1000
        }),
    ];
    for (waits_for, arrange) in arrange {
        for budget in [0, 44, 45, 60, 300, 900] {
            let world = World::with_restored_volume();
            arrange(&world);
            let clock = FakeClock::with_budget(Duration::from_secs(budget));
            let error = integrate(&world, &clock, &ownership(), job(&world))
                .await
                .unwrap_err();
            assert_eq!(error.error_type(), "Retryable");
            assert!(error.to_string().contains(waits_for), "{error}");
            let reserve = Duration::from_secs(budget.min(45));
            assert!(clock.remaining() >= reserve, "{:?}", clock.remaining());
            // Pauses grow: no thousands of looks in a long life.
            assert!(count(&world, "ec2:DescribeVolumes") < 200);
            assert!(count(&world, ATTACH) <= 1);
        }
    }
}

#[tokio::test]
async fn names_that_are_taken_unseen_are_passed_over() {
    // More of them than attempts at a call that fails.
    for hidden in 0..11_u8 {
        let world = World::with_restored_volume();
        world.state().hidden_devices = (0..hidden)
            .map(|n| format!("/dev/sd{}", char::from(b'f' + n)))
            .collect();
        let outcome = deliver(&world).await.unwrap();
        let device = format!("/dev/sd{}", char::from(b'f' + hidden));
        assert_eq!(outcome.id("device"), Some(&*device));
    }
    let world = World::with_restored_volume();
    world.state().hidden_devices = ('f'..='p').map(|c| format!("/dev/sd{c}")).collect();
    let result = deliver(&world).await;
    assert_eq!(outcome(&result), ("refused", Some("no-free-device")));
    // The owner's choice is not changed.
    let world = World::with_restored_volume();
    tag(&world, "recovery:device", "/dev/sdz");
    world.state().hidden_devices = ["/dev/sdz".to_owned()].into();
    let result = deliver(&world).await;
    assert_eq!(outcome(&result), ("refused", Some("device-taken")));
    assert_eq!(world.attachments_made(), 0);
}

/// Worlds in which a rule forbids to go on, and the rule.
fn refusing() -> Vec<(&'static str, World)> {
    let arrange: Vec<(&'static str, Arrange)> = vec![
        ("tag-missing", |world| untag(world, "recovery:logical-id")),
        ("tag-missing", |world| untag(world, "recovery:stack")),
        ("tag-invalid", |world| {
            tag(world, "recovery:stack", "no stack!")
        }),
        ("tag-invalid", |world| {
            tag(world, "recovery:logical-id", "no id!")
        }),
        ("target-type", |world| {
            with_target(world, |target| {
                target.resource_type = "AWS::EC2::Volume".into()
            })
        }),
        ("target-failed", |world| {
            with_target(world, |target| target.status = "CREATE_FAILED".into())
        }),
        ("target-failed", |world| {
            with_target(world, |target| target.status = "DELETE_IN_PROGRESS".into())
        }),
        ("zone-mismatch", |world| {
            with_volume(world, |volume| volume.zone = "us-west-2b".into())
        }),
        ("volume-unusable", |world| {
            with_volume(world, |volume| volume.state = "error".into())
        }),
        ("instance-gone", |world| {
            with_instance(world, |instance| instance.state = "terminated".into())
        }),
        ("attached-elsewhere", |world| {
            with_volume(world, |volume| {
                volume.state = "in-use".into();
                volume.attachments = vec![Attachment {
                    instance: InstanceId::new("i-2"),
                    device: "/dev/sdf".into(),
                    state: "attached".into(),
                    since: None,
                }];
            })
        }),
        ("device-taken", |world| {
            tag(world, "recovery:device", "/dev/xvdf");
            with_instance(world, |instance| {
                instance.devices = vec![("/dev/sdf".into(), VolumeId::new("vol-9"))]
            })
        }),
        ("root-volume", |world| {
            tag(world, "recovery:device", "/dev/xvda")
        }),
        ("stack-volume", |world| {
            tag(world, "aws:cloudformation:stack-name", "shop");
            tag(world, "aws:cloudformation:logical-id", "Data");
            let key = ("shop".to_owned(), "Data".to_owned());
            let empty = StackResource {
                resource_type: "AWS::EC2::Volume".to_owned(),
                physical_id: Some("vol-9".to_owned()),
                status: "CREATE_COMPLETE".to_owned(),
            };
            world.state().stack_resources.insert(key, empty);
        }),
        ("stack-volume", |world| {
            tag(world, "recovery:device", "/dev/xvdf");
            with_instance(world, |instance| {
                instance.devices = vec![("/dev/sdf".into(), VolumeId::new("vol-9"))]
            });
            let mut state = world.state();
            let mut empty = state.volumes[&VolumeId::new("vol-1")].clone();
            empty.id = VolumeId::new("vol-9");
            empty.owner = Some("shop/Data".to_owned());
            state.volumes.insert(empty.id.clone(), empty);
        }),
        ("several-instances", |world| {
            with_target(world, |target| {
                target.resource_type = "AWS::AutoScaling::AutoScalingGroup".into();
                target.physical_id = Some("group".into());
            });
            let mut state = world.state();
            let one = state.instances[&InstanceId::new("i-1")].clone();
            let two = Instance {
                id: InstanceId::new("i-2"),
                ..one
            };
            state.instances.insert(two.id.clone(), two);
            state.groups.insert(
                "group".into(),
                vec![InstanceId::new("i-1"), InstanceId::new("i-2")],
            );
        }),
    ];
    arrange
        .into_iter()
        .map(|(reason, arrange)| {
            let world = World::with_restored_volume();
            arrange(&world);
            (reason, world)
        })
        .collect()
}

#[tokio::test]
async fn what_a_stack_has_created_in_the_way_is_named_with_the_way_out() {
    for (reason, world) in refusing() {
        if reason == "stack-volume" {
            deliver(&world).await.unwrap();
            let item = the_item(&world);
            for part in ["Data", "conditional", "docs/workload.md"] {
                assert!(item.description.contains(part), "{}", item.description);
            }
        }
    }
    // Where the stack has no such volume in this Region, or the volume is attached already, nothing is
    // in the way.
    let world = World::with_restored_volume();
    tag(&world, "aws:cloudformation:stack-name", "shop");
    tag(&world, "aws:cloudformation:logical-id", "Data");
    assert_eq!(outcome(&deliver(&world).await), ("integrated", None));
    let key = ("shop".to_owned(), "Data".to_owned());
    {
        let mut state = world.state();
        let mut made = state.stack_resources[&("shop".to_owned(), "Server".to_owned())].clone();
        made.resource_type = "AWS::EC2::Volume".to_owned();
        state.stack_resources.insert(key, made);
    }
    assert_eq!(
        outcome(&deliver(&world).await),
        ("already-integrated", None)
    );
}

/// `job-1` restored a recovery point without tags; an older one, `snap-0`, has them.
fn untagged() -> World {
    let world = World::with_restored_volume();
    let mut state = world.state();
    let tags = state.tags.remove("arn:aws:ec2:us-west-2::snapshot/snap-1");
    let older = "arn:aws:ec2:us-west-2::snapshot/snap-0".to_owned();
    state.tags.insert(older, tags.unwrap());
    drop(state);
    world
}

/// What the state machine asks for: the job, with the item of its plan.
fn planned(world: &World, reserved: &[&str]) -> Restore {
    Restore {
        planned: PlannedAs {
            tags_from: RecoveryPointArn::parse("arn:aws:ec2:us-west-2::snapshot/snap-0").ok(),
            reserved: reserved
                .iter()
                .filter_map(|name| DeviceName::parse(name))
                .collect(),
        },
        ..Restore::from(job(world))
    }
}

#[tokio::test]
async fn a_volume_whose_recovery_point_has_no_tags_comes_back_by_those_its_plan_names() {
    let world = untagged();
    // Its event has no plan.
    assert_eq!(
        outcome(&deliver(&world).await),
        ("ignored", Some("untagged"))
    );
    for kind in ["integrated", "already-integrated"] {
        let asked = planned(&world, &[]);
        let result = integrate(&world, &FakeClock::new(), &ownership(), asked).await;
        assert_eq!(outcome(&result), (kind, None));
        let item = the_item(&world).item;
        assert_eq!(item.status, Status::Resolved);
        assert_eq!(
            item.data["recovery:tags-from"],
            "arn:aws:ec2:us-west-2::snapshot/snap-0"
        );
    }
    assert_eq!(world.attachments_made(), 1);
}

#[tokio::test]
async fn a_name_that_another_volume_of_the_plan_claims_is_left_free() {
    let world = World::with_restored_volume();
    let asked = planned(&world, &["/dev/sdf", "/dev/xvdg"]);
    let integrated = integrate(&world, &FakeClock::new(), &ownership(), asked).await;
    assert_eq!(integrated.unwrap().id("device"), Some("/dev/sdh"));
    // What has a name of its own is not kept from it.
    let world = World::with_restored_volume();
    tag(&world, "recovery:device", "/dev/sdf");
    let asked = planned(&world, &["/dev/sdf"]);
    let integrated = integrate(&world, &FakeClock::new(), &ownership(), asked).await;
    assert_eq!(integrated.unwrap().id("device"), Some("/dev/sdf"));
}

#[tokio::test]
async fn a_refusal_is_written_down_and_told_once() {
    for (reason, world) in refusing() {
        for delivery in 0..3 {
            let result = deliver(&world).await;
            assert_eq!(outcome(&result), ("refused", Some(reason)));
            let item = the_item(&world);
            assert_eq!(item.item.status, Status::Open, "{reason}");
            assert_eq!(item.severity, Severity::High);
            assert_eq!(
                item.title,
                format!("Restored volume not attached: {reason}")
            );
            assert!(
                item.description.contains("**What to do.**"),
                "{}",
                item.description
            );
            assert_eq!(told(&world).len(), 1, "{reason}, delivery {delivery}");
        }
        assert_eq!(world.attachments_made(), 0);
        let sent = world.state().notifications[0].clone();
        assert!(sent.message.contains("What to do: "), "{}", sent.message);
        assert!(sent.message.contains("vol-1"), "{}", sent.message);
        assert_eq!(sent.attributes[1], ("reason", reason.to_owned()));
    }
}

/// The instructions are the end of the description: they must not be what is cut.
#[tokio::test]
async fn what_to_do_survives_the_limit_of_a_description() {
    for (reason, world) in refusing() {
        let mut job = job(&world);
        job.status_message = Some("The restore completed with a remark. ".repeat(30));
        job.source_resource = Arn::parse(&format!(
            "arn:aws:ec2:us-east-1:111122223333:volume/{}",
            "v".repeat(400)
        ))
        .ok();
        integrate(&world, &FakeClock::new(), &ownership(), job)
            .await
            .unwrap();
        let item = the_item(&world);
        assert!(
            item.description.len() <= 2048,
            "{reason}: {}",
            item.description.len()
        );
        assert!(
            item.description
                .ends_with("`{\"restoreJobId\": \"job-1\"}`."),
            "{}",
            item.description
        );
    }
}

#[tokio::test]
async fn another_refusal_is_news() {
    let world = World::with_restored_volume();
    with_volume(&world, |volume| volume.zone = "us-west-2b".into());
    deliver(&world).await.unwrap();
    with_volume(&world, |volume| volume.state = "error".into());
    let result = deliver(&world).await;
    assert_eq!(outcome(&result), ("refused", Some("volume-unusable")));
    assert_eq!(told(&world).len(), 2);
    assert_eq!(
        the_item(&world).title,
        "Restored volume not attached: volume-unusable"
    );
}

fn resolve(world: &World) {
    for stored in &mut world.state().items {
        stored.item.status = Status::Resolved;
    }
}

#[tokio::test]
async fn what_a_person_resolved_is_opened_again_only_by_news() {
    let world = World::with_restored_volume();
    with_volume(&world, |volume| volume.zone = "us-west-2b".into());
    deliver(&world).await.unwrap();
    resolve(&world);
    deliver(&world).await.unwrap();
    assert_eq!(the_item(&world).item.status, Status::Resolved);
    assert_eq!(told(&world).len(), 1);
    with_volume(&world, |volume| volume.state = "error".into());
    deliver(&world).await.unwrap();
    assert_eq!(the_item(&world).item.status, Status::Open);
    assert_eq!(told(&world).len(), 2);
}

#[tokio::test]
async fn a_refusal_that_was_lifted_ends_in_the_same_item() {
    for resolved_by_a_person in [false, true] {
        let world = World::with_restored_volume();
        with_volume(&world, |volume| volume.zone = "us-west-2b".into());
        deliver(&world).await.unwrap();
        if resolved_by_a_person {
            resolve(&world);
        }
        with_volume(&world, |volume| volume.zone = "us-west-2a".into());
        let outcome = deliver(&world).await.unwrap();
        assert_eq!(outcome.kind(), "integrated");
        let item = the_item(&world);
        assert_eq!(item.item.status, Status::Resolved);
        assert_eq!(item.item.data["recovery:integration"], "attached");
        assert_eq!(outcome.id("opsItemId"), Some(item.item.id.as_str()));
        assert!(
            items(&world)
                .iter()
                .all(|item| item.item.status == Status::Resolved)
        );
    }
}

/// After the volume was attached, the refusal from before is news again.
#[tokio::test]
async fn a_refusal_that_comes_back_is_told_again() {
    let world = World::with_restored_volume();
    let elsewhere = |world: &World| with_volume(world, |volume| volume.zone = "us-west-2b".into());
    elsewhere(&world);
    deliver(&world).await.unwrap();
    with_volume(&world, |volume| volume.zone = "us-west-2a".into());
    deliver(&world).await.unwrap();
    with_volume(&world, |volume| {
        volume.state = "available".into();
        volume.attachments.clear();
    });
    elsewhere(&world);
    // The message is lost with the process: the next delivery sends it.
    world.fail("sns:Publish", Failure::Throttled);
    deliver(&world).await.unwrap_err();
    deliver(&world).await.unwrap();
    assert_eq!(told(&world).len(), 2);
    assert_eq!(the_item(&world).item.status, Status::Open);
}

#[tokio::test]
async fn a_volume_to_be_mounted_leaves_its_item_open() {
    let world = World::with_restored_volume();
    tag(&world, "recovery:mount", "/srv/data");
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    for _ in 0..2 {
        let item = the_item(&world);
        assert_eq!(item.item.status, Status::Open);
        assert_eq!(item.severity, Severity::Medium);
        assert!(
            item.description.contains("Mount it at `/srv/data`"),
            "{}",
            item.description
        );
        // The serial number that Nitro instances show.
        assert!(item.description.contains("`vol1`"), "{}", item.description);
        deliver(&world).await.unwrap();
    }
    // A person mounted it and said so.
    resolve(&world);
    deliver(&world).await.unwrap();
    assert_eq!(the_item(&world).item.status, Status::Resolved);
}

/// The volume is attached; its item stays open and names the tag, its value, what is wrong with it and
/// what is left to do.
#[tokio::test]
async fn an_optional_tag_that_cannot_be_used_does_not_prevent_the_attachment() {
    for (key, value, left) in [
        ("recovery:mount", "D:", "Mount the volume by hand"),
        ("recovery:mount", "/srv/my data", "Mount the volume by hand"),
        ("recovery:mount", "/srv/../etc", "Mount the volume by hand"),
        (
            "recovery:device",
            "/dev/xvdzz",
            "attach it by hand under the right one",
        ),
    ] {
        let world = World::with_restored_volume();
        tag(&world, key, value);
        for kind in ["integrated", "already-integrated"] {
            let outcome = deliver(&world).await.unwrap();
            assert_eq!(outcome.kind(), kind, "{key}={value}");
            assert_eq!(outcome.id("device"), Some("/dev/sdf"));
            let item = the_item(&world);
            assert_eq!(item.item.status, Status::Open, "{key}={value}");
            assert_eq!(item.severity, Severity::Medium);
            for part in [
                "**What is left to do.**",
                &format!("the tag {key} of the recovery point is `{value}`, but must be"),
                left,
                "Correct the tag of the protected resource in the primary Region.",
            ] {
                assert!(item.description.contains(part), "{}", item.description);
            }
        }
        assert_eq!(told(&world), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_restore_test_is_left_alone_however_it_is_known() {
    let ways: [Arrange; 4] = [
        |world| {
            world
                .state()
                .restore_jobs
                .get_mut("job-1")
                .unwrap()
                .restore_test = true
        },
        |world| with_volume(world, |volume| volume.restore_test = true),
        // Also where its tags could not be followed.
        |world| {
            with_volume(world, |volume| volume.restore_test = true);
            untag(world, "recovery:stack");
        },
        |world| {
            with_volume(world, |volume| volume.restore_test = true);
            with_volume(world, |volume| volume.zone = "us-west-2b".into());
        },
    ];
    for arrange in ways {
        let world = World::with_restored_volume();
        arrange(&world);
        let result = deliver(&world).await;
        assert_eq!(outcome(&result), ("ignored", Some("restore-test")));
        assert_eq!(count(&world, ATTACH), 0);
        assert!(items(&world).is_empty());
        assert!(told(&world).is_empty());
    }
    // Known only to AWS Backup.
    let world = World::with_restored_volume();
    world
        .state()
        .restore_jobs
        .get_mut("job-1")
        .unwrap()
        .restore_test = true;
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let result = integrate(&world, &FakeClock::new(), &ownership(), known).await;
    assert_eq!(outcome(&result), ("ignored", Some("restore-test")));
}

#[tokio::test]
async fn every_partition_is_at_home() {
    for (partition, region) in [("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")] {
        let world = World::with_restored_volume();
        let point = format!("arn:{partition}:ec2:{region}::snapshot/snap-1");
        let tags = world.state().tags.values().next().unwrap().clone();
        world.state().tags.insert(point.clone(), tags);
        let job = RestoreJob {
            created_resource: Arn::parse(&format!(
                "arn:{partition}:ec2:{region}:111122223333:volume/vol-1"
            ))
            .ok(),
            recovery_point: RecoveryPointArn::parse(&point).ok(),
            ..job(&world)
        };
        let mut elsewhere = ownership();
        region.clone_into(&mut elsewhere.scope.region);
        let result = integrate(&world, &FakeClock::new(), &elsewhere, job).await;
        assert_eq!(outcome(&result), ("integrated", None));
    }
}

#[tokio::test]
async fn a_job_known_by_its_id_is_settled_by_backup() {
    let world = World::with_restored_volume();
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let outcome = integrate(&world, &FakeClock::new(), &ownership(), known)
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(world.calls()[0], "backup:DescribeRestoreJob job-1");
}

/// What is missing of an event is asked for; what AWS Backup then says decides.
#[tokio::test]
async fn a_sparse_event_is_settled_by_what_backup_says() {
    type Said = fn(&mut RestoreJob);
    type Expected = Result<(&'static str, Option<&'static str>), &'static str>;
    let table: [(Said, Expected); 8] = [
        (|_| {}, Ok(("integrated", None))),
        (
            |job| job.status = Some("FAILED".into()),
            Ok(("ignored", Some("status"))),
        ),
        (
            |job| job.status = Some("ABORTED".into()),
            Ok(("ignored", Some("status"))),
        ),
        // The event is newer than the answer: the job is looked at again.
        (|job| job.status = Some("RUNNING".into()), Err("Retryable")),
        (|job| job.status = Some("PENDING".into()), Err("Retryable")),
        (
            |job| job.resource_type = Some("RDS".into()),
            Ok(("ignored", Some("resource-type"))),
        ),
        (|job| job.created_resource = None, Err("Permanent")),
        (
            |job| {
                job.created_resource =
                    Arn::parse("arn:aws:ec2:us-west-2:111122223333:instance/i-1").ok()
            },
            Ok(("ignored", Some("resource-type"))),
        ),
    ];
    for (n, (arrange, expected)) in table.into_iter().enumerate() {
        let world = World::with_restored_volume();
        let sparse = RestoreJob {
            created_resource: None,
            ..job(&world)
        };
        arrange(world.state().restore_jobs.get_mut("job-1").unwrap());
        let result = integrate(&world, &FakeClock::new(), &ownership(), sparse).await;
        match expected {
            Ok(expected) => assert_eq!(outcome(&result), expected, "row {n}"),
            Err(kind) => assert_eq!(result.unwrap_err().error_type(), kind, "row {n}"),
        }
        assert_eq!(world.calls()[0], "backup:DescribeRestoreJob job-1");
        assert_eq!(world.attachments_made(), usize::from(n == 0), "row {n}");
    }
}

#[tokio::test]
async fn a_job_that_nobody_calls_completed_is_not_acted_upon() {
    let world = World::with_restored_volume();
    world.state().restore_jobs.get_mut("job-1").unwrap().status = None;
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let error = integrate(&world, &FakeClock::new(), &ownership(), known)
        .await
        .unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert!(error.to_string().contains("status"), "{error}");
    assert_eq!(world.attachments_made(), 0);
    // Running is no error: there will be an event.
    world.state().restore_jobs.get_mut("job-1").unwrap().status = Some("RUNNING".into());
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let result = integrate(&world, &FakeClock::new(), &ownership(), known).await;
    assert_eq!(outcome(&result), ("ignored", Some("status")));
}

#[tokio::test]
async fn a_target_that_is_not_there_yet_is_waited_for_by_the_next_delivery() {
    let arrange: [Arrange; 4] = [
        |world| world.state().stack_resources.clear(),
        |world| with_target(world, |target| target.physical_id = None),
        |world| world.state().instances.clear(),
        |world| {
            with_target(world, |target| {
                target.resource_type = "AWS::AutoScaling::AutoScalingGroup".into();
                target.physical_id = Some("group".into());
            })
        },
    ];
    for arrange in arrange {
        let world = World::with_restored_volume();
        arrange(&world);
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable", "{error}");
        assert!(items(&world).is_empty());
    }
}

#[tokio::test]
async fn a_group_with_one_instance_is_that_instance() {
    let world = World::with_restored_volume();
    with_target(&world, |target| {
        target.resource_type = "AWS::AutoScaling::AutoScalingGroup".into();
        target.physical_id = Some("group".into());
    });
    let ids = vec![InstanceId::new("i-1"), InstanceId::new("i-gone")];
    world.state().groups.insert("group".into(), ids);
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.id("instanceId"), Some("i-1"));
}

/// Someone has more instances than before when the event comes again.
#[tokio::test]
async fn of_several_instances_in_a_group_the_one_that_has_the_volume_is_meant() {
    let world = World::with_restored_volume();
    with_target(&world, |target| {
        target.resource_type = "AWS::AutoScaling::AutoScalingGroup".into();
        target.physical_id = Some("group".into());
    });
    {
        let mut state = world.state();
        let first = state.instances[&InstanceId::new("i-1")].clone();
        let second = InstanceId::new("i-2");
        state
            .groups
            .insert("group".into(), vec![second.clone(), first.id.clone()]);
        let pending = Instance {
            id: second.clone(),
            state: "shutting-down".into(),
            ..first
        };
        state.instances.insert(second, pending);
    }
    assert_eq!(deliver(&world).await.unwrap().kind(), "integrated");
    let second = InstanceId::new("i-2");
    world.state().instances.get_mut(&second).unwrap().state = "running".into();
    assert_eq!(deliver(&world).await.unwrap().kind(), "already-integrated");
    assert_eq!(told(&world), Vec::<String>::new());
    assert_eq!(
        the_item(&world).item.data["recovery:integration"],
        "attached"
    );
}

/// Another run has resolved the job's item, so that OpsCenter takes a second one, and does not list it yet.
#[tokio::test]
async fn a_second_item_that_is_not_listed_yet_does_not_stay_open() {
    let world = World::with_restored_volume();
    deliver(&world).await.unwrap();
    world
        .state()
        .unlisted
        .insert(recovery_core::aws::arn::OpsItemId::new("oi-2"));
    with_volume(&world, |volume| {
        volume.state = "available".into();
        volume.attachments.clear();
    });
    with_instance(&world, |instance| instance.devices.clear());
    deliver(&world).await.unwrap();
    assert_eq!(items(&world).len(), 2);
    for stored in items(&world) {
        assert_eq!(stored.item.status, Status::Resolved);
    }
}

#[tokio::test]
async fn elsewhere_nothing_is_touched() {
    for created in [
        "arn:aws:ec2:us-east-1:111122223333:volume/vol-1",
        "arn:aws:ec2:us-west-2:444455556666:volume/vol-1",
    ] {
        let world = World::with_restored_volume();
        let job = RestoreJob {
            created_resource: Arn::parse(created).ok(),
            ..job(&world)
        };
        let result = integrate(&world, &FakeClock::new(), &ownership(), job).await;
        assert_eq!(outcome(&result), ("refused", Some("not-here")));
        assert_eq!(count(&world, "ec2:"), 0);
    }
}

#[tokio::test]
async fn a_point_that_says_nothing_is_ignored() {
    let world = World::with_restored_volume();
    world.state().tags.clear();
    let result = deliver(&world).await;
    assert_eq!(outcome(&result), ("ignored", Some("untagged")));
    assert!(items(&world).is_empty());
    assert_eq!(count(&world, "cloudformation:"), 0);
}

const OPERATIONS: &[&str] = &[
    "ec2:DescribeTags",
    "backup:DescribeRestoreJob",
    "cloudformation:DescribeStackResource",
    "ec2:DescribeVolumes",
    "ec2:DescribeInstances",
    ATTACH,
    "ssm:DescribeOpsItems",
    "ssm:CreateOpsItem",
    "ssm:GetOpsItem",
    "ssm:UpdateOpsItem",
    "sns:Publish",
];

/// Failures of some call of some operation.
fn failures() -> impl Strategy<Value = Vec<(&'static str, usize, Failure)>> {
    let failure = prop_oneof![Just(Failure::Throttled), Just(Failure::AnswerLost)];
    prop::collection::vec(
        (prop::sample::select(OPERATIONS), 0..3_usize, failure),
        0..5,
    )
}

fn script(world: &World, failures: &[(&'static str, usize, Failure)]) {
    for (operation, passes, failure) in failures {
        for _ in 0..*passes {
            world.pass(operation);
        }
        world.fail(operation, *failure);
    }
}

/// Delivers until it succeeds, as Lambda, the reconciler and people do.
fn deliver_until_done(world: &World) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for _ in 0..10 {
        if let Ok(outcome) = runtime.block_on(deliver(world)) {
            return outcome;
        }
    }
    panic!("it never ends: {:#?}", world.calls());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The crash rule: wherever a call fails, or takes effect without an answer, the deliveries
    /// after it reach the same end.
    #[test]
    fn every_way_ends_with_one_attachment_and_one_item(failures in failures(), looks in 0..3_usize) {
        let world = World::with_restored_volume();
        world.state().looks_until_attached = looks;
        script(&world, &failures);
        let outcome = deliver_until_done(&world);
        prop_assert!(outcome.kind().ends_with("integrated"));
        deliver_until_done(&world);
        prop_assert_eq!(world.attachments_made(), 1);
        let item = the_item(&world);
        prop_assert_eq!(item.item.status, Status::Resolved);
        prop_assert_eq!(&item.item.data["recovery:integration"], "attached");
        prop_assert!(told(&world).is_empty());
    }

    #[test]
    fn every_way_to_a_refusal_ends_with_one_item_and_people_told(failures in failures(), which in 0..13_usize) {
        let (reason, world) = refusing().swap_remove(which);
        script(&world, &failures);
        let outcome = deliver_until_done(&world);
        prop_assert_eq!(outcome.reason(), Some(reason));
        let before = told(&world).len();
        deliver_until_done(&world);
        prop_assert!(before >= 1);
        let item = the_item(&world);
        prop_assert_eq!(item.item.status, Status::Open);
        prop_assert_eq!(&item.item.data["recovery:integration"], "refused");
        prop_assert_eq!(world.attachments_made(), 0);
    }
}

/// A tag is text of whoever can tag: none of it acts as Markdown in the OpsItem.
#[tokio::test]
async fn a_hostile_tag_stays_a_quotation() {
    let world = World::with_restored_volume();
    let hostile = "[approve here](https://example.com)";
    world.add_restored_volume("1", &[("recovery:mount", hostile)]);
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    let description = the_item(&world).description;
    assert!(
        description.contains(&format!("`{hostile}`")),
        "{description}"
    );
    assert_eq!(description.matches(hostile).count(), 1);
}

#[tokio::test]
async fn people_are_told_of_a_refusal_that_cannot_be_written_down() {
    for call in [
        "ssm:DescribeOpsItems",
        "ssm:CreateOpsItem",
        "ssm:UpdateOpsItem",
    ] {
        let world = World::with_restored_volume();
        with_volume(&world, |volume| volume.zone = "us-west-2b".to_owned());
        world.fail(call, Failure::Denied);
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent", "{call}");
        assert_eq!(world.state().notifications.len(), 1, "{call}");
        // And again when it can be: a repetition rather than a loss.
        assert_eq!(deliver(&world).await.unwrap().kind(), "refused");
        assert_eq!(world.state().notifications.len(), 2, "{call}");
        assert_eq!(deliver(&world).await.unwrap().kind(), "refused");
        assert_eq!(world.state().notifications.len(), 2, "{call}");
        assert_eq!(items(&world).len(), 1, "{call}");
    }
}

#[tokio::test]
async fn a_target_that_is_being_replaced_is_waited_for() {
    for status in [
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "ROLLBACK_IN_PROGRESS",
    ] {
        let world = World::with_restored_volume();
        for resource in world.state().stack_resources.values_mut() {
            resource.status = status.to_owned();
        }
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable");
        assert!(error.to_string().contains(status), "{error}");
        assert_eq!(count(&world, ATTACH), 0);
    }
}
