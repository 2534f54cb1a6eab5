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

impl Member {
    /// Whether it is, or soon will be, in service.
    pub(crate) fn serves(&self) -> bool {
        self.is("InService") || self.is("Pending")
    }

    /// Whether its lifecycle state is `state` or a step of it, such as `Pending:Wait`.
    pub(crate) fn is(&self, state: &str) -> bool {
        self.lifecycle
            .strip_prefix(state)
            .is_some_and(|step| step.is_empty() || step.starts_with(':'))
    }
}
