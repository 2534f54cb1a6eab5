//! Alarms: the beginning, the end and the next beginning of an incident.

use chrono::{DateTime, TimeDelta, Utc};
use recovery_core::detect::{Policy, Response};
use recovery_core::event::date;
use recovery_core::fakes::World;
use recovery_core::ops_item::Status;
use serde_json::{Value, json};

use crate::crash_matrix::scenario::{Function, Scenario, Tolerance};

use super::{at_the_quota, having_heard, not_tracking, recovering, watching};

/// Every file that is answered, and the outcome.
const FILES: &[(&str, &str)] = &[
    ("alarm-metric", "responded"),
    ("alarm-metric-new", "responded"),
    ("alarm-metric-forwarded", "responded"),
    ("alarm-metric-math", "responded"),
    ("alarm-anomaly-detection", "responded"),
    ("alarm-multi-time-series", "responded"),
    ("alarm-heartbeat-silent", "responded"),
    ("alarm-composite", "responded"),
    ("alarm-signals-agree", "responded"),
    ("alarm-composite-suppressed", "responded"),
    ("alarm-metric-ok", "resolved"),
    ("alarm-heartbeat-silent-ok", "resolved"),
    ("alarm-signals-agree-ok", "resolved"),
    // No rule lets these through; alarm-responder takes every alarm that arrives.
    ("alarm-metric-other-name", "responded"),
    ("alarm-of-this-stack", "responded"),
];

/// What was heard of before, and what is heard of then.
const AFTER: &[(&str, &[&str], &str, &str)] = &[
    ("end", &["alarm-metric"], "alarm-metric-ok", "resolved"),
    (
        "end-of-silence",
        &["alarm-heartbeat-silent"],
        "alarm-heartbeat-silent-ok",
        "resolved",
    ),
    (
        "end-of-a-recovery",
        &["alarm-signals-agree"],
        "alarm-signals-agree-ok",
        "resolved",
    ),
    (
        "joins-another-incident",
        &["health-multiple-services"],
        "alarm-composite",
        "responded",
    ),
    (
        "joins-several-incidents",
        &["health-multiple-services", "alarm-heartbeat-silent"],
        "alarm-signals-agree",
        "responded",
    ),
];

fn of(
    name: &'static str,
    policy: Policy,
    before: &[&str],
    file: &'static str,
    leads_to: &'static str,
) -> Scenario {
    let world = having_heard(&policy, before);
    let function = Function::AlarmResponder(policy);
    Scenario::new(function, name, file, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    const AGREE: &str = "alarm-signals-agree";
    const OVER: &str = "alarm-signals-agree-ok";
    let only = |response: Response| Policy {
        responses: vec![response],
        ..recovering()
    };
    let quiet = Policy {
        responses: vec![Response::Track, Response::Recover],
        ..recovering()
    };
    let mut scenarios: Vec<Scenario> = FILES
        .iter()
        .map(|(file, leads_to)| of(file, recovering(), &[], file, leads_to).briefly())
        .collect();
    scenarios.extend(
        AFTER
            .iter()
            .map(|(name, before, file, leads_to)| of(name, recovering(), before, file, leads_to)),
    );
    scenarios.extend([
        at_the_quota(of("at-the-quota", recovering(), &[], AGREE, "responded")),
        of(
            "alarm-after-its-end",
            recovering(),
            &[OVER],
            AGREE,
            "responded",
        )
        .tolerating(Tolerance::TellsMore),
        // The same change is told once, before its suppressor was waited for or after.
        of(
            "wait-that-is-over",
            recovering(),
            &["alarm-composite-suppressed"],
            "alarm-composite",
            "responded",
        )
        .tolerating(Tolerance::TellsMore),
        of("recover", recovering(), &[], AGREE, "responded"),
        of("metric", recovering(), &[], "alarm-metric", "responded"),
        of("end-that-comes-first", recovering(), &[], OVER, "resolved"),
        of("without-runbook", watching(), &[], AGREE, "responded"),
        of(
            "without-runbook-end",
            watching(),
            &[AGREE],
            OVER,
            "resolved",
        ),
        of("only-track", only(Response::Track), &[], AGREE, "responded"),
        of(
            "only-notify",
            only(Response::Notify),
            &[],
            AGREE,
            "responded",
        ),
        of("without-item", not_tracking(), &[], AGREE, "responded"),
        of(
            "without-message",
            quiet.clone(),
            &[OVER],
            AGREE,
            "responded",
        ),
        of("without-message-new", quiet, &[], AGREE, "responded"),
        of(
            "delivered-before",
            recovering(),
            &[AGREE],
            AGREE,
            "responded",
        ),
        of(
            "resolved-by-a-person",
            recovering(),
            &[AGREE],
            AGREE,
            "responded",
        )
        .given(|world| world.state().items[0].item.status = Status::Resolved),
        // Flapping: within the hour it is the same incident.
        of(
            "again-within-the-hour",
            recovering(),
            &[AGREE, OVER],
            AGREE,
            "responded",
        )
        .with(|event| move_by(event, TimeDelta::minutes(120))),
        // And later it is another one, with a recovery of its own.
        of(
            "again-the-next-day",
            recovering(),
            &[AGREE, OVER],
            AGREE,
            "responded",
        )
        .with(|event| move_by(event, TimeDelta::days(1))),
        of(
            "old-news-of-the-incident-before",
            recovering(),
            &[AGREE, OVER],
            OVER,
            "resolved",
        )
        .given(the_next_day),
        of(
            "ok-that-ends-nothing",
            recovering(),
            &[],
            "alarm-metric-ok",
            "ignored/no-incident",
        )
        .with(|event| event["detail"]["previousState"]["value"] = json!("INSUFFICIENT_DATA")),
    ]);
    scenarios
}

/// The event as if the alarm had changed its state so much later.
fn move_by(event: &mut Value, by: TimeDelta) {
    for state in ["state", "previousState"] {
        let time = &mut event["detail"][state]["timestamp"];
        let told: DateTime<Utc> = time
            .as_str()
            .and_then(date)
            .expect("the event file says when");
        *time = json!((told + by).format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string());
    }
}

/// The alarm is there again, as an incident of its own.
fn the_next_day(world: &World) {
    let scenario = of("", recovering(), &[], "alarm-signals-agree", "")
        .with(|event| move_by(event, TimeDelta::days(1)));
    let ports = crate::support::disturbed::Disturbed::not(world);
    crate::support::disturbed::finish(scenario.deliver(&ports)).expect("nothing goes wrong");
}
