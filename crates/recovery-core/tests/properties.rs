//! Properties of the decision code for every input.

use std::collections::BTreeSet;

use chrono::DateTime;
use proptest::prelude::*;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn, VolumeId};
use recovery_core::aws::ec2::{Attachment, DeviceName, Instance, Volume};
use recovery_core::detect::health::judge;
use recovery_core::detect::{Judgement, Policy, Response, State};
use recovery_core::event::date;
use recovery_core::event::health::HealthEvent;
use recovery_core::integrate::refusal::Refusal;
use recovery_core::integrate::volume::decide::{Step, next_step};
use recovery_core::notification::Notification;
use recovery_core::ops_item::{DESCRIPTION_LIMIT, ItemKey};
use recovery_core::tags::{Tags, integration_target};
use recovery_core::text;

/// Any text; much of it is almost an ARN, a device name or Markdown.
fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "(arn|ARN|)(:[a-z0-9/é -]{0,8}){0,8}",
        "[/.a-zé0-9 `*#\n]{0,40}",
        Just("x".repeat(3000)),
        Just("🌊\n".repeat(1500)),
    ]
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    prop::option::of(anything())
}

fn volume() -> impl Strategy<Value = Volume> {
    let state = prop::sample::select(vec![
        "creating",
        "available",
        "in-use",
        "deleting",
        "error",
        "?",
    ]);
    let zone = prop::sample::select(vec!["us-west-2a", "us-west-2b"]);
    let attachment = (
        prop::sample::select(vec!["i-1", "i-2"]),
        prop::sample::select(vec!["attaching", "attached", "detaching", "busy", "?"]),
    )
        .prop_map(|(instance, state)| Attachment {
            instance: InstanceId::new(instance),
            device: "/dev/sdf".to_owned(),
            state: state.into(),
            since: None,
        });
    (state, zone, prop::collection::vec(attachment, 0..3)).prop_map(|(state, zone, attachments)| {
        Volume {
            id: VolumeId::new("vol-1"),
            state: state.into(),
            zone: zone.to_owned(),
            attachments,
            key: None,
            restore_test: false,
            owner: None,
            size: None,
            encrypted: None,
            snapshot: None,
        }
    })
}

fn instance() -> impl Strategy<Value = Instance> {
    let states = vec![
        "pending",
        "running",
        "stopping",
        "stopped",
        "shutting-down",
        "terminated",
        "?",
    ];
    let device = (
        prop::sample::select(vec!["/dev/sd", "/dev/xvd", "xvd"]),
        prop::char::range('a', 'z'),
    )
        .prop_map(|(prefix, letter)| (format!("{prefix}{letter}"), VolumeId::new("vol-other")));
    (
        prop::sample::select(states),
        prop::sample::select(vec!["us-west-2a", "us-west-2b"]),
        prop::collection::vec(device, 0..16),
    )
        .prop_map(|(state, zone, devices)| Instance {
            id: InstanceId::new("i-1"),
            state: state.into(),
            zone: zone.to_owned(),
            devices,
        })
}

fn device() -> impl Strategy<Value = DeviceName> {
    "/dev/(sd|xvd)[b-z]".prop_filter_map("no device name", |name| DeviceName::parse(&name))
}

fn health_event() -> impl Strategy<Value = HealthEvent> {
    let time = || {
        prop::option::of(
            (0..4_000_000_000_i64).prop_map(|s| DateTime::from_timestamp(s, 0).unwrap_or_default()),
        )
    };
    let region = prop::option::of(prop::sample::select(vec![
        "us-east-1",
        "us-west-2",
        "eu-west-1",
        "global",
    ]));
    let service = prop::sample::select(vec!["S3", "MULTIPLE_SERVICES", ""]);
    let category = prop::sample::select(vec!["issue", "issue", "issue", "scheduledChange", ""]);
    let scope = prop::option::of(prop::sample::select(vec![
        "PUBLIC",
        "ACCOUNT_SPECIFIC",
        "NONE",
    ]));
    let status = prop::option::of(prop::sample::select(vec![
        "open", "closed", "upcoming", "?",
    ]));
    (
        (
            anything(),
            service,
            anything(),
            category,
            scope,
            status,
            region,
        ),
        (
            time(),
            time(),
            time(),
            anything(),
            prop::collection::vec(anything(), 0..14),
            any::<u32>(),
        ),
    )
        .prop_map(
            |(
                (arn, service, code, category, scope, status, region),
                (start, end, updated, description, entities, pages),
            )| {
                HealthEvent {
                    arn,
                    service: service.to_owned(),
                    code,
                    category: category.to_owned(),
                    scope: scope.map(str::to_owned),
                    message_key: "m".to_owned(),
                    status: status.map(str::to_owned),
                    region: region.map(str::to_owned),
                    start,
                    end,
                    updated,
                    description,
                    entities,
                    pages,
                    affected_account: None,
                }
            },
        )
}

fn policy() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some("StartRegionRecovery".to_owned()),
        other_runbooks: Vec::new(),
    }
}

/// `/dev/sdf`, `/dev/xvdf` and `xvdf` are the same device.
fn letters(device: &str) -> &str {
    device
        .trim_start_matches("/dev/")
        .trim_start_matches("xvd")
        .trim_start_matches("sd")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parses_an_arn_without_loss_or_returns_an_error(text in anything()) {
        if let Ok(arn) = Arn::parse(&text) {
            prop_assert_eq!(arn.as_str(), &text);
            let parts = [arn.partition(), arn.service(), arn.region(), arn.account(), arn.resource()];
            prop_assert_eq!(format!("arn:{}", parts.join(":")), text.clone());
            prop_assert_eq!(&Arn::parse(arn.as_str()).unwrap(), &arn);
            RecoveryPointArn::new(arn).tag_home();
        }
    }

    #[test]
    fn truncates_every_text_to_its_limit(text in anything(), limit in 0..300_usize) {
        let cut = text::within(&text, limit);
        prop_assert!(cut.len() <= limit);
        if text.len() <= limit {
            prop_assert_eq!(&cut, &text);
        }
        let breaks = ['\n', '\r', '\u{2028}'];
        prop_assert!(!text::one_line(&text).contains(breaks));
        prop_assert!(text::shown(&text).len() <= 200);
        prop_assert!(!text::shown(&text).is_empty());
        let code = text::code(&text);
        prop_assert!(code == "(empty)" || code.matches('`').count() == 2, "{}", code);
    }

    #[test]
    fn notifications_satisfy_the_limits_of_sns(subject in anything(), message in anything()) {
        let sent = Notification { subject: subject.clone(), pointer: subject, message, attributes: Vec::new() };
        let subject = sent.limited_subject();
        prop_assert!(subject.len() < 100);
        prop_assert!(subject.chars().all(|c| c.is_ascii() && !c.is_ascii_control()));
        prop_assert!(!subject.starts_with(' '));
        prop_assert!(sent.limited_message().len() <= 256 * 1024);
        let phone = sent.text_message();
        prop_assert!(phone.len() <= 140 && phone.is_ascii(), "{}", phone);
    }

    #[test]
    fn item_keys_are_one_line_and_their_tokens_are_uuids(kind in "[a-z-]{1,12}", id in anything()) {
        let key = ItemKey::new(&kind, &id);
        prop_assert!(key.as_str().len() <= 500 && !key.as_str().contains('\n'));
        let token = key.token("recover");
        let parts: Vec<usize> = token.split('-').map(str::len).collect();
        prop_assert_eq!(parts, [8, 4, 4, 4, 12]);
        prop_assert!(token.chars().all(|c| c == '-' || c.is_ascii_hexdigit()));
    }

    #[test]
    fn tags_yield_a_valid_target_a_refusal_or_none(
        stack in maybe(), logical_id in maybe(), device in maybe(), mount in maybe(),
    ) {
        let tags: Tags = [
            ("recovery:stack", stack),
            ("recovery:logical-id", logical_id),
            ("recovery:device", device),
            ("recovery:mount", mount),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
        match integration_target(&tags) {
            Ok(Some(target)) => {
                prop_assert!(target.stack.is_none_or(|it| it.len() <= 128 && it.is_ascii()));
                prop_assert!(!target.logical_id.to_string().is_empty());
                if let Some(mount) = target.mount {
                    prop_assert!(mount.starts_with('/') && !mount.contains("..") && !mount.contains([' ', '`', '$', ';']));
                }
            }
            Ok(None) => {}
            // One short line.
            Err(refusal) => {
                prop_assert!(refusal.to_string().len() < 600);
                prop_assert!(!refusal.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn attaches_a_volume_only_if_all_conditions_are_met(
        volume in volume(),
        instance in instance(),
        wanted in prop::option::of(device()),
        unusable in prop::collection::btree_set(device(), 0..4),
    ) {
        let step = next_step(&volume, &instance, wanted.as_ref(), &unusable);
        match &step {
            Step::Attach { device } => {
                prop_assert_eq!(volume.state.as_str(), "available");
                prop_assert!(["running", "stopped"].contains(&instance.state.as_str()));
                prop_assert_eq!(&volume.zone, &instance.zone);
                prop_assert!(!unusable.contains(device));
                prop_assert!(wanted.is_none() || wanted.as_ref() == Some(device));
                let taken: BTreeSet<&str> = instance.devices.iter().map(|(name, _)| letters(name)).collect();
                prop_assert!(!taken.contains(letters(device.as_str())));
                prop_assert!(volume.attachments.iter().all(|there| there.instance != instance.id));
            }
            Step::Done { .. } => {
                prop_assert!(volume.attachments.iter().any(|there| there.instance == instance.id));
            }
            Step::Refuse(refusal) => {
                prop_assert!(!refusal.remedy().is_empty());
                prop_assert!(!refusal.to_string().is_empty());
            }
            Step::Wait(what) => prop_assert!(!what.is_empty()),
        }
    }

    #[test]
    fn starts_a_recovery_only_for_an_open_issue_of_the_primary_region(event in health_event()) {
        let Judgement::Respond(incident, responses) = judge(&event, &policy()) else {
            return Ok(());
        };
        prop_assert_eq!(&event.category, "issue");
        prop_assert!(responses.is_sorted());
        if responses.contains(&Response::Recover) {
            prop_assert_eq!(event.region.as_deref(), Some("us-east-1"));
            prop_assert_eq!(incident.state, State::Open);
            prop_assert!(event.status.as_deref() != Some("closed"));
            prop_assert!(event.scope.as_deref() != Some("ACCOUNT_SPECIFIC"));
        }
    }

    /// The truncation never removes the instructions, however long the texts of AWS are.
    #[test]
    fn truncated_health_item_keeps_the_instructions(event in health_event()) {
        let Judgement::Respond(incident, _) = judge(&event, &policy()) else {
            return Ok(());
        };
        let shown = text::within(&incident.description, DESCRIPTION_LIMIT);
        prop_assert!(shown.contains("**What to do.**"), "{}", shown);
        prop_assert!(shown.contains("The recovery runbook is `StartRegionRecovery`."), "{}", shown);
        prop_assert!(!incident.title.contains('\n'));
    }

    #[test]
    fn date_parsing_never_panics(text in prop_oneof![
        anything(),
        "[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|[+-][0-9]{4})",
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,12})?(Z|[+-][0-9]{2}:?[0-9]{2})?",
    ]) {
        date(&text);
    }
}
