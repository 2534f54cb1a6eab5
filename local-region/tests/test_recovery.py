"""A volume backed up, restored and attached: the calls and events of a recovery, in AWS's shapes."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_region import ACCOUNT, REGION, RunningRegion

ZONE = f"{REGION}a"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/backup"
TEMPLATE = Path(__file__).parent / "templates" / "workload.yaml"


@pytest.fixture(scope="module")
def vault(region: RunningRegion) -> str:
    """A backup vault's name."""
    return region.client("backup").create_backup_vault(BackupVaultName="vault")["BackupVaultName"]


def back_up(region: RunningRegion, vault: str, tags: dict[str, str]) -> str:
    """Create a volume with these tags and back it up; answers the recovery point's ARN."""
    specification = {"ResourceType": "volume", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    volume = region.client("ec2").create_volume(AvailabilityZone=ZONE, Size=6, TagSpecifications=[specification])
    job = region.client("backup").start_backup_job(
        BackupVaultName=vault, IamRoleArn=ROLE, ResourceArn=f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/{volume['VolumeId']}",
    )
    region.wait_until_idle()
    return job["RecoveryPointArn"]


def restore(region: RunningRegion, recovery_point: str, **params: Any) -> dict[str, Any]:
    """Restore a recovery point; answers the job when it is over."""
    given = {"RecoveryPointArn": recovery_point, "IamRoleArn": ROLE, "Metadata": {"availabilityZone": ZONE}} | params
    job = region.client("backup").start_restore_job(**given)
    region.wait_until_idle()
    return region.client("backup").describe_restore_job(RestoreJobId=job["RestoreJobId"])


def test_a_backup_copies_the_volumes_tags_to_the_snapshot(region: RunningRegion, vault: str) -> None:
    arn = back_up(region, vault, {"recovery:stack": "shop", "Name": "data"})
    assert arn.startswith(f"arn:aws:ec2:{REGION}::snapshot/snap-")
    snapshot_id = arn.rpartition("/")[2]
    tags = region.client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [snapshot_id]}])["Tags"]
    kept = {tag["Key"]: tag["Value"] for tag in tags}
    assert kept["recovery:stack"] == "shop" and kept["Name"] == "data"
    assert {tag["ResourceType"] for tag in tags} == {"snapshot"}
    point = region.client("backup").describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=arn)
    assert point["Status"] == "COMPLETED" and point["ResourceType"] == "EBS"


def test_a_restore_creates_a_volume_without_tags(region: RunningRegion, vault: str) -> None:
    job = restore(region, back_up(region, vault, {"Name": "data"}))
    assert job["Status"] == "COMPLETED" and job["PercentDone"] == "100.00%"
    volume_id = job["CreatedResourceArn"].rpartition("/")[2]
    volume = region.client("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    assert volume["State"] == "available" and volume["Size"] == 6 and volume["AvailabilityZone"] == ZONE
    assert volume["SnapshotId"] == job["RecoveryPointArn"].rpartition("/")[2]
    assert volume.get("Tags", []) == []


def test_a_restore_copies_the_tags_when_asked_to(region: RunningRegion, vault: str) -> None:
    job = restore(region, back_up(region, vault, {"Name": "data"}), CopySourceTagsToRestoredResource=True)
    volume = region.client("ec2").describe_volumes(VolumeIds=[job["CreatedResourceArn"].rpartition("/")[2]])["Volumes"][0]
    assert volume["Tags"] == [{"Key": "Name", "Value": "data"}]
