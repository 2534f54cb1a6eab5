//! `RestoreCompletedDatabaseRule`: a restore of a database completed. database-integrator creates the
//! instances of a cluster, applies lost settings and publishes the addresses. opsitem-creator tracks it. Both
//! share one OpsItem, in any order.

use recovery_core::fakes::World;
use recovery_core::ops_item::Status;
use serde_json::{Value, json};

use crate::support::databases::{
    add_foreign_instance, database_world_of, databases_of_a_drill, integrate_database,
    retag_database, set_database_status,
};
use crate::support::repository::event;
use crate::support::restored::track;

use super::{assert_contains, assert_outcome, notifications, only_item};

fn aurora() -> (World, Value) {
    let event = event("restore-completed-aurora");
    (database_world_of(&event), event)
}

#[test]
fn creates_the_instances_of_a_cluster_and_publishes_its_addresses() {
    let (world, event) = aurora();
    let outcome = assert_outcome!(integrate_database(&world, &event), "integrated");
    assert_eq!(
        serde_json::to_value(&outcome).unwrap(),
        json!({
            "outcome": "integrated", "restoreJobId": "C4D8BE2E-CB01-4A56-BC60-A60997B10B97",
            "databaseId": "ledger",
            "endpoint": "ledger.cluster-abc.rds.example:5432", "opsItemId": "oi-1",
        })
    );
    let point = event["detail"]["recoveryPointArn"].as_str().unwrap();
    let mut expected = vec![
        format!("rds:ListTagsForResource {point}"),
        "rds:DescribeDBClusters ledger".to_owned(),
        "rds:DescribeDBInstances ledger".to_owned(),
    ];
    for number in [1, 2] {
        expected.extend([
            format!("rds:CreateDBInstance ledger-{number}"),
            "rds:DescribeDBClusters ledger".to_owned(),
            "rds:DescribeDBInstances ledger".to_owned(),
        ]);
    }
    let calls = world.calls();
    assert_eq!(calls[..expected.len()], expected);
    let written: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.strip_prefix("ssm:PutParameter "))
        .collect();
    assert_eq!(
        written,
        ["endpoint", "port", "reader-endpoint", "arn", "id", "engine"]
            .map(|leaf| format!("/recovery/shop/db/{leaf}"))
    );
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert_contains(
        &item.description,
        &[
            "`ledger-1`, `ledger-2`",
            "s after the restore completed",
            "`/recovery/shop/db`",
            "master password is that of the recovery point",
        ],
    );
    assert_eq!(notifications(&world), []);
}

#[test]
fn integrates_every_type_of_database() {
    for (file, instances) in [
        ("restore-completed-rds", 0),
        ("restore-completed-aurora", 2),
        ("restore-completed-documentdb", 2),
        ("restore-completed-neptune", 2),
    ] {
        let event = event(file);
        let world = database_world_of(&event);
        assert_outcome!(integrate_database(&world, &event), "integrated");
        assert_eq!(world.state().databases.created.len(), instances, "{file}");
        assert_eq!(only_item(&world).item.status, Status::Resolved);
        assert_outcome!(integrate_database(&world, &event), "already-integrated");
        assert_eq!(world.state().databases.created.len(), instances, "{file}");
    }
}

#[test]
fn shares_its_ops_item_with_opsitem_creator() {
    for tracked_first in [true, false] {
        let (world, event) = aurora();
        if tracked_first {
            track(&world, &event).unwrap();
            assert_contains(
                &only_item(&world).description,
                &["invoke the function database-integrator with `{\"restoreJobId\""],
            );
        }
        assert_outcome!(integrate_database(&world, &event), "integrated");
        if !tracked_first {
            track(&world, &event).unwrap();
        }
        let item = only_item(&world);
        assert_eq!(item.item.status, Status::Resolved, "{tracked_first}");
        assert_eq!(item.title, "Restored cluster ledger integrated");
    }
}

#[test]
fn answers_pending_while_instances_are_created() {
    let (world, event) = aurora();
    world.state().databases.reads_until_created = usize::MAX;
    let outcome = assert_outcome!(integrate_database(&world, &event), "pending");
    assert_eq!(outcome.id("waitingFor"), Some("ledger-1 (now creating)"));
    assert_eq!(world.state().items.len(), 0);
    assert!(world.state().parameters.is_empty());
    world.state().databases.complete();
    let asked = crate::support::repository::event("manual-database-restore-job");
    assert_outcome!(integrate_database(&world, &asked), "integrated");
    assert_eq!(world.state().databases.created.len(), 2);
}

#[test]
fn a_refusal_notifies_operators_with_the_remedy() {
    let (world, event) = aurora();
    add_foreign_instance(&world, "ledger-2");
    assert_outcome!(
        integrate_database(&world, &event),
        "refused",
        "identifier-taken"
    );
    let [(subject, message)] = notifications(&world).try_into().unwrap();
    assert_eq!(
        subject,
        "Restored database not integrated: identifier-taken"
    );
    assert_contains(
        &message,
        &[
            "`ledger-2`",
            "of the cluster `till`",
            "invoke the function database-integrator with",
        ],
    );
    // The first instance stays: a later run continues with it.
    assert_eq!(world.state().databases.created.len(), 1);
    let id = recovery_core::aws::arn::DbInstanceId::new("ledger-2");
    world.state().databases.instances.remove(&id);
    assert_outcome!(integrate_database(&world, &event), "integrated");
    assert_eq!(only_item(&world).item.status, Status::Resolved);
}

#[test]
fn an_unusable_database_is_refused_and_published_nowhere() {
    let event = event("restore-completed-rds");
    let world = database_world_of(&event);
    set_database_status(&world, "incompatible-parameters");
    assert_outcome!(
        integrate_database(&world, &event),
        "refused",
        "database-unusable"
    );
    assert_contains(
        &only_item(&world).description,
        &["`incompatible-parameters`", "parameter group"],
    );
    assert!(world.state().parameters.is_empty());
}

#[test]
fn a_drill_integrates_its_own_database_only() {
    let (world, event) = aurora();
    let asked = crate::support::repository::event("manual-drill-database-restore-job");
    assert_outcome!(integrate_database(&world, &asked), "refused", "not-a-drill");
    databases_of_a_drill(&world);
    let mut event = event;
    event["detail"]["iamRoleArn"] = json!(recovery_core::fakes::DRILL_ROLE);
    assert_outcome!(integrate_database(&world, &event), "ignored", "drill");
    assert!(world.state().databases.created.is_empty());
    assert_outcome!(integrate_database(&world, &asked), "integrated");
    let state = world.state();
    let tag = ("recovery:drill", "shop-2026-11-30".to_owned());
    assert_eq!(state.databases.created.len(), 2);
    for new in &state.databases.created {
        assert_eq!(new.tags, std::slice::from_ref(&tag));
    }
    for name in state.parameters.keys() {
        let prefix = "/recovery/shop/db/drill/shop-2026-11-30/";
        assert!(name.starts_with(prefix), "{name}");
    }
}

#[test]
fn ignores_what_is_not_a_completed_restore_of_a_database() {
    for (file, reason) in [
        ("restore-completed-ebs", "resource-type"),
        ("restore-completed-dynamodb", "resource-type"),
        ("restore-failed", "status"),
        ("copy-failed", "detail-type"),
        ("health-issue-s3-get", "source"),
    ] {
        let world = World::new();
        let event = event(file);
        assert_outcome!(integrate_database(&world, &event), "ignored", Some(reason));
        assert_eq!(world.calls(), Vec::<String>::new(), "{file}");
    }
    let (world, event) = aurora();
    for key in ["workload", "instances", "publish"] {
        retag_database(&world, &format!("recovery:{key}"), "");
    }
    assert_outcome!(integrate_database(&world, &event), "ignored", "untagged");
}
