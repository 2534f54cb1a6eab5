//! Routing controls: <https://docs.aws.amazon.com/routing-control/latest/APIReference/Welcome.html>.

use serde_json::json;

use testkit::http::Request;

use super::Answer;
use super::world::World;

/// All of them are off until they are set.
pub(super) fn answer(_: &mut World, request: &Request) -> (String, Answer) {
    let action = request
        .header("x-amz-target")
        .and_then(|target| target.rsplit('.').next())
        .unwrap_or_default()
        .to_owned();
    let (status, body) = match action.as_str() {
        "GetRoutingControlState" => (200, json!({"RoutingControlState": "Off"})),
        "UpdateRoutingControlStates" => (200, json!({})),
        _ => (400, json!({"__type": "ValidationException"})),
    };
    (
        action,
        Answer::new(status, "application/x-amz-json-1.0", body.to_string()),
    )
}
