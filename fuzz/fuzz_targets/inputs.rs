//! Every input of the state machine, Region switch or an operator has the same result twice, or is an
//! error that says what to pass. Objects are stored under the expected keys.
#![no_main]

use chrono::DateTime;
use futures_util::FutureExt;
use fuzz::{assert_acceptable, assert_answer, assert_visible, mutate_json};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use recovery_core::aws::routing_control::{ClusterEndpoint, RoutingControl, Switch};
use recovery_core::error::Error;
use recovery_core::fail_over::run::Routing;
use recovery_core::fail_over::run_region_switch::RegionSwitchConfig;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, RESTORE_ROLE, Story, World, volume_point};
use recovery_core::outcome::Outcome;
use recovery_core::plan::run::PlannerConfig;
use recovery_core::report::Objectives;
use recovery_core::report::run::ReportConfig;
use recovery_core::restore::run::RestoreConfig;
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_json(data, size, max_size, seed)
});

/// The effects that must not be repeated.
fn done(world: &World) -> [usize; 5] {
    let state = world.state();
    [
        state.backups.started.len(),
        state.recoveries.executions.len(),
        state.cluster.changes,
        state.items.len() + state.notifications.len(),
        state.backups.objects.len(),
    ]
}

/// Delivers twice.
fn deliver(world: &World, handle: impl AsyncFn() -> Result<Outcome, Error>) {
    let before = world.state().backups.objects.clone();
    let run = || {
        handle()
            .now_or_never()
            .expect("nothing in this world waits")
    };
    assert_answer(&run());
    let once = done(world);
    assert_answer(&run());
    assert_eq!(done(world), once, "done again");
    assert_acceptable(world);
    let state = world.state();
    let kept = state.backups.objects.keys();
    for key in kept.filter(|key| !before.contains_key(*key)) {
        // The name of an execution may contain almost any character.
        assert_visible(key);
        let (place, rest) = key.split_once('/').unwrap_or((key, ""));
        let depth = rest.split('/').count();
        let expected = match place {
            // Execution, start, item, attempt.
            "jobs" => depth == 4,
            "plans" | "reports" => (2..=3).contains(&depth),
            _ => false,
        };
        assert!(expected && !key.contains(".."), "{key:?}");
    }
}

/// A vault with the recovery point of the files of `events/`, and its target.
fn vault() -> World {
    let world = World::with_restored_volume();
    let point = volume_point(
        "0f1e2d3c4b5a69788",
        "0a1b2c3d4e5f60718",
        DateTime::UNIX_EPOCH,
    );
    let point = point.expect("these are ids");
    world.add_point(point, &[]);
    world
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let world = vault();
    let config = PlannerConfig {
        vault: "recovery".to_owned(),
        bucket: "recovery".to_owned(),
    };
    deliver(&world, async || {
        recovery_core::plan::run::handle(&world, &FakeClock::new(), &config, &payload).await
    });

    let world = vault();
    let config = RestoreConfig {
        vault: "recovery".to_owned(),
        role: RESTORE_ROLE.to_owned(),
        drill_role: DRILL_ROLE.to_owned(),
        key: None,
        region: "us-west-2".to_owned(),
        instance_profiles: true,
    };
    deliver(&world, async || {
        recovery_core::restore::run::handle(&world, &config, &payload).await
    });

    let told = Story::whole(2, 1).untracked().left(1).told("report");
    let (world, _) = told.expect("the names of a story are names");
    // This plan is stored under the key that the input names.
    let named = payload.pointer("/plan/key").and_then(Value::as_str);
    if let Some(key) = named.filter(|key| key.starts_with("plans/") && !key.contains("..")) {
        let mut state = world.state();
        let plan = state.backups.objects.values().next().cloned();
        state.backups.objects = plan
            .into_iter()
            .map(|plan| (key.to_owned(), plan))
            .collect();
    }
    let config = ReportConfig {
        bucket: "recovery".to_owned(),
        objectives: Objectives::default(),
        drill_role: DRILL_ROLE.to_owned(),
    };
    let clock = FakeClock::new();
    deliver(&world, async || {
        recovery_core::report::run::handle(&world, &world, &clock, &config, &payload).await
    });

    let control = |id: &str| {
        let panel = "arn:aws:route53-recovery-control::111122223333:controlpanel/0";
        RoutingControl::parse(&format!("{panel}/routingcontrol/{id}")).expect("this is one")
    };
    let world = World::new();
    world.state().cluster.states = [
        (control("west"), Switch::Off),
        (control("east"), Switch::On),
    ]
    .into();
    let endpoint = ClusterEndpoint::parse("us-west-2=https://1a2b.example").expect("this is one");
    let routing = Routing::new(vec![endpoint], vec![control("west")], vec![control("east")]);
    let routing = routing.expect("it can be meant");
    deliver(&world, async || {
        recovery_core::fail_over::run::handle(&world, &routing, &payload).await
    });

    let world = World::new();
    let config = RegionSwitchConfig {
        workload: "shop".to_owned(),
        region: "us-west-2".to_owned(),
    };
    deliver(&world, async || {
        recovery_core::fail_over::run_region_switch::handle(
            &world,
            &FakeClock::new(),
            &config,
            &payload,
        )
        .await
    });
});
