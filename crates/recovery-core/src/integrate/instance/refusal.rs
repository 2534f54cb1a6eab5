//! Why an instance is not integrated, with the remedy.

use std::fmt;

use crate::integrate::refusal::Refusal;
use crate::reference::ReferenceRefusal;
use crate::tags::{LOGICAL_ID, TARGET_GROUPS, TagRefusal};
use crate::text::code;

/// Why an instance is not integrated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceRefusal {
    /// A tag that it needs is missing or cannot be used.
    Tags(TagRefusal),
    /// A reference does not lead to a resource.
    Reference(ReferenceRefusal),
    /// The stack creates the instance itself, and has created one in this Region: the restored one is a second one.
    StackInstance {
        stack: String,
        /// The logical id of the instance, or of its Auto Scaling group.
        logical_id: String,
    },
    /// It does not exist, or ends, although AWS Backup restored it.
    Gone {
        id: String,
        /// The words of EC2, if it gives any.
        reason: Option<String>,
    },
    /// Somebody stopped it, or it could not start.
    Stopped {
        id: String,
        /// The words of EC2, if it gives any.
        reason: Option<String>,
    },
    /// The target group is of another VPC, or its targets are not instances.
    TargetGroup {
        id: String,
        group: String,
        kind: String,
    },
    /// The target group that the tags name does not exist.
    TargetGroupGone { group: String },
    /// It gets no requests from the load balancers that use the target group: mostly, none of them serves its zone.
    Unused {
        id: String,
        zone: Option<String>,
        group: String,
        load_balancers: Vec<String>,
        /// The words of Elastic Load Balancing.
        message: String,
    },
    /// Elastic Load Balancing rejects the instance.
    Rejected { group: String, message: String },
}

const AGAIN: &str = "Then run the integration of this restore job again.";

impl Refusal for InstanceRefusal {
    fn reason(&self) -> &'static str {
        match self {
            InstanceRefusal::Tags(refusal) => refusal.reason(),
            InstanceRefusal::Reference(refusal) => refusal.reason(),
            InstanceRefusal::StackInstance { .. } => "stack-instance",
            InstanceRefusal::Gone { .. } => "instance-gone",
            InstanceRefusal::Stopped { .. } => "instance-stopped",
            InstanceRefusal::TargetGroup { .. } => "target-group-unsuitable",
            InstanceRefusal::TargetGroupGone { .. } => "target-group-gone",
            InstanceRefusal::Unused { .. } => "target-unused",
            InstanceRefusal::Rejected { .. } => "target-rejected",
        }
    }

    fn remedy(&self) -> String {
        match self {
            InstanceRefusal::Tags(refusal) => refusal.remedy("Register the instance"),
            InstanceRefusal::Reference(refusal) => refusal.remedy(),
            InstanceRefusal::StackInstance { stack, logical_id } => format!(
                "If the instance of the stack serves the workload, remove the tag recovery:workload from the recovery points of this one, and from the protected resource. If the restored one should serve, make {} conditional, so that stack {} does not create it in this Region, and update the stack. Then plan again, redrive the execution, or run the integration of this restore job again.",
                code(logical_id),
                code(stack)
            ),
            InstanceRefusal::Gone { id, .. } => format!(
                "Find out why {} ended (AWS CloudTrail, `aws ec2 describe-instances`): often EC2 could not use the KMS key of a volume, or had no capacity. Fix the cause, then start a recovery with another name, which restores it again.",
                code(id)
            ),
            InstanceRefusal::Stopped { id, .. } => format!(
                "If the workload needs it, start it: `aws ec2 start-instances --instance-ids {id}`. {AGAIN}"
            ),
            InstanceRefusal::TargetGroup { .. } | InstanceRefusal::TargetGroupGone { .. } => {
                format!(
                    "Name target groups of instances in the VPC of the instance in the tag {TARGET_GROUPS} of the recovery point, and of the protected resource for later recovery points. {AGAIN}"
                )
            }
            InstanceRefusal::Unused {
                id,
                zone,
                load_balancers,
                ..
            } => format!(
                "Enable the Availability Zone {zone} for the load balancer {balancers} in its stack: add a subnet of this zone. A subnet of another zone in the tag {LOGICAL_ID} of the recovery point takes effect with the next restore. {AGAIN} Elastic Load Balancing says what is missing: `aws elbv2 describe-target-health --target-group-arn <target group> --targets Id={id}`.",
                zone = code(zone.as_deref().unwrap_or("of the instance")),
                balancers = code(&load_balancers.join(" ")),
            ),
            InstanceRefusal::Rejected { .. } => format!(
                "Fix the cause that Elastic Load Balancing names: its quota of targets, or an instance that cannot be a target of the group. If the group cannot have it, name others in the tag {TARGET_GROUPS} of the recovery point, and of the protected resource for later recovery points. {AGAIN}"
            ),
        }
    }
}

impl fmt::Display for InstanceRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = |f: &mut fmt::Formatter<'_>, reason: &Option<String>| match reason {
            Some(reason) => write!(f, ": {}", code(reason.trim_end_matches('.'))),
            None => Ok(()),
        };
        match self {
            InstanceRefusal::Tags(refusal) => refusal.fmt(f),
            InstanceRefusal::Reference(refusal) => refusal.fmt(f),
            InstanceRefusal::StackInstance { stack, logical_id } => write!(
                f,
                "stack {} creates {} itself, and has created it in this Region: an instance from the image would do the same work a second time",
                code(stack),
                code(logical_id)
            ),
            InstanceRefusal::Gone { id, reason } => {
                write!(
                    f,
                    "the instance {} is terminated or does not exist, although AWS Backup restored it",
                    code(id)
                )?;
                because(f, reason)
            }
            InstanceRefusal::Stopped { id, reason } => {
                write!(f, "the instance {} is stopped", code(id))?;
                because(f, reason)
            }
            InstanceRefusal::TargetGroup { id, group, kind } => write!(
                f,
                "the target group {} has targets of the kind {}, or is in another VPC than the instance {}",
                code(group),
                code(kind),
                code(id)
            ),
            InstanceRefusal::TargetGroupGone { group } => {
                write!(f, "the target group {} does not exist", code(group))
            }
            InstanceRefusal::Unused {
                id,
                zone,
                group,
                message,
                ..
            } => write!(
                f,
                "the instance {} in the Availability Zone {} gets no requests through the target group {}, although load balancers use it: {}",
                code(id),
                code(zone.as_deref().unwrap_or("-")),
                code(group),
                code(message.trim_end_matches('.'))
            ),
            InstanceRefusal::Rejected { group, message } => write!(
                f,
                "the target group {} rejects the instance: {}",
                code(group),
                code(message.trim_end_matches('.'))
            ),
        }
    }
}
