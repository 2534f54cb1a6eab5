//! Metrics in the log, in the embedded metric format of CloudWatch.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::Write;

use chrono::SecondsFormat;
use recovery_core::ports::Metrics;
use recovery_core::report::measures::Measures;
use serde_json::{Map, Value, json};

use crate::settings::Variables;

pub const NAMESPACE: &str = "RapidRecovery";

/// Writes metrics to the function's log on standard output. This needs no call and no permission.
///
/// Lambda filters lines by their `level`, and treats a line without `level`, or without a `timestamp` in RFC 3339, as
/// INFO. Metrics have the function's own log level, so that they are never filtered out.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
#[derive(Debug, Clone, Copy)]
pub struct LoggedMetrics {
    level: &'static str,
}

impl LoggedMetrics {
    /// Metrics with the level of Lambda's logging configuration (`AWS_LAMBDA_LOG_LEVEL`).
    #[must_use]
    pub fn from_variables(variables: Variables<'_>) -> LoggedMetrics {
        let level = match variables("AWS_LAMBDA_LOG_LEVEL").as_deref() {
            Some("WARN") => "WARN",
            Some("ERROR") => "ERROR",
            Some("FATAL") => "FATAL",
            _ => "INFO",
        };
        LoggedMetrics { level }
    }
}

impl Metrics for LoggedMetrics {
    fn record(&self, measures: &Measures) {
        let mut line = embedded(measures, self.level).to_string();
        line.push('\n');
        // One write, so that no other line interrupts it. A failure is only logged.
        if let Err(error) = std::io::stdout().lock().write_all(line.as_bytes()) {
            tracing::warn!(%error, "the metrics were not written");
        }
    }
}

/// The metrics as one line in the embedded metric format.
fn embedded(measures: &Measures, level: &str) -> Value {
    let names: Vec<&str> = measures.dimensions.iter().map(|(name, _)| *name).collect();
    let metrics: Vec<Value> = measures
        .values
        .iter()
        .map(|(name, unit, _)| json!({"Name": name, "Unit": unit.as_str()}))
        .collect();
    let mut line = Map::new();
    line.insert("level".to_owned(), json!(level));
    line.insert(
        "timestamp".to_owned(),
        json!(measures.at.to_rfc3339_opts(SecondsFormat::Millis, true)),
    );
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": measures.at.timestamp_millis(),
            "CloudWatchMetrics": [
                {"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": metrics},
            ],
        }),
    );
    for (name, value) in &measures.dimensions {
        line.insert((*name).to_owned(), json!(value));
    }
    for (name, _, value) in &measures.values {
        line.insert((*name).to_owned(), json!(value));
    }
    Value::Object(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use recovery_core::report::measures::Unit;

    #[test]
    fn metrics_use_a_level_that_lambda_keeps() {
        for (set, level) in [
            (None, "INFO"),
            (Some("DEBUG"), "INFO"),
            (Some("INFO"), "INFO"),
            (Some("WARN"), "WARN"),
            (Some("ERROR"), "ERROR"),
            (Some("FATAL"), "FATAL"),
        ] {
            let metrics = LoggedMetrics::from_variables(&|name| {
                set.filter(|_| name == "AWS_LAMBDA_LOG_LEVEL")
                    .map(str::to_owned)
            });
            assert_eq!(metrics.level, level, "{set:?}");
        }
    }

    #[test]
    fn line_declares_each_metric_once() {
        let measures = Measures {
            at: chrono::DateTime::from_timestamp(1_795_413_600, 250_000_000).unwrap(),
            dimensions: vec![
                ("Workload", "shop".to_owned()),
                ("Mode", "drill".to_owned()),
            ],
            values: vec![
                ("RecoveryTimeSeconds", Unit::Seconds, 1_800),
                ("ItemsIntegrated", Unit::Count, 3),
            ],
        };
        assert_eq!(
            embedded(&measures, "WARN"),
            json!({
                "level": "WARN",
                "timestamp": "2026-11-23T06:00:00.250Z",
                "_aws": {
                    "Timestamp": 1_795_413_600_250_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "RapidRecovery",
                        "Dimensions": [["Workload", "Mode"]],
                        "Metrics": [
                            {"Name": "RecoveryTimeSeconds", "Unit": "Seconds"},
                            {"Name": "ItemsIntegrated", "Unit": "Count"},
                        ],
                    }],
                },
                "Workload": "shop",
                "Mode": "drill",
                "RecoveryTimeSeconds": 1_800,
                "ItemsIntegrated": 3,
            })
        );
    }
}
