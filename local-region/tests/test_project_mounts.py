"""Agents and commands, and the project's runbook MountFileSystem: deployed from its template, with its own role."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import write_binary
from running_region import RunningRegion, refusal

PROJECT = Path(__file__).parents[2]
AGENTS = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
PATH = "/srv/data"
# The server runs with the rights of the tests.
IS_REAL = os.geteuid() == 0


@pytest.fixture(scope="module")
def stack(region: RunningRegion, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The resources of the deployed template, by logical id, and a profile with which agents connect."""
    binaries = tmp_path_factory.mktemp("functions")
    for function in (PROJECT / "functions").iterdir():
        write_binary(binaries / function.name)
    options = ["--parameter", "PrimaryRegion=us-east-1", "--parameter", "Architecture=x86_64"]
    iam = region.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    for name in ("agents", "nothing"):
        iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.attach_role_policy(RoleName="agents", PolicyArn=AGENTS)
    deployed = region.deploy(PROJECT / "template.yaml", "rapid-recovery", "--binaries", str(binaries), *options)
    return deployed["resources"]


def instance(region: RunningRegion, profile: str | None = "agents", workload: str | None = "shop") -> str:
    """A running instance."""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "recovery:workload", "Value": workload}]}]
    made = region.client("ec2").run_instances(
        ImageId="ami-0123456789abcdef0",
        MinCount=1,
        MaxCount=1,
        **({"IamInstanceProfile": {"Name": profile}} if profile else {}),
        **({"TagSpecifications": tags} if workload else {}),
    )
    return made["Instances"][0]["InstanceId"]


def attached(region: RunningRegion, to: str) -> str:
    """A volume that is attached to an instance."""
    ec2 = region.client("ec2")
    zone = ec2.describe_instances(InstanceIds=[to])["Reservations"][0]["Instances"][0]["Placement"]["AvailabilityZone"]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    region.wait_until_idle()
    ec2.attach_volume(VolumeId=volume, InstanceId=to, Device="/dev/sdf")
    region.wait_until_idle()
    return volume


def mount(region: RunningRegion, stack: dict[str, str], *instances: str, **given: str) -> dict[str, Any]:
    """Run the runbook to its end. Returns the execution."""
    ssm = region.client("ssm")
    parameters = {"InstanceIds": list(instances)} | {name: [value] for name, value in given.items()}
    started = ssm.start_automation_execution(
        DocumentName=stack["MountFileSystem"], Parameters=parameters, ClientToken=str(uuid.uuid4())
    )
    region.wait_until_idle()
    return ssm.get_automation_execution(AutomationExecutionId=started["AutomationExecutionId"])["AutomationExecution"]


def results(execution: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers of the instances."""
    (text,) = execution["Outputs"]["mount.Results"]
    return json.loads(text)


def runs(region: RunningRegion, at: str) -> list[dict[str, Any]]:
    """What ran in the guest of an instance."""
    return region.journal("guest", instance=at)


def agents(region: RunningRegion) -> set[str]:
    """The instances whose agents are connected."""
    listed = region.client("ssm").describe_instance_information()["InstanceInformationList"]
    return {agent["InstanceId"] for agent in listed}


def test_an_agent_needs_a_profile_that_allows_it(region: RunningRegion, stack: dict[str, str]) -> None:
    with_agent, without, forbidden = instance(region), instance(region, None), instance(region, "nothing")
    # The delay begins when the instance is first looked for.
    assert with_agent not in agents(region)
    while with_agent not in agents(region):
        pass
    assert not {without, forbidden} & agents(region)
    region.client("ec2").stop_instances(InstanceIds=[with_agent])
    assert with_agent not in agents(region)


def test_the_runbook_mounts_a_volume_once(region: RunningRegion, stack: dict[str, str]) -> None:
    at = instance(region)
    volume = attached(region, at)
    given = {"Type": "EBS", "Source": volume, "Path": PATH}
    done = mount(region, stack, at, **given)
    assert done["AutomationExecutionStatus"] == "Success", done.get("FailureMessage")
    (answer,) = results(done)
    assert (answer["instanceId"], answer["outcome"], answer["fileSystem"]) == (at, "mounted", "ext4")
    (run,) = runs(region, at)
    assert (run["ran"], run["path"], run["source"]) == ("script" if IS_REAL else "recorded", PATH, volume)
    if not IS_REAL:
        return
    (answer,) = results(mount(region, stack, at, **given))
    assert answer["outcome"] == "already-mounted"
    # Another volume is refused there.
    other = attached_as(region, at, "/dev/sdg")
    (answer,) = results(mount(region, stack, at, Type="EBS", Source=other, Path=PATH))
    assert (answer["outcome"], answer["reason"]) == ("refused", "path-mounted-from-other")


def attached_as(region: RunningRegion, to: str, device: str) -> str:
    """Another volume, attached under a device name."""
    ec2 = region.client("ec2")
    zone = ec2.describe_instances(InstanceIds=[to])["Reservations"][0]["Instances"][0]["Placement"]["AvailabilityZone"]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    region.wait_until_idle()
    ec2.attach_volume(VolumeId=volume, InstanceId=to, Device=device)
    region.wait_until_idle()
    return volume


def test_what_is_not_run_says_so(region: RunningRegion, stack: dict[str, str]) -> None:
    at = instance(region)
    done = mount(region, stack, at, Type="EFS", Source="fs-0123456789abcdef0", Path="/srv/shared")
    assert done["AutomationExecutionStatus"] == "Success", done.get("FailureMessage")
    (run,) = runs(region, at)
    assert run["ran"] == "recorded"
    assert "no file server for EFS" in run["why"] or not IS_REAL
    (command,) = [each for each in region.client("ssm").list_commands()["Commands"] if each["InstanceIds"] == [at]]
    output = region.client("ssm").get_command_invocation(CommandId=command["CommandId"], InstanceId=at)
    assert output["StandardOutputContent"].startswith("The local Region did not run this.")


def test_instances_without_agent_or_tag_are_named(region: RunningRegion, stack: dict[str, str]) -> None:
    mounted, silent, foreign = instance(region), instance(region, None), instance(region, workload=None)
    done = mount(region, stack, mounted, silent, foreign, Type="EFS", Source="fs-0123456789abcdef0", Path="/srv/shared")
    assert done["AutomationExecutionStatus"] == "Failed"
    found = {each["instanceId"]: each for each in results(done)}
    assert found[mounted]["outcome"] == "mounted"
    assert found[silent]["reason"] == "agent-not-connected"
    assert found[foreign]["reason"] == "command-not-sent"
    assert "AccessDenied" in found[foreign]["found"]


def test_a_command_is_checked_as_systems_manager_checks_it(region: RunningRegion, stack: dict[str, str]) -> None:
    ssm, at = region.client("ssm"), instance(region)
    given = {"Type": ["EBS"], "Source": ["vol-0123456789abcdef0"], "Path": [PATH]}

    def sent(name: str = stack["MountRestored"], **changes: Any) -> tuple[str, str]:
        return refusal(lambda: ssm.send_command(DocumentName=name, InstanceIds=[at], Parameters=given | changes))

    # Its agent is not connected yet.
    assert sent()[0] == "InvalidInstanceId"
    assert sent("nothing")[0] == "InvalidDocument"
    assert sent(Path=["/srv/$(id)"])[0] == "InvalidParameters"
    assert sent(Type=["NTFS"])[0] == "InvalidParameters"
    assert sent(Command=["id"])[0] == "InvalidParameters"
    unknown = refusal(lambda: ssm.get_command_invocation(CommandId=str(uuid.uuid4()), InstanceId=at))
    assert unknown[0] == "InvocationDoesNotExist"
