//! DynamoDB tables: their names, and the metadata of their restores.

use std::collections::BTreeMap;

use crate::aws::arn::Arn;
use crate::plan::item::TableTarget;
use crate::plan::names::NameKind;
use crate::plan::restore_metadata::{MetadataFacts, stored};
use crate::tags::{IDENTIFIER, Tags, UnusableTag, value};

/// The name according to the tags of a recovery point of `resource`, and the tag if it cannot be used.
pub(super) fn target(tags: &Tags, resource: &Arn) -> (TableTarget, Vec<UnusableTag>) {
    let own = resource
        .resource_id("table")
        .unwrap_or_else(|| resource.resource());
    let kind = NameKind::Table;
    let (name, unusable) = match value(tags, IDENTIFIER) {
        None => (own, None),
        Some(name) if kind.accepts(name) => (name, None),
        Some(name) => (
            own,
            Some(UnusableTag::new(IDENTIFIER, name, kind.expected())),
        ),
    };
    let target = TableTarget {
        name: name.to_owned(),
    };
    (target, unusable.into_iter().collect())
}

/// The metadata for `StartRestoreJob`. Without a key of this Region, a table whose key is the same one in
/// several Regions keeps it.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-dynamodb.html>.
///
/// # Errors
/// The key of the primary Region, unless a key of this Region replaces it.
pub(crate) fn metadata(
    facts: MetadataFacts<'_>,
    name: &str,
    region: &str,
) -> Result<BTreeMap<String, String>, String> {
    let is_customers = stored(facts.stored, "encryptionType") == Some("KMS");
    let of_primary = stored(facts.stored, "kmsMasterKeyArn").filter(|_| is_customers);
    let key = match (facts.key, of_primary) {
        (Some(key), _) => Some(key.to_owned()),
        (None, Some(key)) => Some(replica(key, region).ok_or_else(|| key.to_owned())?),
        (None, None) => None,
    };
    let mut metadata =
        BTreeMap::from([(NameKind::Table.metadata_key().to_owned(), name.to_owned())]);
    match key {
        Some(key) => {
            metadata.insert("encryptionType".to_owned(), "KMS".to_owned());
            metadata.insert("kmsMasterKeyArn".to_owned(), key);
        }
        None if is_customers => {
            // The key that AWS manages for DynamoDB in this Region.
            metadata.insert("encryptionType".to_owned(), "KMS".to_owned());
        }
        None => {
            metadata.insert("encryptionType".to_owned(), "Default".to_owned());
        }
    }
    Ok(metadata)
}

/// The replica in this Region of a multi-Region key
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html>).
fn replica(key: &str, region: &str) -> Option<String> {
    let arn = Arn::parse(key).ok()?;
    let id = arn.resource_id("key")?;
    id.starts_with("mrk-").then(|| {
        format!(
            "arn:{}:kms:{region}:{}:key/{id}",
            arn.partition(),
            arn.account()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::restore_metadata::Place;

    #[test]
    fn takes_the_name_from_the_tag_or_the_source() {
        let source = Arn::parse("arn:aws:dynamodb:us-east-1:1:table/Orders").unwrap();
        let check = |tag: &str, expected: &str, unusable: usize| {
            let tags = Tags::from([(IDENTIFIER.to_owned(), tag.to_owned())]);
            let (target, found) = target(&tags, &source);
            assert_eq!((target.name.as_str(), found.len()), (expected, unusable));
        };
        check("", "Orders", 0);
        check("Orders-2", "Orders-2", 0);
        check("a/b", "Orders", 1);
    }

    #[test]
    fn encrypts_with_a_key_of_this_region_only() {
        let check = |stored: &[(&str, &str)], key: Option<&str>, expected: Result<&str, &str>| {
            let stored: BTreeMap<String, String> = stored
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let facts = MetadataFacts {
                place: Place::Table("Orders"),
                stored: &stored,
                key,
                token: "",
            };
            let made = metadata(facts, "Orders", "us-west-2").map(|made| {
                assert_eq!(made["targetTableName"], "Orders");
                let key = made.get("kmsMasterKeyArn").map_or("", String::as_str);
                format!("{} {key}", made["encryptionType"])
            });
            assert_eq!(
                made.as_deref().map_err(String::as_str),
                expected,
                "{stored:?}"
            );
        };
        let kms = ("encryptionType", "KMS");
        let own = "arn:aws:kms:us-west-2:1:key/2";
        check(&[("encryptionType", "Default")], None, Ok("Default "));
        check(&[], Some(own), Ok("KMS arn:aws:kms:us-west-2:1:key/2"));
        check(&[kms], None, Ok("KMS "));
        let single = ("kmsMasterKeyArn", "arn:aws:kms:us-east-1:1:key/1");
        check(&[kms, single], None, Err("arn:aws:kms:us-east-1:1:key/1"));
        check(
            &[kms, single],
            Some(own),
            Ok("KMS arn:aws:kms:us-west-2:1:key/2"),
        );
        let multi = ("kmsMasterKeyArn", "arn:aws:kms:us-east-1:1:key/mrk-1");
        check(
            &[kms, multi],
            None,
            Ok("KMS arn:aws:kms:us-west-2:1:key/mrk-1"),
        );
    }
}
