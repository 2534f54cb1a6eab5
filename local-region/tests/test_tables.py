"""DynamoDB tables: what answers in which status, and changes one at a time."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from running_region import RunningRegion, refusal
from stores import make_table, statuses, tag_list, unique, wait_for_status
from test_drills import client_of

STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


@pytest.fixture(scope="module")
def slow() -> Iterator[RunningRegion]:
    """A Region in which tables take longer than any test."""
    running = RunningRegion("--table-seconds", "600")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def hesitant() -> Iterator[RunningRegion]:
    """A Region in which settings cannot be changed again for longer than any test takes."""
    running = RunningRegion("--table-repeat-seconds", "600", "--table-seconds", "0")
    yield running
    assert running.stop() == 0


def made(region: RunningRegion, **params: Any) -> dict[str, Any]:
    """A table that is ACTIVE, ready for every call."""
    table = make_table(region, **params)
    wait_for_status(region, table["TableArn"], "ACTIVE")
    return table


def described(region: RunningRegion, name: str) -> dict[str, Any]:
    """The table, as DescribeTable answers it."""
    return region.client("dynamodb").describe_table(TableName=name)["Table"]


def calls(region: RunningRegion, table: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """A call of each operation on a table."""
    dynamodb, name, arn = region.client("dynamodb"), table["TableName"], table["TableArn"]
    item = {"id": {"S": "1"}}
    ttl = {"Enabled": True, "AttributeName": "expires"}
    pitr = {"PointInTimeRecoveryEnabled": True}
    return {
        "PutItem": lambda: dynamodb.put_item(TableName=name, Item=item),
        "GetItem": lambda: dynamodb.get_item(TableName=name, Key=item),
        "Scan": lambda: dynamodb.scan(TableName=name),
        "UpdateTable": lambda: dynamodb.update_table(TableName=name, StreamSpecification=STREAM),
        "DescribeTimeToLive": lambda: dynamodb.describe_time_to_live(TableName=name),
        "UpdateTimeToLive": lambda: dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl),
        "DescribeContinuousBackups": lambda: dynamodb.describe_continuous_backups(TableName=name),
        "UpdateContinuousBackups": lambda: dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification=pitr
        ),
        "ListTagsOfResource": lambda: dynamodb.list_tags_of_resource(ResourceArn=arn),
        "TagResource": lambda: dynamodb.tag_resource(ResourceArn=arn, Tags=tag_list({"a": "1"})),
    }


def make_stack(region: RunningRegion, template: dict[str, Any]) -> None:
    """Create a stack, which must succeed."""
    cloudformation, name = region.client("cloudformation"), unique("stack")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 500}
    )


def one_table(name: str) -> dict[str, Any]:
    """The template of a stack of one table. Here, CloudFormation's tables are ACTIVE at once."""
    return {
        "Resources": {
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    "TableName": name,
                    "BillingMode": "PAY_PER_REQUEST",
                    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                },
            }
        }
    }


def retried(call: Callable[[], Any]) -> Any:
    """What a call answers when it is not refused any more."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return call()
        except Exception:
            if time.monotonic() > deadline:
                raise


def test_table_answers_only_describe_while_creating(slow: RunningRegion) -> None:
    table = make_table(slow)
    assert table["TableStatus"] == "CREATING" == described(slow, table["TableName"])["TableStatus"]
    codes = {name: refusal(call)[0] for name, call in calls(slow, table).items()}
    assert {name for name, code in codes.items() if code == "TableNotFoundException"} == {
        "DescribeContinuousBackups",
        "UpdateContinuousBackups",
    }
    assert set(codes.values()) == {"TableNotFoundException", "ResourceNotFoundException"}
    dynamodb = slow.client("dynamodb")
    assert table["TableName"] in dynamodb.list_tables()["TableNames"]
    assert refusal(lambda: dynamodb.delete_table(TableName=table["TableName"]))[0] == "ResourceInUseException"
    assert refusal(lambda: make_table(slow, TableName=table["TableName"]))[0] == "ResourceInUseException"


def test_active_table_answers_all_operations(region: RunningRegion) -> None:
    table = made(region)
    assert statuses(region, table["TableArn"]) == ["CREATING", "ACTIVE"]
    for name, call in calls(region, table).items():
        if name not in ("UpdateContinuousBackups", "TagResource"):
            call()


def test_rejects_several_kinds_of_change_in_one_call(region: RunningRegion) -> None:
    dynamodb, name = region.client("dynamodb"), made(region)["TableName"]
    both = {"StreamSpecification": STREAM, "DeletionProtectionEnabled": True}
    code, message = refusal(lambda: dynamodb.update_table(TableName=name, **both))
    assert code == "ValidationException" and "deletion protection and stream" in message
    assert "LatestStreamArn" not in described(region, name)


def test_rejects_changes_while_the_table_is_updating(slow: RunningRegion) -> None:
    dynamodb = slow.client("dynamodb")
    name = unique("table")
    make_stack(slow, one_table(name))
    answer = dynamodb.update_table(TableName=name, StreamSpecification=STREAM)["TableDescription"]
    assert answer["TableStatus"] == "UPDATING" and "/stream/" in answer["LatestStreamArn"]
    for call in (
        lambda: dynamodb.update_table(TableName=name, DeletionProtectionEnabled=True),
        lambda: dynamodb.delete_table(TableName=name),
    ):
        assert refusal(call)[0] == "ResourceInUseException"
    # Its items can be used.
    dynamodb.put_item(TableName=name, Item={"id": {"S": "1"}})


def test_rejects_enabling_a_stream_twice(region: RunningRegion) -> None:
    dynamodb, table = region.client("dynamodb"), made(region)
    dynamodb.update_table(TableName=table["TableName"], StreamSpecification=STREAM)
    region.wait_until_idle()
    assert statuses(region, table["TableArn"])[-2:] == ["UPDATING", "ACTIVE"]
    code, message = refusal(lambda: dynamodb.update_table(TableName=table["TableName"], StreamSpecification=STREAM))
    assert code == "ValidationException" and "already has an enabled stream" in message
    off = {"StreamEnabled": False}
    plain = made(region)["TableName"]
    assert refusal(lambda: dynamodb.update_table(TableName=plain, StreamSpecification=off))[0] == "ValidationException"


def test_protection_has_no_status_and_prevents_deletion(region: RunningRegion) -> None:
    dynamodb, table = region.client("dynamodb"), made(region)
    name = table["TableName"]
    answer = dynamodb.update_table(TableName=name, DeletionProtectionEnabled=True)["TableDescription"]
    assert answer["TableStatus"] == "ACTIVE" and answer["DeletionProtectionEnabled"]
    code, message = refusal(lambda: dynamodb.delete_table(TableName=name))
    assert code == "ValidationException" and "protected" in message


def test_protection_is_not_toggled_twice_at_once(hesitant: RunningRegion) -> None:
    dynamodb, name = hesitant.client("dynamodb"), made(hesitant)["TableName"]
    for _ in range(2):
        # The same value again changes nothing.
        dynamodb.update_table(TableName=name, DeletionProtectionEnabled=True)
    toggle = {"TableName": name, "DeletionProtectionEnabled": False}
    assert refusal(lambda: dynamodb.update_table(**toggle))[0] == "ThrottlingException"


def test_continuous_backups_come_later_than_the_table(hesitant: RunningRegion) -> None:
    calls_ = calls(hesitant, made(hesitant))
    calls_["DescribeContinuousBackups"]()
    assert refusal(calls_["UpdateContinuousBackups"])[0] == "ContinuousBackupsUnavailableException"


def test_continuous_backups_are_enabled_and_stay_so(region: RunningRegion) -> None:
    dynamodb, name = region.client("dynamodb"), made(region)["TableName"]
    pitr = {"PointInTimeRecoveryEnabled": True}
    retried(lambda: dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=pitr))
    dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=pitr)
    answer = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert answer["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert answer["PointInTimeRecoveryDescription"]["RecoveryPeriodInDays"] == 35


def test_continuous_backups_have_a_period(region: RunningRegion) -> None:
    dynamodb, name = region.client("dynamodb"), made(region)["TableName"]

    def update(**period: int) -> Any:
        pitr = {"PointInTimeRecoveryEnabled": True} | period
        answer = dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=pitr)
        return answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]

    def days() -> int | None:
        answer = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        return answer["PointInTimeRecoveryDescription"].get("RecoveryPeriodInDays")

    assert days() is None
    assert retried(lambda: update(RecoveryPeriodInDays=7))["RecoveryPeriodInDays"] == 7
    assert days() == 7
    # Without a period, it is the longest one.
    update()
    assert days() == 35
    off = {"PointInTimeRecoveryEnabled": False}
    dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=off)
    assert days() is None


def test_tags_are_not_changed_twice_at_once(hesitant: RunningRegion) -> None:
    tag = calls(hesitant, made(hesitant))["TagResource"]
    tag()
    code, message = refusal(tag)
    assert code == "LimitExceededException" and "tags are being updated" in message


def test_ttl_is_enabled_once(region: RunningRegion) -> None:
    dynamodb, table = region.client("dynamodb"), made(region)
    name = table["TableName"]

    def update(enabled: bool, attribute: str) -> Any:
        ttl = {"Enabled": enabled, "AttributeName": attribute}
        return dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)

    assert refusal(lambda: update(False, "expires"))[1].endswith("TimeToLive is already disabled")
    update(True, "expires")
    assert refusal(lambda: update(True, "expires"))[1].endswith("TimeToLive is already enabled")
    assert "different AttributeName" in refusal(lambda: update(True, "other"))[1]
    assert "multiple times within a fixed interval" in refusal(lambda: update(False, "expires"))[1]
    region.wait_until_idle()
    description = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert description == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}


def test_ttl_is_enabling_for_a_while(slow: RunningRegion) -> None:
    dynamodb, name = slow.client("dynamodb"), unique("table")
    make_stack(slow, one_table(name))
    ttl = {"Enabled": True, "AttributeName": "expires"}
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=ttl)
    description = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert description["TimeToLiveStatus"] == "ENABLING"


def test_rejects_the_name_of_a_table_that_is_deleting(slow: RunningRegion, region: RunningRegion) -> None:
    dynamodb, name = slow.client("dynamodb"), unique("table")
    make_stack(slow, one_table(name))
    assert dynamodb.delete_table(TableName=name)["TableDescription"]["TableStatus"] == "DELETING"
    assert described(slow, name)["TableStatus"] == "DELETING"
    assert refusal(lambda: make_table(slow, TableName=name))[0] == "ResourceInUseException"
    assert refusal(lambda: dynamodb.delete_table(TableName=name))[0] == "ResourceInUseException"
    assert refusal(lambda: dynamodb.scan(TableName=name))[0] == "ResourceNotFoundException"
    # Where it takes less time, it is gone afterwards, with all its settings.
    table = made(region, TableName=name)
    region.client("dynamodb").delete_table(TableName=name)
    region.wait_until_idle()
    assert refusal(lambda: described(region, name))[0] == "ResourceNotFoundException"
    assert made(region, TableName=name)["TableId"] != table["TableId"]


def test_status_ends_changes_the_final_status_of_a_table(region: RunningRegion) -> None:
    name = unique("table")
    region.post("status-ends", {"name": name, "status": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"})
    make_table(region, TableName=name)
    region.wait_until_idle()
    assert described(region, name)["TableStatus"] == "INACCESSIBLE_ENCRYPTION_CREDENTIALS"


def test_rights_on_a_table_are_limited_by_name_and_tag(region: RunningRegion) -> None:
    plain, tagged = made(region), made(region, Tags=tag_list({"recovery:drill": "shop-drill"}))
    prefix = plain["TableArn"].rpartition("/")[0]
    of_one = client_of(
        region,
        "dynamodb",
        {"Effect": "Allow", "Action": ["dynamodb:Update*", "dynamodb:TagResource"], "Resource": tagged["TableArn"]},
    )
    ttl = {"Enabled": True, "AttributeName": "expires"}
    tags = tag_list({"a": "1"})
    of_one.update_time_to_live(TableName=tagged["TableName"], TimeToLiveSpecification=ttl)
    of_one.tag_resource(ResourceArn=tagged["TableArn"], Tags=tags)
    for call in (
        lambda: of_one.update_time_to_live(TableName=plain["TableName"], TimeToLiveSpecification=ttl),
        lambda: of_one.tag_resource(ResourceArn=plain["TableArn"], Tags=tags),
        lambda: of_one.delete_table(TableName=tagged["TableName"]),
    ):
        assert refusal(call)[0] == "AccessDeniedException"
    of_drill = {"StringEquals": {"aws:ResourceTag/recovery:drill": "shop-drill"}}
    cleaner = client_of(
        region,
        "dynamodb",
        {"Effect": "Allow", "Action": "dynamodb:DeleteTable", "Resource": f"{prefix}/*", "Condition": of_drill},
    )
    assert refusal(lambda: cleaner.delete_table(TableName=plain["TableName"]))[0] == "AccessDeniedException"
    assert cleaner.delete_table(TableName=tagged["TableName"])["TableDescription"]["TableStatus"] == "DELETING"


def test_tags_count_in_policies_only_with_attribute_based_access_control() -> None:
    region = RunningRegion("--no-table-tags-in-policies")
    drill = tag_list({"recovery:drill": "shop-drill"})
    tagged = made(region, Tags=drill)
    arn = {"Effect": "Allow", "Resource": tagged["TableArn"]}
    cleaner = client_of(
        region,
        "dynamodb",
        arn | {"Action": "dynamodb:DeleteTable", "Condition": {"Null": {"aws:ResourceTag/recovery:drill": "false"}}},
        arn | {"Action": "dynamodb:TagResource", "Condition": {"Null": {"aws:RequestTag/recovery:drill": "false"}}},
    )
    code, message = refusal(lambda: cleaner.delete_table(TableName=tagged["TableName"]))
    assert code == "AccessDeniedException" and "dynamodb:DeleteTable" in message
    tag = {"ResourceArn": tagged["TableArn"], "Tags": drill}
    assert refusal(lambda: cleaner.tag_resource(**tag))[0] == "AccessDeniedException"
    assert region.stop() == 0
