"""Encrypted topics and queues: nobody sends to them without their key."""

import json
from pathlib import Path
from typing import Any

import pytest
from running_region import RunningRegion, messages

TEMPLATE = Path(__file__).parent / "templates" / "encrypted.yaml"


@pytest.fixture(scope="module")
def resources(region: RunningRegion, binaries: Path) -> dict[str, str]:
    """The resources of encrypted.yaml, rules admitted by the key."""
    return region.deploy(TEMPLATE, "encrypted", "--binaries", str(binaries), "--parameter", "KeyAdmitsRules=yes")[
        "resources"
    ]


def call(region: RunningRegion, function: str, *wish: Any) -> dict[str, Any]:
    """Let a function call AWS; answers what it answers."""
    answer = region.client("lambda").invoke(FunctionName=function, Payload=json.dumps({"call": wish}).encode())
    return json.load(answer["Payload"])


@pytest.mark.parametrize("function", ["WithKeyFunction", "WithoutKeyFunction"])
def test_a_function_sends_with_the_key_only(region: RunningRegion, resources: dict[str, str], function: str) -> None:
    published = call(region, resources[function], "sns", "Publish", {"TopicArn": resources["Topic"], "Message": "m"})
    sent = call(region, resources[function], "sqs", "SendMessage", {"QueueUrl": resources["Queue"], "MessageBody": "m"})
    if function == "WithKeyFunction":
        assert published["MessageId"] and sent["MessageId"]
    else:
        assert "KMSAccessDenied" in published["errorMessage"] and "kms:GenerateDataKey" in published["errorMessage"]
        assert "KMS.AccessDeniedException" in sent["errorMessage"]


def test_a_rule_reaches_a_queue_whose_key_admits_it(region: RunningRegion, resources: dict[str, str]) -> None:
    messages(region, resources["Queue"])
    event_id = region.send(source="aws.encrypted", detail_type="x", detail={})
    assert [json.loads(message["Body"])["id"] for message in messages(region, resources["Queue"])] == [event_id]


def test_a_rule_does_not_reach_a_queue_whose_key_does_not(region: RunningRegion, binaries: Path) -> None:
    region.deploy(TEMPLATE, "closed", "--binaries", str(binaries), "--parameter", "KeyAdmitsRules=no")
    event_id = region.send(source="aws.closed", detail_type="x", detail={})
    (letter,) = region.journal("dead-letter", eventId=event_id)
    assert letter["reason"] == "NO_PERMISSIONS" and not letter["delivered"]
