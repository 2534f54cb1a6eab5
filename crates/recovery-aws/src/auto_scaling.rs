//! EC2 Auto Scaling: the members of a group.

use aws_sdk_autoscaling::Client;
use recovery_core::aws::arn::InstanceId;
use recovery_core::aws::auto_scaling::{Group, Member};
use recovery_core::error::Error;
use recovery_core::ports::AutoScalingGroups;

use crate::client::{Config, Lazy, client};
use crate::cloudformation::ABSENT;
use crate::error::{classify, incomplete};

/// EC2 Auto Scaling in the recovery Region.
#[derive(Debug)]
pub struct AutoScaling {
    client: Lazy<Client>,
}

const DESCRIBE_GROUPS: &str = "autoscaling:DescribeAutoScalingGroups";

impl AutoScaling {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[DESCRIBE_GROUPS];

    pub fn new(config: &Config) -> AutoScaling {
        AutoScaling {
            client: client!(config, aws_sdk_autoscaling),
        }
    }
}

impl AutoScalingGroups for AutoScaling {
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html>
    async fn describe(&self, name: &str) -> Result<Option<Group>, Error> {
        // A group stands on one page with all its members.
        let answer = self
            .client
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(name)
            .send()
            .await
            .map_err(|error| classify(DESCRIBE_GROUPS, name, error))?;
        let Some(group) = answer
            .auto_scaling_groups
            .unwrap_or_default()
            .into_iter()
            .find(|group| group.auto_scaling_group_name.as_deref() == Some(name))
        else {
            return Ok(None);
        };
        let missing = |member| incomplete(DESCRIBE_GROUPS, name, member);
        let members = group
            .instances
            .unwrap_or_default()
            .into_iter()
            .map(|member| {
                Ok(Member {
                    instance: InstanceId::new(
                        member
                            .instance_id
                            .filter(|id| !id.is_empty())
                            .ok_or_else(|| missing("id of an instance"))?,
                    ),
                    lifecycle: member
                        .lifecycle_state
                        .filter(|state| state.as_str() != ABSENT)
                        .ok_or_else(|| missing("lifecycle state of an instance"))?
                        .as_str()
                        .to_owned(),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Some(Group {
            desired: group
                .desired_capacity
                .and_then(|desired| usize::try_from(desired).ok())
                .ok_or_else(|| missing("desired capacity"))?,
            members,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    async fn described(wire: &Wire) -> Result<Option<Group>, Error> {
        AutoScaling::new(&wire.config())
            .describe("shop-Group-1ABC")
            .await
    }

    fn groups(inner: &str) -> Answer {
        Answer::query(
            "DescribeAutoScalingGroups",
            &format!("<AutoScalingGroups>{inner}</AutoScalingGroups>"),
        )
    }

    fn group(name: &str, instances: &str) -> String {
        format!(
            "<member><AutoScalingGroupName>{name}</AutoScalingGroupName><MinSize>1</MinSize><MaxSize>2</MaxSize>\
             <DesiredCapacity>1</DesiredCapacity><DefaultCooldown>300</DefaultCooldown>\
             <AvailabilityZones><member>us-west-2a</member></AvailabilityZones><HealthCheckType>EC2</HealthCheckType>\
             <CreatedTime>2026-11-23T06:00:00Z</CreatedTime><Instances>{instances}</Instances></member>"
        )
    }

    fn member(id: &str, lifecycle: &str) -> String {
        format!(
            "<member><InstanceId>{id}</InstanceId><AvailabilityZone>us-west-2a</AvailabilityZone>\
             <LifecycleState>{lifecycle}</LifecycleState><HealthStatus>Healthy</HealthStatus>\
             <ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
        )
    }

    #[tokio::test]
    async fn describes_a_group_by_name_with_lifecycle_states() {
        let members = [
            ("i-1", "InService"),
            ("i-2", "Terminating:Wait"),
            ("i-3", "Warmed:Running"),
            ("i-4", "UnheardOf"),
        ];
        let listed: String = members.map(|(id, state)| member(id, state)).concat();
        let wire = Wire::answering([groups(&group("shop-Group-1ABC", &listed))]);
        let group = described(&wire).await.unwrap().unwrap();
        assert_eq!(group.desired, 1);
        let found: Vec<(&str, &str)> = group
            .members
            .iter()
            .map(|member| (member.instance.as_str(), member.lifecycle.as_str()))
            .collect();
        assert_eq!(found, members);
        assert_eq!(
            wire.only().action(),
            "autoscaling:DescribeAutoScalingGroups"
        );
        let form = wire.only().form();
        assert_eq!(form["AutoScalingGroupNames.member.1"], "shop-Group-1ABC");
    }

    #[tokio::test]
    async fn returns_none_for_a_missing_group() {
        let other = group("shop-Group-1ABCD", "");
        for answer in ["", &other] {
            let wire = Wire::answering([groups(answer)]);
            assert_eq!(described(&wire).await.unwrap(), None);
        }
        let wire = Wire::answering([groups(&group("shop-Group-1ABC", ""))]);
        assert_eq!(described(&wire).await.unwrap().unwrap().members, []);
    }

    #[tokio::test]
    async fn names_the_missing_field_of_a_member() {
        for (instance, missing) in [
            (
                "<LifecycleState>InService</LifecycleState>",
                "id of an instance",
            ),
            (
                "<InstanceId>i-1</InstanceId>",
                "lifecycle state of an instance",
            ),
        ] {
            let listed = format!("<member>{instance}</member>");
            let wire = Wire::answering([groups(&group("shop-Group-1ABC", &listed))]);
            let error = described(&wire).await.unwrap_err();
            assert_eq!(error.error_type(), "Permanent");
            assert!(error.fault().message().ends_with(missing), "{error}");
        }
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([groups("")]);
        described(&wire).await.unwrap();
        assert_eq!(wire.actions(), listed(AutoScaling::ACTIONS));
        assert_eq!(
            called_in("autoscaling", include_str!("auto_scaling.rs")),
            listed(AutoScaling::ACTIONS)
        );
    }
}
