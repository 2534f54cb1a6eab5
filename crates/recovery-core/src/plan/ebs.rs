//! The restore metadata of EBS volumes.

use std::collections::BTreeMap;

use crate::plan::restore_metadata::MetadataFacts;

/// The metadata for `StartRestoreJob`: the Availability Zone of the target, the stored volume type, IOPS and
/// throughput, and the KMS key of this Region.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-ebs.html>.
pub(super) fn metadata(facts: MetadataFacts<'_>) -> BTreeMap<String, String> {
    let mut metadata: BTreeMap<String, String> = ["volumeType", "iops", "throughput"]
        .into_iter()
        .filter_map(|name| {
            let value = facts.stored.get(name).filter(|value| !value.is_empty())?;
            Some((name.to_owned(), value.clone()))
        })
        .collect();
    // The stored zone is one of the primary Region, or absent.
    metadata.insert("availabilityZone".to_owned(), facts.zone.to_owned());
    if let Some(key) = facts.key {
        metadata.insert("encrypted".to_owned(), "true".to_owned());
        metadata.insert("kmsKeyId".to_owned(), key.to_owned());
    } else if facts.stored.get("encrypted").is_some_and(|it| it == "true") {
        // With the key of the recovery point. For an unencrypted recovery point, the Region's default for
        // encryption applies, so the metadata does not set it.
        metadata.insert("encrypted".to_owned(), "true".to_owned());
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_the_targets_zone_and_keeps_stored_settings() {
        let check = |stored: &[(&str, &str)], key: Option<&str>, expected: &[(&str, &str)]| {
            let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect()
            };
            let facts = MetadataFacts {
                zone: "us-west-2b",
                stored: &map(stored),
                key,
            };
            assert_eq!(metadata(facts), map(expected), "{stored:?}");
        };
        let zone = ("availabilityZone", "us-west-2b");
        check(&[], None, &[zone]);
        check(
            &[
                ("availabilityZone", "us-east-1a"),
                ("encrypted", "false"),
                ("volumeId", "vol-1"),
            ],
            None,
            &[zone],
        );
        check(
            &[("encrypted", "true")],
            None,
            &[zone, ("encrypted", "true")],
        );
        let speed = [
            ("volumeType", "gp3"),
            ("iops", "6000"),
            ("throughput", "500"),
        ];
        check(&speed, None, &[zone, speed[0], speed[1], speed[2]]);
        check(
            &[("volumeType", ""), ("encrypted", "false")],
            Some("arn:aws:kms:us-west-2:1:key/1"),
            &[
                zone,
                ("encrypted", "true"),
                ("kmsKeyId", "arn:aws:kms:us-west-2:1:key/1"),
            ],
        );
    }
}
