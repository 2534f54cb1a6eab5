"""Rules, functions, and failed events."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from running_region import ACCOUNT, RunningRegion, messages

TEMPLATE = Path(__file__).parent / "templates" / "functions.yaml"
TIME = "2024-01-02T03:04:05Z"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/restores"


@pytest.fixture(scope="module")
def stack(region: RunningRegion, binaries: Path) -> dict[str, Any]:
    """The stack of functions.yaml, its one function retrying once."""
    return region.deploy(TEMPLATE, "functions", "--binaries", str(binaries), "--parameter", "Greeting=hello")


@pytest.fixture(scope="module")
def runbook(region: RunningRegion) -> None:
    """A runbook, WithRole, with the role as a parameter."""
    content = {
        "schemaVersion": "0.3",
        "assumeRole": "{{ Role }}",
        "parameters": {"Role": {"type": "String"}},
        "mainSteps": [{"name": "nap", "action": "aws:sleep", "inputs": {"Duration": "PT1S"}}],
    }
    region.client("ssm").create_document(Name="WithRole", DocumentType="Automation", Content=json.dumps(content))


def send(region: RunningRegion, detail_type: str, **detail: Any) -> str:
    """Send an event and wait until the Region is idle. Returns its id."""
    event_id = region.send(source="aws.test", detail_type=detail_type, detail=detail, time=TIME)
    region.wait_until_idle()
    return event_id


def test_rule_invokes_its_function(region: RunningRegion, stack: dict[str, Any]) -> None:
    event_id = send(region, "Allowed", colour="blue")
    (invocation,) = region.journal("invocation", eventId=event_id)
    assert invocation["function"] == stack["outputs"]["Function"]
    assert invocation["logicalId"] == "TinyFunction"
    assert invocation["attempt"] == 1
    assert invocation["result"]["event"]["detail"] == {"colour": "blue"}
    assert invocation["result"]["greeting"] == "hello from us-west-2"
    (event,) = region.journal("event", id=event_id)
    assert event["source"] == "aws.test" and event["detailType"] == "Allowed" and len(event["rules"]) == 1
    assert event["detail"] == {"colour": "blue"} and event["resources"] == []


def test_every_target_of_a_rule_receives_the_event(region: RunningRegion, stack: dict[str, Any]) -> None:
    messages(region, stack["outputs"]["CopiesUrl"])
    event_id = send(region, "Allowed")
    assert [json.loads(copy["Body"])["id"] for copy in messages(region, stack["outputs"]["CopiesUrl"])] == [event_id]


def test_failed_function_is_retried_before_its_failure_destination(
    region: RunningRegion, stack: dict[str, Any]
) -> None:
    messages(region, stack["outputs"]["FailuresUrl"])
    event_id = send(region, "Allowed", fail=True)
    attempts = region.journal("invocation", eventId=event_id)
    assert [attempt["attempt"] for attempt in attempts] == [1, 2]
    assert {attempt["requestId"] for attempt in attempts} == {attempts[0]["requestId"]}
    assert attempts[0]["error"] == {"errorType": "RuntimeError", "errorMessage": "asked to fail"}
    (failure,) = messages(region, stack["outputs"]["FailuresUrl"])
    record = json.loads(failure["Body"])
    assert set(record) == {
        "version",
        "timestamp",
        "requestContext",
        "requestPayload",
        "responseContext",
        "responsePayload",
    }
    assert record["version"] == "1.0" and "MessageAttributes" not in failure
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["timestamp"])
    function = region.client("lambda").get_function_configuration(FunctionName=stack["outputs"]["Function"])
    assert record["requestContext"]["functionArn"] == f"{function['FunctionArn']}:$LATEST"
    assert set(record["requestContext"]) == {"requestId", "functionArn", "condition", "approximateInvokeCount"}
    assert record["requestPayload"] == whole_event(region, event_id)
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestContext"]["requestId"] == attempts[0]["requestId"]
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert record["responsePayload"] == {"errorType": "RuntimeError", "errorMessage": "asked to fail"}
    assert region.journal("dead-letter", eventId=event_id)[0]["delivered"]


def whole_event(region: RunningRegion, event_id: str) -> dict[str, Any]:
    """The complete event with this id, as a rule's target receives it."""
    event = region.journal("event", id=event_id)[0]
    return {
        "version": "0",
        "id": event_id,
        "detail-type": event["detailType"],
        "source": event["source"],
        "account": ACCOUNT,
        "time": TIME,
        "region": region.region,
        "resources": event["resources"],
        "detail": event["detail"],
    }


def test_dead_letter_queue_of_a_function_receives_only_the_event(region: RunningRegion, stack: dict[str, Any]) -> None:
    configure = partial(
        region.client("lambda").update_function_configuration, FunctionName=stack["outputs"]["Function"]
    )
    configure(DeadLetterConfig={"TargetArn": stack["outputs"]["DiscardedArn"]})
    event_id = send(region, "Allowed", fail=True)
    configure(DeadLetterConfig={"TargetArn": ""})
    (letter,) = messages(region, stack["outputs"]["DiscardedUrl"])
    assert json.loads(letter["Body"])["id"] == event_id
    (request_id,) = {attempt["requestId"] for attempt in region.journal("invocation", eventId=event_id)}
    assert {name: (value["DataType"], value["StringValue"]) for name, value in letter["MessageAttributes"].items()} == {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "asked to fail"),
    }


@pytest.mark.parametrize(("queue", "detail_type"), [("FailuresUrl", "Allowed"), ("UndeliveredUrl", "Missing")])
def test_dead_letter_stays_until_it_is_deleted(
    region: RunningRegion, stack: dict[str, Any], queue: str, detail_type: str
) -> None:
    sqs, url = region.client("sqs"), stack["outputs"][queue]
    messages(region, url)
    send(region, detail_type, fail=True)

    def received() -> list[dict[str, Any]]:
        return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])

    first, again = received(), received()
    assert [each["MessageId"] for each in first] == [each["MessageId"] for each in again] and len(first) == 1
    sqs.delete_message(QueueUrl=url, ReceiptHandle=again[0]["ReceiptHandle"])
    assert received() == []


def test_successful_retry_sends_no_failure(region: RunningRegion, stack: dict[str, Any]) -> None:
    messages(region, stack["outputs"]["FailuresUrl"])
    event_id = send(region, "Allowed", **{"fail-times": 1})
    assert ["error" in attempt for attempt in region.journal("invocation", eventId=event_id)] == [True, False]
    assert messages(region, stack["outputs"]["FailuresUrl"]) == []


def test_throttled_event_waits_without_counting_as_an_attempt(region: RunningRegion, stack: dict[str, Any]) -> None:
    name = stack["outputs"]["Function"]
    region.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    event_id = region.send(source="aws.test", detail_type="Allowed", detail={})
    assert region.get("idle?timeout=0.5") == {"idle": False, "pending": {"invocation": 1}}
    region.client("lambda").delete_function_concurrency(FunctionName=name)
    region.wait_until_idle()
    assert [entry["attempt"] for entry in region.journal("invocation", eventId=event_id)] == [1]


def test_function_that_exits_has_failed(region: RunningRegion, stack: dict[str, Any]) -> None:
    event_id = send(region, "Allowed", exit=True)
    attempts = region.journal("invocation", eventId=event_id)
    assert [attempt["error"]["errorType"] for attempt in attempts] == ["Runtime.ExitError"] * 2
    # Its environment is gone, so the second attempt had a cold start.
    assert attempts[1]["cold"]


@pytest.mark.parametrize(("detail_type", "code"), [("Forbidden", "NO_PERMISSIONS"), ("Missing", "NO_RESOURCE")])
def test_undeliverable_event_goes_to_the_dead_letter_queue_at_once(
    region: RunningRegion,
    stack: dict[str, Any],
    detail_type: str,
    code: str,
) -> None:
    messages(region, stack["outputs"]["UndeliveredUrl"])
    event_id = send(region, detail_type)
    assert region.journal("invocation", eventId=event_id) == []
    (letter,) = messages(region, stack["outputs"]["UndeliveredUrl"])
    assert json.loads(letter["Body"]) == whole_event(region, event_id)
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert {value["DataType"] for value in letter["MessageAttributes"].values()} == {"String"}
    # EXHAUSTED_RETRY_CONDITION is set only after retries.
    assert attributes.keys() == {"RULE_ARN", "TARGET_ARN", "ERROR_CODE", "ERROR_MESSAGE", "RETRY_ATTEMPTS"}
    assert attributes["ERROR_CODE"] == code and attributes["RETRY_ATTEMPTS"] == "0"
    assert ":rule/" in attributes["RULE_ARN"] and ":function:" in attributes["TARGET_ARN"]


def test_function_has_only_the_permissions_of_its_role(region: RunningRegion, stack: dict[str, Any]) -> None:
    allowed = send(region, "Allowed", call=["ec2", "DescribeVolumes", {}])
    assert "error" not in region.journal("invocation", eventId=allowed)[0]
    denied = send(region, "Allowed", call=["ec2", "DescribeInstances", {}])
    assert "UnauthorizedOperation" in region.journal("invocation", eventId=denied)[0]["error"]["errorMessage"]
    calls = region.journal("call", caller=stack["outputs"]["Function"])
    assert ("DescribeVolumes", 200, None) in [(c["operation"], c["status"], c["errorCode"]) for c in calls]
    assert ("DescribeInstances", 403, "UnauthorizedOperation") in [
        (c["operation"], c["status"], c["errorCode"]) for c in calls
    ]


@pytest.mark.parametrize(
    "wish",
    [
        ["backup", "StartRestoreJob", {"RecoveryPointArn": "arn", "Metadata": {}, "IamRoleArn": ROLE}],
        ["ssm", "StartAutomationExecution", {"DocumentName": "WithRole", "Parameters": {"Role": [ROLE]}}],
    ],
    ids=["restore", "runbook"],
)
def test_passing_a_role_needs_pass_role(
    region: RunningRegion, stack: dict[str, Any], runbook: None, wish: list[Any]
) -> None:
    event_id = send(region, "Allowed", call=wish)
    message = region.journal("invocation", eventId=event_id)[0]["error"]["errorMessage"]
    assert "AccessDeniedException" in message and f"iam:PassRole on resource: {ROLE}" in message


def test_function_does_not_see_the_environment_of_the_server(region: RunningRegion, stack: dict[str, Any]) -> None:
    event_id = send(region, "Allowed")
    seen = region.journal("invocation", eventId=event_id)[0]["result"]["environment"]
    assert "AWS_SESSION_TOKEN" in seen and "AWS_ENDPOINT_URL" in seen
    assert not {"AUTH", "GATEWAY_PORT", "HOME", "MINISTACK_ACCOUNT_ID", "PYTHONPATH", "TMPDIR"} & set(seen)


def test_synchronous_invocation_is_journalled_but_not_retried(region: RunningRegion, stack: dict[str, Any]) -> None:
    before = len(region.journal("invocation"))
    answer = region.client("lambda").invoke(FunctionName=stack["outputs"]["Function"], Payload=b'{"fail": true}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorMessage"] == "asked to fail"
    (invocation,) = region.journal("invocation")[before:]
    assert invocation["attempt"] == 1 and invocation["eventId"] is None


def test_asynchronous_invocation_by_api_is_retried(region: RunningRegion, stack: dict[str, Any]) -> None:
    before = len(region.journal("invocation"))
    answer = region.client("lambda").invoke(
        FunctionName=stack["outputs"]["Function"], InvocationType="Event", Payload=b'{"fail": true}'
    )
    assert answer["StatusCode"] == 202
    region.wait_until_idle()
    assert [entry["attempt"] for entry in region.journal("invocation")[before:]] == [1, 2]


def test_put_events_rejects_sources_of_aws(region: RunningRegion) -> None:
    answer = region.client("events").put_events(
        Entries=[
            {"Source": "aws.backup", "DetailType": "Restore Job State Change", "Detail": "{}"},
            {"Source": "mine", "DetailType": "Something", "Detail": "{}"},
        ]
    )
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    assert [entry["source"] for entry in region.journal("event", id=answer["Entries"][1]["EventId"])] == ["mine"]


def test_rule_needs_a_topic_policy(region: RunningRegion, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("""
Resources:
  Topic: {Type: AWS::SNS::Topic}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [aws.topics]}
      Targets: [{Id: topic, Arn: !Ref Topic}]
""")
    stack = region.deploy(template, "topics")
    event_id = region.send(source="aws.topics", detail_type="x", detail={})
    (letter,) = region.journal("dead-letter", eventId=event_id)
    assert letter["reason"] == "NO_PERMISSIONS" and letter["attributes"]["TARGET_ARN"] == stack["resources"]["Topic"]
    assert region.journal("message", topicArn=stack["resources"]["Topic"]) == []


@pytest.fixture(scope="module")
def hasty(binaries: Path) -> Iterator[RunningRegion]:
    """A Region whose functions have two seconds to answer, with the stack of functions.yaml."""
    running = RunningRegion("--function-timeout-seconds", "2", "--retry-seconds", "0.05", "0.05")
    running.deploy(TEMPLATE, "functions", "--binaries", str(binaries), "--parameter", "Greeting=hello")
    yield running
    assert running.stop() == 0


def test_function_that_times_out_is_killed_and_retried(hasty: RunningRegion) -> None:
    event_id = send(hasty, "Allowed", sleep=600)
    attempts = hasty.journal("invocation", eventId=event_id)
    message = {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 2.00 seconds"}
    assert [(each["attempt"], each["cold"], each["error"]) for each in attempts] == [
        (1, True, message),
        (2, True, message),
    ]
    # A function without extensions receives no signal to end.
    assert hasty.journal("event", source="tiny.terminated") == []
    (letter,) = hasty.journal("dead-letter", eventId=event_id)
    assert letter["delivered"] and letter["reason"] == "RetriesExhausted"
    queue = hasty.client("sqs").list_queues(QueueNamePrefix="functions-Failures")["QueueUrls"][0]
    (failure,) = messages(hasty, queue)
    assert json.loads(failure["Body"])["responsePayload"] == message
    # The process is gone, so the next event has a cold start and succeeds.
    (after,) = hasty.journal("invocation", eventId=send(hasty, "Allowed"))
    assert after["cold"] and after["result"]["outcome"] == "done"
    (warm,) = hasty.journal("invocation", eventId=send(hasty, "Allowed"))
    assert not warm["cold"]


def test_function_receives_its_deadline(region: RunningRegion, stack: dict[str, Any], hasty: RunningRegion) -> None:
    for running, seconds in ((region, 20), (hasty, 2)):
        (invocation,) = running.journal("invocation", eventId=send(running, "Allowed"))
        left = invocation["result"]["millisecondsLeft"]
        assert 0 < left <= seconds * 1000
    # The template's timeout applies unless `serve` has another.
    assert region.journal("invocation")[-1]["result"]["millisecondsLeft"] > 2000


def test_timeout_ends_a_synchronous_invocation(hasty: RunningRegion) -> None:
    name = hasty.client("lambda").list_functions()["Functions"][0]["FunctionName"]
    answer = hasty.client("lambda").invoke(FunctionName=name, Payload=b'{"sleep": 600}')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorMessage"] == "Task timed out after 2.00 seconds"


@pytest.fixture
def narrow(request: pytest.FixtureRequest, binaries: Path) -> Iterator[RunningRegion]:
    """A Region that runs one invocation at a time, with the stack of functions.yaml."""
    running = RunningRegion("--functions-at-once", "1", *request.param)
    running.deploy(TEMPLATE, "functions", "--binaries", str(binaries), "--parameter", "Greeting=hello")
    yield running
    assert running.stop() == 0


@pytest.mark.parametrize("narrow", [["--function-timeout-seconds", "3"]], indirect=True)
def test_invocations_wait_for_concurrency_without_using_their_timeout(narrow: RunningRegion) -> None:
    before = len(narrow.journal())
    sent = [narrow.send(source="aws.test", detail_type="Allowed", detail={"sleep": 0.8}) for _ in range(4)]
    function = narrow.client("lambda").list_functions()["Functions"][0]["FunctionName"]
    answer = narrow.client("lambda").invoke(FunctionName=function, Payload=b'{"sleep": 0.8}')
    assert "FunctionError" not in answer
    narrow.wait_until_idle()
    entries = [each for each in narrow.journal()[before:] if each["kind"] in ("invocation-started", "invocation")]
    assert [entry["kind"] for entry in entries] == ["invocation-started", "invocation"] * 5
    # Together they take longer than the timeout of one.
    assert all("result" in entry for entry in entries if entry["kind"] == "invocation")
    assert {entry["eventId"] for entry in entries} == {*sent, None}
    # One process sufficed.
    assert sum(entry.get("cold", False) for entry in entries) == 1


@pytest.mark.parametrize("narrow", [[]], indirect=True)
def test_function_that_invokes_another_does_not_block_it(narrow: RunningRegion) -> None:
    function = narrow.client("lambda").list_functions()["Functions"][0]["FunctionName"]
    call = ["lambda", "Invoke", {"FunctionName": function, "Payload": "{}"}]
    send(narrow, "Allowed", call=call)
    inner, outer = narrow.journal("invocation")[-2:]
    assert inner["eventId"] is None and "result" in inner
    assert outer["eventId"] and "result" in outer
