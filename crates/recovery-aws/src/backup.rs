//! AWS Backup: restore jobs and the tags of the recovery points it holds itself.

use aws_sdk_backup::Client;
use chrono::{DateTime, Utc};
use recovery_core::arn::{Arn, RecoveryPointArn, RestoreJobId};
use recovery_core::error::Error;
use recovery_core::restore_job::RestoreJob;
use recovery_core::tags::Tags;

use crate::client::Config;
use crate::error::classify;

/// AWS Backup in the recovery Region.
#[derive(Debug)]
pub struct Backup {
    client: Client,
}

const DESCRIBE_RESTORE_JOB: &str = "backup:DescribeRestoreJob";
const LIST_TAGS: &str = "backup:ListTags";

impl Backup {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[DESCRIBE_RESTORE_JOB, LIST_TAGS];

    /// A client on `config`.
    pub fn new(config: &Config) -> Backup {
        Backup {
            client: Client::new(config),
        }
    }

    /// The job, as AWS Backup knows it now.
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
        let arn = |text: Option<String>| text.as_deref().map(Arn::parse).transpose();
        Ok(RestoreJob {
            id: id.clone(),
            status: job.status.map(|status| status.as_str().to_owned()),
            status_message: job.status_message,
            resource_type: job.resource_type,
            created_resource: arn(job.created_resource_arn)?,
            recovery_point: arn(job.recovery_point_arn)?.map(RecoveryPointArn::new),
            source_resource: arn(job.source_resource_arn)?,
            restore_test: job
                .created_by
                .is_some_and(|by| by.restore_testing_plan_arn.is_some()),
            completed: job
                .completion_date
                .and_then(|time| DateTime::<Utc>::from_timestamp(time.secs(), time.subsec_nanos())),
        })
    }

    /// All tags of a recovery point whose ARN is one of AWS Backup's own.
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
