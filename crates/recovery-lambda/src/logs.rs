//! Logs in the format of Lambda: one JSON object for each line, or text.

use tracing::Level;
use tracing::level_filters::LevelFilter;

/// Starts logging. Lambda's logging configuration sets the format in `AWS_LAMBDA_LOG_FORMAT` and the level in
/// `AWS_LAMBDA_LOG_LEVEL`. The default, and the level for unknown values, is INFO.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
pub(crate) fn init(var: impl Fn(&str) -> Option<String>) {
    let level = match var("AWS_LAMBDA_LOG_LEVEL").as_deref() {
        // At TRACE, lambda_runtime logs complete events, and the SDK complete answers. They must not be in logs that are
        // kept for a year.
        Some("TRACE" | "DEBUG") => Level::DEBUG,
        Some("WARN") => Level::WARN,
        Some("ERROR" | "FATAL") => Level::ERROR,
        _ => Level::INFO,
    };
    let logs = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from_level(level))
        .with_target(false)
        .with_ansi(false);
    if var("AWS_LAMBDA_LOG_FORMAT").as_deref() == Some("JSON") {
        // If `timestamp` is not in RFC 3339, Lambda treats the line as INFO, whatever its `level` is, and may filter it
        // out.
        logs.json()
            .with_current_span(true)
            .with_span_list(false)
            .init();
    } else {
        // For text, Lambda records the time itself.
        logs.without_time().init();
    }
}
