//! Parses events of AWS Health leniently: required fields can be missing, numbers are text, and the formats of
//! dates vary.
//!
//! See <https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html>.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::event::{Event, detail, lenient_text};

/// `source` of every event of AWS Health.
pub const SOURCE: &str = "aws.health";
/// `detail-type` of Health events, except those about abuse.
pub const EVENT: &str = "AWS Health Event";

/// One page of one message about one Health event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthEvent {
    /// Identifies the Health event. All its messages, pages and duplicates have the same ARN.
    pub arn: String,
    /// `S3`, `EC2`, `MULTIPLE_SERVICES`, …
    pub service: String,
    /// `AWS_S3_INCREASED_GET_API_ERROR_RATES`, …
    pub code: String,
    /// `issue`, `accountNotification`, `scheduledChange`, `investigation`.
    pub category: String,
    /// `PUBLIC` or `ACCOUNT_SPECIFIC`.
    pub scope: Option<String>,
    /// Identifies the message. All its pages, and its copy in the backup Region, have the same key.
    pub message_key: String,
    /// `open`, `closed` or `upcoming`.
    pub status: Option<String>,
    /// The affected Region, or `global`. If the event has none, the Region of the ARN.
    pub region: Option<String>,
    /// When the issue began.
    pub start: Option<DateTime<Utc>>,
    pub end: Option<DateTime<Utc>>,
    /// When AWS last updated it.
    pub updated: Option<DateTime<Utc>>,
    /// The description by AWS, in English if there are several languages.
    pub description: String,
    /// The affected entities of this account on this page: ids, names or ARNs.
    pub entities: Vec<String>,
    /// The number of pages of the message.
    pub pages: u32,
    /// The affected account, if it is not the receiver of the event: an organization receives the events of its
    /// members.
    pub affected_account: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default, deserialize_with = "lenient_text")]
    event_arn: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    service: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    event_type_code: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    event_type_category: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    event_scope_code: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    communication_id: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    status_code: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    event_region: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    start_time: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    end_time: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    last_updated_time: Option<String>,
    #[serde(default)]
    event_description: Value,
    #[serde(default)]
    affected_entities: Value,
    #[serde(default, deserialize_with = "lenient_text")]
    affected_account: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    page: Option<String>,
    #[serde(default, deserialize_with = "lenient_text")]
    total_pages: Option<String>,
}

/// Parses a Health event.
///
/// # Errors
/// [`Error::Permanent`] if the event has no `eventArn`, which identifies it.
pub fn health_event(event: &Event) -> Result<HealthEvent, Error> {
    let detail: Detail = detail(event)?;
    let arn = detail
        .event_arn
        .ok_or_else(|| super::malformed("detail.eventArn", "it is missing or not text"))?;
    let date = |text: Option<String>| text.as_deref().and_then(super::date);
    let updated = date(detail.last_updated_time).or(event.time);
    let message_key = match detail.communication_id {
        Some(id) => without_page(&id, detail.page.as_deref()).to_owned(),
        None => updated.map_or_else(|| "unnamed".to_owned(), |time| time.to_rfc3339()),
    };
    // arn:aws:health:us-east-1::event/…
    let arn_region = arn
        .split(':')
        .nth(3)
        .map(str::trim)
        .filter(|region| !region.is_empty())
        .map(str::to_owned);
    Ok(HealthEvent {
        service: detail.service.unwrap_or_default(),
        code: detail.event_type_code.unwrap_or_default(),
        category: detail.event_type_category.unwrap_or_default(),
        scope: detail.event_scope_code,
        message_key,
        status: detail.status_code,
        region: detail.event_region.or(arn_region),
        start: date(detail.start_time),
        end: date(detail.end_time),
        updated,
        description: description(&detail.event_description),
        entities: entities(&detail.affected_entities, &event.resources),
        pages: detail
            .total_pages
            .and_then(|pages| pages.trim().parse().ok())
            .unwrap_or(1),
        affected_account: detail
            .affected_account
            .filter(|account| event.account.as_ref() != Some(account)),
        arn,
    })
}

/// The communication id without the page number, which some samples have at its end. It is then the same for all
/// pages of a message.
fn without_page<'a>(id: &'a str, page: Option<&str>) -> &'a str {
    let page = page.unwrap_or("1");
    id.strip_suffix(page)
        .and_then(|rest| rest.strip_suffix('-'))
        .filter(|rest| !rest.is_empty())
        .unwrap_or(id)
}

fn description(texts: &Value) -> String {
    let texts = || texts.as_array().into_iter().flatten();
    let language = |text: &&Value| {
        text.get("language")
            .and_then(Value::as_str)
            .is_some_and(|language| language.to_ascii_lowercase().starts_with("en"))
    };
    texts()
        .find(language)
        .or_else(|| texts().next())
        .and_then(|text| text.get("latestDescription"))
        .and_then(Value::as_str)
        .map(|text| unescaped(text).trim().to_owned())
        .unwrap_or_default()
}

/// `text` with its line breaks. AWS Health escapes its descriptions twice, so that a line break arrives as a
/// backslash and the letter n.
fn unescaped(text: &str) -> String {
    text.replace("\\r\\n", "\n")
        .replace("\\n", "\n")
        .replace("\\r", "\n")
        .replace("\\t", " ")
        .replace("\\\"", "\"")
}

fn entities(affected: &Value, resources: &Option<Vec<String>>) -> Vec<String> {
    let mut entities: Vec<String> = affected
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entity| entity.get("entityValue").and_then(Value::as_str))
        .chain(resources.iter().flatten().map(String::as_str))
        .filter(|entity| !entity.is_empty())
        .map(str::to_owned)
        .collect();
    entities.sort();
    entities.dedup();
    entities
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(detail: Value) -> HealthEvent {
        let event = super::super::parse(&json!({
            "source": SOURCE, "detail-type": EVENT, "time": "2026-11-23T06:00:00Z",
            "region": "us-west-2", "detail": detail,
        }))
        .unwrap();
        health_event(&event).unwrap()
    }

    #[test]
    fn pages_of_a_message_have_one_key() {
        let key = |id: &str, page: Value| {
            read(json!({"eventArn": "arn:aws:health:us-east-1::event/X", "communicationId": id, "page": page}))
                .message_key
        };
        assert_eq!(key("abc-1", json!("1")), "abc");
        assert_eq!(key("abc-2", json!("2")), "abc");
        assert_eq!(key("abc-2", json!(2)), "abc");
        assert_eq!(key("abc-1", json!(null)), "abc");
        // An id with digits at its end is kept.
        assert_eq!(key("abc1", json!("1")), "abc1");
        assert_eq!(key("abc-21", json!("1")), "abc-21");
        assert_eq!(key("1", json!("1")), "1");
    }

    #[test]
    fn parses_a_sparse_event() {
        let event = read(json!({"eventArn": "arn:aws:health:us-east-1::event/S3/X/X_1"}));
        assert_eq!(event.region.as_deref(), Some("us-east-1"));
        assert_eq!(
            event.updated.unwrap().to_rfc3339(),
            "2026-11-23T06:00:00+00:00"
        );
        for blank in ["", "  "] {
            let event = read(json!({
                "eventArn": format!("arn:aws:health:{blank}::event/S3/X/X_1"), "eventRegion": blank,
            }));
            assert_eq!(event.region, None);
        }
        assert_eq!(event.scope, None);
        assert_eq!(event.description, "");
        assert!(event.entities.is_empty());
    }

    #[test]
    fn unescapes_line_breaks_that_aws_escapes_twice() {
        let description = |text: &str| {
            read(json!({
                "eventArn": "arn:aws:health:us-east-1::event/X",
                "eventDescription": [{"language": "en_US", "latestDescription": text}],
            }))
            .description
        };
        assert_eq!(description(r"First.\n\nSecond.\n"), "First.\n\nSecond.");
        assert_eq!(description(r"First.\r\nSecond."), "First.\nSecond.");
        assert_eq!(description(r"a\tb"), "a b");
        assert_eq!(description(r#"called \"shop\""#), "called \"shop\"");
        assert_eq!(description("First.\nSecond."), "First.\nSecond.");
        assert_eq!(description(r"C:\Data"), r"C:\Data");
    }

    #[test]
    fn keeps_the_affected_account_only_if_it_differs() {
        let read = |account: Value| {
            let event = super::super::parse(&json!({
                "source": SOURCE, "detail-type": EVENT, "account": "111122223333",
                "detail": {"eventArn": "arn:aws:health:::event/X", "affectedAccount": account},
            }));
            health_event(&event.unwrap()).unwrap().affected_account
        };
        assert_eq!(read(json!("111122223333")), None);
        assert_eq!(read(json!(null)), None);
        assert_eq!(read(json!("444455556666")).as_deref(), Some("444455556666"));
    }

    #[test]
    fn prefers_english_and_deduplicates_entities() {
        let event = read(json!({
            "eventArn": "arn:aws:health:::event/X",
            "eventRegion": "global",
            "eventDescription": [
                {"language": "de_DE", "latestDescription": "Störung"},
                {"language": "en_US", "latestDescription": " Trouble. "},
            ],
            "affectedEntities": [{"entityValue": "vol-1"}, {"entityValue": "vol-1"}, {"status": "IMPAIRED"}, 7],
        }));
        assert_eq!(event.description, "Trouble.");
        assert_eq!(event.entities, ["vol-1"]);
        assert_eq!(event.region.as_deref(), Some("global"));
    }
}
