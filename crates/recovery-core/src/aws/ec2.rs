//! EC2: instances, EBS volumes and snapshots.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::aws::arn::{InstanceId, VolumeId};
use crate::error::Fault;

/// A device name for a data volume, as EC2 takes it.
///
/// See <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html>.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceName(String);

impl DeviceName {
    /// Reads `/dev/sdf`, `/dev/xvdf`, `/dev/xvdba` or, as Windows writes it, `xvdf`. Names of
    /// root devices (`sda`) and of NVMe devices, which nobody can choose, are none. Nor are those with
    /// digits: only paravirtual instances take them.
    pub fn parse(text: &str) -> Option<DeviceName> {
        let name = text.strip_prefix("/dev/").unwrap_or(text);
        let letters = name
            .strip_prefix("xvd")
            .or_else(|| name.strip_prefix("sd"))?;
        let in_range = |c: u8, from: u8| (from..=b'z').contains(&c);
        let valid = match letters.as_bytes() {
            [one] => in_range(*one, b'b'),
            [one, two] => {
                name.starts_with("xvd") && (b'a'..=b'd').contains(one) && in_range(*two, b'a')
            }
            _ => false,
        };
        // Only Windows names go without /dev/, and those begin with xvd.
        let prefixed = text.starts_with("/dev/") || name.starts_with("xvd");
        (valid && prefixed).then(|| DeviceName(text.to_owned()))
    }

    /// The name as EC2 takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names given for the taking, in this order: `/dev/sdf` to `/dev/sdp`.
    pub(crate) fn usual() -> impl Iterator<Item = DeviceName> {
        ('f'..='p').map(|letter| DeviceName(format!("/dev/sd{letter}")))
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether EC2 attaches root volumes under this name: `/dev/sda1`, `/dev/xvda`, …
pub(crate) fn is_root_device(device: &str) -> bool {
    matches!(slot(device), "a" | "a1")
}

/// The part of a device name that collides: `/dev/sdf`, `/dev/xvdf` and `xvdf` are one slot.
pub(crate) fn slot(device: &str) -> &str {
    let name = device.strip_prefix("/dev/").unwrap_or(device);
    name.strip_prefix("xvd")
        .or_else(|| name.strip_prefix("sd"))
        .unwrap_or(name)
}

state! {
    /// The state of a volume.
    ///
    /// See <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Volume.html>.
    VolumeState {
        Creating = "creating",
        Available = "available",
        InUse = "in-use",
        Deleting = "deleting",
        Deleted = "deleted",
        Error = "error",
    }
}

state! {
    /// The state of an attachment. `busy` is a detachment that waits for the guest.
    ///
    /// See <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VolumeAttachment.html>.
    AttachmentState {
        Attaching = "attaching",
        Attached = "attached",
        Detaching = "detaching",
        Busy = "busy",
    }
}

state! {
    /// The state of an instance.
    ///
    /// See <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html>.
    InstanceState {
        Pending = "pending",
        Running = "running",
        Stopping = "stopping",
        Stopped = "stopped",
        ShuttingDown = "shutting-down",
        Terminated = "terminated",
    }
}

impl InstanceState {
    /// Whether the instance does not exist any more, or soon.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(
            self,
            InstanceState::ShuttingDown | InstanceState::Terminated
        )
    }
}

/// Where a volume is attached, or about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The instance.
    pub instance: InstanceId,
    /// The device name it was attached as.
    pub device: String,
    /// Its state.
    pub state: AttachmentState,
    /// When the attaching began.
    pub since: Option<DateTime<Utc>>,
}

/// An EBS volume as `DescribeVolumes` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// Its state.
    pub state: VolumeState,
    /// Its Availability Zone.
    pub zone: String,
    /// Where it is attached.
    pub attachments: Vec<Attachment>,
    /// The ARN of the KMS key that it is encrypted with.
    pub key: Option<String>,
    /// Whether a restore test made it; AWS Backup deletes it soon.
    pub restore_test: bool,
    /// The stack that made it and its logical id there, as `shop/Data`, where it bears CloudFormation's
    /// tags.
    pub owner: Option<String>,
    /// Its size in GiB.
    pub size: Option<i32>,
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// The snapshot that it was created from.
    pub snapshot: Option<String>,
}

/// An EC2 instance as `DescribeInstances` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its state.
    pub state: InstanceState,
    /// Its Availability Zone.
    pub zone: String,
    /// Device names in use, and by which volume.
    pub devices: Vec<(String, VolumeId)>,
}

/// The answer to an attempt to attach, where any EC2 could give it.
#[derive(Debug)]
pub enum AttachAnswer {
    /// EC2 took the request: the volume is attached, or about to be.
    Accepted {
        /// Whether it is attached already, so that there is nothing to wait for.
        attached: bool,
    },
    /// EC2 grants no more calls for the moment; nothing happened.
    Busy(Fault),
    /// Volume or instance is not in a state to be attached, perhaps because another attempt won.
    Contested(Fault),
    /// The device name is taken by another volume.
    DeviceInUse(Fault),
    /// The volume lies in another Availability Zone than the instance.
    ZoneMismatch(Fault),
    /// The instance has as many volumes as it can have.
    LimitExceeded(Fault),
    /// The volume is being modified. It can be attached when that is done.
    Modifying(Fault),
    /// EC2 does not accept the device name.
    DeviceRefused(Fault),
    /// The key that encrypts the volume cannot be used.
    KeyUnusable(Fault),
    /// The volume has an AWS Marketplace product code, with which this instance, as it is, cannot have it.
    ProductCode(Fault),
    /// EC2 does not attach a volume of this kind to an instance of this kind.
    Unsupported(Fault),
}

/// The EBS snapshot behind a recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// Size of the volume that it is of, in GiB.
    pub size: i32,
    /// Whether it is encrypted.
    pub encrypted: bool,
}
