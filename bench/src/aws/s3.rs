//! S3: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>.

use serde_json::{Value, json};

use testkit::answers;
use testkit::http::Request;

use super::Answer;
use super::world::{World, ids};

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let path = request.target.split('?').next().unwrap_or_default();
    let Some(key) = path.strip_prefix("/recovery.plans") else {
        return super::unknown(world, request);
    };
    if request.target.contains("list-type=2") {
        let body = "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>";
        let answer = Answer::new(200, "application/xml", body.to_owned());
        return ("ListObjectsV2".to_owned(), answer);
    }
    let key = key.trim_start_matches('/');
    match (request.method.as_str(), key.split('/').next()) {
        ("PUT", Some("jobs" | "plans" | "reports")) => {
            let answer = Answer::new(200, "application/xml", String::new());
            ("PutObject".to_owned(), answer)
        }
        ("GET", Some("plans")) => {
            let answer = Answer::new(200, "application/json", plan().to_string());
            ("GetObject".to_owned(), answer)
        }
        // A report is made, and a restore started, as for the first time.
        ("GET", Some("jobs" | "reports")) => {
            let body = answers::s3_error("NoSuchKey", "The specified key does not exist.");
            let answer = Answer::new(404, "application/xml", body);
            ("GetObject".to_owned(), answer)
        }
        _ => super::unknown(world, request),
    }
}

/// The plan of the one volume, as recovery-planner keeps it.
fn plan() -> Value {
    let item = json!({
        "resourceArn": "arn:aws:ec2:us-east-1:111122223333:volume/vol-0763fb4e71a955616",
        "recoveryPointArn": format!("arn:aws:ec2:us-west-2::snapshot/{}", ids::SNAPSHOT),
        "type": "EBS",
        "createdAt": "2026-11-23T04:50:00Z",
        "ageSeconds": 1_320,
        "wave": 0,
        "target": {"kind": "volume", "stack": ids::STACK, "logicalId": ids::LOGICAL_ID},
        "metadata": {},
        "predictions": {},
    });
    json!({
        "version": 2,
        "hash": "0".repeat(64),
        "workload": ids::PLANNED_STACK,
        "mode": "recover",
        "plannedAt": "2026-11-23T05:12:00Z",
        "vault": "recovery",
        "waves": [{"wave": 0, "items": [item]}],
        "refusals": [],
        "totals": {
            "items": 1,
            "refusals": 0,
            "recoveryPoints": 1,
            "unreadableRecoveryPoints": 0,
            "sizeBytes": 0,
            "volumeGiB": 0,
        },
    })
}
