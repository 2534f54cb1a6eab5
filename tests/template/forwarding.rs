//! The other Regions forward exactly the events that the recovery Region needs, and none twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::repository::{events, text};
use crate::support::sam::{
    ALARMS, Deployed, HEALTH_BACKUP, PRIMARY, attribute_of, deployed_in, strings, template_at,
};

use super::rules::{Matches, differences, matches, patterns_of};

/// Where the event files have their primary Region and the backup Region of AWS Health.
const PRIMARY_REGION: &str = "us-east-1";
const BACKUP_REGION: &str = "us-west-2";
/// A recovery Region that is neither: both templates are needed.
const ELSEWHERE: &str = "eu-west-1";
const ACCOUNT: &str = "111122223333";

/// The two templates that forward, where they belong, with these parameters.
fn forwarding(parameters: &[(&str, &str)]) -> Vec<(&'static str, &'static str, Deployed)> {
    [(PRIMARY, PRIMARY_REGION), (HEALTH_BACKUP, BACKUP_REGION)]
        .into_iter()
        .map(|(path, region)| {
            let known = &template_at(path)["Parameters"];
            let parameters: Vec<_> = parameters
                .iter()
                .copied()
                .filter(|(name, _)| known.get(name).is_some())
                .collect();
            (path, region, deployed_in(region, path, &parameters))
        })
        .collect()
}

/// The recovery Region with these parameters.
fn recovering(region: &str, parameters: &[(&str, &str)]) -> Deployed {
    deployed_in(region, "template.yaml", parameters)
}

/// Which rules forward which event: `path:Rule`.
fn forwarded(parameters: &[(&str, &str)]) -> Matches {
    let mut forwarded: Matches = events()
        .keys()
        .map(|name| (name.clone(), BTreeSet::new()))
        .collect();
    for (path, _, deployed) in forwarding(parameters) {
        for (event, rules) in matches(&patterns_of(&deployed)) {
            let named = rules.into_iter().map(|rule| format!("{path}:{rule}"));
            forwarded.entry(event).or_default().extend(named);
        }
    }
    forwarded
}

/// `infra/forwarding.json`, names without `.json`.
fn written_down() -> Matches {
    let listed: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_str(&text("infra/forwarding.json"))
            .expect("infra/forwarding.json maps files to lists of rules");
    listed
        .into_iter()
        .map(|(file, rules)| {
            let name = file.strip_suffix(".json").expect("an event file is JSON");
            (name.to_owned(), rules)
        })
        .collect()
}

/// The rule of the recovery Region that is meant by `path:SomethingForwardingRule`.
fn counterpart(forwarding_rule: &str) -> String {
    let (_, rule) = forwarding_rule.split_once(':').expect("path:Rule");
    let stem = rule
        .strip_suffix("ForwardingRule")
        .expect("a rule that forwards says so");
    format!("{stem}Rule")
}

/// Deployments of both sides with the same parameters.
const PARAMETERS: [&[(&str, &str)]; 5] = [
    &[],
    &[("HealthServices", "all")],
    &[("HealthServices", "EC2,EBS")],
    &[("AlarmNamePrefix", "site-")],
    &[
        ("CopyJobStates", "COMPLETED,FAILED,PARTIAL"),
        ("BackupJobStates", "COMPLETED"),
    ],
];

#[test]
fn each_forwarding_rule_matches_exactly_its_event_files() {
    assert_eq!(
        differences(&forwarded(&[]), &written_down()),
        Vec::<String>::new()
    );
    // And each has a file.
    let used: BTreeSet<String> = written_down().into_values().flatten().collect();
    let rules: BTreeSet<String> = forwarding(&[])
        .into_iter()
        .flat_map(|(path, _, deployed)| {
            patterns_of(&deployed)
                .into_keys()
                .map(move |rule| format!("{path}:{rule}"))
        })
        .collect();
    assert_eq!(used, rules);
}

/// EventBridge keeps the id, time, account and Region of a forwarded event.
#[test]
fn forwarded_events_match_their_rule_in_the_recovery_region() {
    for parameters in PARAMETERS {
        for region in [ELSEWHERE, BACKUP_REGION] {
            let arriving = matches(&patterns_of(&recovering(region, parameters)));
            let mut hops = 0;
            for (event, rules) in forwarded(parameters) {
                assert!(rules.len() <= 1, "{event} is forwarded twice: {rules:?}");
                for rule in rules {
                    assert_eq!(
                        arriving[&event],
                        BTreeSet::from([counterpart(&rule)]),
                        "{event}, forwarded by {rule}, with {parameters:?}"
                    );
                    hops += 1;
                }
            }
            assert!(hops > 3, "{parameters:?}: only {hops} events are forwarded");
        }
    }
}

/// Events of other Regions that the recovery Region needs are forwarded.
#[test]
fn forwards_every_event_that_the_recovery_region_needs() {
    for parameters in PARAMETERS {
        let asked = matches(&patterns_of(&recovering(ELSEWHERE, parameters)));
        let forwarded = forwarded(parameters);
        for (name, event) in events() {
            let region = event["region"].as_str().unwrap_or_default();
            let there = match event["source"].as_str() {
                // Health has its second copy in its backup Region.
                Some("aws.health") => [PRIMARY_REGION, BACKUP_REGION].contains(&region),
                // A restore runs where it is restored to.
                Some("aws.backup") => {
                    region == PRIMARY_REGION && event["detail-type"] != "Restore Job State Change"
                }
                _ => region == PRIMARY_REGION,
            };
            if there {
                assert_eq!(
                    forwarded[name].len(),
                    asked[name].len(),
                    "{name} with {parameters:?}: asked for by {:?}, forwarded by {:?}",
                    asked[name],
                    forwarded[name]
                );
            }
        }
    }
}

#[test]
fn finds_wrong_forwarding_patterns() {
    let check = |path: &str, rule: &str, pointer: &str, pattern: Value| {
        let mut found = Matches::new();
        for (other, _, deployed) in forwarding(&[]) {
            let mut patterns = patterns_of(&deployed);
            if other == path {
                *patterns
                    .get_mut(rule)
                    .and_then(|known| known.pointer_mut(pointer))
                    .unwrap_or_else(|| panic!("{path}:{rule} has nothing at {pointer}")) =
                    pattern.clone();
            }
            for (event, rules) in matches(&patterns) {
                let named = rules.into_iter().map(|rule| format!("{other}:{rule}"));
                found.entry(event).or_default().extend(named);
            }
        }
        assert!(
            !differences(&found, &written_down()).is_empty(),
            "{path}: {rule} with another {pointer} is not found out"
        );
    };
    let any = || json!([{"exists": true}]);
    check(PRIMARY, "HealthIssueForwardingRule", "/region", any());
    check(HEALTH_BACKUP, "HealthIssueForwardingRule", "/region", any());
    check(PRIMARY, "AlarmStateForwardingRule", "/region", any());
    check(
        PRIMARY,
        "AlarmStateForwardingRule",
        "/detail/alarmName",
        json!([{"prefix": "Recovery-"}]),
    );
    check(
        PRIMARY,
        "CopyFinishedForwardingRule",
        "/detail",
        json!({"status": ["FAILED"]}),
    );
    check(
        PRIMARY,
        "BackupFinishedForwardingRule",
        "/detail/state",
        json!(["FAILED"]),
    );
    check(
        PRIMARY,
        "HeartbeatForwardingRule",
        "/source",
        json!(["aws.events"]),
    );
}

/// A forwarding rule matches only events of its own Region and account, so that two or more Regions may
/// recover each other.
#[test]
fn forwards_no_event_twice() {
    let regions = [PRIMARY_REGION, BACKUP_REGION, ELSEWHERE, "ap-southeast-2"];
    let mut looked_at = 0;
    for (path, _, _) in forwarding(&[]) {
        for region in regions {
            for parameters in [&[][..], &[("HealthServices", "all")][..]] {
                let here = deployed_in(region, path, parameters);
                for (event, rules) in matches(&patterns_of(&here)) {
                    let origin = &events()[&event];
                    for rule in rules {
                        assert_eq!(
                            origin["region"], *region,
                            "{path}:{rule} in {region}: {event}"
                        );
                        assert_eq!(origin["account"], ACCOUNT, "{path}:{rule}: {event}");
                        looked_at += 1;
                    }
                }
                for (rule, pattern) in patterns_of(&here) {
                    assert_eq!(pattern["region"], json!([region]), "{path}:{rule}");
                    assert_eq!(pattern["account"], json!([ACCOUNT]), "{path}:{rule}");
                }
            }
        }
    }
    assert!(looked_at > 50, "only {looked_at}");
}

#[test]
fn recovery_region_forwards_no_events() {
    let everything = [
        ("RecoveryStateMachine", "shop-recovery"),
        ("RecoveryWorkload", "shop"),
        ("RecoveryApprovers", "anna"),
        ("WorkloadStack", "shop"),
        ("WorkloadTemplateBucket", "shop-templates"),
        (
            "WorkloadStackRoleArn",
            "arn:aws:iam::111122223333:role/shop-stack",
        ),
        ("ForwardingAccounts", "444455556666"),
    ];
    let deployed = recovering(ELSEWHERE, &everything);
    for (rule, properties) in deployed.resources("AWS::Events::Rule") {
        for target in properties["Targets"].as_array().unwrap() {
            let arn = target["Arn"].as_str().unwrap();
            assert!(!arn.contains(":event-bus/"), "{rule}: {arn}");
        }
    }
    for (name, role) in deployed.resources("AWS::IAM::Role") {
        assert!(!role.to_string().contains("events:"), "{name}");
    }
}

#[test]
fn each_rule_forwards_to_one_bus_with_a_role_for_nothing_else() {
    for (path, region, deployed) in forwarding(&[]) {
        let bus = format!("arn:aws:events:{ELSEWHERE}:{ACCOUNT}:event-bus/default");
        for (rule, properties) in deployed.resources("AWS::Events::Rule") {
            let [target] = properties["Targets"].as_array().unwrap().as_slice() else {
                panic!("{path}:{rule} has several targets");
            };
            assert_eq!(target["Arn"], *bus, "{path}:{rule}");
            assert_eq!(
                target["RoleArn"],
                attribute_of("ForwardingRole", "Arn"),
                "{path}:{rule}"
            );
            // The event as it is.
            for altered in ["Input", "InputPath", "InputTransformer"] {
                assert!(target.get(altered).is_none(), "{path}:{rule}: {altered}");
            }
        }
        let role = &deployed.resources("AWS::IAM::Role")["ForwardingRole"];
        let statements: Vec<&Value> = role["Policies"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap())
            .collect();
        let [statement] = statements.as_slice() else {
            panic!("{path}: {statements:?}");
        };
        assert_eq!(statement["Effect"], "Allow");
        assert_eq!(strings(&statement["Action"]), ["events:PutEvents"]);
        assert_eq!(strings(&statement["Resource"]), [bus]);
        assert!(role.get("ManagedPolicyArns").is_none());
        let trust = &role["AssumeRolePolicyDocument"]["Statement"][0];
        assert_eq!(
            trust["Principal"],
            json!({"Service": "events.amazonaws.com"})
        );
        assert_eq!(
            trust["Condition"]["StringEquals"]["aws:SourceAccount"],
            ACCOUNT
        );
        // Names of rules do not always begin with the stack's whole name.
        assert_eq!(
            trust["Condition"]["ArnLike"]["aws:SourceArn"],
            format!("arn:aws:events:{region}:{ACCOUNT}:rule/*")
        );
    }
}

#[test]
fn other_accounts_may_send_only_forwarded_events() {
    let policies = |accounts: &str| {
        recovering(ELSEWHERE, &[("ForwardingAccounts", accounts)])
            .resources("AWS::Events::EventBusPolicy")
    };
    assert!(policies("").is_empty(), "this account needs no leave");
    let statement =
        policies("444455556666,777788889999")["ForwardedEventsPolicy"]["Statement"].clone();
    assert_eq!(statement["Effect"], "Allow");
    assert_eq!(
        strings(&statement["Principal"]["AWS"]),
        ["444455556666", "777788889999"]
    );
    assert_eq!(strings(&statement["Action"]), ["events:PutEvents"]);
    // By a rule of theirs, not by anyone who may call PutEvents there.
    assert_eq!(
        statement["Condition"]["Bool"]["events:eventBusInvocation"],
        "true"
    );
    let admitted = |member: &str| -> BTreeSet<String> {
        strings(&statement["Condition"]["StringEquals"][member])
            .into_iter()
            .collect()
    };
    let sent = |member: &str| -> BTreeSet<String> {
        forwarding(&[("HealthServices", "all")])
            .into_iter()
            .flat_map(|(_, _, deployed)| patterns_of(&deployed).into_values())
            .flat_map(|pattern| strings(&pattern[member]))
            .collect()
    };
    assert_eq!(admitted("events:source"), sent("source"));
    assert_eq!(admitted("events:detail-type"), sent("detail-type"));
}

#[test]
fn shared_parameters_are_declared_identically() {
    let recovery = &template_at("template.yaml")["Parameters"];
    for path in [PRIMARY, HEALTH_BACKUP, ALARMS] {
        for name in [
            "HealthServices",
            "AlarmNamePrefix",
            "CopyJobStates",
            "BackupJobStates",
        ] {
            let Some(here) = template_at(path)["Parameters"].get(name) else {
                continue;
            };
            for member in ["Type", "Default", "AllowedPattern"] {
                assert_eq!(here[member], recovery[name][member], "{path}: {name}");
            }
        }
    }
    assert_eq!(
        template_at(PRIMARY)["Parameters"]["RecoveryRegion"]["AllowedPattern"],
        recovery["PrimaryRegion"]["AllowedPattern"]
    );
}

#[test]
fn heartbeat_matches_the_event_of_the_rules() {
    let deployed = deployed_in(PRIMARY_REGION, PRIMARY, &[]);
    let target = &deployed.resources("AWS::Scheduler::Schedule")["Heartbeat"]["Target"];
    assert_eq!(
        target["Arn"],
        format!("arn:aws:events:{PRIMARY_REGION}:{ACCOUNT}:event-bus/default")
    );
    let sample = &events()["heartbeat"];
    assert_eq!(target["EventBridgeParameters"]["Source"], sample["source"]);
    assert_eq!(
        target["EventBridgeParameters"]["DetailType"],
        sample["detail-type"]
    );
    let input: Value = serde_json::from_str(target["Input"].as_str().unwrap()).unwrap();
    let members = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(members(&input), members(&sample["detail"]));
    assert_eq!(input["region"], sample["detail"]["region"]);
    assert_eq!(input["region"], PRIMARY_REGION);
}

#[test]
fn rejects_a_stack_in_the_wrong_region() {
    let check = |region: &str, path: &str, parameters: &[(&str, &str)], says: Option<&str>| {
        let objections = deployed_in(region, path, parameters).objections();
        match says {
            None => assert!(objections.is_empty(), "{path} in {region}: {objections:?}"),
            Some(says) => assert!(
                objections.iter().any(|objection| objection.contains(says)),
                "{path} in {region} with {parameters:?}: {objections:?}"
            ),
        }
    };
    let primary = |region| [("PrimaryRegion", region)];
    check("us-east-1", PRIMARY, &[], None);
    check(ELSEWHERE, PRIMARY, &[], Some("RecoveryRegion is the"));
    check("us-west-2", HEALTH_BACKUP, &[], None);
    check("us-east-1", HEALTH_BACKUP, &primary("us-west-2"), None);
    check(
        "us-west-2",
        HEALTH_BACKUP,
        &primary("us-west-2"),
        Some("infra/primary-region.yaml"),
    );
    check(
        "eu-north-1",
        HEALTH_BACKUP,
        &primary("us-west-2"),
        Some("is us-east-1"),
    );
    check("eu-north-1", HEALTH_BACKUP, &[], Some("is us-west-2"));
    check(
        "us-west-2",
        HEALTH_BACKUP,
        &[("RecoveryRegion", "us-west-2")],
        Some("not needed"),
    );
    check("us-west-2", "template.yaml", &[], None);
    check("us-east-1", "template.yaml", &[], Some("recovery Region"));
    let check = |parameters: &[(&str, &str)], says: Option<&str>| {
        check("us-west-2", "template.yaml", parameters, says);
    };
    check(&[("Responses", "track,recover")], Some("needs a runbook"));
    check(
        &[("Responses", "recover"), ("RecoveryRunbook", "Own")],
        None,
    );
    check(&[("RecoveryStateMachine", "m")], Some("RecoveryWorkload"));
    check(
        &[("RecoveryStateMachine", "m"), ("RecoveryWorkload", "shop")],
        Some("RecoveryApprovers"),
    );
    let whole = [
        ("RecoveryStateMachine", "m"),
        ("RecoveryWorkload", "shop"),
        ("RecoveryApprovers", "anna"),
        ("Responses", "track,notify,recover"),
    ];
    check(&whole, None);
    let with = |more: &[(&'static str, &'static str)]| [&whole[..], more].concat();
    let waived = ("RecoveryApproval", "waived-while-signals-agree");
    check(&with(&[waived]), Some("Approval is waived"));
    let canary = ("CanaryAlarm", "recovery-canary");
    check(&with(&[waived, canary]), Some("Set Heartbeat to on"));
    check(&with(&[waived, canary, ("Heartbeat", "on")]), None);
    check(
        &with(&[
            waived,
            canary,
            ("Heartbeat", "on"),
            ("RecoveryRunbook", "Own"),
        ]),
        Some("RecoveryRunbook is started instead"),
    );
    check(&[("OwnerAlarms", "recovery-orders")], Some("OwnerAlarms"));
    check(
        &with(&[("WorkloadStack", "shop")]),
        Some("DeployWorkloadStack needs"),
    );
    let alarm = |parameters: &[(&str, &str)]| deployed_in("us-west-2", ALARMS, parameters);
    assert!(
        !alarm(&[]).objections().is_empty(),
        "there is nothing to deploy"
    );
    let requests = [
        ("RequestNamespace", "AWS/ApplicationELB"),
        ("RequestMetric", "RequestCount"),
        ("ErrorMetric", "HTTPCode_Target_5XX_Count"),
    ];
    assert_eq!(alarm(&requests).objections(), Vec::<String>::new());
}

#[test]
fn example_alarms_act_only_through_their_events() {
    let everything = [
        ("RequestNamespace", "AWS/ApplicationELB"),
        ("RequestMetric", "RequestCount"),
        ("ErrorMetric", "HTTPCode_Target_5XX_Count"),
        ("RequestDimensionName", "LoadBalancer"),
        ("RequestDimensionValue", "app/web/0123456789abcdef"),
        ("KeyFigureNamespace", "Shop"),
        ("KeyFigureMetric", "Orders"),
    ];
    let alarms =
        deployed_in(PRIMARY_REGION, ALARMS, &everything).resources("AWS::CloudWatch::Alarm");
    assert_eq!(alarms.len(), 2);
    for (alarm, properties) in alarms {
        assert!(
            properties["AlarmName"]
                .as_str()
                .is_some_and(|name| name.starts_with("recovery-")),
            "{alarm}"
        );
        for actions in ["AlarmActions", "OKActions", "InsufficientDataActions"] {
            assert!(properties.get(actions).is_none(), "{alarm}: {actions}");
        }
        // Only what is returned alarms.
        let returned = properties["Metrics"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|metric| metric["ReturnData"] == true)
            .count();
        let band = properties.get("ThresholdMetricId").is_some();
        assert_eq!(returned, if band { 2 } else { 1 }, "{alarm}");
    }
}
