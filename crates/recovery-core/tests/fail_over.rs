//! Routing controls are set once, through any endpoint that answers, or the outcome says why not.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use futures_util::FutureExt;
use recovery_core::aws::routing_control::{ClusterEndpoint, RoutingControl, Switch};
use recovery_core::error::Error;
use recovery_core::fail_over::run::{Routing, handle};
use recovery_core::fakes::{Failure, World};
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

const REGIONS: [&str; 5] = [
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "ap-northeast-1",
    "ap-southeast-2",
];
const GET: &str = "route53-recovery-cluster:GetRoutingControlState";
const SET: &str = "route53-recovery-cluster:UpdateRoutingControlStates";
const RULE: &str = "arn:aws:route53-recovery-control::111122223333:controlpanel/0123/safetyrule/9";

fn control(id: &str) -> RoutingControl {
    let panel = "arn:aws:route53-recovery-control::111122223333:controlpanel/0123";
    RoutingControl::parse(&format!("{panel}/routingcontrol/{id}")).unwrap()
}

fn endpoint(region: &str) -> ClusterEndpoint {
    let url = format!("https://1a2b.route53-recovery-cluster.{region}.amazonaws.com/v1");
    ClusterEndpoint::parse(&format!("{region}={url}")).unwrap()
}

fn routing() -> Routing {
    let endpoints = REGIONS.map(endpoint).to_vec();
    Routing::new(endpoints, vec![control("west")], vec![control("east")]).unwrap()
}

/// Traffic goes to the primary Region.
fn world() -> World {
    let world = World::new();
    world.state().cluster.states = [
        (control("west"), Switch::Off),
        (control("east"), Switch::On),
    ]
    .into();
    world
}

fn input() -> Value {
    json!({
        "workload": "shop",
        "mode": "recover",
        "region": "us-west-2",
        "execution": {"name": "shop-1", "arn": "arn:aws:states:us-west-2:111122223333:execution:m:shop-1"},
    })
}

fn fail_over(world: &World, input: &Value) -> Result<Outcome, Error> {
    handle(world, &routing(), input).now_or_never().unwrap()
}

fn states(world: &World) -> [Switch; 2] {
    let state = world.state();
    ["west", "east"].map(|id| state.cluster.states[&control(id)])
}

/// The Regions whose endpoints were called, in order.
fn asked(world: &World, operation: &str) -> Vec<String> {
    let mut regions: Vec<String> = world
        .calls()
        .iter()
        .filter(|call| call.starts_with(operation))
        .map(|call| call.rsplit(' ').next().unwrap().to_owned())
        .collect();
    regions.dedup();
    regions
}

#[test]
fn sets_all_controls_in_one_call_and_only_once() {
    let world = world();
    let outcome = fail_over(&world, &input()).unwrap();
    assert_eq!(outcome.kind(), "shifted");
    assert_eq!(
        (outcome.count("on"), outcome.count("off")),
        (Some(1), Some(1))
    );
    assert_eq!(states(&world), [Switch::On, Switch::Off]);
    assert_eq!(world.calls().len(), 3);
    let again = fail_over(&world, &input()).unwrap();
    assert_eq!(again.kind(), "already-shifted");
    assert_eq!(world.state().cluster.changes, 2);
    assert_eq!(asked(&world, SET).len(), 1);
}

#[test]
fn sets_all_controls_when_one_has_the_wrong_state() {
    let world = world();
    world
        .state()
        .cluster
        .states
        .insert(control("west"), Switch::On);
    assert_eq!(fail_over(&world, &input()).unwrap().kind(), "shifted");
    assert_eq!(states(&world), [Switch::On, Switch::Off]);
}

#[test]
fn spreads_executions_over_endpoints_deterministically() {
    let first = |name: &str| {
        let world = world();
        let mut input = input();
        input["execution"]["name"] = json!(name);
        fail_over(&world, &input).unwrap();
        asked(&world, GET)[0].clone()
    };
    let names: Vec<String> = (0..60).map(|n| format!("shop-{n}")).collect();
    let mut begun: Vec<String> = names.iter().map(|name| first(name)).collect();
    assert_eq!(begun[7], first(&names[7]));
    begun.sort();
    begun.dedup();
    assert_eq!(begun.len(), 5, "{begun:?}");
}

#[test]
fn fails_over_with_one_available_endpoint() {
    for there in REGIONS {
        let world = world();
        let gone = REGIONS.into_iter().filter(|region| *region != there);
        world.state().cluster.unavailable = gone.map(str::to_owned).collect();
        let outcome = fail_over(&world, &input()).unwrap();
        assert_eq!(outcome.kind(), "shifted");
        assert_eq!(outcome.id("endpointRegion"), Some(there));
        let failed = outcome.count("endpointsFailed").unwrap();
        assert_eq!(asked(&world, GET).len(), failed + 1);
        assert_eq!(asked(&world, SET), [there]);
        assert_eq!(states(&world), [Switch::On, Switch::Off]);
    }
}

#[test]
fn names_every_endpoint_when_all_are_unavailable() {
    let world = world();
    world.state().cluster.unavailable = REGIONS.map(str::to_owned).into();
    let error = fail_over(&world, &input()).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    let text = error.to_string();
    for region in REGIONS {
        assert!(
            text.contains(&format!(
                "{region} (EndpointTemporarilyUnavailableException)"
            )),
            "{text}"
        );
    }
    assert_eq!(world.state().cluster.changes, 0);
}

#[test]
fn tries_the_next_endpoint_after_a_permanent_error() {
    // A policy denies one Region.
    let world = world();
    world.fail(GET, Failure::Denied);
    assert_eq!(fail_over(&world, &input()).unwrap().kind(), "shifted");
    let denied = self::world();
    for _ in 0..4 {
        denied.fail(SET, Failure::Throttled);
    }
    denied.fail(SET, Failure::Denied);
    let error = fail_over(&denied, &input()).unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert!(
        error.to_string().contains("UnauthorizedOperation"),
        "{error}"
    );
    // A routing control that does not exist.
    let unknown = World::new();
    let error = fail_over(&unknown, &input()).unwrap_err();
    assert_eq!(error.error_type(), "Permanent");
    assert!(
        error.to_string().contains("ResourceNotFoundException"),
        "{error}"
    );
}

#[test]
fn reads_the_state_from_the_next_endpoint_after_a_lost_response() {
    let world = world();
    world.fail(SET, Failure::AnswerLost);
    let outcome = fail_over(&world, &input()).unwrap();
    // This run has set them.
    assert_eq!(outcome.kind(), "shifted");
    assert_eq!(outcome.count("endpointsFailed"), Some(1));
    assert_eq!(asked(&world, SET).len(), 1);
    assert_eq!(asked(&world, GET).len(), 2);
    assert_eq!(states(&world), [Switch::On, Switch::Off]);
}

#[test]
fn refuses_and_names_the_rule_when_a_safety_rule_forbids_the_change() {
    let world = world();
    world.state().cluster.safety_rule = Some(RULE.to_owned());
    let outcome = fail_over(&world, &input()).unwrap();
    assert_eq!(
        (outcome.kind(), outcome.reason()),
        ("refused", Some("safety-rule"))
    );
    assert!(outcome.id("why").unwrap().contains(RULE));
    assert!(outcome.id("remedy").unwrap().contains(RULE));
    assert_eq!(states(&world), [Switch::Off, Switch::On]);
    // Other endpoints are not tried: the safety rule applies to all.
    assert_eq!(asked(&world, SET).len(), 1);
}

#[test]
fn refuses_to_move_traffic_in_a_drill() {
    let world = world();
    let mut drill = input();
    drill["mode"] = json!("drill");
    let outcome = fail_over(&world, &drill).unwrap();
    assert_eq!(
        (outcome.kind(), outcome.reason()),
        ("refused", Some("drill"))
    );
    assert!(world.calls().is_empty());
}

#[test]
fn names_the_missing_member_of_the_input() {
    let world = world();
    for (payload, member) in [
        (json!({}), "workload"),
        (
            json!({"workload": "shop", "execution": {"name": "n"}}),
            "mode",
        ),
        (json!({"workload": "shop", "mode": "recover"}), "execution"),
        (
            json!({"workload": "shop", "mode": "recover", "execution": {}}),
            "name",
        ),
        (
            json!({"workload": "shop", "mode": "often", "execution": {"name": "n"}}),
            "mode",
        ),
        (json!("text"), "."),
    ] {
        let error = fail_over(&world, &payload).unwrap_err();
        assert_eq!(error.error_type(), "Permanent", "{payload}");
        assert!(error.to_string().contains(member), "{payload}: {error}");
        assert!(error.to_string().contains("Pass {\"workload\""), "{error}");
    }
    assert!(world.calls().is_empty());
}

#[test]
fn rejects_invalid_endpoints_and_control_arns() {
    assert_eq!(endpoint("eu-west-1").region, "eu-west-1");
    for wrong in [
        "",
        "eu-west-1",
        "=https://a.example",
        "eu-west-1=",
        "eu-west-1=https://",
        "eu-west-1=http://a.example",
        "EU=https://a.example",
        "eu-west-1=https://a.example?b",
        "eu-west-1=ftp://a.example",
    ] {
        assert_eq!(ClusterEndpoint::parse(wrong), None, "{wrong}");
    }
    for wrong in [
        "",
        "control",
        "arn:aws:route53-recovery-control::111122223333:controlpanel/0123",
        "arn:aws:s3:::b/routingcontrol/1",
    ] {
        assert_eq!(RoutingControl::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn rejects_invalid_routing_configurations() {
    let five = || REGIONS.map(endpoint).to_vec();
    let many = |from: usize, count: usize| -> Vec<_> {
        (from..from + count)
            .map(|n| control(&n.to_string()))
            .collect()
    };
    assert!(Routing::new(five(), many(0, 5), many(5, 5)).is_some());
    assert!(Routing::new(five(), many(0, 1), Vec::new()).is_some());
    assert!(Routing::new(five(), Vec::new(), many(0, 1)).is_some());
    assert!(Routing::new(five(), many(0, 6), many(6, 5)).is_none());
    assert!(Routing::new(five(), Vec::new(), Vec::new()).is_none());
    assert!(Routing::new(five(), many(0, 2), many(1, 2)).is_none());
    assert!(Routing::new(Vec::new(), many(0, 1), Vec::new()).is_none());
}
