//! Every scenario: one file for each function. A new function has its variant in
//! [`Function`](super::scenario::Function) and its file here.

mod alarm_responder;
mod database_integrator;
mod file_system_integrator;
mod health_event_responder;
mod opsitem_creator;
mod recovery_planner;
mod recovery_reporter;
mod region_switch_action;
mod restore_integrator;
mod restore_reconciler;
mod restore_starter;
mod restore_test_validator;
mod routing_shifter;
mod table_integrator;

use std::sync::LazyLock;

use recovery_core::aws::database::DATABASE_TYPES;
use recovery_core::detect::{Policy, Response};
use recovery_core::fakes::World;

use crate::support::databases::database_world_of;
use crate::support::disturbed::{Disturbed, finish};
use crate::support::file_systems::{file_system_world, is_of_file_system};
use crate::support::repository::{event, events};
use crate::support::restored::world_of;
use crate::support::routing::routing;

use super::scenario::{Function, Scenario, Tolerance};

/// All of them.
pub(super) static SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    [
        restore_integrator::scenarios(),
        table_integrator::scenarios(),
        database_integrator::scenarios(),
        file_system_integrator::scenarios(),
        restore_reconciler::scenarios(),
        restore_test_validator::scenarios(),
        recovery_planner::scenarios(),
        recovery_reporter::scenarios(),
        restore_starter::scenarios(),
        routing_shifter::scenarios(),
        region_switch_action::scenarios(),
        opsitem_creator::scenarios(),
        health_event_responder::scenarios(),
        alarm_responder::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// Every file of `events/` delivered to every function, in a world with the resources that it needs.
pub(super) fn any_event() -> Vec<Scenario> {
    events()
        .keys()
        .flat_map(|file| {
            let policy = if file.ends_with("aws-cn") {
                in_china()
            } else {
                all_responses()
            };
            [
                Function::RestoreIntegrator,
                Function::TableIntegrator,
                Function::DatabaseIntegrator,
                Function::FileSystemIntegrator,
                Function::RestoreReconciler(restore_reconciler::PATIENT),
                Function::RestoreTestValidator,
                Function::RecoveryPlanner,
                Function::RecoveryReporter,
                Function::RestoreStarter,
                Function::RoutingShifter(routing()),
                Function::RegionSwitchAction,
                Function::OpsitemCreator,
                Function::HealthEventResponder(policy.clone()),
                Function::AlarmResponder(policy),
            ]
            .map(|function| Scenario::new(function, file, file, "", restored(file)))
        })
        .collect()
}

/// The world of a restore event, or that of `restore-completed-ebs`; for inputs of database-integrator that
/// of `restore-completed-aurora`.
fn restored(file: &str) -> World {
    if file.contains("-database-restore-job") {
        return restored("restore-completed-aurora");
    }
    let event = event(file);
    let of_type = event["detail"]["resourceType"].as_str().unwrap_or_default();
    if is_of_file_system(&event) && event["detail"]["createdResourceArn"].is_string() {
        file_system_world(&event)
    } else if DATABASE_TYPES.contains(&of_type) {
        database_world_of(&event)
    } else if event["source"] == "aws.backup" && event["detail"]["restoreJobId"].is_string() {
        world_of(&event)
    } else {
        world_of(&crate::support::repository::event("restore-completed-ebs"))
    }
}

/// The quota of OpsItems is used up. Nothing records notifications then: each delivery notifies.
fn at_the_quota(scenario: Scenario) -> Scenario {
    scenario
        .given(|world| world.state().ops_item_quota_reached = true)
        .tolerating(Tolerance::NotRecorded)
}

/// Track and notify: the template's default.
fn track_and_notify() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify],
        runbook: None,
        other_runbooks: Vec::new(),
    }
}

/// Track, notify and recover.
fn all_responses() -> Policy {
    Policy {
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some("StartRegionRecovery".to_owned()),
        ..track_and_notify()
    }
}

/// All responses, in the Regions of China.
fn in_china() -> Policy {
    Policy {
        primary_region: "cn-north-1".to_owned(),
        recovery_region: "cn-northwest-1".to_owned(),
        ..all_responses()
    }
}

/// All responses except an OpsItem.
fn notify_and_recover() -> Policy {
    Policy {
        responses: vec![Response::Notify, Response::Recover],
        ..all_responses()
    }
}

/// Delivers these events to the functions of their rules.
fn deliver_all(world: &World, policy: &Policy, files: &[&str]) {
    for file in files {
        let event = event(file);
        let ports = Disturbed::not(world);
        let answer = if event["source"] == "aws.health" {
            finish(health_event_responder_handle(&ports, policy, &event))
        } else {
            finish(::alarm_responder::handle(&ports, policy, &event))
        };
        answer.unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

use ::health_event_responder::handle as health_event_responder_handle;

/// The world after these events.
fn world_after(policy: &Policy, files: &[&str]) -> World {
    let world = World::new();
    deliver_all(&world, policy, files);
    world
}
