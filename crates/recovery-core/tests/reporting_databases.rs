//! When a restored database or table counts as done, and what the report says of it.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use recovery_core::aws::arn::{
    Arn, DbClusterId, DbInstanceId, OpsItemId, RecoveryPointArn, RestoreJobId,
};
use recovery_core::aws::backup::RestoreJob;
use recovery_core::aws::database::{DbCluster, DbInstance, DbSettings};
use recovery_core::aws::table::TableStatus;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, FakeTable, RESTORE_ROLE, StoredItem, World};
use recovery_core::ops_item::restore_key;
use recovery_core::ops_item::{KEY, KIND, OpsItem, RESTORE, Severity, Status};
use recovery_core::plan::request::{Mode, Request};
use recovery_core::plan::{DatabaseTarget, Item, Plan, Predictions, TableTarget, Target};
use recovery_core::ports::Clock;
use recovery_core::report::request::Objectives;
use recovery_core::report::run::{ReportConfig, handle};
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    FakeClock::new().now()
}

fn item(kind: &str, resource: &str, point: &str, target: Target) -> Item {
    Item {
        resource_arn: resource.to_owned(),
        recovery_point_arn: point.to_owned(),
        resource_type: kind.to_owned(),
        created_at: now() - TimeDelta::hours(1),
        age_seconds: 3600,
        wave: 0,
        target,
        unusable_tags: Vec::new(),
        problem: None,
        metadata: BTreeMap::new(),
        size_bytes: None,
        predictions: Predictions::default(),
        tags_from: None,
        period: None,
        publish: None,
    }
}

const POINTS: [&str; 3] = [
    "arn:aws:rds:us-west-2:111122223333:snapshot:awsbackup:copyjob-1",
    "arn:aws:rds:us-west-2:111122223333:cluster-snapshot:awsbackup:copyjob-2",
    "arn:aws:backup:us-west-2:111122223333:recovery-point:3",
];
const RESTORED: [&str; 3] = [
    "arn:aws:rds:us-west-2:111122223333:db:orders",
    "arn:aws:rds:us-west-2:111122223333:cluster:carts",
    "arn:aws:dynamodb:us-west-2:111122223333:table/sessions",
];

/// A world in which a database, a cluster with an instance, and a table were restored.
fn world() -> World {
    let world = World::new();
    let database = |identifier: &str| {
        Target::Database(DatabaseTarget {
            identifier: identifier.to_owned(),
            stack: Some("shop".to_owned()),
            security_groups: vec!["Db".to_owned()],
            ..DatabaseTarget::default()
        })
    };
    let table = Target::Table(TableTarget {
        name: "sessions".to_owned(),
    });
    let targets = [
        ("RDS", database("orders")),
        ("Aurora", database("carts")),
        ("DynamoDB", table),
    ];
    let items = targets.into_iter().zip(POINTS.iter().zip(RESTORED));
    let items = items
        .map(|((kind, target), (point, restored))| {
            item(
                kind,
                &restored.replace("us-west-2", "us-east-1"),
                point,
                target,
            )
        })
        .collect();
    let request = json!({"workload": "shop", "mode": "recover"});
    let request = Request::parse(&request).unwrap();
    let planned = now() - TimeDelta::minutes(50);
    let plan = Plan::of(&request, "recovery", planned, items, Vec::new()).unwrap();
    {
        let mut state = world.state();
        let text = json!(plan).to_string();
        state
            .backups
            .objects
            .insert("plans/shop/x.json".to_owned(), text);
        for (number, (point, restored)) in POINTS.iter().zip(RESTORED).enumerate() {
            let job = RestoreJob {
                status: Some("COMPLETED".to_owned()),
                created_resource: Some(Arn::parse(restored).unwrap()),
                recovery_point: RecoveryPointArn::parse(point).ok(),
                iam_role: Arn::parse(RESTORE_ROLE).ok(),
                created: Some(now() - TimeDelta::minutes(40)),
                completed: Some(now() - TimeDelta::minutes(20)),
                ..RestoreJob::known_by_id(RestoreJobId::new(format!("job-{number}")))
            };
            state.restore_jobs.insert(job.id.to_string(), job);
        }
        let instance = |id: &str, cluster: Option<&str>| DbInstance {
            id: DbInstanceId::new(id),
            arn: format!("arn:aws:rds:us-west-2:111122223333:db:{id}"),
            status: "available".into(),
            cluster: cluster.map(DbClusterId::new),
            engine: "postgres".to_owned(),
            engine_version: "16.4".to_owned(),
            endpoint: Some((format!("{id}.example"), 5432)),
            settings: DbSettings::default(),
            restore_test: false,
        };
        for instance in [instance("orders", None), instance("carts-1", Some("carts"))] {
            let id = instance.id.clone();
            state.databases.instances.insert(id, instance);
        }
        let cluster = DbCluster {
            id: DbClusterId::new("carts"),
            arn: RESTORED[1].to_owned(),
            status: "available".into(),
            engine: "aurora-postgresql".to_owned(),
            engine_version: "16.4".to_owned(),
            endpoint: Some(("carts.example".to_owned(), 5432)),
            reader_endpoint: None,
            scaling: None,
            settings: DbSettings::default(),
            restore_test: false,
        };
        state.databases.clusters.insert(cluster.id.clone(), cluster);
        let arn = Arn::parse(RESTORED[2]).unwrap();
        let table = FakeTable::restored(arn, now());
        state.tables.insert("sessions".to_owned(), table);
    }
    world
}

async fn reported(world: &World, task: &str) -> Value {
    let config = ReportConfig {
        bucket: "recovery".to_owned(),
        objectives: Objectives::default(),
        drill_role: DRILL_ROLE.to_owned(),
    };
    let input = json!({
        "do": task, "workload": "shop", "mode": Mode::Recover,
        "execution": {
            "arn": "arn:aws:states:us-west-2:111122223333:execution:r:shop-1", "name": "shop-1",
            "startedAt": (now() - TimeDelta::minutes(51)).to_rfc3339(),
        },
        "plan": {"hash": "0", "key": "plans/shop/x.json"},
        "problems": [],
    });
    json!(
        handle(world, world, &FakeClock::new(), &config, &input)
            .await
            .unwrap()
    )
}

/// Resource, reason and explanation of what is not done.
async fn unfinished(world: &World) -> Vec<(String, String, String)> {
    let verified = reported(world, "verify").await;
    let items = verified["unfinishedItems"].as_array().cloned();
    let text = |item: &Value, member: &str| item[member].as_str().unwrap().to_owned();
    items
        .unwrap_or_default()
        .iter()
        .map(|it| (text(it, "subject"), text(it, "reason"), text(it, "why")))
        .collect()
}

#[tokio::test]
async fn what_applications_can_use_is_done() {
    let world = world();
    assert_eq!(unfinished(&world).await, []);
    assert_eq!(reported(&world, "verify").await["outcome"], "verified");
}

#[tokio::test]
async fn what_applications_cannot_use_is_not_done() {
    let check = async |change: &dyn Fn(&World), resource: &str, reason: &str, why: &str| {
        let world = world();
        change(&world);
        let left = unfinished(&world).await;
        let [(subject, found, said)] = left.as_slice() else {
            panic!("{why}: {left:?}");
        };
        assert!(subject.ends_with(resource), "{subject}");
        assert_eq!(found, reason);
        assert!(said.contains(why), "{said}");
    };
    let set = |id: &'static str, status: &'static str| {
        move |world: &World| {
            let mut state = world.state();
            let instance = state.databases.instances.get_mut(&DbInstanceId::new(id));
            instance.unwrap().status = status.into();
        }
    };
    check(
        &set("orders", "creating"),
        "db:orders",
        "not-available",
        "creating",
    )
    .await;
    check(
        &set("orders", "storage-full"),
        "db:orders",
        "not-available",
        "storage-full",
    )
    .await;
    let carts = "cluster:carts";
    check(
        &set("carts-1", "creating"),
        carts,
        "not-available",
        "none of its instances",
    )
    .await;
    let without_instance = |world: &World| {
        let id = DbInstanceId::new("carts-1");
        world.state().databases.instances.remove(&id);
    };
    check(&without_instance, carts, "not-available", "no instance").await;
    let gone = |world: &World| world.state().tables.clear();
    check(&gone, "table/sessions", "resource-gone", "does not exist").await;
    let creating = |world: &World| {
        let mut state = world.state();
        let table = state.tables.get_mut("sessions").unwrap();
        table.table.status = TableStatus::from("CREATING");
        table.reads_until_active = None;
    };
    check(&creating, "table/sessions", "not-available", "CREATING").await;
}

#[tokio::test]
async fn a_database_that_can_be_reached_during_a_backup_is_done() {
    let world = world();
    {
        let mut state = world.state();
        let id = DbInstanceId::new("orders");
        let instance = state.databases.instances.get_mut(&id).unwrap();
        instance.status = "backing-up".into();
    }
    assert_eq!(unfinished(&world).await, []);
}

#[tokio::test]
async fn the_report_and_its_page_name_what_was_restored() {
    let world = world();
    let answer = reported(&world, "report").await;
    assert_eq!(answer["complete"], true, "{answer}");
    let (report, page) = report_and_page(&world);
    let items = report["items"].as_array().unwrap();
    let orders = items.iter().find(|item| item["type"] == "RDS").unwrap();
    assert_eq!(orders["name"], "orders");
    assert_eq!(orders["restoredArn"], RESTORED[0]);
    assert_eq!(orders["endpoint"], "orders.example:5432");
    assert_eq!(orders["rpoSeconds"].as_i64().map(|it| it > 0), Some(true));
    for text in [
        "RDS, orders in shop",
        "carts.example:5432",
        "DynamoDB, sessions",
        "available",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

/// The OpsItem of a restore job that was integrated some seconds after its end.
fn recorded(job: &str, status: Status, data: [(&str, &str); 2]) -> StoredItem {
    let key = restore_key(&RestoreJobId::new(job));
    let own = [(KEY, key.as_str()), (KIND, RESTORE)];
    let data = own.into_iter().chain(data);
    StoredItem {
        item: OpsItem {
            id: OpsItemId::new(format!("oi-{job}")),
            status,
            created: Some(now() - TimeDelta::minutes(20)),
            data: data
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        },
        key,
        title: "Restored".to_owned(),
        description: String::new(),
        severity: Severity::Low,
        related: Vec::new(),
    }
}

/// The JSON and the page of the only report.
fn report_and_page(world: &World) -> (Value, String) {
    let objects = world.state().backups.objects.clone();
    let of = |ending: &str| {
        let found = objects
            .iter()
            .find(|(key, _)| key.starts_with("reports/") && key.ends_with(ending));
        found.unwrap().1.clone()
    };
    (serde_json::from_str(&of(".json")).unwrap(), of(".html"))
}

#[tokio::test]
async fn an_open_ops_item_of_an_integrated_resource_is_left_to_do() {
    const STEP: &str = "Read the open OpsItem of each resource that has one, and do what it says.";
    let world = world();
    let integrated = |word| {
        [
            ("recovery:integration", word),
            ("recovery:left-to-do", "something"),
        ]
    };
    world.state().items = vec![
        recorded("job-0", Status::Resolved, integrated("integrated")),
        recorded("job-2", Status::Open, integrated("configured")),
    ];
    let answer = reported(&world, "report").await;
    // What is left there does not keep the traffic from moving.
    assert_eq!(answer["complete"], true, "{answer}");
    assert_eq!(answer["openOpsItems"], 1, "{answer}");
    let (report, page) = report_and_page(&world);
    let open: Vec<(&str, &Value)> = report["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["type"].as_str().unwrap(), &item["openOpsItemId"]))
        .collect();
    assert_eq!(
        open,
        [
            ("DynamoDB", &json!("oi-job-2")),
            ("Aurora", &Value::Null),
            ("RDS", &Value::Null),
        ]
    );
    assert!(page.contains(STEP) && page.contains("oi-job-2"), "{page}");
    assert!(page.contains("1 with an open OpsItem"), "{page}");
    assert!(!page.contains("none left"));
    let message = world.state().notifications[0].message.clone();
    assert!(message.contains(STEP), "{message}");
    assert!(
        message.contains("3 of 3 restored and integrated; 1 with an open OpsItem"),
        "{message}"
    );
    // Without an open one, nothing is left.
    let world = self::world();
    reported(&world, "report").await;
    let (_, page) = report_and_page(&world);
    assert!(page.contains("none left") && !page.contains(STEP));
}

/// AWS shows when a volume was attached, and of databases and tables nothing: the integration records it.
#[tokio::test]
async fn the_report_says_when_databases_and_tables_were_integrated() {
    let world = world();
    let database = [
        ("recovery:integration", "integrated"),
        ("recovery:seconds-to-integrate", "600"),
    ];
    let table = [
        ("recovery:integration", "configured"),
        ("recovery:seconds-to-configure", "300"),
    ];
    // The cluster has no record, and that of the table has something left to do.
    world.state().items = vec![
        recorded("job-0", Status::Resolved, database),
        recorded("job-2", Status::Open, table),
    ];
    reported(&world, "report").await;
    let objects = world.state().backups.objects.clone();
    let report = objects
        .iter()
        .find(|(key, _)| key.starts_with("reports/") && key.ends_with(".json"));
    let report: Value = serde_json::from_str(report.unwrap().1).unwrap();
    let seconds = |kind: &str| {
        let items = report["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["type"] == kind).unwrap();
        item["integrateSeconds"].as_i64()
    };
    assert_eq!(
        [seconds("RDS"), seconds("Aurora"), seconds("DynamoDB")],
        [Some(600), None, Some(300)]
    );
    let phases = report["phases"].as_array().unwrap();
    let integrate = phases.iter().find(|it| it["phase"] == "integrate");
    assert_eq!(integrate.unwrap()["seconds"], 600);
}
