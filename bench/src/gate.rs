//! What CI holds fast: the numbers of the integrators that hardly differ from run to run. No time is
//! among them, but for the processor time as a share of Python's.

use std::time::Duration;

use crate::measure::{Bench, Conditions};
use crate::process::Program;
use crate::results::{Of, Results, ScenarioCalls};
use crate::scenarios::Scenario;
use crate::table::Table;
use crate::targets::{STEADY, judge};
use crate::trouble::{Result, Trouble};
use crate::{programs, scenarios, sizes};

const COLD: usize = 7;
/// Of the others, only the memory is judged. It hardly differs, and table-integrator pauses for seconds.
const COLD_OTHERS: usize = 3;
const WARM: usize = 100;

/// Builds, measures, prints.
///
/// # Errors
/// Where a number is over what CI allows.
pub(crate) fn run(bench: &Bench<'_>) -> Result<()> {
    let (functions, python) = programs::integrators_and_python(bench.root)?;
    let built = |name: &str| functions.iter().find(|program| program.name == name);
    let mut results = Results::default();
    let scenarios = scenarios::all();
    for scenario in &scenarios {
        let Some(program) = built(scenario.function) else {
            continue;
        };
        let before = match scenario.before {
            None => None,
            Some((name, event)) => match built(name) {
                None => continue,
                Some(program) => Some((program, event)),
            },
        };
        results.calls.push(ScenarioCalls {
            function: scenario.function,
            scenario: scenario.name,
            calls: bench.calls(program, before, scenario)?,
        });
    }
    let conditions = Conditions {
        latency: Duration::ZERO,
        memory_mb: None,
        attaching: None,
    };
    // The first scenario is the one in which integrator and Python do the same.
    let attach = &scenarios[0];
    let integrator = &functions[0];
    let others = functions[1..]
        .iter()
        .filter_map(|program| {
            let first = |scenario: &&Scenario| scenario.function == program.name;
            Some((program, scenarios.iter().find(first)?))
        })
        .collect();
    let groups: [(Vec<(&Program, &Scenario)>, usize); 2] = [
        (vec![(integrator, attach), (&python, attach)], COLD),
        (others, COLD_OTHERS),
    ];
    for (group, rounds) in groups {
        let cold = bench.cold(&group, conditions, rounds)?;
        let named = group.iter().map(|(program, _)| program.name.clone());
        results.cold.extend(
            named
                .zip(cold)
                .map(|(program, value)| Of { program, value }),
        );
    }
    results.warm.push(Of {
        program: integrator.name.clone(),
        value: bench.warm(integrator, attach, WARM)?,
    });
    for program in &functions {
        results.zips.push(Of {
            program: program.name.clone(),
            value: sizes::zip(&program.command[0])?,
        });
    }
    let mut table = Table::new(1, &["", "target", "measured", ""]);
    let mut over = Vec::new();
    let mut seen = 0;
    for target in judge(&results) {
        let verdict = match (target.allowed, target.holds) {
            (None, _) => continue,
            (Some(false), _) => "**over what CI allows**",
            (Some(true), true) => "holds",
            (Some(true), false) => "missed, as known",
        };
        seen += 1;
        if target.allowed == Some(false) {
            over.push(target.what.clone());
        }
        table.row([
            target.what,
            target.limit,
            target.measured,
            verdict.to_owned(),
        ]);
    }
    println!("{}", table.markdown());
    if seen != STEADY {
        return Err(Trouble::new(
            format!("{seen} numbers were measured instead of {STEADY}"),
            "A scenario that a target names has another name now: see bench/src/targets.rs.",
        ));
    }
    if over.is_empty() {
        return Ok(());
    }
    Err(Trouble::new(
        format!("over what CI allows: {}", over.join("; ")),
        "Find what has grown with cargo bench-lambda, whose tables say what a function calls and consists of. Where it is worth it, raise the bound in bench/src/targets.rs, and say why.",
    ))
}
