//! `AlarmStateRule`: an alarm changed its state. alarm-responder keeps one OpsItem for each incident
//! of an alarm, tells people, and starts the recovery runbook where several signs agree and the owner
//! chose so.

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

use super::{assert_contains, assert_outcome, only_item, told};

const RUNBOOK: &str = "StartRegionRecovery";

/// Track and notify, as the template's defaults say.
fn watching() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify],
        runbook: None,
        other_runbooks: Vec::new(),
    }
}

/// Everything.
pub(super) fn recovering() -> Policy {
    Policy {
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some(RUNBOOK.to_owned()),
        ..watching()
    }
}

/// Hands the event to the function that its rule invokes.
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
pub(super) fn after(policy: &Policy, names: &[&str]) -> World {
    let world = World::new();
    let events: Vec<Value> = names.iter().map(|name| event(name)).collect();
    respond_to_all(&world, policy, &events);
    world
}

/// The event as if the alarm had changed its state so much later.
fn later(name: &str, by: TimeDelta) -> Value {
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

/// What one event alone leads to.
enum Leads {
    /// To this outcome, and nothing else.
    Nowhere(&'static str),
    /// To an open incident, a message and, perhaps, a recovery.
    To(Severity, Recovery),
    /// To an incident that is over when it is first heard of.
    ToItsEnd,
}

#[derive(PartialEq)]
enum Recovery {
    Starts,
    DoesNotStart,
}

/// Every file of an alarm.
const FILES: &[(&str, Leads)] = {
    use Leads::{Nowhere, To, ToItsEnd};
    use Recovery::{DoesNotStart, Starts};
    use Severity::{Critical, High};
    &[
        ("alarm-metric", To(High, DoesNotStart)),
        ("alarm-metric-new", To(High, DoesNotStart)),
        ("alarm-metric-forwarded", To(High, DoesNotStart)),
        ("alarm-metric-math", To(High, DoesNotStart)),
        ("alarm-anomaly-detection", To(High, DoesNotStart)),
        ("alarm-multi-time-series", To(High, DoesNotStart)),
        ("alarm-heartbeat-silent", To(High, DoesNotStart)),
        // No rule lets these through; alarm-responder takes every alarm that arrives.
        ("alarm-metric-other-name", To(High, DoesNotStart)),
        ("alarm-of-this-stack", To(High, DoesNotStart)),
        ("alarm-composite", To(Critical, Starts)),
        ("alarm-signals-agree", To(Critical, Starts)),
        // Nobody knows yet whether it will be suppressed.
        ("alarm-composite-suppressed", To(Critical, DoesNotStart)),
        ("alarm-metric-ok", ToItsEnd),
        ("alarm-heartbeat-silent-ok", ToItsEnd),
        ("alarm-signals-agree-ok", ToItsEnd),
        (
            "alarm-metric-insufficient-data",
            Nowhere("insufficient-data"),
        ),
        ("alarm-metric-muted", Nowhere("muted")),
        ("alarm-composite-suppressed-by-alarm", Nowhere("suppressed")),
        ("alarm-contributor", Nowhere("detail-type")),
        ("alarm-configuration-changed", Nowhere("detail-type")),
    ]
};

#[test]
fn every_alarm_leads_where_it_should_and_only_several_signs_start_a_recovery() {
    let known: BTreeSet<&str> = FILES.iter().map(|(name, _)| *name).collect();
    let files: BTreeSet<&str> = events()
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("alarm-"))
        .collect();
    assert_eq!(known, files);
    for (name, leads) in FILES {
        let event = event(name);
        let world = World::new();
        let outcome = respond(&world, &recovering(), &event).unwrap();
        let alarm = event["detail"]["alarmName"].as_str().unwrap();
        let region = event["region"].as_str().unwrap();
        // A name with spaces makes no ARN as others are.
        let key = if alarm.contains(' ') {
            format!("alarm/111122223333/{region}/{alarm}")
        } else {
            format!("alarm/{}", event["resources"][0].as_str().unwrap())
        };
        let executions: Vec<String> = world.state().executions.keys().cloned().collect();
        match leads {
            Leads::Nowhere(reason) => {
                assert_eq!(
                    (outcome.kind(), outcome.reason()),
                    ("ignored", Some(*reason)),
                    "{name}"
                );
                assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
            }
            Leads::To(severity, recovery) => {
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
                let told = told(&world);
                assert_eq!(told.len(), 1, "{name}");
                assert_eq!(told[0].0, stored.title, "{name}");
                assert_contains(&told[0].1, &[action, "OpsItem: oi-1"]);
                let starts = usize::from(*recovery == Recovery::Starts);
                assert_eq!(executions.len(), starts, "{name}");
                let started = executions.first().map(|token| format!("execution-{token}"));
                assert_eq!(
                    outcome.id("automationExecutionId"),
                    started.as_deref(),
                    "{name}"
                );
            }
            Leads::ToItsEnd => {
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
                assert_eq!(told(&world).len(), 1, "{name}");
                assert!(executions.is_empty(), "{name}");
            }
        }
    }
}

#[test]
fn an_alarm_is_tracked_and_told_in_this_order() {
    let event = event("alarm-metric-math");
    let world = World::new();
    assert_outcome!(respond(&world, &watching(), &event), "responded");
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
    let world = after(&watching(), &["alarm-anomaly-detection"]);
    assert_contains(
        &only_item(&world).description,
        &[
            "A metric of the workload is outside its expected band.",
            "- Alarm: `recovery-orders per minute out of band`",
        ],
    );
    let world = after(&recovering(), &["alarm-composite"]);
    assert_contains(
        &only_item(&world).description,
        &[
            "Several signals together show that the workload is impaired.",
            "The recovery runbook is `StartRegionRecovery`.",
        ],
    );
}

#[test]
fn a_second_delivery_makes_no_difference_and_writes_nothing() {
    for (name, _) in FILES {
        let event = event(name);
        let world = World::new();
        respond(&world, &recovering(), &event).unwrap();
        let (end, calls) = (End::of(&world), world.calls().len());
        respond(&world, &recovering(), &event).unwrap();
        assert_eq!(End::of(&world), end, "{name}");
        let written: Vec<String> = world.calls()[calls..]
            .iter()
            .filter(|call| !call.starts_with("ssm:DescribeOpsItems"))
            .cloned()
            .collect();
        assert_eq!(written, Vec::<String>::new(), "{name}");
    }
}

/// A person may have resolved the item meanwhile; the event is not news.
#[test]
fn a_second_delivery_does_not_open_what_a_person_resolved() {
    for name in ["alarm-metric", "alarm-composite", "health-issue-s3-get"] {
        let world = after(&recovering(), &[name]);
        world.state().items[0].item.status = Status::Resolved;
        let end = End::of(&world);
        respond(&world, &recovering(), &event(name)).unwrap();
        assert_eq!(End::of(&world), end, "{name}");
    }
}

#[test]
fn the_end_of_an_alarm_resolves_its_item_and_is_told() {
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
        let world = after(&recovering(), &[begins]);
        let outcome = assert_outcome!(respond(&world, &recovering(), &event(ends)), "resolved");
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
                "If a recovery was started, decide whether to go on with it.",
            ],
        );
        assert_eq!(told(&world).len(), 2);
        // What was started goes on, and is written down.
        let started = usize::from(begins == "alarm-signals-agree");
        assert_eq!(world.state().executions.len(), started, "{begins}");
        assert_eq!(
            stored.item.data.contains_key("recovery:runbook-execution"),
            started == 1
        );
    }
}

#[test]
fn an_alarm_heard_of_after_its_end_starts_nothing_and_alarms_nobody() {
    for (begins, ends) in [
        ("alarm-metric", "alarm-metric-ok"),
        ("alarm-signals-agree", "alarm-signals-agree-ok"),
    ] {
        let world = after(&recovering(), &[ends, begins]);
        let stored = only_item(&world);
        assert_eq!(stored.item.status, Status::Resolved);
        assert!(stored.title.ends_with(" is OK again"), "{}", stored.title);
        assert!(world.state().executions.is_empty());
        assert_eq!(told(&world).len(), 1);
    }
}

#[test]
fn an_ok_that_ends_no_alarm_is_no_incident() {
    for previous in ["INSUFFICIENT_DATA", "OK", "?"] {
        let ok = event_with(
            "alarm-metric-ok",
            "/detail/previousState/value",
            json!(previous),
        );
        let world = World::new();
        assert_outcome!(
            respond(&world, &recovering(), &ok),
            "ignored",
            "no-incident"
        );
        let state = world.state();
        assert!(state.items.is_empty() && state.notifications.is_empty());
    }
    // But it is the end of one that is there: the data came back by way of INSUFFICIENT_DATA.
    let ok = event_with(
        "alarm-metric-ok",
        "/detail/previousState/value",
        json!("INSUFFICIENT_DATA"),
    );
    let world = after(&recovering(), &["alarm-metric"]);
    assert_outcome!(respond(&world, &recovering(), &ok), "resolved");
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    // Of one that ended long ago it is none.
    let long_after = later("alarm-metric-ok", TimeDelta::hours(3));
    let mut unknown = long_after;
    unknown["detail"]["previousState"]["value"] = json!("INSUFFICIENT_DATA");
    let end = End::of(&world);
    assert_outcome!(
        respond(&world, &recovering(), &unknown),
        "ignored",
        "no-incident"
    );
    assert_eq!(End::of(&world), end);
}

/// ALARM and OK, each so many minutes after the alarm of the event files.
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
                later(begins, minute)
            } else {
                later(ends, minute - between)
            }
        })
        .collect()
}

#[test]
fn flapping_opens_no_second_item_and_starts_one_recovery() {
    let (begins, ends) = ("alarm-signals-agree", "alarm-signals-agree-ok");
    // Each within an hour of the end before it, though the whole takes longer.
    let world = World::new();
    let changes = flapping(begins, ends, &[0, 10, 30, 45, 100, 110, 169]);
    respond_to_all(&world, &recovering(), &changes);
    let stored = only_item(&world);
    assert_eq!(stored.item.status, Status::Open);
    assert_eq!(told(&world).len(), changes.len());
    assert_eq!(world.state().executions.len(), 1);
    // Everything delivered once more, the oldest last: nothing is opened, told or started.
    let end = End::of(&world);
    let again: Vec<Value> = changes.into_iter().rev().collect();
    respond_to_all(&world, &recovering(), &again);
    assert_eq!(End::of(&world), end);
    assert_eq!(told(&world).len(), again.len());
}

#[test]
fn two_changes_within_one_second_are_told_apart() {
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
        &recovering(),
        &[alarm.clone(), ok(900), alarm.clone()],
    );
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert_eq!(told(&world).len(), 2);
    let world = World::new();
    respond_to_all(&world, &recovering(), &[alarm.clone(), ok(100)]);
    assert_eq!(only_item(&world).item.status, Status::Open);
}

/// Whoever reads the last message must not take the trouble for over.
#[test]
fn an_end_that_is_told_of_after_the_next_trouble_calms_nobody() {
    let (begins, ends) = ("alarm-signals-agree", "alarm-signals-agree-ok");
    let world = World::new();
    let mut changes = flapping(begins, ends, &[0, 10, 30]);
    changes.swap(1, 2);
    respond_to_all(&world, &recovering(), &changes[..2]);
    let outcome = assert_outcome!(respond(&world, &recovering(), &changes[2]), "responded");
    assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
    let stored = only_item(&world);
    assert_eq!(stored.item.status, Status::Open);
    let told = told(&world);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told.iter()
            .all(|(subject, _)| !subject.ends_with("is OK again"))
    );
    assert_eq!(world.state().executions.len(), 1);
}

#[test]
fn the_same_alarm_long_after_is_another_incident_and_may_start_another_recovery() {
    let (begins, ends) = ("alarm-signals-agree", "alarm-signals-agree-ok");
    let changes = flapping(begins, ends, &[0, 10, 71]);
    let world = World::new();
    respond_to_all(&world, &recovering(), &changes);
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
    assert_eq!(state.executions.len(), 2, "with a token of its own");
    let execution = |item: &StoredItem| item.item.data["recovery:runbook-execution"].clone();
    assert_ne!(execution(first), execution(second));
    let about: BTreeSet<String> = state
        .executions
        .values()
        .map(|(_, parameters)| parameters[1].1.clone())
        .collect();
    assert_eq!(about, ["oi-1", "oi-2"].map(str::to_owned).into());
    drop(state);
    // All of it once more.
    let end = End::of(&world);
    respond_to_all(&world, &recovering(), &changes);
    assert_eq!(End::of(&world), end);
    // And the second one ends without the first.
    let over = flapping(begins, ends, &[0, 80]).pop().unwrap();
    assert_outcome!(respond(&world, &recovering(), &over), "resolved");
    let state = world.state();
    assert_eq!(state.items.len(), 2);
    assert_eq!(state.items[1].item.status, Status::Resolved);
}

/// An alarm that stays is one incident, however long it takes.
#[test]
fn an_alarm_that_lasts_for_days_ends_its_own_item() {
    let changes = flapping("alarm-metric", "alarm-metric-ok", &[0, 5_000]);
    let world = World::new();
    respond_to_all(&world, &recovering(), &changes);
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

#[test]
fn a_wait_that_is_over_starts_what_it_held_back() {
    // The same change, told before and after its suppressor was waited for.
    let world = after(&recovering(), &["alarm-composite-suppressed"]);
    assert_contains(
        &only_item(&world).description,
        &["it may be suppressed yet"],
    );
    assert!(world.state().executions.is_empty());
    let outcome = assert_outcome!(
        respond(&world, &recovering(), &event("alarm-composite")),
        "responded"
    );
    assert!(outcome.id("automationExecutionId").is_some());
    assert_eq!(world.state().executions.len(), 1);
    assert_eq!(told(&world).len(), 1, "it is one message");
    only_item(&world);
}

#[test]
fn what_is_silenced_may_end_what_it_opened_before() {
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
        let world = after(&recovering(), &["alarm-metric"]);
        let ok = event_with(name, pointer, value);
        assert_outcome!(respond(&world, &recovering(), &ok), "resolved");
        assert_eq!(only_item(&world).item.status, Status::Resolved);
    }
}

#[test]
fn one_alarm_of_two_regions_is_two_incidents() {
    let world = after(&recovering(), &["alarm-metric", "alarm-metric-forwarded"]);
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
fn incidents_that_are_open_together_refer_to_each_other() {
    let both = [vec!["oi-2".to_owned()], vec!["oi-1".to_owned()]];
    for order in [
        ["alarm-composite", "health-multiple-services"],
        ["health-multiple-services", "alarm-composite"],
    ] {
        let world = after(&recovering(), &order);
        assert_eq!(related(&world), both, "{order:?}");
        for item in &world.state().items {
            assert_eq!(
                item.item.data["recovery:related"],
                item.related[0].to_string()
            );
        }
        // Which of them may start a recovery is not for the relation to say: each has a token of its
        // own, and the runbook looks whether one runs already.
        assert_eq!(world.state().executions.len(), 2);
        // Nothing of it is written again.
        let calls = world.calls().len();
        respond(&world, &recovering(), &event(order[0])).unwrap();
        let updates = world.calls()[calls..]
            .iter()
            .filter(|call| call.starts_with("ssm:UpdateOpsItem"))
            .count();
        assert_eq!(updates, 0, "{order:?}");
    }
}

#[test]
fn a_third_incident_joins_and_one_that_is_over_is_not_joined() {
    let names = [
        "alarm-composite",
        "health-multiple-services",
        "alarm-heartbeat-silent",
    ];
    let world = after(&recovering(), &names);
    let ids = |ids: &[&str]| -> Vec<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
    assert_eq!(
        related(&world),
        [
            ids(&["oi-2", "oi-3"]),
            ids(&["oi-1", "oi-3"]),
            ids(&["oi-1", "oi-2"])
        ]
    );
    // The Health incident ends: what was related stays so, as a record; who comes later is related
    // to what is open.
    respond(
        &world,
        &recovering(),
        &event("health-multiple-services-closed"),
    )
    .unwrap();
    respond(&world, &recovering(), &event("alarm-metric-math")).unwrap();
    assert_eq!(
        related(&world),
        [
            ids(&["oi-3", "oi-4"]),
            ids(&["oi-1", "oi-3"]),
            ids(&["oi-1", "oi-4"]),
            ids(&["oi-1", "oi-3"])
        ]
    );
    // Items of jobs are no incidents.
    let world = World::new();
    finish(opsitem_creator::handle(
        &Disturbed::not(&world),
        DRILL_ROLE,
        &event("copy-failed"),
    ))
    .unwrap();
    respond(&world, &recovering(), &event("alarm-composite")).unwrap();
    assert_eq!(related(&world), [ids(&[]), ids(&[])]);
}

#[test]
fn an_item_refers_to_ten_others_at_most() {
    let world = World::new();
    for number in 0..14 {
        let mut event = event("alarm-metric");
        event["resources"] = json!([format!(
            "arn:aws:cloudwatch:us-west-2:111122223333:alarm:recovery-{number}"
        )]);
        respond(&world, &recovering(), &event).unwrap();
    }
    for (item, related) in related(&world).iter().enumerate() {
        assert_eq!(related.len(), 10, "item {item}");
        assert!(!related.contains(&format!("oi-{}", item + 1)));
    }
}

/// Two runs made an item at the same moment, and the younger one died before it could tell.
#[test]
fn a_younger_open_duplicate_is_resolved_when_it_is_found() {
    for (name, kind) in [
        ("alarm-metric", "alarm"),
        ("health-issue-s3-get", "health-event"),
    ] {
        let world = after(&recovering(), &[name]);
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
        let outcome = assert_outcome!(respond(&world, &recovering(), &event(name)), "responded");
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
            "{name}: a duplicate is no other incident"
        );
        assert_eq!(state.notifications.len(), 1, "{name}");
    }
}

#[test]
fn without_an_ops_item_no_alarm_starts_a_recovery() {
    let untracked = Policy {
        responses: vec![Response::Notify, Response::Recover],
        ..recovering()
    };
    let world = after(&untracked, &["alarm-composite"]);
    assert_eq!(told(&world).len(), 1);
    let state = world.state();
    assert!(state.executions.is_empty() && state.items.is_empty());
}

#[test]
fn what_is_no_alarm_is_ignored_without_a_call() {
    for (name, reason) in [
        ("health-multiple-services", "source"),
        ("heartbeat", "source"),
        ("restore-completed-ebs", "source"),
        ("alarm-contributor", "detail-type"),
    ] {
        let world = World::new();
        let answer = finish(alarm_responder::handle(
            &Disturbed::not(&world),
            &recovering(),
            &event(name),
        ));
        assert_outcome!(answer, "ignored", Some(reason));
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_event_without_its_alarm_or_state_says_what_is_missing() {
    for (pointer, field) in [
        ("/detail/alarmName", "detail.alarmName"),
        ("/detail/state/value", "detail.state.value"),
    ] {
        for value in [json!(null), json!(""), json!({}), json!([])] {
            let event = event_with("alarm-metric", pointer, value);
            let world = World::new();
            let error = respond(&world, &recovering(), &event).unwrap_err();
            assert_eq!(error.error_type(), "Permanent");
            assert_contains(&error.to_string(), &[field, "events/"]);
            assert_eq!(world.calls(), Vec::<String>::new());
        }
    }
}
