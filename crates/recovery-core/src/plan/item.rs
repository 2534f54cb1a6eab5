//! An item of a plan: one restore and its target; and a resource that is refused.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::aws::arn::Arn;
use crate::aws::backup::RecoveryPoint;
use crate::aws::ec2::DeviceName;
use crate::aws::file_system::FileSystemId;
use crate::plan::candidates::BackupPeriod;
use crate::plan::names::NameKind;
use crate::plan::refusal::ItemRefusal;
use crate::plan::resource_type::{self, Restorable, Support};
use crate::reference::Reference;
use crate::tags;
use crate::tags::IntegrationTarget;
use crate::text::shown;

/// One restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The protected resource, in the primary Region.
    pub resource_arn: String,
    /// The recovery point to restore.
    pub recovery_point_arn: String,
    /// Its type in AWS Backup, such as `EBS`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// When the recovery point was created.
    pub created_at: DateTime<Utc>,
    /// Its age when the plan was made, in seconds.
    pub age_seconds: i64,
    /// 0 to 9, lower first.
    pub wave: u8,
    /// Where the resource is restored to.
    pub target: Target,
    /// Optional tags whose values cannot be used, with their remedies. The defaults apply.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unusable_tags: Vec<String>,
    /// Why the target could not be used when the plan was made. The restore checks it again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
    /// The known part of the metadata for `StartRestoreJob`. The rest is read when the restore starts.
    pub metadata: BTreeMap<String, String>,
    /// Size of the recovery point in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size_bytes: Option<u64>,
    /// What the restore will need.
    pub predictions: Predictions,
    /// The recovery point whose tags are used, if the one to restore has no usable tags.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tags_from: Option<TagsFrom>,
    /// When the resource was backed up. It decides between resources that claim what only one can have, and is not
    /// a part of the plan's JSON.
    #[serde(skip)]
    pub period: Option<BackupPeriod>,
    /// The path below which the addresses of a database or table are published. Only one resource can have it. It is
    /// not a part of the plan's JSON.
    #[serde(skip)]
    pub publish: Option<String>,
}

/// Another recovery point of the same resource, whose tags replace the missing ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagsFrom {
    pub recovery_point_arn: String,
    pub created_at: DateTime<Utc>,
}

/// Where a resource is restored to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Target {
    /// An EBS volume.
    Volume(VolumeTarget),
    /// A DB instance, or a DB cluster.
    Database(DatabaseTarget),
    /// A DynamoDB table.
    Table(TableTarget),
    /// A file system of EFS or FSx, or a volume of FSx for ONTAP.
    FileSystem(FileSystemTarget),
    /// An S3 bucket.
    Bucket(BucketTarget),
    /// An EC2 instance, from its image.
    Instance(InstanceTarget),
}

/// The instance that a volume is attached to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeTarget {
    /// The stack in this Region: according to the tags, or to the drill.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stack: Option<String>,
    /// The [reference](crate::reference) to an instance or an Auto Scaling group.
    pub logical_id: String,
    /// The device name that the tag `recovery:device` sets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// The mount point in the guest operating system.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mount: Option<String>,
    /// Whether stack and logical id come from CloudFormation's own tags.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub assumed: bool,
    /// Device names on the target that other volumes of the workload claim.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reserved: Vec<String>,
}

/// The name and the network of a database. All but its name are [references](crate::reference).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseTarget {
    /// Its name. A drill appends its own name.
    pub identifier: String,
    /// The stack in this Region: according to the tags, or to the drill.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stack: Option<String>,
    /// `None`: the only one in the stack.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subnet_group: Option<String>,
    pub security_groups: Vec<String>,
    /// `None`: the default of the engine.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parameter_group: Option<String>,
    /// `None`: the default of the engine.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub option_group: Option<String>,
    /// The instances of a cluster, as the tag describes them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instances: Option<String>,
}

/// The name of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableTarget {
    /// A drill appends its own name.
    pub name: String,
}

/// The network of a file system, and where it is mounted. All but the path are [references](crate::reference).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystemTarget {
    /// The stack in this Region: according to the tags, or to the drill.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stack: Option<String>,
    /// Empty: all subnets of the stack.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub subnets: Vec<String>,
    /// Empty for a volume of ONTAP.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub security_groups: Vec<String>,
    /// The storage virtual machine of a volume of ONTAP. `None`: the only one in the stack.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub storage_machine: Option<String>,
    /// The directory that a file system of Windows joins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub directory: Option<String>,
    /// The instance or the Auto Scaling group that mounts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server: Option<String>,
    /// Where that mounts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mount: Option<String>,
}

/// The bucket that objects are restored into, and which objects are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketTarget {
    /// The stack in this Region: according to the tags, or to the drill.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stack: Option<String>,
    /// The [reference](crate::reference) to a bucket of this Region.
    pub bucket: String,
    /// How many versions of each object: a number, or `all`. `None`: the newest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub versions: Option<String>,
    /// How the names of the objects begin. Empty: all objects.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub prefixes: Vec<String>,
}

/// The network of an instance, and the target groups that it is registered with: [references](crate::reference).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceTarget {
    /// The stack in this Region: according to the tags, or to the drill.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stack: Option<String>,
    /// `None`: the only subnet of the stack.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subnet: Option<String>,
    /// At least one.
    pub security_groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub target_groups: Vec<String>,
    /// Its logical id, or that of its Auto Scaling group, in the stack of the primary Region, if one created it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub own_logical_id: Option<String>,
}

/// What a restore will need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predictions {
    /// Size of the volume in GiB, which counts against the Region's quota for volume storage.
    #[serde(rename = "volumeGiB", skip_serializing_if = "Option::is_none", default)]
    pub volume_gib: Option<u64>,
}

/// A resource that the plan does not restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The protected resource, in the primary Region.
    pub resource_arn: String,
    /// The recovery point that was considered last.
    pub recovery_point_arn: String,
    /// The resource type, for example EBS or RDS.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// When that recovery point was created.
    pub created_at: DateTime<Utc>,
    /// The reason code, in kebab case.
    pub reason: String,
    /// What was found.
    pub why: String,
    /// What fixes it.
    pub remedy: String,
}

impl Refused {
    pub fn new(point: &RecoveryPoint, refusal: &ItemRefusal) -> Refused {
        Refused {
            resource_arn: point.resource.to_string(),
            recovery_point_arn: point.arn.to_string(),
            resource_type: point.resource_type.clone(),
            created_at: point.created,
            reason: refusal.reason().to_owned(),
            why: refusal.to_string(),
            remedy: refusal.remedy(),
        }
    }

    pub fn of_item(item: &Item, refusal: &ItemRefusal) -> Refused {
        Refused {
            resource_arn: item.resource_arn.clone(),
            recovery_point_arn: item.recovery_point_arn.clone(),
            resource_type: item.resource_type.clone(),
            created_at: item.created_at,
            reason: refusal.reason().to_owned(),
            why: refusal.to_string(),
            remedy: refusal.remedy(),
        }
    }

    /// Whether the workload of the resource is unknown.
    pub fn may_be_elsewhere(&self) -> bool {
        [ItemRefusal::TAGS_ELSEWHERE, ItemRefusal::TAGS_UNREAD].contains(&self.reason.as_str())
    }
}

impl Item {
    /// Checks the target, if the item does not come from a plan.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let support = resource_type::rules(&self.resource_type).support;
        match (&self.target, support) {
            (_, Support::ByHand(_)) => Ok(()),
            (Target::Volume(target), Support::Restored(Restorable::Volume)) => {
                target.integration_target().map(drop)
            }
            (Target::Database(target), Support::Restored(Restorable::Database(kind))) => {
                check_name(kind, &target.identifier)?;
                target.check()
            }
            (Target::Table(target), Support::Restored(Restorable::Table)) => {
                check_name(NameKind::Table, &target.name)
            }
            (Target::FileSystem(target), Support::Restored(Restorable::FileSystem)) => {
                let resource = Arn::parse(&self.resource_arn).ok();
                target.check(resource.as_ref().and_then(FileSystemId::of).as_ref())
            }
            (Target::Bucket(target), Support::Restored(Restorable::Bucket)) => target.check(),
            (Target::Instance(target), Support::Restored(Restorable::Instance)) => target.check(),
            _ => Err(format!(
                "it is not the target of a resource of type {}",
                shown(&self.resource_type)
            )),
        }
    }

    /// What an operator should know about the item.
    pub fn note(&self) -> Option<String> {
        let from = self.tags_from.as_ref()?;
        Some(format!(
            "Recovery point {} of {} has no usable tags. It is restored, with the tags of recovery point {} of {}.",
            shown(&self.recovery_point_arn),
            shown(&self.resource_arn),
            shown(&from.recovery_point_arn),
            from.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        ))
    }
}

impl Target {
    /// The stack that the target belongs to, if it is in one.
    pub fn stack(&self) -> Option<&str> {
        match self {
            Target::Volume(target) => target.stack.as_deref(),
            Target::Database(target) => target.stack.as_deref(),
            Target::FileSystem(target) => target.stack.as_deref(),
            Target::Bucket(target) => target.stack.as_deref(),
            Target::Instance(target) => target.stack.as_deref(),
            Target::Table(_) => None,
        }
    }

    /// Replaces the stack, if the target is in one.
    pub(crate) fn move_to(&mut self, stack: &str) {
        let own = match self {
            Target::Volume(target) => &mut target.stack,
            Target::Database(target) => &mut target.stack,
            Target::FileSystem(target) => &mut target.stack,
            Target::Bucket(target) => &mut target.stack,
            Target::Instance(target) => &mut target.stack,
            Target::Table(_) => return,
        };
        if let Some(own) = own {
            stack.clone_into(own);
        }
    }

    /// The references that are not resolved in its stack.
    pub(crate) fn outside_stack(&self) -> impl Iterator<Item = &str> {
        let all: Vec<&String> = match self {
            Target::Volume(target) => vec![&target.logical_id],
            Target::Database(target) => target.references().collect(),
            Target::FileSystem(target) => target.references().collect(),
            Target::Bucket(target) => vec![&target.bucket],
            Target::Instance(target) => target.references().collect(),
            Target::Table(_) => Vec::new(),
        };
        all.into_iter()
            .filter(|text| Reference::parse(text).is_some_and(|it| !it.needs_stack()))
            .map(String::as_str)
    }

    /// The target of a volume.
    pub fn volume(&self) -> Option<&VolumeTarget> {
        match self {
            Target::Volume(target) => Some(target),
            Target::Database(_)
            | Target::Table(_)
            | Target::FileSystem(_)
            | Target::Bucket(_)
            | Target::Instance(_) => None,
        }
    }

    /// The path at which a volume or file system is mounted.
    pub fn mount(&self) -> Option<&str> {
        match self {
            Target::Volume(target) => target.mount.as_deref(),
            Target::FileSystem(target) => target.mount.as_deref(),
            Target::Database(_) | Target::Table(_) | Target::Bucket(_) | Target::Instance(_) => {
                None
            }
        }
    }

    /// The name of a database or table, without what a drill appends.
    pub fn name(&self) -> Option<&str> {
        match self {
            Target::Volume(_) | Target::FileSystem(_) | Target::Bucket(_) | Target::Instance(_) => {
                None
            }
            Target::Database(target) => Some(&target.identifier),
            Target::Table(target) => Some(&target.name),
        }
    }

    /// The instances of a cluster, as the tag describes them.
    pub(super) fn instances(&self) -> Option<&str> {
        match self {
            Target::Database(target) => target.instances.as_deref(),
            Target::Volume(_)
            | Target::Table(_)
            | Target::FileSystem(_)
            | Target::Bucket(_)
            | Target::Instance(_) => None,
        }
    }

    /// The parts that the plan's hash includes. It is unambiguous: the number of parts follows from the
    /// first one and from the counts, and an absent part is empty, which no name and no reference is.
    pub(crate) fn hashed(&self) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        match self {
            Target::Volume(target) => vec![
                "volume".to_owned(),
                text(&target.stack),
                target.logical_id.clone(),
                if target.assumed { "assumed" } else { "" }.to_owned(),
                text(&target.device),
                text(&target.mount),
            ],
            Target::Database(target) => {
                let mut parts = vec![
                    "database".to_owned(),
                    target.identifier.clone(),
                    text(&target.stack),
                    text(&target.subnet_group),
                    text(&target.parameter_group),
                    text(&target.option_group),
                    text(&target.instances),
                    target.security_groups.len().to_string(),
                ];
                parts.extend(target.security_groups.iter().cloned());
                parts
            }
            Target::Table(target) => vec!["table".to_owned(), target.name.clone()],
            Target::FileSystem(target) => {
                let mut parts = vec![
                    "file system".to_owned(),
                    text(&target.stack),
                    text(&target.storage_machine),
                    text(&target.directory),
                    text(&target.server),
                    text(&target.mount),
                    target.subnets.len().to_string(),
                    target.security_groups.len().to_string(),
                ];
                parts.extend(target.subnets.iter().cloned());
                parts.extend(target.security_groups.iter().cloned());
                parts
            }
            Target::Bucket(target) => {
                let mut parts = vec![
                    "bucket".to_owned(),
                    text(&target.stack),
                    target.bucket.clone(),
                    text(&target.versions),
                    target.prefixes.len().to_string(),
                ];
                parts.extend(target.prefixes.iter().cloned());
                parts
            }
            Target::Instance(target) => {
                let mut parts = vec![
                    "instance".to_owned(),
                    text(&target.stack),
                    text(&target.subnet),
                    target.security_groups.len().to_string(),
                    target.target_groups.len().to_string(),
                ];
                parts.extend(target.security_groups.iter().cloned());
                parts.extend(target.target_groups.iter().cloned());
                parts
            }
        }
    }

    /// What identifies the target, whatever the plan says of it besides.
    pub(crate) fn identity(&self) -> [&str; 2] {
        match self {
            Target::Volume(target) => [
                target.stack.as_deref().unwrap_or_default(),
                &target.logical_id,
            ],
            Target::Database(target) => ["database", &target.identifier],
            Target::Table(target) => ["table", &target.name],
            Target::FileSystem(target) => {
                ["file system", target.stack.as_deref().unwrap_or_default()]
            }
            Target::Bucket(target) => ["bucket", &target.bucket],
            Target::Instance(target) => ["instance", target.stack.as_deref().unwrap_or_default()],
        }
    }
}

impl DatabaseTarget {
    /// Checks the members, if the target does not come from a plan.
    ///
    /// # Errors
    /// The invalid member and why.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_references(self.stack.as_deref(), self.references())?;
        match (&self.subnet_group, &self.stack) {
            (None, None) => Err("it names neither a subnet group nor a stack".to_owned()),
            _ => Ok(()),
        }
    }

    fn references(&self) -> impl Iterator<Item = &String> {
        self.subnet_group
            .iter()
            .chain(&self.security_groups)
            .chain(&self.parameter_group)
            .chain(&self.option_group)
    }
}

impl FileSystemTarget {
    /// Checks the members, if the target does not come from a plan. `id` is the protected resource.
    ///
    /// # Errors
    /// The invalid member and why.
    fn check(&self, id: Option<&FileSystemId>) -> Result<(), String> {
        check_references(self.stack.as_deref(), self.references())?;
        let is_named = match id {
            None => return Err("the resource is not a file system".to_owned()),
            Some(FileSystemId::Volume(_)) => self.storage_machine.is_some(),
            Some(FileSystemId::Efs(_) | FileSystemId::Fsx(_)) => {
                if self.security_groups.is_empty() {
                    return Err("it names no security group".to_owned());
                }
                !self.subnets.is_empty()
            }
        };
        match (is_named, &self.stack) {
            (false, None) => Err("it names neither its network nor a stack".to_owned()),
            _ => Ok(()),
        }
    }

    pub(crate) fn references(&self) -> impl Iterator<Item = &String> {
        self.subnets
            .iter()
            .chain(&self.security_groups)
            .chain(&self.storage_machine)
            .chain(&self.directory)
            .chain(&self.server)
    }
}

impl InstanceTarget {
    /// Checks the members, if the target does not come from a plan.
    ///
    /// # Errors
    /// The invalid member and why.
    fn check(&self) -> Result<(), String> {
        check_references(self.stack.as_deref(), self.references())?;
        match (&self.subnet, &self.stack) {
            _ if self.security_groups.is_empty() => Err("it names no security group".to_owned()),
            (None, None) => Err("it names neither a subnet nor a stack".to_owned()),
            _ => Ok(()),
        }
    }

    /// All references.
    pub(crate) fn references(&self) -> impl Iterator<Item = &String> {
        self.subnet
            .iter()
            .chain(&self.security_groups)
            .chain(&self.target_groups)
    }
}

impl BucketTarget {
    /// Checks the members, if the target does not come from a plan.
    ///
    /// # Errors
    /// The invalid member and why.
    fn check(&self) -> Result<(), String> {
        check_references(self.stack.as_deref(), std::iter::once(&self.bucket))?;
        match self.versions.as_deref().filter(|it| !is_version_count(it)) {
            None => Ok(()),
            Some(text) => Err(format!("{} is not a number of versions", shown(text))),
        }
    }
}

impl VolumeTarget {
    /// The target for the integration.
    ///
    /// # Errors
    /// The invalid member and why, if the target does not come from a plan.
    pub fn integration_target(&self) -> Result<IntegrationTarget, String> {
        check_stack(self.stack.as_deref())?;
        let logical_id = Reference::parse(&self.logical_id)
            .ok_or_else(|| format!("{} is not a reference", shown(&self.logical_id)))?;
        if self.stack.is_none() && logical_id.needs_stack() {
            return Err(format!("{} needs a stack", shown(&self.logical_id)));
        }
        let device = match &self.device {
            None => None,
            Some(device) => Some(
                DeviceName::parse(device)
                    .ok_or_else(|| format!("{} is not a device name", shown(device)))?,
            ),
        };
        Ok(IntegrationTarget {
            stack: self.stack.clone(),
            logical_id,
            device,
            mount: self.mount.clone(),
            unusable_tags: Vec::new(),
            assumed: self.assumed,
        })
    }
}

/// Whether it is a number of versions of an object that can be restored: 1 to 9999, or `all`.
pub(super) fn is_version_count(text: &str) -> bool {
    text == "all"
        || (1..=4).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && !text.starts_with('0')
}

fn check_name(kind: NameKind, name: &str) -> Result<(), String> {
    match kind.accepts(name) {
        true => Ok(()),
        false => Err(format!("{} is not {}", shown(name), kind.expected())),
    }
}

fn check_stack(stack: Option<&str>) -> Result<(), String> {
    match stack.filter(|stack| !tags::is_stack_name(stack)) {
        None => Ok(()),
        Some(stack) => Err(format!("{} is not a stack name", shown(stack))),
    }
}

fn check_references<'a>(
    stack: Option<&str>,
    references: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    check_stack(stack)?;
    for text in references {
        let reference =
            Reference::parse(text).ok_or_else(|| format!("{} is not a reference", shown(text)))?;
        if stack.is_none() && reference.needs_stack() {
            return Err(format!("{} needs a stack", shown(text)));
        }
    }
    Ok(())
}
