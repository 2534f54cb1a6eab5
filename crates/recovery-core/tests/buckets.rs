//! Integration of restored buckets against the in-memory fakes: what is published, recorded and refused, and that a
//! repetition changes nothing.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use futures_util::FutureExt;
use recovery_core::aws::arn::Scope;
use recovery_core::aws::arn::{Arn, RecoveryPointArn, RestoreJobId};
use recovery_core::aws::backup::{Drill, Restore, RestoreRequest};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeBucket, FakeClock, StoredItem, World};
use recovery_core::integrate::bucket::run::{BucketConfig, integrate};
use recovery_core::integrate::skip::Ownership;
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;

const WORKLOAD: (&str, &str) = ("recovery:workload", "shop");
const STACK: (&str, &str) = ("recovery:stack", "shop");
const ASSETS: (&str, &str) = ("recovery:logical-id", "Assets");
const PUBLISH: (&str, &str) = ("recovery:publish", "/recovery/shop/assets");
const TAGS: [(&str, &str); 4] = [WORKLOAD, STACK, ASSETS, PUBLISH];
/// The messages of AWS Backup for a completed job.
const MISSING: &str = "One or more objects failed to be restored from arn:aws:backup:us-west-2:111122223333:recovery-point:orders-1 to assets-1. To get notified of these failures, enable SNS event notifications.";
const NOTHING: &str = "There are no objects that match the restore request for arn:aws:backup:us-west-2:111122223333:recovery-point:orders-1.";

fn config() -> BucketConfig {
    BucketConfig {
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

fn restored(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    world.add_bucket("shop");
    world.add_restored_bucket(tags);
    world
}

fn partial() -> World {
    let world = restored(&TAGS);
    set_message(&world, Some(MISSING));
    world
}

fn set_message(world: &World, message: Option<&str>) {
    let mut state = world.state();
    let job = state.restore_jobs.get_mut("job-bucket").unwrap();
    job.status_message = message.map(str::to_owned);
}

/// The restore was started with this metadata.
fn start_with(world: &World, key: &str, value: &str) {
    let request = RestoreRequest {
        point: RecoveryPointArn::parse("arn:aws:backup:us-west-2:1:recovery-point:1").unwrap(),
        resource_type: "S3".to_owned(),
        metadata: [(key.to_owned(), value.to_owned())].into(),
        role: String::new(),
        token: String::new(),
        copy_tags: false,
    };
    let started = (request, RestoreJobId::new("job-bucket"));
    world.state().backups.started.push(started);
}

fn deliver_in(world: &World, drill: Option<Drill>) -> Result<Outcome, Error> {
    let restore = Restore {
        drill,
        ..Restore::from(world.state().restore_jobs["job-bucket"].clone())
    };
    integrate(world, &FakeClock::new(), &config(), restore)
        .now_or_never()
        .unwrap()
}

fn deliver(world: &World) -> Result<Outcome, Error> {
    deliver_in(world, None)
}

/// Delivers until no call fails.
#[track_caller]
fn to_the_end(world: &World) -> Outcome {
    for _ in 0..20 {
        match deliver(world) {
            Err(Error::Retryable(_)) => {}
            answer => return answer.unwrap(),
        }
    }
    panic!("always fails");
}

/// The only OpsItem.
#[track_caller]
fn item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    assert_eq!(world.state().problems, Vec::<String>::new());
    items[0].clone()
}

#[track_caller]
fn assert_says(world: &World, text: &str) {
    let item = item(world);
    assert!(item.description.contains(text), "{}", item.description);
}

fn parameters(world: &World) -> Vec<(String, String)> {
    let parameters = world.state().parameters.clone();
    parameters
        .into_iter()
        .map(|(name, parameter)| (name, parameter.value))
        .collect()
}

fn published() -> Vec<(String, String)> {
    [
        ("/recovery/shop/assets/arn", "arn:aws:s3:::assets-1"),
        ("/recovery/shop/assets/name", "assets-1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn reason(outcome: &Outcome) -> String {
    format!("{}/{}", outcome.kind(), outcome.reason().unwrap_or("-"))
}

/// It is refused each time, with one notification and an open OpsItem.
#[track_caller]
fn assert_refused(world: &World, reason: &str) {
    for _ in 0..2 {
        assert_eq!(to_the_end(world).reason(), Some(reason));
    }
    assert_eq!(item(world).item.status, Status::Open);
    assert_eq!(world.state().notifications.len(), 1);
    assert_eq!(parameters(world), []);
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
fn a_complete_bucket_is_published_and_nothing_is_left_to_do() {
    let world = restored(&TAGS);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("bucket"), Some("assets-1"));
    assert_eq!(parameters(&world), published());
    assert_eq!(item(&world).item.status, Status::Resolved);
    assert_eq!(item(&world).title, "Restored bucket assets-1 complete");
    assert_says(&world, "No object is missing in the bucket `assets-1`");
    assert_says(&world, "only the newest version of each was restored");
    assert_eq!(world.state().notifications.len(), 0);
    let before = changes(&world);
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    assert_eq!(changes(&world), before, "a repetition changes nothing");
}

#[test]
fn without_the_tag_the_name_is_not_published() {
    let world = restored(&[WORKLOAD, STACK, ASSETS]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(parameters(&world), []);
    assert_says(&world, "Its name is not published");
    assert_eq!(item(&world).item.status, Status::Resolved);
}

#[test]
fn missing_objects_are_notified_once_and_what_is_there_is_published() {
    let world = partial();
    for _ in 0..2 {
        let outcome = deliver(&world).unwrap();
        assert_eq!(reason(&outcome), "partial/restore-partial");
        assert!(
            outcome.id("remedy").unwrap().contains("redrive"),
            "{outcome:?}"
        );
    }
    assert_eq!(parameters(&world), published());
    assert_eq!(item(&world).item.status, Status::Open);
    assert_says(&world, "One or more objects failed to be restored");
    assert_says(&world, "published below `/recovery/shop/assets`");
    assert_says(&world, "AWS Backup adds what is missing");
    assert_eq!(world.state().notifications.len(), 1);
    // A person resolved it.
    world.state().items[0].item.status = Status::Resolved;
    assert_eq!(deliver(&world).unwrap().kind(), "partial");
    assert_eq!(item(&world).item.status, Status::Resolved);
    assert_eq!(world.state().notifications.len(), 1);
}

#[test]
fn a_message_that_the_event_lacks_is_read_from_the_job() {
    let world = partial();
    let mut sent = world.state().restore_jobs["job-bucket"].clone();
    sent.status_message = None;
    let outcome = integrate(&world, &FakeClock::new(), &config(), Restore::from(sent))
        .now_or_never()
        .unwrap();
    assert_eq!(reason(&outcome.unwrap()), "partial/restore-partial");
    // One that AWS does not document is not taken for success.
    set_message(&world, Some("Completed with warnings"));
    assert_eq!(deliver(&world).unwrap().kind(), "partial");
}

#[test]
fn an_empty_bucket_is_complete_unless_its_prefixes_name_nothing() {
    let empty = restored(&TAGS);
    set_message(&empty, Some(NOTHING));
    assert_eq!(deliver(&empty).unwrap().kind(), "integrated");
    assert_eq!(item(&empty).item.status, Status::Resolved);
    assert_says(&empty, "The recovery point contains no object");
    let prefixes = ("recovery:prefixes", "2025/");
    let world = restored(&[&TAGS[..], &[prefixes]].concat());
    set_message(&world, Some(NOTHING));
    start_with(&world, "ItemsToRestore", "[\"s3://orders/2025/\"]");
    for _ in 0..2 {
        let outcome = deliver(&world).unwrap();
        assert_eq!(reason(&outcome), "partial/nothing-restored");
        assert!(outcome.id("remedy").unwrap().contains("recovery:prefixes"));
    }
    assert_eq!(item(&world).item.status, Status::Open);
    assert_says(&world, "no object that recovery:prefixes `2025/` names");
    assert_says(&world, "start a recovery with another name");
    assert_eq!(parameters(&world), [], "the bucket is empty");
    assert_eq!(world.state().notifications.len(), 1);
    // It counts also if the restore does not show what it was asked for.
    let unshown = restored(&[&TAGS[..], &[prefixes]].concat());
    set_message(&unshown, Some(NOTHING));
    assert_eq!(
        reason(&deliver(&unshown).unwrap()),
        "partial/nothing-restored"
    );
}

#[test]
fn says_what_was_restored_and_how_it_differs() {
    for (key, value, said) in [
        (
            "RestoreLatestVersionsUpTo",
            "all",
            "all versions were restored",
        ),
        (
            "RestoreLatestVersionsUpTo",
            "3",
            "up to `3` versions of each",
        ),
        ("RestoreACLs", "false", "without access control lists"),
    ] {
        let world = restored(&TAGS);
        start_with(&world, key, value);
        assert_eq!(deliver(&world).unwrap().kind(), "integrated");
        assert_says(&world, said);
    }
}

#[test]
fn refuses_what_a_person_must_decide() {
    let gone = restored(&TAGS);
    gone.state().buckets.clear();
    assert_refused(&gone, "bucket-gone");
    // A person restored a copy.
    let copy = restored(&TAGS);
    {
        let mut state = copy.state();
        state
            .buckets
            .insert("audit-1".to_owned(), FakeBucket::default());
        let job = state.restore_jobs.get_mut("job-bucket").unwrap();
        job.created_resource = Arn::parse("arn:aws:s3:::audit-1").ok();
    }
    assert_refused(&copy, "bucket-name");
    assert_says(&copy, "`name:audit-1`");
    assert_refused(&restored(&[WORKLOAD, STACK]), "tag-missing");
    assert_refused(
        &restored(&[WORKLOAD, STACK, ("recovery:logical-id", "Media")]),
        "reference-missing",
    );
    let queue = restored(&TAGS);
    for resource in queue.state().stack_resources.values_mut() {
        resource.resource_type = "AWS::SQS::Queue".to_owned();
    }
    assert_refused(&queue, "reference-type");
}

#[test]
fn lifts_a_refusal_when_the_cause_is_gone() {
    let world = restored(&TAGS);
    let resources = world.state().stack_resources.clone();
    for resource in world.state().stack_resources.values_mut() {
        resource.resource_type = "AWS::SQS::Queue".to_owned();
    }
    assert_eq!(reason(&deliver(&world).unwrap()), "refused/reference-type");
    world.state().stack_resources = resources;
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(item(&world).item.status, Status::Resolved);
    assert_eq!(item(&world).title, "Restored bucket assets-1 complete");
}

#[test]
fn a_bucket_that_is_created_again_lacks_its_objects() {
    let world = restored(&TAGS);
    let buckets = std::mem::take(&mut world.state().buckets);
    assert_eq!(reason(&deliver(&world).unwrap()), "refused/bucket-gone");
    world.state().buckets = buckets;
    assert_refused(&world, "bucket-gone");
}

#[test]
fn waits_for_its_stack() {
    let world = restored(&TAGS);
    let resources = std::mem::take(&mut world.state().stack_resources);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "pending");
    assert_eq!(outcome.id("waitingFor"), Some("the stack shop to exist"));
    assert_eq!(changes(&world), 0);
    world.state().stack_resources = resources;
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
}

#[test]
fn leaves_alone_what_is_not_the_workloads() {
    let world = restored(&[("Name", "assets")]);
    assert_eq!(reason(&deliver(&world).unwrap()), "ignored/untagged");
    let test = restored(&TAGS);
    test.state()
        .restore_jobs
        .get_mut("job-bucket")
        .unwrap()
        .restore_test = true;
    assert_eq!(reason(&deliver(&test).unwrap()), "ignored/restore-test");
    // A person restored single objects.
    let some = restored(&TAGS);
    start_with(&some, "ItemsToRestore", "[\"s3://orders/a.txt\"]");
    assert_eq!(reason(&deliver(&some).unwrap()), "ignored/partial-restore");
    assert_eq!(changes(&some), 0);
}

#[test]
fn an_unusable_optional_tag_leaves_something_to_do() {
    let world = restored(&[
        WORKLOAD,
        STACK,
        ASSETS,
        ("recovery:publish", "/other/path"),
        ("recovery:versions", "many"),
        ("recovery:prefixes", "/a"),
    ]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(item(&world).item.status, Status::Open);
    for tag in ["publish", "versions", "prefixes"] {
        assert_says(&world, &format!("the tag recovery:{tag} "));
    }
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
}

#[test]
fn a_drill_uses_the_bucket_of_its_own_stack() {
    let drill = |stack: &str| {
        Some(Drill {
            stack: stack.to_owned(),
            name: Some("d-1".to_owned()),
        })
    };
    let world = restored(&TAGS);
    world
        .state()
        .restore_jobs
        .get_mut("job-bucket")
        .unwrap()
        .iam_role = Arn::parse(DRILL_ROLE).ok();
    assert_eq!(reason(&deliver(&world).unwrap()), "ignored/drill");
    let outcome = deliver_in(&world, drill("shop")).unwrap();
    assert_eq!(reason(&outcome), "refused/drill-target");
    assert_eq!(
        deliver_in(&world, drill("shop-drill")).unwrap().kind(),
        "pending"
    );
    world.state().stack_resources.clear();
    world.add_bucket("shop-drill");
    let outcome = deliver_in(&world, drill("shop-drill")).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    let state = world.state();
    let name = &state.parameters["/recovery/shop/assets/drill/d-1/name"];
    assert_eq!(name.tags["recovery:drill"], "d-1");
    assert_eq!(state.parameters.len(), 2);
    drop(state);
    let outside = restored(&[WORKLOAD, ("recovery:logical-id", "name:assets-1")]);
    outside
        .state()
        .restore_jobs
        .get_mut("job-bucket")
        .unwrap()
        .iam_role = Arn::parse(DRILL_ROLE).ok();
    let outcome = deliver_in(&outside, drill("shop-drill")).unwrap();
    assert_eq!(reason(&outcome), "refused/outside-of-drill");
}

#[test]
fn whatever_call_fails_the_end_is_the_same() {
    let operations = [
        "s3:GetBucketVersioning",
        "cloudformation:ListStackResources",
        "backup:ListTags",
        "backup:DescribeRestoreJob",
        "backup:GetRestoreJobMetadata",
        "ssm:PutParameter",
        "ssm:GetParameters",
        "ssm:CreateOpsItem",
        "ssm:UpdateOpsItem",
    ];
    for arrange in [|| restored(&TAGS), partial] {
        let whole = arrange();
        to_the_end(&whole);
        let notified = whole.state().notifications.len();
        for operation in operations {
            let calls = whole.calls();
            let is_called = calls.iter().any(|call| call.starts_with(operation));
            // An item that is created with all that it says is not updated.
            let is_optional = operation == "ssm:UpdateOpsItem";
            assert!(is_called || is_optional, "{operation} is not called");
            for failure in [Failure::Throttled, Failure::AnswerLost] {
                let world = arrange();
                world.fail(operation, failure);
                to_the_end(&world);
                assert_eq!(parameters(&world), parameters(&whole), "{operation}");
                assert_eq!(item(&world).title, item(&whole).title, "{operation}");
                assert_eq!(item(&world).item.status, item(&whole).item.status);
                // A notification that could not be recorded is sent again.
                let sent = world.state().notifications.len();
                assert!(
                    (notified..=notified * 2).contains(&sent),
                    "{operation}: {sent}"
                );
            }
        }
    }
}

#[test]
fn a_change_that_is_denied_notifies_once() {
    let world = restored(&TAGS);
    for _ in 0..2 {
        world.fail("ssm:PutParameter", Failure::Denied);
        assert_eq!(deliver(&world).unwrap_err().error_type(), "Permanent");
    }
    assert_eq!(world.state().notifications.len(), 1);
    assert_eq!(item(&world).item.status, Status::Open);
    assert_eq!(to_the_end(&world).kind(), "integrated");
}
