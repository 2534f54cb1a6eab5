//! The crash matrix: each function, in each scenario, with every kind of failure at every call that it
//! makes, followed by another delivery with failures; and two concurrent deliveries, interleaved between
//! any two calls. The crash rule of [`rule`] must hold in every case.
//!
//! [`scenarios`] lists the deliveries and their worlds. A test fails if a function, or a file of
//! `events/` with an effect, is missing there. [`walk`] runs all cases of a scenario. [`permissions`]
//! compares the calls with the functions' roles. [`inputs`] replaces the fields of inputs that are not
//! events.
//!
//! ```text
//! cargo test -p tests --test suite crash_matrix -- --nocapture
//! ```
//!
//! prints the number of cases. A failed case prints the command that runs it alone.

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

/// The results of all scenarios, in their order.
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
            .flat_map(|walker| walker.join().expect("a walk does not panic"))
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
#[expect(clippy::print_stdout, reason = "the number of cases is the result")]
fn nothing_is_lost_or_done_twice_whatever_fails() {
    #[expect(clippy::disallowed_methods, reason = "selects the case to run")]
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
        "{:24} scenarios  calls  one failure  several    concurrent",
        ""
    );
    let mut all = Found::default();
    for (name, found) in &functions {
        println!("{name:24} {:>9} {}", scenarios[name], found.counts());
        all.add(found);
    }
    println!("{:24} {:>9} {}", "all", FOUND.len(), all.counts());
    println!(
        "{} cases, {} violations; {} scenarios walked until no new world appeared",
        all.cases(),
        all.violations.len(),
        all.exhausted
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
fn every_function_has_scenarios_with_unique_names() {
    let packages: BTreeSet<String> = function_packages().into_iter().collect();
    let listed: BTreeSet<String> = SCENARIOS
        .iter()
        .map(|scenario| scenario.function.name().to_owned())
        .collect();
    assert_eq!(
        listed, packages,
        "a function without scenarios is not tested against the crash rule: add some in tests/crash_matrix/scenarios"
    );
    let names: BTreeSet<String> = SCENARIOS.iter().map(Scenario::full_name).collect();
    assert_eq!(names.len(), SCENARIOS.len(), "a name occurs twice");
}

#[test]
fn scenarios_cover_every_event_file_with_an_effect() {
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
            .any(|call| !rule::is_read_only(call.operation));
        if acts && !listed.contains(scenario.name) {
            missing.insert(scenario.full_name());
        }
    }
    assert!(
        missing.is_empty(),
        "they have an effect, but no scenario in tests/crash_matrix/scenarios delivers them: {missing:#?}"
    );
    for file in SCENARIOS.iter().flat_map(|scenario| &scenario.files) {
        assert!(events().contains_key(*file), "events/{file}.json");
    }
}
