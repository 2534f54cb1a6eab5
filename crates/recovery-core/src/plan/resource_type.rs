//! The rules for each resource type of AWS Backup.

use crate::plan::names::NameKind;

/// Whether resources of a type are restored.
#[derive(Debug, Clone, Copy)]
pub enum Support {
    Restored(Restorable),
    /// Not by a plan.
    ByHand(ByHand),
}

/// Why resources of a type are not restored by a plan, and what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByHand {
    /// What a plan does not know.
    pub why: &'static str,
    /// The instruction to the operator.
    pub remedy: &'static str,
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
    /// S3 buckets.
    Bucket,
    /// EC2 instances, from their images.
    Instance,
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

const fn by_hand(
    name: &'static str,
    copies_tags: bool,
    why: &'static str,
    remedy: &'static str,
) -> TypeRules {
    TypeRules {
        name,
        support: Support::ByHand(ByHand { why, remedy }),
        hours_from_cold: 4,
        cold_by_choice: false,
        copies_tags,
    }
}

const fn restored(name: &'static str, restorable: Restorable, copies_tags: bool) -> TypeRules {
    TypeRules {
        support: Support::Restored(restorable),
        ..by_hand(name, copies_tags, "", "")
    }
}

/// The rules for each type that is known. `docs/recover.md` has the instructions.
pub const RULES: [TypeRules; 19] = [
    TypeRules {
        name: "EBS",
        support: Support::Restored(Restorable::Volume),
        // The archive tier of snapshots.
        hours_from_cold: 72,
        cold_by_choice: true,
        copies_tags: true,
    },
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
    restored("S3", Restorable::Bucket, false),
    restored("EC2", Restorable::Instance, true),
    by_hand(
        "CloudFormation",
        true,
        "a stack is restored as a change set, which a person must execute",
        "Restore it in AWS Backup, then read and execute the change set that the restore makes. For later recoveries, back up the resources by themselves, and let the recovery deploy the template.",
    ),
    by_hand(
        "DSQL",
        false,
        "the peers of the new cluster are not known",
        "Restore it in AWS Backup as a new cluster of this Region, and check whether a multi-Region cluster has its peers. Then configure the application with its endpoint.",
    ),
    by_hand(
        "EKS",
        true,
        "the cluster to restore into is not known",
        "Restore it in AWS Backup into a cluster of this Region, for example one that the stack creates. The restore replaces no object that the cluster has.",
    ),
    by_hand(
        "Redshift",
        true,
        "the network of the new cluster is not known",
        "Restore it in AWS Backup into a new cluster with a subnet group and security groups of this Region, then configure the application with its endpoint.",
    ),
    by_hand(
        "Redshift Serverless",
        false,
        "the namespace to restore into is not known, and a restore overwrites its data",
        "Restore it in AWS Backup into a namespace of this Region whose workgroup the stack creates, then configure the application with the endpoint of the workgroup. The restore overwrites the data of that namespace.",
    ),
    by_hand(
        "SAP HANA on Amazon EC2",
        false,
        "the database to restore into is not known, and a restore overwrites it",
        "Start an instance with SAP HANA, register its database with Systems Manager for SAP, and restore into it in AWS Backup. The restore overwrites that database.",
    ),
    by_hand(
        "Storage Gateway",
        true,
        "the gateway or instance that uses the volume is not known",
        "Restore it in AWS Backup as an EBS volume in the zone of its instance, and attach it. Or restore it as a volume of a gateway that is activated in this Region.",
    ),
    by_hand(
        "Timestream",
        false,
        "the database to restore into is not known",
        "Create the database of the table in this Region, and restore the table into it in AWS Backup.",
    ),
    by_hand(
        "VirtualMachine",
        false,
        "the host to restore to is not known",
        "Restore it in AWS Backup as an EC2 instance. Or restore it to a hypervisor that a Backup gateway connects with this Region.",
    ),
];

/// All other types.
const OTHER: TypeRules = by_hand(
    "other",
    false,
    "this type is not known",
    "Restore it yourself in AWS Backup.",
);

/// The rules for a type, by its name in AWS Backup.
pub fn rules(resource_type: &str) -> &'static TypeRules {
    RULES
        .iter()
        .find(|rules| rules.name == resource_type)
        .unwrap_or(&OTHER)
}

/// The instruction to the operator for a type that is not restored by a plan.
pub fn by_hand_remedy(resource_type: &str) -> &'static str {
    match rules(resource_type).support {
        Support::ByHand(by_hand) => by_hand.remedy,
        Support::Restored(_) => "Restore it yourself in AWS Backup.",
    }
}
