//! One case: a path from a scenario to its end state. Its name allows to run it again.

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

use super::rule::{broken_by_claim, broken_by_run, duplicates, is_read_only};
use super::scenario::{Function, Scenario, Tolerance, shown};
use super::scenarios::SCENARIOS;

/// The calls of an attempt to attach, to create a resource or to apply a setting: only another attempt shows
/// that AWS still rejects it. The end state shows its effect.
const ATTEMPT: [&str; 7] = [
    "ec2:AttachVolume",
    "elasticfilesystem:CreateAccessPoint",
    "elasticfilesystem:CreateMountTarget",
    "elasticloadbalancing:RegisterTargets",
    "rds:CreateDBInstance",
    "rds:ModifyDBInstance",
    "ssm:CreateOpsItem",
];
/// Calls that are repeated if nothing records them: another notification, the same object, the execution
/// of the same token.
const REPEATED: [&str; 3] = [
    "sns:Publish",
    "s3:PutObject",
    "ssm:StartAutomationExecution",
];

/// The pause before Lambda's next attempt.
const PAUSE: Duration = Duration::from_secs(60);

/// A scenario and a path from it.
pub(super) struct Case<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) path: Path,
}

/// The deliveries before the last one, in which nothing fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    /// Deliveries one after the other, each with its failures.
    Sequential(Vec<Vec<Disturbance>>),
    /// Two concurrent deliveries.
    Concurrent(Interleaving),
}

/// How two deliveries are interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interleaving {
    /// The other delivery, by its number among [`others`].
    pub(super) other: usize,
    /// The call before which the first one is paused, counted from 0: then the other one begins.
    pub(super) first: usize,
    /// The call before which the other one is paused: then the first one continues.
    pub(super) second: usize,
    /// The call before which the first one is paused again: then the other one runs to its end.
    pub(super) third: usize,
    /// Whether the other one crashes where it is paused instead of continuing.
    pub(super) crashes: bool,
}

/// The possible concurrent deliveries: the same one, and other functions for the same job.
pub(super) fn others(scenario: &Scenario) -> Vec<(Function, &serde_json::Value)> {
    let same = (scenario.function.clone(), &scenario.payload);
    let completed = scenario.payload["detail"]["status"] == "COMPLETED";
    match scenario.function {
        Function::RestoreIntegrator
        | Function::BucketIntegrator
        | Function::InstanceIntegrator
        | Function::DatabaseIntegrator
        | Function::FileSystemIntegrator
        | Function::TableIntegrator
            if completed =>
        {
            vec![same, (Function::OpsitemCreator, &scenario.payload)]
        }
        // A run that records why it stops does not see that another one succeeds meanwhile.
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
        match &self.path {
            Path::Sequential(deliveries) if deliveries.is_empty() => f.write_str("no failure"),
            Path::Sequential(deliveries) => {
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
            Path::Concurrent(interleaving) => {
                let Interleaving {
                    other,
                    first,
                    second,
                    third,
                    crashes,
                } = interleaving;
                let function = others(self.scenario)[*other].0.name();
                write!(f, "concurrent {function} {first} {second} {third}")?;
                f.write_str(if *crashes { " crashes" } else { "" })
            }
        }
    }
}

impl Case<'static> {
    /// The case of this name.
    pub(super) fn parse(name: &str) -> Result<Case<'static>, String> {
        let mut parts = name.splitn(3, '/');
        let mut part = |what: &str| parts.next().ok_or(format!("it has no {what}"));
        let (function, scenario, path) = (part("function")?, part("scenario")?, part("way")?);
        let scenario = SCENARIOS
            .iter()
            .find(|other| other.function.name() == function && other.name == scenario)
            .ok_or("the scenario does not exist")?;
        let path = if path == "no failure" {
            Path::Sequential(Vec::new())
        } else if let Some(interleaving) = path.strip_prefix("concurrent ") {
            Path::Concurrent(parse_interleaving(scenario, interleaving)?)
        } else {
            let deliveries = path
                .split(',')
                .map(|troubles| troubles.split('+').map(parse_disturbance).collect())
                .collect::<Result<_, String>>()?;
            Path::Sequential(deliveries)
        };
        Ok(Case { scenario, path })
    }
}

fn parse_interleaving(scenario: &Scenario, text: &str) -> Result<Interleaving, String> {
    let mut words = text.split(' ');
    let function = words.next().unwrap_or_default();
    let other = others(scenario)
        .iter()
        .position(|(other, _)| other.name() == function)
        .ok_or(format!("{function} is not delivered concurrently with it"))?;
    let mut number = || {
        words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or("it takes three numbers")
    };
    Ok(Interleaving {
        other,
        first: number()?,
        second: number()?,
        third: number()?,
        crashes: words.next() == Some("crashes"),
    })
}

fn parse_disturbance(text: &str) -> Result<Disturbance, String> {
    let (call, name) = text
        .split_once('/')
        .ok_or(format!("{text} names no failure"))?;
    let (operation, occurrence) = call
        .split_once('#')
        .ok_or(format!("{call} has no number of the call of its operation"))?;
    Ok(Disturbance {
        operation: operation.to_owned(),
        occurrence: occurrence.parse().map_err(|error| format!("{error}"))?,
        trouble: Trouble::ALL
            .into_iter()
            .find(|trouble| trouble.name() == name)
            .ok_or(format!("the failure {name} does not exist"))?,
    })
}

impl Case<'_> {
    /// Runs the case. Returns a description of the run, and whether the rule held.
    pub(super) fn run(&self) -> (String, Result<(), String>) {
        let mut story = format!("{self}\n");
        let held = self.run_path(&mut story);
        (story, held)
    }

    fn run_path(&self, story: &mut String) -> Result<(), String> {
        let standard = Standard::of(self.scenario)?;
        let mut point = Point::first(self.scenario);
        match &self.path {
            Path::Sequential(deliveries) => {
                for troubles in deliveries {
                    let run = point.deliver(self.scenario, troubles);
                    story.push_str(&run.to_string());
                    standard.holds_after(&run, &point.world)?;
                }
            }
            Path::Concurrent(interleaving) => {
                let runs = point.deliver_concurrently(self.scenario, interleaving);
                for run in &runs {
                    story.push_str(&run.to_string());
                }
                return standard.holds_after_both(interleaving, &runs, &point);
            }
        }
        standard.reaches_the_end(&point)
    }
}

/// One run: what it called and what it answered.
pub(super) struct Run {
    pub(super) made: Vec<Made>,
    /// `None` if the process ended before it answered.
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

/// A world on the path, and its time.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) world: World,
    pub(super) time: Duration,
}

impl Point {
    /// The beginning of the path.
    pub(super) fn first(scenario: &Scenario) -> Point {
        Point {
            world: scenario.world.clone(),
            time: Duration::ZERO,
        }
    }

    /// Delivers once more, with these failures.
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
    pub(super) fn deliver_concurrently(
        &mut self,
        scenario: &Scenario,
        interleaving: &Interleaving,
    ) -> [Run; 2] {
        let (other, payload) = &others(scenario)[interleaving.other];
        let first_ports =
            Disturbed::pausing(&self.world, &[interleaving.first, interleaving.third]);
        let first_ports = Disturbed::lasting(first_ports, self.time, scenario.function.timeout());
        let other_ports = Disturbed::pausing(&self.world, &[interleaving.second]);
        let other_ports = Disturbed::lasting(other_ports, self.time, other.timeout());
        let mut first = pin!(scenario.deliver(&first_ports));
        let mut second = pin!(other.deliver(&other_ports, payload));
        let mut context = Context::from_waker(Waker::noop());
        let mut poll_first = Pending::default();
        let mut poll_second = Pending::default();
        poll_first.take(first.as_mut().poll(&mut context));
        poll_second.take(second.as_mut().poll(&mut context));
        if poll_first.0.is_none() {
            first_ports.release();
            poll_first.take(first.as_mut().poll(&mut context));
        }
        if poll_second.0.is_none() && !interleaving.crashes {
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

/// The outcome of a run, once it has answered.
#[derive(Default)]
struct Pending(Option<Result<Outcome, Error>>);

impl Pending {
    fn take(&mut self, polled: Poll<Result<Outcome, Error>>) {
        if let Poll::Ready(outcome) = polled {
            self.0 = Some(outcome);
        }
    }
}

/// The end state that every path from a scenario must reach.
pub(super) struct Standard<'a> {
    scenario: &'a Scenario,
    /// The calls of one delivery without failures.
    pub(super) usual: Vec<Made>,
    end: End,
    /// The end state of both deliveries, one after the other.
    end_of_both: End,
    /// The allowed number of duplicate OpsItems, resolved in favour of the first.
    duplicates: usize,
    /// Whether the last delivery succeeds.
    succeeds: bool,
}

impl<'a> Standard<'a> {
    /// The end state of the scenario without failures.
    pub(super) fn of(scenario: &'a Scenario) -> Result<Standard<'a>, String> {
        let mut point = Point::first(scenario);
        let once = point.deliver(scenario, &[]);
        broken_by_run(scenario, &once.made)?;
        broken_by_claim(&point.world, &scenario.world)?;
        let outcome = once.outcome.ok_or("the fakes never wait")?;
        if shown(&outcome) != scenario.leads_to {
            return Err(format!(
                "the outcome is {} instead of {}: {outcome:?}",
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
                return Err("it fails although the missing resource exists now".to_owned());
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

    /// The conditions after any run, including one that crashed.
    pub(super) fn holds_after(&self, run: &Run, world: &World) -> Result<(), String> {
        broken_by_run(self.scenario, &run.made)?;
        broken_by_claim(world, &self.scenario.world)
    }

    /// Another delivery without failures reaches the end state. After that, nothing is written or
    /// notified again.
    pub(super) fn reaches_the_end(&self, point: &Point) -> Result<(), String> {
        let point = self.redelivered(point)?;
        match duplicates(&point.world) {
            count if count > self.duplicates => Err(format!("{count} duplicate OpsItems")),
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
        // Only another attempt shows that EC2 still rejects it, and the OpsItem is created concurrently.
        let repeats: &[&str] = match self.scenario.tolerance {
            Tolerance::NotRecorded => &REPEATED,
            _ => &[],
        };
        let written = again.made.iter().find(|call| {
            !is_read_only(call.operation)
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
            Tolerance::OtherPlans => end.planning_no_more_than(&self.end),
            Tolerance::NotifiesMore | Tolerance::NotRecorded => {
                end.notifying_no_more_than(&self.end)
            }
            Tolerance::NotifiesAndStartsMore => end
                .notifying_no_more_than(&self.end)
                .starting_no_more_than(&self.end),
            Tolerance::Hindrance => {
                let (end, expected) = (end.without_reasons(), self.end.clone().without_reasons());
                let (end, expected) = if self.scenario.meanwhile.is_some() {
                    (
                        end.without_notifications(),
                        expected.without_notifications(),
                    )
                } else {
                    (end.notifying_no_more_than(&expected), expected)
                };
                return if end == expected {
                    Ok(())
                } else {
                    Err(format!(
                        "another end state: {}",
                        difference(&end, &expected)
                    ))
                };
            }
            Tolerance::SecondItem => return self.is_the_end_of_resolved_items(world, end),
        };
        if end == self.end {
            return Ok(());
        }
        Err(format!(
            "another end state than without failures: {}",
            difference(&end, &self.end)
        ))
    }

    fn is_the_end_of_resolved_items(&self, world: &World, end: End) -> Result<(), String> {
        let state = world.state();
        let resolved = |stored: &StoredItem| stored.item.status == Status::Resolved;
        let attached = |stored: &StoredItem| stored.title.contains(" attached to ");
        let recorded = state.items.iter().all(resolved) && state.items.iter().any(attached);
        if recorded && end.without_items() == self.end.clone().without_items() {
            Ok(())
        } else {
            Err(format!(
                "another end state than resolved items: {:?}",
                state.items
            ))
        }
    }

    /// The conditions after two concurrent deliveries: neither made a forbidden call, and both reached
    /// the same end state. Only a delivery that crashed or failed is repeated.
    pub(super) fn holds_after_both(
        &self,
        interleaving: &Interleaving,
        runs: &[Run; 2],
        point: &Point,
    ) -> Result<(), String> {
        let [first, second] = runs;
        self.holds_after(first, &point.world)?;
        let (other, payload) = &others(self.scenario)[interleaving.other];
        let same = interleaving.other == 0;
        if same {
            self.holds_after(second, &point.world)?;
        }
        // Neither had a failure: a concurrent delivery must not cause a permanent error, unless a single
        // delivery has it, too.
        let must_succeed = self.succeeds && self.scenario.leads_to != "Permanent";
        for run in runs {
            if let (Some(Err(error @ Error::Permanent(_))), true) = (&run.outcome, must_succeed) {
                return Err(format!(
                    "a concurrent delivery causes a permanent error: {error}"
                ));
            }
        }
        let failed = |run: &Run| !matches!(&run.outcome, Some(Ok(_)));
        let mut point = point.clone();
        if failed(second) {
            let ports = Disturbed::not(&point.world);
            let ports = Disturbed::lasting(ports, point.time, other.timeout());
            drop(run(other.deliver(&ports, payload)));
        }
        if failed(first) || self.scenario.function.is_scheduled() {
            point.deliver(self.scenario, &[]);
        }
        let made = duplicates(&point.world);
        // One run may create an OpsItem twice: before it attaches the volume, and afterwards.
        if made > 2 && self.scenario.tolerance != Tolerance::SecondItem {
            return Err(format!("{made} duplicate OpsItems of two deliveries"));
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
            Tolerance::OtherPlans => (end.planning_no_more_than(&expected), expected),
            Tolerance::NotifiesMore | Tolerance::NotifiesAndStartsMore | Tolerance::NotRecorded => {
                (end.notifying_no_more_than(&expected), expected)
            }
            Tolerance::SecondItem => (end.without_items(), expected.without_items()),
        };
        if end == expected {
            return Ok(());
        }
        Err(format!(
            "another end state than one after the other: {}",
            difference(&end, &expected)
        ))
    }
}
