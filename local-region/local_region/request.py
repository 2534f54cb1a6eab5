"""An API call as it reached the Region: of which service, which operation."""

import re
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core.router import detect_service

from local_region import api_models


@dataclass(frozen=True)
class Request:
    """One call of an AWS API."""

    id: str
    service: str
    """Ministack's name of the service."""
    operation: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    params: dict[str, Any]
    """The parameters of a protocol that has them in the query or the form."""

    @classmethod
    def of(
        cls, request_id: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> "Request":
        """The call that an HTTP request means."""
        params = app._routing_params(method, path, headers, body, query)
        service = detect_service(method, path, headers, params)
        operation = operation_name(service, method, path, headers, params)
        return cls(request_id, service, operation, method, path, headers, body, params)


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
