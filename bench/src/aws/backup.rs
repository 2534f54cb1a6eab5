//! AWS Backup: <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_Operations_AWS_Backup.html>.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use testkit::http::Request;

use super::Answer;
use super::world::{World, ids};

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let path = request.target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let found = |action: &str, body: Value| {
        let answer = Answer::new(200, "application/json", body.to_string());
        (action.to_owned(), answer)
    };
    match parts.as_slice() {
        ["restore-jobs"] if request.method == "PUT" => {
            found("StartRestoreJob", json!({"RestoreJobId": ids::JOB}))
        }
        [
            "backup-vaults",
            "recovery",
            "recovery-points",
            ..,
            "restore-metadata",
        ] => {
            let stored = json!({
                "availabilityZone": "us-east-1a",
                "encrypted": "true",
                "volumeId": "vol-0f1e2d3c4b5a69788",
            });
            let body = json!({"RestoreMetadata": stored, "ResourceType": "EBS"});
            found("GetRecoveryPointRestoreMetadata", body)
        }
        ["backup-vaults", "recovery", "recovery-points"] => {
            let point = json!({
                "RecoveryPointArn": format!("arn:aws:ec2:us-west-2::snapshot/{}", ids::SNAPSHOT),
                "ResourceArn": "arn:aws:ec2:us-east-1:111122223333:volume/vol-0763fb4e71a955616",
                "ResourceType": "EBS",
                "Status": "COMPLETED",
                // An hour before what events/manual-recovery-plan.json goes back to.
                "CreationDate": 1_795_410_000,
                "BackupSizeInBytes": 107_374_182_400_u64,
                "IsEncrypted": true,
                "IsParent": false,
            });
            let body = json!({"RecoveryPoints": [point]});
            found("ListRecoveryPointsByBackupVault", body)
        }
        ["restore-jobs"] => {
            let jobs: Vec<Value> = Some(job(ids::JOB, ids::VOLUME))
                .filter(|_| world.listed)
                .into_iter()
                .collect();
            found("ListRestoreJobs", json!({"RestoreJobs": jobs}))
        }
        ["restore-jobs", ids::JOB] => found("DescribeRestoreJob", job(ids::JOB, ids::VOLUME)),
        ["restore-jobs", ids::TEST_JOB] => {
            let mut job = job(ids::TEST_JOB, ids::TEST_VOLUME);
            let plan = "arn:aws:backup:us-west-2:111122223333:restore-testing-plan:weekly_restore_test-8585e4d0-843f-409a-b532-fe638d30a050";
            job["CreatedBy"] = json!({"RestoreTestingPlanArn": plan});
            found("DescribeRestoreJob", job)
        }
        ["restore-jobs", ids::TEST_JOB, "validations"] => {
            let answer = Answer::new(204, "application/json", String::new());
            ("PutRestoreValidationResult".to_owned(), answer)
        }
        ["tags", point] => match testkit::http::decoded(point).as_str() {
            ids::TABLE_POINT => {
                let body = json!({"Tags": world.data_stores.table_tags});
                found("ListTags", body)
            }
            // RDS has the tags, under the other form of the ARN.
            ids::DB_POINT => found("ListTags", json!({"Tags": {}})),
            _ => not_found("ListTags", "the recovery point does not exist"),
        },
        ["restore-jobs", _] => not_found("DescribeRestoreJob", "the job does not exist"),
        _ => super::unknown(world, request),
    }
}

fn not_found(action: &str, message: &str) -> (String, Answer) {
    let body = json!({"Code": "ERROR_2601", "Message": message});
    let answer = Answer {
        error_type: Some("ResourceNotFoundException"),
        ..Answer::new(400, "application/json", body.to_string())
    };
    (action.to_owned(), answer)
}

/// A restore job, completed a minute ago.
fn job(id: &str, volume: &str) -> Value {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of this AWS is the machine's"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |now| now.as_secs_f64());
    json!({
        "AccountId": "111122223333",
        "RestoreJobId": id,
        "RecoveryPointArn": format!("arn:aws:ec2:us-west-2::snapshot/{}", ids::SNAPSHOT),
        "SourceResourceArn": "arn:aws:ec2:us-east-1:111122223333:volume/vol-0763fb4e71a955616",
        "BackupVaultArn": "arn:aws:backup:us-west-2:111122223333:backup-vault:recovery",
        "CreationDate": now - 540.0,
        "CompletionDate": now - 60.0,
        "Status": "COMPLETED",
        "PercentDone": "100.00%",
        "BackupSizeInBytes": 107_374_182_400_u64,
        "IamRoleArn": "arn:aws:iam::111122223333:role/service-role/AWSBackupDefaultServiceRole",
        "CreatedResourceArn": format!("arn:aws:ec2:us-west-2:111122223333:volume/{volume}"),
        "ResourceType": "EBS",
        "IsParent": false,
    })
}
