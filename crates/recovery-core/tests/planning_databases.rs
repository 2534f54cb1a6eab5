//! Plans of databases and tables: their targets, and their names.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use chrono::{DateTime, TimeDelta, Utc};
use recovery_core::aws::arn::{Arn, DbClusterId, DbInstanceId, RecoveryPointArn, RestoreJobId};
use recovery_core::aws::backup::{RecoveryPoint, RestoreJob};
use recovery_core::aws::database::{DbInstance, DbSettings, DbStatus};
use recovery_core::aws::table::TableStatus;
use recovery_core::fakes::{FakeClock, FakeTable, RESTORE_ROLE, World, volume_point};
use recovery_core::integrate::database::wanted::instance_id;
use recovery_core::plan::run::{PlannerConfig, handle};
use recovery_core::plan::{DatabaseTarget, Plan, TableTarget, Target};
use recovery_core::ports::Clock;
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    FakeClock::new().now()
}

const SNAPSHOT: &str = "arn:aws:rds:us-west-2:111122223333:snapshot:awsbackup:copyjob-";
const CLUSTER: &str = "arn:aws:rds:us-west-2:111122223333:cluster-snapshot:awsbackup:copyjob-";
const TABLE: &str = "arn:aws:backup:us-west-2:111122223333:recovery-point:";

/// A recovery point of a resource `db:orders`, `cluster:orders` or `table/orders`, one hour old.
fn point(resource_type: &str, arn: &str, resource: &str) -> RecoveryPoint {
    let service = match resource_type {
        "DynamoDB" => "dynamodb",
        _ => "rds",
    };
    RecoveryPoint {
        arn: RecoveryPointArn::parse(arn).unwrap(),
        resource: Arn::parse(&format!(
            "arn:aws:{service}:us-east-1:111122223333:{resource}"
        ))
        .unwrap(),
        resource_type: resource_type.to_owned(),
        ..volume_point("a", "a", now() - TimeDelta::hours(1)).unwrap()
    }
}

fn add(world: &World, point: RecoveryPoint, tags: &[(&str, &str)]) {
    let all = [("recovery:workload", "shop")].iter().chain(tags);
    let tags = all
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let mut state = world.state();
    state.tags.insert(point.arn.to_string(), tags);
    state.backups.points.push(point);
}

/// A database, a cluster and a table, and a volume.
fn world() -> World {
    let world = World::new();
    let network = [
        ("recovery:stack", "shop"),
        ("recovery:security-groups", "Db"),
    ];
    add(
        &world,
        point("RDS", &format!("{SNAPSHOT}1"), "db:Orders"),
        &network,
    );
    let instances = ("recovery:instances", "db.r6g.large x2");
    add(
        &world,
        point("Aurora", &format!("{CLUSTER}2"), "cluster:carts"),
        &[&network[..], &[instances, ("recovery:wave", "1")]].concat(),
    );
    add(
        &world,
        point("DynamoDB", &format!("{TABLE}3"), "table/Sessions"),
        &[("recovery:identifier", "Sessions-2")],
    );
    world.add_point(
        volume_point("a", "a", now() - TimeDelta::hours(1)).unwrap(),
        &[],
    );
    world
}

async fn plan(world: &World, input: &Value) -> Plan {
    let config = PlannerConfig {
        vault: "recovery".to_owned(),
        bucket: "plans".to_owned(),
    };
    let outcome = handle(world, &FakeClock::new(), &config, input)
        .await
        .unwrap();
    let key = outcome.id("planKey").unwrap();
    serde_json::from_str(&world.state().backups.objects[key]).unwrap()
}

fn recover() -> Value {
    json!({"workload": "shop", "mode": "recover"})
}

fn reasons(plan: &Plan) -> Vec<(&str, &str)> {
    let name = |arn: &'_ str| arn.rfind([':', '/']).map_or(0, |at| at + 1);
    plan.refusals
        .iter()
        .map(|it| {
            (
                &it.resource_arn[name(&it.resource_arn)..],
                it.reason.as_str(),
            )
        })
        .collect()
}

#[tokio::test]
async fn each_type_has_its_own_target() {
    let plan = plan(&world(), &recover()).await;
    assert_eq!(reasons(&plan), []);
    let targets: Vec<(&str, &Target)> = plan
        .items()
        .map(|item| (item.resource_type.as_str(), &item.target))
        .collect();
    let database = |identifier: &str, instances: Option<&str>| {
        Target::Database(DatabaseTarget {
            identifier: identifier.to_owned(),
            stack: Some("shop".to_owned()),
            security_groups: vec!["Db".to_owned()],
            instances: instances.map(str::to_owned),
            ..DatabaseTarget::default()
        })
    };
    let table = Target::Table(TableTarget {
        name: "Sessions-2".to_owned(),
    });
    assert!(
        matches!(targets[1], ("EBS", Target::Volume(_))),
        "{targets:?}"
    );
    assert_eq!(targets[0], ("DynamoDB", &table));
    assert_eq!(targets[2], ("RDS", &database("orders", None)));
    assert_eq!(
        targets[3],
        ("Aurora", &database("carts", Some("db.r6g.large x2")))
    );
    assert_eq!(plan.totals.volume_gib, 8, "only volumes count");
}

#[tokio::test]
async fn a_required_tag_that_is_missing_refuses_the_item_only() {
    let world = world();
    add(
        &world,
        point("Neptune", &format!("{CLUSTER}4"), "cluster:graph"),
        &[
            ("recovery:stack", "shop"),
            ("recovery:security-groups", "Db"),
        ],
    );
    add(
        &world,
        point("DocumentDB", &format!("{CLUSTER}5"), "cluster:docs"),
        &[("recovery:security-groups", "not-an-id")],
    );
    let plan = plan(&world, &recover()).await;
    assert_eq!(
        reasons(&plan),
        [("docs", "tag-invalid"), ("graph", "tag-missing")]
    );
    assert_eq!(plan.totals.items, 4);
}

#[tokio::test]
async fn items_that_claim_one_name_are_refused() {
    let world = world();
    add(
        &world,
        point("RDS", &format!("{SNAPSHOT}6"), "db:orders-old"),
        &[&NETWORK[..], &[("recovery:identifier", "ORDERS")]].concat(),
    );
    // A cluster may have the name of an instance.
    add(
        &world,
        point("Neptune", &format!("{CLUSTER}7"), "cluster:orders"),
        &[&NETWORK[..], &[("recovery:instances", "db.r5.large")]].concat(),
    );
    let plan = plan(&world, &recover()).await;
    assert_eq!(
        reasons(&plan),
        [
            ("Orders", "name-claimed-twice"),
            ("orders-old", "name-claimed-twice")
        ]
    );
    assert!(plan.refusals[0].why.contains("db:orders-old"));
}

const NETWORK: [(&str, &str); 2] = [
    ("recovery:stack", "shop"),
    ("recovery:security-groups", "Db"),
];

#[tokio::test]
async fn an_instance_of_a_cluster_claims_its_name_too() {
    let world = world();
    add(
        &world,
        point("RDS", &format!("{SNAPSHOT}6"), "db:carts-2"),
        &NETWORK,
    );
    // The cluster has only two instances.
    add(
        &world,
        point("RDS", &format!("{SNAPSHOT}7"), "db:carts-3"),
        &NETWORK,
    );
    let plan = plan(&world, &recover()).await;
    assert_eq!(
        reasons(&plan),
        [
            ("carts", "name-claimed-twice"),
            ("carts-2", "name-claimed-twice")
        ]
    );
    let [cluster, instance] = &plan.refusals[..] else {
        panic!("{:?}", plan.refusals)
    };
    assert_eq!(
        cluster.why,
        "arn:aws:rds:us-east-1:111122223333:db:carts-2 would also get the name carts-2, which an instance of this cluster gets, and a name can exist only once"
    );
    assert_eq!(
        instance.why,
        "an instance of arn:aws:rds:us-east-1:111122223333:cluster:carts would also get the name carts-2, and a name can exist only once"
    );
}

#[tokio::test]
async fn two_clusters_whose_instances_get_one_name_are_refused() {
    let world = World::new();
    let long = DbClusterId::new("a".repeat(63));
    let instance = instance_id(&long, 1).to_string();
    let other = instance.strip_suffix("-1").unwrap();
    for (number, cluster) in [long.as_str(), other].iter().enumerate() {
        add(
            &world,
            point(
                "Aurora",
                &format!("{CLUSTER}{number}"),
                &format!("cluster:{cluster}"),
            ),
            &[&NETWORK[..], &[("recovery:instances", "db.r6g.large")]].concat(),
        );
    }
    let plan = plan(&world, &recover()).await;
    let mut expected = [
        (other, "name-claimed-twice"),
        (long.as_str(), "name-claimed-twice"),
    ];
    expected.sort_unstable();
    assert_eq!(reasons(&plan), expected);
    assert!(plan.refusals[0].why.contains(&instance));
}

#[tokio::test]
async fn the_name_of_an_instance_in_use_is_refused_unless_it_belongs_to_the_cluster() {
    let world = world();
    let instance = |cluster: Option<&str>| DbInstance {
        id: DbInstanceId::new("carts-2"),
        arn: "arn:aws:rds:us-west-2:111122223333:db:carts-2".to_owned(),
        status: DbStatus::Available,
        cluster: cluster.map(DbClusterId::new),
        engine: "aurora-postgresql".to_owned(),
        engine_version: "16.4".to_owned(),
        endpoint: None,
        settings: DbSettings::default(),
        restore_test: false,
    };
    for (cluster, expected) in [
        (None, &[("carts", "name-taken")][..]),
        (Some("other"), &[("carts", "name-taken")]),
        (Some("carts"), &[]),
    ] {
        let instance = instance(cluster);
        world
            .state()
            .databases
            .instances
            .insert(instance.id.clone(), instance);
        let plan = plan(&world, &recover()).await;
        assert_eq!(reasons(&plan), expected, "{cluster:?}");
    }
}

#[tokio::test]
async fn resources_that_publish_to_one_path_are_refused() {
    let world = world();
    let published = |path| [("recovery:publish", path)];
    add(
        &world,
        point("RDS", &format!("{SNAPSHOT}6"), "db:bills"),
        &[&NETWORK[..], &published("/recovery/shop/bills/")].concat(),
    );
    // Each type publishes its ARN.
    add(
        &world,
        point("DynamoDB", &format!("{TABLE}7"), "table/Bills"),
        &published("/recovery/shop/bills"),
    );
    // The parameters of these have other names: /recovery/shop/endpoint, and the parameters below it.
    for (number, path) in ["/recovery/shop", "/recovery/shop/endpoint"]
        .into_iter()
        .enumerate()
    {
        let name = format!("db:nested-{number}");
        add(
            &world,
            point("RDS", &format!("{SNAPSHOT}1{number}"), &name),
            &[&NETWORK[..], &published(path)].concat(),
        );
    }
    // Neither is published: the paths are not valid, and a volume has no address.
    for name in ["Left", "Right"] {
        add(
            &world,
            point(
                "DynamoDB",
                &format!("{TABLE}{name}"),
                &format!("table/{name}"),
            ),
            &published("recovery"),
        );
    }
    world.add_point(
        volume_point("b", "b", now() - TimeDelta::hours(1)).unwrap(),
        &published("/recovery/shop/bills"),
    );
    for input in [
        recover(),
        json!({"workload": "shop", "mode": "drill", "stack": "shop-drill"}),
    ] {
        let plan = plan(&world, &input).await;
        assert_eq!(
            reasons(&plan),
            [
                ("Bills", "publish-claimed-twice"),
                ("bills", "publish-claimed-twice"),
            ],
            "{input}"
        );
        assert_eq!(
            plan.refusals[1].why,
            "arn:aws:dynamodb:us-east-1:111122223333:table/Bills also publishes its addresses below /recovery/shop/bills, and the application would read those of the last one"
        );
    }
}

#[tokio::test]
async fn what_replaced_another_resource_keeps_its_name_and_its_path() {
    for shared in [
        ("recovery:publish", "/recovery/shop/bills"),
        ("recovery:identifier", "bills"),
    ] {
        let world = World::new();
        let add = |resource: &str, hours_ago: i64| {
            let point = RecoveryPoint {
                created: now() - TimeDelta::hours(hours_ago),
                ..point("RDS", &format!("{SNAPSHOT}{hours_ago}"), resource)
            };
            add(&world, point, &[&NETWORK[..], &[shared]].concat());
        };
        add("db:bills-1", 72);
        add("db:bills-1", 48);
        add("db:bills-2", 30);
        add("db:bills-2", 6);
        let plan = plan(&world, &recover()).await;
        assert_eq!(reasons(&plan), [("bills-1", "replaced")], "{shared:?}");
        let why = &plan.refusals[0].why;
        let expected = match shared.0 {
            "recovery:publish" => "it publishes its addresses below the same path",
            _ => "it gets the same name",
        };
        assert!(why.contains(expected), "{why}");
        assert_eq!(plan.totals.items, 1);
    }
}

fn add_table(world: &World, status: &str) -> Arn {
    let arn = Arn::parse("arn:aws:dynamodb:us-west-2:111122223333:table/Sessions-2").unwrap();
    let mut table = FakeTable::restored(arn.clone(), now());
    table.table.status = TableStatus::from(status);
    world.state().tables.insert("Sessions-2".to_owned(), table);
    arn
}

#[tokio::test]
async fn a_name_in_use_is_refused_unless_it_was_restored_from_this_recovery_point() {
    let world = world();
    let arn = add_table(&world, "ACTIVE");
    assert_eq!(
        reasons(&plan(&world, &recover()).await),
        [("Sessions", "name-taken")]
    );
    let job = |point: &str, status: &str| RestoreJob {
        status: Some(status.to_owned()),
        resource_type: Some("DynamoDB".to_owned()),
        created_resource: Some(arn.clone()),
        recovery_point: RecoveryPointArn::parse(point).ok(),
        iam_role: Arn::parse(RESTORE_ROLE).ok(),
        created: Some(now()),
        ..RestoreJob::known_by_id(RestoreJobId::new("job-1"))
    };
    for (other, status) in [
        (format!("{TABLE}9"), "COMPLETED"),
        (format!("{TABLE}3"), "FAILED"),
    ] {
        let job = job(&other, status);
        world.state().restore_jobs.insert(job.id.to_string(), job);
        assert_eq!(
            reasons(&plan(&world, &recover()).await),
            [("Sessions", "name-taken")],
            "{other} {status}"
        );
    }
    let own = job(&format!("{TABLE}3"), "COMPLETED");
    world.state().restore_jobs.insert(own.id.to_string(), own);
    assert_eq!(reasons(&plan(&world, &recover()).await), []);
    // A name that becomes free is not in use.
    let world = self::world();
    add_table(&world, "DELETING");
    assert_eq!(reasons(&plan(&world, &recover()).await), []);
}

#[tokio::test]
async fn a_drill_moves_databases_to_its_stack_and_refuses_what_is_outside() {
    let world = world();
    add(
        &world,
        point("RDS", &format!("{SNAPSHOT}8"), "db:shared"),
        &[
            ("recovery:stack", "shop"),
            ("recovery:security-groups", "Db sg-0a1b2c3d"),
        ],
    );
    // The names of a drill are its own.
    add_table(&world, "ACTIVE");
    let input = json!({"workload": "shop", "mode": "drill", "stack": "shop-drill"});
    let plan = plan(&world, &input).await;
    assert_eq!(reasons(&plan), [("shared", "outside-of-drill")]);
    let stacks: Vec<Option<&str>> = plan.items().map(|item| item.target.stack()).collect();
    let own = Some("shop-drill");
    assert_eq!(stacks, [None, own, own, own]);
}

#[tokio::test]
async fn the_hash_changes_with_each_part_of_a_target() {
    let of = async |kind: &str, arn: &str, resource: &str, tags: &[(&str, &str)]| {
        let world = World::new();
        add(&world, point(kind, arn, resource), tags);
        plan(&world, &recover()).await.hash
    };
    let base = [
        ("recovery:stack", "shop"),
        ("recovery:security-groups", "Db"),
        ("recovery:instances", "db.r6g.large"),
    ];
    let arn = format!("{CLUSTER}2");
    let mut hashes = vec![of("Aurora", &arn, "cluster:carts", &base).await];
    for change in [
        ("recovery:stack", "store"),
        ("recovery:security-groups", "Db Web"),
        ("recovery:instances", "db.r6g.large x2"),
        ("recovery:logical-id", "Subnets"),
        ("recovery:parameter-group", "Tuned"),
        ("recovery:identifier", "carts-2"),
    ] {
        let tags = [&base[..], &[change]].concat();
        hashes.push(of("Aurora", &arn, "cluster:carts", &tags).await);
    }
    let count = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[tokio::test]
async fn a_backup_of_a_drills_database_belongs_to_no_workload() {
    let world = world();
    add(
        &world,
        point("RDS", &format!("{SNAPSHOT}10"), "db:orders-d-1"),
        &[
            ("recovery:stack", "shop"),
            ("recovery:security-groups", "Db"),
            ("recovery:drill", "d-1"),
        ],
    );
    let plan = plan(&world, &recover()).await;
    assert_eq!((plan.totals.items, reasons(&plan)), (4, vec![]));
}
