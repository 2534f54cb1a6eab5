"""The runbook ReplayFailedEvents of the project's template: its script, its role and its queues."""

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from conftest import write_binary
from running_region import ACCOUNT, REGION, RunningRegion, messages
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
RUNBOOK = TEMPLATE.parent / "infra/runbooks/replay-failed-events.yaml"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:restores"


class Stack:
    """The project's template on the local Region, with the tiny function as every function."""

    def __init__(self, region: RunningRegion, binaries: Path) -> None:
        for resource in yaml_parse(TEMPLATE.read_text())["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                write_binary(binaries / resource["Metadata"]["BuildProperties"]["Binary"])
        self.region = region
        deployed = region.deploy(
            TEMPLATE, "recovery", "--binaries", str(binaries), "--parameter", "PrimaryRegion=us-east-1"
        )
        self.outputs, self.resources = deployed["outputs"], deployed["resources"]
        self.function = self.outputs["OpsitemCreatorFunctionArn"]
        self.failed, self.undelivered = (
            self.outputs["FailedInvocationsQueueUrl"],
            self.outputs["UndeliveredEventsQueueUrl"],
        )
        self.key = self._key_with_the_rights_of_the_role()

    def replay(self, **parameters: str) -> dict[str, Any]:
        """Run the runbook until the Region is idle. Returns its outputs."""
        ssm = self.region.client("ssm")
        given = {"Parameters": {name: [value] for name, value in parameters.items()}} if parameters else {}
        started = ssm.start_automation_execution(DocumentName=self.outputs["ReplayFailedEventsName"], **given)
        self.region.wait_until_idle()
        execution = ssm.get_automation_execution(AutomationExecutionId=started["AutomationExecutionId"])
        done = execution["AutomationExecution"]
        assert done["AutomationExecutionStatus"] == "Success", done
        (replayed,), (left,), (report,) = (done["Outputs"][f"replay.{name}"] for name in ("Replayed", "Left", "Report"))
        return {"replayed": int(replayed), "left": int(left), "report": report}

    def runbook(self) -> dict[str, Any]:
        """The deployed runbook."""
        document = self.region.client("ssm").get_document(Name=self.outputs["ReplayFailedEventsName"])
        return json.loads(document["Content"])

    def _key_with_the_rights_of_the_role(self) -> dict[str, str]:
        """Credentials of a user with the role's policies. Only Systems Manager can assume the role itself."""
        iam = self.region.client("iam")
        role = self.runbook()["assumeRole"].rpartition("/")[2]
        iam.create_user(UserName="replay")
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            iam.put_user_policy(UserName="replay", PolicyName=policy, PolicyDocument=json.dumps(document))
        return iam.create_access_key(UserName="replay")["AccessKey"]

    def fail(self, **detail: Any) -> str:
        """Send the event of a failed restore, with detail that makes the function fail, too. Returns the event's id."""
        event_id = self.region.send(
            source="aws.backup",
            detail_type="Restore Job State Change",
            detail={"status": "FAILED", "restoreJobId": "1"} | detail,
        )
        self.region.wait_until_idle()
        return event_id

    def put(self, queue: str, body: str, target: str | None = None) -> None:
        """Put a message into a queue, with a target as EventBridge does."""
        attributes = {"TARGET_ARN": {"DataType": "String", "StringValue": target}} if target else {}
        self.region.client("sqs").send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=attributes)


@pytest.fixture(scope="module")
def deployed(region: RunningRegion, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack, shared by the tests of this module."""
    return Stack(region, tmp_path_factory.mktemp("functions"))


@pytest.fixture
def stack(deployed: Stack) -> Iterator[Stack]:
    """The stack, its queues empty before and after."""
    for url in (deployed.failed, deployed.undelivered):
        messages(deployed.region, url)
    yield deployed
    for url in (deployed.failed, deployed.undelivered):
        messages(deployed.region, url)


def test_replays_failed_invocations_after_the_cause_is_fixed(stack: Stack) -> None:
    # It fails in every attempt of Lambda, and then succeeds.
    event_id = stack.fail(**{"fail-times": 3})
    before = stack.region.journal("invocation", function=stack.function.rpartition(":")[2])
    assert [("error" in attempt) for attempt in before] == [True, True, True]
    answer = stack.replay()
    assert answer == {"replayed": 1, "left": 0, "report": "1 replayed, 0 left"}
    (invocation,) = stack.region.journal("invocation", function=before[0]["function"])[len(before) :]
    assert invocation["result"]["event"]["id"] == event_id
    assert messages(stack.region, stack.failed) == []


def test_replays_undelivered_events(stack: Stack) -> None:
    functions = stack.region.client("lambda")
    policy = json.loads(functions.get_policy(FunctionName=stack.function)["Policy"])
    rule = stack.resources["RestoreFailedRule"]
    (statement,) = [s for s in policy["Statement"] if rule in json.dumps(s["Condition"])]
    functions.remove_permission(FunctionName=stack.function, StatementId=statement["Sid"])
    event_id = stack.fail()
    functions.add_permission(
        FunctionName=stack.function,
        StatementId=statement["Sid"],
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}",
    )
    assert stack.region.journal("dead-letter", eventId=event_id)[0]["reason"] == "NO_PERMISSIONS"
    assert stack.replay(Queue="FailedInvocations")["replayed"] == 0
    assert stack.replay(Queue="UndeliveredEvents")["replayed"] == 1
    last = stack.region.journal("invocation")[-1]
    assert last["result"]["event"]["id"] == event_id
    assert messages(stack.region, stack.undelivered) == []


def test_event_that_fails_again_returns_to_its_queue(stack: Stack) -> None:
    event_id = stack.fail(fail=True)
    before = len(stack.region.journal("invocation"))
    assert stack.replay()["replayed"] == 1
    assert len(stack.region.journal("invocation")) == before + 3
    (message,) = messages(stack.region, stack.failed)
    assert json.loads(message["Body"])["requestPayload"]["id"] == event_id


def test_reports_and_keeps_messages_that_cannot_be_replayed(stack: Stack) -> None:
    log = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/events/recovery/heartbeat"
    other = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:of-somebody-else"
    record = {"requestContext": {"functionArn": f"{other}:$LATEST"}, "requestPayload": {}}
    stack.put(stack.undelivered, "{}", log)
    stack.put(stack.undelivered, "{}")
    stack.put(stack.undelivered, "no JSON", stack.function)
    stack.put(stack.failed, json.dumps(record))
    stack.put(stack.failed, json.dumps({"requestContext": {"functionArn": stack.function}, "requestPayload": None}))
    before = len(stack.region.journal("invocation"))
    answer = stack.replay()
    assert (answer["replayed"], answer["left"]) == (0, 5)
    assert f"UndeliveredEvents: 1 left: for {log}, which is not a function of this stack" in answer["report"]
    assert "UndeliveredEvents: 2 left: not what Lambda or EventBridge writes" in answer["report"]
    assert f"FailedInvocations: 1 left: for {other}, which is not a function of this stack" in answer["report"]
    assert len(stack.region.journal("invocation")) == before
    # Visible at once, not after their visibility timeout.
    assert len(messages(stack.region, stack.undelivered)) == 3
    assert len(messages(stack.region, stack.failed)) == 2


def test_replays_at_most_the_requested_number(stack: Stack) -> None:
    for number in range(12):
        stack.put(stack.undelivered, json.dumps({"number": number}), stack.function)
    answer = stack.replay(AtMost="11")
    assert (answer["replayed"], answer["left"]) == (11, 0)
    assert answer["report"].endswith("UndeliveredEvents: ended by AtMost, about 1 more wait")
    assert stack.replay()["replayed"] == 1


def test_role_denies_other_queues_and_functions(stack: Stack) -> None:
    other = stack.region.client("sqs").create_queue(QueueName="another")["QueueUrl"]
    for service, call, request in [
        ("sqs", "receive_message", {"QueueUrl": other}),
        ("sqs", "purge_queue", {"QueueUrl": stack.failed}),
        ("lambda", "invoke", {"FunctionName": "another"}),
        ("lambda", "delete_function", {"FunctionName": stack.function}),
    ]:
        client = boto3.session.Session().client(
            service,
            endpoint_url=stack.region.endpoint,
            region_name=REGION,
            aws_access_key_id=stack.key["AccessKeyId"],
            aws_secret_access_key=stack.key["SecretAccessKey"],
        )
        with pytest.raises(ClientError) as denied:
            getattr(client, call)(**request)
        assert "AccessDenied" in denied.value.response["Error"]["Code"], call


# Cases without the local Region: Lambda rejects events, calls fail, the time runs out.


class Clock:
    """A clock for the script."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        """Seconds of both clocks."""
        return self.now

    monotonic = time


class Queue:
    """An in-memory queue with the operations of SQS that the script uses."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.waiting: dict[str, dict[str, Any]] = {}
        self.hidden: dict[str, dict[str, Any]] = {}
        self.fails: dict[str, str] = {}

    def put(self, name: str, event: Any = None, sent: float = -60) -> None:
        """Put a failed event, sent some seconds from now."""
        body = {"requestContext": {"functionArn": FUNCTION + ":$LATEST"}, "requestPayload": event or {"id": name}}
        self.waiting[name] = {
            "MessageId": name,
            "ReceiptHandle": f"handle of {name}",
            "Body": json.dumps(body),
            "Attributes": {"SentTimestamp": str(int((self.clock.now + sent) * 1000))},
        }

    def receive_message(self, MaxNumberOfMessages: int, VisibilityTimeout: int, **_: Any) -> dict[str, Any]:
        """Receive some of the waiting messages, which are hidden afterwards."""
        self._may_fail("receive_message")
        assert 1 <= MaxNumberOfMessages <= 10 and VisibilityTimeout > 600
        taken = dict(list(self.waiting.items())[:MaxNumberOfMessages])
        for name, message in taken.items():
            self.hidden[name] = self.waiting.pop(name)
            assert message is self.hidden[name]
        return {"Messages": list(taken.values())} if taken else {}

    def delete_message(self, ReceiptHandle: str, **_: Any) -> None:
        """Delete a received message."""
        self._may_fail("delete_message")
        del self.hidden[ReceiptHandle.removeprefix("handle of ")]

    def change_message_visibility(self, ReceiptHandle: str, VisibilityTimeout: int, **_: Any) -> None:
        """Make a received message visible again."""
        self._may_fail("change_message_visibility")
        assert VisibilityTimeout == 0
        name = ReceiptHandle.removeprefix("handle of ")
        self.waiting[name] = self.hidden.pop(name)

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        """The number of waiting messages."""
        return {"Attributes": {"ApproximateNumberOfMessages": str(len(self.waiting))}}

    def _may_fail(self, operation: str) -> None:
        if operation in self.fails:
            raise refused(self.fails[operation], operation)


class Functions:
    """Lambda, which accepts every event except those in `answers`."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.taken: list[Any] = []
        self.answers: dict[str, Any] = {}
        self.seconds = 0.0

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:
        """Answer for the event with this id."""
        assert (FunctionName, InvocationType) == (FUNCTION, "Event")
        self.queue.clock.now += self.seconds
        event = json.loads(Payload)
        # A message is not deleted before Lambda accepts it.
        assert event["id"] in self.queue.hidden
        answer = self.answers.get(event["id"], 202)
        if isinstance(answer, Exception):
            raise answer
        if answer == 202:
            self.taken.append(event)
        return {"StatusCode": answer}


def refused(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class Script:
    """The runbook's script with fake clients and one queue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.queue = Queue(self.clock)
        self.functions = Functions(self.queue)
        clients = {"sqs": self.queue, "lambda": self.functions}
        fake = types.ModuleType("boto3")
        fake.client = lambda service, **_: clients[service]
        monkeypatch.setitem(sys.modules, "boto3", fake)
        monkeypatch.setitem(sys.modules, "time", self.clock)
        (step,) = yaml_parse(RUNBOOK.read_text())["mainSteps"]
        names: dict[str, Any] = {}
        exec(step["inputs"]["Script"], names)
        self.handler = names[step["inputs"]["Handler"]]

    def replay(self, at_most: int = 1000) -> dict[str, Any]:
        """Run the script on this queue. Returns its answer."""
        payload = {
            "queue": "both",
            "atMost": str(at_most),
            "queues": {"FailedInvocations": "https://queue"},
            "functions": [FUNCTION],
        }
        return self.handler(payload, {})


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script(monkeypatch)


@pytest.mark.parametrize(
    ("answer", "reported"),
    [
        (refused("RequestTooLargeException", "Invoke"), "RequestTooLargeException"),
        (refused("AccessDeniedException", "Invoke"), "AccessDeniedException"),
        (refused("TooManyRequestsException", "Invoke"), "TooManyRequestsException"),
        (EndpointConnectionError(endpoint_url="https://lambda"), "EndpointConnectionError"),
        (200, "200"),
    ],
)
def test_does_not_delete_events_that_lambda_rejects(script: Script, answer: Any, reported: str) -> None:
    for name in ("one", "two", "three"):
        script.queue.put(name)
    script.functions.answers["two"] = answer
    done = script.replay()
    assert [event["id"] for event in script.functions.taken] == ["one", "three"]
    assert (done["replayed"], done["left"]) == (2, 1)
    assert f"1 left: for {FUNCTION}, and Lambda answered {reported} (such as two)" in done["report"]
    assert list(script.queue.waiting) == ["two"] and not script.queue.hidden


def test_leaves_messages_that_arrived_after_its_start(script: Script) -> None:
    script.queue.put("before")
    script.queue.put("since", sent=1)
    done = script.replay()
    assert [event["id"] for event in script.functions.taken] == ["before"]
    assert "1 left: came after this began, or failed again since (such as since)" in done["report"]
    assert list(script.queue.waiting) == ["since"]


def test_replays_the_unchanged_event(script: Script) -> None:
    event = {"id": "one", "text": 'Zürich 東京 \u0000 "', "number": 1.5, "large": 12345678901234567890, "none": None}
    script.queue.put("one", event)
    script.replay()
    assert script.functions.taken == [event]


def test_stops_before_the_timeout_and_reports_waiting_messages(script: Script) -> None:
    for number in range(100):
        script.queue.put(f"message {number}")
    script.functions.seconds = 30
    done = script.replay()
    assert len(script.functions.taken) == done["replayed"] == 14
    assert done["left"] == 6
    assert "ended by time, about 80 more wait" in done["report"]
    assert "6 left: not reached in time" in done["report"]
    assert len(script.queue.waiting) == 86 and not script.queue.hidden


def test_counts_replayed_messages_that_cannot_be_deleted(script: Script) -> None:
    script.queue.put("one")
    script.queue.fails["delete_message"] = "RequestThrottled"
    done = script.replay()
    assert (done["replayed"], done["left"]) == (1, 0)
    assert "one was replayed and is there still: RequestThrottled" in done["report"]


def test_fails_when_a_queue_cannot_be_read(script: Script) -> None:
    script.queue.fails["receive_message"] = "KmsAccessDenied"
    with pytest.raises(RuntimeError, match="FailedInvocations: cannot be read: KmsAccessDenied"):
        script.replay()


def test_makes_all_remaining_messages_visible_again(script: Script) -> None:
    for number in range(25):
        script.queue.put(f"message {number}", sent=1)
    assert script.replay()["left"] == 25
    assert len(script.queue.waiting) == 25 and not script.queue.hidden


def test_reports_messages_that_stay_hidden(script: Script) -> None:
    script.queue.put("one", sent=1)
    script.queue.fails["change_message_visibility"] = "RequestThrottled"
    assert "1 left are hidden for eleven minutes: RequestThrottled" in script.replay()["report"]
