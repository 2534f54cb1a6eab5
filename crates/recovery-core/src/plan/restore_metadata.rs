//! The input for the metadata of a restore.
//!
//! All values are texts: a list is a text of JSON
//! (<https://docs.aws.amazon.com/aws-backup/latest/devguide/restore-testing-inferred-metadata.html>). What
//! AWS Backup stored with the recovery point is that of the primary Region, also for a copy. Therefore each
//! type lists the stored values that it keeps. Other values name things of the primary Region, or are
//! unknown.

use std::collections::BTreeMap;

use crate::aws::ec2::Subnet;

/// The facts from which the metadata of a restore is made.
#[derive(Debug, Clone, Copy)]
pub struct MetadataFacts<'a> {
    pub place: Place<'a>,
    /// What AWS Backup stored with the recovery point (`GetRecoveryPointRestoreMetadata`).
    pub stored: &'a BTreeMap<String, String>,
    /// The KMS key of this Region for encryption, if the stack sets one.
    pub key: Option<&'a str>,
    /// What no other restore has, for a resource that needs a unique token or name.
    pub token: &'a str,
}

/// Where a resource is restored to, with references resolved.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A volume: the Availability Zone of its target.
    Zone(&'a str),
    /// A DB instance or a DB cluster.
    Database(DatabasePlace<'a>),
    /// A table of this name.
    Table(&'a str),
    FileSystem(FileSystemPlace<'a>),
}

/// The name and the network of a database.
#[derive(Debug, Clone, Copy)]
pub struct DatabasePlace<'a> {
    pub identifier: &'a str,
    pub subnet_group: &'a str,
    pub security_groups: &'a [String],
    /// `None`: the default of the engine.
    pub parameter_group: Option<&'a str>,
    /// `None`: the default of the engine.
    pub option_group: Option<&'a str>,
    pub is_cluster: bool,
}

/// Where a file system is restored to, with references resolved.
#[derive(Debug, Clone, Copy)]
pub enum FileSystemPlace<'a> {
    /// Of EFS. It gets its network after the restore.
    Efs,
    /// Of FSx for Lustre, OpenZFS or Windows File Server.
    Fsx(FsxPlace<'a>),
    /// A volume of FSx for ONTAP, in this storage virtual machine.
    Volume { machine: &'a str },
}

/// Where a file system of FSx is restored to, with references resolved.
#[derive(Debug, Clone, Copy)]
pub struct FsxPlace<'a> {
    /// In the order of their preference.
    pub subnets: &'a [Subnet],
    pub security_groups: &'a [String],
    pub directory: Option<&'a str>,
}

/// The stored values of these keys, under the names that they were stored under: the documentation writes
/// some of them in camel case, AWS Backup stores them in Pascal case.
pub(super) fn kept(stored: &BTreeMap<String, String>, keys: &[&str]) -> BTreeMap<String, String> {
    stored
        .iter()
        .filter(|(name, value)| {
            !value.is_empty() && keys.iter().any(|key| key.eq_ignore_ascii_case(name))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A stored value, under whatever spelling.
pub(crate) fn stored<'a>(stored: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    stored
        .iter()
        .find(|(name, value)| name.eq_ignore_ascii_case(key) && !value.is_empty())
        .map(|(_, value)| value.as_str())
}
