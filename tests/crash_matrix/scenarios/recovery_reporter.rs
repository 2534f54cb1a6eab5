//! A recovery is verified, reported and stopped: complete, incomplete, after a redrive, as a drill, with
//! and without an incident.

use recovery_core::aws::arn::Arn;
use recovery_core::fakes::{Story, World};
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::disturbed::{Disturbed, finish};

use super::at_the_quota;

const FILE: &str = "manual-recovery-report";

/// A task of the state machine for this story.
fn of(name: &'static str, leads_to: &'static str, story: &Story, task: &str) -> Scenario {
    let (world, payload) = story.told(task).expect("the names of a story are valid");
    // Several pages and batches.
    world.state().jobs_on_a_page = Some(2);
    Scenario::new(Function::RecoveryReporter, name, FILE, leads_to, world)
        .with(|input| *input = payload)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let whole = Story::whole(3, 1);
    let left = Story::whole(5, 2).left(4);
    let redriven = Story {
        redrives: 1,
        ..Story::whole(5, 2)
    };
    vec![
        Scenario::new(
            Function::RecoveryReporter,
            "plan-missing",
            FILE,
            "reported",
            World::new(),
        ),
        of("complete", "reported", &whole, "report"),
        of(
            "complete-without-incident",
            "reported",
            &whole.clone().untracked(),
            "report",
        ),
        at_the_quota(of(
            "at-the-quota",
            "reported",
            &left.clone().untracked(),
            "report",
        )),
        of("incomplete", "reported", &left, "report"),
        of(
            "incomplete-without-incident",
            "reported",
            &left.clone().untracked(),
            "report",
        ),
        of(
            "databases",
            "reported",
            &whole.clone().with_databases(2),
            "report",
        ),
        // A cluster and a table that do not exist any more.
        of(
            "stores-gone",
            "unfinished",
            &whole.clone().with_databases(2),
            "verify",
        )
        .given(|world| {
            let gone = [
                "arn:aws:rds:us-west-2:111122223333:cluster:gone",
                "arn:aws:dynamodb:us-west-2:111122223333:table/gone",
            ];
            let mut state = world.state();
            let jobs = state.restore_jobs.values_mut();
            for (job, arn) in jobs.zip(gone) {
                job.created_resource = Arn::parse(arn).ok();
            }
        }),
        // File systems of EFS and FSx, and a volume of ONTAP, in the place of databases.
        file_systems("file-systems", &EFS_AND_FSX, &whole),
        file_systems("file-systems-of-ontap", &[ONTAP, EFS_AND_FSX[0]], &whole),
        // A bucket that exists, and one that does not, in the place of databases.
        of(
            "buckets",
            "unfinished",
            &whole.clone().with_databases(2),
            "verify",
        )
        .given(|world| {
            world.add_bucket("shop");
            let mut state = world.state();
            let jobs = state.restore_jobs.values_mut();
            for (job, arn) in jobs.zip(["arn:aws:s3:::assets-1", "arn:aws:s3:::gone"]) {
                job.created_resource = Arn::parse(arn).ok();
            }
        }),
        // An instance that runs, and one that is gone, in the place of databases.
        of(
            "instances",
            "unfinished",
            &whole.clone().with_databases(2),
            "verify",
        )
        .given(|world| {
            world.add_restored_server(&[]);
            let mut state = world.state();
            state.restore_jobs.remove("job-instance");
            let jobs = state.restore_jobs.values_mut();
            let created = [
                "arn:aws:ec2:us-west-2:111122223333:instance/i-1",
                "arn:aws:ec2:us-west-2:111122223333:instance/i-gone",
            ];
            for (job, arn) in jobs.zip(created) {
                job.created_resource = Arn::parse(arn).ok();
            }
        }),
        of("drill", "reported", &whole.clone().drill(), "report"),
        of("ops-item-missing", "reported", &whole, "report")
            .with(|input| input["opsItemId"] = json!("oi-gone"))
            .briefly(),
        of("redriven", "reported", &redriven, "report").given(|world| reported(world, &left)),
        of(
            "redriven-without-incident",
            "reported",
            &redriven.clone().untracked(),
            "report",
        )
        .given(|world| reported(world, &left.clone().untracked())),
        of("verified", "verified", &whole, "verify"),
        of("unfinished", "unfinished", &left, "verify"),
        of("stops", "Permanent", &left, "stop"),
        of("resumes", "resumed", &left, "stop").with(|input| input["redrives"] = json!(1)),
    ]
}

/// The recovery was reported before, in the state of this story.
fn reported(world: &World, story: &Story) {
    let (_, payload) = story
        .told("report")
        .expect("the names of a story are valid");
    let now = world.clone();
    let (before, _) = story
        .told("report")
        .expect("the names of a story are valid");
    show(world, &before);
    let ports = Disturbed::not(world);
    let delivered = Function::RecoveryReporter;
    finish(delivered.deliver(&ports, &payload)).expect("nothing fails");
    show(world, &now);
}

const EFS_AND_FSX: [&str; 2] = [
    "arn:aws:elasticfilesystem:us-west-2:111122223333:file-system/fs-1",
    "arn:aws:fsx:us-west-2:111122223333:file-system/fs-2",
];
const ONTAP: &str = "arn:aws:fsx:us-west-2:111122223333:volume/fs-3/fsvol-3";

/// The restore jobs created these file systems. That of EFS has no mount target.
fn file_systems(name: &'static str, created: &[&'static str], whole: &Story) -> Scenario {
    let created = created.to_vec();
    of(
        name,
        "unfinished",
        &whole.clone().with_databases(2),
        "verify",
    )
    .given(move |world| {
        world.add_restored_efs(&[]);
        world.add_restored_lustre(&[]);
        world.add_restored_ontap_volume(&[]);
        let mut state = world.state();
        state.restore_jobs.remove("job-fs");
        let jobs = state.restore_jobs.values_mut();
        for (job, arn) in jobs.zip(created) {
            job.created_resource = Arn::parse(arn).ok();
        }
    })
}

/// Shows the restore jobs and volumes of another world in this one.
fn show(world: &World, other: &World) {
    let (mut state, other) = (world.state(), other.state());
    state.restore_jobs = other.restore_jobs.clone();
    state.volumes = other.volumes.clone();
}
