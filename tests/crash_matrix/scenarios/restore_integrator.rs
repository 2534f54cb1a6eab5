//! A restored volume and its instance, in every state.

use recovery_core::aws::arn::{InstanceId, VolumeId};
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::{Attachment, Instance, Volume};
use recovery_core::fakes::{AttachTrouble, Mounts, World};
use recovery_core::ops_item::Status;
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario, Tolerance};
use crate::support::repository::event;
use crate::support::restored::{
    INSTANCE, JOB, LOGICAL_ID, OTHER_INSTANCE, STACK, VOLUME, add_drill_stack, add_tagged_instance,
    add_target, change_job, integrate, make_target_a_group, of_a_drill, retag, track,
};

use super::{at_the_quota, restored};

const FILE: &str = "restore-completed-ebs";

/// The usual event in its world.
fn usual(name: &'static str, leads_to: &'static str) -> Scenario {
    of(name, FILE, leads_to)
}

fn of(name: &'static str, file: &'static str, leads_to: &'static str) -> Scenario {
    let world = restored(file);
    Scenario::new(Function::RestoreIntegrator, name, file, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [
        attached(),
        found(),
        refused(),
        skipped(),
        waited_for(),
        in_drills(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Restores of a drill, and requests of a drill.
fn in_drills() -> Vec<Scenario> {
    const ASKED: &str = "manual-drill-restore-job";
    const EVENT: &str = "restore-completed-ebs-drill";
    let asked = |name, leads_to| {
        of(name, ASKED, leads_to).given(|world| {
            of_a_drill(world, JOB);
            add_drill_stack(world, &event(FILE));
        })
    };
    vec![
        of("drill-event", EVENT, "ignored/drill"),
        of("drill-event-without-role", EVENT, "ignored/drill").with(|event| {
            event["detail"]["iamRoleArn"] = json!(null);
        }),
        of("drill-manual", "manual-restore-job", "ignored/drill")
            .given(|world| of_a_drill(world, JOB)),
        asked("drill", "integrated"),
        asked("drill-tracked", "integrated").given(|world| tracked(world, EVENT)),
        asked("drill-delivered-before", "already-integrated")
            .given(|world| delivered(world, ASKED)),
        asked("drill-slow-attachment", "integrated")
            .given(|world| world.state().reads_until_attached = 2),
        asked("drill-zone-mismatch", "refused/zone-mismatch").given(|world| {
            each_instance(world, |instance| zone(instance, "us-west-2b"));
        }),
        asked("drill-stack-missing-at-first", "Retryable")
            .given(|world| {
                let key = ("shop-drill".to_owned(), "Server".to_owned());
                world.state().stack_resources.remove(&key);
            })
            .then(|world| add_drill_stack(world, &event(FILE))),
        asked("drill-in-the-workloads-stack", "refused/drill-target")
            .with(|input| input["drill"]["stack"] = json!("shop")),
        of("not-a-drill", ASKED, "refused/not-a-drill"),
        usual("event-without-role", "integrated").with(|event| {
            event["detail"]["iamRoleArn"] = json!(null);
        }),
        usual("unknown-role", "Permanent")
            .with(|event| event["detail"]["iamRoleArn"] = json!(null))
            .given(|world| change_job(world, JOB, |job| job.iam_role = None)),
    ]
}

/// The volume has a mount point, and there is a runbook that mounts.
pub(super) fn mounts(world: &World) {
    retag(world, &[STACK, LOGICAL_ID, ("recovery:mount", "/srv/data")]);
    world.state().mounts = Mounts::on();
}

/// The first executions of the runbook fail in this way.
fn fails_to_mount(world: &World, outcome: &'static str, reason: &'static str, times: usize) {
    let failures = &mut world.state().mounts.failures;
    failures.insert(INSTANCE.to_owned(), (outcome, reason, times));
}

/// The volume is attached.
fn attached() -> Vec<Scenario> {
    let mut scenarios = vec![
        usual("attach", "integrated"),
        usual("with-device", "integrated").given(|world| {
            retag(world, &[STACK, LOGICAL_ID, ("recovery:device", "/dev/sdk")]);
        }),
        usual("with-mount", "integrated").given(|world| {
            retag(world, &[STACK, LOGICAL_ID, ("recovery:mount", "/srv/data")]);
        }),
        usual("mounted", "integrated").given(mounts),
        usual("mounted-slowly", "pending").given(|world| {
            mounts(world);
            world.state().mounts.run_on = true;
        }),
        usual("mounted-at-the-third-execution", "integrated").given(|world| {
            mounts(world);
            fails_to_mount(world, "retry", "mount-timeout", 2);
        }),
        usual("mount-refused", "refused/mount-refused").given(|world| {
            mounts(world);
            fails_to_mount(world, "refused", "path-not-empty", 9);
        }),
        usual("mount-unfinished", "refused/mount-unfinished").given(|world| {
            mounts(world);
            fails_to_mount(world, "retry", "mount-timeout", 9);
        }),
        usual("mount-without-an-agent", "refused/agent-not-connected").given(|world| {
            mounts(world);
            fails_to_mount(world, "retry", "agent-not-connected", 9);
        }),
        usual("mount-without-answers", "refused/mount-runbook-failed").given(|world| {
            mounts(world);
            world.state().mounts.lose_answers = true;
        }),
        of("mounted-at-the-next-attempt", "manual-restore-job", "integrated")
            .given(|world| {
                mounts(world);
                fails_to_mount(world, "refused", "path-not-empty", 1);
                delivered(world, FILE);
            })
            .with(|input| input["mountAttempt"] = json!(1)),
        usual("mounted-tracked", "integrated").given(|world| {
            tracked(world, FILE);
            mounts(world);
        }),
        usual("mounted-before", "already-integrated").given(|world| {
            mounts(world);
            delivered(world, FILE);
        }),
        at_the_quota(usual("mounted-at-the-quota", "integrated").given(mounts)),
        usual("with-invalid-optional-tags", "integrated").given(|world| {
            let unusable = [("recovery:device", "/dev/nvme1n1"), ("recovery:mount", "data")];
            retag(world, &[STACK, LOGICAL_ID, unusable[0], unusable[1]]);
        }),
        usual("device-rejected-by-ec2", "integrated").given(|world| {
            retag(world, &[STACK, LOGICAL_ID, ("recovery:device", "/dev/sdk")]);
            world.state().attach_trouble = Some((AttachTrouble::Device("/dev/sdk"), 1));
        }),
        usual("modified", "integrated").given(|world| {
            world.state().attach_trouble = Some((AttachTrouble::Modifying, 2));
        }),
        usual("group", "integrated").given(|world| make_target_a_group(world, &[INSTANCE])),
        usual("group-with-a-terminating-instance", "integrated").given(|world| {
            make_target_a_group(world, &[OTHER_INSTANCE, INSTANCE]);
            leave(world, OTHER_INSTANCE);
        }),
        usual("stopped", "integrated")
            .given(|world| each_instance(world, |it| state(it, "stopped"))),
        usual("slow-attachment", "integrated").given(|world| world.state().reads_until_attached = 3),
        usual("attachment-shown-late", "integrated").given(|world| {
            let mut state = world.state();
            (state.reads_until_shown, state.reads_until_attached) = (2, 1);
        }),
        usual("volume-creating", "integrated").given(|world| {
            world.state().reads_until_created = Some(2);
            each_volume(world, |volume| volume.state = "creating".into());
        }),
        usual("next-free-device", "integrated").given(|world| take(world, &["/dev/sdf"])),
        usual("device-taken-but-not-listed", "integrated").given(|world| {
            world.state().hidden_devices.insert("/dev/sdf".to_owned());
        }),
        usual("cloudformation-tags", "integrated").given(|world| own_tags(world, "Server")),
        usual("tracked", "integrated").given(|world| tracked(world, FILE)),
        usual("tracked-with-mount", "integrated").given(|world| {
            tracked(world, FILE);
            retag(world, &[STACK, LOGICAL_ID, ("recovery:mount", "/srv/data")]);
        }),
        usual("after-a-refusal", "integrated").given(|world| {
            each_instance(world, |instance| zone(instance, "us-west-2b"));
            delivered(world, FILE);
            each_instance(world, |instance| zone(instance, "us-west-2a"));
        }),
        usual("after-a-refusal-resolved-by-a-user", "integrated")
            .given(|world| {
                each_instance(world, |instance| zone(instance, "us-west-2b"));
                delivered(world, FILE);
                each_instance(world, |instance| zone(instance, "us-west-2a"));
                world.state().items[0].item.status = Status::Resolved;
            })
            .tolerating(Tolerance::SecondItem),
        of("by-id", "manual-restore-job", "integrated"),
        at_the_quota(usual("at-the-quota", "integrated")),
        at_the_quota(
            usual("with-mount-at-the-quota", "integrated").given(|world| {
                retag(world, &[STACK, LOGICAL_ID, ("recovery:mount", "/srv/data")]);
            }),
        ),
        of("by-id-tracked", "manual-restore-job", "integrated").given(|world| tracked(world, FILE)),
        // The recovery point has no tags: the plan names an older one with tags.
        of("tags-of-an-older-point", "manual-restore-job", "integrated")
            .given(|world| {
                let mut state = world.state();
                let tags = state.tags.pop_first().map(|(_, tags)| tags);
                let older = OLDER_POINT.to_owned();
                state.tags.insert(older, tags.unwrap_or_default());
            })
            .with(|input| {
                input["item"] = json!({
                    "resourceArn": "arn:aws:ec2:us-east-1:111122223333:volume/vol-0source",
                    "recoveryPointArn": "arn:aws:ec2:us-west-2::snapshot/snap-0a8530a063a225612",
                    "type": "EBS", "createdAt": "2026-11-23T05:00:00Z", "ageSeconds": 3600, "wave": 0,
                    "target": {"kind": "volume", "stack": "shop", "logicalId": "Server"},
                    "metadata": {}, "predictions": {},
                    "tagsFrom": {
                        "recoveryPointArn": OLDER_POINT, "createdAt": "2026-11-22T05:00:00Z",
                    },
                });
            }),
        // The tags of this recovery point are in AWS Backup.
        usual("tags-in-aws-backup", "integrated")
            .given(|world| {
                let mut state = world.state();
                let tags = state.tags.pop_first().map(|(_, tags)| tags);
                state
                    .tags
                    .insert(OWN_POINT.to_owned(), tags.unwrap_or_default());
            })
            .with(|event| event["detail"]["recoveryPointArn"] = json!(OWN_POINT)),
    ];
    for file in [
        "restore-completed-ebs-minimal",
        "restore-completed-ebs-no-created-resource",
        "restore-completed-ebs-no-recovery-point",
        "restore-completed-ebs-differing-recovery-point",
        "restore-completed-ebs-unknown-fields",
        "restore-completed-ebs-aws-cn",
        "restore-completed-ebs-aws-us-gov",
    ] {
        scenarios.push(of(file, file, "integrated").briefly());
    }
    scenarios
}

/// A recovery point with an ARN of AWS Backup.
const OLDER_POINT: &str = "arn:aws:ec2:us-west-2::snapshot/snap-0older";
const OWN_POINT: &str =
    "arn:aws:backup:us-west-2:111122223333:recovery-point:1EB3B5E7-9EB0-435A-A80B-108B488B0D45";

/// The volume is already attached.
fn found() -> Vec<Scenario> {
    vec![
        usual("already-attached", "already-integrated").given(|world| attach(world, INSTANCE)),
        usual("already-attached-and-tracked", "already-integrated").given(|world| {
            tracked(world, FILE);
            attach(world, INSTANCE);
        }),
        usual("delivered-before", "already-integrated").given(|world| delivered(world, FILE)),
        usual("attachment-in-progress", "already-integrated").given(|world| {
            attach(world, INSTANCE);
            world.state().reads_until_attached = 2;
            each_volume(world, |volume| {
                volume.attachments[0].state = "attaching".into();
            });
        }),
    ]
}

/// A rule refuses the integration.
fn refused() -> Vec<Scenario> {
    let in_another_zone = |world: &World| each_instance(world, |it| zone(it, "us-west-2b"));
    vec![
        usual("reference-missing", "refused/reference-missing")
            .given(|world| retag(world, &[STACK, ("recovery:logical-id", "prefix:Gone")])),
        usual("zone-mismatch", "refused/zone-mismatch").given(in_another_zone),
        at_the_quota(usual("refused-at-the-quota", "refused/zone-mismatch").given(in_another_zone)),
        usual("refused-and-tracked", "refused/zone-mismatch").given(|world| {
            tracked(world, FILE);
            in_another_zone(world);
        }),
        usual("refused-before", "refused/zone-mismatch").given(|world| {
            in_another_zone(world);
            delivered(world, FILE);
        }),
        usual("refused-for-another-reason-before", "refused/instance-gone").given(|world| {
            in_another_zone(world);
            delivered(world, FILE);
            each_instance(world, |it| state(it, "terminated"));
        }),
        usual("refused-and-resolved-by-a-user", "refused/instance-gone").given(|world| {
            in_another_zone(world);
            delivered(world, FILE);
            world.state().items[0].item.status = Status::Resolved;
            each_instance(world, |it| state(it, "terminated"));
        }),
        usual("attached-elsewhere", "refused/attached-elsewhere")
            .given(|world| attach(world, OTHER_INSTANCE)),
        usual("volume-unusable", "refused/volume-unusable").given(|world| {
            each_volume(world, |volume| volume.state = "error".into());
        }),
        usual("instance-gone", "refused/instance-gone")
            .given(|world| each_instance(world, |it| state(it, "terminated"))),
        usual("device-taken", "refused/device-taken").given(|world| {
            retag(world, &[STACK, LOGICAL_ID, ("recovery:device", "/dev/sdf")]);
            take(world, &["/dev/xvdf"]);
        }),
        usual("stack-volume", "refused/stack-volume").given(|world| {
            own_tags(world, "Volume");
            let own = ("aws:cloudformation:logical-id", "Volume");
            retag(world, &[STACK, LOGICAL_ID, own]);
        }),
        usual("tagged-device-taken-but-not-listed", "refused/device-taken").given(|world| {
            retag(world, &[STACK, LOGICAL_ID, ("recovery:device", "/dev/sdf")]);
            world.state().hidden_devices.insert("/dev/sdf".to_owned());
        }),
        usual("no-free-device", "refused/no-free-device").given(|world| {
            let names: Vec<String> = ('f'..='p').map(|c| format!("/dev/sd{c}")).collect();
            take(world, &names.iter().map(String::as_str).collect::<Vec<_>>());
        }),
        usual("attachment-limit", "refused/attachment-limit")
            .given(|world| world.state().volumes_for_each_instance = Some(0)),
        usual("several-instances", "refused/several-instances")
            .given(|world| make_target_a_group(world, &[INSTANCE, OTHER_INSTANCE])),
        usual("target-type", "refused/target-type").given(|world| {
            each_resource(world, |it| {
                it.resource_type = "AWS::RDS::DBInstance".to_owned()
            });
        }),
        usual("target-failed", "refused/target-failed").given(|world| {
            each_resource(world, |it| it.status = "CREATE_FAILED".into());
        }),
        usual("tag-missing", "refused/tag-missing").given(|world| retag(world, &[STACK])),
        usual("tag-invalid", "refused/tag-invalid").given(|world| {
            retag(world, &[("recovery:stack", "no stack!"), LOGICAL_ID]);
        }),
        usual("key-unusable", "refused/key-unusable")
            .given(|world| always(world, AttachTrouble::Key)),
        usual("product-code", "refused/product-code")
            .given(|world| always(world, AttachTrouble::ProductCode)),
        usual("unsupported", "refused/unsupported")
            .given(|world| always(world, AttachTrouble::Unsupported)),
        usual("volume-vanishes", "refused/volume-gone")
            .given(|world| always(world, AttachTrouble::Vanishes))
            .briefly(),
        usual("volume-gone", "refused/volume-gone")
            .given(|world| world.state().volumes.clear())
            .briefly(),
        usual("attachment-dropped", "refused/attachment-dropped")
            .given(|world| world.state().drops_attachments = true)
            .briefly(),
        usual("not-here", "refused/not-here").with(|event| event["region"] = json!("eu-west-1")),
        of(
            "by-id-refused",
            "manual-restore-job",
            "refused/zone-mismatch",
        )
        .given(in_another_zone),
    ]
}

/// The restore is skipped.
fn skipped() -> Vec<Scenario> {
    vec![
        usual("untagged", "ignored/untagged")
            .given(|world| retag(world, &[("recovery:workload", "shop")])),
        usual("cloudformation-tags-of-the-volume", "ignored/untagged")
            .given(|world| own_tags(world, "Volume")),
        usual("restore-test-by-its-volume", "ignored/restore-test")
            .given(|world| each_volume(world, |volume| volume.restore_test = true)),
        of(
            "restore-test-by-its-event",
            "restore-test-completed-ebs",
            "ignored/restore-test",
        ),
        of(
            "restore-test-by-its-job",
            "manual-restore-job",
            "ignored/restore-test",
        )
        .given(|world| change_job(world, JOB, |job| job.restore_test = true)),
        of("by-id-running", "manual-restore-job", "ignored/status")
            .given(|world| change_job(world, JOB, |job| job.status = Some("RUNNING".to_owned()))),
        of(
            "by-id-other-type",
            "manual-restore-job",
            "ignored/resource-type",
        )
        .given(|world| {
            change_job(world, JOB, |job| job.resource_type = Some("RDS".to_owned()));
        }),
    ]
}

/// A resource is missing at the first delivery.
fn waited_for() -> Vec<Scenario> {
    vec![
        usual("reference-by-tag", "Retryable")
            .given(|world| retag(world, &[("recovery:logical-id", "tag:Name=db")]))
            .then(add_tagged_instance),
        usual("stack-missing-at-first", "Retryable")
            .given(|world| world.state().stack_resources.clear())
            .then(|world| add_target(world, &event(FILE))),
        usual("stack-missing-at-first-tracked", "Retryable")
            .given(|world| {
                tracked(world, FILE);
                world.state().stack_resources.clear();
            })
            .then(|world| add_target(world, &event(FILE))),
        usual("instance-missing-at-first", "Retryable")
            .given(|world| {
                each_resource(world, |it| {
                    it.physical_id = None;
                    it.status = "CREATE_IN_PROGRESS".into();
                });
            })
            .then(|world| add_target(world, &event(FILE))),
        usual("group-empty-at-first", "Retryable")
            .given(|world| make_target_a_group(world, &[]))
            .then(|world| make_target_a_group(world, &[INSTANCE])),
        usual("group-refreshing-at-first", "Retryable")
            .given(|world| {
                make_target_a_group(world, &[OTHER_INSTANCE, INSTANCE]);
                let group = "shop-group".to_owned();
                world.state().capacities.insert(group, 1);
            })
            .then(|world| leave(world, OTHER_INSTANCE)),
        of("by-id-unknown-at-first", "manual-restore-job", "Retryable")
            .given(|world| world.state().restore_jobs.clear())
            .then(|world| {
                let known = restored("manual-restore-job").state().restore_jobs.clone();
                world.state().restore_jobs = known;
            }),
        usual("event-newer-than-the-job", "Retryable")
            .given(|world| {
                change_job(world, JOB, |job| job.status = Some("RUNNING".to_owned()));
            })
            .with(|event| {
                if let Some(detail) = event["detail"].as_object_mut() {
                    detail.remove("createdResourceArn");
                }
            })
            .then(|world| change_job(world, JOB, |job| job.status = Some("COMPLETED".to_owned()))),
    ]
}

/// EC2 rejects every attachment for this reason.
fn always(world: &World, trouble: AttachTrouble) {
    world.state().attach_trouble = Some((trouble, usize::MAX));
}

/// The group is terminating this instance.
fn leave(world: &World, instance: &str) {
    let id = InstanceId::new(instance);
    let leaving = "Terminating:Wait".to_owned();
    world.state().lifecycles.insert(id, leaving);
}

fn each_instance(world: &World, change: impl Fn(&mut Instance)) {
    world.state().instances.values_mut().for_each(change);
}

fn state(instance: &mut Instance, state: &str) {
    instance.state = state.into();
}

fn zone(instance: &mut Instance, zone: &str) {
    zone.clone_into(&mut instance.zone);
}

fn each_volume(world: &World, change: impl Fn(&mut Volume)) {
    world.state().volumes.values_mut().for_each(change);
}

fn each_resource(world: &World, change: impl Fn(&mut StackResource)) {
    world.state().stack_resources.values_mut().for_each(change);
}

/// Another volume has these names on each instance.
fn take(world: &World, devices: &[&str]) {
    each_instance(world, |instance| {
        for device in devices {
            let other = VolumeId::new("vol-0other");
            instance.devices.push(((*device).to_owned(), other));
        }
    });
}

/// Attaches the volume to this instance.
fn attach(world: &World, instance: &str) {
    let instance = InstanceId::new(instance);
    each_volume(world, |volume| {
        volume.state = "in-use".into();
        volume.attachments.push(Attachment {
            instance: instance.clone(),
            device: "/dev/sdh".to_owned(),
            state: "attached".into(),
            since: None,
        });
    });
    if let Some(instance) = world.state().instances.get_mut(&instance) {
        let device = ("/dev/sdh".to_owned(), VolumeId::new(VOLUME));
        instance.devices.push(device);
    }
}

/// CloudFormation's tags name the instance or the source volume.
fn own_tags(world: &World, logical_id: &'static str) {
    retag(
        world,
        &[
            ("aws:cloudformation:stack-name", "shop"),
            ("aws:cloudformation:logical-id", logical_id),
        ],
    );
    world.state().stack_resources.insert(
        ("shop".to_owned(), "Volume".to_owned()),
        StackResource {
            resource_type: "AWS::EC2::Volume".to_owned(),
            physical_id: Some("vol-0source".to_owned()),
            status: "CREATE_COMPLETE".into(),
        },
    );
}

/// opsitem-creator has already tracked the restore.
fn tracked(world: &World, file: &str) {
    track(world, &event(file)).expect("nothing fails");
}

/// The integration has already run.
fn delivered(world: &World, file: &str) {
    integrate(world, &event(file)).expect("nothing fails");
}
