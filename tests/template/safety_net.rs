//! What goes wrong is tried again, kept, and told.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::sam::{attribute_of, deployed, reference_to, strings, template};

/// Whether an alarm on this metric of this resource tells people.
fn assert_alarm(namespace: &str, metric: &str, dimension: &str, value: &str) {
    let topic = reference_to("NotificationTopic");
    let alarms = deployed(&[]).resources("AWS::CloudWatch::Alarm");
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
    assert_eq!(
        alarm["ComparisonOperator"], "GreaterThanThreshold",
        "{metric} of {value}"
    );
}

#[test]
fn every_target_is_tried_for_a_day_and_then_kept() {
    let mut targets = 0;
    for (rule, properties) in deployed(&[]).resources("AWS::Events::Rule") {
        assert_ne!(properties["State"], "DISABLED", "{rule}");
        for target in properties["Targets"].as_array().unwrap() {
            assert_eq!(target["RetryPolicy"]["MaximumRetryAttempts"], 185, "{rule}");
            assert_eq!(
                target["RetryPolicy"]["MaximumEventAgeInSeconds"], 86_400,
                "{rule}"
            );
            let queue = target["DeadLetterConfig"]["Arn"].as_str().unwrap();
            assert_eq!(
                queue,
                attribute_of("UndeliveredEventsQueue", "Arn"),
                "{rule}"
            );
            targets += 1;
        }
    }
    assert!(targets > 0);
}

#[test]
fn every_rule_may_keep_what_it_could_not_deliver_and_is_watched() {
    let deployed = deployed(&[]);
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
    assert_eq!(allowed, rules);
    for rule in deployed.resources("AWS::Events::Rule").keys() {
        assert_alarm(
            "AWS/Events",
            "InvocationsFailedToBeSentToDlq",
            "RuleName",
            rule,
        );
    }
}

#[test]
fn every_function_keeps_what_it_gave_up_on_logs_and_is_watched() {
    let deployed = deployed(&[]);
    let globals = deployed.function_globals();
    let log_groups = deployed.resources("AWS::Logs::LogGroup");
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
        assert_eq!(config["MaximumRetryAttempts"], 2, "{function}");
        let log_group = properties["LoggingConfig"]["LogGroup"].as_str().unwrap();
        let retention = &log_groups[log_group]["RetentionInDays"];
        assert_eq!(*retention, "365", "{function}");
        for metric in ["Errors", "Throttles", "DestinationDeliveryFailures"] {
            assert_alarm("AWS/Lambda", metric, "FunctionName", &function);
        }
    }
    // None that no function writes to.
    assert_eq!(
        log_groups.len(),
        deployed.resources("AWS::Serverless::Function").len()
    );
}

#[test]
fn every_queue_is_watched_keeps_for_two_weeks_and_outlives_the_stack() {
    for (queue, properties) in deployed(&[]).resources("AWS::SQS::Queue") {
        assert_alarm(
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            "QueueName",
            &queue,
        );
        assert_eq!(properties["MessageRetentionPeriod"], 1_209_600, "{queue}");
        assert!(properties.get("KmsMasterKeyId").is_some(), "{queue}");
        let resource = &template()["Resources"][&queue];
        assert_eq!(
            resource["DeletionPolicy"], "RetainExceptOnCreate",
            "{queue}"
        );
    }
}

#[test]
fn every_alarm_watches_something_of_this_template() {
    let names: BTreeSet<&String> = template()["Resources"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    for (alarm, properties) in deployed(&[]).resources("AWS::CloudWatch::Alarm") {
        for dimension in properties["Dimensions"].as_array().unwrap() {
            let value = dimension["Value"].as_str().unwrap().to_owned();
            assert!(names.contains(&value), "{alarm} watches {value}");
        }
        assert_eq!(properties["TreatMissingData"], "notBreaching", "{alarm}");
    }
}

#[test]
fn a_function_has_time_to_write_down_what_became_of_it() {
    let globals = deployed(&[]).function_globals();
    // A call with all its attempts takes up to 20 s: see crates/recovery-aws/src/client.rs.
    assert!(
        globals["Timeout"]
            .as_u64()
            .is_some_and(|seconds| seconds >= 60)
    );
    for (function, properties) in deployed(&[]).resources("AWS::Serverless::Function") {
        let own = properties.get("Timeout").and_then(Value::as_u64);
        assert!(
            own.is_none_or(|seconds| (60..=900).contains(&seconds)),
            "{function}"
        );
        assert!(
            properties.get("ReservedConcurrentExecutions").is_none(),
            "{function}"
        );
    }
}
