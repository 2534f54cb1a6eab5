//! Whether a restore test made what the recovery point promises: looks, decides ([`check`]), tells
//! people where it did not, and reports the result to AWS Backup.
//!
//! What lies in the volume is not read: that takes an instance. A result cannot be changed once it is
//! reported, so nothing is reported that was not seen, and people are told before it is.
//! <https://docs.aws.amazon.com/aws-backup/latest/devguide/restore-testing-validation.html>

use std::time::Duration;

use futures_util::future::try_join;

use crate::aws::arn::{OpsItemId, RecoveryPointArn, RestoreJobId, Scope, VolumeId};
use crate::aws::backup::{EBS, Report, RestoreJob};
use crate::aws::ec2::{Snapshot, Volume, VolumeState};
use crate::error::{Error, Fault};
use crate::notification::Notification;
use crate::ops_item::run::{find_or_create, notify_and_record};
use crate::ops_item::{ItemKey, NOTIFIED, NewOpsItem, Severity, item_named, unless_at_quota};
use crate::outcome::Outcome;
use crate::ports::{Clock, RestoreTests, Snapshots, ValidationPorts, Volumes};
use crate::text::{code, one_line, shown};
use crate::track::run::restore_item;

/// Looks for a volume that does not show before it counts as missing: EC2 is eventually consistent.
const CHECKS: usize = 5;
/// Left of a run's time for writing down what was found: a call may take 20 s with all its attempts.
const RESERVE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(3);

/// What a look at volume and snapshot tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The volume is as the recovery point promises.
    Successful,
    /// It is not, and in what.
    Failed(Vec<String>),
    /// It is being made still.
    NotYet,
    /// EC2 does not say how large the volume is, or whether it is encrypted.
    Unknown,
}

/// Holds the volume against the snapshot that it should be of.
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
        Some(of) => wrong.push(format!("it was made of {of}, not of {}", snapshot.id)),
        None => wrong.push(format!(
            "it was made of no snapshot, not of {}",
            snapshot.id
        )),
    }
    if size < snapshot.size {
        wrong.push(format!(
            "it has {size} GiB, and the recovery point {}",
            snapshot.size
        ));
    }
    if snapshot.encrypted && !encrypted {
        wrong.push("it is not encrypted, and the recovery point is".to_owned());
    }
    if wrong.is_empty() {
        Verdict::Successful
    } else {
        Verdict::Failed(wrong)
    }
}

/// Validates what `job` restored, if a restore test started it. The job may be known from an event
/// only, or by its id.
///
/// # Errors
/// [`Error::Retryable`] while the volume is being made, or when a call failed that may succeed
/// later; [`Error::Permanent`] when a call failed for good. A restore that failed its test is no
/// error: people have been told.
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
        // No result is better than one without a look: AWS Backup shows the test as not validated.
        return Ok(Outcome::ignored("resource-type").with("restoreJobId", job.id.as_str()));
    };
    let report = match look(ports, clock, &volume_id, snapshot_id).await? {
        Found::NoSnapshot => {
            return Ok(Outcome::ignored("recovery-point-gone")
                .with("restoreJobId", job.id.as_str())
                .with("volumeId", volume_id.as_str()));
        }
        Found::AsPromised => Report {
            successful: true,
            message: format!(
                "{volume_id} is available, made of {snapshot_id}, of its size and encrypted if it is. What lies in it was not read."
            ),
        },
        Found::Wrong(wrong) => Report {
            successful: false,
            message: format!(
                "{volume_id} is not as its recovery point: {}.",
                wrong.join("; ")
            ),
        },
    };
    let item = if report.successful {
        None
    } else {
        Some(tell(ports, scope, &job, &report.message).await?)
    };
    let status = if report.successful {
        "SUCCESSFUL"
    } else {
        "FAILED"
    };
    let outcome = match ports.restore_tests().put_result(&job.id, &report).await {
        Ok(()) => validated(Outcome::validated(), &job.id, status),
        // Another run may have been first, or an answer was lost.
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

/// The volume that the job made and the snapshot it was to be made of, where it is about an EBS
/// volume.
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
    AsPromised,
    Wrong(Vec<String>),
    /// The recovery point has expired meanwhile: there is nothing to compare with.
    NoSnapshot,
}

/// Looks until there is something to say.
async fn look(
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
            Some(Verdict::Successful) => return Ok(Found::AsPromised),
            Some(Verdict::Failed(wrong)) => return Ok(Found::Wrong(wrong)),
            Some(Verdict::NotYet) => "it is being made still",
            Some(Verdict::Unknown) => "EC2 does not say its size or whether it is encrypted",
            None => {
                unseen += 1;
                if unseen == CHECKS {
                    return Ok(Found::Wrong(vec![
                        "AWS Backup made it, and EC2 does not know it".to_owned(),
                    ]));
                }
                "EC2 does not show it"
            }
        };
        if clock.remaining() < RESERVE {
            return Err(Error::Retryable(Fault::new(
                "ec2:DescribeVolumes",
                volume_id.as_str(),
                waiting_for,
                "Nothing to do yet: this restore test is looked at again.",
            )));
        }
        clock.sleep(PAUSE).await;
    }
}

/// Writes down what was wrong and tells people, once. Where it cannot be written down, they are told
/// all the same. `None` where OpsCenter's quota lets no item be created.
async fn tell(
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
        message: format!(
            "A recovery point was restored for a test, and what came of it is not as it should be. \
             On the day it would not be either.\n\n\
             What: {wrong}\nWhat to do: {WHAT_TO_DO}\n\n\
             Where: account {account}, Region {region}\nRestore job: {id}\nRecovery point: {point}\nOpsItem: {item}\n",
            wrong = one_line(wrong),
            account = scope.account,
            region = scope.region,
            id = shown(job.id.as_str()),
            point = job
                .recovery_point
                .as_ref()
                .map_or("(not named)".to_owned(), |point| shown(point.as_str())),
            item = item_named(&item),
        ),
        attributes: vec![("kind", "restore-test-failed".to_owned())],
    };
    notify_and_record(ports, item, &notification, wrong).await
}

const TITLE: &str = "Restore test failed: what was restored is not as it should be";
const WHAT_TO_DO: &str = "Restore the same recovery point by hand and look at the volume before AWS Backup deletes \
     the test's. Look at the metadata of the restore testing selection, the restore role and its keys. Until a test succeeds, \
     take the copies of this resource for unproven.";

/// The OpsItem of a restore that failed its test. The job itself has none: it completed.
fn failed_item(job: &RestoreJob, wrong: &str) -> NewOpsItem {
    let of_job = restore_item(job, false);
    NewOpsItem {
        key: ItemKey::new("restore-test", job.id.as_str()),
        title: TITLE.to_owned(),
        description: format!(
            "{facts}\n\n**What is wrong.** {wrong}\n\n\
             **What it means.** A recovery from this recovery point would end in the same.\n\n**What to do.** {WHAT_TO_DO}",
            facts = of_job.facts(),
            wrong = code(wrong),
        ),
        severity: Severity::High,
        category: "Recovery",
        data: of_job.data,
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
                &["it has 99 GiB, and the recovery point 100"],
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
                &["it is not encrypted, and the recovery point is"],
            ),
            (
                "of another snapshot",
                Volume {
                    snapshot: Some("snap-2".to_owned()),
                    ..volume()
                },
                snapshot(),
                &["it was made of snap-2, not of snap-1"],
            ),
            (
                "empty",
                Volume {
                    snapshot: None,
                    ..volume()
                },
                snapshot(),
                &["it was made of no snapshot, not of snap-1"],
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
                    "it was made of no snapshot, not of snap-1",
                    "it has 1 GiB, and the recovery point 100",
                    "it is not encrypted, and the recovery point is",
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
        let making = Volume {
            size: Some(0),
            ..state("creating")
        };
        assert_eq!(check(&making, &snapshot()), Verdict::NotYet);
        // What is not said is not taken for good, nor for wrong.
        for untold in [
            Volume {
                size: None,
                ..volume()
            },
            Volume {
                encrypted: None,
                ..volume()
            },
        ] {
            assert_eq!(check(&untold, &snapshot()), Verdict::Unknown);
        }
    }
}
