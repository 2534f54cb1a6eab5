//! Every field of every file in `events/` is replaced, and the event delivered to every function.
//! Nothing panics, every answer is an outcome or an error with a remedy, all writes satisfy the limits
//! of AWS, and a volume is never attached to another instance.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, World};
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::file_systems::file_system_config_in;
use crate::support::repository::{event, events};
use crate::support::restored::{
    INSTANCE, add_restore, add_target, integration, scope, usual_scope, world_of,
};
use crate::support::routing::{recovered, routing};
use crate::support::tables::table_config_in;

/// Longest message of an error.
const MESSAGE_LIMIT: usize = 4_000;

/// The replacements of a field. `None` removes it.
pub(crate) fn replacements() -> Vec<Option<Value>> {
    vec![
        None,
        Some(Value::Null),
        Some(json!(true)),
        Some(json!(-1.5e300)),
        Some(json!(u64::MAX)),
        Some(json!("")),
        Some(json!("two\nlines\u{0}\u{2028}`# x`")),
        Some(json!("arn:aws:::::::volume/")),
        Some(json!("x".repeat(5_000))),
        Some(json!("🌊".repeat(1_000))),
        Some(json!([])),
        Some(json!(["x", 1, null])),
        Some(json!({})),
        Some(json!({"x": {"y": 1}})),
    ]
}

/// A pointer to every field and every element in `value`, including `value` itself.
pub(crate) fn pointers(value: &Value) -> Vec<Vec<String>> {
    let below = |key: &str, value: &Value| {
        pointers(value)
            .into_iter()
            .map(move |mut path| {
                path.insert(0, key.to_owned());
                path
            })
            .collect::<Vec<_>>()
    };
    let mut found = vec![Vec::new()];
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                found.extend(below(key, member));
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                found.extend(below(&index.to_string(), element));
            }
        }
        _ => {}
    }
    found
}

/// `value` with what is at `path` replaced, or removed.
pub(crate) fn replaced(mut value: Value, path: &[String], replacement: Option<Value>) -> Value {
    let Some((last, parents)) = path.split_last() else {
        return replacement.unwrap_or(Value::Null);
    };
    let parent = parents.iter().fold(&mut value, |value, key| match value {
        Value::Object(members) => &mut members[key],
        Value::Array(elements) => &mut elements[key.parse::<usize>().unwrap()],
        _ => panic!("{path:?}"),
    });
    match (parent, replacement) {
        (Value::Object(members), Some(replacement)) => {
            members.insert(last.clone(), replacement);
        }
        (Value::Object(members), None) => {
            members.remove(last);
        }
        (Value::Array(elements), Some(replacement)) => {
            elements[last.parse::<usize>().unwrap()] = replacement;
        }
        (Value::Array(elements), None) => {
            elements.remove(last.parse().unwrap());
        }
        _ => panic!("{path:?}"),
    }
    value
}

/// Asserts that an outcome has a valid kind and reason, and that an error has a remedy.
pub(crate) fn assert_answer(answer: &Result<Outcome, Error>) {
    match answer {
        Ok(outcome) => {
            let fields = serde_json::to_value(outcome).unwrap();
            let kebab = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            assert!(
                kebab(outcome.kind()) && !outcome.kind().is_empty(),
                "{fields}"
            );
            assert!(outcome.reason().is_none_or(kebab), "{fields}");
        }
        Err(error) => {
            let message = error.to_string();
            let remedy = error.fault().remedy();
            assert!(
                message.len() <= MESSAGE_LIMIT,
                "a message of {} bytes: {}",
                message.len(),
                error.fault().operation()
            );
            assert!(
                !message.contains(|c: char| c.is_control() || c == '\u{2028}'),
                "{message:?}"
            );
            assert!(message.ends_with(remedy), "{message}");
            assert!(remedy.len() > 10 && remedy.ends_with('.'), "{remedy}");
        }
    }
}

/// Asserts that all writes satisfy the limits of AWS.
pub(crate) fn assert_acceptable(world: &World) {
    let problems = world.state().problems.clone();
    assert!(problems.is_empty(), "{problems:#?}");
}

/// A world that fits the event. The target of restores is [`INSTANCE`].
fn world_for(event: &Value) -> World {
    let restore = event
        .pointer("/detail/restoreJobId")
        .is_some_and(Value::is_string);
    if restore {
        return world_of(event);
    }
    let world = World::new();
    let restored = crate::support::repository::event("restore-completed-ebs");
    add_restore(&world, &restored);
    add_target(&world, &restored);
    world
}

/// The worlds to which the changed forms of an event are delivered. A world that a delivery has not
/// changed is used again.
pub(super) struct Worlds<'a> {
    original: &'a Value,
    restored: Option<World>,
    /// One for each responder.
    quiet: [Option<World>; 2],
    /// The number of attachments.
    attached: usize,
}

impl<'a> Worlds<'a> {
    pub(super) fn of(original: &'a Value) -> Worlds<'a> {
        Worlds {
            original,
            restored: None,
            quiet: [None, None],
            attached: 0,
        }
    }

    /// Delivers `payload` to all functions, and again to those that made a call. Returns the worlds in
    /// which they did.
    pub(super) fn deliver(&mut self, payload: &Value) -> Vec<World> {
        let mut changed = Vec::new();
        let mut sorted = |world: World| {
            if world.calls().is_empty() {
                Some(world)
            } else {
                changed.push(world);
                None
            }
        };
        // Taken out, so that a world is not used again after a panic.
        let restored = self
            .restored
            .take()
            .unwrap_or_else(|| world_for(self.original));
        self.deliver_to_backup_functions(&restored, payload);
        self.attached += restored.attachments_made();
        self.restored = sorted(restored);

        for (quiet, function) in self
            .quiet
            .iter_mut()
            .zip([Responder::Health, Responder::Alarm])
        {
            let world = quiet.take().unwrap_or_default();
            deliver_to_responder(function, &world, payload);
            *quiet = sorted(world);
        }
        deliver_to_steps(payload);
        changed
    }

    fn deliver_to_backup_functions(&self, world: &World, payload: &Value) {
        let scope = if self.original.get("account").is_some() {
            scope(self.original)
        } else {
            usual_scope()
        };
        let ownership = Ownership {
            scope: scope.clone(),
            drill_role: DRILL_ROLE.to_owned(),
        };
        twice(world, || {
            let ports = Disturbed::not(world);
            finish(restore_integrator::handle(
                &ports,
                &FakeClock::new(),
                &ownership,
                payload,
            ))
        });
        let config = table_config_in(&scope);
        twice(world, || {
            let ports = Disturbed::not(world);
            let clock = FakeClock::new();
            finish(table_integrator::handle(&ports, &clock, &config, payload))
        });
        for table in world.state().tables.values() {
            let made: BTreeSet<&String> = table.changes.iter().collect();
            assert_eq!(made.len(), table.changes.len(), "a setting was made twice");
        }
        let config = file_system_config_in(&scope);
        twice(world, || {
            let ports = Disturbed::not(world);
            let clock = FakeClock::new();
            finish(file_system_integrator::handle(
                &ports, &clock, &config, payload,
            ))
        });
        twice(world, || {
            let ports = Disturbed::not(world);
            let clock = FakeClock::new();
            finish(restore_test_validator::handle(
                &ports, &clock, &scope, payload,
            ))
        });
        assert!(world.attachments_made() <= 1, "attached twice");
        for volume in world.state().volumes.values() {
            for attachment in &volume.attachments {
                let instance = attachment.instance.as_str();
                assert_eq!(instance, INSTANCE, "attached elsewhere");
            }
        }
        assert_acceptable(world);
        twice(world, || {
            finish(opsitem_creator::handle(
                &Disturbed::not(world),
                DRILL_ROLE,
                payload,
            ))
        });
        assert_acceptable(world);
    }
}

/// Delivers `payload` to the functions that are steps of a recovery, each with another world.
fn deliver_to_steps(payload: &Value) {
    let (routing, recovered) = (routing(), recovered());
    let world = World::new();
    twice(&world, || {
        let ports = Disturbed::not(&world);
        finish(routing_shifter::handle(&ports, &routing, payload))
    });
    // The routing controls do not exist, so nothing is changed.
    assert_eq!(world.state().cluster.changes, 0);
    let world = World::new();
    twice(&world, || {
        let (ports, clock) = (Disturbed::not(&world), FakeClock::new());
        finish(region_switch_action::handle(
            &ports, &clock, &recovered, payload,
        ))
    });
    let started = world.state().recoveries.executions.len();
    assert!(started <= 1, "recovered twice");
}

/// A function that handles disaster signals.
#[derive(Clone, Copy)]
enum Responder {
    Health,
    Alarm,
}

fn respond(function: Responder, world: &World, payload: &Value) -> Result<Outcome, Error> {
    let policy = Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some("StartRegionRecovery".to_owned()),
        other_runbooks: Vec::new(),
    };
    let ports = Disturbed::not(world);
    match function {
        Responder::Health => finish(health_event_responder::handle(&ports, &policy, payload)),
        Responder::Alarm => finish(alarm_responder::handle(&ports, &policy, payload)),
    }
}

fn deliver_to_responder(function: Responder, world: &World, payload: &Value) {
    twice(world, || respond(function, world, payload));
    {
        let state = world.state();
        assert!(state.executions.len() <= 1, "recovered twice");
        assert!(state.items.len() <= 1, "two OpsItems");
        assert!(state.notifications.len() <= 1, "notified twice");
    }
    assert_acceptable(world);
}

/// Delivers, and delivers again if the first delivery made a call.
fn twice(world: &World, deliver: impl Fn() -> Result<Outcome, Error>) {
    let before = world.calls().len();
    assert_answer(&deliver());
    if world.calls().len() > before {
        assert_answer(&deliver());
    }
}

/// Replaces every field of every event file by each replacement. Runs one of `parts` parts.
fn replace_every_field(part: usize, parts: usize) {
    let replacements = replacements();
    let (mut cases, mut attached) = (0_usize, 0_usize);
    let mut failures = Vec::new();
    for (name, event) in events().iter().skip(part).step_by(parts) {
        let mut worlds = Worlds::of(event);
        for path in pointers(event) {
            for replacement in &replacements {
                let payload = replaced(event.clone(), &path, replacement.clone());
                cases += 1;
                if catch_unwind(AssertUnwindSafe(|| worlds.deliver(&payload))).is_err() {
                    let shown = replacement.as_ref().map(Value::to_string);
                    let shown = shown.map(|text| text.chars().take(40).collect::<String>());
                    failures.push(format!("{name}: /{} = {shown:?}", path.join("/")));
                }
            }
        }
        attached += worlds.attached;
    }
    #[expect(clippy::print_stdout, reason = "shown by `cargo test -- --nocapture`")]
    {
        println!(
            "{cases} changed events, each delivered to each function; {attached} volumes attached"
        );
    }
    assert!(cases > 10_000, "only {cases} cases");
    // Otherwise the test would prove nothing about attachments.
    assert!(attached > 100, "only {attached} volumes attached");
    assert!(
        failures.is_empty(),
        "{} of {cases} cases: {:#?}",
        failures.len(),
        &failures[..failures.len().min(30)]
    );
}

#[test]
fn handles_events_with_an_invalid_field_part_1() {
    replace_every_field(0, 2);
}

#[test]
fn handles_events_with_an_invalid_field_part_2() {
    replace_every_field(1, 2);
}

#[test]
fn rejects_payloads_that_are_not_events() {
    for payload in [
        json!(null),
        json!(true),
        json!(0),
        json!(""),
        json!("{\"source\": \"aws.backup\"}"),
        json!([]),
        json!([event("restore-completed-ebs")]),
        json!({}),
        json!({"Records": [{"body": "{}"}]}),
        json!({"detail": event("restore-completed-ebs")}),
    ] {
        Worlds::of(&event("restore-completed-ebs")).deliver(&payload);
        let world = World::new();
        let error = finish(opsitem_creator::handle(
            &Disturbed::not(&world),
            DRILL_ROLE,
            &payload,
        ))
        .unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert!(
            error
                .to_string()
                .contains("The files under events/ are examples"),
            "{error}"
        );
        let ports = Disturbed::not(&world);
        for answer in [
            finish(integration(&ports, &FakeClock::new(), &payload)),
            respond(Responder::Health, &world, &payload),
            respond(Responder::Alarm, &world, &payload),
        ] {
            assert_eq!(answer.unwrap_err().error_type(), "Permanent");
        }
        assert_eq!(world.calls(), Vec::<String>::new());
    }
}

#[test]
fn ignores_unknown_fields() {
    for (name, original) in events() {
        let Value::Object(members) = original else {
            panic!("{name} is not an object");
        };
        let mut members = members.clone();
        let foreign = json!({"a": [{"b": null}]});
        members.insert("foreign".to_owned(), foreign.clone());
        if let Some(Value::Object(detail)) = members.get_mut("detail") {
            detail.insert("foreign".to_owned(), foreign);
        }
        let answers = |payload: &Value| {
            let world = world_for(original);
            let ports = Disturbed::not(&world);
            let integrated = finish(integration(&ports, &FakeClock::new(), payload));
            let tracked = finish(opsitem_creator::handle(&ports, DRILL_ROLE, payload));
            let health = respond(Responder::Health, &world, payload);
            let alarmed = respond(Responder::Alarm, &world, payload);
            [integrated, tracked, health, alarmed].map(|answer| format!("{answer:?}"))
        };
        assert_eq!(
            answers(&Value::Object(members)),
            answers(original),
            "{name}"
        );
    }
}
