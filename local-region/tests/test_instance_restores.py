"""EC2 instances restored from images: where they run, what they lack, and what a restore asks of its role."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from file_systems import Network, make_network
from machines import make_role, policy
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import PRIMARY, back_up, copy, make_vaults, restore, start, tag_list, unique
from test_database_rights import allow
from test_drills import client_of

TAGS = {"recovery:workload": "shop", "recovery:target-groups": "Web"}
IMAGE = "ami-0123456789abcdef0"
# What a restore asks of its role, without the rights on a key and a profile.
ROLE_ACTIONS = ("CreateTags", "DescribeImages", "DescribeInstances", "RunInstances")


@pytest.fixture(scope="module", autouse=True)
def vaults(region: RunningRegion) -> None:
    """The vaults."""
    make_vaults(region)


@pytest.fixture(scope="module")
def profile(region: RunningRegion) -> str:
    """An instance profile with a role."""
    name = unique("profile")
    role = make_role(region, service="ec2.amazonaws.com").rpartition("/")[2]
    iam = region.client("iam")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
    return name


@pytest.fixture(scope="module")
def source(region: RunningRegion, profile: str) -> str:
    """An instance of the primary Region with user data, a profile, a second volume and tags."""
    ec2, network = region.client("ec2", PRIMARY), make_network(region, PRIMARY)
    made = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        SubnetId=network.first,
        SecurityGroupIds=[network.group],
        UserData="#!/bin/sh\necho secret",
        IamInstanceProfile={"Name": profile},
    )["Instances"][0]
    tags = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    ec2.create_tags(Resources=[made["InstanceId"]], Tags=tags)
    volume = ec2.create_volume(AvailabilityZone=f"{PRIMARY}a", Size=20)["VolumeId"]
    ec2.create_tags(Resources=[volume], Tags=tag_list({"disk": "data"}))
    ec2.attach_volume(VolumeId=volume, InstanceId=made["InstanceId"], Device="/dev/sdf")
    region.wait_until_idle()
    return made["InstanceId"]


@pytest.fixture(scope="module")
def point(region: RunningRegion, vaults: None, source: str) -> str:
    """A copy of a recovery point of it."""
    return copy(region, back_up(region, f"arn:aws:ec2:{PRIMARY}:{ACCOUNT}:instance/{source}"))


@pytest.fixture(scope="module")
def network(region: RunningRegion) -> Network:
    """A network of the recovery Region."""
    return make_network(region)


@pytest.fixture(scope="module")
def role(region: RunningRegion) -> str:
    """A role that may restore instances without a profile and without a customer's key."""
    return make_role(region, *(f"ec2:{name}" for name in ROLE_ACTIONS), service="backup.amazonaws.com")


def wanted(network: Network, **changes: Any) -> dict[str, Any]:
    """The metadata of a restore into a network, with changes."""
    metadata = {
        "InstanceType": "t3.small",
        "SubnetId": network.first,
        "SecurityGroupIds": [network.group],
    } | changes
    return {key: value for key, value in metadata.items() if value is not None}


def described(region: RunningRegion, arn: str) -> dict[str, Any]:
    """An instance as DescribeInstances answers it."""
    answer = region.client("ec2").describe_instances(InstanceIds=[arn.rpartition("/")[2]])
    return answer["Reservations"][0]["Instances"][0]


def checks(region: RunningRegion, instance_id: str, **params: Any) -> list[tuple[str, str, str]]:
    """The state, and the status of the instance's and the system's check, of an instance."""
    found = region.client("ec2").describe_instance_status(InstanceIds=[instance_id], **params)["InstanceStatuses"]
    return [(e["InstanceState"]["Name"], e["InstanceStatus"]["Status"], e["SystemStatus"]["Status"]) for e in found]


def test_recovery_point_is_an_image_with_snapshots(region: RunningRegion, source: str, point: str) -> None:
    prefix, _, image_id = point.rpartition("/")
    assert prefix == f"arn:aws:ec2:{REGION}::image"
    backup, ec2 = region.client("backup"), region.client("ec2")
    found = backup.describe_recovery_point(BackupVaultName="recovery", RecoveryPointArn=point)
    assert found["ResourceType"] == "EC2" and found["ResourceArn"].endswith(f":instance/{source}")
    (image,) = ec2.describe_images(ImageIds=[image_id], Owners=["self"])["Images"]
    assert image["Name"].startswith(f"AwsBackup_{source}_") and image["RootDeviceName"] == "/dev/xvda"
    mappings = {each["DeviceName"]: each["Ebs"] for each in image["BlockDeviceMappings"]}
    assert sorted(mappings) == ["/dev/sdf", "/dev/xvda"] and mappings["/dev/sdf"]["VolumeSize"] == 20
    snapshots = ec2.describe_snapshots(SnapshotIds=[each["SnapshotId"] for each in mappings.values()])["Snapshots"]
    assert sorted(each["VolumeSize"] for each in snapshots) == [8, 20]
    # The tags of the instance are those of the image, the tags of a volume those of its snapshot.
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert {key: tags[key] for key in TAGS} == TAGS
    (data,) = [each for each in snapshots if each["VolumeSize"] == 20]
    assert {"Key": "disk", "Value": "data"} in data["Tags"]
    assert not {"recovery:workload"} & {tag["Key"] for tag in data["Tags"]}


def test_stored_metadata_are_those_of_the_primary_region(region: RunningRegion, point: str, profile: str) -> None:
    stored = region.client("backup").get_recovery_point_restore_metadata(
        BackupVaultName="recovery", RecoveryPointArn=point
    )["RestoreMetadata"]
    assert stored["InstanceType"] == "t3.small" and stored["IamInstanceProfileName"] == profile
    assert json.loads(stored["Placement"])["AvailabilityZone"] == f"{PRIMARY}a"
    (interface,) = json.loads(stored["NetworkInterfaces"])
    assert interface["SubnetId"] == stored["SubnetId"] and interface["Groups"] == json.loads(stored["SecurityGroupIds"])
    assert "UserData" not in stored and json.loads(stored["CreditSpecification"]) == {"CpuCredits": "standard"}


def test_echo_of_the_stored_metadata_fails(region: RunningRegion, point: str) -> None:
    stored = region.client("backup").get_recovery_point_restore_metadata(
        BackupVaultName="recovery", RecoveryPointArn=point
    )["RestoreMetadata"]
    job = restore(region, point, stored)
    assert job["Status"] == "FAILED" and "InvalidParameterCombination" in job["StatusMessage"]
    assert "Network interfaces and an instance-level subnet ID may not be specified" in job["StatusMessage"]
    del stored["NetworkInterfaces"]
    assert f"Invalid availability zone: [{PRIMARY}a]" in restore(region, point, stored)["StatusMessage"]
    del stored["Placement"]
    assert f"The subnet ID '{stored['SubnetId']}' does not exist" in restore(region, point, stored)["StatusMessage"]


def test_restored_instance_has_its_network_and_lacks_its_user_data(
    region: RunningRegion, point: str, role: str, network: Network, source: str
) -> None:
    metadata = wanted(network, RequireIMDSv2="true", CpuOptions='{"CoreCount": 1, "ThreadsPerCore": 2}')
    job = restore(region, point, metadata, role=role)
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    prefix, _, instance_id = job["CreatedResourceArn"].rpartition("/")
    assert prefix == f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance"
    found = described(region, instance_id)
    assert found["State"]["Name"] == "running" and found["ImageId"] == point.rpartition("/")[2]
    assert (found["SubnetId"], found["VpcId"], found["InstanceType"]) == (network.first, network.vpc, "t3.small")
    assert [each["GroupId"] for each in found["SecurityGroups"]] == [network.group]
    assert found["PrivateIpAddress"].startswith("10.8.0.") and found["Placement"]["AvailabilityZone"] == f"{REGION}a"
    assert "IamInstanceProfile" not in found and found.get("Tags", []) == []
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    ec2 = region.client("ec2")
    for client, each, text in (
        (region.client("ec2", PRIMARY), source, "#!/bin/sh\necho secret"),
        (ec2, instance_id, None),
    ):
        value = client.describe_instance_attribute(InstanceId=each, Attribute="userData")["UserData"].get("Value")
        assert (base64.b64decode(value).decode() if value else None) == text
    devices = {each["DeviceName"]: each["Ebs"] for each in found["BlockDeviceMappings"]}
    volumes = ec2.describe_volumes(VolumeIds=[each["VolumeId"] for each in devices.values()])["Volumes"]
    assert sorted(devices) == ["/dev/sdf", "/dev/xvda"] and sorted(each["Size"] for each in volumes) == [8, 20]
    assert {each["State"] for each in volumes} == {"in-use"} and not any(each["Encrypted"] for each in volumes)
    # A data volume stays when its instance goes, as that of the source does.
    assert [devices[each]["DeleteOnTermination"] for each in ("/dev/xvda", "/dev/sdf")] == [True, False]


def test_volumes_are_encrypted_under_the_key(region: RunningRegion, point: str, role: str, network: Network) -> None:
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    mappings = [
        {"DeviceName": device, "Ebs": {"Encrypted": True, "KmsKeyId": key}} for device in ("/dev/xvda", "/dev/sdf")
    ]
    metadata = wanted(network, BlockDeviceMappings=mappings)
    job = restore(region, point, metadata, role=role)
    assert job["Status"] == "FAILED" and "UnauthorizedOperation" in job["StatusMessage"]
    assert "kms:CreateGrant" in job["StatusMessage"] and "Encoded authorization failure" in job["StatusMessage"]
    via = {"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com"}}
    use = allow(["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*"], "*", **via)
    grant = allow("kms:CreateGrant", "*", Bool={"kms:GrantIsForAWSResource": "true"})
    name = role.rpartition("/")[2]
    region.client("iam").put_role_policy(RoleName=name, PolicyName="key", PolicyDocument=policy(use, grant))
    job = restore(region, point, metadata, role=role)
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    ids = [each["Ebs"]["VolumeId"] for each in described(region, job["CreatedResourceArn"])["BlockDeviceMappings"]]
    volumes = region.client("ec2").describe_volumes(VolumeIds=ids)["Volumes"]
    assert [(each["Encrypted"], each["KmsKeyId"]) for each in volumes] == [(True, key)] * 2


def test_copy_has_the_key_of_its_vault(region: RunningRegion, source: str, network: Network) -> None:
    key, vault = region.client("kms").create_key()["KeyMetadata"]["Arn"], unique("vault")
    region.client("backup").create_backup_vault(BackupVaultName=vault, EncryptionKeyArn=key)
    point = copy(region, back_up(region, f"arn:aws:ec2:{PRIMARY}:{ACCOUNT}:instance/{source}"), vault)
    (image,) = region.client("ec2").describe_images(ImageIds=[point.rpartition("/")[2]])["Images"]
    assert all(each["Ebs"]["Encrypted"] for each in image["BlockDeviceMappings"])
    job = restore(region, point, wanted(network))
    ids = [each["Ebs"]["VolumeId"] for each in described(region, job["CreatedResourceArn"])["BlockDeviceMappings"]]
    volumes = region.client("ec2").describe_volumes(VolumeIds=ids)["Volumes"]
    assert {each["KmsKeyId"] for each in volumes} == {key}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"SubnetId": "subnet-00000000000000000"}, "InvalidSubnetID.NotFound"),
    ({"SecurityGroupIds": ["sg-00000000000000000"]}, "InvalidGroup.NotFound"),
    ({"SecurityGroupIds": "sg-1,sg-2"}, "JSON array of strings"),
    ({"InstanceType": "large"}, "Invalid value 'large' for InstanceType"),
    ({"KeyName": "no-such-key"}, "InvalidKeyPair.NotFound"),
    ({"IamInstanceProfileName": "another"}, "UseBackedUpValue or left out"),
    ({"CpuOptions": "CoreCount=1"}, "CpuOptions is a JSON object"),
    ({"RequireIMDSv2": "yes"}, "RequireIMDSv2 is true or false"),
    ({"PrivateIpAddress": "10.9.0.5"}, "does not fall within"),
    ({"NetworkInterfaces": [{"DeviceIndex": 0}]}, "may not be specified on the same request"),
    ({"Placement": {"AvailabilityZone": f"{REGION}b"}}, "is not in the Availability Zone"),
    ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-1"}}]}, "SnapshotId"),
    ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"KmsKeyId": "alias/x"}}]}, "requires the parameter"),
    (
        {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "KmsKeyId": "alias/none"}}]},
        "not a usable key",
    ),
    ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdz", "Ebs": {}}]}, "has no device /dev/sdz"),
    ({"Subnet": "x"}, "Unrecognized key: Subnet"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_invalid_metadata_fails_the_job(
    region: RunningRegion, point: str, role: str, network: Network, fault: dict[str, Any], message: str
) -> None:
    before = len(region.client("ec2").describe_instances()["Reservations"])
    job = restore(region, point, wanted(network, **fault), role=role)
    assert job["Status"] == "FAILED" and message in job["StatusMessage"]
    assert len(region.client("ec2").describe_instances()["Reservations"]) == before


def test_security_group_of_another_network_fails_the_job(
    region: RunningRegion, point: str, role: str, network: Network
) -> None:
    other = make_network(region)
    job = restore(region, point, wanted(network, SecurityGroupIds=[other.group]), role=role)
    assert job["Status"] == "FAILED" and "belong to different networks" in job["StatusMessage"]


@pytest.mark.parametrize(
    ("trouble", "code"), [("insufficient-capacity", "InsufficientInstanceCapacity"), ("unsupported", "Unsupported")]
)
def test_zone_may_lack_an_instance_type(
    region: RunningRegion, point: str, role: str, network: Network, trouble: str, code: str
) -> None:
    rule = {"instanceType": "t3.small", "zone": f"{REGION}a", "trouble": trouble}
    assert region.post("instance-troubles", rule) == (200, {"troubles": {f"t3.small {REGION}a": trouble}})
    job = restore(region, point, wanted(network), role=role)
    assert job["Status"] == "FAILED" and job["StatusMessage"].startswith(f"{code}: ")
    ec2 = region.client("ec2")
    run = {"ImageId": IMAGE, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1, "SubnetId": network.first}
    assert refusal(lambda: ec2.run_instances(**run))[0] == code
    # Another zone has it, and the first one another type.
    assert restore(region, point, wanted(network, SubnetId=network.second), role=role)["Status"] == "COMPLETED"
    assert restore(region, point, wanted(network, InstanceType="m5.large"), role=role)["Status"] == "COMPLETED"
    assert region.post("instance-troubles", rule | {"trouble": None}) == (200, {"troubles": {}})
    assert restore(region, point, wanted(network), role=role)["Status"] == "COMPLETED"


def test_instance_troubles_are_checked(region: RunningRegion) -> None:
    right = {"instanceType": "t3.small", "zone": "*", "trouble": "unsupported"}
    for wrong in ([], {}, right | {"trouble": "x"}, right | {"zone": None}, right | {"more": 1}):
        assert region.post("instance-troubles", wrong)[0] == 400


def test_profile_is_the_one_that_was_backed_up(
    region: RunningRegion, point: str, role: str, network: Network, profile: str
) -> None:
    metadata = wanted(network, IamInstanceProfileName="UseBackedUpValue")
    job = restore(region, point, metadata, role=role)
    assert job["Status"] == "FAILED" and "You are not authorized to perform this operation" in job["StatusMessage"]
    assert "iam:PassRole" in job["StatusMessage"]
    passes = allow("iam:PassRole", "*", StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    name = role.rpartition("/")[2]
    region.client("iam").put_role_policy(RoleName=name, PolicyName="pass", PolicyDocument=policy(passes))
    job = restore(region, point, metadata, role=role)
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    found = described(region, job["CreatedResourceArn"])["IamInstanceProfile"]["Arn"]
    assert found == f"arn:aws:iam::{ACCOUNT}:instance-profile/{profile}"


@pytest.mark.parametrize("left_out", ROLE_ACTIONS)
def test_restore_requires_permissions_of_its_role(
    region: RunningRegion, point: str, network: Network, left_out: str
) -> None:
    actions = [f"ec2:{name}" for name in ROLE_ACTIONS if name != left_out]
    role = make_role(region, *actions, service="backup.amazonaws.com")
    job = restore(region, point, wanted(network), role=role, CopySourceTagsToRestoredResource=True)
    assert job["Status"] == "FAILED" and f"not authorized to perform: ec2:{left_out}" in job["StatusMessage"]


@pytest.mark.parametrize("kind", ["image", "instance", "network-interface", "security-group", "subnet", "volume"])
def test_instance_is_run_with_rights_on_all_its_resources(
    region: RunningRegion, point: str, network: Network, kind: str
) -> None:
    kinds = ["image", "instance", "network-interface", "security-group", "subnet", "volume"]
    resources = [f"arn:aws:ec2:*:*:{each}/*" for each in kinds if each != kind]
    role = make_role(region, "ec2:Describe*", service="backup.amazonaws.com")
    region.client("iam").put_role_policy(
        RoleName=role.rpartition("/")[2], PolicyName="run", PolicyDocument=policy(allow("ec2:RunInstances", resources))
    )
    job = restore(region, point, wanted(network), role=role)
    assert job["Status"] == "FAILED" and f":{kind}/" in job["StatusMessage"]


def test_tags_of_the_source_reach_instance_and_volumes(
    region: RunningRegion, point: str, role: str, network: Network
) -> None:
    job = restore(region, point, wanted(network), role=role, CopySourceTagsToRestoredResource=True)
    found = described(region, job["CreatedResourceArn"])
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == TAGS
    ids = [each["Ebs"]["VolumeId"] for each in found["BlockDeviceMappings"]]
    for volume in region.client("ec2").describe_volumes(VolumeIds=ids)["Volumes"]:
        assert {tag["Key"]: tag["Value"] for tag in volume["Tags"]} == TAGS


def test_termination_can_be_disabled(region: RunningRegion, point: str, role: str, network: Network) -> None:
    job = restore(region, point, wanted(network, DisableApiTermination="true"), role=role)
    ec2, instance_id = region.client("ec2"), job["CreatedResourceArn"].rpartition("/")[2]
    assert refusal(lambda: ec2.terminate_instances(InstanceIds=[instance_id]))[0] == "OperationNotPermitted"
    ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert described(region, instance_id)["State"]["Name"] == "terminated"


def test_only_instances_of_a_drill_are_terminated(
    region: RunningRegion, point: str, role: str, network: Network
) -> None:
    ids = [
        restore(region, point, wanted(network), role=role)["CreatedResourceArn"].rpartition("/")[2] for _ in range(2)
    ]
    region.client("ec2").create_tags(Resources=ids[:1], Tags=tag_list({"recovery:drill": "x"}))
    of_drill = {"StringEquals": {"aws:ResourceTag/recovery:drill": "x"}}
    ec2 = client_of(
        region, "ec2", allow("ec2:TerminateInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*", **of_drill)
    )
    for refused in (ids[1:], ids):
        assert (
            refusal(lambda refused=refused: ec2.terminate_instances(InstanceIds=refused))[0] == "UnauthorizedOperation"
        )
    ec2.terminate_instances(InstanceIds=ids[:1])
    assert [described(region, each)["State"]["Name"] for each in ids] == ["terminated", "running"]


def test_images_of_aws_backup_stay(region: RunningRegion, point: str) -> None:
    ec2, image_id = region.client("ec2"), point.rpartition("/")[2]
    assert refusal(lambda: ec2.deregister_image(ImageId=image_id))[0] == "InvalidParameterValue"
    assert refusal(lambda: ec2.describe_images(ImageIds=["ami-00000000000000000"]))[0] == "InvalidAMIID.NotFound"
    assert refusal(lambda: ec2.describe_images(ImageIds=["ami-x"]))[0] == "InvalidAMIID.Malformed"


def test_restored_instance_can_fail_its_check_or_its_launch(
    region: RunningRegion, point: str, role: str, network: Network
) -> None:
    region.post("status-ends", {"name": point, "status": "impaired"})
    impaired = restore(region, point, wanted(network), role=role)["CreatedResourceArn"].rpartition("/")[2]
    assert checks(region, impaired) == [("running", "impaired", "ok")]
    region.post("status-ends", {"name": point, "status": "terminated"})
    job = restore(region, point, wanted(network), role=role)
    region.post("status-ends", {"name": point, "status": None})
    # The launch was accepted. What became of it is to be seen at the instance only.
    assert job["Status"] == "COMPLETED"
    dead = described(region, job["CreatedResourceArn"])
    assert dead["State"]["Name"] == "terminated" and dead["StateReason"]["Code"] == "Client.InternalError"
    assert checks(region, dead["InstanceId"]) == []
    assert checks(region, dead["InstanceId"], IncludeAllInstances=True) == [
        ("terminated", "not-applicable", "not-applicable")
    ]


def test_restore_test_launches_in_the_default_network(region: RunningRegion, point: str) -> None:
    make_role(
        region, "ec2:*", service="backup.amazonaws.com", path="/service-role/", name="AWSBackupDefaultServiceRole"
    )
    _, answer = region.post("restore-tests", {"recoveryPointArn": point})
    region.wait_until_idle()
    job = region.client("backup").describe_restore_job(RestoreJobId=answer["restoreJobId"])
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    found = described(region, job["CreatedResourceArn"])
    assert [tag["Key"] for tag in found["Tags"]] == ["awsbackup-restore-test"]
    assert found["MetadataOptions"]["HttpTokens"] == "required"


def test_status_checks_are_filtered_and_paged(region: RunningRegion, point: str, role: str, network: Network) -> None:
    ec2 = region.client("ec2")
    instance_id = restore(region, point, wanted(network), role=role)["CreatedResourceArn"].rpartition("/")[2]
    for name, value, count in (("instance-status.status", "ok", 1), ("instance-status.reachability", "failed", 0)):
        filters = [{"Name": name, "Values": [value]}]
        found = ec2.describe_instance_status(InstanceIds=[instance_id], Filters=filters)["InstanceStatuses"]
        assert len(found) == count
    pages = ec2.get_paginator("describe_instance_status").paginate(PaginationConfig={"PageSize": 5})
    ids = [each["InstanceId"] for page in pages for each in page["InstanceStatuses"]]
    assert instance_id in ids and len(ids) == len(set(ids))
    none = "i-00000000000000000"
    assert refusal(lambda: ec2.describe_instance_status(InstanceIds=[none]))[0] == "InvalidInstanceID.NotFound"


@pytest.fixture
def slow() -> Iterator[RunningRegion]:
    """A Region in which a restored instance boots in no test."""
    running = RunningRegion("--instance-seconds", "600", "--restore-seconds", "0")
    make_vaults(running)
    yield running
    assert running.stop() == 0


def restored(running: RunningRegion) -> str:
    """Restore an instance; its id when its job is complete."""
    made = running.client("ec2", PRIMARY).run_instances(
        ImageId=IMAGE, MinCount=1, MaxCount=1, Placement={"AvailabilityZone": f"{PRIMARY}a"}
    )["Instances"][0]
    point = copy(running, back_up(running, f"arn:aws:ec2:{PRIMARY}:{ACCOUNT}:instance/{made['InstanceId']}"))
    role = make_role(running, "ec2:*", service="backup.amazonaws.com")
    start(running, point, wanted(make_network(running)), role=role)
    (entry,) = running.wait_for(1, "restore-job", lambda entry: entry["status"] == "COMPLETED")
    return entry["createdResourceArn"].rpartition("/")[2]


def test_complete_job_has_an_instance_that_is_pending(slow: RunningRegion) -> None:
    instance_id = restored(slow)
    assert described(slow, instance_id)["State"]["Name"] == "pending" and checks(slow, instance_id) == []
    ec2 = slow.client("ec2")
    volume = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    attach = {"VolumeId": volume, "InstanceId": instance_id, "Device": "/dev/sdg"}
    assert refusal(lambda: ec2.attach_volume(**attach))[0] == "IncorrectState"


def test_running_instance_is_checked_for_a_time() -> None:
    running = RunningRegion("--instance-check-seconds", "600", "--restore-seconds", "0", "--instance-seconds", "0")
    try:
        make_vaults(running)
        instance_id = restored(running)
        is_own = {"instance-id": instance_id, "state": "running"}
        running.wait_for(1, "event", lambda entry: entry["detail"] == is_own)
        assert checks(running, instance_id) == [("running", "initializing", "initializing")]
    finally:
        assert running.stop() == 0
