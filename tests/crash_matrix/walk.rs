//! All cases of a scenario.

use std::collections::{BTreeSet, HashSet};

use recovery_core::fakes::World;

use crate::support::disturbed::{Disturbance, Disturbed, Made, Trouble, run};
use crate::support::end::{End, is_duplicate};

use super::case::{Case, Interleaving, Path, Point, Standard, others};
use super::scenario::Scenario;

/// The results of one scenario, or of several.
#[derive(Default)]
pub(super) struct Found {
    /// Calls of the deliveries without failures.
    calls: usize,
    /// Cases with one failure.
    one: usize,
    /// Cases with several failures, in one delivery or in several.
    several: usize,
    /// Cases of two concurrent deliveries.
    concurrent: usize,
    /// Scenarios that were walked until no new world appeared.
    pub(super) exhausted: usize,
    /// Every IAM action that was called.
    pub(super) actions: BTreeSet<&'static str>,
    /// Cases that break the crash rule, and how.
    pub(super) violations: Vec<(String, String)>,
}

impl Found {
    /// Adds other results.
    pub(super) fn add(&mut self, other: &Found) {
        self.calls += other.calls;
        self.one += other.one;
        self.several += other.several;
        self.exhausted += other.exhausted;
        self.concurrent += other.concurrent;
        self.actions.extend(&other.actions);
        self.violations.extend(other.violations.iter().cloned());
    }

    /// How many cases there are.
    pub(super) fn cases(&self) -> usize {
        self.one + self.several + self.concurrent
    }

    /// The counts in columns.
    pub(super) fn counts(&self) -> String {
        format!(
            "{:>6} {:>12} {:>8} {:>13}",
            self.calls, self.one, self.several, self.concurrent
        )
    }
}

/// The largest number of calls of one delivery that fail: a delivery that waits repeats its reads.
const MOST_CALLS: usize = 40;
/// A delivery of more calls than this is walked with one failure at a time, and interleaved twice with
/// another one: other scenarios walk its parts completely.
const LONG: usize = 10;
/// The largest number of worlds of one scenario from which the walk continues.
const MOST_WORLDS: usize = 24;

/// Runs all cases of the scenario:
///
/// - every failure at every call;
/// - if the process continues and the scenario is neither long nor brief, a second failure at every call
///   after it;
/// - one failure at every call of another delivery in every world after such a delivery, until no new
///   world appears or [`MOST_WORLDS`] were walked;
/// - two concurrent deliveries.
///
/// From every world, a delivery without failures must reach the same end state.
pub(super) fn walk(scenario: &Scenario) -> Found {
    let mut found = Found::default();
    let standard = match Standard::of(scenario) {
        Ok(standard) => standard,
        Err(what) => {
            let path = Path::Sequential(Vec::new());
            found
                .violations
                .push((Case { scenario, path }.to_string(), what));
            return found;
        }
    };
    found.calls = standard.usual.len();
    let mut walk = Walk {
        scenario,
        standard,
        found,
        seen: HashSet::from([visible_state(&scenario.world)]),
    };
    let mut points = vec![(Point::first(scenario), Vec::new())];
    let mut worlds = 0;
    while !points.is_empty() {
        points.truncate(MOST_WORLDS.saturating_sub(worlds));
        worlds += points.len();
        points = points
            .iter()
            .flat_map(|(point, path)| walk.from(point, path))
            .collect();
    }
    walk.found.exhausted += usize::from(worlds < MOST_WORLDS);
    walk.concurrent();
    walk.found
}

/// The failures of the deliveries so far.
type Deliveries = Vec<Vec<Disturbance>>;

struct Walk<'a> {
    scenario: &'a Scenario,
    standard: Standard<'a>,
    found: Found,
    /// The worlds from which the end state was reached.
    seen: HashSet<String>,
}

impl Walk<'_> {
    /// Runs all further deliveries at this point. Returns the new worlds.
    fn from(&mut self, point: &Point, path: &Deliveries) -> Vec<(Point, Deliveries)> {
        let usual = point.clone().deliver(self.scenario, &[]).made;
        let first = path.is_empty();
        let troubles: &[Trouble] = if first {
            &Trouble::ALL
        } else {
            &Trouble::DISTINCT
        };
        let mut new = Vec::new();
        for (number, call) in usual.iter().take(MOST_CALLS).enumerate() {
            for trouble in possible(troubles, call) {
                let one = vec![at(call, trouble)];
                let after = self.deliver(point, path, one.clone(), &mut new);
                // Equivalent failures have equivalent successors.
                let last = !first || usual.len() > LONG || self.scenario.brief;
                if last || trouble.ends_the_process() || !Trouble::DISTINCT.contains(&trouble) {
                    continue;
                }
                for later in after.iter().take(MOST_CALLS).skip(number + 1) {
                    for second in possible(&Trouble::DISTINCT, later) {
                        let two = vec![one[0].clone(), at(later, second)];
                        self.deliver(point, path, two, &mut new);
                    }
                }
            }
        }
        new
    }

    /// One delivery with failures. Returns its calls.
    fn deliver(
        &mut self,
        point: &Point,
        path: &Deliveries,
        troubles: Vec<Disturbance>,
        new: &mut Vec<(Point, Deliveries)>,
    ) -> Vec<Made> {
        let single = path.is_empty() && troubles.len() == 1;
        let mut point = point.clone();
        let run = point.deliver(self.scenario, &troubles);
        let mut path = path.clone();
        path.push(troubles);
        if single {
            self.found.one += 1;
        } else {
            self.found.several += 1;
        }
        self.found
            .actions
            .extend(run.made.iter().map(|call| call.operation));
        let mut held = self.standard.holds_after(&run, &point.world);
        if held.is_ok() && self.seen.insert(visible_state(&point.world)) {
            held = self.standard.reaches_the_end(&point);
            new.push((point, path.clone()));
        }
        self.note(Path::Sequential(path), held);
        run.made
    }

    /// Two concurrent deliveries, interleaved between any two calls.
    fn concurrent(&mut self) {
        for (number, (other, payload)) in others(self.scenario).iter().enumerate() {
            let calls = self.standard.usual.len().min(MOST_CALLS);
            let others_calls = {
                let world = self.scenario.world.clone();
                let ports = Disturbed::not(&world);
                drop(run(other.deliver(&ports, payload)));
                ports.made().len().min(MOST_CALLS)
            };
            // One more call, because one delivery can add calls to the other.
            for first in 0..calls + 1 {
                for second in 0..others_calls + 1 {
                    let long = calls > LONG || self.scenario.brief;
                    let thirds = if long { 0 } else { calls + 2 };
                    for third in first + 1..thirds {
                        self.deliver_concurrently_at(number, [first, second, third], false);
                    }
                    self.deliver_concurrently_at(number, [first, second, calls + 2], false);
                    self.deliver_concurrently_at(number, [first, second, calls + 2], true);
                }
                // The other one is not paused.
                self.deliver_concurrently_at(number, [first, others_calls + 2, calls + 2], false);
            }
        }
    }

    fn deliver_concurrently_at(
        &mut self,
        other: usize,
        [first, second, third]: [usize; 3],
        crashes: bool,
    ) {
        let interleaving = Interleaving {
            other,
            first,
            second,
            third,
            crashes,
        };
        let mut point = Point::first(self.scenario);
        let runs = point.deliver_concurrently(self.scenario, &interleaving);
        self.found.concurrent += 1;
        if interleaving.other == 0 {
            for run in &runs {
                self.found
                    .actions
                    .extend(run.made.iter().map(|call| call.operation));
            }
        }
        let held = self.standard.holds_after_both(&interleaving, &runs, &point);
        self.note(Path::Concurrent(interleaving), held);
    }

    fn note(&mut self, path: Path, held: Result<(), String>) {
        if let Err(what) = held {
            let case = Case {
                scenario: self.scenario,
                path,
            };
            self.found.violations.push((case.to_string(), what));
        }
    }
}

fn at(call: &Made, trouble: Trouble) -> Disturbance {
    Disturbance {
        operation: call.operation.to_owned(),
        occurrence: call.occurrence,
        trouble,
    }
}

fn possible(troubles: &[Trouble], call: &Made) -> Vec<Trouble> {
    let mut troubles = troubles.to_vec();
    troubles.retain(|trouble| trouble.can_happen_to(call.operation));
    troubles
}

/// Everything in the world that a function can see and another run can have changed. A function cannot
/// see the number of equal notifications.
fn visible_state(world: &World) -> String {
    let end = End::of(world);
    let state = world.state();
    let items: Vec<_> = state
        .items
        .iter()
        .map(|stored| (&stored.item.id, stored.item.status, is_duplicate(stored)))
        .collect();
    format!(
        "{end:?} {items:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        state.recoveries,
        state.restore_tests,
        state.volumes,
        state.instances,
        state.databases,
        (
            state.reads_until_created,
            state.reads_until_shown,
            state.reads_until_attached
        )
    )
}
