//! The Region switch step: the recovery starts, runs, succeeds and fails.

use recovery_core::fakes::World;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::disturbed::{Disturbed, run};

fn of(name: &'static str, leads_to: &'static str) -> Scenario {
    let file = "manual-region-switch";
    let function = Function::RegionSwitchAction;
    Scenario::new(function, name, file, leads_to, World::new())
}

/// It was invoked before, and the recovery has this status.
fn after_recovery(world: &World, status: &str) {
    let scenario = of("", "");
    drop(run(scenario.deliver(&Disturbed::not(world))));
    end(world, status);
}

fn end(world: &World, status: &str) {
    for (_, execution) in world.state().recoveries.executions.values_mut() {
        execution.status = status.to_owned();
    }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        of("recover", "recovered")
            .given(|world| world.state().recoveries.reads_until_recovered = Some(1)),
        of("recovered-before", "recovered").given(|world| after_recovery(world, "SUCCEEDED")),
        of("running", "Retryable")
            .given(|world| after_recovery(world, "RUNNING"))
            .then(|world| end(world, "SUCCEEDED")),
        of("failed", "Permanent")
            .given(|world| after_recovery(world, "FAILED"))
            .then(|world| end(world, "SUCCEEDED")),
        of("another-region", "ignored/region").with(|input| input["region"] = "us-east-1".into()),
        of("deactivation", "ignored/action").with(|input| input["action"] = "deactivate".into()),
    ]
}
