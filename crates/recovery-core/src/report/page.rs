//! A report as an HTML page: one self-contained file for a screen, a phone or paper.
//!
//! The markup is `templates/report.html`, which escapes every value. `Page` is what it shows: here it is
//! selected, grouped, sorted and measured. Positions are in ten-thousandths of the width.

mod timeline;

use askama::Template;

use crate::aws::backup::EBS;
use crate::error::Error;
use crate::integrate::mount::record::Mount;
use crate::plan::item::Refused;
use crate::plan::request::Mode;
use crate::report::format::{clock_time, seconds_between, short};
use crate::report::page::timeline::{Chart, PhaseBar, Tick, WIDTH, phase_bars};
use crate::report::problem::Problem;
use crate::report::recovery_report::{Distribution, ItemReport, ObjectiveResult, Report};
use crate::report::words;
use crate::report::words::{RPO_NAME, Step, counted, duration, rendered};
use crate::text;

/// Items that are drawn and listed; of more, those that are left and the slowest.
const ROWS: usize = 200;
/// Problems, and refusals, that the page lists.
const LISTED: usize = 100;
/// Problems with the same remedy that are shown; the others are folded.
const UNFOLDED: usize = 8;

/// The page of `report`, as HTML.
///
/// # Errors
/// [`Error::Permanent`] where the template fails.
pub fn html(report: &Report) -> Result<String, Error> {
    // Escaping leaves characters that cannot be seen, or that turn the direction of reading.
    Ok(text::lines(&rendered(&Page::of(report))?))
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    headline: String,
    kind: &'static str,
    drill: bool,
    state: String,
    missed: Option<&'static str>,
    began: String,
    ended: String,
    objectives: Vec<ObjectiveCard>,
    steps: Vec<Step>,
    open_items: Option<String>,
    problem_count: String,
    causes: Vec<Cause<'a>>,
    more_problems: usize,
    refusals: Vec<(&'a Refused, String)>,
    more_refusals: usize,
    phases: Vec<PhaseBar>,
    phase_ticks: Vec<Tick>,
    chart: Option<Chart<'a>>,
    statistics: Vec<(&'static str, String, String, String)>,
    rows: Vec<Row<'a>>,
    details: Vec<(&'static str, String)>,
}

impl Page<'_> {
    fn of(report: &Report) -> Page<'_> {
        let shown = shown_items(report);
        let (phases, phase_ticks) = phase_bars(report);
        let listed = report.problems.len().min(LISTED);
        let refusals = report.refusals.iter().take(LISTED);
        let refusals: Vec<_> = refusals
            .map(|refused| (refused, short(&refused.resource_arn)))
            .collect();
        Page {
            report,
            headline: words::headline(report),
            kind: words::kind(report),
            drill: report.mode == Mode::Drill,
            state: words::state(report),
            missed: words::missed(report),
            began: clock_time(report.began_at),
            ended: clock_time(if report.complete {
                report.ended_at
            } else {
                report.reported_at
            }),
            objectives: vec![ObjectiveCard::rto(report), ObjectiveCard::rpo(report)],
            steps: words::steps(report),
            open_items: (report.open_ops_items() > 0)
                .then(|| words::with_open_item(report.open_ops_items())),
            problem_count: counted(report.totals.problems, "problem"),
            causes: Cause::all(&report.problems[..listed]),
            more_problems: report.totals.problems - listed,
            more_refusals: report.totals.refusals - refusals.len(),
            refusals,
            phases,
            phase_ticks,
            chart: (!shown.is_empty()).then(|| Chart::of(report, &shown)),
            statistics: statistics(report),
            rows: shown.into_iter().map(Row::of).collect(),
            details: details(report),
        }
    }
}

/// The items that the page shows, in the order of the plan: what is left, and then the slowest.
fn shown_items(report: &Report) -> Vec<&ItemReport> {
    let mut items: Vec<(usize, &ItemReport)> = report.items.iter().enumerate().collect();
    if items.len() > ROWS {
        let took = |item: &ItemReport| {
            let failed = item.failed_before.iter();
            let failed = failed.filter_map(|job| job.started_at.zip(job.ended_at));
            let failed: i64 = failed.map(|(from, to)| seconds_between(from, to)).sum();
            failed + item.restore_seconds.unwrap_or(0) + item.integrate_seconds.unwrap_or(0)
        };
        let is_done = |item: &ItemReport| item.integrated && item.open_ops_item_id.is_none();
        items.sort_by_key(|(at, item)| {
            (
                item.integrated,
                is_done(item),
                std::cmp::Reverse(took(item)),
                *at,
            )
        });
        items.truncate(ROWS);
        items.sort_by_key(|(at, _)| *at);
    }
    items.into_iter().map(|(_, item)| item).collect()
}

/// A measurement, its objective, and how they compare.
struct ObjectiveCard {
    name: &'static str,
    achieved: String,
    /// `good`, `bad`, or `open` where the objective is not set, or neither met nor missed yet.
    class: &'static str,
    verdict: String,
    note: Option<String>,
    meter: Option<Meter>,
}

/// A bar as long as the measurement, and a mark at the objective.
struct Meter {
    achieved: i64,
    objective: i64,
}

impl ObjectiveCard {
    fn of(name: &'static str, result: &ObjectiveResult, note: String) -> ObjectiveCard {
        let ObjectiveResult {
            achieved_seconds: achieved,
            objective_seconds,
            met,
        } = *result;
        let (class, verdict) = match objective_seconds {
            None => ("open", "no objective set".to_owned()),
            Some(objective) => {
                let words = duration(objective);
                match achieved - objective {
                    over @ 1.. => {
                        let over = duration(over);
                        ("bad", format!("objective {words} missed by {over}"))
                    }
                    _ if met == Some(true) => ("good", format!("objective {words} met")),
                    _ => ("open", format!("objective {words} not met yet")),
                }
            }
        };
        let meter = |objective: i64| {
            let longest = achieved.max(objective).max(1);
            Meter {
                achieved: achieved * WIDTH / longest,
                // The mark stays inside.
                objective: (objective * WIDTH / longest).min(WIDTH - 90),
            }
        };
        ObjectiveCard {
            name,
            achieved: duration(achieved),
            class,
            verdict,
            note: Some(note),
            meter: objective_seconds.map(meter),
        }
    }

    fn rto(report: &Report) -> ObjectiveCard {
        let rto = &report.rto;
        let deadline = rto
            .objective_seconds
            .and_then(chrono::TimeDelta::try_seconds)
            .and_then(|objective| report.began_at.checked_add_signed(objective));
        let last = report.phases.last().map(|phase| phase.phase.as_str());
        let note = match (report.complete, deadline, last) {
            (false, Some(deadline), _) => {
                format!("due {}", clock_time(deadline))
            }
            (false, None, _) => "until this report".to_owned(),
            (true, _, last) => format!("until the end of {}", last.unwrap_or("the plan")),
        };
        ObjectiveCard::of(words::rto_name(report), rto, note)
    }

    fn rpo(report: &Report) -> ObjectiveCard {
        match &report.rpo {
            Some(rpo) => {
                let note = format!("oldest data: {}", short(&rpo.resource_arn));
                ObjectiveCard::of(RPO_NAME, &rpo.result, note)
            }
            None => ObjectiveCard {
                name: RPO_NAME,
                achieved: "not known".to_owned(),
                class: "bad",
                verdict: "no item was planned".to_owned(),
                note: None,
                meter: None,
            },
        }
    }
}

/// Problems with the same reason and remedy: one action fixes them.
struct Cause<'a> {
    step: &'a str,
    reason: String,
    remedy: Option<&'a str>,
    count: usize,
    shown: Vec<(&'a str, String, &'a str)>,
    folded: Vec<(&'a str, String, &'a str)>,
}

impl Cause<'_> {
    fn all(problems: &[Problem]) -> Vec<Cause<'_>> {
        let key = |problem: &Problem| {
            let Problem {
                step,
                reason,
                remedy,
                ..
            } = problem.clone();
            (step, reason, remedy)
        };
        let mut causes: Vec<Vec<&Problem>> = Vec::new();
        for problem in problems {
            match causes.iter_mut().find(|all| key(all[0]) == key(problem)) {
                Some(all) => all.push(problem),
                None => causes.push(vec![problem]),
            }
        }
        causes.into_iter().map(Cause::of).collect()
    }

    fn of(problems: Vec<&Problem>) -> Cause<'_> {
        let first = problems[0];
        let mut shown: Vec<_> = problems
            .iter()
            .map(|problem| {
                let subject = problem.subject.as_str();
                (subject, short(subject), problem.why.as_str())
            })
            .collect();
        let folded = shown.split_off(shown.len().min(UNFOLDED));
        Cause {
            step: &first.step,
            reason: first.reason.replace('-', " "),
            remedy: first.remedy.as_deref(),
            count: problems.len(),
            shown,
            folded,
        }
    }
}

/// An item of the table.
struct Row<'a> {
    item: &'a ItemReport,
    name: String,
    /// Its type, and where it is restored to.
    target: String,
    state: String,
    open_item: Option<String>,
    restore: String,
    integration: String,
    rpo: String,
    restored_as: Vec<String>,
}

impl Row<'_> {
    fn of(item: &ItemReport) -> Row<'_> {
        let took = |seconds: Option<i64>| seconds.map_or("–".to_owned(), duration);
        let restored = item.restored_arn.as_deref().map(short);
        let mount = item.mount.as_ref().map(Mount::line);
        let ids = [
            &item.volume_id,
            &item.instance_id,
            &item.device,
            &restored,
            &item.endpoint,
            &mount,
        ];
        Row {
            item,
            name: short(&item.resource_arn),
            target: target(item),
            open_item: item
                .open_ops_item_id
                .as_ref()
                .map(|id| format!("OpsItem {id} is open")),
            state: match (item.integrated, item.job_status.as_deref()) {
                (true, _) => is_integrated(item).to_owned(),
                (false, Some("COMPLETED")) => format!("restored, not {}", is_integrated(item)),
                (false, Some(status)) => format!("restore job {status}"),
                (false, None) => "not started".to_owned(),
            },
            restore: took(item.restore_seconds),
            integration: took(item.integrate_seconds),
            rpo: duration(item.rpo_seconds),
            restored_as: ids.into_iter().flatten().cloned().collect(),
        }
    }
}

/// The type of an item, and where it is restored to.
fn target(item: &ItemReport) -> String {
    let what = item.logical_id.as_ref().or(item.name.as_ref());
    let mut text = item.resource_type.clone();
    if let Some(what) = what {
        text = format!("{text}, {what}");
    }
    match &item.stack {
        Some(stack) => format!("{text} in {stack}"),
        None => text,
    }
}

/// The word for an item that is integrated.
fn is_integrated(item: &ItemReport) -> &'static str {
    match item.resource_type.as_str() {
        EBS => "attached",
        _ => "available",
    }
}

fn statistics(report: &Report) -> Vec<(&'static str, String, String, String)> {
    let statistics = &report.statistics;
    let row = |(name, of): (&'static str, &Option<Distribution>)| {
        let Distribution { min, median, max } = of.as_ref()?;
        Some((name, duration(*min), duration(*median), duration(*max)))
    };
    if report.totals.items < 2 {
        return Vec::new();
    }
    [
        ("restore", &statistics.restore_seconds),
        ("integration", &statistics.integrate_seconds),
        ("RPO", &statistics.rpo_seconds),
    ]
    .into_iter()
    .filter_map(row)
    .collect()
}

fn details(report: &Report) -> Vec<(&'static str, String)> {
    let mut details = vec![("Execution", report.execution.arn.clone())];
    let known = |name, value: Option<String>| value.map(|value| (name, value));
    let rpo = report.rpo.as_ref();
    details.extend(
        [
            known("Incident", report.incident.clone()),
            known("OpsItem", report.ops_item_id.clone()),
            known("Plan", report.plan.as_ref().map(|plan| plan.key.clone())),
            known("Restored to", report.restore_to.map(clock_time)),
            known(
                "RPO counted from",
                rpo.map(|rpo| clock_time(rpo.counted_from)),
            ),
            known("Oldest data", rpo.map(|rpo| rpo.resource_arn.clone())),
        ]
        .into_iter()
        .flatten(),
    );
    let stacks = report.stacks.iter();
    details.extend(stacks.map(|stack| ("Stack", format!("{} ({})", stack.stack, stack.did))));
    details.push(("This report", report.key()));
    details.push(("Reported at", clock_time(report.reported_at)));
    details
}
