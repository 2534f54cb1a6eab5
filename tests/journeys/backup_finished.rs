//! `BackupFinishedRule`: a backup job ended. Without a new recovery point, what a recovery would
//! lose grows.

use recovery_core::fakes::World;
use recovery_core::ops_item::{Severity, Status};

use crate::support::repository::event;
use crate::support::restored::track;

use super::{assert_contains, assert_outcome, only_item};

#[test]
fn a_backup_that_was_not_made_is_told_as_a_growing_loss_of_data() {
    for (name, state) in [
        ("backup-failed", "FAILED"),
        ("backup-aborted", "ABORTED"),
        ("backup-expired", "EXPIRED"),
        ("backup-partial", "PARTIAL"),
    ] {
        let event = event(name);
        let world = World::new();
        let outcome = assert_outcome!(track(&world, &event), "tracked");
        let id = event["detail"]["backupJobId"].as_str();
        assert_eq!(outcome.id("backupJobId"), id, "{name}");
        let stored = only_item(&world);
        let title = format!("{}: RPO at risk", state.to_lowercase());
        assert!(stored.title.ends_with(&title), "{}", stored.title);
        assert_contains(
            &stored.description,
            &[
                &format!("is `{state}`."),
                "The newest recovery point of this resource in the recovery Region gets older.",
                "**What to do.** Read the message.",
            ],
        );
        assert_eq!(
            (stored.severity, stored.item.status),
            (Severity::High, Status::Open)
        );
    }
}

#[test]
fn a_completed_backup_where_the_owner_wants_it_is_on_record_and_resolved() {
    for name in ["backup-completed", "backup-completed-with-issues"] {
        let world = World::new();
        assert_outcome!(track(&world, &event(name)), "resolved");
        let stored = only_item(&world);
        assert_eq!(
            (stored.severity, stored.item.status),
            (Severity::Low, Status::Resolved)
        );
    }
}

#[test]
fn a_backup_that_goes_on_is_ignored_without_a_call() {
    for name in [
        "backup-running",
        "backup-pending",
        "backup-aborting",
        "backup-created",
    ] {
        let world = World::new();
        assert_outcome!(track(&world, &event(name)), "ignored", "state");
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
    }
}
