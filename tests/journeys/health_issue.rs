//! `HealthIssueRule`: AWS Health reports an issue. health-event-responder keeps one OpsItem for the
//! incident, notifies, and starts the recovery runbook if the response `recover` is configured.

use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::fakes::World;
use recovery_core::ops_item::{DESCRIPTION_LIMIT, Severity, Status};
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::end::End;
use crate::support::repository::{event, event_with};

use super::{assert_contains, assert_outcome, notifications, only_item};

const RUNBOOK: &str = "StartRegionRecovery";

/// Track and notify: the template's default.
fn track_and_notify() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify],
        runbook: None,
        other_runbooks: Vec::new(),
    }
}

/// Track, notify and recover.
fn all_responses() -> Policy {
    Policy {
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some(RUNBOOK.to_owned()),
        ..track_and_notify()
    }
}

fn respond(world: &World, policy: &Policy, event: &Value) -> Result<Outcome, Error> {
    finish(health_event_responder::handle(
        &Disturbed::not(world),
        policy,
        event,
    ))
}

/// The world after these events, in this order.
fn world_after(policy: &Policy, events: &[&str]) -> World {
    let world = World::new();
    for name in events {
        respond(&world, policy, &event(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    world
}

#[test]
fn tracks_and_notifies_of_a_service_issue() {
    let event = event("health-issue-s3-get");
    let world = World::new();

    let outcome = assert_outcome!(respond(&world, &track_and_notify(), &event), "responded");

    let key = format!(
        "health-event/{}",
        event["detail"]["eventArn"].as_str().unwrap()
    );
    assert_eq!(
        serde_json::to_value(&outcome).unwrap(),
        json!({"outcome": "responded", "incident": key, "opsItemId": "oi-1"})
    );
    assert_eq!(
        world.calls(),
        [
            format!("ssm:DescribeOpsItems {key}"),
            format!("ssm:CreateOpsItem {key}"),
            format!("ssm:DescribeOpsItems {key}"),
            "sns:Publish AWS Health: issue with S3 in us-east-1".to_owned(),
            "ssm:UpdateOpsItem oi-1".to_owned(),
            "ssm:DescribeOpsItems open incidents".to_owned(),
        ]
    );
    let stored = only_item(&world);
    assert_eq!(stored.title, "AWS Health: issue with S3 in us-east-1");
    assert_contains(
        &stored.description,
        &[
            "**What happened.** A service that the workload may depend on is impaired.",
            "- Region: `us-east-1`",
            "- Since: 2026-10-20T13:49:00Z",
            "> `[06:49 AM PDT] We are investigating increased error rates for GET requests",
            "**What was done.** The OpsItem of this incident was created or updated. No recovery was started.",
            "**What to do.** Check the workload itself.",
            "No recovery runbook is configured.",
        ],
    );
    assert_eq!(
        (stored.severity, stored.item.status),
        (Severity::High, Status::Open)
    );
    let notifications = notifications(&world);
    let [(subject, message)] = notifications.as_slice() else {
        panic!("notified {} times", notifications.len());
    };
    assert_eq!(subject, "AWS Health: issue with S3 in us-east-1");
    assert_contains(
        message,
        &["What to do\nCheck the workload itself.", "OpsItem: oi-1"],
    );
}

#[test]
fn issue_of_several_services_is_critical() {
    for name in [
        "health-multiple-services",
        "health-multiple-services-backup-region",
        "health-multiple-services-organization",
        "health-multiple-services-no-optional-fields",
        "health-multiple-services-short-arn",
        "health-multiple-services-wrong-weekday",
    ] {
        let world = world_after(&track_and_notify(), &[name]);
        let stored = only_item(&world);
        assert_eq!(stored.severity, Severity::Critical, "{name}");
        assert_eq!(
            stored.title,
            "AWS Health: issue with multiple services in us-east-1"
        );
        assert_contains(
            &stored.description,
            &[
                "Multiple services of the primary Region are impaired.",
                "The time until you decide counts in the RTO.",
            ],
        );
        assert_eq!(notifications(&world).len(), 1, "{name}");
    }
}

#[test]
fn recovers_in_other_partitions() {
    let policy = Policy {
        primary_region: "cn-north-1".to_owned(),
        recovery_region: "cn-northwest-1".to_owned(),
        ..all_responses()
    };
    let world = world_after(&policy, &["health-multiple-services-aws-cn"]);
    assert_eq!(only_item(&world).severity, Severity::Critical);
    assert_eq!(world.state().executions.len(), 1);
}

#[test]
fn copy_for_the_backup_region_changes_nothing() {
    for (event, copy) in [
        ("health-issue-s3-get", "health-issue-s3-get-backup-region"),
        (
            "health-multiple-services",
            "health-multiple-services-backup-region",
        ),
    ] {
        let once = End::of(&world_after(&all_responses(), &[event]));
        for order in [[event, copy], [copy, event]] {
            let world = world_after(&all_responses(), &order);
            assert_eq!(End::of(&world), once, "{order:?}");
            assert_eq!(notifications(&world).len(), 1, "{order:?}");
        }
    }
}

#[test]
fn pages_in_any_order_are_one_incident_with_one_notification() {
    let pages = [
        "health-multiple-services-paged-1",
        "health-multiple-services-paged-2",
    ];
    for order in [[pages[0], pages[1]], [pages[1], pages[0]]] {
        let world = world_after(&all_responses(), &order);
        only_item(&world);
        assert_eq!(notifications(&world).len(), 1, "{order:?}");
        // It names resources of this account only, so no recovery starts.
        assert!(world.state().executions.is_empty());
    }
}

#[test]
fn updates_the_same_ops_item_and_notifies() {
    let world = world_after(
        &track_and_notify(),
        &["health-issue-s3-get", "health-issue-s3-get-updated"],
    );
    let stored = only_item(&world);
    let news = event("health-issue-s3-get-updated");
    let news = news["detail"]["eventDescription"][0]["latestDescription"]
        .as_str()
        .unwrap();
    assert_contains(&stored.description, &[&format!("> `{news}`")]);
    assert_eq!(notifications(&world).len(), 2);

    // The older message, delivered late, does not overwrite the OpsItem.
    respond(&world, &track_and_notify(), &event("health-issue-s3-get")).unwrap();
    assert_contains(&only_item(&world).description, &[&format!("> `{news}`")]);
    assert_eq!(notifications(&world).len(), 2);
}

#[test]
fn closed_event_resolves_the_ops_item_and_notifies() {
    for end in [
        "health-issue-s3-get-closed",
        "health-issue-s3-get-resolved-but-open",
    ] {
        let world = world_after(&all_responses(), &["health-issue-s3-get"]);
        assert_outcome!(respond(&world, &all_responses(), &event(end)), "resolved");
        let stored = only_item(&world);
        assert_eq!(
            (stored.severity, stored.item.status),
            (Severity::Low, Status::Resolved)
        );
        assert_eq!(
            stored.title,
            "AWS Health: issue with S3 in us-east-1 resolved"
        );
        assert_contains(
            &stored.description,
            &["Check that the workload works in the primary Region."],
        );
        assert_eq!(notifications(&world).len(), 2, "{end}");
        assert_eq!(world.state().executions.len(), 1, "{end}");
    }
}

#[test]
fn end_in_the_description_resolves_the_ops_item() {
    const END: &str = "health-multiple-services-operating-normally";
    // As the first message that arrives, too.
    let world = world_after(&all_responses(), &[END]);
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert!(world.state().executions.is_empty());

    let world = world_after(
        &all_responses(),
        &["health-multiple-services-disruption", END],
    );
    let stored = only_item(&world);
    assert_eq!(
        (stored.severity, stored.item.status),
        (Severity::Low, Status::Resolved)
    );
    assert_eq!(notifications(&world).len(), 2);
    // The first event had started it.
    assert_eq!(world.state().executions.len(), 1);
    // Line breaks arrive as two characters.
    for text in [&stored.description, &notifications(&world)[1].1] {
        assert!(!text.contains("\\n"), "{text}");
    }
    assert_contains(
        &stored.description,
        &["\n> `Current severity level: Operating normally`\n>\n> `[RESOLVED] From 7:11 AM"],
    );
}

#[test]
fn informational_event_is_tracked_without_a_recovery() {
    let world = world_after(&all_responses(), &["health-issue-s3-get-informational"]);
    let stored = only_item(&world);
    assert_eq!(
        (stored.severity, stored.item.status),
        (Severity::Low, Status::Open)
    );
    assert_eq!(
        stored.title,
        "AWS Health: information about S3 in us-east-1"
    );
    assert!(world.state().executions.is_empty());
}

#[test]
fn contradictory_event_stays_open_without_a_recovery() {
    let world = world_after(
        &all_responses(),
        &["health-multiple-services-contradicting"],
    );
    let stored = only_item(&world);
    assert_eq!(
        (stored.severity, stored.item.status),
        (Severity::Critical, Status::Open)
    );
    assert_contains(
        &stored.description,
        &["The event says both that this issue is open and that it has ended."],
    );
    assert!(world.state().executions.is_empty());
}

#[test]
fn issue_of_one_instance_without_scope_starts_no_recovery() {
    let world = world_after(
        &all_responses(),
        &["health-issue-ec2-one-instance-without-scope"],
    );
    let stored = only_item(&world);
    assert_eq!(stored.severity, Severity::Medium);
    assert_contains(&stored.description, &["- Affected: `i-0c41d7be92f8a6035`"]);
    assert!(world.state().executions.is_empty());
}

#[test]
fn names_the_member_account_of_an_organization() {
    let world = world_after(
        &track_and_notify(),
        &["health-multiple-services-organization"],
    );
    assert_contains(
        &only_item(&world).description,
        &["\n- Account: `444455556666`\n"],
    );
    assert_contains(&notifications(&world)[0].1, &["\n- Account: 444455556666"]);
}

#[test]
fn issue_delivered_after_its_end_starts_and_notifies_nothing() {
    let world = world_after(
        &all_responses(),
        &["health-issue-s3-get-closed", "health-issue-s3-get"],
    );
    let stored = only_item(&world);
    assert_eq!(stored.item.status, Status::Resolved);
    assert_eq!(
        stored.title,
        "AWS Health: issue with S3 in us-east-1 resolved"
    );
    assert!(world.state().executions.is_empty());
    // The last notification must not report the issue as new.
    let notifications = notifications(&world);
    assert_eq!(notifications.len(), 1, "{notifications:#?}");
    assert!(
        notifications[0].0.ends_with(" resolved"),
        "{}",
        notifications[0].0
    );
}

#[test]
fn starts_the_runbook_once_for_repeated_events() {
    let names = [
        "health-multiple-services",
        "health-multiple-services-backup-region",
        "health-multiple-services",
        "health-multiple-services-organization",
    ];
    let world = world_after(&all_responses(), &names);
    let state = world.state();
    let [(token, (runbook, parameters))] = Vec::from_iter(&state.executions).try_into().unwrap();
    assert_eq!(runbook, RUNBOOK);
    let groups: Vec<usize> = token.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{token}");
    assert!(token.chars().all(|c| c == '-' || c.is_ascii_hexdigit()));
    let incident = event(names[0])["detail"]["eventArn"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        *parameters,
        [
            ("Incident", format!("health-event/{incident}")),
            ("OpsItemId", "oi-1".to_owned()),
        ]
    );
    let stored = &state.items[0];
    assert_eq!(
        stored.item.data["recovery:runbook-execution"],
        format!("execution-{token}")
    );
    assert_contains(
        &stored.description,
        &["The recovery runbook is `StartRegionRecovery`."],
    );
    let started = state
        .calls
        .iter()
        .filter(|call| call.starts_with("ssm:StartAutomationExecution"))
        .count();
    assert_eq!(started, 1);
}

#[test]
fn token_prevents_a_second_recovery_without_an_ops_item() {
    let policy = Policy {
        responses: vec![Response::Recover],
        ..all_responses()
    };
    let world = world_after(
        &policy,
        &[
            "health-multiple-services",
            "health-multiple-services-backup-region",
        ],
    );
    assert_eq!(world.state().executions.len(), 1);
    assert!(world.state().items.is_empty());
}

#[test]
fn starts_a_recovery_only_if_configured() {
    let world = world_after(&track_and_notify(), &["health-multiple-services"]);
    assert!(world.state().executions.is_empty());
    let off = Policy {
        runbook: None,
        ..all_responses()
    };
    let world = world_after(&off, &["health-multiple-services"]);
    assert!(world.state().executions.is_empty());
}

#[test]
fn ignores_other_events_without_a_call() {
    for (name, reason) in [
        ("health-issue-s3-operational-other-region", "region"),
        ("health-multiple-services-aws-cn", "region"),
        ("health-scheduled-change-ec2", "category"),
        ("health-scheduled-change-s3", "category"),
        ("health-account-notification-s3", "category"),
        ("health-investigation-s3", "category"),
        ("health-abuse", "detail-type"),
        ("restore-completed-ebs", "source"),
        ("custom-lookalike-health-issue", "source"),
        ("alarm-composite", "source"),
    ] {
        let world = World::new();
        assert_outcome!(
            respond(&world, &all_responses(), &event(name)),
            "ignored",
            Some(reason)
        );
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn issue_of_the_recovery_region_is_notified_without_a_recovery() {
    let mut event = event("health-multiple-services");
    event["detail"]["eventRegion"] = json!("us-west-2");
    let world = World::new();
    assert_outcome!(respond(&world, &all_responses(), &event), "responded");
    assert_contains(
        &only_item(&world).description,
        &["Read what AWS says before you start a recovery or a drill."],
    );
    assert!(world.state().executions.is_empty());
    assert_eq!(notifications(&world).len(), 1);
}

#[test]
fn quotes_hostile_text() {
    let hostile = "`[RESOLVED]`\n\n# All is well\n\n**What to do.** Nothing.\n<script>alert(1)</script>\u{0}\u{7}\u{2028}".to_owned()
        + &"🌊".repeat(5_000);
    let mut event = event_with(
        "health-multiple-services",
        "/detail/eventDescription",
        json!([{"language": "en_US", "latestDescription": hostile}]),
    );
    event["detail"]["service"] = json!("MULTIPLE_SERVICES`\n# x");
    event["detail"]["eventTypeCode"] = json!("AWS_MULTIPLE_SERVICES_`**x**`");
    let world = World::new();
    // Only an end at the beginning of the text counts; elsewhere it is a contradiction.
    assert_outcome!(respond(&world, &all_responses(), &event), "responded");
    let stored = only_item(&world);
    assert!(stored.description.len() <= DESCRIPTION_LIMIT);
    assert_contains(
        &stored.description,
        &["\n> `# All is well`", "\n> `**What to do.** Nothing.`"],
    );
    assert_contains(
        &stored.description,
        &["\n\n**What to do.** Check the event in AWS Health and the workload itself."],
    );
    for line in stored.description.lines() {
        assert!(!line.starts_with("# "), "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let (subject, message) = &notifications(&world)[0];
    assert!(subject.len() < 100 && subject.is_ascii() && !subject.contains(char::is_control));
    assert!(message.len() <= 250_000);
}

#[test]
fn names_the_missing_event_arn() {
    for value in [json!(null), json!(""), json!({}), json!([])] {
        let event = event_with("health-issue-s3-get", "/detail/eventArn", value);
        let world = World::new();
        let error = respond(&world, &all_responses(), &event).unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_contains(&error.to_string(), &["detail.eventArn", "events/"]);
        assert_eq!(world.calls(), Vec::<String>::new());
    }
}
