//! EC2 instances that were restored from their images, and target groups of Elastic Load Balancing.

use crate::aws::arn::{Arn, InstanceId};
use crate::aws::ec2::InstanceState;
use crate::error::Fault;

/// The resource type of instances in AWS Backup.
pub const EC2: &str = "EC2";

/// The id in the ARN of an instance.
pub fn instance_id(arn: &Arn) -> Option<InstanceId> {
    arn.resource_id("instance")
        .filter(|_| arn.service() == "ec2")
        .map(InstanceId::new)
}

/// An instance, with what its integration needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub id: InstanceId,
    pub state: InstanceState,
    /// Why it has this state, in the words of EC2.
    pub reason: Option<String>,
    pub vpc: Option<String>,
    pub private_address: Option<String>,
    pub private_name: Option<String>,
    pub public_address: Option<String>,
    pub public_name: Option<String>,
    /// Whether it has an instance profile.
    pub has_profile: bool,
    /// Whether a restore test created it. AWS Backup then deletes it soon.
    pub restore_test: bool,
}

state! {
    /// The result of a status check.
    ///
    /// See <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceStatusSummary.html>.
    CheckState {
        Ok = "ok",
        Initializing = "initializing",
        Impaired = "impaired",
        InsufficientData = "insufficient-data",
        NotApplicable = "not-applicable",
    }
}

/// The status checks of a running instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    /// Of its operating system and network.
    pub instance: CheckState,
    /// Of the host.
    pub system: CheckState,
}

impl Checks {
    /// Whether both passed.
    pub fn passed(&self) -> bool {
        let passed =
            |state: &CheckState| matches!(state, CheckState::Ok | CheckState::NotApplicable);
        passed(&self.instance) && passed(&self.system)
    }
}

state! {
    /// What the targets of a target group are.
    TargetKind {
        Instance = "instance",
        Ip = "ip",
        Lambda = "lambda",
        Alb = "alb",
    }
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    pub arn: String,
    pub vpc: Option<String>,
    pub kind: TargetKind,
}

state! {
    /// The health of a target.
    ///
    /// See <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html>.
    TargetState {
        Initial = "initial",
        Healthy = "healthy",
        Unhealthy = "unhealthy",
        UnhealthyDraining = "unhealthy.draining",
        Unused = "unused",
        Draining = "draining",
        Unavailable = "unavailable",
    }
}

/// The health of an instance in a target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHealth {
    pub state: TargetState,
    /// The code of the reason, such as `Target.NotInUse`.
    pub reason: Option<String>,
    pub description: Option<String>,
}

impl TargetHealth {
    /// Whether the target group is used by no load balancer, so that nothing checks its targets.
    pub fn is_not_checked(&self) -> bool {
        match self.state {
            TargetState::Unused => self.reason.as_deref() == Some("Target.NotInUse"),
            // Health checks are disabled.
            TargetState::Unavailable => true,
            _ => false,
        }
    }
}

/// The answer to `RegisterTargets`. To register a target again changes nothing.
#[derive(Debug)]
pub enum RegisterAnswer {
    Registered,
    /// The instance is not running yet.
    Busy(Fault),
    /// The target group does not take it.
    Rejected(Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_id_from_the_arn() {
        let check = |text: &str, expected: Option<&str>| {
            let arn = Arn::parse(text).unwrap();
            assert_eq!(instance_id(&arn).as_ref().map(InstanceId::as_str), expected);
        };
        check("arn:aws:ec2:us-west-2:1:instance/i-1", Some("i-1"));
        check("arn:aws:ec2:us-west-2:1:volume/vol-1", None);
        check("arn:aws:ssm:us-west-2:1:instance/i-1", None);
    }

    #[test]
    fn only_a_group_without_checks_counts_as_not_checked() {
        let health = |state: &str, reason: Option<&str>| TargetHealth {
            state: state.into(),
            reason: reason.map(str::to_owned),
            description: None,
        };
        assert!(health("unused", Some("Target.NotInUse")).is_not_checked());
        assert!(!health("unused", Some("Target.InvalidState")).is_not_checked());
        assert!(!health("unhealthy", None).is_not_checked());
    }
}
