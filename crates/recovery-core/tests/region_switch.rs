//! The Region switch step that runs a recovery.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::time::Duration;

use futures_util::FutureExt;
use recovery_core::error::Error;
use recovery_core::fail_over::run_region_switch::{RegionSwitchConfig, handle};
use recovery_core::fakes::{Failure, FakeClock, World};
use recovery_core::outcome::Outcome;
use recovery_core::ports::Clock;
use serde_json::{Value, json};

const DESCRIBE: &str = "states:DescribeExecution";
const START: &str = "states:StartExecution";

fn config() -> RegionSwitchConfig {
    RegionSwitchConfig {
        workload: "shop".to_owned(),
        region: "us-west-2".to_owned(),
    }
}

/// The payload that Region switch sends.
fn payload() -> Value {
    json!({
        "InvokedBy": "arc-region-switch",
        "PlanArn": "arn:aws:arc-region-switch::111122223333:plan/shop:a1b2c3",
        "ExecutionId": "0123456789abcdef",
        "StepName": "recover",
    })
}

fn run(world: &World, clock: &FakeClock, payload: &Value) -> Result<Outcome, Error> {
    handle(world, clock, &config(), payload)
        .now_or_never()
        .unwrap()
}

fn invoke(world: &World) -> Result<Outcome, Error> {
    run(world, &FakeClock::new(), &payload())
}

fn count(world: &World, operation: &str) -> usize {
    let calls = world.calls();
    calls
        .iter()
        .filter(|call| call.starts_with(operation))
        .count()
}

fn end(world: &World, status: &str) {
    for (_, execution) in world.state().recoveries.executions.values_mut() {
        execution.status = status.to_owned();
        execution.error = Some("Permanent".to_owned());
        execution.cause = Some("The recovery of shop is incomplete".to_owned());
    }
}

#[test]
fn starts_one_recovery_per_plan_execution_and_returns_its_result() {
    let world = World::new();
    let running = invoke(&world).unwrap_err();
    assert_eq!(running.error_type(), "Retryable");
    assert!(running.to_string().contains("still running: "), "{running}");
    let (name, input) = {
        let state = world.state();
        let (name, (input, _)) = state.recoveries.executions.iter().next().unwrap();
        (name.clone(), serde_json::from_str::<Value>(input).unwrap())
    };
    // The runbook recognizes recoveries of the workload by this format.
    let hash = name.strip_prefix("shop-").unwrap();
    assert!(
        hash.len() == 24 && hash.chars().all(|c| c.is_ascii_hexdigit()),
        "{name}"
    );
    assert_eq!(
        input,
        json!({
            "workload": "shop",
            "mode": "recover",
            "incident": "region-switch/arn:aws:arc-region-switch::111122223333:plan/shop:a1b2c3/0123456789abcdef",
        })
    );
    assert!(invoke(&world).is_err());
    end(&world, "SUCCEEDED");
    let outcome = invoke(&world).unwrap();
    assert_eq!(outcome.kind(), "recovered");
    assert!(outcome.id("executionArn").unwrap().ends_with(&name));
    assert_eq!(count(&world, START), 1);
    // Another execution of the plan, and an execution of another plan, are other recoveries.
    for (member, other) in [("ExecutionId", "another"), ("PlanArn", "another")] {
        let mut payload = payload();
        payload[member] = json!(other);
        run(&world, &FakeClock::new(), &payload).unwrap_err();
    }
    assert_eq!(world.state().recoveries.executions.len(), 3);
}

#[test]
fn waits_until_its_time_limit_and_reports_a_running_recovery() {
    let world = World::new();
    world.state().recoveries.reads_until_recovered = Some(3);
    assert_eq!(invoke(&world).unwrap().kind(), "recovered");
    let world = World::new();
    let clock = FakeClock::new();
    run(&world, &clock, &payload()).unwrap_err();
    let left = clock.remaining();
    assert!(
        left >= Duration::from_secs(45) && left < Duration::from_secs(75),
        "{left:?}"
    );
    // With little time left, it starts the recovery and returns.
    let world = World::new();
    let clock = FakeClock::with_budget(Duration::from_secs(10));
    assert_eq!(
        run(&world, &clock, &payload()).unwrap_err().error_type(),
        "Retryable"
    );
    assert_eq!(count(&world, START), 1);
}

#[test]
fn returns_the_failure_until_the_execution_is_redriven() {
    for status in ["FAILED", "TIMED_OUT", "ABORTED"] {
        let world = World::new();
        invoke(&world).unwrap_err();
        end(&world, status);
        for _ in 0..2 {
            let error = invoke(&world).unwrap_err();
            assert_eq!(error.error_type(), "Permanent");
            assert_eq!(error.fault().code(), Some(status));
            for part in [
                "The recovery of shop is incomplete",
                "redrive the execution",
            ] {
                assert!(error.to_string().contains(part), "{error}");
            }
        }
        end(&world, "RUNNING");
        assert_eq!(invoke(&world).unwrap_err().error_type(), "Retryable");
        end(&world, "SUCCEEDED");
        assert_eq!(invoke(&world).unwrap().kind(), "recovered");
        assert_eq!(count(&world, START), 1);
    }
}

#[test]
fn starts_a_recovery_only_for_an_activation_of_this_region() {
    let world = World::new();
    for (member, value, reason) in [
        ("action", "deactivate", "action"),
        ("action", "postRecovery", "action"),
        ("region", "us-east-1", "region"),
    ] {
        let mut payload = payload();
        payload[member] = json!(value);
        let outcome = run(&world, &FakeClock::new(), &payload).unwrap();
        assert_eq!(
            (outcome.kind(), outcome.reason()),
            ("ignored", Some(reason))
        );
        assert_eq!(outcome.id(member), Some(value));
    }
    assert!(world.calls().is_empty());
    let mut payload = payload();
    payload["action"] = json!("activate");
    payload["region"] = json!("us-west-2");
    run(&world, &FakeClock::new(), &payload).unwrap_err();
    assert_eq!(count(&world, START), 1);
}

#[test]
fn starts_the_recovery_once_despite_lost_responses() {
    let world = World::new();
    world.fail(START, Failure::AnswerLost);
    assert_eq!(invoke(&world).unwrap_err().error_type(), "Retryable");
    invoke(&world).unwrap_err();
    assert_eq!(world.state().recoveries.executions.len(), 1);
    assert_eq!(count(&world, START), 1);
    let denied = World::new();
    denied.fail(DESCRIBE, Failure::Denied);
    assert_eq!(invoke(&denied).unwrap_err().error_type(), "Permanent");
    assert_eq!(count(&denied, START), 0);
}

#[test]
fn names_the_missing_member_of_the_payload() {
    let world = World::new();
    let without = |member: &str| {
        let mut payload = payload();
        payload.as_object_mut().unwrap().remove(member);
        payload
    };
    let mut empty = payload();
    empty["ExecutionId"] = json!(" ");
    for (payload, member) in [
        (without("PlanArn"), "PlanArn"),
        (without("ExecutionId"), "ExecutionId"),
        (empty, "ExecutionId"),
        // If a custom payload is not an object, Region switch passes it on unchanged.
        (json!("recover"), "."),
        (json!(["recover"]), "."),
    ] {
        let error = run(&world, &FakeClock::new(), &payload).unwrap_err();
        assert_eq!(error.error_type(), "Permanent", "{payload}");
        assert!(error.to_string().contains(member), "{payload}: {error}");
        assert!(error.to_string().contains("Pass {\"PlanArn\""), "{error}");
    }
    assert!(world.calls().is_empty());
}
