"""FSx restored in the recovery Region: file systems of three types, and volumes of ONTAP."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from file_systems import Network, fsx_file_system, make_fsx, make_network, make_ontap, make_ontap_volume
from machines import make_role
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import PRIMARY, back_up, copy, make_vaults, restore, start, statuses, tag_list, unique

TAGS = {"recovery:workload": "shop", "recovery:mount": "/srv/files"}
DIRECTORY, OWN_DIRECTORY = "d-0123456789", "d-9876543210"
ARN = f"arn:aws:fsx:{REGION}:{ACCOUNT}:"
RETENTION = {"AutomaticBackupRetentionDays": 7}
SOURCES: dict[str, dict[str, Any]] = {
    "LUSTRE": {
        "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 250} | RETENTION,
    },
    "OPENZFS": {
        "FileSystemType": "OPENZFS",
        "StorageCapacity": 64,
        "OpenZFSConfiguration": {"DeploymentType": "SINGLE_AZ_1", "ThroughputCapacity": 64} | RETENTION,
    },
    "WINDOWS": {
        "FileSystemType": "WINDOWS",
        "StorageCapacity": 32,
        "WindowsConfiguration": {
            "ThroughputCapacity": 16,
            "ActiveDirectoryId": DIRECTORY,
            "Aliases": ["files.corp.example.com"],
        }
        | RETENTION,
    },
}


@pytest.fixture(scope="module", autouse=True)
def vaults(region: RunningRegion) -> None:
    """The vaults."""
    make_vaults(region)


@pytest.fixture(scope="module")
def network(region: RunningRegion) -> Network:
    """A network of the recovery Region."""
    return make_network(region)


@pytest.fixture(scope="module")
def primary(region: RunningRegion) -> Network:
    """A network of the primary Region."""
    return make_network(region, PRIMARY)


@pytest.fixture(scope="module")
def source(region: RunningRegion, primary: Network) -> Callable[[str], dict[str, Any]]:
    """A file system of the primary Region by its type."""
    made: dict[str, dict[str, Any]] = {}

    def of_type(kind: str) -> dict[str, Any]:
        if kind not in made:
            made[kind] = make_fsx(region, primary, PRIMARY, Tags=tag_list(TAGS), **SOURCES[kind])
            if kind == "OPENZFS":
                root = made[kind]["OpenZFSConfiguration"]["RootVolumeId"]
                region.client("fsx", PRIMARY).create_volume(
                    VolumeType="OPENZFS", Name="orders", OpenZFSConfiguration={"ParentVolumeId": root}
                )
                region.wait_until_idle()
        return made[kind]

    return of_type


@pytest.fixture(scope="module")
def point(region: RunningRegion, vaults: None, source: Callable[[str], dict[str, Any]]) -> Callable[[str], str]:
    """A copy of a recovery point by the type of its file system."""
    made: dict[str, str] = {}

    def of_type(kind: str) -> str:
        if kind not in made:
            made[kind] = copy(region, back_up(region, source(kind)["ResourceARN"]))
        return made[kind]

    return of_type


@pytest.fixture(scope="module")
def svm(region: RunningRegion, network: Network) -> str:
    """A storage virtual machine of the recovery Region."""
    return make_ontap(region, network)[1]


@pytest.fixture(scope="module")
def volume_point(region: RunningRegion, vaults: None, primary: Network) -> str:
    """A copy of a recovery point of a volume."""
    _, primary_svm = make_ontap(region, primary, PRIMARY)
    volume = make_ontap_volume(region, primary_svm, "orders", PRIMARY, Tags=tag_list(TAGS))
    return copy(region, back_up(region, volume["ResourceARN"]))


def wanted(network: Network, **changes: Any) -> dict[str, Any]:
    """The metadata of a restore into a network, with changes."""
    metadata = {"SubnetIds": [network.first], "SecurityGroupIds": [network.group]} | changes
    return {key: value for key, value in metadata.items() if value is not None}


def volume_metadata(svm: str, **changes: Any) -> dict[str, Any]:
    """The metadata of a restore of a volume, with changes of its configuration."""
    name = unique("v").replace("-", "_")
    config = {"storageVirtualMachineId": svm, "junctionPath": f"/{name}", "sizeInMegabytes": "1024"} | changes
    return {"Name": name, "OntapConfiguration": {key: value for key, value in config.items() if value is not None}}


def created(region: RunningRegion, job: dict[str, Any]) -> dict[str, Any]:
    """The file system that a job has created."""
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    return fsx_file_system(region, job["CreatedResourceArn"].rpartition("/")[2])


def test_recovery_point_is_a_backup_of_fsx(
    region: RunningRegion, source: Callable[[str], dict[str, Any]], point: Callable[[str], str], primary: Network
) -> None:
    arn = point("LUSTRE")
    assert arn.startswith(f"{ARN}backup/backup-")
    fsx, backup = region.client("fsx"), region.client("backup")
    described = backup.describe_recovery_point(BackupVaultName="recovery", RecoveryPointArn=arn)
    assert described["ResourceType"] == "FSx" and described["ResourceArn"] == source("LUSTRE")["ResourceARN"]
    # FSx keeps its tags, AWS Backup does not.
    assert fsx.list_tags_for_resource(ResourceARN=arn)["Tags"] == tag_list(TAGS)
    assert refusal(lambda: backup.list_tags(ResourceArn=arn))[0] == "ResourceNotFoundException"
    (kept,) = fsx.describe_backups(Filters=[{"Name": "backup-type", "Values": ["AWS_BACKUP"]}], MaxResults=1)["Backups"]
    assert kept["Lifecycle"] == "AVAILABLE" and kept["SourceBackupRegion"] == PRIMARY
    metadata = backup.get_recovery_point_restore_metadata(BackupVaultName="recovery", RecoveryPointArn=arn)
    stored = metadata["RestoreMetadata"]
    # They are still those of the primary Region.
    assert json.loads(stored["SubnetIds"]) == [primary.first] and stored["FileSystemType"] == "LUSTRE"
    assert json.loads(stored["LustreConfiguration"])["PerUnitStorageThroughput"] == 250


def test_lustre_gets_a_new_mount_name(
    region: RunningRegion, source: Callable[[str], dict[str, Any]], point: Callable[[str], str], network: Network
) -> None:
    job = restore(region, point("LUSTRE"), wanted(network))
    found, before = created(region, job), source("LUSTRE")
    assert job["CreatedResourceArn"] == f"{ARN}file-system/{found['FileSystemId']}"
    assert found["Lifecycle"] == "AVAILABLE" and found["SubnetIds"] == [network.first]
    lustre = found["LustreConfiguration"]
    assert lustre["MountName"] != before["LustreConfiguration"]["MountName"]
    assert lustre["PerUnitStorageThroughput"] == 250 and found["StorageCapacity"] == before["StorageCapacity"]
    assert lustre["AutomaticBackupRetentionDays"] == 0 and "Tags" not in found
    assert found["DNSName"] == f"{found['FileSystemId']}.fsx.{REGION}.amazonaws.com"
    assert found["KmsKeyId"].startswith(f"arn:aws:kms:{REGION}:")
    assert statuses(region, job["CreatedResourceArn"]) == ["CREATING", "AVAILABLE"]


def test_openzfs_comes_with_its_volumes(region: RunningRegion, point: Callable[[str], str], network: Network) -> None:
    metadata = wanted(network, StorageCapacity="128", OpenZFSConfiguration={"throughputCapacity": 128})
    found = created(region, restore(region, point("OPENZFS"), metadata))
    assert found["StorageCapacity"] == 128 and found["OpenZFSConfiguration"]["ThroughputCapacity"] == 128
    filters = [{"Name": "file-system-id", "Values": [found["FileSystemId"]]}]
    volumes = region.client("fsx").describe_volumes(Filters=filters)["Volumes"]
    assert sorted(each["OpenZFSConfiguration"]["VolumePath"] for each in volumes) == ["/fsx", "/fsx/orders"]
    assert {each["Lifecycle"] for each in volumes} == {"AVAILABLE"}


def test_windows_joins_a_directory_of_the_recovery_region(
    region: RunningRegion, point: Callable[[str], str], network: Network
) -> None:
    config = {"ActiveDirectoryId": OWN_DIRECTORY}
    found = created(region, restore(region, point("WINDOWS"), wanted(network, WindowsConfiguration=config)))
    windows = found["WindowsConfiguration"]
    assert windows["ActiveDirectoryId"] == OWN_DIRECTORY and windows["ThroughputCapacity"] == 16
    assert windows["Aliases"] == [] and windows["AutomaticBackupRetentionDays"] == 0
    for given in (None, {"ThroughputCapacity": 16}, {"ActiveDirectoryId": DIRECTORY}):
        job = restore(region, point("WINDOWS"), wanted(network, WindowsConfiguration=given))
        assert job["Status"] == "FAILED" and "ActiveDirectoryError" in job["StatusMessage"]


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"SubnetIds": None}, "Missing required key: SubnetIds"),
    ({"SubnetIds": "subnet-1"}, "SubnetIds is a JSON array of strings"),
    ({"SubnetIds": ["subnet-0123456789abcdef0"]}, "InvalidNetworkSettings"),
    ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidNetworkSettings"),
    ({"StorageCapacity": "2400"}, "StorageCapacity"),
    ({"StorageCapacity": "much"}, "StorageCapacity is a number"),
    ({"StorageType": "HDD"}, "StorageType"),
    ({"KmsKeyId": f"arn:aws:kms:{PRIMARY}:{ACCOUNT}:key/1"}, f"does not exist in {REGION}"),
    ({"LustreConfiguration": {"PerUnitStorageThroughput": 500}}, "PerUnitStorageThroughput"),
    ({"LustreConfiguration": {"DataCompressionType": "LZ4"}}, "DataCompressionType"),
    ({"LustreConfiguration": {"Speed": 1}}, "Unrecognized key: LustreConfiguration.Speed"),
    ({"LustreConfiguration": "fast"}, "LustreConfiguration is a JSON object"),
    ({"WindowsConfiguration": {"ThroughputCapacity": 8}}, "Unrecognized key: WindowsConfiguration"),
    ({"FileSystemType": "OPENZFS"}, "FileSystemType"),
    ({"Name": "files"}, "Unrecognized key: Name"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_invalid_metadata_fails_the_job(
    region: RunningRegion, point: Callable[[str], str], network: Network, fault: dict[str, Any], message: str
) -> None:
    before = len(region.client("fsx").describe_file_systems()["FileSystems"])
    job = restore(region, point("LUSTRE"), wanted(network, **fault))
    assert job["Status"] == "FAILED" and message in job["StatusMessage"]
    assert len(region.client("fsx").describe_file_systems()["FileSystems"]) == before


def test_stored_metadata_do_not_restore(region: RunningRegion, point: Callable[[str], str]) -> None:
    arn = point("LUSTRE")
    stored = region.client("backup").get_recovery_point_restore_metadata(
        BackupVaultName="recovery", RecoveryPointArn=arn
    )
    job = restore(region, arn, stored["RestoreMetadata"])
    assert job["Status"] == "FAILED" and "InvalidNetworkSettings" in job["StatusMessage"]


def test_settings_can_be_chosen(region: RunningRegion, point: Callable[[str], str], network: Network) -> None:
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    metadata = wanted(network, KmsKeyId=key, LustreConfiguration={"automaticBackupRetentionDays": 5})
    job = restore(region, point("LUSTRE"), metadata, CopySourceTagsToRestoredResource=True)
    found = created(region, job)
    assert found["KmsKeyId"] == key and found["Tags"] == tag_list(TAGS)
    assert found["LustreConfiguration"]["AutomaticBackupRetentionDays"] == 5
    # Settings of all types are keys of their own as well.
    found = created(region, restore(region, point("LUSTRE"), wanted(network, AutomaticBackupRetentionDays="3")))
    assert found["LustreConfiguration"]["AutomaticBackupRetentionDays"] == 3


def test_volume_is_restored_into_an_existing_virtual_machine(
    region: RunningRegion, volume_point: str, svm: str
) -> None:
    fsx, metadata = region.client("fsx"), volume_metadata(svm)
    job = restore(region, volume_point, metadata, CopySourceTagsToRestoredResource=True)
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    (volume,) = fsx.describe_volumes(VolumeIds=[job["CreatedResourceArn"].rpartition("/")[2]])["Volumes"]
    assert job["CreatedResourceArn"] == f"{ARN}volume/{volume['FileSystemId']}/{volume['VolumeId']}"
    assert volume["Lifecycle"] == "CREATED" and volume["Name"] == metadata["Name"]
    assert volume["OntapConfiguration"]["JunctionPath"] == f"/{metadata['Name']}"
    assert fsx.list_tags_for_resource(ResourceARN=job["CreatedResourceArn"])["Tags"] == tag_list(TAGS)
    again = restore(region, volume_point, metadata)
    assert again["Status"] == "FAILED" and "exists already" in again["StatusMessage"]


def test_invalid_metadata_of_a_volume_fail_the_job(region: RunningRegion, volume_point: str, svm: str) -> None:
    for fault, message in (
        ({"storageVirtualMachineId": None}, "Missing required key: OntapConfiguration.StorageVirtualMachineId"),
        ({"junctionPath": None}, "Missing required key: OntapConfiguration.JunctionPath"),
        ({"sizeInMegabytes": None}, "Missing required key: OntapConfiguration.SizeInMegabytes"),
        ({"sizeInMegabytes": "512"}, "1024"),
        ({"storageVirtualMachineId": "svm-0123456789abcdef0"}, "StorageVirtualMachineNotFound"),
        ({"junctionPath": "/"}, "junction path"),
        ({"tieringPolicy": "COLD"}, "tieringPolicy"),
    ):
        job = restore(region, volume_point, volume_metadata(svm, **fault))
        assert job["Status"] == "FAILED" and message.lower() in job["StatusMessage"].lower()
    metadata = volume_metadata(svm) | {"Name": "with-hyphen"}
    assert "letters, digits and underscores" in restore(region, volume_point, metadata)["StatusMessage"]


def test_what_cannot_be_backed_up_is_refused(region: RunningRegion, primary: Network) -> None:
    scratch = make_fsx(region, primary, PRIMARY, LustreConfiguration={"DeploymentType": "SCRATCH_1"})
    code, message = refusal(lambda: back_up(region, scratch["ResourceARN"]))
    assert code == "InvalidRequestException" and "persistent" in message
    fs_id, _ = make_ontap(region, primary, PRIMARY)
    ontap = f"arn:aws:fsx:{PRIMARY}:{ACCOUNT}:file-system/{fs_id}"
    # Its volumes are backed up, each for itself.
    assert refusal(lambda: back_up(region, ontap))[0] == "InvalidParameterValueException"


ROLE = {
    "LUSTRE": ["CreateFileSystemFromBackup", "DescribeFileSystems", "TagResource"],
    "ONTAP": ["CreateVolumeFromBackup", "DescribeVolumes", "TagResource"],
}


@pytest.mark.parametrize(("kind", "left_out"), [(kind, name) for kind, names in ROLE.items() for name in names])
def test_restore_requires_permissions_of_its_role(
    region: RunningRegion,
    point: Callable[[str], str],
    volume_point: str,
    svm: str,
    network: Network,
    kind: str,
    left_out: str,
) -> None:
    actions = [f"fsx:{name}" for name in ROLE[kind] if name != left_out]
    role = make_role(region, *actions, service="backup.amazonaws.com")
    given = (point("LUSTRE"), wanted(network)) if kind == "LUSTRE" else (volume_point, volume_metadata(svm))
    job = restore(region, *given, role=role, CopySourceTagsToRestoredResource=True)
    assert job["Status"] == "FAILED" and f"not authorized to perform: fsx:{left_out}" in job["StatusMessage"]


def test_failed_restore_leaves_nothing(region: RunningRegion, point: Callable[[str], str], network: Network) -> None:
    before = len(region.client("fsx").describe_file_systems()["FileSystems"])
    region.post("restore-failures", {"recoveryPointArn": point("LUSTRE"), "message": "Broken."})
    assert restore(region, point("LUSTRE"), wanted(network))["StatusMessage"] == "Broken."
    assert len(region.client("fsx").describe_file_systems()["FileSystems"]) == before


def test_restored_file_system_can_be_misconfigured(
    region: RunningRegion, point: Callable[[str], str], network: Network
) -> None:
    arn = point("OPENZFS")
    region.post("status-ends", {"name": arn, "status": "MISCONFIGURED"})
    job = restore(region, arn, wanted(network))
    region.post("status-ends", {"name": arn, "status": None})
    assert job["Status"] == "FAILED" and "MISCONFIGURED" in job["StatusMessage"]
    lifecycles = [each["Lifecycle"] for each in region.client("fsx").describe_file_systems()["FileSystems"]]
    assert "MISCONFIGURED" in lifecycles


@pytest.fixture
def slow() -> Iterator[RunningRegion]:
    """A Region in which a restore of FSx takes longer than any test."""
    running = RunningRegion("--restore-seconds-of", "FSx=600")
    make_vaults(running)
    yield running
    assert running.stop() == 0


def test_volume_is_named_before_its_job_is_complete(slow: RunningRegion) -> None:
    _, primary_svm = make_ontap(slow, make_network(slow, PRIMARY), PRIMARY)
    volume = make_ontap_volume(slow, primary_svm, "orders", PRIMARY)
    point = copy(slow, back_up(slow, volume["ResourceARN"]))
    _, svm = make_ontap(slow, make_network(slow))
    job_id = start(slow, point, volume_metadata(svm), role=make_role(slow, "fsx:*", service="backup.amazonaws.com"))
    (entry,) = slow.wait_for(
        1, "status", lambda e: ":volume/" in e["resource"] and e["status"] == "CREATING" and REGION in e["resource"]
    )
    job = slow.client("backup").describe_restore_job(RestoreJobId=job_id)
    assert job["Status"] == "RUNNING" and job["CreatedResourceArn"] == entry["resource"]
    (found,) = slow.client("fsx").describe_volumes(VolumeIds=[entry["resource"].rpartition("/")[2]])["Volumes"]
    assert found["Lifecycle"] == "CREATING"
