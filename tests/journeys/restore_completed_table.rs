//! `RestoreCompletedTableRule`: a restore of a DynamoDB table completed. table-integrator gives it the settings that the
//! restore lost, and publishes its name. opsitem-creator tracks the job. Both share one OpsItem, in any order.

use recovery_core::fakes::{DRILL_ROLE, FakeClock, StoredItem, World};
use recovery_core::ops_item::{Severity, Status};
use serde_json::json;

use crate::support::disturbed::{Disturbed, finish};
use crate::support::end::End;
use crate::support::repository::{event, event_with};
use crate::support::restored::{of_a_drill, retag, track};
use crate::support::tables::{
    FILE, JOB, TABLE, TAGS, each_table, integrate_table, table_integration, table_world,
};

use super::{assert_contains, assert_outcome, notifications, only_item};

const STREAM: &str = "arn:aws:dynamodb:us-west-2:111122223333:table/sessions-recovered/stream/2026-11-23T06:00:00.000";

#[test]
fn makes_the_settings_publishes_the_name_and_names_what_is_left() {
    let event = event(FILE);
    let world = table_world(&event);

    let outcome = assert_outcome!(integrate_table(&world, &event), "integrated");

    assert_eq!(
        serde_json::to_value(&outcome).unwrap(),
        json!({
            "outcome": "integrated", "restoreJobId": JOB, "tableName": TABLE, "opsItemId": "oi-1",
        })
    );
    let changes = world.state().tables[TABLE].changes.clone();
    assert_eq!(
        changes,
        [
            "tags recovery:identifier recovery:publish recovery:table recovery:workload",
            "stream NEW_IMAGE",
            "pitr None",
            "class STANDARD_INFREQUENT_ACCESS",
            "protection",
            "ttl expires",
        ]
    );
    let names: Vec<String> = world.state().parameters.keys().cloned().collect();
    assert_eq!(
        names,
        ["arn", "name", "stream-arn"].map(|leaf| format!("/recovery/shop/sessions/{leaf}"))
    );
    let StoredItem {
        title,
        description,
        severity,
        item,
        ..
    } = only_item(&world);
    assert_eq!(title, "Restored table sessions-recovered configured");
    assert_contains(
        &description,
        &[
            "- Protected resource: `arn:aws:dynamodb:us-east-1:111122223333:table/sessions`",
            "and is published below `/recovery/shop/sessions`",
            &format!("--event-source-arn {STREAM}"),
            "':table/sessions-recovered/stream/'",
            "Then resolve this OpsItem.",
        ],
    );
    assert_eq!((severity, item.status), (Severity::Medium, Status::Open));
    assert_eq!(notifications(&world), []);
}

#[test]
fn both_functions_share_one_ops_item_in_any_order() {
    let event = event(FILE);
    let end = |tracked_first: bool| {
        let world = table_world(&event);
        retag(
            &world,
            &[TAGS[0], TAGS[1], ("recovery:table", "pitr nothing-else")],
        );
        if tracked_first {
            assert_outcome!(track(&world, &event), "tracked");
        }
        assert_outcome!(integrate_table(&world, &event), "integrated");
        if !tracked_first {
            assert_outcome!(track(&world, &event), "tracked");
        }
        let item = only_item(&world);
        assert_eq!(item.item.status, Status::Resolved);
        End::of(&world)
    };
    assert_eq!(end(true), end(false));
}

#[test]
fn the_item_of_the_job_says_what_happens_next() {
    let event = event(FILE);
    let world = table_world(&event);
    assert_outcome!(track(&world, &event), "tracked");
    let item = only_item(&world);
    assert_contains(
        &item.description,
        &[
            "the table gets the settings that its tags name",
            "invoke the function table-integrator with",
        ],
    );
    // No person is needed yet.
    assert_eq!(notifications(&world), []);
    let drill = event_with(FILE, "/detail/iamRoleArn", json!(DRILL_ROLE));
    let world = World::new();
    assert_outcome!(track(&world, &drill), "tracked");
    assert_contains(
        &only_item(&world).description,
        &["The drill gives the table its settings."],
    );
}

#[test]
fn at_the_quota_nobody_is_notified_of_a_table_that_is_configured() {
    let event = event(FILE);
    let world = table_world(&event);
    world.state().ops_item_quota_reached = true;
    assert_outcome!(track(&world, &event), "untracked", "ops-item-quota");
    assert_eq!(notifications(&world), []);
    // What is left to do is in a notification instead.
    let outcome = assert_outcome!(integrate_table(&world, &event), "integrated");
    assert_eq!(outcome.id("opsItem"), Some("not-created"));
    let [(subject, message)] = &notifications(&world)[..] else {
        panic!("{:?}", notifications(&world));
    };
    assert_contains(subject, &["Restored table sessions-recovered configured"]);
    assert_contains(message, &["create-event-source-mapping"]);
}

#[test]
fn without_an_event_the_id_of_the_job_is_enough() {
    let world = table_world(&event(FILE));
    let input = json!({ "restoreJobId": JOB });
    assert_outcome!(integrate_table(&world, &input), "integrated");
    assert_outcome!(integrate_table(&world, &input), "already-integrated");
}

#[test]
fn a_table_that_is_being_created_is_pending_until_it_is_asked_again() {
    let event = event(FILE);
    let world = table_world(&event);
    each_table(&world, |table| {
        table.table.status = "CREATING".into();
        table.reads_until_active = Some(40);
    });
    let clock = FakeClock::with_budget(std::time::Duration::from_secs(120));
    let ports = Disturbed::not(&world);
    let outcome = assert_outcome!(finish(table_integration(&ports, &clock, &event)), "pending");
    assert_eq!(
        outcome.id("waitingFor"),
        Some("table sessions-recovered to be ACTIVE (now CREATING)")
    );
    assert!(world.state().items.is_empty());
    for _ in 0..5 {
        if integrate_table(&world, &event).unwrap().kind() == "integrated" {
            return;
        }
    }
    panic!("{:?}", world.state().tables);
}

#[test]
fn refuses_another_name_than_the_workloads_table_once() {
    let event = event(FILE);
    let world = table_world(&event);
    retag(&world, &[TAGS[0], TAGS[2], TAGS[3]]);
    for _ in 0..2 {
        assert_outcome!(integrate_table(&world, &event), "refused", "table-name");
    }
    let [(subject, message)] = &notifications(&world)[..] else {
        panic!("{:?}", notifications(&world));
    };
    assert_eq!(subject, "Restored table not configured: table-name");
    assert_contains(
        message,
        &[
            "the table was restored as `sessions-recovered`, but the workload's table is to be named `sessions`",
            "aws backup tag-resource",
            "invoke the function table-integrator with",
        ],
    );
    assert!(world.state().parameters.is_empty());
    assert!(world.state().tables[TABLE].changes.is_empty());
}

#[test]
fn a_drill_publishes_below_its_name() {
    let world = table_world(&event(FILE));
    of_a_drill(&world, JOB);
    let event_of_drill = event_with(FILE, "/detail/iamRoleArn", json!(DRILL_ROLE));
    assert_outcome!(integrate_table(&world, &event_of_drill), "ignored", "drill");
    let input = json!({"restoreJobId": JOB, "drill": {"stack": "shop-drill", "name": "drill-1"}});
    assert_outcome!(integrate_table(&world, &input), "integrated");
    let state = world.state();
    assert!(!state.tables[TABLE].table.protected);
    assert!(state.tables[TABLE].tags.is_empty());
    assert!(
        state
            .parameters
            .keys()
            .all(|name| name.starts_with("/recovery/shop/sessions/drill/drill-1/"))
    );
}
