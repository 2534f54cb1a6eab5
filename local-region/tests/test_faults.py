"""Faults on the wire, over real sockets: the client's error, the effect of the call, and the journal."""

import itertools
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from running_region import REGION, RunningRegion, messages

TEMPLATE = Path(__file__).parent / "templates" / "functions.yaml"
ZONE = f"{REGION}a"


@pytest.fixture(autouse=True)
def no_faults_left(region: RunningRegion) -> Iterator[None]:
    """Every test begins without faults."""
    region.delete("faults")
    yield
    region.delete("faults")


def inject(region: RunningRegion, **fault: Any) -> int:
    """Request one fault, by default for calls of the operator. Returns its id."""
    status, answer = region.post("faults", [{"caller": "operator"} | fault])
    assert status == 200, answer
    return answer["faults"][0]


def impatient(region: RunningRegion, service: str) -> Any:
    """A client with a timeout of 1 s and without retries."""
    return boto3.session.Session().client(
        service,
        region_name=REGION,
        endpoint_url=region.endpoint,
        aws_access_key_id=region.ready["accessKeyId"],
        aws_secret_access_key=region.ready["secretAccessKey"],
        config=botocore.config.Config(
            retries={"total_max_attempts": 1}, read_timeout=1, s3={"addressing_style": "path"}
        ),
    )


def make_volume(region: RunningRegion) -> str:
    """Create a volume with a unique tag. Returns the tag's value."""
    mark = uuid.uuid4().hex
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "mark", "Value": mark}]}]
    impatient(region, "ec2").create_volume(AvailabilityZone=ZONE, Size=1, TagSpecifications=tags)
    return mark


def volumes_made_by(region: RunningRegion, call: Any, error: type[Exception]) -> int:
    """The number of volumes that a failing call created."""
    before = len(region.client("ec2").describe_volumes()["Volumes"])
    with pytest.raises(error):
        call()
    return len(region.client("ec2").describe_volumes()["Volumes"]) - before


REFUSALS = [
    ("ec2", "describe_volumes", {}, "throttled", "RequestLimitExceeded", 503),
    ("ec2", "describe_volumes", {}, "denied", "UnauthorizedOperation", 403),
    ("ec2", "describe_volumes", {}, "server-error", "InternalError", 500),
    ("ec2", "describe_volumes", {}, "server-error 503", "Unavailable", 503),
    ("ssm", "describe_ops_items", {}, "throttled", "ThrottlingException", 400),
    ("ssm", "describe_ops_items", {}, "denied", "AccessDeniedException", 400),
    ("ssm", "describe_ops_items", {}, "server-error", "InternalServerError", 500),
    ("ssm", "describe_ops_items", {}, "server-error 503", "ServiceUnavailable", 503),
    ("backup", "list_restore_jobs", {}, "throttled", "ThrottlingException", 400),
    ("backup", "list_restore_jobs", {}, "denied", "AccessDeniedException", 403),
    ("backup", "list_restore_jobs", {}, "server-error", "InternalFailure", 500),
    ("backup", "list_restore_jobs", {}, "server-error 503", "ServiceUnavailable", 503),
    ("cloudformation", "describe_stacks", {}, "throttled", "Throttling", 400),
    ("cloudformation", "describe_stacks", {}, "denied", "AccessDenied", 403),
    ("cloudformation", "describe_stacks", {}, "server-error", "InternalFailure", 500),
    ("sns", "list_topics", {}, "throttled", "Throttling", 400),
    ("sns", "list_topics", {}, "denied", "AuthorizationError", 403),
    ("sns", "list_topics", {}, "server-error", "InternalError", 500),
    ("sqs", "list_queues", {}, "throttled", "RequestThrottled", 400),
    ("stepfunctions", "list_state_machines", {}, "throttled", "ThrottlingException", 400),
    ("events", "list_rules", {}, "server-error", "InternalException", 500),
    ("lambda", "list_functions", {}, "throttled", "TooManyRequestsException", 429),
    ("lambda", "list_functions", {}, "server-error", "ServiceException", 500),
    ("s3", "list_buckets", {}, "throttled", "SlowDown", 503),
    ("s3", "list_buckets", {}, "denied", "AccessDenied", 403),
    ("cloudwatch", "list_metrics", {}, "throttled", "ThrottlingException", 400),
    ("sts", "get_caller_identity", {}, "throttled", "Throttling", 400),
]


@pytest.mark.parametrize(("service", "method", "params", "kind", "code", "status"), REFUSALS)
def test_each_service_returns_its_own_error_codes(
    region: RunningRegion, service: str, method: str, params: dict[str, Any], kind: str, code: str, status: int
) -> None:
    operation = region.client(service).meta.method_to_api_mapping[method]
    name, _, wanted_status = kind.partition(" ")
    inject(
        region,
        service=service,
        operation=operation,
        kind=name,
        **({"status": int(wanted_status)} if wanted_status else {}),
    )
    with pytest.raises(ClientError) as refused:
        getattr(region.client(service), method)(**params)
    error, response = refused.value.response["Error"], refused.value.response["ResponseMetadata"]
    assert (error["Code"], response["HTTPStatusCode"]) == (code, status)
    assert error["Message"] and response.get("RequestId")
    assert getattr(region.client(service), method)(**params)
    (injected,) = region.get("faults")["injected"]
    (entry,) = [each for each in region.journal("call", fault=name) if each["seq"] == injected["seq"]]
    assert (entry["operation"], entry["status"]) == (operation, status)
    assert service == "cloudwatch" or entry["errorCode"] == code


@pytest.mark.parametrize(
    ("service", "operation", "params", "code", "status"),
    [
        ("ec2", "CreateVolume", {"AvailabilityZone": ZONE, "Size": 1}, "VolumeLimitExceeded", 400),
        ("rds", "DescribeDBInstances", {}, "DBInstanceNotFound", 404),
        ("dynamodb", "ListTables", {}, "LimitExceededException", 400),
        ("backup", "ListRestoreJobs", {}, "ServiceUnavailableException", 400),
    ],
)
def test_returns_injected_service_errors(
    region: RunningRegion, service: str, operation: str, params: dict[str, Any], code: str, status: int
) -> None:
    inject(region, kind="refused", service=service, operation=operation, code=code, message="No more <of> them.")
    with pytest.raises(ClientError) as refused:
        impatient(region, service)._make_api_call(operation, params)
    error = refused.value.response
    assert error["Error"]["Code"] == code and error["Error"]["Message"] == "No more <of> them."
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status
    impatient(region, service)._make_api_call(operation, params)


def test_rejected_call_has_no_effect(region: RunningRegion) -> None:
    for kind in ("throttled", "server-error", "denied"):
        inject(region, service="ec2", operation="CreateVolume", kind=kind)
        assert volumes_made_by(region, lambda: make_volume(region), ClientError) == 0


@pytest.mark.parametrize(
    ("kind", "error", "effect"),
    [
        ("reset-before", ConnectionClosedError, 0),
        ("reset-after", ConnectionClosedError, 1),
        ("no-answer-before", ReadTimeoutError, 0),
        ("no-answer-after", ReadTimeoutError, 1),
    ],
)
def test_lost_response_may_have_an_effect(
    region: RunningRegion, kind: str, error: type[Exception], effect: int
) -> None:
    fault = inject(region, service="ec2", operation="CreateVolume", kind=kind)
    assert volumes_made_by(region, lambda: make_volume(region), error) == effect
    (injected,) = region.get("faults")["injected"]
    assert injected["fault"] == fault
    (entry,) = [each for each in region.journal("call", fault=kind) if each["seq"] == injected["seq"]]
    assert entry["status"] is None and entry["errorCode"] is None and entry["caller"] == "operator"
    # The next call succeeds.
    assert make_volume(region)


def test_delayed_response_causes_a_client_timeout(region: RunningRegion) -> None:
    inject(region, service="ec2", operation="CreateVolume", kind="delayed", seconds=30)
    assert volumes_made_by(region, lambda: make_volume(region), ReadTimeoutError) == 1
    (entry,) = region.journal("call", fault="delayed")
    assert entry["status"] == 200
    inject(region, service="ec2", operation="CreateVolume", kind="delayed", seconds=0.05)
    assert make_volume(region)


def test_fault_skips_and_counts_calls(region: RunningRegion) -> None:
    fault = inject(region, service="ec2", operation="DescribeTags", kind="throttled", skip=2, count=2)

    def outcomes(count: int) -> list[bool]:
        return [succeeds(lambda: region.client("ec2").describe_tags()) for _ in range(count)]

    region.client("ec2").describe_volumes()
    assert outcomes(3) == [True, True, False]
    (left,) = region.get("faults")["left"]
    assert left == {
        "id": fault,
        "kind": "throttled",
        "service": "ec2",
        "operation": "DescribeTags",
        "caller": "operator",
        "skip": 2,
        "count": 2,
        "matched": 3,
        "injected": 1,
    }
    assert outcomes(2) == [False, True]
    report = region.get("faults")
    assert report["left"] == [] and len(report["injected"]) == 2
    assert [
        {name: each[name] for name in ("fault", "kind", "service", "operation", "caller")}
        for each in report["injected"]
    ] == [
        {"fault": fault, "kind": "throttled", "service": "ec2", "operation": "DescribeTags", "caller": "operator"}
    ] * 2


def succeeds(call: Any) -> bool:
    """Whether a call ends without an error."""
    try:
        call()
    except ClientError:
        return False
    return True


def test_first_matching_fault_is_injected(region: RunningRegion) -> None:
    inject(region, service="ec2", operation="DescribeTags", kind="throttled")
    inject(region, service="ec2", kind="server-error", count=2)
    codes = []
    for _ in range(4):
        try:
            region.client("ec2").describe_tags()
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
    assert codes == ["RequestLimitExceeded", "InternalError", "InternalError"]


def test_same_seed_injects_the_same_faults(region: RunningRegion) -> None:
    def outcomes(seed: int) -> list[bool]:
        region.delete("faults")
        inject(region, service="ec2", operation="DescribeTags", kind="throttled", probability=0.5, seed=seed)
        return [succeeds(lambda: region.client("ec2").describe_tags()) for _ in range(24)]

    first, again, other = outcomes(1), outcomes(1), outcomes(2)
    assert first == again != other and set(first) == {True, False}
    assert region.get("faults")["left"][0]["injected"] == other.count(False)


def test_deleted_faults_are_not_injected(region: RunningRegion) -> None:
    inject(region, service="ec2", operation="DescribeTags", kind="throttled", count=2)
    assert not succeeds(lambda: region.client("ec2").describe_tags())
    assert region.delete("faults") == {"injected": [], "left": []}
    assert succeeds(lambda: region.client("ec2").describe_tags())


@pytest.fixture(scope="module")
def stack(region: RunningRegion, binaries: Path) -> dict[str, Any]:
    """The stack of functions.yaml."""
    return region.deploy(TEMPLATE, "functions", "--binaries", str(binaries), "--parameter", "Greeting=hello")


def describe_volumes_by_function(region: RunningRegion) -> list[dict[str, Any]]:
    """Have the function describe volumes. Returns the journal entries of its calls."""
    before = region.get("journal?since=0")["next"]
    region.send(source="aws.test", detail_type="Allowed", detail={"call": ["ec2", "DescribeVolumes", {}]})
    region.wait_until_idle()
    return [entry for entry in region.journal("call", operation="DescribeVolumes") if entry["seq"] > before]


def test_faults_apply_only_to_functions_by_default(region: RunningRegion, stack: dict[str, Any]) -> None:
    function = stack["outputs"]["Function"]
    region.post("faults", [{"kind": "server-error", "status": 503, "service": "ec2", "count": 1}])
    for service, method in (("ec2", "describe_volumes"), ("ssm", "describe_ops_items"), ("sqs", "list_queues")):
        getattr(region.client(service), method)()
    assert region.get("idle?timeout=5")["idle"]
    assert region.get("faults")["injected"] == []
    # The client of the function retries after a 503.
    entries = describe_volumes_by_function(region)
    assert [(entry["caller"], entry["status"], entry["fault"]) for entry in entries] == [
        (function, 503, "server-error"),
        (function, 200, None),
    ]


@pytest.mark.parametrize("caller", ["name", "TinyFunction", "functions-*", "*"])
def test_caller_matches_name_logical_id_or_pattern(region: RunningRegion, stack: dict[str, Any], caller: str) -> None:
    caller = stack["outputs"]["Function"] if caller == "name" else caller
    region.post("faults", [{"kind": "throttled", "service": "ec2", "operation": "DescribeVolumes", "caller": caller}])
    assert [entry["fault"] for entry in describe_volumes_by_function(region)] == ["throttled", None]


def test_fault_does_not_apply_to_another_caller(region: RunningRegion, stack: dict[str, Any]) -> None:
    region.post("faults", [{"kind": "throttled", "service": "ec2", "caller": "OtherFunction"}])
    assert [entry["fault"] for entry in describe_volumes_by_function(region)] == [None]


def test_fault_of_a_function_does_not_apply_to_calls_of_lambda(region: RunningRegion, stack: dict[str, Any]) -> None:
    region.post("faults", [{"kind": "denied", "service": "sqs", "count": 9}])
    event_id = region.send(source="aws.test", detail_type="Allowed", detail={"fail": True})
    region.wait_until_idle()
    assert region.journal("dead-letter", eventId=event_id)[0]["delivered"]
    assert region.journal("call", operation="SendMessage", caller="lambda")


def test_injects_lost_responses_into_functions(region: RunningRegion, stack: dict[str, Any]) -> None:
    region.post("faults", [{"kind": "reset-after", "service": "ec2", "operation": "DescribeVolumes"}])
    entries = describe_volumes_by_function(region)
    assert [(entry["status"], entry["fault"]) for entry in entries] == [(None, "reset-after"), (200, None)]


def test_eventbridge_retries_deliveries(region: RunningRegion, stack: dict[str, Any]) -> None:
    copies = stack["outputs"]["CopiesUrl"]
    messages(region, copies)
    region.post("faults", [{"kind": "throttled", "caller": "eventbridge", "service": "sqs", "count": 2}])
    event_id = region.send(source="aws.test", detail_type="Allowed", detail={})
    region.wait_until_idle()
    assert [json.loads(message["Body"])["id"] for message in messages(region, copies)] == [event_id]
    # A lost response delivers an event twice.
    region.post("faults", [{"kind": "reset-after", "caller": "eventbridge", "service": "lambda"}])
    event_id = region.send(source="aws.test", detail_type="Allowed", detail={})
    region.wait_until_idle()
    attempts = region.journal("invocation", eventId=event_id)
    assert [each["attempt"] for each in attempts] == [1, 1] and len({each["requestId"] for each in attempts}) == 2


@pytest.mark.parametrize(
    ("kind", "code", "retries", "exhausted"),
    [
        ("server-error", "ERROR_FROM_TARGET", "3", "MaximumRetryAttempts"),
        ("no-answer-before", "TIMEOUT", "3", "MaximumRetryAttempts"),
        ("denied", "NO_PERMISSIONS", "0", None),
    ],
)
def test_eventbridge_sends_a_dead_letter_after_its_retries(
    region: RunningRegion, stack: dict[str, Any], kind: str, code: str, retries: str, exhausted: str | None
) -> None:
    undelivered = stack["outputs"]["UndeliveredUrl"]
    messages(region, undelivered)
    region.post("faults", [{"kind": kind, "caller": "eventbridge", "service": "lambda", "count": 9}])
    event_id = region.send(source="aws.test", detail_type="Allowed", detail={})
    region.wait_until_idle()
    assert region.journal("invocation", eventId=event_id) == []
    (letter,) = messages(region, undelivered)
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert json.loads(letter["Body"])["id"] == event_id
    assert (attributes["ERROR_CODE"], attributes["RETRY_ATTEMPTS"]) == (code, retries)
    assert attributes.get("EXHAUSTED_RETRY_CONDITION") == exhausted


@pytest.mark.parametrize(
    "fault",
    [
        "throttled",
        {},
        {"kind": "broken"},
        {"kind": "throttled", "colour": "blue"},
        {"kind": "throttled", "service": "nothing"},
        {"kind": "throttled", "operation": "DescribeVolumes"},
        {"kind": "throttled", "service": "ec2", "operation": "DescribeVolume"},
        {"kind": "throttled", "count": "2"},
        {"kind": "throttled", "skip": -1},
        {"kind": "throttled", "count": True},
        {"kind": "throttled", "probability": 1.5},
        {"kind": "throttled", "seed": 3},
        {"kind": "throttled", "seconds": 3},
        {"kind": "throttled", "status": 500},
        {"kind": "server-error", "status": 418},
        {"kind": "refused"},
        {"kind": "refused", "code": "X", "caller": "eventbridge"},
        {"kind": "throttled", "code": "InstanceQuotaExceeded"},
        {"kind": "throttled", "message": "x"},
        {"kind": "delayed"},
    ],
    ids=itertools.count(),
)
def test_rejects_invalid_faults_as_a_whole(region: RunningRegion, fault: Any) -> None:
    status, answer = region.post("faults", [{"kind": "throttled"}, fault])
    assert status == 400 and answer["message"], json.dumps(fault)
    assert region.get("faults") == {"injected": [], "left": []}


def test_region_with_a_pending_response_ends_at_once(region: RunningRegion) -> None:
    ending = RunningRegion()
    inject(ending, service="ec2", kind="no-answer-before")
    client = impatient(ending, "ec2")
    with pytest.raises(ReadTimeoutError):
        client.describe_volumes()
    assert ending.get("idle?timeout=5")["idle"] and ending.stop() == 0
