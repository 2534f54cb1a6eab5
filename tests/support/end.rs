//! The end that a world came to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use recovery_core::fakes::{StoredItem, World};
use recovery_core::ops_item::Status;
use regex_lite::Regex;

/// What counts at the end: everything that was made, written and told, however often tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// Attachments ever made.
    attachments_made: usize,
    /// Volume, instance, device name and state.
    attachments: BTreeSet<[String; 4]>,
    /// OpsItems, in the order of their keys: key, status, severity, title, description, data and the
    /// items it refers to.
    items: Vec<[String; 7]>,
    /// Notifications; a repeated one counts once.
    notifications: BTreeSet<[String; 2]>,
    /// Executions of runbooks: token and runbook.
    executions: BTreeMap<String, String>,
    /// Restores that were started: token and recovery point.
    restores: Vec<(String, String)>,
    /// Keys of the plans and reports that are kept, with what is to be done in the plans' names.
    plans: BTreeSet<String>,
    /// Where the routing controls stand, and how often one was changed.
    routing: (Vec<String>, usize),
    /// Recoveries that were started: name and input.
    recoveries: BTreeMap<String, String>,
    /// Results of restore tests: job, and whether it was successful with what was found.
    results: BTreeMap<String, (bool, String)>,
}

impl End {
    /// The end that `world` came to.
    pub(crate) fn of(world: &World) -> End {
        let attachments_made = world.attachments_made();
        let state = world.state();
        let attachments = state
            .volumes
            .values()
            .flat_map(|volume| {
                volume.attachments.iter().map(|attachment| {
                    [
                        volume.id.to_string(),
                        attachment.instance.to_string(),
                        attachment.device.clone(),
                        attachment.state.clone(),
                    ]
                })
            })
            .collect();
        let mut items: Vec<_> = state
            .items
            .iter()
            .filter(|item| !is_duplicate(item))
            .map(written)
            .collect();
        items.sort();
        End {
            attachments_made,
            attachments,
            items,
            notifications: state
                .notifications
                .iter()
                .filter(|told| !is_overcome_failure(&told.subject, &state.items))
                .map(|told| {
                    [
                        timeless(&told.subject),
                        timeless(&without_item(&told.message)),
                    ]
                })
                .collect(),
            executions: state
                .executions
                .iter()
                .map(|(token, (runbook, _))| (token.clone(), runbook.clone()))
                .collect(),
            restores: state
                .backups
                .started
                .iter()
                .map(|(request, _)| (request.token.clone(), request.point.to_string()))
                .collect(),
            plans: state.backups.objects.keys().cloned().collect(),
            routing: (shown(&state.cluster.states), state.cluster.changes),
            recoveries: state
                .recoveries
                .executions
                .iter()
                .map(|(name, (input, _))| (name.clone(), input.clone()))
                .collect(),
            results: state
                .restore_tests
                .reports
                .iter()
                .map(|(job, report)| (job.clone(), (report.successful, report.message.clone())))
                .collect(),
        }
    }
}

impl End {
    /// This end with no more told than there.
    pub(crate) fn telling_no_more_than(self, other: &End) -> End {
        let notifications = &self.notifications & &other.notifications;
        End {
            notifications,
            ..self
        }
    }

    /// This end with no more started than there.
    pub(crate) fn starting_no_more_than(mut self, other: &End) -> End {
        self.executions
            .retain(|token, _| other.executions.contains_key(token));
        self
    }

    /// This end without the words: what hindered it first depends on the way.
    pub(crate) fn without_reasons(mut self) -> End {
        for [_, _, _, _, description, data, _] in &mut self.items {
            description.clear();
            data.clear();
        }
        self.notifications = self
            .notifications
            .into_iter()
            .map(|[subject, _]| [subject, String::new()])
            .collect();
        self
    }

    /// This end, whatever people were told.
    pub(crate) fn without_notifications(self) -> End {
        End {
            notifications: BTreeSet::new(),
            ..self
        }
    }

    /// This end, whatever OpsItems there are.
    pub(crate) fn without_items(self) -> End {
        End {
            items: Vec::new(),
            ..self
        }
    }
}

/// What is only in the one and only in the other.
pub(crate) fn difference(found: &End, expected: &End) -> String {
    fn only(mine: &[String], theirs: &[String]) -> String {
        let only = mine.iter().filter(|it| !theirs.contains(it));
        only.map(|it| format!(" {it}")).collect()
    }
    let parts = |end: &End| {
        [
            vec![format!("{} attachments made", end.attachments_made)],
            shown(&end.attachments),
            shown(&end.items),
            shown(&end.notifications),
            shown(&end.executions),
            shown(&end.restores),
            shown(&end.plans),
            shown([&end.routing]),
            shown(&end.recoveries),
            shown(&end.results),
        ]
        .concat()
    };
    let (found, expected) = (parts(found), parts(expected));
    format!(
        "there is{}; there should be{}",
        only(&found, &expected),
        only(&expected, &found)
    )
}

fn shown<T: std::fmt::Debug>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|it| format!("{it:?}")).collect()
}

/// Whether the message tells of a failed attachment that a later delivery overcame or found refused: it was
/// true when it was sent, and only deliveries with trouble send it.
fn is_overcome_failure(subject: &str, items: &[StoredItem]) -> bool {
    let fails = |item: &StoredItem| {
        let integration = item.item.data.get("recovery:integration");
        integration.is_some_and(|integration| integration == "failing")
    };
    subject.ends_with("Restored volume still not attached") && !items.iter().any(fails)
}

/// Whether the item was made at the same moment as another one, and resolved in its favour.
pub(crate) fn is_duplicate(stored: &StoredItem) -> bool {
    stored.item.status == Status::Resolved && stored.description.starts_with("Duplicate of ")
}

fn written(stored: &StoredItem) -> [String; 7] {
    let integration = stored.item.data.get("recovery:integration");
    let attached = integration.is_some_and(|integration| integration == "attached");
    let data: Vec<String> = stored
        .item
        .data
        .iter()
        .filter(|(key, _)| *key != "recovery:seconds-to-attach")
        // Of what is attached, what hindered it before is a record that depends on the way, too.
        .filter(|(key, _)| *key != "recovery:hindrance" || !attached)
        .map(|(key, value)| format!("{key}={}", timeless(value)))
        .collect();
    [
        stored.key.to_string(),
        format!("{:?}", stored.item.status),
        format!("{:?}", stored.severity),
        timeless(&stored.title),
        timeless(&stored.description),
        data.join("\n"),
        format!("{:?}", stored.related),
    ]
}

/// The text without the times that depend on the way: how long an attachment took, and how long a recovery
/// had lasted when it was reported.
fn timeless(text: &str) -> String {
    /// Each with a part of it, since looking for an expression takes long.
    static TIMES: LazyLock<[(&str, Regex); 3]> = LazyLock::new(|| {
        [
            (
                " after the restore completed",
                r", \d+ s after the restore completed",
            ),
            ("RTO so far", r"RTO so far:? [^(.\n]*"),
            (" before this report", r", [^,\n]* before this report"),
        ]
        .map(|(part, times)| (part, Regex::new(times).expect("it is a regular expression")))
    });
    TIMES.iter().fold(text.to_owned(), |text, (part, times)| {
        match text.contains(part) {
            true => times.replace_all(&text, " …").into_owned(),
            false => text,
        }
    })
}

/// A message without the line that names its OpsItem: people are told also where there is none yet,
/// and then once more.
fn without_item(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .filter(|line| !line.trim_start_matches("- ").starts_with("OpsItem: "))
        .collect();
    lines.join("\n").trim_end().to_owned()
}
