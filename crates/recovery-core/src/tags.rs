//! The tags of protected resources and their meaning for a restore.
//!
//! AWS Backup copies the tags of a resource to its recovery points and from there to their
//! cross-Region copies:
//! <https://docs.aws.amazon.com/aws-backup/latest/devguide/tags-on-backups.html>.

use std::collections::BTreeMap;
use std::fmt;

use crate::aws::ec2::{DeviceName, is_root_device};
use crate::integrate::mount::request::is_path;
use crate::reference::{self, Reference, is_logical_id};
use crate::text;

/// The workload that the resource belongs to.
pub const WORKLOAD: &str = "recovery:workload";
/// The CloudFormation stack, in the recovery Region, that owns the target.
pub const STACK: &str = "recovery:stack";
/// The logical id of the target in that stack.
pub const LOGICAL_ID: &str = "recovery:logical-id";
/// The device name to attach as, such as `/dev/sdf`.
pub const DEVICE: &str = "recovery:device";
/// Where the guest mounts the volume.
pub const MOUNT: &str = "recovery:mount";
/// The wave in which a recovery restores it: 0 to 9, the lowest first.
pub const WAVE: &str = "recovery:wave";
/// How many versions of each object of a bucket are restored: a number, or `all`.
pub const VERSIONS: &str = "recovery:versions";
/// The prefixes of the objects of a bucket that are restored.
pub const PREFIXES: &str = "recovery:prefixes";
/// The security groups of the restored resource: references.
pub const SECURITY_GROUPS: &str = "recovery:security-groups";
/// The target groups that a restored instance is registered with: references.
pub const TARGET_GROUPS: &str = "recovery:target-groups";
/// The subnets of a file system: references.
pub const SUBNETS: &str = "recovery:subnets";
/// The directory that a file system of FSx for Windows File Server joins: a reference.
pub const DIRECTORY: &str = "recovery:directory";
/// The parameter group of a database or cluster: a reference.
pub const PARAMETER_GROUP: &str = "recovery:parameter-group";
/// The option group of a database: a reference.
pub const OPTION_GROUP: &str = "recovery:option-group";
/// The name of the restored database, cluster or table. The default is the name of the source.
pub const IDENTIFIER: &str = "recovery:identifier";
/// The instances of a restored cluster: `db.r6g.large x2`, or `db.serverless 0.5-16`.
pub const INSTANCES: &str = "recovery:instances";
/// Settings of a database or cluster that a restore loses.
pub const DATABASE: &str = "recovery:database";
/// Settings of a table that a restore loses.
pub const TABLE: &str = "recovery:table";
/// The prefix of the parameters in which the addresses of the restored resource are published.
pub const PUBLISH: &str = "recovery:publish";
/// The tag of everything that a drill makes. Its value is the name of the drill.
pub const DRILL: &str = "recovery:drill";
/// CloudFormation's own tags may or may not reach a recovery point. They are used only if the recovery point has
/// neither [`STACK`] nor [`LOGICAL_ID`].
pub const CLOUDFORMATION_STACK: &str = "aws:cloudformation:stack-name";
/// See [`CLOUDFORMATION_STACK`].
pub const CLOUDFORMATION_LOGICAL_ID: &str = "aws:cloudformation:logical-id";
/// The tag of volumes of a restore test. AWS Backup deletes them after the test.
/// <https://docs.aws.amazon.com/aws-backup/latest/devguide/restore-testing.html>
pub const RESTORE_TEST: &str = "awsbackup-restore-test";

/// The tag with which AWS Backup names the resource of a snapshot or an image.
pub const SOURCE: &str = "aws:backup:source-resource";

/// The tags that a plan reads.
pub const PLANNED: [&str; 11] = [
    WORKLOAD,
    STACK,
    LOGICAL_ID,
    DEVICE,
    MOUNT,
    WAVE,
    // Of instances.
    SECURITY_GROUPS,
    TARGET_GROUPS,
    PUBLISH,
    CLOUDFORMATION_STACK,
    CLOUDFORMATION_LOGICAL_ID,
];

pub type Tags = BTreeMap<String, String>;

/// The target of a restored volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationTarget {
    /// `None` if the reference is not resolved in a stack.
    pub stack: Option<String>,
    /// An instance or an Auto Scaling group.
    pub logical_id: Reference,
    /// The device name. `None`: the first free one.
    pub device: Option<DeviceName>,
    /// The mount point in the guest operating system.
    pub mount: Option<String>,
    /// Optional tags whose values cannot be used. The volume is attached without them.
    pub unusable_tags: Vec<UnusableTag>,
    /// Whether stack and logical id come from CloudFormation's own tags. They may be those of the volume itself.
    pub assumed: bool,
}

/// The value of a tag. An empty value counts as absent.
pub(crate) fn value<'a>(tags: &'a Tags, key: &str) -> Option<&'a str> {
    tags.get(key)
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
}

pub fn workload(tags: &Tags) -> Option<&str> {
    value(tags, WORKLOAD)
}

/// The logical id of the protected resource itself, or of the group that launched it, if CloudFormation's tags reached the recovery point.
pub fn own_logical_id(tags: &Tags) -> Option<&str> {
    value(tags, CLOUDFORMATION_LOGICAL_ID).filter(|id| is_logical_id(id))
}

/// The tags that name a target. All are taken from the same recovery point.
const TARGET: [&str; 10] = [
    STACK,
    LOGICAL_ID,
    SECURITY_GROUPS,
    SUBNETS,
    IDENTIFIER,
    INSTANCES,
    TABLE,
    TARGET_GROUPS,
    VERSIONS,
    PREFIXES,
];

/// The tags of a recovery point, completed with those of `older`, another recovery point of the same resource. The tags
/// that name a target are always taken from the same one of the two.
#[must_use]
pub fn supplemented(own: &Tags, older: &Tags) -> Tags {
    let names_target = TARGET.iter().any(|key| value(own, key).is_some());
    let is_taken = |key: &str| {
        if names_target {
            return [WORKLOAD, WAVE].contains(&key);
        }
        key.starts_with("recovery:")
            || [CLOUDFORMATION_STACK, CLOUDFORMATION_LOGICAL_ID].contains(&key)
    };
    let mut tags = own.clone();
    for key in older.keys().filter(|key| is_taken(key)) {
        if let Some(taken) = value(older, key).filter(|_| value(own, key).is_none()) {
            tags.insert(key.clone(), taken.to_owned());
        }
    }
    tags
}

/// A tag with a value that cannot be used. If the tag is optional, it never prevents a restore or an attachment: its
/// default applies, and an operator does the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableTag {
    pub tag: &'static str,
    pub value: String,
    /// What the value must be.
    pub expected: &'static str,
}

impl UnusableTag {
    pub(crate) fn new(tag: &'static str, value: &str, expected: &'static str) -> UnusableTag {
        UnusableTag {
            tag,
            value: text::shown(value),
            expected,
        }
    }

    /// `recovery:device` with a device name that EC2 refused.
    pub(crate) fn refused_device(device: &DeviceName) -> UnusableTag {
        UnusableTag::new(
            DEVICE,
            device.as_str(),
            "a device name that EC2 accepts for this instance",
        )
    }

    /// The instruction to the operator.
    pub fn remedy(&self) -> String {
        match self.tag {
            MOUNT => "Mount it yourself.".to_owned(),
            PUBLISH => "Publish the address yourself, or configure the application with it.".to_owned(),
            DATABASE => "Apply the setting yourself.".to_owned(),
            VERSIONS => "Only the newest version of each object is restored. To restore more, correct the tag of the recovery point, and plan again.".to_owned(),
            PREFIXES => "All objects are restored.".to_owned(),
            TARGET_GROUPS => "Register the instance with its target groups yourself.".to_owned(),
            PARAMETER_GROUP | OPTION_GROUP => {
                "If the database needs another group than the default, modify it with the right group and reboot it.".to_owned()
            }
            DEVICE => {
                "If the guest operating system needs this device name, detach the volume and attach it yourself with the right name."
                    .to_owned()
            }
            _ => "No action needed: its default applies.".to_owned(),
        }
    }

    /// What the OpsItem of a restored resource says about it.
    pub(crate) fn left_to_do(&self) -> String {
        format!(
            "An optional tag could not be used: {self}. {} For later recoveries, correct the tag of the protected resource in the primary Region.",
            self.remedy()
        )
    }
}

impl fmt::Display for UnusableTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnusableTag {
            tag,
            value,
            expected,
        } = self;
        write!(
            f,
            "the tag {tag} of the recovery point is {}, but must be {expected}",
            text::code(value)
        )
    }
}

/// Why the tags of a recovery point do not name a usable target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagRefusal {
    /// A tag that its target needs is missing.
    Missing {
        /// The tag that is missing.
        tag: &'static str,
    },
    /// A required tag has a value that cannot be used.
    Invalid(UnusableTag),
    /// The volume is a root volume: the instance in the recovery Region has its own.
    RootVolume {
        /// The device name of the tag.
        device: String,
    },
}

impl TagRefusal {
    /// The reason code, in kebab case.
    pub fn reason(&self) -> &'static str {
        match self {
            TagRefusal::Missing { .. } => "tag-missing",
            TagRefusal::Invalid(_) => "tag-invalid",
            TagRefusal::RootVolume { .. } => "root-volume",
        }
    }

    /// The instruction to the operator. `by_hand` is the instruction to integrate the resource manually, such as
    /// `Attach the volume`.
    pub fn remedy(&self, by_hand: &str) -> String {
        match self {
            TagRefusal::Missing { tag } => format!(
                "{by_hand} yourself. For later recoveries, add the tag {tag} to the protected resource in the primary Region."
            ),
            TagRefusal::Invalid(UnusableTag { tag, .. }) => format!(
                "{by_hand} yourself. For later recoveries, correct the tag {tag} of the protected resource in the primary Region."
            ),
            TagRefusal::RootVolume { .. } => "The AMI contains the root volume of the instance. Remove the recovery: tags from the root volume in the primary Region, and store its data on a separate volume. If you need a file of it now, attach a restored volume yourself with another device name, and do not reboot the instance while it is attached.".to_owned(),
        }
    }
}

impl fmt::Display for TagRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagRefusal::Missing { tag } => {
                write!(f, "the recovery point lacks the tag {tag}")
            }
            TagRefusal::Invalid(unusable) => unusable.fmt(f),
            TagRefusal::RootVolume { device } => write!(
                f,
                "the tag {DEVICE} is {}, the device name of a root volume, which is not restored onto another instance",
                text::code(device)
            ),
        }
    }
}

/// The target according to the tags of a recovery point; `None` if they do not name one.
///
/// # Errors
/// A [`TagRefusal`] if stack or logical id is missing or invalid. An invalid value of another tag is not a refusal: see
/// [`IntegrationTarget::unusable_tags`].
pub fn integration_target(tags: &Tags) -> Result<Option<IntegrationTarget>, TagRefusal> {
    let value = |key| value(tags, key);
    let (stack, logical_id, assumed) = match (value(STACK), value(LOGICAL_ID)) {
        (stack, Some(logical_id)) => (stack, logical_id, false),
        (None, None) => match (
            value(CLOUDFORMATION_STACK),
            value(CLOUDFORMATION_LOGICAL_ID),
        ) {
            (Some(stack), Some(logical_id)) => (Some(stack), logical_id, true),
            _ => return Ok(None),
        },
        (Some(_), None) => return Err(TagRefusal::Missing { tag: LOGICAL_ID }),
    };
    let Some(logical_id) = Reference::parse(logical_id) else {
        return Err(TagRefusal::Invalid(UnusableTag::new(
            LOGICAL_ID,
            logical_id,
            reference::EXPECTED,
        )));
    };
    let stack = stack_of(stack, [&logical_id])?;
    if let Some(device) = value(DEVICE).filter(|device| is_root_device(device)) {
        return Err(TagRefusal::RootVolume {
            device: device.to_owned(),
        });
    }
    let mut unusable_tags = Vec::new();
    let device = value(DEVICE).and_then(|device| {
        let name = DeviceName::parse(device);
        if name.is_none() {
            unusable_tags.push(UnusableTag::new(
                DEVICE,
                device,
                "a device name for data volumes: /dev/sdb to /dev/sdz, /dev/xvdb to /dev/xvdz or /dev/xvdaa to /dev/xvddz",
            ));
        }
        name
    });
    let mount = mount_path(tags).unwrap_or_else(|unusable| {
        unusable_tags.push(unusable);
        None
    });
    Ok(Some(IntegrationTarget {
        stack,
        logical_id,
        device,
        mount,
        unusable_tags,
        assumed,
    }))
}

/// Where the guest mounts the resource.
///
/// # Errors
/// An [`UnusableTag`] if the value is not a path.
pub(crate) fn mount_path(tags: &Tags) -> Result<Option<String>, UnusableTag> {
    let Some(mount) = value(tags, MOUNT) else {
        return Ok(None);
    };
    let path = mount.trim_end_matches('/');
    if is_path(path) {
        return Ok(Some(path.to_owned()));
    }
    Err(UnusableTag::new(
        MOUNT,
        mount,
        "an absolute path below /, or a drive letter or folder such as D:/orders, of letters, digits and - _ . @ + = and without the parts . and ..",
    ))
}

/// The stack that a tag names, if references are resolved in it.
///
/// # Errors
/// A [`TagRefusal`] if the value is not the name of a stack, or a reference needs one.
pub(crate) fn stack_of<'a>(
    stack: Option<&str>,
    references: impl IntoIterator<Item = &'a Reference>,
) -> Result<Option<String>, TagRefusal> {
    match stack {
        Some(stack) if is_stack_name(stack) => Ok(Some(stack.to_owned())),
        Some(stack) => Err(TagRefusal::Invalid(UnusableTag::new(
            STACK,
            stack,
            "the name of a CloudFormation stack: at most 128 letters, digits and hyphens, beginning with a letter",
        ))),
        None if references.into_iter().any(Reference::needs_stack) => {
            Err(TagRefusal::Missing { tag: STACK })
        }
        None => Ok(None),
    }
}

/// The wave of a protected resource. The default is 0.
///
/// # Errors
/// An [`UnusableTag`] if the value is not a wave.
pub fn wave(tags: &Tags) -> Result<u8, UnusableTag> {
    match tags.get(WAVE).map(|value| value.trim()) {
        None | Some("") => Ok(0),
        Some(value) => match value.as_bytes() {
            [digit @ b'0'..=b'9'] => Ok(digit - b'0'),
            _ => Err(UnusableTag::new(WAVE, value, "one digit, 0 to 9")),
        },
    }
}

/// Whether this is a valid name of a CloudFormation stack.
pub(crate) fn is_stack_name(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
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

    fn target(stack: &str, logical_id: &str) -> IntegrationTarget {
        IntegrationTarget {
            stack: Some(stack.to_owned()),
            logical_id: Reference::parse(logical_id).unwrap(),
            device: None,
            mount: None,
            unusable_tags: Vec::new(),
            assumed: false,
        }
    }

    #[test]
    fn reads_the_target_from_tags() {
        let check = |pairs: &[(&str, &str)], expected: Option<IntegrationTarget>| {
            assert_eq!(integration_target(&tags(pairs)), Ok(expected), "{pairs:?}");
        };
        check(&[], None);
        check(&[("Name", "data")], None);
        check(
            &[(STACK, "shop"), (LOGICAL_ID, "Db")],
            Some(target("shop", "Db")),
        );
        // Surrounding spaces are not part of a name.
        check(
            &[(STACK, " shop "), (LOGICAL_ID, "Db ")],
            Some(target("shop", "Db")),
        );
        // CloudFormation's tags are used only if both recovery tags are absent.
        check(
            &[
                (CLOUDFORMATION_STACK, "old"),
                (CLOUDFORMATION_LOGICAL_ID, "Vol"),
            ],
            Some(IntegrationTarget {
                assumed: true,
                ..target("old", "Vol")
            }),
        );
        check(
            &[
                (STACK, "shop"),
                (LOGICAL_ID, "Db"),
                (CLOUDFORMATION_STACK, "old"),
                (CLOUDFORMATION_LOGICAL_ID, "Vol"),
            ],
            Some(target("shop", "Db")),
        );
        check(&[(CLOUDFORMATION_STACK, "old")], None);
        check(
            &[
                (STACK, "shop"),
                (LOGICAL_ID, "Db"),
                (DEVICE, "/dev/sdg"),
                (MOUNT, "/srv/data"),
            ],
            Some(IntegrationTarget {
                device: DeviceName::parse("/dev/sdg"),
                mount: Some("/srv/data".to_owned()),
                ..target("shop", "Db")
            }),
        );
        // An empty tag counts as absent.
        check(&[(STACK, ""), (LOGICAL_ID, " ")], None);
        check(
            &[(STACK, "shop"), (LOGICAL_ID, "Db"), (DEVICE, "")],
            Some(target("shop", "Db")),
        );
    }

    #[test]
    fn wave_is_one_digit_with_default_zero() {
        let check = |value: &str, expected: Option<u8>| {
            assert_eq!(wave(&tags(&[(WAVE, value)])).ok(), expected, "{value:?}");
        };
        check("0", Some(0));
        check(" 9 ", Some(9));
        check("", Some(0));
        for value in ["10", "-1", "first", "0x1", "１"] {
            check(value, None);
        }
        assert_eq!(wave(&Tags::new()), Ok(0));
        let unusable = wave(&tags(&[(WAVE, "10")])).unwrap_err();
        assert!(unusable.to_string().contains(WAVE), "{unusable}");
    }

    #[test]
    fn refuses_invalid_required_tags_by_name() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let refusal = integration_target(&tags(pairs)).unwrap_err();
            assert!(
                refusal.to_string().contains(expected),
                "{pairs:?}: {refusal}"
            );
        };
        check(&[(STACK, "shop")], LOGICAL_ID);
        check(&[(LOGICAL_ID, "Db")], STACK);
        // A missing recovery tag is not replaced by CloudFormation's tag.
        check(
            &[(STACK, "shop"), (CLOUDFORMATION_LOGICAL_ID, "Vol")],
            LOGICAL_ID,
        );
        check(&[(STACK, "9shop"), (LOGICAL_ID, "Db")], STACK);
        check(&[(STACK, "a/b"), (LOGICAL_ID, "Db")], STACK);
        check(&[(STACK, "shop"), (LOGICAL_ID, "D b")], LOGICAL_ID);
        let both = [(STACK, "shop"), (LOGICAL_ID, "Db")];
        for root in ["/dev/sda1", "/dev/sda", "/dev/xvda", "xvda"] {
            check(&[both[0], both[1], (DEVICE, root)], "root volume");
        }
    }

    #[test]
    fn accepts_paths_of_linux_and_windows() {
        for (value, path) in [
            ("/srv/data", "/srv/data"),
            ("/srv/data/", "/srv/data"),
            ("D:", "D:"),
            ("D:/", "D:"),
            ("D:/orders", "D:/orders"),
        ] {
            let tags = tags(&[(STACK, "shop"), (LOGICAL_ID, "Db"), (MOUNT, value)]);
            let target = integration_target(&tags).unwrap().unwrap();
            assert_eq!(target.mount.as_deref(), Some(path));
            assert!(target.unusable_tags.is_empty());
        }
    }

    #[test]
    fn accepts_the_target_despite_an_invalid_optional_tag() {
        for (tag, value) in [
            (DEVICE, "/dev/nvme1n1"),
            (DEVICE, "/dev/xvdzz"),
            (DEVICE, "D:"),
            (MOUNT, "srv"),
            (MOUNT, "/"),
            (MOUNT, "d:"),
            (MOUNT, "/srv/my data"),
            (MOUNT, "/srv/../etc"),
            (MOUNT, "/srv; rm -rf /"),
        ] {
            let read =
                integration_target(&tags(&[(STACK, "shop"), (LOGICAL_ID, "Db"), (tag, value)]));
            let found = read.unwrap().unwrap();
            assert_eq!((&found.device, &found.mount), (&None, &None), "{value}");
            let [unusable] = &*found.unusable_tags else {
                panic!("{value}: {:?}", found.unusable_tags);
            };
            assert_eq!((unusable.tag, unusable.value.as_str()), (tag, value));
            assert!(!unusable.remedy().is_empty());
            assert!(unusable.to_string().contains(tag), "{unusable}");
        }
    }

    #[test]
    fn supplements_tags_from_an_older_point_but_no_partial_target() {
        let older = tags(&[
            (WORKLOAD, "shop"),
            (WAVE, "2"),
            (STACK, "shop"),
            (LOGICAL_ID, "Db"),
            (DEVICE, "/dev/sdg"),
            ("Name", "data"),
        ]);
        let check = |own: &[(&str, &str)], expected: &[(&str, &str)]| {
            assert_eq!(supplemented(&tags(own), &older), tags(expected), "{own:?}");
        };
        let target = [
            (WORKLOAD, "shop"),
            (WAVE, "2"),
            (STACK, "shop"),
            (LOGICAL_ID, "Db"),
            (DEVICE, "/dev/sdg"),
        ];
        check(&[], &target);
        check(&[(WORKLOAD, " "), (STACK, "")], &target);
        check(
            &[("Name", "x"), (WAVE, "3")],
            &[&[("Name", "x"), (WAVE, "3")], &target[..1], &target[2..]].concat(),
        );
        check(
            &[(STACK, "store")],
            &[(STACK, "store"), (WORKLOAD, "shop"), (WAVE, "2")],
        );
    }
}
