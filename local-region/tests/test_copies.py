"""Recovery points copied from vault to vault, and restores that fail on request."""

import datetime
import uuid
from pathlib import Path
from typing import Any

import pytest
from machines import make_role
from running_region import ACCOUNT, REGION, RunningRegion, received, refusal, subscribe
from test_recovery import ROLE, back_up, restore

TEMPLATE = """
Resources:
  Vault:
    Type: AWS::Backup::BackupVault
    Properties: {BackupVaultName: recovery}
"""


@pytest.fixture(scope="module")
def vaults(region: RunningRegion, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The vault of the primary Region, and the ARN of the recovery vault, which CloudFormation creates."""
    region.client("backup").create_backup_vault(BackupVaultName="primary")
    template: Path = tmp_path_factory.mktemp("vault") / "template.yaml"
    template.write_text(TEMPLATE)
    region.deploy(template, "vault")
    return "primary", region.client("backup").describe_backup_vault(BackupVaultName="recovery")["BackupVaultArn"]


def copy(region: RunningRegion, point: str, vaults: tuple[str, str], **params: Any) -> dict[str, Any]:
    """Copy a recovery point. Returns the finished job."""
    given = {
        "RecoveryPointArn": point,
        "SourceBackupVaultName": vaults[0],
        "DestinationBackupVaultArn": vaults[1],
        "IamRoleArn": ROLE,
    } | params
    job = region.client("backup").start_copy_job(**given)
    region.wait_until_idle()
    return region.client("backup").describe_copy_job(CopyJobId=job["CopyJobId"])["CopyJob"]


def test_copy_keeps_tags_and_creation_date(region: RunningRegion, vaults: tuple[str, str]) -> None:
    backup = region.client("backup")
    arn = back_up(region, "primary", {"recovery:stack": "shop", "Name": "data"})
    job = copy(region, arn, vaults)
    copied = job["DestinationRecoveryPointArn"]
    assert job["State"] == "COMPLETED" and copied != arn and copied.startswith(f"arn:aws:ec2:{REGION}::snapshot/snap-")
    source = backup.describe_recovery_point(BackupVaultName="primary", RecoveryPointArn=arn)
    (point,) = backup.list_recovery_points_by_backup_vault(
        BackupVaultName="recovery", ByResourceArn=source["ResourceArn"]
    )["RecoveryPoints"]
    assert point["RecoveryPointArn"] == copied and point["CreationDate"] == source["CreationDate"]
    assert point["CompletionDate"] > source["CompletionDate"]
    assert point["SourceBackupVaultArn"] == source["BackupVaultArn"]

    def tags(arn: str) -> dict[str, str]:
        filters = [{"Name": "resource-id", "Values": [arn.rpartition("/")[2]]}]
        return {tag["Key"]: tag["Value"] for tag in region.client("ec2").describe_tags(Filters=filters)["Tags"]}

    assert tags(copied) == tags(arn) and tags(copied)["recovery:stack"] == "shop"
    assert restore(region, copied)["Status"] == "COMPLETED"
    # A vault that CloudFormation created accepts backups, too.
    assert back_up(region, "recovery", {})


def test_copies_recovery_points_to_another_region(region: RunningRegion, vaults: tuple[str, str]) -> None:
    there, here = region.client("backup", "us-east-1"), region.client("backup")
    ec2 = region.client("ec2", "us-east-1")
    there.create_backup_vault(BackupVaultName="far")
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}]
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=3, TagSpecifications=tags)["VolumeId"]
    source = f"arn:aws:ec2:us-east-1:{ACCOUNT}:volume/{volume}"
    point = there.start_backup_job(BackupVaultName="far", ResourceArn=source, IamRoleArn=ROLE)["RecoveryPointArn"]
    job = there.start_copy_job(
        RecoveryPointArn=point,
        SourceBackupVaultName="far",
        DestinationBackupVaultArn=vaults[1],
        IamRoleArn=ROLE,
    )
    region.wait_until_idle()
    copied = there.describe_copy_job(CopyJobId=job["CopyJobId"])["CopyJob"]["DestinationRecoveryPointArn"]
    assert copied.startswith(f"arn:aws:ec2:{REGION}::snapshot/")
    (listed,) = here.list_recovery_points_by_backup_vault(BackupVaultName="recovery", ByResourceArn=source)[
        "RecoveryPoints"
    ]
    assert listed["RecoveryPointArn"] == copied
    assert listed["SourceBackupVaultArn"].startswith("arn:aws:backup:us-east-1:")
    job = restore(region, copied, CopySourceTagsToRestoredResource=True)
    (restored,) = region.client("ec2").describe_volumes(VolumeIds=[job["CreatedResourceArn"].rpartition("/")[2]])[
        "Volumes"
    ]
    assert restored["Size"] == 3 and restored["Tags"] == [{"Key": "Name", "Value": "data"}]
    # The primary Region has no copy, and the recovery Region no source.
    assert refusal(lambda: there.start_restore_job(RecoveryPointArn=copied, IamRoleArn=ROLE, Metadata={}))[0] == (
        "ResourceNotFoundException"
    )


def test_copy_job_sends_an_event_for_each_state(region: RunningRegion, vaults: tuple[str, str]) -> None:
    pattern = {"source": ["aws.backup"], "detail-type": ["Copy Job State Change"]}
    queue_url = subscribe(region, "copy-events", pattern)
    arn = back_up(region, "primary", {})
    job = copy(region, arn, vaults)
    events = received(region, queue_url)
    assert [event["detail"]["state"] for event in events] == ["CREATED", "RUNNING", "COMPLETED"]
    assert all(event["resources"] == [arn] for event in events)
    created, running, completed = (event["detail"] for event in events)
    assert set(created) == {"creationDate", "destinationBackupVaultArn", "sourceBackupVaultArn", "state"}
    assert running["copyJobId"] == completed["copyJobId"] == job["CopyJobId"]
    assert running["destinationRecoveryPointArn"] == {}
    assert completed["destinationRecoveryPointArn"] == job["DestinationRecoveryPointArn"]
    assert isinstance(completed["backupSizeInBytes"], int) and "status" not in completed
    assert completed["destinationBackupVaultArn"] == vaults[1] and "completionDate" in completed


def test_lists_copy_jobs_and_starts_each_once(region: RunningRegion, vaults: tuple[str, str]) -> None:
    arn, token = back_up(region, "primary", {}), str(uuid.uuid4())
    first, second = (copy(region, arn, vaults, IdempotencyToken=token) for _ in range(2))
    assert first["CopyJobId"] == second["CopyJobId"]

    def listed(**params: Any) -> list[str]:
        pages = region.client("backup").get_paginator("list_copy_jobs").paginate(**params)
        return [job["CopyJobId"] for page in pages for job in page["CopyJobs"]]

    assert listed(ByResourceArn=first["ResourceArn"]) == [first["CopyJobId"]]
    assert listed(ByState="COMPLETED")[0] == first["CopyJobId"] and listed(ByState="FAILED") == []
    # Times are sent with reduced precision.
    tick = datetime.timedelta(milliseconds=1)
    assert listed(ByCreatedAfter=first["CreationDate"] - tick) == [first["CopyJobId"]]
    assert listed(ByCreatedAfter=first["CreationDate"] + tick) == []


def test_start_copy_job_rejects_invalid_requests(region: RunningRegion, vaults: tuple[str, str]) -> None:
    arn = back_up(region, "primary", {})
    vault_arn = f"arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:"
    for change, code in (
        ({"RecoveryPointArn": f"arn:aws:ec2:{REGION}::snapshot/snap-0"}, "ResourceNotFoundException"),
        ({"SourceBackupVaultName": "none"}, "ResourceNotFoundException"),
        ({"SourceBackupVaultName": "recovery"}, "ResourceNotFoundException"),
        ({"DestinationBackupVaultArn": f"{vault_arn}none"}, "ResourceNotFoundException"),
        ({"DestinationBackupVaultArn": f"{vault_arn}primary"}, "InvalidRequestException"),
    ):
        assert refusal(lambda change=change: copy(region, arn, vaults, **change))[0] == code
    code, _ = refusal(lambda: region.client("backup").describe_copy_job(CopyJobId="none"))
    assert code == "ResourceNotFoundException"


def test_restore_fails_on_request(region: RunningRegion, vaults: tuple[str, str]) -> None:
    queue_url = subscribe(region, "asked-failures", {"source": ["aws.backup"], "detail": {"status": ["FAILED"]}})
    arn, other = (back_up(region, "primary", {}) for _ in range(2))
    status, answer = region.post(
        "restore-failures", {"recoveryPointArn": arn, "message": "The snapshot is gone.", "count": 2}
    )
    assert status == 200 and answer["failures"][0]["count"] == 2
    role = make_role(region, service="backup.amazonaws.com")
    jobs = [restore(region, point, IamRoleArn=role) for point in (arn, other, arn, arn)]
    assert [job["Status"] for job in jobs] == ["FAILED", "COMPLETED", "FAILED", "COMPLETED"]
    assert jobs[0]["StatusMessage"] == "The snapshot is gone." and jobs[0]["IamRoleArn"] == role
    events = received(region, queue_url)
    assert [event["detail"]["statusMessage"] for event in events] == ["The snapshot is gone."] * 2
    assert {event["detail"]["iamRoleArn"] for event in events} == {role}
    assert region.get("restore-failures") == {"failures": []}
    region.post("restore-failures", {"message": "Any."})
    assert region.delete("restore-failures") == {"failures": []}
    assert restore(region, arn)["Status"] == "COMPLETED"
    for wrong in ({}, {"message": "x", "count": 0}, {"message": 1}, {"message": "x", "colour": 1}, []):
        assert region.post("restore-failures", wrong)[0] == 400
