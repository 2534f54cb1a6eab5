//! Each function has only the permissions that its adapters need, and no destructive ones.

use std::collections::{BTreeMap, BTreeSet};

use recovery_aws::{
    BucketAdapters, DatabaseAdapters, FileSystemAdapters, InstanceAdapters, IntegrationAdapters,
    PlanningAdapters, ReconciliationAdapters, ReportingAdapters, ResponseAdapters, RoutingCluster,
    RunbookRunner, StartingAdapters, StateMachine, TableAdapters, TrackingAdapters,
    ValidationAdapters,
};
use serde_json::{Value, json};

use crate::support::sam::{
    Deployed, EVERY_FUNCTION, MOUNTED_BY_RULE, attribute_of, deployed, members, strings,
};

/// What every function needs of the platform around it.
const PLATFORM: [&str; 5] = [
    // Its log.
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    // Lambda sends what failed to the queue in the function's name.
    "sqs:SendMessage",
    // Queue and topic are encrypted.
    "kms:Decrypt",
    "kms:GenerateDataKey",
];

/// What attaching a volume needs beyond the call, since its key is a customer's.
const VOLUME_KEYS: [&str; 3] = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey"];

/// What creating an instance needs beyond the call: its tags, and a grant on the key of its cluster.
const NEW_INSTANCES: [&str; 3] = [
    "rds:AddTagsToResource",
    "kms:CreateGrant",
    "kms:DescribeKey",
];

/// What creating a parameter with a tag needs beyond the call.
const PARAMETER_TAGS: [&str; 1] = ["ssm:AddTagsToResource"];

/// What creating mount targets and access points needs beyond the calls: network interfaces, and the tag of a drill.
const NETWORK_INTERFACES: [&str; 3] = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "elasticfilesystem:TagResource",
];

/// What starting a runbook with a role of its own needs beyond the call.
const RUNBOOK_ROLE: [&str; 1] = ["iam:PassRole"];

/// What creating a parameter with tags needs beyond the call.
const TAGGED_PARAMETERS: [&str; 1] = ["ssm:AddTagsToResource"];

/// The roles that write parameters: below one path, and that one replaces a value is said in the OpsItem.
const PUBLISHES: [(&str, &str); 4] = [
    ("BucketIntegratorRole", "ssm:PutParameter"),
    ("InstanceIntegratorRole", "ssm:PutParameter"),
    ("FileSystemIntegratorRole", "ssm:PutParameter"),
    ("TableIntegratorRole", "ssm:PutParameter"),
];

/// What reading a plan or a report needs beyond the call: S3 says only to those who may list the bucket
/// that there is none.
const WHICH_PLANS: [&str; 1] = ["s3:ListBucket"];

/// The roles that AWS Backup restores in: for a recovery, and for a drill.
const RESTORING: [&str; 2] = ["RestoreRole", "DrillRestoreRole"];

/// What starting a restore needs beyond the call: AWS Backup restores in a role of ours.
const RESTORE_ROLE: [&str; 1] = ["iam:PassRole"];

/// Actions that know no resource (Service Authorization Reference: Amazon EC2, Amazon EC2 Auto Scaling, AWS Backup,
/// AWS CloudFormation, Amazon CloudWatch, AWS Directory Service, Amazon FSx, AWS Lambda, AWS Systems Manager): IAM takes nothing but `*` for them.
pub(super) const WITHOUT_RESOURCES: [&str; 39] = [
    "autoscaling:DescribeAutoScalingGroups",
    "backup:DescribeRestoreJob",
    "backup:GetRestoreJobMetadata",
    "backup:ListRestoreJobs",
    "backup:PutRestoreValidationResult",
    // Of a template that is no stack's yet.
    "cloudformation:GetTemplateSummary",
    // Composite alarms are shown to those only who may see all.
    "cloudwatch:DescribeAlarms",
    "ds:DescribeDirectories",
    "dynamodb:ListTables",
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSnapshotTierStatus",
    "ec2:DescribeSnapshots",
    "ec2:DescribeSubnets",
    "ec2:DescribeTags",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcs",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "fsx:DescribeBackups",
    "fsx:DescribeFileSystems",
    "fsx:DescribeStorageVirtualMachines",
    "fsx:DescribeVolumes",
    "lambda:GetAccountSettings",
    "ssm:CreateOpsItem",
    "ssm:DescribeInstanceInformation",
    "ssm:DescribeOpsItems",
    "ssm:DescribeParameters",
    "ssm:GetCommandInvocation",
    "ssm:ListCommands",
    "tag:GetResources",
];

/// The functions that may start a runbook.
const RESPONDERS: [&str; 2] = ["AlarmResponderRole", "HealthEventResponderRole"];

pub(crate) const RUNBOOK: [(&str, &str); 1] = [("RecoveryRunbook", "StartRegionRecovery")];
pub(crate) const RUNBOOK_WITH_ROLE: [(&str, &str); 2] = [
    ("RecoveryRunbook", "StartRegionRecovery"),
    (
        "RecoveryRunbookRoleArn",
        "arn:aws:iam::111122223333:role/StartRegionRecovery",
    ),
];
pub(crate) const KEYS: [(&str, &str); 1] = [(
    "RestoredVolumeKeyArns",
    "arn:aws:kms:us-west-2:111122223333:key/1,arn:aws:kms:us-west-2:111122223333:key/2",
)];

/// The runbooks of this template, with everything that they can do.
pub(crate) const OWN_RUNBOOKS: [(&str, &str); 9] = [
    ("RecoveryStateMachine", "shop-recovery"),
    ("RecoveryWorkload", "shop"),
    (
        "RecoveryApprovers",
        "anna,arn:aws:iam::111122223333:role/on-call",
    ),
    ("RecoveryApproval", "waived-while-signals-agree"),
    ("Heartbeat", "on"),
    ("CanaryAlarm", "recovery-canary-failed"),
    ("WorkloadStack", "shop"),
    ("WorkloadTemplateBucket", "shop-templates"),
    (
        "WorkloadStackRoleArn",
        "arn:aws:iam::111122223333:role/shop-stack",
    ),
];

fn every_deployment() -> Vec<Deployed> {
    let everything: Vec<_> = RUNBOOK_WITH_ROLE
        .into_iter()
        .chain(KEYS)
        .chain(OWN_RUNBOOKS)
        .chain(EVERY_FUNCTION)
        .collect();
    vec![
        deployed(&OWN_RUNBOOKS),
        deployed(&[]),
        deployed(&RUNBOOK),
        deployed(&RUNBOOK_WITH_ROLE),
        deployed(&KEYS),
        deployed(&EVERY_FUNCTION),
        deployed(&MOUNTED_BY_RULE),
        deployed(&everything),
    ]
}

/// The statements of each role: its own, and then those of the policies of this template that it shares
/// with other roles.
fn roles(deployed: &Deployed) -> BTreeMap<String, Vec<Value>> {
    let shared = deployed.resources("AWS::IAM::ManagedPolicy");
    deployed
        .resources("AWS::IAM::Role")
        .into_iter()
        .map(|(name, role)| {
            let own = role["Policies"].as_array().into_iter().flatten();
            let attached = strings(&role["ManagedPolicyArns"]);
            let statements = own
                .chain(attached.iter().map(|policy| {
                    shared
                        .get(policy)
                        .unwrap_or_else(|| panic!("{name}: {policy} is not of this template"))
                }))
                .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array())
                .flatten()
                .cloned()
                .collect();
            (name, statements)
        })
        .collect()
}

/// IAM's limits: policies attached to a role, and characters of a policy without white space (IAM guide,
/// reference_iam-quotas).
const ATTACHED: usize = 10;
const CHARACTERS: usize = 6_144;

#[test]
fn shared_policies_are_shared_and_within_the_quotas_of_iam() {
    let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for deployed in every_deployment() {
        for (name, role) in deployed.resources("AWS::IAM::Role") {
            let attached = strings(&role["ManagedPolicyArns"]);
            // Room for what an owner attaches, such as a boundary of the organization.
            assert!(attached.len() <= ATTACHED / 2, "{name}: {attached:?}");
            for policy in attached {
                users.entry(policy).or_default().insert(name.clone());
            }
        }
        for (name, policy) in deployed.resources("AWS::IAM::ManagedPolicy") {
            let document = &policy["PolicyDocument"];
            let statements = document["Statement"].as_array().unwrap();
            assert!(!statements.is_empty(), "{name} is empty");
            // ARNs are longer than the names that stand for them here.
            assert!(document.to_string().len() < CHARACTERS / 2, "{name}");
            assert!(users.contains_key(&name), "no role has {name}");
        }
    }
    for (policy, roles) in users {
        assert!(
            roles.len() > 1,
            "{policy} is of {roles:?} alone: put it there"
        );
    }
}

pub(crate) fn allowed(deployed: &Deployed, role: &str) -> BTreeSet<String> {
    roles(deployed)[role]
        .iter()
        .flat_map(|statement| {
            assert_eq!(statement["Effect"], "Allow");
            assert!(statement.get("NotAction").is_none() && statement.get("NotResource").is_none());
            strings(&statement["Action"])
        })
        .collect()
}

fn actions(lists: &[&[&'static str]]) -> BTreeSet<String> {
    lists
        .iter()
        .copied()
        .flatten()
        .map(|action| (*action).to_owned())
        .collect()
}

#[test]
fn each_role_allows_exactly_the_calls_of_its_adapters() {
    let check = |parameters: &[(&str, &str)], role: &str, expected: &[&[&'static str]]| {
        assert_eq!(
            allowed(&deployed(parameters), role),
            &actions(expected) | &actions(&[&PLATFORM]),
            "{role} with {parameters:?}"
        );
    };
    let integrator = [IntegrationAdapters::ACTIONS, &[&VOLUME_KEYS, &RUNBOOK_ROLE]].concat();
    check(&[], "RestoreIntegratorRole", &integrator);
    check(&KEYS, "RestoreIntegratorRole", &integrator);

    let tables = [TableAdapters::ACTIONS, &[&TAGGED_PARAMETERS]].concat();
    check(&[], "TableIntegratorRole", &tables);

    let file_systems = [
        FileSystemAdapters::ACTIONS,
        &[&NETWORK_INTERFACES, &TAGGED_PARAMETERS, &RUNBOOK_ROLE],
    ]
    .concat();
    check(&[], "FileSystemIntegratorRole", &file_systems);

    let buckets = [BucketAdapters::ACTIONS, &[&TAGGED_PARAMETERS]].concat();
    check(&[], "BucketIntegratorRole", &buckets);
    let instances = [InstanceAdapters::ACTIONS, &[&TAGGED_PARAMETERS]].concat();
    check(&[], "InstanceIntegratorRole", &instances);

    let databases = [
        DatabaseAdapters::ACTIONS,
        &[&NEW_INSTANCES, &PARAMETER_TAGS],
    ]
    .concat();
    check(&[], "DatabaseIntegratorRole", &databases);
    check(&KEYS, "DatabaseIntegratorRole", &databases);

    let reconciler = [
        IntegrationAdapters::ACTIONS,
        ReconciliationAdapters::ACTIONS,
    ]
    .concat();
    let reconciler = [&reconciler[..], &[&VOLUME_KEYS, &RUNBOOK_ROLE]].concat();
    check(&[], "RestoreReconcilerRole", &reconciler);
    check(&KEYS, "RestoreReconcilerRole", &reconciler);
    check(&[], "RestoreTestValidatorRole", ValidationAdapters::ACTIONS);

    let planner = [PlanningAdapters::ACTIONS, &[&WHICH_PLANS]].concat();
    check(&[], "RecoveryPlannerRole", &planner);
    let reporter = [ReportingAdapters::ACTIONS, &[&WHICH_PLANS]].concat();
    check(&[], "RecoveryReporterRole", &reporter);
    let starter = [StartingAdapters::ACTIONS, &[&RESTORE_ROLE, &WHICH_PLANS]].concat();
    check(&[], "RestoreStarterRole", &starter);
    check(
        &EVERY_FUNCTION,
        "RoutingShifterRole",
        &[RoutingCluster::ACTIONS],
    );
    check(
        &EVERY_FUNCTION,
        "RegionSwitchActionRole",
        &[StateMachine::ACTIONS],
    );

    check(&[], "OpsitemCreatorRole", TrackingAdapters::ACTIONS);

    let responder: Vec<_> = ResponseAdapters::ACTIONS.to_vec();
    let without_runbook: Vec<_> = responder
        .iter()
        .copied()
        .filter(|list| *list != RunbookRunner::ACTIONS)
        .collect();
    assert_eq!(without_runbook.len() + 1, responder.len());
    let with_role = [ResponseAdapters::ACTIONS, &[&RUNBOOK_ROLE]].concat();
    for role in RESPONDERS {
        check(&[], role, &without_runbook);
        check(&RUNBOOK, role, &responder);
        check(&RUNBOOK_WITH_ROLE, role, &with_role);
        // The runbook of this template has a role of its own.
        check(&OWN_RUNBOOKS, role, &with_role);
    }
}

#[test]
fn each_function_has_a_separate_role_that_only_lambda_can_assume() {
    let deployed = deployed(&EVERY_FUNCTION);
    let functions = deployed.resources("AWS::Serverless::Function");
    let used: BTreeSet<String> = functions
        .iter()
        .map(|(name, function)| {
            let role = name.strip_suffix("Function").unwrap().to_owned() + "Role";
            assert_eq!(
                function["Role"],
                format!("arn:aws:placeholder:us-west-2:111122223333:{role}")
            );
            assert!(function.get("Policies").is_none(), "{name}");
            role
        })
        .collect();
    let roles = deployed.resources("AWS::IAM::Role");
    let mut there = used.clone();
    there.insert("RestoreRole".to_owned());
    // Those of the state machines.
    there.insert("RegionRecoveryRole".to_owned());
    there.insert("DrillCleanupRole".to_owned());
    there.extend(RESTORING.map(str::to_owned));
    // Those of the runbooks that are always there.
    there.insert("ReplayFailedEventsRole".to_owned());
    there.insert("MountFileSystemRole".to_owned());
    // That of the runbook that a workload brings.
    there.insert("StartWorkloadInstancesRole".to_owned());
    assert_eq!(there, roles.keys().cloned().collect());
    for (name, role) in roles.into_iter().filter(|(name, _)| used.contains(name)) {
        for statement in role["AssumeRolePolicyDocument"]["Statement"]
            .as_array()
            .unwrap()
        {
            assert_eq!(
                statement["Principal"]["Service"], "lambda.amazonaws.com",
                "{name}"
            );
            assert_eq!(statement["Action"], "sts:AssumeRole", "{name}");
        }
    }
}

/// The one action that removes something, the one role that may use it, and on what: a message of
/// the two queues of lost events, after Lambda has taken its event over. It would be replayed for ever
/// otherwise, and the alarms on the queues would never end.
const REMOVES_MESSAGES: (&str, &str, [&str; 2]) = (
    "ReplayFailedEventsRole",
    "sqs:DeleteMessage",
    ["FailedInvocationsQueue", "UndeliveredEventsQueue"],
);

#[test]
fn only_the_replay_role_may_remove_messages_of_the_two_queues() {
    let (role, action, queues) = REMOVES_MESSAGES;
    for deployed in every_deployment() {
        let statements = roles(&deployed).remove(role).unwrap();
        let removing: Vec<_> = statements
            .iter()
            .filter(|statement| strings(&statement["Action"]).contains(&action.to_owned()))
            .collect();
        assert_eq!(removing.len(), 1);
        assert_eq!(
            strings(&removing[0]["Resource"]),
            queues.map(|queue| attribute_of(queue, "Arn"))
        );
    }
}

/// The roles that may write objects, each under its own prefix, and the action: what is there is never
/// overwritten.
const KEEP_OBJECTS: ([(&str, &str); 3], &str) = (
    [
        ("RestoreStarterRole", "jobs"),
        ("RecoveryPlannerRole", "plans"),
        ("RecoveryReporterRole", "reports"),
    ],
    "s3:PutObject",
);

/// A state machine, which sends no condition with what it writes. Each redrive writes under another name.
const RECORDS_PROBLEMS: (&str, &str) = ("RegionRecoveryRole", "infrastructure");

#[test]
fn state_machine_writes_only_problems_of_stacks() {
    let (role, prefix) = RECORDS_PROBLEMS;
    for deployed in every_deployment() {
        let statements = roles(&deployed).remove(role).unwrap();
        let writing: Vec<_> = statements
            .iter()
            .filter(|statement| {
                strings(&statement["Action"])
                    .iter()
                    .any(|action| action.starts_with("s3:Put"))
            })
            .collect();
        assert_eq!(writing.len(), 1);
        assert_eq!(
            strings(&writing[0]["Resource"]),
            [format!("arn:aws:s3:::RecoveryBucket/{prefix}/*")]
        );
        assert_eq!(
            writing[0]["Condition"],
            json!({"StringEquals": {"aws:ResourceAccount": "111122223333"}})
        );
    }
}

#[test]
fn objects_are_written_only_under_their_prefix_without_overwriting() {
    let (keepers, action) = KEEP_OBJECTS;
    for deployed in every_deployment() {
        for (role, prefix) in keepers {
            let statements = roles(&deployed).remove(role).unwrap();
            let writing: Vec<_> = statements
                .iter()
                .filter(|statement| strings(&statement["Action"]).contains(&action.to_owned()))
                .collect();
            assert_eq!(writing.len(), 1, "{role}");
            assert_eq!(
                strings(&writing[0]["Resource"]),
                [format!("arn:aws:s3:::RecoveryBucket/{prefix}/*")]
            );
            assert_eq!(
                writing[0]["Condition"],
                serde_json::json!({
                    "Null": {"s3:if-none-match": "false"},
                    "StringEquals": {"aws:ResourceAccount": "111122223333"},
                })
            );
        }
    }
}

/// What a drill made is taken away again, by the one role that can delete (`state_machines.rs` says what).
/// A distributed Map that is stopped stops its own children, and a runbook that is cancelled the execution
/// that it started: a redrive resumes them.
const ENDS_WHAT_IT_BEGAN: [(&str, &str); 14] = [
    ("DrillCleanupRole", "cloudformation:DeleteStack"),
    ("DrillCleanupRole", "dynamodb:DeleteTable"),
    ("DrillCleanupRole", "ec2:DeleteNetworkInterface"),
    ("DrillCleanupRole", "ec2:DeleteVolume"),
    ("DrillCleanupRole", "ec2:TerminateInstances"),
    ("DrillCleanupRole", "elasticfilesystem:DeleteFileSystem"),
    ("DrillCleanupRole", "elasticfilesystem:DeleteMountTarget"),
    ("DrillCleanupRole", "fsx:DeleteFileSystem"),
    ("DrillCleanupRole", "fsx:DeleteVolume"),
    ("DrillCleanupRole", "rds:DeleteDBCluster"),
    ("DrillCleanupRole", "rds:DeleteDBInstance"),
    ("DrillCleanupRole", "ssm:DeleteParameters"),
    ("RegionRecoveryRole", "states:StopExecution"),
    ("StartRegionRecoveryRole", "states:StopExecution"),
];

#[test]
fn routing_shifter_sets_only_its_controls_within_safety_rules() {
    let statements = &roles(&deployed(&EVERY_FUNCTION))["RoutingShifterRole"];
    let of = |action: &str| {
        statements
            .iter()
            .find(|statement| statement["Action"] == action)
            .unwrap()
    };
    let named: Vec<String> = EVERY_FUNCTION[3..]
        .iter()
        .flat_map(|(_, arns)| arns.split(','))
        .map(str::to_owned)
        .collect();
    let set = of("route53-recovery-cluster:UpdateRoutingControlStates");
    let look = of("route53-recovery-cluster:GetRoutingControlState");
    assert_eq!(strings(&set["Resource"]), named);
    assert_eq!(strings(&look["Resource"]), named);
    assert_eq!(
        set["Condition"],
        serde_json::json!({
            "BoolIfExists": {"route53-recovery-cluster:AllowSafetyRulesOverrides": "false"},
        })
    );
}

#[test]
fn region_switch_starts_only_the_state_machine_of_this_stack() {
    let deployed = deployed(&EVERY_FUNCTION);
    let machine = attribute_of("RegionRecoveryStateMachine", "Arn");
    let functions = deployed.resources("AWS::Serverless::Function");
    let variables = &functions["RegionSwitchActionFunction"]["Environment"]["Variables"];
    assert_eq!(variables["STATE_MACHINE_ARN"], machine);
    let statements = &roles(&deployed)["RegionSwitchActionRole"];
    assert_eq!(strings(&statements[0]["Resource"]), [machine]);
    assert_eq!(
        strings(&statements[1]["Resource"]),
        ["arn:aws:states:us-west-2:111122223333:execution:RegionRecoveryStateMachine:*"]
    );
}

/// What changes something on purpose: settings of a restored database that are turned on, and the parameters
/// below one path that name its addresses.
const CHANGES_DATABASES: (&str, [&str; 3]) = (
    "DatabaseIntegratorRole",
    [
        "rds:ModifyDBCluster",
        "rds:ModifyDBInstance",
        "ssm:PutParameter",
    ],
);

/// The clean-up of a drill deletes a table by its tag: who tags tables for the workload never sets that one.
#[test]
fn the_tag_of_a_drill_is_not_set_on_tables_of_the_workload() {
    let deployed = deployed(&[("PublishPath", "/shop/published/")]);
    let statement = |action: &str| {
        let statements = &roles(&deployed)["TableIntegratorRole"];
        statements
            .iter()
            .find(|statement| strings(&statement["Action"]).contains(&action.to_owned()))
            .cloned()
            .unwrap()
    };
    let tag = statement("dynamodb:TagResource");
    assert_eq!(tag["Action"], "dynamodb:TagResource");
    assert_eq!(
        tag["Condition"],
        serde_json::json!({
            "ForAllValues:StringNotEquals": {"aws:TagKeys": "recovery:drill"},
            // Without it, a request without tags would satisfy the first condition.
            "Null": {"aws:TagKeys": "false"},
        })
    );
    // Of parameters, only a drill's get a tag, and only this one.
    let tag = statement("ssm:AddTagsToResource");
    assert_eq!(
        tag["Condition"],
        serde_json::json!({"ForAllValues:StringEquals": {"aws:TagKeys": "recovery:drill"}})
    );
    for action in [
        "ssm:AddTagsToResource",
        "ssm:GetParameters",
        "ssm:PutParameter",
    ] {
        assert_eq!(
            strings(&statement(action)["Resource"]),
            ["arn:aws:ssm:us-west-2:111122223333:parameter/shop/published/*"],
            "{action}"
        );
    }
}

#[test]
fn no_action_is_destructive_or_a_wildcard() {
    let dangerous = [
        "Delete",
        "Detach",
        "Terminate",
        "Modify",
        "Stop",
        "Remove",
        "Disable",
        "Deregister",
        "Cancel",
        "Put",
        "Reboot",
        "Release",
        "Revoke",
        "Schedule",
    ];
    for deployed in every_deployment() {
        for (role, statements) in roles(&deployed) {
            for action in statements
                .iter()
                .flat_map(|statement| strings(&statement["Action"]))
            {
                let (service, verb) = action.split_once(':').expect("service:Action");
                assert!(!action.contains(['*', '?']), "{role}: {action}");
                assert!(
                    // Neither overwrites: a result that is there cannot be changed.
                    action == "logs:PutLogEvents"
                        || action == "backup:PutRestoreValidationResult"
                        || action == KEEP_OBJECTS.1
                            && (KEEP_OBJECTS.0.iter().any(|(keeper, _)| *keeper == role)
                                || role == RECORDS_PROBLEMS.0)
                        || (role.as_str(), action.as_str())
                            == (REMOVES_MESSAGES.0, REMOVES_MESSAGES.1)
                        || (role == CHANGES_DATABASES.0
                            && CHANGES_DATABASES.1.contains(&action.as_str()))
                        || PUBLISHES.contains(&(role.as_str(), action.as_str()))
                        || (RESTORING.contains(&role.as_str())
                            && (service == "dynamodb"
                                || service == "s3" && verb.starts_with("Put")))
                        || ENDS_WHAT_IT_BEGAN.contains(&(role.as_str(), action.as_str()))
                        || !dangerous.iter().any(|word| verb.starts_with(word)),
                    "{role}: {action}"
                );
                // Control planes that live in another Region are not on the way of a recovery.
                assert!(
                    !["route53", "organizations", "cloudfront"].contains(&service)
                        && (service != "iam" || action == "iam:PassRole"),
                    "{role}: {action}"
                );
            }
        }
    }
}

#[test]
fn names_resources_wherever_iam_supports_them() {
    for deployed in every_deployment() {
        for (role, statements) in roles(&deployed) {
            for statement in statements {
                let actions = strings(&statement["Action"]);
                let resources = strings(&statement["Resource"]);
                assert!(!resources.is_empty(), "{role}: {statement}");
                if resources.iter().any(|resource| resource == "*") {
                    for action in actions {
                        assert!(
                            WITHOUT_RESOURCES.contains(&action.as_str()),
                            "{role}: {action} on every resource"
                        );
                    }
                    assert_eq!(
                        statement["Condition"]["StringEquals"]["aws:RequestedRegion"], "us-west-2",
                        "{role}: every resource, so at least only of this Region"
                    );
                } else {
                    for resource in resources {
                        assert!(resource.starts_with("arn:"), "{role}: {resource}");
                        let account = resource.split(':').nth(4).unwrap_or_default();
                        // ARNs of buckets, of EBS snapshots, of images and of what AWS publishes name no account.
                        let without = resource.starts_with("arn:aws:s3:::")
                            || resource.starts_with("arn:aws:ec2:us-west-2::image/")
                            || resource.starts_with("arn:aws:ec2:us-west-2::snapshot/")
                            || resource
                                .starts_with("arn:aws:ssm:us-west-2::parameter/aws/service/");
                        assert!(without || account == "111122223333", "{role}: {resource}");
                    }
                }
            }
        }
    }
}

#[test]
fn pass_role_and_grants_are_limited_to_a_service() {
    let everything: Vec<_> = RUNBOOK_WITH_ROLE.into_iter().chain(KEYS).collect();
    let deployed = deployed(&everything);
    let statement = |role: &str, action: &str| {
        roles(&deployed)[role]
            .iter()
            .find(|statement| strings(&statement["Action"]).contains(&action.to_owned()))
            .cloned()
            .unwrap()
    };
    for responder in RESPONDERS {
        let pass = statement(responder, "iam:PassRole");
        assert_eq!(
            strings(&pass["Resource"]),
            ["arn:aws:iam::111122223333:role/StartRegionRecovery"]
        );
        assert_eq!(
            pass["Condition"]["StringEquals"]["iam:PassedToService"],
            "ssm.amazonaws.com"
        );
        let start = statement(responder, "ssm:StartAutomationExecution");
        assert!(
            strings(&start["Resource"])
                .iter()
                .any(|resource| resource.ends_with("automation-definition/StartRegionRecovery:*"))
        );
    }
    for integrator in [
        "FileSystemIntegratorRole",
        "RestoreIntegratorRole",
        "RestoreReconcilerRole",
    ] {
        let pass = statement(integrator, "iam:PassRole");
        assert_eq!(
            strings(&pass["Resource"]),
            [attribute_of("MountFileSystemRole", "Arn")]
        );
        assert_eq!(
            pass["Condition"]["StringEquals"]["iam:PassedToService"],
            "ssm.amazonaws.com"
        );
        let started: Vec<_> = roles(&deployed)[integrator]
            .iter()
            .filter(|statement| {
                strings(&statement["Action"]).contains(&"ssm:StartAutomationExecution".to_owned())
            })
            .flat_map(|statement| strings(&statement["Resource"]))
            .filter(|resource| !resource.ends_with(":automation-execution/*"))
            .collect();
        assert_eq!(
            started,
            [
                "automation-definition/MountFileSystem:*",
                "document/MountFileSystem"
            ]
            .map(|end| format!("arn:aws:ssm:us-west-2:111122223333:{end}"))
        );
    }
    let pass = statement("RestoreStarterRole", "iam:PassRole");
    assert_eq!(
        strings(&pass["Resource"]),
        RESTORING.map(|role| attribute_of(role, "Arn"))
    );
    assert_eq!(
        pass["Condition"]["StringEquals"]["iam:PassedToService"],
        "backup.amazonaws.com"
    );
    // The two keys that were named, and that of the recovery vault.
    for role in [
        "RestoreIntegratorRole",
        "RestoreReconcilerRole",
        "RestoreRole",
        "DrillRestoreRole",
    ] {
        let grant = statement(role, "kms:CreateGrant");
        let keys = strings(&grant["Resource"]);
        assert_eq!(keys.len(), 3, "{role}: {keys:?}");
        assert_eq!(keys[0], attribute_of("RecoveryVaultKey", "Arn"), "{role}");
        assert_eq!(
            grant["Condition"]["Bool"]["kms:GrantIsForAWSResource"], "true",
            "{role}"
        );
    }
}

/// EFS creates and deletes network interfaces in the name of its callers: they may not do it themselves.
#[test]
fn network_interfaces_are_changed_by_efs_only() {
    let deployed = deployed(&[]);
    for (role, action) in [
        ("FileSystemIntegratorRole", "ec2:CreateNetworkInterface"),
        ("DrillCleanupRole", "ec2:DeleteNetworkInterface"),
    ] {
        let statements = &roles(&deployed)[role];
        let statement = statements
            .iter()
            .find(|statement| strings(&statement["Action"]).contains(&action.to_owned()))
            .unwrap();
        assert_eq!(
            statement["Condition"],
            json!({"Bool": {"aws:ViaAWSService": "true"}}),
            "{role}"
        );
    }
}

#[test]
fn a_new_access_point_gets_the_tag_of_a_drill_and_no_other() {
    let deployed = deployed(&[]);
    let tag = roles(&deployed)["FileSystemIntegratorRole"]
        .iter()
        .find(|statement| statement["Action"] == "elasticfilesystem:TagResource")
        .cloned()
        .unwrap();
    assert_eq!(
        strings(&tag["Resource"]),
        ["arn:aws:elasticfilesystem:us-west-2:111122223333:access-point/*"]
    );
    assert_eq!(
        tag["Condition"],
        json!({
            "StringEquals": {"elasticfilesystem:CreateAction": "CreateAccessPoint"},
            "ForAllValues:StringEquals": {"aws:TagKeys": "recovery:drill"},
            "Null": {"aws:TagKeys": "false"},
        })
    );
}

/// What AWS Backup needs to restore volumes, instances, databases, tables, file systems and buckets (its guide, security-iam-awsmanpol, without the
/// deletion of resources), and what EC2 needs of the keys of volumes (its guide, ebs-encryption-requirements).
const RESTORE_ACTIONS: [&str; 66] = [
    "ds:DescribeDirectories",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTable",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:RestoreTableFromAwsBackup",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
    "ec2:CreateTags",
    "ec2:CreateVolume",
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeInternetGateways",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSnapshotTierStatus",
    "ec2:DescribeSnapshots",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcs",
    "ec2:RunInstances",
    "elasticfilesystem:CreateFileSystem",
    "elasticfilesystem:DescribeFileSystems",
    "elasticfilesystem:Restore",
    "elasticfilesystem:TagResource",
    "fsx:CreateFileSystemFromBackup",
    "fsx:CreateVolumeFromBackup",
    "fsx:DescribeBackups",
    "fsx:DescribeFileSystems",
    "fsx:DescribeVolumes",
    "fsx:TagResource",
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "rds:AddTagsToResource",
    "rds:DescribeDBClusterSnapshots",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstances",
    "rds:DescribeDBSnapshots",
    "rds:ListTagsForResource",
    "rds:RestoreDBClusterFromSnapshot",
    "rds:RestoreDBInstanceFromDBSnapshot",
    "s3:GetBucketLocation",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketVersioning",
    "s3:GetObject",
    "s3:GetObjectAcl",
    "s3:GetObjectTagging",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAcl",
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectTagging",
    "s3:PutObjectVersionAcl",
];
/// What DynamoDB demands for a restore, in addition to the right to write items.
pub(super) const WRITES_ITEMS: &str = "dynamodb:DeleteItem";
/// The action that sets tags of databases. The role of drills does not have it, and those for other resources only for
/// [`MARK_OF_INSTANCES`] and for other tags than [`NO_TAG_OF_A_RECOVERY`]: with the owner's tags, a drill's resource would
/// be taken for the workload's.
const TAGGING: &str = "rds:AddTagsToResource";

/// The tag with which AWS Backup marks instances.
const MARK_OF_INSTANCES: &str = "aws:backup:source-resource";
/// AWS Backup marks file systems with tags of its own.
const NO_TAG_OF_A_RECOVERY: &str = "recovery:*";
/// The statements for the owner's tags, which the role of drills does not have.
const OWNERS_TAGS: [&str; 5] = [
    "TagDatabases",
    "TagFileSystems",
    "TagFileSystemsOfFsx",
    "TagInstancesAsTheyAreMade",
    "TagThemAsTheyAreMade",
];

#[test]
fn restore_roles_trust_only_aws_backup_and_cannot_delete() {
    for parameters in [&[][..], &KEYS] {
        let deployed = deployed(parameters);
        let without_tags: Vec<_> = RESTORE_ACTIONS
            .into_iter()
            .filter(|action| *action != TAGGING)
            .collect();
        assert_eq!(
            allowed(&deployed, "RestoreRole"),
            actions(&[&RESTORE_ACTIONS])
        );
        assert_eq!(
            allowed(&deployed, "DrillRestoreRole"),
            actions(&[&without_tags])
        );
        for role in RESTORING {
            let trust = &deployed.resources("AWS::IAM::Role")[role];
            assert_eq!(
                trust["AssumeRolePolicyDocument"]["Statement"],
                serde_json::json!([{
                    "Effect": "Allow",
                    "Principal": {"Service": "backup.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }])
            );
            for statement in &roles(&deployed)[role] {
                let actions = strings(&statement["Action"]);
                if actions.contains(&"ec2:CreateTags".to_owned()) {
                    // Otherwise it could tag what is there already, and so change whose it is.
                    let made_by = |call| json!({"StringEquals": {"ec2:CreateAction": call}});
                    let condition = &statement["Condition"];
                    match statement["Sid"].as_str().unwrap() {
                        "TagThemAsTheyAreMade" => assert_eq!(*condition, made_by("CreateVolume")),
                        "TagInstancesAsTheyAreMade" => {
                            assert_eq!(*condition, made_by("RunInstances"));
                        }
                        _ => {
                            let keys = json!({
                                "ForAllValues:StringEquals": {"aws:TagKeys": MARK_OF_INSTANCES},
                                "Null": {"aws:TagKeys": "false"},
                            });
                            assert_eq!(*condition, keys, "{role}");
                            let instances = "arn:aws:ec2:us-west-2:111122223333:instance/*";
                            assert_eq!(strings(&statement["Resource"]), [instances]);
                        }
                    }
                }
                if actions.contains(&"rds:AddTagsToResource".to_owned()) {
                    assert_eq!(
                        statement["Condition"]["ForAllValues:StringNotEquals"]["aws:TagKeys"],
                        "recovery:drill"
                    );
                }
                let marks_file_systems = ["elasticfilesystem:TagResource", "fsx:TagResource"]
                    .iter()
                    .any(|action| actions.contains(&(*action).to_owned()));
                if marks_file_systems {
                    let keys = match OWNERS_TAGS.contains(&statement["Sid"].as_str().unwrap()) {
                        true => {
                            json!({"ForAllValues:StringNotEquals": {"aws:TagKeys": "recovery:drill"}})
                        }
                        false => {
                            json!({"ForAllValues:StringNotLike": {"aws:TagKeys": NO_TAG_OF_A_RECOVERY}})
                        }
                    };
                    assert_eq!(statement["Condition"], keys, "{role}");
                }
                // A check of a key reveals nothing. Everything else is for the services to do.
                let uses_keys =
                    |action: &String| action.starts_with("kms:") && action != "kms:DescribeKey";
                if actions.iter().any(uses_keys) {
                    let through = ["dynamodb", "ec2", "elasticfilesystem", "fsx", "rds", "s3"]
                        .map(|service| format!("{service}.us-west-2.amazonaws.com*"));
                    assert_eq!(
                        strings(&statement["Condition"]["StringLike"]["kms:ViaService"]),
                        through
                    );
                }
            }
        }
        // What a recovery may restore, a drill may: the same resources under the same conditions. But the instance of
        // a drill gets no role.
        let mut of_recovery = roles(&deployed)["RestoreRole"].clone();
        of_recovery.retain(|statement| {
            let sid = statement["Sid"].as_str().unwrap_or_default();
            !OWNERS_TAGS.contains(&sid)
        });
        assert_eq!(roles(&deployed)["DrillRestoreRole"], of_recovery);
    }
}

#[test]
fn only_the_instances_of_a_recovery_get_their_roles() {
    let arns = "arn:aws:iam::111122223333:role/web,arn:aws:iam::111122223333:role/db";
    let deployed = deployed(&[("RestoredInstanceRoleArns", arns)]);
    for (role, may) in [("RestoreRole", true), ("DrillRestoreRole", false)] {
        let passed: Vec<Value> = roles(&deployed)[role]
            .iter()
            .filter(|statement| strings(&statement["Action"]).contains(&"iam:PassRole".to_owned()))
            .map(|statement| statement["Resource"].clone())
            .collect();
        let expected: Vec<Value> = may
            .then(|| json!(arns.split(',').collect::<Vec<_>>()))
            .into_iter()
            .collect();
        assert_eq!(passed, expected, "{role}");
    }
}

/// A drill's restores are known by their role. Were it the role of anything else, that would be
/// taken for a drill's and never be attached; and a function that does not know it would attach a
/// drill's volume to the workload's own instance.
#[test]
fn drills_have_a_separate_restore_role_that_functions_recognize() {
    for deployed in every_deployment() {
        let drill_role = Value::String(attribute_of("DrillRestoreRole", "Arn"));
        let mut know = BTreeSet::new();
        for (name, function) in deployed.resources("AWS::Serverless::Function") {
            for (variable, value) in members(&function["Environment"]["Variables"]) {
                assert_eq!(
                    *value == drill_role,
                    variable == "DRILL_RESTORE_ROLE_ARN",
                    "{name}: {variable}"
                );
                if *value == drill_role {
                    know.insert(name.clone());
                }
            }
        }
        let expected = [
            "BucketIntegratorFunction",
            "DatabaseIntegratorFunction",
            "FileSystemIntegratorFunction",
            "InstanceIntegratorFunction",
            "OpsitemCreatorFunction",
            "RecoveryReporterFunction",
            "RestoreIntegratorFunction",
            "RestoreReconcilerFunction",
            "RestoreStarterFunction",
            "TableIntegratorFunction",
        ];
        assert_eq!(know.into_iter().collect::<Vec<_>>(), expected);
        let passing: Vec<String> = roles(&deployed)
            .into_iter()
            .filter(|(_, statements)| {
                statements.iter().any(|statement| {
                    strings(&statement["Action"]).contains(&"iam:PassRole".to_owned())
                        && strings(&statement["Resource"])
                            .iter()
                            .any(|resource| Some(resource.as_str()) == drill_role.as_str())
                })
            })
            .map(|(role, _)| role)
            .collect();
        assert_eq!(passing, ["RestoreStarterRole"]);
    }
}

/// What each runbook of this template may do, all of it.
const RUNBOOK_ACTIONS: [(&str, &[&str]); 5] = [
    (
        "StartRegionRecovery",
        &[
            "cloudwatch:DescribeAlarms",
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "sns:Publish",
            "states:DescribeExecution",
            "states:ListExecutions",
            "states:StartExecution",
            "states:StopExecution",
        ],
    ),
    (
        "StartWorkloadInstances",
        &[
            "ec2:DescribeInstances",
            "ec2:StartInstances",
            "kms:CreateGrant",
        ],
    ),
    (
        "DeployWorkloadStack",
        &[
            "cloudformation:CreateChangeSet",
            "cloudformation:CreateStack",
            "cloudformation:DescribeChangeSet",
            "cloudformation:DescribeStacks",
            "cloudformation:ExecuteChangeSet",
            "cloudformation:GetTemplateSummary",
            "cloudformation:TagResource",
            "iam:PassRole",
            "s3:GetObject",
            "ssm:GetParameters",
        ],
    ),
    (
        "MountFileSystem",
        &[
            "ec2:DescribeInstances",
            "elasticfilesystem:DescribeMountTargets",
            "fsx:DescribeFileSystems",
            "fsx:DescribeStorageVirtualMachines",
            "fsx:DescribeVolumes",
            "kms:Decrypt",
            "kms:GenerateDataKey",
            "sns:Publish",
            "ssm:DescribeInstanceInformation",
            "ssm:GetCommandInvocation",
            "ssm:ListCommands",
            "ssm:SendCommand",
        ],
    ),
    (
        "ReplayFailedEvents",
        &[
            "kms:Decrypt",
            "lambda:InvokeFunction",
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
        ],
    ),
];

/// The documents that Automation runs.
fn runbooks(deployed: &Deployed) -> BTreeMap<String, Value> {
    deployed
        .resources("AWS::SSM::Document")
        .into_iter()
        .filter(|(_, document)| document["DocumentType"] == "Automation")
        .collect()
}

#[test]
fn the_mount_runbook_sends_one_document_to_instances_of_the_workload() {
    for (parameters, workload) in [
        (Vec::new(), "?*"),
        (vec![("RecoveryWorkload", "shop")], "shop"),
    ] {
        let deployed = deployed(&parameters);
        let sending: Vec<_> = roles(&deployed)
            .into_iter()
            .flat_map(|(role, statements)| {
                statements.into_iter().map(move |each| (role.clone(), each))
            })
            .filter(|(_, statement)| {
                strings(&statement["Action"]).contains(&"ssm:SendCommand".to_owned())
            })
            .collect();
        let [(role, document), (_, instances)] = sending.as_slice() else {
            panic!("{sending:?}");
        };
        assert_eq!(role, "MountFileSystemRole");
        assert_eq!(
            strings(&document["Resource"]),
            ["arn:aws:ssm:us-west-2:111122223333:document/MountRestored"]
        );
        assert_eq!(
            strings(&instances["Resource"]),
            ["arn:aws:ec2:us-west-2:111122223333:instance/*"]
        );
        assert_eq!(
            instances["Condition"],
            json!({"StringLike": {"ssm:resourceTag/recovery:workload": workload}})
        );
    }
}

#[test]
fn the_mount_rule_starts_one_runbook_with_a_separate_role() {
    let name = "RestoreCompletedMountRole";
    assert!(!roles(&deployed(&[])).contains_key(name));
    let deployed = deployed(&MOUNTED_BY_RULE);
    let role = &deployed.resources("AWS::IAM::Role")[name];
    let rule = &deployed.resources("AWS::Events::Rule")["RestoreCompletedMountRule"];
    assert_eq!(rule["Targets"][0]["RoleArn"], attribute_of(name, "Arn"));
    let trust = &role["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(
        trust["Principal"],
        json!({"Service": "events.amazonaws.com"})
    );
    assert_eq!(
        trust["Condition"],
        json!({
            "StringEquals": {"aws:SourceAccount": "111122223333"},
            "ArnLike": {"aws:SourceArn": "arn:aws:events:us-west-2:111122223333:rule/*"},
        })
    );
    let statements = &roles(&deployed)[name];
    let [start, pass] = statements.as_slice() else {
        panic!("{statements:?}");
    };
    assert_eq!(start["Action"], "ssm:StartAutomationExecution");
    let here = "arn:aws:ssm:us-west-2:111122223333";
    assert_eq!(
        strings(&start["Resource"]),
        [
            format!("{here}:automation-definition/MountFileSystem:*"),
            format!("{here}:automation-execution/*"),
            format!("{here}:document/MountFileSystem"),
        ]
    );
    assert_eq!(
        *pass,
        json!({
            "Sid": "PassMountFileSystemItsRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": attribute_of("MountFileSystemRole", "Arn"),
            "Condition": {"StringEquals": {"iam:PassedToService": "ssm.amazonaws.com"}},
        })
    );
}

#[test]
fn each_runbook_has_a_separate_role_that_only_automation_can_assume() {
    let everything: Vec<_> = OWN_RUNBOOKS.into_iter().chain(KEYS).collect();
    let deployed = deployed(&everything);
    let documents = runbooks(&deployed);
    assert_eq!(documents.len(), RUNBOOK_ACTIONS.len());
    let roles = deployed.resources("AWS::IAM::Role");
    for (runbook, expected) in RUNBOOK_ACTIONS {
        let role = format!("{runbook}Role");
        assert_eq!(
            documents[runbook]["Content"]["assumeRole"],
            format!("arn:aws:placeholder:us-west-2:111122223333:{role}")
        );
        assert_eq!(allowed(&deployed, &role), actions(&[expected]), "{role}");
        let trust = roles[&role]["AssumeRolePolicyDocument"]["Statement"]
            .as_array()
            .unwrap();
        let [trust] = trust.as_slice() else {
            panic!("{role}: {trust:?}");
        };
        assert_eq!(
            trust["Principal"],
            serde_json::json!({"Service": "ssm.amazonaws.com"}),
            "{role}"
        );
        assert_eq!(
            trust["Condition"]["StringEquals"]["aws:SourceAccount"], "111122223333",
            "{role}"
        );
    }
    // Without parameters, only those that belong to no workload are there.
    let without = crate::support::sam::deployed(&[]);
    let documents = runbooks(&without);
    assert_eq!(
        documents.keys().collect::<Vec<_>>(),
        ["MountFileSystem", "ReplayFailedEvents"]
    );
    let roles = without.resources("AWS::IAM::Role");
    for (runbook, _) in RUNBOOK_ACTIONS {
        assert_eq!(
            roles.contains_key(&format!("{runbook}Role")),
            documents.contains_key(runbook),
            "{runbook}"
        );
    }
}

#[test]
fn recovery_needs_approval_unless_signals_agree_and_it_is_waived() {
    let steps = |parameters: &[(&str, &str)]| {
        let documents = deployed(parameters).resources("AWS::SSM::Document");
        documents["StartRegionRecovery"]["Content"]["mainSteps"]
            .as_array()
            .unwrap()
            .clone()
    };
    let approving: Vec<_> = OWN_RUNBOOKS
        .into_iter()
        .filter(|(name, _)| *name != "RecoveryApproval")
        .collect();
    let names = |steps: &[Value]| -> Vec<String> {
        steps
            .iter()
            .map(|step| step["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let asking = steps(&approving);
    assert_eq!(names(&asking), ["approve", "prepare", "recover"]);
    assert_eq!(asking[0]["action"], "aws:approve");
    assert_eq!(asking[0]["onFailure"], "Abort");
    assert_eq!(
        strings(&asking[0]["inputs"]["Approvers"]),
        ["anna", "arn:aws:iam::111122223333:role/on-call"]
    );
    let waiving = steps(&OWN_RUNBOOKS);
    assert_eq!(
        names(&waiving),
        ["readSignals", "decide", "approve", "prepare", "recover"]
    );
    // Whatever goes wrong with the signals, and whatever they say but that they agree, leads to a person.
    for step in &waiving[..2] {
        assert_eq!(step["onFailure"], "step:approve", "{step}");
    }
    // It is the incident that the signals agree, not merely something that happens at the same time.
    let look = &waiving[0]["inputs"];
    assert_eq!(look["InputPayload"]["incident"], "{{ Incident }}");
    assert!(look["Script"].as_str().is_some_and(|script| {
        script.contains(r#"and events["incident"] == "alarm/" + found[0]["AlarmArn"]"#)
    }));
    assert_eq!(waiving[1]["inputs"]["Default"], "approve");
    assert_eq!(
        waiving[1]["inputs"]["Choices"],
        serde_json::json!([{
            "Variable": "{{ readSignals.Approval }}",
            "StringEquals": "waived",
            "NextStep": "prepare",
        }])
    );
}

/// The statement of the recovery bucket that denies the roles of AWS Backup.
const KEEPS_RESTORES_OUT: &str = "NoRestoreIntoThisBucket";

/// Actions in the policies of queues, topic, bucket and keys that are patterns, by statement, and why they may be.
const RESOURCE_POLICY_PATTERNS: [(&str, &str); 6] = [
    // Only what is forbidden: everything that does not come over TLS.
    ("OnlyOverTls", "sqs:*"),
    ("OnlyOverTls", "s3:*"),
    // What restores do.
    (KEEPS_RESTORES_OUT, "s3:*"),
    // The account itself, so that the key does not become unmanageable.
    ("ThisAccountDecides", "kms:*"),
    // GenerateDataKey with and without plaintext, for messages.
    ("RulesToQueuesOfThisAccount", "kms:GenerateDataKey*"),
    ("AlarmsOfThisAccount", "kms:GenerateDataKey*"),
];

/// The restore roles may write into every bucket of the account, and plans, records and reports decide what a recovery
/// does.
#[test]
fn no_restore_writes_into_the_recovery_bucket() {
    let policy = &deployed(&[]).resources("AWS::S3::BucketPolicy")["RecoveryBucketPolicy"];
    let statements = policy["PolicyDocument"]["Statement"].as_array().unwrap();
    let denied = statements
        .iter()
        .find(|statement| statement["Sid"] == KEEPS_RESTORES_OUT)
        .unwrap();
    assert_eq!(denied["Effect"], "Deny");
    assert_eq!(denied["Principal"], "*");
    assert_eq!(denied["Action"], "s3:*");
    let bucket = attribute_of("RecoveryBucket", "Arn");
    let objects = format!("{bucket}/*");
    assert_eq!(strings(&denied["Resource"]), [bucket, objects]);
}

#[test]
fn resource_policies_admit_only_services_for_this_account() {
    let deployed = deployed(&[]);
    let with_documents = [
        "AWS::S3::BucketPolicy",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
    ];
    let documents: Vec<(String, Value)> = with_documents
        .into_iter()
        .flat_map(|of_type| deployed.resources(of_type))
        .map(|(name, properties)| (name, properties["PolicyDocument"].clone()))
        .chain(
            deployed
                .resources("AWS::KMS::Key")
                .into_iter()
                .map(|(name, properties)| (name, properties["KeyPolicy"].clone())),
        )
        .collect();
    assert_eq!(documents.len(), 6);
    for (name, document) in documents {
        for statement in document["Statement"].as_array().unwrap() {
            let sid = statement["Sid"].as_str().unwrap();
            for action in strings(&statement["Action"]) {
                assert!(
                    !action.contains('*') || RESOURCE_POLICY_PATTERNS.contains(&(sid, &action)),
                    "{name}: {sid}: {action}"
                );
            }
            if statement["Effect"] == "Deny" {
                let condition = match sid == KEEPS_RESTORES_OUT {
                    true => {
                        let roles = RESTORING.map(|role| attribute_of(role, "Arn"));
                        json!({"ArnEquals": {"aws:PrincipalArn": roles}})
                    }
                    false => json!({"Bool": {"aws:SecureTransport": "false"}}),
                };
                assert_eq!(statement["Condition"], condition, "{name}: {sid}");
                continue;
            }
            // A service is let in only under a condition; the account's own root needs none.
            assert_ne!(statement["Principal"], "*", "{name}: {sid}");
            let root = statement["Principal"]["AWS"]
                .as_str()
                .is_some_and(|arn| arn.ends_with(":root"));
            assert!(
                root || members(&statement["Condition"]).count() > 0,
                "{name}: {sid}"
            );
        }
    }
}
