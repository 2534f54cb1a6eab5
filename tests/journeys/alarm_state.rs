//! `AlarmStateRule`: an alarm changed its state. alarm-responder keeps one OpsItem for each incident of
//! an alarm, notifies, and starts the recovery runbook for a composite alarm if the response `recover`
//! is configured.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::event::date;
use recovery_core::fakes::{DRILL_ROLE, StoredItem, World};
use recovery_core::ops_item::{ItemKey, NewOpsItem, Severity, Status};
use recovery_core::outcome::Outcome;
use recovery_core::ports::OpsItems;
use serde_json::{Value, json};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::end::{End, is_duplicate};
use crate::support::repository::{event, event_with, events};

use super::{assert_contains, assert_outcome, notifications, only_item};

const RUNBOOK: &str = "StartRegionRecovery";

/// Track and notify: the template's default.
fn track_and_notify() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify],
        runbook: None,
        other_runbooks: Vec::new(),
    }
}

/// Track, notify and recover.
pub(super) fn all_responses() -> Policy {
    Policy {
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some(RUNBOOK.to_owned()),
        ..track_and_notify()
    }
}

/// Delivers the event to the function of its rule.
pub(super) fn respond(world: &World, policy: &Policy, event: &Value) -> Result<Outcome, Error> {
    let ports = Disturbed::not(world);
    if event["source"] == "aws.health" {
        finish(health_event_responder::handle(&ports, policy, event))
    } else {
        finish(alarm_responder::handle(&ports, policy, event))
    }
}

fn respond_to_all(world: &World, policy: &Policy, events: &[Value]) {
    for event in events {
        respond(world, policy, event).unwrap_or_else(|error| panic!("{event}: {error}"));
    }
}

/// The world after these events, in this order.
pub(super) fn world_after(policy: &Policy, names: &[&str]) -> World {
    let world = World::new();
    let events: Vec<Value> = names.iter().map(|name| event(name)).collect();
    respond_to_all(&world, policy, &events);
    world
}

/// The event with later times of its states.
fn delayed(name: &str, by: TimeDelta) -> Value {
    let moved = |time: &Value| -> Value {
        let time: DateTime<Utc> = date(time.as_str().unwrap()).unwrap() + by;
        json!(time.format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string())
    };
    let mut event = event(name);
    for state in ["state", "previousState"] {
        let time = &mut event["detail"][state]["timestamp"];
        *time = moved(time);
    }
    event
}

/// The expected outcome of one event.
enum Expected {
    /// It is ignored for this reason.
    Ignored(&'static str),
    /// An open incident, a notification and, perhaps, a recovery.
    Incident(Severity, Recovery),
    /// An incident that is already over.
    Resolved,
}

#[derive(PartialEq)]
enum Recovery {
    Starts,
    DoesNotStart,
}

/// Every event file of an alarm.
const FILES: &[(&str, Expected)] = {
    use Expected::{Ignored, Incident, Resolved};
    use Recovery::{DoesNotStart, Starts};
    use Severity::{Critical, High};
    &[
        ("alarm-metric", Incident(High, DoesNotStart)),
        ("alarm-metric-new", Incident(High, DoesNotStart)),
        ("alarm-metric-forwarded", Incident(High, DoesNotStart)),
        ("alarm-metric-math", Incident(High, DoesNotStart)),
        ("alarm-anomaly-detection", Incident(High, DoesNotStart)),
        ("alarm-multi-time-series", Incident(High, DoesNotStart)),
        ("alarm-heartbeat-silent", Incident(High, DoesNotStart)),
        // No rule matches these; alarm-responder handles every alarm that arrives.
        ("alarm-metric-other-name", Incident(High, DoesNotStart)),
        ("alarm-of-this-stack", Incident(High, DoesNotStart)),
        ("alarm-composite", Incident(Critical, Starts)),
        ("alarm-signals-agree", Incident(Critical, Starts)),
        // It may still be suppressed.
        (
            "alarm-composite-suppressed",
            Incident(Critical, DoesNotStart),
        ),
        ("alarm-metric-ok", Resolved),
        ("alarm-heartbeat-silent-ok", Resolved),
        ("alarm-signals-agree-ok", Resolved),
        (
            "alarm-metric-insufficient-data",
            Ignored("insufficient-data"),
        ),
        ("alarm-metric-muted", Ignored("muted")),
        ("alarm-composite-suppressed-by-alarm", Ignored("suppressed")),
        ("alarm-contributor", Ignored("detail-type")),
        ("alarm-configuration-changed", Ignored("detail-type")),
    ]
};

#[test]
fn handles_every_alarm_file_and_recovers_only_on_composite_alarms() {
    let known: BTreeSet<&str> = FILES.iter().map(|(name, _)| *name).collect();
    let files: BTreeSet<&str> = events()
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("alarm-"))
        .collect();
    assert_eq!(known, files);
    for (name, expected) in FILES {
        let event = event(name);
        let world = World::new();
        let outcome = respond(&world, &all_responses(), &event).unwrap();
        let alarm = event["detail"]["alarmName"].as_str().unwrap();
        let region = event["region"].as_str().unwrap();
        // A name with spaces is not a valid ARN.
        let key = if alarm.contains(' ') {
            format!("alarm/111122223333/{region}/{alarm}")
        } else {
            format!("alarm/{}", event["resources"][0].as_str().unwrap())
        };
        let executions: Vec<String> = world.state().executions.keys().cloned().collect();
        match expected {
            Expected::Ignored(reason) => {
                assert_eq!(
                    (outcome.kind(), outcome.reason()),
                    ("ignored", Some(*reason)),
                    "{name}"
                );
                assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
            }
            Expected::Incident(severity, recovery) => {
                assert_eq!(
                    (outcome.kind(), outcome.reason()),
                    ("responded", None),
                    "{name}"
                );
                assert_eq!(outcome.id("incident"), Some(key.as_str()), "{name}");
                let stored = only_item(&world);
                assert_eq!(outcome.id("opsItemId"), Some("oi-1"), "{name}");
                assert_eq!(stored.key.as_str(), key, "{name}");
                assert_eq!(
                    (stored.severity, stored.item.status),
                    (*severity, Status::Open),
                    "{name}"
                );
                let (title, action) = match *name {
                    "alarm-heartbeat-silent" => (
                        format!("No heartbeat from us-east-1: alarm {alarm}"),
                        "What to do\nCheck whether users can reach the workload.",
                    ),
                    _ => (
                        format!("Alarm {alarm} in {region}"),
                        "What to do\nCheck the workload itself.",
                    ),
                };
                assert_eq!(stored.title, title, "{name}");
                let notifications = notifications(&world);
                assert_eq!(notifications.len(), 1, "{name}");
                assert_eq!(notifications[0].0, stored.title, "{name}");
                assert_contains(&notifications[0].1, &[action, "OpsItem: oi-1"]);
                let starts = usize::from(*recovery == Recovery::Starts);
                assert_eq!(executions.len(), starts, "{name}");
                let started = executions.first().map(|token| format!("execution-{token}"));
                assert_eq!(
                    outcome.id("automationExecutionId"),
                    started.as_deref(),
                    "{name}"
                );
            }
            Expected::Resolved => {
                assert_eq!(
                    (outcome.kind(), outcome.reason()),
                    ("resolved", None),
                    "{name}"
                );
                let stored = only_item(&world);
                assert_eq!(
                    (stored.severity, stored.item.status),
                    (Severity::Low, Status::Resolved),
                    "{name}"
                );
                let title = match *name {
                    "alarm-heartbeat-silent-ok" => {
                        format!("Heartbeats from us-east-1 arrive again: alarm {alarm}")
                    }
                    _ => format!("Alarm {alarm} in {region} is OK again"),
                };
                assert_eq!(stored.title, title, "{name}");
                assert_eq!(notifications(&world).len(), 1, "{name}");
                assert!(executions.is_empty(), "{name}");
            }
        }
    }
}

#[test]
fn tracks_then_notifies_of_an_alarm() {
    let event = event("alarm-metric-math");
    let world = World::new();
    assert_outcome!(respond(&world, &track_and_notify(), &event), "responded");
    let key = "alarm/arn:aws:cloudwatch:us-west-2:111122223333:alarm:recovery-site-error-rate";
    assert_eq!(
        world.calls(),
        [
            format!("ssm:DescribeOpsItems {key}"),
            format!("ssm:CreateOpsItem {key}"),
            format!("ssm:DescribeOpsItems {key}"),
            "sns:Publish Alarm recovery-site-error-rate in us-west-2".to_owned(),
            "ssm:UpdateOpsItem oi-1".to_owned(),
            "ssm:DescribeOpsItems open incidents".to_owned(),
        ]
    );
    let stored = only_item(&world);
    assert_contains(
        &stored.description,
        &[
            "**What happened.** Too many requests to the workload fail.",
            "- Alarm: `recovery-site-error-rate`",
            "- Region: `us-west-2`",
            "- Since: 2026-10-20T14:02:48Z",
            "- Description of the alarm: `Share of failed requests`",
            "**Why.** CloudWatch says:\n> `Threshold Crossed: 1 out of the last 1 datapoints [38.2",
            "**What to do.** Check the workload itself.",
            "No recovery runbook is configured.",
        ],
    );
    let world = world_after(&track_and_notify(), &["alarm-anomaly-detection"]);
    assert_contains(
        &only_item(&world).description,
        &[
            "A metric of the workload is outside its expected band.",
            "- Alarm: `recovery-orders per minute out of band`",
        ],
    );
    let world = world_after(&all_responses(), &["alarm-composite"]);
    assert_contains(
        &only_item(&world).description,
        &[
            "Several signals together show that the workload is impaired.",
            "The recovery runbook is `StartRegionRecovery`.",
        ],
    );
}

#[test]
fn duplicate_event_changes_nothing() {
    for (name, _) in FILES {
        let event = event(name);
        let world = World::new();
        respond(&world, &all_responses(), &event).unwrap();
        let (end, calls) = (End::of(&world), world.calls().len());
        respond(&world, &all_responses(), &event).unwrap();
        assert_eq!(End::of(&world), end, "{name}");
        let written: Vec<String> = world.calls()[calls..]
            .iter()
            .filter(|call| !call.starts_with("ssm:DescribeOpsItems"))
            .cloned()
            .collect();
        assert_eq!(written, Vec::<String>::new(), "{name}");
    }
}

/// A user may have resolved the OpsItem meanwhile.
#[test]
fn duplicate_event_does_not_reopen_a_resolved_ops_item() {
    for name in ["alarm-metric", "alarm-composite", "health-issue-s3-get"] {
        let world = world_after(&all_responses(), &[name]);
        world.state().items[0].item.status = Status::Resolved;
        let end = End::of(&world);
        respond(&world, &all_responses(), &event(name)).unwrap();
        assert_eq!(End::of(&world), end, "{name}");
    }
}

#[test]
fn ok_resolves_the_ops_item_and_notifies() {
    const BACK: &str = "The alarm is back to OK.";
    for (begins, ends, meaning) in [
        ("alarm-metric", "alarm-metric-ok", BACK),
        (
            "alarm-heartbeat-silent",
            "alarm-heartbeat-silent-ok",
            "Heartbeats from us-east-1 arrive again.",
        ),
        ("alarm-signals-agree", "alarm-signals-agree-ok", BACK),
    ] {
        let world = world_after(&all_responses(), &[begins]);
        let outcome = assert_outcome!(respond(&world, &all_responses(), &event(ends)), "resolved");
        assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
        let stored = only_item(&world);
        assert_eq!(
            (stored.severity, stored.item.status),
            (Severity::Low, Status::Resolved)
        );
        assert_contains(
            &stored.description,
            &[
                meaning,
                "If a recovery was started, decide whether to continue it.",
            ],
        );
        assert_eq!(notifications(&world).len(), 2);
        // A recovery that was started continues and stays recorded.
        let started = usize::from(begins == "alarm-signals-agree");
        assert_eq!(world.state().executions.len(), started, "{begins}");
        assert_eq!(
            stored.item.data.contains_key("recovery:runbook-execution"),
            started == 1
        );
    }
}

#[test]
fn alarm_delivered_after_its_end_starts_and_notifies_nothing() {
    for (begins, ends) in [
        ("alarm-metric", "alarm-metric-ok"),
        ("alarm-signals-agree", "alarm-signals-agree-ok"),
    ] {
        let world = world_after(&all_responses(), &[ends, begins]);
        let stored = only_item(&world);
        assert_eq!(stored.item.status, Status::Resolved);
        assert!(stored.title.ends_with(" is OK again"), "{}", stored.title);
        assert!(world.state().executions.is_empty());
        assert_eq!(notifications(&world).len(), 1);
    }
}

#[test]
fn ignores_an_ok_without_an_incident() {
    for previous in ["INSUFFICIENT_DATA", "OK", "?"] {
        let ok = event_with(
            "alarm-metric-ok",
            "/detail/previousState/value",
            json!(previous),
        );
        let world = World::new();
        assert_outcome!(
            respond(&world, &all_responses(), &ok),
            "ignored",
            "no-incident"
        );
        let state = world.state();
        assert!(state.items.is_empty() && state.notifications.is_empty());
    }
    // But it ends an open incident: the data returned by way of INSUFFICIENT_DATA.
    let ok = event_with(
        "alarm-metric-ok",
        "/detail/previousState/value",
        json!("INSUFFICIENT_DATA"),
    );
    let world = world_after(&all_responses(), &["alarm-metric"]);
    assert_outcome!(respond(&world, &all_responses(), &ok), "resolved");
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    // It does not end one that ended long ago.
    let long_after = delayed("alarm-metric-ok", TimeDelta::hours(3));
    let mut unknown = long_after;
    unknown["detail"]["previousState"]["value"] = json!("INSUFFICIENT_DATA");
    let end = End::of(&world);
    assert_outcome!(
        respond(&world, &all_responses(), &unknown),
        "ignored",
        "no-incident"
    );
    assert_eq!(End::of(&world), end);
}

/// ALARM and OK in turn, each this many minutes after the alarm of the event files.
fn flapping(begins: &str, ends: &str, minutes: &[i64]) -> Vec<Value> {
    let between = date(
        event(ends)["detail"]["state"]["timestamp"]
            .as_str()
            .unwrap(),
    )
    .unwrap()
        - date(
            event(begins)["detail"]["state"]["timestamp"]
                .as_str()
                .unwrap(),
        )
        .unwrap();
    minutes
        .iter()
        .enumerate()
        .map(|(number, minute)| {
            let minute = TimeDelta::minutes(*minute);
            if number % 2 == 0 {
                delayed(begins, minute)
            } else {
                delayed(ends, minute - between)
            }
        })
        .collect()
}

#[test]
fn flapping_alarm_has_one_ops_item_and_one_recovery() {
    let (begins, ends) = ("alarm-signals-agree", "alarm-signals-agree-ok");
    // Each within an hour after the end before it, although the sequence is longer.
    let world = World::new();
    let changes = flapping(begins, ends, &[0, 10, 30, 45, 100, 110, 169]);
    respond_to_all(&world, &all_responses(), &changes);
    let stored = only_item(&world);
    assert_eq!(stored.item.status, Status::Open);
    assert_eq!(notifications(&world).len(), changes.len());
    assert_eq!(world.state().executions.len(), 1);
    // Everything delivered again, the oldest last: nothing is opened, notified or started.
    let end = End::of(&world);
    let again: Vec<Value> = changes.into_iter().rev().collect();
    respond_to_all(&world, &all_responses(), &again);
    assert_eq!(End::of(&world), end);
    assert_eq!(notifications(&world).len(), again.len());
}

#[test]
fn distinguishes_changes_within_one_second() {
    let ok = |millisecond: i64| {
        flapping("alarm-signals-agree", "alarm-signals-agree-ok", &[0, 0])
            .pop()
            .map(|mut ok| {
                let time =
                    date("2026-10-20T14:05:03Z").unwrap() + TimeDelta::milliseconds(millisecond);
                ok["detail"]["state"]["timestamp"] = json!(time.to_rfc3339());
                ok
            })
            .unwrap()
    };
    // The alarm begins at .226.
    let alarm = event("alarm-signals-agree");
    let world = World::new();
    respond_to_all(
        &world,
        &all_responses(),
        &[alarm.clone(), ok(900), alarm.clone()],
    );
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert_eq!(notifications(&world).len(), 2);
    let world = World::new();
    respond_to_all(&world, &all_responses(), &[alarm.clone(), ok(100)]);
    assert_eq!(only_item(&world).item.status, Status::Open);
}

/// The last notification must not say that the incident is over.
#[test]
fn outdated_ok_does_not_notify_or_resolve() {
    let (begins, ends) = ("alarm-signals-agree", "alarm-signals-agree-ok");
    let world = World::new();
    let mut changes = flapping(begins, ends, &[0, 10, 30]);
    changes.swap(1, 2);
    respond_to_all(&world, &all_responses(), &changes[..2]);
    let outcome = assert_outcome!(respond(&world, &all_responses(), &changes[2]), "responded");
    assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
    let stored = only_item(&world);
    assert_eq!(stored.item.status, Status::Open);
    let notifications = notifications(&world);
    assert_eq!(notifications.len(), 2, "{notifications:#?}");
    assert!(
        notifications
            .iter()
            .all(|(subject, _)| !subject.ends_with("is OK again"))
    );
    assert_eq!(world.state().executions.len(), 1);
}

#[test]
fn alarm_an_hour_later_is_a_new_incident_with_another_recovery() {
    let (begins, ends) = ("alarm-signals-agree", "alarm-signals-agree-ok");
    let changes = flapping(begins, ends, &[0, 10, 71]);
    let world = World::new();
    respond_to_all(&world, &all_responses(), &changes);
    let state = world.state();
    let [first, second] = state.items.as_slice() else {
        panic!("{:#?}", state.items);
    };
    assert_eq!(first.key, second.key);
    assert_eq!(
        (first.item.status, second.item.status),
        (Status::Resolved, Status::Open)
    );
    assert!(!is_duplicate(first));
    assert_eq!(state.notifications.len(), 3);
    assert_eq!(state.executions.len(), 2, "with another token");
    let execution = |item: &StoredItem| item.item.data["recovery:runbook-execution"].clone();
    assert_ne!(execution(first), execution(second));
    let about: BTreeSet<String> = state
        .executions
        .values()
        .map(|(_, parameters)| parameters[1].1.clone())
        .collect();
    assert_eq!(about, ["oi-1", "oi-2"].map(str::to_owned).into());
    drop(state);
    // Everything delivered again.
    let end = End::of(&world);
    respond_to_all(&world, &all_responses(), &changes);
    assert_eq!(End::of(&world), end);
    // The second one ends without the first.
    let over = flapping(begins, ends, &[0, 80]).pop().unwrap();
    assert_outcome!(respond(&world, &all_responses(), &over), "resolved");
    let state = world.state();
    assert_eq!(state.items.len(), 2);
    assert_eq!(state.items[1].item.status, Status::Resolved);
}

/// An alarm that stays in ALARM is one incident, however long it lasts.
#[test]
fn ok_after_days_resolves_the_original_ops_item() {
    let changes = flapping("alarm-metric", "alarm-metric-ok", &[0, 5_000]);
    let world = World::new();
    respond_to_all(&world, &all_responses(), &changes);
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

#[test]
fn starts_the_recovery_when_the_suppressor_wait_ends() {
    // The same change before and after the wait for its suppressor.
    let world = world_after(&all_responses(), &["alarm-composite-suppressed"]);
    assert_contains(
        &only_item(&world).description,
        &["which may still suppress it"],
    );
    assert!(world.state().executions.is_empty());
    let outcome = assert_outcome!(
        respond(&world, &all_responses(), &event("alarm-composite")),
        "responded"
    );
    assert!(outcome.id("automationExecutionId").is_some());
    assert_eq!(world.state().executions.len(), 1);
    assert_eq!(notifications(&world).len(), 1, "it is one notification");
    only_item(&world);
}

#[test]
fn muted_or_suppressed_ok_resolves_an_open_incident() {
    for (name, pointer, value) in [
        (
            "alarm-metric-ok",
            "/detail/muteDetail",
            json!({"mutedByArn": "x"}),
        ),
        (
            "alarm-metric-ok",
            "/detail/state/actionsSuppressedBy",
            json!("Alarm"),
        ),
    ] {
        let world = world_after(&all_responses(), &["alarm-metric"]);
        let ok = event_with(name, pointer, value);
        assert_outcome!(respond(&world, &all_responses(), &ok), "resolved");
        assert_eq!(only_item(&world).item.status, Status::Resolved);
    }
}

#[test]
fn same_alarm_in_two_regions_is_two_incidents() {
    let world = world_after(
        &all_responses(),
        &["alarm-metric", "alarm-metric-forwarded"],
    );
    let state = world.state();
    assert_eq!(state.items.len(), 2);
    let regions: Vec<&str> = state
        .items
        .iter()
        .map(|item| item.item.data["recovery:region"].as_str())
        .collect();
    assert_eq!(regions, ["us-west-2", "us-east-1"]);
}

/// The items that each item refers to.
fn related(world: &World) -> Vec<Vec<String>> {
    let state = world.state();
    state
        .items
        .iter()
        .map(|item| item.related.iter().map(ToString::to_string).collect())
        .collect()
}

#[test]
fn relates_open_incidents_to_each_other() {
    let both = [vec!["oi-2".to_owned()], vec!["oi-1".to_owned()]];
    for order in [
        ["alarm-composite", "health-multiple-services"],
        ["health-multiple-services", "alarm-composite"],
    ] {
        let world = world_after(&all_responses(), &order);
        assert_eq!(related(&world), both, "{order:?}");
        for item in &world.state().items {
            assert_eq!(
                item.item.data["recovery:related"],
                item.related[0].to_string()
            );
        }
        // The relation does not decide which of them starts a recovery: each has another token, and the
        // runbook checks whether one is already running.
        assert_eq!(world.state().executions.len(), 2);
        // A repeated delivery updates nothing.
        let calls = world.calls().len();
        respond(&world, &all_responses(), &event(order[0])).unwrap();
        let updates = world.calls()[calls..]
            .iter()
            .filter(|call| call.starts_with("ssm:UpdateOpsItem"))
            .count();
        assert_eq!(updates, 0, "{order:?}");
    }
}

#[test]
fn relates_new_incidents_only_to_open_ones() {
    let names = [
        "alarm-composite",
        "health-multiple-services",
        "alarm-heartbeat-silent",
    ];
    let world = world_after(&all_responses(), &names);
    let ids = |ids: &[&str]| -> Vec<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
    assert_eq!(
        related(&world),
        [
            ids(&["oi-2", "oi-3"]),
            ids(&["oi-1", "oi-3"]),
            ids(&["oi-1", "oi-2"])
        ]
    );
    // The Health incident ends. Existing relations stay; a later incident is related to the open ones.
    respond(
        &world,
        &all_responses(),
        &event("health-multiple-services-closed"),
    )
    .unwrap();
    respond(&world, &all_responses(), &event("alarm-metric-math")).unwrap();
    assert_eq!(
        related(&world),
        [
            ids(&["oi-3", "oi-4"]),
            ids(&["oi-1", "oi-3"]),
            ids(&["oi-1", "oi-4"]),
            ids(&["oi-1", "oi-3"])
        ]
    );
    // OpsItems of jobs are not incidents.
    let world = World::new();
    finish(opsitem_creator::handle(
        &Disturbed::not(&world),
        DRILL_ROLE,
        &event("copy-failed"),
    ))
    .unwrap();
    respond(&world, &all_responses(), &event("alarm-composite")).unwrap();
    assert_eq!(related(&world), [ids(&[]), ids(&[])]);
}

#[test]
fn relates_at_most_ten_ops_items() {
    let world = World::new();
    for number in 0..14 {
        let mut event = event("alarm-metric");
        event["resources"] = json!([format!(
            "arn:aws:cloudwatch:us-west-2:111122223333:alarm:recovery-{number}"
        )]);
        respond(&world, &all_responses(), &event).unwrap();
    }
    for (item, related) in related(&world).iter().enumerate() {
        assert_eq!(related.len(), 10, "item {item}");
        assert!(!related.contains(&format!("oi-{}", item + 1)));
    }
}

/// Two runs created an OpsItem at the same time, and the younger run stopped before it resolved its own.
#[test]
fn resolves_a_younger_duplicate_ops_item() {
    for (name, kind) in [
        ("alarm-metric", "alarm"),
        ("health-issue-s3-get", "health-event"),
    ] {
        let world = world_after(&all_responses(), &[name]);
        let key = only_item(&world).key;
        let twin = NewOpsItem {
            key: ItemKey::new("other", "key"),
            title: "twin".to_owned(),
            description: "twin".to_owned(),
            severity: Severity::High,
            category: "Availability",
            data: [("recovery:kind", "incident".to_owned())].into(),
        };
        finish(async {
            world.create(&twin).await?;
            Ok(Outcome::tracked())
        })
        .unwrap();
        world.state().items[1].key = key.clone();
        assert!(key.as_str().starts_with(kind));
        let outcome = assert_outcome!(respond(&world, &all_responses(), &event(name)), "responded");
        assert_eq!(outcome.id("opsItemId"), Some("oi-1"), "{name}");
        let state = world.state();
        let [first, second] = state.items.as_slice() else {
            panic!("{:#?}", state.items);
        };
        assert_eq!(first.item.status, Status::Open, "{name}");
        assert!(is_duplicate(second), "{name}: {second:#?}");
        assert_contains(&second.description, &["oi-1"]);
        assert_eq!(
            first.related,
            [],
            "{name}: a duplicate is not another incident"
        );
        assert_eq!(state.notifications.len(), 1, "{name}");
    }
}

#[test]
fn starts_no_recovery_without_an_ops_item() {
    let untracked = Policy {
        responses: vec![Response::Notify, Response::Recover],
        ..all_responses()
    };
    let world = world_after(&untracked, &["alarm-composite"]);
    assert_eq!(notifications(&world).len(), 1);
    let state = world.state();
    assert!(state.executions.is_empty() && state.items.is_empty());
}

#[test]
fn ignores_other_events_without_a_call() {
    for (name, reason) in [
        ("health-multiple-services", "source"),
        ("heartbeat", "source"),
        ("restore-completed-ebs", "source"),
        ("alarm-contributor", "detail-type"),
    ] {
        let world = World::new();
        let answer = finish(alarm_responder::handle(
            &Disturbed::not(&world),
            &all_responses(),
            &event(name),
        ));
        assert_outcome!(answer, "ignored", Some(reason));
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn names_the_missing_member_of_an_alarm() {
    for (pointer, field) in [
        ("/detail/alarmName", "detail.alarmName"),
        ("/detail/state/value", "detail.state.value"),
    ] {
        for value in [json!(null), json!(""), json!({}), json!([])] {
            let event = event_with("alarm-metric", pointer, value);
            let world = World::new();
            let error = respond(&world, &all_responses(), &event).unwrap_err();
            assert_eq!(error.error_type(), "Permanent");
            assert_contains(&error.to_string(), &[field, "events/"]);
            assert_eq!(world.calls(), Vec::<String>::new());
        }
    }
}
