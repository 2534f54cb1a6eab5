//! All ways from a scenario.

use std::collections::{BTreeSet, HashSet};

use recovery_core::fakes::World;

use crate::support::disturbed::{Disturbance, Disturbed, Made, Trouble, run};
use crate::support::end::{End, is_duplicate};

use super::case::{Case, Point, Standard, Turns, Way, others};
use super::scenario::Scenario;

/// What was found on the ways from one scenario, or from several.
#[derive(Default)]
pub(super) struct Found {
    /// Calls of the deliveries with which nothing interferes.
    calls: usize,
    /// Cases with one trouble.
    one: usize,
    /// Cases with several troubles, in one delivery or in one after the other.
    several: usize,
    /// Cases of two deliveries at the same time.
    side_by_side: usize,
    /// Scenarios that were walked until no world was left that was not seen.
    pub(super) to_the_end: usize,
    /// Every IAM action that was called.
    pub(super) actions: BTreeSet<&'static str>,
    /// Cases that break the crash rule, and how.
    pub(super) violations: Vec<(String, String)>,
}

impl Found {
    /// Adds what was found elsewhere.
    pub(super) fn add(&mut self, other: &Found) {
        self.calls += other.calls;
        self.one += other.one;
        self.several += other.several;
        self.to_the_end += other.to_the_end;
        self.side_by_side += other.side_by_side;
        self.actions.extend(&other.actions);
        self.violations.extend(other.violations.iter().cloned());
    }

    /// How many cases there are.
    pub(super) fn cases(&self) -> usize {
        self.one + self.several + self.side_by_side
    }

    /// The counts in columns.
    pub(super) fn counts(&self) -> String {
        format!(
            "{:>6} {:>12} {:>8} {:>13}",
            self.calls, self.one, self.several, self.side_by_side
        )
    }
}

/// Calls of one delivery that are disturbed at most: one that waits looks again and again.
const MOST_CALLS: usize = 40;
/// A delivery of more calls than this meets one trouble at a time, and changes over with another one
/// twice: what it consists of is walked in full elsewhere.
const LONG: usize = 10;
/// Worlds of one scenario that are walked on from at most.
const MOST_WORLDS: usize = 24;

/// Goes all ways from the scenario:
///
/// - every trouble at every call;
/// - and, where the process goes on and the way is neither long nor brief, a second trouble at every
///   call after it;
/// - one trouble at every call in every world that such a delivery leaves behind, when it is delivered
///   again, until there is no world left that was not seen, or [`MOST_WORLDS`] were;
/// - two deliveries at the same time.
///
/// From every world on the way, an undisturbed delivery has to come to the one end.
pub(super) fn walk(scenario: &Scenario) -> Found {
    let mut found = Found::default();
    let standard = match Standard::of(scenario) {
        Ok(standard) => standard,
        Err(what) => {
            let way = Way::InTurn(Vec::new());
            found
                .violations
                .push((Case { scenario, way }.to_string(), what));
            return found;
        }
    };
    found.calls = standard.usual.len();
    let mut walk = Walk {
        scenario,
        standard,
        found,
        seen: HashSet::from([look(&scenario.world)]),
    };
    let mut points = vec![(Point::first(scenario), Vec::new())];
    let mut worlds = 0;
    while !points.is_empty() {
        points.truncate(MOST_WORLDS.saturating_sub(worlds));
        worlds += points.len();
        points = points
            .iter()
            .flat_map(|(point, way)| walk.from(point, way))
            .collect();
    }
    walk.found.to_the_end += usize::from(worlds < MOST_WORLDS);
    walk.side_by_side();
    walk.found
}

/// Troubles of the deliveries so far.
type Deliveries = Vec<Vec<Disturbance>>;

struct Walk<'a> {
    scenario: &'a Scenario,
    standard: Standard<'a>,
    found: Found,
    /// The worlds from which the end was come to.
    seen: HashSet<String>,
}

impl Walk<'_> {
    /// All ways to deliver once more at this point; the worlds that are new.
    fn from(&mut self, point: &Point, way: &Deliveries) -> Vec<(Point, Deliveries)> {
        let usual = point.clone().deliver(self.scenario, &[]).made;
        let first = way.is_empty();
        let troubles: &[Trouble] = if first {
            &Trouble::ALL
        } else {
            &Trouble::DISTINCT
        };
        let mut new = Vec::new();
        for (number, call) in usual.iter().take(MOST_CALLS).enumerate() {
            for trouble in possible(troubles, call) {
                let one = vec![at(call, trouble)];
                let after = self.deliver(point, way, one.clone(), &mut new);
                // Those that are alike lead on alike.
                let last = !first || usual.len() > LONG || self.scenario.brief;
                if last || trouble.ends_the_process() || !Trouble::DISTINCT.contains(&trouble) {
                    continue;
                }
                for later in after.iter().take(MOST_CALLS).skip(number + 1) {
                    for second in possible(&Trouble::DISTINCT, later) {
                        let two = vec![one[0].clone(), at(later, second)];
                        self.deliver(point, way, two, &mut new);
                    }
                }
            }
        }
        new
    }

    /// One disturbed delivery; what it called.
    fn deliver(
        &mut self,
        point: &Point,
        way: &Deliveries,
        troubles: Vec<Disturbance>,
        new: &mut Vec<(Point, Deliveries)>,
    ) -> Vec<Made> {
        let single = way.is_empty() && troubles.len() == 1;
        let mut point = point.clone();
        let run = point.deliver(self.scenario, &troubles);
        let mut way = way.clone();
        way.push(troubles);
        if single {
            self.found.one += 1;
        } else {
            self.found.several += 1;
        }
        self.found
            .actions
            .extend(run.made.iter().map(|call| call.operation));
        let mut held = self.standard.holds_after(&run, &point.world);
        if held.is_ok() && self.seen.insert(look(&point.world)) {
            held = self.standard.leads_to_the_end(&point);
            new.push((point, way.clone()));
        }
        self.note(Way::InTurn(way), held);
        run.made
    }

    /// Two deliveries at the same time, changing over between any two calls.
    fn side_by_side(&mut self) {
        for (number, (other, payload)) in others(self.scenario).iter().enumerate() {
            let calls = self.standard.usual.len().min(MOST_CALLS);
            let others_calls = {
                let world = self.scenario.world.clone();
                let ports = Disturbed::not(&world);
                drop(run(other.deliver(&ports, payload)));
                ports.made().len().min(MOST_CALLS)
            };
            // A call more, since what the one does can make the way of the other longer.
            for first in 0..calls + 1 {
                for second in 0..others_calls + 1 {
                    let long = calls > LONG || self.scenario.brief;
                    let thirds = if long { 0 } else { calls + 2 };
                    for third in first + 1..thirds {
                        self.beside(number, [first, second, third], false);
                    }
                    self.beside(number, [first, second, calls + 2], false);
                    self.beside(number, [first, second, calls + 2], true);
                }
                // The other one is not held at all.
                self.beside(number, [first, others_calls + 2, calls + 2], false);
            }
        }
    }

    fn beside(&mut self, other: usize, [first, second, third]: [usize; 3], dies: bool) {
        let turns = Turns {
            other,
            first,
            second,
            third,
            dies,
        };
        let mut point = Point::first(self.scenario);
        let runs = point.deliver_beside(self.scenario, &turns);
        self.found.side_by_side += 1;
        if turns.other == 0 {
            for run in &runs {
                self.found
                    .actions
                    .extend(run.made.iter().map(|call| call.operation));
            }
        }
        let held = self.standard.holds_after_both(&turns, &runs, &point);
        self.note(Way::SideBySide(turns), held);
    }

    fn note(&mut self, way: Way, held: Result<(), String>) {
        if let Err(what) = held {
            let case = Case {
                scenario: self.scenario,
                way,
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

/// Everything in the world that a function can see and another run can have changed. How often people
/// were told the same, no function can see.
fn look(world: &World) -> String {
    let end = End::of(world);
    let state = world.state();
    let items: Vec<_> = state
        .items
        .iter()
        .map(|stored| (&stored.item.id, stored.item.status, is_duplicate(stored)))
        .collect();
    format!(
        "{end:?} {items:?} {:?} {:?} {:?} {:?} {:?}",
        state.recoveries,
        state.restore_tests,
        state.volumes,
        state.instances,
        (
            state.looks_until_created,
            state.looks_until_shown,
            state.looks_until_attached
        )
    )
}
