//! One case: a way from a scenario to its end, named so that it can be gone again.

use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use recovery_core::error::Error;
use recovery_core::fakes::{StoredItem, World};
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;

use crate::support::disturbed::{Disturbance, Disturbed, Made, Trouble, run};
use crate::support::end::{End, difference};
use crate::support::repository::events;

use super::rule::{broken_by_claim, broken_by_run, duplicates, only_looks};
use super::scenario::{Function, Scenario, Tolerance, shown};
use super::scenarios::SCENARIOS;

/// What an attempt to attach consists of. Whether it had an effect, the end tells.
const ATTEMPT: [&str; 2] = ["ec2:AttachVolume", "ssm:CreateOpsItem"];
/// Calls that are made again where nothing records that they were made: a message more, the same object,
/// the execution of the same token.
const REPEATED: [&str; 3] = [
    "sns:Publish",
    "s3:PutObject",
    "ssm:StartAutomationExecution",
];

/// Until Lambda tries again.
const PAUSE: Duration = Duration::from_secs(60);

/// A scenario and the way from it.
pub(super) struct Case<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) way: Way,
}

/// What happens before the last delivery, with which nothing interferes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Deliveries one after the other, each with its troubles.
    InTurn(Vec<Vec<Disturbance>>),
    /// A delivery and another one at the same time.
    SideBySide(Turns),
}

/// How two deliveries change over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turns {
    /// The other delivery, by its number among [`others`].
    pub(super) other: usize,
    /// The call before which the first one is held, counted from 0: then the other one begins.
    pub(super) first: usize,
    /// The call before which the other one is held: then the first one goes on.
    pub(super) second: usize,
    /// The call before which the first one is held again: then the other one goes on to its end.
    pub(super) third: usize,
    /// Whether the other one dies where it is held, in place of going on.
    pub(super) dies: bool,
}

/// What can be delivered at the same time: the same once more, and what else sees to the same job.
pub(super) fn others(scenario: &Scenario) -> Vec<(Function, &serde_json::Value)> {
    let same = (scenario.function.clone(), &scenario.payload);
    let completed = scenario.payload["detail"]["status"] == "COMPLETED";
    match scenario.function {
        Function::RestoreIntegrator if completed => {
            vec![same, (Function::OpsitemCreator, &scenario.payload)]
        }
        // A run that writes down why it gives up does not see that another one succeeds meanwhile.
        Function::RestoreReconciler(_) if scenario.tolerance != Tolerance::Hindrance => {
            let completed = &events()["restore-completed-ebs"];
            vec![same, (Function::RestoreIntegrator, completed)]
        }
        _ => vec![same],
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.scenario.full_name())?;
        match &self.way {
            Way::InTurn(deliveries) if deliveries.is_empty() => f.write_str("undisturbed"),
            Way::InTurn(deliveries) => {
                let deliveries: Vec<String> = deliveries
                    .iter()
                    .map(|troubles| {
                        let troubles: Vec<String> =
                            troubles.iter().map(ToString::to_string).collect();
                        troubles.join("+")
                    })
                    .collect();
                f.write_str(&deliveries.join(","))
            }
            Way::SideBySide(turns) => {
                let Turns {
                    other,
                    first,
                    second,
                    third,
                    dies,
                } = turns;
                let function = others(self.scenario)[*other].0.name();
                write!(f, "beside {function} {first} {second} {third}")?;
                f.write_str(if *dies { " dies" } else { "" })
            }
        }
    }
}

impl Case<'static> {
    /// The case of this name.
    pub(super) fn parse(name: &str) -> Result<Case<'static>, String> {
        let mut parts = name.splitn(3, '/');
        let mut part = |what: &str| parts.next().ok_or(format!("there is no {what} in it"));
        let (function, scenario, way) = (part("function")?, part("scenario")?, part("way")?);
        let scenario = SCENARIOS
            .iter()
            .find(|other| other.function.name() == function && other.name == scenario)
            .ok_or("there is no such scenario")?;
        let way = if way == "undisturbed" {
            Way::InTurn(Vec::new())
        } else if let Some(turns) = way.strip_prefix("beside ") {
            Way::SideBySide(parse_turns(scenario, turns)?)
        } else {
            let deliveries = way
                .split(',')
                .map(|troubles| troubles.split('+').map(parse_disturbance).collect())
                .collect::<Result<_, String>>()?;
            Way::InTurn(deliveries)
        };
        Ok(Case { scenario, way })
    }
}

fn parse_turns(scenario: &Scenario, text: &str) -> Result<Turns, String> {
    let mut words = text.split(' ');
    let function = words.next().unwrap_or_default();
    let other = others(scenario)
        .iter()
        .position(|(other, _)| other.name() == function)
        .ok_or(format!("nothing of {function} is delivered beside it"))?;
    let mut number = || {
        words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or("it takes three numbers")
    };
    Ok(Turns {
        other,
        first: number()?,
        second: number()?,
        third: number()?,
        dies: words.next() == Some("dies"),
    })
}

fn parse_disturbance(text: &str) -> Result<Disturbance, String> {
    let (call, name) = text
        .split_once('/')
        .ok_or(format!("{text} names no trouble"))?;
    let (operation, occurrence) = call
        .split_once('#')
        .ok_or(format!("{call} says not which call of its operation"))?;
    Ok(Disturbance {
        operation: operation.to_owned(),
        occurrence: occurrence.parse().map_err(|error| format!("{error}"))?,
        trouble: Trouble::ALL
            .into_iter()
            .find(|trouble| trouble.name() == name)
            .ok_or(format!("there is no trouble {name}"))?,
    })
}

impl Case<'_> {
    /// Goes the way. What happened, for people, and whether the rule held.
    pub(super) fn run(&self) -> (String, Result<(), String>) {
        let mut story = format!("{self}\n");
        let held = self.go(&mut story);
        (story, held)
    }

    fn go(&self, story: &mut String) -> Result<(), String> {
        let standard = Standard::of(self.scenario)?;
        let mut point = Point::first(self.scenario);
        match &self.way {
            Way::InTurn(deliveries) => {
                for troubles in deliveries {
                    let run = point.deliver(self.scenario, troubles);
                    story.push_str(&run.to_string());
                    standard.holds_after(&run, &point.world)?;
                }
            }
            Way::SideBySide(turns) => {
                let runs = point.deliver_beside(self.scenario, turns);
                for run in &runs {
                    story.push_str(&run.to_string());
                }
                return standard.holds_after_both(turns, &runs, &point);
            }
        }
        standard.leads_to_the_end(&point)
    }
}

/// One run: what it called and what it answered.
pub(super) struct Run {
    pub(super) made: Vec<Made>,
    /// Nothing where the process ended in the middle.
    pub(super) outcome: Option<Result<Outcome, Error>>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A delivery:")?;
        for call in &self.made {
            let line = call.subject.lines().next().unwrap_or_default();
            let lost = if call.answered { "" } else { " -> no answer" };
            writeln!(f, "  {}#{} {line}{lost}", call.operation, call.occurrence)?;
        }
        match &self.outcome {
            None => writeln!(f, "  the process ended"),
            Some(Ok(outcome)) => writeln!(f, "  {outcome:?}"),
            Some(Err(error)) => writeln!(f, "  {}: {error}", error.error_type()),
        }
    }
}

/// A world on the way, and when it is.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) world: World,
    pub(super) time: Duration,
}

impl Point {
    /// Where the way begins.
    pub(super) fn first(scenario: &Scenario) -> Point {
        Point {
            world: scenario.world.clone(),
            time: Duration::ZERO,
        }
    }

    /// Delivers once more; these troubles are met.
    pub(super) fn deliver(&mut self, scenario: &Scenario, troubles: &[Disturbance]) -> Run {
        let ports = Disturbed::by(&self.world, troubles);
        let ports = Disturbed::lasting(ports, self.time, scenario.function.timeout());
        let outcome = run(scenario.deliver(&ports));
        let run = Run {
            outcome,
            made: ports.made(),
        };
        self.time = ports.ended() + PAUSE;
        drop(ports);
        self.world.state().calls.clear();
        self.world.forget_tokens();
        run
    }

    /// Delivers twice at the same time.
    pub(super) fn deliver_beside(&mut self, scenario: &Scenario, turns: &Turns) -> [Run; 2] {
        let (other, payload) = &others(scenario)[turns.other];
        let first_ports = Disturbed::pausing(&self.world, &[turns.first, turns.third]);
        let first_ports = Disturbed::lasting(first_ports, self.time, scenario.function.timeout());
        let other_ports = Disturbed::pausing(&self.world, &[turns.second]);
        let other_ports = Disturbed::lasting(other_ports, self.time, other.timeout());
        let mut first = pin!(scenario.deliver(&first_ports));
        let mut second = pin!(other.deliver(&other_ports, payload));
        let mut context = Context::from_waker(Waker::noop());
        let mut poll_first = Turn::default();
        let mut poll_second = Turn::default();
        poll_first.take(first.as_mut().poll(&mut context));
        poll_second.take(second.as_mut().poll(&mut context));
        if poll_first.0.is_none() {
            first_ports.release();
            poll_first.take(first.as_mut().poll(&mut context));
        }
        if poll_second.0.is_none() && !turns.dies {
            other_ports.release();
            poll_second.take(second.as_mut().poll(&mut context));
        }
        if poll_first.0.is_none() {
            first_ports.release();
            poll_first.take(first.as_mut().poll(&mut context));
        }
        let runs = [
            Run {
                made: first_ports.made(),
                outcome: poll_first.0,
            },
            Run {
                made: other_ports.made(),
                outcome: poll_second.0,
            },
        ];
        self.time += PAUSE;
        self.world.state().calls.clear();
        self.world.forget_tokens();
        runs
    }
}

/// What a run answered, once it has.
#[derive(Default)]
struct Turn(Option<Result<Outcome, Error>>);

impl Turn {
    fn take(&mut self, polled: Poll<Result<Outcome, Error>>) {
        if let Poll::Ready(outcome) = polled {
            self.0 = Some(outcome);
        }
    }
}

/// The end to which every way from a scenario must lead.
pub(super) struct Standard<'a> {
    scenario: &'a Scenario,
    /// The calls of one delivery with which nothing interferes.
    pub(super) usual: Vec<Made>,
    end: End,
    /// Where it and what can be delivered beside it lead, one after the other.
    end_of_both: End,
    /// Second OpsItems that there may be, resolved in favour of the first.
    duplicates: usize,
    /// Whether the delivery that comes to the end succeeds.
    succeeds: bool,
}

impl<'a> Standard<'a> {
    /// Where the scenario leads when nothing goes wrong.
    pub(super) fn of(scenario: &'a Scenario) -> Result<Standard<'a>, String> {
        let mut point = Point::first(scenario);
        let once = point.deliver(scenario, &[]);
        broken_by_run(scenario, &once.made)?;
        broken_by_claim(&point.world, &scenario.world)?;
        let outcome = once.outcome.ok_or("nothing in this world waits")?;
        if shown(&outcome) != scenario.leads_to {
            return Err(format!(
                "it leads to {} instead of {}: {outcome:?}",
                shown(&outcome),
                scenario.leads_to
            ));
        }
        let end_of_both = {
            let both = point.world.clone();
            for (other, payload) in others(scenario).iter().skip(1) {
                drop(run(other.deliver(&Disturbed::not(&both), payload)));
            }
            End::of(&both)
        };
        let mut succeeds = outcome.is_ok();
        if let Some(meanwhile) = scenario.meanwhile {
            meanwhile(&point.world);
            let again = point.deliver(scenario, &[]).outcome;
            succeeds = again.is_some_and(|outcome| outcome.is_ok());
            if !succeeds {
                return Err("what had to be waited for is there, and it fails".to_owned());
            }
        }
        Ok(Standard {
            scenario,
            usual: once.made,
            end: End::of(&point.world),
            end_of_both,
            duplicates: match scenario.tolerance {
                Tolerance::SecondItem => usize::MAX,
                _ => 0,
            },
            succeeds,
        })
    }

    /// What must hold after any run, also one that died.
    pub(super) fn holds_after(&self, run: &Run, world: &World) -> Result<(), String> {
        broken_by_run(self.scenario, &run.made)?;
        broken_by_claim(world, &self.scenario.world)
    }

    /// Delivered once more, nothing interfering, it comes to the end; and after that nothing is
    /// written or told again.
    pub(super) fn leads_to_the_end(&self, point: &Point) -> Result<(), String> {
        let point = self.redelivered(point)?;
        match duplicates(&point.world) {
            count if count > self.duplicates => Err(format!("{count} second OpsItems")),
            _ => Ok(()),
        }
    }

    fn redelivered(&self, point: &Point) -> Result<Point, String> {
        let mut point = point.clone();
        if let Some(meanwhile) = self.scenario.meanwhile {
            meanwhile(&point.world);
        }
        let last = point.deliver(self.scenario, &[]);
        self.holds_after(&last, &point.world)?;
        match &last.outcome {
            Some(Ok(_)) if self.succeeds => {}
            Some(Err(_)) if !self.succeeds => {}
            outcome => return Err(format!("delivered again, it answers {outcome:?}")),
        }
        self.is_the_end(&point.world)?;
        let again = point.deliver(self.scenario, &[]);
        self.is_the_end(&point.world)
            .map_err(|what| format!("delivered after the end: {what}"))?;
        // An attempt that EC2 refuses again is the only way to see that it does, and the item is
        // claimed meanwhile.
        let repeats: &[&str] = match self.scenario.tolerance {
            Tolerance::NothingRecorded => &REPEATED,
            _ => &[],
        };
        let written = again.made.iter().find(|call| {
            !only_looks(call.operation)
                && !ATTEMPT.contains(&call.operation)
                && !repeats.contains(&call.operation)
        });
        match written {
            Some(call)
                if self.scenario.function.tracks()
                    && self.scenario.tolerance != Tolerance::SecondItem =>
            {
                Err(format!(
                    "delivered after the end, it makes the call {} on {}",
                    call.operation, call.subject
                ))
            }
            _ => Ok(point),
        }
    }

    fn is_the_end(&self, world: &World) -> Result<(), String> {
        let end = End::of(world);
        let end = match self.scenario.tolerance {
            Tolerance::Nothing => end,
            Tolerance::TellsMore | Tolerance::NothingRecorded => {
                end.telling_no_more_than(&self.end)
            }
            Tolerance::TellsAndStartsMore => end
                .telling_no_more_than(&self.end)
                .starting_no_more_than(&self.end),
            Tolerance::Hindrance => {
                let (end, expected) = (end.without_reasons(), self.end.clone().without_reasons());
                let (end, expected) = if self.scenario.meanwhile.is_some() {
                    (
                        end.without_notifications(),
                        expected.without_notifications(),
                    )
                } else {
                    (end.telling_no_more_than(&expected), expected)
                };
                return if end == expected {
                    Ok(())
                } else {
                    Err(format!("another end: {}", difference(&end, &expected)))
                };
            }
            Tolerance::SecondItem => return self.is_the_end_of_resolved_items(world, end),
        };
        if end == self.end {
            return Ok(());
        }
        Err(format!(
            "another end than without trouble: {}",
            difference(&end, &self.end)
        ))
    }

    fn is_the_end_of_resolved_items(&self, world: &World, end: End) -> Result<(), String> {
        let state = world.state();
        let resolved = |stored: &StoredItem| stored.item.status == Status::Resolved;
        let attached = |stored: &StoredItem| stored.title.contains(" attached to ");
        let told = state.items.iter().all(resolved) && state.items.iter().any(attached);
        if told && end.without_items() == self.end.clone().without_items() {
            Ok(())
        } else {
            Err(format!(
                "another end than of resolved items: {:?}",
                state.items
            ))
        }
    }

    /// What must hold after two deliveries at the same time: that each did nothing forbidden, and
    /// that they came to one end. Only one that died or failed is delivered again.
    pub(super) fn holds_after_both(
        &self,
        turns: &Turns,
        runs: &[Run; 2],
        point: &Point,
    ) -> Result<(), String> {
        let [first, second] = runs;
        self.holds_after(first, &point.world)?;
        let (other, payload) = &others(self.scenario)[turns.other];
        let same = turns.other == 0;
        if same {
            self.holds_after(second, &point.world)?;
        }
        // Nothing went wrong with either: that there is another one is no reason to give up, unless one
        // alone gives up as well.
        let goes_on = self.succeeds && self.scenario.leads_to != "Permanent";
        for run in runs {
            if let (Some(Err(error @ Error::Permanent(_))), true) = (&run.outcome, goes_on) {
                return Err(format!("beside another delivery it gives up: {error}"));
            }
        }
        let failed = |run: &Run| !matches!(&run.outcome, Some(Ok(_)));
        let mut point = point.clone();
        if failed(second) {
            let ports = Disturbed::not(&point.world);
            let ports = Disturbed::lasting(ports, point.time, other.timeout());
            drop(run(other.deliver(&ports, payload)));
        }
        if failed(first) || self.scenario.function.comes_again() {
            point.deliver(self.scenario, &[]);
        }
        let made = duplicates(&point.world);
        // One run may claim an item twice: before it attaches the volume, and when it has.
        if made > 2 && self.scenario.tolerance != Tolerance::SecondItem {
            return Err(format!("{made} second OpsItems of two deliveries"));
        }
        if self.scenario.meanwhile.is_some() {
            return if same {
                self.redelivered(&point).map(drop)
            } else {
                Ok(())
            };
        }
        if same {
            return self.is_the_end(&point.world);
        }
        let (end, expected) = (End::of(&point.world), self.end_of_both.clone());
        let (end, expected) = match self.scenario.tolerance {
            Tolerance::Nothing | Tolerance::Hindrance => (end, expected),
            Tolerance::TellsMore | Tolerance::TellsAndStartsMore | Tolerance::NothingRecorded => {
                (end.telling_no_more_than(&expected), expected)
            }
            Tolerance::SecondItem => (end.without_items(), expected.without_items()),
        };
        if end == expected {
            return Ok(());
        }
        Err(format!(
            "another end than one after the other: {}",
            difference(&end, &expected)
        ))
    }
}
