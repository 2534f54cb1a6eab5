"""Every API call to the Region, into the journal."""

import json
import re
import time
from typing import Any

from ministack import app
from ministack.core.router import detect_service

from local_region import api_models
from local_region.callers import Caller
from local_region.journal import Journal


def record_calls(journal: Journal) -> None:
    """Journal each call that reaches the Region: by whom, of what, answered how, how fast."""
    dispatch = app._dispatch_service_request

    async def recorded(method: str, path: str, headers: dict, body: bytes, query: dict, request_id: str) -> Any:
        started = time.perf_counter()
        status, answer_headers, answer = await dispatch(method, path, headers, body, query, request_id)
        params = app._routing_params(method, path, headers, body, query)
        service = detect_service(method, path, headers, params)
        journal.record(
            "call",
            service=service,
            operation=operation_name(service, method, path, headers, params),
            caller=Caller.of(headers).name,
            status=status,
            errorCode=error_code(answer_headers, answer) if status >= 400 else None,
            durationMs=round((time.perf_counter() - started) * 1000, 2),
        )
        return status, answer_headers, answer

    app._dispatch_service_request = recorded


def operation_name(service: str, method: str, path: str, headers: dict[str, str], params: dict[str, Any]) -> str:
    """The name of the operation a request means, in any of AWS's protocols."""
    if "." in headers.get("x-amz-target", ""):
        return headers["x-amz-target"].rpartition(".")[2]
    if "Action" in params:
        return params["Action"][0] if isinstance(params["Action"], list) else params["Action"]
    # RPC with CBOR: /service/<name>/operation/<operation>.
    rpc = re.fullmatch(r"/service/[^/]+/operation/([^/]+)", path)
    if rpc:
        return rpc.group(1)
    if service == "s3":
        return app._ct_event_name(service, method, path, headers, params)
    route = api_models.rest_operation(service, method, path)
    return route[0].name if route else f"{method} {path}"


def error_code(headers: dict[str, str], answer: Any) -> str | None:
    """The error code in an answer, in any of AWS's protocols; None when it names none."""
    named = {name.lower(): value for name, value in headers.items()}.get("x-amzn-errortype")
    if named:
        return named.split(":")[0]
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    xml = re.search(r"<Code>([^<]+)</Code>", text)
    if xml:
        return xml.group(1)
    try:
        return json.loads(text)["__type"].rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        return None
