//! A report in words: for the OpsItem, for a message, for a failing execution.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::ops_item::{ItemKey, KIND, NewOpsItem, RECOVERY, Severity};
use crate::plan::request::Mode;
use crate::ports::Notification;
use crate::text::{code, one_line, shown, within};

use super::{Held, Problem, Report, clock_time, short};

/// Operational data: the key of the newest report of the recovery.
pub const REPORT: &str = "recovery:report";
/// Operational data: that report in one line.
pub const SUMMARY: &str = "recovery:report-summary";
/// Operational data: the key of the newest report that people were told of.
pub const TOLD: &str = "recovery:report-told";

/// Problems that are named to people; the report has more.
const NAMED: usize = 20;
/// Problems that are named in an OpsItem.
const NAMED_IN_ITEM: usize = 3;

/// A time as people say it.
pub fn duration(seconds: i64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let two = |a: i64, unit_a: &str, b: i64, unit_b: &str| match b {
        0 => format!("{a} {unit_a}"),
        b => format!("{a} {unit_a} {b} {unit_b}"),
    };
    if days > 0 {
        two(days, "d", hours, "h")
    } else if hours > 0 {
        two(hours, "h", minutes, "min")
    } else if minutes > 0 {
        two(minutes, "min", rest, "s")
    } else {
        format!("{rest} s")
    }
}

/// What it is about: `Recovery of shop` or `Drill of shop`.
pub fn subject(report: &Report) -> String {
    let what = match report.mode {
        Mode::Recover => "Recovery",
        Mode::Drill => "Drill",
    };
    format!("{what} of {}", shown(&report.workload))
}

/// How it stands, in a few words.
pub fn headline(report: &Report) -> String {
    let subject = subject(report);
    if report.complete {
        let took = duration(report.recovery_time.seconds);
        return format!("{subject} is whole after {took}");
    }
    let totals = &report.totals;
    match (totals.unfinished, totals.items) {
        (0, _) => format!("{subject} is not whole: {}", problems(totals.problems)),
        (left, items) => format!("{subject} is not whole: {left} of {}", all_items(items)),
    }
}

fn all_items(items: usize) -> String {
    match items {
        1 => "1 item is left".to_owned(),
        items => format!("{items} items left"),
    }
}

fn problems(count: usize) -> String {
    match count {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    }
}

/// A time against its target.
pub fn against_target(held: &Held) -> String {
    match (held.target_seconds, held.met) {
        (Some(target), Some(true)) => format!("target {}: met", duration(target)),
        (Some(target), _) => format!("target {}: not met", duration(target)),
        (None, _) => "no target set".to_owned(),
    }
}

fn time_line(report: &Report) -> String {
    let time = &report.recovery_time;
    let so_far = if report.complete { "" } else { " so far" };
    format!(
        "{}{so_far} ({})",
        duration(time.seconds),
        against_target(time)
    )
}

fn point_line(report: &Report) -> String {
    report.recovery_point.as_ref().map_or_else(
        || "not known".to_owned(),
        |point| {
            let loss = duration(point.held.seconds);
            format!("{loss} at the worst ({})", against_target(&point.held))
        },
    )
}

fn items_line(report: &Report) -> String {
    let totals = &report.totals;
    let refused = match totals.refusals {
        0 => String::new(),
        1 => "; 1 resource is not in the plan".to_owned(),
        count => format!("; {count} resources are not in the plan"),
    };
    format!(
        "{} of {} restored and attached{refused}",
        totals.integrated, totals.items
    )
}

/// The report in one line.
pub fn summary(report: &Report) -> String {
    format!(
        "{}. Recovery time {}. Loss of data {}. Items: {}.",
        headline(report),
        time_line(report),
        point_line(report),
        items_line(report),
    )
}

/// The command that goes on with the execution.
pub fn redrive(report: &Report) -> String {
    redrive_of(&report.execution.arn)
}

/// The command that goes on with the execution of this ARN.
pub fn redrive_of(execution: &str) -> String {
    format!(
        "aws stepfunctions redrive-execution --execution-arn {}",
        shown(execution)
    )
}

/// The command that fetches the page.
fn fetch(report: &Report, bucket: &str) -> String {
    format!(
        "aws s3 cp s3://{bucket}/{} report.html",
        one_line(&report.page_key())
    )
}

/// What people are to do.
fn to_do(report: &Report) -> &'static str {
    match (report.complete, report.mode) {
        (true, Mode::Recover) => {
            "Look at the workload itself: the report says that its data are attached, not that customers are served."
        }
        (true, Mode::Drill) => "Nothing, but to compare the times with what was promised.",
        (false, _) => {
            "Remove the causes below, then redrive the execution. What is done stays done."
        }
    }
}

/// The key of a recovery's own OpsItem.
pub fn item_key(execution: &str) -> ItemKey {
    ItemKey::new("recovery", execution)
}

/// The OpsItem of a recovery that no incident's stands for.
pub fn item(report: &Report, bucket: &str) -> NewOpsItem {
    let mut description = format!(
        "**What happened.** {}\n\n**What to do.** {}\n\n",
        prose(&format!("{}.", headline(report)), &report.workload),
        to_do(report),
    );
    if !report.complete {
        let _ = writeln!(description, "- Redrive: {}", code(&redrive(report)));
    }
    let _ = write!(
        description,
        "- Recovery time: {}\n- Loss of data: {}\n- Items: {}\n- Report: {}\n",
        time_line(report),
        point_line(report),
        items_line(report),
        code(&fetch(report, bucket)),
    );
    if !report.problems.is_empty() {
        description.push_str("\n**What is left.**\n");
        for problem in report.problems.iter().take(NAMED_IN_ITEM) {
            let _ = writeln!(
                description,
                "- {}: {}",
                code(&format!("{} {}", problem.step, short(&problem.subject))),
                code(&within(&problem.why, 200)),
            );
        }
        let more = report.totals.problems.saturating_sub(NAMED_IN_ITEM);
        if more > 0 {
            let _ = writeln!(description, "- and {more} more, in the report");
        }
    }
    NewOpsItem {
        key: item_key(&report.execution.name),
        title: headline(report),
        description,
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
    }
}

/// A sentence of ours in which the workload's name is code.
fn prose(sentence: &str, workload: &str) -> String {
    sentence.replacen(&shown(workload), &code(workload), 1)
}

/// What an OpsItem keeps of a report.
pub fn data(report: &Report) -> BTreeMap<&'static str, String> {
    [
        (REPORT, one_line(&report.key())),
        (SUMMARY, summary(report)),
    ]
    .into()
}

fn problem_lines(number: usize, problem: &Problem) -> String {
    let mut lines = format!(
        "{number}. {} {}: {} ({})\n",
        shown(&problem.step),
        one_line(&problem.subject),
        one_line(&problem.why),
        shown(&problem.reason),
    );
    if let Some(remedy) = &problem.remedy {
        let _ = writeln!(lines, "   What to do: {}", one_line(remedy));
    }
    lines
}

/// The message for people. `item` is the OpsItem that has the report, or says why there is none.
pub fn notification(report: &Report, bucket: &str, item: &str) -> Notification {
    let mut message = format!("{}.\n\nWhat to do: {}\n", headline(report), to_do(report));
    if !report.complete {
        let _ = writeln!(message, "\n{}\n", redrive(report));
    }
    let _ = write!(
        message,
        "\nRecovery time: {}\nLoss of data: {}\nItems: {}\n",
        time_line(report),
        point_line(report),
        items_line(report),
    );
    if !report.phases.is_empty() {
        message.push_str("\nThe time, phase by phase:\n");
        for phase in &report.phases {
            let took = duration(phase.seconds);
            let _ = writeln!(message, "- {}: {took}", phase.phase.as_str());
        }
    }
    if !report.problems.is_empty() {
        message.push_str("\nWhat is left:\n");
        for (number, problem) in report.problems.iter().take(NAMED).enumerate() {
            message.push_str(&problem_lines(number + 1, problem));
        }
        let more = report.totals.problems.saturating_sub(NAMED);
        if more > 0 {
            let _ = writeln!(message, "and {more} more, in the report.");
        }
    }
    if !report.refusals.is_empty() {
        message.push_str("\nNot in the plan, and not restored:\n");
        for refused in report.refusals.iter().take(NAMED) {
            let _ = writeln!(
                message,
                "- {}: {}",
                one_line(&refused.resource_arn),
                one_line(&refused.why)
            );
        }
        let more = report.totals.refusals.saturating_sub(NAMED);
        if more > 0 {
            let _ = writeln!(message, "- and {more} more, in the report.");
        }
    }
    let incident = report.incident.as_ref().map_or(String::new(), |incident| {
        format!("Incident: {}\n", one_line(incident))
    });
    let _ = write!(
        message,
        "\nThe report, with its timeline:\n{}\n\n{incident}Execution: {}\nBegan: {}\nOpsItem: {}\n",
        fetch(report, bucket),
        shown(&report.execution.arn),
        clock_time(report.began_at),
        item,
    );
    Notification {
        subject: headline(report),
        pointer: if item.starts_with("oi-") {
            format!("OpsItem {item}.")
        } else {
            "See e-mail.".to_owned()
        },
        message,
        attributes: vec![
            ("kind", "recovery-report".to_owned()),
            ("mode", report.mode.as_str().to_owned()),
            ("complete", report.complete.to_string()),
        ],
    }
}
