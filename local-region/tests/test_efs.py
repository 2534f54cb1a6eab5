"""EFS: file systems, mount targets and access points, with their states over time."""

import ipaddress
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from file_systems import Network, file_system, make_file_system, make_network
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import statuses, tag_list, unique, wait_for_status

ARN = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:"
TAGS = {"Name": "files", "recovery:workload": "shop"}


@pytest.fixture(scope="module")
def network(region: RunningRegion) -> Network:
    """A network in the Region."""
    return make_network(region)


@pytest.fixture(scope="module")
def slow() -> Iterator[RunningRegion]:
    """A Region in which file systems, mount targets and access points are made for longer than any test takes."""
    running = RunningRegion("--file-system-seconds", "600")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def slow_changes() -> Iterator[RunningRegion]:
    """A Region in which they are made quickly, and changes and deletions take longer than any test."""
    running = RunningRegion("--file-system-seconds", "0", "--file-system-change-seconds", "600")
    yield running
    assert running.stop() == 0


def test_file_system_is_created_over_time(region: RunningRegion) -> None:
    efs, token = region.client("efs"), unique("token")
    made = efs.create_file_system(CreationToken=token, Encrypted=True, Tags=tag_list(TAGS))
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["LifeCycleState"] == "creating" and made["NumberOfMountTargets"] == 0
    fs_id = made["FileSystemId"]
    assert made["FileSystemArn"] == f"{ARN}file-system/{fs_id}" and made["Name"] == "files"
    assert made["KmsKeyId"].startswith(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/")
    assert (made["PerformanceMode"], made["ThroughputMode"]) == ("generalPurpose", "bursting")
    region.wait_until_idle()
    found = file_system(region, fs_id)
    assert found["LifeCycleState"] == "available"
    assert found["FileSystemProtection"] == {"ReplicationOverwriteProtection": "ENABLED"}
    assert statuses(region, made["FileSystemArn"]) == ["creating", "available"]
    # By the ARN and by the token, too.
    for asked in ({"FileSystemId": made["FileSystemArn"]}, {"CreationToken": token}):
        assert [each["FileSystemId"] for each in efs.describe_file_systems(**asked)["FileSystems"]] == [fs_id]
    assert efs.describe_backup_policy(FileSystemId=fs_id)["BackupPolicy"] == {"Status": "DISABLED"}


def test_creation_token_makes_one_file_system(region: RunningRegion) -> None:
    efs, token = region.client("efs"), unique("token")
    fs_id = make_file_system(region, CreationToken=token)
    with pytest.raises(efs.exceptions.FileSystemAlreadyExists) as refused:
        efs.create_file_system(CreationToken=token)
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert answer["FileSystemId"] == fs_id and answer["ErrorCode"] == "FileSystemAlreadyExists"
    assert answer["Error"]["Message"] == f"File system '{fs_id}' already exists with creation token '{token}'"


NEW_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"KmsKeyId": "alias/files"}, "BadRequest"),
    ({"Encrypted": True, "KmsKeyId": f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/files"}, "BadRequest"),
    ({"ThroughputMode": "provisioned"}, "BadRequest"),
    ({"ProvisionedThroughputInMibps": 5.0}, "BadRequest"),
    ({"PerformanceMode": "maxIO", "ThroughputMode": "elastic"}, "BadRequest"),
    ({"PerformanceMode": "maxIO", "AvailabilityZoneName": f"{REGION}a"}, "BadRequest"),
    ({"AvailabilityZoneName": "us-east-1a"}, "BadRequest"),
    ({"Tags": tag_list({f"k{n}": "v" for n in range(51)})}, "BadRequest"),
    ({"Tags": tag_list({"aws:x": "v"})}, "ValidationException"),
    ({"CreationToken": "x" * 65}, "ValidationException"),
]


@pytest.mark.parametrize(("given", "code"), NEW_FAULTS)
def test_refuses_invalid_file_systems(region: RunningRegion, given: dict[str, Any], code: str) -> None:
    params = {"CreationToken": unique("token")} | given
    assert refusal(lambda: region.client("efs").create_file_system(**params))[0] == code


def test_missing_file_systems_are_not_found(region: RunningRegion) -> None:
    efs, fs_id = region.client("efs"), "fs-0123456789abcdef0"
    calls: list[Callable[[], Any]] = [
        lambda: efs.describe_file_systems(FileSystemId=fs_id),
        lambda: efs.delete_file_system(FileSystemId=fs_id),
        lambda: efs.describe_mount_targets(FileSystemId=fs_id),
        lambda: efs.describe_access_points(FileSystemId=fs_id),
        lambda: efs.list_tags_for_resource(ResourceId=fs_id),
        lambda: efs.describe_file_system_policy(FileSystemId=fs_id),
        lambda: efs.update_file_system(FileSystemId=fs_id, ThroughputMode="elastic"),
    ]
    for call in calls:
        code, message = refusal(call)
        assert (code, message) == ("FileSystemNotFound", f"File system '{fs_id}' does not exist.")
    assert efs.describe_file_systems(CreationToken=unique("token"))["FileSystems"] == []
    both = {"FileSystemId": fs_id, "CreationToken": "x"}
    assert refusal(lambda: efs.describe_file_systems(**both))[0] == "BadRequest"
    code, message = refusal(lambda: efs.describe_file_systems(FileSystemId="vol-1"))
    assert code == "ValidationException" and "'fileSystemId' failed to satisfy constraint" in message


def test_file_systems_come_in_pages_of_a_hundred(region: RunningRegion) -> None:
    efs = region.client("efs", "eu-west-1")
    ids = {efs.create_file_system(CreationToken=f"page-{n}")["FileSystemId"] for n in range(101)}
    # MaxItems has no effect.
    page = efs.describe_file_systems(MaxItems=1)
    assert len(page["FileSystems"]) == 100
    rest = efs.describe_file_systems(Marker=page["NextMarker"])
    assert "NextMarker" not in rest and rest["Marker"] == page["NextMarker"]
    assert {each["FileSystemId"] for each in page["FileSystems"] + rest["FileSystems"]} == ids
    assert refusal(lambda: efs.describe_file_systems(Marker="bm8="))[0] == "BadRequest"


def test_file_system_that_is_being_created_takes_no_settings(slow: RunningRegion) -> None:
    efs, network = slow.client("efs"), make_network(slow)
    fs_id = efs.create_file_system(CreationToken="slow")["FileSystemId"]
    calls: list[Callable[[], Any]] = [
        lambda: efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first),
        lambda: efs.create_access_point(FileSystemId=fs_id),
        lambda: efs.put_lifecycle_configuration(FileSystemId=fs_id, LifecyclePolicies=[]),
        lambda: efs.put_backup_policy(FileSystemId=fs_id, BackupPolicy={"Status": "ENABLED"}),
        lambda: efs.put_file_system_policy(FileSystemId=fs_id, Policy="{}"),
        lambda: efs.update_file_system(FileSystemId=fs_id, ThroughputMode="elastic"),
    ]
    for call in calls:
        code, message = refusal(call)
        # The service gives no message here.
        assert code == "IncorrectFileSystemLifeCycleState" and message is None


def test_mount_target_gets_an_address_of_its_subnet(region: RunningRegion, network: Network) -> None:
    efs, fs_id = region.client("efs"), make_file_system(region)
    made = efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first, SecurityGroups=[network.group])
    assert made["LifeCycleState"] == "creating" and made["AvailabilityZoneName"] == f"{REGION}a"
    assert ipaddress.ip_address(made["IpAddress"]) in ipaddress.ip_network("10.8.0.0/24")
    assert made["VpcId"] == network.vpc and made["OwnerId"] == ACCOUNT
    (interface,) = region.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[made["NetworkInterfaceId"]])[
        "NetworkInterfaces"
    ]
    assert interface["PrivateIpAddress"] == made["IpAddress"]
    assert interface["Description"] == f"EFS mount target for {fs_id} ({made['MountTargetId']})"
    region.wait_until_idle()
    target = made["MountTargetId"]
    for asked in ({"FileSystemId": fs_id}, {"MountTargetId": target}):
        (found,) = efs.describe_mount_targets(**asked)["MountTargets"]
        assert (found["MountTargetId"], found["LifeCycleState"]) == (target, "available")
    groups = efs.describe_mount_target_security_groups(MountTargetId=target)
    assert groups["SecurityGroups"] == [network.group]
    assert file_system(region, fs_id)["NumberOfMountTargets"] == 1
    arn = f"{ARN}file-system/{fs_id}/mount-target/{target}"
    assert statuses(region, arn) == ["creating", "available"]


def test_only_one_mount_target_in_a_zone(region: RunningRegion, network: Network) -> None:
    efs, fs_id = region.client("efs"), make_file_system(region)
    efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first)
    for subnet in (network.first, network.first_too):
        with pytest.raises(efs.exceptions.MountTargetConflict) as refused:
            efs.create_mount_target(FileSystemId=fs_id, SubnetId=subnet)
        assert refused.value.response["Error"]["Message"] == "mount target already exists in this AZ"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.second)
    code, message = refusal(lambda: efs.create_mount_target(FileSystemId=fs_id, SubnetId=make_network(region).second))
    assert code == "MountTargetConflict" and "not in the same VPC as existing mount targets" in message
    region.wait_until_idle()
    zones = [each["AvailabilityZoneName"] for each in efs.describe_mount_targets(FileSystemId=fs_id)["MountTargets"]]
    assert sorted(zones) == [f"{REGION}a", f"{REGION}b"]


def test_refuses_invalid_mount_targets(region: RunningRegion, network: Network) -> None:
    efs, fs_id, other = region.client("efs"), make_file_system(region), make_network(region)
    one_zone = make_file_system(region, AvailabilityZoneName=f"{REGION}b")
    faults: list[tuple[dict[str, Any], str]] = [
        ({"SubnetId": "subnet-0123456789abcdef0"}, "SubnetNotFound"),
        ({"SecurityGroups": ["sg-0123456789abcdef0"]}, "SecurityGroupNotFound"),
        ({"SecurityGroups": [other.group]}, "SecurityGroupNotFound"),
        ({"SecurityGroups": [network.group] * 6}, "SecurityGroupLimitExceeded"),
        ({"IpAddress": "10.99.0.9"}, "BadRequest"),
        ({"FileSystemId": one_zone}, "AvailabilityZonesMismatch"),
        ({"FileSystemId": "fs-0123456789abcdef0"}, "FileSystemNotFound"),
    ]
    for fault, code in faults:
        params = {"FileSystemId": fs_id, "SubnetId": network.first} | fault
        assert refusal(lambda params=params: efs.create_mount_target(**params))[0] == code
    taken = efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.second)["IpAddress"]
    params = {"FileSystemId": one_zone, "SubnetId": network.second, "IpAddress": taken}
    assert refusal(lambda: efs.create_mount_target(**params))[0] == "IpAddressInUse"
    assert refusal(efs.describe_mount_targets)[0] == "BadRequest"
    unknown = "fsmt-0123456789abcdef0"
    assert refusal(lambda: efs.describe_mount_targets(MountTargetId=unknown))[0] == "MountTargetNotFound"
    assert refusal(lambda: efs.delete_mount_target(MountTargetId=unknown))[0] == "MountTargetNotFound"


def test_full_subnet_has_no_address(region: RunningRegion) -> None:
    ec2, efs = region.client("ec2"), region.client("efs")
    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/24")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.5.0.0/28", AvailabilityZone=f"{REGION}a")["Subnet"]["SubnetId"]
    # Of 16 addresses, AWS keeps five.
    for _ in range(11):
        efs.create_mount_target(FileSystemId=make_file_system(region), SubnetId=subnet)
    call = {"FileSystemId": make_file_system(region), "SubnetId": subnet}
    assert refusal(lambda: efs.create_mount_target(**call))[0] == "NoFreeAddressesInSubnet"


def test_security_groups_of_a_mount_target_are_replaced(region: RunningRegion, network: Network) -> None:
    efs, fs_id = region.client("efs"), make_file_system(region)
    target = efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first)["MountTargetId"]
    assert len(efs.describe_mount_target_security_groups(MountTargetId=target)["SecurityGroups"]) == 1
    answer = efs.modify_mount_target_security_groups(MountTargetId=target, SecurityGroups=[network.group])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    groups = efs.describe_mount_target_security_groups(MountTargetId=target)["SecurityGroups"]
    assert groups == [network.group]
    wrong = {"MountTargetId": target, "SecurityGroups": [make_network(region).group]}
    assert refusal(lambda: efs.modify_mount_target_security_groups(**wrong))[0] == "SecurityGroupNotFound"


def test_deletion_takes_time_and_keeps_the_zone_occupied(slow_changes: RunningRegion) -> None:
    efs, network = slow_changes.client("efs"), make_network(slow_changes)
    made = efs.create_file_system(CreationToken="busy")
    fs_id = made["FileSystemId"]
    wait_for_status(slow_changes, made["FileSystemArn"], "available")
    target = efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first, SecurityGroups=[network.group])
    arn = f"{ARN}file-system/{fs_id}/mount-target/{target['MountTargetId']}"
    wait_for_status(slow_changes, arn, "available")
    code, _ = refusal(lambda: efs.delete_file_system(FileSystemId=fs_id))
    assert code == "FileSystemInUse"
    answer = efs.delete_mount_target(MountTargetId=target["MountTargetId"])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    (found,) = efs.describe_mount_targets(FileSystemId=fs_id)["MountTargets"]
    assert found["LifeCycleState"] == "deleting"
    # Until it is gone, nothing that it uses is free.
    assert refusal(lambda: efs.delete_file_system(FileSystemId=fs_id))[0] == "FileSystemInUse"
    call = {"FileSystemId": fs_id, "SubnetId": network.first_too}
    assert refusal(lambda: efs.create_mount_target(**call))[0] == "MountTargetConflict"
    target_id, ec2 = target["MountTargetId"], slow_changes.client("ec2")
    groups = {"MountTargetId": target_id, "SecurityGroups": [network.group]}
    assert refusal(lambda: efs.modify_mount_target_security_groups(**groups))[0] == "IncorrectMountTargetState"
    assert refusal(lambda: ec2.delete_subnet(SubnetId=network.first))[0] == "DependencyViolation"
    assert refusal(lambda: ec2.delete_security_group(GroupId=network.group))[0] == "DependencyViolation"
    interface = target["NetworkInterfaceId"]
    code, _ = refusal(lambda: ec2.delete_network_interface(NetworkInterfaceId=interface))
    assert code == "InvalidParameterValue"


def test_deleted_file_system_is_gone_with_its_access_points(region: RunningRegion, network: Network) -> None:
    efs, ec2, fs_id = region.client("efs"), region.client("ec2"), make_file_system(region)
    target = efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first)
    point = efs.create_access_point(FileSystemId=fs_id)["AccessPointId"]
    region.wait_until_idle()
    efs.delete_mount_target(MountTargetId=target["MountTargetId"])
    region.wait_until_idle()
    assert efs.describe_mount_targets(FileSystemId=fs_id)["MountTargets"] == []
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert target["NetworkInterfaceId"] not in [each["NetworkInterfaceId"] for each in interfaces]
    answer = efs.delete_file_system(FileSystemId=fs_id)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    region.wait_until_idle()
    assert refusal(lambda: efs.describe_file_systems(FileSystemId=fs_id))[0] == "FileSystemNotFound"
    assert refusal(lambda: efs.describe_access_points(AccessPointId=point))[0] == "AccessPointNotFound"
    assert statuses(region, f"{ARN}file-system/{fs_id}") == ["creating", "available", "deleting", "deleted"]


def test_access_point_serves_a_directory(region: RunningRegion, network: Network) -> None:
    efs, fs_id, token = region.client("efs"), make_file_system(region), unique("token")
    path = "/aws-backup-restore_2026-11-30T14-13-02-250589632Z"
    params = {"FileSystemId": fs_id, "ClientToken": token, "RootDirectory": {"Path": path}, "Tags": tag_list(TAGS)}
    made = efs.create_access_point(**params)
    point = made["AccessPointId"]
    assert made["LifeCycleState"] == "creating" and made["RootDirectory"] == {"Path": path}
    assert made["AccessPointArn"] == f"{ARN}access-point/{point}" and made["Name"] == "files"
    region.wait_until_idle()
    for asked in ({"FileSystemId": fs_id}, {"AccessPointId": point}, {"AccessPointId": made["AccessPointArn"]}):
        (found,) = efs.describe_access_points(**asked)["AccessPoints"]
        assert (found["AccessPointId"], found["LifeCycleState"]) == (point, "available")
    with pytest.raises(efs.exceptions.AccessPointAlreadyExists) as refused:
        efs.create_access_point(**params)
    assert refused.value.response["AccessPointId"] == point
    efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first)
    assert len(efs.describe_mount_targets(AccessPointId=point)["MountTargets"]) == 1
    both = {"AccessPointId": point, "FileSystemId": fs_id}
    assert refusal(lambda: efs.describe_access_points(**both))[0] == "BadRequest"
    efs.delete_access_point(AccessPointId=point)
    region.wait_until_idle()
    assert refusal(lambda: efs.delete_access_point(AccessPointId=point))[0] == "AccessPointNotFound"
    assert efs.describe_access_points(FileSystemId=fs_id)["AccessPoints"] == []


@pytest.mark.parametrize("path", ["/a/b/c/d/e", "data", "/" + "x" * 100, "/a*"])
def test_refuses_invalid_root_directories(region: RunningRegion, path: str) -> None:
    params = {"FileSystemId": make_file_system(region), "RootDirectory": {"Path": path}}
    assert refusal(lambda: region.client("efs").create_access_point(**params))[0] == "ValidationException"


def test_access_points_come_in_pages(region: RunningRegion) -> None:
    efs, fs_id = region.client("efs"), make_file_system(region)
    ids = {efs.create_access_point(FileSystemId=fs_id)["AccessPointId"] for _ in range(3)}
    page = efs.describe_access_points(FileSystemId=fs_id, MaxResults=2)
    rest = efs.describe_access_points(FileSystemId=fs_id, MaxResults=2, NextToken=page["NextToken"])
    assert len(page["AccessPoints"]) == 2 and "NextToken" not in rest
    assert {each["AccessPointId"] for each in page["AccessPoints"] + rest["AccessPoints"]} == ids


def test_settings_are_kept(region: RunningRegion) -> None:
    efs, fs_id = region.client("efs"), make_file_system(region)
    policies = [{"TransitionToIA": "AFTER_30_DAYS"}, {"TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"}]
    efs.put_lifecycle_configuration(FileSystemId=fs_id, LifecyclePolicies=policies)
    assert efs.describe_lifecycle_configuration(FileSystemId=fs_id)["LifecyclePolicies"] == policies
    two_in_one = [{"TransitionToIA": "AFTER_7_DAYS", "TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"}]
    assert (
        refusal(lambda: efs.put_lifecycle_configuration(FileSystemId=fs_id, LifecyclePolicies=two_in_one))[0]
        == "BadRequest"
    )
    efs.put_backup_policy(FileSystemId=fs_id, BackupPolicy={"Status": "ENABLED"})
    assert efs.describe_backup_policy(FileSystemId=fs_id)["BackupPolicy"] == {"Status": "ENABLED"}
    # Automatic backups are a tag as well.
    assert {"Key": "aws:elasticfilesystem:default-backup", "Value": "enabled"} in file_system(region, fs_id)["Tags"]
    assert refusal(lambda: efs.describe_file_system_policy(FileSystemId=fs_id))[0] == "PolicyNotFound"
    assert refusal(lambda: efs.put_file_system_policy(FileSystemId=fs_id, Policy="{"))[0] == "InvalidPolicyException"
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    efs.put_file_system_policy(FileSystemId=fs_id, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    kept = json.loads(efs.describe_file_system_policy(FileSystemId=fs_id)["Policy"])
    assert kept["Statement"][0]["Effect"] == "Deny"
    answer = efs.update_file_system_protection(FileSystemId=fs_id, ReplicationOverwriteProtection="DISABLED")
    assert answer["ReplicationOverwriteProtection"] == "DISABLED"


def test_throughput_changes_once_a_day(region: RunningRegion) -> None:
    efs, fs_id = region.client("efs"), make_file_system(region)
    answer = efs.update_file_system(FileSystemId=fs_id, ThroughputMode="elastic")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (answer["LifeCycleState"], answer["ThroughputMode"]) == ("updating", "elastic")
    region.wait_until_idle()
    assert file_system(region, fs_id)["LifeCycleState"] == "available"
    again = {"FileSystemId": fs_id, "ThroughputMode": "bursting"}
    assert refusal(lambda: efs.update_file_system(**again))[0] == "TooManyRequests"
    provisioned = {"FileSystemId": make_file_system(region), "ThroughputMode": "provisioned"}
    assert refusal(lambda: efs.update_file_system(**provisioned))[0] == "BadRequest"


def test_changed_file_system_takes_no_mount_target(slow_changes: RunningRegion) -> None:
    efs, network = slow_changes.client("efs"), make_network(slow_changes)
    made = efs.create_file_system(CreationToken="changed")
    wait_for_status(slow_changes, made["FileSystemArn"], "available")
    efs.update_file_system(FileSystemId=made["FileSystemId"], ThroughputMode="elastic")
    call = {"FileSystemId": made["FileSystemId"], "SubnetId": network.first}
    assert refusal(lambda: efs.create_mount_target(**call))[0] == "IncorrectFileSystemLifeCycleState"


def test_tags_of_file_systems_and_access_points(region: RunningRegion) -> None:
    efs = region.client("efs")
    fs_id = make_file_system(region, Tags=tag_list(TAGS))
    point = efs.create_access_point(FileSystemId=fs_id)["AccessPointArn"]
    for resource in (fs_id, f"{ARN}file-system/{fs_id}", point):
        efs.tag_resource(ResourceId=resource, Tags=tag_list({"a": "1", "b": "2"}))
        efs.untag_resource(ResourceId=resource, TagKeys=["a", "b"])
        efs.tag_resource(ResourceId=resource, Tags=tag_list({"c": "3"}))
        tags = efs.list_tags_for_resource(ResourceId=resource)["Tags"]
        assert {"Key": "c", "Value": "3"} in tags and "a" not in [tag["Key"] for tag in tags]
    page = efs.list_tags_for_resource(ResourceId=fs_id, MaxResults=2)
    rest = efs.list_tags_for_resource(ResourceId=fs_id, NextToken=page["NextToken"])
    assert len(page["Tags"]) == 2 and len(rest["Tags"]) == 1
    many = tag_list({f"k{n}": "v" for n in range(48)})
    assert refusal(lambda: efs.tag_resource(ResourceId=fs_id, Tags=many))[0] == "BadRequest"
    efs.tag_resource(ResourceId=fs_id, Tags=tag_list({"Name": "renamed"}))
    assert file_system(region, fs_id)["Name"] == "renamed"


def test_mount_target_can_end_in_an_error(region: RunningRegion) -> None:
    efs, network = region.client("efs"), make_network(region)
    region.post("status-ends", {"name": network.first, "status": "error"})
    region.post("status-ends", {"name": "dead", "status": "error"})
    fs_id, dead = make_file_system(region), make_file_system(region, CreationToken="dead")
    efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first)
    region.wait_until_idle()
    assert efs.describe_mount_targets(FileSystemId=fs_id)["MountTargets"][0]["LifeCycleState"] == "error"
    assert file_system(region, dead)["LifeCycleState"] == "error"


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [("throttled", "ThrottlingException", 429), ("server-error", "InternalServerError", 500)],
)
def test_faults_have_the_form_of_efs(region: RunningRegion, kind: str, code: str, status: int) -> None:
    efs = region.client("efs")
    fault = {"kind": kind, "service": "elasticfilesystem", "operation": "DescribeFileSystems", "caller": "operator"}
    assert region.post("faults", fault)[0] == 200
    with pytest.raises(efs.exceptions.ClientError) as refused:
        efs.describe_file_systems()
    answer = refused.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


def test_refusals_on_request_have_the_status_of_the_model(region: RunningRegion) -> None:
    efs = region.client("efs")
    fault = {
        "kind": "refused",
        "service": "elasticfilesystem",
        "operation": "CreateMountTarget",
        "caller": "operator",
        "code": "NetworkInterfaceLimitExceeded",
        "message": "Too many.",
    }
    assert region.post("faults", fault)[0] == 200
    call = {"FileSystemId": "fs-0123456789abcdef0", "SubnetId": "subnet-0123456789abcdef0"}
    with pytest.raises(efs.exceptions.NetworkInterfaceLimitExceeded) as refused:
        efs.create_mount_target(**call)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert refused.value.response["ErrorCode"] == "NetworkInterfaceLimitExceeded"
