//! Each kind of job and each of its final states.

use recovery_core::fakes::World;
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::repository::event;
use crate::support::restored::integrate;

use super::{at_the_quota, restored};

/// Every file that creates an OpsItem, and its outcome.
const FILES: &[(&str, &str)] = &[
    ("restore-completed-ebs", "tracked"),
    ("restore-completed-ebs-minimal", "tracked"),
    ("restore-completed-ebs-no-created-resource", "tracked"),
    ("restore-completed-ebs-no-recovery-point", "tracked"),
    ("restore-completed-ebs-differing-recovery-point", "tracked"),
    ("restore-completed-ebs-unknown-fields", "tracked"),
    ("restore-completed-ebs-aws-cn", "tracked"),
    ("restore-completed-ebs-aws-us-gov", "tracked"),
    ("restore-completed-ebs-drill", "tracked"),
    ("restore-completed-aurora", "tracked"),
    ("restore-completed-documentdb", "tracked"),
    ("restore-completed-dynamodb", "tracked"),
    ("restore-completed-ec2", "tracked"),
    ("restore-completed-efs", "tracked"),
    ("restore-completed-fsx", "tracked"),
    ("restore-completed-neptune", "tracked"),
    ("restore-completed-rds", "tracked"),
    ("restore-completed-s3", "tracked"),
    ("restore-completed-s3-partial", "tracked"),
    ("restore-failed", "tracked"),
    ("restore-failed-ebs", "tracked"),
    ("restore-aborted", "tracked"),
    ("copy-failed", "tracked"),
    ("copy-partial", "tracked"),
    ("copy-completed", "resolved"),
    ("backup-failed", "tracked"),
    ("backup-partial", "tracked"),
    ("backup-aborted", "tracked"),
    ("backup-expired", "tracked"),
    ("backup-completed", "resolved"),
    ("backup-completed-with-issues", "resolved"),
];

fn of(name: &'static str, file: &'static str, leads_to: &'static str, world: World) -> Scenario {
    Scenario::new(Function::OpsitemCreator, name, file, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    const EBS: &str = "restore-completed-ebs";
    let integrated = |file: &str| {
        let world = restored(file);
        integrate(&world, &event(file)).expect("nothing goes wrong");
        world
    };
    let mut scenarios: Vec<Scenario> = FILES
        .iter()
        .map(|(file, leads_to)| of(file, file, leads_to, World::new()))
        .collect();
    scenarios.extend([
        at_the_quota(of(
            "failed-at-the-quota",
            "copy-failed",
            "untracked/ops-item-quota",
            World::new(),
        )),
        at_the_quota(of(
            "restored-at-the-quota",
            "restore-completed-ec2",
            "untracked/ops-item-quota",
            World::new(),
        ))
        .with(|event| event["detail"]["resourceType"] = serde_json::json!("Redshift")),
        of("integrated-before", EBS, "tracked", integrated(EBS)),
        // The integration has read the job and recorded the volume.
        of(
            "integrated-before-the-volume-is-named",
            "restore-completed-ebs-no-created-resource",
            "tracked",
            integrated("restore-completed-ebs-no-created-resource"),
        ),
        of("refused-before", EBS, "tracked", restored(EBS)).given(|world| {
            for instance in world.state().instances.values_mut() {
                instance.zone = "us-west-2b".to_owned();
            }
            integrate(world, &event(EBS)).expect("nothing goes wrong");
        }),
        of(
            "restore-test-failed",
            "restore-failed-ebs",
            "tracked",
            World::new(),
        )
        .with(|event| {
            event["detail"]["restoreTestingPlanArn"] =
                json!("arn:aws:backup:us-west-2:111122223333:restore-testing-plan:weekly-1");
        }),
    ]);
    scenarios
}
