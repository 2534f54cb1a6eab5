"""What IAM policies are evaluated against, where ministack differs from AWS."""

import contextvars
import json
import threading
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import ec2


def name_resources_as_aws() -> None:
    """Have IAM policies evaluated against the resources of AWS's Service Authorization Reference."""
    extract, further = iam_actions.extract_resource_arn, iam_actions.verified_access_resource_arns

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
        if service == "backup" and method == "PUT" and path.startswith("/restore-jobs"):
            return _json(body).get("RecoveryPointArn") or "*"
        # EC2's Describe actions know no resources: a policy must allow them on "*".
        if service == "ec2" and operation.startswith("Describe"):
            return "*"
        return extract(service, method, path, headers, body, params, region, account)

    def further_resource_arns(params: dict, region: str, account: str) -> list[str]:
        """EC2's second resource of a call; the first entry, authorized elsewhere, is a place-holder."""
        if ec2._p(params, "Action") in ("AttachVolume", "DetachVolume"):
            return ["", f"arn:aws:ec2:{region}:{account}:volume/{ec2._p(params, 'VolumeId')}"]
        return further(params, region, account)

    iam_actions.extract_resource_arn = resource_arn
    iam_actions.verified_access_resource_arns = further_resource_arns


def read_models_ahead() -> None:
    """Read the models that ministack evaluates calls with, in the background, so that no first call waits for them."""
    services = ("ec2", "ssm", "cloudformation", "sns", "sqs", "backup", "lambda")

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


def _any(_body: dict[str, Any], _region: str, _account: str) -> str:
    return "*"


_RESOURCES = {
    ("ssm", "CreateOpsItem"): _any,
    ("ssm", "DescribeOpsItems"): _any,
    ("ssm", "GetOpsItem"): _ops_item,
    ("ssm", "UpdateOpsItem"): _ops_item,
    ("ssm", "DeleteOpsItem"): _ops_item,
    ("ssm", "StartAutomationExecution"): _runbook,
}


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
