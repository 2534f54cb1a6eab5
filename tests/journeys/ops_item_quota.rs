//! The quota of OpsItems is used up, or two keys differ only in case: everything except the OpsItem
//! works.

use chrono::TimeDelta;
use recovery_core::detect::{Policy, Response};
use recovery_core::fakes::{DRILL_ROLE, FakeClock, World};
use recovery_core::integrate::run_reconcile::LookbackWindow;
use recovery_core::ports::Clock;
use serde_json::{Value, json};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::repository::event;
use crate::support::restored::{
    JOB, LOGICAL_ID, STACK, VOLUME, change_job, integrate, integrators, retag, usual_ownership,
    world_of,
};

use super::{assert_contains, assert_outcome, notifications};

/// The text of a notification without the id of an OpsItem.
const NOT_CREATED: &str =
    "OpsItem: not created: the account's quota of OpsItems in this Region is used up";

fn at_the_quota(world: World) -> World {
    world.state().ops_item_quota_reached = true;
    world
}

fn policy(responses: &[Response]) -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: responses.to_vec(),
        runbook: Some("StartRegionRecovery".to_owned()),
        other_runbooks: Vec::new(),
    }
}

const ALL: [Response; 3] = [Response::Track, Response::Notify, Response::Recover];

fn attached(world: &World) -> usize {
    let state = world.state();
    state
        .volumes
        .values()
        .flat_map(|it| &it.attachments)
        .count()
}

#[test]
fn attaches_the_volume_without_an_ops_item() {
    let event = event("restore-completed-ebs");
    let world = at_the_quota(world_of(&event));
    let outcome = assert_outcome!(integrate(&world, &event), "integrated");
    assert_eq!(outcome.id("opsItem"), Some("not-created"));
    assert_eq!(outcome.id("opsItemId"), None);
    assert_eq!(attached(&world), 1);
    assert!(world.state().items.is_empty());
    assert!(notifications(&world).is_empty());
}

#[test]
fn notifies_of_remaining_steps() {
    let event = event("restore-completed-ebs");
    let world = at_the_quota(world_of(&event));
    retag(
        &world,
        &[STACK, LOGICAL_ID, ("recovery:mount", "/srv/data")],
    );
    assert_outcome!(integrate(&world, &event), "integrated");
    let notifications = notifications(&world);
    assert_eq!(notifications.len(), 1);
    assert_contains(&notifications[0].1, &["/srv/data", VOLUME, NOT_CREATED]);
}

#[test]
fn notifies_of_a_refusal_without_failing() {
    let event = event("restore-completed-ebs");
    let world = at_the_quota(world_of(&event));
    retag(&world, &[STACK]);
    let outcome = integrate(&world, &event).unwrap();
    assert_eq!(outcome.kind(), "refused");
    let notifications = notifications(&world);
    assert_eq!(notifications.len(), 1);
    assert_contains(&notifications[0].1, &[JOB, NOT_CREATED]);
}

#[test]
fn reconciler_limits_the_notifications_of_a_refusal() {
    let due = event("reconcile-due");
    let reconciled = |world: &World, waited: TimeDelta| {
        change_job(world, JOB, |job| {
            job.completed = Some(FakeClock::new().now() - waited);
        });
        let window = LookbackWindow {
            lookback: TimeDelta::days(1),
            patience: TimeDelta::minutes(30),
            interval: std::time::Duration::from_mins(1),
        };
        let ports = Disturbed::not(world);
        let clock = FakeClock::new();
        let ownership = usual_ownership();
        finish(restore_reconciler::handle(
            &ports,
            &clock,
            &ownership,
            &integrators(),
            window,
            &due,
        ))
        .unwrap()
    };
    let event = event("restore-completed-ebs");
    let world = at_the_quota(world_of(&event));
    let outcome = reconciled(&world, TimeDelta::minutes(1));
    assert_eq!(outcome.count("integrated"), Some(1), "{outcome:?}");
    assert_eq!(attached(&world), 1);

    let world = at_the_quota(world_of(&event));
    retag(&world, &[STACK]);
    // A run every minute for a day.
    for run in 0..1440 {
        let outcome = reconciled(&world, TimeDelta::minutes(1) * run);
        assert_eq!(outcome.count("refused"), Some(1), "{outcome:?}");
    }
    assert_eq!(notifications(&world).len(), 2);
}

fn health(world: &World, policy: &Policy, event: &Value) -> recovery_core::outcome::Outcome {
    let ports = Disturbed::not(world);
    finish(health_event_responder::handle(&ports, policy, event)).unwrap()
}

#[test]
fn notifies_of_an_incident_and_starts_its_recovery() {
    let event = event("health-multiple-services");
    let world = at_the_quota(World::new());
    let outcome = health(&world, &policy(&ALL), &event);
    assert_eq!(outcome.kind(), "responded");
    assert_eq!(outcome.id("opsItem"), Some("not-created"));
    let notifications = notifications(&world);
    assert_eq!(notifications.len(), 1);
    assert_contains(&notifications[0].1, &[NOT_CREATED]);
    assert!(
        !notifications[0].1.contains("an OpsItem is kept"),
        "{}",
        notifications[0].1
    );
    assert_eq!(world.state().executions.len(), 1);
}

#[test]
fn notifies_of_an_incident_even_if_only_tracking_is_configured() {
    let world = at_the_quota(World::new());
    health(
        &world,
        &policy(&[Response::Track]),
        &event("health-issue-s3-get"),
    );
    assert_eq!(notifications(&world).len(), 1);
}

#[test]
fn repeated_composite_alarm_starts_one_recovery() {
    let world = at_the_quota(World::new());
    let event = event("alarm-signals-agree");
    for _ in 0..2 {
        let ports = Disturbed::not(&world);
        finish(alarm_responder::handle(&ports, &policy(&ALL), &event)).unwrap();
    }
    assert_eq!(world.state().executions.len(), 1);
}

#[test]
fn notifies_of_jobs_that_need_an_operator() {
    let tracked = |file: &str| {
        let world = at_the_quota(World::new());
        let ports = Disturbed::not(&world);
        let outcome = finish(opsitem_creator::handle(&ports, DRILL_ROLE, &event(file))).unwrap();
        assert_eq!(
            (outcome.kind(), outcome.reason()),
            ("untracked", Some("ops-item-quota")),
            "{file}"
        );
        notifications(&world)
    };
    for file in [
        "copy-failed",
        "backup-failed",
        "restore-failed",
        "restore-completed-ec2",
    ] {
        let notifications = tracked(file);
        assert_eq!(notifications.len(), 1, "{file}");
        assert_contains(&notifications[0].1, &["**What to do.**", NOT_CREATED]);
    }
    // No action needed, or an integrator does it.
    for file in [
        "copy-completed",
        "restore-completed-rds",
        "restore-completed-efs",
        "restore-completed-ebs",
        "restore-completed-ebs-drill",
    ] {
        assert!(tracked(file).is_empty(), "{file}");
    }
}

#[test]
fn alarm_names_that_differ_in_case_are_two_incidents() {
    let world = World::new();
    for name in ["recovery-Down", "recovery-down"] {
        let mut event = event("alarm-metric");
        event["detail"]["alarmName"] = json!(name);
        event["resources"] = json!([format!(
            "arn:aws:cloudwatch:us-west-2:111122223333:alarm:{name}"
        )]);
        let ports = Disturbed::not(&world);
        finish(alarm_responder::handle(&ports, &policy(&ALL), &event)).unwrap();
    }
    assert_eq!(world.state().items.len(), 2);
    assert_eq!(notifications(&world).len(), 2);
}
