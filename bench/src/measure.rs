//! Runs programs and takes the numbers: cold, warm, and the calls of each scenario.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::aws::Aws;
use crate::calls::Call;
use crate::process::{Place, Program, Running};
use crate::scenarios::{Event, Scenario};
use crate::stats::{median, percentile};
use crate::throttle::Throttle;
use crate::trouble::Result;

/// Added to each call where calls are watched: more than a busy machine needs to make two calls that
/// do not wait for each other, so that they overlap.
pub(crate) const OVERLAP: Duration = Duration::from_millis(200);

/// Where programs are measured.
pub(crate) struct Bench<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) root: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) throttle: &'a Throttle,
}

/// How a program is run cold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// Added to every call.
    pub(crate) latency: Duration,
    /// The memory size whose share of a processor it gets; all of it where there is none.
    pub(crate) memory_mb: Option<u32>,
}

/// Medians of cold runs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cold {
    /// From the start of the process until it asks for an event.
    pub(crate) init: Duration,
    /// From the event to the answer.
    pub(crate) first: Duration,
    /// From the start of the process to the answer.
    pub(crate) whole: Duration,
    /// Processor time of the process, to the end.
    pub(crate) cpu: Duration,
    /// Bytes.
    pub(crate) peak: u64,
    /// Connections that it opened to AWS.
    pub(crate) connections: usize,
}

/// A process that had many events.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Warm {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Bytes, after all events.
    pub(crate) peak: u64,
}

/// Samples of one program.
#[derive(Default)]
struct Samples {
    init: Vec<Duration>,
    first: Vec<Duration>,
    whole: Vec<Duration>,
    cpu: Vec<Duration>,
    peak: Vec<u64>,
    connections: Vec<usize>,
}

impl Bench<'_> {
    fn place<'a>(
        &'a self,
        variables: &'a BTreeMap<String, String>,
        memory_mb: Option<u32>,
    ) -> Place<'a> {
        Place {
            variables,
            folder: self.folder,
            throttle: memory_mb.map(|memory| (self.throttle, memory)),
        }
    }

    /// Runs each program cold `rounds` times with its scenario, in turns, so that what else the
    /// machine does meets all alike.
    pub(crate) fn cold(
        &self,
        programs: &[(&Program, &Scenario)],
        conditions: Conditions,
        rounds: usize,
    ) -> Result<Vec<Cold>> {
        let variables = self.aws.variables();
        let place = self.place(&variables, conditions.memory_mb);
        let mut all: Vec<Samples> = programs.iter().map(|_| Samples::default()).collect();
        for _ in 0..rounds {
            for ((program, scenario), samples) in programs.iter().zip(&mut all) {
                let event = scenario.event.text(self.root)?;
                self.aws.set((scenario.world)(), conditions.latency);
                let connections = self.aws.connections();
                let (mut process, init) = Running::start(program, &place)?;
                let answer = process.invoke(&event)?;
                scenario.check(&answer)?;
                let used = process.end()?;
                samples.init.push(init);
                samples.first.push(answer.took);
                samples.whole.push(answer.since_start);
                samples.cpu.push(used.cpu);
                samples.peak.push(used.peak);
                samples
                    .connections
                    .push(self.aws.connections() - connections);
            }
        }
        Ok(all
            .iter_mut()
            .map(|samples| {
                samples.peak.sort_unstable();
                samples.connections.sort_unstable();
                Cold {
                    init: median(&samples.init),
                    first: median(&samples.first),
                    whole: median(&samples.whole),
                    cpu: median(&samples.cpu),
                    peak: samples.peak[samples.peak.len() / 2],
                    connections: samples.connections[samples.connections.len() / 2],
                }
            })
            .collect())
    }

    /// Gives one process of the program the scenario's event, and then `events` times again, each
    /// time in a new world.
    pub(crate) fn warm(
        &self,
        program: &Program,
        scenario: &Scenario,
        events: usize,
    ) -> Result<Warm> {
        let event = scenario.event.text(self.root)?;
        let variables = self.aws.variables();
        self.aws.set((scenario.world)(), Duration::ZERO);
        let (mut process, _) = Running::start(program, &self.place(&variables, None))?;
        process.invoke(&event)?;
        let mut took = Vec::new();
        for _ in 0..events {
            self.aws.set((scenario.world)(), Duration::ZERO);
            let answer = process.invoke(&event)?;
            scenario.check(&answer)?;
            took.push(answer.took);
        }
        Ok(Warm {
            p50: median(&took),
            p99: percentile(&took, 0.99),
            peak: process.end()?.peak,
        })
    }

    /// The calls that a program makes in the scenario, after what came before, each with [`OVERLAP`] added.
    pub(crate) fn calls(
        &self,
        program: &Program,
        before: Option<(&Program, Event)>,
        scenario: &Scenario,
    ) -> Result<Vec<Call>> {
        let event = scenario.event.text(self.root)?;
        let variables = self.aws.variables();
        let place = self.place(&variables, None);
        self.aws.set((scenario.world)(), OVERLAP);
        if let Some((program, event)) = before {
            let (mut process, _) = Running::start(program, &place)?;
            process.invoke(&event.text(self.root)?)?;
            process.end()?;
            self.aws.forget_calls();
        }
        let (mut process, _) = Running::start(program, &place)?;
        scenario.check(&process.invoke(&event)?)?;
        process.end()?;
        Ok(self.aws.calls())
    }
}
