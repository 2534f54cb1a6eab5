//! What the state machine, a plan of Region switch or a person passes, taken apart field by field, in
//! every scenario of the functions that take it. (Events are taken apart among the journeys.) Nothing
//! panics, every answer is an outcome or an error that says what to do, nothing is done twice, and what
//! is kept is kept where it belongs.

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

/// What was done in a world and must not be done again: restores, executions, changes of routing
/// controls, OpsItems, messages, objects.
fn done(world: &World) -> [usize; 6] {
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
    let before = done(&world);
    let ports = Disturbed::not(&world);
    let first = finish(scenario.function.deliver(&ports, payload));
    assert_answer(&first);
    let once = done(&world);
    let grew = |number: usize| once[number] - before[number];
    // Two controls are set, a report and its page are kept.
    let most = [1, 1, 2, 1, 1, 2];
    let within = (0..6).all(|number| grew(number) <= most[number]);
    assert!(within, "{before:?} {once:?}");
    let ports = Disturbed::not(&world);
    let second = finish(scenario.function.deliver(&ports, payload));
    assert_answer(&second);
    assert_eq!(done(&world), once, "done again");
    assert_acceptable(&world);
    for key in world.state().backups.objects.keys() {
        let safe = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let place = ["jobs/", "plans/", "reports/"]
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
fn inputs_with_a_field_that_is_wrong_do_no_harm() {
    let replacements = replacements();
    let (mut cases, mut did) = (0_usize, [0_usize; 6]);
    let mut failures = Vec::new();
    // At OpsCenter's quota each delivery tells people again.
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
        println!("{cases} altered inputs; done in all of them: {did:?}");
    }
    assert!(cases > 5_000, "only {cases} cases");
    // Otherwise none of this would say anything.
    assert!(did.iter().all(|count| *count > 50), "{did:?}");
    assert!(
        failures.is_empty(),
        "{} of {cases} cases: {:#?}",
        failures.len(),
        &failures[..failures.len().min(30)]
    );
}
