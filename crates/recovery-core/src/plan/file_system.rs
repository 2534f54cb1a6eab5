//! File systems of EFS and FSx: their targets, and the metadata of their restores.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::aws::arn::Arn;
use crate::aws::ec2::one_per_zone;
use crate::aws::file_system::FileSystemId;
use crate::plan::item::FileSystemTarget;
use crate::plan::restore_metadata::{FileSystemPlace, FsxPlace, MetadataFacts, kept, stored};
use crate::reference::{self, Reference};
use crate::tags::{
    DIRECTORY, LOGICAL_ID, SECURITY_GROUPS, STACK, SUBNETS, TagRefusal, Tags, UnusableTag,
    mount_path, stack_of, value,
};
use crate::text::shown;

/// The target according to the tags of a recovery point of `resource`, and the optional tags that cannot be
/// used.
///
/// # Errors
/// A [`TagRefusal`] if a required tag is missing or cannot be used.
pub(crate) fn target(
    tags: &Tags,
    resource: &Arn,
) -> Result<(FileSystemTarget, Vec<UnusableTag>), TagRefusal> {
    let is_volume = matches!(FileSystemId::of(resource), Some(FileSystemId::Volume(_)));
    let invalid =
        |tag, text: &str| TagRefusal::Invalid(UnusableTag::new(tag, text, reference::EXPECTED));
    let one = |tag| {
        value(tags, tag)
            .map(|text| Reference::parse(text).ok_or_else(|| invalid(tag, text)))
            .transpose()
    };
    let several = |tag| {
        let text = value(tags, tag).unwrap_or_default();
        Reference::parse_all(text).map_err(|part| invalid(tag, part))
    };
    // The storage virtual machine has the network of a volume.
    let (subnets, security_groups, directory) = match is_volume {
        true => (Vec::new(), Vec::new(), None),
        false => (
            several(SUBNETS)?,
            several(SECURITY_GROUPS)?,
            one(DIRECTORY)?,
        ),
    };
    if security_groups.is_empty() && !is_volume {
        return Err(TagRefusal::Missing {
            tag: SECURITY_GROUPS,
        });
    }
    let mut unusable = Vec::new();
    let mount = mount_path(tags).unwrap_or_else(|tag| {
        unusable.push(tag);
        None
    });
    // A volume names its storage virtual machine, then the instance or Auto Scaling group that mounts it.
    let most = if is_volume { 2 } else { 1 };
    let named = several(LOGICAL_ID).and_then(|named| match named.len() > most {
        true => {
            let text = value(tags, LOGICAL_ID).unwrap_or_default();
            Err(invalid(LOGICAL_ID, text))
        }
        false => Ok(named),
    });
    let named = match named {
        // Without it, a file system is only not mounted.
        Err(TagRefusal::Invalid(tag)) if !is_volume => {
            unusable.push(tag);
            Vec::new()
        }
        named => named?,
    };
    let mut named = named.into_iter();
    let storage_machine = is_volume.then(|| named.next()).flatten();
    let server = named.next();
    let references = subnets
        .iter()
        .chain(&security_groups)
        .chain(&directory)
        .chain(&storage_machine)
        .chain(&server);
    let stack = stack_of(value(tags, STACK), references)?;
    if stack.is_none() && is_volume && storage_machine.is_none() {
        return Err(TagRefusal::Missing { tag: LOGICAL_ID });
    }
    if stack.is_none() && !is_volume && subnets.is_empty() {
        return Err(TagRefusal::Missing { tag: SUBNETS });
    }
    let text = |reference: Option<Reference>| reference.map(|it| it.to_string());
    let texts = |references: &[Reference]| references.iter().map(ToString::to_string).collect();
    Ok((
        FileSystemTarget {
            stack,
            subnets: texts(&subnets),
            security_groups: texts(&security_groups),
            storage_machine: text(storage_machine),
            directory: text(directory),
            server: text(server),
            mount,
        },
        unusable,
    ))
}

/// Why the metadata of a file system cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystemRefusal {
    /// Neither a configuration of Windows nor one of Lustre or OpenZFS is stored with the recovery point.
    TypeUnknown,
    /// A file system of Windows needs a directory of this Region.
    DirectoryMissing,
    /// The deployment needs subnets in two Availability Zones.
    SubnetsTooFew { deployment: String },
    /// AWS Backup does not restore this deployment.
    Deployment { deployment: String },
}

impl FileSystemRefusal {
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            FileSystemRefusal::TypeUnknown => "file-system-type-unknown",
            FileSystemRefusal::DirectoryMissing => "directory-missing",
            FileSystemRefusal::SubnetsTooFew { .. } => "subnets-too-few",
            FileSystemRefusal::Deployment { .. } => "deployment-not-restored",
        }
    }

    pub(crate) fn remedy(&self) -> String {
        const THEN: &str = "Then start a recovery with another name: a redrive keeps the plan.";
        match self {
            FileSystemRefusal::TypeUnknown | FileSystemRefusal::Deployment { .. } => {
                "Restore it yourself in the console of FSx, from the backup with this recovery point's ARN.".to_owned()
            }
            FileSystemRefusal::DirectoryMissing => format!(
                "Create an AWS Managed Microsoft AD in this Region, and set the tag {DIRECTORY} of the recovery point, and of the protected resource for later recovery points, to its logical id or id. {THEN} If the file system joins a domain that you manage yourself, restore it yourself."
            ),
            FileSystemRefusal::SubnetsTooFew { .. } => format!(
                "Name subnets in two Availability Zones: correct the tag {SUBNETS} of the recovery point, and of the protected resource for later recovery points. {THEN}"
            ),
        }
    }
}

impl fmt::Display for FileSystemRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileSystemRefusal::TypeUnknown => f.write_str(
                "the recovery point does not say whether it is of Lustre, OpenZFS or Windows File Server",
            ),
            FileSystemRefusal::DirectoryMissing => write!(
                f,
                "a file system of FSx for Windows File Server joins a directory, and the recovery point has no tag {DIRECTORY} that names one of this Region"
            ),
            FileSystemRefusal::SubnetsTooFew { deployment } => write!(
                f,
                "a file system with the deployment {} needs subnets in two Availability Zones",
                shown(deployment)
            ),
            FileSystemRefusal::Deployment { deployment } => write!(
                f,
                "AWS Backup does not restore OpenZFS with the deployment {}",
                shown(deployment)
            ),
        }
    }
}

/// The metadata for `StartRestoreJob` of a file system of EFS. It is always a new, encrypted, regional file
/// system: the Availability Zone of a One Zone file system is one of the primary Region. Without the creation
/// token, the job fails.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-efs.html>.
pub(crate) fn efs_metadata(facts: MetadataFacts<'_>, token: &str) -> BTreeMap<String, String> {
    let mut metadata = kept(facts.stored, &["file-system-id", "PerformanceMode"]);
    if stored(facts.stored, "PerformanceMode").is_none() {
        metadata.insert("PerformanceMode".to_owned(), "generalPurpose".to_owned());
    }
    metadata.insert("newFileSystem".to_owned(), "true".to_owned());
    metadata.insert("CreationToken".to_owned(), token.to_owned());
    metadata.insert("Encrypted".to_owned(), "true".to_owned());
    if let Some(key) = facts.key {
        metadata.insert("KmsKeyId".to_owned(), key.to_owned());
    }
    metadata
}

/// The stored settings that a restored file system of FSx keeps.
const FSX_SETTINGS: &[&str] = &[
    "CopyTagsToBackups",
    "DeploymentType",
    "StorageCapacity",
    "StorageType",
];

/// The configurations, by the type of the file system, and the settings of them that a restore keeps.
const CONFIGURATIONS: [(&str, &[&str]); 3] = [
    (
        "WindowsConfiguration",
        &[
            "CopyTagsToBackups",
            "DeploymentType",
            "DiskIopsConfiguration",
            "ThroughputCapacity",
        ],
    ),
    (
        "LustreConfiguration",
        &[
            "CopyTagsToBackups",
            "DataCompressionType",
            "DeploymentType",
            "DriveCacheType",
            "PerUnitStorageThroughput",
        ],
    ),
    (
        "OpenZFSConfiguration",
        &[
            "CopyTagsToBackups",
            "CopyTagsToVolumes",
            "DeploymentType",
            "DiskIopsConfiguration",
            "ThroughputCapacity",
        ],
    ),
];

/// The metadata for `StartRestoreJob` of a file system of FSx for Lustre, OpenZFS or Windows File Server.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/restoring-fsx.html>.
///
/// # Errors
/// A [`FileSystemRefusal`].
pub(crate) fn fsx_metadata(
    facts: MetadataFacts<'_>,
    place: FsxPlace<'_>,
) -> Result<BTreeMap<String, String>, FileSystemRefusal> {
    let (name, text, settings) = CONFIGURATIONS
        .iter()
        .find_map(|(name, settings)| Some((*name, stored(facts.stored, name)?, *settings)))
        .ok_or(FileSystemRefusal::TypeUnknown)?;
    let all = object(text).ok_or(FileSystemRefusal::TypeUnknown)?;
    let mut metadata = kept(facts.stored, FSX_SETTINGS);
    let deployment = member(&all, "DeploymentType")
        .and_then(Value::as_str)
        .or_else(|| stored(facts.stored, "DeploymentType"))
        .unwrap_or_default()
        .to_owned();
    let mut configuration = kept_members(&all, settings);
    let zones = one_per_zone(place.subnets);
    let subnets: Vec<&str> = if deployment.starts_with("MULTI_AZ") {
        if name == "OpenZFSConfiguration" {
            return Err(FileSystemRefusal::Deployment { deployment });
        }
        let [first, second, ..] = zones.as_slice() else {
            return Err(FileSystemRefusal::SubnetsTooFew { deployment });
        };
        set(
            &mut configuration,
            &all,
            "PreferredSubnetId",
            json!(first.id),
        );
        vec![&first.id, &second.id]
    } else {
        let first = zones.first();
        first.into_iter().map(|subnet| subnet.id.as_str()).collect()
    };
    if name == "WindowsConfiguration" {
        let directory = place.directory.ok_or(FileSystemRefusal::DirectoryMissing)?;
        set(
            &mut configuration,
            &all,
            "ActiveDirectoryId",
            json!(directory),
        );
    }
    metadata.insert("SubnetIds".to_owned(), json!(subnets).to_string());
    metadata.insert(
        "SecurityGroupIds".to_owned(),
        json!(place.security_groups).to_string(),
    );
    metadata.insert(name.to_owned(), Value::Object(configuration).to_string());
    if let Some(key) = facts.key {
        metadata.insert("KmsKeyId".to_owned(), key.to_owned());
    }
    Ok(metadata)
}

/// The metadata for `StartRestoreJob` of a volume of FSx for ONTAP, into the storage virtual machine `machine`
/// of this Region. Without a stored name, it is named by `token`.
pub(crate) fn volume_metadata(
    facts: MetadataFacts<'_>,
    machine: &str,
    token: &str,
) -> BTreeMap<String, String> {
    const SETTINGS: &[&str] = &[
        "JunctionPath",
        "SecurityStyle",
        "SizeInBytes",
        "SizeInMegabytes",
        "StorageEfficiencyEnabled",
        "TieringPolicy",
    ];
    let all = stored(facts.stored, "OntapConfiguration")
        .and_then(object)
        .unwrap_or_default();
    let mut configuration = kept_members(&all, SETTINGS);
    set(
        &mut configuration,
        &all,
        "StorageVirtualMachineId",
        json!(machine),
    );
    let name = match stored(facts.stored, "Name") {
        Some(name) => name.to_owned(),
        None => format!("restored_{}", token.get(..12).unwrap_or(token)),
    };
    BTreeMap::from([
        ("Name".to_owned(), name),
        (
            "OntapConfiguration".to_owned(),
            Value::Object(configuration).to_string(),
        ),
    ])
}

/// Whether a restore job with this metadata restored a whole file system to where this one is restored to.
/// `tokens` are the creation tokens that it may have; empty for any.
pub(crate) fn is_same_place(
    metadata: &BTreeMap<String, String>,
    place: &FileSystemPlace<'_>,
    tokens: &[String],
) -> bool {
    match place {
        FileSystemPlace::Efs => {
            let token = stored(metadata, "CreationToken").unwrap_or_default();
            stored(metadata, "newFileSystem") == Some("true")
                && stored(metadata, "ItemsToRestore").is_none()
                && (tokens.is_empty() || tokens.iter().any(|own| own == token))
        }
        FileSystemPlace::Fsx(place) => {
            let subnets: Vec<String> = stored(metadata, "SubnetIds")
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default();
            let is_ours = |id: &String| place.subnets.iter().any(|subnet| subnet.id == *id);
            !subnets.is_empty() && subnets.iter().all(is_ours)
        }
        FileSystemPlace::Volume { machine } => stored(metadata, "OntapConfiguration")
            .and_then(object)
            .is_some_and(|all| {
                member(&all, "StorageVirtualMachineId").and_then(Value::as_str) == Some(*machine)
            }),
    }
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

fn member<'a>(all: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    all.iter()
        .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null())
        .map(|(_, value)| value)
}

/// The members of these names, as they are spelled.
fn kept_members(all: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let is_kept = |key: &str| names.iter().any(|name| name.eq_ignore_ascii_case(key));
    all.iter()
        .filter(|(key, value)| is_kept(key) && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Sets a member, spelled as the stored configuration spells its members: the documentation of AWS Backup has
/// both Pascal case and camel case.
fn set(configuration: &mut Map<String, Value>, all: &Map<String, Value>, name: &str, value: Value) {
    let is_camel = all
        .keys()
        .any(|key| key.starts_with(|c: char| c.is_ascii_lowercase()));
    let name = match is_camel {
        true => name[..1].to_ascii_lowercase() + &name[1..],
        false => name.to_owned(),
    };
    configuration.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::ec2::Subnet;
    use crate::plan::restore_metadata::Place;

    const EFS: &str = "arn:aws:elasticfilesystem:us-east-1:1:file-system/fs-1";
    const LUSTRE: &str = "arn:aws:fsx:us-east-1:1:file-system/fs-2";
    const VOLUME: &str = "arn:aws:fsx:us-east-1:1:volume/fs-3/fsvol-3";

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs
            .iter()
            .map(|(key, value)| (format!("recovery:{key}"), (*value).to_owned()))
            .collect()
    }

    fn read(
        resource: &str,
        pairs: &[(&str, &str)],
    ) -> Result<(FileSystemTarget, Vec<UnusableTag>), TagRefusal> {
        target(&tags(pairs), &Arn::parse(resource).unwrap())
    }

    #[test]
    fn reads_the_target_from_tags() {
        let groups = ("security-groups", "Nfs sg-0a1b2c3d");
        let (minimal, unusable) = read(EFS, &[("stack", "shop"), groups]).unwrap();
        assert_eq!(unusable, []);
        assert_eq!(
            minimal,
            FileSystemTarget {
                stack: Some("shop".to_owned()),
                security_groups: vec!["Nfs".to_owned(), "sg-0a1b2c3d".to_owned()],
                ..FileSystemTarget::default()
            }
        );
        let (full, _) = read(
            LUSTRE,
            &[
                ("stack", "shop"),
                groups,
                ("subnets", "A B"),
                ("directory", "Ad"),
                ("logical-id", "asg:web"),
                ("mount", "/shared"),
            ],
        )
        .unwrap();
        assert_eq!(full.subnets, ["A", "B"]);
        assert_eq!(full.directory.as_deref(), Some("Ad"));
        assert_eq!(full.server.as_deref(), Some("asg:web"));
        assert_eq!(full.mount.as_deref(), Some("/shared"));
        // Without a stack, ids name the infrastructure.
        let ids = [
            ("security-groups", "sg-0a1b2c3d"),
            ("subnets", "subnet-0a1b2c3d"),
        ];
        assert_eq!(read(EFS, &ids).unwrap().0.stack, None);
        let (volume, _) = read(VOLUME, &[("logical-id", "svm-0a1b2c3d")]).unwrap();
        assert_eq!(volume.storage_machine.as_deref(), Some("svm-0a1b2c3d"));
        assert_eq!(volume.server, None);
        let tags = [
            ("stack", "shop"),
            ("logical-id", "Svm Web"),
            ("mount", "/orders"),
        ];
        let (volume, _) = read(VOLUME, &tags).unwrap();
        assert_eq!(volume.storage_machine.as_deref(), Some("Svm"));
        assert_eq!(volume.server.as_deref(), Some("Web"));
        assert_eq!(volume.security_groups, Vec::<String>::new());
    }

    #[test]
    fn names_the_tag_that_is_missing_or_invalid() {
        let check = |resource: &str, pairs: &[(&str, &str)], tag: &str| {
            let refusal = read(resource, pairs).unwrap_err().to_string();
            assert!(refusal.contains(tag), "{refusal}");
        };
        let group = ("security-groups", "sg-0a1b2c3d");
        check(EFS, &[("stack", "shop")], SECURITY_GROUPS);
        check(EFS, &[group], SUBNETS);
        check(
            EFS,
            &[("stack", "shop"), group, ("subnets", "a b!")],
            SUBNETS,
        );
        check(EFS, &[("security-groups", "Nfs"), ("subnets", "A")], STACK);
        check(
            LUSTRE,
            &[("stack", "shop"), group, ("directory", "no id!")],
            DIRECTORY,
        );
        check(VOLUME, &[], LOGICAL_ID);
        check(
            VOLUME,
            &[("stack", "s"), ("logical-id", "a b c")],
            LOGICAL_ID,
        );
    }

    #[test]
    fn restores_despite_an_unusable_mount() {
        let pairs = [
            ("stack", "shop"),
            ("security-groups", "Nfs"),
            ("mount", "data"),
            ("logical-id", "no id!"),
        ];
        let (target, unusable) = read(EFS, &pairs).unwrap();
        assert_eq!((target.mount, target.server), (None, None));
        let tags: Vec<&str> = unusable.iter().map(|it| it.tag).collect();
        assert_eq!(tags, [crate::tags::MOUNT, LOGICAL_ID]);
    }

    fn subnet(id: &str, zone: &str) -> Subnet {
        Subnet {
            id: id.to_owned(),
            zone: zone.to_owned(),
            vpc: "vpc-1".to_owned(),
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    const KEY: &str = "arn:aws:kms:us-west-2:1:key/2";

    /// What is stored with a copy, of the primary Region, with a configuration.
    fn of_primary(name: &str, configuration: &str) -> BTreeMap<String, String> {
        map(&[
            ("SubnetIds", r#"["subnet-primary"]"#),
            ("SecurityGroupIds", r#"["sg-primary"]"#),
            ("KmsKeyId", "arn:aws:kms:us-east-1:1:key/1"),
            ("StorageCapacity", "1200"),
            ("StorageType", "SSD"),
            (name, configuration),
        ])
    }

    fn facts<'a>(stored: &'a BTreeMap<String, String>, key: Option<&'a str>) -> MetadataFacts<'a> {
        MetadataFacts {
            place: Place::FileSystem(FileSystemPlace::Efs),
            stored,
            key,
            token: "token",
        }
    }

    #[test]
    fn efs_is_a_new_encrypted_file_system() {
        let stored = map(&[
            ("file-system-id", "fs-1"),
            ("KmsKeyId", "arn:aws:kms:us-east-1:1:key/1"),
            ("Encrypted", "false"),
            ("availabilityZoneName", "us-east-1a"),
            ("singleAzFilesystem", "true"),
            ("PerformanceMode", "maxIO"),
        ]);
        assert_eq!(
            efs_metadata(facts(&stored, Some(KEY)), "token"),
            map(&[
                ("CreationToken", "token"),
                ("Encrypted", "true"),
                ("KmsKeyId", KEY),
                ("PerformanceMode", "maxIO"),
                ("file-system-id", "fs-1"),
                ("newFileSystem", "true"),
            ])
        );
        let made = efs_metadata(facts(&BTreeMap::new(), None), "token");
        assert_eq!(made["PerformanceMode"], "generalPurpose");
        assert_eq!(made.get("KmsKeyId"), None);
    }

    #[test]
    fn fsx_keeps_settings_and_replaces_what_names_the_primary_region() {
        let subnets = [subnet("subnet-a", "a"), subnet("subnet-b", "b")];
        let groups = ["sg-1".to_owned()];
        let made = |stored: &BTreeMap<String, String>, directory, subnets| {
            let place = FsxPlace {
                subnets,
                security_groups: &groups,
                directory,
            };
            let made = fsx_metadata(facts(stored, Some(KEY)), place);
            if let Ok(made) = &made {
                let text = format!("{made:?}");
                assert!(
                    !text.contains("primary") && !text.contains("us-east-1"),
                    "{text}"
                );
                assert_eq!(made["SecurityGroupIds"], r#"["sg-1"]"#);
            }
            made
        };
        let lustre = of_primary(
            "LustreConfiguration",
            r#"{"DeploymentType":"PERSISTENT_2","PerUnitStorageThroughput":125,"MountName":"primary","DataRepositoryConfiguration":null}"#,
        );
        let restored = made(&lustre, None, &subnets).unwrap();
        assert_eq!(restored["SubnetIds"], r#"["subnet-a"]"#);
        assert_eq!(
            restored["LustreConfiguration"],
            r#"{"DeploymentType":"PERSISTENT_2","PerUnitStorageThroughput":125}"#
        );
        assert_eq!(restored["KmsKeyId"], KEY);
        let windows = of_primary(
            "WindowsConfiguration",
            r#"{"ActiveDirectoryId":"d-primary","DeploymentType":"MULTI_AZ_1","PreferredSubnetId":"subnet-primary","ThroughputCapacity":32}"#,
        );
        let restored = made(&windows, Some("d-1"), &subnets).unwrap();
        assert_eq!(restored["SubnetIds"], r#"["subnet-a","subnet-b"]"#);
        assert_eq!(
            restored["WindowsConfiguration"],
            r#"{"ActiveDirectoryId":"d-1","DeploymentType":"MULTI_AZ_1","PreferredSubnetId":"subnet-a","ThroughputCapacity":32}"#
        );
        let reason = |made: Result<_, FileSystemRefusal>| {
            let refusal = made.unwrap_err();
            assert!(!refusal.remedy().is_empty() && !refusal.to_string().is_empty());
            refusal.reason()
        };
        assert_eq!(reason(made(&windows, None, &subnets)), "directory-missing");
        let one_zone = [subnet("subnet-a", "a"), subnet("subnet-c", "a")];
        assert_eq!(
            reason(made(&windows, Some("d-1"), &one_zone)),
            "subnets-too-few"
        );
        let zfs = of_primary("OpenZFSConfiguration", r#"{"deploymentType":"MULTI_AZ_1"}"#);
        assert_eq!(
            reason(made(&zfs, None, &subnets)),
            "deployment-not-restored"
        );
        assert_eq!(
            reason(made(&map(&[("StorageCapacity", "1")]), None, &subnets)),
            "file-system-type-unknown"
        );
    }

    #[test]
    fn ontap_volumes_go_into_the_machine_of_this_region() {
        let stored = of_primary(
            "OntapConfiguration",
            r#"{"junctionPath":"/orders","sizeInMegabytes":"1024","storageVirtualMachineId":"svm-primary"}"#,
        );
        let made = volume_metadata(facts(&stored, Some(KEY)), "svm-1", "0123456789abcdef");
        assert_eq!(
            made,
            map(&[
                ("Name", "restored_0123456789ab"),
                (
                    "OntapConfiguration",
                    r#"{"junctionPath":"/orders","sizeInMegabytes":"1024","storageVirtualMachineId":"svm-1"}"#
                ),
            ])
        );
    }

    #[test]
    fn only_a_job_to_the_same_place_can_be_used() {
        let subnets = [subnet("subnet-a", "a")];
        let fsx = FileSystemPlace::Fsx(FsxPlace {
            subnets: &subnets,
            security_groups: &[],
            directory: None,
        });
        let volume = FileSystemPlace::Volume { machine: "svm-1" };
        let efs = FileSystemPlace::Efs;
        let check = |place: &FileSystemPlace<'_>, pairs: &[(&str, &str)], tokens: &[&str]| {
            let tokens: Vec<String> = tokens.iter().map(|it| (*it).to_owned()).collect();
            is_same_place(&map(pairs), place, &tokens)
        };
        let new = ("newFileSystem", "true");
        assert!(check(&efs, &[new], &[]));
        assert!(!check(&efs, &[], &[]));
        assert!(!check(&efs, &[new, ("itemsToRestore", "[\"/a\"]")], &[]));
        assert!(check(&efs, &[new, ("CreationToken", "t")], &["s", "t"]));
        assert!(!check(&efs, &[new, ("CreationToken", "x")], &["t"]));
        assert!(check(&fsx, &[("SubnetIds", "[\"subnet-a\"]")], &[]));
        assert!(!check(&fsx, &[("SubnetIds", "[\"subnet-x\"]")], &[]));
        assert!(!check(&fsx, &[], &[]));
        let ontap = |id: &str| format!(r#"{{"storageVirtualMachineId":"{id}"}}"#);
        assert!(check(
            &volume,
            &[("OntapConfiguration", &ontap("svm-1"))],
            &[]
        ));
        assert!(!check(
            &volume,
            &[("OntapConfiguration", &ontap("svm-2"))],
            &[]
        ));
    }
}
