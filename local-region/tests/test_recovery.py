"""A volume backed up, restored and attached: the calls and events of a recovery, in AWS's shapes."""

import datetime
import urllib.error
import urllib.request
import uuid
from typing import Any

import pytest
from running_region import ACCOUNT, REGION, RunningRegion, received, refusal, subscribe

ZONE = f"{REGION}a"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/backup"
ONE_HOUR = datetime.timedelta(hours=1)


@pytest.fixture(scope="module")
def vault(region: RunningRegion) -> str:
    """A backup vault's name."""
    return region.client("backup").create_backup_vault(BackupVaultName="vault")["BackupVaultName"]


def back_up(region: RunningRegion, vault: str, tags: dict[str, str]) -> str:
    """Create a volume with these tags and back it up. Returns the recovery point's ARN."""
    specification = {"ResourceType": "volume", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    volume = region.client("ec2").create_volume(AvailabilityZone=ZONE, Size=6, TagSpecifications=[specification])
    job = region.client("backup").start_backup_job(
        BackupVaultName=vault,
        IamRoleArn=ROLE,
        ResourceArn=f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/{volume['VolumeId']}",
    )
    region.wait_until_idle()
    return job["RecoveryPointArn"]


def restore(region: RunningRegion, recovery_point: str, **params: Any) -> dict[str, Any]:
    """Restore a recovery point. Returns the finished job."""
    given = {"RecoveryPointArn": recovery_point, "IamRoleArn": ROLE, "Metadata": {"availabilityZone": ZONE}} | params
    job = region.client("backup").start_restore_job(**given)
    region.wait_until_idle()
    return region.client("backup").describe_restore_job(RestoreJobId=job["RestoreJobId"])


def test_backup_copies_the_volume_tags_to_the_snapshot(region: RunningRegion, vault: str) -> None:
    arn = back_up(region, vault, {"recovery:stack": "shop", "Name": "data"})
    assert arn.startswith(f"arn:aws:ec2:{REGION}::snapshot/snap-")
    snapshot_id = arn.rpartition("/")[2]
    tags = region.client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [snapshot_id]}])["Tags"]
    kept = {tag["Key"]: tag["Value"] for tag in tags}
    assert kept["recovery:stack"] == "shop" and kept["Name"] == "data"
    assert {tag["ResourceType"] for tag in tags} == {"snapshot"}
    point = region.client("backup").describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=arn)
    assert point["Status"] == "COMPLETED" and point["ResourceType"] == "EBS"


def test_too_many_tags_leave_a_recovery_point_untagged(region: RunningRegion, vault: str) -> None:
    volume = region.client("ec2").create_volume(
        AvailabilityZone=ZONE,
        Size=6,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": f"key-{n}", "Value": ""} for n in range(50)]}],
    )
    job = region.client("backup").start_backup_job(
        BackupVaultName=vault,
        IamRoleArn=ROLE,
        ResourceArn=f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/{volume['VolumeId']}",
        RecoveryPointTags={"rule": "daily"},
    )
    region.wait_until_idle()
    arn = job["RecoveryPointArn"]
    filters = [{"Name": "resource-id", "Values": [arn.rpartition("/")[2]]}]
    tags = region.client("ec2").describe_tags(Filters=filters)["Tags"]
    assert [tag["Key"] for tag in tags] == ["aws:backup:source-resource"]
    assert restore(region, arn)["Status"] == "COMPLETED"


def test_restore_creates_a_volume_without_tags(region: RunningRegion, vault: str) -> None:
    job = restore(region, back_up(region, vault, {"Name": "data"}))
    assert job["Status"] == "COMPLETED" and job["PercentDone"] == "100.00%"
    volume_id = job["CreatedResourceArn"].rpartition("/")[2]
    volume = region.client("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    assert volume["State"] == "available" and volume["Size"] == 6 and volume["AvailabilityZone"] == ZONE
    assert volume["SnapshotId"] == job["RecoveryPointArn"].rpartition("/")[2]
    assert volume.get("Tags", []) == []


def test_restore_copies_tags_on_request(region: RunningRegion, vault: str) -> None:
    job = restore(region, back_up(region, vault, {"Name": "data"}), CopySourceTagsToRestoredResource=True)
    volume = region.client("ec2").describe_volumes(VolumeIds=[job["CreatedResourceArn"].rpartition("/")[2]])["Volumes"][
        0
    ]
    assert volume["Tags"] == [{"Key": "Name", "Value": "data"}]


def test_tags_of_a_restored_volume_are_those_of_the_backup(region: RunningRegion, vault: str) -> None:
    arn = back_up(region, vault, {"Name": "data"})
    ec2, later = region.client("ec2"), [{"Key": "later", "Value": "1"}]
    ec2.create_tags(Resources=[arn.rpartition("/")[2]], Tags=later)
    job = restore(region, arn, CopySourceTagsToRestoredResource=True)
    volume_id = job["CreatedResourceArn"].rpartition("/")[2]
    (volume,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    assert volume["Tags"] == [{"Key": "Name", "Value": "data"}]


def test_restore_job_sends_an_event_for_each_status(region: RunningRegion, vault: str) -> None:
    queue_url = subscribe(
        region, "restore-events", {"source": ["aws.backup"], "detail-type": ["Restore Job State Change"]}
    )
    job = restore(region, back_up(region, vault, {}))
    events = [event for event in received(region, queue_url) if event["detail"]["restoreJobId"] == job["RestoreJobId"]]
    assert [event["detail"]["status"] for event in events] == ["PENDING", "RUNNING", "COMPLETED"]
    running, completed = events[1]["detail"], events[2]["detail"]
    assert set(running) == {
        "restoreJobId",
        "backupSizeInBytes",
        "creationDate",
        "iamRoleArn",
        "percentDone",
        "resourceType",
        "status",
    }
    assert set(completed) - set(running) == {
        "backupVaultArn",
        "recoveryPointArn",
        "sourceResourceArn",
        "createdResourceArn",
        "completionDate",
    }
    assert isinstance(completed["backupSizeInBytes"], str) and completed["percentDone"] == 0
    assert completed["createdResourceArn"] == job["CreatedResourceArn"]
    assert events[2]["resources"] == [job["RecoveryPointArn"]]
    assert events[2]["account"] == ACCOUNT and events[2]["region"] == REGION and events[2]["version"] == "0"


def test_backup_job_events_have_state_instead_of_status(region: RunningRegion, vault: str) -> None:
    queue_url = subscribe(
        region, "backup-events", {"source": ["aws.backup"], "detail-type": ["Backup Job State Change"]}
    )
    arn = back_up(region, vault, {})
    event = next(event for event in received(region, queue_url) if event["resources"] == [arn])
    assert event["detail"]["state"] == "COMPLETED" and "status" not in event["detail"]
    assert isinstance(event["detail"]["backupSizeInBytes"], str) and isinstance(event["detail"]["percentDone"], float)


def test_invalid_restore_fails_with_a_status_message(region: RunningRegion, vault: str) -> None:
    queue_url = subscribe(region, "failures", {"source": ["aws.backup"], "detail": {"status": ["FAILED"]}})
    arn = back_up(region, vault, {})
    job = restore(region, arn, Metadata={"availabilityZone": ZONE, "volumeSize": "1"})
    assert job["Status"] == "FAILED" and "volume" in job["StatusMessage"]
    (event,) = received(region, queue_url)
    assert event["detail"]["statusMessage"] == job["StatusMessage"] and "createdResourceArn" not in event["detail"]


def test_same_idempotency_token_starts_one_job(region: RunningRegion, vault: str) -> None:
    arn, token = back_up(region, vault, {}), str(uuid.uuid4())
    first, second = restore(region, arn, IdempotencyToken=token), restore(region, arn, IdempotencyToken=token)
    assert first["RestoreJobId"] == second["RestoreJobId"]
    jobs = region.client("backup").list_restore_jobs()["RestoreJobs"]
    assert len([job for job in jobs if job["RecoveryPointArn"] == arn]) == 1


def test_expired_idempotency_token_starts_another_job(region: RunningRegion, vault: str) -> None:
    arn, token = back_up(region, vault, {}), str(uuid.uuid4())
    first = restore(region, arn, IdempotencyToken=token)
    assert region.delete("restore-tokens") == {"tokens": []}
    second = restore(region, arn, IdempotencyToken=token)
    assert first["RestoreJobId"] != second["RestoreJobId"]


def test_idempotency_tokens_expire_after_the_configured_time() -> None:
    forgetful = RunningRegion("--restore-seconds", "0", "--restore-token-seconds", "0")
    forgetful.client("backup").create_backup_vault(BackupVaultName="vault")
    arn, token = back_up(forgetful, "vault", {}), str(uuid.uuid4())
    jobs = [restore(forgetful, arn, IdempotencyToken=token)["RestoreJobId"] for _ in range(2)]
    assert jobs[0] != jobs[1]
    assert forgetful.stop() == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Metadata": {}}, "InvalidParameterValueException"),
        ({"RecoveryPointArn": f"arn:aws:ec2:{REGION}::snapshot/snap-0"}, "ResourceNotFoundException"),
        ({"ResourceType": "EFS"}, "InvalidParameterValueException"),
        ({"IamRoleArn": ""}, "MissingParameterValueException"),
    ],
)
def test_start_restore_job_rejects_invalid_requests(
    region: RunningRegion, vault: str, change: dict[str, Any], code: str
) -> None:
    request = {
        "RecoveryPointArn": back_up(region, vault, {}),
        "IamRoleArn": ROLE,
        "Metadata": {"availabilityZone": ZONE},
    } | change
    assert refusal(lambda: region.client("backup").start_restore_job(**request))[0] == code


def test_lists_restore_jobs_by_page_and_filter(region: RunningRegion, vault: str) -> None:
    arn = back_up(region, vault, {})
    made = {restore(region, arn)["RestoreJobId"] for _ in range(3)}
    backup = region.client("backup")
    pages = list(
        backup.get_paginator("list_restore_jobs").paginate(ByStatus="COMPLETED", PaginationConfig={"PageSize": 2})
    )
    assert len(pages) > 1 and all(len(page["RestoreJobs"]) <= 2 for page in pages)
    assert made <= {job["RestoreJobId"] for page in pages for job in page["RestoreJobs"]}
    last = backup.describe_restore_job(RestoreJobId=sorted(made)[0])["CompletionDate"]
    assert backup.list_restore_jobs(ByCompleteAfter=last + ONE_HOUR)["RestoreJobs"] == []
    assert made <= {
        job["RestoreJobId"] for job in backup.list_restore_jobs(ByCompleteAfter=last - ONE_HOUR)["RestoreJobs"]
    }
    assert refusal(lambda: backup.list_restore_jobs(NextToken="made-up"))[0] == "InvalidParameterValueException"


def listed_ids(region: RunningRegion, **params: Any) -> list[str]:
    """The ids of all restore jobs on all pages of ListRestoreJobs."""
    pages = region.client("backup").get_paginator("list_restore_jobs").paginate(**params)
    return [job["RestoreJobId"] for page in pages for job in page["RestoreJobs"]]


def test_lists_restore_jobs_newest_first(region: RunningRegion, vault: str) -> None:
    arn = back_up(region, vault, {})
    made = [restore(region, arn)["RestoreJobId"] for _ in range(5)]
    for size in (1, 2, 1000, None):
        listed = listed_ids(region, PaginationConfig={"PageSize": size})
        assert listed[:5] == made[::-1] and len(listed) == len(set(listed))


def test_listed_restore_job_equals_the_described_one(region: RunningRegion, vault: str) -> None:
    arn = back_up(region, vault, {})
    status, test = region.post("restore-tests", {"recoveryPointArn": arn})
    assert status == 200
    made = [restore(region, arn), restore(region, arn, Metadata={"availabilityZone": ZONE, "volumeSize": "1"})]
    described = {
        job["RestoreJobId"]: region.client("backup").describe_restore_job(RestoreJobId=job["RestoreJobId"])
        for job in [*made, {"RestoreJobId": test["restoreJobId"]}]
    }
    listed = {job["RestoreJobId"]: job for job in region.client("backup").list_restore_jobs()["RestoreJobs"]}
    for job_id, job in described.items():
        assert listed[job_id] == {name: value for name, value in job.items() if name != "ResponseMetadata"}
    completed, failed = (set(listed[job["RestoreJobId"]]) for job in made)
    always = {
        "AccountId",
        "BackupSizeInBytes",
        "BackupVaultArn",
        "CompletionDate",
        "CreationDate",
        "IamRoleArn",
        "IsParent",
        "PercentDone",
        "RecoveryPointArn",
        "RecoveryPointCreationDate",
        "ResourceType",
        "RestoreJobId",
        "SourceResourceArn",
        "Status",
    }
    assert completed == always | {"CreatedResourceArn"} and failed == always | {"StatusMessage"}
    assert set(listed[test["restoreJobId"]]) == completed | {"CreatedBy"}


def test_applies_each_filter_of_restore_jobs(region: RunningRegion, vault: str) -> None:
    arn = back_up(region, vault, {})
    completed = restore(region, arn)
    failed = restore(region, arn, Metadata={"availabilityZone": ZONE, "volumeSize": "1"})["RestoreJobId"]
    newest = [failed, completed["RestoreJobId"]]
    tick = datetime.timedelta(milliseconds=1)
    created, completion = completed["CreationDate"], completed["CompletionDate"]
    assert listed_ids(region, ByStatus="FAILED")[0] == failed
    assert completed["RestoreJobId"] not in listed_ids(region, ByStatus="FAILED")
    assert listed_ids(region, ByStatus="ABORTED") == []
    assert listed_ids(region, ByAccountId=ACCOUNT)[:2] == newest
    assert listed_ids(region, ByAccountId="999988887777") == []
    assert listed_ids(region, ByResourceType="EBS")[:2] == newest
    assert listed_ids(region, ByResourceType="RDS") == []
    assert listed_ids(region, ByParentJobId=str(uuid.uuid4())) == []
    assert listed_ids(region, ByRestoreTestingPlanArn="arn:aws:backup:us-west-2:1:restore-testing-plan:x") == []
    assert listed_ids(region, ByCreatedAfter=created - tick) == newest
    assert listed_ids(region, ByCreatedAfter=created + tick) == [failed]
    assert listed_ids(region, ByCreatedBefore=created + tick)[0] == completed["RestoreJobId"]
    assert completed["RestoreJobId"] not in listed_ids(region, ByCreatedBefore=created - tick)
    assert listed_ids(region, ByCompleteAfter=completion - tick) == newest
    assert listed_ids(region, ByCompleteAfter=completion + tick) == [failed]
    assert listed_ids(region, ByCompleteBefore=completion + tick)[0] == completed["RestoreJobId"]
    assert completed["RestoreJobId"] not in listed_ids(region, ByCompleteBefore=completion - tick)


def test_rejects_invalid_filters_of_restore_jobs(region: RunningRegion) -> None:
    # Raw requests, because clients reject these themselves.
    for query in ("createdAfter=yesterday", "maxResults=0", "maxResults=1001", "status=DONE", "accountId=*"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                urllib.request.Request(
                    f"{region.endpoint}/restore-jobs/?{query}",
                    headers={
                        "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20240101/{REGION}/backup/aws4_request"
                    },
                )
            )
        assert refused.value.code == 400
        assert refused.value.headers["x-amzn-errortype"] == "InvalidParameterValueException", query


def test_lists_recovery_points_by_vault_and_resource(region: RunningRegion, vault: str) -> None:
    backup = region.client("backup")
    arn = back_up(region, vault, {})
    resource = backup.describe_recovery_point(BackupVaultName=vault, RecoveryPointArn=arn)["ResourceArn"]
    by_vault = backup.list_recovery_points_by_backup_vault(BackupVaultName=vault, ByResourceArn=resource)[
        "RecoveryPoints"
    ]
    assert [point["RecoveryPointArn"] for point in by_vault] == [arn]
    (by_resource,) = backup.list_recovery_points_by_resource(ResourceArn=resource)["RecoveryPoints"]
    # As in AWS, the list by resource names no vault for a volume.
    assert by_resource["RecoveryPointArn"] == arn and "BackupVaultName" not in by_resource
    metadata = backup.get_recovery_point_restore_metadata(BackupVaultName=vault, RecoveryPointArn=arn)[
        "RestoreMetadata"
    ]
    assert metadata["volumeId"] == resource.rpartition("/")[2] and "availabilityZone" not in metadata


def test_backup_lists_tags_only_for_its_own_arns(region: RunningRegion, vault: str) -> None:
    backup = region.client("backup")
    arn = backup.describe_backup_vault(BackupVaultName=vault)["BackupVaultArn"]
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {}
    snapshot = back_up(region, vault, {"Name": "data"})
    assert refusal(lambda: backup.list_tags(ResourceArn=snapshot))[0] == "ResourceNotFoundException"


def test_restore_test_names_its_plan_in_job_event_and_list(region: RunningRegion, vault: str) -> None:
    queue_url = subscribe(
        region, "restore-tests", {"source": ["aws.backup"], "detail": {"restoreTestingPlanArn": [{"exists": True}]}}
    )
    status, answer = region.post("restore-tests", {"recoveryPointArn": back_up(region, vault, {}), "metadata": {}})
    assert status == 200
    region.wait_until_idle()
    backup = region.client("backup")
    job = backup.describe_restore_job(RestoreJobId=answer["restoreJobId"])
    plan = job["CreatedBy"]["RestoreTestingPlanArn"]
    assert {event["detail"]["restoreTestingPlanArn"] for event in received(region, queue_url)} == {plan}
    volume = region.client("ec2").describe_volumes(VolumeIds=[job["CreatedResourceArn"].rpartition("/")[2]])["Volumes"][
        0
    ]
    assert [tag["Key"] for tag in volume["Tags"]] == ["awsbackup-restore-test"]
    assert [each["RestoreJobId"] for each in backup.list_restore_jobs(ByRestoreTestingPlanArn=plan)["RestoreJobs"]] == [
        job["RestoreJobId"]
    ]
    backup.put_restore_validation_result(RestoreJobId=job["RestoreJobId"], ValidationStatus="SUCCESSFUL")
    again = refusal(
        lambda: backup.put_restore_validation_result(RestoreJobId=job["RestoreJobId"], ValidationStatus="FAILED")
    )
    assert again[0] == "InvalidRequestException"


def test_rejects_a_restore_test_without_a_recovery_point(region: RunningRegion) -> None:
    assert region.post("restore-tests", {"recoveryPointArn": "arn:aws:ec2:us-west-2::snapshot/snap-0"})[0] == 400
    assert region.post("restore-tests", {})[0] == 400


def test_journal_has_each_status_of_a_restore(region: RunningRegion, vault: str) -> None:
    job = restore(region, back_up(region, vault, {}))
    assert [entry["status"] for entry in region.journal("restore-job", restoreJobId=job["RestoreJobId"])] == [
        "PENDING",
        "RUNNING",
        "COMPLETED",
    ]
