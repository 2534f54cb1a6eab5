//! State machines: each task has a timeout, retries only known errors and handles its failure; each wait
//! is bounded; each role allows exactly the calls of its machine; only resources of a drill are deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::repository::text;
use crate::support::sam::{Deployed, deployed, deployed_in, members, strings};

use super::permissions::{WRITES_ITEMS, allowed};

/// A state machine of the template.
struct Machine {
    /// Logical id without its ending: `RegionRecovery`.
    name: &'static str,
    file: &'static str,
    /// The state that is meant to fail the execution, so that a redrive goes on from it.
    fails: &'static [&'static str],
}

const MACHINES: [Machine; 2] = [
    Machine {
        name: "RegionRecovery",
        file: "infra/statemachines/region-recovery.asl.yaml",
        fails: &["Stop"],
    },
    Machine {
        name: "DrillCleanup",
        file: "infra/statemachines/drill-cleanup.asl.yaml",
        fails: &[],
    },
];

/// With everything that a recovery can do.
pub(super) const WHOLE: [(&str, &str); 6] = [
    ("RecoveryWorkload", "shop"),
    (
        "WorkloadStackRoleArn",
        "arn:aws:iam::111122223333:role/shop-stack",
    ),
    (
        "VerificationFunctionArn",
        "arn:aws:lambda:us-west-2:111122223333:function:verify",
    ),
    (
        "FailOverFunctionArn",
        "arn:aws:lambda:us-west-2:111122223333:function:fail-over",
    ),
    ("DrillSchedule", "rate(30 days)"),
    ("DrillStack", "shop-drill"),
];

impl Machine {
    fn definition(&self) -> Value {
        self.filled_in(&[("Partition", "aws")])
    }

    /// The definition with these names filled in, as CloudFormation does.
    fn filled_in(&self, substitutions: &[(&str, &str)]) -> Value {
        let written = substitutions
            .iter()
            .fold(text(self.file), |text, (name, value)| {
                text.replace(&format!("${{{name}}}"), value)
            });
        let parsed: Value = serde_yaml_ng::from_str(&written).expect("a state machine is YAML");
        assert_eq!(parsed["QueryLanguage"], "JSONata");
        parsed
    }

    fn properties(&self, deployed: &Deployed) -> Value {
        deployed.resources("AWS::Serverless::StateMachine")[&format!("{}StateMachine", self.name)]
            .clone()
    }
}

/// Each workflow in a definition: the outer one, those of Maps, and the branches of Parallel states. Path of
/// the workflow, and itself.
fn workflows(path: &str, workflow: &Value) -> Vec<(String, Value)> {
    let mut all = vec![(path.to_owned(), workflow.clone())];
    for (name, state) in members(&workflow["States"]) {
        let branches = state["Branches"].as_array().into_iter().flatten();
        for inner in state.get("ItemProcessor").into_iter().chain(branches) {
            all.extend(workflows(&format!("{path}/{name}"), inner));
        }
    }
    all
}

/// The workflows that are executions of their own: the children of distributed Maps.
fn children(machine: &Machine) -> Vec<(String, Value)> {
    states(machine)
        .into_iter()
        .filter(|(_, state)| state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED")
        .map(|(path, state)| (path, state["ItemProcessor"].clone()))
        .collect()
}

/// The one state of this name, wherever it is.
fn state_named(machine: &Machine, name: &str) -> Value {
    let mut found = states(machine);
    found.retain(|(path, _)| path.rsplit('/').next() == Some(name));
    assert_eq!(found.len(), 1, "{name}");
    found.remove(0).1
}

/// Every state of every workflow, with its path.
fn states(machine: &Machine) -> Vec<(String, Value)> {
    workflows(machine.name, &machine.definition())
        .into_iter()
        .flat_map(|(path, workflow)| {
            members(&workflow["States"])
                .map(|(name, state)| (format!("{path}/{name}"), state.clone()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Where a state can lead.
fn followers(state: &Value) -> BTreeSet<String> {
    let of = |value: &Value| value["Next"].as_str().map(str::to_owned);
    let lists = ["Choices", "Catch"]
        .iter()
        .flat_map(|list| state[*list].as_array().into_iter().flatten())
        .filter_map(of);
    of(state)
        .into_iter()
        .chain(state["Default"].as_str().map(str::to_owned))
        .chain(lists)
        .collect()
}

#[test]
fn every_state_is_reachable_and_every_transition_has_a_target() {
    for machine in &MACHINES {
        for (path, workflow) in workflows(machine.name, &machine.definition()) {
            let all: BTreeSet<String> = members(&workflow["States"])
                .map(|(name, _)| name.clone())
                .collect();
            let mut reached = BTreeSet::new();
            let mut open = vec![workflow["StartAt"].as_str().expect("a start").to_owned()];
            while let Some(name) = open.pop() {
                assert!(all.contains(&name), "{path}: there is no state {name}");
                let state = &workflow["States"][&name];
                let follow = followers(state);
                let ends = state["End"] == true
                    || ["Succeed", "Fail"].contains(&state["Type"].as_str().unwrap_or_default());
                assert!(ends || !follow.is_empty(), "{path}/{name} leads nowhere");
                if reached.insert(name) {
                    open.extend(follow);
                }
            }
            assert_eq!(reached, all, "{path}");
        }
    }
}

/// Errors that may pass by themselves: those of our functions, of the services' clients, of time.
fn may_pass(error: &str) -> bool {
    let (service, code) = error.split_once('.').unwrap_or(("", error));
    match service {
        "" => code == "Retryable",
        "States" => code == "Timeout",
        // A function that took too long, or whose process died.
        "Sandbox" => code == "Timedout",
        "Runtime" => code == "ExitError",
        "Lambda" => [
            "ServiceException",
            "AWSLambdaException",
            "SdkClientException",
            "TooManyRequestsException",
            "ClientExecutionTimeoutException",
            "Unknown",
        ]
        .contains(&code),
        // What a service's model does not know, throttling among it, is <Service>.<Service>Exception.
        _ => {
            code == format!("{service}Exception")
                || code.eq_ignore_ascii_case(&format!("{service}Exception"))
                || [
                    "SdkClientException",
                    "ServiceUnavailableException",
                    "ThrottlingException",
                    "LimitExceededException",
                    // A database that is just being changed, and a table that is just being created.
                    "InvalidDbClusterStateException",
                    "InvalidDbInstanceStateException",
                ]
                .contains(&code)
                || [
                    "DynamoDb.ResourceNotFoundException",
                    "DynamoDb.ResourceInUseException",
                ]
                .contains(&error)
        }
    }
}

#[test]
fn every_task_has_a_timeout_and_retries_only_transient_errors() {
    for machine in &MACHINES {
        let mut tasks = 0;
        for (path, state) in states(machine) {
            for retry in state["Retry"].as_array().into_iter().flatten() {
                for error in strings(&retry["ErrorEquals"]) {
                    assert!(may_pass(&error), "{path} retries {error}");
                }
                assert!(
                    retry["MaxAttempts"].as_u64().is_some_and(|n| n <= 8),
                    "{path}"
                );
                assert!(
                    retry["MaxDelaySeconds"].as_u64().is_some_and(|s| s <= 120),
                    "{path}"
                );
                assert_eq!(retry["JitterStrategy"], "FULL", "{path}");
            }
            if state["Type"] != "Task" {
                continue;
            }
            tasks += 1;
            assert!(
                state["TimeoutSeconds"].as_u64().is_some_and(|s| s <= 900),
                "{path}"
            );
            let retried: BTreeSet<String> = state["Retry"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|retry| strings(&retry["ErrorEquals"]))
                .collect();
            if state["Resource"] == "arn:aws:states:::lambda:invoke" {
                for error in ["Retryable", "Lambda.TooManyRequestsException"] {
                    assert!(retried.contains(error), "{path} does not retry {error}");
                }
            }
            let last = state["Catch"].as_array().and_then(|catch| catch.last());
            let leads_on =
                last.is_some_and(|catch| strings(&catch["ErrorEquals"]) == ["States.ALL"]);
            let name = path.rsplit('/').next().unwrap_or_default();
            // A clean-up that could not be begun fails the drill, and a redrive begins it.
            let may_fail = machine.fails.contains(&name) || name == "CleanUp";
            assert!(
                leads_on || may_fail,
                "{path} ends the execution when it fails"
            );
        }
        assert!(tasks > 4, "{}", machine.name);
    }
}

/// Whether a state counts a turn of a loop.
fn counts(state: &Value) -> bool {
    let assigns = |value: &Value| {
        members(&value["Assign"]).any(|(name, value)| {
            value
                .as_str()
                .is_some_and(|text| text.contains(&format!("${name} + ")))
        })
    };
    assigns(state)
        || state["Choices"]
            .as_array()
            .into_iter()
            .flatten()
            .any(assigns)
}

#[test]
fn every_loop_is_bounded() {
    for machine in &MACHINES {
        for (path, workflow) in workflows(machine.name, &machine.definition()) {
            // Without the states that count, and the one that only a redrive leads on from, no way
            // comes back to where it was.
            let mut left: BTreeMap<String, BTreeSet<String>> = members(&workflow["States"])
                .filter(|(name, state)| !counts(state) && !machine.fails.contains(&name.as_str()))
                .map(|(name, state)| (name.clone(), followers(state)))
                .collect();
            loop {
                let ends: Vec<String> = left
                    .iter()
                    .filter(|(_, follow)| follow.iter().all(|name| !left.contains_key(name)))
                    .map(|(name, _)| name.clone())
                    .collect();
                if ends.is_empty() {
                    break;
                }
                for name in ends {
                    left.remove(&name);
                }
            }
            assert!(left.is_empty(), "{path} turns without counting: {left:?}");
        }
        // What is counted is compared with a bound somewhere.
        let whole = machine.definition().to_string();
        for (path, state) in states(machine) {
            for (name, value) in members(&state["Assign"]) {
                let adds = format!("${name} + ");
                if value.as_str().is_some_and(|text| text.contains(&adds)) {
                    let bounded = ["<", ">="]
                        .iter()
                        .any(|than| whole.contains(&format!("${name} {than} ")));
                    assert!(bounded, "{path}: {name} has no bound");
                }
            }
        }
    }
}

#[test]
fn substitutions_are_given_and_used() {
    for machine in &MACHINES {
        let written = text(machine.file);
        let used: BTreeSet<&str> = written
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.split("${").skip(1))
            .filter_map(|rest| rest.split_once('}'))
            .map(|(name, _)| name)
            .collect();
        let properties = machine.properties(&deployed(&[]));
        let given: BTreeSet<&str> = members(&properties["DefinitionSubstitutions"])
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(used, given, "{}", machine.name);
        assert_eq!(properties["DefinitionUri"], machine.file);
        assert_eq!(properties["Type"], "STANDARD");
    }
}

#[test]
fn each_task_uses_the_partition_of_the_stack() {
    for (region, partition) in [
        ("us-west-2", "aws"),
        ("cn-northwest-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
    ] {
        let deployed = deployed_in(region, "template.yaml", &[]);
        for machine in &MACHINES {
            let substitutions = machine.properties(&deployed)["DefinitionSubstitutions"].clone();
            let given = substitutions["Partition"].as_str().unwrap_or_default();
            let definition = machine.filled_in(&[("Partition", given)]);
            let mut resources = Vec::new();
            for (_, workflow) in workflows(machine.name, &definition) {
                for (_, state) in members(&workflow["States"]) {
                    resources.extend(state["Resource"].as_str().map(str::to_owned));
                    resources.extend(state["ItemReader"]["Resource"].as_str().map(str::to_owned));
                }
            }
            assert!(resources.len() > 4, "{}", machine.name);
            for resource in resources {
                assert!(
                    resource.starts_with(&format!("arn:{partition}:states:::")),
                    "{region}: {}: {resource}",
                    machine.name
                );
            }
        }
    }
}

#[test]
fn each_role_trusts_its_machine_and_its_distributed_maps() {
    let deployed = deployed(&[]);
    for machine in &MACHINES {
        let name = machine.properties(&deployed)["Name"].clone();
        let arn = format!(
            "arn:aws:states:us-west-2:111122223333:stateMachine:{}",
            name.as_str().expect("a name")
        );
        let role = &deployed.resources("AWS::IAM::Role")[&format!("{}Role", machine.name)];
        let sources = strings(
            &role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["ArnLike"]["aws:SourceArn"],
        );
        let mut expected = vec![arn.clone()];
        for (path, state) in states(machine) {
            if state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED" {
                assert!(state["Label"].is_string(), "{path} has no label of its own");
                expected = vec![arn.clone(), format!("{arn}/*")];
            }
        }
        assert_eq!(sources, expected, "{}", machine.name);
    }
}

/// What a task of this resource is allowed by, beside what is asked for with the call itself.
fn actions_of(resource: &str) -> Vec<&'static str> {
    match resource {
        "arn:aws:states:::lambda:invoke" => vec!["lambda:InvokeFunction"],
        "arn:aws:states:::s3:getObject" => vec!["s3:GetObject"],
        // The topic is encrypted.
        "arn:aws:states:::sns:publish" => {
            vec!["sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"]
        }
        // S3 says only to those who may list a bucket that an object is not there.
        "arn:aws:states:::aws-sdk:s3:getObject" => vec!["s3:GetObject", "s3:ListBucket"],
        "arn:aws:states:::aws-sdk:s3:putObject" => vec!["s3:PutObject"],
        "arn:aws:states:::aws-sdk:backup:describeRestoreJob" => vec!["backup:DescribeRestoreJob"],
        "arn:aws:states:::aws-sdk:cloudformation:describeStacks" => {
            vec!["cloudformation:DescribeStacks"]
        }
        "arn:aws:states:::aws-sdk:cloudformation:createStack" => vec![
            "cloudformation:CreateStack",
            "cloudformation:TagResource",
            "iam:PassRole",
            "s3:GetObject",
            "ssm:GetParameters",
        ],
        "arn:aws:states:::aws-sdk:lambda:getAccountSettings" => vec!["lambda:GetAccountSettings"],
        "arn:aws:states:::aws-sdk:cloudformation:deleteStack" => vec!["cloudformation:DeleteStack"],
        "arn:aws:states:::aws-sdk:ec2:createTags" => vec!["ec2:CreateTags"],
        "arn:aws:states:::aws-sdk:rds:addTagsToResource" => vec!["rds:AddTagsToResource"],
        "arn:aws:states:::aws-sdk:dynamodb:tagResource" => vec!["dynamodb:TagResource"],
        "arn:aws:states:::aws-sdk:efs:tagResource" => vec!["elasticfilesystem:TagResource"],
        "arn:aws:states:::aws-sdk:fsx:tagResource" => vec!["fsx:TagResource"],
        "arn:aws:states:::aws-sdk:efs:describeFileSystems" => {
            vec!["elasticfilesystem:DescribeFileSystems"]
        }
        "arn:aws:states:::aws-sdk:efs:describeMountTargets" => {
            vec!["elasticfilesystem:DescribeMountTargets"]
        }
        "arn:aws:states:::aws-sdk:efs:deleteMountTarget" => vec![
            "ec2:DeleteNetworkInterface",
            "elasticfilesystem:DeleteMountTarget",
        ],
        "arn:aws:states:::aws-sdk:efs:deleteFileSystem" => {
            vec!["elasticfilesystem:DeleteFileSystem"]
        }
        "arn:aws:states:::aws-sdk:fsx:describeFileSystems" => vec!["fsx:DescribeFileSystems"],
        "arn:aws:states:::aws-sdk:fsx:describeVolumes" => vec!["fsx:DescribeVolumes"],
        "arn:aws:states:::aws-sdk:fsx:deleteFileSystem" => vec!["fsx:DeleteFileSystem"],
        "arn:aws:states:::aws-sdk:fsx:deleteVolume" => vec!["fsx:DeleteVolume"],
        "arn:aws:states:::aws-sdk:ec2:describeInstances" => vec!["ec2:DescribeInstances"],
        "arn:aws:states:::aws-sdk:ec2:describeVolumes" => vec!["ec2:DescribeVolumes"],
        "arn:aws:states:::aws-sdk:ec2:deleteVolume" => vec!["ec2:DeleteVolume"],
        "arn:aws:states:::aws-sdk:ec2:terminateInstances" => vec!["ec2:TerminateInstances"],
        "arn:aws:states:::aws-sdk:rds:describeDBClusters" => vec!["rds:DescribeDBClusters"],
        "arn:aws:states:::aws-sdk:rds:describeDBInstances" => vec!["rds:DescribeDBInstances"],
        "arn:aws:states:::aws-sdk:rds:deleteDBCluster" => vec!["rds:DeleteDBCluster"],
        "arn:aws:states:::aws-sdk:rds:deleteDBInstance" => vec!["rds:DeleteDBInstance"],
        "arn:aws:states:::aws-sdk:dynamodb:listTables" => vec!["dynamodb:ListTables"],
        "arn:aws:states:::aws-sdk:dynamodb:describeTable" => vec!["dynamodb:DescribeTable"],
        "arn:aws:states:::aws-sdk:dynamodb:listTagsOfResource" => {
            vec!["dynamodb:ListTagsOfResource"]
        }
        "arn:aws:states:::aws-sdk:dynamodb:deleteTable" => vec!["dynamodb:DeleteTable"],
        "arn:aws:states:::aws-sdk:ssm:describeParameters" => vec!["ssm:DescribeParameters"],
        "arn:aws:states:::aws-sdk:ssm:deleteParameters" => vec!["ssm:DeleteParameters"],
        "arn:aws:states:::aws-sdk:sfn:startExecution" => vec!["states:StartExecution"],
        _ => panic!("the tests do not know what allows {resource}"),
    }
}

/// What the executions of a distributed Map need (Step Functions guide, iam-policies-eg-dist-map).
const DISTRIBUTED: [&str; 4] = [
    "states:DescribeExecution",
    "states:RedriveExecution",
    "states:StartExecution",
    "states:StopExecution",
];

/// What only a role for CloudFormation makes possible.
const CREATES: [&str; 4] = [
    "cloudformation:CreateStack",
    "cloudformation:TagResource",
    "iam:PassRole",
    "ssm:GetParameters",
];

#[test]
fn each_role_allows_exactly_the_calls_of_its_machine() {
    for machine in &MACHINES {
        let mut needed = BTreeSet::new();
        for (_, state) in states(machine) {
            if state["Type"] == "Task" {
                needed.extend(actions_of(state["Resource"].as_str().expect("a resource")));
            }
            if let Some(resource) = state["ItemReader"]["Resource"].as_str() {
                needed.extend(actions_of(resource));
            }
            if state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED" {
                needed.extend(DISTRIBUTED);
            }
        }
        let role = format!("{}Role", machine.name);
        let expected = |creates: bool| -> BTreeSet<String> {
            needed
                .iter()
                .filter(|action| creates || !CREATES.contains(action))
                .map(|action| (*action).to_owned())
                .collect()
        };
        assert_eq!(allowed(&deployed(&WHOLE), &role), expected(true), "{role}");
        assert_eq!(allowed(&deployed(&[]), &role), expected(false), "{role}");
        let properties = machine.properties(&deployed(&[]));
        assert_eq!(
            properties["Role"],
            format!("arn:aws:placeholder:us-west-2:111122223333:{role}")
        );
    }
}

#[test]
fn machine_may_invoke_exactly_the_functions_that_it_calls() {
    let deployed = deployed(&WHOLE);
    let machine = &MACHINES[0];
    let substitutions = machine.properties(&deployed)["DefinitionSubstitutions"].clone();
    let integrators = state_named(machine, "BeginRestore")["Assign"]["integrator"].to_string();
    let called: BTreeSet<String> = states(machine)
        .iter()
        .filter(|(_, state)| state["Resource"] == "arn:aws:states:::lambda:invoke")
        .flat_map(|(path, state)| {
            let named = state["Arguments"]["FunctionName"].as_str().expect("a name");
            let names = if named == "{% $integrator %}" {
                &integrators
            } else {
                named
            };
            let arns: Vec<String> = names
                .split("${")
                .skip(1)
                .filter_map(|rest| rest.split_once('}'))
                .map(|(name, _)| substitutions[name].as_str().expect("an ARN").to_owned())
                .collect();
            assert!(!arns.is_empty(), "{path} calls {named}");
            arns
        })
        .collect();
    let roles = deployed.resources("AWS::IAM::Role");
    let may: BTreeSet<String> =
        roles["RegionRecoveryRole"]["Policies"][0]["PolicyDocument"]["Statement"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|statement| strings(&statement["Action"]) == ["lambda:InvokeFunction"])
            .flat_map(|statement| strings(&statement["Resource"]))
            .collect();
    assert_eq!(may, called);
    assert!(called.len() >= 8, "{called:?}");
}

/// What a request shows of the resource that it is about.
struct About<'a> {
    tags: &'a [(&'a str, &'a str)],
    sets: &'a [(&'a str, &'a str)],
}

/// Whether one of the statements allows the action on such a resource. It knows the operators that these
/// statements have, and panics at others.
fn allows(statements: &[Value], action: &str, about: &About<'_>) -> bool {
    let value = |key: &str| -> Option<&str> {
        let of_resource = ["aws:ResourceTag/", "rds:cluster-tag/", "rds:db-tag/"];
        if let Some(tag) = of_resource.iter().find_map(|kind| key.strip_prefix(kind)) {
            return about
                .tags
                .iter()
                .find(|(name, _)| *name == tag)
                .map(|(_, value)| *value);
        }
        if let Some(tag) = key.strip_prefix("aws:RequestTag/") {
            return about
                .sets
                .iter()
                .find(|(name, _)| *name == tag)
                .map(|(_, value)| *value);
        }
        panic!("the tests do not know {key}")
    };
    statements
        .iter()
        .filter(|statement| strings(&statement["Action"]).contains(&action.to_owned()))
        .any(|statement| {
            members(&statement["Condition"]).all(|(operator, keys)| {
                members(keys).all(|(key, expected)| match operator.as_str() {
                    "Null" => json!(value(key).is_none().to_string()) == *expected,
                    "ForAllValues:StringEquals" if key == "aws:TagKeys" => about
                        .sets
                        .iter()
                        .all(|(name, _)| strings(expected).contains(&(*name).to_owned())),
                    _ => panic!("the tests do not know {operator} of {key}"),
                })
            })
        })
}

const DRILL: (&str, &str) = ("recovery:drill", "drill-1");
const WORKLOAD: (&str, &str) = ("recovery:workload", "shop");

#[test]
fn only_resources_of_a_drill_can_be_deleted() {
    let deployed = deployed(&WHOLE);
    let statements = |role: &str| -> Vec<Value> {
        deployed.resources("AWS::IAM::Role")[role]["Policies"][0]["PolicyDocument"]["Statement"]
            .as_array()
            .expect("statements")
            .clone()
    };
    let cleanup = statements("DrillCleanupRole");
    let deletes =
        |action: &str, tags: &[(&str, &str)]| allows(&cleanup, action, &About { tags, sets: &[] });
    for (action, with_tags_of_the_workload) in [
        ("ec2:DeleteVolume", false),
        ("ec2:TerminateInstances", false),
        ("cloudformation:DeleteStack", true),
        // RDS may restore the tags of a database, although nobody asked for them.
        ("rds:DeleteDBCluster", true),
        ("rds:DeleteDBInstance", true),
        ("dynamodb:DeleteTable", false),
        ("elasticfilesystem:DeleteFileSystem", false),
        ("elasticfilesystem:DeleteMountTarget", false),
        ("fsx:DeleteFileSystem", false),
        ("fsx:DeleteVolume", false),
        ("ssm:DeleteParameters", true),
    ] {
        assert!(deletes(action, &[DRILL]), "{action}");
        assert!(!deletes(action, &[]), "{action}");
        assert!(!deletes(action, &[WORKLOAD]), "{action}");
        assert!(!deletes(action, &[("Name", "recovery:drill")]), "{action}");
        // A drill's stack is of the workload. A drill's volume or table carries no tag of it.
        assert_eq!(
            deletes(action, &[DRILL, WORKLOAD]),
            with_tags_of_the_workload,
            "{action}"
        );
    }
    // No final snapshot, no group, no item: only what a drill creates.
    let deleted: BTreeSet<String> = cleanup
        .iter()
        .filter(|statement| {
            strings(&statement["Action"])
                .iter()
                .any(|action| action.contains(":Delete") || action.contains(":Terminate"))
        })
        .flat_map(|statement| strings(&statement["Resource"]))
        .collect();
    let of = |service: &str, kind: &str| format!("arn:aws:{service}:us-west-2:111122223333:{kind}");
    assert_eq!(
        deleted,
        BTreeSet::from([
            of("cloudformation", "stack/*"),
            of("dynamodb", "table/*"),
            // Those of mount targets, which only EFS may delete.
            of("ec2", "network-interface/*"),
            of("ec2", "instance/*"),
            of("ec2", "volume/*"),
            of("elasticfilesystem", "file-system/*"),
            of("fsx", "file-system/*"),
            of("fsx", "volume/*"),
            of("rds", "cluster:*"),
            of("rds", "db:*"),
            of("ssm", "parameter/*/drill/*"),
        ])
    );
    // Who marks cannot delete, who deletes cannot mark, and nobody else can do either.
    let recovery = statements("RegionRecoveryRole");
    for action in [
        "ec2:CreateTags",
        "rds:AddTagsToResource",
        "dynamodb:TagResource",
        "elasticfilesystem:TagResource",
        "fsx:TagResource",
    ] {
        let marks = |tags: &[(&str, &str)], sets: &[(&str, &str)]| {
            allows(&recovery, action, &About { tags, sets })
        };
        assert!(marks(&[], &[DRILL]), "{action}");
        assert!(marks(&[DRILL], &[DRILL]), "{action}");
        assert!(!marks(&[WORKLOAD], &[DRILL]), "{action}");
        assert!(!marks(&[], &[WORKLOAD]), "{action}");
        assert!(!marks(&[], &[DRILL, WORKLOAD]), "{action}");
        assert!(!marks(&[], &[]), "{action}");
    }
    for (role, _) in deployed.resources("AWS::IAM::Role") {
        let actions = allowed(&deployed, &role);
        let some = |words: &[&str]| {
            actions.iter().any(|action| {
                let verb = action.split(':').nth(1).unwrap_or_default();
                words.iter().any(|word| verb.starts_with(word))
                    && !action.starts_with("sqs:")
                    && action != WRITES_ITEMS
            })
        };
        let deletes = some(&["Delete", "Terminate", "Detach"]);
        assert_eq!(deletes, role == "DrillCleanupRole", "{role}");
        if deletes {
            let others = [
                "AddTags", "Create", "Get", "Modify", "PassRole", "Put", "Remove", "Tag", "Untag",
                "Update",
            ];
            assert!(!some(&others), "{role}");
        }
    }
    // A stack can be marked only in the moment of its creation.
    let tagging: Vec<&Value> = recovery
        .iter()
        .filter(|statement| {
            strings(&statement["Action"]).contains(&"cloudformation:TagResource".to_owned())
        })
        .collect();
    assert_eq!(tagging.len(), 1);
    assert_eq!(
        tagging[0]["Condition"],
        json!({"StringEquals": {"cloudformation:CreateAction": "CreateStack"}})
    );
}

#[test]
fn longest_histories_stay_below_the_quota() {
    // Step Functions ends an execution at 25,000 events (service-quotas). A turn of a loop of Task,
    // Choice and Wait is nine: entered, scheduled, started, succeeded, exited; entered, exited twice.
    const TURN: u64 = 9;
    const QUOTA: u64 = 25_000;
    let most = |name: &str| {
        crate::support::sam::template()["Parameters"][name]["MaxValue"]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} has no greatest value"))
    };
    // Each wait is a part of the time that was already waited.
    let wait = |least: u64| format!("$max([{least}, $min([300, $floor($waited / 40)])])");
    let turns = |most_seconds: u64, least: u64| {
        let (mut waited, mut turns) = (0, 0);
        while waited < most_seconds {
            waited += least.max((waited / 40).min(300));
            turns += 1;
        }
        turns
    };
    let mut waits = 0;
    for (path, state) in states(&MACHINES[0]) {
        if state["Type"] == "Wait" && path.rsplit('/').next() != Some("WaitToStartAgain") {
            let least = if path.ends_with("/WaitForIntegration") {
                30
            } else {
                15
            };
            let expected = wait(least);
            assert_eq!(state["Seconds"], format!("{{% {expected} %}}"), "{path}");
            assert_eq!(
                state["Assign"],
                json!({"waited": format!("{{% $waited + {expected} %}}")}),
                "{path}"
            );
            waits += 1;
        }
    }
    assert_eq!(waits, 5);
    // The bounds as they stand there, of stacks, references, restore jobs and integrations.
    let written = text(MACHINES[0].file);
    for (bound, count) in [
        ("$waited < 60 * ${InfrastructureMinutes} ", 5),
        ("$waited < 3600 * ${RestoreHours} ", 1),
        // From the end of the restore on: at least what was waited.
        (
            "$toMillis($states.context.State.EnteredTime) - $toMillis($restored) < 60000 * $integrationMinutes ",
            1,
        ),
    ] {
        assert_eq!(written.matches(bound).count(), count, "{bound}");
    }
    let stack = turns(60 * most("InfrastructureMinutes"), 15);
    let job = turns(3600 * most("RestoreHours"), 15);
    let integration = turns(
        60 * most("DatabaseMinutes")
            .max(most("TableMinutes"))
            .max(most("FileSystemMinutes")),
        30,
    );
    assert!(stack * TURN + 500 < QUOTA);
    // A restore may be started twice. Half of the quota is for retries.
    assert!(written.contains("$attempt < 2 "));
    let restore = 2 * (stack + job) + integration;
    assert!(restore * TURN + 500 < QUOTA * 2 / 3, "{restore} turns");
    // The recovery itself has a few events for each wave, of which there are ten at most.
    let own = states(&MACHINES[0])
        .iter()
        .filter(|(path, _)| {
            !children(&MACHINES[0])
                .iter()
                .any(|(of, _)| path.starts_with(&format!("{of}/")))
        })
        .count() as u64;
    assert!(own * TURN + 10 * 2 * TURN < QUOTA / 25);
}

/// The most events of the history that one way through a workflow has, without turning back.
fn most_events(workflow: &Value, name: &str) -> u64 {
    let state = &workflow["States"][name];
    let own = match state["Type"].as_str().unwrap_or_default() {
        // Entered, scheduled, started, succeeded or failed, exited.
        "Task" => 5,
        _ => 2,
    };
    let further = followers(state)
        .iter()
        // The one loop is counted by whoever asks.
        .filter(|next| (name, next.as_str()) != ("IsTableOfDrill", "ListTags"))
        .map(|next| most_events(workflow, next))
        .max();
    own + further.unwrap_or_default()
}

#[test]
fn history_of_a_clean_up_stays_below_the_quota() {
    const STEP: u64 = 9;
    let machine = &MACHINES[1];
    let written = text(machine.file);
    let definition = machine.definition();
    // Each item of a Map counts as many steps as it can have events. An iteration begins and ends.
    for (map, item, per_item, loops) in [
        ("DeleteInstances", "$count($instances)", 1, 0),
        ("DeleteClusters", "$count($clusters)", 1, 0),
        ("ListMountTargets", "$count($efs)", 1, 0),
        ("DeleteMountTargets", "$count($targets.deletable)", 1, 0),
        ("DeleteEfs", "$count($targets)", 1, 0),
        ("DeleteFsx", "$count($fsx)", 1, 0),
        ("DeleteFsxVolumes", "$count($volumes)", 1, 0),
        ("TerminateServers", "$count($servers)", 1, 0),
        // Tags come in up to five pages.
        ("DeleteTables", "6 * $count($tables)", 6, 4 * (5 + 2)),
    ] {
        let state = &definition["States"][map];
        let counted = state["Assign"]["steps"].as_str().unwrap_or_default();
        assert_eq!(counted, format!("{{% $steps + 1 + {item} %}}"), "{map}");
        let workflow = &state["ItemProcessor"];
        let start = workflow["StartAt"].as_str().expect("a start");
        // An item that fails passes through one more state.
        let events = 2 + most_events(workflow, start) + loops;
        assert!(events <= per_item * STEP, "{map}: {events}");
    }
    assert!(written.contains("$pages < 5 "));
    // The databases, with what the last round can add: a page of each list, up to 100 clusters, 119
    // instances, 149 tables, 14 file systems of EFS with a mount target in each of six zones, as many of FSx and
    // volumes, 39 instances of EC2, one more page of parameters, and a Map of each.
    assert_eq!(written.matches("$steps < 1000 ").count(), 9);
    for list in ["$efs", "$fsx", "$volumes"] {
        assert!(
            written.contains(&format!("$count({list}) < 5 and")),
            "{list}"
        );
    }
    assert_eq!(written.matches("'MaxItems': 10}").count(), 1);
    assert_eq!(written.matches("'MaxResults': 10}").count(), 2);
    assert!(written.contains("$count($instances) < 100 and"));
    assert!(written.contains("'MaxRecords': 20"));
    assert!(written.contains("$count($tables) < 50 and"));
    assert!(written.contains("'Limit': 100"));
    let file_systems = 14 * (1 + 6 + 1) + 14 + 14 + 3 + 5;
    assert!(written.contains("$count($servers) < 20 and"));
    assert!(written.contains("{'MaxResults': 20, "));
    let servers = 39 + 2;
    let data = 1000 + 4 + 100 + 119 + 6 * 149 + 2 + 3 + file_systems + servers;
    // The stack.
    assert!(written.contains("$checks < 240 "));
    let stack = 240;
    // The volumes, of which a round deletes 100.
    assert!(written.contains("$steps < 2500 "));
    assert!(written.contains("MaxResults: 100"));
    let steps = (data + stack).max(2500) + 2 + 100;
    // The rest is for retries, each of which has three events.
    assert!(steps * STEP + 1000 < 25_000, "{steps}");
}

/// Step Functions refuses a definition in which a branch, an iteration or a child assigns a variable that a
/// scope around it assigns, too (Step Functions guide, workflow-variables).
#[test]
fn inner_scopes_assign_no_outer_variable() {
    fn assigned(workflow: &Value) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (_, state) in members(&workflow["States"]) {
            let lists = ["Choices", "Catch"]
                .iter()
                .flat_map(|list| state[*list].as_array().into_iter().flatten());
            for place in std::iter::once(state).chain(lists) {
                names.extend(members(&place["Assign"]).map(|(name, _)| name.clone()));
            }
        }
        names
    }
    for machine in &MACHINES {
        let all = workflows(machine.name, &machine.definition());
        let mut inner = 0;
        for (path, workflow) in &all {
            for (outer, around) in &all {
                if path.starts_with(&format!("{outer}/")) {
                    inner += 1;
                    let (own, taken) = (assigned(workflow), assigned(around));
                    let both: Vec<_> = own.intersection(&taken).collect();
                    assert!(both.is_empty(), "{path} assigns {both:?} of {outer}");
                }
            }
        }
        assert!(inner > 0 || machine.name != "RegionRecovery");
    }
}

/// A redrive would not restart a failed child, and its problem could be missing from the report.
#[test]
fn child_executions_succeed_even_with_a_problem() {
    let children = children(&MACHINES[0]);
    for (path, workflow) in &children {
        for (name, state) in members(&workflow["States"]) {
            assert_ne!(state["Type"], "Fail", "{path}/{name}");
            if name.ends_with("Problem") {
                assert_eq!(state["End"], true, "{path}/{name}");
            }
        }
    }
    assert_eq!(children.len(), 3);
    let runbook = text("docs/runbook.md");
    assert!(
        !runbook.contains("describe-map-run"),
        "the item counts of a Map Run do not tell a failed restore from a successful one"
    );
    assert!(
        runbook.contains(
            "aws backup list-restore-jobs --by-created-after <startDate of the execution>"
        )
    );
    assert!(runbook.contains("[?IamRoleArn=='$(output RestoreRoleArn)'].Status"));
}

/// The children of a Distributed Map are separate executions with other names.
#[test]
fn restores_are_started_with_the_execution_of_the_recovery() {
    let definition = MACHINES[0].definition();
    let wave = state_named(&MACHINES[0], "RestoreWave");
    assert_eq!(wave["ItemSelector"]["execution"], "{% $execution %}");
    let start = &wave["ItemProcessor"]["States"]["StartRestore"];
    assert_eq!(
        start["Arguments"]["Payload"]["execution"],
        "{% $given.execution %}"
    );
    let begin = &definition["States"]["Begin"]["Assign"]["execution"];
    assert_eq!(begin["name"], "{% $states.context.Execution.Name %}");
    assert_eq!(
        begin["startedAt"],
        "{% $states.context.Execution.StartTime %}"
    );
}

/// `recovery-reporter` makes the text of a failure. What passes between states is limited to 256 KiB, so a
/// cause, which may have 32 KiB, is cut off.
#[test]
fn what_fails_is_passed_on_with_its_error_and_a_cause_of_limited_length() {
    let written = text(MACHINES[0].file);
    assert!(!written.contains("errorMessage"));
    let mut problems = 0;
    for (path, state) in states(&MACHINES[0]) {
        for caught in state["Catch"].as_array().into_iter().flatten() {
            let caught = caught.to_string();
            let cuts = "$substring($states.errorOutput.Cause, 0, 400)";
            if caught.contains("'reason'") || caught.contains("'cause'") {
                problems += 1;
                assert!(
                    caught.contains("'error': $states.errorOutput.Error"),
                    "{path}: {caught}"
                );
                assert!(
                    caught.contains(&format!("'cause': {cuts}")),
                    "{path}: {caught}"
                );
            }
        }
    }
    assert_eq!(problems, 21);
}
