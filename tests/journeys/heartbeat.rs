//! `HeartbeatRule`: the primary Region is alive. No function is invoked; what counts is that no
//! heartbeat comes, which is an alarm, and goes the way of [`alarm_state`](super::alarm_state).

use recovery_core::fakes::{DRILL_ROLE, World};
use recovery_core::ops_item::{Severity, Status};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::repository::event;

use super::alarm_state::{after, recovering, respond};
use super::{assert_contains, assert_outcome, only_item, told};

#[test]
fn no_function_does_anything_about_a_heartbeat() {
    for name in ["heartbeat", "heartbeat-other-region"] {
        let event = event(name);
        let world = World::new();
        let ports = Disturbed::not(&world);
        for answer in [
            finish(alarm_responder::handle(&ports, &recovering(), &event)),
            finish(health_event_responder::handle(
                &ports,
                &recovering(),
                &event,
            )),
            finish(opsitem_creator::handle(&ports, DRILL_ROLE, &event)),
        ] {
            assert_outcome!(answer, "ignored", "source");
        }
        assert_eq!(world.calls(), Vec::<String>::new());
    }
}

#[test]
fn silence_opens_an_incident_starts_nothing_alone_and_ends_with_the_next_heartbeats() {
    let world = after(&recovering(), &["alarm-heartbeat-silent"]);
    let stored = only_item(&world);
    assert_eq!(
        (stored.severity, stored.item.status),
        (Severity::High, Status::Open)
    );
    assert_contains(
        &stored.description,
        &[
            "- Description of the alarm: `No heartbeat of the primary Region has arrived for some minutes.`",
            "no datapoints were received for 3 periods",
        ],
    );
    assert!(world.state().executions.is_empty());
    assert_outcome!(
        respond(&world, &recovering(), &event("alarm-heartbeat-silent-ok")),
        "resolved"
    );
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert_eq!(told(&world).len(), 2);
}

#[test]
fn silence_and_a_canary_together_start_the_recovery_and_are_one_disaster() {
    let world = after(
        &recovering(),
        &["alarm-heartbeat-silent", "alarm-signals-agree"],
    );
    let state = world.state();
    assert_eq!(state.executions.len(), 1);
    let [silence, agreement] = state.items.as_slice() else {
        panic!("{:#?}", state.items);
    };
    assert_eq!(silence.related, std::slice::from_ref(&agreement.item.id));
    assert_eq!(agreement.related, std::slice::from_ref(&silence.item.id));
    assert!(
        agreement
            .item
            .data
            .contains_key("recovery:runbook-execution")
    );
    assert!(!silence.item.data.contains_key("recovery:runbook-execution"));
}
