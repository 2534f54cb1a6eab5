//! Restore tests of AWS Backup, and their volumes in EC2.

use aws_sdk_backup::types::RestoreValidationStatus;
use recovery_core::aws::arn::{RestoreJobId, VolumeId};
use recovery_core::aws::backup::{Report, RestoreTest};
use recovery_core::aws::ec2::{Snapshot, TestVolume};
use recovery_core::error::Error;

use crate::backup::translate;
use crate::client::{Config, Lazy, client};
use crate::error::{classify, code, incomplete};

/// Restore tests in the recovery Region.
#[derive(Debug)]
pub struct RestoreTesting {
    backup: Lazy<aws_sdk_backup::Client>,
    ec2: Lazy<aws_sdk_ec2::Client>,
}

const DESCRIBE_RESTORE_JOB: &str = "backup:DescribeRestoreJob";
const PUT_RESTORE_VALIDATION_RESULT: &str = "backup:PutRestoreValidationResult";
const DESCRIBE_SNAPSHOTS: &str = "ec2:DescribeSnapshots";
const DESCRIBE_VOLUMES: &str = "ec2:DescribeVolumes";

impl RestoreTesting {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[
        DESCRIBE_RESTORE_JOB,
        PUT_RESTORE_VALIDATION_RESULT,
        DESCRIBE_SNAPSHOTS,
        DESCRIBE_VOLUMES,
    ];

    pub fn new(config: &Config) -> RestoreTesting {
        RestoreTesting {
            backup: client!(config, aws_sdk_backup),
            ec2: client!(config, aws_sdk_ec2),
        }
    }

    /// The current description of the restore job.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRestoreJob.html>
    pub(crate) async fn restore_test(&self, id: &RestoreJobId) -> Result<RestoreTest, Error> {
        let job = self
            .backup
            .describe_restore_job()
            .restore_job_id(id.as_str())
            .send()
            .await
            .map_err(|error| classify(DESCRIBE_RESTORE_JOB, id.as_str(), error))?;
        let text = |status: &str| status.to_owned();
        Ok(RestoreTest {
            validation: job.validation_status().map(|status| text(status.as_str())),
            deletion: job.deletion_status().map(|status| text(status.as_str())),
            job: translate(id, job),
        })
    }

    /// The current description of the volume; `None` if EC2 does not show it.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumes.html>
    pub(crate) async fn test_volume(&self, id: &VolumeId) -> Result<Option<TestVolume>, Error> {
        let answer = self
            .ec2
            .describe_volumes()
            .volume_ids(id.as_str())
            .send()
            .await;
        let answer = match answer {
            Err(error) if code(&error) == Some("InvalidVolume.NotFound") => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_VOLUMES, id.as_str(), error))?,
        };
        let Some(volume) = answer
            .volumes
            .unwrap_or_default()
            .into_iter()
            .find(|volume| volume.volume_id.as_deref() == Some(id.as_str()))
        else {
            return Ok(None);
        };
        let missing = |member| incomplete(DESCRIBE_VOLUMES, id.as_str(), member);
        Ok(Some(TestVolume {
            state: volume
                .state
                .ok_or_else(|| missing("state"))?
                .as_str()
                .into(),
            size: volume.size.ok_or_else(|| missing("size"))?,
            encrypted: volume.encrypted.ok_or_else(|| missing("encrypted"))?,
            // Empty for a volume that was not created from a snapshot.
            snapshot: volume.snapshot_id.filter(|snapshot| !snapshot.is_empty()),
        }))
    }

    /// The snapshot; `None` if EC2 does not show it.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html>
    pub(crate) async fn snapshot(&self, id: &str) -> Result<Option<Snapshot>, Error> {
        let answer = self.ec2.describe_snapshots().snapshot_ids(id).send().await;
        let answer = match answer {
            Err(error) if code(&error) == Some("InvalidSnapshot.NotFound") => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_SNAPSHOTS, id, error))?,
        };
        let Some(snapshot) = answer
            .snapshots
            .unwrap_or_default()
            .into_iter()
            .find(|snapshot| snapshot.snapshot_id.as_deref() == Some(id))
        else {
            return Ok(None);
        };
        let missing = |member| incomplete(DESCRIBE_SNAPSHOTS, id, member);
        Ok(Some(Snapshot {
            id: id.to_owned(),
            size: snapshot.volume_size.ok_or_else(|| missing("volume size"))?,
            encrypted: snapshot.encrypted.ok_or_else(|| missing("encrypted"))?,
        }))
    }

    /// Reports the result of a test.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_PutRestoreValidationResult.html>
    pub(crate) async fn report(&self, id: &RestoreJobId, report: &Report) -> Result<(), Error> {
        self.backup
            .put_restore_validation_result()
            .restore_job_id(id.as_str())
            .validation_status(if report.successful {
                RestoreValidationStatus::Successful
            } else {
                RestoreValidationStatus::Failed
            })
            .validation_status_message(report.message.as_str())
            .send()
            .await
            .map_err(|error| classify(PUT_RESTORE_VALIDATION_RESULT, id.as_str(), error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const JOB: &str = "1A2B3C4D-5E6F-7081-92A3-B4C5D6E7F809";
    const VOLUME: &str = "vol-0a1b2c3d4e5f60718";
    const SNAPSHOT: &str = "snap-0a1b2c3d4e5f60718";

    fn volumes(members: &str) -> Answer {
        Answer::ec2(
            "DescribeVolumes",
            &format!("<volumeSet><item><volumeId>{VOLUME}</volumeId>{members}</item></volumeSet>"),
        )
    }

    fn snapshots(members: &str) -> Answer {
        Answer::ec2(
            "DescribeSnapshots",
            &format!(
                "<snapshotSet><item><snapshotId>{SNAPSHOT}</snapshotId>{members}</item></snapshotSet>"
            ),
        )
    }

    #[tokio::test]
    async fn describes_a_restore_test_with_validation_and_deletion_status() {
        let plan = "arn:aws:backup:us-west-2:111122223333:restore-testing-plan:weekly-1";
        let wire = Wire::answering([
            Answer::rest(&json!({
                "RestoreJobId": JOB,
                "Status": "COMPLETED",
                "CreatedBy": {"RestoreTestingPlanArn": plan},
                "ValidationStatus": "FAILED",
                "DeletionStatus": "DELETING",
            })),
            Answer::rest(&json!({"Status": "RUNNING"})),
        ]);
        let testing = RestoreTesting::new(&wire.config());
        let id = RestoreJobId::new(JOB);
        let test = testing.restore_test(&id).await.unwrap();
        assert!(test.job.restore_test && test.job.is_completed());
        assert_eq!(test.validation.as_deref(), Some("FAILED"));
        assert_eq!(test.deletion.as_deref(), Some("DELETING"));
        let none = testing.restore_test(&id).await.unwrap();
        assert_eq!((none.validation, none.deletion), (None, None));
        assert!(!none.job.restore_test);
    }

    #[tokio::test]
    async fn describes_a_test_volume_with_state_size_encryption_and_snapshot() {
        let wire = Wire::answering([
            volumes(&format!(
                "<size>100</size><snapshotId>{SNAPSHOT}</snapshotId><status>available</status><encrypted>true</encrypted>"
            )),
            volumes(
                "<size>8</size><snapshotId/><status>error</status><encrypted>false</encrypted>",
            ),
            volumes("<size>8</size><status>available</status>"),
        ]);
        let testing = RestoreTesting::new(&wire.config());
        let id = VolumeId::new(VOLUME);
        assert_eq!(
            testing.test_volume(&id).await.unwrap(),
            Some(TestVolume {
                state: "available".into(),
                size: 100,
                encrypted: true,
                snapshot: Some(SNAPSHOT.to_owned()),
            })
        );
        assert_eq!(wire.sent()[0].form()["VolumeId.1"], VOLUME);
        let empty = testing.test_volume(&id).await.unwrap().unwrap();
        assert_eq!((empty.state.as_str(), empty.snapshot), ("error", None));
        // A missing member does not count as false.
        let error = testing.test_volume(&id).await.unwrap_err();
        assert!(error.to_string().contains("encrypted"), "{error}");
    }

    #[tokio::test]
    async fn describes_a_snapshot_with_size_and_encryption() {
        let wire = Wire::answering([
            snapshots("<volumeSize>100</volumeSize><encrypted>true</encrypted>"),
            snapshots("<encrypted>true</encrypted>"),
        ]);
        let testing = RestoreTesting::new(&wire.config());
        assert_eq!(
            testing.snapshot(SNAPSHOT).await.unwrap(),
            Some(Snapshot {
                id: SNAPSHOT.to_owned(),
                size: 100,
                encrypted: true,
            })
        );
        assert_eq!(wire.sent()[0].form()["SnapshotId.1"], SNAPSHOT);
        let error = testing.snapshot(SNAPSHOT).await.unwrap_err();
        assert!(error.to_string().contains("volume size"), "{error}");
    }

    #[tokio::test]
    async fn returns_none_for_a_missing_volume_or_snapshot() {
        let wire = Wire::answering([
            Answer::ec2_error(400, "InvalidVolume.NotFound", "The volume does not exist."),
            Answer::ec2("DescribeVolumes", "<volumeSet/>"),
            Answer::ec2_error(
                400,
                "InvalidSnapshot.NotFound",
                "The snapshot does not exist.",
            ),
            Answer::ec2("DescribeSnapshots", "<snapshotSet/>"),
            Answer::ec2_error(403, "UnauthorizedOperation", "You are not authorized."),
        ]);
        let testing = RestoreTesting::new(&wire.config());
        let id = VolumeId::new(VOLUME);
        assert_eq!(testing.test_volume(&id).await.unwrap(), None);
        assert_eq!(testing.test_volume(&id).await.unwrap(), None);
        assert_eq!(testing.snapshot(SNAPSHOT).await.unwrap(), None);
        assert_eq!(testing.snapshot(SNAPSHOT).await.unwrap(), None);
        let error = testing.snapshot(SNAPSHOT).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
    }

    #[tokio::test]
    async fn reports_the_validation_result_with_its_message() {
        for (successful, status) in [(true, "SUCCESSFUL"), (false, "FAILED")] {
            let wire = Wire::answering([Answer::rest(&json!({}))]);
            let report = Report {
                successful,
                message: "The volume is valid.".to_owned(),
            };
            RestoreTesting::new(&wire.config())
                .report(&RestoreJobId::new(JOB), &report)
                .await
                .unwrap();
            assert_eq!(
                wire.only().uri,
                format!("https://backup.us-west-2.amazonaws.com/restore-jobs/{JOB}/validations")
            );
            assert_eq!(
                wire.only().json(),
                json!({"ValidationStatus": status, "ValidationStatusMessage": "The volume is valid."})
            );
        }
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([
            Answer::rest(&json!({})),
            Answer::ec2("DescribeVolumes", "<volumeSet/>"),
            Answer::ec2("DescribeSnapshots", "<snapshotSet/>"),
            Answer::rest(&json!({})),
        ]);
        let testing = RestoreTesting::new(&wire.config());
        let id = RestoreJobId::new(JOB);
        testing.restore_test(&id).await.unwrap();
        testing.test_volume(&VolumeId::new(VOLUME)).await.unwrap();
        testing.snapshot(SNAPSHOT).await.unwrap();
        let report = Report {
            successful: true,
            message: String::new(),
        };
        testing.report(&id, &report).await.unwrap();
        assert_eq!(wire.actions(), listed(RestoreTesting::ACTIONS));
        // Two services: the calls of each go through its own client.
        let (source, _) = include_str!("restore_tests.rs")
            .split_once("#[cfg(test)]")
            .unwrap();
        let packed: String = source.split_whitespace().collect();
        let called: BTreeSet<String> = ["backup", "ec2"]
            .into_iter()
            .flat_map(|service| {
                let own = packed.replace(&format!("self.{service}."), "self.client.");
                called_in(service, &own)
            })
            .collect();
        assert_eq!(called, listed(RestoreTesting::ACTIONS));
    }
}
