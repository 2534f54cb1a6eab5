//! The rules for each resource type of AWS Backup.

use crate::plan::names::NameKind;

/// Whether resources of a type are restored.
#[derive(Debug, Clone, Copy)]
pub enum Support {
    Restored(Restorable),
    /// Not yet. The text says what is missing.
    NotYet(&'static str),
}

/// What resources of a type are, for their targets and the metadata of their restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restorable {
    /// EBS volumes.
    Volume,
    /// DB instances or DB clusters.
    Database(NameKind),
    /// DynamoDB tables.
    Table,
    /// File systems of EFS and FSx, and volumes of FSx for ONTAP.
    FileSystem,
}

/// The rules for a resource type.
#[derive(Debug, Clone, Copy)]
pub struct TypeRules {
    /// Its name in AWS Backup.
    pub name: &'static str,
    pub support: Support,
    /// The most hours that a retrieval from cold storage takes
    /// (<https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-a-backup.html>).
    pub hours_from_cold: u32,
    /// Whether a lifecycle moves it to cold storage only if the backup plan opts in
    /// (<https://docs.aws.amazon.com/aws-backup/latest/devguide/API_Lifecycle.html>).
    pub cold_by_choice: bool,
    /// Whether AWS Backup can copy the recovery point's tags to the restored resource. For some types the
    /// restore job fails if it is asked to
    /// (<https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-a-backup.html>).
    pub copies_tags: bool,
}

const fn not_yet(name: &'static str, copies_tags: bool, missing: &'static str) -> TypeRules {
    TypeRules {
        name,
        support: Support::NotYet(missing),
        hours_from_cold: 4,
        cold_by_choice: false,
        copies_tags,
    }
}

const fn restored(name: &'static str, restorable: Restorable, copies_tags: bool) -> TypeRules {
    TypeRules {
        support: Support::Restored(restorable),
        ..not_yet(name, copies_tags, "")
    }
}

const RULES: [TypeRules; 17] = [
    TypeRules {
        name: "EBS",
        support: Support::Restored(Restorable::Volume),
        // The archive tier of snapshots.
        hours_from_cold: 72,
        cold_by_choice: true,
        copies_tags: true,
    },
    not_yet(
        "EC2",
        true,
        "its subnet and security groups in this Region are not known",
    ),
    restored("RDS", Restorable::Database(NameKind::DbInstance), true),
    restored("Aurora", Restorable::Database(NameKind::DbCluster), true),
    restored(
        "DocumentDB",
        Restorable::Database(NameKind::DbCluster),
        true,
    ),
    restored("Neptune", Restorable::Database(NameKind::DbCluster), true),
    restored("DynamoDB", Restorable::Table, false),
    restored("EFS", Restorable::FileSystem, true),
    restored("FSx", Restorable::FileSystem, true),
    not_yet("S3", false, "the bucket to restore to is not known"),
    not_yet(
        "CloudFormation",
        true,
        "a stack is restored as a change set, which a person must execute",
    ),
    not_yet(
        "Storage Gateway",
        true,
        "the gateway to restore to is not known",
    ),
    not_yet("Redshift", true, "the cluster to restore to is not known"),
    not_yet("Timestream", false, "the table to restore to is not known"),
    not_yet(
        "VirtualMachine",
        false,
        "the host to restore to is not known",
    ),
    not_yet(
        "SAP HANA on Amazon EC2",
        false,
        "the database to restore to is not known",
    ),
    not_yet("EKS", true, "the cluster to restore to is not known"),
];

/// All other types.
const OTHER: TypeRules = not_yet("other", false, "this type is not known");

/// The rules for a type, by its name in AWS Backup.
pub fn rules(resource_type: &str) -> &'static TypeRules {
    RULES
        .iter()
        .find(|rules| rules.name == resource_type)
        .unwrap_or(&OTHER)
}
