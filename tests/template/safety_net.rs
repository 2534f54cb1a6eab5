//! Failures are retried, stored and reported by alarms.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::sam::{
    Deployed, EVERY_FUNCTION, HEALTH_BACKUP, MOUNTED_BY_RULE, PRIMARY, attribute_of, deployed,
    deployed_in, members, strings, template_at,
};

use super::permissions::allowed;
use super::state_machines::WHOLE;

/// The deployments in which events are delivered, and their files.
fn deliverers() -> Vec<(&'static str, Deployed)> {
    vec![
        ("template.yaml", deployed(&[])),
        ("template.yaml", deployed(&WHOLE)),
        ("template.yaml", deployed(&EVERY_FUNCTION)),
        ("template.yaml", deployed(&MOUNTED_BY_RULE)),
        (PRIMARY, deployed_in("us-east-1", PRIMARY, &[])),
        (HEALTH_BACKUP, deployed_in("us-west-2", HEALTH_BACKUP, &[])),
    ]
}

/// Whether an alarm on this metric of this resource tells people.
fn assert_alarm(deployed: &Deployed, namespace: &str, metric: &str, dimension: &str, value: &str) {
    let topic = deployed.reference_to("NotificationTopic");
    let alarms = deployed.resources("AWS::CloudWatch::Alarm");
    let alarm = alarms
        .values()
        .find(|alarm| {
            alarm["Namespace"] == namespace
                && alarm["MetricName"] == metric
                && alarm["Dimensions"] == serde_json::json!([{"Name": dimension, "Value": value}])
        })
        .unwrap_or_else(|| panic!("no alarm on {metric} of {value}"));
    assert_eq!(
        strings(&alarm["AlarmActions"]),
        [topic],
        "{metric} of {value}"
    );
    assert!(
        alarm["AlarmDescription"]
            .as_str()
            .is_some_and(|text| text.len() > 60)
    );
    // One is enough: there is no rate of lost recoveries to live with.
    assert_eq!(alarm["Threshold"], 0, "{metric} of {value}");
    assert_eq!(alarm["EvaluationPeriods"], 1, "{metric} of {value}");
    assert!(
        alarm.get("DatapointsToAlarm").is_none_or(|all| *all == 1),
        "{metric} of {value}"
    );
    // Where nothing happens, nothing is reported.
    assert_eq!(
        alarm["TreatMissingData"], "notBreaching",
        "{metric} of {value}"
    );
    let statistic = if metric == "ApproximateNumberOfMessagesVisible" {
        "Maximum"
    } else {
        "Sum"
    };
    assert_eq!(alarm["Statistic"], statistic, "{metric} of {value}");
    assert_eq!(alarm["Period"], 60, "{metric} of {value}");
    assert_eq!(
        alarm["ComparisonOperator"], "GreaterThanThreshold",
        "{metric} of {value}"
    );
}

#[test]
fn monitors_the_ops_item_quota_in_every_function_that_creates_them() {
    let deployed = deployed(&EVERY_FUNCTION);
    let groups: BTreeSet<String> = deployed
        .resources("AWS::IAM::Role")
        .into_keys()
        .filter(|name| allowed(&deployed, name).contains("ssm:CreateOpsItem"))
        .map(|name| deployed.reference_to(&name.replace("Role", "LogGroup")))
        .collect();
    assert!(groups.len() > 5, "{groups:?}");
    let alarm = &deployed.resources("AWS::CloudWatch::Alarm")["OpsItemsNotCreatedAlarm"];
    let watched: BTreeSet<String> = deployed
        .resources("AWS::Logs::MetricFilter")
        .into_values()
        .map(|filter| {
            assert_eq!(
                filter["FilterPattern"],
                recovery_core::error::OPS_ITEM_QUOTA
            );
            let metric = &filter["MetricTransformations"][0];
            assert_eq!(metric["MetricName"], alarm["MetricName"]);
            assert_eq!(metric["MetricNamespace"], alarm["Namespace"]);
            assert_eq!(metric["MetricValue"], "1");
            filter["LogGroupName"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(watched, groups);
    assert_eq!(
        strings(&alarm["AlarmActions"]),
        [deployed.reference_to("NotificationTopic")]
    );
    // Once for as long as it lasts.
    assert_eq!(alarm["DatapointsToAlarm"], 1);
    assert_eq!(alarm["EvaluationPeriods"], 60);
    assert_eq!(alarm["TreatMissingData"], "notBreaching");
}

#[test]
fn every_phone_number_is_subscribed_to_the_topic() {
    let numbers = [
        ("NotificationPhone", "+15550100"),
        ("NotificationPhone2", "+15550101"),
        ("NotificationPhone3", "+15550102"),
    ];
    let text_messages = |deployed: &Deployed| -> BTreeSet<String> {
        deployed
            .resources("AWS::SNS::Subscription")
            .into_values()
            .filter(|subscription| subscription["Protocol"] == "sms")
            .map(|subscription| {
                assert_eq!(
                    subscription["TopicArn"],
                    deployed.reference_to("NotificationTopic")
                );
                subscription["Endpoint"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    assert!(text_messages(&deployed(&[])).is_empty());
    let all = numbers.map(|(_, number)| number.to_owned());
    assert_eq!(text_messages(&deployed(&numbers)), BTreeSet::from(all));
}

#[test]
fn alarm_responder_recognizes_the_alarm_for_missing_heartbeats() {
    let deployed = deployed(&[("Heartbeat", "on")]);
    let alarm = &deployed.resources("AWS::CloudWatch::Alarm")["PrimaryRegionSilentAlarm"];
    let name = alarm["AlarmName"].as_str().unwrap();
    assert!(
        name.ends_with(recovery_core::event::alarm::SILENCE),
        "{name}"
    );
    let (namespace, metric) = recovery_core::event::alarm::HEARTBEATS;
    assert_eq!(
        (&alarm["Namespace"], &alarm["MetricName"]),
        (&namespace.into(), &metric.into())
    );
    let alarms = template_at("infra/workload-alarms.yaml");
    let name = alarms["Resources"]["ErrorRateAlarm"]["Properties"]["AlarmName"].to_string();
    assert!(
        name.contains(recovery_core::event::alarm::ERROR_RATE),
        "{name}"
    );
}

#[test]
fn retries_every_target_for_a_day_before_a_dead_letter() {
    for (path, deployed) in deliverers() {
        let mut targets = 0;
        for (rule, properties) in deployed.resources("AWS::Events::Rule") {
            assert_ne!(properties["State"], "DISABLED", "{path}: {rule}");
            let age = match rule.as_str() {
                // A heartbeat that comes late says nothing about now.
                "HeartbeatForwardingRule" => 60,
                // The next one comes by itself.
                "ReconcileDueRule" => 300,
                _ => 86_400,
            };
            for target in properties["Targets"].as_array().unwrap() {
                let retry = &target["RetryPolicy"];
                assert_eq!(retry["MaximumRetryAttempts"], 185, "{path}: {rule}");
                assert_eq!(retry["MaximumEventAgeInSeconds"], age, "{path}: {rule}");
                let queue = target["DeadLetterConfig"]["Arn"].as_str().unwrap();
                assert_eq!(
                    queue,
                    attribute_of("UndeliveredEventsQueue", "Arn"),
                    "{path}: {rule}"
                );
                targets += 1;
            }
        }
        assert!(targets > 0, "{path}");
    }
}

#[test]
fn undelivered_heartbeat_goes_to_the_dead_letter_queue() {
    let schedules = deployed_in("us-east-1", PRIMARY, &[]).resources("AWS::Scheduler::Schedule");
    assert_eq!(schedules.len(), 1);
    let target = &schedules["Heartbeat"]["Target"];
    assert_eq!(
        target["DeadLetterConfig"]["Arn"],
        attribute_of("UndeliveredEventsQueue", "Arn")
    );
    assert!(
        target["RetryPolicy"]["MaximumRetryAttempts"]
            .as_u64()
            .is_some_and(|attempts| attempts > 0)
    );
    assert_eq!(target["RetryPolicy"]["MaximumEventAgeInSeconds"], 60);
}

#[test]
fn every_rule_has_a_dead_letter_queue_and_an_alarm() {
    for (path, deployed) in deliverers() {
        let rules: BTreeSet<String> = deployed
            .resources("AWS::Events::Rule")
            .keys()
            .map(|rule| attribute_of(rule, "Arn"))
            .collect();
        let policy = &deployed.resources("AWS::SQS::QueuePolicy")["UndeliveredEventsQueuePolicy"];
        let allowed: BTreeSet<String> = policy["PolicyDocument"]["Statement"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|statement| statement["Effect"] == "Allow")
            .flat_map(|statement| {
                assert_eq!(statement["Principal"]["Service"], "events.amazonaws.com");
                assert_eq!(statement["Action"], "sqs:SendMessage");
                strings(&statement["Condition"]["ArnEquals"]["aws:SourceArn"])
            })
            .collect();
        assert_eq!(allowed, rules, "{path}");
        for rule in deployed.resources("AWS::Events::Rule").keys() {
            assert_alarm(
                &deployed,
                "AWS/Events",
                "InvocationsFailedToBeSentToDlq",
                "RuleName",
                rule,
            );
        }
    }
}

#[test]
fn every_function_has_a_failure_destination_logs_and_alarms() {
    let deployed = deployed(&EVERY_FUNCTION);
    let globals = deployed.function_globals();
    let log_groups = deployed.resources("AWS::Logs::LogGroup");
    let mut written_to = BTreeSet::new();
    for (function, properties) in deployed.resources("AWS::Serverless::Function") {
        let config = match properties.get("EventInvokeConfig") {
            Some(own) => own,
            None => &globals["EventInvokeConfig"],
        };
        let on_failure = &config["DestinationConfig"]["OnFailure"];
        assert_eq!(on_failure["Type"], "SQS", "{function}");
        assert_eq!(
            on_failure["Destination"],
            attribute_of("FailedInvocationsQueue", "Arn"),
            "{function}"
        );
        // What runs every minute needs no second attempt.
        let attempts = u64::from(function != "RestoreReconcilerFunction") * 2;
        assert_eq!(config["MaximumRetryAttempts"], attempts, "{function}");
        let log_group = properties["LoggingConfig"]["LogGroup"].as_str().unwrap();
        written_to.insert(log_group.to_owned());
        let retention = &log_groups[log_group]["RetentionInDays"];
        assert_eq!(*retention, "365", "{function}");
        for metric in ["Errors", "Throttles", "DestinationDeliveryFailures"] {
            assert_alarm(&deployed, "AWS/Lambda", metric, "FunctionName", &function);
        }
    }
    // None that nobody writes to: each function to its own, and a rule to that of the heartbeats.
    assert_eq!(
        written_to.len(),
        deployed.resources("AWS::Serverless::Function").len()
    );
    written_to.insert("HeartbeatLogGroup".to_owned());
    assert_eq!(written_to, log_groups.into_keys().collect());
}

#[test]
fn every_queue_has_an_alarm_14_days_of_retention_and_is_retained() {
    for (path, deployed) in deliverers() {
        for (queue, properties) in deployed.resources("AWS::SQS::Queue") {
            assert_alarm(
                &deployed,
                "AWS/SQS",
                "ApproximateNumberOfMessagesVisible",
                "QueueName",
                &queue,
            );
            assert_eq!(properties["MessageRetentionPeriod"], 1_209_600, "{queue}");
            assert!(properties.get("KmsMasterKeyId").is_some(), "{queue}");
            let resource = &template_at(path)["Resources"][&queue];
            assert_eq!(
                resource["DeletionPolicy"], "RetainExceptOnCreate",
                "{path}: {queue}"
            );
        }
    }
}

/// A function that keeps what it gave up on, and that the runbook does not know, could not be replayed;
/// another one must not be invoked.
#[test]
fn replays_failed_events_only_to_functions_of_the_stack() {
    for parameters in [&[][..], &EVERY_FUNCTION] {
        is_replayed_to_every_function(&deployed(parameters));
    }
}

fn is_replayed_to_every_function(deployed: &Deployed) {
    let functions: BTreeSet<String> = deployed
        .resources("AWS::Serverless::Function")
        .keys()
        .map(|function| attribute_of(function, "Arn"))
        .collect();
    let runbook = &deployed.resources("AWS::SSM::Document")["ReplayFailedEvents"];
    let payload = &runbook["Content"]["mainSteps"][0]["inputs"]["InputPayload"];
    assert_eq!(
        BTreeSet::from_iter(strings(&payload["functions"])),
        functions
    );
    let role = &deployed.resources("AWS::IAM::Role")["ReplayFailedEventsRole"];
    let invocable: BTreeSet<String> = role["Policies"][0]["PolicyDocument"]["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|statement| statement["Action"] == "lambda:InvokeFunction")
        .flat_map(|statement| strings(&statement["Resource"]))
        .collect();
    assert_eq!(invocable, functions);
    let queues: BTreeSet<String> = members(&payload["queues"])
        .map(|(name, url)| {
            assert_eq!(*url, format!("{name}Queue"));
            format!("{name}Queue")
        })
        .collect();
    let all = deployed.resources("AWS::SQS::Queue");
    assert_eq!(queues, all.into_keys().collect());
    // Who is woken by an alarm reads the command in it.
    for alarm in ["FailedInvocationsAlarm", "UndeliveredEventsAlarm"] {
        let text = deployed.resources("AWS::CloudWatch::Alarm")[alarm]["AlarmDescription"].clone();
        assert!(
            text.as_str().is_some_and(|text| text.ends_with(
                "aws ssm start-automation-execution --document-name ReplayFailedEvents"
            )),
            "{text}"
        );
    }
}

#[test]
fn every_alarm_monitors_a_resource_of_its_template() {
    for (path, deployed) in deliverers() {
        let names: BTreeSet<String> = template_at(path)["Resources"]
            .as_object()
            .unwrap()
            .keys()
            .map(|name| deployed.reference_to(name))
            .collect();
        for (alarm, properties) in deployed.resources("AWS::CloudWatch::Alarm") {
            let dimensions = properties["Dimensions"].as_array();
            // A metric of this template's own filters has none.
            let own = deployed
                .resources("AWS::Logs::MetricFilter")
                .into_values()
                .any(|filter| {
                    let metric = &filter["MetricTransformations"][0];
                    metric["MetricName"] == properties["MetricName"]
                        && metric["MetricNamespace"] == properties["Namespace"]
                });
            assert!(
                own || dimensions.is_some(),
                "{alarm} watches nothing of its own"
            );
            for dimension in dimensions.into_iter().flatten() {
                let value = dimension["Value"].as_str().unwrap().to_owned();
                assert!(names.contains(&value), "{alarm} watches {value}");
            }
            // Of what must happen, no data is the bad news.
            let silence = alarm == "RestoreReconcilerSilentAlarm";
            let missing = if silence { "breaching" } else { "notBreaching" };
            assert_eq!(properties["TreatMissingData"], missing, "{alarm}");
        }
    }
}

#[test]
fn alarm_reports_a_reconciler_that_does_not_run() {
    let parameters = &template_at("template.yaml")["Parameters"];
    assert_eq!(parameters["ReconcileMinutes"]["MinValue"], 1);
    assert_eq!(parameters["ReconcileMinutes"]["MaxValue"], 30);
    // By default, and at both bounds. `rate(1 minutes)` is not an expression.
    for (given, expression, silence) in [
        (&[][..], "rate(1 minute)", 300),
        (&[("ReconcileMinutes", "1")], "rate(1 minute)", 300),
        (&[("ReconcileMinutes", "2")], "rate(2 minutes)", 3600),
        (&[("ReconcileMinutes", "30")], "rate(30 minutes)", 3600),
    ] {
        let deployed = deployed(given);
        let rule = &deployed.resources("AWS::Events::Rule")["ReconcileDueRule"];
        assert_eq!(rule["ScheduleExpression"], expression);
        let alarm = &deployed.resources("AWS::CloudWatch::Alarm")["RestoreReconcilerSilentAlarm"];
        assert_eq!(alarm["MetricName"], "Invocations");
        assert_eq!(
            alarm["Dimensions"],
            serde_json::json!([{"Name": "FunctionName", "Value": "RestoreReconcilerFunction"}])
        );
        assert_eq!(alarm["ComparisonOperator"], "LessThanThreshold");
        assert_eq!(alarm["Threshold"], 1);
        assert_eq!(alarm["Period"], silence, "{expression}");
    }
}

/// A long run does not block the next one: an account with Lambda's smallest quota could not reserve
/// concurrency for it.
#[test]
fn reconciler_runs_may_overlap() {
    let deployed = deployed(&[]);
    let reconciler = &deployed.resources("AWS::Serverless::Function")["RestoreReconcilerFunction"];
    assert!(reconciler.get("ReservedConcurrentExecutions").is_none());
    assert_eq!(
        reconciler["Environment"]["Variables"]["RECONCILE_MINUTES"],
        "1"
    );
}

const SIGNALS: [(&str, &str); 3] = [
    ("Heartbeat", "on"),
    ("CanaryAlarm", "recovery-canary-failed"),
    (
        "OwnerAlarms",
        "recovery-orders per minute out of band,recovery-site-error-rate",
    ),
];

#[test]
fn missing_heartbeats_alarm_and_are_combined_with_other_signals() {
    assert!(
        !deployed(&[])
            .resources("AWS::CloudWatch::Alarm")
            .contains_key("PrimaryRegionSilentAlarm"),
        "where no heartbeat ever came, its absence means nothing"
    );
    let deployed = deployed(&SIGNALS);
    let alarms = deployed.resources("AWS::CloudWatch::Alarm");
    let silent = &alarms["PrimaryRegionSilentAlarm"];
    assert_eq!(silent["MetricName"], "MatchedEvents");
    assert_eq!(
        silent["Dimensions"],
        serde_json::json!([{"Name": "RuleName", "Value": "HeartbeatRule"}])
    );
    assert_eq!(silent["ComparisonOperator"], "LessThanThreshold");
    assert_eq!(silent["Threshold"], 1);
    assert_eq!(silent["EvaluationPeriods"], silent["DatapointsToAlarm"]);
    // A Region that is gone sends nothing: no data is the signal.
    assert_eq!(silent["TreatMissingData"], "breaching");
    let joined = &deployed.resources("AWS::CloudWatch::CompositeAlarm")["SignalsAgreeAlarm"];
    assert_eq!(
        joined["AlarmRule"],
        "ALARM(\"PrimaryRegionSilentAlarm\") AND ALARM(\"recovery-canary-failed\") \
         AND ALARM(\"recovery-orders per minute out of band\") AND ALARM(\"recovery-site-error-rate\")"
    );
}

/// Otherwise a failure of alarm-responder would invoke alarm-responder.
#[test]
fn only_the_alarms_about_the_primary_region_are_incidents() {
    let mut incidents = Vec::new();
    for (path, deployed) in deliverers()
        .into_iter()
        .chain([("template.yaml", deployed(&SIGNALS))])
    {
        for of_type in ["AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"] {
            for (alarm, properties) in deployed.resources(of_type) {
                let name = properties["AlarmName"].as_str().unwrap_or_default();
                if name.starts_with("recovery-") {
                    incidents.push(alarm);
                } else {
                    // The prefix of incidents begins with a small letter or a digit.
                    assert!(
                        name.starts_with("RapidRecovery-"),
                        "{path}: {alarm}: {name}"
                    );
                }
            }
        }
    }
    assert_eq!(incidents, ["PrimaryRegionSilentAlarm", "SignalsAgreeAlarm"]);
    for path in ["template.yaml", PRIMARY] {
        let prefix = &template_at(path)["Parameters"]["AlarmNamePrefix"];
        assert_eq!(prefix["Default"], "recovery-", "{path}");
        assert!(
            prefix["AllowedPattern"]
                .as_str()
                .is_some_and(|pattern| pattern.starts_with("[a-z0-9]")),
            "{path}"
        );
    }
}

#[test]
fn every_function_has_time_to_record_its_result() {
    let globals = deployed(&[]).function_globals();
    // A call with all its attempts takes up to 20 s: see crates/recovery-aws/src/client.rs.
    assert!(
        globals["Timeout"]
            .as_u64()
            .is_some_and(|seconds| seconds >= 120)
    );
    for (function, properties) in deployed(&EVERY_FUNCTION).resources("AWS::Serverless::Function") {
        let own = properties.get("Timeout").and_then(Value::as_u64);
        assert!(
            own.is_none_or(|seconds| (120..=900).contains(&seconds)),
            "{function}"
        );
        assert!(
            properties.get("ReservedConcurrentExecutions").is_none(),
            "{function}"
        );
    }
}
