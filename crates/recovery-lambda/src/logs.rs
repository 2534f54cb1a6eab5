//! Logs as Lambda collects them: one JSON object a line, or text.

use tracing::Level;
use tracing::level_filters::LevelFilter;

/// Starts logging, by the variables that Lambda's logging configuration sets: format from
/// `AWS_LAMBDA_LOG_FORMAT`, level from `AWS_LAMBDA_LOG_LEVEL` (INFO when it says nothing known).
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
pub(crate) fn init(var: impl Fn(&str) -> Option<String>) {
    let level = match var("AWS_LAMBDA_LOG_LEVEL").as_deref() {
        // At TRACE, lambda_runtime logs each event whole, and the SDK each answer: more than belongs
        // into logs that are kept for a year.
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
        // Lambda takes a line whose `timestamp` is not in RFC 3339 for one of level INFO, whatever its
        // `level` is, and then may filter it out.
        logs.json()
            .with_current_span(true)
            .with_span_list(false)
            .init();
    } else {
        // Of text, Lambda keeps the time itself.
        logs.without_time().init();
    }
}
