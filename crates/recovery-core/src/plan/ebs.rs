//! EBS volumes: what AWS Backup must be told to restore one.

use std::collections::BTreeMap;

use crate::plan::restore_metadata::MetadataFacts;

/// The metadata for `StartRestoreJob`: the target's zone, the volume's own type and speed where
/// they were stored, and the key of this Region.
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
    // What is stored is the zone of the primary Region, or nothing.
    metadata.insert("availabilityZone".to_owned(), facts.zone.to_owned());
    if let Some(key) = facts.key {
        metadata.insert("encrypted".to_owned(), "true".to_owned());
        metadata.insert("kmsKeyId".to_owned(), key.to_owned());
    } else if facts.stored.get("encrypted").is_some_and(|it| it == "true") {
        // Under the key of the recovery point. Whether an unencrypted one is encrypted is the
        // Region's default to say, so nothing is said of it.
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
