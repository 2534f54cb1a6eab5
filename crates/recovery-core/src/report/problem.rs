//! What is left of a recovery.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text;

/// Something that keeps the recovery from being complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The step that failed or is left: plan, infrastructure, start, restore, integrate, verify or
    /// fail-over.
    pub step: String,
    /// The resource, stack or function concerned.
    pub subject: String,
    /// The reason code, in kebab case.
    pub reason: String,
    /// What was found.
    pub why: String,
    /// What fixes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
}

/// Characters of a failure's text.
const FAILURE: usize = 300;

/// The text of a step that failed, of its error and its cause as Step Functions reports them; `None` if it
/// reports neither.
///
/// The cause of a Lambda function that failed is a JSON object with the member `errorMessage`. The state
/// machine cuts a long cause off. The cause of other services is a text.
pub(crate) fn failure_text(error: Option<&str>, cause: Option<&str>) -> Option<String> {
    let message = cause.map(|cause| message_of(cause).unwrap_or_else(|| cause.to_owned()));
    let parts: Vec<&str> = error
        .into_iter()
        .chain(message.as_deref())
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| text::within(&parts.join(": "), FAILURE))
}

/// The message in the cause of a failed function, as far as it is there.
fn message_of(cause: &str) -> Option<String> {
    if let Ok(whole) = serde_json::from_str::<Value>(cause) {
        return whole["errorMessage"].as_str().map(str::to_owned);
    }
    let rest = cause.split_once("\"errorMessage\"")?.1;
    let written = rest.trim_start().strip_prefix(':')?.trim_start();
    let written = written.strip_prefix('"')?;
    let end = end_of_string(written).unwrap_or(written.len());
    // An escape such as `\u00e9` may be cut off at the end, or the second one of a character that needs two.
    (0..=12)
        .filter_map(|cut| written.get(..end.checked_sub(cut)?))
        .find_map(|part| serde_json::from_str(&format!("\"{part}\"")).ok())
}

/// Where a JSON string ends, without its opening quotation mark.
fn end_of_string(written: &str) -> Option<usize> {
    let mut escaped = false;
    written.char_indices().find_map(|(index, character)| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends.then_some(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: &str, cause: &str) -> String {
        failure_text(Some(error), Some(cause)).unwrap()
    }

    #[test]
    fn a_failed_function_is_named_by_its_error_and_its_message() {
        let cause =
            r#"{"errorType":"Permanent","errorMessage":"vol-1: no such key","stackTrace":[]}"#;
        assert_eq!(text("Permanent", cause), "Permanent: vol-1: no such key");
        let other_order =
            r#"{ "errorMessage" : "Task timed out after 3 s", "errorType" : "Sandbox.Timedout" }"#;
        assert_eq!(
            text("Sandbox.Timedout", other_order),
            "Sandbox.Timedout: Task timed out after 3 s"
        );
        let quoted = r#"{"errorMessage":"the tag \"a\", and\nmore","errorType":"Permanent"}"#;
        assert_eq!(
            text("Permanent", quoted),
            "Permanent: the tag \"a\", and\nmore"
        );
    }

    #[test]
    fn a_cause_that_is_cut_off_keeps_its_message() {
        let message = format!("the tag \"a\" of {} \u{1f4a5}", "vol-1 ".repeat(20));
        let cause =
            serde_json::json!({"errorType": "Permanent", "errorMessage": message}).to_string();
        let begins = cause.find("the tag").unwrap();
        for (cut, _) in cause.char_indices().filter(|(cut, _)| *cut > begins + 10) {
            let text = text("Permanent", &cause[..cut]);
            let shown = text.strip_prefix("Permanent: the tag").unwrap();
            assert!(message.contains(shown), "{cut}: {text}");
        }
        // Serializers may write what is not ASCII as escapes.
        let escaped = r#"{"errorMessage":"caf\u00e9 \ud83d\udca5"}"#;
        assert_eq!(text("E", &escaped[..escaped.len() - 4]), "E: caf\u{e9} ");
    }

    #[test]
    fn a_service_is_named_by_its_text() {
        assert_eq!(
            text("Ec2.Ec2Exception", "The volume is gone (Service: Ec2)"),
            "Ec2.Ec2Exception: The volume is gone (Service: Ec2)"
        );
        // JSON without a message, and what only resembles it, is shown as it is.
        assert_eq!(text("E", r#"{"Error":"x"}"#), r#"E: {"Error":"x"}"#);
        assert_eq!(
            text("E", "its \"errorMessage\" is empty"),
            "E: its \"errorMessage\" is empty"
        );
    }

    #[test]
    fn what_is_missing_is_left_out_and_what_is_long_is_cut() {
        assert_eq!(
            failure_text(Some("States.Timeout"), None).unwrap(),
            "States.Timeout"
        );
        assert_eq!(failure_text(None, Some("why")).unwrap(), "why");
        assert_eq!(failure_text(None, None), None);
        assert_eq!(failure_text(Some(""), Some("")), None);
        assert!(text("E", &"x".repeat(1_000)).chars().count() <= FAILURE);
    }
}
