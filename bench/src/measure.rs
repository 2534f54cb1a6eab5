//! Runs programs and takes the numbers: cold, warm, and the calls of each scenario.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::aws::{Attachment, Aws, World};
use crate::calls::Call;
use crate::process::{Answer, Place, Program, Running};
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
    /// How long EC2 takes to attach; where there is none, another time in each round.
    pub(crate) attaching: Option<Duration>,
}

/// How long EC2 takes to attach in one round after the other, in milliseconds: see [`World::attaching`].
const ATTACHING_MS: [u64; 7] = [2_500, 1_000, 4_000, 1_500, 3_000, 2_000, 3_500];
/// The same where one process has many events.
const ATTACHING_WARM: Duration = Duration::from_secs(1);

/// Medians of cold runs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cold {
    /// From the start of the process until it asks for an event.
    pub(crate) init: Duration,
    /// From the event to the answer, less the time that EC2 took to attach.
    pub(crate) first: Duration,
    /// From the start of the process until `AttachVolume` was accepted; to the answer of a program that
    /// attaches nothing.
    pub(crate) whole: Duration,
    /// From the event until `AttachVolume` was accepted.
    pub(crate) accepted: Option<Duration>,
    /// From the event until EC2 said that the volume is attached, less the time that it took.
    pub(crate) confirmed: Option<Duration>,
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
    /// From the event until `AttachVolume` was accepted; to the answer of a program that attaches nothing.
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// From the event to the answer, less the time that EC2 took to attach: the median.
    pub(crate) done: Duration,
    /// Bytes, after all events.
    pub(crate) peak: u64,
}

/// What one event took, from when it was handed over.
#[derive(Debug, PartialEq, Eq)]
struct Took {
    accepted: Option<Duration>,
    confirmed: Option<Duration>,
    /// Until the answer.
    done: Duration,
}

impl Took {
    /// EC2 took `attaching`, where it attached: that is not in these times.
    fn of(answer: &Answer, attachment: Attachment, attaching: Duration) -> Took {
        let since = |moment: Instant| moment.saturating_duration_since(answer.handed);
        let of_ec2 = attachment.accepted.map_or(Duration::ZERO, |_| attaching);
        Took {
            accepted: attachment.accepted.map(since),
            confirmed: attachment
                .confirmed
                .map(|at| since(at).saturating_sub(of_ec2)),
            done: answer.took.saturating_sub(of_ec2),
        }
    }
}

fn some_median(samples: &[Duration]) -> Option<Duration> {
    (!samples.is_empty()).then(|| median(samples))
}

/// Samples of one program.
#[derive(Default)]
struct Samples {
    init: Vec<Duration>,
    first: Vec<Duration>,
    whole: Vec<Duration>,
    accepted: Vec<Duration>,
    confirmed: Vec<Duration>,
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
        let times = ATTACHING_MS.into_iter().map(Duration::from_millis).cycle();
        for attaching in times.take(rounds) {
            let attaching = conditions.attaching.unwrap_or(attaching);
            for ((program, scenario), samples) in programs.iter().zip(&mut all) {
                let event = scenario.event.text(self.root)?;
                let world = World {
                    attaching,
                    ..(scenario.world)()
                };
                self.aws.set(world, conditions.latency);
                let connections = self.aws.connections();
                let (mut process, init) = Running::start(program, &place)?;
                let answer = process.invoke(&event)?;
                scenario.check(&answer)?;
                let used = process.end()?;
                let took = Took::of(&answer, self.aws.attachment(), attaching);
                samples.init.push(init);
                samples.first.push(took.done);
                let before = answer.since_start - answer.took;
                samples
                    .whole
                    .push(before + took.accepted.unwrap_or(took.done));
                samples.accepted.extend(took.accepted);
                samples.confirmed.extend(took.confirmed);
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
                    accepted: some_median(&samples.accepted),
                    confirmed: some_median(&samples.confirmed),
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
        let (mut accepted, mut done) = (Vec::new(), Vec::new());
        for _ in 0..events {
            let world = World {
                attaching: ATTACHING_WARM,
                ..(scenario.world)()
            };
            self.aws.set(world, Duration::ZERO);
            let answer = process.invoke(&event)?;
            scenario.check(&answer)?;
            let took = Took::of(&answer, self.aws.attachment(), ATTACHING_WARM);
            accepted.push(took.accepted.unwrap_or(took.done));
            done.push(took.done);
        }
        Ok(Warm {
            p50: median(&accepted),
            p99: percentile(&accepted, 0.99),
            done: median(&done),
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
            self.aws.change(scenario.meanwhile);
            self.aws.forget_calls();
        }
        let (mut process, _) = Running::start(program, &place)?;
        scenario.check(&process.invoke(&event)?)?;
        process.end()?;
        Ok(self.aws.calls())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn excludes_the_time_that_ec2_takes() {
        let handed = Instant::now();
        let at = |ms| Some(handed + Duration::from_millis(ms));
        let answer = Answer {
            took: Duration::from_millis(2_650),
            since_start: Duration::from_millis(2_700),
            handed,
            body: Value::Null,
        };
        let attaching = Duration::from_millis(2_000);
        let attachment = Attachment {
            accepted: at(100),
            confirmed: at(2_600),
        };
        let took = Took {
            accepted: Some(Duration::from_millis(100)),
            confirmed: Some(Duration::from_millis(600)),
            done: Duration::from_millis(650),
        };
        assert_eq!(Took::of(&answer, attachment, attaching), took);
        // Without an attachment, nothing is subtracted.
        let took = Took::of(&answer, Attachment::default(), attaching);
        assert_eq!((took.accepted, took.done), (None, answer.took));
    }
}
