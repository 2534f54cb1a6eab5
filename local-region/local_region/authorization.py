"""What IAM policies are evaluated against, where ministack differs from AWS."""

import contextvars
import json
import threading
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import cloudformation, ec2, tagging

from local_region import api_models
from local_region.db_rights import condition_keys as condition_keys_of_rds
from local_region.db_rights import first_resource
from local_region.db_tags import tags_of as tags_of_database
from local_region.efs_rights import condition_keys as condition_keys_of_efs
from local_region.efs_rights import resource_of as resource_of_efs
from local_region.efs_rights import tags_of as tags_of_efs
from local_region.fsx_resources import resource_of as resource_of_fsx
from local_region.fsx_resources import tags_of as tags_of_fsx
from local_region.stack_calls import stack_of, tags_of_stack
from local_region.target_groups import resource_of as resource_of_elb
from local_region.target_groups import tags_of as tags_of_elb
from local_region.volumes import tags_of

# EC2's actions on many instances at once. Each of them must be allowed.
OF_INSTANCES = ("RebootInstances", "StartInstances", "StopInstances", "TerminateInstances")
# Those on any resources, and the kinds of resources whose ARNs name no account.
OF_ANY = ("CreateTags", "DeleteTags")
OWNERLESS = ("image", "snapshot")
# CloudFormation's condition keys, and the parameters they are read from.
CLOUDFORMATION_KEYS = {
    "cloudformation:ChangeSetName": "ChangeSetName",
    "cloudformation:RoleArn": "RoleARN",
    "cloudformation:TemplateUrl": "TemplateURL",
}
# Headers of S3 that write only on a condition; policies may ask for them.
CONDITIONAL_WRITES = ("if-match", "if-none-match")


def name_resources_as_aws(tags_of_tables: bool) -> None:
    """Have IAM policies evaluated against the resources and keys of AWS's Service Authorization Reference.

    Without `tags_of_tables`, DynamoDB knows no tags in a request, as in an account without attribute-based access
    control.
    """
    extract, further = iam_actions.extract_resource_arn, iam_actions.verified_access_resource_arns
    lambda_action = iam_actions._lambda_action
    condition_keys, keys_of_s3 = iam_actions.request_tag_context, iam_actions.s3_service_context

    def resource_arn(
        service: str,
        method: str,
        path: str,
        headers: dict,
        body: bytes,
        params: dict,
        region: str,
        account: str,
    ) -> str:
        operation = headers.get("x-amz-target", "").rpartition(".")[2] or ec2._p(params, "Action")
        own = _RESOURCES.get((service, operation))
        if own:
            return own(_json(body), region, account)
        if service == "rds":
            first = first_resource(ec2._p(params, "Action"), params)
            if first:
                return first
        if service == "dynamodb" and _json(body).get("ResourceArn"):
            # Ministack knows only the tables that a call names.
            return _json(body)["ResourceArn"]
        if service == "elasticfilesystem":
            return resource_of_efs(method, path, params, body)
        if service == "fsx":
            return resource_of_fsx(operation, _json(body))
        if service == "backup":
            return _of_backup(method, path, body, region, account)
        if service == "ec2" and operation in OF_INSTANCES:
            return instance_arns(params, region, account)[0]
        if service == "ec2" and operation in OF_ANY:
            return resource_arns(params, region, account)[0]
        if service == "cloudformation" and operation != "CreateStack":
            stack = stack_of(ec2._p(params, "StackName"))
            if stack:
                # Its id, by which its tags are found.
                return stack["StackId"]
        if service == "cloudformation" and ec2._p(params, "ChangeSetName") in cloudformation._change_sets:
            # A change set that is named by its ARN stands for its stack.
            return cloudformation._change_sets[ec2._p(params, "ChangeSetName")]["StackId"]
        # EC2's Describe actions know no resources: a policy must allow them on "*".
        if service == "ec2" and operation.startswith("Describe"):
            return "*"
        found = extract(service, method, path, headers, body, params, region, account)
        return resource_of_elb(operation, params, found) if service == "elasticloadbalancing" else found

    def further_resource_arns(params: dict, region: str, account: str) -> list[str]:
        """EC2's further resources of a call; the first entry, authorized elsewhere, is a place-holder."""
        if ec2._p(params, "Action") in OF_INSTANCES:
            return instance_arns(params, region, account)
        if ec2._p(params, "Action") in OF_ANY:
            return resource_arns(params, region, account)
        if ec2._p(params, "Action") in ("AttachVolume", "DetachVolume"):
            return ["", f"arn:aws:ec2:{region}:{account}:volume/{ec2._p(params, 'VolumeId')}"]
        return further(params, region, account)

    def instance_arns(params: dict, region: str, account: str) -> list[str]:
        ids = ec2._parse_member_list(params, "InstanceId")
        return [f"arn:aws:ec2:{region}:{account}:instance/{instance_id}" for instance_id in ids] or ["*"]

    def resource_arns(params: dict, region: str, account: str) -> list[str]:
        ids = ec2._parse_member_list(params, "ResourceId")
        arns = []
        for resource_id in ids:
            kind = ec2._guess_resource_type(resource_id)
            owner = "" if kind in OWNERLESS else account
            arns.append(f"arn:aws:ec2:{region}:{owner}:{kind}/{resource_id}")
        return arns or ["*"]

    def every_lambda_action(method: str, path: str) -> str | None:
        """Also of calls that are about no function, which ministack allows to everybody."""
        named = lambda_action(method, path)
        route = None if named else api_models.rest_operation("lambda", method, path)
        return route[0].name if route else named

    def request_condition_keys(service: str, iam_action: str, body: bytes, params: dict) -> dict[str, Any]:
        given = {key: ec2._p(params, name) for key, name in CLOUDFORMATION_KEYS.items()}
        own = {key: value for key, value in given.items() if value} if service == "cloudformation" else {}
        if service == "rds":
            own = condition_keys_of_rds(ec2._p(params, "Action"), params)
        if service == "elasticfilesystem":
            own = condition_keys_of_efs(iam_action.partition(":")[2], body, params)
        if service == "dynamodb" and not tags_of_tables:
            return own
        return condition_keys(service, iam_action, body, params) | own

    def s3_condition_keys(iam_action: str, query: dict, path: str, headers: dict) -> dict[str, Any]:
        known = keys_of_s3(iam_action, query, path, headers) or {}
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        conditional = {f"s3:{name}": headers[name] for name in CONDITIONAL_WRITES if headers.get(name)}
        return known | conditional

    iam_actions._lambda_action = every_lambda_action
    iam_actions.request_tag_context = request_condition_keys
    iam_actions.s3_service_context = s3_condition_keys
    iam_actions.extract_resource_arn = resource_arn
    iam_actions.verified_access_resource_arns = further_resource_arns


def know_tags_of_resources(of_recovery_point: Callable[[str], dict[str, str] | None], tags_of_tables: bool) -> None:
    """Have the condition keys aws:ResourceTag/.. know the tags that are kept here as they know others.

    Without `tags_of_tables`, no table has one in a policy.
    """
    tags = tagging.resource_tags

    def resource_tags(arn: str) -> dict[str, str] | None:
        if arn.startswith("arn:aws:ec2:"):
            return tags_of(arn.rpartition("/")[2])
        if arn.startswith("arn:aws:cloudformation:"):
            return tags_of_stack(arn)
        if arn.startswith("arn:aws:rds:"):
            return tags_of_database(arn)
        if arn.startswith("arn:aws:elasticfilesystem:"):
            return tags_of_efs(arn)
        if arn.startswith("arn:aws:fsx:"):
            return tags_of_fsx(arn)
        if arn.startswith("arn:aws:elasticloadbalancing:"):
            return tags_of_elb(arn)
        if arn.startswith("arn:aws:dynamodb:") and not tags_of_tables:
            return {}
        if arn.startswith("arn:aws:backup:") and ":recovery-point:" in arn:
            return of_recovery_point(arn)
        return tags(arn)

    tagging.resource_tags = resource_tags


def read_models_ahead() -> None:
    """Read the models that ministack evaluates calls with, in the background, so that no first call waits for them."""
    services = (
        "ec2",
        "rds",
        "dynamodb",
        "ssm",
        "cloudformation",
        "sns",
        "sqs",
        "backup",
        "lambda",
        "elasticfilesystem",
    )

    def read() -> None:
        for service in services:
            iam_actions._tag_operations(service)

    threading.Thread(target=read, daemon=True).start()


def count_loopback_as_tls() -> None:
    """Let `aws:SecureTransport` be true: a policy that refuses plain HTTP would refuse everything here."""
    iam_evaluator._request_origin = contextvars.ContextVar("request_origin", default=("127.0.0.1", True))
    app.pin_request_origin = lambda source_ip, _secure_transport: iam_evaluator._request_origin.set((source_ip, True))


def _ops_item(body: dict[str, Any], region: str, account: str) -> str:
    return f"arn:aws:ssm:{region}:{account}:opsitem/{body.get('OpsItemId', '')}"


def _runbook(body: dict[str, Any], region: str, account: str) -> str:
    name = str(body.get("DocumentName", "")).rpartition("/")[2]
    # The documents AWS owns have no account in their ARN.
    owner = "" if name.startswith(("AWS-", "AWSSupport-", "AWSEC2-")) else account
    return f"arn:aws:ssm:{region}:{owner}:automation-definition/{name}:{body.get('DocumentVersion') or '$DEFAULT'}"


def _execution(body: dict[str, Any], region: str, account: str) -> str:
    return f"arn:aws:ssm:{region}:{account}:automation-execution/{body.get('AutomationExecutionId', '')}"


def _command_document(body: dict[str, Any], region: str, account: str) -> str:
    # Each instance is asked for where the command is sent.
    name = str(body.get("DocumentName", "")).rpartition("/")[2]
    return f"arn:aws:ssm:{region}:{account}:document/{name}"


def _parameter(body: dict[str, Any], region: str, account: str) -> str:
    # Of several, the first one stands for all.
    name = str(body.get("Name") or next(iter(body.get("Names") or [""])))
    return f"arn:aws:ssm:{region}:{account}:parameter/{name.removeprefix('/')}"


def _of_backup(method: str, path: str, body: bytes, region: str, account: str) -> str:
    """The recovery point, vault or other resource a call of AWS Backup names; jobs are not resources."""
    route = api_models.rest_operation("backup", method, path)
    if route is None:
        return "*"
    model, labels = route
    named = labels if model.name in ("ListTags", "GetRecoveryPointRestoreMetadata") else labels | _json(body)
    if model.name == "StartBackupJob":
        named = {"BackupVaultName": named.get("BackupVaultName")}
    vault = named.get("BackupVaultName") or named.get("backupVaultName")
    return (
        named.get("RecoveryPointArn")
        or named.get("ResourceArn")
        or (f"arn:aws:backup:{region}:{account}:backup-vault:{vault}" if vault else "*")
    )


def _any(_body: dict[str, Any], _region: str, _account: str) -> str:
    return "*"


def _routing_control(body: dict[str, Any], _region: str, _account: str) -> str:
    # Of several, each is asked for where they are set.
    first = next(iter(body.get("UpdateRoutingControlStateEntries") or [body]))
    return first.get("RoutingControlArn") or "*"


def _first_parameter(body: dict[str, Any], region: str, account: str) -> str:
    # Of several, each is asked for where they are deleted.
    name = str(next(iter(body.get("Names") or []), "*"))
    return f"arn:aws:ssm:{region}:{account}:parameter/{name.lstrip('/')}"


_RESOURCES = {
    ("route53-recovery-cluster", "GetRoutingControlState"): _routing_control,
    ("route53-recovery-cluster", "UpdateRoutingControlState"): _routing_control,
    ("route53-recovery-cluster", "UpdateRoutingControlStates"): _routing_control,
    ("ssm", "CreateOpsItem"): _any,
    ("ssm", "DescribeInstanceInformation"): _any,
    ("ssm", "DescribeOpsItems"): _any,
    ("ssm", "GetAutomationExecution"): _execution,
    ("ssm", "GetCommandInvocation"): _any,
    ("ssm", "ListCommands"): _any,
    ("ssm", "SendCommand"): _command_document,
    ("ssm", "GetOpsItem"): _ops_item,
    ("ssm", "UpdateOpsItem"): _ops_item,
    ("ssm", "DeleteOpsItem"): _ops_item,
    ("ssm", "GetParameters"): _parameter,
    ("ssm", "PutParameter"): _parameter,
    ("ssm", "DeleteParameters"): _first_parameter,
    ("ssm", "StartAutomationExecution"): _runbook,
}


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
