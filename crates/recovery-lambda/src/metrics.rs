//! Metrics in the log: CloudWatch makes them of lines in the embedded metric format.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::Write;

use recovery_core::ports::Metrics;
use recovery_core::report::measures::Measures;
use serde_json::{Map, Value, json};

/// The namespace of the metrics.
pub const NAMESPACE: &str = "RapidRecovery";

/// Metrics go to the function's log, on standard output: no call, no permission, nothing to wait for.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoggedMetrics;

impl Metrics for LoggedMetrics {
    fn record(&self, measures: &Measures) {
        let mut line = embedded(measures).to_string();
        line.push('\n');
        // One write, so that no other line comes between. Nobody waits for metrics.
        if let Err(error) = std::io::stdout().lock().write_all(line.as_bytes()) {
            tracing::warn!(%error, "metrics are lost");
        }
    }
}

/// The numbers as one object of the embedded metric format.
fn embedded(measures: &Measures) -> Value {
    let names: Vec<&str> = measures.dimensions.iter().map(|(name, _)| *name).collect();
    let metrics: Vec<Value> = measures
        .values
        .iter()
        .map(|(name, unit, _)| json!({"Name": name, "Unit": unit.as_str()}))
        .collect();
    let mut line = Map::new();
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
    fn a_line_has_each_metric_declared_and_once() {
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
            embedded(&measures),
            json!({
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
