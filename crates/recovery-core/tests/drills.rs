//! What a drill restores and what the workload itself gets back, side by side: neither ever comes to
//! the other's stack, whoever asks in which order and whatever fails on the way.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use recovery_core::aws::arn::{Arn, InstanceId, Scope, VolumeId};
use recovery_core::error::Error;
use recovery_core::event::backup::restore_to_integrate;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, RESTORE_ROLE, StoredItem, World};
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::volume::run::integrate;
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

const ATTACH: &str = "ec2:AttachVolume";
/// The instance of the workload's own stack `shop`, and that of the drill's, `shop-drill`.
const OWN: &str = "i-1";
const DRILLS: &str = "i-drill";

fn ownership() -> Ownership {
    Ownership {
        scope: Scope {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        },
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// `job-1` has restored `vol-1` in this role; `Server` stands in `shop` and in `shop-drill`.
fn world(role: Option<&str>) -> World {
    let world = World::with_restored_volume();
    {
        let mut state = world.state();
        let mut server = state.stack_resources[&("shop".to_owned(), "Server".to_owned())].clone();
        server.physical_id = Some(DRILLS.to_owned());
        let key = ("shop-drill".to_owned(), "Server".to_owned());
        state.stack_resources.insert(key, server);
        let mut instance = state.instances[&InstanceId::new(OWN)].clone();
        instance.id = InstanceId::new(DRILLS);
        state.instances.insert(instance.id.clone(), instance);
    }
    with_role(&world, "job-1", role);
    world
}

fn with_role(world: &World, job: &str, role: Option<&str>) {
    let mut state = world.state();
    let job = state.restore_jobs.get_mut(job).unwrap();
    job.iam_role = role.map(|role| Arn::parse(role).unwrap());
}

/// The event of `job-<n>`; it says this role.
fn event(n: usize, role: Option<&str>) -> Value {
    json!({
        "version": "0", "id": "e", "source": "aws.backup",
        "detail-type": "Restore Job State Change", "account": "111122223333",
        "region": "us-west-2", "time": "2026-11-23T05:59:18Z",
        "resources": [format!("arn:aws:ec2:us-west-2::snapshot/snap-{n}")],
        "detail": {
            "restoreJobId": format!("job-{n}"), "status": "COMPLETED", "resourceType": "EBS",
            "createdResourceArn": format!("arn:aws:ec2:us-west-2:111122223333:volume/vol-{n}"),
            "iamRoleArn": role,
        },
    })
}

fn by_hand(n: usize) -> Value {
    json!({ "restoreJobId": format!("job-{n}") })
}

fn by_drill(n: usize, stack: &str) -> Value {
    json!({ "restoreJobId": format!("job-{n}"), "drill": { "stack": stack } })
}

/// One delivery to restore-integrator.
async fn deliver(world: &World, payload: &Value) -> Result<Outcome, Error> {
    match restore_to_integrate(payload)? {
        Ok(restore) => integrate(world, &FakeClock::new(), &ownership(), restore).await,
        Err(reason) => Ok(Outcome::ignored(reason)),
    }
}

async fn reconciled(world: &World) -> Result<Outcome, Error> {
    let window = LookbackWindow {
        lookback: TimeDelta::hours(24),
        patience: TimeDelta::minutes(30),
        interval: Duration::from_mins(1),
    };
    reconcile(world, &FakeClock::new(), &ownership(), window).await
}

/// Where a volume is.
fn place(world: &World, volume: &str) -> Option<String> {
    let state = world.state();
    let volume = &state.volumes[&VolumeId::new(volume)];
    let attachment = volume.attachments.first();
    attachment.map(|attachment| attachment.instance.to_string())
}

#[track_caller]
fn the_item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    items[0].clone()
}

/// As `kind` or `kind/reason`, or the error's type.
fn shown(answer: &Result<Outcome, Error>) -> String {
    match answer {
        Ok(outcome) => match outcome.reason() {
            Some(reason) => format!("{}/{reason}", outcome.kind()),
            None => outcome.kind().to_owned(),
        },
        Err(error) => error.error_type().to_owned(),
    }
}

#[tokio::test]
async fn a_drills_volume_without_tags_comes_to_its_stack_by_those_that_its_plan_names() {
    let older = "arn:aws:ec2:us-west-2::snapshot/snap-0";
    let untagged = |role| {
        let world = world(Some(role));
        let mut state = world.state();
        let tags = state.tags.remove("arn:aws:ec2:us-west-2::snapshot/snap-1");
        state.tags.insert(older.to_owned(), tags.unwrap());
        drop(state);
        world
    };
    let with_item = |mut payload: Value| {
        payload["item"] = json!({
            "resourceArn": "arn:aws:ec2:us-east-1:111122223333:volume/vol-0",
            "recoveryPointArn": "arn:aws:ec2:us-west-2::snapshot/snap-1",
            "type": "EBS", "createdAt": "2026-11-23T05:00:00Z", "ageSeconds": 3600, "wave": 0,
            "target": {"stack": "shop-drill", "logicalId": "Server"},
            "metadata": {}, "predictions": {},
            "tagsFrom": {"recoveryPointArn": older, "createdAt": "2026-11-22T05:00:00Z"},
        });
        payload
    };
    let drill = with_item(by_drill(1, "shop-drill"));
    let world = untagged(DRILL_ROLE);
    assert_eq!(shown(&deliver(&world, &drill).await), "integrated");
    assert_eq!(place(&world, "vol-1").as_deref(), Some(DRILLS));
    // The tags say which stack is the workload's own, also here.
    let world = untagged(DRILL_ROLE);
    let astray = with_item(by_drill(1, "shop"));
    assert_eq!(
        shown(&deliver(&world, &astray).await),
        "refused/drill-target"
    );
    assert_eq!(place(&world, "vol-1"), None);
    let world = untagged(RESTORE_ROLE);
    let own = with_item(by_hand(1));
    assert_eq!(shown(&deliver(&world, &own).await), "integrated");
    assert_eq!(place(&world, "vol-1").as_deref(), Some(OWN));
    let mut wrong = own;
    wrong["item"]["tagsFrom"]["recoveryPointArn"] = json!("snap-0");
    assert_eq!(shown(&deliver(&world, &wrong).await), "Permanent");
}

#[tokio::test]
async fn what_a_drill_restored_comes_to_its_stack_and_what_it_did_not_to_the_workloads() {
    let (drill, own) = (Some(DRILL_ROLE), Some(RESTORE_ROLE));
    let in_drill = by_drill(1, "shop-drill");
    // The role of the job as AWS Backup knows it, what is delivered, what becomes of it, and where
    // the volume is then.
    let table = [
        (drill, event(1, drill), "ignored/drill", None),
        (drill, event(1, None), "ignored/drill", None),
        (drill, event(1, Some("no role")), "ignored/drill", None),
        (drill, by_hand(1), "ignored/drill", None),
        (drill, in_drill.clone(), "integrated", Some(DRILLS)),
        (own, event(1, own), "integrated", Some(OWN)),
        (own, event(1, None), "integrated", Some(OWN)),
        (own, by_hand(1), "integrated", Some(OWN)),
        (
            own,
            json!({"restoreJobId": "job-1", "drill": null}),
            "integrated",
            Some(OWN),
        ),
        (own, in_drill.clone(), "refused/not-a-drill", None),
        // Nobody knows whose it is.
        (None, event(1, None), "Permanent", None),
        (None, by_hand(1), "Permanent", None),
        (None, in_drill, "Permanent", None),
        // The drill gives the workload's own stack for its own.
        (drill, by_drill(1, "shop"), "refused/drill-target", None),
    ];
    for (role, payload, expected, place_then) in table {
        let world = world(role);
        for _ in 0..2 {
            let answer = deliver(&world, &payload).await;
            let again = place_then.is_some() && shown(&answer) == "already-integrated";
            assert!(
                again || shown(&answer) == expected,
                "{role:?}, {payload}: {answer:?}"
            );
        }
        let then = place(&world, "vol-1");
        assert_eq!(then.as_deref(), place_then, "{role:?}, {payload}");
        assert!(world.state().notifications.is_empty(), "{payload}");
        let tracked = world.state().items.len();
        assert_eq!(tracked, usize::from(place_then.is_some()), "{payload}");
    }
}

#[tokio::test]
async fn an_event_that_says_its_role_asks_aws_backup_nothing() {
    for (role, expected) in [(RESTORE_ROLE, 1), (DRILL_ROLE, 0)] {
        let world = world(Some(role));
        deliver(&world, &event(1, Some(role))).await.unwrap();
        let calls = world.calls();
        let asked = calls.iter().any(|call| call.starts_with("backup:"));
        assert!(!asked, "{calls:#?}");
        assert_eq!(calls.is_empty(), expected == 0, "{calls:#?}");
        assert_eq!(world.attachments_made(), expected);
    }
}

#[tokio::test]
async fn who_asks_for_a_wrong_one_is_told_the_remedy() {
    for (role, payload, why, remedy) in [
        (
            RESTORE_ROLE,
            by_drill(1, "shop-drill"),
            "does not have the role of a drill",
            "without \"drill\"",
        ),
        (
            DRILL_ROLE,
            by_drill(1, "shop"),
            "shop is the stack of the workload itself",
            "Pass another stack name for the drill.",
        ),
    ] {
        let world = world(Some(role));
        let outcome = deliver(&world, &payload).await.unwrap();
        assert_eq!(outcome.id("restoreJobId"), Some("job-1"));
        assert!(outcome.id("why").unwrap().contains(why), "{outcome:?}");
        let said = outcome.id("remedy").unwrap();
        assert!(said.contains(remedy) && said.ends_with('.'), "{outcome:?}");
    }
    // Whatever its state: the job is not the drill's.
    let world = world(Some(RESTORE_ROLE));
    world.state().restore_jobs.get_mut("job-1").unwrap().status = Some("RUNNING".to_owned());
    let answer = deliver(&world, &by_drill(1, "shop-drill")).await;
    assert_eq!(shown(&answer), "refused/not-a-drill");
}

#[tokio::test]
async fn a_drill_whose_stack_is_no_name_is_an_error_that_says_what_to_pass() {
    let world = world(Some(DRILL_ROLE));
    for drill in [
        json!("shop-drill"),
        json!({}),
        json!({"stack": null}),
        json!({"stack": ""}),
        json!({"stack": "9 lives"}),
        json!({"stack": ["shop-drill"]}),
        json!(true),
    ] {
        let payload = json!({"restoreJobId": "job-1", "drill": drill});
        let error = deliver(&world, &payload).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        let text = error.to_string();
        assert!(
            text.contains("drill.stack") && text.contains("\"drill\": {\"stack\""),
            "{text}"
        );
    }
    // More than is asked for is left alone.
    let payload = json!({"restoreJobId": "job-1", "drill": {"stack": "shop-drill", "name": "x"}});
    assert_eq!(shown(&deliver(&world, &payload).await), "integrated");
    // No event is a drill's own.
    let mut event = event(1, Some(RESTORE_ROLE));
    event["drill"] = json!({"stack": "shop-drill"});
    let own = self::world(Some(RESTORE_ROLE));
    assert_eq!(shown(&deliver(&own, &event).await), "integrated");
    assert_eq!(place(&own, "vol-1").as_deref(), Some(OWN));
}

/// Stack resource, early look at the instance and CloudFormation's own tags: all by the drill's stack.
#[tokio::test]
async fn a_drill_looks_at_nothing_of_the_workloads_own_stack() {
    for own_tags in [false, true] {
        let world = world(Some(DRILL_ROLE));
        if own_tags {
            for tags in world.state().tags.values_mut() {
                *tags = [
                    ("aws:cloudformation:stack-name", "shop"),
                    ("aws:cloudformation:logical-id", "Server"),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            }
        }
        let outcome = deliver(&world, &by_drill(1, "shop-drill")).await.unwrap();
        assert_eq!(outcome.id("instanceId"), Some(DRILLS));
        let calls = world.calls();
        assert!(
            calls.iter().all(|call| !call.ends_with(" shop/Server")),
            "{calls:#?}"
        );
        let looks = calls
            .iter()
            .filter(|call| call.ends_with(" shop-drill/Server"))
            .count();
        assert_eq!(looks, 2, "{calls:#?}");
    }
    // Its stack is still to come: that of the workload does not stand in.
    let world = world(Some(DRILL_ROLE));
    let key = ("shop-drill".to_owned(), "Server".to_owned());
    let server = world.state().stack_resources.remove(&key).unwrap();
    let answer = deliver(&world, &by_drill(1, "shop-drill")).await;
    assert_eq!(shown(&answer), "Retryable");
    world.state().stack_resources.insert(key, server);
    let answer = deliver(&world, &by_drill(1, "shop-drill")).await;
    assert_eq!(shown(&answer), "integrated");
}

#[tokio::test]
async fn the_reconciler_leaves_restores_of_drills_alone() {
    let world = world(Some(DRILL_ROLE));
    world.add_restored_volume("2", &[]);
    // The listing does not say whose the third and the fourth are.
    for n in ["3", "4"] {
        world.add_restored_volume(n, &[]);
        with_role(&world, &format!("job-{n}"), None);
    }
    let outcome = reconciled(&world).await.unwrap();
    assert_eq!(outcome.count("restores"), Some(4));
    assert_eq!(outcome.count("integrated"), Some(1));
    assert_eq!(outcome.count("waiting"), None);
    assert_eq!(outcome.count("failing"), Some(2));
    assert_eq!(place(&world, "vol-1"), None);
    assert_eq!(place(&world, "vol-2").as_deref(), Some(OWN));
    assert_eq!(place(&world, "vol-3"), None);
    let asked = |job: &str| {
        let call = format!("backup:DescribeRestoreJob {job}");
        world.calls().contains(&call)
    };
    assert_eq!(
        ["job-1", "job-2", "job-3", "job-4"].map(asked),
        [false, false, true, true]
    );
    // A drill that integrates its own is not disturbed.
    deliver(&world, &by_drill(1, "shop-drill")).await.unwrap();
    assert_eq!(reconciled(&world).await.unwrap().count("restores"), Some(4));
    assert_eq!(place(&world, "vol-1").as_deref(), Some(DRILLS));
}

/// Nobody is to take a drill for a disaster.
#[tokio::test]
async fn the_item_of_a_drills_restore_says_so_and_is_nothing_to_get_up_for() {
    let track = async |world: &World, status: &str, role: Option<&str>| {
        let mut event = event(1, role);
        event["detail"]["status"] = json!(status);
        recovery_core::track::run::handle(world, DRILL_ROLE, &event)
            .await
            .unwrap();
    };
    for (status, role, title, severity) in [
        (
            "COMPLETED",
            Some(DRILL_ROLE),
            "[drill] Restore job (EBS) completed",
            Severity::Low,
        ),
        (
            "FAILED",
            Some(DRILL_ROLE),
            "[drill] Restore job (EBS) failed",
            Severity::Medium,
        ),
        (
            "COMPLETED",
            Some(RESTORE_ROLE),
            "Restore job (EBS) completed",
            Severity::Medium,
        ),
        // What is not known to be a drill's is not played down.
        ("FAILED", None, "Restore job (EBS) failed", Severity::High),
    ] {
        let world = world(role);
        track(&world, status, role).await;
        let item = the_item(&world);
        assert_eq!((item.title.as_str(), item.severity), (title, severity));
        assert!(item.description.contains("**What was done.**"));
        let invites = item.description.contains("restore-integrator");
        assert_eq!(
            invites,
            title == "Restore job (EBS) completed",
            "{}",
            item.description
        );
    }

    // Attached, and resolved; whoever comes first.
    for tracked_first in [true, false] {
        let world = world(Some(DRILL_ROLE));
        if tracked_first {
            track(&world, "COMPLETED", Some(DRILL_ROLE)).await;
        }
        deliver(&world, &by_drill(1, "shop-drill")).await.unwrap();
        track(&world, "COMPLETED", Some(DRILL_ROLE)).await;
        let item = the_item(&world);
        assert_eq!(
            item.title,
            "[drill] Restored volume vol-1 attached to i-drill"
        );
        assert_eq!(
            (item.severity, item.item.status),
            (Severity::Low, Status::Resolved)
        );
    }

    // What hinders a drill, people are told as what it is, with the input that runs it again.
    let world = world(Some(DRILL_ROLE));
    for volume in world.state().volumes.values_mut() {
        volume.zone = "us-west-2b".to_owned();
    }
    let answer = deliver(&world, &by_drill(1, "shop-drill")).await;
    assert_eq!(shown(&answer), "refused/zone-mismatch");
    let item = the_item(&world);
    let title = "[drill] Restored volume not attached: zone-mismatch";
    assert_eq!(
        (item.title.as_str(), item.severity),
        (title, Severity::Medium)
    );
    let input = r#"`{"restoreJobId": "job-1", "drill": {"stack": "shop-drill"}}`"#;
    assert!(item.description.contains(input), "{}", item.description);
    let state = world.state();
    let [told] = state.notifications.as_slice() else {
        panic!("{:#?}", state.notifications);
    };
    assert_eq!(told.subject, title);
    assert!(
        told.message
            .contains("in a drill. The workload is not affected."),
        "{}",
        told.message
    );
}

#[tokio::test]
async fn what_a_drill_wants_mounted_is_open_but_low() {
    let world = world(Some(DRILL_ROLE));
    for tags in world.state().tags.values_mut() {
        tags.insert("recovery:mount".to_owned(), "/srv/data".to_owned());
    }
    deliver(&world, &by_drill(1, "shop-drill")).await.unwrap();
    let item = the_item(&world);
    assert_eq!(
        (item.severity, item.item.status),
        (Severity::Low, Status::Open)
    );
}

const OPERATIONS: &[&str] = &[
    "ec2:DescribeTags",
    "backup:DescribeRestoreJob",
    "backup:ListRestoreJobs",
    "cloudformation:DescribeStackResource",
    "ec2:DescribeVolumes",
    "ec2:DescribeInstances",
    ATTACH,
    "ssm:DescribeOpsItems",
    "ssm:CreateOpsItem",
    "ssm:UpdateOpsItem",
];

/// What someone does about one of the restores.
#[derive(Debug, Clone)]
enum Deed {
    Event { says_its_role: bool },
    ByHand,
    InDrill { stack: &'static str },
    Reconcile,
    Track { says_its_role: bool },
}

fn deed() -> impl Strategy<Value = (usize, Deed)> {
    let deed = prop_oneof![
        any::<bool>().prop_map(|says_its_role| Deed::Event { says_its_role }),
        Just(Deed::ByHand),
        prop::sample::select(vec!["shop-drill", "shop-drill", "shop", "shop-to-come"])
            .prop_map(|stack| Deed::InDrill { stack }),
        Just(Deed::Reconcile),
        any::<bool>().prop_map(|says_its_role| Deed::Track { says_its_role }),
    ];
    (1..=4_usize, deed)
}

fn failure() -> impl Strategy<Value = (&'static str, usize, Failure)> {
    let failure = prop_oneof![Just(Failure::Throttled), Just(Failure::AnswerLost)];
    (prop::sample::select(OPERATIONS), 0..4_usize, failure)
}

async fn done(world: &World, n: usize, deed: &Deed, role: &str) {
    let said = |says: bool| says.then_some(role);
    let answer = match deed {
        Deed::Event { says_its_role } => deliver(world, &event(n, said(*says_its_role))).await,
        Deed::ByHand => deliver(world, &by_hand(n)).await,
        Deed::InDrill { stack } => deliver(world, &by_drill(n, stack)).await,
        Deed::Reconcile => reconciled(world).await,
        Deed::Track { says_its_role } => {
            let event = event(n, said(*says_its_role));
            recovery_core::track::run::handle(world, DRILL_ROLE, &event).await
        }
    };
    // What fails is delivered again by somebody, or not.
    drop(answer);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_of_a_drill_comes_to_the_workload_and_nothing_of_the_workload_to_a_drill(
        of_drill in prop::collection::vec(any::<bool>(), 4),
        deeds in prop::collection::vec(deed(), 0..12),
        failures in prop::collection::vec(failure(), 0..6),
        looks in 0..3_usize,
    ) {
        let world = world(Some(RESTORE_ROLE));
        let role = |n: usize| if of_drill[n - 1] { DRILL_ROLE } else { RESTORE_ROLE };
        for n in 1..=4 {
            if n > 1 {
                world.add_restored_volume(&n.to_string(), &[]);
            }
            with_role(&world, &format!("job-{n}"), Some(role(n)));
        }
        world.state().looks_until_attached = looks;
        for (operation, passes, failure) in failures {
            for _ in 0..passes {
                world.pass(operation);
            }
            world.fail(operation, failure);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let asked_by_their_drill = |n: usize| {
            deeds.iter().any(|(of, deed)| *of == n && matches!(deed, Deed::InDrill { .. }))
        };
        for (n, deed) in &deeds {
            runtime.block_on(done(&world, *n, deed, role(*n)));
            for n in 1..=4 {
                let place = place(&world, &format!("vol-{n}"));
                if of_drill[n - 1] {
                    prop_assert!(place.as_deref() != Some(OWN), "vol-{} of a drill", n);
                    prop_assert!(place.is_none() || asked_by_their_drill(n), "vol-{} unasked", n);
                } else {
                    prop_assert!(place.as_deref() != Some(DRILLS), "vol-{} of the workload", n);
                }
            }
        }
        // And each comes to its own in the end.
        for _ in 0..10 {
            for n in (1..=4).filter(|n| of_drill[n - 1]) {
                runtime.block_on(done(&world, n, &Deed::InDrill { stack: "shop-drill" }, role(n)));
            }
            runtime.block_on(done(&world, 1, &Deed::Reconcile, role(1)));
        }
        for n in 1..=4 {
            let own = if of_drill[n - 1] { DRILLS } else { OWN };
            let place = place(&world, &format!("vol-{n}"));
            prop_assert_eq!(place.as_deref(), Some(own));
        }
        prop_assert_eq!(world.attachments_made(), 4);
    }
}
