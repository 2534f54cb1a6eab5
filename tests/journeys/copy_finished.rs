//! `CopyFinishedRule`: a copy job ended. If it failed, the recovery point is missing in the recovery
//! Region, and the OpsItem says so.

use recovery_core::fakes::World;
use recovery_core::ops_item::{Severity, Status};

use crate::support::repository::event;
use crate::support::restored::track;

use super::{assert_contains, assert_outcome, only_item};

#[test]
fn failed_copy_opens_an_ops_item_about_the_growing_rpo() {
    let event = event("copy-failed");
    let world = World::new();

    let outcome = assert_outcome!(track(&world, &event), "tracked");

    let id = "C053CA23-BAEE-433A-8D9C-D325DD0FE948";
    assert_eq!(outcome.id("copyJobId"), Some(id));
    let stored = only_item(&world);
    assert_eq!(stored.key.as_str(), format!("copy-job/{id}"));
    assert_eq!(stored.title, "Copy job (EBS) failed: RPO at risk");
    assert_contains(
        &stored.description,
        &[
            &format!("Copy job `{id}` (`EBS`) is `FAILED`."),
            "- Protected resource: `arn:aws:ec2:us-east-1:111122223333:volume/vol-0763fb4e71a955616`",
            "- Recovery point: (not named)",
            "**Why.** AWS Backup says: `The role may not list the tags of the resource`.",
            "The newest recovery point of this resource in the recovery Region gets older.",
            "**What to do.** Read the message.",
        ],
    );
    assert_eq!(
        (stored.severity, stored.item.status),
        (Severity::High, Status::Open)
    );
}

#[test]
fn tracks_a_partial_copy() {
    let world = World::new();
    assert_outcome!(track(&world, &event("copy-partial")), "tracked");
    assert!(only_item(&world).title.contains(" partial: "));
}

#[test]
fn completed_copy_has_a_resolved_ops_item() {
    let world = World::new();
    assert_outcome!(track(&world, &event("copy-completed")), "resolved");
    let stored = only_item(&world);
    assert_eq!(
        (stored.severity, stored.item.status),
        (Severity::Low, Status::Resolved)
    );
    assert_contains(
        &stored.description,
        &["A recovery can use the new recovery point."],
    );
}

#[test]
fn ignores_a_running_copy_without_a_call() {
    for name in ["copy-running", "copy-created"] {
        let world = World::new();
        assert_outcome!(track(&world, &event(name)), "ignored", "state");
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
    }
}
