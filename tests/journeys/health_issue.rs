//! `HealthIssueRule`: AWS reports trouble. health-event-responder keeps one OpsItem for the
//! incident, tells people, and starts the recovery runbook where the owner chose so.

use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::fakes::World;
use recovery_core::ops_item::{DESCRIPTION_LIMIT, Severity, Status};
use recovery_core::outcome::Outcome;
use serde_json::{Value, json};

use crate::support::disturbed::{Disturbed, finish};
use crate::support::end::End;
use crate::support::repository::{event, event_with};

use super::{assert_contains, assert_outcome, only_item, told};

const RUNBOOK: &str = "StartRegionRecovery";

/// Track and notify, as the template's defaults say.
fn watching() -> Policy {
    Policy {
        primary_region: "us-east-1".to_owned(),
        recovery_region: "us-west-2".to_owned(),
        responses: vec![Response::Track, Response::Notify],
        runbook: None,
        other_runbooks: Vec::new(),
    }
}

/// Everything.
fn recovering() -> Policy {
    Policy {
        responses: vec![Response::Track, Response::Notify, Response::Recover],
        runbook: Some(RUNBOOK.to_owned()),
        ..watching()
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
fn after(policy: &Policy, events: &[&str]) -> World {
    let world = World::new();
    for name in events {
        respond(&world, policy, &event(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    world
}

#[test]
fn trouble_of_a_service_is_tracked_and_told() {
    let event = event("health-issue-s3-get");
    let world = World::new();

    let outcome = assert_outcome!(respond(&world, &watching(), &event), "responded");

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
    let told = told(&world);
    let [(subject, message)] = told.as_slice() else {
        panic!("told {} times", told.len());
    };
    assert_eq!(subject, "AWS Health: issue with S3 in us-east-1");
    assert_contains(
        message,
        &["What to do\nCheck the workload itself.", "OpsItem: oi-1"],
    );
}

#[test]
fn a_region_in_trouble_as_a_whole_is_critical() {
    for name in [
        "health-multiple-services",
        "health-multiple-services-backup-region",
        "health-multiple-services-organization",
        "health-multiple-services-no-optional-fields",
        "health-multiple-services-short-arn",
        "health-multiple-services-wrong-weekday",
    ] {
        let world = after(&watching(), &[name]);
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
        assert_eq!(told(&world).len(), 1, "{name}");
    }
}

#[test]
fn other_partitions_work_the_same() {
    let policy = Policy {
        primary_region: "cn-north-1".to_owned(),
        recovery_region: "cn-northwest-1".to_owned(),
        ..recovering()
    };
    let world = after(&policy, &["health-multiple-services-aws-cn"]);
    assert_eq!(only_item(&world).severity, Severity::Critical);
    assert_eq!(world.state().executions.len(), 1);
}

#[test]
fn the_copy_for_the_backup_region_changes_nothing() {
    for (event, copy) in [
        ("health-issue-s3-get", "health-issue-s3-get-backup-region"),
        (
            "health-multiple-services",
            "health-multiple-services-backup-region",
        ),
    ] {
        let once = End::of(&after(&recovering(), &[event]));
        for order in [[event, copy], [copy, event]] {
            let world = after(&recovering(), &order);
            assert_eq!(End::of(&world), once, "{order:?}");
            assert_eq!(told(&world).len(), 1, "{order:?}");
        }
    }
}

#[test]
fn pages_in_any_order_are_one_incident_told_once() {
    let pages = [
        "health-multiple-services-paged-1",
        "health-multiple-services-paged-2",
    ];
    for order in [[pages[0], pages[1]], [pages[1], pages[0]]] {
        let world = after(&recovering(), &order);
        only_item(&world);
        assert_eq!(told(&world).len(), 1, "{order:?}");
        // Resources of this account only: people look, nothing is started.
        assert!(world.state().executions.is_empty());
    }
}

#[test]
fn an_update_is_written_into_the_same_item_and_told() {
    let world = after(
        &watching(),
        &["health-issue-s3-get", "health-issue-s3-get-updated"],
    );
    let stored = only_item(&world);
    let news = event("health-issue-s3-get-updated");
    let news = news["detail"]["eventDescription"][0]["latestDescription"]
        .as_str()
        .unwrap();
    assert_contains(&stored.description, &[&format!("> `{news}`")]);
    assert_eq!(told(&world).len(), 2);

    // The older message, delivered late, does not put the item back.
    respond(&world, &watching(), &event("health-issue-s3-get")).unwrap();
    assert_contains(&only_item(&world).description, &[&format!("> `{news}`")]);
    assert_eq!(told(&world).len(), 2);
}

#[test]
fn the_end_resolves_the_item_and_is_told() {
    for end in [
        "health-issue-s3-get-closed",
        "health-issue-s3-get-resolved-but-open",
    ] {
        let world = after(&recovering(), &["health-issue-s3-get"]);
        assert_outcome!(respond(&world, &recovering(), &event(end)), "resolved");
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
        assert_eq!(told(&world).len(), 2, "{end}");
        assert_eq!(world.state().executions.len(), 1, "{end}");
    }
}

#[test]
fn an_end_that_only_the_text_tells_resolves_the_item_and_starts_nothing() {
    const END: &str = "health-multiple-services-operating-normally";
    // Also as the first message that arrives.
    let world = after(&recovering(), &[END]);
    assert_eq!(only_item(&world).item.status, Status::Resolved);
    assert!(world.state().executions.is_empty());

    let world = after(&recovering(), &["health-multiple-services-disruption", END]);
    let stored = only_item(&world);
    assert_eq!(
        (stored.severity, stored.item.status),
        (Severity::Low, Status::Resolved)
    );
    assert_eq!(told(&world).len(), 2);
    // The trouble itself had started it.
    assert_eq!(world.state().executions.len(), 1);
    // Line breaks arrive as two characters.
    for text in [&stored.description, &told(&world)[1].1] {
        assert!(!text.contains("\\n"), "{text}");
    }
    assert_contains(
        &stored.description,
        &["\n> `Current severity level: Operating normally`\n>\n> `[RESOLVED] From 7:11 AM"],
    );
}

#[test]
fn information_is_tracked_and_starts_nothing() {
    let world = after(&recovering(), &["health-issue-s3-get-informational"]);
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
fn contradicting_signs_are_tracked_as_open_and_start_nothing() {
    let world = after(&recovering(), &["health-multiple-services-contradicting"]);
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
fn one_instance_is_not_a_region_though_no_scope_says_so() {
    let world = after(
        &recovering(),
        &["health-issue-ec2-one-instance-without-scope"],
    );
    let stored = only_item(&world);
    assert_eq!(stored.severity, Severity::Medium);
    assert_contains(&stored.description, &["- Affected: `i-0c41d7be92f8a6035`"]);
    assert!(world.state().executions.is_empty());
}

#[test]
fn the_member_account_of_an_organization_is_named() {
    let world = after(&watching(), &["health-multiple-services-organization"]);
    assert_contains(
        &only_item(&world).description,
        &["\n- Account: `444455556666`\n"],
    );
    assert_contains(&told(&world)[0].1, &["\nAccount: 444455556666\n"]);
}

#[test]
fn trouble_that_comes_after_its_end_starts_nothing_and_alarms_nobody() {
    let world = after(
        &recovering(),
        &["health-issue-s3-get-closed", "health-issue-s3-get"],
    );
    let stored = only_item(&world);
    assert_eq!(stored.item.status, Status::Resolved);
    assert_eq!(
        stored.title,
        "AWS Health: issue with S3 in us-east-1 resolved"
    );
    assert!(world.state().executions.is_empty());
    // Who reads the last message must not take the trouble for new.
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].0.ends_with(" resolved"), "{}", told[0].0);
}

#[test]
fn the_runbook_is_started_once_with_a_uuid_though_events_come_again() {
    let names = [
        "health-multiple-services",
        "health-multiple-services-backup-region",
        "health-multiple-services",
        "health-multiple-services-organization",
    ];
    let world = after(&recovering(), &names);
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
fn without_an_ops_item_the_token_still_starts_one_recovery() {
    let policy = Policy {
        responses: vec![Response::Recover],
        ..recovering()
    };
    let world = after(
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
fn one_event_starts_nothing_unless_the_owner_chose_so() {
    let world = after(&watching(), &["health-multiple-services"]);
    assert!(world.state().executions.is_empty());
    let off = Policy {
        runbook: None,
        ..recovering()
    };
    let world = after(&off, &["health-multiple-services"]);
    assert!(world.state().executions.is_empty());
}

#[test]
fn what_does_not_concern_us_is_ignored_without_a_call() {
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
            respond(&world, &recovering(), &event(name)),
            "ignored",
            Some(reason)
        );
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn trouble_in_the_recovery_region_is_told_and_starts_nothing() {
    let mut event = event("health-multiple-services");
    event["detail"]["eventRegion"] = json!("us-west-2");
    let world = World::new();
    assert_outcome!(respond(&world, &recovering(), &event), "responded");
    assert_contains(
        &only_item(&world).description,
        &["Read what AWS says before you start a recovery or a drill."],
    );
    assert!(world.state().executions.is_empty());
    assert_eq!(told(&world).len(), 1);
}

#[test]
fn hostile_text_stays_text() {
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
    // Only what AWS says at the beginning counts as its word on the end; elsewhere it is a doubt.
    assert_outcome!(respond(&world, &recovering(), &event), "responded");
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
    let (subject, message) = &told(&world)[0];
    assert!(subject.len() < 100 && subject.is_ascii() && !subject.contains(char::is_control));
    assert!(message.len() <= 250_000);
}

#[test]
fn an_event_without_its_arn_says_what_is_missing() {
    for value in [json!(null), json!(""), json!({}), json!([])] {
        let event = event_with("health-issue-s3-get", "/detail/eventArn", value);
        let world = World::new();
        let error = respond(&world, &recovering(), &event).unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_contains(&error.to_string(), &["detail.eventArn", "events/"]);
        assert_eq!(world.calls(), Vec::<String>::new());
    }
}
