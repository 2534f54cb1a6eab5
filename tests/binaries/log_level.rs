//! The lines that Lambda keeps at each log level: errors and every metric.

use std::net::{TcpListener, TcpStream};

use chrono::DateTime;
use serde_json::{Value, json};

use testkit::answers;
use testkit::http::{self, Incoming};

use super::lambda::Lambda;

const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// The lines that Lambda keeps at this level. A line with a missing or unknown level, or a time that is
/// not in RFC 3339, has the level INFO (Lambda guide, monitoring-cloudwatchlogs-log-level).
fn kept(log: &str, level: &str) -> Vec<Value> {
    let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
    log.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"))
        .filter(|line| {
            let timed = line["timestamp"]
                .as_str()
                .is_some_and(|time| DateTime::parse_from_rfc3339(time).is_ok());
            let own = line["level"].as_str().filter(|_| timed).and_then(rank);
            own.or(rank("INFO")) >= rank(level)
        })
        .collect()
}

/// A server with an empty bucket that accepts objects and rejects everything else. It ends with the
/// test.
fn aws() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection));
        }
    });
    format!("http://{address}")
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    let mut incoming = Incoming::default();
    while let Some(request) = incoming.next(&mut connection)? {
        let (status, body) = match request.method.as_str() {
            "GET" => (
                404,
                answers::s3_error("NoSuchKey", "The specified key does not exist."),
            ),
            "PUT" => (200, String::new()),
            _ => (400, json!({"__type": "ValidationException"}).to_string()),
        };
        http::answer(&mut connection, status, &[], &body)?;
    }
    Ok(())
}

#[test]
fn keeps_metrics_and_errors_at_every_log_level() {
    let endpoint = aws();
    let report = json!({
        "do": "report",
        "workload": "shop",
        "mode": "recover",
        "execution": {
            "arn": "arn:aws:states:us-west-2:111122223333:execution:region-recovery:shop-1",
            "name": "shop-1",
            "startedAt": "2026-11-23T05:12:04.113Z",
        },
        "problems": [{"step": "plan", "subject": "shop", "reason": "no-plan", "why": "no plan"}],
        "redrives": 0,
        "round": 0,
    });
    for level in ["DEBUG", "INFO", "WARN", "ERROR"] {
        let lambda = Lambda::start(
            "recovery-reporter",
            &[
                ("AWS_ENDPOINT_URL", &endpoint),
                ("AWS_LAMBDA_LOG_LEVEL", level),
                ("AWS_REGION", "us-west-2"),
                (
                    "DRILL_RESTORE_ROLE_ARN",
                    "arn:aws:iam::111122223333:role/drill",
                ),
                ("PLAN_BUCKET", "shop-plans"),
                ("RECOVERY_POINT_TARGET_MINUTES", "off"),
                ("RECOVERY_TIME_TARGET_MINUTES", "off"),
                ("TOPIC_ARN", "off"),
            ],
        );
        let answer = lambda.invoke(&report.to_string());
        // Its OpsItem is refused, after the metrics are written.
        assert!(answer.is_error, "{answer:?}");
        let log = lambda.end();
        let kept = kept(&log, level);
        let metrics: Vec<&Value> = kept
            .iter()
            .filter(|line| line["_aws"]["CloudWatchMetrics"].is_array())
            .collect();
        assert_eq!(metrics.len(), 1, "{level}: {log}");
        assert_eq!(metrics[0]["Workload"], "shop", "{level}");
        assert!(
            kept.iter()
                .any(|line| line["level"] == "ERROR" && line.get("_aws").is_none()),
            "{level}: the error is not kept: {log}"
        );
    }
}
