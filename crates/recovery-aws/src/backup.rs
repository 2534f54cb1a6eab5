//! AWS Backup: restore jobs, and the tags of recovery points that AWS Backup has itself. [`recovery`] lists the recovery
//! points of a vault and starts restores.

mod recovery;

use aws_sdk_backup::Client;
use aws_sdk_backup::operation::describe_restore_job::DescribeRestoreJobOutput;
use chrono::{DateTime, Utc};
use recovery_core::aws::arn::{Arn, RecoveryPointArn, RestoreJobId};
use recovery_core::aws::backup::{EBS, RestoreJob};
use recovery_core::error::Error;
use recovery_core::ports::Page;
use recovery_core::tags::Tags;

use crate::client::{Config, Lazy, client};
use crate::error::classify;

/// AWS Backup in the recovery Region.
#[derive(Debug)]
pub struct Backup {
    client: Lazy<Client>,
}

const DESCRIBE_RESTORE_JOB: &str = "backup:DescribeRestoreJob";
const LIST_RESTORE_JOBS: &str = "backup:ListRestoreJobs";
const LIST_TAGS: &str = "backup:ListTags";

impl Backup {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[DESCRIBE_RESTORE_JOB, LIST_TAGS];

    /// The IAM actions for the list of restore jobs.
    pub const LISTING_ACTIONS: &'static [&'static str] = &[LIST_RESTORE_JOBS];

    pub fn new(config: &Config) -> Backup {
        Backup {
            client: client!(config, aws_sdk_backup),
        }
    }

    /// The current description of the job.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRestoreJob.html>
    pub(crate) async fn restore_job(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        let job = self
            .client
            .describe_restore_job()
            .restore_job_id(id.as_str())
            .send()
            .await
            .map_err(|error| classify(DESCRIBE_RESTORE_JOB, id.as_str(), error))?;
        Ok(translate(id, job))
    }

    /// One page of the jobs that restore an EBS volume and were created after `since`, with any status.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRestoreJobs.html>
    pub(crate) async fn restores(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        let answer = self
            .client
            .list_restore_jobs()
            .by_resource_type(EBS)
            .by_created_after(aws_smithy_types::DateTime::from_secs(since.timestamp()))
            .max_results(1000)
            .set_next_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|error| classify(LIST_RESTORE_JOBS, "restores", error))?;
        let listed = answer
            .restore_jobs
            .unwrap_or_default()
            .into_iter()
            .filter_map(|job| {
                Some(RestoreJob {
                    // A job without an id is useless.
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
                    completed: job.completion_date.and_then(time),
                })
            })
            .collect();
        Ok(Page {
            listed,
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
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

pub(crate) fn translate(id: &RestoreJobId, job: DescribeRestoreJobOutput) -> RestoreJob {
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
        completed: job.completion_date.and_then(time),
    }
}

/// An ARN that cannot be parsed counts as absent, as in the job's event. The ARN of a type without an integration must
/// not cause an error.
pub(crate) fn arn(text: Option<String>) -> Option<Arn> {
    text.and_then(|text| Arn::parse(&text).ok())
}

pub(crate) fn time(time: aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}

#[cfg(test)]
mod tests {
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

    async fn described(wire: &Wire) -> Result<RestoreJob, Error> {
        Backup::new(&wire.config())
            .restore_job(&RestoreJobId::new(JOB))
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
        let job = described(&wire).await.unwrap();
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
            described(&wire).await.unwrap(),
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
            assert_eq!(described(&wire).await.unwrap().restore_test, expected);
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
        let job = described(&wire).await.unwrap();
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
        let error = described(&wire).await.unwrap_err();
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
                        "CompletionDate": 1_795_413_600.5,
                        "Status": "COMPLETED",
                        "CreatedResourceArn": VOLUME,
                        "ResourceType": "EBS",
                        "IamRoleArn": ROLE,
                    },
                    {"RestoreJobId": "tested", "CreatedBy": {"RestoreTestingPlanArn": "arn:x"}},
                    {"Status": "COMPLETED"},
                ],
                "NextToken": "token-1",
            })),
            Answer::rest(&json!({"RestoreJobs": []})),
        ]);
        let backup = Backup::new(&wire.config());
        let since = DateTime::from_timestamp(1_795_413_000, 0).unwrap();
        let first = backup.restores(since, None).await.unwrap();
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
                completed: DateTime::from_timestamp(1_795_413_600, 500_000_000),
            }
        );
        assert!(test.restore_test);
        let last = backup.restores(since, first.next.as_deref()).await.unwrap();
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
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering(vec![Answer::rest(&json!({})); 3]);
        Backup::new(&wire.config())
            .restores(DateTime::UNIX_EPOCH, None)
            .await
            .unwrap();
        described(&wire).await.unwrap();
        Backup::new(&wire.config())
            .tags(&RecoveryPointArn::parse(POINT).unwrap())
            .await
            .unwrap();
        let actions = listed(&[Backup::ACTIONS, Backup::LISTING_ACTIONS].concat());
        assert_eq!(wire.actions(), actions);
        let source = include_str!("backup.rs");
        assert_eq!(called_in("backup", source), actions);
    }
}
