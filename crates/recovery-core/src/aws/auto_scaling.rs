//! Auto Scaling groups.

use crate::aws::arn::InstanceId;

/// An Auto Scaling group of `DescribeAutoScalingGroups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub desired: usize,
    /// Its instances, without those of its warm pool.
    pub members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub instance: InstanceId,
    /// `InService`, `Pending:Wait`, `Terminating`, `Standby`, `Warmed:Stopped`, …
    ///
    /// See <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html>.
    pub lifecycle: String,
}

/// The role of a member in its group, according to its lifecycle state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is, or soon will be, in service.
    Serves,
    /// A person has put it into standby, from which it can return.
    Standby,
    /// It is terminated or terminating.
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
