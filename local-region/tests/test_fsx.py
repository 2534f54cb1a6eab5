"""FSx: file systems of all four types, storage virtual machines and volumes, with their lifecycles over time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from file_systems import Network, fsx_file_system, make_fsx, make_network, make_ontap, make_ontap_volume
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import statuses, tag_list, unique, wait_for_status
from test_database_rights import allow
from test_drills import client_of

ARN = f"arn:aws:fsx:{REGION}:{ACCOUNT}:"
TAGS = {"Name": "files", "recovery:workload": "shop"}
DIRECTORY = "d-0123456789"


@pytest.fixture(scope="module")
def network(region: RunningRegion) -> Network:
    """A network in the Region."""
    return make_network(region)


@pytest.fixture(scope="module")
def slow_changes() -> Iterator[RunningRegion]:
    """A Region in which file systems are made quickly, and changes and deletions take longer than any test."""
    running = RunningRegion("--file-system-seconds", "0", "--file-system-change-seconds", "600")
    yield running
    assert running.stop() == 0


def test_lustre_has_a_mount_name(region: RunningRegion, network: Network) -> None:
    fsx = region.client("fsx")
    made = fsx.create_file_system(
        FileSystemType="LUSTRE",
        StorageCapacity=1200,
        SubnetIds=[network.first],
        SecurityGroupIds=[network.group],
        LustreConfiguration={"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125},
        Tags=tag_list(TAGS),
    )["FileSystem"]
    fs_id = made["FileSystemId"]
    assert made["Lifecycle"] == "CREATING" and made["ResourceARN"] == f"{ARN}file-system/{fs_id}"
    region.wait_until_idle()
    found = fsx_file_system(region, fs_id)
    assert found["Lifecycle"] == "AVAILABLE" and found["VpcId"] == network.vpc
    assert found["DNSName"] == f"{fs_id}.fsx.{REGION}.amazonaws.com"
    # It has nothing in common with the id.
    mount_name = found["LustreConfiguration"]["MountName"]
    assert len(mount_name) == 8 and mount_name not in fs_id
    assert found["LustreConfiguration"]["AutomaticBackupRetentionDays"] == 0
    assert found["Tags"] == tag_list(TAGS)
    assert statuses(region, found["ResourceARN"]) == ["CREATING", "AVAILABLE"]
    scratch = make_fsx(region, network, LustreConfiguration={"DeploymentType": "SCRATCH_1"})
    assert scratch["LustreConfiguration"]["MountName"] == "fsx"


def test_windows_has_a_name_of_its_domain(region: RunningRegion, network: Network) -> None:
    made = make_fsx(
        region,
        network,
        FileSystemType="WINDOWS",
        StorageCapacity=32,
        SubnetIds=[network.first, network.second],
        WindowsConfiguration={
            "DeploymentType": "MULTI_AZ_1",
            "PreferredSubnetId": network.first,
            "ThroughputCapacity": 8,
            "SelfManagedActiveDirectoryConfiguration": {
                "DomainName": "corp.test",
                "DnsIps": ["10.8.0.2"],
                "UserName": "join",
                "Password": "example-password",
            },
        },
    )
    assert made["DNSName"].startswith("amznfsx") and made["DNSName"].endswith(".corp.test")
    windows = made["WindowsConfiguration"]
    assert windows["RemoteAdministrationEndpoint"].endswith(".corp.test")
    assert windows["PreferredFileServerIp"].startswith("10.8.0.") and windows["AutomaticBackupRetentionDays"] == 30
    assert "Password" not in windows["SelfManagedActiveDirectoryConfiguration"]
    assert len(made["NetworkInterfaceIds"]) == 2


def test_openzfs_has_a_root_volume(region: RunningRegion, network: Network) -> None:
    fsx = region.client("fsx")
    made = make_fsx(
        region,
        network,
        FileSystemType="OPENZFS",
        StorageCapacity=64,
        OpenZFSConfiguration={"DeploymentType": "SINGLE_AZ_1", "ThroughputCapacity": 64},
    )
    root = made["OpenZFSConfiguration"]["RootVolumeId"]
    (volume,) = fsx.describe_volumes(VolumeIds=[root])["Volumes"]
    assert volume["Lifecycle"] == "AVAILABLE" and volume["OpenZFSConfiguration"]["VolumePath"] == "/fsx"
    child = fsx.create_volume(VolumeType="OPENZFS", Name="orders", OpenZFSConfiguration={"ParentVolumeId": root})[
        "Volume"
    ]
    assert child["Lifecycle"] == "CREATING"
    region.wait_until_idle()
    filters = [{"Name": "file-system-id", "Values": [made["FileSystemId"]]}]
    volumes = fsx.describe_volumes(Filters=filters)["Volumes"]
    assert {each["OpenZFSConfiguration"]["VolumePath"]: each["Lifecycle"] for each in volumes} == {
        "/fsx": "AVAILABLE",
        "/fsx/orders": "AVAILABLE",
    }


def test_ontap_has_endpoints_and_volumes(region: RunningRegion, network: Network) -> None:
    fsx, (fs_id, svm_id) = region.client("fsx"), make_ontap(region, network)
    found = fsx_file_system(region, fs_id)
    endpoints = found["OntapConfiguration"]["Endpoints"]
    assert "DNSName" not in found
    assert endpoints["Management"]["DNSName"] == f"management.{fs_id}.fsx.{REGION}.amazonaws.com"
    assert "FsxAdminPassword" not in found["OntapConfiguration"]
    (svm,) = fsx.describe_storage_virtual_machines(StorageVirtualMachineIds=[svm_id])["StorageVirtualMachines"]
    assert svm["Lifecycle"] == "CREATED" and "Smb" not in svm["Endpoints"]
    assert svm["Endpoints"]["Nfs"]["DNSName"] == f"{svm_id}.{fs_id}.fsx.{REGION}.amazonaws.com"
    assert svm["Endpoints"]["Nfs"]["IpAddresses"]
    volume = make_ontap_volume(region, svm_id, "orders")
    assert volume["ResourceARN"] == f"{ARN}volume/{fs_id}/{volume['VolumeId']}"
    assert volume["Lifecycle"] == "CREATED" and volume["OntapConfiguration"]["JunctionPath"] == "/orders"
    filters = [{"Name": "storage-virtual-machine-id", "Values": [svm_id]}]
    names = [each["Name"] for each in fsx.describe_volumes(Filters=filters)["Volumes"]]
    assert sorted(names) == ["files_root", "orders"]
    faults: list[dict[str, Any]] = [
        {"Name": "my-volume"},
        {"Name": "orders"},
        {"JunctionPath": "/orders"},
        {"JunctionPath": "data"},
        {"StorageEfficiencyEnabled": None},
        {"SizeInMegabytes": None},
    ]
    for fault in faults:
        code, _ = refusal(lambda fault=fault: make_ontap_volume(region, svm_id, **({"name": "other"} | lower(fault))))
        assert code == "BadRequest", fault
    unknown = "svm-0123456789abcdef0"
    assert refusal(lambda: make_ontap_volume(region, unknown, "x"))[0] == "StorageVirtualMachineNotFound"


def lower(fault: dict[str, Any]) -> dict[str, Any]:
    """A fault with the name of a volume as the helper takes it."""
    return {"name" if key == "Name" else key: value for key, value in fault.items()}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"SubnetIds": ["subnet-0123456789abcdef0"]}, "InvalidNetworkSettings"),
    ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidNetworkSettings"),
    ({"StorageCapacity": 1300}, "BadRequest"),
    ({"StorageCapacity": None}, "BadRequest"),
    ({"LustreConfiguration": {"DeploymentType": "PERSISTENT_2"}}, "InvalidPerUnitStorageThroughput"),
    (
        {"LustreConfiguration": {"DeploymentType": "PERSISTENT_1", "PerUnitStorageThroughput": 125}},
        "InvalidPerUnitStorageThroughput",
    ),
    ({"LustreConfiguration": {"DeploymentType": "SCRATCH_2", "AutomaticBackupRetentionDays": 7}}, "BadRequest"),
    ({"FileSystemType": "WINDOWS", "StorageCapacity": 32}, "MissingFileSystemConfiguration"),
    (
        {"FileSystemType": "WINDOWS", "StorageCapacity": 32, "WindowsConfiguration": {"ThroughputCapacity": 8}},
        "BadRequest",
    ),
    (
        {
            "FileSystemType": "WINDOWS",
            "StorageCapacity": 16,
            "WindowsConfiguration": {"ThroughputCapacity": 8, "ActiveDirectoryId": DIRECTORY},
        },
        "BadRequest",
    ),
    (
        {
            "FileSystemType": "OPENZFS",
            "StorageCapacity": 64,
            "OpenZFSConfiguration": {"DeploymentType": "SINGLE_AZ_2", "ThroughputCapacity": 64},
        },
        "BadRequest",
    ),
    ({"FileSystemType": "GLUSTER"}, "BadRequest"),
]


@pytest.mark.parametrize(("fault", "code"), FAULTS)
def test_refuses_invalid_file_systems(
    region: RunningRegion, network: Network, fault: dict[str, Any], code: str
) -> None:
    assert refusal(lambda: make_fsx(region, network, **fault))[0] == code


def test_refuses_subnets_that_do_not_fit(region: RunningRegion, network: Network) -> None:
    config = {"DeploymentType": "MULTI_AZ_1", "ThroughputCapacity": 8, "ActiveDirectoryId": DIRECTORY}
    windows = {"FileSystemType": "WINDOWS", "StorageCapacity": 32, "WindowsConfiguration": config}
    other = make_network(region)
    assert refusal(lambda: make_fsx(region, network, SubnetIds=[network.first, network.second]))[0] == "BadRequest"
    for subnets, preferred in (
        ([network.first], network.first),
        ([network.first, network.first_too], network.first),
        ([network.first, other.second], network.first),
        ([network.first, network.second], None),
        ([network.first, network.second], network.first_too),
    ):
        chosen = config | ({"PreferredSubnetId": preferred} if preferred else {})
        given = windows | {"SubnetIds": subnets, "WindowsConfiguration": chosen}
        code, _ = refusal(lambda given=given: make_fsx(region, network, **given))
        assert code in ("BadRequest", "InvalidNetworkSettings")


def test_lustre_needs_its_port(region: RunningRegion, network: Network) -> None:
    ec2 = region.client("ec2")
    closed = ec2.create_security_group(GroupName=unique("sg"), Description="closed", VpcId=network.vpc)["GroupId"]
    code, message = refusal(lambda: make_fsx(region, network, SecurityGroupIds=[closed]))
    assert code == "InvalidNetworkSettings" and "port 988" in message
    pair = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": closed}]}
    ec2.authorize_security_group_ingress(GroupId=closed, IpPermissions=[pair])
    assert make_fsx(region, network, SecurityGroupIds=[closed])["Lifecycle"] == "AVAILABLE"


def test_request_token_makes_one_file_system(region: RunningRegion, network: Network) -> None:
    token = unique("token")
    first = make_fsx(region, network, ClientRequestToken=token)
    again = make_fsx(region, network, ClientRequestToken=token)
    assert first["FileSystemId"] == again["FileSystemId"]
    with pytest.raises(region.client("fsx").exceptions.IncompatibleParameterError) as refused:
        make_fsx(region, network, ClientRequestToken=token, StorageCapacity=2400)
    assert refused.value.response["Parameter"] == "StorageCapacity"


def test_missing_resources_are_not_found(region: RunningRegion) -> None:
    fsx = region.client("fsx")
    fs_id, volume = "fs-0123456789abcdef0", "fsvol-0123456789abcdef0"
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: fsx.describe_file_systems(FileSystemIds=[fs_id]), "FileSystemNotFound"),
        (lambda: fsx.delete_file_system(FileSystemId=fs_id), "FileSystemNotFound"),
        (lambda: fsx.describe_volumes(VolumeIds=[volume]), "VolumeNotFound"),
        (lambda: fsx.delete_volume(VolumeId=volume), "VolumeNotFound"),
        (lambda: fsx.list_tags_for_resource(ResourceARN=f"{ARN}file-system/{fs_id}"), "ResourceNotFound"),
        (lambda: fsx.describe_backups(BackupIds=["backup-0123456789abcdef0"]), "BackupNotFound"),
        (lambda: fsx.describe_file_systems(FileSystemIds=["vol-0123456789"]), "BadRequest"),
    ]
    for call, expected in calls:
        code, message = refusal(call)
        assert code == expected and message


def test_lists_come_in_pages(region: RunningRegion, network: Network) -> None:
    fsx = region.client("fsx")
    ids = {make_fsx(region, network)["FileSystemId"] for _ in range(2)}
    seen, token = set(), {}
    while True:
        page = fsx.describe_file_systems(MaxResults=1, **token)
        seen |= {each["FileSystemId"] for each in page["FileSystems"]}
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert ids <= seen
    assert refusal(lambda: fsx.describe_file_systems(NextToken="bm8="))[0] == "BadRequest"


def test_tags_are_kept(region: RunningRegion, network: Network) -> None:
    fsx, made = region.client("fsx"), make_fsx(region, network, Tags=tag_list(TAGS))
    arn = made["ResourceARN"]
    fsx.tag_resource(ResourceARN=arn, Tags=tag_list({"a": "1"}))
    fsx.untag_resource(ResourceARN=arn, TagKeys=["Name"])
    tags = fsx.list_tags_for_resource(ResourceARN=arn)["Tags"]
    assert tags == tag_list({"recovery:workload": "shop", "a": "1"})
    page = fsx.list_tags_for_resource(ResourceARN=arn, MaxResults=1)
    assert len(page["Tags"]) == 1 and page["NextToken"]
    many = tag_list({f"k{n}": "v" for n in range(49)})
    assert refusal(lambda: fsx.tag_resource(ResourceARN=arn, Tags=many))[0] == "BadRequest"
    assert refusal(lambda: fsx.tag_resource(ResourceARN=arn, Tags=tag_list({"aws:x": "1"})))[0] == "BadRequest"
    other = "arn:aws:fsx:eu-west-1:111122223333:file-system/fs-0123456789abcdef0"
    assert refusal(lambda: fsx.list_tags_for_resource(ResourceARN=other))[0] == "NotServiceResourceError"
    filters = [{"Key": "a", "Values": ["1"]}]
    found = region.client("resourcegroupstaggingapi").get_resources(TagFilters=filters)["ResourceTagMappingList"]
    assert arn in [each["ResourceARN"] for each in found]


def test_update_takes_time(slow_changes: RunningRegion) -> None:
    fsx = slow_changes.client("fsx")
    made = make_fsx(slow_changes, make_network(slow_changes), wait=False)
    wait_for_status(slow_changes, made["ResourceARN"], "AVAILABLE")
    change = {"FileSystemId": made["FileSystemId"], "LustreConfiguration": {"AutomaticBackupRetentionDays": 7}}
    updated = fsx.update_file_system(**change)["FileSystem"]
    assert updated["Lifecycle"] == "UPDATING"
    assert updated["LustreConfiguration"]["AutomaticBackupRetentionDays"] == 7
    assert refusal(lambda: fsx.update_file_system(**change))[0] == "BadRequest"


def test_deletion_takes_time(slow_changes: RunningRegion) -> None:
    fsx, network = slow_changes.client("fsx"), make_network(slow_changes)
    made = make_fsx(slow_changes, network, wait=False)
    wait_for_status(slow_changes, made["ResourceARN"], "AVAILABLE")
    answer = fsx.delete_file_system(FileSystemId=made["FileSystemId"])
    assert answer["Lifecycle"] == "DELETING" and "FinalBackupId" not in answer.get("LustreResponse", {})
    assert fsx_file_system(slow_changes, made["FileSystemId"])["Lifecycle"] == "DELETING"
    ec2 = slow_changes.client("ec2")
    assert refusal(lambda: ec2.delete_subnet(SubnetId=network.first))[0] == "DependencyViolation"
    assert refusal(lambda: ec2.delete_security_group(GroupId=network.group))[0] == "DependencyViolation"


def test_deleted_file_system_is_gone(region: RunningRegion) -> None:
    fsx, network = region.client("fsx"), make_network(region)
    made = make_fsx(region, network)
    fsx.delete_file_system(FileSystemId=made["FileSystemId"])
    region.wait_until_idle()
    ids = [made["FileSystemId"]]
    assert refusal(lambda: fsx.describe_file_systems(FileSystemIds=ids))[0] == "FileSystemNotFound"
    assert statuses(region, made["ResourceARN"]) == ["CREATING", "AVAILABLE", "DELETING", "DELETED"]
    region.client("ec2").delete_subnet(SubnetId=network.first)


def test_final_backups_are_made_unless_they_are_skipped(region: RunningRegion, network: Network) -> None:
    fsx = region.client("fsx")
    openzfs = {
        "FileSystemType": "OPENZFS",
        "StorageCapacity": 64,
        "OpenZFSConfiguration": {"DeploymentType": "SINGLE_AZ_1", "ThroughputCapacity": 64},
    }
    made = make_fsx(region, network, **openzfs)
    answer = fsx.delete_file_system(FileSystemId=made["FileSystemId"])
    (kept,) = fsx.describe_backups(BackupIds=[answer["OpenZFSResponse"]["FinalBackupId"]])["Backups"]
    assert kept["Type"] == "USER_INITIATED" and kept["FileSystem"]["FileSystemId"] == made["FileSystemId"]
    made = make_fsx(region, network, **openzfs)
    skipped = {"FileSystemId": made["FileSystemId"], "OpenZFSConfiguration": {"SkipFinalBackup": True}}
    assert "OpenZFSResponse" not in fsx.delete_file_system(**skipped)
    _, svm_id = make_ontap(region, network)
    volumes = [make_ontap_volume(region, svm_id, name)["VolumeId"] for name in ("first", "second")]
    answer = fsx.delete_volume(VolumeId=volumes[0])
    assert answer["Lifecycle"] == "DELETING" and answer["OntapResponse"]["FinalBackupId"].startswith("backup-")
    answer = fsx.delete_volume(VolumeId=volumes[1], OntapConfiguration={"SkipFinalBackup": True})
    assert "OntapResponse" not in answer


def test_owners_are_deleted_last(region: RunningRegion, network: Network) -> None:
    fsx, (fs_id, svm_id) = region.client("fsx"), make_ontap(region, network)
    volume = make_ontap_volume(region, svm_id, "orders")["VolumeId"]
    assert refusal(lambda: fsx.delete_file_system(FileSystemId=fs_id))[0] == "BadRequest"
    assert refusal(lambda: fsx.delete_storage_virtual_machine(StorageVirtualMachineId=svm_id))[0] == "BadRequest"
    filters = [{"Name": "storage-virtual-machine-id", "Values": [svm_id]}]
    root = next(
        each["VolumeId"]
        for each in fsx.describe_volumes(Filters=filters)["Volumes"]
        if each["OntapConfiguration"]["StorageVirtualMachineRoot"]
    )
    assert refusal(lambda: fsx.delete_volume(VolumeId=root))[0] == "BadRequest"
    fsx.delete_volume(VolumeId=volume, OntapConfiguration={"SkipFinalBackup": True})
    region.wait_until_idle()
    fsx.delete_storage_virtual_machine(StorageVirtualMachineId=svm_id)
    region.wait_until_idle()
    assert fsx.describe_volumes(Filters=filters)["Volumes"] == []
    fsx.delete_file_system(FileSystemId=fs_id)


def test_roles_are_limited_by_tags(region: RunningRegion, network: Network) -> None:
    drill = {"recovery:drill": "shop-drill"}
    own = make_fsx(region, network, Tags=tag_list(drill))["FileSystemId"]
    foreign = make_fsx(region, network)["FileSystemId"]
    condition = {"StringEquals": {"aws:ResourceTag/recovery:drill": "shop-drill"}}
    fsx = client_of(
        region, "fsx", allow("fsx:DeleteFileSystem", f"{ARN}file-system/*", **condition), allow("fsx:Describe*", "*")
    )
    assert fsx.describe_file_systems(FileSystemIds=[own])["FileSystems"]
    assert refusal(lambda: fsx.delete_file_system(FileSystemId=foreign))[0] == "AccessDeniedException"
    final = {"FileSystemId": own, "LustreConfiguration": {"SkipFinalBackup": False}}
    code, message = refusal(lambda: fsx.delete_file_system(**final))
    assert code == "AccessDeniedException" and "fsx:CreateBackup" in message
    fsx.delete_file_system(FileSystemId=own)
    tag = allow("fsx:TagResource", f"{ARN}file-system/*", StringEquals={"aws:RequestTag/a": "1"})
    tagger = client_of(region, "fsx", tag)
    tagger.tag_resource(ResourceARN=f"{ARN}file-system/{foreign}", Tags=tag_list({"a": "1"}))
    other = {"ResourceARN": f"{ARN}file-system/{foreign}", "Tags": tag_list({"a": "2"})}
    assert refusal(lambda: tagger.tag_resource(**other))[0] == "AccessDeniedException"


def test_other_operations_are_unknown(region: RunningRegion) -> None:
    assert refusal(lambda: region.client("fsx").describe_snapshots())[0] == "UnknownOperationException"
