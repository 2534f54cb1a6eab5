//! Restore tests: restore jobs of a restore testing plan.

use aws_sdk_backup::types::RestoreValidationStatus;
use recovery_core::aws::arn::RestoreJobId;
use recovery_core::aws::backup::{Report, RestoreTest};
use recovery_core::error::Error;
use recovery_core::ports::RestoreTests;

use crate::error::classify;

use super::{Backup, DESCRIBE_RESTORE_JOB, described};

pub(super) const PUT_RESTORE_VALIDATION_RESULT: &str = "backup:PutRestoreValidationResult";

impl RestoreTests for Backup {
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRestoreJob.html>
    async fn describe(&self, id: &RestoreJobId) -> Result<RestoreTest, Error> {
        let job = self
            .client
            .describe_restore_job()
            .restore_job_id(id.as_str())
            .send()
            .await
            .map_err(|error| classify(DESCRIBE_RESTORE_JOB, id.as_str(), error))?;
        let text = |status: &str| status.to_owned();
        Ok(RestoreTest {
            validation: job.validation_status().map(|status| text(status.as_str())),
            deletion: job.deletion_status().map(|status| text(status.as_str())),
            job: described(id, job),
        })
    }

    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_PutRestoreValidationResult.html>
    async fn put_result(&self, id: &RestoreJobId, report: &Report) -> Result<(), Error> {
        self.client
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
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const JOB: &str = "1A2B3C4D-5E6F-7081-92A3-B4C5D6E7F809";

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
        let backup = Backup::new(&wire.config());
        let id = RestoreJobId::new(JOB);
        let test = backup.describe(&id).await.unwrap();
        assert!(test.job.restore_test && test.job.is_completed());
        assert_eq!(test.validation.as_deref(), Some("FAILED"));
        assert_eq!(test.deletion.as_deref(), Some("DELETING"));
        let none = backup.describe(&id).await.unwrap();
        assert_eq!((none.validation, none.deletion), (None, None));
        assert!(!none.job.restore_test);
    }

    #[tokio::test]
    async fn reports_the_validation_result_with_its_message() {
        for (successful, status) in [(true, "SUCCESSFUL"), (false, "FAILED")] {
            let wire = Wire::answering([Answer::rest(&json!({}))]);
            let report = Report {
                successful,
                message: "What was found.".to_owned(),
            };
            Backup::new(&wire.config())
                .put_result(&RestoreJobId::new(JOB), &report)
                .await
                .unwrap();
            assert_eq!(
                wire.only().uri,
                format!("https://backup.us-west-2.amazonaws.com/restore-jobs/{JOB}/validations")
            );
            assert_eq!(
                wire.only().json(),
                json!({"ValidationStatus": status, "ValidationStatusMessage": "What was found."})
            );
        }
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering(vec![Answer::rest(&json!({})); 2]);
        let backup = Backup::new(&wire.config());
        let id = RestoreJobId::new(JOB);
        RestoreTests::describe(&backup, &id).await.unwrap();
        let report = Report {
            successful: true,
            message: String::new(),
        };
        backup.put_result(&id, &report).await.unwrap();
        assert_eq!(wire.actions(), listed(Backup::VALIDATION_ACTIONS));
        assert_eq!(
            called_in("backup", include_str!("restore_tests.rs")),
            listed(Backup::VALIDATION_ACTIONS)
        );
    }
}
