//! A restored file system, in every state.

use recovery_core::aws::arn::Arn;
use recovery_core::aws::file_system::{EfsState, FsxState, MountTarget};
use recovery_core::fakes::{DRILL_ROLE, Mounts, Parameter, World};
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::file_systems::{
    EFS, EFS_FILE, FSX, FSX_FILE, TAGS, add_access_point, add_network, file_system_world,
    integrate_file_system, integrate_file_system_to_the_end, mount_on_group, mount_on_instance,
};
use crate::support::repository::event;
use crate::support::restored::{change_job, of_a_drill, retag, track};

use super::at_the_quota;

/// A volume of ONTAP.
const VOLUME: &str = "arn:aws:fsx:us-west-2:111122223333:volume/fs-3/fsvol-3";
const JOB: &str = "DC460CBC-925D-4780-9379-E376A4AF8873";
/// The job of a file system of FSx.
const FSX_JOB: &str = "6A8E8194-BCF4-493C-ABFE-6B2F189ADF0B";

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
        mounted(),
        not_mounted(),
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
                change_job(world, FSX_JOB, |job| {
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

/// The instances of a group.
const GROUP: [&str; 2] = ["i-0web1", "i-0web2"];

/// A file system of FSx that the runbook mounts on a group.
fn mounts(name: &'static str, leads_to: &'static str) -> Scenario {
    of(FSX_FILE, name, leads_to).given(|world| mount_on_group(world, "shop", &GROUP))
}

/// As [`mounts`], and the first executions of the runbook fail in this way on one instance.
fn fails(
    name: &'static str,
    leads_to: &'static str,
    failure: (&'static str, &'static str, usize),
) -> Scenario {
    mounts(name, leads_to).given(|world| {
        let failures = &mut world.state().mounts.failures;
        failures.insert(GROUP[1].to_owned(), failure);
    })
}

/// The runbook mounts it.
fn mounted() -> Vec<Scenario> {
    vec![
        mounts("mounted", "integrated"),
        reachable("mounted-efs", "integrated").given(|world| {
            add_access_point(world);
            mount_on_group(world, "shop", &GROUP);
        }),
        reachable("mounted-on-an-instance", "integrated").given(|world| {
            add_access_point(world);
            mount_on_instance(world, GROUP[0]);
        }),
        // The runbook finds the directory, and EFS creates the access point.
        reachable("restored-directory", "pending").given(|world| {
            mount_on_group(world, "shop", &GROUP);
            world.state().file_systems.reads_until_available = usize::MAX;
        }),
        mounts("mounted-tracked", "integrated").given(|world| {
            track(world, &event(FSX_FILE)).expect("nothing goes wrong");
        }),
        mounts("mounted-before", "already-integrated").given(|world| {
            integrate_file_system(world, &event(FSX_FILE)).expect("nothing goes wrong");
        }),
        fails(
            "mounted-at-the-third-execution",
            "integrated",
            ("retry", "mount-timeout", 2),
        ),
        fails(
            "mounted-at-the-next-attempt",
            "integrated",
            ("refused", "path-not-empty", 1),
        )
        .given(|world| {
            integrate_file_system(world, &event(FSX_FILE)).expect("nothing goes wrong");
        })
        .with(|input| *input = json!({ "restoreJobId": FSX_JOB, "mountAttempt": 1 })),
        mounts("mounted-unpublished", "integrated").given(|world| {
            let tags = [TAGS[0], TAGS[1], TAGS[2]];
            let server = [
                ("recovery:logical-id", "Web"),
                ("recovery:mount", "/shared"),
            ];
            retag(world, &[&tags[..], &server[..]].concat());
        }),
        at_the_quota(mounts("mounted-at-the-quota", "integrated")),
    ]
}

/// The runbook does not mount it, or not yet.
fn not_mounted() -> Vec<Scenario> {
    vec![
        mounts("mounted-slowly", "pending").given(|world| world.state().mounts.run_on = true),
        mounts("mount-without-instances", "pending").given(|world| {
            world.state().groups.insert("web".to_owned(), Vec::new());
        }),
        mounts("mount-without-a-group", "pending").given(|world| world.state().groups.clear()),
        fails(
            "mount-refused",
            "refused/mount-refused",
            ("refused", "path-not-empty", 9),
        ),
        fails(
            "mount-without-an-agent",
            "refused/agent-not-connected",
            ("retry", "agent-not-connected", 9),
        ),
        mounts("mount-instance-gone", "refused/instance-gone").given(|world| {
            mount_on_instance(world, GROUP[0]);
            for instance in world.state().instances.values_mut() {
                instance.state = "terminated".into();
            }
        }),
        mounts("mount-reference-missing", "refused/reference-missing").given(|world| {
            let key = ("shop".to_owned(), "Web".to_owned());
            world.state().stack_resources.remove(&key);
        }),
        mounts("mount-without-a-runbook", "integrated").given(|world| {
            world.state().mounts = Mounts::default();
        }),
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
        asked("drill-restored-directory", "pending").given(|world| {
            mount_on_group(world, "shop-drill", &GROUP);
            world.state().file_systems.reads_until_available = usize::MAX;
        }),
        asked("drill-mounted", "integrated").given(|world| {
            add_access_point(world);
            mount_on_group(world, "shop-drill", &GROUP);
        }),
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
