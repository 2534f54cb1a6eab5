//! Every field of the input of the state machine, Region switch or an operator is replaced, in every
//! scenario of the functions that take it. (The journeys do the same with events.) Nothing panics, every
//! answer is an outcome or an error with a remedy, nothing is done twice, and objects are stored under
//! the expected keys.

use std::panic::{AssertUnwindSafe, catch_unwind};

use recovery_core::fakes::World;
use serde_json::Value;

use crate::journeys::malformed::{
    assert_acceptable, assert_answer, pointers, replaced, replacements,
};
use crate::support::disturbed::{Disturbed, finish};

use super::scenario::{Function, Scenario};
use super::scenarios::SCENARIOS;

fn takes_input(scenario: &&Scenario) -> bool {
    matches!(
        scenario.function,
        Function::RecoveryPlanner
            | Function::RecoveryReporter
            | Function::RestoreStarter
            | Function::RoutingShifter(_)
            | Function::RegionSwitchAction
    )
}

/// The effects that must not be repeated: restores, executions, changes of routing controls, OpsItems,
/// notifications, objects.
fn effects(world: &World) -> [usize; 6] {
    let state = world.state();
    [
        state.backups.started.len(),
        state.recoveries.executions.len(),
        state.cluster.changes,
        state.items.len(),
        state.notifications.len(),
        state.backups.objects.len(),
    ]
}

/// Delivers `payload` twice into the scenario's world.
fn deliver(scenario: &Scenario, payload: &Value) -> [usize; 6] {
    let world = scenario.world.clone();
    let before = effects(&world);
    let ports = Disturbed::not(&world);
    let first = finish(scenario.function.deliver(&ports, payload));
    assert_answer(&first);
    let once = effects(&world);
    let grew = |number: usize| once[number] - before[number];
    // Two controls are set; a report and its page are stored.
    let most = [1, 1, 2, 1, 1, 2];
    let within = (0..6).all(|number| grew(number) <= most[number]);
    assert!(within, "{before:?} {once:?}");
    let ports = Disturbed::not(&world);
    let second = finish(scenario.function.deliver(&ports, payload));
    assert_answer(&second);
    assert_eq!(effects(&world), once, "done again");
    assert_acceptable(&world);
    for key in world.state().backups.objects.keys() {
        let safe = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let place = ["infrastructure/", "jobs/", "plans/", "reports/"]
            .iter()
            .any(|place| key.starts_with(place));
        assert!(
            place && key.chars().all(safe) && !key.contains(".."),
            "{key:?}"
        );
    }
    std::array::from_fn(grew)
}

#[test]
fn handles_inputs_with_an_invalid_field() {
    let replacements = replacements();
    let (mut cases, mut did) = (0_usize, [0_usize; 6]);
    let mut failures = Vec::new();
    // At OpsCenter's quota, each delivery notifies again.
    let remembers = |scenario: &&Scenario| !scenario.world.state().ops_item_quota_reached;
    for scenario in SCENARIOS.iter().filter(takes_input).filter(remembers) {
        for path in pointers(&scenario.payload) {
            for replacement in &replacements {
                let payload = replaced(scenario.payload.clone(), &path, replacement.clone());
                cases += 1;
                let delivered = || deliver(scenario, &payload);
                match catch_unwind(AssertUnwindSafe(delivered)) {
                    Ok(grew) => {
                        for (sum, grew) in did.iter_mut().zip(grew) {
                            *sum += grew;
                        }
                    }
                    Err(_) => failures.push(format!(
                        "{}: /{} = {:.60}",
                        scenario.full_name(),
                        path.join("/"),
                        format!("{replacement:?}")
                    )),
                }
            }
        }
    }
    #[expect(clippy::print_stdout, reason = "shown by `cargo test -- --nocapture`")]
    {
        println!("{cases} changed inputs; effects of all: {did:?}");
    }
    assert!(cases > 5_000, "only {cases} cases");
    // Otherwise the test would prove nothing.
    assert!(did.iter().all(|count| *count > 50), "{did:?}");
    assert!(
        failures.is_empty(),
        "{} of {cases} cases: {:#?}",
        failures.len(),
        &failures[..failures.len().min(30)]
    );
}
