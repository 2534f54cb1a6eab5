//! The bodies of AWS's answers, in the form of each protocol.

use serde_json::{Value, json};

/// `text` as it stands in XML.
pub fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// EC2's answer to `action`; `inner` is XML.
///
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/making-api-requests.html>
pub fn ec2(action: &str, inner: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>8f7724cf-496f-496e-8fe3-example</requestId>{inner}</{action}Response>"#
    )
}

/// EC2's answer to a request that fails.
pub fn ec2_error(code: &str, message: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>{code}</Code><Message>{}</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"#,
        xml(message)
    )
}

/// The answer to `action` in the query protocol (Auto Scaling, CloudFormation, SNS); `inner` is XML.
///
/// <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>
pub fn query(action: &str, inner: &str) -> String {
    format!(
        "<{action}Response><{action}Result>{inner}</{action}Result><ResponseMetadata><RequestId>b9b4b068-3a41-11e5-94eb-example</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// The answer in the query protocol to a request that fails with this HTTP status.
pub fn query_error(status: u16, code: &str, message: &str) -> String {
    let side = if status < 500 { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse><Error><Type>{side}</Type><Code>{code}</Code><Message>{}</Message></Error><RequestId>b9b4b068-3a41-11e5-94eb-example</RequestId></ErrorResponse>",
        xml(message)
    )
}

/// The answer of S3 to a request that fails.
pub fn s3_error(code: &str, message: &str) -> String {
    format!(
        "<Error><Code>{code}</Code><Message>{}</Message><RequestId>656c76696e6727732072657175657374</RequestId></Error>",
        xml(message)
    )
}

/// The answer in a JSON protocol (Systems Manager, Step Functions) to a request that fails; `members`
/// is an object with what the error has besides its code.
///
/// <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>
pub fn json_error(code: &str, members: &Value) -> Value {
    let mut body = members.clone();
    body["__type"] = json!(code);
    body
}
