//! A report as a page: one file that asks for nothing else, for a screen, a phone or paper.
//!
//! Everything in it that came from elsewhere is escaped: tags and messages are hostile text.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::plan::request::Mode;
use crate::text::one_line;

use super::phases::{Phase, PhaseName};
use super::words::{duration, headline, redrive};
use super::{Held, ItemReport, Problem, Report, Spread, clock_time, seconds_between, short};

/// Items that have a row with a name in the timeline; of more, each is a thin line.
const NAMED_ROWS: usize = 60;
/// Items that are drawn and listed; of more, those that are left and the slowest.
const ROWS: usize = 200;
/// Problems that have an entry.
const PROBLEMS: usize = 100;
/// Problems with the same remedy that are shown; of more, one has to ask.
const ALIKE: usize = 8;
/// Ticks of the time axis, at most.
const TICKS: i64 = 8;

/// The page of `report`.
pub fn html(report: &Report) -> String {
    let rows = rows(report);
    let mut page = String::with_capacity(40_000);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escaped(&headline(report)),
    );
    head(&mut page, report);
    if !report.complete {
        left(&mut page, report);
    }
    timeline(&mut page, report, &rows);
    refusals(&mut page, report);
    statistics(&mut page, report);
    items(&mut page, report, &rows);
    facts(&mut page, report);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// Text in HTML, and in an attribute between double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The items that are shown, in the order of the plan: what is left, and then the slowest.
fn rows(report: &Report) -> Vec<&ItemReport> {
    let mut rows: Vec<(usize, &ItemReport)> = report.items.iter().enumerate().collect();
    if rows.len() > ROWS {
        let took = |item: &ItemReport| {
            let failed = item.failed_before.iter();
            let failed = failed.filter_map(|job| job.started_at.zip(job.ended_at));
            let failed: i64 = failed.map(|(from, to)| seconds_between(from, to)).sum();
            failed + item.restore_seconds.unwrap_or(0) + item.integrate_seconds.unwrap_or(0)
        };
        rows.sort_by_key(|(at, item)| (item.integrated, std::cmp::Reverse(took(item)), *at));
        rows.truncate(ROWS);
        rows.sort_by_key(|(at, _)| *at);
    }
    rows.into_iter().map(|(_, item)| item).collect()
}

fn head(page: &mut String, report: &Report) {
    let (kind, state, mark) = match (report.mode, report.complete) {
        (Mode::Recover, true) => ("Recovery", "is recovered", "good"),
        (Mode::Recover, false) => ("Recovery", "is not whole", "bad"),
        (Mode::Drill, true) => ("Drill", "passed its drill", "good"),
        (Mode::Drill, false) => ("Drill", "did not pass its drill", "bad"),
    };
    let _ = write!(
        page,
        "<header>\n<p class=\"kind\"><span class=\"badge {}\">{kind}</span> <span class=\"time\">{} to</span> <span class=\"time\">{}</span></p>\n\
         <h1>{} <strong>{}</strong> {state}</h1>\n",
        if report.mode == Mode::Drill {
            "drill"
        } else {
            "real"
        },
        escaped(&clock_time(report.began_at)),
        escaped(&clock_time(report.ended_at)),
        icon(mark),
        escaped(&report.workload),
    );
    if report.redrives > 0 {
        let times = match report.redrives {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        };
        let _ = writeln!(
            page,
            "<p class=\"note\">The execution was redriven {times}.</p>"
        );
    }
    page.push_str("</header>\n<section class=\"cards\" aria-label=\"Result\">\n");
    let so_far = if report.complete { "" } else { " so far" };
    card(
        page,
        &format!("Recovery time{so_far}"),
        &duration(report.recovery_time.seconds),
        &target(&report.recovery_time),
    );
    match &report.recovery_point {
        Some(point) => card(
            page,
            "Loss of data, at the worst",
            &duration(point.held.seconds),
            &target(&point.held),
        ),
        None => card(page, "Loss of data", "not known", "<p>there is no plan</p>"),
    }
    let totals = &report.totals;
    let (mark, words) = match totals.unfinished {
        0 if totals.items == 0 => ("bad", "nothing was restored".to_owned()),
        0 => ("good", "none is left".to_owned()),
        1 => ("bad", "1 is left".to_owned()),
        left => ("bad", format!("{left} are left")),
    };
    card(
        page,
        "Restored and attached",
        &format!("{} of {}", totals.integrated, totals.items),
        &format!("<p class=\"{mark}\">{} {words}</p>", icon(mark)),
    );
    if totals.refusals > 0 {
        card(
            page,
            "Not in the plan",
            &totals.refusals.to_string(),
            &format!(
                "<p class=\"bad\">{} <a href=\"#not-planned\">not restored</a></p>",
                icon("bad")
            ),
        );
    }
    page.push_str("</section>\n");
}

fn card(page: &mut String, name: &str, value: &str, below: &str) {
    let _ = writeln!(
        page,
        "<div class=\"card\"><h2>{name}</h2><p class=\"value\">{value}</p>{below}</div>"
    );
}

fn target(held: &Held) -> String {
    match (held.target_seconds, held.met) {
        (Some(target), Some(true)) => {
            format!(
                "<p class=\"good\">{} within the target of {}</p>",
                icon("good"),
                duration(target)
            )
        }
        (Some(target), _) if held.seconds > target => format!(
            "<p class=\"bad\">{} {} over the target of {}</p>",
            icon("bad"),
            duration(held.seconds - target),
            duration(target)
        ),
        (Some(target), _) => {
            format!(
                "<p class=\"bad\">{} target of {} not met yet</p>",
                icon("bad"),
                duration(target)
            )
        }
        (None, _) => "<p>no target is set</p>".to_owned(),
    }
}

/// A sign beside words, never in their place.
fn icon(mark: &str) -> &'static str {
    match mark {
        "good" => {
            "<svg class=\"icon good\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><circle cx=\"8\" cy=\"8\" r=\"8\"/><path d=\"M4.2 8.4l2.6 2.6 5-5.6\"/></svg>"
        }
        _ => {
            "<svg class=\"icon bad\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><path class=\"fill\" d=\"M8 .6L16 15H0z\"/><path d=\"M8 5.6v4.6M8 12v1.2\"/></svg>"
        }
    }
}

fn left(page: &mut String, report: &Report) {
    let _ = write!(
        page,
        "<section class=\"left\">\n<h2>What is left</h2>\n\
         <p>Remove the causes, then redrive the execution. What is done stays done.</p>\n\
         <pre><code>{}</code></pre>\n<ol>\n",
        escaped(&redrive(report)),
    );
    // What has the same remedy stands together: it is done once.
    let mut alike: Vec<(&Problem, Vec<&Problem>)> = Vec::new();
    let shown = report.problems.iter().take(PROBLEMS);
    for problem in shown.clone() {
        let same = |of: &Problem| {
            (&of.step, &of.reason, &of.remedy) == (&problem.step, &problem.reason, &problem.remedy)
        };
        match alike.iter_mut().find(|(first, _)| same(first)) {
            Some((_, all)) => all.push(problem),
            None => alike.push((problem, vec![problem])),
        }
    }
    for (first, all) in alike {
        let _ = write!(
            page,
            "<li><p class=\"what\"><span class=\"badge\">{}</span> <b>{}</b>",
            escaped(&first.step),
            escaped(&first.reason.replace('-', " ")),
        );
        if all.len() > 1 {
            let _ = write!(page, " <span class=\"reason\">× {}</span>", all.len());
        }
        page.push_str("</p>");
        if let Some(remedy) = &first.remedy {
            let _ = write!(
                page,
                "<p class=\"remedy\"><b>Do:</b> {}</p>",
                escaped(remedy)
            );
        }
        page.push_str("<ul>");
        let mut entries = all.iter().map(|problem| {
            format!(
                "<li><b title=\"{}\">{}</b> {}</li>",
                escaped(&problem.subject),
                escaped(&short(&problem.subject)),
                escaped(&problem.why),
            )
        });
        entries
            .by_ref()
            .take(ALIKE)
            .for_each(|entry| page.push_str(&entry));
        page.push_str("</ul>");
        let more: String = entries.collect();
        if !more.is_empty() {
            let _ = write!(
                page,
                "<details><summary>and {} more</summary><ul>{more}</ul></details>",
                all.len() - ALIKE
            );
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ol>\n");
    let shown = shown.count();
    if report.totals.problems > shown {
        let more = report.totals.problems - shown;
        let _ = writeln!(
            page,
            "<p class=\"note\">And {more} more, in the JSON beside this page.</p>"
        );
    }
    page.push_str("</section>\n");
}

/// A stretch of time that is drawn across the whole width.
#[derive(Clone, Copy)]
struct Axis {
    from: DateTime<Utc>,
    seconds: i64,
}

impl Axis {
    fn of(from: DateTime<Utc>, to: DateTime<Utc>) -> Axis {
        Axis {
            from,
            seconds: seconds_between(from, to).max(1),
        }
    }

    /// Where the moment lies, in thousandths of the width.
    fn at(self, moment: DateTime<Utc>) -> f64 {
        let seconds = (moment.timestamp() - self.from.timestamp()).clamp(0, self.seconds);
        fraction(seconds, self.seconds) * 1000.0
    }

    /// The seconds between two ticks: as people divide time, and not too many.
    fn step(self) -> i64 {
        const STEPS: [i64; 22] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600,
            43_200, 86_400, 172_800, 604_800, 2_419_200, 31_536_000,
        ];
        STEPS
            .into_iter()
            .find(|step| self.seconds / step <= TICKS)
            .unwrap_or(self.seconds)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of a recovery, to draw them"
)]
fn fraction(part: i64, whole: i64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn timeline(page: &mut String, report: &Report, rows: &[&ItemReport]) {
    page.push_str("<section class=\"timeline\">\n<h2>Timeline</h2>\n");
    phase_bar(page, report);
    if !rows.is_empty() {
        item_rows(page, report, rows);
    }
    page.push_str("</section>\n");
}

fn phase_bar(page: &mut String, report: &Report) {
    if report.phases.is_empty() {
        page.push_str("<p>No phase came to its end.</p>\n");
        return;
    }
    let axis = Axis::of(report.began_at, report.ended_at);
    page.push_str("<svg class=\"phases\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"The phases, one behind the other\">");
    for phase in &report.phases {
        let (x, end) = (axis.at(phase.from), axis.at(phase.to));
        let name = phase.phase.as_str();
        let _ = write!(
            page,
            "<rect class=\"p-{name}\" x=\"{x:.2}\" y=\"0\" width=\"{:.2}\" height=\"10\"><title>{name}: {}</title></rect>",
            // A gap, so that neighbours are told apart without their colours.
            (end - x - 1.5).max(0.6),
            duration(phase.seconds),
        );
    }
    page.push_str("</svg>\n");
    ticks(page, axis);
    page.push_str("<ol class=\"legend\">\n");
    for phase in &report.phases {
        let name = phase.phase.as_str();
        let share = fraction(phase.seconds, axis.seconds) * 100.0;
        let _ = writeln!(
            page,
            "<li><span class=\"swatch p-{name}\"></span><b>{name}</b><span class=\"took\">{}</span><span class=\"share\">{share:.0} %</span><span class=\"until\">{}</span></li>",
            duration(phase.seconds),
            meaning(phase.phase),
        );
    }
    page.push_str("</ol>\n");
}

fn meaning(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Detect => "until the trouble had its OpsItem",
        PhaseName::Decide => "until the recovery was started",
        PhaseName::Plan => "until the plan was made",
        PhaseName::Infrastructure => "until the stacks stood",
        PhaseName::Restore => "until the last restore had ended",
        PhaseName::Integrate => "until the last volume was attached",
        PhaseName::Verify => "until the verification had ended",
        PhaseName::FailOver => "until traffic came here",
    }
}

fn ticks(page: &mut String, axis: Axis) {
    page.push_str("<div class=\"ticks\" aria-hidden=\"true\">");
    let step = axis.step();
    let mut at = 0;
    while at <= axis.seconds {
        let place = fraction(at, axis.seconds) * 100.0;
        let words = if at == 0 {
            axis.from.format("%H:%M:%S").to_string()
        } else {
            format!("+{}", duration(at))
        };
        let class = if at == 0 {
            " class=\"first\""
        } else if place > 94.0 {
            " class=\"last\""
        } else if (at / step) % 2 == 1 {
            " class=\"odd\""
        } else {
            ""
        };
        let _ = write!(page, "<i{class} style=\"left:{place:.3}%\">{words}</i>");
        at += step;
    }
    page.push_str("</div>\n");
}

/// Lines behind the rows, where the ticks are.
fn grid(page: &mut String, axis: Axis, height: usize) {
    let step = axis.step();
    let mut at = step;
    page.push_str("<path class=\"grid\" d=\"");
    while at < axis.seconds {
        let _ = write!(
            page,
            "M{:.2} 0V{height}",
            fraction(at, axis.seconds) * 1000.0
        );
        at += step;
    }
    page.push_str("\"/>");
}

fn item_rows(page: &mut String, report: &Report, rows: &[&ItemReport]) {
    // Where most of the time passed before the execution began, nothing could be told of the rest.
    let before = seconds_between(report.began_at, report.execution.started_at);
    let all = seconds_between(report.began_at, report.ended_at);
    let (from, since) = if before * 2 > all {
        (report.execution.started_at, " since the execution started")
    } else {
        (report.began_at, "")
    };
    // What came after the last known phase is drawn, too.
    let last = rows
        .iter()
        .flat_map(|item| {
            let failed = failures(item).map(|(_, ended)| ended);
            [item.completed_at, item.attached_at, item.started_at]
                .into_iter()
                .chain(failed)
        })
        .flatten()
        .fold(report.ended_at, DateTime::max);
    let axis = Axis::of(from, last);
    // What was never started could have been when the stacks stood.
    let before = |phase: &&Phase| phase.phase <= PhaseName::Infrastructure;
    let open_from = report.phases.iter().rfind(before);
    let open_from = open_from.map_or(from, |phase| phase.to);
    let named = rows.len() <= NAMED_ROWS;
    let failed = if rows.iter().any(|item| failures(item).next().is_some()) {
        " <span class=\"swatch failed\"></span>restore failed"
    } else {
        ""
    };
    let _ = write!(
        page,
        "<h3>Item by item{since}</h3>\n<p class=\"key\"><span class=\"swatch restore\"></span>restoring \
         <span class=\"swatch integrate\"></span>attaching{failed} <span class=\"swatch open\"></span>not done</p>\n"
    );
    let shown = rows.len();
    if shown < report.items.len() {
        let _ = writeln!(
            page,
            "<p class=\"note\">Of {} items, the {shown} are drawn and listed that are left or took longest. The JSON beside this page has all.</p>",
            report.items.len()
        );
    }
    let _ = writeln!(
        page,
        "<div class=\"rows {}\">",
        if named { "named" } else { "thin" }
    );
    page.push_str("<div class=\"axis\">");
    ticks(page, axis);
    page.push_str("</div>\n");
    for wave in rows.chunk_by(|a, b| a.wave == b.wave) {
        let number = wave[0].wave;
        let whole = report
            .items
            .iter()
            .filter(|item| item.wave == number)
            .count();
        let count = if whole == 1 {
            "1 item".to_owned()
        } else {
            format!("{whole} items")
        };
        let _ = writeln!(page, "<h4>Wave {number} <span>{count}</span></h4>");
        if named {
            for item in wave {
                let _ = write!(
                    page,
                    "<div class=\"row\"><span class=\"name\" title=\"{}\">{}</span><svg viewBox=\"0 0 1000 20\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
                    escaped(&item.resource_arn),
                    escaped(&short(&item.resource_arn)),
                    escaped(&told(item)),
                );
                grid(page, axis, 20);
                bars(page, axis, open_from, item, 0, 20);
                page.push_str("</svg></div>\n");
            }
        } else {
            let height = wave.len() * 8;
            let _ = write!(
                page,
                "<svg style=\"height:{}px\" viewBox=\"0 0 1000 {height}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"The items of wave {number}\">",
                wave.len() * 5,
            );
            grid(page, axis, height);
            let mut by_time = wave.to_vec();
            by_time.sort_by_key(|item| (item.started_at, item.completed_at, item.attached_at));
            for (row, item) in by_time.iter().enumerate() {
                bars(page, axis, open_from, item, row * 8, 8);
            }
            page.push_str("</svg>\n");
        }
    }
    page.push_str("</div>\n");
}

/// What a row shows, in words.
fn told(item: &ItemReport) -> String {
    let took = |seconds: Option<i64>| seconds.map_or("-".to_owned(), duration);
    let failed = match item.failed_before.len() {
        0 => String::new(),
        1 => ", after a restore that failed".to_owned(),
        count => format!(", after {count} restores that failed"),
    };
    format!(
        "{}: restored in {}, attached in {}{failed}{}",
        short(&item.resource_arn),
        took(item.restore_seconds),
        took(item.integrate_seconds),
        if item.integrated { "" } else { ", not done" }
    )
}

/// From when to when restores of the item went on that failed.
fn failures(
    item: &ItemReport,
) -> impl Iterator<Item = (Option<DateTime<Utc>>, Option<DateTime<Utc>>)> {
    let last = matches!(item.job_status.as_deref(), Some("FAILED" | "ABORTED"))
        .then_some((item.started_at, item.completed_at));
    item.failed_before
        .iter()
        .map(|job| (job.started_at, job.ended_at))
        .chain(last)
}

fn bars(
    page: &mut String,
    axis: Axis,
    open_from: DateTime<Utc>,
    item: &ItemReport,
    top: usize,
    height: usize,
) {
    let (wide, narrow) = (height * 7 / 10, height * 4 / 10);
    let mut bar = |class: &str, x: f64, end: f64, thick: usize| {
        let y = top + (height - thick) / 2;
        let _ = write!(
            page,
            "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y}\" width=\"{:.2}\" height=\"{thick}\"><title>{}</title></rect>",
            (end - x).max(2.0),
            escaped(&told(item)),
        );
    };
    let restoring = item.started_at.map(|started| axis.at(started));
    let restored = item.completed_at.map(|completed| axis.at(completed));
    let whole = item.restore_seconds.is_some();
    for (from, to) in failures(item) {
        if let Some(from) = from.map(|from| axis.at(from)) {
            bar("failed", from, to.map_or(from, |to| axis.at(to)), wide);
        }
    }
    if let (Some(x), true) = (restoring, whole) {
        bar("restore", x, restored.unwrap_or(x), wide);
    }
    match (item.attached_at.map(|attached| axis.at(attached)), restored) {
        (Some(attached), Some(restored)) => {
            bar("integrate", restored.min(attached), attached, narrow);
        }
        // From where it stopped to the end.
        _ if !item.integrated => {
            let x = restored.or(restoring).unwrap_or(axis.at(open_from));
            bar("open", x, 1000.0, narrow);
        }
        _ => {}
    }
}

fn refusals(page: &mut String, report: &Report) {
    if report.refusals.is_empty() {
        return;
    }
    page.push_str(
        "<section class=\"left\" id=\"not-planned\">\n<h2>Not in the plan, and not restored</h2>\n<ol>\n",
    );
    for refused in report.refusals.iter().take(PROBLEMS) {
        let _ = writeln!(
            page,
            "<li><p class=\"what\"><span class=\"badge\">{}</span> <b title=\"{}\">{}</b> <span class=\"reason\">{}</span></p><p class=\"remedy\"><b>Do:</b> {}</p><p class=\"why\">{}</p></li>",
            escaped(&refused.resource_type),
            escaped(&refused.resource_arn),
            escaped(&short(&refused.resource_arn)),
            escaped(&refused.reason),
            escaped(&refused.remedy),
            escaped(&refused.why),
        );
    }
    page.push_str("</ol>\n");
    let shown = report.refusals.len().min(PROBLEMS);
    if report.totals.refusals > shown {
        let more = report.totals.refusals - shown;
        let _ = writeln!(page, "<p class=\"note\">And {more} more.</p>");
    }
    page.push_str("</section>\n");
}

fn statistics(page: &mut String, report: &Report) {
    let statistics = &report.statistics;
    let rows: Vec<(&str, &Spread)> = [
        ("restoring", &statistics.restore_seconds),
        ("attaching", &statistics.integrate_seconds),
        ("loss of data", &statistics.loss_seconds),
    ]
    .into_iter()
    .filter_map(|(name, spread)| Some((name, spread.as_ref()?)))
    .collect();
    if rows.is_empty() || report.totals.items < 2 {
        return;
    }
    page.push_str("<section>\n<h2>Of all items</h2>\n<table class=\"small\"><thead><tr><th></th><th>least</th><th>median</th><th>most</th></tr></thead><tbody>\n");
    for (name, spread) in rows {
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{name}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            duration(spread.min),
            duration(spread.median),
            duration(spread.max),
        );
    }
    page.push_str("</tbody></table>\n</section>\n");
}

fn items(page: &mut String, report: &Report, rows: &[&ItemReport]) {
    if rows.is_empty() {
        return;
    }
    page.push_str(
        "<section>\n<h2>Items</h2>\n<table class=\"items\"><thead><tr><th>Resource</th><th>Wave</th><th>State</th>\
         <th>Restoring</th><th>Attaching</th><th>Loss of data</th><th>Now</th></tr></thead><tbody>\n",
    );
    for item in rows {
        let state = match (item.integrated, item.job_status.as_deref()) {
            (true, _) => "attached".to_owned(),
            (false, Some("COMPLETED")) => "restored, not attached".to_owned(),
            (false, Some(status)) => format!("restore job: {}", status.to_lowercase()),
            (false, None) => "not started".to_owned(),
        };
        let mark = if item.integrated { "good" } else { "bad" };
        let took = |seconds: Option<i64>| seconds.map_or("–".to_owned(), duration);
        let note = item.note.as_ref().map_or(String::new(), |note| {
            format!("<small>{}</small>", escaped(note))
        });
        let now = [&item.volume_id, &item.instance_id, &item.device];
        let now: Vec<String> = now.into_iter().flatten().map(|id| escaped(id)).collect();
        let now = if now.is_empty() {
            "–".to_owned()
        } else {
            now.join("<br> ")
        };
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\" title=\"{}\">{}<small>{} in {}</small>{note}</th><td data-l=\"Wave\">{}</td>\
             <td data-l=\"State\" class=\"{mark}\">{} {}</td><td data-l=\"Restoring\">{}</td><td data-l=\"Attaching\">{}</td>\
             <td data-l=\"Loss of data\">{}</td><td data-l=\"Now\" class=\"ids\">{now}</td></tr>",
            escaped(&item.resource_arn),
            escaped(&short(&item.resource_arn)),
            escaped(&item.logical_id),
            escaped(&item.stack),
            item.wave,
            icon(mark),
            escaped(&state),
            took(item.restore_seconds),
            took(item.integrate_seconds),
            duration(item.loss_seconds),
        );
    }
    page.push_str("</tbody></table>\n");
    if rows.len() < report.items.len() {
        let more = report.items.len() - rows.len();
        let _ = writeln!(
            page,
            "<p class=\"note\">And {more} more, all of them attached or faster than these.</p>"
        );
    }
    page.push_str("</section>\n");
}

fn facts(page: &mut String, report: &Report) {
    page.push_str("<footer>\n<h2>For the record</h2>\n<dl>\n");
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(page, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
    };
    fact("Execution", &report.execution.arn);
    if let Some(incident) = &report.incident {
        fact("Incident", incident);
    }
    if let Some(item) = &report.ops_item_id {
        fact("OpsItem", item);
    }
    if let Some(plan) = &report.plan {
        fact("Plan", &plan.key);
    }
    if let Some(moment) = report.restore_to {
        fact("Went back to", &clock_time(moment));
    }
    if let Some(point) = &report.recovery_point {
        let counted = format!(
            "from {}; the worst is {}",
            clock_time(point.at),
            point.resource_arn
        );
        fact("Loss is counted", &counted);
    }
    for stack in &report.stacks {
        fact("Stack", &format!("{} ({})", stack.stack, stack.did));
    }
    fact("This report", &report.key());
    fact("Made", &clock_time(report.reported_at));
    page.push_str("</dl>\n<p class=\"note\">Rapid Recovery. All times are UTC.</p>\n</footer>\n");
}

const STYLE: &str = include_str!("page.css");
