//! Decides the next step of an attachment from the observed state of the volume and the instance.

use std::collections::BTreeSet;

use crate::aws::ec2::{
    AttachmentState, DeviceName, Instance, InstanceState, Volume, VolumeState, slot,
};
use crate::integrate::volume::refusal::VolumeRefusal;

/// The next step of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// None: the volume is attached.
    Done {
        /// The device name it is attached as.
        device: String,
    },
    /// Attach the volume.
    Attach {
        /// The device name to attach as.
        device: DeviceName,
    },
    /// Check again later. The text says what is awaited.
    Wait(String),
    /// Stop: a rule forbids the attachment.
    Refuse(VolumeRefusal),
}

/// Decides the next step. `wanted` is the device name of the owner's tag. `unusable` are device names that
/// EC2 refused as in use although `DescribeInstances` does not show it, and names that the plan reserves for
/// other volumes.
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
        return match &attachment.state {
            AttachmentState::Attached => Step::Done {
                device: attachment.device.clone(),
            },
            state => Step::Wait(format!(
                "{} to be attached to {} (now {state})",
                volume.id, instance.id
            )),
        };
    }
    match instance.state {
        InstanceState::Running | InstanceState::Stopped => {}
        InstanceState::Pending | InstanceState::Stopping => {
            return Step::Wait(format!("{} (now {})", instance.id, instance.state));
        }
        InstanceState::ShuttingDown | InstanceState::Terminated | InstanceState::Other(_) => {
            return Step::Refuse(VolumeRefusal::InstanceGone {
                instance: instance.id.clone(),
                state: instance.state.clone(),
            });
        }
    }
    match volume.state {
        VolumeState::Available => {}
        VolumeState::Creating => return Step::Wait(format!("{} (now creating)", volume.id)),
        VolumeState::InUse => {
            return match volume.attachments.first() {
                Some(elsewhere)
                    if matches!(
                        elsewhere.state,
                        AttachmentState::Detaching | AttachmentState::Busy
                    ) =>
                {
                    Step::Wait(format!(
                        "{} to be detached from {}",
                        volume.id, elsewhere.instance
                    ))
                }
                Some(elsewhere) => Step::Refuse(VolumeRefusal::AttachedElsewhere {
                    volume: volume.id.clone(),
                    other: elsewhere.instance.clone(),
                    instance: instance.id.clone(),
                }),
                // The attachments are eventually consistent with the state.
                None => Step::Wait(format!("{} to show where it is attached", volume.id)),
            };
        }
        VolumeState::Deleting
        | VolumeState::Deleted
        | VolumeState::Error
        | VolumeState::Other(_) => {
            return Step::Refuse(VolumeRefusal::VolumeUnusable {
                volume: volume.id.clone(),
                state: volume.state.clone(),
            });
        }
    }
    if volume.zone != instance.zone {
        return Step::Refuse(VolumeRefusal::ZoneMismatch {
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
            holder => Step::Refuse(VolumeRefusal::DeviceTaken {
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
                    Step::Refuse(VolumeRefusal::NoFreeDevice {
                        instance: instance.id.clone(),
                    })
                },
                |device| Step::Attach { device },
            ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::arn::{InstanceId, VolumeId};
    use crate::aws::ec2::Attachment;
    use crate::integrate::refusal::Refusal;

    fn volume() -> Volume {
        Volume {
            id: VolumeId::new("vol-1"),
            state: "available".into(),
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
            state: "in-use".into(),
            attachments: vec![Attachment {
                instance: InstanceId::new(instance),
                device: "/dev/sdf".to_owned(),
                state: state.into(),
                since: None,
            }],
            ..volume()
        }
    }

    fn instance() -> Instance {
        Instance {
            id: InstanceId::new("i-1"),
            state: "running".into(),
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
            state: "stopped".into(),
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
            state: "stopping".into(),
            ..instance()
        };
        assert_eq!(step(&attached("i-1", "attached"), &stopping), done);
    }

    #[test]
    fn waits_for_changes_in_progress() {
        let check = |volume: &Volume, instance: &Instance| {
            let step = step(volume, instance);
            assert!(matches!(step, Step::Wait(_)), "{step:?}");
        };
        check(&attached("i-1", "attaching"), &instance());
        check(&attached("i-1", "detaching"), &instance());
        // A detachment that waits for the guest.
        check(&attached("i-1", "busy"), &instance());
        // A detachment from another instance.
        check(&attached("i-2", "detaching"), &instance());
        check(&attached("i-2", "busy"), &instance());
        // The instance shows the attachment before the volume does.
        let ahead = Instance {
            devices: vec![("/dev/sdf".to_owned(), VolumeId::new("vol-1"))],
            ..instance()
        };
        check(&volume(), &ahead);
        check(&attached("i-2", "detaching"), &instance());
        let creating = Volume {
            state: "creating".into(),
            ..volume()
        };
        check(&creating, &instance());
        for state in ["pending", "stopping"] {
            let instance = Instance {
                state: state.into(),
                ..instance()
            };
            check(&volume(), &instance);
        }
        let contradiction = Volume {
            state: "in-use".into(),
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
                state: state.into(),
                ..volume()
            };
            assert_eq!(refused(step(&volume, &instance())), "volume-unusable");
        }
        for state in ["terminated", "shutting-down", "unheard-of"] {
            let instance = Instance {
                state: state.into(),
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
