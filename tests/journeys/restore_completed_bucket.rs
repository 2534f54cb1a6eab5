//! `RestoreCompletedBucketRule`: a restore of a bucket completed. bucket-integrator checks whether objects are missing,
//! and publishes the name. opsitem-creator tracks the job. Both share one OpsItem, in any order.

use recovery_core::fakes::{DRILL_ROLE, World};
use recovery_core::ops_item::{Severity, Status};
use serde_json::json;

use crate::support::buckets::{
    BUCKET, FILE, PARTIAL_FILE, add_bucket, bucket_world, integrate_bucket,
};
use crate::support::end::End;
use crate::support::repository::{event, event_with};
use crate::support::restored::{change_job, of_a_drill, track};

use super::{assert_contains, assert_outcome, notifications, only_item};

const JOB: &str = "14A827EC-86B1-4C58-BCA6-BC29B47FE296";
const PARTIAL_JOB: &str = "5B7C1D0E-2E64-4C0B-8F6E-9A7A3E5D1C22";

#[test]
fn a_complete_bucket_is_published() {
    let event = event(FILE);
    let world = bucket_world(&event);
    let outcome = assert_outcome!(integrate_bucket(&world, &event), "integrated");
    assert_eq!(
        serde_json::to_value(&outcome).unwrap(),
        json!({
            "outcome": "integrated",
            "restoreJobId": JOB,
            "bucket": BUCKET,
            "opsItemId": "oi-1",
        })
    );
    let parameters = world.state().parameters.clone();
    assert_eq!(parameters["/recovery/shop/assets/name"].value, BUCKET);
    assert_eq!(
        parameters["/recovery/shop/assets/arn"].value,
        format!("arn:aws:s3:::{BUCKET}")
    );
    let item = only_item(&world);
    assert_eq!(item.title, format!("Restored bucket {BUCKET} complete"));
    assert_eq!(item.item.status, Status::Resolved);
    assert_contains(
        &item.description,
        &["new version ids", "those of its stack"],
    );
    assert_eq!(notifications(&world), []);
    assert_outcome!(integrate_bucket(&world, &event), "already-integrated");
}

#[test]
fn missing_objects_open_the_ops_item_and_notify_once() {
    let event = event(PARTIAL_FILE);
    let world = bucket_world(&event);
    for _ in 0..2 {
        let outcome = assert_outcome!(
            integrate_bucket(&world, &event),
            "partial",
            "restore-partial"
        );
        assert_contains(
            outcome.id("remedy").unwrap(),
            &["restore the recovery point into the same bucket again"],
        );
    }
    let item = only_item(&world);
    assert_eq!(item.title, "Restored bucket not complete: restore-partial");
    assert_eq!(
        (item.item.status, item.severity),
        (Status::Open, Severity::High)
    );
    assert_contains(
        &item.description,
        &[
            "One or more objects failed to be restored",
            "adds what is missing",
            "/recovery/shop/assets",
        ],
    );
    let sent = notifications(&world);
    assert_eq!(sent.len(), 1);
    assert_contains(&sent[0].1, &[PARTIAL_JOB, "redrive the execution"]);
    // What was restored can be used meanwhile.
    assert_eq!(
        world.state().parameters["/recovery/shop/assets/name"].value,
        BUCKET
    );
}

#[test]
fn the_message_of_the_job_counts_if_the_event_has_none() {
    let event = event(FILE);
    let world = bucket_world(&event);
    change_job(&world, JOB, |job| {
        job.status_message = Some("One or more objects failed to be restored.".to_owned());
    });
    assert_outcome!(
        integrate_bucket(&world, &event),
        "partial",
        "restore-partial"
    );
}

#[test]
fn both_functions_share_one_ops_item_in_any_order() {
    for (file, outcome, reason) in [
        (FILE, "integrated", None),
        (PARTIAL_FILE, "partial", Some("restore-partial")),
    ] {
        let event = event(file);
        let end = |tracked_first: bool| {
            let world = bucket_world(&event);
            if tracked_first {
                assert_outcome!(track(&world, &event), "tracked");
            }
            let answer = integrate_bucket(&world, &event).unwrap();
            assert_eq!((answer.kind(), answer.reason()), (outcome, reason));
            if !tracked_first {
                assert_outcome!(track(&world, &event), "tracked");
            }
            only_item(&world);
            End::of(&world)
        };
        assert_eq!(end(true), end(false), "{file}");
    }
}

#[test]
fn the_item_of_the_job_says_what_happens_next() {
    let event = event(FILE);
    let world = bucket_world(&event);
    assert_outcome!(track(&world, &event), "tracked");
    assert_contains(
        &only_item(&world).description,
        &[
            "the bucket is checked",
            "invoke the function bucket-integrator with",
        ],
    );
    // No person is needed yet.
    assert_eq!(notifications(&world), []);
    let drill = event_with(FILE, "/detail/iamRoleArn", json!(DRILL_ROLE));
    let world = World::new();
    assert_outcome!(track(&world, &drill), "tracked");
    assert_contains(
        &only_item(&world).description,
        &["The drill checks the bucket in its own stack."],
    );
}

#[test]
fn a_drill_uses_its_own_stack() {
    let event = event(FILE);
    let world = bucket_world(&event);
    of_a_drill(&world, JOB);
    world.state().stack_resources.clear();
    add_bucket(&world, "shop-drill");
    let event_of_drill = event_with(FILE, "/detail/iamRoleArn", json!(DRILL_ROLE));
    assert_outcome!(
        integrate_bucket(&world, &event_of_drill),
        "ignored",
        "drill"
    );
    let input = json!({"restoreJobId": JOB, "drill": {"stack": "shop-drill", "name": "drill-1"}});
    assert_outcome!(integrate_bucket(&world, &input), "integrated");
    let names: Vec<String> = world.state().parameters.keys().cloned().collect();
    assert_eq!(
        names,
        [
            "/recovery/shop/assets/drill/drill-1/arn",
            "/recovery/shop/assets/drill/drill-1/name"
        ]
    );
}
