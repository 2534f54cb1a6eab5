//! Events of CloudWatch alarms: metric, metric math, anomaly detection, composite.
//!
//! See <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html>.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::aws::arn::Arn;
use crate::error::Error;
use crate::event::{Event, detail, lenient_text};

/// `source` of every event of CloudWatch.
pub const SOURCE: &str = "aws.cloudwatch";
/// `detail-type` of an alarm that changed its state.
pub const STATE_CHANGE: &str = "CloudWatch Alarm State Change";

/// An alarm that changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmChange {
    /// Identifies the alarm: its ARN or, if the event has none, account, Region and name.
    pub id: String,
    pub name: String,
    pub account: Option<String>,
    pub region: Option<String>,
    /// `ALARM`, `OK` or `INSUFFICIENT_DATA`.
    pub value: String,
    /// The state before.
    pub previous: Option<String>,
    /// CloudWatch's reason.
    pub reason: String,
    /// The time of the change.
    pub changed: Option<DateTime<Utc>>,
    pub kind: AlarmKind,
    /// The description in its configuration.
    pub description: Option<String>,
    /// Why its actions are not executed, if they are not.
    pub silenced: Option<Silenced>,
}

/// What an alarm watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// One metric.
    Metric,
    /// An expression over metrics.
    Math,
    /// A band of expected values.
    AnomalyDetection,
    /// Other alarms.
    Composite,
    /// The missing heartbeat of the primary Region: the alarm of this stack.
    Heartbeat,
    /// A canary of CloudWatch Synthetics, which uses the workload as a user does.
    Canary,
    /// The rate of failed requests: the alarm of `infra/workload-alarms.yaml`.
    ErrorRate,
}

/// The suffix of the name of the heartbeat alarm in `template.yaml`.
pub const SILENCE: &str = "-primary-region-silent";
/// The metric of that alarm: received heartbeats.
pub const HEARTBEATS: (&str, &str) = ("AWS/Events", "MatchedEvents");
/// The suffix of the name of the alarm of failed requests in `infra/workload-alarms.yaml`.
pub const ERROR_RATE: &str = "-error-rate";
/// The namespace of the metrics of canaries.
const CANARIES: &str = "CloudWatchSynthetics";

/// Why an alarm's actions are not executed, although its event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silenced {
    /// A mute rule.
    Muted,
    /// A suppressor alarm that is, or very recently was, in alarm.
    Suppressed,
    /// The alarm waits for its suppressor: it may still be suppressed.
    Waiting,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default, deserialize_with = "lenient_text")]
    alarm_name: Option<String>,
    #[serde(default)]
    state: Value,
    #[serde(default)]
    previous_state: Value,
    #[serde(default)]
    configuration: Value,
    #[serde(default)]
    mute_detail: Value,
}

/// Parses the event of an alarm.
///
/// # Errors
/// [`Error::Permanent`] if the event has no alarm or no state.
pub fn alarm_change(event: &Event) -> Result<AlarmChange, Error> {
    let detail: Detail = detail(event)?;
    let name = detail
        .alarm_name
        .ok_or_else(|| super::malformed("detail.alarmName", "it is missing or not text"))?;
    let text = |value: &Value, member: &str| {
        value
            .get(member)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let value = text(&detail.state, "value")
        .ok_or_else(|| super::malformed("detail.state.value", "it is missing or not text"))?;
    let arn = event
        .resources
        .iter()
        .flatten()
        .filter_map(|arn| Arn::parse(arn).ok())
        .find(|arn| arn.service() == "cloudwatch");
    let of_arn = |part: fn(&Arn) -> &str| {
        arn.as_ref()
            .map(|arn| part(arn).to_owned())
            .filter(|part| !part.is_empty())
    };
    let account = of_arn(Arn::account).or_else(|| event.account.clone());
    let region = of_arn(Arn::region).or_else(|| event.region.clone());
    let silenced = if detail.mute_detail.is_object() {
        Some(Silenced::Muted)
    } else {
        match text(&detail.state, "actionsSuppressedBy").as_deref() {
            Some("WaitPeriod") => Some(Silenced::Waiting),
            Some(_) => Some(Silenced::Suppressed),
            None => None,
        }
    };
    Ok(AlarmChange {
        id: arn.as_ref().map_or_else(
            || {
                format!(
                    "{}/{}/{name}",
                    account.as_deref().unwrap_or("-"),
                    region.as_deref().unwrap_or("-")
                )
            },
            |arn| arn.as_str().to_owned(),
        ),
        account,
        region,
        value,
        previous: text(&detail.previous_state, "value"),
        reason: text(&detail.state, "reason").unwrap_or_default(),
        changed: text(&detail.state, "timestamp")
            .as_deref()
            .and_then(super::date)
            .or(event.time),
        kind: kind(&name, &detail.configuration),
        description: text(&detail.configuration, "description"),
        silenced,
        name,
    })
}

fn kind(name: &str, configuration: &Value) -> AlarmKind {
    if configuration.get("alarmRule").is_some() {
        return AlarmKind::Composite;
    }
    let metrics = || {
        configuration
            .get("metrics")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let of = |(namespace, metric): (&str, Option<&str>)| {
        let is = |value: &Value, text: &str| value.as_str() == Some(text);
        metrics().any(|each| {
            let watched = &each["metricStat"]["metric"];
            is(&watched["namespace"], namespace)
                && metric.is_none_or(|metric| is(&watched["name"], metric))
        })
    };
    let expressions: Vec<&str> = metrics()
        .filter_map(|metric| metric.get("expression").and_then(Value::as_str))
        .collect();
    if expressions
        .iter()
        .any(|expression| expression.starts_with("ANOMALY_DETECTION_BAND"))
    {
        AlarmKind::AnomalyDetection
    } else if name.ends_with(SILENCE) && of((HEARTBEATS.0, Some(HEARTBEATS.1))) {
        AlarmKind::Heartbeat
    } else if of((CANARIES, None)) {
        AlarmKind::Canary
    } else if expressions.is_empty() {
        AlarmKind::Metric
    } else if name.ends_with(ERROR_RATE) {
        AlarmKind::ErrorRate
    } else {
        AlarmKind::Math
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(resources: Value, detail: Value) -> Result<AlarmChange, Error> {
        alarm_change(
            &super::super::parse(&json!({
                "source": SOURCE, "detail-type": STATE_CHANGE, "time": "2026-11-23T06:00:00Z",
                "account": "111122223333", "region": "us-west-2",
                "resources": resources, "detail": detail,
            }))
            .unwrap(),
        )
    }

    #[test]
    fn identifies_an_alarm_by_its_arn() {
        let state = json!({"alarmName": "a b", "state": {"value": "OK"}});
        let arn = "arn:aws:cloudwatch:us-east-1:444455556666:alarm:a";
        let change = read(json!([arn]), state.clone()).unwrap();
        assert_eq!(change.id, arn);
        assert_eq!(change.region.as_deref(), Some("us-east-1"));
        assert_eq!(change.account.as_deref(), Some("444455556666"));
        let change = read(json!([]), state).unwrap();
        assert_eq!(change.id, "111122223333/us-west-2/a b");
        assert_eq!(
            change.changed.unwrap().to_rfc3339(),
            "2026-11-23T06:00:00+00:00"
        );
    }

    #[test]
    fn distinguishes_the_kinds_of_alarms() {
        let watched = |name: &str, configuration: Value| {
            let detail = json!({
                "alarmName": name, "state": {"value": "ALARM"}, "configuration": configuration,
            });
            read(json!([]), detail).unwrap().kind
        };
        let metric = |namespace: &str, name: &str| {
            json!({"metrics": [{"id": "m", "metricStat": {"metric": {
                "namespace": namespace, "name": name, "dimensions": {},
            }}}]})
        };
        let silent = "recovery-rr-primary-region-silent";
        let heartbeats = metric("AWS/Events", "MatchedEvents");
        assert_eq!(watched(silent, heartbeats.clone()), AlarmKind::Heartbeat);
        // The name alone does not suffice, nor does the metric alone.
        assert_eq!(watched("recovery-other", heartbeats), AlarmKind::Metric);
        assert_eq!(
            watched(silent, metric("AWS/EC2", "StatusCheckFailed")),
            AlarmKind::Metric
        );
        assert_eq!(
            watched(
                "recovery-canary",
                metric("CloudWatchSynthetics", "SuccessPercent")
            ),
            AlarmKind::Canary
        );
        let math = json!({"metrics": [{"id": "rate", "expression": "100 * errors / requests"}]});
        assert_eq!(
            watched("recovery-shop-error-rate", math.clone()),
            AlarmKind::ErrorRate
        );
        assert_eq!(watched("recovery-shop", math), AlarmKind::Math);
        assert_eq!(watched("recovery-shop", json!(null)), AlarmKind::Metric);
    }

    #[test]
    fn distinguishes_muted_and_suppressed_alarms() {
        let check = |state: Value, mute: Value, expected: Option<Silenced>| {
            let detail = json!({"alarmName": "a", "state": state, "muteDetail": mute});
            assert_eq!(read(json!([]), detail).unwrap().silenced, expected);
        };
        let by = |by: &str| json!({"value": "ALARM", "actionsSuppressedBy": by});
        check(json!({"value": "ALARM"}), json!(null), None);
        check(by("Alarm"), json!(null), Some(Silenced::Suppressed));
        check(
            by("ExtensionPeriod"),
            json!(null),
            Some(Silenced::Suppressed),
        );
        check(by("WaitPeriod"), json!(null), Some(Silenced::Waiting));
        check(
            by("WaitPeriod"),
            json!({"mutedByArn": "x"}),
            Some(Silenced::Muted),
        );
    }

    #[test]
    fn names_the_missing_field_of_an_alarm_event() {
        let error = |detail: Value| read(json!([]), detail).unwrap_err().to_string();
        assert!(error(json!({"state": {"value": "OK"}})).contains("detail.alarmName"));
        assert!(error(json!({"alarmName": "a"})).contains("detail.state.value"));
        assert!(error(json!({"alarmName": "a", "state": "OK"})).contains("detail.state.value"));
    }
}
