//! A world in which a restore job of an instance completed: the instance, the target group of its stack, and the
//! recovery point with its tags.

use recovery_core::aws::arn::{InstanceId, Scope};
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::instance::{Server, TargetGroup, TargetKind, instance_id};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, LOAD_BALANCER, TARGET_GROUP, World};
use recovery_core::integrate::instance::run::InstanceConfig;
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, InstanceIntegrationPorts};
use serde_json::Value;

use super::disturbed::{Disturbed, finish};
use super::restored::{job_of, ownership, usual_ownership};

/// The event of a restored instance.
pub(crate) const FILE: &str = "restore-completed-ec2";
/// The instance of the event.
pub(crate) const INSTANCE: &str = "i-0365119fe2c525f8f";
/// The tags of the recovery point.
pub(crate) const TAGS: [(&str, &str); 5] = [
    ("recovery:workload", "shop"),
    ("recovery:stack", "shop"),
    ("recovery:security-groups", "Web"),
    ("recovery:target-groups", "Group"),
    ("recovery:publish", "/recovery/shop/web"),
];

/// Whether the event is one of a restored instance.
pub(crate) fn is_of_instance(event: &Value) -> bool {
    event["detail"]["resourceType"] == "EC2"
}

/// The world in which `event`, of a completed restore of an instance, was sent.
pub(crate) fn instance_world(event: &Value) -> World {
    let world = World::new();
    add_target_group(&world, "shop");
    let job = job_of(event);
    let mut state = world.state();
    for point in job.points() {
        let tags = TAGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        state.tags.insert(point.to_string(), tags.into());
    }
    if let Some(id) = job.created_resource.as_ref().and_then(instance_id) {
        let server = Server {
            id: id.clone(),
            state: "running".into(),
            reason: None,
            vpc: Some("vpc-1".to_owned()),
            zone: Some("us-west-2a".to_owned()),
            private_address: Some("10.0.1.7".to_owned()),
            private_name: Some("ip-10-0-1-7.us-west-2.compute.internal".to_owned()),
            public_address: None,
            public_name: None,
            has_profile: true,
            restore_test: false,
        };
        state.servers.servers.insert(id, server);
    }
    state.restore_jobs.insert(job.id.to_string(), job);
    drop(state);
    world
}

/// The target group, as `Group` of a stack.
pub(crate) fn add_target_group(world: &World, stack: &str) {
    let resource = StackResource {
        resource_type: "AWS::ElasticLoadBalancingV2::TargetGroup".to_owned(),
        physical_id: Some(TARGET_GROUP.to_owned()),
        status: "CREATE_COMPLETE".into(),
    };
    let group = TargetGroup {
        arn: TARGET_GROUP.to_owned(),
        vpc: Some("vpc-1".to_owned()),
        kind: TargetKind::Instance,
        load_balancers: vec![LOAD_BALANCER.to_owned()],
    };
    let mut state = world.state();
    let key = (stack.to_owned(), "Group".to_owned());
    state.stack_resources.insert(key, resource);
    let arn = group.arn.clone();
    state.servers.target_groups.insert(arn, group);
}

/// Gives the instance this state.
pub(crate) fn set_state(world: &World, to: &str) {
    let mut state = world.state();
    if let Some(server) = state.servers.servers.get_mut(&InstanceId::new(INSTANCE)) {
        server.state = to.into();
    }
}

/// The settings of instance-integrator in the deployment that `event` belongs to.
pub(crate) fn instance_config(event: &Value) -> InstanceConfig {
    InstanceConfig {
        ownership: if event.get("account").is_some() {
            ownership(event)
        } else {
            usual_ownership()
        },
        vault: "recovery".to_owned(),
        publish_path: "/recovery/".to_owned(),
    }
}

/// As [`instance_config`], for this account and Region.
pub(crate) fn instance_config_in(scope: &Scope) -> InstanceConfig {
    InstanceConfig {
        ownership: Ownership {
            scope: scope.clone(),
            drill_role: DRILL_ROLE.to_owned(),
        },
        vault: "recovery".to_owned(),
        publish_path: "/recovery/".to_owned(),
    }
}

/// Delivers `event` to instance-integrator, with any ports and clock.
pub(crate) async fn instance_integration(
    ports: &impl InstanceIntegrationPorts,
    clock: &impl Clock,
    event: &Value,
) -> Result<Outcome, Error> {
    instance_integrator::handle(ports, clock, &instance_config(event), event).await
}

/// Delivers `event` to instance-integrator.
pub(crate) fn integrate_instance(world: &World, event: &Value) -> Result<Outcome, Error> {
    finish(instance_integration(
        &Disturbed::not(world),
        &FakeClock::new(),
        event,
    ))
}
