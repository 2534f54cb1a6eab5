//! Alarms: the beginning, the end and the recurrence of an incident.

use chrono::{DateTime, TimeDelta, Utc};
use recovery_core::detect::{Policy, Response};
use recovery_core::event::date;
use recovery_core::fakes::World;
use recovery_core::ops_item::Status;
use serde_json::{Value, json};

use crate::crash_matrix::scenario::{Function, Scenario, Tolerance};

use super::{all_responses, at_the_quota, notify_and_recover, track_and_notify, world_after};

/// Every file that the function handles, and its outcome.
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
    // No rule matches these; alarm-responder handles every alarm that arrives.
    ("alarm-metric-other-name", "responded"),
    ("alarm-of-this-stack", "responded"),
];

/// Name, earlier events, event, outcome.
const SEQUENCES: &[(&str, &[&str], &str, &str)] = &[
    ("ok", &["alarm-metric"], "alarm-metric-ok", "resolved"),
    (
        "heartbeats-resumed",
        &["alarm-heartbeat-silent"],
        "alarm-heartbeat-silent-ok",
        "resolved",
    ),
    (
        "ok-after-recovery-started",
        &["alarm-signals-agree"],
        "alarm-signals-agree-ok",
        "resolved",
    ),
    (
        "related-to-one-incident",
        &["health-multiple-services"],
        "alarm-composite",
        "responded",
    ),
    (
        "related-to-several-incidents",
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
    let world = world_after(&policy, before);
    let function = Function::AlarmResponder(policy);
    Scenario::new(function, name, file, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    const AGREE: &str = "alarm-signals-agree";
    const OVER: &str = "alarm-signals-agree-ok";
    let only = |response: Response| Policy {
        responses: vec![response],
        ..all_responses()
    };
    let quiet = Policy {
        responses: vec![Response::Track, Response::Recover],
        ..all_responses()
    };
    let mut scenarios: Vec<Scenario> = FILES
        .iter()
        .map(|(file, leads_to)| of(file, all_responses(), &[], file, leads_to).briefly())
        .collect();
    scenarios.extend(
        SEQUENCES.iter().map(|(name, before, file, leads_to)| {
            of(name, all_responses(), before, file, leads_to)
        }),
    );
    scenarios.extend([
        at_the_quota(of("at-the-quota", all_responses(), &[], AGREE, "responded")),
        of(
            "alarm-after-its-ok",
            all_responses(),
            &[OVER],
            AGREE,
            "responded",
        )
        .tolerating(Tolerance::NotifiesMore),
        // The same change is notified once, before or after the wait for its suppressor.
        of(
            "suppressor-wait-ended",
            all_responses(),
            &["alarm-composite-suppressed"],
            "alarm-composite",
            "responded",
        )
        .tolerating(Tolerance::NotifiesMore),
        of("recover", all_responses(), &[], AGREE, "responded"),
        of("metric", all_responses(), &[], "alarm-metric", "responded"),
        of("ok-first", all_responses(), &[], OVER, "resolved"),
        of(
            "without-runbook",
            track_and_notify(),
            &[],
            AGREE,
            "responded",
        ),
        of(
            "without-runbook-ok",
            track_and_notify(),
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
        of(
            "without-ops-item",
            notify_and_recover(),
            &[],
            AGREE,
            "responded",
        ),
        of(
            "without-notification-after-ok",
            quiet.clone(),
            &[OVER],
            AGREE,
            "responded",
        ),
        of("without-notification", quiet, &[], AGREE, "responded"),
        of(
            "delivered-before",
            all_responses(),
            &[AGREE],
            AGREE,
            "responded",
        ),
        of(
            "resolved-by-a-user",
            all_responses(),
            &[AGREE],
            AGREE,
            "responded",
        )
        .given(|world| world.state().items[0].item.status = Status::Resolved),
        // Flapping: within an hour it is the same incident.
        of(
            "again-within-an-hour",
            all_responses(),
            &[AGREE, OVER],
            AGREE,
            "responded",
        )
        .with(|event| move_by(event, TimeDelta::minutes(120))),
        // Later it is another incident with another recovery.
        of(
            "again-the-next-day",
            all_responses(),
            &[AGREE, OVER],
            AGREE,
            "responded",
        )
        .with(|event| move_by(event, TimeDelta::days(1))),
        of(
            "outdated-ok-of-the-previous-incident",
            all_responses(),
            &[AGREE, OVER],
            OVER,
            "resolved",
        )
        .given(the_next_day),
        of(
            "ok-without-an-incident",
            all_responses(),
            &[],
            "alarm-metric-ok",
            "ignored/no-incident",
        )
        .with(|event| event["detail"]["previousState"]["value"] = json!("INSUFFICIENT_DATA")),
    ]);
    scenarios
}

/// Moves the times of the alarm's states.
fn move_by(event: &mut Value, by: TimeDelta) {
    for state in ["state", "previousState"] {
        let time = &mut event["detail"][state]["timestamp"];
        let told: DateTime<Utc> = time
            .as_str()
            .and_then(date)
            .expect("the event file has the time");
        *time = json!((told + by).format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string());
    }
}

/// The alarm occurs again on the next day, as another incident.
fn the_next_day(world: &World) {
    let scenario = of("", all_responses(), &[], "alarm-signals-agree", "")
        .with(|event| move_by(event, TimeDelta::days(1)));
    let ports = crate::support::disturbed::Disturbed::not(world);
    crate::support::disturbed::finish(scenario.deliver(&ports)).expect("nothing goes wrong");
}
