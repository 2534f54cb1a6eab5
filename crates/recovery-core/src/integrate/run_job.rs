//! Reads the restore job that is to be integrated, and decides whether it is.

use crate::aws::arn::Arn;
use crate::aws::backup::{Restore, RestoreJob};
use crate::error::{Error, Fault};
use crate::integrate::kind::ResourceKind;
use crate::integrate::skip::{Ownership, skip_reason};
use crate::outcome::Outcome;
use crate::ports::RestoreJobs;

/// Whether a restore is integrated.
pub(crate) enum Admission {
    /// It is. Status, role, recovery point and created resource of its job are known.
    Integrate {
        restore: Box<Restore>,
        /// The resource that the job created.
        created: Arn,
    },
    /// It is not.
    Skip(Outcome),
}

/// Completes the job from AWS Backup, if the event lacks a field, and decides whether it is integrated.
///
/// # Errors
/// [`Error::Retryable`] if AWS Backup does not know yet that the job has completed, and if the call can
/// succeed later; [`Error::Permanent`] if the call cannot succeed, or the job lacks a field.
pub(crate) async fn admit(
    restore_jobs: &impl RestoreJobs,
    ownership: &Ownership,
    kind: &ResourceKind,
    mut restore: Restore,
) -> Result<Admission, Error> {
    if let Some(outcome) = skip_reason(ownership, kind, &restore) {
        return Ok(Admission::Skip(outcome));
    }
    if !restore.job.is_settled() {
        let answer = restore_jobs.describe(&restore.job.id).await?;
        restore.job = restore.job.completed_from(answer)?;
    }
    if let Some(outcome) = skip_reason(ownership, kind, &restore) {
        return Ok(Admission::Skip(outcome));
    }
    let job = &restore.job;
    let missing = |what: &str| {
        Error::Permanent(Fault::new(
            "backup:DescribeRestoreJob",
            job.id.as_str(),
            format!("the {what} of the job is missing"),
            format!(
                "Check the job in AWS Backup, and {} yourself.",
                kind.by_hand_in_sentence()
            ),
        ))
    };
    if !job.is_completed() {
        return Err(missing("status"));
    }
    // Without its role, nobody knows whether the job belongs to a drill.
    if job.iam_role.is_none() {
        return Err(missing("role"));
    }
    let created = job
        .created_resource
        .clone()
        .ok_or_else(|| missing("created resource"))?;
    if job.recovery_point.is_none() {
        return Err(missing("recovery point"));
    }
    Ok(Admission::Integrate {
        restore: Box::new(restore),
        created,
    })
}

/// The protected resource of the job. An event can lack it: then AWS Backup is asked.
///
/// # Errors
/// Those of the port.
pub(crate) async fn source_of(
    restore_jobs: &impl RestoreJobs,
    job: &RestoreJob,
) -> Result<Option<Arn>, Error> {
    match &job.source_resource {
        Some(source) => Ok(Some(source.clone())),
        None => Ok(restore_jobs.describe(&job.id).await?.source_resource),
    }
}
