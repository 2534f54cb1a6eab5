//! The volume of a restore test: valid, invalid and missing.

use recovery_core::aws::arn::VolumeId;
use recovery_core::aws::ec2::{Snapshot, Volume};
use recovery_core::fakes::World;
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::repository::event;
use crate::support::restored::{change_job, job_of};

use super::at_the_quota;

const FILE: &str = "restore-test-completed-ebs";
const JOB: &str = "B76709DC-9619-4636-9F20-95D9B5973771";
const SNAPSHOT: &str = "snap-0a8530a063a225612";

/// The test completed with a valid volume.
fn of(name: &'static str, leads_to: &'static str) -> Scenario {
    let world = World::new();
    let job = job_of(&event(FILE));
    let volume = job.created_resource.as_ref();
    let volume = volume.and_then(|made| made.resource_id("volume"));
    let volume = VolumeId::new(volume.expect("the event names the volume"));
    {
        let mut state = world.state();
        let made = Volume {
            id: volume,
            state: "available".into(),
            zone: "us-west-2a".to_owned(),
            attachments: Vec::new(),
            key: None,
            restore_test: true,
            owner: None,
            size: Some(100),
            encrypted: Some(true),
            snapshot: Some(SNAPSHOT.to_owned()),
        };
        state.volumes.insert(made.id.clone(), made);
        let snapshot = Snapshot {
            id: SNAPSHOT.to_owned(),
            size: 100,
            encrypted: true,
        };
        let snapshots = &mut state.restore_tests.snapshots;
        snapshots.insert(SNAPSHOT.to_owned(), snapshot);
        state.restore_jobs.insert(job.id.to_string(), job);
    }
    Scenario::new(Function::RestoreTestValidator, name, FILE, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        of("valid", "validated"),
        of("by-id", "validated").with(|event| *event = json!({ "restoreJobId": JOB })),
        of("invalid", "validated")
            .given(|world| each_volume(world, |volume| volume.size = Some(8))),
        at_the_quota(
            of("invalid-at-the-quota", "validated")
                .given(|world| each_volume(world, |volume| volume.size = Some(8))),
        ),
        of("creating", "validated").given(|world| {
            world.state().reads_until_created = Some(1);
            each_volume(world, |volume| volume.state = "creating".into());
        }),
        of("volume-missing", "validated").given(|world| world.state().volumes.clear()),
        of("validated-before", "already-validated").given(|world| {
            let results = &mut world.state().restore_tests.results;
            results.insert(JOB.to_owned(), "SUCCESSFUL".to_owned());
        }),
        of("recovery-point-gone", "ignored/recovery-point-gone")
            .given(|world| world.state().restore_tests.snapshots.clear()),
        of("deleted", "ignored/deleted").given(|world| {
            let deletions = &mut world.state().restore_tests.deletions;
            deletions.insert(JOB.to_owned(), "DELETING".to_owned());
        }),
        not_a_test(),
        of("event-newer-than-the-job", "Retryable")
            .given(|world| change_job(world, JOB, |job| job.status = Some("RUNNING".to_owned())))
            .then(|world| change_job(world, JOB, |job| job.status = Some("COMPLETED".to_owned()))),
    ]
}

/// A restore that is not a test.
fn not_a_test() -> Scenario {
    let file = "restore-completed-ebs";
    let function = Function::RestoreTestValidator;
    let leads_to = "ignored/no-restore-test";
    Scenario::new(
        function,
        "not-a-test",
        file,
        leads_to,
        super::restored(file),
    )
}

fn each_volume(world: &World, change: impl Fn(&mut Volume)) {
    let volumes = &mut world.state().volumes;
    volumes.values_mut().for_each(change);
}
