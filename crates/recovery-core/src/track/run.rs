//! One OpsItem for each restore, copy or backup job that ended.

use std::collections::BTreeMap;

use crate::aws::arn::Arn;
use crate::aws::backup::{EBS, RestoreJob};
use crate::aws::database::DATABASE_TYPES;
use crate::aws::file_system::FILE_SYSTEM_TYPES;
use crate::aws::table::DYNAMODB;
use crate::error::Error;
use crate::event;
use crate::event::{Event, backup};
use crate::explanation::Explanation;
use crate::ops_item::run::{add_resources, find_or_create};
use crate::ops_item::{
    ItemKey, KIND, NewOpsItem, OpsItem, OpsItemChange, RESTORE, Severity, Status, restore_key,
    unless_at_quota,
};
use crate::outcome::Outcome;
use crate::ports::{Notifications, OpsItems, TrackingPorts};
use crate::text::{code, shown};

/// Operational data: how the job ended.
const STATE: &str = "recovery:state";
/// Operational data: the job's id.
const JOB: &str = "recovery:job";
/// Operational data: the type of the resource.
const RESOURCE_TYPE: &str = "recovery:resource-type";

/// Creates or updates the OpsItem of the job in `event`. Restore jobs with `drill_role` belong to drills.
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
            // An event without a role counts as that of a recovery.
            let drill = job.is_of_drill(drill_role).unwrap_or(false);
            let new = restore_item(&job, drill);
            // A completed restore of these types needs no notification: its integrator integrates it, or
            // notifies operators.
            let needs_a_person = new.severity != Severity::Low
                && !(state == End::Completed
                    && job.resource_type.as_deref().is_some_and(is_integrated));
            let Some(item) = found_or_notified(ports, &new, needs_a_person).await? else {
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

/// How the job of this event ended, according to `member` of the detail; `None` while it runs.
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

/// The item, found or created. `None` if OpsCenter's quota is used up: operators are then notified if a person
/// must act.
async fn found_or_notified(
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
    let Some(item) = found_or_notified(ports, &new, new.severity != Severity::Low).await? else {
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

/// Whether completed restores of this type are integrated automatically.
fn is_integrated(resource_type: &str) -> bool {
    [EBS, DYNAMODB].contains(&resource_type)
        || DATABASE_TYPES.contains(&resource_type)
        || FILE_SYSTEM_TYPES.contains(&resource_type)
}

/// The OpsItem of a restore job before the restored resource is integrated.
///
/// Every function that may create it uses this, so that the item is the same. The item of a drill's restore
/// says so, and has a lower severity.
pub fn restore_item(job: &RestoreJob, drill: bool) -> NewOpsItem {
    let id = job.id.as_str();
    let status = job.status.as_deref().unwrap_or("UNKNOWN");
    let kind = job.resource_type.as_deref().unwrap_or(UNKNOWN_TYPE);
    let (done, action) = match (job.is_completed(), drill) {
        (true, true) if kind == DYNAMODB => (
            "The drill gives the table its settings. This OpsItem is then resolved, unless something is left to do.".to_owned(),
            "No action needed. If this OpsItem is still open after the drill, read it and resolve it.".to_owned(),
        ),
        (true, true) if FILE_SYSTEM_TYPES.contains(&kind) => (
            "The drill makes the file system reachable in its own stack. This OpsItem is then resolved, unless something is left to do.".to_owned(),
            "No action needed. If this OpsItem is still open after the drill, read it and resolve it.".to_owned(),
        ),
        (true, true) => (
            "The drill attaches a volume to its own stack. This OpsItem is then resolved. Nothing is attached to the workload's own stack.".to_owned(),
            "No action needed. If this OpsItem is still open after the drill, read the drill's report and resolve this OpsItem.".to_owned(),
        ),
        (true, false) if kind == EBS => (
            "If the recovery point has the tags `recovery:stack` and `recovery:logical-id`, the volume is attached to that instance. This OpsItem is then resolved.".to_owned(),
            format!(
                "No action needed within 15 minutes. If this OpsItem is open for longer, invoke the function restore-integrator with `{{\"restoreJobId\": \"{}\"}}`. Its answer says what is missing. Without those tags, attach the volume yourself.",
                shown(id).replace(['`', '"'], "'")
            ),
        ),
        (true, false) if DATABASE_TYPES.contains(&kind) => (
            "If the recovery point has the tag `recovery:workload`, the database is integrated: a cluster gets its instances, and the addresses are published. This OpsItem is then resolved.".to_owned(),
            format!(
                "No action needed while instances are created, which takes up to 30 minutes. If this OpsItem is open for longer, invoke the function database-integrator with `{{\"restoreJobId\": \"{}\"}}`. Its answer says what is missing. Without that tag, connect the workload to the database yourself.",
                shown(id).replace(['`', '"'], "'")
            ),
        ),
        (true, false) if FILE_SYSTEM_TYPES.contains(&kind) => (
            "If the recovery point has the tag `recovery:workload`, the file system is integrated: one of EFS gets its mount targets, the addresses are published, and with `recovery:mount` it is mounted. This OpsItem is then resolved, unless something is left to do.".to_owned(),
            format!(
                "No action needed within 15 minutes. If this OpsItem is open for longer, invoke the function file-system-integrator with `{{\"restoreJobId\": \"{}\"}}`. Its answer says what is missing. Without that tag, connect the workload to the file system yourself.",
                shown(id).replace(['`', '"'], "'")
            ),
        ),
        (true, false) if kind == DYNAMODB => (
            "If the recovery point has `recovery:` tags, the table gets the settings that its tags name. This OpsItem is then resolved, unless something is left to do.".to_owned(),
            format!(
                "No action needed within 15 minutes. If nothing was recorded here by then, invoke the function table-integrator with `{{\"restoreJobId\": \"{}\"}}`. Its answer says what is missing. Without those tags, configure the table yourself.",
                shown(id).replace(['`', '"'], "'")
            ),
        ),
        (true, false) => (
            "Nothing: this resource type has no automatic integration.".to_owned(),
            "Connect the workload to the restored resource. Then resolve this OpsItem.".to_owned(),
        ),
        (false, true) => (
            "Nothing. The workload is not affected, but a recovery would probably fail in the same way.".to_owned(),
            format!("{RESTORE_CAUSES} Fix the cause, and run the drill again."),
        ),
        (false, false) => (
            "Nothing. This data is not restored. No resource was overwritten.".to_owned(),
            format!("{RESTORE_CAUSES} Fix the cause. If a recovery is running, redrive its execution when it has ended. Otherwise restore the same recovery point again."),
        ),
    };
    let severity = match (job.is_completed(), drill) {
        (true, true) => Severity::Low,
        (true, false) | (false, true) => Severity::Medium,
        (false, false) => Severity::High,
    };
    let explanation = Explanation {
        happened: restore_facts(job),
        why: match (
            message_of(job.status_message.as_deref()),
            job.is_completed(),
        ) {
            (Some(message), _) => message,
            (None, true) => {
                "The restored resource is not in use until it is integrated.".to_owned()
            }
            (None, false) => NO_MESSAGE.to_owned(),
        },
        done,
        action,
    };
    NewOpsItem {
        key: restore_key(&job.id),
        title: format!(
            "{}Restore job ({kind}) {}",
            if drill { DRILL } else { "" },
            status.to_lowercase()
        ),
        description: explanation.markdown(),
        severity,
        category: "Recovery",
        data: data(id, status, kind)
            .into_iter()
            .chain([(KIND, RESTORE.to_owned())])
            .collect(),
    }
}

/// The prefix of every title about a drill.
pub(crate) const DRILL: &str = "[drill] ";

const UNKNOWN_TYPE: &str = "unknown type";
const NO_MESSAGE: &str = "AWS Backup sent no message.";
const RESTORE_CAUSES: &str = "Read the message. Common causes: the restore role may not use the KMS key of the recovery point; \
     the restore metadata does not fit this Region (Availability Zone, subnet, instance type); a quota.";

/// The status and the resources of a restore job, as Markdown.
pub(crate) fn restore_facts(job: &RestoreJob) -> String {
    let named = |arn: Option<&Arn>| arn.map_or("(not named)".to_owned(), |arn| code(arn.as_str()));
    format!(
        "Restore job {job} ({kind}) is {status}{test}.\n\n\
         - Recovery point: {point}\n- Protected resource: {source}\n- Restored resource: {restored}",
        kind = code(job.resource_type.as_deref().unwrap_or(UNKNOWN_TYPE)),
        status = code(job.status.as_deref().unwrap_or("UNKNOWN")),
        test = if job.restore_test {
            ", started by a restore test"
        } else {
            ""
        },
        point = named(job.recovery_point.as_ref().map(|point| point.arn())),
        source = named(job.source_resource.as_ref()),
        restored = named(job.created_resource.as_ref()),
        job = code(job.id.as_str()),
    )
}

fn copy_item(report: &backup::JobReport, end: End) -> NewOpsItem {
    job_item(
        ("copy-job", "Copy job"),
        report,
        end,
        "Only this OpsItem was created. A later copy does not resolve it, because each job has its own OpsItem.",
        &format!(
            "Read the message. Common causes: the KMS key or the access policy of the destination vault; \
             another copy of the same resource is still running; the recovery point would have more than 50 tags; {}. \
             Fix the cause. Start the copy again, or check that the next run of the backup plan succeeds. Then resolve this OpsItem.",
            copy_cause(report.resource_type.as_deref())
        ),
    )
}

/// Why the copies of a type fail (docs/workload.md lists what cannot be copied).
fn copy_cause(resource_type: Option<&str>) -> &'static str {
    match resource_type {
        Some("DynamoDB") => {
            "the table was backed up without AWS Backup's advanced features for DynamoDB: such a recovery point cannot be copied. \
             Run `aws backup update-region-settings --resource-type-management-preference DynamoDB=true` in the table's Region, and back the table up again"
        }
        Some("RDS") => {
            "a Multi-AZ DB cluster cannot be copied: use a Multi-AZ DB instance or Aurora; \
             a persistent option (`The snapshot requires a target option group`) prevents copies by AWS Backup: \
             remove the option, or copy the snapshot with `aws rds copy-db-snapshot --option-group-name`"
        }
        _ => "this resource type cannot be copied to this Region",
    }
}

fn backup_item(report: &backup::JobReport, end: End) -> NewOpsItem {
    job_item(
        ("backup-job", "Backup job"),
        report,
        end,
        "Only this OpsItem was created. A later backup does not resolve it, because each job has its own OpsItem.",
        "Read the message. Common causes: the permissions of the backup role; another backup of the same resource is still running; \
         the start window ended before the job started. \
         Fix the cause. Start the backup again, or check that the next run of the backup plan succeeds. Then resolve this OpsItem.",
    )
}

fn job_item(
    (key, name): (&str, &str),
    report: &backup::JobReport,
    end: End,
    done: &str,
    action: &str,
) -> NewOpsItem {
    let kind = report.resource_type.as_deref().unwrap_or(UNKNOWN_TYPE);
    let state = report.state.as_deref().unwrap_or("UNKNOWN");
    let named = |text: Option<&str>| text.map_or("(not named)".to_owned(), code);
    let title = format!("{name} ({kind}) {}", state.to_lowercase());
    let message = message_of(report.message.as_deref());
    let (title, severity, why, done, action) = match end {
        End::Completed => (
            title,
            Severity::Low,
            message.unwrap_or_else(|| "The job completed.".to_owned()),
            "A recovery can use the new recovery point.",
            "No action needed.",
        ),
        _ => (
            format!("{title}: RPO at risk"),
            Severity::High,
            format!(
                "{} The newest recovery point of this resource in the recovery Region gets older. If the primary Region fails now, all later data is lost.",
                message.unwrap_or_else(|| NO_MESSAGE.to_owned())
            ),
            done,
            action,
        ),
    };
    let explanation = Explanation {
        happened: format!(
            "{name} {id} ({kind}) is {state}.\n\n- Protected resource: {resource}\n- Vault: {vault}\n- Recovery point: {point}",
            id = code(&report.id),
            kind = code(kind),
            state = code(state),
            resource = named(report.resource.as_ref().map(Arn::as_str)),
            vault = named(report.vault.as_deref()),
            point = named(report.recovery_point.as_ref().map(Arn::as_str)),
        ),
        why,
        done: done.to_owned(),
        action: action.to_owned(),
    };
    NewOpsItem {
        key: ItemKey::new(key, &report.id),
        title,
        description: explanation.markdown(),
        severity,
        category: "Recovery",
        data: data(&report.id, state, kind),
    }
}

/// What AWS Backup says about a job.
fn message_of(message: Option<&str>) -> Option<String> {
    message.map(|message| format!("AWS Backup says: {}.", code(message)))
}

fn data(id: &str, state: &str, kind: &str) -> BTreeMap<&'static str, String> {
    [(JOB, id), (STATE, state), (RESOURCE_TYPE, kind)]
        .into_iter()
        .map(|(key, value)| (key, shown(value)))
        .collect()
}

/// Tracks the job of the event in the payload: the function `opsitem-creator`.
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
