//! What the metadata of a restore are made of.

use std::collections::BTreeMap;

/// What a type's metadata is made of.
#[derive(Debug, Clone, Copy)]
pub struct MetadataFacts<'a> {
    /// The Availability Zone of the target.
    pub zone: &'a str,
    /// What AWS Backup stored with the recovery point (`GetRecoveryPointRestoreMetadata`).
    pub stored: &'a BTreeMap<String, String>,
    /// The key of this Region to encrypt with, where the owner named one.
    pub key: Option<&'a str>,
}
