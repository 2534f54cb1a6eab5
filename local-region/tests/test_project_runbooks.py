"""The project's runbooks, deployed from its template and carried out."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import write_binary
from running_region import ACCOUNT, REGION, RunningRegion

PROJECT = Path(__file__).parents[2]
APPROVER = f"arn:aws:iam::{ACCOUNT}:user/approver"
BUCKET, STACK = "templates-of-shop", "shop"
STACK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/shop-stack"
WORKLOAD = """
Description: The workload.
Parameters:
  Type: {Type: String, Default: t3.micro}
Resources:
  Database:
    Type: AWS::EC2::Instance
    Properties: {ImageId: ami-0123456789abcdef0, InstanceType: !Ref Type}
"""


@pytest.fixture(scope="module")
def runbooks(region: RunningRegion, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The names of the deployed runbooks, by their logical ids; with what they work on beside them."""
    trust = {"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}
    region.client("iam").create_role(
        RoleName="shop-stack",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    region.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    binaries = tmp_path_factory.mktemp("functions")
    for function in (PROJECT / "functions").iterdir():
        write_binary(binaries / function.name)
    parameters = {
        "PrimaryRegion": "us-east-1",
        "Architecture": "x86_64",
        "RecoveryWorkload": "shop",
        "RecoveryStateMachine": "region-recovery",
        "RecoveryApprovers": APPROVER,
        "WorkloadStack": STACK,
        "WorkloadTemplateBucket": BUCKET,
        "WorkloadStackRoleArn": STACK_ROLE,
    }
    options = [part for name, value in parameters.items() for part in ("--parameter", f"{name}={value}")]
    stack = region.deploy(PROJECT / "template.yaml", "rapid-recovery", "--binaries", str(binaries), *options)
    return stack["resources"]


@pytest.fixture(scope="module")
def state_machine(region: RunningRegion) -> str:
    """A state machine where the recovery's would be; its ARN."""
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = region.client("iam").create_role(
        RoleName="recovery", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    definition = {"StartAt": "Restore", "States": {"Restore": {"Type": "Pass", "End": True}}}
    return region.client("stepfunctions").create_state_machine(
        name="region-recovery", definition=json.dumps(definition), roleArn=role
    )["stateMachineArn"]


def start(region: RunningRegion, name: str, **parameters: Any) -> str:
    """Start a runbook; answers its execution's id."""
    given = {"Parameters": {key: [value] for key, value in parameters.items()}} if parameters else {}
    execution_id = region.client("ssm").start_automation_execution(DocumentName=name, **given)["AutomationExecutionId"]
    region.wait_until_idle()
    return execution_id


def execution(region: RunningRegion, execution_id: str) -> dict[str, Any]:
    """The execution, once nothing moves any more."""
    region.wait_until_idle()
    return region.client("ssm").get_automation_execution(AutomationExecutionId=execution_id)["AutomationExecution"]


def approved(region: RunningRegion, execution_id: str) -> dict[str, Any]:
    """The execution, after the approval it asks for was given."""
    assert execution(region, execution_id)["AutomationExecutionStatus"] == "Waiting"
    region.client("ssm").send_automation_signal(AutomationExecutionId=execution_id, SignalType="Approve")
    return execution(region, execution_id)


def succeeded(done: dict[str, Any]) -> dict[str, Any]:
    """An execution that must have succeeded."""
    assert done["AutomationExecutionStatus"] == "Success", done.get("FailureMessage")
    return done


def test_start_region_recovery_asks_and_starts_the_state_machine_once(
    region: RunningRegion, runbooks: dict[str, str], state_machine: str
) -> None:
    name, incident = runbooks["StartRegionRecovery"], f"health/{uuid.uuid4()}"
    asked = start(region, name, Incident=incident, OpsItemId="oi-0123456789ab")
    (message,) = [
        entry
        for entry in region.journal("message", topicArn=runbooks["NotificationTopic"])
        if incident in entry["message"]
    ]
    assert "waits for your decision" in message["message"] and "oi-0123456789ab" in message["message"]
    done = succeeded(approved(region, asked))
    (arn,) = done["Outputs"]["recover.executionArn"]
    recovery = region.client("stepfunctions").describe_execution(executionArn=arn)
    assert recovery["stateMachineArn"] == state_machine and recovery["name"].startswith("shop-")
    assert json.loads(recovery["input"]) == {
        "workload": "shop",
        "mode": "recover",
        "incident": incident,
        "opsItemId": "oi-0123456789ab",
    }
    # The same incident once more: Step Functions refuses, or answers with the same execution.
    again = approved(region, start(region, name, Incident=incident, OpsItemId="oi-0123456789ab"))
    if again["AutomationExecutionStatus"] == "Success":
        assert again["Outputs"]["recover.executionArn"] == [arn]
    else:
        assert "ExecutionAlreadyExists" in again["FailureMessage"]
    executions = region.client("stepfunctions").list_executions(stateMachineArn=state_machine)["executions"]
    assert len([each for each in executions if each["name"] == recovery["name"]]) == 1
    # Every call was allowed by the runbook's role.
    assert not [call for call in region.journal("call", status=403) if call["caller"].startswith("Automation-")]


def test_start_workload_instances_starts_those_of_the_workload(region: RunningRegion, runbooks: dict[str, str]) -> None:
    ec2 = region.client("ec2")

    def stopped(workload: str) -> str:
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "recovery:workload", "Value": workload}]}]
        made = ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, TagSpecifications=tags)
        instance_id = made["Instances"][0]["InstanceId"]
        ec2.stop_instances(InstanceIds=[instance_id])
        return instance_id

    def state(instance_id: str) -> str:
        described = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return described["State"]["Name"]

    ours, theirs = [stopped("shop"), stopped("shop")], stopped("other")
    done = succeeded(execution(region, start(region, runbooks["StartWorkloadInstances"])))
    assert done["Outputs"] == {"start.Started": ["2"]}
    assert [state(each) for each in ours] == ["running", "running"] and state(theirs) == "stopped"
    again = succeeded(execution(region, start(region, runbooks["StartWorkloadInstances"])))
    assert again["Outputs"] == {"start.Started": ["0"]}


def test_deploy_workload_stack_creates_and_updates(region: RunningRegion, runbooks: dict[str, str]) -> None:
    def deploy(template: str, **parameters: str) -> dict[str, Any]:
        region.client("s3").put_object(Bucket=BUCKET, Key="shop/template.yaml", Body=template.encode())
        given = {"StackParameters": json.dumps(parameters)} if parameters else {}
        return execution(
            region, start(region, runbooks["DeployWorkloadStack"], TemplateKey="shop/template.yaml", **given)
        )

    created = succeeded(deploy(WORKLOAD, Type="m7g.large"))
    assert created["Outputs"] == {"deploy.Did": ["create"]}
    cloudformation = region.client("cloudformation")
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {"Key": "recovery:workload", "Value": "shop"} in stack["Tags"]
    instance = cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId="Database")
    physical_id = instance["StackResourceDetail"]["PhysicalResourceId"]
    made = region.client("ec2").describe_instances(InstanceIds=[physical_id])["Reservations"][0]["Instances"][0]
    assert made["InstanceType"] == "m7g.large"
    # What is left out keeps its value; an added resource is no loss.
    updated = succeeded(deploy(WORKLOAD + "  Data:\n    Type: AWS::SQS::Queue\n"))
    assert updated["Outputs"] == {"deploy.Did": ["update"]}
    stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]} == {"Type": "m7g.large"}
    # Nothing is removed.
    refused = deploy(WORKLOAD)
    assert refused["AutomationExecutionStatus"] == "Failed"
    assert "It would remove or replace Data" in refused["FailureMessage"]


def test_what_the_runbooks_roles_do_not_allow_stops_them(region: RunningRegion, runbooks: dict[str, str]) -> None:
    role = runbooks["StartWorkloadInstancesRole"]
    iam = region.client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName=name)
    done = execution(region, start(region, runbooks["StartWorkloadInstances"]))
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))
    assert done["AutomationExecutionStatus"] == "Failed" and "UnauthorizedOperation" in done["FailureMessage"]
