//! Restores whose event was lost: alone, among others, and in every state.

use std::time::Duration;

use chrono::TimeDelta;
use recovery_core::fakes::World;
use recovery_core::integrate::run_reconcile::LookbackWindow;
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario, Tolerance};
use crate::support::repository::event;
use crate::support::restored::{
    INSTANCE, JOB, LOGICAL_ID, STACK, add_restore, add_tagged_instance, add_target, change_job,
    integrate, make_target_a_group, of_a_drill, retag, track,
};

use super::restore_integrator::mounts;
use super::{at_the_quota, restored};

/// All restores are recent, and none has waited for too long: the events are from another day than the
/// clock.
pub(super) const PATIENT: LookbackWindow = LookbackWindow {
    lookback: TimeDelta::days(365),
    patience: TimeDelta::days(365),
    interval: Duration::from_mins(1),
};

/// All restores have waited for too long.
const IMPATIENT: LookbackWindow = LookbackWindow {
    lookback: TimeDelta::days(365),
    patience: TimeDelta::minutes(1),
    interval: Duration::from_mins(1),
};

/// All restores have just begun to wait for too long.
const JUST_IMPATIENT: LookbackWindow = LookbackWindow {
    interval: Duration::from_secs(365 * 24 * 60 * 60),
    ..IMPATIENT
};

const FILE: &str = "restore-completed-ebs";

/// A failure is notified even if the restore succeeds later.
fn of(name: &'static str, window: LookbackWindow) -> Scenario {
    let function = Function::RestoreReconciler(window);
    let world = restored(FILE);
    // Several pages, if there are more than three.
    world.state().jobs_on_a_page = Some(3);
    Scenario::new(function, name, "reconcile-due", "reconciled", world)
        .tolerating(Tolerance::NotifiesMore)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        of("attach", PATIENT),
        of("attach-late", IMPATIENT),
        of("group", PATIENT).given(|world| make_target_a_group(world, &[INSTANCE])),
        of("slow-attachment", PATIENT).given(|world| world.state().reads_until_attached = 2),
        of("with-mount", PATIENT).given(|world| {
            retag(world, &[STACK, LOGICAL_ID, ("recovery:mount", "/srv/data")]);
        }),
        of("mounted", PATIENT).given(mounts),
        of("mounted-slowly", PATIENT).given(|world| {
            mounts(world);
            world.state().mounts.run_on = true;
            integrate(world, &event(FILE)).expect("nothing fails");
        }),
        of("mount-continued", PATIENT).given(|world| {
            mounts(world);
            world.state().mounts.run_on = true;
            integrate(world, &event(FILE)).expect("nothing fails");
            world.state().mounts.run_on = false;
        }),
        of("tracked", PATIENT).given(|world| {
            track(world, &event(FILE)).expect("nothing fails");
        }),
        of("integrated-before", PATIENT).given(|world| {
            integrate(world, &event(FILE)).expect("nothing fails");
        }),
        of("refused", PATIENT).given(|world| retag(world, &[STACK])),
        at_the_quota(of("at-the-quota", PATIENT)),
        at_the_quota(
            of("refused-at-the-quota", JUST_IMPATIENT).given(|world| retag(world, &[STACK])),
        ),
        // Its own function integrates it.
        of("database", PATIENT).given(|world| {
            change_job(world, JOB, |job| job.resource_type = Some("RDS".to_owned()));
        }),
        of("reference-by-prefix", PATIENT)
            .given(|world| retag(world, &[STACK, ("recovery:logical-id", "prefix:Gone")])),
        of("reference-by-tag", PATIENT)
            .given(|world| retag(world, &[("recovery:logical-id", "tag:Name=db")]))
            .then(add_tagged_instance),
        of("untagged", PATIENT).given(|world| retag(world, &[])),
        of("tags-in-aws-backup", PATIENT).given(|world| {
            let mut state = world.state();
            let point = recovery_core::aws::arn::RecoveryPointArn::parse(
                "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7",
            )
            .expect("it is an ARN");
            let tags = state.tags.pop_first().map(|(_, tags)| tags);
            state
                .tags
                .insert(point.to_string(), tags.unwrap_or_default());
            for job in state.restore_jobs.values_mut() {
                job.recovery_point = Some(point.clone());
            }
        }),
        of("stack-missing-at-first", PATIENT)
            .given(|world| world.state().stack_resources.clear())
            .then(|world| add_target(world, &event(FILE))),
        of("stack-missing-for-too-long", IMPATIENT)
            .given(|world| world.state().stack_resources.clear())
            .tolerating(Tolerance::Hindrance),
        of("stack-deployed-late", IMPATIENT)
            .given(|world| world.state().stack_resources.clear())
            .tolerating(Tolerance::Hindrance)
            .then(|world| add_target(world, &event(FILE))),
        of("job-without-a-volume", PATIENT)
            .given(|world| {
                for job in world.state().restore_jobs.values_mut() {
                    job.created_resource = None;
                }
            })
            .tolerating(Tolerance::Hindrance),
        // Each with a tagged device name, because the next free one depends on the order.
        of("two", PATIENT).given(|world| {
            retag(world, &[STACK, LOGICAL_ID, ("recovery:device", "/dev/sdf")]);
            add(
                world,
                "2",
                &[STACK, LOGICAL_ID, ("recovery:device", "/dev/sdg")],
            );
        }),
        of("of-a-drill", PATIENT).given(|world| of_a_drill(world, JOB)),
        of("one-of-a-drill", PATIENT).given(|world| {
            add(world, "2", &[STACK, LOGICAL_ID]);
            of_a_drill(world, "job-2");
        }),
        // The role has to be read from the job.
        of("role-not-listed", PATIENT)
            .given(|world| change_job(world, JOB, |job| job.iam_role = None))
            .tolerating(Tolerance::Hindrance),
        of("one-refused", PATIENT).given(|world| add(world, "2", &[STACK])),
        // One is integrated, one is refused, one waits for its stack, two are not integrated yet.
        of("many", PATIENT)
            .given(|world| {
                integrate(world, &event(FILE)).expect("nothing fails");
                let device = |name| ("recovery:device", name);
                add(world, "2", &[STACK, LOGICAL_ID, device("/dev/sdg")]);
                add(world, "3", &[STACK]);
                let elsewhere = ("recovery:stack", "elsewhere");
                add(world, "4", &[elsewhere, LOGICAL_ID, device("/dev/sdh")]);
                add(world, "5", &[STACK, LOGICAL_ID, device("/dev/sdi")]);
            })
            .then(|world| {
                let mut state = world.state();
                let shop = ("shop".to_owned(), "Server".to_owned());
                let server = state.stack_resources[&shop].clone();
                let elsewhere = ("elsewhere".to_owned(), "Server".to_owned());
                state.stack_resources.insert(elsewhere, server);
            }),
    ]
}

/// Adds another restore: `job-N` of `vol-N`, its snapshot with these tags.
fn add(world: &World, n: &str, tags: &[(&str, &str)]) {
    let mut other = event(FILE);
    let detail = &mut other["detail"];
    detail["restoreJobId"] = json!(format!("job-{n}"));
    detail["createdResourceArn"] =
        json!(format!("arn:aws:ec2:us-west-2:111122223333:volume/vol-{n}"));
    let point = format!("arn:aws:ec2:us-west-2::snapshot/snap-{n}");
    detail["recoveryPointArn"] = json!(point);
    add_restore(world, &other);
    let tags = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    world.state().tags.insert(point, tags);
}
