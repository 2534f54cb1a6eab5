//! What the OpsItem of a restore job and the notifications say about its integration.

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::backup::{Drill, Restore, RestoreJob};
use crate::error::Fault;
use crate::explanation::Explanation;
use crate::integrate::kind::{FAILING, ResourceKind};
use crate::integrate::refusal::Refusal;
use crate::notification::Notification;
use crate::ops_item::{
    DATA_LIMIT, NOT_CREATED, NOTIFIED, NewOpsItem, OpsItem, OpsItemChange, RESOURCES, Severity,
    Status, says, with_resources,
};
use crate::text::{code, one_line, shown, within};
use crate::track::run::{DRILL, restore_facts, restore_item};

/// Operational data: present for a restore whose recovery point has no tags of ours. It has a key of its own, so
/// that it never replaces the result of a run that has the tags of another recovery point.
pub(crate) const UNTAGGED: &str = "recovery:untagged";
/// Operational data: the cause of a refusal or a failure.
const HINDRANCE: &str = "recovery:hindrance";
/// Operational data: the recovery point whose tags replace those that the restored one lacks.
pub(crate) const TAGS_FROM: &str = "recovery:tags-from";

/// Operational data: what is left for a person to do, or `none`.
pub(crate) const LEFT: &str = "recovery:left-to-do";

/// What started the integration of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// An event or a person. If the run ends before its time, the event is delivered again.
    Event,
    /// The reconciler. Nothing repeats its run for this restore, unless the OpsItem of the job is open and
    /// does not say that the restore is integrated. Therefore the item is opened before the resource is
    /// integrated. A resource that a person has disconnected again stays so.
    Reconciler,
}

/// The OpsItem of the restore's job, as it is created.
pub(crate) fn new_item(restore: &Restore) -> NewOpsItem {
    restore_item(&restore.job, restore.drill.is_some())
}

/// A title, marked if the restore belongs to a drill.
fn titled(restore: &Restore, title: String) -> String {
    match restore.drill {
        None => title,
        Some(_) => format!("{DRILL}{title}"),
    }
}

/// That the restored resource is not integrated, as a sentence.
fn not_integrated(kind: &ResourceKind, restore: &Restore) -> String {
    let of = match restore.drill {
        None => "",
        Some(_) => " in a drill. The workload is not affected",
    };
    format!(
        "The restored {} is not {} {}{of}.",
        kind.noun, kind.integrated, kind.with
    )
}

/// The related resources of the job's item.
fn resources(job: &RestoreJob) -> Option<(&'static str, String)> {
    with_resources(None, job.created_resource.as_slice()).map(|listed| (RESOURCES, listed))
}

/// The result of an integration.
pub(crate) struct IntegrationResult {
    /// Title of the OpsItem.
    pub(crate) title: String,
    /// What was done, as a sentence without its full stop.
    pub(crate) done: String,
    /// What else an operator should know, as sentences.
    pub(crate) notes: Vec<String>,
    /// What a person must still do, as sentences.
    pub(crate) left: Vec<String>,
    /// What continues by itself, as a sentence. When it has ended, another result is recorded.
    pub(crate) continues: Option<String>,
    /// Operational data: what was integrated with what.
    pub(crate) data: Vec<(&'static str, String)>,
}

/// What is left to do, as operational data.
pub(crate) fn shown_left(left: &[String]) -> String {
    match left {
        [] => "none".to_owned(),
        left => within(&one_line(&left.join(" ")), DATA_LIMIT),
    }
}

/// When the resource was integrated, as the item records it.
pub(crate) fn integrated_at(
    kind: &ResourceKind,
    restore: &Restore,
    item: &OpsItem,
) -> Option<DateTime<Utc>> {
    let seconds = item.data.get(kind.seconds_key)?.parse().ok()?;
    Some(restore.job.completed? + TimeDelta::try_seconds(seconds)?)
}

/// The change of the job's item that records the result. It resolves the item if nothing is left to do.
pub(crate) fn result_change(
    kind: &ResourceKind,
    restore: &Restore,
    result: IntegrationResult,
    now: DateTime<Utc>,
) -> OpsItemChange {
    let job = &restore.job;
    let seconds = job
        .completed
        .map(|completed| (now - completed).num_seconds().max(0));
    let after = seconds.map_or(String::new(), |seconds| {
        format!(", {seconds} s after the restore completed")
    });
    let (action, status, severity) = match (result.continues, result.left.as_slice()) {
        (Some(continues), _) => (
            format!("No action needed now. {continues}"),
            None,
            Severity::Low,
        ),
        (None, []) => (
            format!("No action needed. {}", kind.note),
            Some(Status::Resolved),
            Severity::Low,
        ),
        (None, left) => (
            format!("{} Then resolve this OpsItem.", left.join(" ")),
            Some(Status::Open),
            match restore.drill {
                None => Severity::Medium,
                Some(_) => Severity::Low,
            },
        ),
    };
    OpsItemChange {
        title: Some(titled(restore, result.title)),
        description: Some(
            Explanation {
                happened: restore_facts(job),
                why: kind.why.to_owned(),
                done: std::iter::once(format!("{}{after}.", result.done))
                    .chain(result.notes)
                    .collect::<Vec<_>>()
                    .join(" "),
                action,
            }
            .markdown(),
        ),
        severity: Some(severity),
        status,
        data: [
            (kind.state_key, kind.integrated.to_owned()),
            // Operators are notified of a later refusal, even if they were notified of the same one before.
            (NOTIFIED, "none".to_owned()),
        ]
        .into_iter()
        .chain(result.data)
        .chain(resources(job))
        .chain(seconds.map(|seconds| (kind.seconds_key, seconds.to_string())))
        .collect(),
        ..OpsItemChange::default()
    }
}

/// Whether operators were notified of the hindrance that the item records.
pub(crate) fn was_told(item: &OpsItem) -> bool {
    let why = item.data.get(HINDRANCE);
    why.is_some() && why == item.data.get(NOTIFIED)
}

/// The notification about a result that leaves something to do, if no OpsItem could be created for it.
pub(crate) fn left_to_do(change: &OpsItemChange) -> Notification {
    let title = change.limited_title().unwrap_or_default();
    Notification {
        message: format!(
            "{title}.\n\n{}\n\nOpsItem: {NOT_CREATED}\n",
            change.limited_description().unwrap_or_default()
        ),
        subject: title,
        pointer: "Action needed. Read the email.".to_owned(),
        attributes: vec![("kind", "integration-unfinished".to_owned())],
    }
}

/// What prevents an integration: a refusal, or a failure that is retried.
pub(crate) struct Hindrance {
    /// The value under [`state_key`](ResourceKind::state_key).
    pub(crate) state: &'static str,
    /// Title of the OpsItem and subject of the notification.
    title: String,
    /// The cause, without a full stop.
    why: String,
    done: &'static str,
    action: String,
    /// The value of [`NOTIFIED`] after the notification. Operators are notified again only if it differs.
    pub(crate) told: String,
    /// Attributes of the notification, for subscription filters.
    attributes: Vec<(&'static str, String)>,
}

impl Hindrance {
    /// A rule forbids the integration.
    pub(crate) fn refused(
        kind: &ResourceKind,
        restore: &Restore,
        refusal: &impl Refusal,
    ) -> Hindrance {
        let why = refusal.to_string();
        let ResourceKind {
            noun,
            integrated,
            function,
            ..
        } = kind;
        Hindrance {
            state: "refused",
            title: titled(
                restore,
                format!("Restored {noun} not {integrated}: {}", refusal.reason()),
            ),
            done: "The refusal was recorded, and the resource was left as it is.",
            action: format!(
                "{remedy} To run the integration again, invoke the function {function} with `{{\"restoreJobId\": \"{job}\"{drill}{attempt}}}`.",
                remedy = refusal.remedy(),
                attempt = refusal
                    .next_attempt()
                    .map_or(String::new(), |attempt| format!(
                        ", \"mountAttempt\": {attempt}"
                    )),
                job = shown(restore.job.id.as_str()).replace(['`', '"'], "'"),
                drill = restore
                    .drill
                    .as_ref()
                    .map_or(String::new(), |Drill { stack, name }| {
                        let name = name
                            .as_ref()
                            .map_or(String::new(), |name| format!(", \"name\": \"{name}\""));
                        format!(", \"drill\": {{\"stack\": \"{stack}\"{name}}}")
                    }),
            ),
            told: why.clone(),
            why,
            attributes: vec![
                ("kind", "integration-refused".to_owned()),
                ("reason", refusal.reason().to_owned()),
            ],
        }
    }

    /// The job restored only a part.
    pub(crate) fn partial(
        kind: &ResourceKind,
        restore: &Restore,
        refusal: &impl Refusal,
        state: &'static str,
    ) -> Hindrance {
        Hindrance {
            state,
            done: "What AWS Backup restored can be used.",
            action: refusal.remedy(),
            attributes: vec![
                ("kind", "restore-partial".to_owned()),
                ("reason", refusal.reason().to_owned()),
            ],
            ..Hindrance::refused(kind, restore, refusal)
        }
    }

    /// The integration keeps failing.
    pub(crate) fn failing(kind: &ResourceKind, restore: &Restore, failure: &Fault) -> Hindrance {
        let answered = failure
            .code()
            .map_or(String::new(), |answer| format!(" ({})", code(answer)));
        Hindrance {
            state: FAILING,
            title: titled(
                restore,
                format!("Restored {} still not {}", kind.noun, kind.integrated),
            ),
            why: format!(
                "{} on {} failed{answered}: {}",
                failure.operation(),
                code(failure.subject()),
                code(failure.message().trim_end_matches('.'))
            ),
            done: "The integration is retried automatically at each run of restore-reconciler. When it succeeds, the OpsItem is updated, and resolved if nothing is left to do.",
            action: failure.remedy().to_owned(),
            told: "failing".to_owned(),
            attributes: vec![("kind", "integration-failing".to_owned())],
        }
    }

    /// Whether the item records it.
    pub(crate) fn is_recorded(&self, kind: &ResourceKind, item: &OpsItem) -> bool {
        says(item, kind.state_key, self.state) && says(item, HINDRANCE, &self.why)
    }

    /// Whether the item records that operators were notified of it.
    pub(crate) fn was_told(&self, item: &OpsItem) -> bool {
        says(item, NOTIFIED, &self.told)
    }

    /// The change of the job's item that records it. The item is opened also if it was open a moment ago,
    /// because another run may resolve it meanwhile.
    pub(crate) fn change(&self, kind: &ResourceKind, restore: &Restore) -> OpsItemChange {
        OpsItemChange {
            title: Some(self.title.clone()),
            description: Some(
                Explanation {
                    happened: format!(
                        "{} {}",
                        not_integrated(kind, restore),
                        restore_facts(&restore.job)
                    ),
                    why: format!("{}.", one_line(&self.why)),
                    done: self.done.to_owned(),
                    action: self.action.clone(),
                }
                .markdown(),
            ),
            severity: Some(match restore.drill {
                None => Severity::High,
                Some(_) => Severity::Medium,
            }),
            status: Some(Status::Open),
            data: [
                (kind.state_key, self.state.to_owned()),
                (HINDRANCE, self.why.clone()),
            ]
            .into_iter()
            .chain(resources(&restore.job))
            .collect(),
            ..OpsItemChange::default()
        }
    }

    /// The notification. `item` is the id of the OpsItem, or why there is none; `recorded` is whether it
    /// records the hindrance.
    pub(crate) fn notification(
        &self,
        kind: &ResourceKind,
        restore: &Restore,
        item: &str,
        recorded: bool,
    ) -> Notification {
        let job = &restore.job;
        Notification {
            subject: self.title.clone(),
            pointer: if recorded {
                format!("OpsItem {item}.")
            } else {
                format!("Restore job {}.", shown(job.id.as_str()))
            },
            message: Explanation {
                happened: format!(
                    "{what}\n- Restore job: {job}\n- Restored resource: {restored}\n- OpsItem: {item}",
                    what = not_integrated(kind, restore),
                    job = shown(job.id.as_str()),
                    restored = job
                        .created_resource
                        .as_ref()
                        .map_or("(not named)".to_owned(), |arn| shown(arn.as_str())),
                ),
                why: format!("{}.", one_line(&self.why)),
                done: self.done.to_owned(),
                action: one_line(&self.action),
            }
            .plain(&self.title),
            attributes: self.attributes.clone(),
        }
    }
}
