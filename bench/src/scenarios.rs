//! What the functions are given, in which world, and what must come of it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::aws::{DataStores, World, ids};
use crate::process::Answer;
use crate::trouble::{Result, Trouble};

/// An event for a function, in a world.
pub(crate) struct Scenario {
    /// What it is about, for tables.
    pub(crate) name: &'static str,
    pub(crate) function: &'static str,
    pub(crate) event: Event,
    pub(crate) world: fn() -> World,
    /// What a function was given before, in the same world.
    pub(crate) before: Option<(&'static str, Event)>,
    /// What has changed in the world since.
    pub(crate) meanwhile: fn(&mut World),
    outcome: &'static str,
    reason: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// A file under `events/`.
    File(&'static str),
    /// A restore job known by its id only, as a person passes it.
    JobId,
    /// What a schedule of EventBridge sends.
    Schedule,
}

/// The function that attaches.
pub(crate) const INTEGRATOR: &str = "restore-integrator";
pub(crate) const DATABASE_INTEGRATOR: &str = "database-integrator";
pub(crate) const TABLE_INTEGRATOR: &str = "table-integrator";
pub(crate) const FILE_SYSTEM_INTEGRATOR: &str = "file-system-integrator";
const COMPLETED: Event = Event::File("restore-completed-ebs");
const INSTANCE_COMPLETED: Event = Event::File("restore-completed-rds");
const CLUSTER_COMPLETED: Event = Event::File("restore-completed-aurora");
const TABLE_COMPLETED: Event = Event::File("restore-completed-dynamodb");
/// The scenario in which the integrator does what its peers do.
pub(crate) const ATTACH: &str = "volume attached";
/// Repetitions of an event about a volume that is attached and written down.
pub(crate) const ATTACHED: &str = "attached already, same event again";

/// Those of which the event alone says that there is nothing to do.
pub(crate) const IGNORED_BY_CONTENT: [&str; 2] =
    ["ignored: another resource type", "ignored: not completed"];

/// Those of databases and tables.
pub(crate) const INSTANCE: &str = "instance integrated and published";
pub(crate) const INSTANCE_WITH_SETTINGS: &str = "instance integrated, with all settings of the tag";
pub(crate) const CLUSTER: &str = "cluster: two instances created";
pub(crate) const CLUSTER_AVAILABLE: &str = "cluster: its instances are available";
pub(crate) const TABLE: &str = "table with all settings of the tag";
pub(crate) const INTEGRATED: &str = "integrated already, same event again";

/// All of them; the functions by their order in the template.
pub(crate) fn all() -> Vec<Scenario> {
    let integrator = |name, event, world, outcome, reason| Scenario {
        name,
        function: INTEGRATOR,
        event,
        world,
        before: None,
        meanwhile: |_| {},
        outcome,
        reason,
    };
    let data_store = |name, function, event, outcome| Scenario {
        function,
        ..integrator(name, event, World::default, outcome, None)
    };
    let reconciler = |name, before, world| Scenario {
        name,
        function: "restore-reconciler",
        event: Event::Schedule,
        world,
        before,
        meanwhile: |_| {},
        outcome: "reconciled",
        reason: None,
    };
    let other = |name, function, event, outcome| Scenario {
        name,
        function,
        event: Event::File(event),
        world: World::default,
        before: None,
        meanwhile: |_| {},
        outcome,
        reason: None,
    };
    vec![
        integrator(ATTACH, COMPLETED, World::default, "integrated", None),
        Scenario {
            before: Some(("opsitem-creator", COMPLETED)),
            ..integrator(
                "volume attached, its OpsItem exists",
                COMPLETED,
                World::default,
                "integrated",
                None,
            )
        },
        integrator(
            "volume attached, EC2 takes 10 s",
            COMPLETED,
            || World {
                attaching: Duration::from_secs(10),
                ..World::default()
            },
            "integrated",
            None,
        ),
        integrator(
            "volume attached, target in an Auto Scaling group",
            COMPLETED,
            || World {
                grouped: true,
                ..World::default()
            },
            "integrated",
            None,
        ),
        integrator(
            "volume attached, only the job's id known",
            Event::JobId,
            World::default,
            "integrated",
            None,
        ),
        Scenario {
            before: Some((INTEGRATOR, COMPLETED)),
            ..integrator(
                ATTACHED,
                COMPLETED,
                World::default,
                "already-integrated",
                None,
            )
        },
        integrator(
            "attached by hand, no OpsItem",
            COMPLETED,
            || World {
                device: Some("/dev/sdf".to_owned()),
                ..World::default()
            },
            "already-integrated",
            None,
        ),
        integrator(
            "refused: another zone",
            COMPLETED,
            elsewhere,
            "refused",
            Some("zone-mismatch"),
        ),
        Scenario {
            before: Some((INTEGRATOR, COMPLETED)),
            ..integrator(
                "refused: another zone, same event again",
                COMPLETED,
                elsewhere,
                "refused",
                Some("zone-mismatch"),
            )
        },
        integrator(
            "ignored: no tags",
            COMPLETED,
            untagged,
            "ignored",
            Some("untagged"),
        ),
        integrator(
            IGNORED_BY_CONTENT[0],
            Event::File("restore-completed-rds"),
            World::default,
            "ignored",
            Some("resource-type"),
        ),
        integrator(
            IGNORED_BY_CONTENT[1],
            Event::File("restore-running"),
            World::default,
            "ignored",
            Some("status"),
        ),
        data_store(
            INSTANCE,
            DATABASE_INTEGRATOR,
            INSTANCE_COMPLETED,
            "integrated",
        ),
        Scenario {
            world: settings_lost,
            ..data_store(
                INSTANCE_WITH_SETTINGS,
                DATABASE_INTEGRATOR,
                INSTANCE_COMPLETED,
                "integrated",
            )
        },
        data_store(CLUSTER, DATABASE_INTEGRATOR, CLUSTER_COMPLETED, "pending"),
        Scenario {
            before: Some((DATABASE_INTEGRATOR, CLUSTER_COMPLETED)),
            meanwhile: |world| {
                for instance in world.data_stores.instances.values_mut() {
                    instance.status = "available";
                }
            },
            ..data_store(
                CLUSTER_AVAILABLE,
                DATABASE_INTEGRATOR,
                CLUSTER_COMPLETED,
                "integrated",
            )
        },
        Scenario {
            before: Some((DATABASE_INTEGRATOR, INSTANCE_COMPLETED)),
            ..data_store(
                INTEGRATED,
                DATABASE_INTEGRATOR,
                INSTANCE_COMPLETED,
                "already-integrated",
            )
        },
        Scenario {
            reason: Some("resource-type"),
            ..data_store(
                IGNORED_BY_CONTENT[0],
                DATABASE_INTEGRATOR,
                COMPLETED,
                "ignored",
            )
        },
        data_store(TABLE, TABLE_INTEGRATOR, TABLE_COMPLETED, "integrated"),
        Scenario {
            before: Some((TABLE_INTEGRATOR, TABLE_COMPLETED)),
            ..data_store(
                INTEGRATED,
                TABLE_INTEGRATOR,
                TABLE_COMPLETED,
                "already-integrated",
            )
        },
        Scenario {
            reason: Some("resource-type"),
            ..data_store(
                IGNORED_BY_CONTENT[0],
                TABLE_INTEGRATOR,
                COMPLETED,
                "ignored",
            )
        },
        // The fake AWS has no file systems yet.
        Scenario {
            reason: Some("resource-type"),
            ..data_store(
                IGNORED_BY_CONTENT[0],
                FILE_SYSTEM_INTEGRATOR,
                COMPLETED,
                "ignored",
            )
        },
        reconciler("one restore to integrate", None, World::default),
        reconciler(
            "one restore, integrated before",
            Some((INTEGRATOR, COMPLETED)),
            World::default,
        ),
        reconciler("no restore", None, || World {
            listed: false,
            ..World::default()
        }),
        other(
            "plan of one volume",
            "recovery-planner",
            "manual-recovery-plan",
            "planned",
        ),
        Scenario {
            world: || World {
                device: Some("/dev/sdf".to_owned()),
                ..World::default()
            },
            ..other(
                "report of one volume",
                "recovery-reporter",
                "manual-recovery-report",
                "reported",
            )
        },
        Scenario {
            // Nothing was restored yet.
            world: || World {
                listed: false,
                ..World::default()
            },
            ..other(
                "planned restore",
                "restore-starter",
                "manual-planned-restore",
                "started",
            )
        },
        other(
            "fail over by two routing controls",
            "routing-shifter",
            "manual-fail-over",
            "shifted",
        ),
        other(
            "step of a plan, recovered before",
            "region-switch-action",
            "manual-region-switch",
            "recovered",
        ),
        other(
            "restore test completed",
            "restore-test-validator",
            "restore-test-completed-ebs",
            "validated",
        ),
        other(
            "restore completed",
            "opsitem-creator",
            "restore-completed-ebs",
            "tracked",
        ),
        other("copy failed", "opsitem-creator", "copy-failed", "tracked"),
        other(
            "whole Region in trouble",
            "health-event-responder",
            "health-multiple-services",
            "responded",
        ),
        other(
            "signals agree",
            "alarm-responder",
            "alarm-signals-agree",
            "responded",
        ),
    ]
}

fn elsewhere() -> World {
    World {
        volume_zone: "us-west-2b".to_owned(),
        ..World::default()
    }
}

fn settings_lost() -> World {
    let mut data_stores = DataStores::default();
    data_stores.database_tags.insert(
        "recovery:database".to_owned(),
        "protected retention=7 iam-auth logs=postgresql performance-insights".to_owned(),
    );
    World {
        data_stores,
        ..World::default()
    }
}

fn untagged() -> World {
    World {
        tags: [("Name".to_owned(), "orders database".to_owned())].into(),
        ..World::default()
    }
}

impl Event {
    /// As text.
    pub(crate) fn text(self, root: &Path) -> Result<String> {
        match self {
            Event::File(name) => {
                let path = root.join("events").join(name).with_extension("json");
                std::fs::read_to_string(&path).map_err(Trouble::because(
                    format!("{} cannot be read", path.display()),
                    "Restore the file from the repository.",
                ))
            }
            Event::JobId => Ok(json!({"restoreJobId": ids::JOB}).to_string()),
            Event::Schedule => {
                let rule = "arn:aws:events:us-west-2:111122223333:rule/rapid-recovery";
                let event = json!({
                    "version": "0",
                    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
                    "detail-type": "Scheduled Event",
                    "source": "aws.events",
                    "account": "111122223333",
                    "time": "2026-10-20T15:15:00Z",
                    "region": "us-west-2",
                    "resources": [rule],
                    "detail": {},
                });
                Ok(event.to_string())
            }
        }
    }
}

impl Scenario {
    /// That the answer is what must come of it.
    pub(crate) fn check(&self, answer: &Answer) -> Result<()> {
        let is = |name: &str, expected: Option<&str>| {
            expected.is_none_or(|expected| answer.body[name] == *expected)
        };
        if is("outcome", Some(self.outcome)) && is("reason", self.reason) {
            return Ok(());
        }
        Err(Trouble::new(
            format!(
                "{}, {}: the answer is {}, but should say {} {}",
                self.function,
                self.name,
                answer.body,
                self.outcome,
                self.reason.unwrap_or_default()
            ),
            "Either the function has changed, and bench/src/scenarios.rs must follow, or it has an error.",
        ))
    }
}
