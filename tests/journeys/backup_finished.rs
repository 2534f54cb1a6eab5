//! `BackupFinishedRule`: a backup job ended. Without a new recovery point, the achievable RPO grows.

use recovery_core::fakes::World;
use recovery_core::ops_item::{Severity, Status};

use crate::support::repository::event;
use crate::support::restored::track;

use super::{assert_contains, assert_outcome, only_item};

#[test]
fn failed_backup_opens_an_ops_item_about_the_growing_rpo() {
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
fn completed_backup_has_a_resolved_ops_item() {
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
fn ignores_a_running_backup_without_a_call() {
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
