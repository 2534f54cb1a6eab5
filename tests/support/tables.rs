//! A world in which a restore of a DynamoDB table completed.

use recovery_core::aws::arn::{Arn, RecoveryPointArn, Scope};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, FakeTable, World};
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::table::run::TableConfig;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, TablePorts};
use recovery_core::tags::Tags;
use serde_json::Value;

use super::disturbed::{Disturbed, finish};
use super::restored::{job_of, ownership, usual_ownership};
use recovery_core::fakes::FakeClock;

/// The event of the restored table.
pub(crate) const FILE: &str = "restore-completed-dynamodb";
/// The restore job of that event.
pub(crate) const JOB: &str = "7597D747-1B71-4DCB-92D6-6C4D7B8D4239";
/// The table of that event.
pub(crate) const TABLE: &str = "sessions-recovered";
/// The tags of its recovery point.
pub(crate) const TAGS: [(&str, &str); 4] = [
    ("recovery:workload", "shop"),
    ("recovery:identifier", TABLE),
    (
        "recovery:table",
        "pitr ttl=expires stream=NEW_IMAGE class=STANDARD_INFREQUENT_ACCESS protected nothing-else",
    ),
    ("recovery:publish", "/recovery/shop/sessions"),
];

/// Whether the event is one of a restored table.
pub(crate) fn is_of_table(event: &Value) -> bool {
    event
        .pointer("/detail/resourceType")
        .is_some_and(|name| name == "DynamoDB")
}

/// The world in which `event`, of a completed restore of a table, was sent: the table is `ACTIVE` without its settings,
/// and its recovery point has [`TAGS`].
pub(crate) fn table_world(event: &Value) -> World {
    let world = World::new();
    add_table_restore(&world, event);
    world
}

/// Adds the job of `event`, its table and the tags of its recovery point to the world.
pub(crate) fn add_table_restore(world: &World, event: &Value) {
    let mut job = job_of(event);
    let created = Arn::parse(&format!(
        "arn:aws:dynamodb:us-west-2:111122223333:table/{TABLE}"
    ))
    .expect("it is an ARN");
    job.created_resource = job.created_resource.or_else(|| Some(created.clone()));
    job.recovery_point = job.recovery_point.or_else(|| {
        RecoveryPointArn::parse(
            "arn:aws:backup:us-west-2:111122223333:recovery-point:0b6849e9-02dd-401c-91c9-74db93077458",
        )
        .ok()
    });
    let mut state = world.state();
    if let Some(point) = &job.recovery_point {
        state.tags.insert(point.to_string(), tags(&TAGS));
    }
    // It was created minutes before the job completed.
    let before = job.completed.expect("it completed") - chrono::TimeDelta::seconds(400);
    if let Some(arn) = job.created_resource.clone()
        && let Some(name) = arn.resource_id("table").map(str::to_owned)
    {
        state.tables.insert(name, FakeTable::restored(arn, before));
    }
    state.restore_jobs.insert(job.id.to_string(), job);
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// Changes the tables of the world.
pub(crate) fn each_table(world: &World, change: impl Fn(&mut FakeTable)) {
    world.state().tables.values_mut().for_each(change);
}

/// The settings of table-integrator in the deployment that `event` belongs to.
pub(crate) fn table_config(event: &Value) -> TableConfig {
    TableConfig {
        ownership: if event.get("account").is_some() {
            ownership(event)
        } else {
            usual_ownership()
        },
        publish_path: "/recovery/".to_owned(),
    }
}

/// As [`table_config`], for this account and Region.
pub(crate) fn table_config_in(scope: &Scope) -> TableConfig {
    TableConfig {
        ownership: Ownership {
            scope: scope.clone(),
            drill_role: DRILL_ROLE.to_owned(),
        },
        publish_path: "/recovery/".to_owned(),
    }
}

/// Delivers `event` to table-integrator, with any ports and clock.
pub(crate) async fn table_integration(
    ports: &impl TablePorts,
    clock: &impl Clock,
    event: &Value,
) -> Result<Outcome, Error> {
    table_integrator::handle(ports, clock, &table_config(event), event).await
}

/// Delivers `event` to table-integrator.
pub(crate) fn integrate_table(world: &World, event: &Value) -> Result<Outcome, Error> {
    finish(table_integration(
        &Disturbed::not(world),
        &FakeClock::new(),
        event,
    ))
}
