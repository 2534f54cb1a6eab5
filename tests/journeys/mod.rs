//! Journeys: each test delivers events to a function and checks the outcome, the calls, the OpsItem and
//! the notifications. One file for each rule; [`malformed`] replaces every field of every event file,
//! [`hostile`] replaces every text by hostile text.

mod alarm_state;
mod backup_finished;
mod copy_finished;
mod health_issue;
mod heartbeat;
mod hostile;
pub(crate) mod malformed;
mod ops_item_quota;
mod reconcile_due;
mod restore_completed;
mod restore_completed_database;
mod restore_completed_file_system;
mod restore_completed_table;
mod restore_failed;
mod restore_test_completed;

use recovery_core::fakes::{StoredItem, World};

/// Asserts the kind and the reason of an outcome, and returns it.
macro_rules! assert_outcome {
    ($outcome:expr, $kind:literal) => {
        assert_outcome!($outcome, $kind, None)
    };
    ($outcome:expr, $kind:literal, $reason:literal) => {
        assert_outcome!($outcome, $kind, Some($reason))
    };
    ($outcome:expr, $kind:literal, $reason:expr) => {{
        let outcome = $outcome.unwrap();
        assert_eq!(
            (outcome.kind(), outcome.reason()),
            ($kind, $reason),
            "{outcome:?}"
        );
        outcome
    }};
}
use assert_outcome;

/// The only OpsItem of this world.
#[track_caller]
fn only_item(world: &World) -> StoredItem {
    let state = world.state();
    let [stored] = state.items.as_slice() else {
        panic!("{} OpsItems instead of one", state.items.len());
    };
    stored.clone()
}

/// Subject and message of each notification.
fn notifications(world: &World) -> Vec<(String, String)> {
    let state = world.state();
    state
        .notifications
        .iter()
        .map(|sent| (sent.limited_subject(), sent.message.clone()))
        .collect()
}

#[track_caller]
fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
