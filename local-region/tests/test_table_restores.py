"""DynamoDB tables restored in the recovery Region, with and without AWS Backup's advanced features."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from machines import make_role
from running_region import ACCOUNT, REGION, RunningRegion, refusal
from stores import (
    PRIMARY,
    back_up,
    copy,
    make_table,
    make_vaults,
    restore,
    start,
    statuses,
    tag_list,
    unique,
)
from test_tables import retried

TAGS = {"recovery:workload": "shop", "recovery:table": "pitr ttl=expires"}


@pytest.fixture(scope="module", autouse=True)
def vaults(region: RunningRegion) -> None:
    """The vaults; the primary Region opted in to the advanced features."""
    make_vaults(region)
    opt_in(region)


def opt_in(region: RunningRegion, value: bool = True) -> None:
    """Opt in to, or out of, the advanced features for DynamoDB in the primary Region."""
    region.client("backup", PRIMARY).update_region_settings(ResourceTypeManagementPreference={"DynamoDB": value})


@pytest.fixture(scope="module")
def point(region: RunningRegion, vaults: None) -> str:
    """A copy of a recovery point of a table that has every setting."""
    return copy(region, back_up(region, source_table(region)["TableArn"]))


def source_table(region: RunningRegion) -> dict[str, Any]:
    """A table of the primary Region with an index, an item, and settings that a backup loses."""
    dynamodb = region.client("dynamodb", PRIMARY)
    table = make_table(
        region,
        PRIMARY,
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "day", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-day",
                "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        DeletionProtectionEnabled=True,
        TableClass="STANDARD_INFREQUENT_ACCESS",
        OnDemandThroughput={"MaxReadRequestUnits": 100, "MaxWriteRequestUnits": 100},
        Tags=tag_list(TAGS),
    )
    region.wait_until_idle()
    dynamodb.put_item(TableName=table["TableName"], Item={"id": {"S": "1"}, "day": {"S": "today"}})
    pitr = {"PointInTimeRecoveryEnabled": True}
    retried(
        lambda: dynamodb.update_continuous_backups(TableName=table["TableName"], PointInTimeRecoverySpecification=pitr)
    )
    dynamodb.put_resource_policy(ResourceArn=table["TableArn"], Policy='{"Version": "2012-10-17", "Statement": []}')
    ttl = {"Enabled": True, "AttributeName": "expires"}
    dynamodb.update_time_to_live(TableName=table["TableName"], TimeToLiveSpecification=ttl)
    region.wait_until_idle()
    return table


def test_advanced_recovery_point_has_an_arn_of_aws_backup(region: RunningRegion, point: str) -> None:
    prefix, _, own = point.rpartition(":")
    assert prefix == f"arn:aws:backup:{REGION}:{ACCOUNT}:recovery-point" and uuid.UUID(own)
    backup = region.client("backup")
    described = backup.describe_recovery_point(BackupVaultName="recovery", RecoveryPointArn=point)
    assert described["ResourceType"] == "DynamoDB" and described["IsEncrypted"]
    # AWS Backup keeps its tags.
    assert backup.list_tags(ResourceArn=point)["Tags"] == TAGS
    backup.tag_resource(ResourceArn=point, Tags={"later": "1"})
    assert backup.list_tags(ResourceArn=point)["Tags"] == TAGS | {"later": "1"}
    backup.untag_resource(ResourceArn=point, TagKeyList=["later"])
    assert backup.list_tags(ResourceArn=point)["Tags"] == TAGS
    metadata = backup.get_recovery_point_restore_metadata(BackupVaultName="recovery", RecoveryPointArn=point)
    assert metadata["RestoreMetadata"]["encryptionType"] == "Default"


def test_without_advanced_features_there_are_no_tags_and_no_copy(region: RunningRegion) -> None:
    table = make_table(region, PRIMARY, Tags=tag_list(TAGS))
    opt_in(region, False)
    try:
        plain = back_up(region, table["TableArn"])
    finally:
        opt_in(region)
    assert plain.startswith(f"{table['TableArn']}/backup/")
    backup = region.client("backup", PRIMARY)
    assert refusal(lambda: backup.list_tags(ResourceArn=plain))[0] == "ResourceNotFoundException"
    # Opting in later does not help.
    code, message = refusal(lambda: copy(region, plain))
    assert code == "InvalidRequestException" and "advanced features" in message
    assert backup.describe_region_settings()["ResourceTypeManagementPreference"] == {"DynamoDB": True}
    assert region.client("backup").describe_region_settings()["ResourceTypeManagementPreference"] == {}


@pytest.mark.parametrize("key", ["targetTableName", "TargetTableName"])
def test_restored_table_lacks_lost_settings(region: RunningRegion, point: str, key: str) -> None:
    name = unique("orders")
    job = restore(region, point, {key: name})
    assert job["Status"] == "COMPLETED", job["StatusMessage"]
    assert job["CreatedResourceArn"] == f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"
    dynamodb, arn = region.client("dynamodb"), job["CreatedResourceArn"]
    table = dynamodb.describe_table(TableName=name)["Table"]
    assert table["TableStatus"] == "ACTIVE" and "RestoreSummary" not in table
    assert not table["DeletionProtectionEnabled"]
    assert not {"StreamSpecification", "LatestStreamArn", "TableClassSummary"} & set(table)
    assert table["GlobalSecondaryIndexes"][0]["IndexArn"] == f"{arn}/index/by-day"
    assert table["OnDemandThroughput"]["MaxReadRequestUnits"] == 100
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"] == []
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    pitr = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert ttl == {"TimeToLiveStatus": "DISABLED"}
    assert pitr["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"
    assert refusal(lambda: dynamodb.get_resource_policy(ResourceArn=arn))[0] == "PolicyNotFoundException"
    assert dynamodb.scan(TableName=name)["Items"] == [{"id": {"S": "1"}, "day": {"S": "today"}}]
    assert statuses(region, arn) == ["CREATING", "ACTIVE"]


def test_restored_table_gets_a_new_stream(region: RunningRegion, point: str) -> None:
    dynamodb, names, streams = region.client("dynamodb"), [unique("orders"), unique("orders")], []
    for name in names:
        restore(region, point, {"targetTableName": name})
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        answer = dynamodb.update_table(TableName=name, StreamSpecification=stream)["TableDescription"]
        streams.append(answer["LatestStreamArn"])
    assert streams[0] != streams[1] and all(f":{REGION}:" in stream for stream in streams)


TABLE_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"targetTableName": ""}, "Missing required key: targettablename"),
    ({"encryptionType": "None"}, "encryptionType is Default or KMS"),
    ({"kmsMasterKeyArn": f"arn:aws:kms:{PRIMARY}:{ACCOUNT}:key/1", "encryptionType": "KMS"}, "not a usable key"),
    ({"billingMode": "PROVISIONED"}, "Unrecognized key"),
]


@pytest.mark.parametrize(("fault", "message"), TABLE_FAULTS)
def test_invalid_table_metadata_fails_the_job(
    region: RunningRegion, point: str, fault: dict[str, Any], message: str
) -> None:
    job = restore(region, point, {"targetTableName": unique("orders")} | fault)
    assert job["Status"] == "FAILED" and message in job["StatusMessage"]


def test_tags_cannot_be_copied(region: RunningRegion, point: str) -> None:
    name = unique("orders")
    job = restore(region, point, {"targetTableName": name}, CopySourceTagsToRestoredResource=True)
    assert job["Status"] == "FAILED" and "tags" in job["StatusMessage"]
    code, _ = refusal(lambda: region.client("dynamodb").describe_table(TableName=name))
    assert code == "ResourceNotFoundException"


def test_existing_name_fails_the_restore_and_stays_unchanged(region: RunningRegion, point: str) -> None:
    owner = make_table(region)
    region.wait_until_idle()
    job = restore(region, point, {"targetTableName": owner["TableName"]})
    assert job["Status"] == "FAILED" and "already exists" in job["StatusMessage"]
    table = region.client("dynamodb").describe_table(TableName=owner["TableName"])["Table"]
    assert table["TableId"] == owner["TableId"]


def test_encrypts_a_restored_table_with_a_key_of_the_recovery_region(region: RunningRegion, point: str) -> None:
    key, name = region.client("kms").create_key()["KeyMetadata"]["Arn"], unique("orders")
    metadata = {"targetTableName": name, "encryptionType": "KMS", "kmsMasterKeyArn": key}
    assert restore(region, point, metadata)["Status"] == "COMPLETED"
    table = region.client("dynamodb").describe_table(TableName=name)["Table"]
    assert table["SSEDescription"] == {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key}


def test_restore_requires_permissions_of_its_role(region: RunningRegion, point: str) -> None:
    actions = [f"dynamodb:{name}" for name in ("DescribeTable", "GetItem", "PutItem", "Query", "Scan", "UpdateItem")]
    actions += ["dynamodb:BatchWriteItem", "dynamodb:DeleteItem"]
    role = make_role(region, *actions, service="backup.amazonaws.com")
    job = restore(region, point, {"targetTableName": unique("orders")}, role=role)
    assert "not authorized to perform: dynamodb:RestoreTableFromAwsBackup" in job["StatusMessage"]
    role = make_role(region, *actions, "dynamodb:RestoreTableFromAwsBackup", service="backup.amazonaws.com")
    assert restore(region, point, {"targetTableName": unique("orders")}, role=role)["Status"] == "COMPLETED"


def test_injected_restore_failure_leaves_no_table(region: RunningRegion, point: str) -> None:
    region.post("restore-failures", {"recoveryPointArn": point, "message": "Broken."})
    name = unique("orders")
    assert restore(region, point, {"targetTableName": name})["StatusMessage"] == "Broken."
    assert restore(region, point, {"targetTableName": name})["Status"] == "COMPLETED"


@pytest.fixture
def slow() -> Iterator[RunningRegion]:
    """A Region in which tables are restored for longer than any test takes."""
    running = RunningRegion("--restore-seconds-of", "DynamoDB=600")
    make_vaults(running)
    opt_in(running)
    yield running
    assert running.stop() == 0


def test_table_answers_only_describe_while_restoring(slow: RunningRegion) -> None:
    dynamodb = slow.client("dynamodb")
    copied = copy(slow, back_up(slow, make_table(slow, PRIMARY)["TableArn"]))
    job_id = start(slow, copied, {"targetTableName": "orders"})
    arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
    slow.wait_for(1, "status", lambda entry: (entry["resource"], entry["status"]) == (arn, "CREATING"))
    table = dynamodb.describe_table(TableName="orders")["Table"]
    assert table["TableStatus"] == "CREATING" and table["RestoreSummary"]["RestoreInProgress"]
    assert table["RestoreSummary"]["SourceBackupArn"] == copied
    assert refusal(lambda: dynamodb.scan(TableName="orders"))[0] == "ResourceNotFoundException"
    assert refusal(lambda: dynamodb.list_tags_of_resource(ResourceArn=arn))[0] == "ResourceNotFoundException"
    assert slow.client("backup").describe_restore_job(RestoreJobId=job_id)["Status"] == "RUNNING"
    # A recovery point feeds one restore at a time.
    second = start(slow, copied, {"targetTableName": "others"})
    slow.wait_for(1, "restore-job", lambda entry: (entry["restoreJobId"], entry["status"]) == (second, "FAILED"))
    failed = slow.client("backup").describe_restore_job(RestoreJobId=second)
    assert "BackupInUseException" in failed["StatusMessage"]
    assert refusal(lambda: dynamodb.describe_table(TableName="others"))[0] == "ResourceNotFoundException"
