//! Auto Scaling groups.

use crate::aws::arn::InstanceId;

/// An Auto Scaling group as `DescribeAutoScalingGroups` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How many instances it is to have.
    pub desired: usize,
    /// Its instances, without those of its warm pool.
    pub members: Vec<Member>,
}

/// An instance of an Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The instance.
    pub instance: InstanceId,
    /// `InService`, `Pending:Wait`, `Terminating`, `Standby`, `Warmed:Stopped`, …
    ///
    /// See <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html>.
    pub lifecycle: String,
}

/// What a group has in mind with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does the group's work, or is about to.
    Serves,
    /// A person has put it aside, and can put it back.
    Standby,
    /// It is terminated, or about to be.
    Terminates,
    /// Anything else, such as `Detaching` or `Quarantined`.
    Other,
}

impl Member {
    /// The phase of its lifecycle state, which may name a step: `Pending:Wait`.
    pub(crate) fn phase(&self) -> Phase {
        match self.lifecycle.split(':').next().unwrap_or_default() {
            "InService" | "Pending" => Phase::Serves,
            "Standby" | "EnteringStandby" => Phase::Standby,
            "Terminating" | "Terminated" => Phase::Terminates,
            _ => Phase::Other,
        }
    }
}
