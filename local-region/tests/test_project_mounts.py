"""Agents and commands, and the project's runbook MountFileSystem: deployed from its template, with its own role."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import write_binary
from file_systems import Network, make_file_system, make_fsx, make_network, make_ontap, make_ontap_volume
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import PRIMARY, back_up, copy, make_vaults, restore, unique

PROJECT = Path(__file__).parents[2]
AGENTS = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
PATH = "/srv/data"
# What the rule mounts, and where.
EVENT = json.loads((PROJECT / "events/restore-completed-efs.json").read_text())
BY_RULE = {
    "MountSourceArn": EVENT["detail"]["sourceResourceArn"],
    "MountInstanceTag": "role=web",
    "MountPath": "/srv/shared",
}
OPENZFS = {"Type": "OPENZFS", "Source": "fs-1.fsx.example", "Export": "/fsx", "Path": "/srv/shared"}
# The server runs with the rights of the tests.
IS_REAL = os.geteuid() == 0


@pytest.fixture(scope="module")
def stack(region: RunningRegion, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The resources of the deployed template, by logical id, and a profile with which agents connect."""
    binaries = tmp_path_factory.mktemp("functions")
    for function in (PROJECT / "functions").iterdir():
        write_binary(binaries / function.name)
    parameters = {"PrimaryRegion": "us-east-1", "Architecture": "x86_64"} | BY_RULE
    options = [part for name, value in parameters.items() for part in ("--parameter", f"{name}={value}")]
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


@pytest.fixture(scope="module")
def network(region: RunningRegion) -> Network:
    """A network with file servers and their clients."""
    return make_network(region)


@pytest.fixture(scope="module")
def restored(region: RunningRegion, network: Network) -> tuple[str, str]:
    """A restored file system of EFS with mount targets in two zones, and its recovery point."""
    make_vaults(region)
    source = make_file_system(region, PRIMARY)
    point = copy(region, back_up(region, f"arn:aws:elasticfilesystem:{PRIMARY}:{ACCOUNT}:file-system/{source}"))
    metadata = {"file-system-id": source, "newFileSystem": "true", "CreationToken": unique("restore")}
    job = restore(region, point, metadata | {"Encrypted": "true", "PerformanceMode": "generalPurpose"})
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    fs_id = job["CreatedResourceArn"].rpartition("/")[2]
    for subnet in (network.first, network.second):
        region.client("efs").create_mount_target(FileSystemId=fs_id, SubnetId=subnet, SecurityGroups=[network.group])
    region.wait_until_idle()
    return fs_id, point


def client(
    region: RunningRegion, network: Network, subnet: str, group: str | None = None, role: str | None = None
) -> str:
    """An instance in a subnet of the network."""
    return instance(region, role=role, SubnetId=subnet, SecurityGroupIds=[group or network.group])


def addresses(region: RunningRegion, fs_id: str) -> str:
    """The addresses of the mount targets, as the runbook takes them."""
    targets = region.client("efs").describe_mount_targets(FileSystemId=fs_id)["MountTargets"]
    return " ".join(f"{each['AvailabilityZoneName']}={each['IpAddress']}" for each in targets)


def access_point(region: RunningRegion, fs_id: str, path: str, **root: Any) -> str:
    """An access point to a directory, which does not make it."""
    made = region.client("efs").create_access_point(FileSystemId=fs_id, RootDirectory={"Path": path} | root)
    region.wait_until_idle()
    return made["AccessPointId"]


def instance(
    region: RunningRegion,
    profile: str | None = "agents",
    workload: str | None = "shop",
    role: str | None = None,
    **network: Any,
) -> str:
    """A running instance."""
    given = {name: value for name, value in (("recovery:workload", workload), ("role", role)) if value}
    tags = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in given.items()]}]
    made = region.client("ec2").run_instances(
        ImageId="ami-0123456789abcdef0",
        MinCount=1,
        MaxCount=1,
        **network,
        **({"IamInstanceProfile": {"Name": profile}} if profile else {}),
        **({"TagSpecifications": tags} if given else {}),
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
    done = mount(region, stack, at, **OPENZFS)
    assert done["AutomationExecutionStatus"] == "Success", done.get("FailureMessage")
    (run,) = runs(region, at)
    assert run["ran"] == "recorded"
    assert "no file server for OPENZFS" in run["why"] or not IS_REAL
    (command,) = [each for each in region.client("ssm").list_commands()["Commands"] if each["InstanceIds"] == [at]]
    output = region.client("ssm").get_command_invocation(CommandId=command["CommandId"], InstanceId=at)
    assert output["StandardOutputContent"].startswith("The local Region did not run this.")


def test_instances_without_agent_or_tag_are_named(region: RunningRegion, stack: dict[str, str]) -> None:
    mounted, silent, foreign = instance(region), instance(region, None), instance(region, workload=None)
    done = mount(region, stack, mounted, silent, foreign, **OPENZFS)
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


def test_members_of_a_group_have_the_profile_of_the_launch_template(
    region: RunningRegion, stack: dict[str, str]
) -> None:
    data = {"ImageId": "ami-0123456789abcdef0", "IamInstanceProfile": {"Name": "agents"}}
    region.client("ec2").create_launch_template(LaunchTemplateName="clients", LaunchTemplateData=data)
    autoscaling = region.client("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="clients",
        MinSize=2,
        MaxSize=2,
        AvailabilityZones=[f"{region.region}a"],
        LaunchTemplate={"LaunchTemplateName": "clients"},
    )
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=["clients"])["AutoScalingGroups"]
    members = {each["InstanceId"] for each in group["Instances"]}
    assert len(members) == 2
    while not members <= agents(region):
        pass


def test_the_directory_of_a_restore_is_mounted_on_a_group_through_its_access_point(
    region: RunningRegion, stack: dict[str, str], network: Network, restored: tuple[str, str]
) -> None:
    fs_id, point = restored
    group = [client(region, network, network.first), client(region, network, network.second)]
    given = {"Type": "EFS", "Source": fs_id, "Addresses": addresses(region, fs_id)}
    (found,) = results(mount(region, stack, group[0], Operation="find-restored-directory", **given))
    (name,) = region.get("file-system-directories")["directories"][fs_id]
    assert (found["outcome"], found["directory"]) == ("found", f"/{name}")

    given |= {"Path": "/srv/shared", "AccessPoint": access_point(region, fs_id, found["directory"])}
    answers = results(mount(region, stack, *group, **given))
    assert {each["instanceId"]: (each["outcome"], each["transport"]) for each in answers} == dict.fromkeys(
        group, ("mounted", "tls")
    )
    assert {each["mountedFrom"] for each in answers} <= {f"{fs_id}:/", "127.0.0.1:/"}
    shown = region.get("mounts")["mounts"]
    for each in group:
        assert shown[each] == [
            {
                "path": "/srv/shared",
                "source": fs_id,
                "restoredFrom": point,
                "ran": "script" if IS_REAL else "recorded",
            }
        ]
    again = results(mount(region, stack, *group, **given))
    assert {each["outcome"] for each in again} == {"already-mounted"}


def test_an_access_point_to_another_directory_fails_the_mount(
    region: RunningRegion, stack: dict[str, str], network: Network, restored: tuple[str, str]
) -> None:
    fs_id, at = restored[0], client(region, network, network.first)
    wrong = access_point(region, fs_id, "/aws-backup-restore_2020-01-01T00-00-00-000Z")
    given = {"Type": "EFS", "Source": fs_id, "Path": "/srv/shared", "Addresses": addresses(region, fs_id)}
    (answer,) = results(mount(region, stack, at, AccessPoint=wrong, **given))
    assert (answer["outcome"], answer["reason"]) == ("refused", "mount-failed")
    assert "No such file or directory" in answer["found"]
    assert region.get("mounts")["mounts"].get(at, []) == []


def test_a_security_group_that_admits_nothing_fails_the_mount(
    region: RunningRegion, stack: dict[str, str], network: Network
) -> None:
    ec2, efs = region.client("ec2"), region.client("efs")
    closed = ec2.create_security_group(GroupName=unique("sg"), Description="closed", VpcId=network.vpc)["GroupId"]
    fs_id = make_file_system(region)
    efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first, SecurityGroups=[closed])
    region.wait_until_idle()
    given = {"Type": "EFS", "Source": fs_id, "Path": "/srv/shared", "Addresses": addresses(region, fs_id)}
    (answer,) = results(mount(region, stack, client(region, network, network.first), **given))
    assert (answer["outcome"], answer["reason"]) == ("refused", "mount-failed")
    assert "timed out" in answer["found"]
    # Neither may its client send anything.
    open_target = efs.describe_mount_targets(FileSystemId=fs_id)["MountTargets"][0]["MountTargetId"]
    efs.modify_mount_target_security_groups(MountTargetId=open_target, SecurityGroups=[network.group])
    ec2.revoke_security_group_egress(
        GroupId=closed, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    (answer,) = results(mount(region, stack, client(region, network, network.first, closed), **given))
    assert (answer["outcome"], answer["reason"]) == ("refused", "mount-failed")


def test_lustre_is_mounted_by_the_name_that_fsx_gave(
    region: RunningRegion, stack: dict[str, str], network: Network
) -> None:
    at, made = client(region, network, network.first), make_fsx(region, network)
    given = {"Type": "LUSTRE", "Source": made["DNSName"], "Path": "/srv/results"}
    (answer,) = results(mount(region, stack, at, Export="fsx", **given))
    assert (answer["outcome"], answer["reason"]) == ("refused", "mount-failed")
    assert "Is the filesystem name correct?" in answer["found"]
    name = made["LustreConfiguration"]["MountName"]
    (answer,) = results(mount(region, stack, at, Export=name, **given))
    assert answer["outcome"] == "mounted", answer
    (shown,) = region.get("mounts")["mounts"][at]
    assert (shown["path"], shown["source"]) == ("/srv/results", made["DNSName"])
    (answer,) = results(mount(region, stack, at, Export=name, **given))
    assert answer["outcome"] == "already-mounted"


def test_files_of_a_guest_are_not_hidden(region: RunningRegion, stack: dict[str, str]) -> None:
    at = instance(region)
    volume = attached(region, at)
    given = {"Type": "EBS", "Source": volume, "Path": "/srv/orders"}
    assert region.post("guest-files", {"files": ["/srv/orders/left-over"]})[0] == 200
    (answer,) = results(mount(region, stack, at, **given))
    assert (answer["outcome"], answer["reason"]) == ("refused", "path-not-empty")
    region.post("guest-files", {"files": []})
    (answer,) = results(mount(region, stack, at, **given))
    assert answer["outcome"] == "mounted"


@pytest.mark.parametrize(
    "body",
    [{}, {"files": "/srv/x"}, {"files": ["/etc/passwd"]}, {"files": ["/srv/../etc/x"]}, {"files": [], "more": 1}],
)
def test_a_guest_gets_files_of_its_own_only(region: RunningRegion, body: Any) -> None:
    assert region.post("guest-files", body)[0] == 400


# ---- what was restored, by its ARN ----------------------------------------------------------------------------------


def arn_of(service: str, resource: str, region: str = REGION, account: str = ACCOUNT) -> str:
    """The ARN of a resource, as AWS Backup's event has it."""
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def sent_to(region: RunningRegion, at: str) -> dict[str, str]:
    """The parameters of the only command that an instance got, without those that are empty."""
    (command,) = [each for each in region.client("ssm").list_commands()["Commands"] if each["InstanceIds"] == [at]]
    return {name: value[0] for name, value in command["Parameters"].items() if value[0]}


def executions(region: RunningRegion, stack: dict[str, str]) -> list[str]:
    """The ids of the executions of the runbook."""
    listed = region.client("ssm").describe_automation_executions(
        Filters=[{"Key": "DocumentNamePrefix", "Values": [stack["MountFileSystem"]]}]
    )
    return [each["AutomationExecutionId"] for each in listed["AutomationExecutionMetadataList"]]


def mounted_by_rule(region: RunningRegion, stack: dict[str, str], **detail: Any) -> list[dict[str, Any]]:
    """Send the event of a restore job, with other members of its detail. Returns the executions that it started."""
    before = executions(region, stack)
    event = {name: EVENT[name] for name in ("source", "detail-type", "resources")}
    status, answer = region.post("events", event | {"detail": EVENT["detail"] | detail})
    assert status == 200, answer
    region.wait_until_idle()
    assert region.journal("dead-letter", eventId=answer["eventIds"][0]) == []
    ssm = region.client("ssm")
    return [
        ssm.get_automation_execution(AutomationExecutionId=each)["AutomationExecution"]
        for each in executions(region, stack)
        if each not in before
    ]


def test_a_rule_mounts_a_restored_file_system_on_the_instances_with_a_tag(
    region: RunningRegion, stack: dict[str, str], network: Network, restored: tuple[str, str]
) -> None:
    file_system, point = restored
    web, other = client(region, network, network.first, role="web"), instance(region, role="batch")
    of_drill = client(region, network, network.first, role="web")
    region.client("ec2").create_tags(Resources=[of_drill], Tags=[{"Key": "recovery:drill", "Value": "drill-1"}])
    created = arn_of("elasticfilesystem", f"file-system/{file_system}")
    (done,) = mounted_by_rule(region, stack, createdResourceArn=created)
    assert done["AutomationExecutionStatus"] == "Success", done.get("FailureMessage")
    assert done["Parameters"]["Source"] == [created]
    (answer,) = results(done)
    assert (answer["instanceId"], answer["outcome"]) == (web, "mounted")
    sent = sent_to(region, web)
    assert sorted(sent.pop("Addresses").split()) == sorted(addresses(region, file_system).split())
    assert sent == {
        "Operation": "mount-restored",
        "Type": "EFS",
        "Source": file_system,
        "Path": "/srv/shared",
        "Transport": "auto",
        "WaitSeconds": "120",
    }
    (shown,) = region.get("mounts")["mounts"][web]
    assert (shown["path"], shown["restoredFrom"]) == ("/srv/shared", point)
    assert runs(region, other) == runs(region, of_drill) == []
    assert region.journal("message", topicArn=stack["NotificationTopic"]) == []
    region.client("ec2").terminate_instances(InstanceIds=[web, of_drill])


@pytest.mark.parametrize(
    "detail",
    [
        {"iamRoleArn": "DrillRestoreRole"},
        {"restoreTestingPlanArn": arn_of("backup", "restore-testing-plan:weekly")},
        {"sourceResourceArn": arn_of("elasticfilesystem", "file-system/fs-0000000000000000f", "us-east-1")},
        {"status": "FAILED"},
    ],
    ids=["drill", "restore-test", "other-source", "failed"],
)
def test_the_rule_leaves_other_restores_alone(
    region: RunningRegion, stack: dict[str, str], detail: dict[str, str]
) -> None:
    if "iamRoleArn" in detail:
        role = region.client("iam").get_role(RoleName=stack[detail["iamRoleArn"]])["Role"]["Arn"]
        detail = {"iamRoleArn": role}
    assert mounted_by_rule(region, stack, **detail) == []


def test_operators_are_notified_if_the_rule_mounts_nothing(region: RunningRegion, stack: dict[str, str]) -> None:
    web, file_system = instance(region, role="web"), make_file_system(region)
    created = arn_of("elasticfilesystem", f"file-system/{file_system}")
    (done,) = mounted_by_rule(region, stack, createdResourceArn=created)
    assert done["AutomationExecutionStatus"] == "Failed"
    (answer,) = results(done)
    assert (answer["instanceId"], answer["reason"]) == (web, "source-not-ready")
    assert answer["found"] == f"mount targets of {file_system}: none"
    assert runs(region, web) == []
    (message,) = region.journal("message", topicArn=stack["NotificationTopic"])
    assert message["subject"] == f"Not mounted after its restore: {file_system}"
    for part in (created, "/srv/shared", f"{web}: source-not-ready", done["AutomationExecutionId"]):
        assert part in message["message"]
    region.client("ec2").terminate_instances(InstanceIds=[web])


def test_addresses_and_names_of_fsx_are_read(region: RunningRegion, stack: dict[str, str], network: Network) -> None:
    lustre = make_fsx(region, network)
    at = client(region, network, network.first)
    arn = arn_of("fsx", f"file-system/{lustre['FileSystemId']}")
    done = mount(region, stack, at, Source=arn, Path="/srv/scratch", Operation="mount-restored")
    assert done["AutomationExecutionStatus"] == "Success", done.get("FailureMessage")
    sent = sent_to(region, at)
    assert (sent["Type"], sent["Source"]) == ("LUSTRE", lustre["DNSName"])
    assert sent["Export"] == lustre["LustreConfiguration"]["MountName"]

    openzfs = make_fsx(
        region,
        network,
        FileSystemType="OPENZFS",
        StorageCapacity=64,
        OpenZFSConfiguration={"DeploymentType": "SINGLE_AZ_1", "ThroughputCapacity": 64},
    )
    at = instance(region)
    arn = arn_of("fsx", f"file-system/{openzfs['FileSystemId']}")
    assert mount(region, stack, at, Source=arn, Path="/srv/zfs")["AutomationExecutionStatus"] == "Success"
    sent = sent_to(region, at)
    assert (sent["Type"], sent["Source"], sent["Export"]) == ("OPENZFS", openzfs["DNSName"], "/fsx")

    windows = make_fsx(
        region,
        network,
        FileSystemType="WINDOWS",
        StorageCapacity=32,
        WindowsConfiguration={"ThroughputCapacity": 32, "ActiveDirectoryId": "d-0123456789"},
    )
    at = instance(region)
    arn = arn_of("fsx", f"file-system/{windows['FileSystemId']}")
    assert mount(region, stack, at, Source=arn, Path="/srv/files")["AutomationExecutionStatus"] == "Success"
    sent = sent_to(region, at)
    assert (sent["Type"], sent["Source"], sent["Export"]) == ("WINDOWS", windows["DNSName"], "share")

    file_system, svm = make_ontap(region, network)
    volume = make_ontap_volume(region, svm, "orders")
    machine = region.client("fsx").describe_storage_virtual_machines(StorageVirtualMachineIds=[svm])
    at = instance(region)
    arn = arn_of("fsx", f"volume/{file_system}/{volume['VolumeId']}")
    assert mount(region, stack, at, Source=arn, Path="/srv/orders")["AutomationExecutionStatus"] == "Success"
    sent = sent_to(region, at)
    assert (sent["Type"], sent["Export"]) == ("ONTAP", "/orders")
    assert sent["Source"] == machine["StorageVirtualMachines"][0]["Endpoints"]["Nfs"]["DNSName"]

    (answer,) = results(mount(region, stack, at, Source=arn_of("fsx", f"file-system/{file_system}"), Path="/srv/a"))
    assert (answer["reason"], answer["outcome"]) == ("source-unsupported", "refused")


def test_the_arn_of_an_attached_volume_is_enough(region: RunningRegion, stack: dict[str, str]) -> None:
    at = instance(region)
    volume = attached(region, at)
    (answer,) = results(mount(region, stack, at, Source=arn_of("ec2", f"volume/{volume}"), Path=PATH))
    assert (answer["outcome"], answer["source"]) == ("mounted", volume)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"Source": arn_of("elasticfilesystem", "file-system/fs-0123456789abcdef0", "us-east-1")}, "source-elsewhere"),
        (
            {"Source": arn_of("elasticfilesystem", "file-system/fs-0123456789abcdef0", account="444455556666")},
            "source-elsewhere",
        ),
        ({"Source": arn_of("ec2", "file-system/fs-0123456789abcdef0")}, "source-unsupported"),
        ({"Source": "fs-0123456789abcdef0"}, "source-unsupported"),
        ({"Source": arn_of("elasticfilesystem", "file-system/fs-0123456789abcdef0")}, "source-not-ready"),
        ({"Source": "fs-0123456789abcdef0", "Type": "EFS", "InstanceTag": "role=none"}, "no-instance"),
        ({"Source": "fs-0123456789abcdef0", "Type": "EFS"}, "no-instance"),
    ],
)
def test_what_cannot_be_resolved_is_an_answer_of_each_instance(
    region: RunningRegion, stack: dict[str, str], given: dict[str, str], reason: str
) -> None:
    at = [] if reason == "no-instance" else ["i-0123456789abcdef0"]
    done = mount(region, stack, *at, Path="/srv/shared", **given)
    assert done["AutomationExecutionStatus"] == "Failed"
    (answer,) = results(done)
    assert answer["reason"] == reason and answer["remedy"], answer
    named = f"tag:{given['InstanceTag']}" if "InstanceTag" in given else "InstanceIds"
    assert answer["instanceId"] == (at or [named])[0]


@pytest.mark.parametrize(
    "source",
    [
        "arn:aws:elasticfilesystem:us-west-2:111122223333:file-system/fs-0123456789abcdef0;id",
        "arn:aws:elasticfilesystem:us-west-2:111122223333:file-system/$(id)",
        "arn:aws:elasticfilesystem:us-west-2:111122223333:access-point/fsap-0123456789abcdef0",
        "arn:aws:s3:us-west-2:111122223333:volume/vol-0123456789abcdef0",
        "arn:aws:fsx:us-west-2:111122223333:volume/fs-0123456789abcdef0/$(id)",
    ],
)
def test_an_arn_of_another_form_is_refused(region: RunningRegion, stack: dict[str, str], source: str) -> None:
    code, _ = refusal(lambda: mount(region, stack, "i-0123456789abcdef0", Source=source, Path="/srv/shared"))
    assert code == "InvalidAutomationExecutionParametersException"
