//! The answers of each program: to invalid payloads, to events of other functions, if AWS cannot be
//! reached, and without settings. Its log never contains the payload.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::runtime_api::Response;

use crate::support::repository::{event, function_packages};

use super::lambda::Lambda;

/// In unknown fields of an event. It must never appear in a log.
const MARKER: &str = "what-customers-confide";

/// A function with its settings, an event that it ignores, and one that it handles.
struct Case {
    package: &'static str,
    variables: &'static [(&'static str, &'static str)],
    ignored: &'static str,
    handled: &'static str,
}

/// The role that drills restore with.
const DRILL_ROLE: &str = "arn:aws:iam::111122223333:role/drill-restore";

/// The settings of the responders.
const RESPONDER: &[(&str, &str)] = &[
    ("AWS_REGION", "us-west-2"),
    ("PRIMARY_REGION", "us-east-1"),
    ("RESPONSES", "track,notify,recover"),
    ("RECOVERY_RUNBOOK", "StartRegionRecovery"),
    ("OTHER_RUNBOOKS", "off,StartWorkloadInstances"),
    ("TOPIC_ARN", "arn:aws:sns:us-west-2:111122223333:topic"),
];

static CASES: [Case; 11] = [
    Case {
        package: "bucket-integrator",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("ACCOUNT_ID", "111122223333"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("PUBLISH_PATH", "/recovery/"),
            ("TOPIC_ARN", "off"),
        ],
        ignored: "restore-completed-ebs",
        handled: "restore-completed-s3",
    },
    Case {
        package: "instance-integrator",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("ACCOUNT_ID", "111122223333"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("PUBLISH_PATH", "/recovery/"),
            ("TOPIC_ARN", "off"),
            ("VAULT_NAME", "recovery"),
        ],
        ignored: "restore-completed-ebs",
        handled: "restore-completed-ec2",
    },
    Case {
        package: "restore-integrator",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("ACCOUNT_ID", "111122223333"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("MOUNT_RUNBOOK", "MountFileSystem"),
            ("TOPIC_ARN", "off"),
        ],
        ignored: "restore-running",
        handled: "restore-completed-ebs",
    },
    Case {
        package: "database-integrator",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("ACCOUNT_ID", "111122223333"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("PUBLISH_PATH", "/recovery/"),
            ("TOPIC_ARN", "off"),
        ],
        ignored: "restore-completed-ebs",
        handled: "restore-completed-aurora",
    },
    Case {
        package: "file-system-integrator",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("ACCOUNT_ID", "111122223333"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("MOUNT_RUNBOOK", "MountFileSystem"),
            ("PUBLISH_PATH", "/recovery/"),
            ("TOPIC_ARN", "off"),
        ],
        ignored: "restore-completed-ebs",
        handled: "restore-completed-efs",
    },
    Case {
        package: "opsitem-creator",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("TOPIC_ARN", "off"),
        ],
        ignored: "copy-running",
        handled: "copy-failed",
    },
    Case {
        package: "health-event-responder",
        variables: RESPONDER,
        ignored: "health-scheduled-change-ec2",
        handled: "health-multiple-services",
    },
    Case {
        package: "alarm-responder",
        variables: RESPONDER,
        ignored: "alarm-composite-suppressed-by-alarm",
        handled: "alarm-composite",
    },
    Case {
        package: "restore-reconciler",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("ACCOUNT_ID", "111122223333"),
            ("BUCKET_INTEGRATOR", "bucket-integrator"),
            ("INSTANCE_INTEGRATOR", "instance-integrator"),
            ("DATABASE_INTEGRATOR", "database-integrator"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("FILE_SYSTEM_INTEGRATOR", "file-system-integrator"),
            ("LOOKBACK_HOURS", "24"),
            ("MOUNT_RUNBOOK", "MountFileSystem"),
            ("PATIENCE_MINUTES", "30"),
            ("RECONCILE_MINUTES", "1"),
            ("TABLE_INTEGRATOR", "table-integrator"),
            ("TOPIC_ARN", "off"),
        ],
        ignored: "restore-running",
        handled: "reconcile-due",
    },
    Case {
        package: "restore-test-validator",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("ACCOUNT_ID", "111122223333"),
            ("TOPIC_ARN", "off"),
        ],
        ignored: "restore-running",
        handled: "restore-test-completed-ebs",
    },
    Case {
        package: "table-integrator",
        variables: &[
            ("AWS_REGION", "us-west-2"),
            ("ACCOUNT_ID", "111122223333"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("PUBLISH_PATH", "/recovery/"),
            ("TOPIC_ARN", "off"),
        ],
        ignored: "restore-completed-ebs",
        handled: "restore-completed-dynamodb",
    },
];

/// A function that is invoked directly, with its settings and an input.
struct Direct {
    package: &'static str,
    variables: &'static [(&'static str, &'static str)],
    input: &'static str,
    /// The member that the input must have.
    member: &'static str,
}

const DIRECT: [Direct; 5] = [
    Direct {
        package: "recovery-planner",
        variables: &[("PLAN_BUCKET", "shop-plans"), ("VAULT_NAME", "recovery")],
        input: "manual-recovery-plan",
        member: "workload",
    },
    Direct {
        package: "recovery-reporter",
        variables: &[
            (
                "DRILL_RESTORE_ROLE_ARN",
                "arn:aws:iam::111122223333:role/drill",
            ),
            ("PLAN_BUCKET", "shop-plans"),
            ("RECOVERY_POINT_TARGET_MINUTES", "15"),
            ("RECOVERY_TIME_TARGET_MINUTES", "off"),
            ("TOPIC_ARN", "off"),
        ],
        input: "manual-recovery-report",
        member: "do",
    },
    Direct {
        package: "restore-starter",
        variables: &[
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("PLAN_BUCKET", "shop-plans"),
            ("INSTANCE_PROFILES", "off"),
            ("RESTORE_KEY_ARN", "off"),
            ("RESTORE_ROLE_ARN", "arn:aws:iam::111122223333:role/restore"),
            ("VAULT_NAME", "recovery"),
        ],
        input: "manual-planned-restore",
        member: "planHash",
    },
    Direct {
        package: "routing-shifter",
        variables: &[
            (
                "CLUSTER_ENDPOINTS",
                "us-east-1=https://1a2b3c4d.route53-recovery-cluster.us-east-1.amazonaws.com/v1,\
                 us-west-2=https://5e6f7a8b.route53-recovery-cluster.us-west-2.amazonaws.com/v1",
            ),
            (
                "ROUTING_CONTROLS_ON",
                "arn:aws:route53-recovery-control::111122223333:controlpanel/0123/routingcontrol/4567",
            ),
            ("ROUTING_CONTROLS_OFF", "off"),
        ],
        input: "manual-fail-over",
        member: "workload",
    },
    Direct {
        package: "region-switch-action",
        variables: &[
            ("RECOVERY_WORKLOAD", "shop"),
            (
                "STATE_MACHINE_ARN",
                "arn:aws:states:us-west-2:111122223333:stateMachine:rapid-recovery-region-recovery",
            ),
        ],
        input: "manual-region-switch",
        member: "PlanArn",
    },
];

/// An address on which nothing listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    format!("http://{address}")
}

/// The event, with the marker in fields that no function knows.
fn marked(name: &str) -> String {
    let mut event = event(name);
    event["foreign"] = json!({ "secret": [MARKER] });
    event["detail"]["foreign"] = json!(MARKER);
    event.to_string()
}

#[track_caller]
fn assert_error(answer: &Response, kind: &str, parts: &[&str]) {
    assert!(answer.is_error, "{answer:?}");
    assert_eq!(answer.body["errorType"], kind, "{answer:?}");
    let message = answer.body["errorMessage"].as_str().expect("a message");
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
    assert!(!message.contains('\n'), "{message}");
}

/// Asserts that each line of the log is a JSON object with the members by which Lambda filters, and that
/// none contains the marker.
fn assert_log(log: &str) {
    assert!(!log.contains(MARKER), "{log}");
    for line in log.lines() {
        let parsed = serde_json::from_str::<Value>(line);
        assert!(
            parsed.is_ok_and(|line| {
                line["level"].is_string()
                    && line["timestamp"]
                        .as_str()
                        .is_some_and(|time| chrono::DateTime::parse_from_rfc3339(time).is_ok())
            }),
            "no JSON object with level and time: {line}"
        );
    }
}

fn check(case: &Case) {
    let endpoint = closed();
    let mut variables = case.variables.to_vec();
    variables.push(("AWS_ENDPOINT_URL", &endpoint));
    let lambda = Lambda::start(case.package, &variables);

    // Not an event.
    let remedy = "Pass an event in the format of AWS. The files under events/ are examples.";
    for payload in [
        "{}",
        "null",
        "[]",
        "\"text\"",
        "7",
        r#"{"source": 7, "detail-type": "x"}"#,
    ] {
        let answer = lambda.invoke(payload);
        assert_error(&answer, "Permanent", &["parse event", remedy]);
    }
    let holding = json!({"source": "aws.backup", "detail": {"a": MARKER}, "b": [MARKER]});
    assert_error(
        &lambda.invoke(&holding.to_string()),
        "Permanent",
        &["detail-type", remedy],
    );

    // Invalid JSON, which Lambda does not accept: it is an error, and the function keeps running.
    let whole = marked(case.handled);
    for payload in ["", "{", &whole[..whole.len() / 2]] {
        let answer = lambda.invoke(payload);
        assert!(answer.is_error, "{answer:?}");
        assert!(!answer.body.to_string().contains(MARKER), "{answer:?}");
    }

    // Events that it ignores.
    for (payload, reason) in [
        (marked(case.ignored), None),
        (marked("ec2-instance-running"), Some("source")),
    ] {
        let answer = lambda.invoke(&payload);
        assert!(!answer.is_error, "{answer:?}");
        assert_eq!(answer.body["outcome"], "ignored", "{answer:?}");
        if let Some(reason) = reason {
            assert_eq!(answer.body["reason"], reason, "{answer:?}");
        }
    }

    // An event that it handles, while AWS cannot be reached.
    let answer = lambda.invoke(&marked(case.handled));
    assert_error(&answer, "Retryable", &[" failed", ": "]);

    // The function still handles events.
    assert!(!lambda.invoke(&marked(case.ignored)).is_error);

    let log = lambda.end();
    assert_log(&log);
    let starts = log
        .lines()
        .find(|line| line.contains("the function starts"));
    let starts: Value =
        serde_json::from_str(starts.expect("the start leaves a line")).expect("it is JSON");
    assert_eq!(starts["fields"]["version"], recovery_core::VERSION);
    assert!(
        log.contains("ignored"),
        "an ignored event leaves a line: {log}"
    );
    assert!(log.contains("Retryable"), "an error leaves a line: {log}");
}

/// The case of this function.
fn case(package: &str) -> &'static Case {
    CASES.iter().find(|case| case.package == package).unwrap()
}

#[test]
fn bucket_integrator_handles_valid_and_invalid_payloads() {
    check(case("bucket-integrator"));
}

#[test]
fn instance_integrator_handles_valid_and_invalid_payloads() {
    check(case("instance-integrator"));
}

#[test]
fn database_integrator_handles_valid_and_invalid_payloads() {
    check(case("database-integrator"));
}

#[test]
fn restore_integrator_handles_valid_and_invalid_payloads() {
    check(case("restore-integrator"));
}

#[test]
fn opsitem_creator_handles_valid_and_invalid_payloads() {
    check(case("opsitem-creator"));
}

#[test]
fn health_event_responder_handles_valid_and_invalid_payloads() {
    check(case("health-event-responder"));
}

#[test]
fn alarm_responder_handles_valid_and_invalid_payloads() {
    check(case("alarm-responder"));
}

#[test]
fn restore_reconciler_handles_valid_and_invalid_payloads() {
    check(case("restore-reconciler"));
}

fn check_direct(case: &Direct) {
    let endpoint = closed();
    let mut variables = case.variables.to_vec();
    variables.extend([("AWS_REGION", "us-west-2"), ("AWS_ENDPOINT_URL", &endpoint)]);
    let lambda = Lambda::start(case.package, &variables);

    // Invalid inputs, including an event.
    let foreign = marked("restore-completed-ebs");
    for payload in ["{}", "null", "[]", "\"text\"", "7", &foreign] {
        let answer = lambda.invoke(payload);
        assert_error(&answer, "Permanent", &["parse input", "Pass {"]);
    }
    assert_error(&lambda.invoke("{}"), "Permanent", &[case.member]);

    // A valid input with unknown members, while AWS cannot be reached.
    let mut input = event(case.input);
    input["foreign"] = json!({ "secret": [MARKER] });
    let answer = lambda.invoke(&input.to_string());
    assert_error(&answer, "Retryable", &[" failed", ": "]);

    let log = lambda.end();
    assert_log(&log);
    assert!(log.contains("Retryable"), "an error leaves a line: {log}");
}

#[test]
fn recovery_planner_handles_valid_and_invalid_payloads() {
    check_direct(&DIRECT[0]);
}

#[test]
fn restore_test_validator_handles_valid_and_invalid_payloads() {
    check(case("restore-test-validator"));
}

#[test]
fn table_integrator_handles_valid_and_invalid_payloads() {
    check(case("table-integrator"));
}

#[test]
fn recovery_reporter_handles_valid_and_invalid_payloads() {
    check_direct(&DIRECT[1]);
}

#[test]
fn restore_starter_handles_valid_and_invalid_payloads() {
    check_direct(&DIRECT[2]);
}

#[test]
fn routing_shifter_handles_valid_and_invalid_payloads() {
    check_direct(&DIRECT[3]);
}

#[test]
fn region_switch_action_handles_valid_and_invalid_payloads() {
    check_direct(&DIRECT[4]);
}

#[test]
fn cases_cover_every_function() {
    let direct = DIRECT.map(|case| case.package);
    let mut cases: Vec<&str> = CASES
        .iter()
        .map(|case| case.package)
        .chain(direct)
        .collect();
    cases.sort_unstable();
    assert_eq!(function_packages(), cases);
}

#[test]
fn function_without_settings_names_all_missing_ones_and_exits() {
    let direct = DIRECT.iter().map(|case| (case.package, case.variables));
    let cases = CASES.iter().map(|case| (case.package, case.variables));
    for (package, variables) in cases.chain(direct) {
        // It needs only a Region, and its first call reports that.
        if package == "opsitem-creator" {
            continue;
        }
        let (status, log) = Lambda::start(package, &[]).wait();
        assert!(!status.success(), "{package}: {log}");
        for (name, _) in variables {
            assert!(
                log.contains(&format!("{name} is not set")),
                "{name} in: {log}"
            );
        }
        assert!(log.contains("Deploy the template again."), "{log}");
    }
    let variables = [
        ("AWS_REGION", "us-west-2"),
        ("PRIMARY_REGION", "us-east-1"),
        ("RESPONSES", "track,shout"),
        ("RECOVERY_RUNBOOK", " "),
        ("TOPIC_ARN", "off"),
    ];
    let (status, log) = Lambda::start("health-event-responder", &variables).wait();
    assert!(!status.success(), "{log}");
    assert!(log.contains("RECOVERY_RUNBOOK is not set"), "{log}");
    assert!(log.contains("shout"), "{log}");
    assert!(!log.contains("TOPIC_ARN"), "{log}");
}

/// AWS accepts every call and never answers. The function reports its progress before Lambda stops it,
/// and handles the next event.
#[test]
fn function_reports_its_progress_before_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    // The reconciler begins with two list calls. The code that stops a run is the same for every
    // function.
    let case = case("restore-reconciler");
    let mut variables = case.variables.to_vec();
    variables.push(("AWS_ENDPOINT_URL", &endpoint));
    let lambda = Lambda::start(case.package, &variables);
    // Less than the SDK's timeout of one attempt, but enough for the first calls on a busy machine.
    let time = Duration::from_millis(5500);
    let answer = lambda.invoke_within(&event(case.handled).to_string(), time);
    let how_far =
        "finished calls: none; running calls: backup:ListRestoreJobs, ssm:DescribeOpsItems";
    assert_error(&answer, "Retryable", &["time is almost used up", how_far]);
    assert!(!lambda.invoke(&event(case.ignored).to_string()).is_error);
}
