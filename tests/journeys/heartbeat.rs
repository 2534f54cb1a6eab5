//! `HeartbeatRule`: a heartbeat of the primary Region. No function is invoked. Missing heartbeats are an
//! alarm, which [`alarm_state`](super::alarm_state) covers.

use recovery_core::fakes::{DRILL_ROLE, World};
use recovery_core::ops_item::{Severity, Status};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::repository::event;

use super::alarm_state::{all_responses, respond, world_after};
use super::{assert_contains, assert_outcome, notifications, only_item};

#[test]
fn ignores_heartbeats_without_a_call() {
    for name in ["heartbeat", "heartbeat-other-region"] {
        let event = event(name);
        let world = World::new();
        let ports = Disturbed::not(&world);
        for answer in [
            finish(alarm_responder::handle(&ports, &all_responses(), &event)),
            finish(health_event_responder::handle(
                &ports,
                &all_responses(),
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
fn missing_heartbeats_open_an_incident_without_a_recovery() {
    let world = world_after(&all_responses(), &["alarm-heartbeat-silent"]);
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
        respond(
            &world,
            &all_responses(),
            &event("alarm-heartbeat-silent-ok")
        ),
        "resolved"
    );
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert_eq!(notifications(&world).len(), 2);
}

#[test]
fn missing_heartbeats_and_a_canary_start_one_recovery() {
    let world = world_after(
        &all_responses(),
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
