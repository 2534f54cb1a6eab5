//! Step Functions: <https://docs.aws.amazon.com/step-functions/latest/apireference/Welcome.html>.

use serde_json::{Value, json};

use testkit::http::Request;

use super::Answer;
use super::world::World;

/// Every execution that is asked for has succeeded.
pub(super) fn answer(_: &mut World, request: &Request) -> (String, Answer) {
    let action = request
        .header("x-amz-target")
        .and_then(|target| target.strip_prefix("AWSStepFunctions."))
        .unwrap_or_default()
        .to_owned();
    let input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let (status, body) = if action == "DescribeExecution" {
        let execution = json!({
            "executionArn": input["executionArn"],
            "stateMachineArn": "arn:aws:states:us-west-2:111122223333:stateMachine:region-recovery",
            "status": "SUCCEEDED",
            "startDate": 1_795_413_000,
        });
        (200, execution)
    } else {
        (400, json!({"__type": "ValidationException"}))
    };
    (
        action,
        Answer::new(status, "application/x-amz-json-1.0", body.to_string()),
    )
}
