"""Executions: JSONata, variables, errors, Distributed Maps, redrives, nested executions, and their permissions."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from machines import SDK, ended, make, make_role, output, policy, run
from running_region import ACCOUNT, REGION, RunningRegion, make_queue, messages, refusal

FUNCTIONS = Path(__file__).parent / "templates" / "functions.yaml"
JSONATA = {"QueryLanguage": "JSONata"}
CONTEXT = "{% $states.context.Execution.RedriveCount %}"


@pytest.fixture(scope="module")
def everything(region: RunningRegion) -> str:
    """A role with all permissions."""
    return make_role(region, "*")


@pytest.fixture(scope="module")
def function(region: RunningRegion, binaries: Path) -> str:
    """The name of the tiny function."""
    options = ("--binaries", str(binaries), "--parameter", "Greeting=hello")
    return region.deploy(FUNCTIONS, "functions", *options)["outputs"]["Function"]


@pytest.fixture(scope="module")
def bucket(region: RunningRegion) -> str:
    """A bucket for items."""
    region.client("s3").create_bucket(Bucket="items", CreateBucketConfiguration={"LocationConstraint": REGION})
    return "items"


def put_items(region: RunningRegion, bucket: str, items: Any) -> str:
    """Put a JSON array into the bucket. Returns its key."""
    key = f"plans/{uuid.uuid4().hex}.json"
    region.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(items).encode())
    return key


def call(resource: str, arguments: Any = None, **state: Any) -> dict[str, Any]:
    """A task in JSONata, by default the last state."""
    return {"Type": "Task", "Resource": resource, "Arguments": arguments or {}} | (
        state if "Next" in state else {"End": True} | state
    )


def distributed(states: dict[str, Any], **state: Any) -> dict[str, Any]:
    """A Distributed Map over the items that variables of its parent name."""
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": next(iter(states)),
        "States": states,
    }
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Arguments": {"Bucket": "{% $bucket %}", "Key": "{% $key %}"},
    }
    return {"Type": "Map", "Label": "Wave", "ItemReader": reader, "ItemProcessor": processor, "End": True} | state


def remembering(bucket: str, key: str, **variables: Any) -> dict[str, Any]:
    """A first state that assigns variables."""
    return {"Type": "Pass", "Assign": {"bucket": bucket, "key": key} | variables, "Next": "Each"}


def history(region: RunningRegion, arn: str) -> list[dict[str, Any]]:
    """All events of an execution."""
    pages = region.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]


def children(region: RunningRegion, arn: str) -> list[dict[str, Any]]:
    """The child executions of the one map run of an execution."""
    states = region.client("stepfunctions")
    (map_run,) = states.list_map_runs(executionArn=arn)["mapRuns"]
    pages = states.get_paginator("list_executions").paginate(mapRunArn=map_run["mapRunArn"])
    found = [each for page in pages for each in page["executions"]]
    return [states.describe_execution(executionArn=each["executionArn"]) for each in found]


def test_every_state_type_supports_jsonata(region: RunningRegion, everything: str) -> None:
    states = {
        "Remember": {
            "Type": "Pass",
            # Both see the values before this state.
            "Assign": {"n": "{% $states.input.n %}", "null": None},
            "Next": "Swap",
        },
        "Swap": {"Type": "Pass", "Assign": {"n": "{% $n + 1 %}", "before": "{% $n %}"}, "Next": "Choose"},
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $n > 5 %}", "Next": "Lost"}],
            "Default": "Both",
            "Assign": {"chose": "default"},
            "Output": {"from": "choice"},
        },
        "Lost": {"Type": "Fail", "Error": "{% 'Lost' & $n %}", "Cause": "{% $states.input.why %}"},
        "Both": {
            "Type": "Parallel",
            "Arguments": {"given": "{% $states.input.from %}"},
            "Branches": [
                {
                    "StartAt": "One",
                    "States": {
                        "One": {"Type": "Pass", "Assign": {"own": 1}, "Next": "Told"},
                        "Told": {"Type": "Succeed", "Output": {"one": "{% $own + $n %}", "in": "{% $states.input %}"}},
                    },
                },
                {
                    "StartAt": "Two",
                    "States": {"Two": {"Type": "Wait", "Seconds": "{% $n %}", "Output": 2, "End": True}},
                },
            ],
            "Output": "{% $states.result %}",
            "Assign": {"parts": "{% $count($states.result) %}"},
            "Next": "Each",
        },
        "Each": {
            "Type": "Map",
            "Items": "{% [1..3] %}",
            "MaxConcurrency": "{% $parts %}",
            "ItemSelector": {"i": "{% $states.context.Map.Item.Index %}", "v": "{% $states.context.Map.Item.Value %}"},
            "ItemProcessor": {
                "StartAt": "Sum",
                # An inline Map sees the variables around it.
                "States": {
                    "Sum": {"Type": "Pass", "Output": "{% $states.input.i + $states.input.v + $n %}", "End": True}
                },
            },
            "Output": {"sums": "{% $states.result %}", "branches": "{% $states.input %}"},
            "Next": "End",
        },
        "End": {
            "Type": "Succeed",
            "Output": "{% $merge([$states.input, {'before': $before, 'chose': $chose, 'null': $null, "
            "'errorless': $not($exists($states.errorOutput)), 'unseen': $not($exists($own))}]) %}",
        },
    }
    assert output(run(region, everything, states, {"n": 1}, **JSONATA)) == {
        "sums": [3, 5, 7],
        "branches": [{"one": 3, "in": {"given": "choice"}}, 2],
        "before": 1,
        "chose": "default",
        "null": None,
        "errorless": True,
        "unseen": True,
    }
    failed = run(region, everything, states, {"n": 7, "why": "too many"}, **JSONATA)
    assert (failed["error"], failed["cause"]) == ("Lost8", "too many") and "output" not in failed


def test_catches_errors_with_output_and_assign(region: RunningRegion, everything: str) -> None:
    catch = {
        "ErrorEquals": ["States.ALL"],
        "Assign": {"error": "{% $states.errorOutput.Error %}"},
        "Output": {"kept": "{% $states.input.kept %}", "cause": "{% $states.errorOutput.Cause %}"},
        "Next": "Tell",
    }
    tell = {"Type": "Pass", "Output": "{% $merge([$states.input, {'error': $error}]) %}", "End": True}
    for states, error in (
        ({"Look": call(f"{SDK}ssm:getParameter", {"Name": "none"}, Catch=[catch])}, "Ssm.ParameterNotFoundException"),
        # A failed expression is an error of the state, too.
        (
            {"Look": call(f"{SDK}ssm:getParameter", {"Name": "{% $none %}"}, Catch=[catch])},
            "States.QueryEvaluationError",
        ),
        (
            {
                "Both": {
                    "Type": "Parallel",
                    "Branches": [{"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "No", "Cause": "no"}}}],
                    "Catch": [catch],
                    "End": True,
                }
            },
            "No",
        ),
    ):
        caught = output(run(region, everything, states | {"Tell": tell}, {"kept": 1}, **JSONATA))
        assert caught["kept"] == 1 and caught["error"] == error and caught["cause"]
    # An error of the definition cannot be caught.
    lost = run(region, everything, {"Look": call(f"{SDK}ssm:doNothing", Catch=[catch]), "Tell": tell}, **JSONATA)
    assert (lost["status"], lost["error"]) == ("FAILED", "States.Runtime")


def test_retry_intervals_respect_their_maximum(region: RunningRegion, everything: str) -> None:
    retry = {
        "ErrorEquals": ["Lambda.ServiceException", "Lambda.AWSLambdaException", "Ssm.ParameterNotFoundException"],
        "IntervalSeconds": 1,
        "BackoffRate": 1000,
        "MaxAttempts": 3,
        "MaxDelaySeconds": 2,
        "JitterStrategy": "FULL",
    }
    began = time.monotonic()
    failed = run(
        region, everything, {"Look": call(f"{SDK}ssm:getParameter", {"Name": "none"}, Retry=[retry])}, **JSONATA
    )
    assert failed["error"] == "Ssm.ParameterNotFoundException" and time.monotonic() - began < 5
    events = [event["type"] for event in history(region, failed["executionArn"])]
    assert events.count("TaskFailed") == 4


def test_invokes_a_function_in_jsonata(region: RunningRegion, everything: str, function: str) -> None:
    invoke = call(
        "arn:aws:states:::lambda:invoke",
        {"FunctionName": function, "Payload": {"colour": "{% $states.input.colour %}"}},
        Output="{% $states.result.Payload.event %}",
    )
    done = run(region, everything, {"Invoke": invoke}, {"colour": "blue"}, **JSONATA)
    assert output(done) == {"colour": "blue"}
    assert [event["type"] for event in history(region, done["executionArn"])] == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    name = done["stateMachineArn"].rpartition(":")[2]
    (called,) = region.journal("call", operation="Invoke", stateMachine=name)
    assert called["caller"] == "state-machine"


def test_slow_task_times_out(region: RunningRegion, everything: str, function: str) -> None:
    slow = call(
        "arn:aws:states:::lambda:invoke", {"FunctionName": function, "Payload": {"sleep": 1}}, TimeoutSeconds=0.1
    )
    timed_out = run(region, everything, {"Invoke": slow}, **JSONATA)
    assert timed_out["error"] == "States.Timeout"
    assert "TaskTimedOut" in [event["type"] for event in history(region, timed_out["executionArn"])]


def test_errors_of_lambda_have_the_documented_names(region: RunningRegion, everything: str, function: str) -> None:
    invoke = call("arn:aws:states:::lambda:invoke", {"FunctionName": function, "Payload": {}})
    for kind, error in (
        ("server-error", "Lambda.ServiceException"),
        ("throttled", "Lambda.TooManyRequestsException"),
        ("denied", "Lambda.AWSLambdaException"),
        ("reset-before", "Lambda.SdkClientException"),
    ):
        region.post("faults", {"kind": kind, "service": "lambda", "operation": "Invoke", "caller": "state-machine"})
        assert run(region, everything, {"Invoke": invoke}, **JSONATA)["error"] == error
        region.post("faults", {"kind": kind, "service": "lambda", "operation": "Invoke", "caller": "state-machine"})
        retried = invoke | {"Retry": [{"ErrorEquals": [error], "MaxAttempts": 1}]}
        assert output(run(region, everything, {"Invoke": retried}, **JSONATA))["StatusCode"] == 200


def test_context_counts_redrives(region: RunningRegion, everything: str) -> None:
    # After the redrive, the failed state reads an existing parameter.
    states = {
        "Stop": call(
            f"{SDK}ssm:getParameter",
            {"Name": "{% $states.context.Execution.RedriveCount = 0 ? 'none' : 'there' %}"},
            Output={
                "redrives": CONTEXT,
                "at": "{% $states.context.Execution.RedriveTime %}",
                "role": "{% $states.context.Execution.RoleArn %}",
            },
            Next="Path",
        ),
        "Path": {
            "Type": "Pass",
            "QueryLanguage": "JSONPath",
            "Parameters": {"jsonata.$": "$", "path.$": "$$.Execution.RedriveCount"},
            "End": True,
        },
    }
    region.client("ssm").put_parameter(Name="there", Value="x", Type="String")
    failed = run(region, everything, states, **JSONATA)
    assert failed["status"] == "FAILED"
    region.client("stepfunctions").redrive_execution(executionArn=failed["executionArn"])
    done = output(ended(region, failed["executionArn"]))
    assert done["jsonata"]["redrives"] == done["path"] == 1
    assert done["jsonata"]["at"].endswith("Z") and done["jsonata"]["role"] == everything
    told = region.journal("state-machine", executionArn=failed["executionArn"])
    assert [(entry["status"], entry["redriveCount"]) for entry in told] == [
        ("RUNNING", 0),
        ("FAILED", 0),
        ("RUNNING", 1),
        ("SUCCEEDED", 1),
    ]
    details = [
        event["detail"]
        for event in region.journal("event", detailType="Step Functions Execution Status Change")
        if event["detail"]["executionArn"] == failed["executionArn"]
    ]
    assert [detail["redriveCount"] for detail in details] == [0, 0, 1, 1]
    assert [detail["redriveStatus"] for detail in details][1::2] == ["REDRIVABLE", "NOT_REDRIVABLE"]


def test_redrive_resumes_inside_a_failed_branch(region: RunningRegion, everything: str) -> None:
    url, _ = make_queue(region, "inside-a-branch")
    name = f"cause-{uuid.uuid4().hex}"
    branch = {
        "StartAt": "Send",
        "States": {
            "Send": call(
                "arn:aws:states:::sqs:sendMessage",
                {"QueueUrl": url, "MessageBody": "once"},
                Assign={"a": 1},
                Next="Look",
            ),
            "Look": call(f"{SDK}ssm:getParameter", {"Name": name}, Output="{% $a %}"),
        },
    }
    failed = run(region, everything, {"Both": {"Type": "Parallel", "Branches": [branch], "End": True}}, **JSONATA)
    assert failed["error"] == "Ssm.ParameterNotFoundException"
    region.client("ssm").put_parameter(Name=name, Value="x", Type="String")
    region.client("stepfunctions").redrive_execution(executionArn=failed["executionArn"])
    assert output(ended(region, failed["executionArn"])) == [1]
    assert len(messages(region, url)) == 1


def test_failed_branch_stops_the_others(region: RunningRegion, everything: str, bucket: str) -> None:
    name, url = f"cause-{uuid.uuid4().hex}", make_queue(region, "stopped-branches")[0]
    send = call("arn:aws:states:::sqs:sendMessage", {"QueueUrl": url, "MessageBody": "once"}, Next="Rest")
    # Longer than the test may take.
    rest = {"Type": "Wait", "Seconds": "{% $states.context.Execution.RedriveCount = 0 ? 60000 : 0 %}"}
    waits = {"Send": send, "Rest": rest | {"End": True}}
    each = {"Rest": rest | {"Output": "{% $states.input %}", "End": True}}
    key = put_items(region, bucket, [1, 2])
    reader = distributed(each)["ItemReader"] | {"Arguments": {"Bucket": bucket, "Key": key}}
    branches = [
        {"StartAt": "Send", "States": waits},
        {"StartAt": "Each", "States": {"Each": distributed(each, ItemReader=reader)}},
        {"StartAt": "Look", "States": {"Look": call(f"{SDK}ssm:getParameter", {"Name": name}, Output="found")}},
    ]
    both = {"Both": {"Type": "Parallel", "Branches": branches, "Output": "{% $states.result %}", "End": True}}
    failed = run(region, everything, both, **JSONATA)
    assert (failed["status"], failed["error"]) == ("FAILED", "Ssm.ParameterNotFoundException")
    (map_run,) = region.client("stepfunctions").list_map_runs(executionArn=failed["executionArn"])["mapRuns"]
    about = region.client("stepfunctions").describe_map_run(mapRunArn=map_run["mapRunArn"])
    assert about["status"] == "ABORTED" and about["itemCounts"]["aborted"] == 2
    # A redrive continues in the branches that were stopped, too.
    region.client("ssm").put_parameter(Name=name, Value="x", Type="String")
    region.client("stepfunctions").redrive_execution(executionArn=failed["executionArn"])
    assert output(ended(region, failed["executionArn"]))[1:] == [[1, 2], "found"]
    assert len(messages(region, url)) == 1


def test_failed_iteration_stops_the_others(region: RunningRegion, everything: str) -> None:
    states = {
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input = 1 %}", "Next": "Fails"}],
            "Default": "Rest",
        },
        "Fails": {"Type": "Fail", "Error": "One"},
        "Rest": {"Type": "Wait", "Seconds": 60_000, "End": True},
    }
    each = {"Type": "Map", "Items": [1, 2, 3], "ItemProcessor": {"StartAt": "Choose", "States": states}}
    caught = {"Catch": [{"ErrorEquals": ["One"], "Next": "End", "Output": "caught"}], "Next": "End"}
    whole = {"Each": each | caught, "End": {"Type": "Succeed"}}
    assert output(run(region, everything, whole, **JSONATA)) == "caught"


def test_stopped_execution_ends_at_once_and_can_be_redriven(region: RunningRegion, everything: str) -> None:
    states = region.client("stepfunctions")
    waits = {"Wait": {"Type": "Wait", "Seconds": 60_000, "Next": "End"}, "End": {"Type": "Succeed", "Output": CONTEXT}}
    machine = make(region, everything, waits, **JSONATA)
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    states.stop_execution(executionArn=arn, error="Enough", cause="said so")
    stopped = ended(region, arn)
    assert (stopped["status"], stopped["redriveStatus"]) == ("ABORTED", "REDRIVABLE")
    states.redrive_execution(executionArn=arn)
    assert states.describe_execution(executionArn=arn)["status"] == "RUNNING"
    states.stop_execution(executionArn=arn)
    assert ended(region, arn)["status"] == "ABORTED"


def test_runs_a_distributed_map_in_jsonata(region: RunningRegion, everything: str, bucket: str) -> None:
    key = put_items(region, bucket, [{"n": number} for number in range(12)])
    child = {
        "Tell": {
            "Type": "Pass",
            "Output": {
                "sum": "{% $states.input.item.n + $states.input.plus %}",
                # A child does not see the variables of its parent, and is a separate execution.
                "unseen": "{% $not($exists($plus)) %}",
                "own": "{% $states.context.Execution.Id != $states.input.parent %}",
            },
            "End": True,
        }
    }
    states = {
        "Remember": remembering(bucket, key, plus=100, most=5),
        "Each": distributed(
            child,
            ItemSelector={
                "item": "{% $states.context.Map.Item.Value %}",
                "plus": "{% $plus %}",
                "parent": "{% $states.context.Execution.Id %}",
            },
            MaxConcurrency="{% $most %}",
            ToleratedFailurePercentage=100,
            Assign={"all": "{% $sum($states.result.sum) %}"},
            Output="{% $states.result %}",
            Next="End",
        ),
        "End": {"Type": "Succeed", "Output": {"all": "{% $all %}", "each": "{% $states.input %}"}},
    }
    del states["Each"]["End"]
    done = run(region, everything, states, **JSONATA)
    result = output(done)
    assert result["all"] == 12 * 100 + 66
    assert result["each"] == [{"sum": 100 + number, "unseen": True, "own": True} for number in range(12)]
    assert [event["type"] for event in history(region, done["executionArn"])] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "MapStateEntered",
        "MapStateStarted",
        "MapRunStarted",
        "MapRunSucceeded",
        "MapStateSucceeded",
        "MapStateExited",
        "SucceedStateEntered",
        "SucceedStateExited",
        "ExecutionSucceeded",
    ]
    (child_run, *_) = children(region, done["executionArn"])
    assert "/Wave:" in child_run["executionArn"] and child_run["stateMachineArn"].endswith("/Wave")
    assert [event["type"] for event in history(region, child_run["executionArn"])] == [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "ExecutionSucceeded",
    ]
    told = region.journal("map-run", executionArn=done["executionArn"])
    assert [entry["status"] for entry in told] == ["RUNNING", "SUCCEEDED"]
    assert told[1]["itemCounts"]["succeeded"] == 12


def fails_for_odd() -> dict[str, Any]:
    """The states of a child that fails when its item is odd."""
    return {
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input % 2 = 1 %}", "Next": "Odd"}],
            "Default": "Even",
        },
        "Odd": {"Type": "Fail", "Error": "Odd", "Cause": "{% 'it is ' & $states.input %}"},
        "Even": {"Type": "Pass", "End": True},
    }


def test_tolerates_failed_child_executions(region: RunningRegion, everything: str, bucket: str) -> None:
    key = put_items(region, bucket, [0, 1, 2])
    each = distributed(fails_for_odd(), ToleratedFailurePercentage="{% 50 + 50 %}")
    done = run(region, everything, {"Remember": remembering(bucket, key), "Each": each}, **JSONATA)
    first, failed, last = output(done)
    assert (first, last) == (0, 2)
    # The output contains the description of a failed child.
    assert (failed["Status"], failed["Error"], failed["Cause"], failed["Input"]) == ("FAILED", "Odd", "it is 1", "1")
    states = region.client("stepfunctions")
    (map_run,) = states.list_map_runs(executionArn=done["executionArn"])["mapRuns"]
    described = states.describe_map_run(mapRunArn=map_run["mapRunArn"])
    assert described["status"] == "SUCCEEDED" and described["itemCounts"]["failed"] == 1
    (child,) = [each for each in children(region, done["executionArn"]) if each["status"] == "FAILED"]
    assert child["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
    for limit in ({}, {"ToleratedFailurePercentage": 33}, {"ToleratedFailureCount": 0}):
        each = distributed(fails_for_odd(), **limit)
        failed = run(region, everything, {"Remember": remembering(bucket, key), "Each": each}, **JSONATA)
        assert failed["error"] == "States.ExceedToleratedFailureThreshold"
        assert "MapRunFailed" in [event["type"] for event in history(region, failed["executionArn"])]


def test_distributed_map_needs_the_documented_permissions(region: RunningRegion, bucket: str) -> None:
    key = put_items(region, bucket, [2])
    states = {"Remember": remembering(bucket, key), "Each": distributed(fails_for_odd())}
    iam = region.client("iam")

    def run_with(*statements: tuple[str, str]) -> dict[str, Any]:
        role = make_role(region)
        machine = make(region, role, states, **JSONATA)
        name = machine.rpartition(":")[2]
        allowed = [
            {"Effect": "Allow", "Action": action, "Resource": resource.replace("NAME", name)}
            for action, resource in statements
        ]
        iam.put_role_policy(RoleName=role.rpartition("/")[2], PolicyName="own", PolicyDocument=policy(*allowed))
        return ended(region, region.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"])

    start = ("states:StartExecution", f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:NAME")
    of_machine = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:NAME:*"
    of_label = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:NAME/Wave:*"
    read = ("s3:GetObject", f"arn:aws:s3:::{bucket}/plans/*")
    for resource in (of_machine, of_label):
        look, stop = ("states:DescribeExecution", resource), ("states:StopExecution", resource)
        assert output(run_with(start, look, stop, read)) == [2]
        for lacking in ((look, stop, read), (start, stop, read), (start, look, read)):
            refused = run_with(*lacking)
            assert refused["error"] == "States.Permissions" and "states:" in refused["cause"]
        unread = run_with(start, look, stop)
        assert unread["error"] == "States.ItemReaderFailed" and "s3:GetObject" in unread["cause"]


def test_role_must_trust_the_map_runs_of_its_state_machine(region: RunningRegion, bucket: str) -> None:
    iam = region.client("iam")
    states = {"Remember": remembering(bucket, put_items(region, bucket, [2])), "Each": distributed(fails_for_odd())}

    def run_trusted(*sources: str) -> dict[str, Any]:
        role = make_role(region, "states:*", "s3:*")
        machine = make(region, role, states, **JSONATA)
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"ArnLike": {"aws:SourceArn": [source.replace("MACHINE", machine) for source in sources]}},
        }
        iam.update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=policy(trust))
        return ended(region, region.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"])

    refused = run_trusted("MACHINE")
    assert refused["error"] == "States.TaskFailed" and "/Wave" in refused["cause"], refused
    assert output(run_trusted("MACHINE", "MACHINE/*")) == [2]
    assert output(run_trusted("MACHINE", "MACHINE/Wave")) == [2]


def test_missing_items_fail_the_map(region: RunningRegion, everything: str, bucket: str) -> None:
    each = distributed(fails_for_odd(), Catch=[{"ErrorEquals": ["States.ItemReaderFailed"], "Next": "End"}])
    states = {"Remember": remembering(bucket, "none"), "Each": each, "End": {"Type": "Succeed"}}
    assert "Error" in output(run(region, everything, states, **JSONATA))
    key = put_items(region, bucket, "no list")
    states = {"Remember": remembering(bucket, key), "Each": distributed(fails_for_odd())}
    assert run(region, everything, states, **JSONATA)["error"] == "States.ItemReaderFailed"


def test_redrives_a_map_run_with_its_parent(region: RunningRegion, everything: str, bucket: str) -> None:
    key, name = put_items(region, bucket, ["there", f"cause-{uuid.uuid4().hex}"]), "there"
    region.client("ssm").put_parameter(Name=name, Value="x", Type="String", Overwrite=True)
    look = call(f"{SDK}ssm:getParameter", {"Name": "{% $states.input %}"}, Output=CONTEXT)
    failed = run(
        region, everything, {"Remember": remembering(bucket, key), "Each": distributed({"Look": look})}, **JSONATA
    )
    assert failed["status"] == "FAILED"
    (missing,) = [
        json.loads(each["input"]) for each in children(region, failed["executionArn"]) if each["status"] == "FAILED"
    ]
    region.client("ssm").put_parameter(Name=missing, Value="x", Type="String")
    region.client("stepfunctions").redrive_execution(executionArn=failed["executionArn"])
    assert output(ended(region, failed["executionArn"])) == [0, 1]
    events = [event["type"] for event in history(region, failed["executionArn"])]
    assert events.count("MapRunStarted") == events.count("MapRunRedriven") == events.count("MapRunSucceeded") == 1


def test_runs_1000_items_within_a_minute(region: RunningRegion, everything: str, bucket: str) -> None:
    key = put_items(region, bucket, [{"n": number} for number in range(1000)])
    child = {
        "Wait": {"Type": "Wait", "Seconds": 10, "Assign": {"n": "{% $states.input.n %}"}, "Next": "Look"},
        "Look": call(f"{SDK}ec2:describeVolumes", {"MaxResults": 5}, Output="{% $n %}", Next="Choose"),
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input >= 0 %}", "Next": "End"}],
            "Default": "End",
        },
        "End": {"Type": "Succeed"},
    }
    each = distributed(child, ToleratedFailurePercentage=100, Output="{% $count($states.result) %}")
    began = time.monotonic()
    machine = make(region, everything, {"Remember": remembering(bucket, key), "Each": each}, **JSONATA)
    arn = region.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    region.get("idle?timeout=50")
    assert output(ended(region, arn)) == 1000
    assert time.monotonic() - began < 60


def test_fails_when_the_output_is_too_large(region: RunningRegion, everything: str, bucket: str) -> None:
    key = put_items(region, bucket, ["x" * 1000] * 300)
    same = {"Same": {"Type": "Pass", "End": True}}
    failed = run(region, everything, {"Remember": remembering(bucket, key), "Each": distributed(same)}, **JSONATA)
    assert failed["error"] == "States.DataLimitExceeded"


def test_starts_other_executions_with_the_permissions_of_its_role(region: RunningRegion, everything: str) -> None:
    inner = make(region, everything, {"Same": {"Type": "Pass", "End": True}})
    start = {"StateMachineArn": inner, "Input": "{% $string($states.input) %}", "Name": uuid.uuid4().hex}
    states = {
        "Start": call(
            f"{SDK}sfn:startExecution", start, Assign={"arn": "{% $states.result.ExecutionArn %}"}, Next="Look"
        ),
        "Look": call(
            f"{SDK}sfn:describeExecution",
            {"ExecutionArn": "{% $arn %}"},
            Output="{% $states.result.Status = 'RUNNING' ? $error('not yet') : $parse($states.result.Output) %}",
            Retry=[{"ErrorEquals": ["States.QueryEvaluationError"], "MaxAttempts": 50, "BackoffRate": 1}],
        ),
    }
    role = make_role(region, "states:StartExecution", "states:DescribeExecution")
    assert output(run(region, role, states, {"a": 1}, **JSONATA)) == {"a": 1}
    # A name can be used only once.
    again = run(region, everything, states, {"a": 2}, **JSONATA)
    assert again["error"] == "Sfn.ExecutionAlreadyExistsException"
    refused = run(region, make_role(region), states, **JSONATA)
    assert refused["error"] == "Sfn.SfnException" and "states:StartExecution" in refused["cause"]


def test_execution_waits_for_another(region: RunningRegion) -> None:
    rights = ["states:StartExecution", "states:DescribeExecution", "states:StopExecution"]
    watching = ["events:PutTargets", "events:PutRule", "events:DescribeRule"]
    role = make_role(region, *rights, *watching)
    inner = make(region, role, fails_for_odd(), **JSONATA)

    def nested(given: Any, resource: str = ".sync:2", role: str = role) -> dict[str, Any]:
        arguments = {"StateMachineArn": inner, "Input": given}
        return run(
            region, role, {"Start": call(f"arn:aws:states:::states:startExecution{resource}", arguments)}, **JSONATA
        )

    assert output(nested("2"))["Output"] == 2
    assert output(nested("2", ".sync"))["Output"] == "2"
    assert output(nested("2", ""))["ExecutionArn"]
    failed = nested("1")
    assert failed["error"] == "States.TaskFailed" and json.loads(failed["cause"])["Error"] == "Odd"
    assert nested("2", role=make_role(region, *rights))["error"] == "States.Permissions"


def test_task_waits_for_its_token(region: RunningRegion, everything: str) -> None:
    url, _ = make_queue(region, "tokens")
    send = call(
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        {"QueueUrl": url, "MessageBody": {"token": "{% $states.context.Task.Token %}"}},
        Output="{% $states.result.answer %}",
    )
    states = region.client("stepfunctions")
    machine = make(region, everything, {"Ask": send}, **JSONATA)
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    found: list[dict[str, Any]] = []
    while not found:
        found = messages(region, url)
    states.send_task_success(taskToken=json.loads(found[0]["Body"])["token"], output='{"answer": 42}')
    assert output(ended(region, arn)) == 42


OWN = {"Own": {"Type": "Pass", "Assign": {"own": 1}, "End": True}}
SHADOWS = {"Own": {"Type": "Pass", "Assign": {"taken": 1}, "End": True}}
IN_A_CATCH = call(
    f"{SDK}ec2:describeVolumes", Catch=[{"ErrorEquals": ["States.ALL"], "Assign": {"taken": 1}, "Next": "End"}]
)
IN_A_RULE = {
    "Type": "Choice",
    "Choices": [{"Condition": "{% true %}", "Assign": {"taken": 1}, "Next": "End"}],
    "Default": "End",
}
END = {"End": {"Type": "Succeed"}}


def branch(states: dict[str, Any]) -> dict[str, Any]:
    """A Parallel of one branch with these states."""
    return {"Type": "Parallel", "Branches": [{"StartAt": next(iter(states)), "States": states}], "End": True}


def iteration(states: dict[str, Any]) -> dict[str, Any]:
    """An inline Map with these states."""
    return {"Type": "Map", "Items": [1], "ItemProcessor": branch(states)["Branches"][0], "End": True}


@pytest.mark.parametrize(
    ("inner", "refused"),
    [
        (branch(OWN), False),
        (branch(SHADOWS), True),
        (iteration(SHADOWS), True),
        (distributed(SHADOWS), True),
        (branch({"Deeper": iteration(SHADOWS)}), True),
        (branch({"Deeper": iteration(OWN)}), False),
        (branch({"Mine": OWN["Own"] | {"Next": "Deeper", "End": False}, "Deeper": iteration(OWN)}), True),
        (branch({"Own": IN_A_CATCH} | END), True),
        (branch({"Own": IN_A_RULE} | END), True),
    ],
)
def test_inner_variables_must_have_other_names_than_outer_ones(
    region: RunningRegion, everything: str, inner: dict[str, Any], refused: bool
) -> None:
    # Assigned where the inner state ends, as its results are.
    states = {"Inner": inner | {"Assign": {"taken": "{% $states.result %}"}}}
    if not refused:
        machine = make(region, everything, states, **JSONATA)
        definition = json.dumps(JSONATA | {"StartAt": "Inner", "States": states})
        region.client("stepfunctions").update_state_machine(stateMachineArn=machine, definition=definition)
        return
    code, message = refusal(lambda: make(region, everything, states, **JSONATA))
    assert code == "InvalidDefinition" and "/Own" in message
    machine = make(region, everything, {"Only": {"Type": "Succeed"}}, **JSONATA)
    definition = json.dumps(JSONATA | {"StartAt": "Inner", "States": states})
    code, _ = refusal(
        lambda: region.client("stepfunctions").update_state_machine(stateMachineArn=machine, definition=definition)
    )
    assert code == "InvalidDefinition"


def test_rejects_invalid_execution_names(region: RunningRegion, everything: str) -> None:
    machine = make(region, everything, {"Only": {"Type": "Succeed"}})
    for name in ("n" * 81, "a:b", "a b"):
        code, _ = refusal(
            lambda name=name: region.client("stepfunctions").start_execution(stateMachineArn=machine, name=name)
        )
        assert code == "InvalidName"


RULE = """
Resources:
  Machine:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: ROLE
      Definition: {StartAt: Only, States: {Only: {Type: Succeed}}}
  Queue: {Type: AWS::SQS::Queue}
  QueuePolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Queue]
      PolicyDocument:
        Statement:
          - {Effect: Allow, Principal: {Service: events.amazonaws.com}, Action: "sqs:SendMessage", Resource: "*"}
  DrillRule:
    Type: AWS::Events::Rule
    Properties:
      ScheduleExpression: rate(7 days)
      Targets:
        - Id: machine
          Arn: !Ref Machine
          RoleArn: RULE_ROLE
          Input: '{"workload": "shop", "mode": "drill"}'
          DeadLetterConfig: {Arn: !GetAtt Queue.Arn}
Outputs:
  Machine: {Value: !Ref Machine}
"""


@pytest.mark.parametrize("rights", [["states:StartExecution"], ["states:StopExecution"], None])
def test_schedule_starts_a_state_machine_with_the_role_of_the_rule(
    region: RunningRegion, everything: str, tmp_path: Path, rights: list[str] | None
) -> None:
    role = make_role(region, *(rights or ["*"]), service="events.amazonaws.com" if rights else "lambda.amazonaws.com")
    template, name = tmp_path / "template.yaml", f"scheduled-{uuid.uuid4().hex[:8]}"
    template.write_text(RULE.replace("RULE_ROLE", role).replace("ROLE", everything))
    machine = region.deploy(template, name)["outputs"]["Machine"]
    status, fired = region.post("schedules", {"rule": f"{name}-DrillRule"})
    assert status == 200
    region.wait_until_idle()
    executions = region.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    letters = region.journal("dead-letter", eventId=fired["eventId"])
    if rights == ["states:StartExecution"]:
        (execution,) = executions
        described = region.client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
        assert json.loads(described["input"]) == {"workload": "shop", "mode": "drill"} and letters == []
    else:
        assert executions == []
        assert [(letter["reason"], letter["delivered"]) for letter in letters] == [("NO_PERMISSIONS", True)]
