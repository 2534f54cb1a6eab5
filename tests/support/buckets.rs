//! A world in which a restore job of a bucket completed: the bucket in its stack, and the recovery point with its
//! tags.

use recovery_core::aws::arn::Scope;
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, FakeBucket, FakeClock, World};
use recovery_core::integrate::bucket::run::BucketConfig;
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{BucketIntegrationPorts, Clock};
use serde_json::Value;

use super::disturbed::{Disturbed, finish};
use super::restored::{job_of, ownership, usual_ownership};

/// The event of a restored bucket.
pub(crate) const FILE: &str = "restore-completed-s3";
/// The event of a bucket in which objects are missing.
pub(crate) const PARTIAL_FILE: &str = "restore-completed-s3-partial";
/// The bucket of both events.
pub(crate) const BUCKET: &str = "example-assets-recovered";
/// The tags of the recovery point.
pub(crate) const TAGS: [(&str, &str); 4] = [
    ("recovery:workload", "shop"),
    ("recovery:stack", "shop"),
    ("recovery:logical-id", "Assets"),
    ("recovery:publish", "/recovery/shop/assets"),
];

/// Whether the event is one of a restored bucket.
pub(crate) fn is_of_bucket(event: &Value) -> bool {
    event["detail"]["resourceType"] == "S3"
}

/// The world in which `event`, of a completed restore of a bucket, was sent.
pub(crate) fn bucket_world(event: &Value) -> World {
    let world = World::new();
    add_bucket(&world, "shop");
    let job = job_of(event);
    let mut state = world.state();
    for point in job.points() {
        let tags = TAGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        state.tags.insert(point.to_string(), tags.into());
    }
    state.restore_jobs.insert(job.id.to_string(), job);
    drop(state);
    world
}

/// The bucket, as `Assets` of a stack.
pub(crate) fn add_bucket(world: &World, stack: &str) {
    let resource = StackResource {
        resource_type: "AWS::S3::Bucket".to_owned(),
        physical_id: Some(BUCKET.to_owned()),
        status: "CREATE_COMPLETE".into(),
    };
    let mut state = world.state();
    let key = (stack.to_owned(), "Assets".to_owned());
    state.stack_resources.insert(key, resource);
    state
        .buckets
        .insert(BUCKET.to_owned(), FakeBucket::default());
}

/// The settings of bucket-integrator in the deployment that `event` belongs to.
pub(crate) fn bucket_config(event: &Value) -> BucketConfig {
    BucketConfig {
        ownership: if event.get("account").is_some() {
            ownership(event)
        } else {
            usual_ownership()
        },
        publish_path: "/recovery/".to_owned(),
    }
}

/// As [`bucket_config`], for this account and Region.
pub(crate) fn bucket_config_in(scope: &Scope) -> BucketConfig {
    BucketConfig {
        ownership: Ownership {
            scope: scope.clone(),
            drill_role: DRILL_ROLE.to_owned(),
        },
        publish_path: "/recovery/".to_owned(),
    }
}

/// Delivers `event` to bucket-integrator, with any ports and clock.
pub(crate) async fn bucket_integration(
    ports: &impl BucketIntegrationPorts,
    clock: &impl Clock,
    event: &Value,
) -> Result<Outcome, Error> {
    bucket_integrator::handle(ports, clock, &bucket_config(event), event).await
}

/// Delivers `event` to bucket-integrator.
pub(crate) fn integrate_bucket(world: &World, event: &Value) -> Result<Outcome, Error> {
    finish(bucket_integration(
        &Disturbed::not(world),
        &FakeClock::new(),
        event,
    ))
}
