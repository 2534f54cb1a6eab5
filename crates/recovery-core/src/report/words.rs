//! A report in words: for its OpsItem, for the notification, and the phrases that its page shares with them.
//!
//! The texts are in `templates/`. What comes from elsewhere is put on one line, and in Markdown shown as
//! code, before a template sees it.

use std::collections::BTreeMap;

use askama::Template;

use crate::error::{Error, Fault};
use crate::notification::Notification;
use crate::ops_item::{ItemKey, KIND, NewOpsItem, RECOVERY, Severity};
use crate::plan::request::Mode;
use crate::report::format::{clock_time, seconds_between, short};
use crate::report::problem::Problem;
use crate::report::recovery_report::{ObjectiveResult, Report};
use crate::text::{code, one_line, shown, within};
use crate::track::run::DRILL;

/// Operational data: the key of the newest report of the recovery.
pub const REPORT: &str = "recovery:report";
/// Operational data: that report in one line.
pub const SUMMARY: &str = "recovery:report-summary";
/// Operational data: the key of the newest report that operators were notified of.
pub const TOLD: &str = "recovery:report-told";

/// Problems, and refusals, that a notification lists; the report has more.
const NAMED: usize = 20;
/// Problems that an OpsItem lists: its description takes 2,048 characters.
const NAMED_IN_ITEM: usize = 3;

/// A length of time in its two largest units; minutes up to two hours, as objectives are given.
pub fn duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let two = |(unit, name): (i64, &str), (unit_below, name_below): (i64, &str)| match (
        seconds / unit,
        seconds % unit / unit_below,
    ) {
        (a, 0) => format!("{a} {name}"),
        (a, b) => format!("{a} {name} {b} {name_below}"),
    };
    if seconds < MINUTE {
        format!("{seconds} s")
    } else if seconds <= 2 * HOUR {
        two((MINUTE, "min"), (1, "s"))
    } else if seconds <= 2 * DAY {
        two((HOUR, "h"), (MINUTE, "min"))
    } else {
        two((DAY, "d"), (HOUR, "h"))
    }
}

/// `Recovery` or `Drill`.
pub fn kind(report: &Report) -> &'static str {
    match report.mode {
        Mode::Recover => "Recovery",
        Mode::Drill => "Drill",
    }
}

/// `complete`, or `incomplete` and what is left.
pub(super) fn state(report: &Report) -> String {
    let totals = &report.totals;
    if report.complete {
        "complete".to_owned()
    } else if totals.unfinished > 0 {
        format!(
            "incomplete: {} of {} not integrated",
            totals.unfinished,
            counted(totals.items, "item")
        )
    } else {
        format!("incomplete: {}", counted(totals.problems, "problem"))
    }
}

/// The objectives that are missed, or can no longer be met.
pub(super) fn missed(report: &Report) -> Option<&'static str> {
    let rto = report.rto.is_missed();
    let rpo = report
        .rpo
        .as_ref()
        .is_some_and(|rpo| rpo.result.is_missed());
    match (rto, rpo) {
        (true, true) => Some("RTO and RPO missed"),
        (true, false) => Some("RTO missed"),
        (false, true) => Some("RPO missed"),
        (false, false) => None,
    }
}

/// `1 item`, `2 items`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// The title: workload, state, missed objectives, and the achieved RTO and RPO. The subject of a notification cuts it
/// at 99 characters.
pub fn headline(report: &Report) -> String {
    let prefix = match report.mode {
        Mode::Recover => "",
        Mode::Drill => DRILL,
    };
    let headline = headline_of(report, "Recovery", &shown(&report.workload));
    format!("{prefix}{headline}")
}

fn headline_of(report: &Report, kind: &str, workload: &str) -> String {
    let state = state(report);
    let missed = missed(report).map_or(String::new(), |missed| format!(", {missed}"));
    let rto = in_short(&report.rto);
    match &report.rpo {
        Some(rpo) if report.complete => format!(
            "{kind} of {workload} {state}{missed}: RTO {rto}, RPO {}",
            in_short(&rpo.result)
        ),
        _ => format!("{kind} of {workload} {state}{missed}; RTO so far {rto}"),
    }
}

/// A measurement in full minutes, rounded up, with its objective: `12 min (objective 15 min)`.
fn in_short(result: &ObjectiveResult) -> String {
    let rounded = match result.achieved_seconds {
        seconds @ ..120 => seconds,
        seconds => (seconds + 59) / 60 * 60,
    };
    match result.objective_seconds {
        None => format!("{} (no objective)", duration(rounded)),
        Some(objective) => {
            format!("{} (objective {})", duration(rounded), duration(objective))
        }
    }
}

/// A measurement compared with its objective: `12 min 4 s (objective 15 min: met)`.
fn against_objective(result: &ObjectiveResult) -> String {
    let achieved = duration(result.achieved_seconds);
    match (result.objective_seconds, result.met) {
        (None, _) => format!("{achieved} (no objective)"),
        (Some(objective), Some(true)) => {
            format!("{achieved} (objective {}: met)", duration(objective))
        }
        (Some(objective), _) if result.is_missed() => {
            format!("{achieved} (objective {}: missed)", duration(objective))
        }
        (Some(objective), _) => {
            format!(
                "{achieved} (objective {}: not met yet)",
                duration(objective)
            )
        }
    }
}

/// What the recovery achieved, line by line.
struct Achieved {
    rto_name: &'static str,
    rto: String,
    rpo_name: &'static str,
    rpo: String,
    items: String,
}

impl Achieved {
    fn of(report: &Report) -> Achieved {
        let totals = &report.totals;
        let refused = match totals.refusals {
            0 => String::new(),
            1 => "; 1 resource is not in the plan".to_owned(),
            count => format!("; {count} resources are not in the plan"),
        };
        let open = match report.open_ops_items() {
            0 => String::new(),
            count => format!("; {}", with_open_item(count)),
        };
        Achieved {
            rto_name: rto_name(report),
            rto: against_objective(&report.rto),
            rpo_name: RPO_NAME,
            rpo: report
                .rpo
                .as_ref()
                .map_or("not known".to_owned(), |rpo| against_objective(&rpo.result)),
            items: format!(
                "{} of {} restored and integrated{open}{refused}",
                totals.integrated, totals.items
            ),
        }
    }
}

/// How many integrated items have an open OpsItem.
pub(super) fn with_open_item(count: usize) -> String {
    format!("{count} with an open OpsItem")
}

/// What the measured RPO is called.
pub(super) const RPO_NAME: &str = "Achieved RPO";

/// What the measured RTO is called.
pub(super) fn rto_name(report: &Report) -> &'static str {
    if report.complete {
        "Achieved RTO"
    } else {
        "RTO so far"
    }
}

/// The report in one line.
pub fn summary(report: &Report) -> String {
    let Achieved { rpo, items, .. } = Achieved::of(report);
    if report.complete {
        format!("{}. Items: {items}.", headline(report))
    } else {
        format!("{}. RPO {rpo}. Items: {items}.", headline(report))
    }
}

/// The command that redrives the execution with this ARN.
pub fn redrive_of(execution: &str) -> String {
    let region = execution.split(':').nth(3).unwrap_or_default();
    format!(
        "aws stepfunctions redrive-execution --region {} --execution-arn {}",
        shown(region),
        shown(execution)
    )
}

/// Something that an operator must do.
pub(super) struct Step {
    pub(super) text: &'static str,
    pub(super) command: Option<String>,
}

/// What an operator must do, in this order.
pub(super) fn steps(report: &Report) -> Vec<Step> {
    let step = |text| Step {
        text,
        command: None,
    };
    let mut steps = Vec::new();
    match (report.complete, report.mode) {
        (true, Mode::Recover) => steps.push(step(
            "Check that the workload serves its users. This report says only that its data is restored and integrated.",
        )),
        (true, Mode::Drill) => {
            if report.rto.is_missed() {
                steps.push(step(
                    "Find out why the RTO was missed. The timeline shows which phase took longest.",
                ));
            }
            if report.rpo.as_ref().is_some_and(|rpo| rpo.result.is_missed()) {
                steps.push(step(
                    "Back up and copy more often: the RPO was missed.",
                ));
            }
        }
        (false, _) => {
            steps.push(step("Fix each cause. The report lists the remedies."));
            steps.push(Step {
                text: "Redrive the execution. Steps that are done are not repeated.",
                command: Some(redrive_of(&report.execution.arn)),
            });
        }
    }
    if report.open_ops_items() > 0 {
        steps.push(step(
            "Read the open OpsItem of each resource that has one, and do what it says. The list of items in the report names the OpsItems.",
        ));
    }
    if report.totals.refusals > 0 {
        steps.push(step(
            "Restore the resources that are not in the plan yourself. A redrive does not restore them. The report lists the remedies.",
        ));
    }
    if steps.is_empty() {
        steps.push(step("No action needed."));
    }
    steps
}

/// [`steps`], and where the report is: what is left needs it first.
fn steps_with_report(report: &Report, bucket: &str) -> Vec<Step> {
    let mut steps = steps(report);
    let at = if report.complete { steps.len() } else { 0 };
    let page = one_line(&report.page_key());
    steps.insert(
        at,
        Step {
            text: "Read the report, with its timeline.",
            command: Some(format!("aws s3 cp s3://{bucket}/{page} report.html")),
        },
    );
    steps
}

/// The text that `template` makes.
pub(super) fn rendered(template: &impl Template) -> Result<String, Error> {
    template.render().map_err(|error| {
        Error::Permanent(
            Fault::new(
                "write report",
                "template",
                "the text of the report could not be rendered",
                "Report this as a defect of Rapid Recovery. The JSON of the report is stored.",
            )
            .with_source(error),
        )
    })
}

/// A problem in one line, and its remedy.
struct ProblemLines {
    what: String,
    why: String,
    remedy: Option<String>,
}

impl ProblemLines {
    fn plain(problem: &Problem) -> ProblemLines {
        ProblemLines {
            what: format!("{} {}", shown(&problem.step), one_line(&problem.subject)),
            why: format!("{} ({})", one_line(&problem.why), shown(&problem.reason)),
            remedy: problem.remedy.as_deref().map(one_line),
        }
    }

    fn markdown(problem: &Problem) -> ProblemLines {
        ProblemLines {
            what: code(&format!("{} {}", problem.step, short(&problem.subject))),
            why: code(&within(&problem.why, 200)),
            remedy: None,
        }
    }
}

#[derive(Template)]
#[template(path = "ops-item.md")]
struct ItemText {
    headline: String,
    problems: Vec<ProblemLines>,
    more_problems: usize,
    result: Achieved,
    steps: Vec<Step>,
}

/// The key of a recovery's own OpsItem.
pub fn item_key(execution: &str) -> ItemKey {
    ItemKey::new("recovery", execution)
}

/// The OpsItem of a recovery that answers no incident with an OpsItem.
///
/// # Errors
/// [`Error::Permanent`] where the template fails.
pub fn item(report: &Report, bucket: &str) -> Result<NewOpsItem, Error> {
    let named = report.problems.iter().take(NAMED_IN_ITEM);
    let text = ItemText {
        headline: headline_of(report, kind(report), &code(&report.workload)),
        problems: named.map(ProblemLines::markdown).collect(),
        more_problems: report.totals.problems.saturating_sub(NAMED_IN_ITEM),
        result: Achieved::of(report),
        steps: steps_with_report(report, bucket)
            .into_iter()
            .map(|step| Step {
                command: step.command.as_deref().map(code),
                ..step
            })
            .collect(),
    };
    Ok(NewOpsItem {
        key: item_key(&report.execution.name),
        title: headline(report),
        description: rendered(&text)?,
        severity: if report.complete {
            Severity::Low
        } else {
            Severity::High
        },
        category: "Recovery",
        data: data(report)
            .into_iter()
            .chain([(KIND, RECOVERY.to_owned())])
            .collect(),
    })
}

/// What an OpsItem keeps of a report.
pub fn data(report: &Report) -> BTreeMap<&'static str, String> {
    [
        (REPORT, one_line(&report.key())),
        (SUMMARY, summary(report)),
    ]
    .into()
}

#[derive(Template)]
#[template(path = "notification.txt")]
struct Message {
    headline: String,
    execution: String,
    incident: Option<String>,
    ops_item: String,
    began: String,
    problems: Vec<ProblemLines>,
    more_problems: usize,
    result: Achieved,
    phases: Vec<(&'static str, String)>,
    refusals: Vec<(String, String, String)>,
    more_refusals: usize,
    steps: Vec<Step>,
}

/// The notification of operators. `item` is the OpsItem that has the report, or says why there is none.
///
/// # Errors
/// [`Error::Permanent`] where the template fails.
pub fn notification(report: &Report, bucket: &str, item: &str) -> Result<Notification, Error> {
    let phases = report.phases.iter();
    let refusals = report.refusals.iter().take(NAMED);
    let problems = report.problems.iter().take(NAMED);
    let message = Message {
        headline: headline(report),
        execution: shown(&report.execution.arn),
        incident: report.incident.as_deref().map(one_line),
        ops_item: item.to_owned(),
        began: format!(
            "{}, {} before this report",
            clock_time(report.began_at),
            duration(seconds_between(report.began_at, report.reported_at))
        ),
        problems: problems.map(ProblemLines::plain).collect(),
        more_problems: report.totals.problems.saturating_sub(NAMED),
        result: Achieved::of(report),
        phases: phases
            .map(|phase| (phase.phase.as_str(), duration(phase.seconds)))
            .collect(),
        refusals: refusals
            .map(|refused| {
                (
                    one_line(&refused.resource_arn),
                    one_line(&refused.why),
                    one_line(&refused.remedy),
                )
            })
            .collect(),
        more_refusals: report.totals.refusals.saturating_sub(NAMED),
        steps: steps_with_report(report, bucket),
    };
    Ok(Notification {
        subject: headline(report),
        pointer: if item.starts_with("oi-") {
            format!("OpsItem {item}.")
        } else {
            "Read the email.".to_owned()
        },
        message: rendered(&message)?,
        attributes: vec![
            ("kind", "recovery-report".to_owned()),
            ("mode", report.mode.as_str().to_owned()),
            ("complete", report.complete.to_string()),
        ],
    })
}
