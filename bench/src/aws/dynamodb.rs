//! DynamoDB: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/Welcome.html>.

use serde_json::{Value, json};

use testkit::http::Request;

use super::Answer;
use super::data_stores::Table;
use super::world::{World, ids};

/// How many answers show `UPDATING` after a change. It takes seconds.
const ANSWERS_WHILE_UPDATING: usize = 1;
/// When the table was created: during the restore job of `events/restore-completed-dynamodb.json`.
const CREATED: f64 = 1_792_508_550.118;

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let action = request
        .header("x-amz-target")
        .and_then(|target| target.strip_prefix("DynamoDB_20120810."))
        .unwrap_or_default()
        .to_owned();
    let input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let named = [&input["TableName"], &input["ResourceArn"]];
    let table = &mut world.data_stores.table;
    let outcome = if !named.iter().any(|name| {
        name.as_str()
            .is_some_and(|name| name.rsplit('/').next() == Some(ids::TABLE))
    }) {
        Err(failed(
            "ResourceNotFoundException",
            "Requested resource not found",
        ))
    } else {
        match action.as_str() {
            "DescribeTable" => {
                let shown = shown(table);
                table.updating = table.updating.saturating_sub(1);
                Ok(json!({ "Table": shown }))
            }
            "DescribeContinuousBackups" => Ok(shown_backups(table)),
            "DescribeTimeToLive" => Ok(json!({"TimeToLiveDescription": match &table.ttl {
                Some(attribute) => json!({"TimeToLiveStatus": "ENABLING", "AttributeName": attribute}),
                None => json!({"TimeToLiveStatus": "DISABLED"}),
            }})),
            "ListTagsOfResource" => {
                let tags = table.tags.iter();
                let tags: Vec<Value> = tags
                    .map(|(key, value)| json!({"Key": key, "Value": value}))
                    .collect();
                Ok(json!({ "Tags": tags }))
            }
            "TagResource" => {
                let tags = input["Tags"].as_array().into_iter().flatten();
                table
                    .tags
                    .extend(tags.map(|tag| (text(&tag["Key"]), text(&tag["Value"]))));
                Ok(json!({}))
            }
            "UpdateTable" => update(table, &input),
            "UpdateContinuousBackups" => {
                let days = &input["PointInTimeRecoverySpecification"]["RecoveryPeriodInDays"];
                table.recovery_days = Some(days.as_u64().unwrap_or(35));
                Ok(shown_backups(table))
            }
            "UpdateTimeToLive" => {
                let ttl = &input["TimeToLiveSpecification"];
                table.ttl = Some(text(&ttl["AttributeName"]));
                Ok(json!({ "TimeToLiveSpecification": ttl }))
            }
            _ => Err(failed("UnknownOperationException", "it is not faked")),
        }
    };
    let (status, body) = match outcome {
        Ok(body) => (200, body),
        Err(body) => (400, body),
    };
    (
        action,
        Answer::new(status, "application/x-amz-json-1.0", body.to_string()),
    )
}

fn failed(code: &str, message: &str) -> Value {
    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Makes one change. All but that of the deletion protection keep the table busy.
fn update(table: &mut Table, input: &Value) -> Result<Value, Value> {
    if table.updating > 0 {
        return Err(failed(
            "ResourceInUseException",
            "Attempt to change a resource which is still in use: Table is being updated",
        ));
    }
    let changes = [
        "StreamSpecification",
        "TableClass",
        "DeletionProtectionEnabled",
    ];
    if changes
        .iter()
        .filter(|name| !input[**name].is_null())
        .count()
        != 1
    {
        return Err(failed("ValidationException", "one change at a time"));
    }
    if input["DeletionProtectionEnabled"] == true {
        table.protected = true;
    } else {
        table.updating = ANSWERS_WHILE_UPDATING;
    }
    if let Some(view) = input["StreamSpecification"]["StreamViewType"].as_str() {
        table.stream = Some(view.to_owned());
    }
    if let Some(class) = input["TableClass"].as_str() {
        table.class = Some(class.to_owned());
    }
    Ok(json!({ "TableDescription": shown(table) }))
}

fn shown(table: &Table) -> Value {
    let arn = format!(
        "arn:aws:dynamodb:us-west-2:111122223333:table/{}",
        ids::TABLE
    );
    let mut shown = json!({
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "TableName": ids::TABLE,
        "TableStatus": if table.updating > 0 { "UPDATING" } else { "ACTIVE" },
        "CreationDateTime": CREATED,
        "ProvisionedThroughput": {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "TableSizeBytes": 36_048,
        "ItemCount": 212,
        "TableArn": arn,
        "TableId": "6f1b9f3a-4f5e-4a52-9c76-1d0c5f0f7a11",
        "SSEDescription": {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": "arn:aws:kms:us-west-2:111122223333:key/1a2b3c4d-5e6f-4a1b-8c2d-3e4f5a6b7c8d"},
        "DeletionProtectionEnabled": table.protected,
    });
    if let Some(view) = &table.stream {
        shown["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": view});
        shown["LatestStreamArn"] = json!(format!("{arn}/stream/2026-10-20T15:12:01.004"));
    }
    if let Some(class) = &table.class {
        shown["TableClassSummary"] = json!({ "TableClass": class });
    }
    shown
}

fn shown_backups(table: &Table) -> Value {
    let recovery = match table.recovery_days {
        Some(days) => {
            json!({"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": days})
        }
        None => json!({"PointInTimeRecoveryStatus": "DISABLED"}),
    };
    json!({"ContinuousBackupsDescription": {
        "ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": recovery,
    }})
}
