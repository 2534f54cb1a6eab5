//! What CI holds fast: the numbers of restore-integrator that hardly differ from run to run. No time is
//! among them, but for the processor time as a share of Python's.

use std::time::Duration;

use crate::measure::{Bench, Conditions};
use crate::results::{Of, Results, ScenarioCalls};
use crate::scenarios::INTEGRATOR;
use crate::table::Table;
use crate::targets::{STEADY, judge};
use crate::trouble::{Result, Trouble};
use crate::{programs, scenarios, sizes};

const COLD: usize = 7;
const WARM: usize = 100;

/// Builds, measures, prints.
///
/// # Errors
/// Where a number is over what CI allows.
pub(crate) fn run(bench: &Bench<'_>) -> Result<()> {
    let (integrator, python) = programs::integrator_and_python(bench.root)?;
    let mut results = Results::default();
    let scenarios = scenarios::all();
    let own = scenarios.iter().filter(|scenario| {
        let before = scenario.before.map_or(INTEGRATOR, |(function, _)| function);
        scenario.function == INTEGRATOR && before == INTEGRATOR
    });
    for scenario in own {
        let before = scenario.before.map(|(_, event)| (&integrator, event));
        results.calls.push(ScenarioCalls {
            function: scenario.function,
            scenario: scenario.name,
            calls: bench.calls(&integrator, before, scenario)?,
        });
    }
    // The first scenario is the one in which both do the same.
    let attach = &scenarios[0];
    let conditions = Conditions {
        latency: Duration::ZERO,
        memory_mb: None,
        attaching: None,
    };
    let both = [(&integrator, attach), (&python, attach)];
    let cold = bench.cold(&both, conditions, COLD)?;
    let named = both.iter().map(|(program, _)| program.name.clone());
    results.cold = named
        .zip(cold)
        .map(|(program, value)| Of { program, value })
        .collect();
    results.warm.push(Of {
        program: integrator.name.clone(),
        value: bench.warm(&integrator, attach, WARM)?,
    });
    results.zips.push(Of {
        program: integrator.name.clone(),
        value: sizes::zip(&integrator.command[0])?,
    });
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
