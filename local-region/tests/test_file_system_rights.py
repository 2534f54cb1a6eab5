"""Who may call EFS: on which resource, with which tags, and which rights on EC2 and keys it takes as well."""

from typing import Any

import pytest
from file_systems import Network, make_file_system, make_network
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import tag_list, unique
from test_database_rights import allow
from test_drills import client_of

FILE_SYSTEMS = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/*"
POINTS = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/*"
DRILL = {"recovery:drill": "shop-drill"}
OF_DRILL = {"StringEquals": {"aws:ResourceTag/recovery:drill": "shop-drill"}}
DENIED = "AccessDeniedException"


@pytest.fixture(scope="module")
def network(region: RunningRegion) -> Network:
    """A network in the Region."""
    return make_network(region)


def of_ec2(action: str) -> dict[str, Any]:
    """A statement on EC2."""
    return allow(f"ec2:{action}", "*")


@pytest.mark.parametrize(
    "left_out", ["DescribeSubnets", "DescribeNetworkInterfaces", "CreateNetworkInterface", "CreateMountTarget"]
)
def test_mount_target_needs_rights_on_ec2(region: RunningRegion, network: Network, left_out: str) -> None:
    fs_id = make_file_system(region)
    statements = [
        of_ec2(action)
        for action in ("DescribeSubnets", "DescribeNetworkInterfaces", "CreateNetworkInterface")
        if action != left_out
    ]
    if left_out != "CreateMountTarget":
        statements.append(allow("elasticfilesystem:CreateMountTarget", FILE_SYSTEMS))
    efs = client_of(region, "efs", *statements)
    code, message = refusal(lambda: efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first))
    assert code == DENIED and left_out in message


def test_roles_are_limited_by_the_tags_of_a_file_system(region: RunningRegion, network: Network) -> None:
    own, foreign = make_file_system(region, Tags=tag_list(DRILL)), make_file_system(region)
    action = ["elasticfilesystem:CreateMountTarget", "elasticfilesystem:DeleteMountTarget"]
    efs = client_of(
        region,
        "efs",
        allow(action, FILE_SYSTEMS, **OF_DRILL),
        allow("ec2:*NetworkInterface*", "*"),
        of_ec2("Describe*"),
    )
    for fs_id in (own, foreign):
        params = {"FileSystemId": fs_id, "SubnetId": network.first}
        if fs_id == own:
            target = efs.create_mount_target(**params)["MountTargetId"]
            # The tags of the file system count.
            efs.delete_mount_target(MountTargetId=target)
        else:
            assert refusal(lambda params=params: efs.create_mount_target(**params))[0] == DENIED
    delete = client_of(region, "efs", allow("elasticfilesystem:DeleteFileSystem", FILE_SYSTEMS, **OF_DRILL))
    assert refusal(lambda: delete.delete_file_system(FileSystemId=foreign))[0] == DENIED
    region.wait_until_idle()
    delete.delete_file_system(FileSystemId=own)


def test_tags_at_creation_need_a_right(region: RunningRegion) -> None:
    create = allow(["elasticfilesystem:CreateAccessPoint", "elasticfilesystem:CreateFileSystem"], FILE_SYSTEMS)
    fs_id = make_file_system(region)
    params = {"FileSystemId": fs_id, "Tags": tag_list(DRILL)}
    efs = client_of(region, "efs", create)
    code, message = refusal(lambda: efs.create_access_point(**params))
    assert code == DENIED and "elasticfilesystem:TagResource" in message
    assert efs.create_access_point(FileSystemId=fs_id)["LifeCycleState"] == "creating"
    only_drills = {
        "StringEquals": {"elasticfilesystem:CreateAction": "CreateAccessPoint"},
        "ForAllValues:StringEquals": {"aws:TagKeys": "recovery:drill"},
    }
    efs = client_of(region, "efs", create, allow("elasticfilesystem:TagResource", POINTS, **only_drills))
    assert efs.create_access_point(**params)["Tags"] == tag_list(DRILL)
    other = params | {"Tags": tag_list({"team": "sales"})}
    assert refusal(lambda: efs.create_access_point(**other))[0] == DENIED
    new = {"CreationToken": unique("token"), "Tags": tag_list(DRILL)}
    assert refusal(lambda: efs.create_file_system(**new))[0] == DENIED


def test_access_points_are_deleted_by_their_tags(region: RunningRegion) -> None:
    efs, fs_id = region.client("efs"), make_file_system(region)
    own = efs.create_access_point(FileSystemId=fs_id, Tags=tag_list(DRILL))["AccessPointId"]
    foreign = efs.create_access_point(FileSystemId=fs_id)["AccessPointId"]
    delete = client_of(region, "efs", allow("elasticfilesystem:DeleteAccessPoint", POINTS, **OF_DRILL))
    delete.delete_access_point(AccessPointId=own)
    assert refusal(lambda: delete.delete_access_point(AccessPointId=foreign))[0] == DENIED


def test_lifecycle_of_an_encrypted_file_system_needs_its_key(region: RunningRegion) -> None:
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    fs_id = make_file_system(region, Encrypted=True, KmsKeyId=key)
    put = allow("elasticfilesystem:PutLifecycleConfiguration", FILE_SYSTEMS)
    params = {"FileSystemId": fs_id, "LifecyclePolicies": [{"TransitionToIA": "AFTER_30_DAYS"}]}
    code, message = refusal(lambda: client_of(region, "efs", put).put_lifecycle_configuration(**params))
    assert code == DENIED and "kms:DescribeKey" in message
    use = allow(["kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext"], key)
    client_of(region, "efs", put, use).put_lifecycle_configuration(**params)
    # AWS's own key takes no right.
    plain = params | {"FileSystemId": make_file_system(region, Encrypted=True)}
    client_of(region, "efs", put).put_lifecycle_configuration(**plain)


def test_tagged_file_systems_can_be_listed(region: RunningRegion) -> None:
    fs_id = make_file_system(region, Tags=tag_list({"recovery:drill": unique("drill")}))
    (tag,) = region.client("efs").list_tags_for_resource(ResourceId=fs_id)["Tags"]
    filters = [{"Key": tag["Key"], "Values": [tag["Value"]]}]
    tagging = region.client("resourcegroupstaggingapi")
    (found,) = tagging.get_resources(TagFilters=filters)["ResourceTagMappingList"]
    assert found["ResourceARN"] == f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/{fs_id}"
