"""The project's example of a workload, deployed as in the primary Region and as in the recovery Region."""

from pathlib import Path
from typing import Any

import pytest
from running_region import RunningRegion

EXAMPLE = Path(__file__).parents[2] / "infra" / "example-workload.yaml"
IMAGE = "ami-0123456789abcdef0"


@pytest.fixture(scope="module")
def golden_ami(region: RunningRegion) -> None:
    """The parameter that the pipeline of golden AMIs writes."""
    region.client("ssm").put_parameter(Name="/imagebuilder/golden-ami/ami", Value=IMAGE, Type="String")


def servers(region: RunningRegion, stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The instances of a stack by logical id; of a group, its one instance."""
    ec2 = region.client("ec2")
    groups = region.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[stack["resources"]["Group"]]
    )["AutoScalingGroups"]
    [member] = [instance["InstanceId"] for group in groups for instance in group["Instances"]]
    ids = {"Server": stack["resources"]["Server"], "Group": member}
    return {
        name: ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        for name, instance_id in ids.items()
    }


def volumes(region: RunningRegion, stack_name: str) -> list[dict[str, Any]]:
    """The volumes that belong to a stack after a recovery."""
    tagged = [{"Name": "tag:recovery:stack", "Values": [stack_name]}]
    return region.client("ec2").describe_volumes(Filters=tagged)["Volumes"]


@pytest.mark.usefixtures("golden_ami")
def test_primary_stack_has_data_volumes_in_the_zones_of_their_servers(region: RunningRegion) -> None:
    stack = region.deploy(EXAMPLE, "primary-side", "--parameter", "DeployedAs=primary")
    running = servers(region, stack)
    data = {
        tag["Value"]: volume
        for volume in volumes(region, "primary-side")
        for tag in volume["Tags"]
        if tag["Key"] == "recovery:logical-id"
    }
    assert set(data) == set(running)
    for name, volume in data.items():
        assert volume["Encrypted"]
        assert volume["AvailabilityZone"] == running[name]["Placement"]["AvailabilityZone"]
    [attachment] = data["Server"]["Attachments"]
    assert (attachment["InstanceId"], attachment["Device"]) == (running["Server"]["InstanceId"], "/dev/sdf")


@pytest.mark.usefixtures("golden_ami")
@pytest.mark.parametrize("endpoints", ["off", "on"])
def test_recovery_stack_has_servers_of_the_golden_ami_without_data(region: RunningRegion, endpoints: str) -> None:
    name = f"recovery-side-{endpoints}"
    if endpoints == "off":
        region.client("iam").create_instance_profile(InstanceProfileName="servers")
    options = ["DeployedAs=recovery", "InstanceProfile=servers", f"SystemsManagerEndpoints={endpoints}"]
    stack = region.deploy(EXAMPLE, name, *(word for option in options for word in ("--parameter", option)))
    running = servers(region, stack)
    zones = {server["Placement"]["AvailabilityZone"] for server in running.values()}
    assert len(zones) == 2
    for server in running.values():
        assert server["State"]["Name"] == "running" and server["ImageId"] == IMAGE
        assert {"Key": "recovery:workload", "Value": "example"} in server["Tags"]
    assert volumes(region, name) == []
    assert not any(logical_id.endswith("Volume") for logical_id in stack["resources"])
    assert ("SystemsManagerEndpoint" in stack["resources"]) == (endpoints == "on")
