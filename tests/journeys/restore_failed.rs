//! `RestoreFailedRule`: a restore failed or was aborted, so data is missing in the recovery Region.
//! opsitem-creator says which, and why.

use recovery_core::fakes::World;
use recovery_core::ops_item::{Severity, Status};
use serde_json::json;

use crate::support::repository::{event, event_with};
use crate::support::restored::track;

use super::{assert_contains, assert_outcome, only_item, told};

#[test]
fn a_failed_restore_has_an_ops_item_that_says_what_is_missing_and_why() {
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
            // Whether someone else made one at the same moment.
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
fn an_aborted_restore_is_no_less_missing() {
    let world = World::new();
    assert_outcome!(track(&world, &event("restore-aborted")), "tracked");
    let stored = only_item(&world);
    assert!(stored.title.ends_with(" aborted"), "{}", stored.title);
    assert_eq!(stored.severity, Severity::High);
}

#[test]
fn a_restore_test_that_failed_is_told_as_one() {
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
fn what_is_not_the_end_of_a_job_is_ignored_without_a_call() {
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
        assert_eq!(told(&world), []);
    }
}

#[test]
fn a_message_from_elsewhere_stays_a_quotation() {
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
