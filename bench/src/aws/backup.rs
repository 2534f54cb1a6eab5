//! AWS Backup: <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_Operations_AWS_Backup.html>.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Answer;
use super::world::{World, ids};
use crate::http::Request;

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let path = request.target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let found = |action: &str, body: Value| {
        let answer = Answer::new(200, "application/json", body.to_string());
        (action.to_owned(), answer)
    };
    match parts.as_slice() {
        ["restore-jobs"] => {
            let jobs: Vec<Value> = Some(job()).filter(|_| world.listed).into_iter().collect();
            found("ListRestoreJobs", json!({"RestoreJobs": jobs}))
        }
        ["restore-jobs", id] if *id == ids::JOB => found("DescribeRestoreJob", job()),
        ["restore-jobs", _] => {
            let body = json!({"Code": "ERROR_2601", "Message": "the job does not exist"});
            let answer = Answer {
                error_type: Some("ResourceNotFoundException"),
                ..Answer::new(400, "application/json", body.to_string())
            };
            ("DescribeRestoreJob".to_owned(), answer)
        }
        _ => super::unknown(world, request),
    }
}

/// The restore job, completed a minute ago.
fn job() -> Value {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock of this AWS is the machine's"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |now| now.as_secs_f64());
    json!({
        "AccountId": "111122223333",
        "RestoreJobId": ids::JOB,
        "RecoveryPointArn": format!("arn:aws:ec2:us-west-2::snapshot/{}", ids::SNAPSHOT),
        "SourceResourceArn": "arn:aws:ec2:us-east-1:111122223333:volume/vol-0763fb4e71a955616",
        "BackupVaultArn": "arn:aws:backup:us-west-2:111122223333:backup-vault:recovery",
        "CreationDate": now - 540.0,
        "CompletionDate": now - 60.0,
        "Status": "COMPLETED",
        "PercentDone": "100.00%",
        "BackupSizeInBytes": 107_374_182_400_u64,
        "IamRoleArn": "arn:aws:iam::111122223333:role/service-role/AWSBackupDefaultServiceRole",
        "CreatedResourceArn": format!("arn:aws:ec2:us-west-2:111122223333:volume/{}", ids::VOLUME),
        "ResourceType": "EBS",
        "IsParent": false,
    })
}
