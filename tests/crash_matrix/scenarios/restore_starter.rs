//! The restore of a plan item: started, started before, failed before, and refused.

use chrono::{DateTime, TimeDelta};
use recovery_core::aws::arn::Arn;
use recovery_core::fakes::{World, attached_volume, volume_point};
use serde_json::{Value, json};

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::disturbed::{Disturbed, finish};
use crate::support::repository::event;
use crate::support::restored::{INSTANCE, OTHER_INSTANCE, add_target, make_target_a_group};

/// The restore that the file requests: its recovery point is in the vault, its target exists.
fn of(name: &'static str, leads_to: &'static str) -> Scenario {
    let file = "manual-planned-restore";
    let world = World::new();
    add_target(&world, &event("restore-completed-ebs"));
    let point = volume_point(
        "0f1e2d3c4b5a69788",
        "0a1b2c3d4e5f60718",
        DateTime::UNIX_EPOCH,
    );
    let point = point.expect("these are ids");
    world.state().backups.points.push(point);
    Scenario::new(Function::RestoreStarter, name, file, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        of("start", "started"),
        of("drill", "started").with(in_a_drill),
        // Neither a recovery of the same plan nor an earlier drill of it has an effect.
        of("drill-after-others", "started")
            .given(|world| {
                started(world);
                deliver(
                    &of("", "")
                        .with(in_a_drill)
                        .with(|input| input["execution"]["name"] = json!("another")),
                    world,
                );
                world.state().backups.now += TimeDelta::days(1);
            })
            .with(in_a_drill)
            .with(|input| input["execution"]["startedAt"] = json!("2026-11-23T12:00:00Z")),
        of("group", "started").given(|world| make_target_a_group(world, &[INSTANCE])),
        of("started-before", "started").given(started),
        // The run that started it crashed before it recorded the job, hours ago.
        of("started-and-not-recorded", "started").given(|world| {
            started(world);
            world.state().backups.objects.clear();
        }),
        of("failed-before", "started").given(|world| {
            started(world);
            world.set_started("FAILED");
        }),
        // Another recovery has restored it.
        of("restored-by-another-recovery", "started").given(|world| {
            let another = of("", "").with(|input| input["execution"]["name"] = json!("another"));
            deliver(&another, world);
            world.set_started("COMPLETED");
            let mut state = world.state();
            let state = &mut *state;
            let volume = attached_volume("restored", "", DateTime::UNIX_EPOCH);
            for job in state.restore_jobs.values_mut() {
                let arn = format!("arn:aws:ec2:us-west-2:111122223333:volume/{}", volume.id);
                job.created_resource = Arn::parse(&arn).ok();
            }
            let mut volume = volume;
            volume.attachments.clear();
            state.volumes.insert(volume.id.clone(), volume);
        }),
        of("rejected", "refused/restore-rejected").given(|world| {
            world.state().backups.rejects = Some("Invalid metadata".to_owned());
        }),
        of("recovery-point-gone", "refused/point-gone")
            .given(|world| world.state().backups.points.clear()),
        of("several-instances", "refused/several-instances")
            .given(|world| make_target_a_group(world, &[INSTANCE, OTHER_INSTANCE])),
        of("stack-missing-at-first", "Retryable")
            .given(|world| world.state().stack_resources.clear())
            .then(|world| add_target(world, &event("restore-completed-ebs"))),
    ]
}

/// The item is restored for a drill.
fn in_a_drill(input: &mut Value) {
    input["mode"] = json!("drill");
    input["execution"]["name"] = json!("shop-drill-1");
}

/// It was started before.
fn started(world: &World) {
    deliver(&of("", ""), world);
}

fn deliver(scenario: &Scenario, world: &World) {
    let ports = Disturbed::not(world);
    finish(scenario.deliver(&ports)).expect("nothing fails");
    world.forget_tokens();
}
