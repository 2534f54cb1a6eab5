//! Parses EventBridge events: leniently where the events of AWS vary, otherwise strictly.
//!
//! See <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>.

pub mod alarm;
pub mod backup;
pub mod health;

use aws_lambda_events::eventbridge::EventBridgeEvent;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::{Error, Fault};
use crate::text;

/// An event of EventBridge with its detail unparsed.
pub type Event = EventBridgeEvent<Value>;

/// Parses the envelope.
///
/// # Errors
/// [`Error::Permanent`] that names the field, if `payload` is not an EventBridge event.
pub fn parse(payload: &Value) -> Result<Event, Error> {
    if !payload.is_object() {
        return Err(malformed(
            "the input",
            format!("expected a JSON object, found {}", kind(payload)),
        ));
    }
    serde_path_to_error::deserialize(payload).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => "the input".to_owned(),
            path => text::shown(&path),
        };
        malformed(path, text::shown(&error.inner().to_string()))
    })
}

/// Parses the detail as `T`.
///
/// # Errors
/// [`Error::Permanent`] that names the field, if the detail is not a `T`.
pub fn detail<T: DeserializeOwned>(event: &Event) -> Result<T, Error> {
    if !event.detail.is_object() {
        return Err(malformed(
            "detail",
            format!("expected a JSON object, found {}", kind(&event.detail)),
        ));
    }
    serde_path_to_error::deserialize(&event.detail).map_err(|error| {
        malformed(
            format!("detail.{}", text::shown(&error.path().to_string())),
            text::shown(&error.inner().to_string()),
        )
    })
}

/// The error for an input that is invalid at `path`.
pub(crate) fn malformed(path: impl Into<String>, what: impl Into<String>) -> Error {
    Error::Permanent(Fault::new(
        "parse event",
        path,
        what,
        "Pass an event in the format of AWS. The files under events/ are examples.",
    ))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A text field. A number becomes its digits; an empty text, null and anything else are absent. AWS sends `{}`
/// for an ARN that does not exist yet, and numbers in fields that it documents as text.
pub(crate) fn lenient_text<'de, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text::is_blank(&text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// A date in any format of AWS events: RFC 3339 (Backup), the same with an offset without colon (CloudWatch),
/// RFC 2822 with a right, wrong or missing weekday (Health).
pub fn date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(date.with_timezone(&Utc));
    }
    if let Ok(date) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Some(date.with_timezone(&Utc));
    }
    // In a documented sample of AWS Health, the weekday does not match the date.
    let without_weekday = text.split_once(", ").map_or(text, |(_, rest)| rest);
    DateTime::parse_from_rfc2822(without_weekday)
        .ok()
        .map(|date| date.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_the_invalid_member_of_an_event() {
        let check = |payload: Value, expected: &str| {
            let error = parse(&payload).unwrap_err();
            assert_eq!(error.error_type(), "Permanent");
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(json!(null), "expected a JSON object, found null");
        check(json!([]), "found an array");
        check(json!("x"), "found a string");
        check(json!({}), "missing field `detail-type`");
        check(
            json!({"source": "aws.backup", "detail-type": 1, "detail": {}}),
            "detail-type",
        );
        check(
            json!({"source": "s", "detail-type": "t", "detail": {}, "resources": "x"}),
            "resources",
        );
    }

    #[test]
    fn parses_the_date_formats_of_aws() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(
                date(text).map(|d| d.to_rfc3339()),
                expected.map(str::to_owned),
                "{text}"
            );
        };
        check(
            "2020-07-15T03:14:53.128Z",
            Some("2020-07-15T03:14:53.128+00:00"),
        );
        check(
            "Fri, 3 Jun 2022 05:01:10 GMT",
            Some("2022-06-03T05:01:10+00:00"),
        );
        check(
            "Mon, 3 Jun 2022 05:01:10 GMT",
            Some("2022-06-03T05:01:10+00:00"),
        );
        check("3 Jun 2022 05:01:10 GMT", Some("2022-06-03T05:01:10+00:00"));
        check(
            "2019-10-02T17:04:40.989+0000",
            Some("2019-10-02T17:04:40.989+00:00"),
        );
        check("yesterday", None);
        check("", None);
    }
}
