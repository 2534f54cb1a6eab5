//! Events of AWS Backup jobs.
//!
//! Restore jobs have their status in `detail.status`, backup and copy jobs in `detail.state`.
//! See <https://docs.aws.amazon.com/aws-backup/latest/devguide/eventbridge.html>.

use serde::Deserialize;
use serde_json::Value;

use crate::aws::arn::{Arn, RecoveryPointArn, RestoreJobId};
use crate::aws::backup::{Drill, PlannedAs, Restore, RestoreJob};
use crate::aws::ec2::DeviceName;
use crate::error::{Error, Fault};
use crate::event::{Event, detail, lenient_text};
use crate::plan::request::is_drill_name;
use crate::tags::is_stack_name;
use crate::{plan, text};

/// `source` of every event of AWS Backup.
pub const SOURCE: &str = "aws.backup";
/// `detail-type` of restore job events.
pub const RESTORE_JOB: &str = "Restore Job State Change";
/// `detail-type` of copy job events.
pub const COPY_JOB: &str = "Copy Job State Change";
/// `detail-type` of backup job events.
pub const BACKUP_JOB: &str = "Backup Job State Change";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestoreDetail {
    #[serde(default, deserialize_with = "lenient_text")]
    restore_job_id: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    status_message: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    resource_type: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    created_resource_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    recovery_point_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    source_resource_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    iam_role_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    restore_testing_plan_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    completion_date: Option<String>,
}

/// Parses a restore job event. Fields that the event lacks stay absent. `DescribeRestoreJob` returns them.
///
/// # Errors
/// [`Error::Permanent`] if the event has no restore job id.
pub fn restore_job(event: &Event) -> Result<RestoreJob, Error> {
    let detail: RestoreDetail = detail(event)?;
    let id = detail
        .restore_job_id
        .ok_or_else(|| super::malformed("detail.restoreJobId", "it is missing or not text"))?;
    let first_resource = event.resources.iter().flatten().next().map(String::as_str);
    // All samples have the recovery point in resources[0]. Newer ones also have it in the detail, sometimes in
    // another form. An ARN that cannot be parsed counts as absent.
    let mut points = detail
        .recovery_point_arn
        .as_deref()
        .into_iter()
        .chain(first_resource)
        .filter_map(|text| RecoveryPointArn::parse(text).ok());
    let recovery_point = points.next();
    let other_forms = points
        .filter(|point| Some(point) != recovery_point.as_ref())
        .collect();
    Ok(RestoreJob {
        id: RestoreJobId::new(id),
        status: detail.status,
        status_message: detail.status_message,
        resource_type: detail.resource_type,
        created_resource: parsed(detail.created_resource_arn),
        recovery_point,
        other_forms,
        source_resource: parsed(detail.source_resource_arn),
        iam_role: parsed(detail.iam_role_arn),
        restore_test: detail.restore_testing_plan_arn.is_some(),
        created: None,
        completed: detail
            .completion_date
            .as_deref()
            .and_then(super::date)
            .or(event.time),
    })
}

/// The job in `input`: the event of a completed restore or, from a person or a state machine,
/// `{"restoreJobId": "…"}`. For another event, returns the reason to ignore it.
///
/// # Errors
/// [`Error::Permanent`] for invalid input.
pub fn completed_restore(input: &Value) -> Result<Result<RestoreJob, &'static str>, Error> {
    if let Some(id) = input.get("restoreJobId") {
        return asked_for(id).map(Ok);
    }
    let event = super::parse(input)?;
    if event.source != SOURCE {
        return Ok(Err("source"));
    }
    if event.detail_type != RESTORE_JOB {
        return Ok(Err("detail-type"));
    }
    // Checked first, because the event of a created job has no job id.
    if event.detail.get("status").and_then(Value::as_str) != Some("COMPLETED") {
        return Ok(Err("status"));
    }
    restore_job(&event).map(Ok)
}

/// The restore to integrate: as [`completed_restore`] and, for a drill,
/// `{"restoreJobId": "…", "drill": {"stack": "…", "name": "…"}}`. A state machine adds the plan's `item`, and
/// `restore-reconciler` only `tagsFrom`, the ARN of the recovery point that the item named. For another event,
/// returns the reason to ignore it.
///
/// # Errors
/// [`Error::Permanent`] for invalid input.
pub fn restore_to_integrate(input: &Value) -> Result<Result<Restore, &'static str>, Error> {
    // An event has neither a drill nor a plan.
    let (drill, planned) = match input.get("restoreJobId") {
        Some(_) => (drill_of(input)?, planned_as(input)?),
        None => (None, PlannedAs::default()),
    };
    Ok(completed_restore(input)?.map(|job| Restore {
        drill,
        planned,
        ..Restore::from(job)
    }))
}

/// The information of the plan that the recovery point lacks.
fn planned_as(input: &Value) -> Result<PlannedAs, Error> {
    let mount_attempt = mount_attempt(input)?;
    let Some(item) = input.get("item").filter(|item| !item.is_null()) else {
        return Ok(PlannedAs {
            tags_from: tags_from(input)?,
            mount_attempt,
            ..PlannedAs::default()
        });
    };
    let item = plan::Item::deserialize(item).map_err(|error| {
        Error::Permanent(Fault::new(
            "parse input",
            "item",
            text::shown(&error.to_string()),
            "Pass {\"restoreJobId\": \"…\", \"item\": {…}} with the item of the plan, or omit \"item\" if the recovery point has the tags.",
        ))
    })?;
    let tags_from = item.tags_from.map(|from| from.recovery_point_arn);
    let reserved = item
        .target
        .volume()
        .map_or(&[][..], |target| target.reserved.as_slice())
        .iter();
    Ok(PlannedAs {
        tags_from: tags_from
            .map(|arn| RecoveryPointArn::parse(&arn))
            .transpose()?,
        reserved: reserved
            .filter_map(|name| DeviceName::parse(name))
            .collect(),
        mount_attempt,
    })
}

/// How often another attempt to mount was asked for.
fn mount_attempt(input: &Value) -> Result<u32, Error> {
    let Some(attempt) = input.get("mountAttempt").filter(|it| !it.is_null()) else {
        return Ok(0);
    };
    let number = attempt
        .as_u64()
        .and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| {
        Error::Permanent(Fault::new(
            "parse input",
            "mountAttempt",
            "it is not a number",
            "Pass the number that the OpsItem names, such as {\"restoreJobId\": \"…\", \"mountAttempt\": 1}, or omit \"mountAttempt\".",
        ))
    })
}

/// The recovery point that a request names without the item of its plan.
fn tags_from(input: &Value) -> Result<Option<RecoveryPointArn>, Error> {
    let Some(from) = input.get("tagsFrom").filter(|from| !from.is_null()) else {
        return Ok(None);
    };
    let arn = from.as_str().ok_or_else(|| {
        Error::Permanent(Fault::new(
            "parse input",
            "tagsFrom",
            "it is not text",
            "Pass the ARN of the recovery point that has the tags, or omit \"tagsFrom\".",
        ))
    })?;
    RecoveryPointArn::parse(arn).map(Some)
}

fn drill_of(input: &Value) -> Result<Option<Drill>, Error> {
    let Some(drill) = input.get("drill").filter(|drill| !drill.is_null()) else {
        return Ok(None);
    };
    let invalid = |member: &str, what: &str| {
        Error::Permanent(Fault::new(
            "parse input",
            member,
            what,
            "Pass {\"restoreJobId\": \"…\", \"drill\": {\"stack\": \"…\", \"name\": \"…\"}} with the drill's stack and the name of its execution, or omit \"drill\" for a restore of the workload itself.",
        ))
    };
    let stack = match drill.get("stack").and_then(Value::as_str) {
        Some(stack) if is_stack_name(stack) => stack.to_owned(),
        _ => return Err(invalid("drill.stack", "it is missing or not a stack name")),
    };
    let name = match drill.get("name").filter(|name| !name.is_null()) {
        None => None,
        Some(name) => match name.as_str() {
            Some(name) if is_drill_name(name) => Some(name.to_owned()),
            _ => {
                return Err(invalid(
                    "drill.name",
                    "it is not 1 to 80 of a-z A-Z 0-9 _ -",
                ));
            }
        },
    };
    Ok(Some(Drill { stack, name }))
}

/// A job of which only the given id is known.
fn asked_for(id: &Value) -> Result<RestoreJob, Error> {
    let id = id
        .as_str()
        .map(str::trim)
        .filter(|id| !text::is_blank(id))
        .ok_or_else(|| {
            Error::Permanent(Fault::new(
                "parse input",
                "restoreJobId",
                "it is empty or not text",
                "Pass {\"restoreJobId\": \"…\"} with the id of a restore job of AWS Backup.",
            ))
        })?;
    Ok(RestoreJob::known_by_id(RestoreJobId::new(id)))
}

fn parsed(arn: Option<String>) -> Option<Arn> {
    arn.and_then(|arn| Arn::parse(&arn).ok())
}

/// A copy or backup job, according to its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// Copy or backup job id.
    pub id: String,
    /// `COMPLETED`, `FAILED`, … or nothing.
    pub state: Option<String>,
    /// The message of AWS Backup.
    pub message: Option<String>,
    /// `EBS`, `RDS`, …
    pub resource_type: Option<String>,
    /// The resource that was backed up.
    pub resource: Option<Arn>,
    /// The recovery point that the job created.
    pub recovery_point: Option<Arn>,
    /// Its vault: an ARN or a name.
    pub vault: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CopyDetail {
    #[serde(default, deserialize_with = "lenient_text")]
    copy_job_id: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    state: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    status_message: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    resource_type: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    resource_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    destination_recovery_point_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    destination_backup_vault_arn: Option<String>,
}

/// Parses a copy job event.
///
/// # Errors
/// [`Error::Permanent`] if the event has no copy job id. Events with the state CREATED have none.
pub fn copy_job(event: &Event) -> Result<JobReport, Error> {
    let detail: CopyDetail = detail(event)?;
    Ok(JobReport {
        id: detail
            .copy_job_id
            .ok_or_else(|| super::malformed("detail.copyJobId", "it is missing or not text"))?,
        state: detail.state,
        message: detail.status_message,
        resource_type: detail.resource_type,
        resource: parsed(detail.resource_arn),
        recovery_point: parsed(detail.destination_recovery_point_arn),
        vault: detail.destination_backup_vault_arn,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BackupDetail {
    #[serde(default, deserialize_with = "lenient_text")]
    backup_job_id: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    state: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    status_message: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    resource_type: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    resource_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    backup_vault_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    backup_vault_name: Option<String>,
}

/// Parses a backup job event.
///
/// # Errors
/// [`Error::Permanent`] if the event has no backup job id.
pub fn backup_job(event: &Event) -> Result<JobReport, Error> {
    let detail: BackupDetail = detail(event)?;
    Ok(JobReport {
        id: detail
            .backup_job_id
            .ok_or_else(|| super::malformed("detail.backupJobId", "it is missing or not text"))?,
        state: detail.state,
        message: detail.status_message,
        resource_type: detail.resource_type,
        resource: parsed(detail.resource_arn),
        recovery_point: event
            .resources
            .iter()
            .flatten()
            .find_map(|arn| Arn::parse(arn).ok()),
        vault: detail.backup_vault_arn.or(detail.backup_vault_name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(detail: Value, resources: Value) -> Event {
        super::super::parse(&json!({
            "source": SOURCE, "detail-type": RESTORE_JOB, "time": "2026-11-23T06:00:00Z",
            "resources": resources, "detail": detail,
        }))
        .unwrap()
    }

    #[test]
    fn reads_the_recovery_point_from_detail_or_resources() {
        let check = |in_detail: Value, resources: Value, expected: &[&str]| {
            let job = restore_job(&event(
                json!({"restoreJobId": "J", "status": "COMPLETED", "recoveryPointArn": in_detail}),
                resources,
            ))
            .unwrap();
            let points: Vec<&str> = job.points().map(RecoveryPointArn::as_str).collect();
            assert_eq!(points, expected);
        };
        let (a, b) = (
            "arn:aws:ec2:us-west-2::snapshot/snap-a",
            "arn:aws:ec2:us-west-2::snapshot/snap-b",
        );
        check(json!(a), json!([b]), &[a, b]);
        check(json!(a), json!([a]), &[a]);
        check(Value::Null, json!([b]), &[b]);
        check(json!({}), json!([b]), &[b]);
        check(json!("nonsense"), json!([b]), &[b]);
        check(Value::Null, json!([]), &[]);
        check(Value::Null, Value::Null, &[]);
    }

    #[test]
    fn names_the_missing_job_id() {
        for detail in [
            json!({}),
            json!({"restoreJobId": null}),
            json!({"restoreJobId": ""}),
            json!({"restoreJobId": "\0\0"}),
        ] {
            let error = restore_job(&event(detail, json!([]))).unwrap_err();
            assert!(error.to_string().contains("detail.restoreJobId"), "{error}");
        }
        let error = restore_job(&event(json!("cut off"), json!([]))).unwrap_err();
        assert!(
            error.to_string().contains("expected a JSON object"),
            "{error}"
        );
    }

    #[test]
    fn accepts_an_empty_object_as_recovery_point_of_a_copy() {
        let report = copy_job(&event(
            json!({"copyJobId": "C", "state": "FAILED", "destinationRecoveryPointArn": {}}),
            json!([]),
        ))
        .unwrap();
        assert_eq!(report.recovery_point, None);
        assert_eq!(report.state.as_deref(), Some("FAILED"));
    }
}
