//! Hostile text: Markdown, terminal commands, invisible characters, forged instructions. It replaces
//! every text of every event file, tags, names and settings. Operators must see it as a quotation or not
//! at all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use recovery_core::detect::{Policy, Response};
use recovery_core::fakes::{DRILL_ROLE, Failure, FakeClock, StoredItem, World};
use recovery_lambda::{ResponderSettings, SettingsError};
use serde_json::{Value, json};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::repository::{event, events, expectations};
use crate::support::restored::{
    INSTANCE, OTHER_INSTANCE, integrate, integration, make_target_a_group, retag, track, world_of,
};

use super::malformed::{Worlds, assert_acceptable, assert_answer, pointers, replaced};
use super::only_item;

/// Marks every hostile text.
const MARK: &str = "HOSTILE";
/// Longest line of a log, in bytes: an error's message and its fields.
const LINE_LIMIT: usize = 6_000;

/// Texts that a reader or a program could interpret.
fn hostile() -> Vec<String> {
    let markdown = [
        "[HOSTILE](https://example.com/)![HOSTILE](https://example.com/x.png)<https://example.com/>\\",
        "<img src=x onerror=HOSTILE></code></pre><h1>HOSTILE</h1>&lt;b&gt;&#x202e;***_~HOSTILE~_***",
        "\n# HOSTILE\n\n| HOSTILE | b |\n|---|---|\n| c | d |\n\n    HOSTILE\n> HOSTILE\n- HOSTILE\n---\n",
        "\n\n**What to do.** HOSTILE",
        "`HOSTILE`<b>`",
        "```\nHOSTILE\n```\n<b> `` <b>HOSTILE ````` ` <b>HOSTILE</b> ` ``",
    ];
    let other = [
        "\0\u{1b}[2J\u{1b}[31mHOSTILE\u{1b}]8;;https://example.com\u{7}\u{9b}31m\u{85}\u{7f}\0",
        "\u{202e}ELITSOH HOSTILE\u{202c}\u{2066}HOSTILE\u{2067}\u{200f}\u{61c}",
        "\u{fffe}HOST\u{200b}ILE HOSTILE\u{feff}\u{2060}\u{ad}\u{e0041}\u{10ffff}",
        "HOSTILE\r\nWhat to do\r\nnothing\r\n",
        "HOSTILE\nWhat to do\nnothing\n\u{2028}What to do",
        "{{ssm:HOSTILE}} {{ global:DATE }} ${HOSTILE} $(HOSTILE) %HOSTILE%",
        "\",\"HOSTILE\":\"",
        "مرحبا HOSTILE 你好 नमस्ते 🌊👩\u{200d}👩\u{200d}👧\u{fe0f} می\u{200c}خواهم",
    ];
    let long = ["🌊", "` <b>\u{202e}[a](b)\n"].map(|part| format!("{MARK}{}", part.repeat(6_000)));
    markdown
        .into_iter()
        .chain(other)
        .map(str::to_owned)
        .chain(long)
        .collect()
}

/// Control characters, bidirectional controls and invisible characters: listed independently of the code
/// that replaces them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c as u32,
            0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
            | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfeff
            | 0xffa0 | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
            | 0xe0000..=0xe00ff | 0xe01f0..=0xe0fff)
        || (c as u32) & 0xfffe == 0xfffe
}

/// The text without its code spans.
fn outside_code(markdown: &str) -> String {
    let outside = |line: &str| line.split('`').step_by(2).collect::<String>();
    markdown.lines().map(outside).collect::<Vec<_>>().join("\n")
}

/// Asserts that hostile text appears only as a quotation, and counts the texts that quote it.
fn assert_harmless(world: &World) -> usize {
    assert_acceptable(world);
    let state = world.state();
    let mut quoted = 0;
    for StoredItem {
        title, description, ..
    } in &state.items
    {
        let outside = outside_code(description);
        assert!(!outside.contains(MARK), "outside code:\n{description}");
        assert_eq!(
            outside.matches("**What to do.**").count().max(1),
            1,
            "{description}"
        );
        assert!(!title.contains(is_hidden), "{title:?}");
        let shown = |c: char| c != '\n' && is_hidden(c);
        assert!(!description.contains(shown), "{description:?}");
        quoted += usize::from(description.contains(MARK));
    }
    for notification in &state.notifications {
        let message = notification.limited_message();
        let shown = |c: char| c != '\n' && is_hidden(c);
        assert!(!message.contains(shown), "{message:?}");
        // The instructions appear exactly once: not forged, and not truncated.
        let lines = |start: &str| {
            message
                .lines()
                .filter(|line| line.starts_with(start))
                .count()
        };
        assert_eq!(lines("What to do"), 1, "{message}");
        quoted += usize::from(message.contains(MARK));
    }
    quoted
}

/// Replaces every text of every event file by each hostile text, and appends it. Runs one of `parts`
/// parts.
fn replace_texts(part: usize, parts: usize) {
    let (mut cases, mut quoted) = (0_usize, 0_usize);
    let mut failures = Vec::new();
    let matched = expectations();
    let files = events().iter().filter(|(name, _)| {
        // `malformed` covers events that match no rule.
        matched.get(*name).is_none_or(|rules| !rules.is_empty())
    });
    for (name, original) in files.skip(part).step_by(parts) {
        let mut worlds = Worlds::of(original);
        for path in pointers(original) {
            let pointer: String = path.iter().map(|key| format!("/{key}")).collect();
            let Some(text) = original.pointer(&pointer).and_then(Value::as_str) else {
                continue;
            };
            for hostile in hostile() {
                // An ARN with white space is invalid.
                let joined: String = hostile.split_whitespace().collect();
                let behind = if text.starts_with("arn:") {
                    joined
                } else {
                    hostile.clone()
                };
                for replacement in [hostile, format!("{text}{behind}")] {
                    let payload = replaced(original.clone(), &path, Some(json!(replacement)));
                    cases += 1;
                    let deliver = || {
                        let worlds = worlds.deliver(&payload);
                        worlds.iter().map(assert_harmless).sum::<usize>()
                    };
                    match catch_unwind(AssertUnwindSafe(deliver)) {
                        Ok(texts) => quoted += texts,
                        Err(_) => {
                            let shown: String = replacement.chars().take(120).collect();
                            failures.push(format!("{name}: {pointer} = {shown:?}"));
                        }
                    }
                }
            }
        }
    }
    #[expect(clippy::print_stdout, reason = "shown by `cargo test -- --nocapture`")]
    {
        println!("{cases} events with a hostile text; {quoted} texts for operators quote it");
    }
    assert!(cases > 10_000, "only {cases} cases");
    // Otherwise the test would prove nothing.
    assert!(quoted > 500, "only {quoted} texts quote it");
    assert!(
        failures.is_empty(),
        "{} of {cases} cases: {:#?}",
        failures.len(),
        &failures[..failures.len().min(30)]
    );
}

#[test]
fn quotes_hostile_text_of_events_part_1() {
    replace_texts(0, 2);
}

#[test]
fn quotes_hostile_text_of_events_part_2() {
    replace_texts(1, 2);
}

#[test]
fn refuses_or_quotes_hostile_tags() {
    let original = event("restore-completed-ebs");
    let tags = [
        "recovery:stack",
        "recovery:logical-id",
        "recovery:device",
        "recovery:mount",
    ];
    for tag in tags {
        for hostile in hostile() {
            // Longest value of a tag, in characters.
            let hostile: String = hostile.chars().take(256).collect();
            let world = world_of(&original);
            let pairs = [
                ("recovery:stack", "shop"),
                ("recovery:logical-id", "Server"),
            ];
            let others = pairs.into_iter().filter(|(key, _)| *key != tag);
            let pairs: Vec<_> = others.chain([(tag, hostile.as_str())]).collect();
            retag(&world, &pairs);
            let outcome = integrate(&world, &original).unwrap();
            let optional = ["recovery:device", "recovery:mount"].contains(&tag);
            let (expected, quoted, made) = if optional {
                (("integrated", None), 1, 1)
            } else {
                (("refused", Some("tag-invalid")), 2, 0)
            };
            assert_eq!(
                (outcome.kind(), outcome.reason()),
                expected,
                "{tag} = {hostile:?}"
            );
            assert_eq!(assert_harmless(&world), quoted, "{tag} = {hostile:?}");
            assert_eq!(world.attachments_made(), made);
        }
    }
}

#[test]
fn accepts_the_maximum_number_and_length_of_tags() {
    let original = event("restore-completed-ebs");
    let world = world_of(&original);
    let others: Vec<_> = (0..48)
        .map(|n| (format!("{n:02}{}", "🌊".repeat(126)), "`".repeat(256)))
        .collect();
    let pairs: Vec<_> = others
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain([
            ("recovery:stack", "shop"),
            ("recovery:logical-id", "Server"),
        ])
        .collect();
    retag(&world, &pairs);
    assert_eq!(integrate(&world, &original).unwrap().kind(), "integrated");
    assert_eq!(assert_harmless(&world), 0);
    assert_eq!(only_item(&world).item.data["recovery:instance"], INSTANCE);
}

#[test]
fn quotes_hostile_names_of_resources() {
    let original = event("restore-completed-ebs");
    for hostile in hostile() {
        // The name of a group may contain almost any character.
        let name: String = hostile.chars().take(255).collect();
        let world = world_of(&original);
        make_target_a_group(&world, &[INSTANCE, OTHER_INSTANCE]);
        {
            let mut state = world.state();
            for resource in state.stack_resources.values_mut() {
                resource.physical_id = Some(name.clone());
            }
            let instances = state.groups.remove("shop-group").unwrap();
            state.groups.insert(name.clone(), instances);
        }
        let outcome = integrate(&world, &original).unwrap();
        assert_eq!(outcome.reason(), Some("several-instances"));
        assert_eq!(assert_harmless(&world), 2, "{name:?}");

        let world = world_of(&original);
        for resource in world.state().stack_resources.values_mut() {
            resource.resource_type = format!("Custom::{name}");
        }
        let outcome = integrate(&world, &original).unwrap();
        assert_eq!(outcome.reason(), Some("target-type"));
        assert_eq!(assert_harmless(&world), 2, "{name:?}");
    }
}

#[test]
fn quotes_hostile_arns_of_other_regions() {
    for hostile in hostile() {
        let hostile: String = hostile
            .chars()
            .filter(|c| !c.is_whitespace() && !is_hidden(*c))
            .collect();
        let mut payload = event("restore-completed-ebs");
        payload["detail"]["createdResourceArn"] =
            json!(format!("arn:aws:ec2:eu-west-1:1:volume/{hostile}"));
        let world = world_of(&event("restore-completed-ebs"));
        let outcome = integrate(&world, &payload).unwrap();
        assert_eq!(outcome.reason(), Some("not-here"));
        assert_eq!(assert_harmless(&world), 2, "{hostile:?}");
    }
}

#[test]
fn shows_other_scripts_unchanged() {
    let text = "مرحبا 你好 नमस्ते 🌊👩\u{200d}👧\u{fe0f} می\u{200c}خواهم";
    let mut payload = event("restore-failed-ebs");
    payload["detail"]["statusMessage"] = json!(text);
    let world = World::new();
    track(&world, &payload).unwrap();
    let description = only_item(&world).description;
    assert!(description.contains(&format!("`{text}`")), "{description}");
}

/// One event of each kind that a function handles.
const LARGE: [&str; 7] = [
    "restore-completed-ebs",
    "restore-failed",
    "copy-failed",
    "backup-failed",
    "health-multiple-services",
    "alarm-composite",
    "alarm-metric-ok",
];

/// The largest event that EventBridge delivers, and larger.
#[test]
fn handles_events_of_maximum_size() {
    let filler = format!("{MARK} {}", "🌊".repeat(256 * 1024 / 4));
    for name in LARGE {
        let original = event(name);
        let mut worlds = Worlds::of(&original);
        // An unknown member, and long lists.
        let mut payload = original.clone();
        payload["detail"]["foreign"] = json!(filler);
        payload["detail"]["affectedEntities"] = json!(vec![
            json!({"entityValue": "arn:aws:ec2:us-east-1:1:volume/vol-1"});
            4_000
        ]);
        payload["resources"] = json!(vec!["arn:aws:s3:::bucket"; 8_000]);
        for world in worlds.deliver(&payload) {
            assert_harmless(&world);
        }
        let detail = original["detail"].as_object().unwrap();
        for (text, _) in detail.iter().filter(|(_, value)| value.is_string()) {
            let mut payload = original.clone();
            payload["detail"][text.as_str()] = json!(filler);
            for world in worlds.deliver(&payload) {
                assert_harmless(&world);
            }
        }
    }
}

#[test]
fn handles_the_maximum_nesting() {
    let nested = |depth: usize| {
        format!(
            "{}{}",
            "[{\"a\":".repeat(depth / 2) + "1",
            "}]".repeat(depth / 2)
        )
    };
    // The runtime parses at most this depth, including the envelope and the detail.
    assert!(serde_json::from_str::<Value>(&nested(130)).is_err());
    let deep: Value = serde_json::from_str(&nested(120)).unwrap();
    for original in events().values() {
        let mut worlds = Worlds::of(original);
        for path in pointers(original) {
            let payload = replaced(original.clone(), &path, Some(deep.clone()));
            for world in worlds.deliver(&payload) {
                assert_harmless(&world);
            }
        }
    }
}

/// Collects the log of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn log_lines_and_outcomes_contain_no_payload() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .json()
        .finish();
    let filler = "🌊".repeat(2_000);
    let mut longest = 0;
    tracing::subscriber::with_default(subscriber, || {
        for original in events().values() {
            for path in pointers(original) {
                let payload = replaced(original.clone(), &path, Some(json!(filler)));
                let world = World::new();
                // Every call fails once, so that failures are logged.
                let ports = Disturbed::not(&world);
                for operation in ["ssm:DescribeOpsItems", "ssm:UpdateOpsItem", "sns:Publish"] {
                    world.fail(operation, Failure::Denied);
                }
                let answers = [
                    finish(integration(&ports, &FakeClock::new(), &payload)),
                    finish(opsitem_creator::handle(&ports, DRILL_ROLE, &payload)),
                    finish(health_event_responder::handle(&ports, &policy(), &payload)),
                    finish(alarm_responder::handle(&ports, &policy(), &payload)),
                ];
                for answer in answers {
                    assert_answer(&answer);
                    // `serve` logs the complete outcome.
                    let line = answer.map(|outcome| serde_json::to_string(&outcome).unwrap());
                    longest = longest.max(line.unwrap_or_default().len());
                }
            }
        }
        tracing::warn!("the last line");
    });
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the last line"));
    assert!(logged.lines().count() > 1, "nothing else was logged");
    for line in logged.lines() {
        assert!(
            line.len() < LINE_LIMIT,
            "{} bytes: {}",
            line.len(),
            &line[..500]
        );
    }
    assert!(longest < LINE_LIMIT, "an outcome of {longest} bytes");
}

fn policy() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify],
        runbook: None,
        other_runbooks: Vec::new(),
    }
}

#[test]
fn reports_all_invalid_settings_in_one_error() {
    let check = |error: SettingsError, names: &[&str]| {
        let text = error.to_string();
        for name in names {
            assert!(text.contains(name), "{name} is not named: {text}");
        }
        assert!(!text.contains(is_hidden), "{text:?}");
        assert!(text.len() < LINE_LIMIT, "{} bytes", text.len());
        assert!(text.ends_with("Deploy the template again."), "{text}");
    };
    for hostile in hostile() {
        let variables = |_: &str| Some(hostile.clone());
        let names = [
            "PRIMARY_REGION",
            "AWS_REGION",
            "RESPONSES",
            "RECOVERY_RUNBOOK",
            "OTHER_RUNBOOKS",
            "TOPIC_ARN",
        ];
        check(
            ResponderSettings::from_variables(&variables).unwrap_err(),
            &names,
        );
        check(
            restore_integrator::Settings::from_variables(&variables).unwrap_err(),
            &[
                "ACCOUNT_ID",
                "AWS_REGION",
                "DRILL_RESTORE_ROLE_ARN",
                "MOUNT_RUNBOOK",
                "TOPIC_ARN",
            ],
        );
    }
}
