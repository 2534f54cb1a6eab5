//! The decision about a CloudWatch alarm. The EventBridge rule selects the alarms that arrive here.

use chrono::TimeDelta;

use crate::detect::{
    CHECK_AFTER_END, DECIDE, Incident, Judgement, Policy, Response, State, done, runbook, time,
};
use crate::event::alarm::{AlarmChange, AlarmKind, Silenced};
use crate::explanation::Explanation;
use crate::ops_item::{ItemKey, Severity};
use crate::text::{code, markdown_quotation, quotation, shown, within};

/// If an alarm returns within this time after its end, it is the same incident.
const FLAPPING: TimeDelta = TimeDelta::hours(1);

/// Decides about an alarm's change, according to the policy.
pub fn judge(change: &AlarmChange, policy: &Policy) -> Judgement {
    let was_alarm = change.previous.as_deref() == Some("ALARM");
    let state = match change.value.as_str() {
        "ALARM" => State::Open,
        "OK" => State::Over,
        // If missing data is a signal, the alarm treats it as breaching, and its state is ALARM.
        "INSUFFICIENT_DATA" => return Judgement::Ignore("insufficient-data"),
        _ => return Judgement::Ignore("state"),
    };
    // A silenced alarm opens no incident. An incident that it opened earlier may end.
    if state == State::Open {
        match change.silenced {
            Some(Silenced::Muted) => return Judgement::Ignore("muted"),
            Some(Silenced::Suppressed) => return Judgement::Ignore("suppressed"),
            Some(Silenced::Waiting) | None => {}
        }
    }
    let composite = change.kind == AlarmKind::Composite;
    let severity = |state| match state {
        State::Over => Severity::Low,
        State::Open if composite => Severity::Critical,
        State::Open => Severity::High,
    };
    let mut responses = policy.responses.clone();
    responses.sort();
    responses.dedup();
    let tracked = responses.contains(&Response::Track);
    responses.retain(|response| match response {
        Response::Track | Response::Notify => true,
        // Only a composite alarm that is not silenced may start a recovery, and only with an OpsItem, which
        // distinguishes this incident from the next one of the same alarm.
        Response::Recover => {
            state == State::Open
                && composite
                && change.silenced.is_none()
                && tracked
                && policy.runbook.is_some()
        }
    });
    let incident = Incident {
        kind: "alarm",
        key: ItemKey::new("alarm", &change.id),
        reopens_within: Some(FLAPPING),
        // The event of an alarm's end may arrive first. An OK that follows another state is not an incident.
        opens: state == State::Open || was_alarm,
        message_key: format!(
            "{}@{}",
            change.value,
            change
                .changed
                .map_or_else(|| "unknown".to_owned(), |time| time.to_rfc3339())
        ),
        state,
        severity: severity(state),
        title: title(change, policy, state),
        otherwise: (
            title(change, policy, state.other()),
            severity(state.other()),
        ),
        description: item_description(change, policy, state, &responses),
        message: message(change, policy, state, &responses),
        began: change.changed.filter(|_| state == State::Open),
        updated: change.changed,
        runbooks: policy.runbooks(),
        region: change
            .region
            .clone()
            .unwrap_or_else(|| "unknown".to_owned()),
        resources: Vec::new(),
    };
    Judgement::Respond(incident, responses)
}

fn title(change: &AlarmChange, policy: &Policy, state: State) -> String {
    let region = change
        .region
        .as_deref()
        .map_or("an unnamed Region".to_owned(), shown);
    let (name, primary) = (shown(&change.name), &policy.primary_region);
    match (change.kind, state) {
        (AlarmKind::Heartbeat, State::Open) => {
            format!("No heartbeat from {primary}: alarm {name}")
        }
        (AlarmKind::Heartbeat, State::Over) => {
            format!("Heartbeats from {primary} arrive again: alarm {name}")
        }
        (_, State::Open) => format!("Alarm {name} in {region}"),
        (_, State::Over) => format!("Alarm {name} in {region} is OK again"),
    }
}

/// What happened, and what operators must do.
fn meaning(change: &AlarmChange, policy: &Policy, state: State) -> (String, &'static str) {
    let primary = &policy.primary_region;
    if state == State::Over {
        let meaning = match change.kind {
            AlarmKind::Heartbeat => format!("Heartbeats from {primary} arrive again."),
            _ => "The alarm is back to OK.".to_owned(),
        };
        return (meaning, CHECK_AFTER_END);
    }
    let meaning = match change.kind {
        AlarmKind::Heartbeat => {
            return (
                format!(
                    "No heartbeat from {primary} has arrived for several minutes. The Region is down, or it cannot schedule, deliver or forward events. This alarm does not measure the workload."
                ),
                "Check whether users can reach the workload. Check the other alarms and AWS Health for the Region. If users are affected and no end is in sight, start the recovery. The time until you decide counts in the RTO. If the workload works, check the heartbeat's schedule and forwarding rule in the primary Region.",
            );
        }
        AlarmKind::Composite => "Several signals together show that the workload is impaired.",
        AlarmKind::Canary => "A canary, which uses the workload as a user does, fails.",
        AlarmKind::ErrorRate => "Too many requests to the workload fail.",
        AlarmKind::AnomalyDetection => "A metric of the workload is outside its expected band.",
        AlarmKind::Metric | AlarmKind::Math => "A metric of the workload is beyond its threshold.",
    };
    (meaning.to_owned(), DECIDE)
}

fn item_description(
    change: &AlarmChange,
    policy: &Policy,
    state: State,
    responses: &[Response],
) -> String {
    let (meaning, action) = meaning(change, policy, state);
    let waiting = if change.silenced == Some(Silenced::Waiting) {
        "\n- Its actions wait for the suppressor alarm, which may still suppress it"
    } else {
        ""
    };
    let purpose = change.description.as_deref().map_or(String::new(), |text| {
        format!("\n- Description of the alarm: {}", code(text))
    });
    let explanation = Explanation {
        happened: format!(
            "{meaning}\n\n- Alarm: {name}\n- Region: {region}\n- Since: {since}{purpose}{waiting}",
            name = code(&change.name),
            region = code(change.region.as_deref().unwrap_or("unknown")),
            since = time(change.changed),
        ),
        why: format!(
            "CloudWatch says:\n{}",
            markdown_quotation(&within(reason(change), 700))
        ),
        done: done(policy, responses, true),
        action: format!("{action} {}", runbook(policy)),
    };
    explanation.markdown()
}

fn message(
    change: &AlarmChange,
    policy: &Policy,
    state: State,
    responses: &[Response],
) -> Explanation {
    let (meaning, action) = meaning(change, policy, state);
    let purpose = change.description.as_deref().map_or(String::new(), |text| {
        format!("\n- Description of the alarm: {}", shown(text))
    });
    Explanation {
        happened: format!(
            "{meaning}\n- Alarm: {id}\n- Since: {since}{purpose}",
            id = shown(&change.id),
            since = time(change.changed),
        ),
        why: format!(
            "CloudWatch says:\n{}",
            quotation(&within(reason(change), 700))
        ),
        done: done(policy, responses, true),
        action: action.to_owned(),
    }
}

/// CloudWatch's reason for the change.
fn reason(change: &AlarmChange) -> &str {
    match change.reason.trim() {
        "" => "nothing",
        reason => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> AlarmChange {
        AlarmChange {
            id: "arn:aws:cloudwatch:us-west-2:111122223333:alarm:recovery-down".to_owned(),
            name: "recovery-down".to_owned(),
            account: Some("111122223333".to_owned()),
            region: Some("us-west-2".to_owned()),
            value: "ALARM".to_owned(),
            previous: Some("OK".to_owned()),
            reason: "Threshold Crossed".to_owned(),
            changed: crate::event::date("2026-11-23T05:30:00Z"),
            kind: AlarmKind::Composite,
            description: None,
            silenced: None,
        }
    }

    fn policy() -> Policy {
        Policy {
            primary_region: "us-east-1".to_owned(),
            recovery_region: "us-west-2".to_owned(),
            responses: vec![Response::Track, Response::Notify, Response::Recover],
            runbook: Some("StartRegionRecovery".to_owned()),
            other_runbooks: vec!["StartWorkloadInstances".to_owned()],
        }
    }

    const ALL: [Response; 3] = [Response::Track, Response::Notify, Response::Recover];
    const TRACK_AND_NOTIFY: [Response; 2] = [Response::Track, Response::Notify];

    fn judged(change: &AlarmChange, policy: &Policy) -> (Incident, Vec<Response>) {
        match judge(change, policy) {
            Judgement::Respond(incident, responses) => (incident, responses),
            Judgement::Ignore(reason) => panic!("ignored: {reason}"),
        }
    }

    #[test]
    fn only_composite_alarms_start_a_recovery() {
        let check = |change: AlarmChange, severity: Severity, expected: &[Response]| {
            let (incident, responses) = judged(&change, &policy());
            assert_eq!(
                (incident.severity, &responses[..]),
                (severity, expected),
                "{change:?}"
            );
        };
        check(change(), Severity::Critical, &ALL);
        for kind in [
            AlarmKind::Metric,
            AlarmKind::Math,
            AlarmKind::AnomalyDetection,
            AlarmKind::Heartbeat,
            AlarmKind::Canary,
            AlarmKind::ErrorRate,
        ] {
            check(
                AlarmChange { kind, ..change() },
                Severity::High,
                &TRACK_AND_NOTIFY,
            );
        }
        // It may still be suppressed: it is notified, but nothing starts.
        let waiting = AlarmChange {
            silenced: Some(Silenced::Waiting),
            ..change()
        };
        check(waiting, Severity::Critical, &TRACK_AND_NOTIFY);
        let over = AlarmChange {
            value: "OK".to_owned(),
            ..change()
        };
        check(over, Severity::Low, &TRACK_AND_NOTIFY);
    }

    #[test]
    fn texts_name_what_the_alarm_measures() {
        let said = |kind: AlarmKind, value: &str| {
            let change = AlarmChange {
                kind,
                value: value.to_owned(),
                description: Some("Its purpose.".to_owned()),
                ..change()
            };
            judged(&change, &policy()).0
        };
        let silence = said(AlarmKind::Heartbeat, "ALARM");
        assert_eq!(
            silence.title,
            "No heartbeat from us-east-1: alarm recovery-down"
        );
        for text in [&silence.description, &silence.message.plain("t")] {
            assert!(
                text.contains("No heartbeat from us-east-1 has arrived"),
                "{text}"
            );
            assert!(text.contains("forwarding rule"), "{text}");
            assert!(!text.contains("A metric of the workload"), "{text}");
            assert!(text.contains("Description of the alarm: "), "{text}");
        }
        let over = said(AlarmKind::Heartbeat, "OK");
        assert!(
            over.message
                .happened
                .contains("Heartbeats from us-east-1 arrive again.")
        );
        for (kind, meaning) in [
            (AlarmKind::Canary, "A canary"),
            (AlarmKind::ErrorRate, "Too many requests"),
            (AlarmKind::Metric, "A metric of the workload"),
        ] {
            assert!(
                said(kind, "ALARM").message.happened.contains(meaning),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn starts_nothing_without_runbook_ops_item_or_configuration() {
        let none = Policy {
            runbook: None,
            ..policy()
        };
        assert_eq!(judged(&change(), &none).1, TRACK_AND_NOTIFY);
        let untracked = Policy {
            responses: vec![Response::Notify, Response::Recover],
            ..policy()
        };
        assert_eq!(judged(&change(), &untracked).1, [Response::Notify]);
        let tracked = Policy {
            responses: vec![Response::Track],
            ..policy()
        };
        assert_eq!(judged(&change(), &tracked).1, [Response::Track]);
    }

    #[test]
    fn silenced_alarm_opens_no_incident_but_may_end_one() {
        for (silenced, reason) in [
            (Silenced::Muted, "muted"),
            (Silenced::Suppressed, "suppressed"),
        ] {
            let silent = AlarmChange {
                silenced: Some(silenced),
                ..change()
            };
            assert_eq!(judge(&silent, &policy()), Judgement::Ignore(reason));
            let over = AlarmChange {
                value: "OK".to_owned(),
                ..silent
            };
            assert_eq!(judged(&over, &policy()).0.state, State::Over);
        }
        for (value, reason) in [("INSUFFICIENT_DATA", "insufficient-data"), ("new", "state")] {
            let other = AlarmChange {
                value: value.to_owned(),
                ..change()
            };
            assert_eq!(judge(&other, &policy()), Judgement::Ignore(reason));
        }
    }

    #[test]
    fn ok_opens_an_incident_only_after_alarm() {
        let ok = |previous: &str| {
            let change = AlarmChange {
                value: "OK".to_owned(),
                previous: Some(previous.to_owned()),
                ..change()
            };
            judged(&change, &policy()).0.opens
        };
        assert!(ok("ALARM"));
        assert!(!ok("INSUFFICIENT_DATA"));
        assert!(judged(&change(), &policy()).0.opens);
    }

    #[test]
    fn texts_satisfy_the_limits_and_quote_hostile_text() {
        let hostile = AlarmChange {
            name: "a`b\n# c".repeat(40),
            reason: "line\n# not a heading".repeat(200),
            description: Some("`".repeat(400)),
            ..change()
        };
        let (incident, _) = judged(&hostile, &policy());
        assert!(incident.description.len() <= crate::ops_item::DESCRIPTION_LIMIT);
        assert!(
            !incident.description.contains("\n# "),
            "{}",
            incident.description
        );
        assert!(!incident.title.contains('\n'));
        let parts = [
            "**What happened.**",
            "**Why.**",
            "**What was done.**",
            "**What to do.**",
        ];
        let places = parts.map(|part| incident.description.find(part).unwrap());
        assert!(places.is_sorted(), "{}", incident.description);
        assert!(incident.description.contains("The recovery runbook is"));
    }
}
