"""Encrypted topics and queues: sending needs permission for their key."""

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
    """Let a function call AWS. Returns its response."""
    answer = region.client("lambda").invoke(FunctionName=function, Payload=json.dumps({"call": wish}).encode())
    return json.load(answer["Payload"])


@pytest.mark.parametrize("function", ["WithKeyFunction", "WithoutKeyFunction"])
def test_function_sends_only_with_permission_for_the_key(
    region: RunningRegion, resources: dict[str, str], function: str
) -> None:
    published = call(region, resources[function], "sns", "Publish", {"TopicArn": resources["Topic"], "Message": "m"})
    sent = call(region, resources[function], "sqs", "SendMessage", {"QueueUrl": resources["Queue"], "MessageBody": "m"})
    if function == "WithKeyFunction":
        assert published["MessageId"] and sent["MessageId"]
    else:
        assert "KMSAccessDenied" in published["errorMessage"] and "kms:GenerateDataKey" in published["errorMessage"]
        assert "KMS.AccessDeniedException" in sent["errorMessage"]


def test_rule_delivers_to_a_queue_whose_key_allows_it(region: RunningRegion, resources: dict[str, str]) -> None:
    messages(region, resources["Queue"])
    event_id = region.send(source="aws.encrypted", detail_type="x", detail={})
    assert [json.loads(message["Body"])["id"] for message in messages(region, resources["Queue"])] == [event_id]


def test_rule_cannot_deliver_to_a_queue_whose_key_denies_it(region: RunningRegion, binaries: Path) -> None:
    region.deploy(TEMPLATE, "closed", "--binaries", str(binaries), "--parameter", "KeyAdmitsRules=no")
    event_id = region.send(source="aws.closed", detail_type="x", detail={})
    (letter,) = region.journal("dead-letter", eventId=event_id)
    assert letter["reason"] == "NO_PERMISSIONS" and not letter["delivered"]
