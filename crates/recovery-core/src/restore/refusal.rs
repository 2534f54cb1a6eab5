//! Why a planned restore is not started, with the remedy.

use std::fmt;

use crate::integrate::instance::refusal::InstanceRefusal;
use crate::integrate::refusal::Refusal;
use crate::integrate::target::TargetRefusal;
use crate::integrate::volume::refusal::VolumeRefusal;
use crate::plan::file_system::FileSystemRefusal;
use crate::plan::names::NameKind;
use crate::plan::resource_type::by_hand_remedy;
use crate::reference::ReferenceRefusal;
use crate::text::{code, shown};

/// The most restore jobs of one item in one execution. Each follows a failed one.
pub(super) const ATTEMPTS: u32 = 10;

/// Why a planned restore is not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StartRefusal {
    TypeNotRestored(String),
    /// The instance of a volume cannot be used.
    Volume(VolumeRefusal),
    /// A reference does not lead to a resource.
    Reference(ReferenceRefusal),
    /// The name of the restored resource is in use.
    NameTaken {
        name: String,
        kind: NameKind,
    },
    /// The key of the primary Region, which a table cannot use here.
    KeyElsewhere(String),
    /// The stack of an instance creates it itself.
    Instance(InstanceRefusal),
    /// The image of an instance does not exist, or cannot be used.
    Image {
        image: String,
        /// The words of EC2.
        why: Option<String>,
    },
    /// AWS Backup restores only into a bucket that keeps versions.
    NotVersioned(String),
    /// The recovery point of a file system lacks something, or its network does.
    FileSystem(FileSystemRefusal),
    /// Only CloudFormation's own tags name a target, and it is not an instance.
    Untagged,
    /// The recovery point does not exist any more.
    PointGone(String),
    /// AWS Backup rejected the request.
    Rejected(String),
    /// Each restore job of this item failed. The message is that of the last one.
    KeepsFailing(String),
}

impl StartRefusal {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            StartRefusal::TypeNotRestored(_) => "type-not-restored",
            StartRefusal::Volume(refusal) => refusal.reason(),
            StartRefusal::Reference(refusal) => refusal.reason(),
            StartRefusal::NameTaken { .. } => "name-taken",
            StartRefusal::KeyElsewhere(_) => "key-elsewhere",
            StartRefusal::Instance(refusal) => refusal.reason(),
            StartRefusal::Image { .. } => "image-unusable",
            StartRefusal::NotVersioned(_) => "bucket-not-versioned",
            StartRefusal::FileSystem(refusal) => refusal.reason(),
            StartRefusal::Untagged => "untagged",
            StartRefusal::PointGone(_) => "point-gone",
            StartRefusal::Rejected(_) => "restore-rejected",
            StartRefusal::KeepsFailing(_) => "restore-keeps-failing",
        }
    }

    pub(super) fn remedy(&self) -> String {
        match self {
            StartRefusal::TypeNotRestored(name) => by_hand_remedy(name).to_owned(),
            StartRefusal::Volume(refusal) => match refusal {
                VolumeRefusal::Target(TargetRefusal::Type { logical_id, .. }) => format!(
                    "Restore it yourself in AWS Backup. For later recoveries, set the tag recovery:logical-id to an AWS::EC2::Instance or an AWS::AutoScaling::AutoScalingGroup instead of {logical_id}."
                ),
                VolumeRefusal::Target(TargetRefusal::SeveralInstances { group, .. }) => format!(
                    "Set the capacity of {group} to 1, then redrive the execution. Or restore it yourself into the right Availability Zone."
                ),
                _ => "Update the stack so that the target exists again, then redrive the execution.".to_owned(),
            },
            StartRefusal::Reference(refusal) => refusal.remedy(),
            StartRefusal::NameTaken { name, .. } => format!(
                "If {name} is not in use, for example because a failed restore left it, delete it yourself or rename it, then redrive the execution. Or set the tag recovery:identifier to another name, on the recovery point and on the protected resource, and plan again."
            ),
            StartRefusal::KeyElsewhere(_) => {
                "Set the variable RESTORE_KEY_ARN of the function restore-starter to the ARN of a KMS key of this Region, then redrive the execution.".to_owned()
            }
            StartRefusal::Instance(refusal) => refusal.remedy(),
            StartRefusal::Image { image, .. } => format!(
                "If the image is disabled, enable it: `aws ec2 enable-image --image-id {image}`. Then redrive the execution. If it does not exist, start a recovery under another name, which makes a new plan."
            ),
            StartRefusal::NotVersioned(bucket) => format!(
                "Enable versioning: `aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled`, and in the template of the stack. Then redrive the execution."
            ),
            StartRefusal::FileSystem(refusal) => refusal.remedy(),
            StartRefusal::Untagged => {
                "Add the tags recovery:stack and recovery:logical-id to the recovery point. Then plan again.".to_owned()
            }
            StartRefusal::PointGone(_) => "Plan again: the plan then uses another recovery point, if one exists.".to_owned(),
            StartRefusal::Rejected(_) => {
                "Fix the cause that AWS Backup names (often the role, the KMS key or a quota), then redrive the execution. Or restore it yourself.".to_owned()
            }
            StartRefusal::KeepsFailing(_) => {
                "Fix the cause that AWS Backup names (often the role, the KMS key or a quota). This execution does not restore the item again: start a recovery with another name, or restore it yourself.".to_owned()
            }
        }
    }
}

impl fmt::Display for StartRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartRefusal::TypeNotRestored(name) => {
                write!(
                    f,
                    "resources of type {} are not restored by a plan",
                    shown(name)
                )
            }
            StartRefusal::Volume(refusal) => refusal.fmt(f),
            StartRefusal::Reference(refusal) => refusal.fmt(f),
            StartRefusal::NameTaken { name, kind } => {
                let noun = match kind {
                    NameKind::DbInstance => "DB instance",
                    NameKind::DbCluster => "DB cluster",
                    NameKind::Table => "table",
                };
                write!(
                    f,
                    "a {noun} with the name {} exists, and no successful restore of this recovery point made it",
                    shown(name)
                )
            }
            StartRefusal::KeyElsewhere(key) => write!(
                f,
                "the table was encrypted with the KMS key {} of another Region",
                code(key)
            ),
            StartRefusal::Instance(refusal) => refusal.fmt(f),
            StartRefusal::Image { image, why } => match why {
                Some(why) => write!(
                    f,
                    "the image {} cannot be used: {}",
                    shown(image),
                    shown(why)
                ),
                None => write!(f, "the image {} does not exist", shown(image)),
            },
            StartRefusal::NotVersioned(bucket) => write!(
                f,
                "the bucket {} does not keep versions, and AWS Backup restores only into one that does",
                shown(bucket)
            ),
            StartRefusal::FileSystem(refusal) => refusal.fmt(f),
            StartRefusal::Untagged => write!(
                f,
                "it has no tag that names its target, and CloudFormation's own tags do not name an instance"
            ),
            StartRefusal::PointGone(message) => {
                write!(f, "the recovery point does not exist: {}", code(message))
            }
            StartRefusal::Rejected(message) => {
                write!(f, "AWS Backup rejected the restore: {}", code(message))
            }
            StartRefusal::KeepsFailing(message) => write!(
                f,
                "{ATTEMPTS} restore jobs failed. The last one: {}",
                code(message)
            ),
        }
    }
}
