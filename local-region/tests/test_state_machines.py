"""State machines: the features of Step Functions that ministack and this package support."""

import json
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from machines import SDK, ended, make, make_role, output, run, task
from running_region import ACCOUNT, REGION, RunningRegion, make_queue, messages, refusal

TEMPLATE = Path(__file__).parent / "templates" / "functions.yaml"


@pytest.fixture(scope="module")
def everything(region: RunningRegion) -> str:
    """A role with all permissions."""
    return make_role(region, "*")


def test_runs_choices_parallel_branches_and_maps(region: RunningRegion, everything: str) -> None:
    double = {"StartAt": "Double", "States": {"Double": {"Type": "Pass", "Parameters": {"n.$": "$"}, "End": True}}}
    done = run(
        region,
        everything,
        {
            "Choose": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.mode", "StringEquals": "recover", "Next": "Both"}],
                "Default": "Neither",
            },
            "Neither": {"Type": "Fail", "Error": "Neither"},
            "Both": {
                "Type": "Parallel",
                "Branches": [
                    {
                        "StartAt": "Each",
                        "States": {
                            "Each": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": double, "End": True}
                        },
                    },
                    {"StartAt": "One", "States": {"One": {"Type": "Pass", "Result": 1, "End": True}}},
                ],
                "End": True,
            },
        },
        {"mode": "recover", "items": ["a", "b"]},
    )
    assert output(done) == [[{"n": "a"}, {"n": "b"}], 1]
    failed = run(region, everything, {"Neither": {"Type": "Fail", "Error": "Lost", "Cause": "no backup"}})
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "Lost", "no backup")


def test_supports_jsonata_and_jsonpath(region: RunningRegion, everything: str) -> None:
    states = {
        "Plan": {
            "Type": "Pass",
            "Assign": {"waves": "{% $max($states.input.waves) %}"},
            "Output": {"twice": "{% $states.input.n * 2 %}"},
            "Next": "Tell",
        },
        "Tell": {
            "Type": "Task",
            "Resource": f"{SDK}ec2:describeVolumes",
            "Arguments": {"Filters": [{"Name": "size", "Values": ["{% $string($states.input.twice) %}"]}]},
            "Output": {"count": "{% $count($states.result.Volumes) %}", "waves": "{% $waves %}"},
            "End": True,
        },
    }
    done = run(region, everything, states, {"n": 1_000_000, "waves": [1, 3, 2]}, QueryLanguage="JSONata")
    assert output(done) == {"count": 0, "waves": 3}
    path = run(
        region,
        everything,
        {"Path": {"Type": "Pass", "InputPath": "$.a", "OutputPath": "$.b", "End": True}},
        {"a": {"b": 7}},
    )
    assert output(path) == 7


def test_waits_are_scaled_and_executions_count_as_pending(region: RunningRegion, everything: str) -> None:
    # Ten minutes, scaled to a hundredth: `idle` waits for all of it.
    done = run(region, everything, {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}})
    assert output(done) == {}


def test_retries_and_catches_errors(region: RunningRegion, everything: str) -> None:
    read = {"RestoreJobId": "not-there"}
    states = {
        "Look": task(
            f"{SDK}backup:describeRestoreJob",
            read,
            Retry=[{"ErrorEquals": ["Backup.ResourceNotFoundException"], "MaxAttempts": 2, "IntervalSeconds": 1}],
            Catch=[{"ErrorEquals": ["Backup.ResourceNotFoundException"], "ResultPath": "$.error", "Next": "Tell"}],
            End=True,
        ),
        "Tell": {"Type": "Pass", "End": True},
    }
    before = len(region.journal("call", operation="DescribeRestoreJob"))
    caught = output(run(region, everything, states, {"kept": 1}))
    assert caught["kept"] == 1 and caught["error"]["Error"] == "Backup.ResourceNotFoundException"
    assert "Service: Backup, Status Code: 400" in caught["error"]["Cause"]
    assert len(region.journal("call", operation="DescribeRestoreJob")) - before == 3


@pytest.mark.parametrize(
    ("resource", "arguments", "error"),
    [
        ("ec2:describeVolumes", {"VolumeIds": ["vol-0123456789abcdef0"]}, "Ec2.Ec2Exception"),
        ("cloudformation:describeStacks", {"StackName": "none"}, "CloudFormation.CloudFormationException"),
        ("ssm:getParameter", {"Name": "none"}, "Ssm.ParameterNotFoundException"),
        (
            "sfn:describeExecution",
            {"ExecutionArn": f"arn:aws:states:{REGION}:{ACCOUNT}:execution:a:b"},
            "Sfn.ExecutionDoesNotExistException",
        ),
        ("nothing:do", {}, "States.Runtime"),
        ("ec2:doNothing", {}, "States.Runtime"),
        ("ec2:createVolume", {"Colour": "blue"}, "States.Runtime"),
    ],
)
def test_error_names_match_the_sdk_for_java(
    region: RunningRegion, everything: str, resource: str, arguments: dict[str, Any], error: str
) -> None:
    assert run(region, everything, {"Call": task(SDK + resource, arguments)})["error"] == error


def test_sdk_integrations_call_any_service_operation(region: RunningRegion, everything: str) -> None:
    body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    name = f"made-{uuid.uuid4().hex}"
    created = output(
        run(
            region,
            everything,
            {"Create": task(f"{SDK}cloudformation:createStack", {"StackName": name, "TemplateBody": body})},
        )
    )
    assert f":stack/{name}/" in created["StackId"]
    made = output(
        run(
            region,
            everything,
            {"Create": task(f"{SDK}ec2:createVolume", {"AvailabilityZone": f"{REGION}a", "Size": 2})},
        )
    )
    assert made["Size"] == 2 and made["VolumeId"].startswith("vol-") and made["CreateTime"].endswith("Z")
    region.client("s3").create_bucket(Bucket="plans", CreateBucketConfiguration={"LocationConstraint": REGION})
    states = {
        "Put": task(f"{SDK}s3:putObject", {"Bucket": "plans", "Key": "plan", "Body": {"waves": 2}}, Next="Get"),
        "Get": task(
            f"{SDK}s3:getObject", {"Bucket": "plans", "Key": "plan"}, ResultSelector={"b.$": "$.Body"}, End=True
        ),
    }
    assert output(run(region, everything, states)) == {"b": '{"waves": 2}'}
    listed = output(run(region, everything, {"List": task(f"{SDK}sfn:listStateMachines", {"MaxResults": 1})}))
    assert set(listed["StateMachines"][0]) >= {"StateMachineArn", "Name", "CreationDate"}


def test_starts_and_polls_a_restore(region: RunningRegion, everything: str) -> None:
    backup = region.client("backup")
    backup.create_backup_vault(BackupVaultName="vault")
    volume = region.client("ec2").create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    role = f"arn:aws:iam::{ACCOUNT}:role/backup"
    point = backup.start_backup_job(
        BackupVaultName="vault", IamRoleArn=role, ResourceArn=f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/{volume}"
    )["RecoveryPointArn"]
    states = {
        "Start": task(
            f"{SDK}backup:startRestoreJob",
            {"RecoveryPointArn": point, "IamRoleArn": role, "Metadata": {"availabilityZone": f"{REGION}a"}},
            Next="Wait",
        ),
        "Wait": {"Type": "Wait", "Seconds": 60, "Next": "Look"},
        "Look": task(
            f"{SDK}backup:describeRestoreJob",
            {"RestoreJobId.$": "$.RestoreJobId"},
            Next="Done",
        ),
        "Done": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.Status", "StringEquals": "COMPLETED", "Next": "End"}],
            "Default": "Wait",
        },
        "End": {"Type": "Succeed"},
    }
    job = output(run(region, everything, states))
    assert job["Status"] == "COMPLETED" and ":volume/vol-" in job["CreatedResourceArn"]
    assert {call["caller"] for call in region.journal("call", operation="StartRestoreJob")} == {"state-machine"}


def test_supports_optimized_integrations(region: RunningRegion, everything: str) -> None:
    url, _ = make_queue(region, "optimized")
    topic = region.client("sns").create_topic(Name="optimized")["TopicArn"]
    states = {
        "Send": task("arn:aws:states:::sqs:sendMessage", {"QueueUrl": url, "MessageBody": {"a": 1}}, Next="Tell"),
        "Tell": task("arn:aws:states:::sns:publish", {"TopicArn": topic, "Message": {"b": 2}}, Next="Announce"),
        "Announce": task(
            "arn:aws:states:::events:putEvents",
            {"Entries": [{"Source": "mine", "DetailType": "Optimized", "Detail": {"c": 3}}]},
        ),
    }
    answer = output(run(region, everything, states))
    assert answer["FailedEntryCount"] == 0
    assert [message["Body"] for message in messages(region, url)] == ['{"a": 1}']
    assert [entry["message"] for entry in region.journal("message", topicArn=topic)] == ['{"b": 2}']
    assert [entry["detail"] for entry in region.journal("event", detailType="Optimized")] == [{"c": 3}]


def test_tasks_have_only_the_permissions_of_the_role(region: RunningRegion) -> None:
    url, _ = make_queue(region, "not-allowed")
    role = make_role(region, "ec2:DescribeVolumes")
    assert "Volumes" in output(run(region, role, {"Call": task(f"{SDK}ec2:describeVolumes")}))
    refused = run(region, role, {"Call": task(f"{SDK}ec2:describeInstances")})
    assert (
        refused["error"] == "Ec2.Ec2Exception"
        and "not authorized to perform: ec2:DescribeInstances" in refused["cause"]
    )
    refused = run(
        region, role, {"Call": task("arn:aws:states:::sqs:sendMessage", {"QueueUrl": url, "MessageBody": "x"})}
    )
    assert refused["status"] == "FAILED" and "sqs:sendmessage" in refused["cause"].lower()
    untrusted = make_role(region, "*", service="lambda.amazonaws.com")
    machine = make(region, role, {"Call": task(f"{SDK}ec2:describeVolumes")})
    code = refusal(lambda: make(region, f"{untrusted}-not-there", {"Call": {"Type": "Succeed"}}))[0]
    assert code
    region.client("iam").delete_role_policy(RoleName=role.rpartition("/")[2], PolicyName="own")
    started = region.client("stepfunctions").start_execution(stateMachineArn=machine)
    assert ended(region, started["executionArn"])["status"] == "FAILED"


@pytest.fixture(scope="module")
def function(region: RunningRegion, binaries: Path) -> str:
    """The name of the tiny function."""
    options = ("--binaries", str(binaries), "--parameter", "Greeting=hello")
    return region.deploy(TEMPLATE, "functions", *options)["outputs"]["Function"]


def test_invokes_functions_with_the_permissions_of_the_role(
    region: RunningRegion, everything: str, function: str
) -> None:
    invoke = task("arn:aws:states:::lambda:invoke", {"FunctionName": function, "Payload": {"colour.$": "$.colour"}})
    done = output(run(region, everything, {"Invoke": invoke}, {"colour": "blue"}))
    assert done["StatusCode"] == 200 and done["Payload"]["event"] == {"colour": "blue"}
    arn = region.client("lambda").get_function_configuration(FunctionName=function)["FunctionArn"]
    assert output(run(region, everything, {"Invoke": task(arn, {"a": 1})}))["event"] == {"a": 1}
    failed = run(
        region,
        everything,
        {
            "Invoke": task("arn:aws:states:::lambda:invoke", {"FunctionName": function, "Payload": {"fail": True}})
            | {"Retry": [{"ErrorEquals": ["RuntimeError"], "MaxAttempts": 1}]}
        },
    )
    assert failed["error"] == "RuntimeError" and json.loads(failed["cause"])["errorMessage"] == "asked to fail"
    refused = run(region, make_role(region), {"Invoke": invoke}, {"colour": "blue"})
    assert refused["error"] == "Lambda.AWSLambdaException" and "lambda:InvokeFunction" in refused["cause"]


def needs_parameter(name: str, **state: Any) -> dict[str, Any]:
    """A task that fails until a parameter exists."""
    return task(f"{SDK}ssm:getParameter", {"Name": name}, **({"ResultPath": None} | (state or {"End": True})))


def test_redrives_a_failed_execution_from_the_failed_state(region: RunningRegion, everything: str) -> None:
    name, states = f"cause-{uuid.uuid4().hex}", region.client("stepfunctions")
    failed = run(
        region,
        everything,
        {
            "Before": {
                "Type": "Pass",
                "Assign": {"kept": "{% $states.input.a %}"},
                "QueryLanguage": "JSONata",
                "Next": "Fails",
            },
            "Fails": needs_parameter(name, Next="After"),
            "After": {
                "Type": "Pass",
                "QueryLanguage": "JSONata",
                "Output": {"kept": "{% $kept %}", "input": "{% $states.context.Execution.Input %}"},
                "End": True,
            },
        },
        {"a": 1},
    )
    arn = failed["executionArn"]
    assert failed["status"] == "FAILED" and failed["error"] == "Ssm.ParameterNotFoundException"
    assert (failed["redriveStatus"], failed["redriveCount"]) == ("REDRIVABLE", 0)
    states.redrive_execution(executionArn=arn)
    again = ended(region, arn)
    assert again["status"] == "FAILED" and again["redriveCount"] == 1
    region.client("ssm").put_parameter(Name=name, Value="repaired", Type="String")
    states.redrive_execution(executionArn=arn)
    done = ended(region, arn)
    assert output(done) == {"kept": 1, "input": {"a": 1}}
    assert (done["redriveStatus"], done["redriveCount"]) == ("NOT_REDRIVABLE", 2) and "error" not in done
    assert refusal(lambda: states.redrive_execution(executionArn=arn))[0] == "ExecutionNotRedrivable"
    assert refusal(lambda: states.redrive_execution(executionArn=f"{arn}x"))[0] == "ExecutionDoesNotExist"
    history = states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
    entered = [e["stateEnteredEventDetails"]["name"] for e in history if e["type"].endswith("StateEntered")]
    assert entered == ["Before", "Fails", "Fails", "Fails", "After"]
    assert [event["type"] for event in history].count("ExecutionRedriven") == 2


@pytest.mark.parametrize("mode", ["INLINE", "DISTRIBUTED"])
def test_redrive_runs_only_failed_iterations(region: RunningRegion, everything: str, mode: str) -> None:
    url, _ = make_queue(region, f"iterations-{mode}")
    names = [f"{mode}-{uuid.uuid4().hex}" for _ in range(3)]
    put = region.client("ssm").put_parameter
    for name in names[:2]:
        put(Name=name, Value="there", Type="String")
    processor = {
        "StartAt": "Look",
        "ProcessorConfig": {"Mode": mode} | ({"ExecutionType": "STANDARD"} if mode == "DISTRIBUTED" else {}),
        "States": {
            "Look": task(
                f"{SDK}ssm:getParameter", {"Name.$": "$"}, ResultSelector={"v.$": "$.Parameter.Name"}, Next="Count"
            ),
            "Count": task(
                "arn:aws:states:::sqs:sendMessage",
                {"QueueUrl": url, "MessageBody.$": "$.v"},
                ResultPath=None,
                OutputPath="$.v",
                End=True,
            ),
        },
    }
    # One after the other: the last one, which fails, would stop the others.
    each = {"Type": "Map", "ItemsPath": "$.names", "MaxConcurrency": 1, "ItemProcessor": processor, "End": True}
    failed = run(region, everything, {"Each": each}, {"names": names})
    assert failed["status"] == "FAILED"
    assert sorted(message["Body"] for message in messages(region, url)) == sorted(names[:2])
    put(Name=names[2], Value="repaired", Type="String")
    region.client("stepfunctions").redrive_execution(executionArn=failed["executionArn"])
    assert output(ended(region, failed["executionArn"])) == names
    assert [message["Body"] for message in messages(region, url)] == names[2:]


def test_redrive_runs_only_failed_branches(region: RunningRegion, everything: str) -> None:
    url, _ = make_queue(region, "branches")
    name = f"branch-{uuid.uuid4().hex}"
    send = task("arn:aws:states:::sqs:sendMessage", {"QueueUrl": url, "MessageBody": "once"})
    branches = [
        {"StartAt": "Send", "States": {"Send": send}},
        {"StartAt": "Look", "States": {"Look": needs_parameter(name)}},
    ]
    failed = run(region, everything, {"Both": {"Type": "Parallel", "Branches": branches, "End": True}})
    assert failed["status"] == "FAILED"
    region.client("ssm").put_parameter(Name=name, Value="repaired", Type="String")
    region.client("stepfunctions").redrive_execution(executionArn=failed["executionArn"])
    assert len(output(ended(region, failed["executionArn"]))) == 2
    assert [message["Body"] for message in messages(region, url)] == ["once"]


def test_distributed_map_reads_its_items_from_s3(region: RunningRegion, everything: str) -> None:
    region.client("s3").create_bucket(Bucket="items", CreateBucketConfiguration={"LocationConstraint": REGION})
    items = [{"volume": f"vol-{number}"} for number in range(70)]
    region.client("s3").put_object(Bucket="items", Key="plan.json", Body=json.dumps({"items": items}).encode())
    processor = {
        "StartAt": "Same",
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "States": {"Same": {"Type": "Pass", "OutputPath": "$.volume", "End": True}},
    }
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON", "ItemsPointer": "/items"},
        "Parameters": {"Bucket": "items", "Key.$": "$.key"},
    }
    each = {"Type": "Map", "ItemReader": reader, "ItemProcessor": processor, "MaxConcurrency": 10, "End": True}
    done = run(region, everything, {"Each": each}, {"key": "plan.json"})
    assert output(done) == [item["volume"] for item in items]
    runs = region.client("stepfunctions").list_map_runs(executionArn=done["executionArn"])["mapRuns"]
    counts = region.client("stepfunctions").describe_map_run(mapRunArn=runs[0]["mapRunArn"])["itemCounts"]
    assert (counts["total"], counts["succeeded"]) == (70, 70)


def test_executions_send_status_events(region: RunningRegion, everything: str) -> None:
    done = run(region, everything, {"Only": {"Type": "Succeed"}})
    events = [
        entry["detail"]["status"]
        for entry in region.journal("event", detailType="Step Functions Execution Status Change")
        if entry["detail"]["executionArn"] == done["executionArn"]
    ]
    assert events == ["RUNNING", "SUCCEEDED"]


def test_name_starts_one_execution(region: RunningRegion, everything: str) -> None:
    states, machine = region.client("stepfunctions"), make(region, everything, {"Only": {"Type": "Succeed"}})
    first = states.start_execution(stateMachineArn=machine, name="incident", input="{}")
    assert states.list_executions(stateMachineArn=machine)["executions"][0]["executionArn"] == first["executionArn"]
    ended(region, first["executionArn"])
    for given in ("{}", '{"a": 1}'):
        again = refusal(
            lambda given=given: states.start_execution(stateMachineArn=machine, name="incident", input=given)
        )
        assert again[0] == "ExecutionAlreadyExists"
    # While an execution runs, the same request returns it.
    machine = make(region, everything, {"Wait": {"Type": "Wait", "Seconds": 60_000, "End": True}})
    start = partial(states.start_execution, stateMachineArn=machine, name="incident")
    arn = start(input='{"a": 1}')["executionArn"]
    assert start(input='{"a": 1}')["executionArn"] == arn
    assert refusal(lambda: start(input='{"a": 2}'))[0] == "ExecutionAlreadyExists"
    states.stop_execution(executionArn=arn)
    assert ended(region, arn)["status"] == "ABORTED"


@pytest.mark.parametrize("field", ["ItemBatcher", "ResultWriter"])
def test_names_unsupported_fields_in_the_failure(region: RunningRegion, everything: str, field: str) -> None:
    processor = {"StartAt": "Same", "States": {"Same": {"Type": "Pass", "End": True}}}
    state = {"Type": "Map", "ItemProcessor": processor, field: {"MaxItemsPerBatch": 2}, "End": True}
    failed = run(region, everything, {"Each": state}, [1, 2])
    assert failed["status"] == "FAILED" and f"does not imitate the field {field}" in failed["cause"]
