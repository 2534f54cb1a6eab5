//! What became of a recovery: restore jobs of AWS Backup, volumes of EC2, an OpsItem and its date.

use aws_sdk_backup::types::RestoreJobsListMember;
use chrono::{DateTime, Utc};
use recovery_core::aws::arn::{InstanceId, OpsItemId, RestoreJobId, VolumeId};
use recovery_core::aws::backup::Job;
use recovery_core::aws::ec2::{RecoveredVolume, Since};
use recovery_core::error::Error;
use recovery_core::ops_item::DatedItem;
use recovery_core::ports::Page;

use crate::backup::{arn, time};
use crate::client::{Config, Lazy, client};
use crate::error::{classify, incomplete};
use crate::ssm::OpsCenter;

/// Records in the recovery Region.
#[derive(Debug)]
pub struct Records {
    backup: Lazy<aws_sdk_backup::Client>,
    ec2: Lazy<aws_sdk_ec2::Client>,
}

const DESCRIBE_VOLUMES: &str = "ec2:DescribeVolumes";
const LIST_RESTORE_JOBS: &str = "backup:ListRestoreJobs";

impl Records {
    /// The IAM actions of the calls in this file; that of the OpsItem is [`OpsCenter`]'s.
    pub const ACTIONS: &'static [&'static str] = &[DESCRIBE_VOLUMES, LIST_RESTORE_JOBS];

    pub fn new(config: &Config) -> Records {
        Records {
            backup: client!(config, aws_sdk_backup),
            ec2: client!(config, aws_sdk_ec2),
        }
    }

    /// One page of the restore jobs that were created at `since` or later.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRestoreJobs.html>
    pub(crate) async fn jobs_since(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<Job>, Error> {
        let answer = self
            .backup
            .list_restore_jobs()
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
                .filter_map(job)
                .collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    /// Those of the volumes that there are, as they are now: of at most 200, EC2's limit on the values
    /// of a filter.
    ///
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumes.html>
    pub(crate) async fn recovered_volumes(
        &self,
        ids: &[VolumeId],
    ) -> Result<Vec<RecoveredVolume>, Error> {
        // By a filter: to ids, one of which is gone, EC2 answers with nothing but an error.
        let filter = aws_sdk_ec2::types::Filter::builder()
            .name("volume-id")
            .set_values(Some(ids.iter().map(ToString::to_string).collect()))
            .build();
        let mut volumes = Vec::new();
        let mut pages = self
            .ec2
            .describe_volumes()
            .filters(filter)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| classify(DESCRIBE_VOLUMES, "volumes", error))?;
            for seen in page.volumes.unwrap_or_default() {
                volumes.push(volume(seen)?);
            }
        }
        Ok(volumes)
    }
}

/// Nothing can be said of a job without an id.
fn job(job: RestoreJobsListMember) -> Option<Job> {
    Some(Job {
        id: RestoreJobId::new(job.restore_job_id?),
        status: job
            .status
            .map(|status| status.as_str().to_owned())
            .unwrap_or_default(),
        message: job.status_message,
        recovery_point: job.recovery_point_arn,
        created_resource: arn(job.created_resource_arn),
        role: job.iam_role_arn,
        restore_test: job
            .created_by
            .is_some_and(|by| by.restore_testing_plan_arn.is_some()),
        created: job.creation_date.and_then(time),
        completed: job.completion_date.and_then(time),
    })
}

fn volume(volume: aws_sdk_ec2::types::Volume) -> Result<RecoveredVolume, Error> {
    let missing = |member| incomplete(DESCRIBE_VOLUMES, "volumes", member);
    let id = volume.volume_id.ok_or_else(|| missing("volumeId"))?;
    let attachments = volume.attachments.unwrap_or_default().into_iter();
    let attachments = attachments
        .map(|attachment| {
            Ok(Since {
                instance: InstanceId::new(
                    attachment
                        .instance_id
                        .ok_or_else(|| missing("attachmentSet.instanceId"))?,
                ),
                device: attachment
                    .device
                    .ok_or_else(|| missing("attachmentSet.device"))?,
                state: attachment
                    .state
                    .ok_or_else(|| missing("attachmentSet.status"))?
                    .as_str()
                    .into(),
                since: attachment.attach_time.and_then(time),
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(RecoveredVolume {
        id: VolumeId::new(id),
        state: volume
            .state
            .ok_or_else(|| missing("status"))?
            .as_str()
            .into(),
        zone: volume.availability_zone,
        attachments,
    })
}

/// The OpsItem and when it was created.
pub(crate) async fn dated_item(
    ops_center: &OpsCenter,
    id: &OpsItemId,
) -> Result<Option<DatedItem>, Error> {
    let Some((item, created)) = ops_center.dated(id).await? else {
        return Ok(None);
    };
    Ok(Some(DatedItem {
        item,
        created: created.and_then(time),
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use recovery_core::ops_item::{OpsItem, Status};
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const SNAPSHOT: &str = "arn:aws:ec2:us-west-2::snapshot/snap-0a1b2c3d4e5f60718";

    #[tokio::test]
    async fn lists_restore_jobs_page_by_page_with_role_and_times() {
        let wire = Wire::answering([
            Answer::rest(&json!({
                "RestoreJobs": [
                    {
                        "RestoreJobId": "job-1",
                        "RecoveryPointArn": SNAPSHOT,
                        "IamRoleArn": "arn:aws:iam::111122223333:role/restore",
                        "CreationDate": 1_795_413_000.25,
                        "CompletionDate": 1_795_413_600.5,
                        "Status": "COMPLETED",
                        "CreatedResourceArn": "arn:aws:ec2:us-west-2:111122223333:volume/vol-1",
                        "ResourceType": "EBS",
                    },
                    {"RestoreJobId": "job-2", "Status": "FAILED", "StatusMessage": "No.", "CreatedBy": {"RestoreTestingPlanArn": "arn:x"}},
                    {"Status": "COMPLETED"},
                ],
                "NextToken": "token-1",
            })),
            Answer::rest(&json!({"RestoreJobs": []})),
        ]);
        let records = Records::new(&wire.config());
        let since = DateTime::from_timestamp(1_795_413_000, 900_000_000).unwrap();
        let first = records.jobs_since(since, None).await.unwrap();
        assert_eq!(first.next.as_deref(), Some("token-1"));
        let [one, two] = first.listed.as_slice() else {
            panic!("{first:?}");
        };
        assert_eq!(one.volume(), Some(VolumeId::new("vol-1")));
        assert_eq!(one.recovery_point.as_deref(), Some(SNAPSHOT));
        assert_eq!(
            one.role.as_deref(),
            Some("arn:aws:iam::111122223333:role/restore")
        );
        assert_eq!(
            one.created,
            DateTime::from_timestamp(1_795_413_000, 250_000_000)
        );
        assert_eq!(
            one.completed,
            DateTime::from_timestamp(1_795_413_600, 500_000_000)
        );
        assert!(one.is_completed() && !one.restore_test);
        assert!(two.restore_test && !two.is_completed());
        assert_eq!(two.message.as_deref(), Some("No."));
        let last = records
            .jobs_since(since, first.next.as_deref())
            .await
            .unwrap();
        assert_eq!(last.next, None);
        let sent = wire.sent();
        let query = sent[0].query();
        assert_eq!(query["createdAfter"], "2026-11-23T05:50:00Z");
        assert_eq!(query["maxResults"], "1000");
        assert!(!query.contains_key("status") && !query.contains_key("nextToken"));
        assert_eq!(sent[1].query()["nextToken"], "token-1");
    }

    #[tokio::test]
    async fn describes_volumes_with_their_attachment_times() {
        let wire = Wire::answering([Answer::ec2(
            "DescribeVolumes",
            "<volumeSet><item><volumeId>vol-1</volumeId><availabilityZone>us-west-2a</availabilityZone><status>in-use</status><attachmentSet><item>\
             <volumeId>vol-1</volumeId><instanceId>i-1</instanceId><device>/dev/sdf</device>\
             <status>attached</status><attachTime>2026-11-23T05:50:07.000Z</attachTime></item></attachmentSet></item>\
             <item><volumeId>vol-2</volumeId><status>available</status></item></volumeSet>",
        )]);
        let ids = ["vol-1", "vol-2", "vol-3"].map(VolumeId::new);
        let volumes = Records::new(&wire.config())
            .recovered_volumes(&ids)
            .await
            .unwrap();
        assert_eq!(
            volumes,
            [
                RecoveredVolume {
                    id: VolumeId::new("vol-1"),
                    state: "in-use".into(),
                    zone: Some("us-west-2a".to_owned()),
                    attachments: vec![Since {
                        instance: InstanceId::new("i-1"),
                        device: "/dev/sdf".to_owned(),
                        state: "attached".into(),
                        since: DateTime::from_timestamp(1_795_413_007, 0),
                    }],
                },
                RecoveredVolume {
                    id: VolumeId::new("vol-2"),
                    state: "available".into(),
                    zone: None,
                    attachments: Vec::new(),
                },
            ]
        );
        let form = wire.only().form();
        assert_eq!(form["Filter.1.Name"], "volume-id");
        assert_eq!(form["Filter.1.Value.3"], "vol-3");
    }

    #[tokio::test]
    async fn returns_the_creation_date_of_an_ops_item_and_none_if_missing() {
        let wire = Wire::answering([
            Answer::json(&json!({"OpsItem": {
                "OpsItemId": "oi-1",
                "Status": "Open",
                "CreatedTime": 1_795_405_260.5,
                "OperationalData": {"recovery:began": {"Value": "2026-11-23T03:40:00Z"}},
            }})),
            Answer::json_error(400, "OpsItemNotFoundException", &json!({"Message": "no"})),
            Answer::json_error(400, "AccessDeniedException", &json!({"Message": "no"})),
        ]);
        let ops_center = OpsCenter::new(&wire.config());
        let id = OpsItemId::new("oi-1");
        assert_eq!(
            dated_item(&ops_center, &id).await.unwrap(),
            Some(DatedItem {
                item: OpsItem {
                    id: id.clone(),
                    status: Status::Open,
                    data: [(
                        "recovery:began".to_owned(),
                        "2026-11-23T03:40:00Z".to_owned()
                    )]
                    .into(),
                },
                created: DateTime::from_timestamp(1_795_405_260, 500_000_000),
            })
        );
        assert_eq!(dated_item(&ops_center, &id).await.unwrap(), None);
        dated_item(&ops_center, &id).await.unwrap_err();
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([
            Answer::rest(&json!({})),
            Answer::ec2("DescribeVolumes", "<volumeSet/>"),
        ]);
        let records = Records::new(&wire.config());
        records
            .jobs_since(DateTime::UNIX_EPOCH, None)
            .await
            .unwrap();
        records.recovered_volumes(&[]).await.unwrap();
        let actions = listed(Records::ACTIONS);
        assert_eq!(wire.actions(), actions);
        // Two services: the calls of each go through its own client.
        let (source, _) = include_str!("records.rs")
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
        assert_eq!(called, actions);
    }
}
