//! Times and names, as people read them.

use chrono::{DateTime, Utc};

use crate::text;

/// Whole seconds from `from` to `to`, and 0 where `to` is earlier: the times come from several services,
/// whose clocks may differ.
pub(crate) fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    (to.timestamp() - from.timestamp()).max(0)
}

/// The time in RFC 3339, to the second.
pub(crate) fn clock_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The last part of an ARN, which tells it from its neighbours.
pub(crate) fn short(arn: &str) -> String {
    let last = arn.rsplit(['/', ':']).next().unwrap_or(arn);
    text::shown(last)
}
