//! For any volume, instance, stack and tags, a restored volume is attached to its target or not at all.
//! A repeated request has the same result. Refusals are notified.
#![no_main]

use arbitrary::{Result, Unstructured};
use futures_util::FutureExt;
use fuzz::{assert_acceptable, assert_answer, restore_integrator};
use libfuzzer_sys::fuzz_target;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn, Scope, VolumeId};
use recovery_core::aws::ec2::Attachment;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, World};
use recovery_core::integrate::skip::Ownership;
use serde_json::json;

/// An arbitrary text, often a usual one.
fn text(input: &mut Unstructured<'_>, usual: &[&str]) -> Result<String> {
    Ok(if input.ratio(1, 8)? {
        input.arbitrary::<&str>()?.to_owned()
    } else {
        (*input.choose(usual)?).to_owned()
    })
}

/// A state of EC2.
fn word(input: &mut Unstructured<'_>, words: &[&str]) -> Result<String> {
    Ok((*input.choose(words)?).to_owned())
}

fn arrange(world: &World, input: &mut Unstructured<'_>) -> Result<()> {
    let mut state = world.state();
    if let Some(job) = state.restore_jobs.get_mut("job-1") {
        let usual = [
            "COMPLETED",
            "COMPLETED",
            "COMPLETED",
            "COMPLETED",
            "FAILED",
            "RUNNING",
        ];
        job.status = Some(text(input, &usual)?);
        job.resource_type = Some(text(input, &["EBS", "EBS", "EBS", "EBS", "RDS"])?);
        job.status_message = Some(text(input, &["", "A message"])?);
        job.restore_test = input.ratio(1, 16)?;
        if input.ratio(1, 8)? {
            let id = input.arbitrary::<&str>()?;
            job.created_resource = Arn::parse(&format!("arn:aws:ec2:us-west-2::volume/{id}")).ok();
        }
        if input.ratio(1, 8)? {
            job.recovery_point = RecoveryPointArn::parse(input.arbitrary::<&str>()?).ok();
        }
    }
    for tags in state.tags.values_mut() {
        for key in [
            "recovery:device",
            "recovery:mount",
            "recovery:stack",
            "Name",
        ] {
            if input.ratio(1, 4)? {
                let usual = ["/dev/sdf", "/dev/xvdf", "/srv/data", "shop", "gone"];
                tags.insert(key.to_owned(), text(input, &usual)?);
            }
        }
    }
    let group = text(input, &["i-1", "group"])?;
    for resource in state.stack_resources.values_mut() {
        let types = [
            "AWS::EC2::Instance",
            "AWS::AutoScaling::AutoScalingGroup",
            "AWS::EC2::Volume",
        ];
        resource.resource_type = text(input, &types)?;
        let statuses = [
            "CREATE_COMPLETE",
            "CREATE_COMPLETE",
            "CREATE_FAILED",
            "UPDATE_IN_PROGRESS",
        ];
        resource.status = text(input, &statuses)?.as_str().into();
        resource.physical_id = input.ratio(7, 8)?.then(|| group.clone());
    }
    let instances =
        (0..input.int_in_range(0..=2)?).map(|n| InstanceId::new(format!("i-{}", n + 1)));
    state.groups.insert(group, instances.collect());
    let stranger = state.instances.values().next().cloned();
    if let Some(mut stranger) = stranger {
        stranger.id = InstanceId::new("i-2");
        state.instances.insert(stranger.id.clone(), stranger);
    }
    for instance in state.instances.values_mut() {
        let states = ["running", "running", "stopped", "pending", "terminated"];
        instance.state = word(input, &states)?.as_str().into();
        instance.zone = word(input, &["us-west-2a", "us-west-2a", "us-west-2b"])?;
        for _ in 0..input.int_in_range(0..=3)? {
            let device = word(input, &["/dev/sdf", "/dev/xvda", "xvdg"])?;
            instance.devices.push((device, VolumeId::new("vol-other")));
        }
    }
    for volume in state.volumes.values_mut() {
        let states = ["available", "available", "creating", "in-use", "error"];
        volume.state = word(input, &states)?.as_str().into();
        if volume.state.as_str() == "in-use" {
            let instance = word(input, &["i-1", "i-2", "i-3"])?;
            volume.attachments.push(Attachment {
                instance: InstanceId::new(instance),
                device: word(input, &["/dev/sdf"])?,
                state: word(input, &["attached", "attaching", "detaching", "busy"])?
                    .as_str()
                    .into(),
                since: None,
            });
        }
    }
    state.reads_until_attached = input.int_in_range(0..=3)?;
    state.reads_until_shown = input.int_in_range(0..=3)?;
    if input.ratio(1, 4)? {
        state.hidden_devices.insert("/dev/sdf".to_owned());
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    let world = World::with_restored_volume();
    if arrange(&world, &mut Unstructured::new(bytes)).is_err() {
        return;
    }
    let ownership = Ownership {
        scope: Scope {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        },
        drill_role: DRILL_ROLE.to_owned(),
    };
    // While EC2 does not show everything yet, the second check may find another reason to refuse, which
    // is notified.
    let lags = world.state().reads_until_shown > 0;
    let before: Vec<_> = world.state().volumes.values().cloned().collect();
    let payload = json!({"restoreJobId": "job-1"});
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let clock = FakeClock::new();
        let run = restore_integrator::handle(&world, &clock, &ownership, &payload);
        let answer = run.now_or_never().expect("nothing in this world waits");
        assert_answer(&answer);
        assert_acceptable(&world);
        kinds.push(
            answer
                .map(|outcome| outcome.kind())
                .map_err(|error| error.error_type()),
        );
    }
    assert!(world.attachments_made() <= 1, "attached twice");
    let state = world.state();
    for (volume, before) in state.volumes.values().zip(before) {
        // A volume that was attached elsewhere stays there. Otherwise it may be attached to an instance
        // of the group.
        assert!(volume.attachments.len() <= 1, "{volume:?}");
        assert!(
            volume.state == before.state || volume.state.as_str() == "in-use",
            "{volume:?}"
        );
    }
    let told = state.notifications.len();
    match kinds[0] {
        Ok("refused") => {
            // It sees the volume attached, or with a member of its group that ends: it waits for that.
            let shows = lags && matches!(kinds[1], Ok("already-integrated") | Err("Retryable"));
            assert!(kinds[1] == Ok("refused") || shows, "then {:?}", kinds[1]);
            assert!(told == 1 || lags && told == 2, "notified {told} times");
        }
        Ok("integrated" | "already-integrated") => {
            assert_eq!((told, kinds[1]), (0, Ok("already-integrated")));
        }
        Ok(kind) => assert_eq!((kind, told, kinds[1]), ("ignored", 0, Ok("ignored"))),
        Err(_) => {}
    }
});
