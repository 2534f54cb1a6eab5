//! An event is parsed whatever unknown members it has, or parsing returns an error that names the field.
#![no_main]

use fuzz::{assert_error, mutate_json};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use recovery_core::error::Error;
use recovery_core::event;
use recovery_core::event::{Event, alarm, backup, health};
use serde_json::{Value, json};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_json(data, size, max_size, seed)
});

/// Everything that can be read from an event, as text.
fn readings(event: &Event) -> [Result<String, Error>; 5] {
    [
        backup::restore_job(event).map(|job| {
            assert!(!job.id.as_str().trim().is_empty());
            assert!(!job.is_settled() || job.created_resource.is_some());
            // Completing the job keeps what the event has, and completing it twice adds nothing.
            assert_eq!(job.clone().settled_by(job.clone()), job);
            format!("{job:?}")
        }),
        backup::copy_job(event).map(|job| format!("{job:?}")),
        backup::backup_job(event).map(|job| format!("{job:?}")),
        health::health_event(event).map(|event| {
            assert!(!event.arn.trim().is_empty() && !event.message_key.is_empty());
            format!("{event:?}")
        }),
        alarm::alarm_change(event).map(|change| {
            assert!(!change.name.trim().is_empty() && !change.value.is_empty());
            format!("{change:?}")
        }),
    ]
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let event = match event::parse(&payload) {
        Ok(event) => event,
        Err(error) => {
            assert_error(&error);
            assert_eq!(error.error_type(), "Permanent");
            return;
        }
    };
    let read = readings(&event);
    for error in read.iter().filter_map(|read| read.as_ref().err()) {
        assert_error(error);
        assert_eq!(error.error_type(), "Permanent");
        assert!(error.fault().subject().starts_with("detail"), "{error}");
    }
    // Unknown fields are ignored.
    let mut more = payload;
    more["foreign"] = json!([{"a": null}]);
    if let Some(detail) = more["detail"].as_object_mut() {
        detail.insert("foreign".to_owned(), json!({"a": [1]}));
    }
    let again = readings(&event::parse(&more).expect("it was an event without them"));
    for (read, again) in read.into_iter().zip(again) {
        assert_eq!(read.ok(), again.ok());
    }
});
