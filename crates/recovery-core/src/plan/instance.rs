//! EC2 instances that are restored from their images: their targets, and the metadata of their restores.

use std::collections::BTreeMap;

use serde_json::json;

use crate::plan::item::InstanceTarget;
use crate::plan::restore_metadata::{InstancePlace, MetadataFacts, kept, stored};
use crate::reference::{self, EXPECTED_TARGET_GROUP, Reference, TARGET_GROUP};
use crate::tags::{
    LOGICAL_ID, SECURITY_GROUPS, STACK, TARGET_GROUPS, TagRefusal, Tags, UnusableTag,
    own_logical_id, stack_of, value,
};

/// The target according to the tags of a recovery point, and the optional tags that cannot be used.
///
/// # Errors
/// A [`TagRefusal`] if a required tag is missing or cannot be used.
pub(crate) fn target(tags: &Tags) -> Result<(InstanceTarget, Vec<UnusableTag>), TagRefusal> {
    let unusable_tag = |tag, text: &str| UnusableTag::new(tag, text, reference::EXPECTED);
    let subnet = value(tags, LOGICAL_ID)
        .map(|text| {
            Reference::parse(text)
                .ok_or_else(|| TagRefusal::Invalid(unusable_tag(LOGICAL_ID, text)))
        })
        .transpose()?;
    let text = value(tags, SECURITY_GROUPS).unwrap_or_default();
    let security_groups = Reference::parse_all(text)
        .map_err(|part| TagRefusal::Invalid(unusable_tag(SECURITY_GROUPS, part)))?;
    if security_groups.is_empty() {
        return Err(TagRefusal::Missing {
            tag: SECURITY_GROUPS,
        });
    }
    let mut unusable = Vec::new();
    // Without it, an instance is restored and only not registered.
    let text = value(tags, TARGET_GROUPS).unwrap_or_default();
    let target_groups = Reference::parse_all(text).unwrap_or_else(|part| {
        unusable.push(unusable_tag(TARGET_GROUPS, part));
        Vec::new()
    });
    let is_unsuitable = |reference: &&Reference| !TARGET_GROUP.can_be_named_by(reference);
    if let Some(reference) = target_groups.iter().find(is_unsuitable) {
        let text = reference.to_string();
        let unusable = UnusableTag::new(TARGET_GROUPS, &text, EXPECTED_TARGET_GROUP);
        return Err(TagRefusal::Invalid(unusable));
    }
    let references = subnet.iter().chain(&security_groups).chain(&target_groups);
    let stack = stack_of(value(tags, STACK), references)?;
    if stack.is_none() && subnet.is_none() {
        return Err(TagRefusal::Missing { tag: LOGICAL_ID });
    }
    let texts = |references: &[Reference]| references.iter().map(ToString::to_string).collect();
    Ok((
        InstanceTarget {
            stack,
            subnet: subnet.map(|it| it.to_string()),
            security_groups: texts(&security_groups),
            target_groups: texts(&target_groups),
            own_logical_id: own_logical_id(tags).map(str::to_owned),
        },
        unusable,
    ))
}

/// The stored settings that an instance keeps. The others name things of the primary Region. Without its key pair, it
/// has the public keys that are in its image. A protection against termination would also keep the instance of a drill.
const SETTINGS: &[&str] = &[
    "CpuOptions",
    "CreditSpecification",
    "EbsOptimized",
    "HibernationOptions",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "Monitoring",
    "RequireIMDSv2",
];

/// What AWS Backup accepts as the only instance profile.
const BACKED_UP: &str = "UseBackedUpValue";

/// The metadata for `StartRestoreJob`. Every volume is encrypted with the key of this Region, or with that of its snapshot.
/// The snapshot is that of the image, so it is not named.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-ec2.html>.
pub(crate) fn metadata(
    facts: MetadataFacts<'_>,
    place: InstancePlace<'_>,
) -> BTreeMap<String, String> {
    let mut metadata = kept(facts.stored, SETTINGS);
    metadata.insert("SubnetId".to_owned(), place.subnet.to_owned());
    metadata.insert(
        "SecurityGroupIds".to_owned(),
        json!(place.security_groups).to_string(),
    );
    if place.with_profile && profile(facts.stored).is_some() {
        metadata.insert("IamInstanceProfileName".to_owned(), BACKED_UP.to_owned());
    }
    let devices: serde_json::Value = place
        .devices
        .iter()
        .map(|device| {
            let mut volume = json!({"DeleteOnTermination": device.delete_on_termination});
            if let Some(key) = facts.key {
                volume["Encrypted"] = json!(true);
                volume["KmsKeyId"] = json!(key);
            }
            json!({"DeviceName": device.name, "Ebs": volume})
        })
        .collect();
    metadata.insert("BlockDeviceMappings".to_owned(), devices.to_string());
    metadata
}

/// The instance profile that the instance had, or that a restore asked for.
pub(crate) fn profile(metadata: &BTreeMap<String, String>) -> Option<&str> {
    stored(metadata, "IamInstanceProfileName")
}

/// Whether a restore job with this metadata restores into the same network.
pub(crate) fn is_same_place(metadata: &BTreeMap<String, String>, place: InstancePlace<'_>) -> bool {
    let groups = stored(metadata, "SecurityGroupIds")
        .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    stored(metadata, "SubnetId") == Some(place.subnet)
        && groups.is_some_and(|groups| groups == place.security_groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::ec2::ImageDevice;
    use crate::plan::restore_metadata::Place;

    const KEY: &str = "arn:aws:kms:us-west-2:1:key/2";

    fn read(pairs: &[(&str, &str)]) -> Result<(InstanceTarget, Vec<&'static str>), TagRefusal> {
        let tags = pairs
            .iter()
            .map(|(key, value)| (format!("recovery:{key}"), (*value).to_owned()))
            .collect();
        let (target, unusable) = target(&tags)?;
        Ok((target, unusable.iter().map(|it| it.tag).collect()))
    }

    #[test]
    fn reads_the_target_from_tags() {
        let (minimal, unusable) = read(&[("stack", "shop"), ("security-groups", "Web")]).unwrap();
        assert_eq!(unusable, Vec::<&str>::new());
        assert_eq!(minimal.subnet, None);
        assert_eq!(minimal.security_groups, ["Web"]);
        let (full, _) = read(&[
            ("logical-id", "subnet-0a1b2c3d"),
            ("security-groups", "sg-0a1b2c3d sg-1a1b2c3d"),
        ])
        .unwrap();
        assert_eq!(full.stack, None);
        assert_eq!(full.security_groups.len(), 2);
        let (grouped, _) = read(&[
            ("stack", "shop"),
            ("security-groups", "Web"),
            ("target-groups", "Blue Green"),
        ])
        .unwrap();
        assert_eq!(grouped.target_groups, ["Blue", "Green"]);
    }

    #[test]
    fn names_the_tag_that_is_missing_or_invalid() {
        let check = |pairs: &[(&str, &str)], tag: &str| {
            let refusal = read(pairs).unwrap_err().to_string();
            assert!(refusal.contains(tag), "{refusal}");
        };
        check(&[("stack", "shop")], SECURITY_GROUPS);
        check(
            &[("stack", "shop"), ("security-groups", "a!")],
            SECURITY_GROUPS,
        );
        check(&[("security-groups", "sg-0a1b2c3d")], LOGICAL_ID);
        check(
            &[("logical-id", "Subnet"), ("security-groups", "sg-0a1b2c3d")],
            STACK,
        );
        for group in ["name:web", "asg:web", "sg-0a1b2c3d", "name:arn:aws:x:y"] {
            let groups = format!("Web {group}");
            check(
                &[
                    ("stack", "shop"),
                    ("security-groups", "Web"),
                    ("target-groups", &groups),
                ],
                TARGET_GROUPS,
            );
        }
        let (target, unusable) = read(&[
            ("stack", "shop"),
            ("security-groups", "Web"),
            ("target-groups", "a!"),
        ])
        .unwrap();
        assert_eq!(
            (target.target_groups, unusable),
            (vec![], vec![TARGET_GROUPS])
        );
    }

    #[test]
    fn restores_into_the_network_of_this_region() {
        let groups = ["sg-1".to_owned()];
        let devices = [ImageDevice {
            name: "/dev/xvda".to_owned(),
            snapshot: "snap-1".to_owned(),
            delete_on_termination: true,
        }];
        let place = InstancePlace {
            subnet: "subnet-1",
            security_groups: &groups,
            devices: &devices,
            with_profile: true,
        };
        let stored: BTreeMap<String, String> = [
            ("InstanceType", "m7g.large"),
            ("SubnetId", "subnet-primary"),
            ("SecurityGroupIds", "[\"sg-primary\"]"),
            ("NetworkInterfaces", "[{}]"),
            ("Placement", "{}"),
            ("VpcId", "vpc-primary"),
            ("KeyName", "key-of-the-primary-region"),
            ("DisableApiTermination", "true"),
            ("IamInstanceProfileName", "web"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let facts = MetadataFacts {
            place: Place::Instance(place),
            stored: &stored,
            key: Some(KEY),
            token: "",
        };
        let made = metadata(facts, place);
        let keys: Vec<&str> = made.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "BlockDeviceMappings",
                "IamInstanceProfileName",
                "InstanceType",
                "SecurityGroupIds",
                "SubnetId"
            ]
        );
        assert_eq!(made["IamInstanceProfileName"], "UseBackedUpValue");
        assert_eq!(made["SecurityGroupIds"], "[\"sg-1\"]");
        let mappings: serde_json::Value =
            serde_json::from_str(&made["BlockDeviceMappings"]).unwrap();
        assert_eq!(
            mappings,
            json!([{"DeviceName": "/dev/xvda", "Ebs": {
                "DeleteOnTermination": true, "Encrypted": true, "KmsKeyId": KEY,
            }}])
        );
        assert!(is_same_place(&made, place));
        let elsewhere = InstancePlace {
            subnet: "subnet-2",
            ..place
        };
        assert!(!is_same_place(&made, elsewhere));
        let without = InstancePlace {
            with_profile: false,
            ..place
        };
        let facts = MetadataFacts { key: None, ..facts };
        let made = metadata(facts, without);
        assert!(!made.contains_key("IamInstanceProfileName"));
        let mappings: serde_json::Value =
            serde_json::from_str(&made["BlockDeviceMappings"]).unwrap();
        assert_eq!(
            mappings,
            json!([{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": true}}])
        );
    }
}
