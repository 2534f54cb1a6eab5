"""Operations of a service that speaks AWS's query protocol: parameters in a form, answers in XML."""

import datetime
import uuid
from typing import Any
from xml.sax.saxutils import escape

from botocore.model import OperationModel, Shape
from ministack import app

from local_region import api_models
from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import Answer, Operation


def add_query_operations(service: str, operations: dict[str, Operation]) -> None:
    """Serve `operations` of a service that speaks the query protocol; all others stay with ministack."""
    ministack_handler = app.SERVICE_HANDLERS[service]
    models = {name: api_models.service_model(service).operation_model(name) for name in operations}

    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        params = _flat(app._routing_params(method, path, headers, body, query))
        model = models.get(params.get("Action", ""))
        if model is None:
            return await ministack_handler(method, path, headers, body, query)
        try:
            given = _input(model, params)
            return _answer(model, operations[model.name](given, Caller.of(headers)))
        except ApiError as error:
            return _refusal(model, error)

    app.SERVICE_HANDLERS[service] = handle


def fault(service: str, shape: str, message: str) -> ApiError:
    """A modelled error with the code and status of the wire, which may lack the `Fault` of the shape's name."""
    known = api_models.service_model(service).shape_for(shape).metadata["error"]
    return ApiError(known["code"], message, known["httpStatusCode"])


def _flat(params: dict[str, Any]) -> dict[str, str]:
    return {name: value[0] if isinstance(value, list) else value for name, value in params.items()}


def _input(model: OperationModel, params: dict[str, str]) -> dict[str, Any]:
    given = _read(model.input_shape, params, "") or {}
    missing = [name for name in model.input_shape.required_members if given.get(name) is None]
    if missing:
        raise ApiError("MissingParameter", f"The request must contain the parameter {missing[0]}.")
    faults = api_models.input_faults(model, given)
    if faults:
        plural = "errors" if len(faults) > 1 else "error"
        raise ApiError("ValidationError", f"{len(faults)} validation {plural} detected: {'; '.join(faults)}")
    return given


def _read(shape: Shape, params: dict[str, str], name: str) -> Any:
    """What the parameters at `name` and below say; None when they say nothing."""
    if shape.type_name == "structure":
        members = {
            member: _read(part, params, _below(name, part.serialization.get("name", member)))
            for member, part in shape.members.items()
        }
        return {member: value for member, value in members.items() if value is not None} or None
    if shape.type_name == "list":
        return _read_list(shape, params, name)
    text = params.get(name)
    if text is None:
        return None
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name in ("float", "double"):
            return float(text)
    except ValueError as error:
        raise ApiError("MalformedInput", f"{name}: {text!r} is not a number") from error
    return text == "true" if shape.type_name == "boolean" else text


def _read_list(shape: Shape, params: dict[str, str], name: str) -> list[Any] | None:
    item_name = shape.member.serialization.get("name", "member")
    for prefix in (f"{name}.{item_name}", f"{name}.member"):
        items = []
        while True:
            at = f"{prefix}.{len(items) + 1}"
            if not any(key == at or key.startswith(f"{at}.") for key in params):
                break
            items.append(_read(shape.member, params, at))
        if items:
            return items
    # A list without items is sent as its empty name.
    return [] if params.get(name) == "" else None


def _below(name: str, member: str) -> str:
    return f"{name}.{member}" if name else member


def _answer(model: OperationModel, output: dict[str, Any]) -> Answer:
    result = ""
    if model.output_shape is not None:
        wrapper = model.output_shape.serialization.get("resultWrapper", f"{model.name}Result")
        result = f"<{wrapper}>{_xml(model.output_shape, output)}</{wrapper}>"
    metadata = f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    namespace = model.service_model.metadata["xmlNamespace"]
    body = f'<{model.name}Response xmlns="{namespace}">{result}{metadata}</{model.name}Response>'
    return 200, {"Content-Type": "text/xml"}, body.encode()


def _refusal(model: OperationModel, error: ApiError) -> Answer:
    # What IAM refuses has another name in this protocol.
    code = "AccessDenied" if error.code == "AccessDeniedException" else error.code
    namespace = model.service_model.metadata["xmlNamespace"]
    body = (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(error.message)}</Message></Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return error.status, {"Content-Type": "text/xml"}, body.encode()


def _xml(shape: Shape, value: Any) -> str:
    """A value as the model writes it, without the members that the model lacks."""
    if shape.type_name == "structure":
        written = []
        for name, member in shape.members.items():
            if value.get(name) is not None:
                tag = member.serialization.get("name", name)
                written.append(f"<{tag}>{_xml(member, value[name])}</{tag}>")
        return "".join(written)
    if shape.type_name == "list":
        tag = shape.member.serialization.get("name", "member")
        return "".join(f"<{tag}>{_xml(shape.member, item)}</{tag}>" for item in value)
    if shape.type_name == "boolean":
        return str(bool(value)).lower()
    if shape.type_name == "timestamp":
        moment = datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return escape(str(value))
