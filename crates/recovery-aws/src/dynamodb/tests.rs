use recovery_core::aws::table::{StreamView, TableStatus};
use serde_json::{Value, json};

use super::*;
use crate::wire::{Answer, Wire, called_in, listed};

const ARN: &str = "arn:aws:dynamodb:us-west-2:111122223333:table/orders";

fn arn() -> Arn {
    Arn::parse(ARN).unwrap()
}

/// DynamoDB's answer.
fn json_10(body: &Value) -> Answer {
    Answer::json(body)
}

/// DynamoDB's answer to a request that fails.
fn error(code: &str, message: &str) -> Answer {
    let code = format!("com.amazonaws.dynamodb.v20120810#{code}");
    Answer::json_error(400, &code, &json!({"message": message}))
}

fn table(members: &Value) -> Answer {
    let mut table = json!({
        "TableArn": ARN,
        "TableId": "id-1",
        "TableName": "orders",
        "TableStatus": "ACTIVE",
        "CreationDateTime": 1_795_413_600.25,
    });
    let members = members.as_object().unwrap().clone();
    table.as_object_mut().unwrap().extend(members);
    json_10(&json!({"Table": table}))
}

async fn described_by(answer: Answer) -> Result<Option<Table>, Error> {
    let wire = Wire::answering([answer]);
    let table = DynamoDb::new(&wire.config()).describe("orders").await;
    assert_eq!(wire.only().json(), json!({"TableName": "orders"}));
    table
}

#[tokio::test]
async fn describes_a_restored_table() {
    let found = described_by(table(&json!({}))).await.unwrap().unwrap();
    assert_eq!(
        found,
        Table {
            arn: arn(),
            id: "id-1".to_owned(),
            status: TableStatus::Active,
            created: DateTime::from_timestamp(1_795_413_600, 250_000_000).unwrap(),
            stream: None,
            class: TableClass::Standard,
            protected: false,
        }
    );
}

#[tokio::test]
async fn describes_the_settings_of_a_table() {
    let found = described_by(table(&json!({
        "TableStatus": "UPDATING",
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"},
        "LatestStreamArn": "arn:stream",
        "TableClassSummary": {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
        "DeletionProtectionEnabled": true,
    })))
    .await
    .unwrap()
    .unwrap();
    assert_eq!(found.status, TableStatus::Updating);
    assert_eq!(
        found.stream,
        Some(Stream {
            arn: "arn:stream".to_owned(),
            view: StreamView::NewImage
        })
    );
    assert_eq!(found.class, TableClass::InfrequentAccess);
    assert!(found.protected);
}

#[tokio::test]
async fn a_disabled_stream_is_none() {
    for stream in [json!({"StreamEnabled": false}), Value::Null] {
        let answer = table(&json!({
            "StreamSpecification": stream,
            "LatestStreamArn": "arn:stream",
        }));
        let found = described_by(answer).await.unwrap().unwrap();
        assert_eq!(found.stream, None);
    }
}

#[tokio::test]
async fn returns_none_for_a_missing_table() {
    let answer = error(
        "ResourceNotFoundException",
        "Requested resource not found: Table: orders not found",
    );
    assert_eq!(described_by(answer).await.unwrap(), None);
}

#[tokio::test]
async fn names_the_missing_field_of_a_table() {
    for (member, missing) in [
        ("TableArn", "ARN"),
        ("TableId", "id"),
        ("TableStatus", "status"),
        ("CreationDateTime", "time of creation"),
    ] {
        let fault = described_by(table(&json!({member: null})))
            .await
            .unwrap_err();
        assert_eq!(fault.error_type(), "Permanent");
        assert!(fault.fault().message().ends_with(missing), "{fault}");
    }
    let streams =
        json!({"StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"}});
    let fault = described_by(table(&streams)).await.unwrap_err();
    assert!(fault.fault().message().ends_with("ARN of the stream"));
    let fault = described_by(json_10(&json!({}))).await.unwrap_err();
    assert!(fault.fault().message().ends_with("table"));
}

#[tokio::test]
async fn reads_the_settings_that_describe_table_does_not_show() {
    let wire = Wire::answering([
        json_10(&json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": 7},
        }})),
        json_10(
            &json!({"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLING", "AttributeName": "expires"}}),
        ),
        json_10(&json!({"Tags": [{"Key": "a", "Value": "1"}], "NextToken": "more"})),
        json_10(&json!({"Tags": [{"Key": "b", "Value": "2"}]})),
    ]);
    let dynamodb = DynamoDb::new(&wire.config());
    assert_eq!(
        dynamodb.continuous_backups("orders").await.unwrap(),
        Some(ContinuousBackups {
            enabled: true,
            days: Some(7)
        })
    );
    assert_eq!(
        dynamodb.time_to_live("orders").await.unwrap(),
        Some(TimeToLive {
            status: TimeToLiveStatus::Enabling,
            attribute: Some("expires".to_owned())
        })
    );
    let tags = dynamodb.list_tags(&arn()).await.unwrap().unwrap();
    assert_eq!(
        tags,
        Tags::from([("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())))
    );
    let sent: Vec<Value> = wire.sent().iter().map(crate::wire::Sent::json).collect();
    assert_eq!(
        sent,
        [
            json!({"TableName": "orders"}),
            json!({"TableName": "orders"}),
            json!({"ResourceArn": ARN}),
            json!({"ResourceArn": ARN, "NextToken": "more"}),
        ]
    );
}

/// DynamoDB reports the status of continuous backups apart from that of point-in-time recovery.
#[tokio::test]
async fn continuous_backups_without_point_in_time_recovery_are_disabled() {
    let wire = Wire::answering([json_10(&json!({"ContinuousBackupsDescription": {
        "ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"},
    }}))]);
    assert_eq!(
        DynamoDb::new(&wire.config())
            .continuous_backups("orders")
            .await
            .unwrap(),
        Some(ContinuousBackups {
            enabled: false,
            days: None
        })
    );
}

#[tokio::test]
async fn settings_of_a_table_that_is_being_created_are_none() {
    let missing = error("ResourceNotFoundException", "Requested resource not found");
    let wire = Wire::answering([
        error("TableNotFoundException", "Table not found: orders"),
        missing.clone(),
        missing,
    ]);
    let dynamodb = DynamoDb::new(&wire.config());
    assert_eq!(dynamodb.continuous_backups("orders").await.unwrap(), None);
    assert_eq!(dynamodb.time_to_live("orders").await.unwrap(), None);
    assert_eq!(dynamodb.list_tags(&arn()).await.unwrap(), None);
}

/// Makes this change, with this answer.
async fn changed_by(kind: &str, answer: Answer) -> (Value, Result<ChangeAnswer, Error>) {
    let wire = Wire::answering([answer]);
    let dynamodb = DynamoDb::new(&wire.config_without_retries());
    let tags = Tags::from([("recovery:workload".to_owned(), "shop".to_owned())]);
    let changed = match kind {
        "stream" => {
            let change = TableChange::Stream(StreamView::NewAndOldImages);
            dynamodb.update("orders", &change).await
        }
        "class" => {
            let change = TableChange::Class(TableClass::InfrequentAccess);
            dynamodb.update("orders", &change).await
        }
        "protection" => dynamodb.update("orders", &TableChange::Protection).await,
        "pitr" => dynamodb.update_continuous_backups("orders", None).await,
        "pitr 7" => dynamodb.update_continuous_backups("orders", Some(7)).await,
        "ttl" => dynamodb.update_time_to_live("orders", "expires").await,
        _ => dynamodb.tag(&arn(), &tags).await,
    };
    (wire.only().json(), changed)
}

/// UpdateTable can do much more: each request contains exactly the change that it is for.
#[tokio::test]
async fn each_request_makes_one_kind_of_change() {
    for (kind, request) in [
        (
            "stream",
            json!({"TableName": "orders", "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}}),
        ),
        (
            "class",
            json!({"TableName": "orders", "TableClass": "STANDARD_INFREQUENT_ACCESS"}),
        ),
        (
            "protection",
            json!({"TableName": "orders", "DeletionProtectionEnabled": true}),
        ),
        (
            "pitr",
            json!({"TableName": "orders", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}}),
        ),
        (
            "pitr 7",
            json!({"TableName": "orders", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true, "RecoveryPeriodInDays": 7}}),
        ),
        (
            "ttl",
            json!({"TableName": "orders", "TimeToLiveSpecification": {"Enabled": true, "AttributeName": "expires"}}),
        ),
        (
            "tags",
            json!({"ResourceArn": ARN, "Tags": [{"Key": "recovery:workload", "Value": "shop"}]}),
        ),
    ] {
        let (sent, answer) = changed_by(kind, json_10(&json!({}))).await;
        assert_eq!(sent, request, "{kind}");
        assert!(matches!(answer, Ok(ChangeAnswer::Accepted)), "{answer:?}");
    }
}

/// The messages are those of real tables.
#[tokio::test]
async fn classifies_the_answers_to_changes() {
    for (kind, code, message, expected) in [
        (
            "stream",
            "ValidationException",
            "Table already has an enabled stream: TableName: orders",
            "unchanged",
        ),
        (
            "ttl",
            "ValidationException",
            "TimeToLive is already enabled",
            "unchanged",
        ),
        (
            "ttl",
            "ValidationException",
            "TimeToLive is active on a different AttributeName: current AttributeName is until",
            "unchanged",
        ),
        (
            "ttl",
            "ValidationException",
            "Time to live has been modified multiple times within a fixed interval",
            "rejected",
        ),
        (
            "stream",
            "ValidationException",
            "One or more parameter values were invalid",
            "rejected",
        ),
        (
            "stream",
            "ResourceInUseException",
            "Attempt to change a resource which is still in use: Table is being updated: orders",
            "busy",
        ),
        (
            "stream",
            "ResourceNotFoundException",
            "Requested resource not found: Table: orders not found",
            "busy",
        ),
        (
            "pitr",
            "TableNotFoundException",
            "Table not found: orders",
            "busy",
        ),
        (
            "pitr",
            "ContinuousBackupsUnavailableException",
            "Backups are being enabled for the table: orders. Please retry later",
            "busy",
        ),
        (
            "tags",
            "LimitExceededException",
            "Subscriber limit exceeded: Table tags are being updated",
            "busy",
        ),
        (
            "protection",
            "ThrottlingException",
            "Rate exceeded",
            "Retryable",
        ),
        ("stream", "InternalServerError", "internal", "Retryable"),
        ("stream", "AccessDeniedException", "denied", "Permanent"),
        ("stream", "NeverHeardOf", "unknown", "Permanent"),
    ] {
        let (_, answer) = changed_by(kind, error(code, message)).await;
        let (actual, said) = match &answer {
            Ok(ChangeAnswer::Accepted) => ("accepted", None),
            Ok(ChangeAnswer::Unchanged) => ("unchanged", None),
            Ok(ChangeAnswer::Busy(fault)) => ("busy", Some(fault)),
            Ok(ChangeAnswer::Rejected(fault)) => ("rejected", Some(fault)),
            Err(error) => (error.error_type(), Some(error.fault())),
        };
        assert_eq!(actual, expected, "{kind} {code} {message}: {answer:?}");
        if let Some(fault) = said {
            assert_eq!(fault.message(), message);
            assert_eq!(fault.code(), Some(code));
            assert!(!fault.remedy().is_empty());
        }
    }
}

#[tokio::test]
async fn a_change_without_an_answer_may_have_taken_effect() {
    for kind in ["stream", "pitr", "ttl", "tags"] {
        let (_, answer) = changed_by(kind, Answer::Refused).await;
        assert_eq!(answer.unwrap_err().error_type(), "Retryable");
    }
}

#[test]
fn actions_are_those_of_the_calls() {
    assert_eq!(
        called_in("dynamodb", include_str!("../dynamodb.rs")),
        listed(DynamoDb::ACTIONS)
    );
}
