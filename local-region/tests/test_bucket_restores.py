"""Buckets restored in the recovery Region: what a restore demands of its destination, and what it leaves out."""

import json
import re
from typing import Any

import pytest
from machines import make_role, policy
from running_region import ACCOUNT, REGION, RunningRegion, received, refusal, subscribe
from stores import PRIMARY, back_up, copy, make_vaults, restore, tag_list, unique
from test_buckets import make_bucket

TAGS = {"recovery:workload": "shop", "recovery:logical-id": "Files"}
NOTIFY = "To get notified of these failures, enable SNS event notifications."
PARTIAL = f"One or more objects failed to be restored from {{}} to {{}}. {NOTIFY}"
NONE = f"No objects were restored from {{}} to {{}}. {NOTIFY}"
NOT_MATCHED = "There are no objects that match the restore request for {}."
BUCKET_ACTIONS = (
    "GetBucketLocation",
    "GetBucketOwnershipControls",
    "GetBucketVersioning",
    "ListBucket",
    "ListBucketVersions",
)
OBJECT_ACTIONS = ("PutObject", "PutObjectTagging")


@pytest.fixture(scope="module", autouse=True)
def vaults(region: RunningRegion) -> None:
    """The vaults."""
    make_vaults(region)


@pytest.fixture(scope="module")
def source(region: RunningRegion) -> str:
    """A bucket of the primary Region: an object of three versions, one with tags, one deleted, and a public one."""
    s3 = region.client("s3", PRIMARY)
    name = make_bucket(region, where=PRIMARY, ObjectOwnership="ObjectWriter")
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list(TAGS)})
    s3.delete_public_access_block(Bucket=name)
    for body in (b"1", b"22", b"333"):
        s3.put_object(Bucket=name, Key="orders/1", Body=body, ContentType="text/plain", Metadata={"by": "shop"})
    s3.put_object(Bucket=name, Key="orders/2", Body=b"4", Tagging="kind=order&state=paid")
    s3.put_object(Bucket=name, Key="public", Body=b"5", ACL="public-read")
    s3.put_object(Bucket=name, Key="deleted", Body=b"6")
    s3.delete_object(Bucket=name, Key="deleted")
    return name


@pytest.fixture(scope="module")
def point(region: RunningRegion, vaults: None, source: str) -> str:
    """A copy of a recovery point of it."""
    return copy(region, back_up(region, f"arn:aws:s3:::{source}"))


@pytest.fixture(scope="module")
def role(region: RunningRegion) -> str:
    """A role that may restore objects without ACLs."""
    return make_role(
        region, *(f"s3:{name}" for name in (*BUCKET_ACTIONS, *OBJECT_ACTIONS)), service="backup.amazonaws.com"
    )


def wanted(bucket: str, **changes: str | None) -> dict[str, Any]:
    """The metadata of a restore into a bucket, with changes."""
    metadata = {"DestinationBucketName": bucket, "EncryptionType": "SSE-S3", "RestoreACLs": "false"} | changes
    return {key: value for key, value in metadata.items() if value is not None}


def keys(region: RunningRegion, bucket: str) -> list[str]:
    """The keys in a bucket."""
    return [each["Key"] for each in region.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def versions(region: RunningRegion, bucket: str, key: str) -> list[tuple[str, bytes]]:
    """The ids and bodies of an object's versions, the newest first."""
    s3 = region.client("s3")
    found = s3.list_object_versions(Bucket=bucket, Prefix=key).get("Versions", [])
    return [
        (each["VersionId"], s3.get_object(Bucket=bucket, Key=key, VersionId=each["VersionId"])["Body"].read())
        for each in found
    ]


def test_recovery_point_is_one_of_aws_backup(region: RunningRegion, source: str, point: str) -> None:
    own = rf"{source}-\d{{14}}-[0-9a-f]{{8}}"
    assert re.fullmatch(f"arn:aws:backup:{REGION}:{ACCOUNT}:recovery-point:{own}", point)
    backup = region.client("backup")
    described = backup.describe_recovery_point(BackupVaultName="recovery", RecoveryPointArn=point)
    assert described["ResourceType"] == "S3" and described["ResourceArn"] == f"arn:aws:s3:::{source}"
    assert described["BackupSizeInBytes"] == 1 + 2 + 3 + 1 + 1 and described["IsEncrypted"]
    assert backup.list_tags(ResourceArn=point)["Tags"] == TAGS


def test_bucket_without_versioning_is_not_backed_up(region: RunningRegion) -> None:
    name = make_bucket(region, versioned=False, where=PRIMARY)
    code, message = refusal(lambda: back_up(region, f"arn:aws:s3:::{name}"))
    assert code == "InvalidRequestException" and f"Versioning is not enabled on bucket {name}" in message
    # A bucket is backed up in its own Region.
    other = make_bucket(region)
    assert refusal(lambda: back_up(region, f"arn:aws:s3:::{other}"))[0] == "InvalidParameterValueException"


def test_restores_the_latest_version_of_each_object(region: RunningRegion, source: str, point: str, role: str) -> None:
    name = make_bucket(region)
    job = restore(region, point, wanted(name), role=role)
    assert job["Status"] == "COMPLETED" and "StatusMessage" not in job
    assert job["CreatedResourceArn"] == f"arn:aws:s3:::{name}" and job["ResourceType"] == "S3"
    assert keys(region, name) == ["orders/1", "orders/2", "public"]
    s3 = region.client("s3")
    found = s3.get_object(Bucket=name, Key="orders/1")
    assert found["Body"].read() == b"333" and found["ContentType"] == "text/plain"
    assert found["Metadata"] == {"by": "shop"} and found["ServerSideEncryption"] == "AES256"
    tags = s3.get_object_tagging(Bucket=name, Key="orders/2")["TagSet"]
    assert sorted(tags, key=lambda tag: tag["Key"]) == tag_list({"kind": "order", "state": "paid"})
    # Ids of versions are new, and the tags of the bucket are not restored.
    ids = [each for each, _ in versions(region, name, "orders/1")]
    listed = region.client("s3", PRIMARY).list_object_versions(Bucket=source, Prefix="orders/1")["Versions"]
    assert len(ids) == 1 and ids[0] not in [each["VersionId"] for each in listed]
    assert refusal(lambda: s3.get_bucket_tagging(Bucket=name))[0] == "NoSuchTagSet"


@pytest.mark.parametrize(
    ("up_to", "bodies"),
    [("1", [b"333"]), ("2", [b"333", b"22"]), ("9", [b"333", b"22", b"1"]), ("all", [b"333", b"22", b"1"])],
)
def test_restores_as_many_versions_as_asked(
    region: RunningRegion, point: str, role: str, up_to: str, bodies: list[bytes]
) -> None:
    name = make_bucket(region)
    job = restore(region, point, wanted(name, RestoreLatestVersionsUpTo=up_to), role=role)
    assert job["Status"] == "COMPLETED" and [body for _, body in versions(region, name, "orders/1")] == bodies


def test_restores_keys_and_folders(region: RunningRegion, source: str, point: str, role: str) -> None:
    name = make_bucket(region)
    restore(region, point, wanted(name, ItemsToRestore=f'["s3://{source}/public"]'), role=role)
    assert keys(region, name) == ["public"]
    restore(region, point, wanted(name, ItemsToRestore='["orders/"]'), role=role)
    assert keys(region, name) == ["orders/1", "orders/2", "public"]
    job = restore(region, point, wanted(name, ItemsToRestore='["orders"]'), role=role)
    assert job["Status"] == "COMPLETED" and job["StatusMessage"] == NOT_MATCHED.format(point)


def test_partial_restore_is_complete_and_says_so(region: RunningRegion, point: str, role: str) -> None:
    name, url = make_bucket(region), subscribe(region, unique("rule"), {"source": ["aws.backup"]})
    status, answer = region.post("object-failures", {"recoveryPointArn": point, "keys": ["orders/2"]})
    failure = {"recoveryPointArn": point, "keys": ["orders/2"], "count": 1}
    assert (status, answer) == (200, {"failures": [failure]}) and region.get("object-failures") == answer
    job = restore(region, point, wanted(name), role=role)
    assert job["Status"] == "COMPLETED" and job["StatusMessage"] == PARTIAL.format(point, name)
    assert keys(region, name) == ["orders/1", "public"] and region.get("object-failures") == {"failures": []}
    # The event does not tell.
    (detail,) = [e["detail"] for e in received(region, url) if e["detail"].get("status") == "COMPLETED"]
    assert detail["createdResourceArn"] == f"arn:aws:s3:::{name}" and "statusMessage" not in detail
    # A second restore fills the gap, and leaves the other objects as they are.
    before = versions(region, name, "orders/1")
    job = restore(region, point, wanted(name), role=role)
    assert job["Status"] == "COMPLETED" and "StatusMessage" not in job
    assert keys(region, name) == ["orders/1", "orders/2", "public"]
    assert versions(region, name, "orders/1") == before


def test_existing_object_is_not_replaced_and_a_deleted_one_is_restored(
    region: RunningRegion, point: str, role: str
) -> None:
    s3, name = region.client("s3"), make_bucket(region)
    s3.put_object(Bucket=name, Key="orders/1", Body=b"newer")
    s3.put_object(Bucket=name, Key="orders/2", Body=b"x")
    s3.delete_object(Bucket=name, Key="orders/2")
    assert restore(region, point, wanted(name), role=role)["Status"] == "COMPLETED"
    assert [body for _, body in versions(region, name, "orders/1")] == [b"newer"]
    assert [body for _, body in versions(region, name, "orders/2")] == [b"4", b"x"]


def test_no_object_restored_fails_the_job(region: RunningRegion, point: str, role: str) -> None:
    name = make_bucket(region)
    region.post("object-failures", {"keys": ["orders/1", "orders/2", "public"]})
    job = restore(region, point, wanted(name), role=role)
    assert job["Status"] == "FAILED" and job["StatusMessage"] == NONE.format(point, name)
    assert "CreatedResourceArn" not in job


def test_object_failures_can_be_removed_and_are_checked(region: RunningRegion) -> None:
    region.post("object-failures", {"keys": ["a"], "count": 2})
    assert region.delete("object-failures") == region.get("object-failures") == {"failures": []}
    for wrong in ({}, {"keys": []}, {"keys": [1]}, {"keys": "a"}, {"keys": ["a"], "count": 0}, {"keys": ["a"], "x": 1}):
        assert region.post("object-failures", wrong)[0] == 400


FAULTS: list[tuple[dict[str, str | None], str]] = [
    ({"DestinationBucketName": None}, "Missing required key: DestinationBucketName"),
    ({"DestinationBucketName": "no-such-bucket-here"}, "no-such-bucket-here does not exist"),
    ({"EncryptionType": "original"}, "copied from another Region"),
    ({"EncryptionType": None}, "copied from another Region"),
    ({"EncryptionType": "AES256"}, "EncryptionType is one of"),
    ({"EncryptionType": "SSE-KMS", "KMSKey": f"arn:aws:kms:{PRIMARY}:{ACCOUNT}:key/1"}, "not a usable key"),
    ({"KMSKey": "alias/x"}, "requires EncryptionType SSE-KMS"),
    ({"RestoreACLs": "no"}, "RestoreACLs is true or false"),
    ({"RestoreACLs": "true"}, "BucketOwnershipControls do not allow the use of object ACLs"),
    ({"RestoreACLs": None}, "BucketOwnershipControls do not allow the use of object ACLs"),
    ({"RestoreLatestVersionsUpTo": "0"}, "a positive number or all"),
    ({"RestoreLatestVersionsUpTo": "some"}, "RestoreLatestVersionsUpTo is a number"),
    ({"ItemsToRestore": "orders/1"}, "JSON array of strings"),
    ({"ItemsToRestore": '["1","2","3","4","5","6"]'}, "one to 5 items"),
    ({"RestoreTime": "2026-11-27T03:30:27Z"}, "continuous"),
    ({"Bucket": "x"}, "Unrecognized key: Bucket"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
def test_invalid_metadata_fails_the_job(
    region: RunningRegion, point: str, role: str, fault: dict[str, str | None], message: str
) -> None:
    name = make_bucket(region)
    job = restore(region, point, wanted(name, **fault), role=role)
    assert job["Status"] == "FAILED" and message in job["StatusMessage"] and keys(region, name) == []


def test_destination_must_be_versioned_and_here(region: RunningRegion, point: str, role: str) -> None:
    for name, message in (
        (make_bucket(region, versioned=False), "Versioning is not enabled"),
        (make_bucket(region, where=PRIMARY), f"does not exist in {REGION}"),
    ):
        job = restore(region, point, wanted(name), role=role)
        assert job["Status"] == "FAILED" and message in job["StatusMessage"]


def test_tags_of_a_bucket_cannot_be_copied(region: RunningRegion, point: str, role: str) -> None:
    job = restore(region, point, wanted(make_bucket(region)), role=role, CopySourceTagsToRestoredResource=True)
    assert job["Status"] == "FAILED" and "Copying source tags is not supported" in job["StatusMessage"]


def test_acls_are_restored_where_the_bucket_has_them(region: RunningRegion, point: str) -> None:
    s3, name = region.client("s3"), make_bucket(region, ObjectOwnership="ObjectWriter")
    metadata = wanted(name, RestoreACLs="true")
    # Block Public Access, which a new bucket has, keeps the object with a public ACL out.
    job = restore(region, point, metadata)
    assert job["Status"] == "COMPLETED" and job["StatusMessage"] == PARTIAL.format(point, name)
    assert keys(region, name) == ["orders/1", "orders/2"]
    s3.delete_public_access_block(Bucket=name)
    job = restore(region, point, metadata)
    assert "StatusMessage" not in job and keys(region, name) == ["orders/1", "orders/2", "public"]
    grants = s3.get_object_acl(Bucket=name, Key="public")["Grants"]
    assert "http://acs.amazonaws.com/groups/global/AllUsers" in [each["Grantee"].get("URI") for each in grants]


def test_backup_may_leave_acls_and_tags_out(region: RunningRegion, source: str) -> None:
    options = {"S3BackupACLs": "disabled", "S3BackupObjectTags": "disabled"}
    point = copy(region, back_up(region, f"arn:aws:s3:::{source}", BackupOptions=options))
    name = make_bucket(region)
    job = restore(region, point, wanted(name, RestoreACLs="true"))
    assert job["Status"] == "FAILED"
    assert job["StatusMessage"] == (
        "Unable to restore Access Control Lists (ACLs) for bucket because backup was created with the 'BackupACLs' "
        "option disabled. Please proceed with restoring without ACLs"
    )
    assert restore(region, point, wanted(name, RestoreACLs=None))["Status"] == "COMPLETED"
    assert region.client("s3").get_object_tagging(Bucket=name, Key="orders/2")["TagSet"] == []
    code, message = refusal(lambda: back_up(region, f"arn:aws:s3:::{source}", BackupOptions={"WindowsVSS": "enabled"}))
    assert code == "InvalidParameterValueException" and "WindowsVSS" in message


def test_restore_in_the_same_region_keeps_the_encryption(region: RunningRegion) -> None:
    key = region.client("kms", PRIMARY).create_key()["KeyMetadata"]["Arn"]
    source, target = make_bucket(region, where=PRIMARY), make_bucket(region, where=PRIMARY)
    s3 = region.client("s3", PRIMARY)
    s3.put_object(Bucket=source, Key="a", Body=b"1", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    point = back_up(region, f"arn:aws:s3:::{source}")
    backup = region.client("backup", PRIMARY)
    given = wanted(target, EncryptionType=None)
    role = make_role(region, "s3:*", "kms:GenerateDataKey", service="backup.amazonaws.com")
    backup.start_restore_job(RecoveryPointArn=point, IamRoleArn=role, Metadata=given)
    region.wait_until_idle()
    assert s3.head_object(Bucket=target, Key="a")["SSEKMSKeyId"] == key


def test_restores_under_a_key_of_the_recovery_region(region: RunningRegion, point: str, role: str) -> None:
    key, name = region.client("kms").create_key()["KeyMetadata"]["Arn"], make_bucket(region)
    metadata = wanted(name, EncryptionType="SSE-KMS", KMSKey=key)
    # Without a right on the key, no object can be written.
    job = restore(region, point, metadata, role=role)
    assert job["Status"] == "FAILED" and job["StatusMessage"] == NONE.format(point, name)
    statement = {
        "Effect": "Allow",
        "Action": "kms:GenerateDataKey",
        "Resource": "*",
        "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}},
    }
    region.client("iam").put_role_policy(
        RoleName=role.rpartition("/")[2], PolicyName="key", PolicyDocument=policy(statement)
    )
    assert restore(region, point, metadata, role=role)["Status"] == "COMPLETED"
    assert region.client("s3").head_object(Bucket=name, Key="orders/1")["SSEKMSKeyId"] == key


@pytest.mark.parametrize("left_out", [name for name in BUCKET_ACTIONS if name != "ListBucketVersions"])
def test_restore_requires_permissions_on_the_bucket(region: RunningRegion, point: str, left_out: str) -> None:
    name = make_bucket(region)
    actions = [f"s3:{each}" for each in (*BUCKET_ACTIONS, *OBJECT_ACTIONS) if each != left_out]
    role = make_role(region, *actions, service="backup.amazonaws.com")
    job = restore(region, point, wanted(name), role=role)
    assert job["Status"] == "FAILED" and f"not authorized to perform: s3:{left_out}" in job["StatusMessage"]


@pytest.mark.parametrize("left_out", ["ListBucketVersions", "PutObject"])
def test_without_permissions_on_objects_none_is_restored(region: RunningRegion, point: str, left_out: str) -> None:
    name = make_bucket(region)
    actions = [f"s3:{each}" for each in (*BUCKET_ACTIONS, *OBJECT_ACTIONS) if each != left_out]
    role = make_role(region, *actions, service="backup.amazonaws.com")
    job = restore(region, point, wanted(name), role=role)
    assert job["Status"] == "FAILED" and job["StatusMessage"] == NONE.format(point, name)


def test_object_that_its_role_may_not_tag_is_missing(region: RunningRegion, point: str) -> None:
    name = make_bucket(region)
    actions = [f"s3:{each}" for each in (*BUCKET_ACTIONS, "PutObject")]
    role = make_role(region, *actions, service="backup.amazonaws.com")
    job = restore(region, point, wanted(name), role=role)
    assert job["Status"] == "COMPLETED" and job["StatusMessage"] == PARTIAL.format(point, name)
    assert keys(region, name) == ["orders/1", "public"]


def test_restore_can_make_its_bucket(region: RunningRegion, point: str) -> None:
    name = unique("new-bucket")
    job = restore(region, point, wanted(name, NewBucket="true", Encrypted="true", CreationToken="x"))
    assert job["Status"] == "COMPLETED" and keys(region, name) == ["orders/1", "orders/2", "public"]
    assert region.client("s3").get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    job = restore(region, point, wanted(name, NewBucket="true"))
    assert job["Status"] == "FAILED" and name in job["StatusMessage"]
    broken = unique("new-bucket")
    region.post("restore-failures", {"recoveryPointArn": point, "message": "Broken."})
    assert restore(region, point, wanted(broken, NewBucket="true"))["StatusMessage"] == "Broken."
    assert refusal(lambda: region.client("s3").get_bucket_versioning(Bucket=broken))[0] == "NoSuchBucket"


def test_restore_test_makes_a_bucket(region: RunningRegion, point: str) -> None:
    make_role(
        region,
        "s3:*",
        service="backup.amazonaws.com",
        path="/service-role/",
        name="AWSBackupDefaultServiceRole",
    )
    _, answer = region.post("restore-tests", {"recoveryPointArn": point})
    region.wait_until_idle()
    job = region.client("backup").describe_restore_job(RestoreJobId=answer["restoreJobId"])
    assert job["Status"] == "COMPLETED" and job["CreatedResourceArn"].startswith("arn:aws:s3:::awsbackup-restore-test-")
    ran_with = region.client("backup").get_restore_job_metadata(RestoreJobId=job["RestoreJobId"])["Metadata"]
    assert ran_with["NewBucket"] == ran_with["RestoreACLs"] == "true" and ran_with["EncryptionType"] == "SSE-S3"


def test_objects_appear_with_the_end_of_the_job(region: RunningRegion) -> None:
    running = RunningRegion("--restore-seconds-of", "S3=600")
    try:
        make_vaults(running)
        source = make_bucket(running, where=PRIMARY)
        running.client("s3", PRIMARY).put_object(Bucket=source, Key="a", Body=json.dumps({}))
        point = copy(running, back_up(running, f"arn:aws:s3:::{source}"))
        name = make_bucket(running)
        role = make_role(running, "s3:*", service="backup.amazonaws.com")
        backup = running.client("backup")
        job = backup.start_restore_job(RecoveryPointArn=point, IamRoleArn=role, Metadata=wanted(name))
        running.wait_for(1, "restore-job", lambda entry: entry["status"] == "RUNNING")
        assert keys(running, name) == []
        assert "CreatedResourceArn" not in backup.describe_restore_job(RestoreJobId=job["RestoreJobId"])
    finally:
        assert running.stop() == 0
