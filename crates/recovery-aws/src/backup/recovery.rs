//! The recovery points of a vault, and the start of restores.

use std::collections::BTreeMap;

use aws_sdk_backup::types;
use recovery_core::aws::arn::{RecoveryPointArn, RestoreJobId};
use recovery_core::aws::backup::{RecoveryPoint, RestoreRequest, StartAnswer};
use recovery_core::error::{Error, Fault};
use recovery_core::ports::Page;

use crate::error::{classify, code, incomplete, message};

use super::{Backup, DESCRIBE_RESTORE_JOB, LIST_TAGS, arn, time};

const GET_RESTORE_METADATA: &str = "backup:GetRecoveryPointRestoreMetadata";
const LIST_RECOVERY_POINTS: &str = "backup:ListRecoveryPointsByBackupVault";
const START_RESTORE_JOB: &str = "backup:StartRestoreJob";

impl Backup {
    /// The IAM actions that planning needs.
    pub const PLANNING_ACTIONS: &'static [&'static str] = &[LIST_RECOVERY_POINTS, LIST_TAGS];

    /// The IAM actions that starting a restore needs.
    pub const STARTING_ACTIONS: &'static [&'static str] = &[
        DESCRIBE_RESTORE_JOB,
        GET_RESTORE_METADATA,
        START_RESTORE_JOB,
    ];

    /// One page of the recovery points in the vault. `None` stands for an entry without an ARN, a resource or a date.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRecoveryPointsByBackupVault.html>
    pub(crate) async fn recovery_points(
        &self,
        vault: &str,
        page: Option<&str>,
    ) -> Result<Page<Option<RecoveryPoint>>, Error> {
        let answer = self
            .client
            .list_recovery_points_by_backup_vault()
            .backup_vault_name(vault)
            .max_results(1000)
            .set_next_token(page.map(str::to_owned))
            .send()
            .await
            .map_err(|error| classify(LIST_RECOVERY_POINTS, vault, error))?;
        Ok(Page {
            listed: answer
                .recovery_points
                .unwrap_or_default()
                .into_iter()
                .map(recovery_point)
                .collect(),
            next: answer.next_token.filter(|token| !token.is_empty()),
        })
    }

    /// The stored restore metadata of the recovery point; `None` if the vault does not contain it.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_GetRecoveryPointRestoreMetadata.html>
    pub(crate) async fn restore_metadata(
        &self,
        vault: &str,
        point: &RecoveryPointArn,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        let answer = self
            .client
            .get_recovery_point_restore_metadata()
            .backup_vault_name(vault)
            .recovery_point_arn(point.as_str())
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(Some(
                answer
                    .restore_metadata
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
            )),
            Err(error) if code(&error) == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(classify(GET_RESTORE_METADATA, point.as_str(), error)),
        }
    }

    /// Starts the restore once for each token. A retry by the SDK, shortly afterwards, gets the job of the first
    /// attempt.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_StartRestoreJob.html>
    pub(crate) async fn start_restore(
        &self,
        request: &RestoreRequest,
    ) -> Result<StartAnswer, Error> {
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

/// Whether the error says that the vault or the recovery point does not exist.
const NOT_FOUND: &str = "ResourceNotFoundException";

fn recovery_point(point: types::RecoveryPointByBackupVault) -> Option<RecoveryPoint> {
    Some(RecoveryPoint {
        arn: RecoveryPointArn::new(arn(point.recovery_point_arn)?),
        resource: arn(point.resource_arn)?,
        resource_type: point.resource_type.unwrap_or_default(),
        status: point
            .status
            .map(|status| status.as_str().to_owned())
            .unwrap_or_default(),
        created: time(point.creation_date?)?,
        size_bytes: point
            .backup_size_in_bytes
            .and_then(|bytes| u64::try_from(bytes).ok()),
        is_parent: point.is_parent,
        is_child: point.parent_recovery_point_arn.is_some()
            || point.composite_member_identifier.is_some(),
        threats_found: point
            .aggregated_scan_result
            .is_some_and(|result| !result.findings().is_empty()),
        cold_from: point
            .calculated_lifecycle
            .and_then(|lifecycle| lifecycle.move_to_cold_storage_at)
            .and_then(time),
        archives: point
            .lifecycle
            .and_then(|lifecycle| lifecycle.opt_in_to_archive_for_supported_resources)
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use recovery_core::aws::arn::Arn;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};
    use testkit::http::decoded;

    const POINT: &str = "arn:aws:ec2:us-west-2::snapshot/snap-0a1b2c3d4e5f60718";
    const SOURCE: &str = "arn:aws:ec2:us-east-1:111122223333:volume/vol-1111aaaa2222bbbb3";

    /// A recovery point with every field that is read.
    fn complete_point() -> Value {
        json!({
            "RecoveryPointArn": POINT,
            "BackupVaultName": "recovery",
            "ResourceArn": SOURCE,
            "ResourceType": "EBS",
            "Status": "COMPLETED",
            "CreationDate": 1_795_413_000.25,
            "BackupSizeInBytes": 8_589_934_592_i64,
            "CalculatedLifecycle": {"MoveToColdStorageAt": 1_796_000_000, "DeleteAt": 1_799_000_000},
            "Lifecycle": {"MoveToColdStorageAfterDays": 7, "OptInToArchiveForSupportedResources": true},
            "IsEncrypted": true,
            "IsParent": false,
            "VaultType": "BACKUP_VAULT",
        })
    }

    fn read() -> RecoveryPoint {
        RecoveryPoint {
            arn: RecoveryPointArn::parse(POINT).unwrap(),
            resource: Arn::parse(SOURCE).unwrap(),
            resource_type: "EBS".to_owned(),
            status: "COMPLETED".to_owned(),
            created: DateTime::from_timestamp(1_795_413_000, 250_000_000).unwrap(),
            size_bytes: Some(8 << 30),
            is_parent: false,
            is_child: false,
            threats_found: false,
            cold_from: DateTime::from_timestamp(1_796_000_000, 0),
            archives: true,
        }
    }

    async fn points_of(answer: Value) -> Page<Option<RecoveryPoint>> {
        let wire = Wire::answering([Answer::rest(&answer)]);
        Backup::new(&wire.config())
            .recovery_points("recovery", None)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn lists_recovery_points_page_by_page_with_every_field() {
        let wire = Wire::answering([
            Answer::rest(&json!({"RecoveryPoints": [complete_point()], "NextToken": "more/+"})),
            Answer::rest(&json!({"RecoveryPoints": [], "NextToken": ""})),
        ]);
        let backup = Backup::new(&wire.config());
        let first = backup.recovery_points("recovery", None).await.unwrap();
        assert_eq!(first.listed, [Some(read())]);
        let next = first.next.unwrap();
        let last = backup
            .recovery_points("recovery", Some(&next))
            .await
            .unwrap();
        assert_eq!((last.listed, last.next), (Vec::new(), None));
        let [first, second] = wire.sent().try_into().unwrap();
        assert!(
            first
                .uri
                .contains("/backup-vaults/recovery/recovery-points?"),
            "{}",
            first.uri
        );
        assert_eq!(
            first.query(),
            [("maxResults".to_owned(), "1000".to_owned())].into()
        );
        assert_eq!(second.query()["nextToken"], "more/+");
    }

    #[tokio::test]
    async fn reads_what_prevents_the_restore_of_a_point() {
        let with = |member: &str, value: Value| {
            let mut point = complete_point();
            point[member] = value;
            point
        };
        let parent = "arn:aws:backup:us-west-2:111122223333:recovery-point:composite:shop-1";
        type Change = fn(&mut RecoveryPoint);
        let cases: [(Value, Change); 8] = [
            (with("IsParent", json!(true)), |point| {
                point.is_parent = true
            }),
            (with("ParentRecoveryPointArn", json!(parent)), |point| {
                point.is_child = true
            }),
            (
                with("CompositeMemberIdentifier", json!("Volume")),
                |point| point.is_child = true,
            ),
            (
                with(
                    "AggregatedScanResult",
                    json!({"Findings": ["MALWARE"], "FailedScan": false}),
                ),
                |point| point.threats_found = true,
            ),
            (
                with(
                    "AggregatedScanResult",
                    json!({"Findings": [], "FailedScan": true}),
                ),
                |_| (),
            ),
            (with("Status", json!("A_NEW_ONE")), |point| {
                point.status = "A_NEW_ONE".to_owned()
            }),
            (with("CalculatedLifecycle", Value::Null), |point| {
                point.cold_from = None
            }),
            (with("Lifecycle", json!({"DeleteAfterDays": 35})), |point| {
                point.archives = false
            }),
        ];
        for (answer, change) in cases {
            let mut expected = read();
            change(&mut expected);
            let page = points_of(json!({"RecoveryPoints": [answer.clone()]})).await;
            assert_eq!(page.listed, [Some(expected)], "{answer}");
        }
    }

    #[tokio::test]
    async fn returns_none_for_points_without_arn_resource_or_date() {
        let without = |member: &str| {
            let mut point = complete_point();
            point.as_object_mut().unwrap().remove(member);
            point
        };
        let page = points_of(json!({"RecoveryPoints": [
            without("RecoveryPointArn"), complete_point(), without("ResourceArn"), without("CreationDate"),
        ]}))
        .await;
        assert_eq!(page.listed, [None, Some(read()), None, None]);
        // Only these three are needed.
        let page = points_of(json!({"RecoveryPoints": [{
            "RecoveryPointArn": POINT, "ResourceArn": SOURCE, "CreationDate": 1_795_413_000.25,
        }]}))
        .await;
        let bare = page.listed[0].clone().unwrap();
        assert_eq!(
            (
                bare.status.as_str(),
                bare.resource_type.as_str(),
                bare.size_bytes
            ),
            ("", "", None)
        );
    }

    async fn metadata_of(
        answer: Answer,
    ) -> (Wire, Result<Option<BTreeMap<String, String>>, Error>) {
        let wire = Wire::answering([answer]);
        let point = RecoveryPointArn::parse(POINT).unwrap();
        let stored = Backup::new(&wire.config())
            .restore_metadata("recovery", &point)
            .await;
        (wire, stored)
    }

    #[tokio::test]
    async fn returns_stored_metadata_and_none_for_a_missing_point() {
        let answer = json!({"RestoreMetadata": {"encrypted": "true", "volumeId": "vol-1"}});
        let (wire, stored) = metadata_of(Answer::rest(&answer)).await;
        let stored = stored.unwrap().unwrap();
        assert_eq!(stored["encrypted"], "true");
        assert_eq!(stored.len(), 2);
        let path = decoded(&wire.only().uri);
        assert!(
            path.ends_with(&format!(
                "/backup-vaults/recovery/recovery-points/{POINT}/restore-metadata"
            )),
            "{path}"
        );
        let (_, stored) = metadata_of(Answer::rest(&json!({}))).await;
        assert_eq!(stored.unwrap(), Some(BTreeMap::new()));
        let (_, stored) = metadata_of(Answer::rest_error(400, NOT_FOUND, "no such")).await;
        assert_eq!(stored.unwrap(), None);
        let (_, stored) = metadata_of(Answer::rest_error(403, "AccessDeniedException", "no")).await;
        assert_eq!(stored.unwrap_err().error_type(), "Permanent");
    }

    fn request() -> RestoreRequest {
        RestoreRequest {
            point: RecoveryPointArn::parse(POINT).unwrap(),
            resource_type: "EBS".to_owned(),
            metadata: [("availabilityZone".to_owned(), "us-west-2b".to_owned())].into(),
            role: "arn:aws:iam::111122223333:role/restore".to_owned(),
            token: "0123abcd".to_owned(),
            copy_tags: true,
        }
    }

    async fn started(wire: &Wire) -> Result<StartAnswer, Error> {
        Backup::new(&wire.config()).start_restore(&request()).await
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
                    "RecoveryPointArn": POINT,
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
    async fn actions_match_the_requests() {
        let wire = Wire::answering(vec![Answer::rest(&json!({})); 5]);
        let backup = Backup::new(&wire.config());
        let point = RecoveryPointArn::parse(POINT).unwrap();
        backup.recovery_points("recovery", None).await.unwrap();
        backup.restore_metadata("recovery", &point).await.unwrap();
        backup.start_restore(&request()).await.unwrap_err();
        let mut actions = listed(&[
            LIST_RECOVERY_POINTS,
            GET_RESTORE_METADATA,
            START_RESTORE_JOB,
        ]);
        assert_eq!(wire.actions(), actions);
        assert_eq!(called_in("backup", include_str!("recovery.rs")), actions);
        backup.tags(&point).await.unwrap();
        backup.restore_job(&RestoreJobId::new("J")).await.unwrap();
        actions = listed(&[Backup::PLANNING_ACTIONS, Backup::STARTING_ACTIONS].concat());
        assert_eq!(wire.actions(), actions);
    }
}
