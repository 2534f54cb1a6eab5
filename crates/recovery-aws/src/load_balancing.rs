//! Elastic Load Balancing: target groups.

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use recovery_core::aws::arn::InstanceId;
use recovery_core::aws::instance::{RegisterAnswer, TargetGroup, TargetHealth};
use recovery_core::error::{Error, Fault};
use recovery_core::ports::TargetGroups;

use crate::client::{Config, Lazy, client};
use crate::error::{classify, code, incomplete, message};

/// Elastic Load Balancing in the recovery Region.
#[derive(Debug)]
pub struct LoadBalancing {
    client: Lazy<Client>,
}

const DESCRIBE_GROUPS: &str = "elasticloadbalancing:DescribeTargetGroups";
const DESCRIBE_HEALTH: &str = "elasticloadbalancing:DescribeTargetHealth";
const REGISTER: &str = "elasticloadbalancing:RegisterTargets";

/// The code of an error that says that the target group does not exist.
const NOT_FOUND: &str = "TargetGroupNotFound";
/// The code of an error of a target that is not running, or cannot be one of the group, for example because of its VPC.
const INVALID_TARGET: &str = "InvalidTarget";
/// The codes of errors that only a person can end.
const REJECTED: [&str; 2] = ["TooManyTargets", "TooManyRegistrationsForTargetId"];

impl LoadBalancing {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[DESCRIBE_GROUPS, DESCRIBE_HEALTH, REGISTER];

    pub fn new(config: &Config) -> LoadBalancing {
        LoadBalancing {
            client: client!(config, aws_sdk_elasticloadbalancingv2),
        }
    }
}

fn target(id: &InstanceId) -> TargetDescription {
    TargetDescription::builder().id(id.as_str()).build()
}

impl TargetGroups for LoadBalancing {
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetGroups.html>
    async fn describe(&self, arn: &str) -> Result<Option<TargetGroup>, Error> {
        let answer = self
            .client
            .describe_target_groups()
            .target_group_arns(arn)
            .send()
            .await;
        let answer = match answer {
            Err(error) if code(&error) == Some(NOT_FOUND) => return Ok(None),
            answer => answer.map_err(|error| classify(DESCRIBE_GROUPS, arn, error))?,
        };
        let Some(group) = answer
            .target_groups
            .unwrap_or_default()
            .into_iter()
            .find(|group| group.target_group_arn.as_deref() == Some(arn))
        else {
            return Ok(None);
        };
        let kind = group
            .target_type
            .ok_or_else(|| incomplete(DESCRIBE_GROUPS, arn, "target type"))?;
        Ok(Some(TargetGroup {
            arn: arn.to_owned(),
            vpc: group.vpc_id,
            kind: kind.as_str().into(),
            load_balancers: group.load_balancer_arns.unwrap_or_default(),
        }))
    }

    /// A target that is not registered is shown as `unused`, with the reason `Target.NotRegistered`.
    ///
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html>
    async fn health(&self, arn: &str, id: &InstanceId) -> Result<Option<TargetHealth>, Error> {
        let answer = self
            .client
            .describe_target_health()
            .target_group_arn(arn)
            .targets(target(id))
            .send()
            .await;
        let answer = match answer {
            Err(error) if matches!(code(&error), Some(NOT_FOUND | INVALID_TARGET)) => {
                return Ok(None);
            }
            answer => answer.map_err(|error| classify(DESCRIBE_HEALTH, arn, error))?,
        };
        let found = answer
            .target_health_descriptions
            .unwrap_or_default()
            .into_iter()
            .filter_map(|described| described.target_health)
            .next();
        let Some(health) = found else {
            return Ok(None);
        };
        let reason = health.reason.map(|reason| reason.as_str().to_owned());
        if reason.as_deref() == Some("Target.NotRegistered") {
            return Ok(None);
        }
        let state = health
            .state
            .ok_or_else(|| incomplete(DESCRIBE_HEALTH, arn, "state"))?;
        Ok(Some(TargetHealth {
            state: state.as_str().into(),
            reason,
            description: health.description,
        }))
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html>
    async fn register(&self, arn: &str, id: &InstanceId) -> Result<RegisterAnswer, Error> {
        let answer = self
            .client
            .register_targets()
            .target_group_arn(arn)
            .targets(target(id))
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(RegisterAnswer::Registered);
        };
        let error_code = code(&error).unwrap_or_default().to_owned();
        let text = message(&error).unwrap_or_default().to_owned();
        let fault = |remedy: &str| {
            Fault::new(REGISTER, arn, text.clone(), remedy).with_code(error_code.clone())
        };
        if error_code == INVALID_TARGET {
            return Ok(RegisterAnswer::Busy(fault(
                "No action needed. The instance is registered when it is running.",
            )));
        }
        if REJECTED.contains(&error_code.as_str()) {
            return Ok(RegisterAnswer::Rejected(fault(
                "Request a higher quota, or remove targets.",
            )));
        }
        Err(classify(REGISTER, arn, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const GROUP: &str = "arn:aws:elasticloadbalancing:us-west-2:1:targetgroup/web/1";

    fn answering(answers: impl IntoIterator<Item = Answer>) -> (Wire, LoadBalancing) {
        let wire = Wire::answering(answers);
        let balancing = LoadBalancing::new(&wire.config());
        (wire, balancing)
    }

    fn id() -> InstanceId {
        InstanceId::new("i-1")
    }

    fn groups() -> Answer {
        groups_used_by("")
    }

    fn groups_used_by(balancers: &str) -> Answer {
        let inner = format!(
            "<TargetGroups><member><TargetGroupArn>{GROUP}</TargetGroupArn><TargetType>instance</TargetType><VpcId>vpc-1</VpcId><LoadBalancerArns>{balancers}</LoadBalancerArns></member></TargetGroups>"
        );
        Answer::query("DescribeTargetGroups", &inner)
    }

    fn health(inner: &str) -> Answer {
        let inner = format!(
            "<TargetHealthDescriptions><member><Target><Id>i-1</Id></Target><TargetHealth>{inner}</TargetHealth></member></TargetHealthDescriptions>"
        );
        Answer::query("DescribeTargetHealth", &inner)
    }

    #[tokio::test]
    async fn describes_a_target_group() {
        let (_, balancing) = answering([groups()]);
        let group = balancing.describe(GROUP).await.unwrap().unwrap();
        assert_eq!(group.kind.as_str(), "instance");
        assert_eq!(group.vpc.as_deref(), Some("vpc-1"));
        assert_eq!(group.load_balancers, Vec::<String>::new());
        let (_, balancing) = answering([groups_used_by("<member>arn:1</member>")]);
        let group = balancing.describe(GROUP).await.unwrap().unwrap();
        assert_eq!(group.load_balancers, ["arn:1"]);
        let (_, balancing) = answering([Answer::query_error(400, NOT_FOUND, "none")]);
        assert_eq!(balancing.describe(GROUP).await.unwrap(), None);
    }

    #[tokio::test]
    async fn reads_the_health_of_a_target() {
        let (_, balancing) = answering([health("<State>healthy</State>")]);
        let found = balancing.health(GROUP, &id()).await.unwrap().unwrap();
        assert_eq!(found.state.as_str(), "healthy");
        let absent = health("<State>unused</State><Reason>Target.NotRegistered</Reason>");
        let (_, balancing) = answering([absent]);
        assert_eq!(balancing.health(GROUP, &id()).await.unwrap(), None);
        let unused = health("<State>unused</State><Reason>Target.NotInUse</Reason>");
        let (_, balancing) = answering([unused]);
        let found = balancing.health(GROUP, &id()).await.unwrap().unwrap();
        assert!(found.is_not_in_use() && !found.is_not_checked());
    }

    #[tokio::test]
    async fn registers_a_target() {
        let done = Answer::query("RegisterTargets", "");
        let (wire, balancing) = answering([done]);
        let answer = balancing.register(GROUP, &id()).await.unwrap();
        assert!(matches!(answer, RegisterAnswer::Registered));
        assert_eq!(wire.only().form()["Targets.member.1.Id"], "i-1");
        for (code, is_busy) in [("InvalidTarget", true), ("TooManyTargets", false)] {
            let (_, balancing) = answering([Answer::query_error(400, code, "no")]);
            let answer = balancing.register(GROUP, &id()).await.unwrap();
            assert_eq!(matches!(answer, RegisterAnswer::Busy(_)), is_busy, "{code}");
        }
        let (_, balancing) = answering([Answer::query_error(400, NOT_FOUND, "none")]);
        balancing.register(GROUP, &id()).await.unwrap_err();
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let (wire, balancing) = answering([
            groups(),
            health("<State>healthy</State>"),
            Answer::query("RegisterTargets", ""),
        ]);
        balancing.describe(GROUP).await.unwrap();
        balancing.health(GROUP, &id()).await.unwrap();
        balancing.register(GROUP, &id()).await.unwrap();
        assert_eq!(wire.actions(), listed(LoadBalancing::ACTIONS));
        assert_eq!(
            called_in("elasticloadbalancing", include_str!("load_balancing.rs")),
            listed(LoadBalancing::ACTIONS)
        );
    }
}
