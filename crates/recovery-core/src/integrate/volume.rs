//! The decision at the heart: given what volume and instance look like now, what is the next step?
//!
//! Pure: values in, a [`Step`] out. The code that looks and acts is in
//! [`integration`](crate::integrate::run).

use std::collections::BTreeSet;
use std::fmt;

use crate::aws::arn::{InstanceId, VolumeId};
use crate::aws::ec2::{DeviceName, Instance, Volume, slot};
use crate::text::code;

/// What to do next about a volume and the instance it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is attached, as this device.
    Done {
        /// The device name it is attached as.
        device: String,
    },
    /// Attach it as this device.
    Attach {
        /// The device name to attach as.
        device: DeviceName,
    },
    /// Look again later: what is being waited for.
    Wait(String),
    /// Stop: a rule forbids to go on.
    Refuse(Refusal),
}

/// Decides the next step from what was observed. `wanted` is the device name of the owner's tags;
/// `unusable` are names that EC2 said are in use although nothing showed it, and names that are reserved.
pub fn next_step(
    volume: &Volume,
    instance: &Instance,
    wanted: Option<&DeviceName>,
    unusable: &BTreeSet<DeviceName>,
) -> Step {
    if let Some(attachment) = volume
        .attachments
        .iter()
        .find(|attachment| attachment.instance == instance.id)
    {
        return match attachment.state.as_str() {
            "attached" => Step::Done {
                device: attachment.device.clone(),
            },
            state => Step::Wait(format!(
                "{} to be attached to {} (now {state})",
                volume.id, instance.id
            )),
        };
    }
    match instance.state.as_str() {
        "running" | "stopped" => {}
        "pending" | "stopping" => {
            return Step::Wait(format!("{} (now {})", instance.id, instance.state));
        }
        _ => {
            return Step::Refuse(Refusal::InstanceGone {
                instance: instance.id.clone(),
                state: instance.state.clone(),
            });
        }
    }
    match volume.state.as_str() {
        "available" => {}
        "creating" => return Step::Wait(format!("{} (now creating)", volume.id)),
        "in-use" => {
            return match volume.attachments.first() {
                Some(elsewhere) if elsewhere.state != "detaching" => {
                    Step::Refuse(Refusal::AttachedElsewhere {
                        volume: volume.id.clone(),
                        other: elsewhere.instance.clone(),
                        instance: instance.id.clone(),
                    })
                }
                // DescribeVolumes disagrees with itself for moments.
                _ => Step::Wait(format!("{} to show where it is attached", volume.id)),
            };
        }
        _ => {
            return Step::Refuse(Refusal::VolumeUnusable {
                volume: volume.id.clone(),
                state: volume.state.clone(),
            });
        }
    }
    if volume.zone != instance.zone {
        return Step::Refuse(Refusal::ZoneMismatch {
            volume: volume.id.clone(),
            volume_zone: volume.zone.clone(),
            instance: instance.id.clone(),
            instance_zone: instance.zone.clone(),
        });
    }
    // DescribeInstances may show an attachment that DescribeVolumes does not show yet.
    if instance.devices.iter().any(|(_, held)| *held == volume.id) {
        return Step::Wait(format!(
            "{} to show that it is attached to {}",
            volume.id, instance.id
        ));
    }
    let holder = |device: &DeviceName| {
        instance
            .devices
            .iter()
            .find(|(taken, _)| slot(taken) == slot(device.as_str()))
            .map(|(_, volume)| volume.clone())
    };
    match wanted {
        Some(device) => match holder(device) {
            None if !unusable.contains(device) => Step::Attach {
                device: device.clone(),
            },
            holder => Step::Refuse(Refusal::DeviceTaken {
                device: device.clone(),
                instance: instance.id.clone(),
                holder,
            }),
        },
        None => DeviceName::usual()
            .find(|device| {
                let same = |taken: &DeviceName| slot(taken.as_str()) == slot(device.as_str());
                holder(device).is_none() && !unusable.iter().any(same)
            })
            .map_or_else(
                || {
                    Step::Refuse(Refusal::NoFreeDevice {
                        instance: instance.id.clone(),
                    })
                },
                |device| Step::Attach { device },
            ),
    }
}

/// Why an integration must not go on. Trying again cannot help until someone does what
/// [`Refusal::remedy`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// One of the two tags that name the target is missing.
    TagMissing {
        /// The tag that is missing.
        tag: &'static str,
    },
    /// A tag has a value that cannot be followed.
    TagInvalid {
        /// The tag.
        tag: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The volume was an instance's root volume: the recovery Region's instance has its own.
    RootVolume {
        /// The device name of the tag.
        device: String,
    },
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
    /// The restored resource is in another account or Region than this system.
    NotHere {
        /// The resource.
        resource: String,
        /// This account and Region.
        scope: String,
    },
    /// The target is neither an instance nor an Auto Scaling group.
    TargetType {
        /// The stack.
        stack: String,
        /// The logical id.
        logical_id: String,
        /// What the resource is.
        resource_type: String,
    },
    /// CloudFormation failed to make the target, or is deleting it.
    TargetFailed {
        /// The stack.
        stack: String,
        /// The logical id.
        logical_id: String,
        /// The resource's status.
        status: String,
    },
    /// The Auto Scaling group has several instances: which one is meant?
    SeveralInstances {
        /// The group.
        group: String,
        /// How many instances it has.
        count: usize,
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
        state: String,
    },
    /// The instance is terminated or about to be.
    InstanceGone {
        /// The instance.
        instance: InstanceId,
        /// Its state.
        state: String,
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

impl Refusal {
    /// The rule, as one kebab-case word for outcomes and operational data.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::TagMissing { .. } => "tag-missing",
            Refusal::TagInvalid { .. } => "tag-invalid",
            Refusal::RootVolume { .. } => "root-volume",
            Refusal::StackVolume { .. } | Refusal::StackDevice { .. } => "stack-volume",
            Refusal::NotHere { .. } => "not-here",
            Refusal::TargetType { .. } => "target-type",
            Refusal::TargetFailed { .. } => "target-failed",
            Refusal::SeveralInstances { .. } => "several-instances",
            Refusal::ZoneMismatch { .. } => "zone-mismatch",
            Refusal::AttachedElsewhere { .. } => "attached-elsewhere",
            Refusal::VolumeUnusable { .. } => "volume-unusable",
            Refusal::InstanceGone { .. } => "instance-gone",
            Refusal::DeviceTaken { .. } => "device-taken",
            Refusal::NoFreeDevice { .. } => "no-free-device",
            Refusal::AttachmentLimit { .. } => "attachment-limit",
            Refusal::KeyUnusable { .. } => "key-unusable",
            Refusal::ProductCode { .. } => "product-code",
            Refusal::Unsupported { .. } => "unsupported",
            Refusal::AttachmentDropped { .. } => "attachment-dropped",
            Refusal::VolumeGone { .. } => "volume-gone",
        }
    }

    /// What lifts the refusal, as an instruction to the person on call.
    pub fn remedy(&self) -> String {
        match self {
            Refusal::TagMissing { tag } => format!(
                "Attach the volume by hand now. So that it works by itself next time, add the tag {tag} to the protected resource in the primary Region."
            ),
            Refusal::TagInvalid { tag, .. } => format!(
                "Attach the volume by hand now. So that it works by itself next time, correct the tag {tag} of the protected resource in the primary Region."
            ),
            Refusal::RootVolume { .. } => "The AMI gives the instance its root volume. Remove the recovery: tags from the root volume in the primary Region, and keep its data on a volume of their own. If you need a file of it now, attach a restored volume by hand under another name; do not reboot the instance while it is attached.".to_owned(),
            Refusal::StackVolume { stack, .. } => format!(
                "Make the volume conditional, so that stack {stack} does not create it in this Region (docs/workload.md, Volumes in a template), and update the stack; then plan again or run the integration of this restore job again. Or attach the restored volume by hand in the place of the empty one."
            ),
            Refusal::StackDevice { holder, owner, .. } => format!(
                "Make {} conditional, so that its stack does not create it in this Region (docs/workload.md, Volumes in a template), and update the stack; then run the integration of this restore job again. Or detach {holder}, if it is empty, and attach the restored volume by hand.",
                code(owner)
            ),
            Refusal::NotHere { .. } => "Deploy Rapid Recovery in the account and Region that restores, or restore into this one.".to_owned(),
            Refusal::TargetType { logical_id, .. } => format!(
                "Point the tag recovery:logical-id at an AWS::EC2::Instance or an AWS::AutoScaling::AutoScalingGroup instead of {logical_id}; attach the volume by hand now."
            ),
            Refusal::TargetFailed { stack, .. } => format!(
                "Bring stack {stack} back to a complete state (see its events), then run the integration of this restore job again."
            ),
            Refusal::SeveralInstances { group, .. } => format!(
                "Attach the volume to the right instance by hand, or set the capacity of {} to 1 and run the integration of this restore job again.",
                code(group)
            ),
            Refusal::ZoneMismatch { instance_zone, .. } => format!(
                "Restore the recovery point again with availabilityZone {instance_zone}, then delete the volume that was restored into the wrong zone."
            ),
            Refusal::AttachedElsewhere { volume, other, instance } => format!(
                "If {volume} belongs to {instance}, stop using it on {other}, detach it there and run the integration of this restore job again."
            ),
            Refusal::VolumeUnusable { .. } => "Restore the recovery point again. For an encrypted volume first check that the restore role may use the key.".to_owned(),
            Refusal::InstanceGone { .. } => "Bring the instance back by updating its stack, then run the integration of this restore job again.".to_owned(),
            Refusal::DeviceTaken { device, .. } => format!(
                "Free {device} (often a volume of the AMI or an earlier restore), or attach the volume by hand under another name; then correct the tag recovery:device."
            ),
            Refusal::NoFreeDevice { .. } => "Free a device name from /dev/sdf to /dev/sdp, or choose one by the tag recovery:device.".to_owned(),
            Refusal::AttachmentLimit { .. } => "Use an instance type that takes more volumes, then run the integration of this restore job again.".to_owned(),
            Refusal::KeyUnusable { volume, key, .. } => format!(
                "{} Then run the integration of this restore job again.",
                usable_key(key.as_deref(), volume)
            ),
            Refusal::ProductCode { instance, .. } => format!(
                "Subscribe this account to the product in AWS Marketplace and stop {instance}: EC2 attaches a volume with a product code to a stopped instance only. Run the integration of this restore job again, then start {instance}."
            ),
            Refusal::Unsupported { instance, .. } => format!(
                "Compare the type and the encryption of the volume with what the instance type of {instance} supports. Use another instance type, then run the integration of this restore job again."
            ),
            Refusal::AttachmentDropped { volume, key: Some(key), .. } => format!(
                "{} If nobody detached the volume (CloudTrail: DetachVolume), run the integration of this restore job again.",
                usable_key(Some(key), volume)
            ),
            Refusal::AttachmentDropped { instance, .. } => format!(
                "Find out whether somebody detached the volume (CloudTrail: DetachVolume), and check the status of {instance}. Then run the integration of this restore job again."
            ),
            Refusal::VolumeGone { volume } => format!(
                "Find out whether somebody deleted {} (CloudTrail: DeleteVolume). If nobody did, the key of the recovery point could not be used: check that it is enabled and that the restore role may use it. Then restore the recovery point again.",
                code(volume.as_str())
            ),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::TagMissing { tag } => {
                write!(
                    f,
                    "the recovery point lacks the tag {tag}, though it has the other of the two that name the target"
                )
            }
            Refusal::TagInvalid {
                tag,
                value,
                expected,
            } => {
                write!(
                    f,
                    "the tag {tag} of the recovery point is {}, but must be {expected}",
                    code(value)
                )
            }
            Refusal::RootVolume { device } => write!(
                f,
                "{} is the device name of a root volume, which is not restored onto another instance",
                code(device)
            ),
            Refusal::StackVolume { stack, logical_id } => write!(
                f,
                "stack {stack} owns the volume {logical_id} and has created an empty one in this Region: the restored volume would be attached beside it"
            ),
            Refusal::StackDevice {
                device,
                instance,
                holder,
                owner,
            } => write!(
                f,
                "{device} on {instance} is taken by {holder}, which a stack created as {}",
                code(owner)
            ),
            Refusal::NotHere { resource, scope } => {
                write!(f, "{} is not in {scope}", code(resource))
            }
            Refusal::TargetType {
                stack,
                logical_id,
                resource_type,
            } => {
                write!(
                    f,
                    "{logical_id} in stack {stack} is of type {}, which takes no volume",
                    code(resource_type)
                )
            }
            Refusal::TargetFailed {
                stack,
                logical_id,
                status,
            } => {
                write!(f, "{logical_id} in stack {stack} is {}", code(status))
            }
            Refusal::SeveralInstances { group, count } => {
                write!(
                    f,
                    "the Auto Scaling group {} has {count} instances, and a volume belongs to one",
                    code(group)
                )
            }
            Refusal::ZoneMismatch {
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
            Refusal::AttachedElsewhere {
                volume,
                other,
                instance,
            } => {
                write!(f, "{volume} is attached to {other} instead of {instance}")
            }
            Refusal::VolumeUnusable { volume, state } => {
                write!(f, "{volume} is in state {state}")
            }
            Refusal::InstanceGone { instance, state } => {
                write!(f, "{instance} is {state}")
            }
            Refusal::DeviceTaken {
                device,
                instance,
                holder: Some(holder),
            } => {
                write!(f, "{device} on {instance} is taken by {holder}")
            }
            Refusal::DeviceTaken {
                device,
                instance,
                holder: None,
            } => {
                write!(f, "{device} on {instance} is taken")
            }
            Refusal::NoFreeDevice { instance } => {
                write!(
                    f,
                    "no device name from /dev/sdf to /dev/sdp is free on {instance}"
                )
            }
            Refusal::AttachmentLimit { instance, message } => {
                write!(f, "{instance} takes no further volume: {}", code(message))
            }
            Refusal::KeyUnusable {
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
            Refusal::ProductCode {
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
            Refusal::Unsupported {
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
            Refusal::AttachmentDropped {
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
            Refusal::VolumeGone { volume } => {
                write!(
                    f,
                    "{} does not exist, though AWS Backup restored it",
                    code(volume.as_str())
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::ec2::Attachment;

    fn volume() -> Volume {
        Volume {
            id: VolumeId::new("vol-1"),
            state: "available".to_owned(),
            zone: "us-west-2a".to_owned(),
            attachments: Vec::new(),
            key: None,
            restore_test: false,
            owner: None,
            size: None,
            encrypted: None,
            snapshot: None,
        }
    }

    fn attached(instance: &str, state: &str) -> Volume {
        Volume {
            state: "in-use".to_owned(),
            attachments: vec![Attachment {
                instance: InstanceId::new(instance),
                device: "/dev/sdf".to_owned(),
                state: state.to_owned(),
                since: None,
            }],
            ..volume()
        }
    }

    fn instance() -> Instance {
        Instance {
            id: InstanceId::new("i-1"),
            state: "running".to_owned(),
            zone: "us-west-2a".to_owned(),
            devices: vec![("/dev/xvda".to_owned(), VolumeId::new("vol-root"))],
        }
    }

    fn with_devices(devices: &[&str]) -> Instance {
        Instance {
            devices: devices
                .iter()
                .map(|device| ((*device).to_owned(), VolumeId::new("vol-other")))
                .collect(),
            ..instance()
        }
    }

    fn step(volume: &Volume, instance: &Instance) -> Step {
        next_step(volume, instance, None, &BTreeSet::new())
    }

    fn attach(device: &str) -> Step {
        Step::Attach {
            device: DeviceName::parse(device).unwrap(),
        }
    }

    fn refused(step: Step) -> &'static str {
        match step {
            Step::Refuse(refusal) => {
                assert!(!refusal.remedy().is_empty());
                refusal.reason()
            }
            other => panic!("expected a refusal, found {other:?}"),
        }
    }

    #[test]
    fn a_free_volume_and_a_ready_instance_come_together() {
        assert_eq!(step(&volume(), &instance()), attach("/dev/sdf"));
        let stopped = Instance {
            state: "stopped".to_owned(),
            ..instance()
        };
        assert_eq!(step(&volume(), &stopped), attach("/dev/sdf"));
    }

    #[test]
    fn attached_to_the_target_is_done_whatever_else_holds() {
        let done = Step::Done {
            device: "/dev/sdf".to_owned(),
        };
        assert_eq!(step(&attached("i-1", "attached"), &instance()), done);
        // The owner's tag asks for another name: the volume is where it belongs all the same.
        let wanted = DeviceName::parse("/dev/sdg");
        assert_eq!(
            next_step(
                &attached("i-1", "attached"),
                &instance(),
                wanted.as_ref(),
                &BTreeSet::new()
            ),
            done
        );
        let stopping = Instance {
            state: "stopping".to_owned(),
            ..instance()
        };
        assert_eq!(step(&attached("i-1", "attached"), &stopping), done);
    }

    #[test]
    fn what_is_under_way_is_waited_for() {
        let check = |volume: &Volume, instance: &Instance| {
            let step = step(volume, instance);
            assert!(matches!(step, Step::Wait(_)), "{step:?}");
        };
        check(&attached("i-1", "attaching"), &instance());
        check(&attached("i-1", "detaching"), &instance());
        // A detachment that waits for the guest.
        check(&attached("i-1", "busy"), &instance());
        // The instance shows the attachment before the volume does.
        let ahead = Instance {
            devices: vec![("/dev/sdf".to_owned(), VolumeId::new("vol-1"))],
            ..instance()
        };
        check(&volume(), &ahead);
        check(&attached("i-2", "detaching"), &instance());
        let creating = Volume {
            state: "creating".to_owned(),
            ..volume()
        };
        check(&creating, &instance());
        for state in ["pending", "stopping"] {
            let instance = Instance {
                state: state.to_owned(),
                ..instance()
            };
            check(&volume(), &instance);
        }
        let contradiction = Volume {
            state: "in-use".to_owned(),
            ..volume()
        };
        check(&contradiction, &instance());
    }

    #[test]
    fn what_must_not_go_on_is_refused_by_its_rule() {
        let elsewhere = Volume {
            zone: "us-west-2b".to_owned(),
            ..volume()
        };
        assert_eq!(refused(step(&elsewhere, &instance())), "zone-mismatch");
        assert_eq!(
            refused(step(&attached("i-2", "attached"), &instance())),
            "attached-elsewhere"
        );
        assert_eq!(
            refused(step(&attached("i-2", "attaching"), &instance())),
            "attached-elsewhere"
        );
        for state in ["error", "deleting", "deleted", "unheard-of"] {
            let volume = Volume {
                state: state.to_owned(),
                ..volume()
            };
            assert_eq!(refused(step(&volume, &instance())), "volume-unusable");
        }
        for state in ["terminated", "shutting-down", "unheard-of"] {
            let instance = Instance {
                state: state.to_owned(),
                ..instance()
            };
            assert_eq!(refused(step(&volume(), &instance)), "instance-gone");
        }
    }

    #[test]
    fn the_first_free_name_is_taken_and_a_wanted_one_is_kept() {
        // sdf and xvdf are one slot.
        assert_eq!(
            step(&volume(), &with_devices(&["/dev/xvdf", "xvdg"])),
            attach("/dev/sdh")
        );
        let all: Vec<String> = ('f'..='p').map(|c| format!("/dev/sd{c}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(
            refused(step(&volume(), &with_devices(&all))),
            "no-free-device"
        );
        let wanted = DeviceName::parse("/dev/sdz");
        let next = |instance: &Instance, unusable: &BTreeSet<DeviceName>| {
            next_step(&volume(), instance, wanted.as_ref(), unusable)
        };
        assert_eq!(
            next(&with_devices(&all), &BTreeSet::new()),
            attach("/dev/sdz")
        );
        assert_eq!(
            refused(next(&with_devices(&["/dev/sdz"]), &BTreeSet::new())),
            "device-taken"
        );
        // EC2 said it is in use, though DescribeInstances does not show it yet.
        let unusable = BTreeSet::from([DeviceName::parse("/dev/sdz").unwrap()]);
        assert_eq!(refused(next(&instance(), &unusable)), "device-taken");
        let unusable = BTreeSet::from([DeviceName::parse("/dev/sdf").unwrap()]);
        assert_eq!(
            next_step(&volume(), &instance(), None, &unusable),
            attach("/dev/sdg")
        );
    }

    #[test]
    fn device_names_are_those_of_data_volumes() {
        for name in [
            "/dev/sdb",
            "/dev/sdf",
            "/dev/sdz",
            "/dev/xvdf",
            "/dev/xvdaa",
            "/dev/xvdba",
            "/dev/xvddz",
            "xvdf",
            "xvdcz",
        ] {
            assert!(DeviceName::parse(name).is_some(), "{name}");
        }
        for name in [
            "",
            "/dev/",
            "/dev/sda",
            "/dev/sda1",
            "/dev/sdaa",
            "/dev/xvda",
            "/dev/nvme1n1",
            "sdf",
            "/dev/sdf1",
            "/dev/sdF",
            "/dev/sdä",
            "/dev/hdf",
            "/dev/xvdea",
            "/dev/xvdzz",
            "/dev/xvdf1",
            "/dev/xvdfff",
            "D:",
        ] {
            assert_eq!(DeviceName::parse(name), None, "{name}");
        }
    }
}
