//! Why a volume must not be attached, with the remedy.

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
    /// The tags of the recovery point do not name a usable target.
    Tag(TagRefusal),
    /// The resource that the tags name is not a target.
    Target(TargetRefusal),
    /// The stack of the target creates the volume itself, and has created an empty one in this Region.
    StackVolume {
        stack: String,
        /// The volume's logical id in it.
        logical_id: String,
    },
    /// A volume that a stack created uses the device name of the tag.
    StackDevice {
        device: DeviceName,
        instance: InstanceId,
        /// The volume that has it.
        holder: VolumeId,
        /// The stack that created that volume, and its logical id, for example `shop/Data`.
        owner: String,
    },
    /// The volume is in another Availability Zone than the instance.
    ZoneMismatch {
        volume: VolumeId,
        volume_zone: String,
        instance: InstanceId,
        instance_zone: String,
    },
    /// The volume is attached to another instance.
    AttachedElsewhere {
        volume: VolumeId,
        /// The instance it is attached to.
        other: InstanceId,
        /// The instance it belongs to.
        instance: InstanceId,
    },
    /// The volume is in an error state or being deleted.
    VolumeUnusable {
        volume: VolumeId,
        state: VolumeState,
    },
    /// The instance is terminated or shutting down.
    InstanceGone {
        instance: InstanceId,
        state: InstanceState,
    },
    /// Another volume uses the device name of the tag.
    DeviceTaken {
        device: DeviceName,
        instance: InstanceId,
        /// That volume, if it is known.
        holder: Option<VolumeId>,
    },
    /// No usual device name is free.
    NoFreeDevice { instance: InstanceId },
    /// The instance has the maximum number of volumes.
    AttachmentLimit {
        instance: InstanceId,
        /// EC2's words.
        message: String,
    },
    /// The key that encrypts the volume cannot be used.
    KeyUnusable {
        volume: VolumeId,
        instance: InstanceId,
        /// The key, if EC2 names it.
        key: Option<String>,
        /// EC2's words.
        message: String,
    },
    /// The AWS Marketplace product code of the volume forbids this instance in its current state.
    ProductCode {
        volume: VolumeId,
        instance: InstanceId,
        /// EC2's words.
        message: String,
    },
    /// EC2 does not support this volume on this instance.
    Unsupported {
        volume: VolumeId,
        instance: InstanceId,
        /// EC2's words.
        message: String,
    },
    /// EC2 accepted the attachment, but the volume is not attached.
    AttachmentDropped {
        volume: VolumeId,
        instance: InstanceId,
        /// The KMS key of an encrypted volume.
        key: Option<String>,
    },
    /// The volume does not exist, although AWS Backup restored it.
    VolumeGone { volume: VolumeId },
}

/// How to make a KMS key usable for the attachment of its volume.
fn usable_key(key: Option<&str>, volume: &VolumeId) -> String {
    let which = key.map_or_else(
        || format!("the key of {volume} (`aws ec2 describe-volumes --volume-ids {volume}`)"),
        |key| format!("the key {}", code(key)),
    );
    format!(
        "Check {which}: it must be enabled and not pending deletion, and its policy must let the roles of restore-integrator and restore-reconciler use it through EC2 (kms:CreateGrant, kms:Decrypt, kms:DescribeKey)."
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
                "Make the volume conditional, so that stack {stack} does not create it in this Region (docs/workload.md, Volumes in a template), and update the stack. Then plan again, or run the integration of this restore job again. Or replace the empty volume with the restored one yourself."
            ),
            VolumeRefusal::StackDevice { holder, owner, .. } => format!(
                "Make {} conditional, so that its stack does not create it in this Region (docs/workload.md, Volumes in a template), and update the stack. Then run the integration of this restore job again. Or, if {holder} is empty, detach it and attach the restored volume yourself.",
                code(owner)
            ),
            VolumeRefusal::ZoneMismatch { instance_zone, .. } => format!(
                "Restore the recovery point again with availabilityZone {instance_zone}. Then delete the volume in the wrong Availability Zone."
            ),
            VolumeRefusal::AttachedElsewhere { volume, other, instance } => format!(
                "If {volume} belongs to {instance}, detach it from {other}, and run the integration of this restore job again."
            ),
            VolumeRefusal::VolumeUnusable { .. } => "If the volume is encrypted, check that the restore role may use the KMS key. Then restore the recovery point again.".to_owned(),
            VolumeRefusal::InstanceGone { .. } => "Update the stack of the instance so that it creates a new one. Then run the integration of this restore job again.".to_owned(),
            VolumeRefusal::DeviceTaken { device, .. } => format!(
                "Detach the volume that uses {device} (often a volume of the AMI or of an earlier restore), and run the integration of this restore job again. Or attach the volume yourself with another device name. Then correct the tag recovery:device."
            ),
            VolumeRefusal::NoFreeDevice { .. } => "Detach a volume that uses a device name from /dev/sdf to /dev/sdp, or set another device name with the tag recovery:device. Then run the integration of this restore job again.".to_owned(),
            VolumeRefusal::AttachmentLimit { .. } => "Use an instance type that supports more volumes. Then run the integration of this restore job again.".to_owned(),
            VolumeRefusal::KeyUnusable { volume, key, .. } => format!(
                "{} Then run the integration of this restore job again.",
                usable_key(key.as_deref(), volume)
            ),
            VolumeRefusal::ProductCode { instance, .. } => format!(
                "Subscribe this account to the product in AWS Marketplace, and stop {instance}: EC2 attaches a volume with a product code only to a stopped instance. Run the integration of this restore job again, then start {instance}."
            ),
            VolumeRefusal::Unsupported { instance, .. } => format!(
                "Compare the type and the encryption of the volume with what the instance type of {instance} supports. Use another instance type, then run the integration of this restore job again."
            ),
            VolumeRefusal::AttachmentDropped { volume, key: Some(key), .. } => format!(
                "{} If nobody detached the volume (CloudTrail: DetachVolume), run the integration of this restore job again.",
                usable_key(Some(key), volume)
            ),
            VolumeRefusal::AttachmentDropped { instance, .. } => format!(
                "Check whether someone detached the volume (CloudTrail: DetachVolume), and check the status of {instance}. Then run the integration of this restore job again."
            ),
            VolumeRefusal::VolumeGone { volume } => format!(
                "Check whether someone deleted {} (CloudTrail: DeleteVolume). If nobody did, the KMS key of the recovery point could not be used: check that it is enabled and that the restore role may use it. Then restore the recovery point again.",
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
                "stack {stack} creates the volume {logical_id} itself, and has created an empty one in this Region: the restored volume would be a second one"
            ),
            VolumeRefusal::StackDevice {
                device,
                instance,
                holder,
                owner,
            } => write!(
                f,
                "{device} on {instance} is in use by {holder}, which a stack created as {}",
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
                write!(f, "{device} on {instance} is in use")?;
                match holder {
                    Some(holder) => write!(f, " by {holder}"),
                    None => Ok(()),
                }
            }
            VolumeRefusal::NoFreeDevice { instance } => {
                write!(
                    f,
                    "no device name from /dev/sdf to /dev/sdp is free on {instance}: each is in use, or claimed by another volume of the plan"
                )
            }
            VolumeRefusal::AttachmentLimit { instance, message } => {
                write!(f, "{instance} cannot have more volumes: {}", code(message))
            }
            VolumeRefusal::KeyUnusable {
                volume,
                instance,
                key,
                message,
            } => {
                write!(f, "{volume} was not attached to {instance}: its KMS key ")?;
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
                    "{} does not exist, although AWS Backup restored it",
                    code(volume.as_str())
                )
            }
        }
    }
}
