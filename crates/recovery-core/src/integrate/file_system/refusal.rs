//! Why a file system is not integrated, with the remedy.

use std::fmt;

use crate::aws::arn::InstanceId;
use crate::aws::ec2::InstanceState;
use crate::integrate::mount::refusal::MountRefusal;
use crate::integrate::refusal::Refusal;
use crate::reference::ReferenceRefusal;
use crate::tags::{SUBNETS, TagRefusal};
use crate::text::code;

/// Why a file system is not integrated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystemRefusal {
    /// A tag that it needs is missing or cannot be used.
    Tags(TagRefusal),
    /// A reference does not lead to a resource.
    Reference(ReferenceRefusal),
    /// It does not exist, although AWS Backup restored it.
    Gone { id: String },
    /// It, or a mount target or access point of it, is in a state that only a person can end.
    Unusable {
        id: String,
        state: String,
        /// The words of AWS, if it gives any.
        message: Option<String>,
    },
    /// The subnets belong to several VPCs.
    SeveralVpcs { subnets: Vec<String> },
    /// A mount target in another subnet serves the Availability Zone.
    MountTargetElsewhere {
        zone: String,
        subnet: String,
        wanted: String,
    },
    /// EFS rejects a mount target or an access point.
    Rejected { what: String, message: String },
    /// The instance that mounts it is terminated or terminating.
    InstanceGone {
        instance: InstanceId,
        state: InstanceState,
    },
    /// The Auto Scaling group has more instances than the runbook takes.
    TooManyInstances { group: String, count: usize },
    /// The runbook answers another directory than one of AWS Backup.
    Directory { found: String },
    /// The runbook did not mount it.
    Mount(MountRefusal),
}

/// The most instances that the runbook takes: a parameter of an execution has at most 50 values
/// (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StartAutomationExecution.html>).
pub(super) const MOST_INSTANCES: usize = 50;

const AGAIN: &str = "Then run the integration of this restore job again.";

impl Refusal for FileSystemRefusal {
    fn reason(&self) -> &'static str {
        match self {
            FileSystemRefusal::Tags(refusal) => refusal.reason(),
            FileSystemRefusal::Reference(refusal) => refusal.reason(),
            FileSystemRefusal::Gone { .. } => "file-system-gone",
            FileSystemRefusal::Unusable { .. } => "file-system-unusable",
            FileSystemRefusal::SeveralVpcs { .. } => "subnets-of-several-vpcs",
            FileSystemRefusal::MountTargetElsewhere { .. } => "mount-target-elsewhere",
            FileSystemRefusal::Rejected { .. } => "network-rejected",
            FileSystemRefusal::InstanceGone { .. } => "instance-gone",
            FileSystemRefusal::TooManyInstances { .. } => "too-many-instances",
            FileSystemRefusal::Directory { .. } => "restored-directory-unusable",
            FileSystemRefusal::Mount(refusal) => refusal.reason(),
        }
    }

    fn next_attempt(&self) -> Option<u32> {
        match self {
            FileSystemRefusal::Mount(refusal) => refusal.next_attempt(),
            _ => None,
        }
    }

    fn remedy(&self) -> String {
        match self {
            FileSystemRefusal::Tags(refusal) => refusal.remedy("Create the mount targets"),
            FileSystemRefusal::Reference(refusal) => refusal.remedy(),
            FileSystemRefusal::Gone { id } => format!(
                "Find out who deleted {} (AWS CloudTrail). If it is still needed, start a recovery with another name, which restores it again.",
                code(id)
            ),
            FileSystemRefusal::Unusable { id, .. } => format!(
                "Read {} in the console of its service, and fix the cause. {AGAIN} If it is lost, start a recovery with another name, which restores it again.",
                code(id)
            ),
            FileSystemRefusal::SeveralVpcs { .. } => format!(
                "Name subnets of one VPC in the tag {SUBNETS} of the recovery point, and of the protected resource for later recovery points. {AGAIN}"
            ),
            FileSystemRefusal::MountTargetElsewhere { wanted, .. } => format!(
                "If clients reach the mount target that exists, set the tag {SUBNETS} of the recovery point to its subnet. Otherwise delete it, so that one in {} can be created. {AGAIN}",
                code(wanted)
            ),
            FileSystemRefusal::Rejected { .. } => format!(
                "Fix the cause that EFS names: free addresses in the subnet, the quota of network interfaces, security groups or access points, the zone. {AGAIN}"
            ),
            FileSystemRefusal::InstanceGone { .. } => {
                format!("Update the stack of the instance so that it creates a new one. {AGAIN}")
            }
            FileSystemRefusal::TooManyInstances { group, .. } => format!(
                "Start the runbook MountFileSystem for the instances of {}, at most {MOST_INSTANCES} at a time. Instances that start later mount by their own user data.",
                code(group)
            ),
            FileSystemRefusal::Directory { .. } => format!(
                "List the root of the file system on an instance. Create an access point to the directory with the restored files, without CreationInfo. {AGAIN}"
            ),
            FileSystemRefusal::Mount(refusal) => refusal.remedy(),
        }
    }
}

impl fmt::Display for FileSystemRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileSystemRefusal::Tags(refusal) => refusal.fmt(f),
            FileSystemRefusal::Reference(refusal) => refusal.fmt(f),
            FileSystemRefusal::Gone { id } => write!(
                f,
                "{} does not exist, although AWS Backup restored it",
                code(id)
            ),
            FileSystemRefusal::Unusable { id, state, message } => {
                write!(f, "{} is {}", code(id), code(state))?;
                match message {
                    Some(message) => write!(f, ": {}", code(message.trim_end_matches('.'))),
                    None => Ok(()),
                }
            }
            FileSystemRefusal::SeveralVpcs { subnets } => write!(
                f,
                "the subnets {} belong to several VPCs, and all mount targets of a file system must be in one",
                code(&subnets.join(" "))
            ),
            FileSystemRefusal::MountTargetElsewhere {
                zone,
                subnet,
                wanted,
            } => write!(
                f,
                "a mount target in the subnet {} serves the Availability Zone {} already, instead of one in {}",
                code(subnet),
                code(zone),
                code(wanted)
            ),
            FileSystemRefusal::Rejected { what, message } => write!(
                f,
                "EFS rejects the {what}: {}",
                code(message.trim_end_matches('.'))
            ),
            FileSystemRefusal::InstanceGone { instance, state } => {
                write!(f, "{instance} is {state}")
            }
            FileSystemRefusal::TooManyInstances { group, count } => write!(
                f,
                "the Auto Scaling group {} has {count} instances, and the runbook MountFileSystem takes at most {MOST_INSTANCES}",
                code(group)
            ),
            FileSystemRefusal::Directory { found } => write!(
                f,
                "the runbook MountFileSystem answers the directory {}, whose name AWS Backup does not give",
                code(found)
            ),
            FileSystemRefusal::Mount(refusal) => refusal.fmt(f),
        }
    }
}
