//! EBS volumes: their targets, and the metadata of their restores.

use std::collections::BTreeMap;

use crate::plan::item::VolumeTarget;
use crate::plan::restore_metadata::MetadataFacts;
use crate::tags::{TagRefusal, Tags, UnusableTag, integration_target};

/// The target according to the tags of a recovery point, and the optional tags that cannot be used. `None` if
/// no tag names one.
///
/// # Errors
/// A [`TagRefusal`] if a required tag is missing or cannot be used.
pub(super) fn target(tags: &Tags) -> Result<Option<(VolumeTarget, Vec<UnusableTag>)>, TagRefusal> {
    Ok(integration_target(tags)?.map(|target| {
        (
            VolumeTarget {
                stack: target.stack,
                logical_id: target.logical_id.to_string(),
                device: target.device.map(|device| device.as_str().to_owned()),
                mount: target.mount,
                assumed: target.assumed,
                reserved: Vec::new(),
            },
            target.unusable_tags,
        )
    }))
}

/// The metadata for `StartRestoreJob`: the Availability Zone of the target, the stored volume type, IOPS and
/// throughput, and the KMS key of this Region.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-ebs.html>.
pub(crate) fn metadata(facts: MetadataFacts<'_>, zone: &str) -> BTreeMap<String, String> {
    let mut metadata: BTreeMap<String, String> = ["volumeType", "iops", "throughput"]
        .into_iter()
        .filter_map(|name| {
            let value = facts.stored.get(name).filter(|value| !value.is_empty())?;
            Some((name.to_owned(), value.clone()))
        })
        .collect();
    // The stored zone is one of the primary Region, or absent.
    metadata.insert("availabilityZone".to_owned(), zone.to_owned());
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
    use crate::plan::restore_metadata::Place;

    #[test]
    fn uses_the_targets_zone_and_keeps_stored_settings() {
        let check = |stored: &[(&str, &str)], key: Option<&str>, expected: &[(&str, &str)]| {
            let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
                pairs
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect()
            };
            let zone = "us-west-2b";
            let facts = MetadataFacts {
                place: Place::Zone(zone),
                stored: &map(stored),
                key,
                token: "",
            };
            assert_eq!(metadata(facts, zone), map(expected), "{stored:?}");
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
