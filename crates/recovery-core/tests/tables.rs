//! Integration of a restored table against the in-memory fakes: what it gets, what is refused and what stays.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use proptest::prelude::*;
use recovery_core::aws::arn::{Arn, RecoveryPointArn, Scope};
use recovery_core::aws::backup::{Drill, PlannedAs, Restore, RestoreJob};
use recovery_core::aws::table::{
    ContinuousBackups, Stream, StreamView, TableClass, TableStatus, TimeToLive, TimeToLiveStatus,
};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, FakeTable, StoredItem, World};
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::table::run::{TableConfig, integrate};
use recovery_core::ops_item::{Severity, Status};
use recovery_core::outcome::Outcome;
use recovery_core::ports::Clock;

const WORKLOAD: (&str, &str) = ("recovery:workload", "shop");
/// All settings.
const SETTINGS: (&str, &str) = (
    "recovery:table",
    "pitr=7 ttl=expires stream=NEW_AND_OLD_IMAGES class=STANDARD_INFREQUENT_ACCESS protected nothing-else",
);
const PUBLISH: (&str, &str) = ("recovery:publish", "/recovery/shop/orders");
const STREAM: &str =
    "arn:aws:dynamodb:us-west-2:111122223333:table/orders/stream/2026-11-23T06:00:00.000";

fn config() -> TableConfig {
    TableConfig {
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

fn job(world: &World) -> RestoreJob {
    world.state().restore_jobs["job-1"].clone()
}

fn with_job(world: &World, change: impl FnOnce(&mut RestoreJob)) {
    change(world.state().restore_jobs.get_mut("job-1").unwrap());
}

fn deliver_for(world: &World, clock: &FakeClock, restore: Restore) -> Result<Outcome, Error> {
    let outcome = integrate(world, clock, &config(), restore)
        .now_or_never()
        .unwrap();
    assert_eq!(world.state().problems, [""; 0]);
    outcome
}

/// One delivery of the event.
fn deliver(world: &World) -> Result<Outcome, Error> {
    deliver_for(world, &FakeClock::new(), job(world).into())
}

/// What a drill asks for.
fn asked(world: &World, name: Option<&str>) -> Result<Outcome, Error> {
    let restore = Restore {
        drill: Some(Drill {
            stack: "shop-drill".to_owned(),
            name: name.map(str::to_owned),
        }),
        ..Restore::from(job(world))
    };
    deliver_for(world, &FakeClock::new(), restore)
}

fn shown(outcome: &Result<Outcome, Error>) -> String {
    match outcome {
        Ok(outcome) => match outcome.reason() {
            Some(reason) => format!("{}/{reason}", outcome.kind()),
            None => outcome.kind().to_owned(),
        },
        Err(error) => error.error_type().to_owned(),
    }
}

fn table(world: &World) -> FakeTable {
    world.state().tables["orders"].clone()
}

fn with_table(world: &World, change: impl FnOnce(&mut FakeTable)) {
    change(world.state().tables.get_mut("orders").unwrap());
}

#[track_caller]
fn only_item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    items[0].clone()
}

fn changing(world: &World) -> Vec<String> {
    let calls = world.calls();
    let changes = |call: &&String| {
        let operation = call.split(':').nth(1).unwrap_or_default();
        !["Describe", "List", "Get"]
            .iter()
            .any(|verb| operation.starts_with(verb))
    };
    calls.iter().filter(changes).cloned().collect()
}

#[test]
fn makes_every_setting_publishes_the_names_and_resolves_the_item() {
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS, PUBLISH, ("team", "sales")]);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("tableName"), Some("orders"));
    let FakeTable {
        table,
        backups,
        ttl,
        tags,
        changes,
        ..
    } = table(&world);
    assert_eq!(
        changes,
        [
            "tags recovery:publish recovery:table recovery:workload team",
            "stream NEW_AND_OLD_IMAGES",
            "pitr Some(7)",
            "class STANDARD_INFREQUENT_ACCESS",
            "protection",
            "ttl expires",
        ]
    );
    assert!(table.protected);
    assert_eq!(table.class, TableClass::InfrequentAccess);
    assert!(backups.enabled);
    assert_eq!(ttl.attribute.as_deref(), Some("expires"));
    assert_eq!(tags["team"], "sales");
    let parameters = world.state().parameters.clone();
    let published: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, parameter)| (name.as_str(), parameter.value.as_str()))
        .collect();
    assert_eq!(
        published,
        [
            (
                "/recovery/shop/orders/arn",
                "arn:aws:dynamodb:us-west-2:111122223333:table/orders"
            ),
            ("/recovery/shop/orders/name", "orders"),
            ("/recovery/shop/orders/stream-arn", STREAM),
        ]
    );
    let item = only_item(&world);
    // A person must repoint the consumers of the stream.
    assert_eq!(
        (item.item.status, item.severity),
        (Status::Open, Severity::Medium)
    );
    assert_eq!(item.title, "Restored table orders configured");
    assert!(
        item.description.contains(&format!(
            "create-event-source-mapping --region us-west-2 --starting-position TRIM_HORIZON --event-source-arn {STREAM}"
        )),
        "{}",
        item.description
    );
    assert!(!item.description.contains("loses more settings"));
    assert_eq!(item.item.data["recovery:integration"], "configured");
    assert_eq!(item.item.data["recovery:stream"], STREAM);
    assert!(world.state().notifications.is_empty());
}

#[test]
fn resolves_the_item_if_nothing_is_left() {
    let words = ("recovery:table", "pitr ttl=expires protected nothing-else");
    let world = World::with_restored_table(&[WORKLOAD, words]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let item = only_item(&world);
    assert_eq!(
        (item.item.status, item.severity),
        (Status::Resolved, Severity::Low)
    );
    assert!(
        item.description.contains("No action needed."),
        "{}",
        item.description
    );
}

#[test]
fn lists_what_no_tag_says() {
    // Without the tag, nothing is known of the settings.
    let world = World::with_restored_table(&[WORKLOAD]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    for setting in [
        "point-in-time recovery",
        "time to live",
        "stream",
        "table class",
        "deletion protection",
        "auto scaling",
        "resource policy",
        "nothing-else",
    ] {
        assert!(
            item.description.contains(setting),
            "{setting}: {}",
            item.description
        );
    }
    // With it, only what it cannot name is unknown.
    let world = World::with_restored_table(&[WORKLOAD, ("recovery:table", "pitr")]);
    deliver(&world).unwrap();
    let item = only_item(&world);
    assert!(item.description.contains("auto scaling"));
    assert!(!item.description.contains("point-in-time recovery"));
}

#[test]
fn repetition_changes_nothing() {
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS, PUBLISH]);
    deliver(&world).unwrap();
    let (before, item) = (table(&world), only_item(&world));
    world.state().calls.clear();
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    assert_eq!(changing(&world), [""; 0]);
    assert_eq!(table(&world).changes, before.changes);
    assert_eq!(only_item(&world).description, item.description);
    // From now on, the settings belong to the owner: they are not made again.
    with_table(&world, |table| {
        table.table.protected = false;
        table.backups.enabled = false;
    });
    world.state().items[0].item.status = Status::Resolved;
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    // Nor if the table cannot be read at first.
    world.fail("dynamodb:DescribeTable", Failure::Throttled);
    assert_eq!(deliver(&world).unwrap_err().error_type(), "Retryable");
    assert_eq!(table(&world).changes, before.changes);
    // The same after it was deleted.
    world.state().tables.clear();
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    assert_eq!(changing(&world), [""; 0]);
}

#[test]
fn waits_for_the_table_within_its_time() {
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS]);
    with_table(&world, |table| {
        table.table.status = TableStatus::Creating;
        table.reads_until_active = Some(3);
    });
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    // Until it is ACTIVE, DynamoDB says of everything else that it does not exist.
    let first_setting = world
        .calls()
        .iter()
        .position(|call| call.starts_with("dynamodb:DescribeTimeToLive"))
        .unwrap();
    assert!(
        world.calls()[..first_setting]
            .iter()
            .filter(|call| call.starts_with("dynamodb:DescribeTable"))
            .count()
            >= 4
    );
}

#[test]
fn a_table_that_takes_longer_is_pending() {
    for (status, awaited) in [
        ("CREATING", "table orders to be ACTIVE (now CREATING)"),
        ("UPDATING", "table orders to be ACTIVE (now UPDATING)"),
    ] {
        let world = World::with_restored_table(&[WORKLOAD, SETTINGS]);
        with_table(&world, |table| {
            table.table.status = status.into();
            table.reads_until_active = None;
        });
        let clock = FakeClock::new();
        let outcome = deliver_for(&world, &clock, job(&world).into()).unwrap();
        assert_eq!(outcome.kind(), "pending");
        assert_eq!(outcome.id("waitingFor"), Some(awaited));
        assert_eq!(outcome.id("restoreJobId"), Some("job-1"));
        let worked = Duration::from_secs(300) - clock.remaining();
        assert!(worked <= Duration::from_secs(45), "{worked:?}");
        // Nothing is recorded, and nobody is notified.
        assert_eq!(changing(&world), [""; 0]);
        with_table(&world, |table| table.reads_until_active = Some(0));
        assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    }
}

#[test]
fn an_interrupted_configuration_continues() {
    // UpdateTable makes one kind of change, and the table is UPDATING afterwards, here for longer than a run.
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS, PUBLISH]);
    with_table(&world, |table| table.reads_of_a_change = 20);
    let mut kinds = Vec::new();
    for _ in 0..10 {
        let outcome = deliver(&world).unwrap();
        kinds.push(outcome.kind());
        // Nothing is published before the table has its settings.
        assert_eq!(
            world.state().parameters.is_empty(),
            outcome.kind() == "pending"
        );
        if outcome.kind() == "integrated" {
            break;
        }
    }
    assert!(kinds.len() > 2, "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"integrated"));
    let mut changes = table(&world).changes;
    let made = changes.len();
    changes.dedup();
    assert_eq!((made, changes.len()), (6, 6), "{changes:?}");
}

#[test]
fn continuous_backups_are_tried_until_dynamodb_accepts_them() {
    let world = World::with_restored_table(&[WORKLOAD, ("recovery:table", "pitr nothing-else")]);
    with_table(&world, |table| table.backups_unavailable = 4);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert!(table(&world).backups.enabled);
    // A region that never accepts them is awaited, and not refused.
    let world = World::with_restored_table(&[WORKLOAD, ("recovery:table", "pitr nothing-else")]);
    with_table(&world, |table| table.backups_unavailable = 100);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "pending");
    assert_eq!(
        outcome.id("waitingFor"),
        Some("DynamoDB (Backups are being enabled for the table)")
    );
}

#[test]
fn a_rejected_setting_is_left_to_a_person_and_prevents_no_other() {
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS, PUBLISH]);
    with_table(&world, |table| {
        table.rejects = vec!["tags", "stream"];
        // TTL was changed within the hour, and is off again.
        table.ttl_changed = true;
    });
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(
        table(&world).changes,
        [
            "pitr Some(7)",
            "class STANDARD_INFREQUENT_ACCESS",
            "protection"
        ]
    );
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    for left in [
        "DynamoDB rejected the tags",
        "DynamoDB rejected the stream",
        "DynamoDB rejected the time to live",
        "modified multiple times within a fixed interval",
        "about an hour after its last change: `aws dynamodb update-time-to-live --region us-west-2 --table-name orders --time-to-live-specification Enabled=true,AttributeName=expires`",
        "`aws dynamodb update-table --region us-west-2 --table-name orders --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES`",
    ] {
        assert!(
            item.description.contains(left),
            "{left}: {}",
            item.description
        );
    }
    let parameters = world.state().parameters.clone();
    assert!(!parameters.contains_key("/recovery/shop/orders/stream-arn"));
    assert!(parameters.contains_key("/recovery/shop/orders/name"));
}

#[test]
fn settings_of_somebody_else_stay_and_are_listed() {
    let words = (
        "recovery:table",
        "pitr=7 ttl=expires stream=NEW_IMAGE nothing-else",
    );
    let world = World::with_restored_table(&[WORKLOAD, words]);
    with_table(&world, |table| {
        table.table.stream = Some(Stream {
            arn: STREAM.to_owned(),
            view: StreamView::KeysOnly,
        });
        table.table.protected = true;
        table.backups = ContinuousBackups {
            enabled: true,
            days: Some(35),
        };
        table.ttl = TimeToLive {
            status: TimeToLiveStatus::Enabled,
            attribute: Some("until".to_owned()),
        };
        table
            .tags
            .insert("recovery:workload".to_owned(), "store".to_owned());
    });
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(table(&world).changes, ["tags recovery:table"]);
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    for listed in [
        "`KEYS_ONLY` instead of `NEW_IMAGE`",
        "`35 days` instead of `7 days`",
        "`until` instead of `expires`",
        "`recovery:workload=store` instead of `recovery:workload=shop`",
        "left as they are: `deletion protection (enabled)`",
    ] {
        assert!(
            item.description.contains(listed),
            "{listed}: {}",
            item.description
        );
    }
}

#[test]
fn an_equal_setting_of_somebody_else_is_not_written_again() {
    let words = (
        "recovery:table",
        "pitr ttl=expires stream=NEW_IMAGE nothing-else",
    );
    let world = World::with_restored_table(&[words]);
    with_table(&world, |table| {
        table.table.stream = Some(Stream {
            arn: STREAM.to_owned(),
            view: StreamView::NewImage,
        });
        table.backups = ContinuousBackups {
            enabled: true,
            days: Some(35),
        };
        table.ttl = TimeToLive {
            status: TimeToLiveStatus::Enabled,
            attribute: Some("expires".to_owned()),
        };
        table.tags.insert(words.0.to_owned(), words.1.to_owned());
    });
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert_eq!(table(&world).changes, [""; 0]);
    let calls = changing(&world);
    assert!(
        calls.iter().all(|call| call.starts_with("ssm:")),
        "{calls:?}"
    );
}

#[test]
fn a_word_that_cannot_be_used_is_listed() {
    let words = ("recovery:table", "pitr ttl stream=ALL nothing-else");
    let world = World::with_restored_table(&[words, ("recovery:publish", "/elsewhere")]);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    assert!(table(&world).backups.enabled);
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    for listed in ["contains `ttl`", "contains `stream=ALL`", "`/elsewhere`"] {
        assert!(
            item.description.contains(listed),
            "{listed}: {}",
            item.description
        );
    }
    assert!(world.state().parameters.is_empty());
}

#[test]
fn a_replaced_parameter_is_reported() {
    let world = World::with_restored_table(&[PUBLISH, ("recovery:table", "nothing-else")]);
    world.state().parameters.insert(
        "/recovery/shop/orders/name".to_owned(),
        recovery_core::fakes::Parameter {
            value: "orders-old".to_owned(),
            tags: std::collections::BTreeMap::new(),
            version: 1,
        },
    );
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let item = only_item(&world);
    assert!(
        item.description
            .contains("Replaced parameters: `/recovery/shop/orders/name was orders-old`."),
        "{}",
        item.description
    );
    assert_eq!(item.item.status, Status::Resolved);
}

#[test]
fn a_replaced_parameter_is_named_even_after_a_crash() {
    let world = World::with_restored_table(&[PUBLISH, ("recovery:table", "nothing-else")]);
    for (leaf, value) in [("name", "orders-old"), ("arn", "arn:old; x")] {
        let parameter = recovery_core::fakes::Parameter {
            value: value.to_owned(),
            tags: std::collections::BTreeMap::new(),
            version: 1,
        };
        let name = format!("/recovery/shop/orders/{leaf}");
        world.state().parameters.insert(name, parameter);
    }
    // The runs end when they have replaced a parameter each.
    for _ in 0..2 {
        world.fail("ssm:PutParameter", Failure::AnswerLost);
        deliver(&world).unwrap_err();
    }
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let item = only_item(&world);
    for replaced in [
        "`/recovery/shop/orders/name was orders-old`",
        "`/recovery/shop/orders/arn was arn:old;x`",
    ] {
        let count = item.description.matches(replaced).count();
        assert_eq!(count, 1, "{replaced}: {}", item.description);
    }
    assert_eq!(item.item.status, Status::Resolved);
}

#[test]
fn refuses_what_is_not_the_table_of_the_workload() {
    type Arrange = fn(&World);
    let cases: [(&str, Arrange); 8] = [
        ("not-here", |world| {
            with_job(world, |job| {
                job.created_resource =
                    Arn::parse("arn:aws:dynamodb:us-east-1:111122223333:table/orders").ok();
            });
        }),
        ("not-here", |world| {
            with_job(world, |job| {
                job.created_resource =
                    Arn::parse("arn:aws:dynamodb:us-west-2:444455556666:table/orders").ok();
            });
        }),
        // A copy that a person restored for another purpose.
        ("table-name", |world| {
            with_job(world, |job| {
                job.source_resource =
                    Arn::parse("arn:aws:dynamodb:us-east-1:111122223333:table/other").ok();
            });
        }),
        ("table-name", |world| {
            with_job(world, |job| job.source_resource = None);
        }),
        // Somebody deleted the restored table, and created another one with its name.
        ("table-replaced", |world| {
            let created = FakeClock::new().now() - TimeDelta::seconds(5);
            with_table(world, |table| table.table.created = created);
        }),
        ("table-gone", |world| world.state().tables.clear()),
        ("table-unusable", |world| {
            with_table(world, |table| table.table.status = TableStatus::Deleting);
        }),
        ("table-key-unusable", |world| {
            with_table(world, |table| table.table.status = TableStatus::KeyUnusable);
        }),
    ];
    for (reason, arrange) in cases {
        let world = World::with_restored_table(&[WORKLOAD, SETTINGS, PUBLISH]);
        arrange(&world);
        let outcome = deliver(&world);
        assert_eq!(shown(&outcome), format!("refused/{reason}"));
        let state = world.state();
        assert!(state.parameters.is_empty());
        assert!(state.tables.values().all(|table| table.changes.is_empty()));
        assert_eq!(state.notifications.len(), 1, "{reason}");
        assert_eq!(state.items[0].item.data["recovery:integration"], "refused");
        drop(state);
        // Operators are notified once.
        deliver(&world).unwrap();
        assert_eq!(world.state().notifications.len(), 1, "{reason}");
    }
}

#[test]
fn the_identifier_names_the_table() {
    let identifier = ("recovery:identifier", "orders");
    let world = World::with_restored_table(&[SETTINGS, identifier]);
    with_job(&world, |job| job.source_resource = None);
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let world = World::with_restored_table(&[SETTINGS, ("recovery:identifier", "orders-2")]);
    assert_eq!(shown(&deliver(&world)), "refused/table-name");
}

/// The event can lack the protected table: AWS Backup knows it.
#[test]
fn an_event_without_the_protected_table_is_completed() {
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS]);
    let mut event = job(&world);
    event.source_resource = None;
    let outcome = deliver_for(&world, &FakeClock::new(), event.into());
    assert_eq!(shown(&outcome), "integrated");
    assert_eq!(world.state().notifications, []);
}

#[test]
fn a_table_that_was_replaced_after_its_configuration_is_refused() {
    let world = World::with_restored_table(&[SETTINGS]);
    deliver(&world).unwrap();
    with_table(&world, |table| {
        table.table.id = "another".to_owned();
        table.table.created = FakeClock::new().now();
        table.changes.clear();
    });
    assert_eq!(shown(&deliver(&world)), "refused/table-replaced");
    assert_eq!(table(&world).changes, [""; 0]);
}

#[test]
fn ignores_what_is_not_to_be_integrated() {
    type Arrange = fn(&World);
    let cases: [(&str, Arrange); 6] = [
        ("untagged", |world| {
            world.state().tags.values_mut().for_each(|tags| {
                tags.clear();
                tags.insert("team".to_owned(), "sales".to_owned());
            });
        }),
        // Without the advanced features, a recovery point is DynamoDB's own and has no tags.
        ("untagged", |world| {
            with_job(world, |job| {
                job.recovery_point = RecoveryPointArn::parse(
                    "arn:aws:dynamodb:us-west-2:111122223333:table/orders/backup/01489602797149-73d8d5bc",
                )
                .ok();
            });
        }),
        ("resource-type", |world| {
            with_job(world, |job| job.resource_type = Some("EBS".to_owned()));
        }),
        ("resource-type", |world| {
            with_job(world, |job| {
                job.created_resource =
                    Arn::parse("arn:aws:dynamodb:us-west-2:111122223333:table/orders/index/i").ok();
            });
        }),
        ("restore-test", |world| {
            with_job(world, |job| job.restore_test = true)
        }),
        ("drill", |world| {
            with_job(world, |job| job.iam_role = Arn::parse(DRILL_ROLE).ok());
        }),
    ];
    for (reason, arrange) in cases {
        let world = World::with_restored_table(&[WORKLOAD, SETTINGS]);
        arrange(&world);
        assert_eq!(shown(&deliver(&world)), format!("ignored/{reason}"));
        // So that the reconciler does not invoke the function again.
        let recorded = [
            "ssm:CreateOpsItem restore-job/job-1",
            "ssm:UpdateOpsItem oi-1",
        ];
        let expected = if reason == "untagged" {
            &recorded[..]
        } else {
            &[]
        };
        assert_eq!(changing(&world), *expected, "{reason}");
    }
}

/// The event does not name the recovery point with the tags, but the plan of a recovery does.
#[test]
fn the_event_leaves_a_table_with_the_tags_of_another_recovery_point_to_its_recovery() {
    let world = World::with_restored_table(&[]);
    let older = "arn:aws:backup:us-west-2:111122223333:recovery-point:0";
    let tags = [WORKLOAD, SETTINGS].map(|(key, value)| (key.to_owned(), value.to_owned()));
    world.state().tags.insert(older.to_owned(), tags.into());
    let planned = || Restore {
        planned: PlannedAs {
            tags_from: RecoveryPointArn::parse(older).ok(),
            ..PlannedAs::default()
        },
        ..Restore::from(job(&world))
    };
    assert_eq!(shown(&deliver(&world)), "ignored/untagged");
    assert_eq!(only_item(&world).item.data["recovery:untagged"], "true");
    let outcome = deliver_for(&world, &FakeClock::new(), planned());
    assert_eq!(shown(&outcome), "integrated");
    let recorded = only_item(&world).item.data;
    assert_eq!(recorded["recovery:integration"], "configured");
    assert_eq!(shown(&deliver(&world)), "ignored/untagged");
    assert_eq!(only_item(&world).item.data, recorded);
}

#[test]
fn a_drill_gets_neither_protection_nor_the_workloads_tags_nor_its_parameters() {
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS, PUBLISH]);
    with_job(&world, |job| {
        job.iam_role = Arn::parse(DRILL_ROLE).ok();
        job.created_resource =
            Arn::parse("arn:aws:dynamodb:us-west-2:111122223333:table/orders-d-1").ok();
    });
    {
        let mut state = world.state();
        let mut table = state.tables.remove("orders").unwrap();
        table.table.arn =
            Arn::parse("arn:aws:dynamodb:us-west-2:111122223333:table/orders-d-1").unwrap();
        state.tables.insert("orders-d-1".to_owned(), table);
    }
    // The clean-up deletes by the drill's name.
    let error = asked(&world, None).unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert_eq!(error.fault().subject(), "drill.name");
    assert_eq!(changing(&world), [""; 0]);
    assert_eq!(asked(&world, Some("d-1")).unwrap().kind(), "integrated");
    let state = world.state();
    let table = &state.tables["orders-d-1"];
    assert_eq!(
        table.changes,
        [
            "stream NEW_AND_OLD_IMAGES",
            "pitr Some(7)",
            "class STANDARD_INFREQUENT_ACCESS",
            "ttl expires"
        ]
    );
    let names: Vec<&str> = state.parameters.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "/recovery/shop/orders/drill/d-1/arn",
            "/recovery/shop/orders/drill/d-1/name",
            "/recovery/shop/orders/drill/d-1/stream-arn",
        ]
    );
    assert!(
        state
            .parameters
            .values()
            .all(|parameter| parameter.tags["recovery:drill"] == "d-1")
    );
    // Nothing is left: a drill's stream has no consumers.
    assert_eq!(state.items[0].item.status, Status::Resolved);
    assert!(state.items[0].title.starts_with("[drill] "));
}

#[test]
fn a_drill_does_not_get_what_belongs_to_the_workload() {
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS]);
    assert_eq!(shown(&asked(&world, Some("d-1"))), "refused/not-a-drill");
    let stack = ("recovery:stack", "shop-drill");
    let world = World::with_restored_table(&[WORKLOAD, SETTINGS, stack]);
    with_job(&world, |job| job.iam_role = Arn::parse(DRILL_ROLE).ok());
    assert_eq!(shown(&asked(&world, Some("d-1"))), "refused/drill-target");
    assert_eq!(changing(&world), [""; 0]);
}

#[test]
fn a_lost_answer_is_followed_by_a_check() {
    for operation in [
        "dynamodb:TagResource",
        "dynamodb:UpdateTable",
        "dynamodb:UpdateContinuousBackups",
        "dynamodb:UpdateTimeToLive",
        "dynamodb:DescribeTable",
        "dynamodb:DescribeTimeToLive",
    ] {
        let world = World::with_restored_table(&[WORKLOAD, SETTINGS]);
        world.fail(operation, Failure::AnswerLost);
        assert_eq!(deliver(&world).unwrap().kind(), "integrated", "{operation}");
        assert_eq!(table(&world).changes.len(), 6, "{operation}");
    }
}

#[test]
fn a_change_that_is_denied_is_reported_once() {
    for operation in ["dynamodb:UpdateTable", "ssm:PutParameter"] {
        let world = World::with_restored_table(&[WORKLOAD, SETTINGS, PUBLISH]);
        for _ in 0..2 {
            world.fail(operation, Failure::Denied);
            assert_eq!(deliver(&world).unwrap_err().error_type(), "Permanent");
        }
        assert_eq!(world.state().notifications.len(), 1, "{operation}");
        assert_eq!(
            only_item(&world).item.data["recovery:integration"],
            "failing"
        );
        assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    }
}

/// The calls that a run makes on the way.
const OPERATIONS: [&str; 14] = [
    "backup:ListTags",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeContinuousBackups",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:ListTagsOfResource",
    "dynamodb:TagResource",
    "dynamodb:UpdateContinuousBackups",
    "dynamodb:UpdateTable",
    "dynamodb:UpdateTimeToLive",
    "ssm:GetParameters",
    "ssm:PutParameter",
    "ssm:CreateOpsItem",
    "ssm:DescribeOpsItems",
    "ssm:UpdateOpsItem",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever fails and however slow the table is, each setting is made once, and the end is the same.
    #[test]
    fn every_order_of_failures_has_the_same_end(
        failures in prop::collection::vec(
            (prop::sample::select(&OPERATIONS[..]), any::<bool>(), any::<bool>()), 0..12,
        ),
        creating in 0_usize..30,
        changing in 0_usize..30,
        unavailable in 0_usize..20,
    ) {
        let arrange = || {
            let world = World::with_restored_table(&[WORKLOAD, SETTINGS, PUBLISH]);
            with_table(&world, |table| table.reads_of_a_change = 0);
            world
        };
        let undisturbed = arrange();
        deliver(&undisturbed).unwrap();
        let world = arrange();
        with_table(&world, |table| {
            table.table.status = TableStatus::Creating;
            table.reads_until_active = Some(creating);
            table.reads_of_a_change = changing;
            table.backups_unavailable = unavailable;
        });
        for (operation, passes, lost) in failures {
            if passes {
                world.pass(operation);
            }
            world.fail(operation, if lost { Failure::AnswerLost } else { Failure::Throttled });
        }
        let done = (0..60).any(|_| {
            deliver(&world).is_ok_and(|outcome| outcome.kind().ends_with("integrated"))
        });
        prop_assert!(done, "{:?}", world.calls());
        prop_assert_eq!(table(&world).changes, table(&undisturbed).changes);
        let values = |world: &World| -> Vec<(String, String)> {
            let state = world.state();
            let parameters = state.parameters.iter();
            parameters.map(|(name, it)| (name.clone(), it.value.clone())).collect()
        };
        prop_assert_eq!(values(&world), values(&undisturbed));
        let open: Vec<StoredItem> = world
            .state()
            .items
            .iter()
            .filter(|item| item.item.status == Status::Open)
            .cloned()
            .collect();
        prop_assert_eq!(open.len(), 1);
        prop_assert_eq!(&open[0].item.data["recovery:integration"], "configured");
        prop_assert!(world.state().notifications.is_empty());
    }

    /// Any text in the tags: nothing panics, AWS accepts what is written, and nothing but the settings is changed.
    #[test]
    fn any_tag_has_an_outcome(words in ".{0,80}", publish in "(/recovery/)?.{0,40}", is_drill in any::<bool>()) {
        let tags = [WORKLOAD, ("recovery:table", &words), ("recovery:publish", &publish)];
        let world = World::with_restored_table(&tags);
        let outcome = if is_drill {
            with_job(&world, |job| job.iam_role = Arn::parse(DRILL_ROLE).ok());
            asked(&world, Some("d-1"))
        } else {
            deliver(&world)
        };
        prop_assert_eq!(shown(&outcome), "integrated");
        prop_assert!(world.state().parameters.keys().all(|name| name.starts_with("/recovery/")));
    }
}
