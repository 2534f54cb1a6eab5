//! The end state of a world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use recovery_core::fakes::{StoredItem, World};
use recovery_core::ops_item::Status;
use regex_lite::Regex;

/// The state that must be the same at the end: everything that was created, recorded and notified,
/// however many attempts it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// Attachments ever made.
    attachments_made: usize,
    /// Volume, instance, device name and state.
    attachments: BTreeSet<[String; 4]>,
    /// OpsItems, in the order of their keys: key, status, severity, title, description, data and related
    /// OpsItems.
    items: Vec<[String; 7]>,
    /// Notifications; a repeated one counts once.
    notifications: BTreeSet<[String; 2]>,
    /// Executions of runbooks: token and runbook.
    executions: BTreeMap<String, String>,
    /// Restores that were started: token and recovery point.
    restores: Vec<(String, String)>,
    /// Keys of the stored plans and reports. The name of a plan contains its hash.
    plans: BTreeSet<String>,
    /// The states of the routing controls, and the number of changes.
    routing: (Vec<String>, usize),
    /// Recoveries that were started: name and input.
    recoveries: BTreeMap<String, String>,
    /// Tables by name: the changes of their settings, and their tags.
    tables: BTreeMap<String, (Vec<String>, BTreeMap<String, String>)>,
    /// Parameters by name: value and tags.
    parameters: BTreeMap<String, (String, BTreeMap<&'static str, String>)>,
    /// Databases and their settings.
    databases: BTreeSet<String>,
    /// The instances of clusters and the access points that were created, with what they were created with.
    created: BTreeSet<String>,
    /// Mount targets: file system, subnet and state.
    mount_targets: Vec<[String; 3]>,
    /// Results of restore tests by job: whether it was successful, and the message.
    results: BTreeMap<String, (bool, String)>,
}

impl End {
    /// The end state of `world`.
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
                        attachment.state.to_string(),
                    ]
                })
            })
            .collect();
        let mut items: Vec<_> = state
            .items
            .iter()
            .filter(|item| !is_duplicate(item))
            .map(described)
            .collect();
        items.sort();
        End {
            attachments_made,
            attachments,
            items,
            notifications: state
                .notifications
                .iter()
                .filter(|told| !is_outdated_failure(&told.subject, &state.items))
                .map(|told| {
                    [
                        without_times(&told.subject),
                        without_times(&without_item(&told.message)),
                    ]
                })
                .collect(),
            executions: state
                .executions
                .iter()
                .map(|(token, (runbook, _))| (token.clone(), runbook.clone()))
                .chain(state.mounts.executions.iter().map(|(token, parameters)| {
                    (token.clone(), format!("MountFileSystem {parameters:?}"))
                }))
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
            tables: state
                .tables
                .iter()
                .map(|(name, table)| (name.clone(), (table.changes.clone(), table.tags.clone())))
                .collect(),
            parameters: state
                .parameters
                .iter()
                .map(|(name, it)| (name.clone(), (it.value.clone(), it.tags.clone())))
                .collect(),
            databases: shown(state.databases.instances.values())
                .into_iter()
                .chain(shown(state.databases.clusters.values()))
                .collect(),
            created: shown(&state.databases.created)
                .into_iter()
                .chain(shown(&state.file_systems.created_points))
                .collect(),
            mount_targets: state
                .file_systems
                .mount_targets
                .iter()
                .flat_map(|(id, targets)| targets.iter().map(move |it| (id, it)))
                .map(|(id, it)| [id.clone(), it.subnet.clone(), it.state.to_string()])
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
    /// This end without notifications that `other` does not have.
    pub(crate) fn notifying_no_more_than(self, other: &End) -> End {
        let notifications = &self.notifications & &other.notifications;
        End {
            notifications,
            ..self
        }
    }

    /// This end without executions that `other` does not have.
    pub(crate) fn starting_no_more_than(mut self, other: &End) -> End {
        self.executions
            .retain(|token, _| other.executions.contains_key(token));
        self
    }

    /// This end without plans that `other` does not have.
    pub(crate) fn planning_no_more_than(mut self, other: &End) -> End {
        self.plans.retain(|key| other.plans.contains(key));
        self
    }

    /// This end without texts: the first failure depends on the path.
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

    /// This end without notifications.
    pub(crate) fn without_notifications(self) -> End {
        End {
            notifications: BTreeSet::new(),
            ..self
        }
    }

    /// This end without OpsItems.
    pub(crate) fn without_items(self) -> End {
        End {
            items: Vec::new(),
            ..self
        }
    }
}

/// The parts that are only in one of both.
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
            shown(&end.tables),
            shown(&end.parameters),
            shown(&end.databases),
            shown(&end.created),
            shown(&end.mount_targets),
            shown(&end.results),
        ]
        .concat()
    };
    let (found, expected) = (parts(found), parts(expected));
    format!(
        "found{}; expected{}",
        only(&found, &expected),
        only(&expected, &found)
    )
}

fn shown<T: std::fmt::Debug>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|it| format!("{it:?}")).collect()
}

/// Whether the notification reports a failed integration that a later delivery completed or refused: it
/// was true when it was sent, and only deliveries with failures send it.
fn is_outdated_failure(subject: &str, items: &[StoredItem]) -> bool {
    let fails = |item: &StoredItem| {
        ["recovery:integration", "recovery:mount"]
            .iter()
            .any(|key| {
                item.item
                    .data
                    .get(*key)
                    .is_some_and(|state| state == "failing")
            })
    };
    [
        "Restored volume still not attached",
        "Restored volume still not mounted",
        "Restored table still not configured",
        "Restored database still not integrated",
        "Restored file system still not integrated",
        "Restored file system still not mounted",
    ]
    .iter()
    .any(|failure| subject.ends_with(failure))
        && !items.iter().any(fails)
}

/// Whether the OpsItem was created at the same time as another one, and resolved as its duplicate.
pub(crate) fn is_duplicate(stored: &StoredItem) -> bool {
    stored.item.status == Status::Resolved && stored.description.starts_with("Duplicate of ")
}

fn described(stored: &StoredItem) -> [String; 7] {
    let integration = stored.item.data.get("recovery:integration");
    let done = ["attached", "configured", "integrated"];
    let integrated = integration.is_some_and(|integration| done.contains(&integration.as_str()));
    let data: Vec<String> = stored
        .item
        .data
        .iter()
        .filter(|(key, _)| !key.starts_with("recovery:seconds-to-"))
        // For an integrated resource, the recorded failure before it depends on the path, too.
        .filter(|(key, _)| *key != "recovery:hindrance" || !integrated)
        .map(|(key, value)| format!("{key}={}", without_times(value)))
        .collect();
    [
        stored.key.to_string(),
        format!("{:?}", stored.item.status),
        format!("{:?}", stored.severity),
        without_times(&stored.title),
        without_times(&stored.description),
        data.join("\n"),
        format!("{:?}", stored.related),
    ]
}

/// The text without the times that depend on the path: the duration of an attachment, and the duration
/// of a recovery at its report.
fn without_times(text: &str) -> String {
    /// Each with a literal part, because a search by expression is slow.
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

/// A message without what it says about its OpsItem. A notification without an OpsItem is sent again
/// with it.
fn without_item(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .filter(|line| !line.trim_start_matches("- ").starts_with("OpsItem: "))
        .map(|line| {
            line.strip_prefix("The OpsItem of this incident was created or updated.")
                .map_or(line, str::trim_start)
        })
        .collect();
    lines.join("\n").trim_end().to_owned()
}
