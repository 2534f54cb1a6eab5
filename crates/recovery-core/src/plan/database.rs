//! DB instances and DB clusters: their targets, and the metadata of their restores.

use std::collections::BTreeMap;

use crate::aws::arn::Arn;
use crate::integrate::database::refusal::DatabaseRefusal;
use crate::integrate::database::wanted::InstanceGroups;
use crate::plan::item::DatabaseTarget;
use crate::plan::names::NameKind;
use crate::plan::restore_metadata::{DatabasePlace, MetadataFacts, kept, stored};
use crate::reference::{self, Reference};
use crate::tags::{
    IDENTIFIER, INSTANCES, LOGICAL_ID, OPTION_GROUP, PARAMETER_GROUP, SECURITY_GROUPS, STACK,
    TagRefusal, Tags, UnusableTag, stack_of, value,
};

/// The target according to the tags of a recovery point of `resource`, and the optional tags that cannot be
/// used.
///
/// # Errors
/// A [`TagRefusal`] if a required tag is missing or cannot be used.
pub(super) fn target(
    tags: &Tags,
    resource: &Arn,
    kind: NameKind,
) -> Result<(DatabaseTarget, Vec<UnusableTag>), TagRefusal> {
    let is_cluster = kind == NameKind::DbCluster;
    let required = |tag| value(tags, tag).ok_or(TagRefusal::Missing { tag });
    let invalid =
        |tag, text: &str| TagRefusal::Invalid(UnusableTag::new(tag, text, reference::EXPECTED));
    let subnet_group = value(tags, LOGICAL_ID)
        .map(|text| Reference::parse(text).ok_or_else(|| invalid(LOGICAL_ID, text)))
        .transpose()?;
    let named = required(SECURITY_GROUPS)?;
    let security_groups =
        Reference::parse_all(named).map_err(|part| invalid(SECURITY_GROUPS, part))?;
    let mut unusable = Vec::new();
    let mut optional = |tag| {
        let text = value(tags, tag)?;
        let parsed = Reference::parse(text);
        if parsed.is_none() {
            unusable.push(UnusableTag::new(tag, text, reference::EXPECTED));
        }
        parsed
    };
    let parameter_group = optional(PARAMETER_GROUP);
    let option_group = optional(OPTION_GROUP).filter(|_| !is_cluster);
    let references = subnet_group
        .iter()
        .chain(&security_groups)
        .chain(&parameter_group)
        .chain(&option_group);
    let stack = stack_of(value(tags, STACK), references)?;
    if subnet_group.is_none() && stack.is_none() {
        return Err(TagRefusal::Missing { tag: LOGICAL_ID });
    }
    let instances = match is_cluster {
        true => {
            InstanceGroups::of(tags).map_err(|refusal| match refusal {
                DatabaseRefusal::InstancesInvalid(unusable) => TagRefusal::Invalid(unusable),
                _ => TagRefusal::Missing { tag: INSTANCES },
            })?;
            value(tags, INSTANCES).map(str::to_owned)
        }
        false => None,
    };
    let identifier = match value(tags, IDENTIFIER) {
        Some(name) if kind.accepts(name) => name,
        Some(name) => {
            unusable.push(UnusableTag::new(IDENTIFIER, name, kind.expected()));
            own_name(resource)
        }
        None => own_name(resource),
    };
    let text = |reference: Option<Reference>| reference.map(|it| it.to_string());
    Ok((
        DatabaseTarget {
            identifier: kind.stored(identifier),
            stack,
            subnet_group: text(subnet_group),
            security_groups: security_groups.iter().map(ToString::to_string).collect(),
            parameter_group: text(parameter_group),
            option_group: text(option_group),
            instances,
        },
        unusable,
    ))
}

/// The name of the protected resource: `arn:aws:rds:us-east-1:111122223333:db:orders`.
fn own_name(resource: &Arn) -> &str {
    resource
        .resource()
        .rsplit_once(':')
        .map_or(resource.resource(), |(_, name)| name)
}

/// The stored settings that a restored DB instance keeps. The key of the recovery point encrypts it; engine
/// and version are those of the recovery point. Deletion protection is left to the integration, which sets it on
/// an available database: a failed restore can leave a database that nobody can change, and that must be deleted
/// before its name is free again
/// (<https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-rds.html>).
const INSTANCE_SETTINGS: &[&str] = &[
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DBName",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "Iops",
    "LicenseModel",
    "MultiAZ",
    "Port",
    "ProcessorFeatures",
    "PubliclyAccessible",
    "StorageType",
];

/// The stored settings that a restored DB cluster keeps. Without `EngineVersion`, it would get the default of
/// the Region (<https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-aur.html>).
const CLUSTER_SETTINGS: &[&str] = &[
    "BacktrackWindow",
    "CopyTagsToSnapshot",
    "DatabaseName",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "EngineMode",
    "EngineVersion",
    "Port",
    "ScalingConfiguration",
];

/// The metadata for `StartRestoreJob`.
pub(crate) fn metadata(
    facts: MetadataFacts<'_>,
    place: DatabasePlace<'_>,
) -> BTreeMap<String, String> {
    let settings = match place.is_cluster {
        true => CLUSTER_SETTINGS,
        false => INSTANCE_SETTINGS,
    };
    let mut metadata = kept(facts.stored, settings);
    // RDS rejects some settings for some engines
    // (<https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RestoreDBInstanceFromDBSnapshot.html>).
    let engine = stored(facts.stored, "Engine").unwrap_or_default();
    let is_of = |engines: &[&str]| engines.iter().any(|name| engine.starts_with(name));
    if !place.is_cluster && !is_of(&["oracle", "sqlserver"]) {
        metadata.retain(|key, _| !key.eq_ignore_ascii_case("DBName"));
    }
    if !place.is_cluster && is_of(&["sqlserver"]) {
        metadata.retain(|key, _| !key.eq_ignore_ascii_case("AllocatedStorage"));
    }
    let mut set = |key: &str, value: String| {
        metadata.insert(key.to_owned(), value);
    };
    let kind = match place.is_cluster {
        true => NameKind::DbCluster,
        false => NameKind::DbInstance,
    };
    set(kind.metadata_key(), place.identifier.to_owned());
    set("DBSubnetGroupName", place.subnet_group.to_owned());
    set(
        "VpcSecurityGroupIds",
        serde_json::json!(place.security_groups).to_string(),
    );
    if let Some(group) = place.parameter_group {
        let key = match place.is_cluster {
            true => "DBClusterParameterGroupName",
            false => "DBParameterGroupName",
        };
        set(key, group.to_owned());
    }
    if let Some(group) = place.option_group {
        set("OptionGroupName", group.to_owned());
    }
    if let Some(key) = facts.key.filter(|_| place.is_cluster) {
        set("KmsKeyId", key.to_owned());
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn resource(kind: NameKind) -> Arn {
        let name = match kind {
            NameKind::DbCluster => "cluster:Orders",
            _ => "db:Orders",
        };
        Arn::parse(&format!("arn:aws:rds:us-east-1:111122223333:{name}")).unwrap()
    }

    const REQUIRED: [(&str, &str); 3] = [
        (STACK, "shop"),
        (SECURITY_GROUPS, "Web sg-0a1b2c3d"),
        (INSTANCES, "db.r6g.large x2"),
    ];

    #[test]
    fn reads_the_target_from_tags() {
        let read = |kind, extra: &[(&str, &str)]| {
            target(&tags(&[&REQUIRED, extra].concat()), &resource(kind), kind).unwrap()
        };
        let (instance, unusable) = read(NameKind::DbInstance, &[]);
        assert_eq!(unusable, []);
        assert_eq!(
            instance,
            DatabaseTarget {
                identifier: "orders".to_owned(),
                stack: Some("shop".to_owned()),
                subnet_group: None,
                security_groups: vec!["Web".to_owned(), "sg-0a1b2c3d".to_owned()],
                parameter_group: None,
                option_group: None,
                instances: None,
            }
        );
        let (cluster, _) = read(
            NameKind::DbCluster,
            &[
                (LOGICAL_ID, "prefix:Subnets"),
                (PARAMETER_GROUP, "name:tuned"),
                (IDENTIFIER, "orders-2"),
            ],
        );
        assert_eq!(cluster.identifier, "orders-2");
        assert_eq!(cluster.subnet_group.as_deref(), Some("prefix:Subnets"));
        assert_eq!(cluster.parameter_group.as_deref(), Some("name:tuned"));
        assert_eq!(cluster.instances.as_deref(), Some("db.r6g.large x2"));
    }

    #[test]
    fn names_the_tag_that_is_missing_or_invalid() {
        let check = |without: &[&str], extra: &[(&str, &str)], expected: &str| {
            let mut all = tags(&REQUIRED);
            all.retain(|key, _| !without.contains(&key.as_str()));
            all.extend(tags(extra));
            let refusal =
                target(&all, &resource(NameKind::DbCluster), NameKind::DbCluster).unwrap_err();
            assert!(refusal.to_string().contains(expected), "{refusal}");
        };
        check(&[SECURITY_GROUPS], &[], SECURITY_GROUPS);
        check(&[INSTANCES], &[], INSTANCES);
        check(&[STACK], &[], STACK);
        // Without a stack, nothing says which subnet group it is.
        check(
            &[STACK, SECURITY_GROUPS],
            &[(SECURITY_GROUPS, "sg-0a1b2c3d")],
            LOGICAL_ID,
        );
        check(&[], &[(INSTANCES, "db.r6g.large x99")], INSTANCES);
        check(&[], &[(SECURITY_GROUPS, "my-group")], SECURITY_GROUPS);
        check(&[], &[(LOGICAL_ID, "no id!")], LOGICAL_ID);
        check(&[], &[(STACK, "9")], STACK);
    }

    #[test]
    fn accepts_the_target_despite_an_invalid_optional_tag() {
        let all = tags(
            &[
                &REQUIRED[..],
                &[
                    (PARAMETER_GROUP, "a b"),
                    (OPTION_GROUP, "!"),
                    (IDENTIFIER, "a--b"),
                ],
            ]
            .concat(),
        );
        let kind = NameKind::DbInstance;
        let (target, unusable) = target(&all, &resource(kind), kind).unwrap();
        assert_eq!(target.identifier, "orders");
        assert_eq!(
            (&target.parameter_group, &target.option_group),
            (&None, &None)
        );
        let tags: Vec<&str> = unusable.iter().map(|unusable| unusable.tag).collect();
        assert_eq!(tags, [PARAMETER_GROUP, OPTION_GROUP, IDENTIFIER]);
    }

    /// What AWS Backup stores with a copy: values of the primary Region.
    fn stored_of_primary() -> BTreeMap<String, String> {
        [
            ("AvailabilityZone", "us-east-1a"),
            ("DBInstanceClass", "db.m6g.large"),
            ("DBInstanceIdentifier", "orders"),
            ("DBSubnetGroupName", "primary"),
            ("DeletionProtection", "true"),
            ("Encrypted", "true"),
            ("Engine", "postgres"),
            ("EngineVersion", "16.4"),
            ("KmsKeyId", "arn:aws:kms:us-east-1:1:key/1"),
            ("MultiAZ", "true"),
            ("OptionGroupName", "default:postgres-16"),
            ("Port", "5433"),
            ("StorageType", "gp3"),
            ("VpcSecurityGroupIds", "[\"sg-primary\"]"),
            ("vpcId", "vpc-primary"),
        ]
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
    }

    fn made(is_cluster: bool, key: Option<&str>) -> BTreeMap<String, String> {
        let groups = ["sg-1".to_owned(), "sg-2".to_owned()];
        let place = DatabasePlace {
            identifier: "orders",
            subnet_group: "recovery",
            security_groups: &groups,
            parameter_group: Some("tuned"),
            option_group: None,
            is_cluster,
        };
        let facts = MetadataFacts {
            place: crate::plan::restore_metadata::Place::Database(place),
            stored: &stored_of_primary(),
            key,
            token: "",
        };
        metadata(facts, place)
    }

    #[test]
    fn leaves_out_what_the_engine_does_not_accept() {
        let keys = |engine: &str| {
            let mut stored = stored_of_primary();
            stored.insert("Engine".to_owned(), engine.to_owned());
            stored.insert("DBName".to_owned(), "shop".to_owned());
            stored.insert("AllocatedStorage".to_owned(), "100".to_owned());
            let groups = ["sg-1".to_owned()];
            let place = DatabasePlace {
                identifier: "orders",
                subnet_group: "recovery",
                security_groups: &groups,
                parameter_group: None,
                option_group: None,
                is_cluster: false,
            };
            let facts = MetadataFacts {
                place: crate::plan::restore_metadata::Place::Database(place),
                stored: &stored,
                key: None,
                token: "",
            };
            let made = metadata(facts, place);
            ["DBName", "AllocatedStorage"].map(|key| made.contains_key(key))
        };
        assert_eq!(keys("postgres"), [false, true]);
        assert_eq!(keys("mysql"), [false, true]);
        assert_eq!(keys("oracle-ee"), [true, true]);
        assert_eq!(keys("sqlserver-se"), [true, false]);
    }

    #[test]
    fn keeps_settings_and_replaces_what_names_the_primary_region() {
        let of = |pairs: &[(&str, &str)]| tags(pairs);
        assert_eq!(
            made(false, Some("arn:aws:kms:us-west-2:1:key/2")),
            of(&[
                ("DBInstanceClass", "db.m6g.large"),
                ("DBInstanceIdentifier", "orders"),
                ("DBParameterGroupName", "tuned"),
                ("DBSubnetGroupName", "recovery"),
                ("MultiAZ", "true"),
                ("Port", "5433"),
                ("StorageType", "gp3"),
                ("VpcSecurityGroupIds", "[\"sg-1\",\"sg-2\"]"),
            ])
        );
        assert_eq!(
            made(true, Some("arn:aws:kms:us-west-2:1:key/2")),
            of(&[
                ("DBClusterIdentifier", "orders"),
                ("DBClusterParameterGroupName", "tuned"),
                ("DBSubnetGroupName", "recovery"),
                ("Engine", "postgres"),
                ("EngineVersion", "16.4"),
                ("KmsKeyId", "arn:aws:kms:us-west-2:1:key/2"),
                ("Port", "5433"),
                ("VpcSecurityGroupIds", "[\"sg-1\",\"sg-2\"]"),
            ])
        );
        for metadata in [made(false, None), made(true, None)] {
            let text = format!("{metadata:?}");
            assert!(
                !text.contains("primary") && !text.contains("us-east-1"),
                "{text}"
            );
        }
    }
}
