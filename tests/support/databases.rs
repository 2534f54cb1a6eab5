//! A world in which a restore job of a database completed: the database, and the snapshot with its tags.

use recovery_core::aws::arn::{Arn, DbClusterId, DbInstanceId, RecoveryPointArn, TagHome};
use recovery_core::aws::database::{DatabaseId, DbCluster, DbInstance, DbSettings, DbStatus};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, World};
use recovery_core::integrate::database::run::DatabaseConfig;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, DatabasePorts};
use serde_json::Value;

use super::disturbed::{Disturbed, finish};
use super::restored::{job_of, ownership, usual_ownership};

/// The tags of the snapshot.
pub(crate) const TAGS: [(&str, &str); 4] = [
    ("recovery:workload", "shop"),
    ("recovery:stack", "shop"),
    ("recovery:instances", "db.r6g.large x2"),
    ("recovery:publish", "/recovery/shop/db"),
];

/// The world in which `event`, of a completed restore of a database, was sent. RDS and AWS Backup have
/// completed everything.
pub(crate) fn database_world_of(event: &Value) -> World {
    let world = World::new();
    let job = job_of(event);
    let of_rds = |point: &&RecoveryPointArn| point.tag_home() == TagHome::Rds;
    let point = job.points().find(of_rds).expect("a snapshot of RDS");
    let created = job.created_resource.as_ref().expect("a created resource");
    let id = DatabaseId::of(created).expect("a database");
    let mut state = world.state();
    let tags = TAGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    state.tags.insert(point.to_string(), tags.into());
    let settings = DbSettings {
        retention_days: 1,
        ..DbSettings::default()
    };
    match id {
        DatabaseId::Instance(id) => {
            let instance = DbInstance {
                arn: created.to_string(),
                status: DbStatus::Available,
                cluster: None,
                engine: "postgres".to_owned(),
                engine_version: "17.4".to_owned(),
                endpoint: Some((format!("{id}.abc.rds.example"), 5432)),
                settings,
                restore_test: false,
                id: id.clone(),
            };
            state.databases.instances.insert(id, instance);
        }
        DatabaseId::Cluster(id) => {
            let engine = match job.resource_type.as_deref() {
                Some("DocumentDB") => "docdb",
                Some("Neptune") => "neptune",
                _ => "aurora-postgresql",
            };
            let cluster = DbCluster {
                arn: created.to_string(),
                status: DbStatus::Available,
                engine: engine.to_owned(),
                engine_version: "1".to_owned(),
                endpoint: Some((format!("{id}.cluster-abc.rds.example"), 5432)),
                reader_endpoint: Some(format!("{id}.cluster-ro-abc.rds.example")),
                scaling: None,
                settings,
                restore_test: false,
                id: id.clone(),
            };
            state.databases.clusters.insert(id, cluster);
        }
    }
    state.restore_jobs.insert(job.id.to_string(), job);
    drop(state);
    world
}

/// Gives the snapshot this tag, in the place of the one with this key.
pub(crate) fn retag_database(world: &World, key: &str, value: &str) {
    for tags in world.state().tags.values_mut() {
        tags.insert(key.to_owned(), value.to_owned());
    }
}

/// Gives every database this status.
pub(crate) fn set_database_status(world: &World, status: &str) {
    let mut state = world.state();
    let databases = &mut state.databases;
    for instance in databases.instances.values_mut() {
        instance.status = status.into();
    }
    for cluster in databases.clusters.values_mut() {
        cluster.status = status.into();
    }
}

/// An instance of another cluster with this identifier.
pub(crate) fn add_foreign_instance(world: &World, id: &str) {
    let instance = DbInstance {
        id: DbInstanceId::new(id),
        arn: format!("arn:aws:rds:us-west-2:111122223333:db:{id}"),
        status: DbStatus::Available,
        cluster: Some(DbClusterId::new("till")),
        engine: "aurora-postgresql".to_owned(),
        engine_version: "1".to_owned(),
        endpoint: None,
        settings: DbSettings::default(),
        restore_test: false,
    };
    let mut state = world.state();
    state
        .databases
        .instances
        .insert(instance.id.clone(), instance);
}

/// Gives every job in AWS Backup the role of a drill.
pub(crate) fn databases_of_a_drill(world: &World) {
    for job in world.state().restore_jobs.values_mut() {
        job.iam_role = Arn::parse(DRILL_ROLE).ok();
    }
}

/// Delivers `event` to database-integrator.
pub(crate) fn integrate_database(world: &World, event: &Value) -> Result<Outcome, Error> {
    finish(database_integration(
        &Disturbed::not(world),
        &FakeClock::new(),
        event,
    ))
}

/// As [`integrate_database`], with any ports and clock; if the event has no envelope, in the account and
/// Region of the other event files.
pub(crate) async fn database_integration(
    ports: &impl DatabasePorts,
    clock: &impl Clock,
    event: &Value,
) -> Result<Outcome, Error> {
    let config = DatabaseConfig {
        ownership: if event.get("account").is_some() {
            ownership(event)
        } else {
            usual_ownership()
        },
        publish_path: "/recovery/".to_owned(),
    };
    database_integrator::handle(ports, clock, &config, event).await
}
