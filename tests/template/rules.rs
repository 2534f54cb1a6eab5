//! Every rule against every event file, with an independent pattern engine.

use std::collections::{BTreeMap, BTreeSet};

use quamina::Quamina;
use serde_json::{Value, json};

use crate::support::repository::{event, event_with, events, expectations};
use crate::support::sam::{Deployed, MOUNTED_BY_RULE, attribute_of, deployed, members, strings};

/// Patterns by rule.
pub(super) type Patterns = BTreeMap<String, Value>;
/// Rules that match, by event.
pub(super) type Matches = BTreeMap<String, BTreeSet<String>>;

fn patterns(parameters: &[(&str, &str)]) -> Patterns {
    patterns_of(&deployed(parameters))
}

pub(super) fn patterns_of(deployed: &Deployed) -> Patterns {
    deployed
        .resources("AWS::Events::Rule")
        .into_iter()
        // Without a pattern it has a schedule, and no event matches it.
        .filter(|(_, properties)| properties.get("EventPattern").is_some())
        .map(|(name, properties)| (name, properties["EventPattern"].clone()))
        .collect()
}

/// What the engine says.
pub(super) fn matches(patterns: &Patterns) -> Matches {
    let mut engine = Quamina::new();
    for (rule, pattern) in patterns {
        engine
            .add_pattern(rule.clone(), &pattern.to_string())
            .unwrap_or_else(|error| panic!("{rule}: {error}: {pattern}"));
    }
    events()
        .iter()
        .map(|(name, event)| {
            let matching = engine
                .matches_for_event(event.to_string().as_bytes())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            (name.clone(), matching.into_iter().collect())
        })
        .collect()
}

/// What the parameters ask for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    copy_states: &'a [&'a str],
    backup_states: &'a [&'a str],
    /// Every service where there is none.
    services: Option<&'a [&'a str]>,
    alarms: &'a str,
    primary_region: &'a str,
}

/// What the defaults ask for.
const DEFAULTS: Asked<'_> = Asked {
    copy_states: &["FAILED", "PARTIAL"],
    backup_states: &["FAILED", "ABORTED", "EXPIRED", "PARTIAL"],
    services: Some(&["S3"]),
    alarms: "recovery-",
    primary_region: "us-east-1",
};

/// What is said of these parameters in words, computed from the events themselves.
fn meant(asked: Asked<'_>) -> Matches {
    let Asked {
        copy_states,
        backup_states,
        services,
        alarms,
        primary_region,
    } = asked;
    let rules = |event: &Value| {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let in_detail = |member: &str, values: &[&str]| {
            text(&format!("/detail/{member}")).is_some_and(|value| values.contains(&value))
        };
        let rule = match (text("/source")?, text("/detail-type")?) {
            ("aws.backup", "Restore Job State Change")
                if in_detail("status", &["COMPLETED"])
                    && event.pointer("/detail/restoreTestingPlanArn").is_some() =>
            {
                return Some(vec![
                    "RestoreCompletedRule".to_owned(),
                    "RestoreTestCompletedRule".to_owned(),
                ]);
            }
            ("aws.backup", "Restore Job State Change")
                if in_detail("status", &["COMPLETED"])
                    && in_detail("resourceType", &["DynamoDB"]) =>
            {
                return Some(vec![
                    "RestoreCompletedRule".to_owned(),
                    "RestoreCompletedTableRule".to_owned(),
                ]);
            }
            ("aws.backup", "Restore Job State Change")
                if in_detail("status", &["COMPLETED"])
                    && in_detail("resourceType", &["RDS", "Aurora", "DocumentDB", "Neptune"]) =>
            {
                return Some(vec![
                    "RestoreCompletedDatabaseRule".to_owned(),
                    "RestoreCompletedRule".to_owned(),
                ]);
            }
            ("aws.backup", "Restore Job State Change")
                if in_detail("status", &["COMPLETED"])
                    && in_detail("resourceType", &["EFS", "FSx"]) =>
            {
                return Some(vec![
                    "RestoreCompletedFileSystemRule".to_owned(),
                    "RestoreCompletedRule".to_owned(),
                ]);
            }
            ("aws.backup", "Restore Job State Change") if in_detail("status", &["COMPLETED"]) => {
                "RestoreCompletedRule"
            }
            ("aws.backup", "Restore Job State Change")
                if in_detail("status", &["FAILED", "ABORTED"]) =>
            {
                "RestoreFailedRule"
            }
            ("aws.backup", "Copy Job State Change") if in_detail("state", copy_states) => {
                "CopyFinishedRule"
            }
            ("aws.backup", "Backup Job State Change") if in_detail("state", backup_states) => {
                "BackupFinishedRule"
            }
            ("aws.health", "AWS Health Event")
                if in_detail("eventTypeCategory", &["issue"])
                    && services.is_none_or(|services| {
                        in_detail("service", services)
                            || in_detail("service", &["MULTIPLE_SERVICES"])
                    }) =>
            {
                "HealthIssueRule"
            }
            ("aws.cloudwatch", "CloudWatch Alarm State Change")
                if text("/detail/alarmName").is_some_and(|name| name.starts_with(alarms)) =>
            {
                "AlarmStateRule"
            }
            ("rapid-recovery", "Heartbeat") if in_detail("region", &[primary_region]) => {
                "HeartbeatRule"
            }
            _ => return None,
        };
        Some(vec![rule.to_owned()])
    };
    events()
        .iter()
        .map(|(name, event)| (name.clone(), rules(event).into_iter().flatten().collect()))
        .collect()
}

/// Where the engine and the expectation differ.
pub(super) fn differences(actual: &Matches, expected: &Matches) -> Vec<String> {
    let names: BTreeSet<&String> = actual.keys().chain(expected.keys()).collect();
    names
        .into_iter()
        .filter(|name| actual.get(*name) != expected.get(*name))
        .map(|name| {
            format!(
                "{name}: matched by {:?}, expected {:?}",
                actual.get(name),
                expected.get(name)
            )
        })
        .collect()
}

fn written_down() -> Matches {
    expectations()
        .into_iter()
        .map(|(name, rules)| (name, rules.into_iter().collect()))
        .collect()
}

#[test]
fn each_event_matches_its_expected_rules_with_default_parameters() {
    let actual = matches(&patterns(&[]));
    assert_eq!(differences(&actual, &written_down()), Vec::<String>::new());
    // And what is written down is what the parameters say.
    let meant = meant(DEFAULTS);
    assert_eq!(differences(&written_down(), &meant), Vec::<String>::new());
}

#[test]
fn parameters_change_the_rules_as_documented() {
    let check = |parameters: &[(&str, &str)], meant: Matches| {
        let actual = matches(&patterns(parameters));
        assert_eq!(
            differences(&actual, &meant),
            Vec::<String>::new(),
            "{parameters:?}"
        );
        // The parameters make a difference at all.
        assert_ne!(
            differences(&actual, &written_down()),
            Vec::<String>::new(),
            "{parameters:?}"
        );
    };
    check(
        &[("HealthServices", "all")],
        meant(Asked {
            services: None,
            ..DEFAULTS
        }),
    );
    check(
        &[("HealthServices", "S3,EC2,EBS")],
        meant(Asked {
            services: Some(&["S3", "EC2", "EBS"]),
            ..DEFAULTS
        }),
    );
    check(
        &[("HealthServices", "RDS")],
        meant(Asked {
            services: Some(&["RDS"]),
            ..DEFAULTS
        }),
    );
    check(
        &[("CopyJobStates", "FAILED,PARTIAL,COMPLETED")],
        meant(Asked {
            copy_states: &["FAILED", "PARTIAL", "COMPLETED"],
            ..DEFAULTS
        }),
    );
    check(
        &[("BackupJobStates", "COMPLETED")],
        meant(Asked {
            backup_states: &["COMPLETED"],
            ..DEFAULTS
        }),
    );
    check(
        &[("AlarmNamePrefix", "site-")],
        meant(Asked {
            alarms: "site-",
            ..DEFAULTS
        }),
    );
    check(
        &[("PrimaryRegion", "eu-west-1")],
        meant(Asked {
            primary_region: "eu-west-1",
            ..DEFAULTS
        }),
    );
}

#[test]
fn finds_wrong_patterns() {
    // Every service, so that nothing but what is spoiled keeps an event out.
    let patterns = patterns(&[("HealthServices", "all")]);
    let meant = meant(Asked {
        services: None,
        ..DEFAULTS
    });
    assert_eq!(
        differences(&matches(&patterns), &meant),
        Vec::<String>::new()
    );
    let check = |rule: &str, pointer: &str, pattern: Value| {
        let mut spoiled = patterns.clone();
        let part = spoiled
            .get_mut(rule)
            .and_then(|pattern| pattern.pointer_mut(pointer))
            .unwrap_or_else(|| panic!("{rule} has nothing at {pointer}"));
        *part = pattern;
        let found = differences(&matches(&spoiled), &meant);
        assert!(
            !found.is_empty(),
            "{rule} with another {pointer} is not found out"
        );
    };
    // The usual mistake: restore jobs report status, not state.
    check(
        "RestoreCompletedRule",
        "/detail",
        json!({"state": ["COMPLETED"]}),
    );
    check(
        "RestoreCompletedDatabaseRule",
        "/detail/resourceType",
        json!(["RDS", "Aurora"]),
    );
    check(
        "RestoreCompletedFileSystemRule",
        "/detail/resourceType",
        json!(["EFS"]),
    );
    check(
        "RestoreFailedRule",
        "/detail",
        json!({"state": ["FAILED", "ABORTED"]}),
    );
    check(
        "CopyFinishedRule",
        "/detail",
        json!({"status": ["FAILED", "PARTIAL"]}),
    );
    check(
        "RestoreCompletedTableRule",
        "/detail/resourceType",
        json!([{"exists": true}]),
    );
    check("BackupFinishedRule", "/detail/state", json!(["FAILED"]));
    check("HealthIssueRule", "/detail/service", json!(["S3"]));
    check(
        "HealthIssueRule",
        "/detail/eventTypeCategory",
        json!([{"exists": true}]),
    );
    check(
        "HealthIssueRule",
        "/detail-type",
        json!([{"prefix": "AWS Health"}]),
    );
    check(
        "AlarmStateRule",
        "/detail",
        json!({"alarmName": [{"exists": true}]}),
    );
    check(
        "AlarmStateRule",
        "/detail",
        json!({"alarmName": [{"prefix": "recovery-site"}]}),
    );
    check(
        "AlarmStateRule",
        "/detail",
        json!({"state": {"value": ["ALARM"]}}),
    );
    check("HeartbeatRule", "/detail/region", json!([{"exists": true}]));
    check("RestoreCompletedRule", "/source", json!([{"exists": true}]));
    check(
        "RestoreCompletedRule",
        "/detail-type",
        json!([{"exists": true}]),
    );
}

/// Patterns of the rule that mounts, and an event that it matches.
fn mounting() -> (Deployed, Patterns, Value) {
    let deployed = deployed(&MOUNTED_BY_RULE);
    let mut patterns = patterns_of(&deployed);
    patterns.retain(|rule, _| rule == "RestoreCompletedMountRule");
    (deployed, patterns, event("restore-completed-efs"))
}

#[test]
fn mount_rule_matches_restores_of_its_source_except_drills_and_tests() {
    let (_, patterns, restored) = mounting();
    let matching: Vec<_> = matches(&patterns)
        .into_iter()
        .filter(|(_, rules)| !rules.is_empty())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(matching, ["restore-completed-efs"]);
    let matched = |event: &Value| {
        let mut engine = Quamina::new();
        let pattern = &patterns["RestoreCompletedMountRule"];
        engine
            .add_pattern("rule".to_owned(), &pattern.to_string())
            .unwrap();
        let found = engine.matches_for_event(event.to_string().as_bytes());
        !found.unwrap().is_empty()
    };
    assert!(matched(&restored));
    let detail = |member: &str, value: Value| {
        event_with("restore-completed-efs", &format!("/detail/{member}"), value)
    };
    let drill = json!(attribute_of("DrillRestoreRole", "Arn"));
    assert!(!matched(&detail("iamRoleArn", drill)));
    assert!(!matched(&detail(
        "restoreTestingPlanArn",
        json!("arn:plan")
    )));
    assert!(!matched(&detail("status", json!("RUNNING"))));
    let other =
        "arn:aws:elasticfilesystem:us-east-1:111122223333:file-system/fs-06d8cf961666f5ad31";
    assert!(!matched(&detail("sourceResourceArn", json!(other))));
    // Nobody knows whose restore this is.
    for member in ["iamRoleArn", "sourceResourceArn"] {
        let mut without = restored.clone();
        without["detail"].as_object_mut().unwrap().remove(member);
        assert!(!matched(&without), "without {member}");
    }
}

/// What EventBridge makes of an event: the values in the places of `<name>`, texts in quotation marks.
fn transformed(transformer: &Value, event: &Value) -> Value {
    let mut text = transformer["InputTemplate"].as_str().unwrap().to_owned();
    for (name, path) in members(&transformer["InputPathsMap"]) {
        let path = path.as_str().unwrap().strip_prefix('$').unwrap();
        let value = event
            .pointer(&path.replace('.', "/"))
            .expect("the event has it");
        text = text.replace(&format!("<{name}>"), &value.to_string());
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn mount_rule_gives_the_runbook_what_it_takes() {
    let (deployed, _, restored) = mounting();
    let given = |deployed: &Deployed| {
        let rule = &deployed.resources("AWS::Events::Rule")["RestoreCompletedMountRule"];
        let target = &rule["Targets"][0];
        assert_eq!(
            target["Arn"],
            "arn:aws:ssm:us-west-2:111122223333:automation-definition/MountFileSystem:$DEFAULT"
        );
        transformed(&target["InputTransformer"], &restored)
    };
    let input = given(&deployed);
    assert_eq!(
        input,
        json!({
            "InstanceTag": ["role=web"],
            "Operation": ["mount-restored"],
            "Source": [restored["detail"]["createdResourceArn"]],
            "Path": ["/shared"],
            "Notify": ["failure"],
        })
    );
    let mut of_windows = MOUNTED_BY_RULE.to_vec();
    of_windows.push(("MountExport", "share"));
    let with_share = given(&crate::support::sam::deployed(&of_windows));
    assert_eq!(with_share["Export"], json!(["share"]));

    let runbook = &deployed.resources("AWS::SSM::Document")["MountFileSystem"]["Content"];
    for (name, values) in members(&with_share) {
        let parameter = &runbook["parameters"][name];
        assert!(parameter.is_object(), "the runbook has no parameter {name}");
        for value in strings(values) {
            // Of Automation: a value has 1 to 512 characters.
            assert!((1..=512).contains(&value.len()), "{name}: {value}");
            if let Some(pattern) = parameter["allowedPattern"].as_str() {
                let pattern = regex_lite::Regex::new(pattern).unwrap();
                assert!(pattern.is_match(&value), "{name}: {value}");
            }
            let allowed = parameter.get("allowedValues").map(strings);
            assert!(
                allowed.is_none_or(|allowed| allowed.contains(&value)),
                "{name}: {value}"
            );
        }
    }
    for (name, parameter) in members(&runbook["parameters"]) {
        assert!(
            input.get(name).is_some() || parameter.get("default").is_some(),
            "the runbook needs {name}"
        );
    }
}

#[test]
fn rules_events_and_expectations_correspond() {
    let rules: BTreeSet<String> = patterns(&[]).into_keys().collect();
    let expected: BTreeSet<String> = expectations().into_values().flatten().collect();
    assert_eq!(rules, expected);
    let files: BTreeSet<&String> = events().keys().collect();
    let listed = expectations();
    assert_eq!(files, listed.keys().collect());
}

#[test]
fn rules_match_only_sources_of_aws() {
    // Anyone in the account can send an event under a source of their own, and only AWS under
    // one that begins with aws. The heartbeat is our own: it invokes nothing, and who forges one can
    // only hide silence.
    for (rule, pattern) in patterns(&[("HealthServices", "all")]) {
        for source in strings(&pattern["source"]) {
            let own = rule == "HeartbeatRule" && source == "rapid-recovery";
            assert!(source.starts_with("aws.") || own, "{rule} takes {source}");
        }
        assert!(
            !strings(&pattern["detail-type"]).is_empty(),
            "{rule} takes every detail-type"
        );
    }
}

#[test]
fn each_rule_shares_its_name_with_event_files_and_journey() {
    for rule in patterns(&[]).keys() {
        let stem = rule.strip_suffix("Rule").expect("a rule's name ends so");
        let mut snake = String::new();
        for c in stem.chars() {
            if c.is_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.extend(c.to_lowercase());
        }
        let journey = format!("tests/journeys/{snake}.rs");
        assert!(
            crate::support::repository::text(&journey).contains(&format!("`{rule}`")),
            "{journey} does not tell of {rule}"
        );
        let first = snake.split('_').next().unwrap().to_owned();
        let matched = expectations()
            .into_iter()
            .filter(|(_, rules)| rules.contains(rule))
            .all(|(name, _)| name.starts_with(&first));
        assert!(
            matched,
            "{rule} matches files that do not begin with {first}"
        );
    }
}
