//! A restored file system, in every state.

use recovery_core::aws::arn::Arn;
use recovery_core::aws::file_system::{EfsState, FsxState, MountTarget};
use recovery_core::fakes::{DRILL_ROLE, Parameter, World};
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::file_systems::{
    EFS, EFS_FILE, FSX, FSX_FILE, TAGS, add_network, file_system_world,
    integrate_file_system_to_the_end,
};
use crate::support::repository::event;
use crate::support::restored::{change_job, of_a_drill, retag, track};

use super::at_the_quota;

/// A volume of ONTAP.
const VOLUME: &str = "arn:aws:fsx:us-west-2:111122223333:volume/fs-3/fsvol-3";
const JOB: &str = "DC460CBC-925D-4780-9379-E376A4AF8873";

fn of(file: &'static str, name: &'static str, leads_to: &'static str) -> Scenario {
    let world = file_system_world(&event(file));
    Scenario::new(Function::FileSystemIntegrator, name, file, leads_to, world)
}

/// A file system of EFS whose mount targets exist.
fn reachable(name: &'static str, leads_to: &'static str) -> Scenario {
    of(EFS_FILE, name, leads_to).given(add_targets)
}

fn target(n: usize, zone: &str, subnet: &str, state: EfsState) -> MountTarget {
    MountTarget {
        id: format!("fsmt-{n}"),
        subnet: subnet.to_owned(),
        zone: zone.to_owned(),
        address: Some(format!("10.0.{n}.5")),
        state,
    }
}

fn add_targets(world: &World) {
    let targets = vec![
        target(1, "us-west-2a", "subnet-a1", EfsState::Available),
        target(2, "us-west-2b", "subnet-b1", EfsState::Available),
    ];
    let mut state = world.state();
    state
        .file_systems
        .mount_targets
        .insert(EFS.to_owned(), targets);
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [
        integrated(),
        waited_for(),
        refused(),
        skipped(),
        in_drills(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Clients can reach it.
fn integrated() -> Vec<Scenario> {
    vec![
        of(FSX_FILE, "fsx", "integrated"),
        reachable("efs", "integrated"),
        reachable("by-id", "integrated")
            .with(|input| *input = json!({ "restoreJobId": JOB }))
            .briefly(),
        reachable("replaced-parameter", "integrated").given(|world| {
            let parameter = Parameter {
                value: "fs-old".to_owned(),
                tags: std::collections::BTreeMap::new(),
                version: 1,
            };
            let name = format!("{}/id", TAGS[3].1);
            world.state().parameters.insert(name, parameter);
        }),
        of(FSX_FILE, "tracked", "integrated").given(|world| {
            track(world, &event(FSX_FILE)).expect("nothing goes wrong");
        }),
        of(FSX_FILE, "delivered-before", "already-integrated").given(|world| {
            let answer = integrate_file_system_to_the_end(world, &event(FSX_FILE));
            answer.expect("nothing goes wrong");
        }),
        of(FSX_FILE, "ontap", "integrated")
            .with(|event| event["detail"]["createdResourceArn"] = json!(VOLUME))
            .given(|world| {
                world.add_restored_ontap_volume(&[]);
                world.state().restore_jobs.remove("job-fs");
                let job = "6A8E8194-BCF4-493C-ABFE-6B2F189ADF0B";
                change_job(world, job, |job| {
                    job.created_resource = Arn::parse(VOLUME).ok();
                });
            }),
        reachable("tagged-group", "integrated").given(|world| {
            let group = "arn:aws:ec2:us-west-2:111122223333:security-group/sg-1";
            let group = Arn::parse(group).expect("this is an ARN");
            let tag = ["ec2:security-group", "Name", "nfs"];
            let mut state = world.state();
            state
                .tagged_resources
                .insert(tag.map(str::to_owned).into(), vec![group]);
            drop(state);
            let groups = ("recovery:security-groups", "tag:Name=nfs");
            retag(world, &[TAGS[0], TAGS[1], groups, TAGS[3]]);
        }),
        of(FSX_FILE, "unpublished", "integrated").given(|world| retag(world, &TAGS[..3])),
        of(FSX_FILE, "unusable-tag", "integrated").given(|world| {
            retag(
                world,
                &[&TAGS[..3], &[("recovery:publish", "/other")]].concat(),
            );
        }),
        at_the_quota(of(FSX_FILE, "at-the-quota", "integrated")),
    ]
}

/// EFS and FSx take their time.
fn waited_for() -> Vec<Scenario> {
    let complete = |world: &World| world.state().file_systems.complete();
    let slow = |name| {
        of(EFS_FILE, name, "pending")
            .given(|world| world.state().file_systems.reads_until_available = usize::MAX)
            .then(|world| {
                world.state().file_systems.complete();
                add_targets(world);
            })
    };
    vec![
        slow("mount-targets"),
        slow("one-mount-target").given(|world| {
            let targets = vec![target(1, "us-west-2a", "subnet-a1", EfsState::Available)];
            let mut state = world.state();
            state
                .file_systems
                .mount_targets
                .insert(EFS.to_owned(), targets);
        }),
        slow("creating").given(|world| {
            let mut state = world.state();
            let found = state.file_systems.efs.get_mut(EFS).expect("it exists");
            found.state = EfsState::Creating;
        }),
        of(FSX_FILE, "fsx-creating", "pending")
            .given(|world| {
                let mut state = world.state();
                let found = state.file_systems.fsx.get_mut(FSX).expect("it exists");
                found.state = FsxState::Creating;
            })
            .then(complete),
        reachable("stack-absent", "pending")
            .given(|world| world.state().stack_resources.clear())
            .then(|world| add_network(world, "shop")),
    ]
}

/// A rule forbids it.
fn refused() -> Vec<Scenario> {
    vec![
        of(EFS_FILE, "gone", "refused/file-system-gone")
            .given(|world| world.state().file_systems.efs.clear()),
        of(FSX_FILE, "failed", "refused/file-system-unusable").given(|world| {
            let mut state = world.state();
            let found = state.file_systems.fsx.get_mut(FSX).expect("it exists");
            found.state = FsxState::Failed;
            found.failure = Some("no capacity".to_owned());
        }),
        of(EFS_FILE, "rejected", "refused/network-rejected").given(|world| {
            world.state().file_systems.rejects_mount_targets = Some("NoFreeAddressesInSubnet");
        }),
        of(
            EFS_FILE,
            "mount-target-elsewhere",
            "refused/mount-target-elsewhere",
        )
        .given(|world| {
            let targets = vec![target(1, "us-west-2a", "subnet-x", EfsState::Available)];
            let mut state = world.state();
            state
                .file_systems
                .mount_targets
                .insert(EFS.to_owned(), targets);
        }),
        of(EFS_FILE, "no-security-group", "refused/tag-missing")
            .given(|world| retag(world, &TAGS[..2])),
        of(EFS_FILE, "reference-missing", "refused/reference-missing").given(|world| {
            retag(
                world,
                &[TAGS[0], TAGS[1], ("recovery:security-groups", "Web")],
            );
        }),
        of(FSX_FILE, "other-region", "refused/not-here").with(|event| {
            event["detail"]["createdResourceArn"] =
                json!("arn:aws:fsx:us-east-1:111122223333:file-system/fs-1");
        }),
        at_the_quota(of(
            EFS_FILE,
            "gone-at-the-quota",
            "refused/file-system-gone",
        ))
        .given(|world| world.state().file_systems.efs.clear()),
    ]
}

/// Nothing is done.
fn skipped() -> Vec<Scenario> {
    vec![
        of(EFS_FILE, "untagged", "ignored/untagged")
            .given(|world| retag(world, &[("team", "sales")])),
        of(EFS_FILE, "other-type", "ignored/resource-type")
            .with(|event| event["detail"]["resourceType"] = json!("EBS")),
        of(EFS_FILE, "drill-event", "ignored/drill")
            .with(|event| event["detail"]["iamRoleArn"] = json!(DRILL_ROLE)),
    ]
}

/// Restores of a drill.
fn in_drills() -> Vec<Scenario> {
    let asked = |name, leads_to| {
        reachable(name, leads_to)
            .with(|input| {
                *input = json!({
                    "restoreJobId": JOB, "drill": {"stack": "shop-drill", "name": "drill-1"},
                });
            })
            .given(|world| {
                of_a_drill(world, JOB);
                add_network(world, "shop-drill");
            })
    };
    vec![
        asked("drill", "integrated"),
        asked("drill-without-name", "Permanent").with(|input| input["drill"]["name"] = json!(null)),
        asked("drill-in-the-workloads-stack", "refused/drill-target").given(|world| {
            retag(world, &[TAGS[0], ("recovery:stack", "shop-drill"), TAGS[2]]);
        }),
        asked("drill-outside", "refused/outside-of-drill").given(|world| {
            retag(
                world,
                &[
                    TAGS[0],
                    TAGS[1],
                    ("recovery:security-groups", "sg-0a1b2c3d"),
                ],
            );
        }),
    ]
}
