//! S3 buckets: their targets, and the metadata of their restores.

use std::collections::BTreeMap;

use serde_json::json;

use crate::aws::arn::Arn;
use crate::aws::bucket::{BucketEncryption, bucket_name};
use crate::plan::item::{BucketTarget, is_version_count};
use crate::plan::restore_metadata::{BucketPlace, MetadataFacts, stored};
use crate::reference::{self, Reference};
use crate::tags::{
    LOGICAL_ID, PREFIXES, STACK, TagRefusal, Tags, UnusableTag, VERSIONS, stack_of, value,
};

/// The most prefixes of one restore job.
const MOST_PREFIXES: usize = 5;

/// The target according to the tags of a recovery point of `resource`, and the optional tags that cannot be
/// used.
///
/// # Errors
/// A [`TagRefusal`] if a required tag is missing or cannot be used.
pub(crate) fn target(
    tags: &Tags,
    resource: &Arn,
) -> Result<(BucketTarget, Vec<UnusableTag>), TagRefusal> {
    let named = value(tags, LOGICAL_ID).ok_or(TagRefusal::Missing { tag: LOGICAL_ID })?;
    let invalid = |expected| TagRefusal::Invalid(UnusableTag::new(LOGICAL_ID, named, expected));
    let bucket = Reference::parse(named).ok_or_else(|| invalid(reference::EXPECTED))?;
    // A bucket has its name in all Regions, so this one is in the primary Region.
    if matches!(&bucket, Reference::Named(name) if Some(name.as_str()) == bucket_name(resource)) {
        return Err(invalid("a bucket of the recovery Region"));
    }
    let stack = stack_of(value(tags, STACK), [&bucket])?;
    let mut unusable = Vec::new();
    let versions = value(tags, VERSIONS).filter(|text| {
        let is_usable = is_version_count(text);
        if !is_usable {
            let expected = "a number from 1 to 9999, or all";
            unusable.push(UnusableTag::new(VERSIONS, text, expected));
        }
        is_usable
    });
    let text = value(tags, PREFIXES).unwrap_or_default();
    let mut prefixes: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if prefixes.len() > MOST_PREFIXES || prefixes.iter().any(|it| it.starts_with('/')) {
        let expected = "one to five prefixes, separated by spaces, none of which begins with /";
        unusable.push(UnusableTag::new(PREFIXES, text, expected));
        prefixes.clear();
    }
    Ok((
        BucketTarget {
            stack,
            bucket: bucket.to_string(),
            versions: versions.map(str::to_owned),
            prefixes,
        },
        unusable,
    ))
}

/// The metadata for `StartRestoreJob`. Nothing that is stored with the recovery point is used: it names the bucket and
/// the keys of the primary Region. A copy cannot be restored with its original encryption, so that of the bucket
/// applies. Access control lists are restored only where no object can fail because of its list.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-s3.html>.
pub(crate) fn metadata(
    facts: MetadataFacts<'_>,
    place: BucketPlace<'_>,
) -> BTreeMap<String, String> {
    let has_acls = stored(facts.stored, "BackupACLs").is_none_or(|it| !is_off(it));
    let text = |flag: bool| if flag { "true" } else { "false" }.to_owned();
    let mut metadata = BTreeMap::from([
        ("DestinationBucketName".to_owned(), place.bucket.to_owned()),
        (
            "RestoreACLs".to_owned(),
            text(place.admits_acls && has_acls),
        ),
    ]);
    let encryption = match place.encryption {
        BucketEncryption::S3 => "SSE-S3",
        BucketEncryption::Kms(key) => {
            if let Some(key) = key {
                metadata.insert("KMSKey".to_owned(), key.clone());
            }
            "SSE-KMS"
        }
    };
    metadata.insert("EncryptionType".to_owned(), encryption.to_owned());
    if let Some(versions) = place.versions {
        metadata.insert("RestoreLatestVersionsUpTo".to_owned(), versions.to_owned());
    }
    if !place.prefixes.is_empty() {
        metadata.insert("ItemsToRestore".to_owned(), items(place).to_string());
    }
    metadata
}

/// The prefixes as AWS Backup names them: URIs of the protected bucket.
fn items(place: BucketPlace<'_>) -> serde_json::Value {
    place
        .prefixes
        .iter()
        .map(|prefix| json!(format!("s3://{}/{prefix}", place.source)))
        .collect()
}

fn is_off(word: &str) -> bool {
    ["disabled", "false"].contains(&word.to_ascii_lowercase().as_str())
}

/// Whether a restore job with this metadata restores the same objects into the same bucket.
pub(crate) fn is_same_place(metadata: &BTreeMap<String, String>, place: BucketPlace<'_>) -> bool {
    let listed = stored(metadata, "ItemsToRestore")
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let versions = |text: Option<&str>| text.unwrap_or("1").to_owned();
    stored(metadata, "DestinationBucketName") == Some(place.bucket)
        && listed.unwrap_or_else(|| json!([])) == items(place)
        && versions(stored(metadata, "RestoreLatestVersionsUpTo")) == versions(place.versions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::restore_metadata::Place;

    const SOURCE: &str = "arn:aws:s3:::orders";
    const KEY: &str = "arn:aws:kms:us-west-2:1:key/2";

    fn read(pairs: &[(&str, &str)]) -> Result<(BucketTarget, Vec<&'static str>), TagRefusal> {
        let tags = pairs
            .iter()
            .map(|(key, value)| (format!("recovery:{key}"), (*value).to_owned()))
            .collect();
        let (target, unusable) = target(&tags, &Arn::parse(SOURCE).unwrap())?;
        Ok((target, unusable.iter().map(|it| it.tag).collect()))
    }

    #[test]
    fn reads_the_target_from_tags() {
        let (minimal, unusable) = read(&[("stack", "shop"), ("logical-id", "Assets")]).unwrap();
        assert_eq!(unusable, Vec::<&str>::new());
        assert_eq!(
            minimal,
            BucketTarget {
                stack: Some("shop".to_owned()),
                bucket: "Assets".to_owned(),
                ..BucketTarget::default()
            }
        );
        let (full, unusable) = read(&[
            ("logical-id", "name:orders-recovered"),
            ("versions", "all"),
            ("prefixes", "2026/ images/"),
        ])
        .unwrap();
        assert_eq!(unusable, Vec::<&str>::new());
        assert_eq!(full.stack, None);
        assert_eq!(full.versions.as_deref(), Some("all"));
        assert_eq!(full.prefixes, ["2026/", "images/"]);
    }

    #[test]
    fn names_the_tag_that_is_missing_or_invalid() {
        let check = |pairs: &[(&str, &str)], tag: &str| {
            let refusal = read(pairs).unwrap_err().to_string();
            assert!(refusal.contains(tag), "{refusal}");
        };
        check(&[("stack", "shop")], LOGICAL_ID);
        check(&[("stack", "shop"), ("logical-id", "a b")], LOGICAL_ID);
        check(&[("logical-id", "Assets")], STACK);
        // It would restore into the protected bucket.
        check(&[("logical-id", "name:orders")], "of the recovery Region");
    }

    #[test]
    fn restores_the_newest_version_of_everything_if_a_tag_cannot_be_used() {
        let target = [("stack", "shop"), ("logical-id", "Assets")];
        for versions in ["0", "01", "-1", "many", "12345", "All"] {
            let (read, unusable) =
                read(&[&target[..], &[("versions", versions)]].concat()).unwrap();
            assert_eq!(
                (read.versions, unusable),
                (None, vec![VERSIONS]),
                "{versions}"
            );
        }
        for prefixes in ["/2026", "a b c d e f"] {
            let (read, unusable) =
                read(&[&target[..], &[("prefixes", prefixes)]].concat()).unwrap();
            assert_eq!(
                (read.prefixes, unusable),
                (vec![], vec![PREFIXES]),
                "{prefixes}"
            );
        }
        for versions in ["1", "10", "9999"] {
            let (read, _) = read(&[&target[..], &[("versions", versions)]].concat()).unwrap();
            assert_eq!(read.versions.as_deref(), Some(versions));
        }
    }

    fn made(stored: &[(&str, &str)], place: BucketPlace<'_>) -> BTreeMap<String, String> {
        let stored = stored
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let facts = MetadataFacts {
            place: Place::Bucket(place),
            stored: &stored,
            key: Some("arn:aws:kms:us-west-2:1:key/of-the-vault"),
            token: "",
        };
        metadata(facts, place)
    }

    const PLACE: BucketPlace<'_> = BucketPlace {
        bucket: "assets",
        source: "orders",
        admits_acls: false,
        encryption: &BucketEncryption::S3,
        versions: None,
        prefixes: &[],
    };

    #[test]
    fn restores_with_the_encryption_of_the_bucket() {
        let stored = [
            ("DestinationBucketName", "orders"),
            ("EncryptionType", "original"),
            ("KMSKey", "arn:aws:kms:us-east-1:1:key/1"),
        ];
        let pairs = |metadata: &BTreeMap<String, String>| -> Vec<String> {
            metadata
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect()
        };
        assert_eq!(
            pairs(&made(&stored, PLACE)),
            [
                "DestinationBucketName=assets",
                "EncryptionType=SSE-S3",
                "RestoreACLs=false"
            ]
        );
        let own = BucketEncryption::Kms(Some(KEY.to_owned()));
        let managed = BucketEncryption::Kms(None);
        for (encryption, key) in [(&own, Some(KEY)), (&managed, None)] {
            let metadata = made(
                &stored,
                BucketPlace {
                    encryption,
                    ..PLACE
                },
            );
            assert_eq!(metadata["EncryptionType"], "SSE-KMS");
            assert_eq!(metadata.get("KMSKey").map(String::as_str), key);
        }
    }

    #[test]
    fn restores_acls_only_if_backup_and_bucket_have_them() {
        let open = BucketPlace {
            admits_acls: true,
            ..PLACE
        };
        let check = |stored: &[(&str, &str)], place, expected: &str| {
            assert_eq!(made(stored, place)["RestoreACLs"], expected, "{stored:?}");
        };
        check(&[], open, "true");
        check(&[], PLACE, "false");
        check(&[("BackupACLs", "enabled")], open, "true");
        check(&[("backupACLs", "Disabled")], open, "false");
        check(&[("BackupACLs", "false")], open, "false");
    }

    #[test]
    fn only_a_job_for_the_same_objects_and_bucket_can_be_used() {
        let prefixes = ["2026/".to_owned(), "images/".to_owned()];
        let place = BucketPlace {
            versions: Some("3"),
            prefixes: &prefixes,
            ..PLACE
        };
        let metadata = made(&[], place);
        assert_eq!(metadata["RestoreLatestVersionsUpTo"], "3");
        assert_eq!(
            metadata["ItemsToRestore"],
            r#"["s3://orders/2026/","s3://orders/images/"]"#
        );
        assert!(is_same_place(&metadata, place));
        assert!(!is_same_place(
            &metadata,
            BucketPlace {
                bucket: "x",
                ..place
            }
        ));
        assert!(!is_same_place(
            &metadata,
            BucketPlace {
                versions: None,
                ..place
            }
        ));
        assert!(!is_same_place(
            &metadata,
            BucketPlace {
                prefixes: &[],
                ..place
            }
        ));
        // The default is one version.
        let one = BucketPlace {
            versions: Some("1"),
            ..PLACE
        };
        assert!(is_same_place(&made(&[], PLACE), one));
    }
}
