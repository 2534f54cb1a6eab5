//! Every function answers every payload with an outcome or an error with a remedy. All writes satisfy
//! the limits of AWS. A second delivery repeats nothing.
#![no_main]

use futures_util::FutureExt;
use fuzz::{assert_acceptable, assert_answer, mutate_json, restore_integrator};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use recovery_core::aws::arn::Scope;
use recovery_core::detect::run::{handle_alarm, handle_health};
use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, World};
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::tags;
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_json(data, size, max_size, seed)
});

/// The account, Region and drill role of the event files.
fn ownership() -> Ownership {
    Ownership {
        scope: Scope {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        },
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// A world in which the volume that the payload names was restored for `i-1`.
fn world_of(payload: &Value) -> World {
    let world = World::with_restored_volume();
    {
        let mut state = world.state();
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
        let id = text("/detail/createdResourceArn").and_then(|arn| arn.split("volume/").nth(1));
        let volume = state.volumes.values().next().cloned();
        if let (Some(id), Some(mut volume)) = (id, volume) {
            volume.id = recovery_core::aws::arn::VolumeId::new(id);
            state.volumes.insert(volume.id.clone(), volume);
        }
        for point in [text("/detail/recoveryPointArn"), text("/resources/0")]
            .into_iter()
            .flatten()
        {
            let target = [(tags::STACK, "shop"), (tags::LOGICAL_ID, "Server")];
            let target = target.map(|(key, value)| (key.to_owned(), value.to_owned()));
            state.tags.insert(point.to_owned(), target.into());
        }
    }
    world
}

/// Delivers twice.
fn deliver(world: &World, handle: impl AsyncFn() -> Result<Outcome, Error>) {
    for _ in 0..2 {
        let answer = handle()
            .now_or_never()
            .expect("nothing in this world waits");
        assert_answer(&answer);
        assert_acceptable(world);
        assert!(world.state().notifications.len() <= 1, "notified twice");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let policy = Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some("StartRegionRecovery".to_owned()),
        other_runbooks: vec!["StartWorkloadInstances".to_owned()],
    };

    let world = world_of(&payload);
    let ownership = ownership();
    deliver(&world, async || {
        restore_integrator::handle(&world, &FakeClock::new(), &ownership, &payload).await
    });
    assert!(world.attachments_made() <= 1, "attached twice");
    // The same job, tracked: the same OpsItem.
    deliver(&world, async || {
        recovery_core::track::run::handle(&world, DRILL_ROLE, &payload).await
    });

    let world = World::new();
    deliver(&world, async || {
        handle_health(&world, &policy, &payload).await
    });
    let world = World::new();
    deliver(&world, async || {
        handle_alarm(&world, &policy, &payload).await
    });
});
