//! A world in which a restore job completed: its volume, the snapshot with its tags, and the stack with
//! the target instance.

use recovery_core::aws::arn::{
    Arn, InstanceId, RecoveryPointArn, RestoreJobId, Scope, TagHome, VolumeId,
};
use recovery_core::aws::backup::RestoreJob;
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::{Instance, Volume};
use recovery_core::error::Error;
use recovery_core::event;
use recovery_core::event::backup;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, World};
use recovery_core::integrate::run_invoke::Integrators;
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, IntegrationPorts};
use serde_json::Value;

use super::disturbed::{Disturbed, finish};
use super::tables::{is_of_table, table_world};

/// The target instance of the volume.
pub(crate) const INSTANCE: &str = "i-0shop";
/// An instance that is not a target.
pub(crate) const OTHER_INSTANCE: &str = "i-0stranger";
/// The volume that the event files of an EBS restore name.
pub(crate) const VOLUME: &str = "vol-00e82fc3692dc59d2";
/// The restore job of `restore-completed-ebs.json` and `manual-restore-job.json`.
pub(crate) const JOB: &str = "087B9735-2F33-4208-B8CB-A7A4153F043F";

/// The account and the Region that the event comes from.
pub(crate) fn scope(event: &Value) -> Scope {
    let text = |member: &str| event[member].as_str().expect("an envelope").to_owned();
    Scope {
        account: text("account"),
        region: text("region"),
    }
}

/// The world in which `event`, of a completed restore, was sent. For a table, see [`table_world`]; otherwise snapshot and
/// volume exist,
/// the tags name `Server` in stack `shop`, which is the running instance [`INSTANCE`] in the volume's
/// zone. [`OTHER_INSTANCE`] runs, too. AWS Backup has the complete job.
pub(crate) fn world_of(event: &Value) -> World {
    if is_of_table(event) {
        return table_world(event);
    }
    let world = World::new();
    add_restore(&world, event);
    add_target(&world, event);
    world
}

/// The account, Region and drill role of the deployment that `event` belongs to.
pub(crate) fn ownership(event: &Value) -> Ownership {
    Ownership {
        scope: scope(event),
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// Adds the job of `event`, its volume and its snapshot's tags to the world.
pub(crate) fn add_restore(world: &World, event: &Value) {
    let mut job = job_of(event);
    let region = scope(event).region;
    job.created_resource = job.created_resource.or_else(|| {
        Arn::parse(&format!(
            "arn:aws:ec2:{region}:111122223333:volume/{VOLUME}"
        ))
        .ok()
    });
    job.recovery_point = job.recovery_point.or_else(|| {
        RecoveryPointArn::parse(&format!(
            "arn:aws:ec2:{region}::snapshot/snap-0a8530a063a225612"
        ))
        .ok()
    });
    let mut state = world.state();
    // The tags are on the EC2 snapshot, whichever ARN the event has.
    let of_ec2 = |point: &&RecoveryPointArn| matches!(point.tag_home(), TagHome::Ec2(_));
    if let Some(point) = job.points().find(of_ec2).or(job.recovery_point.as_ref()) {
        state
            .tags
            .insert(point.to_string(), tags(&[STACK, LOGICAL_ID]));
    }
    if let Some(id) = job
        .created_resource
        .as_ref()
        .and_then(|arn| arn.resource_id("volume"))
    {
        let volume = volume(id, &format!("{region}a"));
        state.volumes.insert(volume.id.clone(), volume);
    }
    state.restore_jobs.insert(job.id.to_string(), job);
}

/// Adds stack `shop` with its instance, and the other instance.
pub(crate) fn add_target(world: &World, event: &Value) {
    let zone = format!("{}a", scope(event).region);
    let mut state = world.state();
    state.stack_resources.insert(
        ("shop".to_owned(), "Server".to_owned()),
        stack_resource("AWS::EC2::Instance", INSTANCE),
    );
    for id in [INSTANCE, OTHER_INSTANCE] {
        let instance = instance(id, &zone);
        state.instances.insert(instance.id.clone(), instance);
    }
}

/// Gives the instance the tag that `tag:Name=db` refers to.
pub(crate) fn add_tagged_instance(world: &World) {
    let arn = format!("arn:aws:ec2:us-west-2:111122223333:instance/{INSTANCE}");
    let arn = Arn::parse(&arn).expect("this is an ARN");
    let tag = ["ec2:instance", "Name", "db"].map(str::to_owned).into();
    world.state().tagged_resources.insert(tag, vec![arn]);
}

/// Turns the target into an Auto Scaling group of these instances.
pub(crate) fn make_target_a_group(world: &World, instances: &[&str]) {
    let mut state = world.state();
    state.stack_resources.insert(
        ("shop".to_owned(), "Server".to_owned()),
        stack_resource("AWS::AutoScaling::AutoScalingGroup", "shop-group"),
    );
    let instances = instances.iter().map(|id| InstanceId::new(*id)).collect();
    state.groups.insert("shop-group".to_owned(), instances);
}

/// The tags that name the target.
pub(crate) const STACK: (&str, &str) = ("recovery:stack", "shop");
pub(crate) const LOGICAL_ID: (&str, &str) = ("recovery:logical-id", "Server");

/// Gives every recovery point these tags.
pub(crate) fn retag(world: &World, pairs: &[(&str, &str)]) {
    for tags_of_point in world.state().tags.values_mut() {
        *tags_of_point = tags(pairs);
    }
}

fn tags(pairs: &[(&str, &str)]) -> recovery_core::tags::Tags {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A volume that is not attached.
pub(crate) fn volume(id: &str, zone: &str) -> Volume {
    Volume {
        id: VolumeId::new(id),
        state: "available".into(),
        zone: zone.to_owned(),
        attachments: Vec::new(),
        key: None,
        restore_test: false,
        owner: None,
        size: None,
        encrypted: None,
        snapshot: None,
    }
}

/// A running instance without volumes.
pub(crate) fn instance(id: &str, zone: &str) -> Instance {
    Instance {
        id: InstanceId::new(id),
        state: "running".into(),
        zone: zone.to_owned(),
        devices: Vec::new(),
    }
}

fn stack_resource(resource_type: &str, physical_id: &str) -> StackResource {
    StackResource {
        resource_type: resource_type.to_owned(),
        physical_id: Some(physical_id.to_owned()),
        status: "CREATE_COMPLETE".into(),
    }
}

/// The job of a restore event in AWS Backup, with exactly the members of the event.
pub(crate) fn job_of(event: &Value) -> RestoreJob {
    let event = event::parse(event).expect("an event file is an event");
    backup::restore_job(&event).expect("the event names its restore job")
}

/// Changes the job in AWS Backup.
pub(crate) fn change_job(world: &World, id: &str, change: impl FnOnce(&mut RestoreJob)) {
    let id = RestoreJobId::new(id);
    change(
        world
            .state()
            .restore_jobs
            .get_mut(id.as_str())
            .expect("the job is in this world"),
    );
}

/// Gives the job in AWS Backup the role of a drill.
pub(crate) fn of_a_drill(world: &World, job: &str) {
    change_job(world, job, |job| job.iam_role = Arn::parse(DRILL_ROLE).ok());
}

/// The instance of the drill's stack.
pub(crate) const DRILL_INSTANCE: &str = "i-0drill";

/// Adds the stack `shop-drill`, a copy of `shop` with another instance.
pub(crate) fn add_drill_stack(world: &World, event: &Value) {
    let zone = format!("{}a", scope(event).region);
    let mut state = world.state();
    state.stack_resources.insert(
        ("shop-drill".to_owned(), "Server".to_owned()),
        stack_resource("AWS::EC2::Instance", DRILL_INSTANCE),
    );
    let instance = instance(DRILL_INSTANCE, &zone);
    state.instances.insert(instance.id.clone(), instance);
}

/// Delivers `event` to restore-integrator.
pub(crate) fn integrate(world: &World, event: &Value) -> Result<Outcome, Error> {
    finish(integration(
        &Disturbed::not(world),
        &FakeClock::new(),
        event,
    ))
}

/// As [`integrate`], with any ports and clock; if the event has no envelope, in the account and Region
/// of the other event files.
pub(crate) async fn integration(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    event: &Value,
) -> Result<Outcome, Error> {
    let ownership = if event.get("account").is_some() {
        ownership(event)
    } else {
        usual_ownership()
    };
    restore_integrator::handle(ports, clock, &ownership, event).await
}

/// The account and Region of most event files.
pub(crate) fn usual_scope() -> Scope {
    Scope {
        account: "111122223333".to_owned(),
        region: "us-west-2".to_owned(),
    }
}

/// The account, Region and drill role of that deployment.
pub(crate) fn usual_ownership() -> Ownership {
    Ownership {
        scope: usual_scope(),
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// Delivers `event` to opsitem-creator.
pub(crate) fn track(world: &World, event: &Value) -> Result<Outcome, Error> {
    finish(opsitem_creator::handle(
        &Disturbed::not(world),
        DRILL_ROLE,
        event,
    ))
}

/// The functions that integrate databases and tables.
pub(crate) fn integrators() -> Integrators {
    Integrators {
        database: "database-integrator".to_owned(),
        table: "table-integrator".to_owned(),
        file_system: "file-system-integrator".to_owned(),
    }
}
