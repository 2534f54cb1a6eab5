//! The recovery vault and the bucket are retained, encrypted and private, and protected from deletion.

use serde_json::{Value, json};

use crate::support::sam::{attribute_of, deployed, deployed_in, strings, template};

/// What must be there still when the stack is not.
const KEPT: [&str; 4] = [
    "RecoveryBucket",
    "RecoveryBucketPolicy",
    "RecoveryVault",
    "RecoveryVaultKey",
];

#[test]
fn vault_bucket_and_keys_are_retained() {
    for name in KEPT {
        let resource = &template()["Resources"][name];
        assert_eq!(resource["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
    }
}

/// A vault that was kept still has its name: the same stack must be able to stand here again.
#[test]
fn retained_resources_have_names_of_this_stack() {
    let deployed = deployed(&[]);
    let vault = &deployed.resources("AWS::Backup::BackupVault")["RecoveryVault"];
    assert_eq!(vault["BackupVaultName"], "rapid-recovery-5b9ea3d0");
    for bucket in deployed.resources("AWS::S3::Bucket").values() {
        assert!(bucket.get("BucketName").is_none());
    }
}

/// The statements of the vault's policy.
fn vault_policy(parameters: &[(&str, &str)]) -> Vec<Value> {
    let vault = &deployed(parameters).resources("AWS::Backup::BackupVault")["RecoveryVault"];
    vault["AccessPolicy"]["Statement"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn only_named_principals_may_delete_recovery_points() {
    let nobody = vault_policy(&[]);
    let [deny] = nobody.as_slice() else {
        panic!("{nobody:?}");
    };
    assert_eq!(deny["Effect"], "Deny");
    assert_eq!(deny["Principal"], "*");
    assert_eq!(
        strings(&deny["Action"]),
        [
            "backup:DeleteRecoveryPoint",
            "backup:DisassociateRecoveryPoint",
            "backup:UpdateRecoveryPointLifecycle",
        ]
    );
    assert!(deny.get("Condition").is_none());
    let role = "arn:aws:iam::111122223333:role/backup-administrator";
    let named = vault_policy(&[("RecoveryPointDeleters", role)]);
    assert_eq!(
        named[0]["Condition"],
        json!({"ArnNotLike": {"aws:PrincipalArn": [role]}})
    );
    assert_eq!(named[0]["Effect"], "Deny");
}

#[test]
fn other_accounts_may_only_copy_into_the_vault() {
    let admitting = vault_policy(&[("CopyingAccounts", "444455556666,777788889999")]);
    assert_eq!(admitting.len(), 2);
    assert_eq!(
        admitting[1],
        json!({
            "Sid": "CopiesOfOtherAccounts",
            "Effect": "Allow",
            "Principal": {"AWS": ["444455556666", "777788889999"]},
            "Action": "backup:CopyIntoBackupVault",
            "Resource": "*",
        })
    );
}

#[test]
fn locks_the_vault_only_if_configured() {
    let lock = |parameters: &[(&str, &str)]| {
        let vault = &deployed(parameters).resources("AWS::Backup::BackupVault")["RecoveryVault"];
        vault["LockConfiguration"].clone()
    };
    assert_eq!(lock(&[]), Value::Null);
    // What can be undone, until it is asked for by name to be for good.
    assert_eq!(
        lock(&[
            ("RecoveryVaultLock", "governance"),
            ("RecoveryVaultLockMinDays", "30")
        ]),
        json!({"MinRetentionDays": "30"})
    );
    assert_eq!(
        lock(&[("RecoveryVaultLock", "compliance")]),
        json!({"MinRetentionDays": "7", "ChangeableForDays": "3"})
    );
}

#[test]
fn vault_has_a_separate_key_with_rotation() {
    let deployed = deployed(&[]);
    let vault = &deployed.resources("AWS::Backup::BackupVault")["RecoveryVault"];
    assert_eq!(
        vault["EncryptionKeyArn"],
        attribute_of("RecoveryVaultKey", "Arn")
    );
    let key = &deployed.resources("AWS::KMS::Key")["RecoveryVaultKey"];
    assert_eq!(key["EnableKeyRotation"], true);
    assert_eq!(key["PendingWindowInDays"], 30);
}

#[test]
fn bucket_is_private_encrypted_and_expires_only_old_versions() {
    let bucket = &deployed(&[]).resources("AWS::S3::Bucket")["RecoveryBucket"];
    let public = &bucket["PublicAccessBlockConfiguration"];
    for setting in [
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    ] {
        assert_eq!(public[setting], true, "{setting}");
    }
    assert_eq!(bucket["VersioningConfiguration"]["Status"], "Enabled");
    assert!(bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"].is_array());
    for rule in bucket["LifecycleConfiguration"]["Rules"]
        .as_array()
        .unwrap()
    {
        assert!(rule.get("ExpirationInDays").is_none() && rule.get("ExpirationDate").is_none());
    }
}

#[test]
fn tests_restores_only_if_configured_and_from_the_recovery_vault() {
    let off = deployed(&[]);
    assert!(
        off.resources("AWS::Backup::RestoreTestingPlan").is_empty()
            && off
                .resources("AWS::Backup::RestoreTestingSelection")
                .is_empty()
    );
    let on = deployed(&[
        ("RestoreTesting", "on"),
        ("RestoreTestValidationHours", "4"),
    ]);
    let plan = &on.resources("AWS::Backup::RestoreTestingPlan")["RestoreTestPlan"];
    let name = plan["RestoreTestingPlanName"].as_str().unwrap();
    assert!(
        name.len() <= 50 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
        "{name}"
    );
    assert_eq!(
        plan["RecoveryPointSelection"],
        json!({
            "Algorithm": "LATEST_WITHIN_WINDOW",
            "SelectionWindowDays": "7",
            "RecoveryPointTypes": ["SNAPSHOT"],
            "IncludeVaults": [attribute_of("RecoveryVault", "BackupVaultArn")],
        })
    );
    let selection = &on.resources("AWS::Backup::RestoreTestingSelection")["RestoreTestSelection"];
    assert_eq!(selection["ProtectedResourceType"], "EBS");
    assert_eq!(selection["IamRoleArn"], attribute_of("RestoreRole", "Arn"));
    // Without hours in between, what was restored is gone before it was looked at.
    assert_eq!(selection["ValidationWindowHours"], "4");
    let hours = &template()["Parameters"]["RestoreTestValidationHours"];
    assert!(hours["MinValue"].as_u64().is_some_and(|least| least >= 1));
}

/// The Regions whose CloudFormation has no restore testing plans (its registry of resource types).
#[test]
fn rejects_restore_testing_in_unsupported_regions() {
    for (region, exists) in [
        ("us-west-2", true),
        ("eu-central-1", true),
        ("ap-southeast-4", true),
        ("ap-southeast-5", false),
        ("ap-southeast-7", false),
        ("cn-north-1", false),
        ("cn-northwest-1", false),
        ("us-gov-east-1", false),
        ("us-gov-west-1", false),
    ] {
        let objections = |restore_testing| {
            deployed_in(
                region,
                "template.yaml",
                &[("RestoreTesting", restore_testing)],
            )
            .objections()
        };
        assert_eq!(objections("off"), Vec::<String>::new(), "{region}");
        assert_eq!(objections("on").is_empty(), exists, "{region}");
        assert!(
            objections("on")
                .iter()
                .all(|text| text.contains("Set RestoreTesting to off")),
            "{region}"
        );
    }
}
