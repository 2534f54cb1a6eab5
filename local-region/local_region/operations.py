"""Adds operations to a service of ministack, or puts better ones in their place."""

import json
from collections.abc import Callable
from typing import Any

from botocore.model import OperationModel
from ministack import app
from ministack.services import ec2

from local_region import api_models
from local_region.api_error import ApiError
from local_region.callers import Caller

# From an operation's input, and who called it, to its output; members the output's shape lacks are left out.
# Refuses by raising ApiError.
Operation = Callable[[dict[str, Any], Caller], dict[str, Any]]
Answer = tuple[int, dict[str, str], bytes]
# How services refuse an input that does not fit the model, where it is not with a ValidationException.
INVALID = {"fsx": "BadRequest"}
# AWS Backup has codes of its own: of members that are missing, and of values that do not fit.
MISSING_OF_BACKUP, INVALID_OF_BACKUP = "MissingParameterValueException", "InvalidParameterValueException"


def add_json_operations(service: str, operations: dict[str, Operation]) -> None:
    """Serve `operations` of a service that speaks AWS JSON; all others stay with ministack."""
    ministack_handler = app.SERVICE_HANDLERS[service]
    # Looked up now, not on the first call: a large model takes a tenth of a second to read.
    models = {name: api_models.service_model(service).operation_model(name) for name in operations}

    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        name = headers.get("x-amz-target", "").rpartition(".")[2]
        if name not in operations:
            return await ministack_handler(method, path, headers, body, query)
        model = models[name]
        content_type = f"application/x-amz-json-{model.service_model.metadata['jsonVersion']}"
        return _answer(operations[name], model, lambda: _checked(model, _json_object(body)), headers, content_type)

    app.SERVICE_HANDLERS[service] = handle


def add_rest_operations(service: str, operations: dict[str, Operation]) -> None:
    """Serve `operations` of a service that speaks REST with JSON; all others stay with ministack."""
    ministack_handler = app.SERVICE_HANDLERS[service]

    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        route = api_models.rest_operation(service, method, path)
        if route is None or route[0].name not in operations:
            return await ministack_handler(method, path, headers, body, query)
        model, labels = route
        return _answer(
            operations[model.name], model, lambda: _rest_input(model, labels, query, body), headers, "application/json"
        )

    app.SERVICE_HANDLERS[service] = handle


def add_ec2_actions(actions: dict[str, Callable[[dict[str, Any]], Answer]]) -> None:
    """Serve EC2 actions, each from the request's flat parameters to ministack's kind of answer."""
    for name, action in actions.items():
        ec2._ACTION_MAP[name] = _refusing_in_xml(action)


def _refusing_in_xml(action: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    def handle(params: dict[str, Any]) -> Answer:
        try:
            return action(params)
        except ApiError as error:
            return ec2._error(error.code, ec2._esc(error.message), error.status)

    return handle


def _answer(
    operation: Operation,
    model: OperationModel,
    read_input: Callable[[], dict[str, Any]],
    headers: dict,
    content_type: str,
) -> Answer:
    try:
        output = api_models.fitted(model.output_shape, operation(read_input(), Caller.of(headers)))
        status = model.http.get("responseCode", 200)
        return status, {"Content-Type": content_type}, b"" if status == 204 else json.dumps(output).encode()
    except ApiError as error:
        # `message` is what the models of these services call it, save in shapes that spell it `Message`. Some errors
        # have none.
        message = error.message or None
        body = {"__type": error.code, "message": message, "Message": message, **error.members}
        return error.status, {"Content-Type": content_type, "x-amzn-errortype": error.code}, json.dumps(body).encode()


def _rest_input(model: OperationModel, labels: dict[str, str], query: dict, body: bytes) -> dict[str, Any]:
    params = api_models.rest_input(model, labels, query, _json_object(body))
    if model.service_model.service_name != "backup":
        return _checked(model, params)
    missing = [name for name in model.input_shape.required_members if params.get(name) is None]
    if missing:
        raise ApiError(MISSING_OF_BACKUP, f"Missing required parameter: {', '.join(missing)}")
    faults = api_models.input_faults(model, params)
    if faults:
        raise ApiError(INVALID_OF_BACKUP, "; ".join(faults))
    return params


def _checked(model: OperationModel, params: dict[str, Any]) -> dict[str, Any]:
    faults = api_models.input_faults(model, params)
    if faults:
        plural = "errors" if len(faults) > 1 else "error"
        code = INVALID.get(model.service_model.service_name, "ValidationException")
        raise ApiError(code, f"{len(faults)} validation {plural} detected: {'; '.join(faults)}")
    return params


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        params = json.loads(body or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"The request body is not JSON: {error}") from error
    if not isinstance(params, dict):
        raise ApiError("SerializationException", "The request body is not a JSON object")
    return params
