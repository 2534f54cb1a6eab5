//! Why a volume must not be attached, and what lifts that.

use std::fmt;

use crate::aws::arn::{InstanceId, VolumeId};
use crate::aws::ec2::{DeviceName, InstanceState, VolumeState};
use crate::integrate::refusal::Refusal;
use crate::integrate::target::TargetRefusal;
use crate::integrate::volume::kind::EBS_VOLUME;
use crate::tags::TagRefusal;
use crate::text::code;

/// Why a volume must not be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeRefusal {
    /// The tags of the recovery point name no target that can be used.
    Tag(TagRefusal),
    /// The resource that the tags name is not a target.
    Target(TargetRefusal),
    /// The target's stack owns the volume that was backed up, and has made an empty one in this Region.
    StackVolume {
        /// The stack.
        stack: String,
        /// The volume's logical id in it.
        logical_id: String,
    },
    /// The device name that the tags ask for is taken by a volume that a stack made.
    StackDevice {
        /// The device name.
        device: DeviceName,
        /// The instance.
        instance: InstanceId,
        /// The volume that has it.
        holder: VolumeId,
        /// The stack that made that volume, and its logical id, as `shop/Data`.
        owner: String,
    },
    /// The volume is in another Availability Zone than the instance.
    ZoneMismatch {
        /// The volume.
        volume: VolumeId,
        /// Its zone.
        volume_zone: String,
        /// The instance.
        instance: InstanceId,
        /// Its zone.
        instance_zone: String,
    },
    /// The volume is attached to another instance.
    AttachedElsewhere {
        /// The volume.
        volume: VolumeId,
        /// The instance it is attached to.
        other: InstanceId,
        /// The instance it belongs to.
        instance: InstanceId,
    },
    /// The volume is in an error state or being deleted.
    VolumeUnusable {
        /// The volume.
        volume: VolumeId,
        /// Its state.
        state: VolumeState,
    },
    /// The instance is terminated or about to be.
    InstanceGone {
        /// The instance.
        instance: InstanceId,
        /// Its state.
        state: InstanceState,
    },
    /// The device name that the tags ask for is taken.
    DeviceTaken {
        /// The device name.
        device: DeviceName,
        /// The instance.
        instance: InstanceId,
        /// The volume that has it, where that is known.
        holder: Option<VolumeId>,
    },
    /// No usual device name is free.
    NoFreeDevice {
        /// The instance.
        instance: InstanceId,
    },
    /// The instance has as many volumes as it can have.
    AttachmentLimit {
        /// The instance.
        instance: InstanceId,
        /// EC2's words.
        message: String,
    },
    /// The key that encrypts the volume cannot be used.
    KeyUnusable {
        /// The volume.
        volume: VolumeId,
        /// The instance.
        instance: InstanceId,
        /// The key, where EC2 names it.
        key: Option<String>,
        /// EC2's words.
        message: String,
    },
    /// The volume has an AWS Marketplace product code, with which the instance, as it is, cannot have it.
    ProductCode {
        /// The volume.
        volume: VolumeId,
        /// The instance.
        instance: InstanceId,
        /// EC2's words.
        message: String,
    },
    /// EC2 does not attach a volume of this kind to an instance of this kind.
    Unsupported {
        /// The volume.
        volume: VolumeId,
        /// The instance.
        instance: InstanceId,
        /// EC2's words.
        message: String,
    },
    /// EC2 accepted the attachment, and the volume is not attached all the same.
    AttachmentDropped {
        /// The volume.
        volume: VolumeId,
        /// The instance.
        instance: InstanceId,
        /// The key that encrypts the volume, where it is encrypted.
        key: Option<String>,
    },
    /// The volume does not exist, though AWS Backup restored it.
    VolumeGone {
        /// The volume.
        volume: VolumeId,
    },
}

/// What a key needs so that EC2 can attach a volume that it encrypts.
fn usable_key(key: Option<&str>, volume: &VolumeId) -> String {
    let which = key.map_or_else(
        || format!("the key of {volume} (`aws ec2 describe-volumes --volume-ids {volume}`)"),
        |key| format!("the key {}", code(key)),
    );
    format!(
        "Check {which}: it must be enabled and not pending deletion, and its policy must let the role of restore-integrator use it through EC2 (kms:CreateGrant, kms:Decrypt, kms:DescribeKey)."
    )
}

impl Refusal for VolumeRefusal {
    fn reason(&self) -> &'static str {
        match self {
            VolumeRefusal::Tag(refusal) => refusal.reason(),
            VolumeRefusal::Target(refusal) => refusal.reason(),
            VolumeRefusal::StackVolume { .. } | VolumeRefusal::StackDevice { .. } => "stack-volume",
            VolumeRefusal::ZoneMismatch { .. } => "zone-mismatch",
            VolumeRefusal::AttachedElsewhere { .. } => "attached-elsewhere",
            VolumeRefusal::VolumeUnusable { .. } => "volume-unusable",
            VolumeRefusal::InstanceGone { .. } => "instance-gone",
            VolumeRefusal::DeviceTaken { .. } => "device-taken",
            VolumeRefusal::NoFreeDevice { .. } => "no-free-device",
            VolumeRefusal::AttachmentLimit { .. } => "attachment-limit",
            VolumeRefusal::KeyUnusable { .. } => "key-unusable",
            VolumeRefusal::ProductCode { .. } => "product-code",
            VolumeRefusal::Unsupported { .. } => "unsupported",
            VolumeRefusal::AttachmentDropped { .. } => "attachment-dropped",
            VolumeRefusal::VolumeGone { .. } => "volume-gone",
        }
    }

    fn remedy(&self) -> String {
        match self {
            VolumeRefusal::Tag(refusal) => refusal.remedy(EBS_VOLUME.by_hand),
            VolumeRefusal::Target(refusal) => refusal.remedy(&EBS_VOLUME),
            VolumeRefusal::StackVolume { stack, .. } => format!(
                "Make the volume conditional, so that stack {stack} does not create it in this Region (docs/workload.md, Volumes in a template), and update the stack; then plan again or run the integration of this restore job again. Or attach the restored volume by hand in the place of the empty one."
            ),
            VolumeRefusal::StackDevice { holder, owner, .. } => format!(
                "Make {} conditional, so that its stack does not create it in this Region (docs/workload.md, Volumes in a template), and update the stack; then run the integration of this restore job again. Or detach {holder}, if it is empty, and attach the restored volume by hand.",
                code(owner)
            ),
            VolumeRefusal::ZoneMismatch { instance_zone, .. } => format!(
                "Restore the recovery point again with availabilityZone {instance_zone}, then delete the volume that was restored into the wrong zone."
            ),
            VolumeRefusal::AttachedElsewhere { volume, other, instance } => format!(
                "If {volume} belongs to {instance}, stop using it on {other}, detach it there and run the integration of this restore job again."
            ),
            VolumeRefusal::VolumeUnusable { .. } => "Restore the recovery point again. For an encrypted volume first check that the restore role may use the key.".to_owned(),
            VolumeRefusal::InstanceGone { .. } => "Bring the instance back by updating its stack, then run the integration of this restore job again.".to_owned(),
            VolumeRefusal::DeviceTaken { device, .. } => format!(
                "Free {device} (often a volume of the AMI or an earlier restore), or attach the volume by hand under another name; then correct the tag recovery:device."
            ),
            VolumeRefusal::NoFreeDevice { .. } => "Free a device name from /dev/sdf to /dev/sdp, or choose one by the tag recovery:device.".to_owned(),
            VolumeRefusal::AttachmentLimit { .. } => "Use an instance type that takes more volumes, then run the integration of this restore job again.".to_owned(),
            VolumeRefusal::KeyUnusable { volume, key, .. } => format!(
                "{} Then run the integration of this restore job again.",
                usable_key(key.as_deref(), volume)
            ),
            VolumeRefusal::ProductCode { instance, .. } => format!(
                "Subscribe this account to the product in AWS Marketplace and stop {instance}: EC2 attaches a volume with a product code to a stopped instance only. Run the integration of this restore job again, then start {instance}."
            ),
            VolumeRefusal::Unsupported { instance, .. } => format!(
                "Compare the type and the encryption of the volume with what the instance type of {instance} supports. Use another instance type, then run the integration of this restore job again."
            ),
            VolumeRefusal::AttachmentDropped { volume, key: Some(key), .. } => format!(
                "{} If nobody detached the volume (CloudTrail: DetachVolume), run the integration of this restore job again.",
                usable_key(Some(key), volume)
            ),
            VolumeRefusal::AttachmentDropped { instance, .. } => format!(
                "Find out whether somebody detached the volume (CloudTrail: DetachVolume), and check the status of {instance}. Then run the integration of this restore job again."
            ),
            VolumeRefusal::VolumeGone { volume } => format!(
                "Find out whether somebody deleted {} (CloudTrail: DeleteVolume). If nobody did, the key of the recovery point could not be used: check that it is enabled and that the restore role may use it. Then restore the recovery point again.",
                code(volume.as_str())
            ),
        }
    }
}

impl fmt::Display for VolumeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VolumeRefusal::Tag(refusal) => refusal.fmt(f),
            VolumeRefusal::Target(refusal) => f.write_str(&refusal.why(&EBS_VOLUME)),
            VolumeRefusal::StackVolume { stack, logical_id } => write!(
                f,
                "stack {stack} owns the volume {logical_id} and has created an empty one in this Region: the restored volume would be attached beside it"
            ),
            VolumeRefusal::StackDevice {
                device,
                instance,
                holder,
                owner,
            } => write!(
                f,
                "{device} on {instance} is taken by {holder}, which a stack created as {}",
                code(owner)
            ),
            VolumeRefusal::ZoneMismatch {
                volume,
                volume_zone,
                instance,
                instance_zone,
            } => {
                write!(
                    f,
                    "{volume} is in {volume_zone}, but {instance} is in {instance_zone}: a volume can only be attached within its Availability Zone"
                )
            }
            VolumeRefusal::AttachedElsewhere {
                volume,
                other,
                instance,
            } => {
                write!(f, "{volume} is attached to {other} instead of {instance}")
            }
            VolumeRefusal::VolumeUnusable { volume, state } => {
                write!(f, "{volume} is in state {state}")
            }
            VolumeRefusal::InstanceGone { instance, state } => {
                write!(f, "{instance} is {state}")
            }
            VolumeRefusal::DeviceTaken {
                device,
                instance,
                holder,
            } => {
                write!(f, "{device} on {instance} is taken")?;
                match holder {
                    Some(holder) => write!(f, " by {holder}"),
                    None => Ok(()),
                }
            }
            VolumeRefusal::NoFreeDevice { instance } => {
                write!(
                    f,
                    "no device name from /dev/sdf to /dev/sdp is free on {instance}"
                )
            }
            VolumeRefusal::AttachmentLimit { instance, message } => {
                write!(f, "{instance} takes no further volume: {}", code(message))
            }
            VolumeRefusal::KeyUnusable {
                volume,
                instance,
                key,
                message,
            } => {
                write!(f, "{volume} was not attached to {instance}: its key ")?;
                if let Some(key) = key {
                    write!(f, "{} ", code(key))?;
                }
                write!(f, "cannot be used: {}", code(message))
            }
            VolumeRefusal::ProductCode {
                volume,
                instance,
                message,
            } => {
                write!(
                    f,
                    "{volume} has an AWS Marketplace product code and was not attached to {instance}: {}",
                    code(message)
                )
            }
            VolumeRefusal::Unsupported {
                volume,
                instance,
                message,
            } => {
                write!(
                    f,
                    "EC2 does not attach {volume} to {instance}: {}",
                    code(message)
                )
            }
            VolumeRefusal::AttachmentDropped {
                volume,
                instance,
                key,
            } => {
                write!(
                    f,
                    "EC2 accepted the attachment of {volume} to {instance}, but the volume is still not attached"
                )?;
                match key {
                    Some(key) => write!(
                        f,
                        "; this happens when its key {} is disabled or pending deletion",
                        code(key)
                    ),
                    None => Ok(()),
                }
            }
            VolumeRefusal::VolumeGone { volume } => {
                write!(
                    f,
                    "{} does not exist, though AWS Backup restored it",
                    code(volume.as_str())
                )
            }
        }
    }
}
