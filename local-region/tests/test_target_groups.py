"""Target groups: who can be registered, and how a target's health comes about."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from file_systems import Network, make_network
from running_region import REGION, RunningRegion, refusal
from stores import tag_list, unique
from test_database_rights import allow
from test_drills import client_of, waited

IMAGE = "ami-0123456789abcdef0"
DRILL = {"recovery:drill": "shop-drill"}


@pytest.fixture(scope="module")
def network(region: RunningRegion) -> Network:
    """A network."""
    return make_network(region)


def launch(region: RunningRegion, subnet: str) -> str:
    """An instance that runs; its id."""
    ec2 = region.client("ec2")
    return ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][0]["InstanceId"]


def make_group(region: RunningRegion, network: Network, in_use: bool = True, **params: Any) -> str:
    """A target group, by default one that a load balancer in the first zone uses; its ARN."""
    elb = region.client("elbv2")
    given = {"Name": unique("tg"), "Protocol": "HTTP", "Port": 8080, "VpcId": network.vpc} | params
    arn = elb.create_target_group(**given)["TargetGroups"][0]["TargetGroupArn"]
    if in_use:
        balancer = elb.create_load_balancer(Name=unique("lb"), Subnets=[network.first])["LoadBalancers"][0]
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
        )
    return arn


def health(region: RunningRegion, group: str, *targets: str) -> list[tuple[str, str, str | None]]:
    """The id, state and reason of targets of a group, of all if none is named."""
    named = {"Targets": [{"Id": each} for each in targets]} if targets else {}
    found = region.client("elbv2").describe_target_health(TargetGroupArn=group, **named)["TargetHealthDescriptions"]
    return [(e["Target"]["Id"], e["TargetHealth"]["State"], e["TargetHealth"].get("Reason")) for e in found]


def register(region: RunningRegion, group: str, *targets: str, **params: Any) -> None:
    """Register targets."""
    region.client("elbv2").register_targets(TargetGroupArn=group, Targets=[{"Id": each} | params for each in targets])


def test_registered_instance_becomes_healthy(region: RunningRegion, network: Network) -> None:
    group, instance = make_group(region, network), launch(region, network.first)
    assert health(region, group, instance) == [(instance, "unused", "Target.NotRegistered")]
    register(region, group, instance)
    region.wait_until_idle()
    (found,) = region.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    assert found["Target"] == {"Id": instance, "Port": 8080} and found["HealthCheckPort"] == "8080"
    assert found["TargetHealth"] == {"State": "healthy"}
    # A repetition changes nothing; another port is another target.
    register(region, group, instance)
    assert health(region, group) == [(instance, "healthy", None)]
    register(region, group, instance, Port=9090)
    region.wait_until_idle()
    assert health(region, group) == [(instance, "healthy", None)] * 2


def test_targets_can_be_unhealthy(region: RunningRegion, network: Network) -> None:
    group, instance = make_group(region, network), launch(region, network.first)
    name = group.split("/")[1]
    region.post("status-ends", {"name": name, "status": "unhealthy"})
    register(region, group, instance)
    region.wait_until_idle()
    assert health(region, group) == [(instance, "unhealthy", "Target.FailedHealthChecks")]
    region.post("status-ends", {"name": name, "status": None})
    assert health(region, group) == [(instance, "healthy", None)]


def test_targets_that_get_no_requests_are_unused(region: RunningRegion, network: Network) -> None:
    alone, used = make_group(region, network, in_use=False), make_group(region, network)
    first, second = launch(region, network.first), launch(region, network.second)
    register(region, alone, first)
    register(region, used, first, second)
    region.wait_until_idle()
    assert health(region, alone) == [(first, "unused", "Target.NotInUse")]
    elb = region.client("elbv2")
    (unused, in_use) = (elb.describe_target_groups(TargetGroupArns=[e])["TargetGroups"][0] for e in (alone, used))
    assert unused["LoadBalancerArns"] == [] and len(in_use["LoadBalancerArns"]) == 1
    # The load balancer does not serve the second zone.
    assert health(region, used) == [(first, "healthy", None), (second, "unused", "Target.NotInUse")]
    ec2 = region.client("ec2")
    ec2.stop_instances(InstanceIds=[first])
    assert health(region, used, first) == [(first, "unused", "Target.InvalidState")]
    ec2.terminate_instances(InstanceIds=[first])
    assert health(region, used) == [(second, "unused", "Target.NotInUse")]


def test_only_running_instances_of_the_network_are_registered(region: RunningRegion, network: Network) -> None:
    group, stopped = make_group(region, network), launch(region, network.first)
    region.client("ec2").stop_instances(InstanceIds=[stopped])
    foreign = launch(region, make_network(region).first)
    for target, message in (
        (stopped, f"not in a running state and cannot be registered: '{stopped}'"),
        (foreign, f"not in the target group VPC '{network.vpc}': '{foreign}'"),
        ("i-00000000000000000", "Instance ID 'i-00000000000000000' is not valid"),
    ):
        code, text = refusal(lambda target=target: register(region, group, target))
        assert code == "InvalidTarget" and message in text
    assert health(region, group) == []
    ips = make_group(region, network, TargetType="ip")
    assert refusal(lambda: register(region, ips, "10.8.0.x"))[0] == "InvalidTarget"
    register(region, ips, "10.8.0.9")
    region.wait_until_idle()
    assert health(region, ips) == [("10.8.0.9", "healthy", None)]


def test_group_that_does_not_exist(region: RunningRegion, network: Network) -> None:
    elb, group = region.client("elbv2"), make_group(region, network, in_use=False)
    elb.delete_target_group(TargetGroupArn=group)
    name = group.split("/")[1]
    for call in (
        lambda: register(region, group, "i-00000000000000000"),
        lambda: health(region, group),
        lambda: elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": "i-00000000000000000"}]),
        lambda: elb.describe_target_groups(TargetGroupArns=[group]),
        lambda: elb.describe_target_groups(Names=[name]),
        lambda: elb.describe_tags(ResourceArns=[group]),
    ):
        assert refusal(call)[0] == "TargetGroupNotFound"


def test_name_is_not_an_arn(region: RunningRegion) -> None:
    elb, targets = region.client("elbv2"), [{"Id": "i-00000000000000000"}]
    for call in (
        lambda: register(region, "web", "i-00000000000000000"),
        lambda: health(region, "web"),
        lambda: elb.deregister_targets(TargetGroupArn="web", Targets=targets),
        lambda: elb.describe_target_groups(TargetGroupArns=["web"]),
    ):
        code, message = refusal(call)
        assert code == "ValidationError" and message == "'web' is not a valid target group ARN"


def test_deregistered_target_goes(region: RunningRegion, network: Network) -> None:
    group, instance = make_group(region, network), launch(region, network.first)
    elb = region.client("elbv2")
    # What is not registered is no error.
    elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": instance}])
    register(region, group, instance)
    elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": instance}])
    region.wait_until_idle()
    assert health(region, group) == []


@pytest.fixture
def slow() -> Iterator[RunningRegion]:
    """A Region in which a target is registered, and deregistered, in no test."""
    running = RunningRegion("--target-seconds", "600")
    yield running
    assert running.stop() == 0


def test_registration_and_deregistration_take_time(slow: RunningRegion) -> None:
    network = make_network(slow)
    group, instance = make_group(slow, network), launch(slow, network.first)
    register(slow, group, instance)
    assert health(slow, group) == [(instance, "initial", "Elb.RegistrationInProgress")]
    slow.client("elbv2").deregister_targets(TargetGroupArn=group, Targets=[{"Id": instance}])
    assert health(slow, group) == [(instance, "draining", "Target.DeregistrationInProgress")]
    register(slow, group, instance)
    assert health(slow, group) == [(instance, "initial", "Elb.RegistrationInProgress")]


def test_stack_makes_a_target_group(region: RunningRegion, network: Network) -> None:
    cloudformation, name, instance = region.client("cloudformation"), unique("stack"), launch(region, network.first)
    properties = {
        "VpcId": network.vpc,
        "Protocol": "HTTP",
        "Port": 8080,
        "Targets": [{"Id": instance}, {"Id": instance, "Port": "9090"}],
    }
    template = {"Resources": {"Web": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": properties}}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Tags=tag_list(DRILL))
    waited(region, cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"], "CREATE_COMPLETE")
    resource = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="Web")["StackResourceDetail"]
    arn = resource["PhysicalResourceId"]
    elb = region.client("elbv2")
    (group,) = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"]
    assert group["VpcId"] == network.vpc and len(health(region, arn)) == 2
    (described,) = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    assert tags["recovery:drill"] == DRILL["recovery:drill"] and tags["aws:cloudformation:logical-id"] == "Web"
    filters = [{"Key": "aws:cloudformation:stack-name", "Values": [name]}]
    tagging = region.client("resourcegroupstaggingapi")
    (found,) = tagging.get_resources(TagFilters=filters)["ResourceTagMappingList"]
    assert found["ResourceARN"] == arn


def test_rights_on_target_groups(region: RunningRegion, network: Network) -> None:
    own, foreign = make_group(region, network, Tags=tag_list(DRILL)), make_group(region, network)
    instance = launch(region, network.first)
    groups = f"arn:aws:elasticloadbalancing:{REGION}:*:targetgroup/*"
    of_drill = {"StringEquals": {"aws:ResourceTag/recovery:drill": "shop-drill"}}
    changes = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
    elb = client_of(region, "elbv2", allow([*changes, "elasticloadbalancing:AddTags"], groups, **of_drill))
    targets = {"Targets": [{"Id": instance}]}
    elb.register_targets(TargetGroupArn=own, **targets)
    elb.deregister_targets(TargetGroupArn=own, **targets)
    elb.add_tags(ResourceArns=[own], Tags=tag_list({"a": "1"}))
    for call in (
        lambda: elb.register_targets(TargetGroupArn=foreign, **targets),
        lambda: elb.deregister_targets(TargetGroupArn=foreign, **targets),
        lambda: elb.add_tags(ResourceArns=[foreign], Tags=tag_list({"a": "1"})),
        lambda: elb.describe_target_health(TargetGroupArn=own),
    ):
        assert refusal(call)[0] == "AccessDenied"
    # Reading knows no resources.
    narrow = client_of(region, "elbv2", allow("elasticloadbalancing:Describe*", groups))
    assert refusal(lambda: narrow.describe_target_health(TargetGroupArn=own))[0] == "AccessDenied"
    every = client_of(region, "elbv2", allow("elasticloadbalancing:Describe*", "*"))
    every.describe_target_health(TargetGroupArn=own)
    every.describe_target_groups(TargetGroupArns=[own])


def test_faults_speak_the_protocol_of_the_service(region: RunningRegion, network: Network) -> None:
    group = make_group(region, network)
    fault = {"service": "elasticloadbalancing", "operation": "DescribeTargetHealth", "caller": "operator"}
    region.post("faults", [fault | {"kind": "throttled"}, fault | {"kind": "server-error", "status": 503}])
    assert refusal(lambda: health(region, group))[0] == "Throttling"
    assert refusal(lambda: health(region, group))[0] == "ServiceUnavailable"
    assert health(region, group) == []
