"""Errors as AWS services word them, each in the protocol of the request."""

import json
from typing import Any
from xml.sax.saxutils import escape

from ministack.core import iam_actions
from ministack.core.responses import get_account_id, get_region

from local_region import api_models
from local_region.callers import Caller
from local_region.operations import Answer
from local_region.request import Request

# How services answer a caller that is too fast: code, HTTP status, message. The others do as their protocol does.
THROTTLING = {
    "dynamodb": ("ThrottlingException", 400, "Rate of requests exceeds the allowed throughput."),
    "ec2": ("RequestLimitExceeded", 503, "Request limit exceeded."),
    "elasticfilesystem": ("ThrottlingException", 429, "Rate exceeded"),
    "lambda": ("TooManyRequestsException", 429, "Rate exceeded"),
    "s3": ("SlowDown", 503, "Please reduce your request rate."),
    "sqs": ("RequestThrottled", 400, "The request was denied due to request throttling."),
}
THROTTLING_BY_PROTOCOL = {"query": ("Throttling", 400, "Rate exceeded")}
OTHER_THROTTLING = ("ThrottlingException", 400, "Rate exceeded")

# How services say that they failed, by HTTP status.
SERVER_ERRORS = {
    500: {
        "dynamodb": "InternalServerError",
        "ec2": "InternalError",
        "elasticfilesystem": "InternalServerError",
        "events": "InternalException",
        "fsx": "InternalServerError",
        "kms": "KMSInternalException",
        "lambda": "ServiceException",
        "s3": "InternalError",
        "sns": "InternalError",
        "ssm": "InternalServerError",
    },
    503: {"ec2": "Unavailable", "lambda": "ServiceUnavailableException"},
}
OTHER_SERVER_ERROR = {500: "InternalFailure", 503: "ServiceUnavailable"}
SERVER_ERROR_MESSAGES = {
    500: "An internal error has occurred",
    503: "The service is unavailable. Please try again shortly.",
}


def throttled(request: Request) -> Answer:
    """The answer to a caller that makes too many requests."""
    by_protocol = THROTTLING_BY_PROTOCOL.get(_protocol(request), OTHER_THROTTLING)
    code, status, message = THROTTLING.get(request.service, by_protocol)
    return _answer(request, code, status, message)


def server_error(request: Request, status: int) -> Answer:
    """The answer of a service that fails: status 500 or 503."""
    code = SERVER_ERRORS[status].get(request.service, OTHER_SERVER_ERROR[status])
    return _answer(request, code, status, SERVER_ERROR_MESSAGES[status])


def refused(request: Request, code: str, message: str) -> Answer:
    """An answer with an error of the service: its code on the wire."""
    model = api_models.service_model(request.service)
    known = {
        # Without a code of its own, an error is called as its shape.
        shape.metadata.get("error", {}).get("code", shape.name): shape.metadata.get("error", {})
        for shape in (model.error_shapes if model else [])
    }
    return _answer(request, code, known.get(code, {}).get("httpStatusCode", 400), message)


def denied(request: Request) -> Answer:
    """The answer to a caller whose policies do not allow the call."""
    sent = (request.service, request.method, request.path, request.headers, request.body, request.params)
    action = iam_actions.extract_iam_action(*sent) or f"{request.service}:{request.operation}"
    status, headers, body = iam_actions.access_denied_response(
        request.service,
        action,
        Caller.of(request.headers).principal_arn,
        request.id,
        headers=request.headers,
        resource_arn=iam_actions.extract_resource_arn(*sent, get_region(), get_account_id()),
    )
    return status, headers | _request_id(request), body


def _protocol(request: Request) -> str:
    """What a request is written in, which is what its answer must be written in too."""
    if request.path.startswith("/service/"):
        return "cbor"
    if "x-amz-target" in request.headers:
        return "json"
    model = api_models.service_model(request.service)
    if "Action" in request.params and request.service != "ec2":
        return "query"
    return model.protocol if model else "rest-json"


def _answer(request: Request, code: str, status: int, message: str) -> Answer:
    protocol = _protocol(request)
    headers = _request_id(request)
    if protocol == "ec2":
        error = f"<Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
        return _xml(headers, status, f"<Response>{error}<RequestID>{request.id}</RequestID></Response>")
    if protocol == "query":
        at_fault = "Sender" if status < 500 else "Receiver"
        namespace = api_models.service_model(request.service).metadata.get("xmlNamespace", "")
        error = f"<Error><Type>{at_fault}</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        body = f'<ErrorResponse xmlns="{namespace}">{error}<RequestId>{request.id}</RequestId></ErrorResponse>'
        return _xml(headers, status, body)
    if protocol == "rest-xml":
        error = f"<Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request.id}</RequestId>"
        return _xml(headers, status, f"<Error>{error}</Error>")
    if protocol == "cbor":
        headers |= {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return status, headers, _cbor({"__type": code, "message": message})
    headers["x-amzn-errortype"] = code
    if protocol == "rest-json":
        headers["Content-Type"] = "application/json"
        # EFS has the code in the body, too.
        of_efs = request.service == "elasticfilesystem"
        body = {"ErrorCode": code, "Message": message} if of_efs else {"message": message}
        return status, headers, json.dumps(body).encode()
    headers["Content-Type"] = request.headers.get("content-type") or "application/x-amz-json-1.1"
    if request.service == "sqs":
        # Its clients read the code of its former protocol here.
        headers["x-amzn-query-error"] = f"{code};{'Sender' if status < 500 else 'Receiver'}"
    return status, headers, json.dumps({"__type": code, "message": message}).encode()


def _request_id(request: Request) -> dict[str, str]:
    return {"x-amz-request-id" if request.service == "s3" else "x-amzn-requestid": request.id}


def _xml(headers: dict[str, str], status: int, body: str) -> Answer:
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return status, headers | {"Content-Type": "text/xml;charset=UTF-8"}, (declaration + body).encode()


def _cbor(texts: dict[str, str]) -> bytes:
    """A small map of texts as CBOR (RFC 8949)."""
    items: list[Any] = [text for pair in texts.items() for text in pair]
    return bytes([0xA0 | len(texts)]) + b"".join(_cbor_text(item.encode()) for item in items)


def _cbor_text(text: bytes) -> bytes:
    size = len(text)
    head = (
        bytes([0x60 | size])
        if size < 24
        else b"\x78" + bytes([size])
        if size < 256
        else b"\x79" + size.to_bytes(2, "big")
    )
    return head + text
