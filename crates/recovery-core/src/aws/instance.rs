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
    /// Its Availability Zone.
    pub zone: Option<String>,
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
    /// The ARNs of the load balancers that forward to it.
    pub load_balancers: Vec<String>,
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
    /// Whether the target group has no health checks.
    pub fn is_not_checked(&self) -> bool {
        self.state == TargetState::Unavailable
            && self.reason.as_deref() == Some("Target.HealthCheckDisabled")
    }

    /// Whether no load balancer sends requests to the target: none uses the target group, or none of those that do
    /// serves the Availability Zone of the target.
    pub fn is_not_in_use(&self) -> bool {
        self.state == TargetState::Unused && self.reason.as_deref() == Some("Target.NotInUse")
    }

    /// The reason and its description, in the words of Elastic Load Balancing.
    pub fn why(&self) -> String {
        [&self.reason, &self.description]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(": ")
    }
}

/// The answer to `RegisterTargets`. To register a target again changes nothing.
#[derive(Debug)]
pub enum RegisterAnswer {
    Registered,
    /// Elastic Load Balancing does not take the instance now: it is not running, or cannot be a target of the group.
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
    fn tells_targets_without_checks_from_those_without_requests() {
        let health = |state: &str, reason: Option<&str>| TargetHealth {
            state: state.into(),
            reason: reason.map(str::to_owned),
            description: None,
        };
        for (state, reason, expected) in [
            (
                "unavailable",
                Some("Target.HealthCheckDisabled"),
                (true, false),
            ),
            ("unavailable", Some("Elb.InternalError"), (false, false)),
            ("unavailable", None, (false, false)),
            ("unused", Some("Target.NotInUse"), (false, true)),
            ("unused", Some("Target.InvalidState"), (false, false)),
            ("unhealthy", None, (false, false)),
        ] {
            let found = health(state, reason);
            let shown = (found.is_not_checked(), found.is_not_in_use());
            assert_eq!(shown, expected, "{state} {reason:?}");
        }
    }
}
