//! The response to AWS Health events: whatever comes, in whatever order and number, one incident
//! has one OpsItem, people are told of every message up to the end once, and a recovery is started
//! at most once.

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

/// One page of a message, at some minute past five.
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

/// The only OpsItem that is not a duplicate resolved in favour of another.
#[track_caller]
fn the_item(world: &World) -> StoredItem {
    let mut items = world.state().items.clone();
    items.retain(|item| !item.description.contains("resolved in its favour"));
    assert_eq!(items.len(), 1, "{items:#?}");
    items.remove(0)
}

fn items(world: &World) -> usize {
    world.state().items.len()
}

fn told(world: &World) -> usize {
    world.state().notifications.len()
}

fn started(world: &World) -> usize {
    world.state().executions.len()
}

#[tokio::test]
async fn an_incident_from_its_beginning_to_its_end() {
    let world = World::new();
    let outcome = deliver(&world, &message("one", 1, "open", 10))
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "responded");
    assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
    assert!(outcome.id("automationExecutionId").is_some());
    let item = the_item(&world);
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
    assert!(the_item(&world).description.contains("News of 20."));
    let outcome = deliver(&world, &message("three", 1, "closed", 30))
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "resolved");
    let item = the_item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert_eq!(item.severity, Severity::Low);
    assert_eq!(told(&world), 3);
    assert_eq!(started(&world), 1);
}

/// The recovery time counts from there.
#[tokio::test]
async fn the_item_keeps_when_the_trouble_began_as_it_was_first_told() {
    let world = World::new();
    let mut first = message("a", 1, "open", 10);
    deliver(&world, &first).await.unwrap();
    assert_eq!(
        the_item(&world).item.data["recovery:began"],
        "2026-11-23T05:00:00Z"
    );
    let mut later = message("b", 1, "open", 20);
    later["detail"]["startTime"] = json!("Mon, 23 Nov 2026 05:15:00 GMT");
    deliver(&world, &later).await.unwrap();
    assert_eq!(
        the_item(&world).item.data["recovery:began"],
        "2026-11-23T05:00:00Z"
    );
    // Where nothing tells, nothing is kept.
    let world = World::new();
    first["detail"]["startTime"] = json!(null);
    deliver(&world, &first).await.unwrap();
    assert_eq!(the_item(&world).item.data.get("recovery:began"), None);
}

#[tokio::test]
async fn an_incident_that_is_over_when_it_is_heard_of_starts_nothing() {
    let world = World::new();
    let outcome = deliver(&world, &message("one", 1, "closed", 10))
        .await
        .unwrap();
    assert_eq!(outcome.kind(), "resolved");
    assert_eq!(the_item(&world).item.status, Status::Resolved);
    // Old news after it.
    deliver(&world, &message("zero", 1, "open", 5))
        .await
        .unwrap();
    assert_eq!(the_item(&world).item.status, Status::Resolved);
    assert!(the_item(&world).description.contains("News of 10."));
    assert_eq!(started(&world), 0);
    // Trouble that is told of after its end alarms nobody.
    assert_eq!(told(&world), 1);
}

#[tokio::test]
async fn trouble_that_comes_back_opens_the_item_again() {
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
    assert_eq!(the_item(&world).item.status, Status::Open);
    assert_eq!(started(&world), 1);
}

/// Neither the message nor the envelope says when: the end stays the end.
#[tokio::test]
async fn without_any_time_what_is_over_stays_over() {
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
        assert_eq!(the_item(&world).item.status, Status::Resolved, "{order:?}");
    }
}

#[tokio::test]
async fn each_response_alone_works_without_the_others() {
    let payload = message("one", 1, "open", 10);
    let world = World::new();
    handle(&world, &only(Response::Track), &payload)
        .await
        .unwrap();
    assert_eq!((items(&world), told(&world), started(&world)), (1, 0, 0));
    let world = World::new();
    handle(&world, &only(Response::Notify), &payload)
        .await
        .unwrap();
    assert_eq!((items(&world), told(&world), started(&world)), (0, 1, 0));
    let world = World::new();
    for _ in 0..2 {
        handle(&world, &only(Response::Recover), &payload)
            .await
            .unwrap();
    }
    assert_eq!((items(&world), told(&world), started(&world)), (0, 0, 1));
}

#[tokio::test]
async fn what_is_no_health_event_of_ours_is_left_alone() {
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
async fn a_message_that_was_told_is_not_told_again_by_its_other_pages() {
    let world = World::new();
    for page in [2, 1, 2, 1] {
        deliver(&world, &message("one", page, "open", 10))
            .await
            .unwrap();
    }
    assert_eq!(told(&world), 1);
}

/// Everything AWS says about one incident: which message, which page.
const SAID: &[(&str, &str, u32)] = &[
    ("one", "open", 10),
    ("two", "open", 20),
    // The end carries the same time as the last news before it.
    ("last", "open", 30),
    ("end", "closed", 30),
];

/// The last of them: it is over.
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

/// The messages of which people are to hear: all that come before the end, and the end.
fn to_be_told(deliveries: &[(usize, u32)]) -> BTreeSet<&'static str> {
    let end = deliveries.iter().position(|(said, _)| *said == END);
    let heard = &deliveries[..end.map_or(deliveries.len(), |end| end + 1)];
    heard
        .iter()
        .map(|(said, _)| match *said {
            // A message that tells of the end counts as another one than with the same id before.
            END => "end@over",
            said => SAID[said].0,
        })
        .collect()
}

fn told_of(item: &StoredItem) -> BTreeSet<&str> {
    item.item.data["recovery:notified"].split(' ').collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_number_of_deliveries_make_no_difference(deliveries in deliveries()) {
        let world = World::new();
        deliver_all(&world, &deliveries);
        let messages: BTreeSet<usize> = deliveries.iter().map(|(said, _)| *said).collect();
        let item = the_item(&world);
        prop_assert_eq!(item.item.status == Status::Resolved, messages.contains(&END));
        prop_assert_eq!(told_of(&item), to_be_told(&deliveries));
        prop_assert_eq!(told(&world), to_be_told(&deliveries).len());
        prop_assert!(started(&world) <= 1);
        // The newest news stand in the item.
        let newest = messages.iter().map(|said| SAID[*said].2).max().unwrap_or_default();
        prop_assert!(item.description.contains(&format!("News of {newest}.")), "{}", item.description);
    }

    /// The crash rule.
    #[test]
    fn failures_on_the_way_make_no_difference_but_for_a_repeated_message(
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
        let item = the_item(&world);
        prop_assert_eq!(item.item.status == Status::Resolved, over);
        prop_assert_eq!(told_of(&item), to_be_told(&deliveries));
        prop_assert!(told(&world) >= to_be_told(&deliveries).len());
        prop_assert!(started(&world) <= 1);
    }
}

#[tokio::test]
async fn the_item_names_every_runbook_that_may_be_of_use() {
    let world = World::new();
    let policy = Policy {
        other_runbooks: vec!["StartWorkloadInstances".to_owned()],
        ..policy()
    };
    handle(&world, &policy, &message("one", 1, "open", 10))
        .await
        .unwrap();
    let item = the_item(&world);
    assert_eq!(
        item.item.data["/aws/automations"],
        r#"[{"automationId":"StartRegionRecovery","automationType":"AWS:SSM:Automation"},{"automationId":"StartWorkloadInstances","automationType":"AWS:SSM:Automation"}]"#
    );
    for name in ["`StartRegionRecovery`", "`StartWorkloadInstances`"] {
        assert!(item.description.contains(name), "{}", item.description);
    }
}

#[tokio::test]
async fn people_read_what_is_done_and_where_to_look() {
    let world = World::new();
    deliver(&world, &message("one", 1, "open", 10))
        .await
        .unwrap();
    let told = world.state().notifications[0].message.clone();
    for part in [
        "What was done\nThe OpsItem of this incident was created or updated. The runbook StartRegionRecovery is started once",
        "What to do\n",
        "OpsItem: oi-1 https://us-west-2.console.aws.amazon.com/systems-manager/opsitems/oi-1/details",
    ] {
        assert!(told.contains(part), "{told}");
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
        let told = world.state().notifications[0].message.clone();
        assert!(told.contains(ownership), "{told}");
    }
    // What is over starts nothing, and the message does not say so.
    deliver(&world, &message("two", 1, "closed", 20))
        .await
        .unwrap();
    let told = world.state().notifications[1].message.clone();
    assert!(
        !told.contains("runbook StartRegionRecovery is started"),
        "{told}"
    );
}
