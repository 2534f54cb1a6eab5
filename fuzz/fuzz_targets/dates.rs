//! A date is the same time in every format of AWS, or parsing returns `None`.
#![no_main]

use chrono::SecondsFormat;
use libfuzzer_sys::fuzz_target;
use recovery_core::event::date;

fuzz_target!(|text: &str| {
    let Some(moment) = date(text) else {
        return;
    };
    assert_eq!(date(&format!(" {text}\n")), Some(moment));
    let backup = moment.to_rfc3339_opts(SecondsFormat::Nanos, true);
    // A year with more than four digits is not RFC 3339.
    if let Some(read) = date(&backup) {
        assert_eq!(read, moment);
    } else {
        assert!(
            !(0..=9999).contains(&chrono::Datelike::year(&moment)),
            "{backup}"
        );
        return;
    }
    let cloudwatch = moment.format("%Y-%m-%dT%H:%M:%S%.9f+0000").to_string();
    assert_eq!(date(&cloudwatch), Some(moment), "{cloudwatch}");
    // A weekday may be wrong, as in samples of AWS.
    let health = moment.format("Mon, %d %b %Y %H:%M:%S GMT").to_string();
    let read = date(&health).map(|read| read.timestamp());
    assert_eq!(read, Some(moment.timestamp()), "{health}");
});
