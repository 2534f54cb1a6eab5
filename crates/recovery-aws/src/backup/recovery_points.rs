//! Recovery points of a vault.

use std::collections::BTreeMap;

use aws_sdk_backup::types;
use recovery_core::aws::arn::RecoveryPointArn;
use recovery_core::aws::backup::RecoveryPoint;
use recovery_core::error::Error;
use recovery_core::ports::{Page, RecoveryPoints};

use crate::error::{classify, code};

use super::{Backup, NOT_FOUND, arn, time};

pub(super) const GET_RESTORE_METADATA: &str = "backup:GetRecoveryPointRestoreMetadata";
pub(super) const LIST_RECOVERY_POINTS: &str = "backup:ListRecoveryPointsByBackupVault";

impl RecoveryPoints for Backup {
    /// One page of the recovery points in the vault; nothing in the place of one that names no ARN, no
    /// resource or no date.
    ///
    /// <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRecoveryPointsByBackupVault.html>
    async fn list(
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
    async fn restore_metadata(
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
}

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
            .list("recovery", None)
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
        let first = backup.list("recovery", None).await.unwrap();
        assert_eq!(first.listed, [Some(read())]);
        let next = first.next.unwrap();
        let last = backup.list("recovery", Some(&next)).await.unwrap();
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

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering(vec![Answer::rest(&json!({})); 2]);
        let backup = Backup::new(&wire.config());
        let point = RecoveryPointArn::parse(POINT).unwrap();
        backup.list("recovery", None).await.unwrap();
        backup.restore_metadata("recovery", &point).await.unwrap();
        let actions = listed(&[LIST_RECOVERY_POINTS, GET_RESTORE_METADATA]);
        assert_eq!(wire.actions(), actions);
        let source = include_str!("recovery_points.rs");
        assert_eq!(called_in("backup", source), actions);
    }
}
