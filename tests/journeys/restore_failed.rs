//! `RestoreFailedRule`: a restore failed or was aborted, so data is missing in the recovery Region.
//! opsitem-creator records which data and why.

use recovery_core::fakes::World;
use recovery_core::ops_item::{Severity, Status};
use serde_json::json;

use crate::support::repository::{event, event_with};
use crate::support::restored::track;

use super::{assert_contains, assert_outcome, notifications, only_item};

#[test]
fn failed_restore_opens_an_ops_item_with_the_reason() {
    let event = event("restore-failed-ebs");
    let id = event["detail"]["restoreJobId"].as_str().unwrap();
    let world = World::new();

    let outcome = assert_outcome!(track(&world, &event), "tracked");

    assert_eq!(outcome.id("restoreJobId"), Some(id));
    assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
    assert_eq!(
        world.calls(),
        [
            format!("ssm:DescribeOpsItems restore-job/{id}"),
            format!("ssm:CreateOpsItem restore-job/{id}"),
            // Checks for an OpsItem created at the same time.
            format!("ssm:DescribeOpsItems restore-job/{id}"),
        ]
    );
    let stored = only_item(&world);
    assert_eq!(stored.title, "Restore job (EBS) failed");
    assert_contains(
        &stored.description,
        &[
            &format!("Restore job `{id}` (`EBS`) is `FAILED`."),
            &format!(
                "**Why.** AWS Backup says: `{}`.",
                event["detail"]["statusMessage"].as_str().unwrap()
            ),
            "**What was done.** Nothing. This data is not restored. No resource was overwritten.",
            "**What to do.** Read the message.",
        ],
    );
    assert_eq!(stored.severity, Severity::High);
    assert_eq!(stored.item.status, Status::Open);
    assert_eq!(stored.item.data["recovery:state"], "FAILED");
}

#[test]
fn aborted_restore_has_high_severity() {
    let world = World::new();
    assert_outcome!(track(&world, &event("restore-aborted")), "tracked");
    let stored = only_item(&world);
    assert!(stored.title.ends_with(" aborted"), "{}", stored.title);
    assert_eq!(stored.severity, Severity::High);
}

#[test]
fn ops_item_names_a_failed_restore_test() {
    let event = event_with(
        "restore-failed-ebs",
        "/detail/restoreTestingPlanArn",
        json!("arn:aws:backup:us-west-2:111122223333:restore-testing-plan:weekly-1"),
    );
    let world = World::new();
    assert_outcome!(track(&world, &event), "tracked");
    assert_contains(
        &only_item(&world).description,
        &["started by a restore test"],
    );
}

#[test]
fn ignores_other_events_without_a_call() {
    for (name, reason) in [
        ("restore-running", "status"),
        ("restore-pending", "status"),
        ("restore-created", "status"),
        ("restore-completed-under-state", "status"),
        ("recovery-point-expired", "detail-type"),
        ("scan-completed-threats-found", "detail-type"),
        ("backup-plan-modified", "detail-type"),
        ("health-multiple-services", "source"),
        ("custom-lookalike-restore-completed", "source"),
        ("alarm-metric", "source"),
    ] {
        let world = World::new();
        assert_outcome!(track(&world, &event(name)), "ignored", Some(reason));
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
        assert_eq!(notifications(&world), []);
    }
}

#[test]
fn quotes_the_status_message() {
    let event = event_with(
        "restore-failed-ebs",
        "/detail/statusMessage",
        json!("bad`\n\n# All is well\n[click](https://example.com)\u{7}"),
    );
    let world = World::new();
    assert_outcome!(track(&world, &event), "tracked");
    let description = only_item(&world).description;
    assert_contains(
        &description,
        &["`bad'  # All is well [click](https://example.com) `"],
    );
    assert!(!description.contains("\n# "), "{description}");
}
