"""The clean-up of a drill: it terminates instances that were restored from an image, by their tag."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from file_systems import Network, make_network
from running_region import refusal
from stores import tag_list, unique
from test_drill_cleanup import TAG, Project, failed, succeeded
from test_drills import client_of

IMAGE = "ami-0123456789abcdef0"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A Region in which the template is deployed."""
    made = Project(tmp_path_factory.mktemp("functions"))
    yield made
    assert made.region.stop() == 0


@pytest.fixture(scope="module")
def network(project: Project) -> Network:
    """A network in the Region."""
    return make_network(project.region)


def launch(project: Project, network: Network, tags: dict[str, str], count: int = 1, **params: Any) -> list[str]:
    """Instances with tags; their ids."""
    given = {"TagSpecifications": [{"ResourceType": "instance", "Tags": tag_list(tags)}]} if tags else {}
    made = project.region.client("ec2").run_instances(
        ImageId=IMAGE, MinCount=count, MaxCount=count, SubnetId=network.first, **given, **params
    )
    return [each["InstanceId"] for each in made["Instances"]]


def states(project: Project, ids: list[str]) -> list[str]:
    """The states of instances."""
    found = project.region.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
    by_id = {each["InstanceId"]: each["State"]["Name"] for group in found for each in group["Instances"]}
    return [by_id[each] for each in ids]


def test_terminates_the_instances_of_a_drill_and_no_others(project: Project, network: Network) -> None:
    drill, ec2 = unique("d"), project.region.client("ec2")
    running, stopped = launch(project, network, {TAG: drill}, 2)
    ec2.stop_instances(InstanceIds=[stopped])
    others = [
        *launch(project, network, {TAG: unique("other")}),
        *launch(project, network, {"Name": drill}),
        *launch(project, network, {}),
    ]
    succeeded(project.clean_up(drill))
    assert states(project, [running, stopped]) == ["terminated"] * 2
    assert states(project, others) == ["running"] * 3
    # A second clean-up has nothing to do.
    succeeded(project.clean_up(drill))


def test_terminates_more_than_a_page(project: Project, network: Network) -> None:
    drill = unique("d")
    made = launch(project, network, {TAG: drill}, 45)
    succeeded(project.clean_up(drill))
    assert states(project, made) == ["terminated"] * 45


def test_leaves_instances_of_the_stack_to_the_stack(project: Project, network: Network) -> None:
    drill, cloudformation = unique("d"), project.region.client("cloudformation")
    server = {
        "Type": "AWS::EC2::Instance",
        "Properties": {"ImageId": IMAGE, "InstanceType": "t3.micro", "SubnetId": network.first},
    }
    name = f"shop-{drill}"
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps({"Resources": {"Server": server}}), Tags=tag_list({TAG: drill})
    )
    project.region.wait_until_idle()
    detail = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="Server")["StackResourceDetail"]
    own, restored = detail["PhysicalResourceId"], launch(project, network, {TAG: drill})
    sent = len(project.region.journal("call", operation="TerminateInstances"))
    succeeded(project.clean_up(drill, name))
    assert states(project, restored) == ["terminated"]
    # One call of the clean-up; the stack deleted its own.
    assert len(project.region.journal("call", operation="TerminateInstances")) == sent + 1
    left = project.region.client("ec2").describe_instances(
        Filters=[{"Name": "instance-id", "Values": [own]}, {"Name": "instance-state-name", "Values": ["running"]}]
    )
    assert left["Reservations"] == []


def test_reports_what_it_may_not_terminate(project: Project, network: Network) -> None:
    drill = unique("d")
    (ours,) = launch(project, network, {TAG: drill, "recovery:workload": "shop"})
    (protected,) = launch(project, network, {TAG: drill}, DisableApiTermination=True)
    failed(project.clean_up(drill))
    assert states(project, [ours, protected]) == ["running"] * 2
    message = project.notification(drill)
    assert ours in message and protected in message


def test_role_terminates_nothing_without_the_tag(project: Project, network: Network) -> None:
    iam = project.region.client("iam")
    document = iam.get_role_policy(RoleName=project.resources["DrillCleanupRole"], PolicyName="drill-cleanup")
    ec2 = client_of(project.region, "ec2", *document["PolicyDocument"]["Statement"])
    plain = launch(project, network, {})
    both = launch(project, network, {TAG: "d", "recovery:workload": "shop"})
    for ids in (plain, both):
        assert refusal(lambda ids=ids: ec2.terminate_instances(InstanceIds=ids))[0] == "UnauthorizedOperation"
        assert refusal(lambda ids=ids: ec2.create_tags(Resources=ids, Tags=tag_list({TAG: "d"})))[0] == (
            "UnauthorizedOperation"
        )
        assert refusal(lambda ids=ids: ec2.stop_instances(InstanceIds=ids))[0] == "UnauthorizedOperation"
