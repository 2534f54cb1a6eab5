//! Integration of a restored volume against the in-memory fakes: what is attached, refused and skipped,
//! and that every order of failures has the same result.

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
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::volume::run::integrate;
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

/// The restore job of the world's volume `vol-1`, as in its event.
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

/// The only OpsItem that is not a resolved duplicate.
#[track_caller]
fn only_item(world: &World) -> StoredItem {
    let mut items = items(world);
    items.retain(|item| !item.description.starts_with("Duplicate of "));
    assert_eq!(items.len(), 1, "{items:#?}");
    items.remove(0)
}

fn sent_subjects(world: &World) -> Vec<String> {
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
async fn attaches_the_volume_and_resolves_its_ops_item() {
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
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert_eq!(item.severity, Severity::Low);
    assert_eq!(item.title, "Restored volume vol-1 attached to i-1");
    assert_eq!(item.item.data["recovery:integration"], "attached");
    assert_eq!(item.item.data["recovery:seconds-to-attach"], "42");
    assert!(
        item.description
            .contains("42 s after the restore completed")
    );
    assert!(sent_subjects(&world).is_empty());
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
async fn duplicate_event_changes_nothing() {
    let world = World::with_restored_volume();
    deliver(&world).await.unwrap();
    let before = only_item(&world);
    let again = deliver(&world).await.unwrap();
    assert_eq!(again.kind(), "already-integrated");
    assert_eq!(again.id("opsItemId"), Some("oi-1"));
    assert_eq!(world.attachments_made(), 1);
    assert_eq!(count(&world, ATTACH), 1);
    assert_eq!(only_item(&world).description, before.description);
}

/// The calls of each scenario, in order. Calls in one pair of brackets run concurrently.
#[tokio::test]
async fn makes_no_unnecessary_calls() {
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
    // Not tracked before: one more search for OpsItems.
    let world = World::with_restored_volume();
    let calls = deliver_to(&world, job(&world)).await;
    assert_eq!(calls.len(), 8, "{calls:?}");
    // [tags, volume] → [item]
    let calls = deliver_to(&world, job(&world)).await;
    assert_eq!(calls.len(), 3, "{calls:?}");
    // Only the id of the job is known: [job] first.
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let calls = deliver_to(&world, known).await;
    assert_eq!(calls.len(), 4, "{calls:?}");
    // An Auto Scaling group: its instances are read after CloudFormation has named it.
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
    // Skipped by its tags: [tags, volume]. Skipped by the event alone: none.
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
async fn waits_for_an_attachment_in_progress() {
    let world = World::with_restored_volume();
    world.state().reads_until_attached = 3;
    let clock = FakeClock::new();
    let outcome = integrate(&world, &clock, &ownership(), job(&world))
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert!(clock.remaining() > Duration::from_secs(290));
    assert_eq!(count(&world, ATTACH), 1);
}

/// While EC2 shows an accepted attachment, only DescribeVolumes is called.
#[tokio::test]
async fn checks_an_accepted_attachment_with_one_call() {
    let world = World::with_restored_volume();
    world.state().reads_until_attached = 2;
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    let calls = world.calls();
    let accepted = calls.iter().position(|call| call.starts_with(ATTACH));
    let after = &calls[accepted.unwrap()..];
    let made = |call: &str| after.iter().filter(|made| made.starts_with(call)).count();
    assert_eq!(made("ec2:DescribeVolumes"), 3, "{after:?}");
    assert_eq!(made("ec2:DescribeInstances"), 0, "{after:?}");
    // When EC2 does not show it, the instance is read again.
    let world = World::with_restored_volume();
    world.state().reads_until_attached = 1;
    world.state().reads_until_shown = 2;
    deliver(&world).await.unwrap();
    let calls = world.calls();
    let accepted = calls.iter().position(|call| call.starts_with(ATTACH));
    let after = &calls[accepted.unwrap()..];
    let made = |call: &str| after.iter().filter(|made| made.starts_with(call)).count();
    assert_eq!(made("ec2:DescribeInstances"), 2, "{after:?}");
}

/// A user detached the volume and attached it again under another device name.
#[tokio::test]
async fn records_a_changed_device_name() {
    let world = World::with_restored_volume();
    deliver(&world).await.unwrap();
    {
        let mut state = world.state();
        let volume = state.volumes.get_mut(&VolumeId::new("vol-1")).unwrap();
        volume.attachments[0].device = "/dev/sdp".to_owned();
    }
    deliver(&world).await.unwrap();
    assert_eq!(only_item(&world).item.data["recovery:device"], "/dev/sdp");
}

#[tokio::test]
async fn detects_the_attachment_after_a_lost_response() {
    let world = World::with_restored_volume();
    world.fail(ATTACH, Failure::AnswerLost);
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "already-integrated");
    assert_eq!(count(&world, ATTACH), 1);
    assert_eq!(
        only_item(&world).item.data["recovery:integration"],
        "attached"
    );
}

/// Restores of a complete Region exceed EC2's request limit for AttachVolume: 5 per second.
#[tokio::test]
async fn retries_throttled_calls_around_an_attachment() {
    let world = World::with_restored_volume();
    for _ in 0..10 {
        world.fail(ATTACH, Failure::Throttled);
    }
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(count(&world, ATTACH), 11);
    assert_eq!(world.attachments_made(), 1);
    // The reads between two attempts are throttled, too.
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

/// A thousand concurrent restores exhaust EC2's request limit for reads, too.
#[tokio::test]
async fn retries_throttled_reads_until_45_s_remain() {
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
async fn returns_a_retryable_error_when_throttling_persists() {
    let world = World::with_restored_volume();
    for _ in 0..1000 {
        world.fail(ATTACH, Failure::Throttled);
    }
    let error = deliver(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_eq!(error.fault().code(), Some("RequestLimitExceeded"));
    let asked = count(&world, ATTACH);
    assert!((20..100).contains(&asked), "{asked}");
    assert_eq!(only_item(&world).item.status, Status::Open);
}

/// EC2 is eventually consistent. Whether the volume or the instance shows the attachment first:
/// AttachVolume is called once, and the volume's own device name is not reported as taken.
#[tokio::test]
async fn waits_until_ec2_shows_the_attachment() {
    for tags in [&[][..], &[("recovery:device", "/dev/sdf")][..]] {
        for lost in [false, true] {
            let world = World::with_restored_volume();
            world.add_restored_volume("1", tags);
            world.state().reads_until_attached = 1;
            world.state().reads_until_shown = 3;
            if lost {
                world.fail(ATTACH, Failure::AnswerLost);
            }
            let outcome = deliver(&world).await.unwrap();
            assert_eq!(outcome.id("device"), Some("/dev/sdf"));
            assert_eq!(count(&world, ATTACH), 1);
            assert_eq!(only_item(&world).item.status, Status::Resolved);
            assert!(world.state().notifications.is_empty());
        }
    }
}

/// A permanent failure is recorded at once, because no later run may record it.
#[tokio::test]
async fn does_not_retry_a_denied_attachment_and_opens_an_ops_item() {
    let world = World::with_restored_volume();
    for delivery in 1..3 {
        world.fail(ATTACH, Failure::Denied);
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_eq!(error.fault().code(), Some("UnauthorizedOperation"));
        assert_eq!(count(&world, ATTACH), delivery);
        let item = only_item(&world);
        assert_eq!(item.item.status, Status::Open);
        assert_eq!(item.severity, Severity::High);
        for part in [ATTACH, "UnauthorizedOperation", "**What to do.**"] {
            assert!(item.description.contains(part), "{}", item.description);
        }
        assert_eq!(
            sent_subjects(&world),
            ["Restored volume still not attached"]
        );
    }
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

/// If the OpsItem cannot be updated either, the next run does it.
#[tokio::test]
async fn retries_when_a_permanent_failure_cannot_be_recorded() {
    let world = World::with_restored_volume();
    world.fail(ATTACH, Failure::Denied);
    for _ in 0..20 {
        world.fail("ssm:UpdateOpsItem", Failure::Throttled);
    }
    let error = deliver(&world).await.unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_eq!(error.fault().operation(), "ssm:UpdateOpsItem");
    assert_eq!(
        sent_subjects(&world),
        ["Restored volume still not attached"]
    );
}

/// AWS Backup restored the volume, and EC2 does not show it.
#[tokio::test]
async fn refuses_a_missing_volume_with_a_remedy() {
    let world = World::with_restored_volume();
    world.state().volumes.clear();
    let clock = FakeClock::new();
    let result = integrate(&world, &clock, &ownership(), job(&world)).await;
    assert_eq!(outcome(&result), ("refused", Some("volume-gone")));
    // It waits for EC2 to show the volume.
    assert!(clock.remaining() < Duration::from_secs(70));
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert!(item.description.contains("vol-1"), "{}", item.description);
    assert!(item.description.contains("key"), "{}", item.description);
}

#[tokio::test]
async fn reports_the_remedy_for_a_stuck_attachment() {
    for (state, parts) in [
        (
            "attaching",
            ["something else uses the name /dev/sdk", "--force"],
        ),
        ("busy", ["unmount /dev/sdk on i-1", "stop i-1"]),
        ("detaching", ["unmount /dev/sdk on i-1", "stop i-1"]),
    ] {
        let world = World::with_restored_volume();
        world.state().reads_until_attached = 1000;
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

/// EC2 does not attach a volume while it is being modified, which takes minutes.
#[tokio::test]
async fn waits_for_a_volume_modification() {
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
async fn uses_another_device_name_when_ec2_rejects_one() {
    let world = World::with_restored_volume();
    tag(&world, "recovery:device", "/dev/xvddz");
    world.state().attach_trouble = Some((AttachTrouble::Device("/dev/xvddz"), 1));
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("device"), Some("/dev/sdf"));
    for _ in 0..2 {
        let item = only_item(&world);
        assert_eq!(item.item.status, Status::Open);
        assert!(
            item.description
                .contains("the tag recovery:device of the recovery point is `/dev/xvddz`"),
            "{}",
            item.description
        );
        deliver(&world).await.unwrap();
    }
    // The same when the run stops before it records that.
    let world = World::with_restored_volume();
    tag(&world, "recovery:device", "/dev/xvddz");
    world.state().attach_trouble = Some((AttachTrouble::Device("/dev/xvddz"), 1));
    // The device name is recorded; the update after the attachment fails.
    world.pass("ssm:UpdateOpsItem");
    world.fail("ssm:UpdateOpsItem", Failure::Denied);
    deliver(&world).await.unwrap_err();
    assert_eq!(world.attachments_made(), 1);
    deliver(&world).await.unwrap();
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert!(
        item.description.contains("`/dev/xvddz`"),
        "{}",
        item.description
    );
    // A device name that no tag asks for is skipped.
    let world = World::with_restored_volume();
    world.state().attach_trouble = Some((AttachTrouble::Device("/dev/sdf"), 1));
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.id("device"), Some("/dev/sdg"));
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Each is an open item whose remedy names the key or the instance.
#[tokio::test]
async fn refuses_attachments_that_ec2_rejects_with_a_remedy() {
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
        let item = only_item(&world);
        assert_eq!(item.item.status, Status::Open, "{reason}");
        let (_, what_to_do) = item.description.split_once("**What to do.**").unwrap();
        assert!(what_to_do.contains(remedy), "{}", item.description);
        assert_eq!(sent_subjects(&world).len(), 1, "{reason}");
    }
}

/// EC2 accepted the attachment and dropped it, as it does when the KMS key is disabled.
#[tokio::test]
async fn refuses_a_dropped_attachment_with_a_remedy() {
    for key in [Some(KEY), None] {
        let world = World::with_restored_volume();
        with_volume(&world, |volume| volume.key = key.map(str::to_owned));
        world.state().drops_attachments = true;
        let clock = FakeClock::new();
        let result = integrate(&world, &clock, &ownership(), job(&world)).await;
        assert_eq!(outcome(&result), ("refused", Some("attachment-dropped")));
        assert_eq!(count(&world, ATTACH), 1);
        // Longer than EC2's consistency delay, shorter than a run of the reconciler.
        let waited = Duration::from_secs(300) - clock.remaining();
        assert!((20..30).contains(&waited.as_secs()), "{waited:?}");
        let item = only_item(&world);
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
async fn ignores_group_members_that_are_not_in_service() {
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
async fn waits_for_an_instance_refresh() {
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

/// A volume that is attached to the old member is attached to the new member when the old one is gone.
#[tokio::test]
async fn waits_for_a_terminating_member_that_has_the_volume() {
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

/// EC2 reports the state before the group does.
#[tokio::test]
async fn waits_for_the_replacement_of_a_terminated_member() {
    for state in ["shutting-down", "terminated"] {
        let world = World::with_restored_volume();
        with_group(&world, 1, &[("i-1", "InService")]);
        with_instance(&world, |instance| instance.state = state.into());
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable");
        assert!(
            error
                .to_string()
                .contains(&format!("i-1, which is {state}")),
            "{error}"
        );
    }
}

const BACKUPS_FORM: &str = "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7";

/// The event has only AWS Backup's ARN of the recovery point, but the tags are on the EC2 snapshot.
#[tokio::test]
async fn reads_tags_by_the_recovery_point_arn_of_the_job() {
    let world = World::with_restored_volume();
    let event = RestoreJob {
        recovery_point: RecoveryPointArn::parse(BACKUPS_FORM).ok(),
        ..job(&world)
    };
    let outcome = deliver_job(&world, event.clone()).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(count(&world, "backup:DescribeRestoreJob"), 1);
    // The job has the snapshot's ARN, and the snapshot has no tags.
    let world = World::with_restored_volume();
    world.state().tags.clear();
    let outcome = deliver_job(&world, event.clone()).await.unwrap();
    assert_eq!(outcome.reason(), Some("untagged"));
    // The job has no other ARN.
    let world = World::with_restored_volume();
    let known = event.clone();
    world.state().restore_jobs.insert("job-1".into(), known);
    let error = deliver_job(&world, event.clone()).await.unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert_eq!(error.fault().code(), Some("ResourceNotFoundException"));
    // It is unknown whether the restore belongs to the workload.
    assert!(items(&world).is_empty());
    // The job cannot be read at the moment.
    let world = World::with_restored_volume();
    world.fail("backup:DescribeRestoreJob", Failure::AnswerLost);
    let clock = FakeClock::with_budget(Duration::ZERO);
    let error = integrate(&world, &clock, &ownership(), event)
        .await
        .unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
}

#[tokio::test]
async fn stops_waiting_before_the_function_times_out() {
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
            world.state().reads_until_attached = 1000
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
            // The backoff limits the number of reads.
            assert!(count(&world, "ec2:DescribeVolumes") < 200);
            assert!(count(&world, ATTACH) <= 1);
        }
    }
}

#[tokio::test]
async fn tries_the_next_device_name_when_one_is_taken() {
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
    // A device name from a tag is not replaced.
    let world = World::with_restored_volume();
    tag(&world, "recovery:device", "/dev/sdz");
    world.state().hidden_devices = ["/dev/sdz".to_owned()].into();
    let result = deliver(&world).await;
    assert_eq!(outcome(&result), ("refused", Some("device-taken")));
    assert_eq!(world.attachments_made(), 0);
}

/// Worlds in which a rule refuses the integration, and its reason code.
fn refused_worlds() -> Vec<(&'static str, World)> {
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
                status: "CREATE_COMPLETE".into(),
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
async fn refuses_to_compete_with_a_volume_of_the_stack() {
    for (reason, world) in refused_worlds() {
        if reason == "stack-volume" {
            deliver(&world).await.unwrap();
            let item = only_item(&world);
            for part in ["Data", "conditional", "docs/workload.md"] {
                assert!(item.description.contains(part), "{}", item.description);
            }
        }
    }
    // No refusal if the stack has no such volume in this Region, or if the volume is already attached.
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

/// The request of the state machine: the job, with the item of its plan.
fn planned(world: &World, reserved: &[&str]) -> Restore {
    Restore {
        planned: PlannedAs {
            tags_from: RecoveryPointArn::parse("arn:aws:ec2:us-west-2::snapshot/snap-0").ok(),
            reserved: reserved
                .iter()
                .filter_map(|name| DeviceName::parse(name))
                .collect(),
            ..PlannedAs::default()
        },
        ..Restore::from(job(world))
    }
}

#[tokio::test]
async fn attaches_an_untagged_volume_with_the_tags_that_its_plan_names() {
    let world = untagged();
    // The event has no plan.
    assert_eq!(
        outcome(&deliver(&world).await),
        ("ignored", Some("untagged"))
    );
    for kind in ["integrated", "already-integrated"] {
        let asked = planned(&world, &[]);
        let result = integrate(&world, &FakeClock::new(), &ownership(), asked).await;
        assert_eq!(outcome(&result), (kind, None));
        let item = only_item(&world).item;
        assert_eq!(item.status, Status::Resolved);
        assert_eq!(
            item.data["recovery:tags-from"],
            "arn:aws:ec2:us-west-2::snapshot/snap-0"
        );
    }
    assert_eq!(world.attachments_made(), 1);
}

#[tokio::test]
async fn keeps_device_names_free_for_other_volumes_of_the_plan() {
    let world = World::with_restored_volume();
    let asked = planned(&world, &["/dev/sdf", "/dev/xvdg"]);
    let integrated = integrate(&world, &FakeClock::new(), &ownership(), asked).await;
    assert_eq!(integrated.unwrap().id("device"), Some("/dev/sdh"));
    // A volume may use its own reserved name.
    let world = World::with_restored_volume();
    tag(&world, "recovery:device", "/dev/sdf");
    let asked = planned(&world, &["/dev/sdf"]);
    let integrated = integrate(&world, &FakeClock::new(), &ownership(), asked).await;
    assert_eq!(integrated.unwrap().id("device"), Some("/dev/sdf"));
}

#[tokio::test]
async fn records_a_refusal_and_notifies_once() {
    for (reason, world) in refused_worlds() {
        for delivery in 0..3 {
            let result = deliver(&world).await;
            assert_eq!(outcome(&result), ("refused", Some(reason)));
            let item = only_item(&world);
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
            assert_eq!(
                sent_subjects(&world).len(),
                1,
                "{reason}, delivery {delivery}"
            );
        }
        assert_eq!(world.attachments_made(), 0);
        let sent = world.state().notifications[0].clone();
        assert!(sent.message.contains("\nWhat to do\n"), "{}", sent.message);
        assert!(sent.message.contains("vol-1"), "{}", sent.message);
        assert_eq!(sent.attributes[1], ("reason", reason.to_owned()));
    }
}

/// The instructions are at the end of the description. The truncation must not remove them.
#[tokio::test]
async fn truncated_description_keeps_the_instructions() {
    for (reason, world) in refused_worlds() {
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
        let item = only_item(&world);
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
async fn notifies_again_for_a_different_refusal() {
    let world = World::with_restored_volume();
    with_volume(&world, |volume| volume.zone = "us-west-2b".into());
    deliver(&world).await.unwrap();
    with_volume(&world, |volume| volume.state = "error".into());
    let result = deliver(&world).await;
    assert_eq!(outcome(&result), ("refused", Some("volume-unusable")));
    assert_eq!(sent_subjects(&world).len(), 2);
    assert_eq!(
        only_item(&world).title,
        "Restored volume not attached: volume-unusable"
    );
}

fn resolve(world: &World) {
    for stored in &mut world.state().items {
        stored.item.status = Status::Resolved;
    }
}

#[tokio::test]
async fn reopens_a_resolved_ops_item_only_for_a_different_refusal() {
    let world = World::with_restored_volume();
    with_volume(&world, |volume| volume.zone = "us-west-2b".into());
    deliver(&world).await.unwrap();
    resolve(&world);
    deliver(&world).await.unwrap();
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert_eq!(sent_subjects(&world).len(), 1);
    with_volume(&world, |volume| volume.state = "error".into());
    deliver(&world).await.unwrap();
    assert_eq!(only_item(&world).item.status, Status::Open);
    assert_eq!(sent_subjects(&world).len(), 2);
}

#[tokio::test]
async fn resolves_the_same_ops_item_when_the_cause_is_fixed() {
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
        let item = only_item(&world);
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
async fn notifies_again_when_a_refusal_recurs_after_attachment() {
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
    assert_eq!(sent_subjects(&world).len(), 2);
    assert_eq!(only_item(&world).item.status, Status::Open);
}

#[tokio::test]
async fn keeps_the_ops_item_open_until_the_volume_is_mounted() {
    let world = World::with_restored_volume();
    tag(&world, "recovery:mount", "/srv/data");
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    for _ in 0..2 {
        let item = only_item(&world);
        assert_eq!(item.item.status, Status::Open);
        assert_eq!(item.severity, Severity::Medium);
        assert!(
            item.description.contains("Mount the volume at `/srv/data`"),
            "{}",
            item.description
        );
        // The serial number that Nitro instances show.
        assert!(item.description.contains("`vol1`"), "{}", item.description);
        deliver(&world).await.unwrap();
    }
    // A user mounted it and resolved the OpsItem.
    resolve(&world);
    deliver(&world).await.unwrap();
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

/// The volume is attached. Its OpsItem stays open and names the tag, its value, the problem and the
/// remaining steps.
#[tokio::test]
async fn attaches_despite_an_invalid_optional_tag() {
    for (key, value, left) in [
        ("recovery:mount", "d:", "Mount it yourself"),
        ("recovery:mount", "/srv/my data", "Mount it yourself"),
        ("recovery:mount", "/srv/../etc", "Mount it yourself"),
        (
            "recovery:device",
            "/dev/xvdzz",
            "attach it yourself with the right name",
        ),
    ] {
        let world = World::with_restored_volume();
        tag(&world, key, value);
        for kind in ["integrated", "already-integrated"] {
            let outcome = deliver(&world).await.unwrap();
            assert_eq!(outcome.kind(), kind, "{key}={value}");
            assert_eq!(outcome.id("device"), Some("/dev/sdf"));
            let item = only_item(&world);
            assert_eq!(item.item.status, Status::Open, "{key}={value}");
            assert_eq!(item.severity, Severity::Medium);
            for part in [
                "**What to do.**",
                &format!("the tag {key} of the recovery point is `{value}`, but must be"),
                left,
                "For later recoveries, correct the tag of the protected resource in the primary Region.",
            ] {
                assert!(item.description.contains(part), "{}", item.description);
            }
        }
        assert_eq!(sent_subjects(&world), Vec::<String>::new());
    }
}

#[tokio::test]
async fn skips_restore_tests_whatever_identifies_them() {
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
        // Also if a required tag is missing.
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
        assert!(sent_subjects(&world).is_empty());
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
async fn integrates_in_every_partition() {
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
async fn reads_a_job_known_by_id_from_aws_backup() {
    let world = World::with_restored_volume();
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let outcome = integrate(&world, &FakeClock::new(), &ownership(), known)
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(world.calls()[0], "backup:DescribeRestoreJob job-1");
}

/// A member that the event lacks is read from AWS Backup, whose answer decides.
#[tokio::test]
async fn completes_a_sparse_event_from_aws_backup() {
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
        // The event is newer than the answer: the job is read again.
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
async fn attaches_nothing_for_jobs_that_are_not_completed() {
    let world = World::with_restored_volume();
    world.state().restore_jobs.get_mut("job-1").unwrap().status = None;
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let error = integrate(&world, &FakeClock::new(), &ownership(), known)
        .await
        .unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert!(error.to_string().contains("status"), "{error}");
    assert_eq!(world.attachments_made(), 0);
    // RUNNING is not an error: an event will follow.
    world.state().restore_jobs.get_mut("job-1").unwrap().status = Some("RUNNING".into());
    let known = RestoreJob::known_by_id(RestoreJobId::new("job-1"));
    let result = integrate(&world, &FakeClock::new(), &ownership(), known).await;
    assert_eq!(outcome(&result), ("ignored", Some("status")));
}

#[tokio::test]
async fn returns_a_retryable_error_while_the_target_is_missing() {
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
async fn uses_the_only_running_instance_of_a_group() {
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

/// The group has scaled out when the event is delivered again.
#[tokio::test]
async fn uses_the_group_instance_that_has_the_volume() {
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
    assert_eq!(sent_subjects(&world), Vec::<String>::new());
    assert_eq!(
        only_item(&world).item.data["recovery:integration"],
        "attached"
    );
}

/// Another run has resolved the job's OpsItem. OpsCenter therefore accepts a second one and does not
/// list it yet.
#[tokio::test]
async fn resolves_a_duplicate_ops_item_that_is_not_listed_yet() {
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
async fn refuses_volumes_of_other_accounts_and_regions() {
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
async fn skips_untagged_recovery_points() {
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

fn inject_failures(world: &World, failures: &[(&'static str, usize, Failure)]) {
    for (operation, passes, failure) in failures {
        for _ in 0..*passes {
            world.pass(operation);
        }
        world.fail(operation, *failure);
    }
}

/// Delivers the event until it succeeds, as Lambda, the reconciler and operators do.
fn deliver_until_done(world: &World) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for _ in 0..10 {
        if let Ok(outcome) = runtime.block_on(deliver(world)) {
            return outcome;
        }
    }
    panic!("no delivery succeeds: {:#?}", world.calls());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The crash rule: whichever call fails, or takes effect without a response, later deliveries have
    /// the same result.
    #[test]
    fn ends_with_one_attachment_and_one_ops_item_despite_failures(failures in failures(), looks in 0..3_usize) {
        let world = World::with_restored_volume();
        world.state().reads_until_attached = looks;
        inject_failures(&world, &failures);
        let outcome = deliver_until_done(&world);
        prop_assert!(outcome.kind().ends_with("integrated"));
        deliver_until_done(&world);
        prop_assert_eq!(world.attachments_made(), 1);
        let item = only_item(&world);
        prop_assert_eq!(item.item.status, Status::Resolved);
        prop_assert_eq!(&item.item.data["recovery:integration"], "attached");
        prop_assert!(sent_subjects(&world).is_empty());
    }

    #[test]
    fn ends_with_one_ops_item_and_a_notification_of_a_refusal_despite_failures(failures in failures(), which in 0..13_usize) {
        let (reason, world) = refused_worlds().swap_remove(which);
        inject_failures(&world, &failures);
        let outcome = deliver_until_done(&world);
        prop_assert_eq!(outcome.reason(), Some(reason));
        let before = sent_subjects(&world).len();
        deliver_until_done(&world);
        prop_assert!(before >= 1);
        let item = only_item(&world);
        prop_assert_eq!(item.item.status, Status::Open);
        prop_assert_eq!(&item.item.data["recovery:integration"], "refused");
        prop_assert_eq!(world.attachments_made(), 0);
    }
}

/// A tag value is untrusted input. It must not act as Markdown in the OpsItem.
#[tokio::test]
async fn quotes_a_hostile_tag_in_the_description() {
    let world = World::with_restored_volume();
    let hostile = "[approve here](https://example.com)";
    world.add_restored_volume("1", &[("recovery:mount", hostile)]);
    let outcome = deliver(&world).await.unwrap();
    assert_eq!(outcome.kind(), "integrated");
    let description = only_item(&world).description;
    assert!(
        description.contains(&format!("`{hostile}`")),
        "{description}"
    );
    assert_eq!(description.matches(hostile).count(), 1);
}

#[tokio::test]
async fn notifies_of_a_refusal_that_cannot_be_recorded() {
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
        // And again once it is recorded: a repeated notification is better than a lost one.
        assert_eq!(deliver(&world).await.unwrap().kind(), "refused");
        assert_eq!(world.state().notifications.len(), 2, "{call}");
        assert_eq!(deliver(&world).await.unwrap().kind(), "refused");
        assert_eq!(world.state().notifications.len(), 2, "{call}");
        assert_eq!(items(&world).len(), 1, "{call}");
    }
}

#[tokio::test]
async fn returns_a_retryable_error_while_the_target_is_updated() {
    for status in [
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "ROLLBACK_IN_PROGRESS",
    ] {
        let world = World::with_restored_volume();
        for resource in world.state().stack_resources.values_mut() {
            resource.status = status.into();
        }
        let error = deliver(&world).await.unwrap_err();
        assert_eq!(error.error_type(), "Retryable");
        assert!(error.to_string().contains(status), "{error}");
        assert_eq!(count(&world, ATTACH), 0);
    }
}
