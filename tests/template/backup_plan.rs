//! Protected resources are backed up and copied to the recovery Region, and operators cannot delete the
//! backups.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::repository::text;
use crate::support::sam::{
    Deployed, PRIMARY, attribute_of, deployed_in, members, strings, template_at,
};

const VAULT: (&str, &str) = (
    "RecoveryVaultArn",
    "arn:aws:backup:eu-west-1:111122223333:backup-vault:rapid-recovery-5b9ea3d0",
);
const OTHER_ACCOUNT: (&str, &str) = (
    "OtherAccountVaultArn",
    "arn:aws:backup:eu-west-1:444455556666:backup-vault:safe",
);

fn primary(parameters: &[(&str, &str)]) -> Deployed {
    deployed_in("us-east-1", PRIMARY, parameters)
}

/// The one rule of a plan.
fn rule(deployed: &Deployed, plan: &str) -> Value {
    let plans = deployed.resources("AWS::Backup::BackupPlan");
    let rules = plans[plan]["BackupPlan"]["BackupPlanRule"]
        .as_array()
        .unwrap();
    assert_eq!(rules.len(), 1, "{plan}");
    rules[0].clone()
}

fn selection(deployed: &Deployed, name: &str) -> Value {
    deployed.resources("AWS::Backup::BackupSelection")[name]["BackupSelection"].clone()
}

/// A stack that only forwards events creates no backups.
#[test]
fn backs_up_nothing_without_a_destination_vault() {
    let conditions = ["BacksUp", "BacksUpContinuously"];
    let resources = &template_at(PRIMARY)["Resources"];
    let of_backups: BTreeSet<&str> = members(resources)
        .filter(|(_, resource)| {
            resource["Condition"]
                .as_str()
                .is_some_and(|condition| conditions.contains(&condition))
        })
        .filter_map(|(_, resource)| resource["Type"].as_str())
        .collect();
    assert!(of_backups.len() >= 5);
    let deployed = primary(&[]);
    for of_type in [
        "AWS::Backup::BackupPlan",
        "AWS::Backup::BackupSelection",
        "AWS::Backup::BackupVault",
    ] {
        assert!(of_backups.contains(of_type), "{of_type}");
        assert!(deployed.resources(of_type).is_empty(), "{of_type}");
    }
    assert!(
        !deployed
            .resources("AWS::IAM::Role")
            .contains_key("BackupRole")
    );
    for needs_it in [
        OTHER_ACCOUNT,
        ("ContinuousBackup", "on"),
        ("BackupVaultLock", "governance"),
    ] {
        assert_eq!(primary(&[needs_it]).objections().len(), 1, "{needs_it:?}");
        assert_eq!(
            primary(&[needs_it, VAULT]).objections(),
            Vec::<String>::new(),
            "{needs_it:?}"
        );
    }
}

#[test]
fn copies_every_backup_to_the_recovery_region_and_another_account() {
    let copies = |parameters: &[(&str, &str)]| -> Vec<(String, Value)> {
        rule(&primary(parameters), "BackupPlan")["CopyActions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|copy| {
                let vault = copy["DestinationBackupVaultArn"].as_str().unwrap();
                (
                    vault.to_owned(),
                    copy["Lifecycle"]["DeleteAfterDays"].clone(),
                )
            })
            .collect()
    };
    let days = ("CopyRetentionDays", "90");
    assert_eq!(copies(&[VAULT]), [(VAULT.1.to_owned(), json!("35"))]);
    assert_eq!(
        copies(&[VAULT, OTHER_ACCOUNT, days]),
        [
            (VAULT.1.to_owned(), json!("90")),
            (OTHER_ACCOUNT.1.to_owned(), json!("90"))
        ]
    );
    let rule = rule(
        &primary(&[VAULT, ("BackupRetentionDays", "7")]),
        "BackupPlan",
    );
    assert_eq!(rule["TargetBackupVault"], "BackupVault");
    assert_eq!(rule["Lifecycle"]["DeleteAfterDays"], "7");
    assert_eq!(rule["ScheduleExpression"], "cron(0 3 * * ? *)");
    // They would win over the tags of the resource, by which a recovery finds the target.
    assert!(rule.get("RecoveryPointTags").is_none());
    assert!(rule.get("EnableContinuousBackup").is_none());
}

#[test]
fn selects_only_resources_with_a_workload_tag() {
    let everything = selection(&primary(&[VAULT]), "BackupSelection");
    assert_eq!(strings(&everything["Resources"]), ["*"]);
    assert_eq!(
        strings(&everything["NotResources"]),
        ["arn:aws:ec2:*:*:instance/*"]
    );
    // ListOfTags would be added to everything that Resources names.
    assert!(everything.get("ListOfTags").is_none());
    let tag = recovery_core::tags::WORKLOAD;
    assert_eq!(
        everything["Conditions"],
        json!({"StringLike": [{
            "ConditionKey": format!("aws:ResourceTag/{tag}"),
            "ConditionValue": "*",
        }]})
    );
    let one = selection(
        &primary(&[VAULT, ("ProtectedWorkloads", "shop-*")]),
        "BackupSelection",
    );
    assert_eq!(
        one["Conditions"]["StringLike"][0]["ConditionValue"],
        "shop-*"
    );
}

/// CloudFormation cannot set what AWS Backup backs up in a Region, so the document has the command. Without
/// an opt-in, AWS Backup skips a type and reports nothing.
#[test]
fn documented_settings_cover_both_regions_and_every_type() {
    let document = text("docs/primary-region.md");
    let settings = document
        .split("```")
        .find(|block| block.contains("update-region-settings"))
        .expect("the command");
    for region in ["<primary Region>", "<recovery Region>"] {
        assert!(settings.contains(region), "{region}");
    }
    let opted_in: BTreeSet<&str> = settings
        .split_whitespace()
        .filter(|word| word.contains("=true"))
        .flat_map(|word| word.split(','))
        .filter_map(|word| word.strip_suffix("=true"))
        .collect();
    assert_eq!(
        opted_in,
        BTreeSet::from([
            "Aurora",
            "DocumentDB",
            "DynamoDB",
            "EC2",
            "EBS",
            "EFS",
            "FSx",
            "Neptune",
            "RDS",
            "S3"
        ])
    );
    assert!(settings.contains("--resource-type-management-preference DynamoDB=true"));
    assert!(settings.contains("describe-region-settings"));
    // Nothing of these types is left out of the plan.
    let selected = selection(&primary(&[VAULT]), "BackupSelection");
    assert_eq!(strings(&selected["Resources"]), ["*"]);
    for left_out in strings(&selected["NotResources"]) {
        assert!(left_out.contains(":instance/"), "{left_out}");
    }
}

#[test]
fn continuous_backups_cover_only_supported_types_and_retention() {
    let off = primary(&[VAULT]);
    assert_eq!(off.resources("AWS::Backup::BackupPlan").len(), 1);
    let on = primary(&[
        VAULT,
        ("ContinuousBackup", "on"),
        ("ProtectedWorkloads", "shop"),
    ]);
    let rule = rule(&on, "ContinuousBackupPlan");
    assert_eq!(rule["EnableContinuousBackup"], true);
    assert!(
        rule.get("CopyActions").is_none(),
        "it would copy a second snapshot"
    );
    let days = &template_at(PRIMARY)["Parameters"]["ContinuousRetentionDays"];
    assert_eq!(
        (&days["MinValue"], &days["MaxValue"]),
        (&json!(1), &json!(35))
    );
    let continuous = selection(&on, "ContinuousBackupSelection");
    assert_eq!(
        strings(&continuous["Resources"]),
        [
            "arn:aws:rds:*:*:cluster:*",
            "arn:aws:rds:*:*:db:*",
            "arn:aws:s3:::*"
        ]
    );
    assert_eq!(
        continuous["Conditions"],
        selection(&on, "BackupSelection")["Conditions"]
    );
}

#[test]
fn backup_vault_is_retained_encrypted_and_protected_like_the_recovery_vault() {
    for name in ["BackupVault", "BackupVaultKey"] {
        let resource = &template_at(PRIMARY)["Resources"][name];
        assert_eq!(resource["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
    }
    let vault = |parameters: &[(&str, &str)]| {
        primary(parameters).resources("AWS::Backup::BackupVault")["BackupVault"].clone()
    };
    let plain = vault(&[VAULT]);
    assert_eq!(plain["BackupVaultName"], "rapid-recovery-5b9ea3d0");
    assert_eq!(
        plain["EncryptionKeyArn"],
        attribute_of("BackupVaultKey", "Arn")
    );
    assert_eq!(plain["LockConfiguration"], Value::Null);
    let recovery = crate::support::sam::deployed(&[]);
    assert_eq!(
        plain["AccessPolicy"],
        recovery.resources("AWS::Backup::BackupVault")["RecoveryVault"]["AccessPolicy"]
    );
    assert_eq!(
        vault(&[VAULT, ("BackupVaultLock", "governance")])["LockConfiguration"],
        json!({"MinRetentionDays": "7"})
    );
    assert_eq!(
        vault(&[VAULT, ("BackupVaultLock", "compliance")])["LockConfiguration"],
        json!({"MinRetentionDays": "7", "ChangeableForDays": "3"})
    );
}

#[test]
fn backup_role_trusts_only_aws_backup_and_uses_its_managed_policies() {
    let role = &primary(&[VAULT]).resources("AWS::IAM::Role")["BackupRole"];
    assert_eq!(
        role["AssumeRolePolicyDocument"]["Statement"],
        json!([{
            "Effect": "Allow",
            "Principal": {"Service": "backup.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }])
    );
    assert!(role.get("Policies").is_none());
    assert_eq!(
        strings(&role["ManagedPolicyArns"]),
        [
            "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
            "arn:aws:iam::aws:policy/AWSBackupServiceRolePolicyForS3Backup",
        ]
    );
}
