"""The Region's own endpoints."""

import json
from typing import Any

import pytest
from running_region import ACCOUNT, REGION, RunningRegion, received, subscribe


def test_fills_in_missing_members_of_an_event(region: RunningRegion) -> None:
    url = subscribe(region, "filled", {"source": ["aws.health"]})
    event_id = region.send(source="aws.health", detail_type="AWS Health Event", detail={"service": "S3"})
    (event,) = received(region, url)
    assert event["id"] == event_id and event["account"] == ACCOUNT and event["region"] == REGION
    assert event["version"] == "0" and event["resources"] == [] and event["time"].endswith("Z")


def test_keeps_the_members_of_an_event(region: RunningRegion) -> None:
    url = subscribe(region, "kept", {"source": ["aws.kept"]})
    event = {
        "version": "0",
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": "Kept",
        "source": "aws.kept",
        "account": "999988887777",
        "time": "2022-06-03T06:27:57Z",
        "region": "eu-west-1",
        "resources": ["a", "b"],
        "detail": {"n": 1.5},
    }
    assert region.post("events", event) == (200, {"eventIds": [event["id"]]})
    assert received(region, url) == [event]


def test_keeps_the_order_of_events(region: RunningRegion) -> None:
    url = subscribe(region, "several", {"source": ["aws.several"]})
    status, answer = region.post(
        "events", [{"source": "aws.several", "detail-type": "x", "detail": {"n": n}} for n in range(12)]
    )
    assert status == 200
    assert [event["id"] for event in received(region, url)] == answer["eventIds"]


@pytest.mark.parametrize(
    "event",
    [
        "text",
        {},
        {"source": "aws.x", "detail-type": "x"},
        {"source": "aws.x", "detail": {}},
        {"detail-type": "x", "detail": {}},
        {"source": "aws.x", "detail-type": "x", "detail": "text"},
    ],
)
def test_rejects_invalid_events_and_sends_nothing(region: RunningRegion, event: Any) -> None:
    before = region.get("journal?since=0")["next"]
    status, answer = region.post("events", [{"source": "aws.x", "detail-type": "x", "detail": {}}, event])
    assert status == 400 and answer["message"]
    assert region.get(f"journal?since={before}")["entries"] == []


def test_journal_continues_after_a_sequence_number(region: RunningRegion) -> None:
    region.send(source="aws.one", detail_type="x", detail={})
    first = region.get("journal?since=0")
    region.send(source="aws.two", detail_type="x", detail={})
    second = region.get(f"journal?since={first['next']}")
    assert [entry["source"] for entry in second["entries"]] == ["aws.two"]
    assert second["entries"][0]["seq"] == first["next"] + 1 == second["next"]
    assert second["dropped"] == 0 and isinstance(second["entries"][0]["time"], float)


def test_journals_calls_of_every_protocol(region: RunningRegion) -> None:
    region.client("ec2").describe_volumes()
    region.client("ssm").describe_ops_items(MaxResults=1)
    region.client("backup").list_backup_vaults()
    region.client("cloudwatch").list_metrics()
    region.client("s3").list_buckets()
    with pytest.raises(region.client("lambda").exceptions.ResourceNotFoundException):
        region.client("lambda").get_function(FunctionName="nothing")
    calls = [
        (c["service"], c["operation"], c["status"], c["errorCode"]) for c in region.journal("call", caller="operator")
    ]
    assert ("ec2", "DescribeVolumes", 200, None) in calls
    assert ("ssm", "DescribeOpsItems", 200, None) in calls
    assert ("backup", "ListBackupVaults", 200, None) in calls
    assert ("monitoring", "ListMetrics", 200, None) in calls
    assert ("s3", "ListBuckets", 200, None) in calls
    assert ("lambda", "GetFunction", 404, "ResourceNotFoundException") in calls


def test_journals_notifications(region: RunningRegion) -> None:
    sns = region.client("sns")
    topic = sns.create_topic(Name="people")["TopicArn"]
    sns.publish(
        TopicArn=topic,
        Subject="Restored",
        Message="all is well",
        MessageAttributes={"severity": {"DataType": "String", "StringValue": "3"}},
    )
    (message,) = region.journal("message", topicArn=topic)
    assert (message["subject"], message["message"]) == ("Restored", "all is well")
    assert message["attributes"]["severity"]["StringValue"] == "3"


def test_reports_an_idle_region(region: RunningRegion) -> None:
    assert region.get("idle?timeout=5") == {"idle": True, "pending": {}}


def test_reports_pending_work_of_a_busy_region() -> None:
    busy = RunningRegion("--restore-seconds", "600")
    busy.client("backup").create_backup_vault(BackupVaultName="vault")
    volume = busy.client("ec2").create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    role = f"arn:aws:iam::{ACCOUNT}:role/backup"
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/{volume}"
    point = busy.client("backup").start_backup_job(BackupVaultName="vault", ResourceArn=arn, IamRoleArn=role)[
        "RecoveryPointArn"
    ]
    busy.client("backup").start_restore_job(
        RecoveryPointArn=point, IamRoleArn=role, Metadata={"availabilityZone": f"{REGION}a"}
    )
    assert busy.get("idle?timeout=0") == {"idle": False, "pending": {"restore-job": 1}}
    # A Region with pending work still ends at once.
    assert busy.stop() == 0


def test_unknown_endpoint_lists_the_known_ones(region: RunningRegion) -> None:
    status, answer = region.post("nothing", {})
    assert status == 404 and "POST /_local-region/events" in answer["message"]


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ({"source": ["aws.backup"]}, True),
        ({"detail": {"status": ["COMPLETED"]}}, True),
        ({"detail": {"status": [{"anything-but": ["COMPLETED"]}]}}, False),
        ({"detail": {"restoreTestingPlanArn": [{"exists": False}]}}, True),
        ({"resources": [{"prefix": "arn:aws:ec2:"}]}, True),
        ({"resources": [{"wildcard": "arn:*:ec2:*::snapshot/*"}]}, True),
        ({"$or": [{"source": ["aws.health"]}, {"detail": {"percentDone": [{"numeric": ["<", 1]}]}}]}, True),
        ({"detail": {"state": ["COMPLETED"]}}, False),
    ],
)
def test_matches_patterns_as_eventbridge_does(region: RunningRegion, pattern: dict[str, Any], matches: bool) -> None:
    event = {
        "id": "1",
        "account": ACCOUNT,
        "source": "aws.backup",
        "time": "2024-01-01T00:00:00Z",
        "region": REGION,
        "resources": [f"arn:aws:ec2:{REGION}::snapshot/snap-1"],
        "detail-type": "Restore Job State Change",
        "detail": {"status": "COMPLETED", "percentDone": 0},
    }
    answer = region.client("events").test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))
    assert answer["Result"] is matches
