"""EFS file systems restored in the recovery Region: what a restore asks for, refuses and loses."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from file_systems import file_system, make_file_system, make_network
from machines import make_role
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import PRIMARY, back_up, copy, make_vaults, restore, start, statuses, tag_list, unique

TAGS = {"recovery:workload": "shop", "recovery:mount": "/srv/files"}
ROLE_ACTIONS = ("CreateFileSystem", "DescribeFileSystems", "Restore", "TagResource")


@pytest.fixture(scope="module", autouse=True)
def vaults(region: RunningRegion) -> None:
    """The vaults."""
    make_vaults(region)


@pytest.fixture(scope="module")
def source(region: RunningRegion) -> str:
    """A file system of the primary Region that has every setting."""
    efs, network = region.client("efs", PRIMARY), make_network(region, PRIMARY)
    fs_id = make_file_system(region, PRIMARY, Encrypted=True, ThroughputMode="elastic", Tags=tag_list(TAGS))
    efs.create_mount_target(FileSystemId=fs_id, SubnetId=network.first)
    efs.create_access_point(FileSystemId=fs_id)
    efs.put_lifecycle_configuration(FileSystemId=fs_id, LifecyclePolicies=[{"TransitionToIA": "AFTER_30_DAYS"}])
    efs.put_backup_policy(FileSystemId=fs_id, BackupPolicy={"Status": "ENABLED"})
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "elasticfilesystem:ClientMount"}
    efs.put_file_system_policy(FileSystemId=fs_id, Policy=json.dumps({"Statement": [statement]}))
    efs.update_file_system_protection(FileSystemId=fs_id, ReplicationOverwriteProtection="DISABLED")
    region.wait_until_idle()
    return fs_id


@pytest.fixture(scope="module")
def point(region: RunningRegion, vaults: None, source: str) -> str:
    """A copy of a recovery point of it."""
    return copy(region, back_up(region, f"arn:aws:elasticfilesystem:{PRIMARY}:{ACCOUNT}:file-system/{source}"))


@pytest.fixture(scope="module")
def role(region: RunningRegion) -> str:
    """A role that may restore file systems."""
    return make_role(region, *(f"elasticfilesystem:{name}" for name in ROLE_ACTIONS), service="backup.amazonaws.com")


def wanted(source: str, **changes: str | None) -> dict[str, Any]:
    """The metadata of a restore into a new file system, with changes."""
    metadata = {
        "file-system-id": source,
        "newFileSystem": "true",
        "CreationToken": unique("restore"),
        "Encrypted": "true",
        "PerformanceMode": "generalPurpose",
    } | changes
    return {key: value for key, value in metadata.items() if value is not None}


def directories(region: RunningRegion, fs_id: str) -> list[str]:
    """The names at the root of a file system, as who mounts it sees them."""
    return region.get("file-system-directories")["directories"][fs_id]


def test_recovery_point_is_one_of_aws_backup(region: RunningRegion, source: str, point: str) -> None:
    prefix, _, own = point.rpartition(":")
    assert prefix == f"arn:aws:backup:{REGION}:{ACCOUNT}:recovery-point" and uuid.UUID(own)
    backup = region.client("backup")
    described = backup.describe_recovery_point(BackupVaultName="recovery", RecoveryPointArn=point)
    assert described["ResourceType"] == "EFS" and described["IsEncrypted"]
    assert described["ResourceArn"] == f"arn:aws:elasticfilesystem:{PRIMARY}:{ACCOUNT}:file-system/{source}"
    assert backup.list_tags(ResourceArn=point)["Tags"] == TAGS
    metadata = backup.get_recovery_point_restore_metadata(BackupVaultName="recovery", RecoveryPointArn=point)
    stored = metadata["RestoreMetadata"]
    # The key of a copy is still that of the primary Region.
    assert stored["KmsKeyId"].startswith(f"arn:aws:kms:{PRIMARY}:") and stored["Encrypted"] == "true"
    assert stored["file-system-id"] == source and stored["PerformanceMode"] == "generalPurpose"
    assert "CreationToken" not in stored and "newFileSystem" not in stored


def test_restored_file_system_lacks_lost_settings(region: RunningRegion, source: str, point: str, role: str) -> None:
    metadata = wanted(source)
    job = restore(region, point, metadata, role=role)
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    prefix, _, fs_id = job["CreatedResourceArn"].rpartition("/")
    assert prefix == f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system"
    efs, found = region.client("efs"), file_system(region, fs_id)
    assert found["LifeCycleState"] == "available" and found["CreationToken"] == metadata["CreationToken"]
    assert found["NumberOfMountTargets"] == 0 and found["ThroughputMode"] == "bursting"
    assert found["KmsKeyId"].startswith(f"arn:aws:kms:{REGION}:") and found["Tags"] == []
    assert found["FileSystemProtection"] == {"ReplicationOverwriteProtection": "ENABLED"}
    assert efs.describe_mount_targets(FileSystemId=fs_id)["MountTargets"] == []
    assert efs.describe_access_points(FileSystemId=fs_id)["AccessPoints"] == []
    assert efs.describe_lifecycle_configuration(FileSystemId=fs_id)["LifecyclePolicies"] == []
    assert efs.describe_backup_policy(FileSystemId=fs_id)["BackupPolicy"] == {"Status": "DISABLED"}
    assert refusal(lambda: efs.describe_file_system_policy(FileSystemId=fs_id))[0] == "PolicyNotFound"
    assert statuses(region, job["CreatedResourceArn"]) == ["creating", "available"]


def test_data_lie_in_a_directory_that_no_api_names(region: RunningRegion, source: str, point: str) -> None:
    job = restore(region, point, wanted(source))
    (name,) = directories(region, job["CreatedResourceArn"].rpartition("/")[2])
    assert re.fullmatch(r"aws-backup-restore_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{9}Z", name)
    assert directories(region, source) == []
    backup = region.client("backup")
    told = json.dumps(
        [
            backup.describe_restore_job(RestoreJobId=job["RestoreJobId"]),
            backup.get_restore_job_metadata(RestoreJobId=job["RestoreJobId"]),
            region.client("efs").describe_file_systems(),
        ],
        default=str,
    )
    assert name not in told and "aws-backup-restore_" not in told


def test_directories_can_be_set(region: RunningRegion) -> None:
    fs_id, names = make_file_system(region), ["aws-backup-restore_1", "aws-backup-restore_2"]
    status, _ = region.post("file-system-directories", {"fileSystemId": fs_id, "directories": names})
    assert status == 200 and directories(region, fs_id) == names
    for wrong in ({"fileSystemId": "fs-1", "directories": []}, {"fileSystemId": fs_id}, [], {"directories": "x"}):
        assert region.post("file-system-directories", wrong)[0] == 400


FAULTS: list[tuple[dict[str, str | None], str]] = [
    ({"CreationToken": None}, "Missing required key: CreationToken"),
    ({"newFileSystem": None}, "Missing required key: newFileSystem"),
    ({"file-system-id": None}, "Missing required key: file-system-id"),
    ({"Encrypted": None}, "Missing required key: Encrypted"),
    ({"PerformanceMode": None}, "Missing required key: PerformanceMode"),
    ({"PerformanceMode": "bursting"}, "PerformanceMode is generalPurpose or maxIO"),
    ({"CreationToken": "x" * 65}, "CreationToken"),
    ({"Encrypted": "yes"}, "Encrypted is true or false"),
    ({"Encrypted": "false", "KmsKeyId": "alias/files"}, "Encrypted must be true"),
    ({"KmsKeyId": f"arn:aws:kms:{PRIMARY}:{ACCOUNT}:key/1"}, f"does not exist in {REGION}"),
    ({"ThroughputMode": "elastic"}, "Unrecognized key: ThroughputMode"),
    ({"singleAzFilesystem": "true"}, "availabilityZoneName"),
    ({"singleAzFilesystem": "true", "availabilityZoneName": f"{PRIMARY}a"}, "not an Availability Zone"),
    ({"ItemsToRestore": "/a,/b"}, "JSON array of strings"),
    ({"ItemsToRestore": '["/1","/2","/3","/4","/5","/6"]'}, "five paths"),
    ({"ItemsToRestore": '["relative"]'}, "begin with /"),
    ({"newFileSystem": "false"}, "does not exist"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_invalid_metadata_fails_the_job(
    region: RunningRegion, source: str, point: str, role: str, fault: dict[str, str | None], message: str
) -> None:
    before = len(region.client("efs").describe_file_systems()["FileSystems"])
    job = restore(region, point, wanted(source, **fault), role=role)
    assert job["Status"] == "FAILED" and message in job["StatusMessage"]
    assert len(region.client("efs").describe_file_systems()["FileSystems"]) == before


def test_used_creation_token_fails_the_restore(region: RunningRegion, source: str, point: str, role: str) -> None:
    token = unique("token")
    owner = make_file_system(region, CreationToken=token)
    job = restore(region, point, wanted(source, CreationToken=token), role=role)
    assert job["Status"] == "FAILED" and f"File system '{owner}' already exists" in job["StatusMessage"]
    assert file_system(region, owner)["LifeCycleState"] == "available"


def test_restores_under_a_key_of_the_recovery_region(region: RunningRegion, source: str, point: str) -> None:
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    job = restore(region, point, wanted(source, KmsKeyId=key))
    assert file_system(region, job["CreatedResourceArn"].rpartition("/")[2])["KmsKeyId"] == key


def test_restores_into_one_zone(region: RunningRegion, source: str, point: str) -> None:
    zone = f"{REGION}b"
    job = restore(region, point, wanted(source, singleAzFilesystem="true", availabilityZoneName=zone))
    assert file_system(region, job["CreatedResourceArn"].rpartition("/")[2])["AvailabilityZoneName"] == zone


def test_tags_of_the_source_are_copied_to_new_file_systems_only(
    region: RunningRegion, source: str, point: str, role: str
) -> None:
    job = restore(region, point, wanted(source), role=role, CopySourceTagsToRestoredResource=True)
    found = file_system(region, job["CreatedResourceArn"].rpartition("/")[2])
    assert sorted(found["Tags"], key=lambda tag: tag["Key"]) == sorted(tag_list(TAGS), key=lambda tag: tag["Key"])
    items = wanted(source, ItemsToRestore='["/a"]')
    job = restore(region, point, items, role=role, CopySourceTagsToRestoredResource=True)
    assert job["Status"] == "FAILED" and "tags" in job["StatusMessage"]


def test_restores_into_an_existing_file_system(region: RunningRegion, point: str, role: str) -> None:
    existing = make_file_system(region, Tags=tag_list({"a": "1"}))
    metadata = wanted(existing, newFileSystem="false", CreationToken=None, ItemsToRestore='["/a", "/b"]')
    for count in (1, 2):
        job = restore(region, point, metadata, role=role)
        assert job["CreatedResourceArn"].endswith(f"file-system/{existing}")
        assert len(directories(region, existing)) == count
    region.post("restore-failures", {"recoveryPointArn": point, "message": "Broken."})
    assert restore(region, point, metadata, role=role)["StatusMessage"] == "Broken."
    assert [name.partition("_")[0] for name in directories(region, existing)] == [
        "aws-backup-restore",
        "aws-backup-restore",
        "aws-backup-failed-restore",
    ]


@pytest.mark.parametrize("left_out", ["CreateFileSystem", "DescribeFileSystems", "Restore", "TagResource"])
def test_restore_requires_permissions_of_its_role(
    region: RunningRegion, source: str, point: str, left_out: str
) -> None:
    actions = [f"elasticfilesystem:{name}" for name in ROLE_ACTIONS if name != left_out]
    role = make_role(region, *actions, service="backup.amazonaws.com")
    job = restore(region, point, wanted(source), role=role, CopySourceTagsToRestoredResource=True)
    assert f"not authorized to perform: elasticfilesystem:{left_out}" in job["StatusMessage"]


def test_failed_restore_leaves_no_file_system(region: RunningRegion, source: str, point: str) -> None:
    region.post("restore-failures", {"recoveryPointArn": point, "message": "Broken."})
    metadata = wanted(source)
    assert restore(region, point, metadata)["StatusMessage"] == "Broken."
    # Its token is free again.
    assert restore(region, point, metadata)["Status"] == "COMPLETED"


def test_restored_file_system_can_end_in_an_error(region: RunningRegion, source: str, point: str) -> None:
    metadata = wanted(source)
    region.post("status-ends", {"name": metadata["CreationToken"], "status": "error"})
    job = restore(region, point, metadata)
    assert job["Status"] == "FAILED" and "error" in job["StatusMessage"]


def test_restore_test_chooses_its_metadata(region: RunningRegion, source: str, point: str) -> None:
    make_role(
        region,
        "elasticfilesystem:*",
        service="backup.amazonaws.com",
        path="/service-role/",
        name="AWSBackupDefaultServiceRole",
    )
    status, answer = region.post("restore-tests", {"recoveryPointArn": point})
    assert status == 200, answer
    region.wait_until_idle()
    job = region.client("backup").describe_restore_job(RestoreJobId=answer["restoreJobId"])
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    found = file_system(region, job["CreatedResourceArn"].rpartition("/")[2])
    assert [tag["Key"] for tag in found["Tags"]] == ["awsbackup-restore-test"]
    ran_with = region.client("backup").get_restore_job_metadata(RestoreJobId=job["RestoreJobId"])["Metadata"]
    assert ran_with["file-system-id"] == source and ran_with["Encrypted"] == "true"


@pytest.fixture
def slow() -> Iterator[RunningRegion]:
    """A Region in which a restore of EFS takes longer than any test."""
    running = RunningRegion("--restore-seconds-of", "EFS=600")
    make_vaults(running)
    yield running
    assert running.stop() == 0


def test_file_system_is_there_before_its_job_is_complete(slow: RunningRegion) -> None:
    made = slow.client("efs", PRIMARY).create_file_system(CreationToken="x")
    slow.wait_until_idle()
    point = copy(slow, back_up(slow, made["FileSystemArn"]))
    metadata = wanted(made["FileSystemId"])
    job_id = start(slow, point, metadata, role=make_role(slow, "elasticfilesystem:*", service="backup.amazonaws.com"))
    slow.wait_for(1, "status", lambda e: e["resource"].split(":")[3] == REGION and e["status"] == "available")
    job = slow.client("backup").describe_restore_job(RestoreJobId=job_id)
    # What says `available` is still empty.
    assert job["Status"] == "RUNNING" and "CreatedResourceArn" not in job
    (found,) = slow.client("efs").describe_file_systems(CreationToken=metadata["CreationToken"])["FileSystems"]
    assert directories(slow, found["FileSystemId"]) == []
