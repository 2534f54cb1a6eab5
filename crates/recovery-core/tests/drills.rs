//! Restores of a drill and of the workload at the same time: neither is ever attached to the other's
//! stack, in any order of requests and despite failures.

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
use recovery_core::integrate::run_invoke::Integrators;
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::volume::run::integrate;
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

const ATTACH: &str = "ec2:AttachVolume";
/// The instances of the workload's stack `shop` and of the drill's stack `shop-drill`.
const WORKLOAD_INSTANCE: &str = "i-1";
const DRILL_INSTANCE: &str = "i-drill";

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

/// `job-1` has restored `vol-1` with this role. `shop` and `shop-drill` have a `Server`.
fn world(role: Option<&str>) -> World {
    let world = World::with_restored_volume();
    {
        let mut state = world.state();
        let mut server = state.stack_resources[&("shop".to_owned(), "Server".to_owned())].clone();
        server.physical_id = Some(DRILL_INSTANCE.to_owned());
        let key = ("shop-drill".to_owned(), "Server".to_owned());
        state.stack_resources.insert(key, server);
        let mut instance = state.instances[&InstanceId::new(WORKLOAD_INSTANCE)].clone();
        instance.id = InstanceId::new(DRILL_INSTANCE);
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

/// The event of `job-<n>` with this role.
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

fn request_of_operator(n: usize) -> Value {
    json!({ "restoreJobId": format!("job-{n}") })
}

fn request_of_drill(n: usize, stack: &str) -> Value {
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
    reconcile(
        world,
        &FakeClock::new(),
        &ownership(),
        &integrators(),
        window,
    )
    .await
}

/// The instance to which a volume is attached.
fn place(world: &World, volume: &str) -> Option<String> {
    let state = world.state();
    let volume = &state.volumes[&VolumeId::new(volume)];
    let attachment = volume.attachments.first();
    attachment.map(|attachment| attachment.instance.to_string())
}

#[track_caller]
fn only_item(world: &World) -> StoredItem {
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
async fn attaches_an_untagged_drill_volume_with_the_tags_that_its_plan_names() {
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
            "target": {"kind": "volume", "stack": "shop-drill", "logicalId": "Server"},
            "metadata": {}, "predictions": {},
            "tagsFrom": {"recoveryPointArn": older, "createdAt": "2026-11-22T05:00:00Z"},
        });
        payload
    };
    let drill = with_item(request_of_drill(1, "shop-drill"));
    let world = untagged(DRILL_ROLE);
    assert_eq!(shown(&deliver(&world, &drill).await), "integrated");
    assert_eq!(place(&world, "vol-1").as_deref(), Some(DRILL_INSTANCE));
    // The tags name the workload's stack here, too.
    let world = untagged(DRILL_ROLE);
    let astray = with_item(request_of_drill(1, "shop"));
    assert_eq!(
        shown(&deliver(&world, &astray).await),
        "refused/drill-target"
    );
    assert_eq!(place(&world, "vol-1"), None);
    let world = untagged(RESTORE_ROLE);
    let own = with_item(request_of_operator(1));
    assert_eq!(shown(&deliver(&world, &own).await), "integrated");
    assert_eq!(place(&world, "vol-1").as_deref(), Some(WORKLOAD_INSTANCE));
    let mut wrong = own;
    wrong["item"]["tagsFrom"]["recoveryPointArn"] = json!("snap-0");
    assert_eq!(shown(&deliver(&world, &wrong).await), "Permanent");
}

#[tokio::test]
async fn attaches_drill_restores_to_the_drill_stack_and_others_to_the_workload() {
    let (drill, own) = (Some(DRILL_ROLE), Some(RESTORE_ROLE));
    let in_drill = request_of_drill(1, "shop-drill");
    // The role of the job in AWS Backup, the payload, the outcome, and the instance that has the volume
    // afterwards.
    let table = [
        (drill, event(1, drill), "ignored/drill", None),
        (drill, event(1, None), "ignored/drill", None),
        (drill, event(1, Some("no role")), "ignored/drill", None),
        (drill, request_of_operator(1), "ignored/drill", None),
        (drill, in_drill.clone(), "integrated", Some(DRILL_INSTANCE)),
        (own, event(1, own), "integrated", Some(WORKLOAD_INSTANCE)),
        (own, event(1, None), "integrated", Some(WORKLOAD_INSTANCE)),
        (
            own,
            request_of_operator(1),
            "integrated",
            Some(WORKLOAD_INSTANCE),
        ),
        (
            own,
            json!({"restoreJobId": "job-1", "drill": null}),
            "integrated",
            Some(WORKLOAD_INSTANCE),
        ),
        (own, in_drill.clone(), "refused/not-a-drill", None),
        // The role is unknown.
        (None, event(1, None), "Permanent", None),
        (None, request_of_operator(1), "Permanent", None),
        (None, in_drill, "Permanent", None),
        // The drill names the workload's stack.
        (
            drill,
            request_of_drill(1, "shop"),
            "refused/drill-target",
            None,
        ),
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
async fn does_not_call_aws_backup_for_an_event_with_a_role() {
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
async fn returns_a_remedy_when_restore_and_stack_do_not_match() {
    for (role, payload, why, remedy) in [
        (
            RESTORE_ROLE,
            request_of_drill(1, "shop-drill"),
            "does not have the role of a drill",
            "without \"drill\"",
        ),
        (
            DRILL_ROLE,
            request_of_drill(1, "shop"),
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
    // In any state: the job does not belong to the drill.
    let world = world(Some(RESTORE_ROLE));
    world.state().restore_jobs.get_mut("job-1").unwrap().status = Some("RUNNING".to_owned());
    let answer = deliver(&world, &request_of_drill(1, "shop-drill")).await;
    assert_eq!(shown(&answer), "refused/not-a-drill");
}

#[tokio::test]
async fn rejects_drills_with_an_invalid_stack_name() {
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
    // Unknown members are ignored.
    let payload = json!({"restoreJobId": "job-1", "drill": {"stack": "shop-drill", "name": "x"}});
    assert_eq!(shown(&deliver(&world, &payload).await), "integrated");
    // An event cannot be the request of a drill.
    let mut event = event(1, Some(RESTORE_ROLE));
    event["drill"] = json!({"stack": "shop-drill"});
    let own = self::world(Some(RESTORE_ROLE));
    assert_eq!(shown(&deliver(&own, &event).await), "integrated");
    assert_eq!(place(&own, "vol-1").as_deref(), Some(WORKLOAD_INSTANCE));
}

/// Stack resource, early read of the instance and CloudFormation's tags: all use the drill's stack.
#[tokio::test]
async fn reads_only_the_drill_stack_in_a_drill() {
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
        let outcome = deliver(&world, &request_of_drill(1, "shop-drill"))
            .await
            .unwrap();
        assert_eq!(outcome.id("instanceId"), Some(DRILL_INSTANCE));
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
    // The drill's stack is not deployed yet. The workload's stack is not used instead.
    let world = world(Some(DRILL_ROLE));
    let key = ("shop-drill".to_owned(), "Server".to_owned());
    let server = world.state().stack_resources.remove(&key).unwrap();
    let answer = deliver(&world, &request_of_drill(1, "shop-drill")).await;
    assert_eq!(shown(&answer), "Retryable");
    world.state().stack_resources.insert(key, server);
    let answer = deliver(&world, &request_of_drill(1, "shop-drill")).await;
    assert_eq!(shown(&answer), "integrated");
}

#[tokio::test]
async fn reconciler_skips_restores_of_drills() {
    let world = world(Some(DRILL_ROLE));
    world.add_restored_volume("2", &[]);
    // The list has no role for the third and the fourth.
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
    assert_eq!(place(&world, "vol-2").as_deref(), Some(WORKLOAD_INSTANCE));
    assert_eq!(place(&world, "vol-3"), None);
    let asked = |job: &str| {
        let call = format!("backup:DescribeRestoreJob {job}");
        world.calls().contains(&call)
    };
    assert_eq!(
        ["job-1", "job-2", "job-3", "job-4"].map(asked),
        [false, false, true, true]
    );
    // A drill can still integrate its restore.
    deliver(&world, &request_of_drill(1, "shop-drill"))
        .await
        .unwrap();
    assert_eq!(reconciled(&world).await.unwrap().count("restores"), Some(4));
    assert_eq!(place(&world, "vol-1").as_deref(), Some(DRILL_INSTANCE));
}

/// Operators must not mistake a drill for a disaster.
#[tokio::test]
async fn ops_items_of_drills_say_so_and_have_a_lower_severity() {
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
        // Without a role, the severity is not lowered.
        ("FAILED", None, "Restore job (EBS) failed", Severity::High),
    ] {
        let world = world(role);
        track(&world, status, role).await;
        let item = only_item(&world);
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

    // Attached and resolved, in either order.
    for tracked_first in [true, false] {
        let world = world(Some(DRILL_ROLE));
        if tracked_first {
            track(&world, "COMPLETED", Some(DRILL_ROLE)).await;
        }
        deliver(&world, &request_of_drill(1, "shop-drill"))
            .await
            .unwrap();
        track(&world, "COMPLETED", Some(DRILL_ROLE)).await;
        let item = only_item(&world);
        assert_eq!(
            item.title,
            "[drill] Restored volume vol-1 attached to i-drill"
        );
        assert_eq!(
            (item.severity, item.item.status),
            (Severity::Low, Status::Resolved)
        );
    }

    // The notification of a refusal names the drill and the input that runs the integration again.
    let world = world(Some(DRILL_ROLE));
    for volume in world.state().volumes.values_mut() {
        volume.zone = "us-west-2b".to_owned();
    }
    let answer = deliver(&world, &request_of_drill(1, "shop-drill")).await;
    assert_eq!(shown(&answer), "refused/zone-mismatch");
    let item = only_item(&world);
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
async fn unmounted_drill_volume_has_an_open_ops_item_of_low_severity() {
    let world = world(Some(DRILL_ROLE));
    for tags in world.state().tags.values_mut() {
        tags.insert("recovery:mount".to_owned(), "/srv/data".to_owned());
    }
    deliver(&world, &request_of_drill(1, "shop-drill"))
        .await
        .unwrap();
    let item = only_item(&world);
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

/// An action on one of the restores.
#[derive(Debug, Clone)]
enum Action {
    Event { has_role: bool },
    Operator,
    Drill { stack: &'static str },
    Reconcile,
    Track { has_role: bool },
}

fn action() -> impl Strategy<Value = (usize, Action)> {
    let action = prop_oneof![
        any::<bool>().prop_map(|has_role| Action::Event { has_role }),
        Just(Action::Operator),
        prop::sample::select(vec!["shop-drill", "shop-drill", "shop", "shop-to-come"])
            .prop_map(|stack| Action::Drill { stack }),
        Just(Action::Reconcile),
        any::<bool>().prop_map(|has_role| Action::Track { has_role }),
    ];
    (1..=4_usize, action)
}

fn failure() -> impl Strategy<Value = (&'static str, usize, Failure)> {
    let failure = prop_oneof![Just(Failure::Throttled), Just(Failure::AnswerLost)];
    (prop::sample::select(OPERATIONS), 0..4_usize, failure)
}

async fn perform(world: &World, n: usize, action: &Action, role: &str) {
    let said = |says: bool| says.then_some(role);
    let answer = match action {
        Action::Event { has_role } => deliver(world, &event(n, said(*has_role))).await,
        Action::Operator => deliver(world, &request_of_operator(n)).await,
        Action::Drill { stack } => deliver(world, &request_of_drill(n, stack)).await,
        Action::Reconcile => reconciled(world).await,
        Action::Track { has_role } => {
            let event = event(n, said(*has_role));
            recovery_core::track::run::handle(world, DRILL_ROLE, &event).await
        }
    };
    // A failed action may or may not be repeated.
    drop(answer);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_attaches_a_volume_to_the_stack_of_the_other_kind(
        of_drill in prop::collection::vec(any::<bool>(), 4),
        actions in prop::collection::vec(action(), 0..12),
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
        world.state().reads_until_attached = looks;
        for (operation, passes, failure) in failures {
            for _ in 0..passes {
                world.pass(operation);
            }
            world.fail(operation, failure);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let asked_by_their_drill = |n: usize| {
            actions.iter().any(|(of, action)| *of == n && matches!(action, Action::Drill { .. }))
        };
        for (n, action) in &actions {
            runtime.block_on(perform(&world, *n, action, role(*n)));
            for n in 1..=4 {
                let place = place(&world, &format!("vol-{n}"));
                if of_drill[n - 1] {
                    prop_assert!(place.as_deref() != Some(WORKLOAD_INSTANCE), "vol-{} of a drill", n);
                    prop_assert!(place.is_none() || asked_by_their_drill(n), "vol-{} without a request", n);
                } else {
                    prop_assert!(place.as_deref() != Some(DRILL_INSTANCE), "vol-{} of the workload", n);
                }
            }
        }
        // In the end, each is attached to its own stack.
        for _ in 0..10 {
            for n in (1..=4).filter(|n| of_drill[n - 1]) {
                runtime.block_on(perform(&world, n, &Action::Drill { stack: "shop-drill" }, role(n)));
            }
            runtime.block_on(perform(&world, 1, &Action::Reconcile, role(1)));
        }
        for n in 1..=4 {
            let own = if of_drill[n - 1] { DRILL_INSTANCE } else { WORKLOAD_INSTANCE };
            let place = place(&world, &format!("vol-{n}"));
            prop_assert_eq!(place.as_deref(), Some(own));
        }
        prop_assert_eq!(world.attachments_made(), 4);
    }
}
