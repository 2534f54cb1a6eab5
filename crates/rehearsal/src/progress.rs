//! Counts and shows the progress of a rehearsal, from the journal of the local Region.

use std::collections::HashSet;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// The number of progress lines for one recovery, without a terminal.
const LINES: usize = 4;

/// The counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Completed restore jobs.
    pub(crate) restored: usize,
    /// Attached volumes, and integrated databases, tables and file systems.
    pub(crate) integrated: usize,
    /// The restore jobs of these databases, tables and file systems.
    stores: HashSet<String>,
    /// Entries of all kinds except those of the schedule, which are not progress.
    pub(crate) moves: usize,
    /// Scheduled events, and the functions that they invoke.
    scheduled: HashSet<String>,
}

impl Progress {
    /// Counts the next entries of the journal.
    pub(crate) fn read(&mut self, entries: &[Value]) {
        for entry in entries {
            if self.is_of_schedule(entry) {
                continue;
            }
            self.moves += 1;
            match entry["kind"].as_str() {
                Some("restore-job") if entry["status"] == "COMPLETED" => self.restored += 1,
                Some("volume-attached") => self.integrated += 1,
                Some("invocation") => self.read_answer(&entry["result"]),
                _ => {}
            }
        }
    }

    /// Counts a database, table or file system once, although several invocations may integrate it.
    fn read_answer(&mut self, answer: &Value) {
        // The journal has the answer as text or as JSON.
        let parsed = answer
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        let answer: &Value = parsed.as_ref().unwrap_or(answer);
        let is_store = ["databaseId", "fileSystemId", "tableName"]
            .iter()
            .any(|name| answer[*name].is_string());
        let is_done = ["integrated", "already-integrated"]
            .iter()
            .any(|it| answer["outcome"] == *it);
        if let Some(job) = answer["restoreJobId"]
            .as_str()
            .filter(|_| is_store && is_done)
            && self.stores.insert(job.to_owned())
        {
            self.integrated += 1;
        }
    }

    fn is_of_schedule(&mut self, entry: &Value) -> bool {
        let text = |member: &str| entry[member].as_str().unwrap_or_default();
        match text("kind") {
            "event" if text("detailType") == "Scheduled Event" => {
                self.scheduled.insert(text("id").to_owned());
                true
            }
            "invocation-started" | "invocation" => {
                let is_scheduled = self.scheduled.contains(text("eventId"));
                if is_scheduled {
                    self.scheduled.insert(text("function").to_owned());
                }
                is_scheduled
            }
            "call" => self.scheduled.contains(text("caller")),
            _ => false,
        }
    }
}

/// Shows the progress of one recovery: as a bar on a terminal, otherwise as a few lines. Without a terminal, or with
/// `TERM=dumb`, it writes only plain text. It uses no colors.
#[derive(Debug, Default)]
pub(crate) struct Display {
    total: usize,
    /// The counts before this recovery.
    before: (usize, usize),
    /// The progress at the last check, and at the last line.
    done: usize,
    told: usize,
    bar: Option<ProgressBar>,
}

impl Display {
    /// For a recovery of `total` volumes that begins now.
    pub(crate) fn of(total: usize, progress: &Progress) -> Display {
        Display {
            total,
            before: (progress.restored, progress.integrated),
            ..Display::default()
        }
    }

    /// Shows the progress. Restores beyond the total do not belong to this recovery.
    #[expect(clippy::print_stderr, reason = "progress goes to standard error")]
    pub(crate) fn show(&mut self, progress: &Progress) {
        if self.total == 0 {
            return;
        }
        let done = |now: usize, before: usize| now.saturating_sub(before).min(self.total);
        let restored = done(progress.restored, self.before.0);
        let integrated = done(progress.integrated, self.before.1);
        let text = format!(
            "{restored} of {} resources restored, {integrated} integrated",
            self.total
        );
        self.done = restored + integrated;
        if can_draw(stderr().is_terminal(), terminal().as_deref()) {
            let bar = self.bar.get_or_insert_with(|| bar(self.total * 2));
            bar.set_position(self.done as u64);
            bar.set_message(text);
        } else if is_worth_a_line(self.told, self.done, self.total * 2) {
            self.told = self.done;
            eprintln!("  {text}");
        }
    }

    /// Removes the bar, finally if all is done.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.done == self.total * 2 {
            *self = Display::default();
        }
    }
}

/// The variable `TERM`.
fn terminal() -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "only the display of progress depends on it, and its decision is tested"
    )]
    std::env::var("TERM").ok()
}

fn bar(length: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  [{bar:30}] {msg} ({elapsed})") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

/// Whether a bar can be drawn, which needs escape codes.
fn can_draw(is_terminal: bool, kind: Option<&str>) -> bool {
    is_terminal && kind.is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// Whether another part of the total is done since the last line.
fn is_worth_a_line(told: usize, done: usize, total: usize) -> bool {
    done * LINES / total > told * LINES / total
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_restores_and_integrations_but_not_scheduled_runs() {
        let mut progress = Progress::default();
        progress.read(&[
            json!({"kind": "event", "id": "e-1", "detailType": "Scheduled Event"}),
            json!({"kind": "invocation-started", "eventId": "e-1", "function": "reconciler"}),
            json!({"kind": "call", "caller": "reconciler", "operation": "ListRestoreJobs"}),
            json!({"kind": "invocation", "eventId": "e-1", "function": "reconciler"}),
        ]);
        assert_eq!(
            (progress.restored, progress.integrated, progress.moves),
            (0, 0, 0)
        );
        progress.read(&[
            json!({"kind": "restore-job", "status": "RUNNING"}),
            json!({"kind": "restore-job", "status": "COMPLETED"}),
            json!({"kind": "event", "id": "e-2", "detailType": "Restore Job State Change"}),
            json!({"kind": "invocation-started", "eventId": "e-2", "function": "integrator"}),
            json!({"kind": "call", "caller": "integrator", "operation": "AttachVolume"}),
            // Counted even if a scheduled run attached it.
            json!({"kind": "volume-attached", "volumeId": "vol-1"}),
            json!({"kind": "invocation", "result": {"outcome": "integrated", "restoreJobId": "1", "volumeId": "vol-1"}}),
            json!({"kind": "invocation", "result": {"outcome": "pending", "restoreJobId": "2", "databaseId": "orders"}}),
            json!({"kind": "invocation", "result": {"outcome": "integrated", "restoreJobId": "2", "databaseId": "orders"}}),
            json!({"kind": "invocation", "result": {"outcome": "already-integrated", "restoreJobId": "2", "databaseId": "orders"}}),
        ]);
        assert_eq!(
            (progress.restored, progress.integrated, progress.moves),
            (1, 2, 10)
        );
    }

    #[test]
    fn draws_a_bar_only_on_capable_terminals() {
        assert!(can_draw(true, Some("xterm-256color")));
        assert!(!can_draw(true, Some("dumb")));
        assert!(!can_draw(true, None));
        assert!(!can_draw(false, Some("xterm-256color")));
    }

    #[test]
    fn prints_a_few_lines_for_any_number_without_a_bar() {
        for total in [1, 3, 200, 1000] {
            let mut told = 0;
            let mut lines = 0;
            for done in 0..=total {
                if is_worth_a_line(told, done, total) {
                    told = done;
                    lines += 1;
                }
            }
            assert_eq!(lines, total.min(LINES), "{total}");
            assert_eq!(told, total);
        }
    }
}
