//! Fail over: executed, executed before, and refused.

use recovery_core::aws::routing_control::Switch;
use recovery_core::fakes::World;
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::routing::{PANEL, control, routing};

/// Traffic goes to the primary Region.
fn of(name: &'static str, leads_to: &'static str) -> Scenario {
    let file = "manual-fail-over";
    let world = World::new();
    set_controls(&world, Switch::Off, Switch::On);
    let function = Function::RoutingShifter(routing());
    Scenario::new(function, name, file, leads_to, world)
}

fn set_controls(world: &World, west: Switch, east: Switch) {
    world.state().cluster.states = [(control("west"), west), (control("east"), east)].into();
}

fn unavailable(world: &World, regions: &[&str]) {
    world.state().cluster.unavailable = regions.iter().map(|&region| region.to_owned()).collect();
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        of("fail-over", "shifted"),
        of("one-control-set", "shifted").given(|world| set_controls(world, Switch::On, Switch::On)),
        of("set-before", "already-shifted")
            .given(|world| set_controls(world, Switch::On, Switch::Off)),
        of("one-endpoint", "shifted").given(|world| unavailable(world, &["eu-west-1"])),
        of("the-other-endpoint", "shifted").given(|world| unavailable(world, &["us-west-2"])),
        of("no-endpoint", "Retryable")
            .given(|world| unavailable(world, &["eu-west-1", "us-west-2"]))
            .then(|world| unavailable(world, &[])),
        of("safety-rule", "refused/safety-rule").given(|world| {
            world.state().cluster.safety_rule = Some(format!("{PANEL}/safetyrule/1"));
        }),
        of("drill", "refused/drill").with(|input| input["mode"] = json!("drill")),
    ]
}
