//! The input for the metadata of a restore.

use std::collections::BTreeMap;

/// The facts from which the metadata of a resource type is made.
#[derive(Debug, Clone, Copy)]
pub struct MetadataFacts<'a> {
    /// The Availability Zone of the target.
    pub zone: &'a str,
    /// What AWS Backup stored with the recovery point (`GetRecoveryPointRestoreMetadata`).
    pub stored: &'a BTreeMap<String, String>,
    /// The KMS key of this Region for encryption, if the stack sets one.
    pub key: Option<&'a str>,
}
