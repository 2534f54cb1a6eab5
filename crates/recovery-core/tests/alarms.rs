//! Health events and alarms in any order: however the messages about one incident are split into pages,
//! reordered and repeated, the result is that of the newest message, and at most one recovery starts.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use recovery_core::detect::run::{handle_alarm, handle_health};
use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::fakes::{Failure, StoredItem, World};
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

const HEALTH: &str =
    "arn:aws:health:us-east-1::event/S3/AWS_S3_OPERATIONAL_ISSUE/AWS_S3_OPERATIONAL_ISSUE_1";
const ALARM: &str = "arn:aws:cloudwatch:us-west-2:111122223333:alarm:recovery-signals-agree";

/// What kind of signal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Health,
    Alarm,
}

/// One message of AWS about the incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    /// Milliseconds since the first message.
    at: i64,
    /// Whether it ends the incident.
    over: bool,
    /// Number of pages. An alarm has one.
    pages: usize,
}

fn policy() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some("StartRegionRecovery".to_owned()),
        other_runbooks: Vec::new(),
    }
}

fn time(at: i64) -> DateTime<Utc> {
    recovery_core::event::date("2026-11-23T05:00:00.250Z").unwrap() + TimeDelta::milliseconds(at)
}

/// The text that identifies a message.
fn text_of(number: usize) -> String {
    format!("Message {number} of AWS.")
}

/// A page of a message, as EventBridge delivers it.
fn event(kind: Kind, number: usize, said: Said, page: usize) -> Value {
    let at = time(said.at);
    match kind {
        Kind::Health => json!({
            "version": "0", "id": "e", "source": "aws.health", "detail-type": "AWS Health Event",
            "account": "111122223333", "region": "us-east-1", "time": "2026-11-23T09:00:00Z",
            "resources": [],
            "detail": {
                "eventArn": HEALTH, "service": "S3", "eventTypeCode": "AWS_S3_OPERATIONAL_ISSUE",
                "eventTypeCategory": "issue", "eventScopeCode": "PUBLIC",
                "communicationId": format!("message{number}x-{page}"),
                "page": page.to_string(), "totalPages": said.pages.to_string(),
                "startTime": "Mon, 23 Nov 2026 04:58:00 GMT",
                "lastUpdatedTime": at.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
                "statusCode": if said.over { "closed" } else { "open" },
                "eventRegion": "us-east-1",
                "eventDescription": [{"language": "en_US", "latestDescription": text_of(number)}],
                "affectedEntities": [{
                    "entityValue": format!("arn:aws:s3:::bucket-{number}-{page}"),
                }],
            },
        }),
        Kind::Alarm => json!({
            "version": "0", "id": "e", "source": "aws.cloudwatch",
            "detail-type": "CloudWatch Alarm State Change",
            "account": "111122223333", "region": "us-west-2", "time": "2026-11-23T09:00:00Z",
            "resources": [ALARM],
            "detail": {
                "alarmName": "recovery-signals-agree",
                "state": {
                    "value": if said.over { "OK" } else { "ALARM" },
                    "reason": text_of(number),
                    "timestamp": at.format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string(),
                },
                "previousState": {"value": if said.over { "ALARM" } else { "OK" }},
                "configuration": {"alarmRule": "ALARM(a) AND ALARM(b)"},
            },
        }),
    }
}

async fn deliver(kind: Kind, world: &World, payload: &Value) -> Result<Outcome, Error> {
    match kind {
        Kind::Health => handle_health(world, &policy(), payload).await,
        Kind::Alarm => handle_alarm(world, &policy(), payload).await,
    }
}

/// Delivers each until it succeeds, as Lambda does.
fn deliver_all(kind: Kind, world: &World, said: &[Said], order: &[(usize, usize)]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (number, page) in order {
        let payload = event(kind, *number, said[*number], *page);
        let done = (0..10).any(|_| runtime.block_on(deliver(kind, world, &payload)).is_ok());
        assert!(done, "{:#?}", world.calls());
    }
}

/// Every page of every message, in the order of publication.
fn in_order(said: &[Said]) -> Vec<(usize, usize)> {
    said.iter()
        .enumerate()
        .flat_map(|(number, said)| (1..=said.pages).map(move |page| (number, page)))
        .collect()
}

/// Messages that open, update and close the incident, each newer than the one before, those of an alarm
/// within the flapping period. Every page is delivered twice, in any order.
fn messages_and_deliveries(kind: Kind) -> impl Strategy<Value = (Vec<Said>, Vec<(usize, usize)>)> {
    let gap = match kind {
        // Times of AWS Health are whole seconds.
        Kind::Health => (1..7_200_i64).prop_map(|seconds| seconds * 1_000).boxed(),
        // All within an hour; sometimes two changes within a second.
        Kind::Alarm => prop_oneof![1..1_000_i64, 1_000..400_000_i64].boxed(),
    };
    let one = (gap, any::<bool>(), 1..=3_usize);
    prop::collection::vec(one, 1..8)
        .prop_map(move |drawn| {
            let mut at = 0;
            drawn
                .into_iter()
                .enumerate()
                .map(|(number, (gap, over, pages))| {
                    at += gap;
                    match kind {
                        Kind::Health => Said { at, over, pages },
                        // The state alternates and begins with ALARM.
                        Kind::Alarm => Said {
                            at,
                            over: number % 2 == 1,
                            pages: 1,
                        },
                    }
                })
                .collect::<Vec<Said>>()
        })
        .prop_flat_map(|said| {
            let mut all = in_order(&said);
            all.extend(all.clone());
            (Just(said), Just(all).prop_shuffle())
        })
}

/// The only OpsItem of this world. There is no duplicate.
fn only_item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    items.into_iter().next().unwrap()
}

/// The number of notifications for each message. Their subjects must say whether it ends the incident.
fn notified(world: &World, said: &[Said]) -> BTreeMap<usize, usize> {
    let mut notified = BTreeMap::new();
    for notification in &world.state().notifications {
        let number = (0..said.len())
            .find(|number| notification.message.contains(&text_of(*number)))
            .unwrap();
        let over = ["resolved", "is OK again"]
            .iter()
            .any(|end| notification.subject.ends_with(end));
        assert_eq!(over, said[number].over, "{}", notification.subject);
        *notified.entry(number).or_insert(0) += 1;
    }
    notified
}

/// The messages to notify of: each that reports the current state when it is delivered. An outdated
/// state is never notified.
fn expected_notifications(said: &[Said], order: &[(usize, usize)]) -> BTreeSet<usize> {
    let mut newest = None;
    let mut notified = BTreeSet::new();
    for (number, _) in order {
        newest = newest.max(Some(*number));
        if newest.is_some_and(|newest| said[newest].over == said[*number].over) {
            notified.insert(*number);
        }
    }
    notified
}

/// Whether an open incident was delivered while it was the current state.
fn may_recover(said: &[Said], order: &[(usize, usize)]) -> bool {
    expected_notifications(said, order)
        .iter()
        .any(|number| !said[*number].over)
}

/// The result that must not depend on the order: status, severity, title, description, time, resources.
fn end(world: &World) -> (bool, Severity, String, String, String, BTreeSet<String>) {
    let item = only_item(world);
    let resources: Vec<Value> = item
        .item
        .data
        .get("/aws/resources")
        .map(|listed| serde_json::from_str(listed).unwrap())
        .unwrap_or_default();
    (
        item.item.status == Status::Resolved,
        item.severity,
        item.title,
        item.description,
        ["recovery:latest-trouble", "recovery:latest-end"]
            .iter()
            .filter_map(|key| item.item.data.get(*key).cloned())
            .max_by_key(|time| recovery_core::event::date(time))
            .unwrap(),
        resources
            .iter()
            .map(|resource| resource["arn"].as_str().unwrap().to_owned())
            .collect(),
    )
}

fn check(kind: Kind, said: &[Said], order: &[(usize, usize)], failures: &[Scripted]) {
    let plain = World::new();
    deliver_all(kind, &plain, said, &in_order(said));
    // Delivered in order, every message is notified.
    let everything: BTreeSet<usize> = (0..said.len()).collect();
    assert_eq!(
        notified(&plain, said).into_keys().collect::<BTreeSet<_>>(),
        everything
    );

    let world = World::new();
    for (operation, passes, failure) in failures {
        for _ in 0..*passes {
            world.pass(operation);
        }
        world.fail(operation, *failure);
    }
    deliver_all(kind, &world, said, order);
    let (mut came, mut should) = (end(&world), end(&plain));
    if !failures.is_empty() {
        // A run does not fail if the affected resources cannot be added.
        assert!(came.5.is_subset(&should.5));
        (came.5, should.5) = Default::default();
    }
    assert_eq!(came, should);
    let newest = said.len() - 1;
    let item = only_item(&world);
    assert_eq!(item.item.status == Status::Resolved, said[newest].over);
    assert!(
        item.description.contains(&text_of(newest)),
        "{}",
        item.description
    );

    let heard = notified(&world, said);
    let promised = expected_notifications(said, order);
    assert!(promised.contains(&newest));
    let heard_of = heard.keys().copied().collect::<BTreeSet<_>>();
    if failures.is_empty() {
        assert_eq!(heard_of, promised);
    } else {
        // If the OpsItem cannot be read, an outdated notification is better than none.
        assert!(heard_of.is_superset(&promised));
    }
    let written = item.item.data["recovery:notified"].split(' ').count();
    assert_eq!(written, promised.len());
    if failures.is_empty() {
        assert!(heard.values().all(|times| *times == 1), "{heard:?}");
    }

    let recovers = usize::from(may_recover(said, order));
    let executions = world.state().executions.clone();
    match kind {
        // Its recovery needs no OpsItem, so it may start if none can be read.
        Kind::Health if !failures.is_empty() => {
            assert!((recovers..=1).contains(&executions.len()));
        }
        Kind::Health | Kind::Alarm => assert_eq!(executions.len(), recovers),
    }
    let noted = item.item.data.get("recovery:runbook-execution").cloned();
    let started = executions
        .keys()
        .next()
        .map(|token| format!("execution-{token}"));
    if recovers == 1 {
        assert_eq!(noted, started);
    } else {
        assert_eq!(noted, None);
    }
    if !said[newest].over {
        assert_eq!(recovers, 1);
    }

    // Delivering everything again changes nothing.
    let before = (
        format!("{:?}", world.state().items),
        world.state().notifications.len(),
    );
    deliver_all(kind, &world, said, order);
    let after = (
        format!("{:?}", world.state().items),
        world.state().notifications.len(),
    );
    // Except that a message that was outdated may report the current state by now, or that a failure was
    // injected that has not occurred before.
    if failures.is_empty() && expected_notifications(said, &[order, order].concat()) == promised {
        assert_eq!(after, before);
    }
}

/// A call, how many of its kind pass before it, and how it fails.
type Scripted = (&'static str, usize, Failure);

fn failures() -> impl Strategy<Value = Vec<Scripted>> {
    let operation = prop::sample::select(vec![
        "ssm:DescribeOpsItems",
        "ssm:CreateOpsItem",
        "ssm:GetOpsItem",
        "ssm:UpdateOpsItem",
        "sns:Publish",
        "ssm:StartAutomationExecution",
    ]);
    let failure = prop_oneof![Just(Failure::Throttled), Just(Failure::AnswerLost)];
    prop::collection::vec((operation, 0..6_usize, failure), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn health_events_in_any_order_have_the_same_result((said, order) in messages_and_deliveries(Kind::Health)) {
        check(Kind::Health, &said, &order, &[]);
    }

    #[test]
    fn alarms_in_any_order_have_the_same_result((said, order) in messages_and_deliveries(Kind::Alarm)) {
        check(Kind::Alarm, &said, &order, &[]);
    }

    #[test]
    fn health_events_have_the_same_result_despite_failed_calls(
        (said, order) in messages_and_deliveries(Kind::Health),
        failures in failures(),
    ) {
        check(Kind::Health, &said, &order, &failures);
    }

    #[test]
    fn alarms_have_the_same_result_despite_failed_calls(
        (said, order) in messages_and_deliveries(Kind::Alarm),
        failures in failures(),
    ) {
        check(Kind::Alarm, &said, &order, &failures);
    }
}
