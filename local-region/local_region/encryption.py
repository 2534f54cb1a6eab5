"""Keys of topics and queues: who sends to an encrypted one must be allowed to use its key."""

import json
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core.responses import get_region
from ministack.services import ec2, kms, sns, sqs

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import Answer
from local_region.service_principals import service_may

# What sending takes: SNS and SQS make a data key, and read it back to use it again.
KEY_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")


def require_keys() -> None:
    """Refuse messages to encrypted topics and queues from callers who may not use the key, as AWS does."""
    _check_before("sns", _published_to, lambda error: sns._error("KMSAccessDenied", error.message, 400))
    _check_before("sqs", _sent_to, _sqs_error)


def service_may_send(arn: str, service: str) -> bool:
    """Whether the key of a topic or queue, if it has one, lets an AWS service send there.

    The key's own policy decides, and only it: a service has no policies of its own. AWS does not document
    whether KMS gets the ARN of the rule; here it does not.
    """
    key_id = _key_id(arn)
    if not key_id:
        return True
    key = kms._resolve_key(key_id)
    # Keys that AWS manages admit principals of the account only.
    return bool(key) and all(
        service_may(service, action, key["Arn"], key.get("Policy"), _context(arn)) for action in KEY_ACTIONS
    )


def _check_before(
    service: str,
    target: Callable[[str, bytes, dict], str | None],
    refused: Callable[[ApiError], Answer],
) -> None:
    ministack_handler = app.SERVICE_HANDLERS[service]

    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        arn = target(operation, body, app._routing_params(method, path, headers, body, query))
        key = kms._resolve_key(_key_id(arn)) if arn else None
        if key:
            try:
                for action in KEY_ACTIONS:
                    Caller.of(headers).require(action, key["Arn"], **_context(arn))
            except ApiError as error:
                return refused(error)
        return await ministack_handler(method, path, headers, body, query)

    app.SERVICE_HANDLERS[service] = handle


def _published_to(_operation: str, _body: bytes, params: dict[str, Any]) -> str | None:
    """The topic a request publishes to."""
    return ec2._p(params, "TopicArn") or None if ec2._p(params, "Action") in ("Publish", "PublishBatch") else None


def _sent_to(operation: str, body: bytes, _params: dict[str, Any]) -> str | None:
    """The queue a request sends to."""
    if operation not in ("SendMessage", "SendMessageBatch"):
        return None
    account, name = json.loads(body)["QueueUrl"].rstrip("/").split("/")[-2:]
    return f"arn:aws:sqs:{get_region()}:{account}:{name}"


def _sqs_error(error: ApiError) -> Answer:
    body = {"__type": "com.amazonaws.sqs#KmsAccessDenied", "message": error.message}
    headers = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-query-error": "KMS.AccessDeniedException;Sender"}
    return 400, headers, json.dumps(body).encode()


def _key_id(arn: str) -> str | None:
    """The key id, ARN or alias a topic or queue is encrypted with."""
    record = sqs._queue_by_arn(arn) if ":sqs:" in arn else sns._topic_by_arn_any_scope(arn)
    return (record or {}).get("attributes", {}).get("KmsMasterKeyId") or None


def _context(arn: str) -> dict[str, str]:
    """The context of the request for KMS: the service, and the encrypted resource."""
    service = arn.split(":")[2]
    encrypts_for = {"sqs": "aws:sqs:arn", "sns": "aws:sns:topicArn"}[service]
    return {"kms:ViaService": f"{service}.{get_region()}.amazonaws.com", f"kms:EncryptionContext:{encrypts_for}": arn}
