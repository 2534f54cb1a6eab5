//! The crash matrix: each function, in each scenario, with every kind of trouble at every call that it
//! was seen to make, and the same again while it is delivered once more; two deliveries at a time,
//! changing over between any two calls. Whatever happens, the crash rule of [`rule`] holds.
//!
//! [`scenarios`] lists what is delivered into which world: a function, or a file of `events/`, that
//! leads to an action belongs there, or a test fails. [`walk`] goes all ways from each of them.
//! [`permissions`] holds what was called on the way against the functions' roles. [`inputs`] takes apart
//! what is no event.
//!
//! ```text
//! cargo test -p tests --test suite crash_matrix -- --nocapture
//! ```
//!
//! prints how many cases there are. A case that fails prints the line that runs it alone.

mod case;
mod inputs;
mod permissions;
mod rule;
mod scenario;
mod scenarios;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use case::Case;
use scenario::Scenario;
use scenarios::SCENARIOS;
use walk::{Found, walk};

use crate::support::disturbed::{Disturbed, run};
use crate::support::repository::{events, function_packages};

/// What was found on all ways from all scenarios, in their order.
static FOUND: LazyLock<Vec<(&'static Scenario, Found)>> = LazyLock::new(|| {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut found: Vec<(usize, Found)> = std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    while let Some((number, scenario)) = {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        SCENARIOS.get(number).map(|scenario| (number, scenario))
                    } {
                        found.push((number, walk(scenario)));
                    }
                    found
                })
            })
            .collect();
        walkers
            .into_iter()
            .flat_map(|walker| walker.join().expect("a walk reports what it finds"))
            .collect()
    });
    found.sort_by_key(|(number, _)| *number);
    SCENARIOS
        .iter()
        .zip(found.into_iter().map(|(_, found)| found))
        .collect()
});

/// The variable that names the one case to run.
const CRASH_CASE: &str = "CRASH_CASE";

#[test]
#[expect(clippy::print_stdout, reason = "the count is what one runs this for")]
fn whatever_fails_nothing_is_lost_and_nothing_is_done_twice() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how a person says which case to run"
    )]
    if let Ok(name) = std::env::var(CRASH_CASE) {
        let case = Case::parse(&name).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let (story, end) = case.run();
        println!("{story}");
        if let Err(violation) = end {
            panic!("{violation}");
        }
        println!("The crash rule holds.");
        return;
    }
    let mut functions: BTreeMap<&str, Found> = BTreeMap::new();
    let mut scenarios: BTreeMap<&str, usize> = BTreeMap::new();
    for (scenario, found) in FOUND.iter() {
        let name = scenario.function.name();
        *scenarios.entry(name).or_default() += 1;
        functions.entry(name).or_default().add(found);
    }
    println!(
        "{:24} scenarios  calls  one trouble  several  side by side",
        ""
    );
    let mut all = Found::default();
    for (name, found) in &functions {
        println!("{name:24} {:>9} {}", scenarios[name], found.counts());
        all.add(found);
    }
    println!("{:24} {:>9} {}", "all", FOUND.len(), all.counts());
    println!(
        "{} cases, {} violations; {} scenarios walked until no world was left that was not seen",
        all.cases(),
        all.violations.len(),
        all.to_the_end
    );
    let broken: Vec<String> = FOUND
        .iter()
        .filter_map(|(scenario, found)| {
            let (case, what) = found.violations.first()?;
            let (count, name) = (found.violations.len(), scenario.full_name());
            Some(format!(
                "{count} of {name}, the first: {what}\n    \
                 {CRASH_CASE}='{case}' cargo test -p tests --test suite crash_matrix -- --nocapture"
            ))
        })
        .collect();
    assert!(
        broken.is_empty(),
        "{} cases break the crash rule:\n{}",
        all.violations.len(),
        broken.join("\n")
    );
}

#[test]
fn every_function_has_scenarios_and_every_scenario_a_name_of_its_own() {
    let packages: BTreeSet<String> = function_packages().into_iter().collect();
    let listed: BTreeSet<String> = SCENARIOS
        .iter()
        .map(|scenario| scenario.function.name().to_owned())
        .collect();
    assert_eq!(
        listed, packages,
        "a function without scenarios is not known to keep the crash rule: list some in tests/crash_matrix/scenarios"
    );
    let names: BTreeSet<String> = SCENARIOS.iter().map(Scenario::full_name).collect();
    assert_eq!(names.len(), SCENARIOS.len(), "a name stands twice");
}

#[test]
fn every_event_file_that_leads_to_an_action_is_in_a_scenario() {
    let mut missing = BTreeSet::new();
    for scenario in scenarios::any_event() {
        let listed: BTreeSet<&str> = SCENARIOS
            .iter()
            .filter(|other| other.function.name() == scenario.function.name())
            .flat_map(|other| other.files.iter().copied())
            .collect();
        let ports = Disturbed::not(&scenario.world);
        drop(run(scenario.deliver(&ports)));
        let acts = ports
            .made()
            .iter()
            .any(|call| !rule::only_looks(call.operation));
        if acts && !listed.contains(scenario.name) {
            missing.insert(scenario.full_name());
        }
    }
    assert!(
        missing.is_empty(),
        "they change something, and no scenario in tests/crash_matrix/scenarios delivers them: {missing:#?}"
    );
    for file in SCENARIOS.iter().flat_map(|scenario| &scenario.files) {
        assert!(events().contains_key(*file), "events/{file}.json");
    }
}
