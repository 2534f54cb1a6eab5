//! `ReconcileDueRule`: every minute. A restore whose event was lost has the same result as one whose
//! event arrived.

use std::time::Duration;

use chrono::TimeDelta;
use recovery_core::fakes::{FakeClock, World};
use recovery_core::integrate::run_reconcile::LookbackWindow;
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;
use recovery_core::ports::ReconciliationPorts;
use serde_json::Value;

use crate::support::disturbed::{Disturbed, finish};
use crate::support::end::End;
use crate::support::repository::event;
use crate::support::restored::{integrators, ownership, world_of};

use super::{assert_outcome, only_item};

async fn reconciled(
    ports: &impl ReconciliationPorts,
    payload: &Value,
) -> Result<Outcome, recovery_core::error::Error> {
    let window = LookbackWindow {
        // The events are from another day than the fake clock.
        lookback: TimeDelta::days(365),
        patience: TimeDelta::days(365),
        interval: Duration::from_mins(1),
    };
    let ownership = ownership(&event("restore-completed-ebs"));
    restore_reconciler::handle(
        ports,
        &FakeClock::new(),
        &ownership,
        &integrators(),
        window,
        payload,
    )
    .await
}

#[test]
fn lost_event_has_the_same_result_as_a_delivered_one() {
    let restored = event("restore-completed-ebs");
    let delivered = world_of(&restored);
    let integrated = finish(restore_integrator::handle(
        &Disturbed::not(&delivered),
        &FakeClock::new(),
        &ownership(&restored),
        &restored,
    ));
    assert_outcome!(integrated, "integrated");

    let world = world_of(&restored);
    let due = event("reconcile-due");
    let outcome = finish(reconciled(&Disturbed::not(&world), &due));
    let outcome = assert_outcome!(outcome, "reconciled");
    assert_eq!(outcome.count("restores"), Some(1));
    assert_eq!(outcome.count("integrated"), Some(1));
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert_eq!(End::of(&world), End::of(&delivered));
}

#[test]
fn skips_restores_of_drills() {
    let world = world_of(&event("restore-completed-ebs-drill"));
    let due = event("reconcile-due");
    let outcome = finish(reconciled(&Disturbed::not(&world), &due));
    let outcome = assert_outcome!(outcome, "reconciled");
    assert_eq!(outcome.count("restores"), Some(1));
    assert_eq!(outcome.count("integrated"), None);
    assert_eq!(world.attachments_made(), 0);
    assert!(world.state().items.is_empty());
}

#[test]
fn ignores_other_events() {
    let world = World::new();
    for name in ["restore-completed-ebs", "heartbeat"] {
        let outcome = finish(reconciled(&Disturbed::not(&world), &event(name)));
        assert_outcome!(outcome, "ignored", "source");
    }
    assert!(world.calls().is_empty());
}
