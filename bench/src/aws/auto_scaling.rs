//! EC2 Auto Scaling:
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html>.

use testkit::http::Request;

use super::world::{World, ids};
use super::{Answer, query, query_error};

pub(super) fn answer(world: &mut World, request: &Request) -> (String, Answer) {
    let form = request.form();
    let action = form.get("Action").unwrap_or_default().to_owned();
    let name = form
        .get("AutoScalingGroupNames.member.1")
        .unwrap_or_default();
    let answer = if action != "DescribeAutoScalingGroups" {
        query_error("InvalidAction", "this action is not faked")
    } else if world.grouped && name == ids::GROUP {
        let (group, instance) = (ids::GROUP, ids::INSTANCE);
        query(
            &action,
            &format!(
                "<AutoScalingGroups><member><AutoScalingGroupName>{group}</AutoScalingGroupName><AutoScalingGroupARN>arn:aws:autoscaling:us-west-2:111122223333:autoScalingGroup:930d940e-891e-4781-a11a-7b0acd480f03:autoScalingGroupName/{group}</AutoScalingGroupARN><LaunchTemplate><LaunchTemplateId>lt-0a4872e2c396d941c</LaunchTemplateId><LaunchTemplateName>orders</LaunchTemplateName><Version>1</Version></LaunchTemplate><MinSize>1</MinSize><MaxSize>1</MaxSize><DesiredCapacity>1</DesiredCapacity><DefaultCooldown>300</DefaultCooldown><AvailabilityZones><member>us-west-2a</member></AvailabilityZones><LoadBalancerNames/><TargetGroupARNs/><HealthCheckType>EC2</HealthCheckType><HealthCheckGracePeriod>0</HealthCheckGracePeriod><Instances><member><InstanceId>{instance}</InstanceId><InstanceType>m6i.large</InstanceType><AvailabilityZone>us-west-2a</AvailabilityZone><LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus><LaunchTemplate><LaunchTemplateId>lt-0a4872e2c396d941c</LaunchTemplateId><LaunchTemplateName>orders</LaunchTemplateName><Version>1</Version></LaunchTemplate><ProtectedFromScaleIn>false</ProtectedFromScaleIn></member></Instances><CreatedTime>2026-10-20T14:58:40.112Z</CreatedTime><SuspendedProcesses/><VPCZoneIdentifier>subnet-0b22a22eec53b9321</VPCZoneIdentifier><EnabledMetrics/><Tags/><TerminationPolicies><member>Default</member></TerminationPolicies><NewInstancesProtectedFromScaleIn>false</NewInstancesProtectedFromScaleIn></member></AutoScalingGroups>"
            ),
        )
    } else {
        query(&action, "<AutoScalingGroups/>")
    };
    (action, answer)
}
