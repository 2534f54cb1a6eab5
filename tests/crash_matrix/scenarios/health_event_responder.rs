//! Messages of AWS Health: the first of an incident, later ones and its end, in every order.

use recovery_core::detect::{Policy, Response};
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario, Tolerance};

use super::{
    all_responses, at_the_quota, in_china, notify_and_recover, track_and_notify, world_after,
};

/// Every file that the function handles, and its outcome.
const FILES: &[(&str, &str)] = &[
    ("health-issue-s3-get", "responded"),
    ("health-issue-s3-get-backup-region", "responded"),
    ("health-issue-s3-get-updated", "responded"),
    ("health-issue-s3-get-closed", "resolved"),
    ("health-issue-s3-get-resolved-but-open", "resolved"),
    ("health-issue-s3-get-informational", "responded"),
    ("health-issue-s3-put", "responded"),
    ("health-issue-s3-operational", "responded"),
    ("health-issue-s3-unknown-scope", "responded"),
    ("health-multiple-services", "responded"),
    ("health-multiple-services-backup-region", "responded"),
    ("health-multiple-services-closed", "resolved"),
    ("health-multiple-services-disruption", "responded"),
    ("health-multiple-services-operating-normally", "resolved"),
    ("health-multiple-services-contradicting", "responded"),
    ("health-multiple-services-no-optional-fields", "responded"),
    ("health-multiple-services-organization", "responded"),
    ("health-multiple-services-paged-1", "responded"),
    ("health-multiple-services-paged-2", "responded"),
    ("health-multiple-services-short-arn", "responded"),
    ("health-multiple-services-wrong-weekday", "responded"),
    // No rule matches these by default; the parameter with the services can change that.
    ("health-issue-ec2-operational", "responded"),
    ("health-issue-ec2-one-instance-without-scope", "responded"),
    ("health-issue-ec2-api", "resolved"),
    ("health-issue-elb-api", "responded"),
    ("health-issue-ebs-volume-lost", "responded"),
    ("health-issue-ebs-volume-attachment", "responded"),
    ("health-issue-ec2-drive-degraded", "responded"),
    ("health-issue-risk-credentials", "responded"),
];

/// Name, earlier events, event, outcome.
const SEQUENCES: &[(&str, &[&str], &str, &str)] = &[
    (
        "second-message",
        &["health-issue-s3-get"],
        "health-issue-s3-get-updated",
        "responded",
    ),
    (
        "first-message-after-the-second",
        &["health-issue-s3-get-updated"],
        "health-issue-s3-get",
        "responded",
    ),
    (
        "closed",
        &["health-issue-s3-get"],
        "health-issue-s3-get-closed",
        "resolved",
    ),
    (
        "closed-after-two-messages",
        &["health-issue-s3-get", "health-issue-s3-get-updated"],
        "health-issue-s3-get-closed",
        "resolved",
    ),
    (
        "copy",
        &["health-multiple-services"],
        "health-multiple-services-backup-region",
        "responded",
    ),
    (
        "second-page",
        &["health-multiple-services-paged-1"],
        "health-multiple-services-paged-2",
        "responded",
    ),
    (
        "first-page-after-the-second",
        &["health-multiple-services-paged-2"],
        "health-multiple-services-paged-1",
        "responded",
    ),
    (
        "closed-after-recovery-started",
        &["health-multiple-services"],
        "health-multiple-services-closed",
        "resolved",
    ),
    (
        "related-to-one-incident",
        &["alarm-composite"],
        "health-multiple-services",
        "responded",
    ),
    (
        "related-to-several-incidents",
        &[
            "alarm-composite",
            "alarm-heartbeat-silent",
            "health-issue-s3-put",
        ],
        "health-multiple-services",
        "responded",
    ),
];

fn of(
    name: &'static str,
    policy: Policy,
    before: &[&str],
    file: &'static str,
    leads_to: &'static str,
) -> Scenario {
    let world = world_after(&policy, before);
    let function = Function::HealthEventResponder(policy);
    Scenario::new(function, name, file, leads_to, world)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    const WHOLE: &str = "health-multiple-services";
    let only = |response: Response| Policy {
        responses: vec![response],
        ..all_responses()
    };
    let mut scenarios: Vec<Scenario> = FILES
        .iter()
        .map(|(file, leads_to)| of(file, all_responses(), &[], file, leads_to).briefly())
        .collect();
    scenarios.extend(
        SEQUENCES.iter().map(|(name, before, file, leads_to)| {
            of(name, all_responses(), before, file, leads_to)
        }),
    );
    scenarios.extend([
        of(
            "health-multiple-services-aws-cn",
            in_china(),
            &[],
            "health-multiple-services-aws-cn",
            "responded",
        ),
        of(
            "open-after-closed",
            all_responses(),
            &["health-issue-s3-get-closed"],
            "health-issue-s3-get",
            "responded",
        )
        .tolerating(Tolerance::NotifiesAndStartsMore),
        of("recover", all_responses(), &[], WHOLE, "responded"),
        of(
            "closed-first",
            all_responses(),
            &[],
            "health-issue-s3-get-closed",
            "resolved",
        ),
        of(
            "without-runbook",
            track_and_notify(),
            &[],
            WHOLE,
            "responded",
        ),
        of(
            "without-runbook-closed",
            track_and_notify(),
            &["health-issue-s3-get"],
            "health-issue-s3-get-closed",
            "resolved",
        ),
        of("only-track", only(Response::Track), &[], WHOLE, "responded"),
        of(
            "only-notify",
            only(Response::Notify),
            &[],
            WHOLE,
            "responded",
        ),
        of(
            "only-recover",
            only(Response::Recover),
            &[],
            WHOLE,
            "responded",
        ),
        of(
            "without-ops-item",
            notify_and_recover(),
            &[],
            WHOLE,
            "responded",
        ),
        of("recovery-region", all_responses(), &[], WHOLE, "responded")
            .with(|event| event["detail"]["eventRegion"] = json!("us-west-2")),
        at_the_quota(of("at-the-quota", all_responses(), &[], WHOLE, "responded")),
        at_the_quota(of(
            "closed-at-the-quota",
            all_responses(),
            &[],
            "health-issue-s3-get-closed",
            "responded",
        )),
        at_the_quota(of(
            "closed-incident-from-before-the-quota",
            all_responses(),
            &[WHOLE],
            "health-multiple-services-closed",
            "resolved",
        )),
        resources(of(
            "with-resources",
            all_responses(),
            &[],
            WHOLE,
            "responded",
        )),
    ]);
    scenarios
}

/// AWS names resources of the account by their ARNs.
fn resources(scenario: Scenario) -> Scenario {
    scenario.with(|event| {
        event["detail"]["affectedEntities"] = json!([
            {"entityValue": "arn:aws:ec2:us-east-1:111122223333:instance/i-1"},
            {"entityValue": "arn:aws:ec2:us-east-1:111122223333:instance/i-2"},
        ]);
    })
}
