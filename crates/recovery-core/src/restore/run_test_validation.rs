//! Validates a restore test: compares the restored volume with its recovery point ([`check`]), notifies
//! operators if they differ, and reports the result to AWS Backup.
//!
//! The data in the volume is not read, because that needs an instance. A reported result cannot be changed, so
//! it is reported only after the check, and after the notification.
//! <https://docs.aws.amazon.com/aws-backup/latest/devguide/restore-testing-validation.html>

use std::time::Duration;

use futures_util::future::try_join;

use crate::aws::arn::{OpsItemId, RecoveryPointArn, RestoreJobId, Scope, VolumeId};
use crate::aws::backup::{EBS, Report, RestoreJob};
use crate::aws::ec2::{Snapshot, Volume, VolumeState};
use crate::error::{Error, Fault};
use crate::explanation::Explanation;
use crate::notification::Notification;
use crate::ops_item::run::{find_or_create, notify_and_record};
use crate::ops_item::{ItemKey, NOTIFIED, NewOpsItem, Severity, item_named, unless_at_quota};
use crate::outcome::Outcome;
use crate::ports::{Clock, RestoreTests, Snapshots, ValidationPorts, Volumes};
use crate::text::{code, one_line, shown};
use crate::track::run::{restore_facts, restore_item};

/// Checks after which a volume that EC2 does not show counts as missing: EC2 is eventually consistent.
const CHECKS: usize = 5;
/// Time that a run keeps for recording the result: a call may take 20 s with all its attempts.
const RESERVE: Duration = Duration::from_secs(60);
/// Pause between two checks.
const PAUSE: Duration = Duration::from_secs(3);

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Successful,
    /// The differences between the volume and its recovery point.
    Failed(Vec<String>),
    /// The volume is still being created.
    NotYet,
    /// EC2 does not say how large the volume is, or whether it is encrypted.
    Unknown,
}

/// Compares the volume with the snapshot of the recovery point.
pub fn check(volume: &Volume, snapshot: &Snapshot) -> Verdict {
    if volume.state == VolumeState::Creating {
        return Verdict::NotYet;
    }
    let (Some(size), Some(encrypted)) = (volume.size, volume.encrypted) else {
        return Verdict::Unknown;
    };
    let mut wrong = Vec::new();
    if volume.state != VolumeState::Available {
        wrong.push(format!("its state is {}, not available", volume.state));
    }
    match &volume.snapshot {
        Some(of) if *of == snapshot.id => {}
        Some(of) => wrong.push(format!(
            "it was created from {of}, not from {}",
            snapshot.id
        )),
        None => wrong.push(format!("it was not created from {}", snapshot.id)),
    }
    if size < snapshot.size {
        wrong.push(format!(
            "its size is {} GiB, the size of the recovery point {} GiB",
            size, snapshot.size
        ));
    }
    if snapshot.encrypted && !encrypted {
        wrong.push("it is not encrypted, but the recovery point is".to_owned());
    }
    if wrong.is_empty() {
        Verdict::Successful
    } else {
        Verdict::Failed(wrong)
    }
}

/// Validates the restored resource of `job`, if a restore test started the job. The job may be known from an
/// event, or by its id only.
///
/// # Errors
/// [`Error::Retryable`] while the volume is being created, or if a failed call may succeed later;
/// [`Error::Permanent`] if a call failed for good. A failed restore test is not an error: operators are
/// notified.
pub async fn validate(
    ports: &impl ValidationPorts,
    clock: &impl Clock,
    scope: &Scope,
    job: RestoreJob,
) -> Result<Outcome, Error> {
    let test = ports.restore_tests().describe(&job.id).await?;
    let known = test.result().map(str::to_owned);
    let deleted = test.deletion.is_some();
    let job = job.completed_from(test.job)?;
    if !job.restore_test {
        return Ok(Outcome::ignored("no-restore-test"));
    }
    if !job.is_completed() {
        return Ok(Outcome::ignored("status"));
    }
    if let Some(known) = known {
        return Ok(validated(Outcome::already_validated(), &job.id, &known));
    }
    if deleted {
        return Ok(Outcome::ignored("deleted").with("restoreJobId", job.id.as_str()));
    }
    let Some((volume_id, snapshot_id)) = volume_and_snapshot(&job) else {
        // Without a check, no result is reported: AWS Backup shows the test as not validated.
        return Ok(Outcome::ignored("resource-type").with("restoreJobId", job.id.as_str()));
    };
    let report = match compare(ports, clock, &volume_id, snapshot_id).await? {
        Found::NoSnapshot => {
            return Ok(Outcome::ignored("recovery-point-gone")
                .with("restoreJobId", job.id.as_str())
                .with("volumeId", volume_id.as_str()));
        }
        Found::Equal => Report {
            successful: true,
            message: format!(
                "{volume_id} is available. It was created from {snapshot_id}, and its size and encryption match. Its data was not read."
            ),
        },
        Found::Different(wrong) => Report {
            successful: false,
            message: format!(
                "{volume_id} differs from its recovery point: {}.",
                wrong.join("; ")
            ),
        },
    };
    let item = if report.successful {
        None
    } else {
        Some(record_and_notify(ports, scope, &job, &report.message).await?)
    };
    let status = if report.successful {
        "SUCCESSFUL"
    } else {
        "FAILED"
    };
    let outcome = match ports.restore_tests().put_result(&job.id, &report).await {
        Ok(()) => validated(Outcome::validated(), &job.id, status),
        // Another run may have reported first, or an answer was lost.
        Err(error) => match ports.restore_tests().describe(&job.id).await?.result() {
            Some(known) => validated(Outcome::already_validated(), &job.id, known),
            None => return Err(error),
        },
    };
    let outcome = outcome.with("volumeId", volume_id.as_str());
    Ok(match item {
        Some(item) => outcome.with_item(item.as_ref()),
        None => outcome,
    })
}

fn validated(outcome: Outcome, job: &RestoreJobId, status: &str) -> Outcome {
    outcome
        .with("restoreJobId", job.as_str())
        .with("validation", status)
}

/// The restored volume and the snapshot of its recovery point, if the job restored an EBS volume.
fn volume_and_snapshot(job: &RestoreJob) -> Option<(VolumeId, &str)> {
    if job.resource_type.as_deref().is_some_and(|kind| kind != EBS) {
        return None;
    }
    let volume = job
        .created_resource
        .as_ref()
        .filter(|arn| arn.service() == "ec2")?
        .resource_id("volume")?;
    let snapshot = job
        .points()
        .map(RecoveryPointArn::arn)
        .filter(|arn| arn.service() == "ec2")
        .find_map(|arn| arn.resource_id("snapshot"))?;
    Some((VolumeId::new(volume), snapshot))
}

enum Found {
    Equal,
    Different(Vec<String>),
    /// The recovery point has expired: there is nothing to compare with.
    NoSnapshot,
}

/// Checks until there is a result.
async fn compare(
    ports: &impl ValidationPorts,
    clock: &impl Clock,
    volume_id: &VolumeId,
    snapshot_id: &str,
) -> Result<Found, Error> {
    let mut unseen = 0;
    loop {
        let (volumes, snapshot) = try_join(
            // By a list, which leaves out a volume that EC2 does not know.
            ports.volumes().list(std::slice::from_ref(volume_id)),
            ports.snapshots().describe(snapshot_id),
        )
        .await?;
        let Some(snapshot) = snapshot else {
            return Ok(Found::NoSnapshot);
        };
        let waiting_for = match volumes.first().map(|volume| check(volume, &snapshot)) {
            Some(Verdict::Successful) => return Ok(Found::Equal),
            Some(Verdict::Failed(wrong)) => return Ok(Found::Different(wrong)),
            Some(Verdict::NotYet) => "it is still being created",
            Some(Verdict::Unknown) => "EC2 does not return its size or whether it is encrypted",
            None => {
                unseen += 1;
                if unseen == CHECKS {
                    return Ok(Found::Different(vec![
                        "AWS Backup restored it, but it does not exist in EC2".to_owned(),
                    ]));
                }
                "EC2 does not show it yet"
            }
        };
        if clock.remaining() < RESERVE {
            return Err(Error::Retryable(Fault::new(
                "ec2:DescribeVolumes",
                volume_id.as_str(),
                waiting_for,
                CHECKED_AGAIN,
            )));
        }
        clock.sleep(PAUSE).await;
    }
}

/// Creates the OpsItem and notifies operators once. If the item cannot be created, they are still notified.
/// Returns `None` if OpsCenter's quota is used up.
async fn record_and_notify(
    ports: &impl ValidationPorts,
    scope: &Scope,
    job: &RestoreJob,
    wrong: &str,
) -> Result<Option<OpsItemId>, Error> {
    let written =
        unless_at_quota(find_or_create(ports.ops_items(), &failed_item(job, wrong)).await);
    if let Ok(Some(item)) = &written
        && item.data.contains_key(NOTIFIED)
    {
        return Ok(Some(item.id.clone()));
    }
    let item = written.map(|item| item.map(|item| item.id));
    let notification = Notification {
        subject: TITLE.to_owned(),
        pointer: format!("Restore job {}.", shown(job.id.as_str())),
        message: Explanation {
            happened: format!(
                "A restore test restored a recovery point. The result differs from the recovery point, and a recovery would have the same result.\n\
                 - Restore job: {id}\n- Recovery point: {point}\n- Account: {account}\n- Region: {region}\n- OpsItem: {item}",
                account = scope.account,
                region = scope.region,
                id = shown(job.id.as_str()),
                point = job
                    .recovery_point
                    .as_ref()
                    .map_or("(not named)".to_owned(), |point| shown(point.as_str())),
                item = item_named(&item),
            ),
            why: one_line(wrong),
            done: DONE.to_owned(),
            action: ACTION.to_owned(),
        }
        .plain(TITLE),
        attributes: vec![("kind", "restore-test-failed".to_owned())],
    };
    notify_and_record(ports, item, &notification, wrong).await
}

const TITLE: &str = "Restore test failed: the restored volume differs from its recovery point";
const DONE: &str =
    "The result FAILED is reported to AWS Backup. AWS Backup deletes the restored volume.";
const ACTION: &str = "Check the metadata of the restore testing selection, the restore role and its KMS keys. \
     Restore the same recovery point again and check that volume. Until a test succeeds, do not rely on the recovery points of this resource.";
const CHECKED_AGAIN: &str = "No action needed. The restore test is checked again automatically.";

/// The OpsItem of a failed restore test. The restore job itself has none, because it completed.
fn failed_item(job: &RestoreJob, wrong: &str) -> NewOpsItem {
    NewOpsItem {
        key: ItemKey::new("restore-test", job.id.as_str()),
        title: TITLE.to_owned(),
        description: Explanation {
            happened: format!(
                "A recovery from this recovery point would have the same result. {}",
                restore_facts(job)
            ),
            why: code(wrong),
            done: DONE.to_owned(),
            action: ACTION.to_owned(),
        }
        .markdown(),
        severity: Severity::High,
        category: "Recovery",
        data: restore_item(job, false).data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        Volume {
            id: VolumeId::new("vol-1"),
            state: "available".into(),
            zone: "us-west-2a".to_owned(),
            attachments: Vec::new(),
            key: None,
            restore_test: true,
            owner: None,
            size: Some(100),
            encrypted: Some(true),
            snapshot: Some("snap-1".to_owned()),
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            id: "snap-1".to_owned(),
            size: 100,
            encrypted: true,
        }
    }

    #[test]
    fn compares_a_volume_with_its_recovery_point() {
        let state = |state: &str| Volume {
            state: state.into(),
            ..volume()
        };
        let cases: &[(&str, Volume, Snapshot, &[&str])] = &[
            ("valid", volume(), snapshot(), &[]),
            (
                "larger",
                Volume {
                    size: Some(101),
                    ..volume()
                },
                snapshot(),
                &[],
            ),
            (
                "smaller",
                Volume {
                    size: Some(99),
                    ..volume()
                },
                snapshot(),
                &["its size is 99 GiB, the size of the recovery point 100 GiB"],
            ),
            (
                "neither is encrypted",
                Volume {
                    encrypted: Some(false),
                    ..volume()
                },
                Snapshot {
                    encrypted: false,
                    ..snapshot()
                },
                &[],
            ),
            (
                "encrypted, unlike the recovery point",
                volume(),
                Snapshot {
                    encrypted: false,
                    ..snapshot()
                },
                &[],
            ),
            (
                "lost its encryption",
                Volume {
                    encrypted: Some(false),
                    ..volume()
                },
                snapshot(),
                &["it is not encrypted, but the recovery point is"],
            ),
            (
                "of another snapshot",
                Volume {
                    snapshot: Some("snap-2".to_owned()),
                    ..volume()
                },
                snapshot(),
                &["it was created from snap-2, not from snap-1"],
            ),
            (
                "empty",
                Volume {
                    snapshot: None,
                    ..volume()
                },
                snapshot(),
                &["it was not created from snap-1"],
            ),
            (
                "broken",
                state("error"),
                snapshot(),
                &["its state is error, not available"],
            ),
            (
                "in use",
                state("in-use"),
                snapshot(),
                &["its state is in-use, not available"],
            ),
            (
                "deleted already",
                state("deleting"),
                snapshot(),
                &["its state is deleting, not available"],
            ),
            (
                "everything wrong",
                Volume {
                    state: "error".into(),
                    size: Some(1),
                    encrypted: Some(false),
                    snapshot: None,
                    ..volume()
                },
                snapshot(),
                &[
                    "its state is error, not available",
                    "it was not created from snap-1",
                    "its size is 1 GiB, the size of the recovery point 100 GiB",
                    "it is not encrypted, but the recovery point is",
                ],
            ),
        ];
        for (name, volume, snapshot, wrong) in cases {
            let expected = if wrong.is_empty() {
                Verdict::Successful
            } else {
                Verdict::Failed(wrong.iter().map(|text| (*text).to_owned()).collect())
            };
            assert_eq!(check(volume, snapshot), expected, "{name}");
        }
        // No verdict while the volume is being created.
        let creating = Volume {
            size: Some(0),
            ..state("creating")
        };
        assert_eq!(check(&creating, &snapshot()), Verdict::NotYet);
        // A missing field gives no verdict.
        for incomplete in [
            Volume {
                size: None,
                ..volume()
            },
            Volume {
                encrypted: None,
                ..volume()
            },
        ] {
            assert_eq!(check(&incomplete, &snapshot()), Verdict::Unknown);
        }
    }
}
