//! EC2: instances, EBS volumes and snapshots.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::aws::arn::{InstanceId, VolumeId};
use crate::error::Fault;

/// A device name for a data volume that EC2 accepts.
///
/// See <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html>.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceName(String);

impl DeviceName {
    /// Parses `/dev/sdf`, `/dev/xvdf`, `/dev/xvdba` or, for Windows, `xvdf`. Returns `None` for root devices (`sda`),
    /// for NVMe devices, which cannot be chosen, and for names with digits, which only paravirtual instances
    /// accept.
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

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names that are used without a tag, in this order: `/dev/sdf` to `/dev/sdp`.
    pub(crate) fn usual() -> impl Iterator<Item = DeviceName> {
        ('f'..='p').map(|letter| DeviceName(format!("/dev/sd{letter}")))
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether this is the device name of a root volume: `/dev/sda1`, `/dev/xvda`, …
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
    /// Whether the instance is terminated or shutting down.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(
            self,
            InstanceState::ShuttingDown | InstanceState::Terminated
        )
    }
}

/// An attachment of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub instance: InstanceId,
    pub device: String,
    /// Its state.
    pub state: AttachmentState,
    /// When the attaching began.
    pub since: Option<DateTime<Utc>>,
}

/// An EBS volume of `ec2:DescribeVolumes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub id: VolumeId,
    pub state: VolumeState,
    pub zone: String,
    pub attachments: Vec<Attachment>,
    /// The ARN of the KMS key that it is encrypted with.
    pub key: Option<String>,
    /// Whether a restore test created it. AWS Backup then deletes it soon.
    pub restore_test: bool,
    /// The stack that created it and its logical id, for example `shop/Data`, according to CloudFormation's tags.
    pub owner: Option<String>,
    /// Its size in GiB.
    pub size: Option<i32>,
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// The snapshot that it was created from.
    pub snapshot: Option<String>,
}

/// An EC2 instance of `ec2:DescribeInstances`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub id: InstanceId,
    pub state: InstanceState,
    pub zone: String,
    /// The device names in use, with their volumes.
    pub devices: Vec<(String, VolumeId)>,
}

/// The result of `ec2:AttachVolume`.
#[derive(Debug)]
pub enum AttachAnswer {
    /// EC2 accepted the request.
    Accepted {
        /// Whether the volume is attached already.
        attached: bool,
    },
    /// EC2 throttled the call.
    Busy(Fault),
    /// The state of the volume or the instance forbids it, for example because another attempt attached it.
    Contested(Fault),
    /// Another volume uses the device name.
    DeviceInUse(Fault),
    /// The volume is in another Availability Zone than the instance.
    ZoneMismatch(Fault),
    /// The instance has the maximum number of volumes.
    LimitExceeded(Fault),
    /// The volume is being modified. It can be attached afterwards.
    Modifying(Fault),
    /// EC2 does not accept the device name.
    DeviceRefused(Fault),
    /// The KMS key of the volume cannot be used.
    KeyUnusable(Fault),
    /// The AWS Marketplace product code of the volume forbids this instance in its current state.
    ProductCode(Fault),
    /// EC2 does not support this volume on this instance.
    Unsupported(Fault),
}

/// A subnet of a VPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub id: String,
    pub zone: String,
    pub vpc: String,
}

/// The first subnet of each Availability Zone, in their order.
pub(crate) fn one_per_zone(subnets: &[Subnet]) -> Vec<&Subnet> {
    let mut chosen: Vec<&Subnet> = Vec::new();
    for subnet in subnets {
        if !chosen.iter().any(|other| other.zone == subnet.zone) {
            chosen.push(subnet);
        }
    }
    chosen
}

/// The EBS snapshot behind a recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub id: String,
    /// The size of its volume in GiB.
    pub size: i32,
    pub encrypted: bool,
}
