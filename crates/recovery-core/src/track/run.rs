//! One OpsItem for each restore, copy or backup job that ended.

use std::collections::BTreeMap;

use crate::aws::arn::{Arn, RestoreJobId};
use crate::aws::backup::{EBS, RestoreJob};
use crate::error::Error;
use crate::event;
use crate::event::{Event, backup};
use crate::ops_item::run::{add_resources, find_or_create};
use crate::ops_item::{
    ItemKey, KIND, NewOpsItem, OpsItem, OpsItemChange, RESTORE, Severity, Status, unless_at_quota,
};
use crate::outcome::Outcome;
use crate::ports::{Notifications, OpsItems, TrackingPorts};
use crate::text::code;

/// Operational data: how the job ended.
const STATE: &str = "recovery:state";
/// Operational data: the job's id.
const JOB: &str = "recovery:job";
/// Operational data: the type of the resource.
const RESOURCE_TYPE: &str = "recovery:resource-type";

/// Tracks the job that `event` is about. Restores with `drill_role` are those of drills.
///
/// # Errors
/// [`Error::Permanent`] for an event that cannot be read, and those of the port.
pub async fn track(
    ports: &impl TrackingPorts,
    drill_role: &str,
    event: &Event,
) -> Result<Outcome, Error> {
    if event.source != backup::SOURCE {
        return Ok(Outcome::ignored("source"));
    }
    match event.detail_type.as_str() {
        backup::RESTORE_JOB => {
            let Some(state) = ended(event, "status") else {
                return Ok(Outcome::ignored("status"));
            };
            let job = backup::restore_job(event)?;
            if job.restore_test && state == End::Completed {
                return Ok(Outcome::ignored("restore-test"));
            }
            // An event that does not say its role is taken for that of a recovery.
            let drill = job.is_of_drill(drill_role).unwrap_or(false);
            let new = restore_item(&job, drill);
            // A restored volume is integrated, or refused and told of, all the same.
            let needs_a_person = new.severity != Severity::Low
                && !(state == End::Completed && job.resource_type.as_deref() == Some(EBS));
            let Some(item) = found_or_told(ports, &new, needs_a_person).await? else {
                return Ok(Outcome::untracked().with("restoreJobId", job.id.as_str()));
            };
            add_resources(ports.ops_items(), &item, job.created_resource.as_slice()).await?;
            Ok(Outcome::tracked()
                .with("restoreJobId", job.id.as_str())
                .with("opsItemId", item.id.as_str()))
        }
        backup::COPY_JOB => match ended(event, "state") {
            Some(end) => {
                let report = backup::copy_job(event)?;
                track_report(ports, copy_item(&report, end), "copyJobId", &report, end).await
            }
            None => Ok(Outcome::ignored("state")),
        },
        backup::BACKUP_JOB => match ended(event, "state") {
            Some(end) => {
                let report = backup::backup_job(event)?;
                track_report(
                    ports,
                    backup_item(&report, end),
                    "backupJobId",
                    &report,
                    end,
                )
                .await
            }
            None => Ok(Outcome::ignored("state")),
        },
        _ => Ok(Outcome::ignored("detail-type")),
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Completed,
    Partial,
    Failed,
    Aborted,
    Expired,
}

/// How the job of this event ended, read from `member` of the detail; nothing while it goes on.
fn ended(event: &Event, member: &str) -> Option<End> {
    match event.detail.get(member)?.as_str()? {
        "COMPLETED" => Some(End::Completed),
        "PARTIAL" => Some(End::Partial),
        "FAILED" => Some(End::Failed),
        "ABORTED" => Some(End::Aborted),
        "EXPIRED" => Some(End::Expired),
        _ => None,
    }
}

/// The item, found or created. Where OpsCenter's quota lets none be created, operators are notified of
/// what needs a person, and there is none.
async fn found_or_told(
    ports: &impl TrackingPorts,
    new: &NewOpsItem,
    needs_a_person: bool,
) -> Result<Option<OpsItem>, Error> {
    let item = unless_at_quota(find_or_create(ports.ops_items(), new).await)?;
    if item.is_none() && needs_a_person {
        ports.notifications().publish(&new.notification()).await?;
    }
    Ok(item)
}

async fn track_report(
    ports: &impl TrackingPorts,
    new: NewOpsItem,
    id_name: &'static str,
    report: &backup::JobReport,
    end: End,
) -> Result<Outcome, Error> {
    let Some(item) = found_or_told(ports, &new, new.severity != Severity::Low).await? else {
        return Ok(Outcome::untracked().with(id_name, report.id.as_str()));
    };
    add_resources(ports.ops_items(), &item, report.resource.as_slice()).await?;
    let outcome = if end == End::Completed {
        if item.status == Status::Open {
            let over = OpsItemChange {
                status: Some(Status::Resolved),
                ..OpsItemChange::default()
            };
            ports.ops_items().update(&item.id, &over).await?;
        }
        Outcome::resolved()
    } else {
        Outcome::tracked()
    };
    Ok(outcome
        .with(id_name, report.id.as_str())
        .with("opsItemId", item.id.as_str()))
}

/// The key of a restore job's OpsItem.
pub fn restore_key(id: &RestoreJobId) -> ItemKey {
    ItemKey::new("restore-job", id.as_str())
}

/// The OpsItem of a restore job as it begins, before anything was done with what it restored.
///
/// Everyone who may create it uses this, so that there is one, whoever comes first. That of a drill
/// says so, and is nothing to get up for.
pub fn restore_item(job: &RestoreJob, drill: bool) -> NewOpsItem {
    let id = job.id.as_str();
    let status = job.status.as_deref().unwrap_or("UNKNOWN");
    let kind = job.resource_type.as_deref().unwrap_or("unknown type");
    let named = |arn: Option<&Arn>| arn.map_or("(not named)".to_owned(), |arn| code(arn.as_str()));
    let facts = format!(
        "Restore job {job} ({kind}) is {status}{test}.\n\n\
         - Recovery point: {point}\n- Resource backed up: {source}\n- Resource made: {made}\n{message}\n",
        job = code(id),
        kind = code(kind),
        status = code(status),
        test = if job.restore_test {
            ", started by a restore test"
        } else {
            ""
        },
        point = named(job.recovery_point.as_ref().map(|point| point.arn())),
        source = named(job.source_resource.as_ref()),
        made = named(job.created_resource.as_ref()),
        message = said(job.status_message.as_deref()),
    );
    let (title, meaning, severity) = if drill {
        of_drill(job, kind, status)
    } else if job.is_completed() {
        let next = if kind == EBS {
            format!(
                "**What it means.** The data is back, on a volume that nothing uses yet.\n\n\
                 **What happens now.** If the recovery point carries the tags `recovery:stack` and `recovery:logical-id`, \
                 the volume is attached to that instance and this item resolves itself.\n\n\
                 **What to do.** If this is still open after 15 minutes: without those tags, attach the volume by hand. \
                 Otherwise invoke the function restore-integrator with `{{\"restoreJobId\": \"{}\"}}`; its answer says what is missing.",
                crate::text::shown(id).replace(['`', '"'], "'")
            )
        } else {
            "**What it means.** The data is back, in a resource that nothing uses yet.\n\n\
             **What to do.** There is no automatic integration for this type: point the workload at the resource, then resolve this item."
                .to_owned()
        };
        (
            format!("Restore of {kind} completed"),
            next,
            Severity::Medium,
        )
    } else {
        (
            format!("Restore of {kind} {}", status.to_lowercase()),
            "**What it means.** This data is not back.\n\n\
             **What to do.** Read the message above. Usual causes: the restore role may not use the key of the recovery point, \
             restore metadata that does not fit this Region (zone, subnet, instance type), a quota. Lift the cause and start the restore again \
             from the same recovery point; nothing was overwritten."
                .to_owned(),
            Severity::High,
        )
    };
    NewOpsItem {
        key: restore_key(&job.id),
        title,
        description: format!("{facts}\n{meaning}"),
        severity,
        category: "Recovery",
        data: data(id, status, kind)
            .into_iter()
            .chain([(KIND, RESTORE.to_owned())])
            .collect(),
    }
}

/// What is at the head of the title of everything that is about a drill.
pub(crate) const DRILL: &str = "Drill: ";

/// Title, meaning and severity of the item of a drill's restore.
fn of_drill(job: &RestoreJob, kind: &str, status: &str) -> (String, String, Severity) {
    if job.is_completed() {
        (
            format!("{DRILL}Restore of {kind} completed"),
            "**What it means.** A drill has restored this, beside the workload. No recovery is under way because of it, \
             and it is never attached to the workload's own stack.\n\n\
             **What to do.** Nothing: the drill attaches a volume to its own stack, and this item resolves itself then. \
             If it is still open when the drill is over, read the drill's report, and resolve it."
                .to_owned(),
            Severity::Low,
        )
    } else {
        (
            format!("{DRILL}Restore of {kind} {}", status.to_lowercase()),
            "**What it means.** A drill could not restore this. The workload itself is not touched, but a recovery would most likely fail in the same way.\n\n\
             **What to do.** Read the message above. Usual causes: the role may not use the key of the recovery point, \
             restore metadata that does not fit this Region (zone, subnet, instance type), a quota. Lift the cause before it is needed, and hold the drill again."
                .to_owned(),
            Severity::Medium,
        )
    }
}

fn copy_item(report: &backup::JobReport, end: End) -> NewOpsItem {
    let kind = report.resource_type.as_deref().unwrap_or("unknown type");
    let state = report.state.as_deref().unwrap_or("UNKNOWN");
    let (title, meaning, severity) = match end {
        End::Completed => (
            format!("Backup copy of {kind} completed"),
            "**What it means.** The recovery Region can restore this resource as of this backup. Nothing to do.",
            Severity::Low,
        ),
        _ => (
            format!(
                "Backup copy of {kind} {}: recovery would lose more data",
                state.to_lowercase()
            ),
            "**What it means.** The newest copy of this resource in the recovery Region is not getting newer. \
             If the primary Region fails now, everything since the last good copy is lost, and that grows until a copy succeeds.\n\n\
             **What to do.** Read the message above. Usual causes: the destination vault's key or access policy, \
             a copy that is still running for the same resource, a resource type that cannot be copied there. \
             Lift the cause and start the copy again, or wait for the plan's next run and see that it succeeds.",
            Severity::High,
        ),
    };
    report_item("copy-job", "Copy job", report, title, meaning, severity)
}

fn backup_item(report: &backup::JobReport, end: End) -> NewOpsItem {
    let kind = report.resource_type.as_deref().unwrap_or("unknown type");
    let state = report.state.as_deref().unwrap_or("UNKNOWN");
    let (title, meaning, severity) = match end {
        End::Completed => (
            format!("Backup of {kind} completed"),
            "**What it means.** There is a new recovery point. Nothing to do.",
            Severity::Low,
        ),
        _ => (
            format!(
                "Backup of {kind} {}: recovery would lose more data",
                state.to_lowercase()
            ),
            "**What it means.** There is no new recovery point of this resource, so nothing newer can be copied or restored. \
             What a recovery would lose grows until a backup succeeds.\n\n\
             **What to do.** Read the message above. Usual causes: the backup role's permissions, another backup of the same resource still running, \
             a start window that ended before the job began. Lift the cause and start the backup again, or wait for the plan's next run and see that it succeeds.",
            Severity::High,
        ),
    };
    report_item("backup-job", "Backup job", report, title, meaning, severity)
}

fn report_item(
    key: &str,
    name: &str,
    report: &backup::JobReport,
    title: String,
    meaning: &str,
    severity: Severity,
) -> NewOpsItem {
    let kind = report.resource_type.as_deref().unwrap_or("unknown type");
    let state = report.state.as_deref().unwrap_or("UNKNOWN");
    let named = |text: Option<&str>| text.map_or("(not named)".to_owned(), code);
    NewOpsItem {
        key: ItemKey::new(key, &report.id),
        title,
        description: format!(
            "{name} {id} ({kind}) is {state}.\n\n- Resource: {resource}\n- Vault: {vault}\n- Recovery point: {point}\n{message}\n\n{meaning}",
            id = code(&report.id),
            kind = code(kind),
            state = code(state),
            resource = named(report.resource.as_ref().map(Arn::as_str)),
            vault = named(report.vault.as_deref()),
            point = named(report.recovery_point.as_ref().map(Arn::as_str)),
            message = said(report.message.as_deref()),
        ),
        severity,
        category: "Recovery",
        data: data(&report.id, state, kind),
    }
}

fn said(message: Option<&str>) -> String {
    message.map_or(String::new(), |message| {
        format!("- Message: {}", code(message))
    })
}

fn data(id: &str, state: &str, kind: &str) -> BTreeMap<&'static str, String> {
    [(JOB, id), (STATE, state), (RESOURCE_TYPE, kind)]
        .into_iter()
        .map(|(key, value)| (key, crate::text::shown(value)))
        .collect()
}

/// Parses the payload and tracks the job it is about: what the function `opsitem-creator` does.
///
/// # Errors
/// As [`track`].
pub async fn handle(
    ports: &impl TrackingPorts,
    drill_role: &str,
    payload: &serde_json::Value,
) -> Result<Outcome, Error> {
    track(ports, drill_role, &event::parse(payload)?).await
}
