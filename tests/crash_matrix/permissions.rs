//! Each role allows exactly the calls that its function makes in the matrix, and the permissions that
//! these calls imply.

use std::collections::BTreeSet;

use crate::support::repository::function_packages;
use crate::support::sam::{EVERY_FUNCTION, deployed};
use crate::template::permissions::{KEYS, OWN_RUNBOOKS, RUNBOOK, RUNBOOK_WITH_ROLE, allowed};

use super::FOUND;
use super::scenario::Scenario;

/// The reason of a permission that the function does not call itself.
enum For {
    /// Lambda, with the function's role.
    Lambda,
    /// This call.
    Call(&'static str),
    /// This call of one of these functions.
    CallOf(&'static [&'static str], &'static str),
    /// This call, if the template has this parameter.
    CallWith(&'static str, &'static str),
}

/// The functions that start the runbook that mounts.
const MOUNTING: [&str; 3] = [
    "file-system-integrator",
    "restore-integrator",
    "restore-reconciler",
];

/// The permissions that a service needs with the function's role.
const IMPLICIT: &[(&str, For)] = &[
    // Its log.
    ("logs:CreateLogStream", For::Lambda),
    ("logs:PutLogEvents", For::Lambda),
    // Failed events go to an encrypted queue:
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html and
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    ("sqs:SendMessage", For::Lambda),
    ("kms:GenerateDataKey", For::Lambda),
    ("kms:Decrypt", For::Lambda),
    // The topic is encrypted: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    ("kms:GenerateDataKey", For::Call("sns:Publish")),
    ("kms:Decrypt", For::Call("sns:Publish")),
    // The caller of AttachVolume creates a grant on the key of an encrypted volume for the instance:
    // https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
    ("kms:CreateGrant", For::Call("ec2:AttachVolume")),
    ("kms:Decrypt", For::Call("ec2:AttachVolume")),
    ("kms:DescribeKey", For::Call("ec2:AttachVolume")),
    // A new instance has tags, and a grant on the key of its cluster:
    // https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.Encryption.Keys.html
    ("rds:AddTagsToResource", For::Call("rds:CreateDBInstance")),
    ("kms:CreateGrant", For::Call("rds:CreateDBInstance")),
    ("kms:DescribeKey", For::Call("rds:CreateDBInstance")),
    // A new parameter of a drill has its tag:
    // https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    ("ssm:AddTagsToResource", For::Call("ssm:PutParameter")),
    // EFS creates the network interface of a mount target in the name of the caller:
    // https://docs.aws.amazon.com/efs/latest/ug/API_CreateMountTarget.html
    (
        "ec2:CreateNetworkInterface",
        For::Call("elasticfilesystem:CreateMountTarget"),
    ),
    (
        "ec2:DescribeNetworkInterfaces",
        For::Call("elasticfilesystem:CreateMountTarget"),
    ),
    // A new access point of a drill has its tag:
    // https://docs.aws.amazon.com/efs/latest/ug/using-tags-efs.html
    (
        "elasticfilesystem:TagResource",
        For::Call("elasticfilesystem:CreateAccessPoint"),
    ),
    // The role of the restore is passed to AWS Backup:
    // https://docs.aws.amazon.com/aws-backup/latest/devguide/access-control.html
    ("iam:PassRole", For::Call("backup:StartRestoreJob")),
    // Without ListBucket, S3 answers AccessDenied for a missing object:
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    ("s3:ListBucket", For::Call("s3:GetObject")),
    // The role of the runbook is passed to Automation:
    // https://docs.aws.amazon.com/systems-manager/latest/userguide/automation-setup-iam.html
    // The runbook that mounts always has a role, those that responders start can have one.
    (
        "iam:PassRole",
        For::CallOf(&MOUNTING, "ssm:StartAutomationExecution"),
    ),
    (
        "iam:PassRole",
        For::CallWith("ssm:StartAutomationExecution", "RecoveryRunbookRoleArn"),
    ),
    (
        "iam:PassRole",
        For::CallWith("ssm:StartAutomationExecution", "RecoveryStateMachine"),
    ),
];

/// Whether the template with these parameters configures the function as in this scenario.
fn is_set_up(scenario: &Scenario, parameters: &[(&str, &str)]) -> bool {
    let named = parameters
        .iter()
        .any(|(name, _)| ["RecoveryRunbook", "RecoveryStateMachine"].contains(name));
    let needed = scenario
        .function
        .policy()
        .is_some_and(|policy| policy.runbook.is_some());
    named || !needed
}

#[test]
fn each_role_allows_exactly_the_calls_of_its_function() {
    for function in function_packages() {
        let role = role_of(&function);
        for parameters in [
            &[][..],
            &RUNBOOK,
            &RUNBOOK_WITH_ROLE,
            &KEYS,
            &OWN_RUNBOOKS,
            &EVERY_FUNCTION,
        ] {
            let deployed = deployed(parameters);
            // A function with a parameter does not exist without it.
            if !deployed.resources("AWS::IAM::Role").contains_key(&role) {
                assert_ne!(parameters, &EVERY_FUNCTION, "{role}");
                continue;
            }
            let called: BTreeSet<&str> = FOUND
                .iter()
                .filter(|(scenario, _)| scenario.function.name() == function)
                .filter(|(scenario, _)| is_set_up(scenario, parameters))
                .flat_map(|(_, found)| found.actions.iter().copied())
                .collect();
            let implied = IMPLICIT.iter().filter(|(_, needed)| match needed {
                For::Lambda => true,
                For::Call(call) => called.contains(call),
                For::CallOf(functions, call) => {
                    functions.contains(&function.as_str()) && called.contains(call)
                }
                For::CallWith(call, parameter) => {
                    called.contains(call) && parameters.iter().any(|(name, _)| name == parameter)
                }
            });
            let expected: BTreeSet<String> = implied
                .map(|(action, _)| *action)
                .chain(called.iter().copied())
                .map(str::to_owned)
                .collect();
            assert_eq!(
                allowed(&deployed, &role),
                expected,
                "{role} with {parameters:?}: allowed actions and actual calls"
            );
        }
    }
}

/// The logical id of a function's role: `restore-integrator` has `RestoreIntegratorRole`.
fn role_of(package: &str) -> String {
    let words = package.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect::<String>() + "Role"
}
