//! Reads the tags of the recovery point of a restore job.

use futures_util::future::try_join;

use crate::aws::arn::RecoveryPointArn;
use crate::aws::backup::RestoreJob;
use crate::error::Error;
use crate::ports::{RecoveryPointTags, RestoreJobs, RestoredPorts};
use crate::tags::{Tags, supplemented};

/// The tags of the job's recovery point. Those that it lacks are taken from `tags_from`.
///
/// # Errors
/// As [`own_tags_of`].
pub(crate) async fn tags_of(
    ports: &impl RestoredPorts,
    job: &RestoreJob,
    tags_from: Option<&RecoveryPointArn>,
) -> Result<Tags, Error> {
    match tags_from {
        None => own_tags_of(ports, job).await,
        Some(older) => {
            let (own, older) = try_join(
                own_tags_of(ports, job),
                ports.recovery_point_tags().list(older),
            )
            .await?;
            Ok(supplemented(&own, &older))
        }
    }
}

/// The tags of the job's recovery point. An event and AWS Backup may name the recovery point in several
/// forms of ARN, and not each form leads to its tags. If one does not, the others are tried. If one was
/// denied and no other one has tags, the form that AWS Backup names decides.
///
/// # Errors
/// [`Error::Retryable`] if one of the calls can succeed later; [`Error::Permanent`] if the tags cannot be
/// read under any form.
async fn own_tags_of(ports: &impl RestoredPorts, job: &RestoreJob) -> Result<Tags, Error> {
    let mut denied = None;
    let mut answers = Vec::new();
    for point in job.points() {
        match ports.recovery_point_tags().list(point).await {
            Ok(tags) if !tags.is_empty() => return Ok(tags),
            Ok(_) => answers.push((point, true)),
            Err(Error::Permanent(fault)) => {
                denied.get_or_insert(fault);
                answers.push((point, false));
            }
            Err(later) => return Err(later),
        }
    }
    // Each form was answered: the recovery point has no tags.
    let Some(denied) = denied else {
        return Ok(Tags::new());
    };
    let asked = match ports.restore_jobs().describe(&job.id).await {
        Ok(asked) => asked.recovery_point,
        Err(Error::Permanent(_)) => None,
        Err(later) => return Err(later),
    };
    let Some(point) = asked else {
        return Err(Error::Permanent(denied));
    };
    match answers.iter().find(|(tried, _)| **tried == point) {
        Some((_, true)) => Ok(Tags::new()),
        Some((_, false)) => Err(Error::Permanent(denied)),
        None => ports.recovery_point_tags().list(&point).await,
    }
}
