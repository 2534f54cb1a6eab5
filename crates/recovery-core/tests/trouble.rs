//! Failures while a disaster signal is handled: one response fails, two runs race, many incidents are
//! open at once.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::sync::Mutex;

use recovery_core::detect::run::{handle_alarm, handle_health};
use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::fakes::{Call, Effect, Failure, Intercepted, Interceptor, StoredItem, World};
use recovery_core::ops_item::{DESCRIPTION_LIMIT, Severity, Status};
use recovery_core::text;
use serde_json::{Value, json};

fn policy() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some("StartRegionRecovery".to_owned()),
        other_runbooks: Vec::new(),
    }
}

/// A state change of a composite alarm, this many minutes past 05:00.
fn alarm_of(name: &str, value: &str, previous: &str, minute: u32) -> Value {
    let at = format!("2026-11-23T05:{minute:02}:00.000+0000");
    json!({
        "version": "0", "id": "e", "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "account": "111122223333", "region": "us-west-2", "time": at,
        "resources": [format!("arn:aws:cloudwatch:us-west-2:111122223333:alarm:{name}")],
        "detail": {
            "alarmName": name,
            "state": {"value": value, "reason": "r", "timestamp": at},
            "previousState": {"value": previous},
            "configuration": {"alarmRule": "ALARM(x) AND ALARM(y)"},
        },
    })
}

fn alarm(minute: u32) -> Value {
    alarm_of("c", "ALARM", "OK", minute)
}

fn ok(minute: u32) -> Value {
    alarm_of("c", "OK", "ALARM", minute)
}

fn health() -> Value {
    json!({
        "version": "0", "id": "e", "source": "aws.health", "detail-type": "AWS Health Event",
        "account": "111122223333", "region": "us-west-2", "time": "2026-11-23T06:00:00Z",
        "resources": [],
        "detail": {
            "eventArn": "arn:aws:health:us-east-1::event/S3/AWS_S3_OPERATIONAL_ISSUE/X_1",
            "service": "S3", "eventTypeCode": "AWS_S3_OPERATIONAL_ISSUE",
            "eventTypeCategory": "issue", "eventScopeCode": "PUBLIC", "communicationId": "one-1",
            "lastUpdatedTime": "Mon, 23 Nov 2026 05:10:00 GMT", "statusCode": "open",
            "eventRegion": "us-east-1",
            "eventDescription": [{"language": "en_US", "latestDescription": "News."}],
            "affectedEntities": [{"entityValue": "arn:aws:s3:::bucket"}],
        },
    })
}

async fn handle(world: &World, event: &Value) -> Result<(), Error> {
    if event["source"] == "aws.health" {
        handle_health(world, &policy(), event).await?;
    } else {
        handle_alarm(world, &policy(), event).await?;
    }
    Ok(())
}

async fn answer(world: &World, event: &Value) {
    handle(world, event).await.unwrap();
}

fn sent_subjects(world: &World) -> Vec<String> {
    let state = world.state();
    state
        .notifications
        .iter()
        .map(|n| n.subject.clone())
        .collect()
}

fn started(world: &World) -> usize {
    world.state().executions.len()
}

#[track_caller]
fn only_item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    items.into_iter().next().unwrap()
}

fn updates(world: &World) -> usize {
    let calls = world.calls();
    calls
        .iter()
        .filter(|call| call.starts_with("ssm:UpdateOpsItem"))
        .count()
}

#[tokio::test]
async fn notifies_and_recovers_even_if_opscenter_fails() {
    let world = World::new();
    world.fail("ssm:DescribeOpsItems", Failure::Denied);
    let error = handle(&world, &health()).await.unwrap_err();
    assert_eq!(error.fault().operation(), "ssm:DescribeOpsItems");
    assert_eq!((sent_subjects(&world).len(), started(&world)), (1, 1));
    // The second delivery creates the OpsItem and finds the same recovery.
    answer(&world, &health()).await;
    assert_eq!((sent_subjects(&world).len(), started(&world)), (2, 1));
    let executions = world.state().executions.clone();
    let token = executions.keys().next().unwrap();
    assert_eq!(
        only_item(&world).item.data["recovery:runbook-execution"],
        format!("execution-{token}")
    );
}

#[tokio::test]
async fn alarm_starts_a_recovery_only_with_an_ops_item() {
    let world = World::new();
    world.fail("ssm:CreateOpsItem", Failure::Denied);
    handle(&world, &alarm(0)).await.unwrap_err();
    assert_eq!((sent_subjects(&world).len(), started(&world)), (1, 0));
    answer(&world, &alarm(0)).await;
    assert_eq!((sent_subjects(&world).len(), started(&world)), (2, 1));
    // An OK without a known incident is not notified, even if OpsCenter fails.
    let world = World::new();
    world.fail("ssm:DescribeOpsItems", Failure::Throttled);
    let stray = alarm_of("c", "OK", "INSUFFICIENT_DATA", 0);
    handle(&world, &stray).await.unwrap_err();
    assert_eq!(sent_subjects(&world), Vec::<String>::new());
}

#[tokio::test]
async fn starts_a_recovery_even_if_the_notification_fails() {
    for event in [alarm(0), health()] {
        let world = World::new();
        world.fail("sns:Publish", Failure::Denied);
        let error = handle(&world, &event).await.unwrap_err();
        assert_eq!(error.fault().operation(), "sns:Publish");
        assert_eq!((sent_subjects(&world).len(), started(&world)), (0, 1));
        answer(&world, &event).await;
        assert_eq!((sent_subjects(&world).len(), started(&world)), (1, 1));
    }
}

#[tokio::test]
async fn returns_the_first_error() {
    let world = World::new();
    world.fail("ssm:DescribeOpsItems", Failure::Throttled);
    world.fail("sns:Publish", Failure::Denied);
    world.fail("ssm:StartAutomationExecution", Failure::Denied);
    let error = handle(&world, &health()).await.unwrap_err();
    assert_eq!(error.fault().operation(), "ssm:DescribeOpsItems");
    assert_eq!(error.error_type(), "Retryable");
}

#[tokio::test]
async fn run_succeeds_even_if_additions_to_the_ops_item_fail() {
    let world = World::new();
    answer(&world, &alarm(0)).await;
    // The updates after the status: notification, execution, resources, related OpsItem.
    for failed in 2..6 {
        let world = World::new();
        answer(&world, &alarm(0)).await;
        for _ in 0..failed {
            world.pass("ssm:UpdateOpsItem");
        }
        world.fail("ssm:UpdateOpsItem", Failure::Denied);
        answer(&world, &health()).await;
        assert_eq!(
            (sent_subjects(&world).len(), started(&world)),
            (2, 2),
            "{failed}"
        );
    }
    let world = World::new();
    world.pass("ssm:DescribeOpsItems");
    world.pass("ssm:DescribeOpsItems");
    world.fail("ssm:DescribeOpsItems", Failure::Denied);
    answer(&world, &alarm(0)).await;
}

#[tokio::test]
async fn limits_updates_when_many_incidents_are_open() {
    let world = World::new();
    let mut worst = 0;
    for number in 0..60 {
        let before = updates(&world);
        answer(&world, &alarm_of(&format!("a{number}"), "ALARM", "OK", 0)).await;
        worst = worst.max(updates(&world) - before);
        let state = world.state();
        let own = state.items.last().unwrap();
        assert_eq!(own.related.len(), number.min(10));
    }
    // The notification, the execution, the OpsItem itself and ten related ones.
    assert!(worst <= 13, "{worst}");
    // A repeated delivery updates nothing.
    let before = updates(&world);
    answer(&world, &alarm_of("a59", "ALARM", "OK", 0)).await;
    assert_eq!(updates(&world), before);
}

/// Another run handles an event between this run's search and its next call.
struct Overtaken<'a>(&'a World, Mutex<Option<Value>>);

impl<'a> Overtaken<'a> {
    fn by(world: &'a World, event: &Value) -> Intercepted<&'a World, Overtaken<'a>> {
        Intercepted {
            ports: world,
            interceptor: Overtaken(world, Mutex::new(Some(event.clone()))),
        }
    }
}

impl Interceptor for Overtaken<'_> {
    async fn intercept<T, F>(&self, call: Call<'_>, make: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let answered = make().await?;
        if call.operation == "ssm:DescribeOpsItems" {
            let event = self.1.lock().unwrap().take();
            if let Some(event) = event {
                answer(self.0, &event).await;
            }
        }
        Ok(answered)
    }
}

/// Handles `event` in a run that a run for `overtaking` overtakes after its search.
async fn race(world: &World, event: &Value, overtaking: &Value) {
    let ports = Overtaken::by(world, overtaking);
    handle_alarm(&ports, &policy(), event).await.unwrap();
}

#[tokio::test]
async fn resolves_an_alarm_overtaken_by_its_end() {
    let world = World::new();
    answer(&world, &alarm(0)).await;
    answer(&world, &ok(10)).await;
    race(&world, &alarm(20), &ok(21)).await;
    let check = || {
        let item = only_item(&world);
        assert_eq!(
            (item.item.status, item.severity),
            (Status::Resolved, Severity::Low)
        );
        assert!(item.title.ends_with(" is OK again"), "{}", item.title);
        // The alarm that is over is not notified.
        assert_eq!(
            sent_subjects(&world).len(),
            3,
            "{:?}",
            sent_subjects(&world)
        );
        assert_eq!(started(&world), 1);
    };
    check();
    for event in [alarm(20), ok(21), alarm(0), ok(10)] {
        answer(&world, &event).await;
        check();
    }
}

#[tokio::test]
async fn keeps_the_incident_open_when_the_next_alarm_overtakes_the_end() {
    let world = World::new();
    answer(&world, &alarm(0)).await;
    race(&world, &ok(10), &alarm(11)).await;
    let check = || {
        let item = only_item(&world);
        assert_eq!(
            (item.item.status, item.severity),
            (Status::Open, Severity::Critical)
        );
        assert!(!item.title.ends_with(" is OK again"), "{}", item.title);
        assert!(
            item.description
                .contains("**What to do.** Check the workload itself."),
            "{}",
            item.description
        );
        // The outdated end is not notified.
        assert!(
            !sent_subjects(&world)
                .iter()
                .any(|sent_subjects| sent_subjects.ends_with(" is OK again"))
        );
        assert_eq!(started(&world), 1);
    };
    check();
    for event in [ok(10), alarm(11), alarm(0)] {
        answer(&world, &event).await;
        check();
    }
}

/// The run that wrote last fails before it reads the OpsItem again. Its redelivery does.
#[tokio::test]
async fn retry_after_a_lost_race_writes_the_right_status() {
    for (event, overtaking, status) in [
        (alarm(20), ok(21), Status::Resolved),
        (ok(22), alarm(23), Status::Open),
    ] {
        let world = World::new();
        answer(&world, &alarm(0)).await;
        if status == Status::Resolved {
            answer(&world, &ok(10)).await;
        }
        let gets = world
            .calls()
            .iter()
            .filter(|call| call.starts_with("ssm:GetOpsItem"))
            .count();
        // The overtaking run's read succeeds.
        world.pass("ssm:GetOpsItem");
        world.fail("ssm:GetOpsItem", Failure::Throttled);
        let ports = Overtaken::by(&world, &overtaking);
        handle_alarm(&ports, &policy(), &event).await.unwrap_err();
        let looked = world
            .calls()
            .iter()
            .filter(|call| call.starts_with("ssm:GetOpsItem"))
            .count();
        assert_eq!(looked - gets, 2);
        answer(&world, &event).await;
        assert_eq!(only_item(&world).item.status, status);
    }
}

#[tokio::test]
async fn end_wins_over_an_alarm_of_the_same_time() {
    let world = World::new();
    answer(&world, &alarm(0)).await;
    race(&world, &ok(10), &alarm(10)).await;
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    let world = World::new();
    answer(&world, &alarm(0)).await;
    answer(&world, &ok(5)).await;
    race(&world, &alarm(10), &ok(10)).await;
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

/// The notifications of concurrent runs are read before another one is sent.
#[tokio::test]
async fn concurrent_runs_of_one_event_notify_once() {
    let world = World::new();
    answer(&world, &alarm(0)).await;
    race(&world, &ok(10), &ok(10)).await;
    assert_eq!(
        sent_subjects(&world).len(),
        2,
        "{:?}",
        sent_subjects(&world)
    );
}

/// Records the changes of the status.
#[derive(Default)]
struct Statuses(Mutex<Vec<Status>>);

impl Interceptor for Statuses {
    async fn intercept<T, F>(&self, call: Call<'_>, make: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        if let Effect::Update(_, change) = call.effect {
            self.0.lock().unwrap().extend(change.status);
        }
        make().await
    }
}

/// The status "in progress", set by a user, counts as open and stays.
#[tokio::test]
async fn updates_the_status_only_when_it_changes() {
    let world = World::new();
    let ports = Intercepted {
        ports: &world,
        interceptor: Statuses::default(),
    };
    for (event, written) in [
        (alarm(0), vec![]),
        (alarm(5), vec![]),
        (ok(10), vec![Status::Resolved]),
        (ok(12), vec![]),
        (alarm(15), vec![Status::Open]),
    ] {
        handle_alarm(&ports, &policy(), &event).await.unwrap();
        assert_eq!(
            std::mem::take(&mut *ports.0.lock().unwrap()),
            written,
            "{event}"
        );
    }
}

#[tokio::test]
async fn ignores_an_ok_without_an_incident() {
    let notify = Policy {
        responses: vec![Response::Notify],
        ..policy()
    };
    let world = World::new();
    let stray = alarm_of("c", "OK", "INSUFFICIENT_DATA", 0);
    let outcome = handle_alarm(&world, &notify, &stray).await.unwrap();
    assert_eq!(
        (outcome.kind(), outcome.reason()),
        ("ignored", Some("no-incident"))
    );
    assert_eq!(world.calls(), Vec::<String>::new());
    // The end of an alarm is notified.
    handle_alarm(&world, &notify, &ok(0)).await.unwrap();
    assert_eq!(sent_subjects(&world).len(), 1);
}

#[tokio::test]
async fn truncated_alarm_item_keeps_the_instructions() {
    let world = World::new();
    let mut event = alarm(0);
    event["detail"]["state"]["reason"] = json!("x\n\n".repeat(300));
    event["detail"]["configuration"]["description"] = json!("d".repeat(400));
    let policy = Policy {
        other_runbooks: vec!["r".repeat(200); 2],
        ..policy()
    };
    handle_alarm(&world, &policy, &event).await.unwrap();
    let shown = text::within(&only_item(&world).description, DESCRIPTION_LIMIT);
    assert!(shown.contains("\n\n**What to do.** Check"), "{shown}");
    assert!(shown.contains("The recovery runbook is"), "{shown}");
}
