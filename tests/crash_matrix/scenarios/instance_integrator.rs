//! A restored instance, in every state.

use recovery_core::aws::arn::Arn;
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::instance::TargetKind;
use recovery_core::fakes::{DRILL_ROLE, TARGET_GROUP, World};
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::instances::{
    FILE, TAGS, add_target_group, instance_world, integrate_instance, set_state,
};
use crate::support::repository::event;
use crate::support::restored::{of_a_drill, retag, track};

use super::at_the_quota;

const JOB: &str = "8F3F19C3-CF2D-4C04-9246-55933F56D900";

/// A recovery point with an ARN of AWS Backup.
const OWN_POINT: &str =
    "arn:aws:backup:us-west-2:111122223333:recovery-point:0B1F7E0C-4A55-4C0E-8C9B-6A5E8C8B1F2D";

fn of(name: &'static str, leads_to: &'static str) -> Scenario {
    let world = instance_world(&event(FILE));
    Scenario::new(Function::InstanceIntegrator, name, FILE, leads_to, world)
}

/// It was registered, and is healthy at the next read.
fn registered(world: &World) {
    let answer = integrate_instance(world, &event(FILE));
    answer.expect("nothing goes wrong");
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [served(), refused(), skipped(), in_drills()]
        .into_iter()
        .flatten()
        .collect()
}

/// It serves, or will.
fn served() -> Vec<Scenario> {
    vec![
        of("registered-now", "pending")
            .given(|world| world.state().servers.reads_until_healthy = usize::MAX)
            .then(|world| {
                registered(world);
                world.state().servers.complete();
            }),
        of("healthy", "integrated").given(registered),
        of("without-profile", "integrated")
            .given(|world| {
                let mut state = world.state();
                let servers = state.servers.servers.values_mut();
                servers.for_each(|server| server.has_profile = false);
            })
            .given(registered),
        of("by-id", "integrated")
            .given(registered)
            .with(|input| *input = json!({ "restoreJobId": JOB }))
            .briefly(),
        of("tracked", "integrated")
            .given(registered)
            .given(|world| {
                track(world, &event(FILE)).expect("nothing goes wrong");
            }),
        of("delivered-before", "already-integrated")
            .given(registered)
            .given(registered),
        of("unpublished", "integrated")
            .given(registered)
            .given(|world| retag(world, &TAGS[..4])),
        of("without-targets", "integrated")
            .given(|world| retag(world, &[&TAGS[..3], &TAGS[4..]].concat())),
        of("unusable-tag", "integrated").given(|world| {
            retag(
                world,
                &[&TAGS[..3], &[("recovery:target-groups", "a!")]].concat(),
            );
        }),
        of("starting", "pending")
            .given(|world| set_state(world, "pending"))
            .then(|world| {
                set_state(world, "running");
                registered(world);
            }),
        of("tagged-target-group", "integrated")
            .given(|world| {
                let arn = Arn::parse(TARGET_GROUP).expect("this is an ARN");
                let kind = "elasticloadbalancing:targetgroup";
                let tag = [kind, "Name", "web"].map(str::to_owned).into();
                world.state().tagged_resources.insert(tag, vec![arn]);
                let group = ("recovery:target-groups", "tag:Name=web");
                retag(world, &[&TAGS[..3], &[group]].concat());
            })
            .given(registered),
        of("point-of-aws-backup", "integrated")
            .given(registered)
            .given(|world| {
                let tags = TAGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
                let mut state = world.state();
                state.tags.insert(OWN_POINT.to_owned(), tags.into());
            })
            .with(|event| event["detail"]["recoveryPointArn"] = json!(OWN_POINT)),
        at_the_quota(of("at-the-quota", "integrated")).given(registered),
    ]
}

/// A rule forbids it, or the stack does not exist yet.
fn refused() -> Vec<Scenario> {
    vec![
        of("gone", "refused/instance-gone").given(|world| world.state().servers.servers.clear()),
        of("terminated", "refused/instance-gone").given(|world| set_state(world, "terminated")),
        of("stopped", "refused/instance-stopped").given(|world| set_state(world, "stopped")),
        of("targets-of-addresses", "refused/target-group-unsuitable").given(|world| {
            let mut state = world.state();
            let group = state.servers.target_groups.get_mut(TARGET_GROUP);
            group.expect("it exists").kind = TargetKind::Ip;
        }),
        of("no-target-group", "refused/target-group-gone")
            .given(|world| world.state().servers.target_groups.clear()),
        of("too-many-targets", "refused/target-rejected")
            .given(|world| world.state().servers.rejects_targets = Some("TooManyTargets")),
        of("no-security-group", "refused/tag-missing").given(|world| retag(world, &TAGS[..2])),
        of("created-by-the-stack", "refused/stack-instance").given(|world| {
            let own = ("aws:cloudformation:logical-id", "Server");
            retag(world, &[&TAGS[..], &[own]].concat());
            let resource = StackResource {
                resource_type: "AWS::EC2::Instance".to_owned(),
                physical_id: Some("i-7".to_owned()),
                status: "CREATE_COMPLETE".into(),
            };
            let key = ("shop".to_owned(), "Server".to_owned());
            world.state().stack_resources.insert(key, resource);
        }),
        of("stack-absent", "pending")
            .given(|world| world.state().stack_resources.clear())
            .then(|world| {
                add_target_group(world, "shop");
                registered(world);
            }),
        of("reference-missing", "refused/reference-missing").given(|world| {
            let group = ("recovery:target-groups", "Gone");
            retag(world, &[&TAGS[..3], &[group]].concat());
        }),
    ]
}

/// Nothing is done.
fn skipped() -> Vec<Scenario> {
    vec![
        of("untagged", "ignored/untagged").given(|world| retag(world, &[("team", "sales")])),
        of("other-type", "ignored/resource-type")
            .with(|event| event["detail"]["resourceType"] = json!("EBS")),
        of("drill-event", "ignored/drill")
            .with(|event| event["detail"]["iamRoleArn"] = json!(DRILL_ROLE)),
    ]
}

/// Restores of a drill.
fn in_drills() -> Vec<Scenario> {
    let asked = |name, leads_to| {
        of(name, leads_to)
            .given(registered)
            .with(|input| {
                *input = json!({
                    "restoreJobId": JOB, "drill": {"stack": "shop-drill", "name": "drill-1"},
                });
            })
            .given(|world: &World| {
                of_a_drill(world, JOB);
                add_target_group(world, "shop-drill");
            })
    };
    vec![
        asked("drill", "integrated"),
        asked("drill-without-name", "Permanent").with(|input| input["drill"]["name"] = json!(null)),
        asked("drill-outside", "refused/outside-of-drill").given(|world| {
            let group = ("recovery:security-groups", "sg-0a1b2c3d");
            retag(world, &[TAGS[0], TAGS[1], group]);
        }),
    ]
}
