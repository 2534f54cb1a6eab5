//! Integration of restored databases against the in-memory fakes: what is created, applied, published,
//! refused and skipped, and that a repetition changes nothing.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use proptest::prelude::*;
use recovery_core::aws::arn::{Arn, DbClusterId, DbInstanceId, Scope};
use recovery_core::aws::backup::{Drill, Restore};
use recovery_core::aws::database::{CreateTrouble, DbInstance, DbStatus};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, Parameter, StoredItem, World};
use recovery_core::integrate::database::run::{DatabaseConfig, integrate};
use recovery_core::integrate::skip::Ownership;
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use recovery_core::ports::Clock;

const WORKLOAD: (&str, &str) = ("recovery:workload", "shop");
const TWO: (&str, &str) = ("recovery:instances", "db.r6g.large x2");
const SERVERLESS: (&str, &str) = ("recovery:instances", "db.serverless 0.5-16");
const PUBLISH: (&str, &str) = ("recovery:publish", "/recovery/shop/db");
const CREATE: &str = "rds:CreateDBInstance";

fn config() -> DatabaseConfig {
    DatabaseConfig {
        ownership: Ownership {
            scope: Scope {
                account: "111122223333".to_owned(),
                region: "us-west-2".to_owned(),
            },
            drill_role: DRILL_ROLE.to_owned(),
        },
        publish_path: "/recovery/".to_owned(),
    }
}

fn cluster(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    world.add_restored_cluster(tags);
    world
}

fn instance(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    world.add_restored_instance(tags);
    world
}

fn restore(world: &World, drill: Option<Drill>) -> Restore {
    Restore {
        drill,
        ..Restore::from(world.state().restore_jobs["job-db"].clone())
    }
}

fn deliver(world: &World) -> Result<Outcome, Error> {
    deliver_by(world, &FakeClock::new(), None)
}

fn deliver_by(world: &World, clock: &FakeClock, drill: Option<Drill>) -> Result<Outcome, Error> {
    let restore = restore(world, drill);
    integrate(world, clock, &config(), restore)
        .now_or_never()
        .unwrap()
}

/// Delivers until the answer is not `pending`.
#[track_caller]
fn deliver_to_the_end(world: &World) -> (usize, Outcome) {
    for number in 1..20 {
        let outcome = deliver(world).unwrap();
        if outcome.kind() != "pending" {
            return (number, outcome);
        }
    }
    panic!("always pending");
}

/// The only OpsItem.
#[track_caller]
fn item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    assert_eq!(world.state().problems, Vec::<String>::new());
    items[0].clone()
}

fn count(world: &World, operation: &str) -> usize {
    let calls = world.calls();
    calls.iter().filter(|it| it.starts_with(operation)).count()
}

fn with_instance(world: &World, id: &str, change: impl FnOnce(&mut DbInstance)) {
    let id = DbInstanceId::new(id);
    change(world.state().databases.instances.get_mut(&id).unwrap());
}

fn set_status(world: &World, status: &str) {
    let mut state = world.state();
    for instance in state.databases.instances.values_mut() {
        instance.status = status.into();
    }
    for cluster in state.databases.clusters.values_mut() {
        cluster.status = status.into();
    }
}

fn parameters(world: &World) -> Vec<(String, String)> {
    let parameters = world.state().parameters.clone();
    parameters
        .into_iter()
        .map(|(name, Parameter { value, .. })| (name, value))
        .collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn reason(outcome: &Outcome) -> String {
    format!("{}/{}", outcome.kind(), outcome.reason().unwrap_or("-"))
}

#[test]
fn publishes_an_instance_and_resolves_its_ops_item() {
    let world = instance(&[WORKLOAD, PUBLISH]);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("databaseId"), Some("shop"));
    assert_eq!(
        outcome.id("endpoint"),
        Some("shop.abc.us-west-2.rds.example:5432")
    );
    assert_eq!(
        parameters(&world),
        owned(&[
            (
                "/recovery/shop/db/arn",
                "arn:aws:rds:us-west-2:111122223333:db:shop"
            ),
            (
                "/recovery/shop/db/endpoint",
                "shop.abc.us-west-2.rds.example"
            ),
            ("/recovery/shop/db/engine", "postgres"),
            ("/recovery/shop/db/id", "shop"),
            ("/recovery/shop/db/port", "5432"),
        ])
    );
    let item = item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert_eq!(item.title, "Restored instance shop integrated");
    for part in [
        "`shop.abc.us-west-2.rds.example:5432`, 42 s after the restore completed",
        "`postgres 17.4`",
        "`/recovery/shop/db`",
        "master password is that of the recovery point",
        "A secret that RDS managed is not restored",
        "no tag recovery:database",
        "deletion protection (now off)",
        "backup retention (now 1 days)",
    ] {
        assert!(
            item.description.contains(part),
            "{part}: {}",
            item.description
        );
    }
    assert_eq!(item.item.data["recovery:seconds-to-integrate"], "42");
    // A repetition reads, and changes nothing.
    world.state().calls.clear();
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    for call in world.calls() {
        let operation = call.split(' ').next().unwrap();
        let verb = operation.split(':').nth(1).unwrap();
        assert!(
            ["Describe", "Get", "List"]
                .iter()
                .any(|read| verb.starts_with(read)),
            "{call}"
        );
    }
}

#[test]
fn waits_for_a_database_without_blocking() {
    let world = instance(&[WORKLOAD, PUBLISH]);
    set_status(&world, "creating");
    let clock = FakeClock::new();
    let start = clock.now();
    let outcome = deliver_by(&world, &clock, None).unwrap();
    assert_eq!(outcome.kind(), "pending");
    assert_eq!(outcome.id("waitingFor"), Some("shop (now creating)"));
    assert_eq!(clock.now(), start, "it does not wait for minutes");
    assert!(parameters(&world).is_empty());
    set_status(&world, "available");
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
}

#[test]
fn creates_the_instances_of_a_cluster_and_publishes_when_one_is_available() {
    let world = cluster(&[WORKLOAD, TWO, PUBLISH]);
    world.state().databases.reads_until_created = 2;
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "pending");
    let created = world.state().databases.created.clone();
    let shown: Vec<String> = created
        .iter()
        .map(|it| format!("{} {} {} {:?}", it.id, it.engine, it.class, it.tags))
        .collect();
    assert_eq!(
        shown,
        [
            r#"shop-1 aurora-postgresql db.r6g.large [("recovery:workload", "shop")]"#,
            r#"shop-2 aurora-postgresql db.r6g.large [("recovery:workload", "shop")]"#,
        ]
    );
    // The cluster has its endpoint, but nobody answers there.
    assert!(parameters(&world).is_empty());
    let (_, outcome) = deliver_to_the_end(&world);
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(count(&world, CREATE), 2);
    let names: Vec<String> = parameters(&world)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        ["arn", "endpoint", "engine", "id", "port", "reader-endpoint"]
            .map(|leaf| format!("/recovery/shop/db/{leaf}"))
    );
    let item = item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    assert!(
        item.description.contains("with `shop-1`, `shop-2`"),
        "{}",
        item.description
    );
    assert!(
        item.description.contains("custom endpoints"),
        "{}",
        item.description
    );
}

#[test]
fn says_nothing_of_a_password_where_there_is_none() {
    let world = cluster(&[TWO]);
    let id = DbClusterId::new("shop");
    world
        .state()
        .databases
        .clusters
        .get_mut(&id)
        .unwrap()
        .engine = "neptune".to_owned();
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let description = item(&world).description;
    assert!(!description.contains("password"), "{description}");
}

#[test]
fn publishes_while_readers_are_still_created() {
    let world = cluster(&[TWO, PUBLISH]);
    world.state().databases.reads_until_created = usize::MAX;
    deliver(&world).unwrap();
    with_instance(&world, "shop-1", |it| it.status = DbStatus::Available);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.id("waitingFor"), Some("shop-2 (now creating)"));
    assert_eq!(parameters(&world).len(), 6);
    assert!(world.state().items.is_empty(), "it is not integrated yet");
}

#[test]
fn sets_serverless_capacity_before_the_first_instance_and_waits_for_it() {
    for reads in [0, 1, 3] {
        let world = cluster(&[SERVERLESS]);
        world.state().databases.reads_until_changed = reads;
        let (runs, outcome) = deliver_to_the_end(&world);
        assert_eq!((runs, outcome.kind()), (1, "integrated"), "{reads} reads");
        assert_eq!(world.state().databases.changes, ["shop scaling 0.5-16"]);
        // Each attempt to create one before would have failed.
        assert_eq!(count(&world, CREATE), 1);
    }
    // A change that takes longer than a run.
    let world = cluster(&[SERVERLESS]);
    world.state().databases.reads_until_changed = 15;
    let (runs, outcome) = deliver_to_the_end(&world);
    assert_eq!((runs, outcome.kind()), (2, "integrated"));
    assert_eq!(world.state().databases.changes, ["shop scaling 0.5-16"]);
}

#[test]
fn another_capacity_stays_and_is_named() {
    use recovery_core::aws::database::{Capacity, Scaling};
    let world = cluster(&[SERVERLESS]);
    let id = DbClusterId::new("shop");
    world
        .state()
        .databases
        .clusters
        .get_mut(&id)
        .unwrap()
        .scaling = Some(Scaling {
        least: Capacity { halves: 4 },
        most: Capacity { halves: 8 },
    });
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(world.state().databases.changes, Vec::<String>::new());
    let description = item(&world).description;
    assert!(
        description.contains("2-4 already, and stays"),
        "{description}"
    );
}

#[test]
fn applies_lost_settings_one_by_one_and_none_twice() {
    let all = "performance-insights logs=postgresql retention=7 protected iam-auth";
    let tags = [WORKLOAD, TWO, ("recovery:database", all)];
    let world = cluster(&tags);
    assert_eq!(deliver_to_the_end(&world).1.kind(), "integrated");
    assert_eq!(
        world.state().databases.changes,
        [
            "shop protected",
            "shop retention=7",
            "shop iam-auth",
            "shop logs=postgresql",
            "shop-1 performance-insights",
            "shop-2 performance-insights",
        ]
    );
    assert_eq!(item(&world).item.status, Status::Resolved);
    let world = instance(&[WORKLOAD, tags[2]]);
    world.state().databases.reads_until_changed = 2;
    assert_eq!(deliver_to_the_end(&world).1.kind(), "integrated");
    assert_eq!(world.state().databases.changes.len(), 5);
    let description = item(&world).description;
    assert!(
        description.contains("those that the tag recovery:database does not name"),
        "{description}"
    );
    assert!(
        description.contains("deletion protection (now on)"),
        "{description}"
    );
}

#[test]
fn publishes_during_a_backup_of_hours_and_leaves_its_settings() {
    let world = instance(&[PUBLISH, ("recovery:database", "protected")]);
    set_status(&world, "backing-up");
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(parameters(&world).len(), 5);
    assert_eq!(count(&world, "rds:Modify"), 0);
    let stored = item(&world);
    assert_eq!(
        (stored.item.status, stored.severity),
        (Status::Open, Severity::Medium)
    );
    assert!(
        stored.description.contains("applies `protected`"),
        "{}",
        stored.description
    );
    let data = |key: &str| item(&world).item.data[key].clone();
    assert_eq!(data("recovery:deferred-settings"), "protected");
    let seconds = data("recovery:seconds-to-integrate");
    // Hours later, which do not count: applications could reach the database.
    for job in world.state().restore_jobs.values_mut() {
        job.completed = job.completed.map(|at| at - TimeDelta::hours(5));
    }
    set_status(&world, "available");
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(world.state().databases.changes, ["shop protected"]);
    assert_eq!(item(&world).item.status, Status::Resolved);
    assert_eq!(data("recovery:deferred-settings"), "none");
    assert_eq!(data("recovery:seconds-to-integrate"), seconds);
}

#[test]
fn a_setting_that_rds_rejects_prevents_nothing_else() {
    let world = instance(&[
        PUBLISH,
        ("recovery:database", "logs=audit retention=7 fast"),
    ]);
    world.state().databases.refused_changes = vec!["logs=audit"];
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(world.state().databases.changes, ["shop retention=7"]);
    let stored = item(&world);
    assert_eq!(stored.item.status, Status::Open);
    assert!(
        stored
            .description
            .contains("RDS did not apply `logs=audit`"),
        "{}",
        stored.description
    );
    assert!(
        stored
            .description
            .contains("recovery:database of the recovery point is `fast`"),
        "{}",
        stored.description
    );
    assert!(stored.description.contains("Apply the setting yourself"));
    // The same when the role lacks the permission.
    let world = instance(&[PUBLISH, ("recovery:database", "retention=7")]);
    world.fail("rds:ModifyDBInstance", Failure::Denied);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(item(&world).item.status, Status::Open);
}

#[test]
fn refuses_what_only_a_person_can_repair() {
    type Arrange = fn(&World);
    let refused = |world: World, expected: &str| {
        let outcome = deliver(&world).unwrap();
        assert_eq!(reason(&outcome), format!("refused/{expected}"));
        let stored = item(&world);
        assert_eq!(
            (stored.item.status, stored.severity),
            (Status::Open, Severity::High)
        );
        assert!(stored.title.ends_with(expected), "{}", stored.title);
        assert_eq!(world.state().notifications.len(), 1);
        // Operators are notified once.
        assert_eq!(
            reason(&deliver(&world).unwrap()),
            format!("refused/{expected}")
        );
        assert_eq!(world.state().notifications.len(), 1);
    };
    refused(cluster(&[WORKLOAD]), "tag-missing");
    refused(
        cluster(&[WORKLOAD, ("recovery:instances", "large")]),
        "tag-invalid",
    );
    let cases: [(&str, Arrange); 10] = [
        ("database-unusable", |world| set_status(world, "failed")),
        ("database-unusable", |world| {
            set_status(world, "inaccessible-encryption-credentials");
        }),
        ("database-gone", |world| {
            world.state().databases.clusters.clear()
        }),
        ("engine-unsupported", |world| {
            let mut state = world.state();
            let clusters = state.databases.clusters.values_mut();
            clusters.for_each(|it| it.engine = "mysql".to_owned());
        }),
        ("identifier-taken", |world| {
            world.add_restored_instance(&[WORKLOAD, TWO]);
            let mut state = world.state();
            let mut other = state.databases.instances.pop_first().unwrap().1;
            other.id = DbInstanceId::new("shop-2");
            other.cluster = Some(DbClusterId::new("till"));
            state.databases.instances.insert(other.id.clone(), other);
            drop(state);
            world.add_restored_cluster(&[WORKLOAD, TWO]);
        }),
        ("instance-quota", |world| {
            trouble(world, CreateTrouble::Quota)
        }),
        ("no-capacity", |world| {
            trouble(world, CreateTrouble::Capacity)
        }),
        ("network-unusable", |world| {
            trouble(world, CreateTrouble::Network)
        }),
        ("key-unusable", |world| trouble(world, CreateTrouble::Key)),
        ("instance-rejected", |world| {
            trouble(world, CreateTrouble::Request)
        }),
    ];
    for (expected, arrange) in cases {
        let world = cluster(&[WORKLOAD, TWO]);
        arrange(&world);
        refused(world, expected);
    }
}

fn trouble(world: &World, trouble: CreateTrouble) {
    world.state().databases.create_trouble = Some(trouble);
}

#[test]
fn a_foreign_instance_with_the_wanted_identifier_is_never_touched() {
    let world = cluster(&[TWO, PUBLISH]);
    world.add_restored_instance(&[TWO, PUBLISH]);
    let before = {
        let mut state = world.state();
        let mut other = state.databases.instances.pop_first().unwrap().1;
        other.id = DbInstanceId::new("shop-1");
        state
            .databases
            .instances
            .insert(other.id.clone(), other.clone());
        other
    };
    world.add_restored_cluster(&[TWO, PUBLISH]);
    let outcome = deliver(&world).unwrap();
    assert_eq!(reason(&outcome), "refused/identifier-taken");
    assert_eq!(
        world.state().databases.instances.values().next(),
        Some(&before)
    );
    assert!(item(&world).description.contains("without a cluster"));
}

#[test]
fn instances_of_a_person_count_towards_nothing_and_prevent_nothing() {
    let world = cluster(&[("recovery:instances", "db.r6g.large"), PUBLISH]);
    for (id, status) in [("by-hand", "available"), ("broken", "failed")] {
        let mut state = world.state();
        let instance = DbInstance {
            id: DbInstanceId::new(id),
            arn: format!("arn:aws:rds:us-west-2:111122223333:db:{id}"),
            status: status.into(),
            cluster: Some(DbClusterId::new("shop")),
            engine: "aurora-postgresql".to_owned(),
            engine_version: "17.4".to_owned(),
            endpoint: None,
            settings: recovery_core::aws::database::DbSettings::default(),
            restore_test: false,
        };
        state
            .databases
            .instances
            .insert(instance.id.clone(), instance);
    }
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(count(&world, CREATE), 1);
    assert_eq!(parameters(&world).len(), 6);
}

#[test]
fn a_replaced_parameter_is_named_even_after_a_crash() {
    let world = instance(&[PUBLISH]);
    for (leaf, value) in [("endpoint", "old.example"), ("port", "5432")] {
        let parameter = Parameter {
            value: value.to_owned(),
            tags: std::collections::BTreeMap::new(),
            version: 1,
        };
        world
            .state()
            .parameters
            .insert(format!("/recovery/shop/db/{leaf}"), parameter);
    }
    // The run ends when the parameter is replaced.
    world.pass("ssm:PutParameter");
    world.fail("ssm:PutParameter", Failure::AnswerLost);
    deliver(&world).unwrap_err();
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let description = item(&world).description;
    assert!(
        description.contains("`/recovery/shop/db/endpoint was old.example`"),
        "{description}"
    );
    assert_eq!(item(&world).item.status, Status::Resolved);
}

#[test]
fn an_unusable_path_prevents_nothing_else() {
    let world = instance(&[("recovery:publish", "/elsewhere/db")]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert!(parameters(&world).is_empty());
    let stored = item(&world);
    assert_eq!(stored.item.status, Status::Open);
    assert!(
        stored.description.contains("Publish the address yourself"),
        "{}",
        stored.description
    );
}

fn drill(name: Option<&str>) -> Option<Drill> {
    Some(Drill {
        stack: "shop-drill".to_owned(),
        name: name.map(str::to_owned),
    })
}

fn of_a_drill(world: &World) {
    let mut state = world.state();
    let job = state.restore_jobs.get_mut("job-db").unwrap();
    job.iam_role = Arn::parse(DRILL_ROLE).ok();
}

#[test]
fn a_drill_tags_everything_and_protects_nothing() {
    let tags = [
        WORKLOAD,
        TWO,
        PUBLISH,
        ("recovery:stack", "shop"),
        ("recovery:database", "protected retention=7"),
    ];
    let world = cluster(&tags);
    of_a_drill(&world);
    let outcome = deliver_by(&world, &FakeClock::new(), drill(Some("d-1"))).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    let state = world.state();
    let tag = [("recovery:drill", "d-1".to_owned())];
    assert!(state.databases.created.iter().all(|it| it.tags == tag));
    assert_eq!(state.databases.changes, ["shop retention=7"]);
    assert_eq!(state.parameters.len(), 6);
    for (name, parameter) in &state.parameters {
        assert!(name.starts_with("/recovery/shop/db/drill/d-1/"), "{name}");
        assert_eq!(parameter.tags, tag.clone().into());
    }
    drop(state);
    assert!(item(&world).title.starts_with("[drill] "));
}

#[test]
fn drills_and_recoveries_do_not_take_each_others_databases() {
    let ask = |of_drill: bool, asked: Option<Drill>, stack: &str| {
        let world = cluster(&[WORKLOAD, TWO, ("recovery:stack", stack)]);
        if of_drill {
            of_a_drill(&world);
        }
        let answer = deliver_by(&world, &FakeClock::new(), asked);
        assert_eq!(count(&world, CREATE), 0);
        answer
    };
    assert_eq!(reason(&ask(true, None, "shop").unwrap()), "ignored/drill");
    let outcome = ask(false, drill(Some("d-1")), "shop").unwrap();
    assert_eq!(reason(&outcome), "refused/not-a-drill");
    let outcome = ask(true, drill(Some("d-1")), "shop-drill").unwrap();
    assert_eq!(reason(&outcome), "refused/drill-target");
    // Its clean-up would not find what is created.
    let error = ask(true, drill(None), "shop").unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert!(error.to_string().contains("drill.name"), "{error}");
}

#[test]
fn skips_what_is_not_a_database_of_a_workload() {
    let check = |world: World, expected: &str| {
        let outcome = deliver(&world).unwrap();
        assert_eq!(reason(&outcome), expected);
        assert!(world.state().items.is_empty());
        assert_eq!(count(&world, CREATE), 0);
    };
    let untagged = cluster(&[("Name", "db")]);
    assert_eq!(reason(&deliver(&untagged).unwrap()), "ignored/untagged");
    assert_eq!(item(&untagged).item.data["recovery:untagged"], "true");
    let test = instance(&[WORKLOAD]);
    with_instance(&test, "shop", |it| it.restore_test = true);
    check(test, "ignored/restore-test");
    let change = |change: fn(&mut recovery_core::aws::backup::RestoreJob)| {
        let world = instance(&[WORKLOAD]);
        change(world.state().restore_jobs.get_mut("job-db").unwrap());
        world
    };
    check(
        change(|job| job.restore_test = true),
        "ignored/restore-test",
    );
    check(
        change(|job| job.resource_type = Some("EBS".to_owned())),
        "ignored/resource-type",
    );
    check(
        change(|job| {
            job.created_resource = Arn::parse("arn:aws:s3:::shop").ok();
        }),
        "ignored/resource-type",
    );
    check(
        change(|job| job.status = Some("FAILED".to_owned())),
        "ignored/status",
    );
    let foreign = instance(&[WORKLOAD]);
    foreign
        .state()
        .restore_jobs
        .get_mut("job-db")
        .unwrap()
        .created_resource = Arn::parse("arn:aws:rds:eu-west-1:111122223333:db:shop").ok();
    assert_eq!(reason(&deliver(&foreign).unwrap()), "refused/not-here");
}

#[test]
fn only_a_database_with_the_name_of_the_workloads_is_integrated() {
    let answer = |tags: &[(&str, &str)], source: Option<&str>| {
        let world = instance(tags);
        {
            let mut state = world.state();
            let job = state.restore_jobs.get_mut("job-db").unwrap();
            job.source_resource = source.map(|arn| Arn::parse(arn).unwrap());
        }
        let outcome = deliver(&world).unwrap();
        (reason(&outcome), parameters(&world).len(), world)
    };
    let other = "arn:aws:rds:us-east-1:111122223333:db:orders";
    let (refused, published, world) = answer(&[WORKLOAD, PUBLISH], Some(other));
    assert_eq!((refused.as_str(), published), ("refused/database-name", 0));
    assert!(item(&world).description.contains("`orders`"));
    let (refused, published, _) = answer(&[WORKLOAD, PUBLISH], None);
    assert_eq!((refused.as_str(), published), ("refused/database-name", 0));
    let renamed = [WORKLOAD, PUBLISH, ("recovery:identifier", "Shop")];
    let (integrated, published, _) = answer(&renamed, Some(other));
    assert_eq!((integrated.as_str(), published), ("integrated/-", 5));
    // A name that RDS does not accept is not used by the plan either.
    let invalid = [WORKLOAD, PUBLISH, ("recovery:identifier", "9!")];
    let same = "arn:aws:rds:us-east-1:111122223333:db:shop";
    let (integrated, published, _) = answer(&invalid, Some(same));
    assert_eq!((integrated.as_str(), published), ("integrated/-", 5));
}

#[test]
fn an_untagged_answer_overwrites_no_integration() {
    let world = instance(&[WORKLOAD, PUBLISH]);
    assert_eq!(reason(&deliver(&world).unwrap()), "integrated/-");
    for tags in world.state().tags.values_mut() {
        tags.clear();
    }
    assert_eq!(reason(&deliver(&world).unwrap()), "ignored/untagged");
    assert_eq!(item(&world).item.data["recovery:integration"], "integrated");
}

#[test]
fn records_a_permanent_failure_and_continues_after_it() {
    let world = cluster(&[TWO]);
    world.fail(CREATE, Failure::Denied);
    let error = deliver(&world).unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    let stored = item(&world);
    assert_eq!(stored.title, "Restored database still not integrated");
    assert_eq!(stored.item.data["recovery:integration"], "failing");
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(item(&world).item.status, Status::Resolved);
}

#[test]
fn ends_in_time_while_rds_throttles() {
    let world = cluster(&[TWO]);
    for _ in 0..40 {
        world.fail("rds:DescribeDBClusters", Failure::Throttled);
    }
    let clock = FakeClock::with_budget(Duration::from_secs(120));
    let start = clock.now();
    let error = deliver_by(&world, &clock, None).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert!((clock.now() - start).num_seconds() <= 45);
    // The cluster is busy with something else.
    let world = cluster(&[TWO]);
    let tagged = cluster(&[TWO, ("recovery:database", "protected")]);
    for world in [&world, &tagged] {
        set_status(world, "modifying");
        let clock = FakeClock::with_budget(Duration::from_secs(120));
        let start = clock.now();
        let outcome = deliver_by(world, &clock, None).unwrap();
        assert_eq!(outcome.kind(), "pending");
        assert!((clock.now() - start).num_seconds() <= 45);
    }
}

#[test]
fn records_the_result_of_a_run_that_could_not_record_it() {
    let world = instance(&[WORKLOAD, PUBLISH]);
    world.fail("ssm:CreateOpsItem", Failure::Throttled);
    deliver(&world).unwrap_err();
    assert_eq!(parameters(&world).len(), 5);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(item(&world).item.status, Status::Resolved);
}

#[test]
fn works_without_ops_items_at_the_quota() {
    let world = instance(&[PUBLISH, ("recovery:database", "fast")]);
    world.state().ops_item_quota_reached = true;
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("opsItem"), Some("not-created"));
    assert_eq!(world.state().notifications.len(), 1);
}

proptest! {
    /// Whatever the tags say, nothing is written outside of the allowed path, every identifier is valid, and the
    /// OpsItem and the notifications can be read.
    #[test]
    fn any_tags_are_safe(
        instances in "(db\\.[a-z0-9.]{0,12}|x[0-9]{0,3}|[0-9.]{1,4}-[0-9.]{1,4}|\\PC{0,8}| ){0,8}",
        database in "(protected|retention=[0-9]{0,3}|logs=[a-z+]{0,9}|\\PC{0,12}| ){0,6}",
        publish in "(/recovery|/drill|/[a-z.*]{0,8}|\\PC{0,8}){0,6}",
        name in "[a-z][a-z0-9-]{0,61}[a-z0-9]",
    ) {
        let world = cluster(&[
            ("recovery:instances", &instances), ("recovery:database", &database), ("recovery:publish", &publish),
        ]);
        {
            let mut state = world.state();
            let (_, mut cluster) = state.databases.clusters.pop_first().unwrap();
            cluster.id = DbClusterId::new(name.as_str());
            state.databases.clusters.insert(cluster.id.clone(), cluster);
            let job = state.restore_jobs.get_mut("job-db").unwrap();
            job.created_resource = Arn::parse(&format!("arn:aws:rds:us-west-2:111122223333:cluster:{name}")).ok();
        }
        let outcome = deliver(&world);
        prop_assert!(outcome.is_ok(), "{outcome:?}");
        let state = world.state();
        prop_assert_eq!(&state.problems, &Vec::<String>::new());
        prop_assert!(state.databases.created.len() <= 16);
        for new in &state.databases.created {
            let id = new.id.as_str();
            prop_assert!(id.len() <= 63 && !id.ends_with('-'), "{}", id);
            prop_assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        }
        for path in state.parameters.keys() {
            prop_assert!(path.starts_with("/recovery/") && !path.contains('*'), "{}", path);
        }
    }

    /// Whatever fails, later deliveries reach the same end: each instance is created once, each setting is
    /// applied, the addresses are published, and one OpsItem is resolved.
    #[test]
    fn every_order_of_failures_has_the_same_end(
        failures in prop::collection::vec((0..9_usize, prop::sample::select(vec![Failure::Throttled, Failure::AnswerLost])), 0..12),
        created in 0..4_usize,
        changed in 0..4_usize,
    ) {
        const OPERATIONS: [&str; 9] = [
            "rds:DescribeDBClusters", "rds:DescribeDBInstances", "rds:CreateDBInstance", "rds:ModifyDBCluster",
            "rds:ListTagsForResource", "ssm:GetParameters", "ssm:PutParameter", "ssm:CreateOpsItem", "ssm:UpdateOpsItem",
        ];
        let world = cluster(&[
            ("recovery:instances", "db.r6g.large db.serverless 1-8"),
            ("recovery:database", "retention=7 iam-auth"),
            PUBLISH,
        ]);
        {
            let mut state = world.state();
            state.databases.reads_until_created = created;
            state.databases.reads_until_changed = changed;
        }
        for (operation, failure) in failures {
            world.fail(OPERATIONS[operation], failure);
        }
        let mut deliveries = 0;
        loop {
            deliveries += 1;
            prop_assert!(deliveries < 40);
            match deliver(&world) {
                Ok(outcome) if outcome.kind() != "pending" => break,
                Ok(_) | Err(Error::Retryable(_)) => {}
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
        let state = world.state();
        prop_assert_eq!(state.databases.created.len(), 2);
        prop_assert_eq!(state.databases.clusters.values().next().unwrap().settings.retention_days, 7);
        prop_assert_eq!(state.parameters.len(), 6);
        prop_assert!(state.parameters.values().all(|parameter| parameter.version == 1));
        let open = state.items.iter().filter(|it| it.item.status == Status::Open).count();
        prop_assert_eq!(open, 0);
        prop_assert_eq!(&state.problems, &Vec::<String>::new());
    }
}
