//! The drawings of the page: the phases, and the items one by one.

use chrono::{DateTime, Utc};

use crate::report::format::{seconds_between, short};
use crate::report::phases::{Phase, PhaseName};
use crate::report::recovery_report::{ItemReport, Report};
use crate::report::words::{counted, duration};

/// Items that have a row with a name; of more, each is a thin line.
const NAMED_ROWS: usize = 60;
/// Ticks of a time axis, at most.
const TICKS: i64 = 8;
/// The least width of a bar that can be seen.
const LEAST: i64 = 20;
/// The gap that separates neighbouring phases without colors.
const GAP: i64 = 15;

/// A stretch of time, drawn across the whole width.
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

    /// Where the moment lies, inside the width.
    fn at(self, moment: DateTime<Utc>) -> i64 {
        self.place(moment.timestamp() - self.from.timestamp())
    }

    fn place(self, seconds: i64) -> i64 {
        seconds.clamp(0, self.seconds) * WIDTH / self.seconds
    }

    /// The seconds between two ticks: a usual division of time, with at most [`TICKS`] of them.
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

    fn ticks(self) -> Vec<Tick> {
        let step = self.step();
        (0..=self.seconds / step)
            .map(|number| {
                let place = self.place(number * step);
                Tick {
                    class: match number {
                        0 => "first",
                        _ if place > WIDTH * 94 / 100 => "last",
                        odd if odd % 2 == 1 => "odd",
                        _ => "even",
                    },
                    left: format!("{}.{:02}%", place / 100, place % 100),
                    label: match number {
                        0 => self.from.format("%H:%M:%S").to_string(),
                        _ => format!("+{}", duration(number * step)),
                    },
                }
            })
            .collect()
    }

    /// Where the ticks are, without the ends.
    fn lines(self) -> Vec<i64> {
        let step = self.step();
        (1..=self.seconds / step)
            .map(|number| number * step)
            .filter(|seconds| *seconds < self.seconds)
            .map(|seconds| self.place(seconds))
            .collect()
    }
}

pub(super) struct Tick {
    pub(super) class: &'static str,
    pub(super) left: String,
    pub(super) label: String,
}

/// A phase, drawn and explained.
pub(super) struct PhaseBar {
    pub(super) name: &'static str,
    pub(super) x: i64,
    pub(super) width: i64,
    pub(super) took: String,
    /// Percent of the time.
    pub(super) share: i64,
    pub(super) until: &'static str,
}

/// The phases and their time axis.
pub(super) fn phase_bars(report: &Report) -> (Vec<PhaseBar>, Vec<Tick>) {
    let axis = Axis::of(report.began_at, report.ended_at);
    let bar = |phase: &Phase| {
        let (x, end) = (axis.at(phase.from), axis.at(phase.to));
        PhaseBar {
            name: phase.phase.as_str(),
            x,
            width: (end - x - GAP).max(LEAST / 2),
            took: duration(phase.seconds),
            share: (phase.seconds * 100 + axis.seconds / 2) / axis.seconds,
            until: match phase.phase {
                PhaseName::Detect => "until the OpsItem of the incident was created",
                PhaseName::Decide => "until the recovery was started",
                PhaseName::Plan => "until the plan was made",
                PhaseName::Infrastructure => "until the stacks were deployed",
                PhaseName::Restore => "until the last restore job ended",
                PhaseName::Integrate => "until the last resource was integrated",
                PhaseName::Verify => "until the verification ended",
                PhaseName::FailOver => "until traffic was moved",
            },
        }
    };
    (report.phases.iter().map(bar).collect(), axis.ticks())
}

/// The items, drawn wave by wave.
pub(super) struct Chart<'a> {
    /// Whether the axis begins with the execution, not with the incident.
    pub(super) since_start: bool,
    pub(super) has_failures: bool,
    /// Whether each item has a row with its name.
    pub(super) named: bool,
    pub(super) ticks: Vec<Tick>,
    pub(super) lines: Vec<i64>,
    pub(super) waves: Vec<Wave<'a>>,
}

/// The rows of a wave.
pub(super) struct Wave<'a> {
    pub(super) number: u8,
    pub(super) items: String,
    pub(super) rows: Vec<ChartRow<'a>>,
}

/// The bars of an item.
pub(super) struct ChartRow<'a> {
    pub(super) resource: &'a str,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

/// A rectangle.
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: i64,
    pub(super) y: usize,
    pub(super) width: i64,
    pub(super) height: usize,
    pub(super) title: String,
}

impl<'a> Chart<'a> {
    pub(super) fn of(report: &Report, shown: &[&'a ItemReport]) -> Chart<'a> {
        // A long time before the execution would leave no width for the rest.
        let before = seconds_between(report.began_at, report.execution.started_at);
        let since_start = before * 2 > seconds_between(report.began_at, report.ended_at);
        let from = if since_start {
            report.execution.started_at
        } else {
            report.began_at
        };
        // Items may have gone on after the last phase that is known.
        let to = shown
            .iter()
            .flat_map(|item| {
                let failed = failures(item).map(|(_, ended)| ended);
                [item.started_at, item.completed_at, item.integrated_at]
                    .into_iter()
                    .chain(failed)
            })
            .flatten()
            .fold(report.ended_at, DateTime::max);
        let axis = Axis::of(from, to);
        // A restore that was never started is open since the stacks were deployed.
        let before_restores = |phase: &&Phase| phase.phase <= PhaseName::Infrastructure;
        let last = report.phases.iter().rfind(before_restores);
        let open_from = last.map_or(from, |phase| phase.to);
        let named = shown.len() <= NAMED_ROWS;
        let waves = shown
            .chunk_by(|a, b| a.wave == b.wave)
            .map(|items| {
                let mut items = items.to_vec();
                if !named {
                    items.sort_by_key(|it| (it.started_at, it.completed_at, it.integrated_at));
                }
                let number = items[0].wave;
                let all = report.items.iter().filter(|item| item.wave == number);
                let rows = items.into_iter().enumerate().map(|(row, item)| {
                    let (top, height) = if named { (0, 20) } else { (row * 8, 8) };
                    ChartRow {
                        resource: &item.resource_arn,
                        name: short(&item.resource_arn),
                        title: in_words(item),
                        bars: bars(axis, open_from, item, top, height),
                    }
                });
                Wave {
                    number,
                    items: counted(all.count(), "item"),
                    rows: rows.collect(),
                }
            })
            .collect();
        Chart {
            since_start,
            has_failures: shown.iter().any(|item| failures(item).next().is_some()),
            named,
            ticks: axis.ticks(),
            lines: axis.lines(),
            waves,
        }
    }
}

/// What a row shows.
fn in_words(item: &ItemReport) -> String {
    let took = |done: &str, seconds: Option<i64>| {
        seconds.map_or(format!("not {done}"), |seconds| {
            format!("{done} in {}", duration(seconds))
        })
    };
    let failed = match item.failed_before.len() {
        0 => String::new(),
        failed => format!(", after {}", counted(failed, "failed restore")),
    };
    format!(
        "{}: {}, {}{failed}",
        short(&item.resource_arn),
        took("restored", item.restore_seconds),
        took(
            "integrated",
            item.integrate_seconds.filter(|_| item.integrated)
        ),
    )
}

/// Start and end of the item's failed restore jobs.
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
    axis: Axis,
    open_from: DateTime<Utc>,
    item: &ItemReport,
    top: usize,
    height: usize,
) -> Vec<Bar> {
    let (wide, narrow) = (height * 7 / 10, height * 4 / 10);
    let title = in_words(item);
    let bar = |class, x: i64, end: i64, thick: usize| Bar {
        class,
        x,
        y: top + (height - thick) / 2,
        width: (end - x).max(LEAST),
        height: thick,
        title: title.clone(),
    };
    let at = |moment: Option<DateTime<Utc>>| moment.map(|moment| axis.at(moment));
    let (started, completed) = (at(item.started_at), at(item.completed_at));
    let mut bars: Vec<Bar> = failures(item)
        .filter_map(|(from, to)| Some((at(from)?, at(to))))
        .map(|(from, to)| bar("failed", from, to.unwrap_or(from), wide))
        .collect();
    if let (Some(started), Some(_)) = (started, item.restore_seconds) {
        bars.push(bar("restore", started, completed.unwrap_or(started), wide));
    }
    match (at(item.integrated_at), completed) {
        (Some(integrated), Some(completed)) => {
            bars.push(bar(
                "integrate",
                completed.min(integrated),
                integrated,
                narrow,
            ));
        }
        // From where it stopped to the end.
        _ if !item.integrated => {
            let from = completed.or(started).unwrap_or(axis.at(open_from));
            bars.push(bar("open", from, WIDTH, narrow));
        }
        _ => {}
    }
    bars
}

pub(super) const WIDTH: i64 = 10_000;
