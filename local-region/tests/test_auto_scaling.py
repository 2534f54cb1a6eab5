"""Auto Scaling groups: the lifecycle states of their members, hooks, warm pools and instance refreshes."""

from pathlib import Path
from typing import Any

import pytest
from running_region import REGION, RunningRegion, refusal

TEMPLATES = Path(__file__).with_name("templates")
LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"


@pytest.fixture(scope="module")
def stack(region: RunningRegion) -> dict[str, Any]:
    """A stack with a group of one instance."""
    return region.deploy(TEMPLATES / "workload.yaml", "groups", "--parameter", f"Zone={REGION}a")


@pytest.fixture
def group(region: RunningRegion, stack: dict[str, Any]) -> str:
    """The name of the group, which has one instance and no hooks."""
    name, autoscaling = stack["resources"]["Group"], region.client("autoscaling")
    for hook in autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]:
        autoscaling.delete_lifecycle_hook(AutoScalingGroupName=name, LifecycleHookName=hook["LifecycleHookName"])
    for instance_id in (each for each, state in members(region, name).items() if state.endswith(":Wait")):
        complete(region, name, instance_id)
    assert list(members(region, name).values()) == ["InService"]
    return name


def members(region: RunningRegion, group: str) -> dict[str, str]:
    """Lifecycle states by instance, as DescribeAutoScalingGroups returns them."""
    (described,) = region.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])[
        "AutoScalingGroups"
    ]
    return {each["InstanceId"]: each["LifecycleState"] for each in described["Instances"]}


def shown(region: RunningRegion, group: str) -> set[str]:
    """The running instances with the group's tag, as DescribeInstances returns them."""
    filters = [
        {"Name": "tag:aws:autoscaling:groupName", "Values": [group]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    reservations = region.client("ec2").describe_instances(Filters=filters)["Reservations"]
    return {each["InstanceId"] for reservation in reservations for each in reservation["Instances"]}


def hook(region: RunningRegion, group: str, transition: str) -> None:
    """Hold the group's instances at a transition."""
    region.client("autoscaling").put_lifecycle_hook(
        AutoScalingGroupName=group,
        LifecycleHookName=transition.rpartition(":")[2],
        LifecycleTransition=transition,
    )


def complete(region: RunningRegion, group: str, instance_id: str) -> None:
    """Complete the hook of an instance."""
    region.client("autoscaling").complete_lifecycle_action(
        AutoScalingGroupName=group,
        LifecycleHookName="any",
        InstanceId=instance_id,
        LifecycleActionResult="CONTINUE",
    )


def test_terminated_member_runs_until_its_hook_completes(region: RunningRegion, group: str) -> None:
    hook(region, group, TERMINATING)
    (old,) = members(region, group)
    autoscaling = region.client("autoscaling")
    autoscaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
    assert members(region, group) == {old: "Terminating:Wait"}
    # It does not count: the group launches another one.
    autoscaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
    (new,) = set(members(region, group)) - {old}
    assert members(region, group) == {old: "Terminating:Wait", new: "InService"}
    assert shown(region, group) == {old, new}
    complete(region, group, old)
    assert members(region, group) == {new: "InService"} and shown(region, group) == {new}
    code, _ = refusal(lambda: complete(region, group, new))
    assert code == "ValidationError"


def test_instance_refresh_launches_before_it_terminates(region: RunningRegion, group: str) -> None:
    for transition in (LAUNCHING, TERMINATING):
        hook(region, group, transition)
    (old,) = members(region, group)
    region.client("autoscaling").start_instance_refresh(AutoScalingGroupName=group)
    (new,) = set(members(region, group)) - {old}
    assert members(region, group) == {old: "InService", new: "Pending:Wait"}
    complete(region, group, new)
    assert members(region, group) == {old: "Terminating:Wait", new: "InService"}
    complete(region, group, old)
    assert members(region, group) == {new: "InService"}


def test_refresh_without_hooks_replaces_at_once(region: RunningRegion, group: str) -> None:
    (old,) = members(region, group)
    region.client("autoscaling").start_instance_refresh(AutoScalingGroupName=group)
    (new,) = members(region, group)
    assert new != old and members(region, group)[new] == "InService" and shown(region, group) == {new}


@pytest.mark.parametrize(("state", "runs"), [("Running", True), ("Stopped", False)])
def test_warm_pool_has_the_group_tag_but_no_members(region: RunningRegion, group: str, state: str, runs: bool) -> None:
    autoscaling = region.client("autoscaling")
    before = members(region, group)
    autoscaling.put_warm_pool(AutoScalingGroupName=group, MinSize=1, PoolState=state)
    (warm,) = autoscaling.describe_warm_pool(AutoScalingGroupName=group)["Instances"]
    assert warm["LifecycleState"] == f"Warmed:{state}"
    assert members(region, group) == before
    assert (warm["InstanceId"] in shown(region, group)) is runs
    autoscaling.delete_warm_pool(AutoScalingGroupName=group)
    assert shown(region, group) == set(before)
