//! The format of times and names in texts.

use chrono::{DateTime, Utc};

use crate::text;

/// Whole seconds from `from` to `to`; 0 if `to` is earlier, because the clocks of services differ.
pub(crate) fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    (to.timestamp() - from.timestamp()).max(0)
}

/// The time in RFC 3339, to the second.
pub(crate) fn clock_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The last part of an ARN.
pub(crate) fn short(arn: &str) -> String {
    let last = arn.rsplit(['/', ':']).next().unwrap_or(arn);
    text::shown(last)
}
