//! AWS Backup: restore jobs, and the tags of recovery points that AWS Backup has itself. The modules below read recovery
//! points and restore tests.

mod recovery_points;
mod restore_tests;

use std::collections::BTreeMap;

use aws_sdk_backup::Client;
use aws_sdk_backup::operation::describe_restore_job::DescribeRestoreJobOutput;
use aws_sdk_backup::types::RestoreJobsListMember;
use chrono::{DateTime, Utc};
use recovery_core::aws::arn::{Arn, RecoveryPointArn, RestoreJobId};
use recovery_core::aws::backup::{RestoreJob, RestoreRequest, StartAnswer};
use recovery_core::error::{Error, Fault};
use recovery_core::ports::{Page, RestoreJobs};
use recovery_core::tags::Tags;

use crate::client::{Config, Lazy, client};
use crate::error::{classify, code, incomplete, message};

use recovery_points::{GET_RESTORE_METADATA, LIST_RECOVERY_POINTS};
use restore_tests::PUT_RESTORE_VALIDATION_RESULT;

/// AWS Backup in the recovery Region.
#[derive(Debug)]
pub struct Backup {
    client: Lazy<Client>,
}

const GET_JOB_METADATA: &str = "backup:GetRestoreJobMetadata";
const DESCRIBE_RESTORE_JOB: &str = "backup:DescribeRestoreJob";
const LIST_RESTORE_JOBS: &str = "backup:ListRestoreJobs";
const LIST_TAGS: &str = "backup:ListTags";
const START_RESTORE_JOB: &str = "backup:StartRestoreJob";

/// The code of an error that says that the vault or the recovery point does not exist.
const NOT_FOUND: &str = "ResourceNotFoundException";

impl Backup {
    /// The IAM actions that an integration needs.
    pub const INTEGRATION_ACTIONS: &'static [&'static str] = &[DESCRIBE_RESTORE_JOB, LIST_TAGS];

    /// The IAM actions for the list of restore jobs.
    pub const LISTING_ACTIONS: &'static [&'static str] = &[LIST_RESTORE_JOBS];

    /// The IAM actions that planning needs.
    pub const PLANNING_ACTIONS: &'static [&'static str] = &[LIST_RECOVERY_POINTS, LIST_TAGS];

    /// The IAM actions that starting a restore needs.
    pub const STARTING_ACTIONS: &'static [&'static str] = &[
        DESCRIBE_RESTORE_JOB,
        GET_JOB_METADATA,
        GET_RESTORE_METADATA,
        LIST_RESTORE_JOBS,
        START_RESTORE_JOB,
    ];

    /// The IAM action for the metadata that a restore job was started with.
    pub const METADATA_ACTIONS: &'static [&'static str] = &[GET_JOB_METADATA];

    /// The IAM action for the metadata that is stored with a recovery point.
    pub const POINT_METADATA_ACTIONS: &'static [&'static str] = &[GET_RESTORE_METADATA];

    /// The IAM actions that validating a restore test needs.
    pub const VALIDATION_ACTIONS: &'static [&'static str] =
        &[DESCRIBE_RESTORE_JOB, PUT_RESTORE_VALIDATION_RESULT];

    pub fn new(config: &Config) -> Backup {
        Backup {
            client: client!(config, aws_sdk_backup),
        }
    }

    /// All tags of a recovery point whose tags AWS Backup has.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListTags.html>
    pub(crate) async fn tags(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        let mut tags = Tags::new();
        let mut pages = self
            .client
            .list_tags()
            .resource_arn(point.as_str())
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(LIST_TAGS, point.as_str(), error))?;
            tags.extend(page.tags.unwrap_or_default());
        }
        Ok(tags)
    }
}

impl RestoreJobs for Backup {
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRestoreJob.html>
    async fn describe(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        let job = self
            .client
            .describe_restore_job()
            .restore_job_id(id.as_str())
            .send()
            .await
            .map_err(|error| classify(DESCRIBE_RESTORE_JOB, id.as_str(), error))?;
        Ok(described(id, job))
    }

    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRestoreJobs.html>
    async fn list(
        &self,
        resource_type: Option<&str>,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        let answer = self
            .client
            .list_restore_jobs()
            .set_by_resource_type(resource_type.map(str::to_owned))
            .by_created_after(aws_smithy_types::DateTime::from_secs(since.timestamp()))
            .max_results(1000)
            .set_next_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|error| classify(LIST_RESTORE_JOBS, "restores", error))?;
        Ok(Page {
            listed: answer
                .restore_jobs
                .unwrap_or_default()
                .into_iter()
                .filter_map(member)
                .collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_GetRestoreJobMetadata.html>
    async fn metadata(&self, id: &RestoreJobId) -> Result<BTreeMap<String, String>, Error> {
        let answer = self
            .client
            .get_restore_job_metadata()
            .restore_job_id(id.as_str())
            .send()
            .await
            .map_err(|error| classify(GET_JOB_METADATA, id.as_str(), error))?;
        Ok(answer.metadata.unwrap_or_default().into_iter().collect())
    }

    /// A retry by the SDK, shortly afterwards, gets the job of the first attempt.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_StartRestoreJob.html>
    async fn start(&self, request: &RestoreRequest) -> Result<StartAnswer, Error> {
        let point = request.point.as_str();
        let answer = self
            .client
            .start_restore_job()
            .recovery_point_arn(point)
            .resource_type(&request.resource_type)
            .set_metadata(Some(request.metadata.clone().into_iter().collect()))
            .iam_role_arn(&request.role)
            .idempotency_token(&request.token)
            .copy_source_tags_to_restored_resource(request.copy_tags)
            .send()
            .await;
        let error = match answer {
            Ok(answer) => {
                return answer
                    .restore_job_id
                    .filter(|id| !id.is_empty())
                    .map(|id| StartAnswer::Started(RestoreJobId::new(id)))
                    .ok_or_else(|| incomplete(START_RESTORE_JOB, point, "RestoreJobId"));
            }
            Err(error) => error,
        };
        let kind: fn(Fault) -> StartAnswer = match code(&error) {
            Some(NOT_FOUND) => StartAnswer::PointGone,
            Some(
                "InvalidParameterValueException"
                | "InvalidRequestException"
                | "MissingParameterValueException",
            ) => StartAnswer::Rejected,
            _ => return Err(classify(START_RESTORE_JOB, point, error)),
        };
        let code = code(&error).unwrap_or_default().to_owned();
        let text = message(&error).unwrap_or_default().to_owned();
        Ok(kind(
            Fault::new(
                START_RESTORE_JOB,
                point,
                text,
                "Check the recovery point in AWS Backup.",
            )
            .with_code(code)
            .with_source(error),
        ))
    }
}

/// A job of the listing. A job without an id is useless.
fn member(job: RestoreJobsListMember) -> Option<RestoreJob> {
    Some(RestoreJob {
        id: RestoreJobId::new(job.restore_job_id?),
        status: job.status.map(|status| status.as_str().to_owned()),
        status_message: job.status_message,
        resource_type: job.resource_type,
        created_resource: arn(job.created_resource_arn),
        recovery_point: arn(job.recovery_point_arn).map(RecoveryPointArn::new),
        other_forms: Vec::new(),
        source_resource: arn(job.source_resource_arn),
        iam_role: arn(job.iam_role_arn),
        restore_test: job
            .created_by
            .is_some_and(|by| by.restore_testing_plan_arn.is_some()),
        created: job.creation_date.and_then(time),
        completed: job.completion_date.and_then(time),
    })
}

fn described(id: &RestoreJobId, job: DescribeRestoreJobOutput) -> RestoreJob {
    RestoreJob {
        id: id.clone(),
        status: job.status.map(|status| status.as_str().to_owned()),
        status_message: job.status_message,
        resource_type: job.resource_type,
        created_resource: arn(job.created_resource_arn),
        recovery_point: arn(job.recovery_point_arn).map(RecoveryPointArn::new),
        other_forms: Vec::new(),
        source_resource: arn(job.source_resource_arn),
        iam_role: arn(job.iam_role_arn),
        restore_test: job
            .created_by
            .is_some_and(|by| by.restore_testing_plan_arn.is_some()),
        created: job.creation_date.and_then(time),
        completed: job.completion_date.and_then(time),
    }
}

/// An ARN that cannot be parsed counts as absent, as in the job's event. The ARN of a type without an integration must
/// not cause an error.
fn arn(text: Option<String>) -> Option<Arn> {
    text.and_then(|text| Arn::parse(&text).ok())
}

pub(crate) fn time(time: aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use recovery_core::aws::backup::EBS;
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};
    use testkit::http::decoded;

    const JOB: &str = "1A2B3C4D-5E6F-7081-92A3-B4C5D6E7F809";
    const VOLUME: &str = "arn:aws:ec2:us-west-2:111122223333:volume/vol-0a1b2c3d4e5f60718";
    const SNAPSHOT: &str = "arn:aws:ec2:us-west-2::snapshot/snap-0a1b2c3d4e5f60718";
    const SOURCE: &str = "arn:aws:ec2:us-east-1:111122223333:volume/vol-1111aaaa2222bbbb3";
    const ROLE: &str = "arn:aws:iam::111122223333:role/service-role/AWSBackupDefaultServiceRole";
    const POINT: &str =
        "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7-9EB0-435A-A80B-108B488B0D45";

    async fn asked(wire: &Wire) -> Result<RestoreJob, Error> {
        Backup::new(&wire.config())
            .describe(&RestoreJobId::new(JOB))
            .await
    }

    #[tokio::test]
    async fn describes_a_restore_job_by_id_with_every_field() {
        let wire = Wire::answering([Answer::rest(&json!({
            "AccountId": "111122223333",
            "RestoreJobId": JOB,
            "RecoveryPointArn": SNAPSHOT,
            "SourceResourceArn": SOURCE,
            "BackupVaultArn": "arn:aws:backup:us-west-2:111122223333:backup-vault:recovery",
            "CreationDate": 1_795_413_000.25,
            "CompletionDate": 1_795_413_600.5,
            "Status": "COMPLETED",
            "StatusMessage": "Done.",
            "PercentDone": "100.00%",
            "CreatedResourceArn": VOLUME,
            "ResourceType": "EBS",
            "IamRoleArn": ROLE,
        }))]);
        let job = asked(&wire).await.unwrap();
        assert_eq!(
            job,
            RestoreJob {
                id: RestoreJobId::new(JOB),
                status: Some("COMPLETED".to_owned()),
                status_message: Some("Done.".to_owned()),
                resource_type: Some("EBS".to_owned()),
                created_resource: Some(Arn::parse(VOLUME).unwrap()),
                recovery_point: Some(RecoveryPointArn::parse(SNAPSHOT).unwrap()),
                other_forms: Vec::new(),
                source_resource: Some(Arn::parse(SOURCE).unwrap()),
                iam_role: Some(Arn::parse(ROLE).unwrap()),
                restore_test: false,
                created: DateTime::from_timestamp(1_795_413_000, 250_000_000),
                completed: DateTime::from_timestamp(1_795_413_600, 500_000_000),
            }
        );
        assert_eq!(wire.only().action(), "backup:DescribeRestoreJob");
        assert_eq!(
            wire.only().uri,
            format!("https://backup.us-west-2.amazonaws.com/restore-jobs/{JOB}")
        );
    }

    #[tokio::test]
    async fn keeps_the_requested_id_of_a_sparse_job() {
        let wire = Wire::answering([Answer::rest(&json!({}))]);
        assert_eq!(
            asked(&wire).await.unwrap(),
            RestoreJob::known_by_id(RestoreJobId::new(JOB))
        );
    }

    #[tokio::test]
    async fn recognizes_a_restore_test_by_its_plan() {
        let plan = "arn:aws:backup:us-west-2:111122223333:restore-testing-plan:weekly-1";
        for (created_by, expected) in [
            (json!({"RestoreTestingPlanArn": plan}), true),
            (json!({}), false),
        ] {
            let wire = Wire::answering([Answer::rest(&json!({"CreatedBy": created_by}))]);
            assert_eq!(asked(&wire).await.unwrap().restore_test, expected);
        }
    }

    /// As in the job's event. Created resource and recovery point are checked where they are needed.
    #[tokio::test]
    async fn treats_an_invalid_arn_as_absent() {
        let wire = Wire::answering([Answer::rest(&json!({
            "Status": "COMPLETED",
            "ResourceType": "VirtualMachine",
            "CreatedResourceArn": "",
            "RecoveryPointArn": "my vm",
            "SourceResourceArn": "arn:aws:backup-gateway:us-east-1:111122223333:vm/my vm",
            "IamRoleArn": "my role",
        }))]);
        let job = asked(&wire).await.unwrap();
        assert_eq!(job.created_resource, None);
        assert_eq!(job.recovery_point, None);
        assert_eq!(job.source_resource, None);
        assert_eq!(job.iam_role, None);
        assert_eq!(job.resource_type.as_deref(), Some("VirtualMachine"));
    }

    #[tokio::test]
    async fn returns_a_permanent_error_for_an_unknown_job() {
        let wire = Wire::answering([Answer::rest_error(
            400,
            "ResourceNotFoundException",
            "Restore job does not exist.",
        )]);
        let error = asked(&wire).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "backup:DescribeRestoreJob on {JOB} failed (ResourceNotFoundException): Restore job does not exist. \
                 Look up the error code in the API reference of the service: this function does not know it."
            )
        );
    }

    #[tokio::test]
    async fn reads_tags_of_every_page() {
        let wire = Wire::answering([
            Answer::rest(&json!({"Tags": {"a": "1"}, "NextToken": "token-1"})),
            Answer::rest(&json!({"NextToken": "token-2"})),
            Answer::rest(&json!({"Tags": {"b": ""}})),
        ]);
        let tags = Backup::new(&wire.config())
            .tags(&RecoveryPointArn::parse(POINT).unwrap())
            .await
            .unwrap();
        assert_eq!(
            tags,
            Tags::from([
                ("a".to_owned(), "1".to_owned()),
                ("b".to_owned(), String::new())
            ])
        );
        let sent = wire.sent();
        assert_eq!(sent.len(), 3);
        assert_eq!(
            decoded(&sent[0].uri),
            format!("https://backup.us-west-2.amazonaws.com/tags/{POINT}")
        );
        assert!(sent[0].query().is_empty());
        assert_eq!(sent[1].query()["nextToken"], "token-1");
        assert_eq!(sent[2].query()["nextToken"], "token-2");
    }

    #[tokio::test]
    async fn lists_restore_jobs_of_every_status_page_by_page() {
        let wire = Wire::answering([
            Answer::rest(&json!({
                "RestoreJobs": [
                    {
                        "RestoreJobId": JOB,
                        "RecoveryPointArn": SNAPSHOT,
                        "SourceResourceArn": SOURCE,
                        "CreationDate": 1_795_413_000.25,
                        "CompletionDate": 1_795_413_600.5,
                        "Status": "COMPLETED",
                        "CreatedResourceArn": VOLUME,
                        "ResourceType": "EBS",
                        "IamRoleArn": ROLE,
                    },
                    {"RestoreJobId": "tested", "Status": "FAILED", "StatusMessage": "No.", "CreatedBy": {"RestoreTestingPlanArn": "arn:x"}},
                    {"Status": "COMPLETED"},
                ],
                "NextToken": "token-1",
            })),
            Answer::rest(&json!({"RestoreJobs": []})),
        ]);
        let backup = Backup::new(&wire.config());
        let since = DateTime::from_timestamp(1_795_413_000, 900_000_000).unwrap();
        let first = backup.list(Some(EBS), since, None).await.unwrap();
        assert_eq!(first.next.as_deref(), Some("token-1"));
        let [job, test] = first.listed.as_slice() else {
            panic!("{first:?}");
        };
        assert_eq!(
            *job,
            RestoreJob {
                id: RestoreJobId::new(JOB),
                status: Some("COMPLETED".to_owned()),
                status_message: None,
                resource_type: Some("EBS".to_owned()),
                created_resource: Some(Arn::parse(VOLUME).unwrap()),
                recovery_point: Some(RecoveryPointArn::parse(SNAPSHOT).unwrap()),
                other_forms: Vec::new(),
                source_resource: Some(Arn::parse(SOURCE).unwrap()),
                iam_role: Some(Arn::parse(ROLE).unwrap()),
                restore_test: false,
                created: DateTime::from_timestamp(1_795_413_000, 250_000_000),
                completed: DateTime::from_timestamp(1_795_413_600, 500_000_000),
            }
        );
        assert!(test.restore_test && test.has_failed());
        assert_eq!(test.status_message.as_deref(), Some("No."));
        let last = backup
            .list(None, since, first.next.as_deref())
            .await
            .unwrap();
        assert_eq!(last.next, None);
        let sent = wire.sent();
        assert!(sent[0].uri.contains("/restore-jobs"), "{}", sent[0].uri);
        let query = sent[0].query();
        assert!(!query.contains_key("status"));
        assert_eq!(query["resourceType"], "EBS");
        assert_eq!(query["createdAfter"], "2026-11-23T05:50:00Z");
        assert_eq!(query["maxResults"], "1000");
        assert!(!query.contains_key("nextToken"));
        assert_eq!(sent[1].query()["nextToken"], "token-1");
        assert!(!sent[1].query().contains_key("resourceType"));
    }

    fn request() -> RestoreRequest {
        RestoreRequest {
            point: RecoveryPointArn::parse(SNAPSHOT).unwrap(),
            resource_type: "EBS".to_owned(),
            metadata: [("availabilityZone".to_owned(), "us-west-2b".to_owned())].into(),
            role: "arn:aws:iam::111122223333:role/restore".to_owned(),
            token: "0123abcd".to_owned(),
            copy_tags: true,
        }
    }

    async fn started(wire: &Wire) -> Result<StartAnswer, Error> {
        Backup::new(&wire.config()).start(&request()).await
    }

    #[tokio::test]
    async fn starts_a_restore_with_the_complete_request() {
        let wire = Wire::answering([
            Answer::rest_error(400, "ThrottlingException", "Rate exceeded"),
            Answer::rest(&json!({"RestoreJobId": "J-1"})),
        ]);
        let answer = started(&wire).await.unwrap();
        assert!(matches!(answer, StartAnswer::Started(id) if id.as_str() == "J-1"));
        // The throttled attempt had the same token.
        for sent in wire.sent() {
            assert_eq!(sent.method, "PUT");
            assert_eq!(
                sent.json(),
                json!({
                    "RecoveryPointArn": SNAPSHOT,
                    "ResourceType": "EBS",
                    "Metadata": {"availabilityZone": "us-west-2b"},
                    "IamRoleArn": "arn:aws:iam::111122223333:role/restore",
                    "IdempotencyToken": "0123abcd",
                    "CopySourceTagsToRestoredResource": true,
                })
            );
        }
        assert_eq!(wire.sent().len(), 2);
        let error = started(&Wire::answering([Answer::rest(&json!({}))]))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("RestoreJobId"), "{error}");
    }

    #[tokio::test]
    async fn distinguishes_rejections_from_failures() {
        let answer = |code: &'static str| async move {
            started(&Wire::answering([Answer::rest_error(
                400,
                code,
                "A message of the service",
            )]))
            .await
        };
        assert!(matches!(
            answer(NOT_FOUND).await.unwrap(),
            StartAnswer::PointGone(_)
        ));
        for code in [
            "InvalidParameterValueException",
            "InvalidRequestException",
            "MissingParameterValueException",
        ] {
            match answer(code).await.unwrap() {
                StartAnswer::Rejected(fault) => {
                    assert_eq!(fault.message(), "A message of the service");
                    assert_eq!(fault.code(), Some(code));
                }
                other => panic!("{code}: {other:?}"),
            }
        }
        let denied = answer("AccessDeniedException").await.unwrap_err();
        assert_eq!(denied.error_type(), "Permanent");
        let wire = Wire::answering(vec![
            Answer::rest_error(
                400,
                "LimitExceededException",
                "later"
            );
            4
        ]);
        assert_eq!(started(&wire).await.unwrap_err().error_type(), "Retryable");
    }

    #[tokio::test]
    async fn reads_the_metadata_of_a_job() {
        let answer = json!({"RestoreJobId": JOB, "Metadata": {"DBInstanceIdentifier": "orders"}});
        let wire = Wire::answering(vec![Answer::rest(&answer)]);
        let backup = Backup::new(&wire.config());
        let metadata = backup.metadata(&RestoreJobId::new(JOB)).await.unwrap();
        let orders = ("DBInstanceIdentifier".to_owned(), "orders".to_owned());
        assert_eq!(metadata, BTreeMap::from([orders]));
        assert_eq!(
            wire.only().uri,
            format!("https://backup.us-west-2.amazonaws.com/restore-jobs/{JOB}/metadata")
        );
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering(vec![Answer::rest(&json!({})); 5]);
        Backup::new(&wire.config())
            .list(None, DateTime::UNIX_EPOCH, None)
            .await
            .unwrap();
        Backup::new(&wire.config())
            .metadata(&RestoreJobId::new(JOB))
            .await
            .unwrap();
        asked(&wire).await.unwrap();
        Backup::new(&wire.config())
            .tags(&RecoveryPointArn::parse(POINT).unwrap())
            .await
            .unwrap();
        started(&wire).await.unwrap_err();
        let actions = listed(&[
            DESCRIBE_RESTORE_JOB,
            GET_JOB_METADATA,
            LIST_RESTORE_JOBS,
            LIST_TAGS,
            START_RESTORE_JOB,
        ]);
        assert_eq!(wire.actions(), actions);
        let source = include_str!("backup.rs");
        assert_eq!(called_in("backup", source), actions);
    }
}
