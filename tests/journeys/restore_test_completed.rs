//! `RestoreTestCompletedRule`: a restore test completed. restore-test-validator compares the restored
//! volume with the recovery point, notifies if they differ, and reports the result to AWS Backup.

use std::time::Duration;

use recovery_core::aws::arn::{RecoveryPointArn, RestoreJobId, VolumeId};
use recovery_core::aws::backup::Report;
use recovery_core::aws::ec2::{Snapshot, Volume};
use recovery_core::error::Error;
use recovery_core::fakes::{Failure, FakeClock, World};
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::repository::{event, event_with};
use crate::support::restored::{change_job, job_of, usual_scope};

use super::{assert_contains, assert_outcome, notifications, only_item};

const EVENT: &str = "restore-test-completed-ebs";
const JOB: &str = "B76709DC-9619-4636-9F20-95D9B5973771";
const VOLUME: &str = "vol-0350ae29ea0415e0a";
const SNAPSHOT: &str = "snap-0a8530a063a225612";

/// A world in which the test completed with a valid volume.
fn world() -> World {
    let world = World::new();
    {
        let mut state = world.state();
        let job = job_of(&event(EVENT));
        state.restore_jobs.insert(job.id.to_string(), job);
        let made = Volume {
            id: VolumeId::new(VOLUME),
            state: "available".into(),
            zone: "us-west-2a".to_owned(),
            attachments: Vec::new(),
            key: None,
            restore_test: true,
            owner: None,
            size: Some(100),
            encrypted: Some(true),
            snapshot: Some(SNAPSHOT.to_owned()),
        };
        state.volumes.insert(made.id.clone(), made);
        state.restore_tests.snapshots.insert(
            SNAPSHOT.to_owned(),
            Snapshot {
                id: SNAPSHOT.to_owned(),
                size: 100,
                encrypted: true,
            },
        );
    }
    world
}

/// A world in which the restored volume is too small and unencrypted.
fn with_invalid_volume() -> World {
    let world = world();
    change_volume(&world, |volume| {
        volume.size = Some(8);
        volume.encrypted = Some(false);
    });
    world
}

fn change_volume(world: &World, change: impl FnOnce(&mut Volume)) {
    let mut state = world.state();
    let volume = state
        .volumes
        .get_mut(&VolumeId::new(VOLUME))
        .expect("the volume is in this world");
    change(volume);
}

fn set_result(world: &World, result: &str) {
    let mut state = world.state();
    let results = &mut state.restore_tests.results;
    results.insert(JOB.to_owned(), result.to_owned());
}

fn set_deletion(world: &World, status: &str) {
    let mut state = world.state();
    let deletions = &mut state.restore_tests.deletions;
    deletions.insert(JOB.to_owned(), status.to_owned());
}

fn validate_with(world: &World, clock: &FakeClock, input: &Value) -> Result<Outcome, Error> {
    let ports = Disturbed::not(world);
    finish(restore_test_validator::handle(
        &ports,
        clock,
        &usual_scope(),
        input,
    ))
}

fn validate(world: &World, input: &Value) -> Result<Outcome, Error> {
    validate_with(world, &FakeClock::new(), input)
}

/// AWS Backup's ARN of the recovery point names no snapshot; the snapshot's ARN does.
#[test]
fn finds_the_snapshot_by_any_form_of_the_recovery_point_arn() {
    let own = "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7";
    let event = event_with(EVENT, "/detail/recoveryPointArn", json!(own));
    for known in [None, RecoveryPointArn::parse(own).ok()] {
        let world = world();
        change_job(&world, JOB, |job| job.recovery_point = known.clone());
        let outcome = assert_outcome!(validate(&world, &event), "validated");
        assert_eq!(outcome.id("validation"), Some("SUCCESSFUL"));
    }
}

/// The result that was reported to AWS Backup.
fn reported(world: &World) -> Option<Report> {
    world.state().restore_tests.reports.get(JOB).cloned()
}

#[test]
fn reports_success_without_notification_for_a_valid_volume() {
    let world = world();
    let outcome = assert_outcome!(validate(&world, &event(EVENT)), "validated");
    assert_eq!(outcome.id("validation"), Some("SUCCESSFUL"));
    assert_eq!(outcome.id("restoreJobId"), Some(JOB));
    assert_eq!(outcome.id("volumeId"), Some(VOLUME));
    assert_eq!(
        world.calls(),
        [
            format!("backup:DescribeRestoreJob {JOB}"),
            format!("ec2:DescribeVolumes {VOLUME}"),
            format!("ec2:DescribeSnapshots {SNAPSHOT}"),
            format!("backup:PutRestoreValidationResult {JOB}"),
        ]
    );
    let report = reported(&world).unwrap();
    assert!(report.successful);
    assert_contains(&report.message, &[VOLUME, SNAPSHOT, "was not read"]);
    assert!(world.state().items.is_empty());
    assert_eq!(notifications(&world), []);
}

#[test]
fn notifies_before_it_reports_an_invalid_volume() {
    let world = with_invalid_volume();
    let outcome = assert_outcome!(validate(&world, &event(EVENT)), "validated");
    assert_eq!(outcome.id("validation"), Some("FAILED"));
    assert_eq!(outcome.id("opsItemId"), Some("oi-1"));
    let calls = world.calls();
    let position = |operation: &str| calls.iter().position(|call| call.starts_with(operation));
    assert!(position("sns:Publish") < position("backup:PutRestoreValidationResult"));
    assert!(position("sns:Publish").is_some(), "{calls:?}");

    let wrong = "its size is 8 GiB, the size of the recovery point 100 GiB; it is not encrypted, but the recovery point is";
    let report = reported(&world).unwrap();
    assert!(!report.successful);
    assert_contains(&report.message, &[VOLUME, wrong]);
    let stored = only_item(&world);
    assert_eq!(stored.severity, Severity::High);
    assert_eq!(stored.item.status, Status::Open);
    assert_contains(
        &stored.description,
        &[
            &format!("Restore job `{JOB}` (`EBS`) is `COMPLETED`, started by a restore test."),
            SNAPSHOT,
            "**Why.**",
            wrong,
            "**What was done.** The result FAILED is reported to AWS Backup.",
            "**What to do.** Check the metadata of the restore testing selection",
        ],
    );
    let notifications = notifications(&world);
    let [(subject, message)] = notifications.as_slice() else {
        panic!("{notifications:?}");
    };
    assert_contains(subject, &["Restore test failed"]);
    assert_contains(
        message,
        &[wrong, JOB, SNAPSHOT, "us-west-2", "OpsItem: oi-1"],
    );
}

#[test]
fn keeps_an_existing_result() {
    for result in ["SUCCESSFUL", "FAILED", "TIMED_OUT"] {
        let world = with_invalid_volume();
        set_result(&world, result);
        let outcome = assert_outcome!(validate(&world, &event(EVENT)), "already-validated");
        assert_eq!(outcome.id("validation"), Some(result));
        assert_eq!(world.calls(), [format!("backup:DescribeRestoreJob {JOB}")]);
    }
    // VALIDATING is not a result.
    let world = world();
    set_result(&world, "VALIDATING");
    assert_outcome!(validate(&world, &event(EVENT)), "validated");
}

#[test]
fn validates_a_job_given_by_its_id() {
    let world = world();
    let outcome = assert_outcome!(validate(&world, &json!({"restoreJobId": JOB})), "validated");
    assert_eq!(outcome.id("validation"), Some("SUCCESSFUL"));
}

#[test]
fn waits_for_a_volume_that_is_being_created() {
    let world = world();
    change_volume(&world, |volume| volume.state = "creating".into());
    world.state().reads_until_created = Some(3);
    assert_outcome!(validate(&world, &event(EVENT)), "validated");
    assert!(reported(&world).unwrap().successful);

    // But not longer than the run, and nothing is reported meanwhile.
    let world = self::world();
    change_volume(&world, |volume| volume.state = "creating".into());
    let clock = FakeClock::with_budget(Duration::from_secs(120));
    let error = validate_with(&world, &clock, &event(EVENT)).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_eq!(reported(&world), None);
}

#[test]
fn reports_failure_for_a_missing_volume() {
    let world = world();
    world.state().volumes.clear();
    let outcome = assert_outcome!(validate(&world, &event(EVENT)), "validated");
    assert_eq!(outcome.id("validation"), Some("FAILED"));
    assert_contains(
        &reported(&world).unwrap().message,
        &["it does not exist in EC2"],
    );
    // It was read more than once, because EC2 is eventually consistent.
    let looks = world
        .calls()
        .iter()
        .filter(|call| call.starts_with("ec2:DescribeVolumes"))
        .count();
    assert!(looks > 1, "{looks}");
}

#[test]
fn reports_nothing_that_it_could_not_check() {
    // AWS Backup already deletes the volume.
    let deleted = world();
    set_deletion(&deleted, "DELETING");
    // The recovery point has expired.
    let expired = world();
    expired.state().restore_tests.snapshots.clear();
    // A resource type without a check.
    let other = world();
    change_job(&other, JOB, |job| {
        job.resource_type = Some("RDS".to_owned());
    });
    for (world, reason) in [
        (deleted, "deleted"),
        (expired, "recovery-point-gone"),
        (other, "resource-type"),
    ] {
        assert_outcome!(validate(&world, &event(EVENT)), "ignored", Some(reason));
        assert_eq!(reported(&world), None, "{reason}");
        assert!(world.state().items.is_empty(), "{reason}");
        assert_eq!(notifications(&world), [], "{reason}");
    }
}

#[test]
fn ignores_restores_that_are_not_tests() {
    let no_test = "restore-completed-ebs";
    let world = World::new();
    let job = job_of(&event(no_test));
    let id = RestoreJobId::new(job.id.as_str());
    world.state().restore_jobs.insert(id.to_string(), job);
    assert_outcome!(
        validate(&world, &event(no_test)),
        "ignored",
        "no-restore-test"
    );
    assert_eq!(world.calls(), [format!("backup:DescribeRestoreJob {id}")]);
    // The event alone identifies a test, even if the job does not.
    let world = self::world();
    change_job(&world, JOB, |job| job.restore_test = false);
    assert_outcome!(validate(&world, &event(EVENT)), "validated");
}

#[test]
fn retries_when_the_job_is_older_than_the_event() {
    let world = world();
    change_job(&world, JOB, |job| job.status = Some("RUNNING".to_owned()));
    let error = validate(&world, &event(EVENT)).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_eq!(reported(&world), None);
}

#[test]
fn notifies_even_if_the_ops_item_cannot_be_created() {
    let world = with_invalid_volume();
    world.fail("ssm:CreateOpsItem", Failure::Denied);
    let error = validate(&world, &event(EVENT)).unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    let notifications = notifications(&world);
    assert_eq!(notifications.len(), 1);
    assert_contains(&notifications[0].1, &["OpsItem: could not be created"]);
    assert_eq!(reported(&world), None, "the OpsItem comes first");
}

#[test]
fn ignores_other_events_without_a_call() {
    for (name, reason) in [
        ("restore-running", "status"),
        ("restore-created", "status"),
        ("restore-failed-ebs", "status"),
        ("copy-failed", "detail-type"),
        ("custom-lookalike-restore-completed", "source"),
        ("health-multiple-services", "source"),
    ] {
        let world = world();
        assert_outcome!(validate(&world, &event(name)), "ignored", Some(reason));
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn rejects_input_without_a_job_id() {
    let error = validate(&world(), &json!({"restoreJobId": " "})).unwrap_err();
    assert_contains(
        &error.to_string(),
        &["restoreJobId", "Pass {\"restoreJobId\""],
    );
    let unnamed = event_with(EVENT, "/detail/restoreJobId", json!(null));
    let error = validate(&world(), &unnamed).unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
}
