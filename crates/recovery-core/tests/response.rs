//! The response to AWS Health events: in any order and with any repetition, one incident has one
//! OpsItem, operators are notified once of every message up to the end, and at most one recovery starts.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use recovery_core::detect::run::handle_health as handle;
use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::fakes::{Failure, StoredItem, World};
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

const ARN: &str =
    "arn:aws:health:us-east-1::event/S3/AWS_S3_OPERATIONAL_ISSUE/AWS_S3_OPERATIONAL_ISSUE_1";

fn policy() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some("StartRegionRecovery".to_owned()),
        other_runbooks: Vec::new(),
    }
}

fn only(response: Response) -> Policy {
    Policy {
        responses: vec![response],
        ..policy()
    }
}

/// One page of a message, this many minutes past 05:00.
fn message(id: &str, page: u32, status: &str, minute: u32) -> Value {
    json!({
        "version": "0", "id": "e", "source": "aws.health", "detail-type": "AWS Health Event",
        "account": "111122223333", "region": "us-west-2", "time": "2026-11-23T06:00:00Z",
        "resources": [],
        "detail": {
            "eventArn": ARN, "service": "S3", "eventTypeCode": "AWS_S3_OPERATIONAL_ISSUE",
            "eventTypeCategory": "issue", "eventScopeCode": "PUBLIC",
            "communicationId": format!("{id}-{page}"), "page": page.to_string(), "totalPages": "2",
            "startTime": "Mon, 23 Nov 2026 05:00:00 GMT",
            "lastUpdatedTime": format!("Mon, 23 Nov 2026 05:{minute:02}:00 GMT"),
            "statusCode": status, "eventRegion": "us-east-1",
            "eventDescription": [{"language": "en_US", "latestDescription": format!("News of {minute}.")}],
        },
    })
}

async fn deliver(world: &World, payload: &Value) -> Result<Outcome, Error> {
    handle(world, &policy(), payload).await
}

/// The only OpsItem that is not a resolved duplicate.
#[track_caller]
fn only_item(world: &World) -> StoredItem {
    let mut items = world.state().items.clone();
    items.retain(|item| !item.description.starts_with("Duplicate of "));
    assert_eq!(items.len(), 1, "{items:#?}");
    items.remove(0)
}

fn items(world: &World) -> usize {
    world.state().items.len()
}

fn notified(world: &World) -> usize {
    world.state().notifications.len()
}

fn started(world: &World) -> usize {
    world.state().executions.len()
}

#[tokio::test]
async fn tracks_notifies_and_recovers_from_open_to_closed() {
    let world = World::new();
    let outcome = deliver(&world, &message("one", 1, "open", 10))
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "responded");
    assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
    assert!(outcome.id("automationExecutionId").is_some());
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert_eq!(item.severity, Severity::High);
    let execution = world.state().executions.values().next().unwrap().clone();
    assert_eq!(execution.0, "StartRegionRecovery");
    assert_eq!(
        execution.1,
        [
            ("Incident", format!("health-event/{ARN}")),
            ("OpsItemId", "oi-1".to_owned())
        ]
    );
    deliver(&world, &message("two", 1, "open", 20))
        .await
        .unwrap();
    assert!(only_item(&world).description.contains("News of 20."));
    let outcome = deliver(&world, &message("three", 1, "closed", 30))
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "resolved");
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert_eq!(item.severity, Severity::Low);
    assert_eq!(notified(&world), 3);
    assert_eq!(started(&world), 1);
}

/// The achieved RTO counts from this time.
#[tokio::test]
async fn keeps_the_first_start_time_of_the_incident() {
    let world = World::new();
    let mut first = message("a", 1, "open", 10);
    deliver(&world, &first).await.unwrap();
    assert_eq!(
        only_item(&world).item.data["recovery:began"],
        "2026-11-23T05:00:00Z"
    );
    let mut later = message("b", 1, "open", 20);
    later["detail"]["startTime"] = json!("Mon, 23 Nov 2026 05:15:00 GMT");
    deliver(&world, &later).await.unwrap();
    assert_eq!(
        only_item(&world).item.data["recovery:began"],
        "2026-11-23T05:00:00Z"
    );
    // Without a start time, none is stored.
    let world = World::new();
    first["detail"]["startTime"] = json!(null);
    deliver(&world, &first).await.unwrap();
    assert_eq!(only_item(&world).item.data.get("recovery:began"), None);
}

#[tokio::test]
async fn starts_nothing_for_an_incident_that_is_already_closed() {
    let world = World::new();
    let outcome = deliver(&world, &message("one", 1, "closed", 10))
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "resolved");
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    // An older message arrives later.
    deliver(&world, &message("zero", 1, "open", 5))
        .await
        .unwrap();
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert!(only_item(&world).description.contains("News of 10."));
    assert_eq!(started(&world), 0);
    // A message that arrives after the end is not notified.
    assert_eq!(notified(&world), 1);
}

#[tokio::test]
async fn reopens_the_ops_item_when_the_incident_recurs() {
    let world = World::new();
    for (id, status, minute) in [
        ("one", "open", 10),
        ("two", "closed", 20),
        ("three", "open", 30),
    ] {
        deliver(&world, &message(id, 1, status, minute))
            .await
            .unwrap();
    }
    assert_eq!(only_item(&world).item.status, Status::Open);
    assert_eq!(started(&world), 1);
}

/// Neither the message nor the envelope has a time: a closed incident stays closed.
#[tokio::test]
async fn keeps_a_closed_incident_closed_without_times() {
    let timeless = |id: &str, status: &str| {
        let mut payload = message(id, 1, status, 10);
        payload.as_object_mut().unwrap().remove("time");
        payload["detail"]
            .as_object_mut()
            .unwrap()
            .remove("lastUpdatedTime");
        payload
    };
    for order in [["open", "closed"], ["closed", "open"]] {
        let world = World::new();
        for status in order {
            deliver(&world, &timeless(status, status)).await.unwrap();
        }
        assert_eq!(only_item(&world).item.status, Status::Resolved, "{order:?}");
    }
}

#[tokio::test]
async fn each_response_works_alone() {
    let payload = message("one", 1, "open", 10);
    let world = World::new();
    handle(&world, &only(Response::Track), &payload)
        .await
        .unwrap();
    assert_eq!(
        (items(&world), notified(&world), started(&world)),
        (1, 0, 0)
    );
    let world = World::new();
    handle(&world, &only(Response::Notify), &payload)
        .await
        .unwrap();
    assert_eq!(
        (items(&world), notified(&world), started(&world)),
        (0, 1, 0)
    );
    let world = World::new();
    for _ in 0..2 {
        handle(&world, &only(Response::Recover), &payload)
            .await
            .unwrap();
    }
    assert_eq!(
        (items(&world), notified(&world), started(&world)),
        (0, 0, 1)
    );
}

#[tokio::test]
async fn ignores_other_events() {
    let change = |path: &str, value: Value| {
        let mut payload = message("one", 1, "open", 10);
        *payload.pointer_mut(path).unwrap() = value;
        payload
    };
    for (payload, reason) in [
        (change("/source", json!("aws.backup")), "source"),
        (
            change("/detail-type", json!("AWS Health Abuse Event")),
            "detail-type",
        ),
        (
            change("/detail/eventTypeCategory", json!("scheduledChange")),
            "category",
        ),
        (change("/detail/eventRegion", json!("eu-west-1")), "region"),
    ] {
        let world = World::new();
        let outcome = deliver(&world, &payload).await.unwrap();
        assert_eq!(
            (outcome.kind(), outcome.reason()),
            ("ignored", Some(reason))
        );
        assert!(world.calls().is_empty());
    }
    let world = World::new();
    let error = deliver(&world, &change("/detail/eventArn", Value::Null))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("detail.eventArn"), "{error}");
}

#[tokio::test]
async fn notifies_once_for_all_pages_of_a_message() {
    let world = World::new();
    for page in [2, 1, 2, 1] {
        deliver(&world, &message("one", page, "open", 10))
            .await
            .unwrap();
    }
    assert_eq!(notified(&world), 1);
}

/// All messages of AWS about one incident: id, status, minute.
const SAID: &[(&str, &str, u32)] = &[
    ("one", "open", 10),
    ("two", "open", 20),
    // The end has the same time as the message before it.
    ("last", "open", 30),
    ("end", "closed", 30),
];

/// The index of the message that ends the incident.
const END: usize = 3;

fn deliveries() -> impl Strategy<Value = Vec<(usize, u32)>> {
    prop::collection::vec((0..SAID.len(), 1..=2_u32), 1..12)
}

fn failures() -> impl Strategy<Value = Vec<(&'static str, usize, Failure)>> {
    let operation = prop::sample::select(vec![
        "ssm:DescribeOpsItems",
        "ssm:CreateOpsItem",
        "ssm:GetOpsItem",
        "ssm:UpdateOpsItem",
        "sns:Publish",
        "ssm:StartAutomationExecution",
    ]);
    let failure = prop_oneof![Just(Failure::Throttled), Just(Failure::AnswerLost)];
    prop::collection::vec((operation, 0..4_usize, failure), 0..5)
}

/// Delivers each until it succeeds, as Lambda does.
fn deliver_all(world: &World, deliveries: &[(usize, u32)]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (said, page) in deliveries {
        let (id, status, minute) = SAID[*said];
        let payload = message(id, *page, status, minute);
        let done = (0..10).any(|_| runtime.block_on(deliver(world, &payload)).is_ok());
        assert!(done, "{:#?}", world.calls());
    }
}

/// The messages to notify of: all that arrive before the end, and the end.
fn expected_notifications(deliveries: &[(usize, u32)]) -> BTreeSet<&'static str> {
    let end = deliveries.iter().position(|(said, _)| *said == END);
    let heard = &deliveries[..end.map_or(deliveries.len(), |end| end + 1)];
    heard
        .iter()
        .map(|(said, _)| match *said {
            // A message with the end counts separately from one with the same id before it.
            END => "end@over",
            said => SAID[said].0,
        })
        .collect()
}

fn recorded_notifications(item: &StoredItem) -> BTreeSet<&str> {
    item.item.data["recovery:notified"].split(' ').collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn result_does_not_depend_on_order_and_repetition(deliveries in deliveries()) {
        let world = World::new();
        deliver_all(&world, &deliveries);
        let messages: BTreeSet<usize> = deliveries.iter().map(|(said, _)| *said).collect();
        let item = only_item(&world);
        prop_assert_eq!(item.item.status == Status::Resolved, messages.contains(&END));
        prop_assert_eq!(recorded_notifications(&item), expected_notifications(&deliveries));
        prop_assert_eq!(notified(&world), expected_notifications(&deliveries).len());
        prop_assert!(started(&world) <= 1);
        // The OpsItem has the text of the newest message.
        let newest = messages.iter().map(|said| SAID[*said].2).max().unwrap_or_default();
        prop_assert!(item.description.contains(&format!("News of {newest}.")), "{}", item.description);
    }

    /// The crash rule.
    #[test]
    fn failures_change_nothing_except_repeated_notifications(
        deliveries in deliveries(),
        failures in failures(),
    ) {
        let world = World::new();
        for (operation, passes, failure) in &failures {
            for _ in 0..*passes {
                world.pass(operation);
            }
            world.fail(operation, *failure);
        }
        deliver_all(&world, &deliveries);
        let over = deliveries.iter().any(|(said, _)| *said == END);
        let item = only_item(&world);
        prop_assert_eq!(item.item.status == Status::Resolved, over);
        prop_assert_eq!(recorded_notifications(&item), expected_notifications(&deliveries));
        prop_assert!(notified(&world) >= expected_notifications(&deliveries).len());
        prop_assert!(started(&world) <= 1);
    }
}

#[tokio::test]
async fn lists_all_runbooks_in_the_ops_item() {
    let world = World::new();
    let policy = Policy {
        other_runbooks: vec!["StartWorkloadInstances".to_owned()],
        ..policy()
    };
    handle(&world, &policy, &message("one", 1, "open", 10))
        .await
        .unwrap();
    let item = only_item(&world);
    assert_eq!(
        item.item.data["/aws/automations"],
        r#"[{"automationId":"StartRegionRecovery","automationType":"AWS:SSM:Automation"},{"automationId":"StartWorkloadInstances","automationType":"AWS:SSM:Automation"}]"#
    );
    for name in ["`StartRegionRecovery`", "`StartWorkloadInstances`"] {
        assert!(item.description.contains(name), "{}", item.description);
    }
}

#[tokio::test]
async fn notification_names_the_response_and_the_ops_item() {
    let world = World::new();
    deliver(&world, &message("one", 1, "open", 10))
        .await
        .unwrap();
    let notified = world.state().notifications[0].message.clone();
    for part in [
        "What was done\nThe OpsItem of this incident was created or updated. The runbook StartRegionRecovery is started once",
        "What to do\n",
        "OpsItem: oi-1 https://us-west-2.console.aws.amazon.com/systems-manager/opsitems/oi-1/details",
    ] {
        assert!(notified.contains(part), "{notified}");
    }
    for (region, ownership) in [
        ("cn-north-1", "cn-north-1.console.amazonaws.cn/"),
        (
            "us-gov-west-1",
            "us-gov-west-1.console.amazonaws-us-gov.com/",
        ),
    ] {
        let world = World::new();
        let policy = Policy {
            recovery_region: region.to_owned(),
            ..policy()
        };
        handle(&world, &policy, &message("one", 1, "open", 10))
            .await
            .unwrap();
        let notified = world.state().notifications[0].message.clone();
        assert!(notified.contains(ownership), "{notified}");
    }
    // A closed incident starts nothing, and the notification does not claim it.
    deliver(&world, &message("two", 1, "closed", 20))
        .await
        .unwrap();
    let notified = world.state().notifications[1].message.clone();
    assert!(
        !notified.contains("runbook StartRegionRecovery is started"),
        "{notified}"
    );
}
