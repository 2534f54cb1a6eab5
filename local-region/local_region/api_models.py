"""The AWS API models that botocore ships: how operations are called, and what their inputs must look like."""

import functools
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape

from local_region.api_error import ApiError

# ministack's name of a service -> the model's, where they differ.
MODEL_NAMES = {
    "elasticfilesystem": "efs",
    "elasticloadbalancing": "elbv2",
    "kafka": "kafka",
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
}


@functools.cache
def service_model(service: str) -> ServiceModel | None:
    """The model of a service by ministack's name for it, None when botocore has none."""
    name = MODEL_NAMES.get(service, service)
    loader = botocore.session.get_session().get_component("data_loader")
    if name not in loader.list_available_services("service-2"):
        return None
    return ServiceModel(loader.load_service_model(name, "service-2"), service_name=name)


def rest_operation(service: str, method: str, path: str) -> tuple[OperationModel, dict[str, str]] | None:
    """The operation a REST request means, and the members its path carries; None when no operation fits."""
    for verb, pattern, operation in _routes(service):
        found = verb == method and pattern.fullmatch(unquote(path).rstrip("/") or "/")
        if found:
            return operation, found.groupdict()
    return None


@functools.cache
def _routes(service: str) -> list[tuple[str, re.Pattern[str], OperationModel]]:
    model = service_model(service)
    if model is None or not model.protocol.startswith("rest"):
        return []
    operations = [model.operation_model(name) for name in model.operation_names]
    routes = [(op.http["method"], _path_pattern(op), op) for op in operations]
    # A path of more fixed characters is the more specific one: `/jobs/{id}/metadata` before `/jobs/{id}`.
    return sorted(routes, key=lambda route: -len(re.sub(r"\{.*?\}", "", route[2].http["requestUri"])))


def _path_pattern(operation: OperationModel) -> re.Pattern[str]:
    path = operation.http["requestUri"].split("?")[0].rstrip("/") or "/"
    labels = {
        shape.serialization.get("name", member): member
        for member, shape in (operation.input_shape.members if operation.input_shape else {}).items()
        if shape.serialization.get("location") == "uri"
    }
    parts = re.split(r"\{([^}]+)\}", path)
    # Values may hold slashes (ARNs): the path is matched decoded.
    return re.compile(
        "".join(f"(?P<{labels[part.rstrip('+')]}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    )


def rest_input(
    operation: OperationModel, path: dict[str, str], query: dict[str, Any], body: dict[str, Any]
) -> dict[str, Any]:
    """The input of a REST operation, put together from the request's path, query and JSON body."""
    params: dict[str, Any] = {}
    for member, shape in (operation.input_shape.members if operation.input_shape else {}).items():
        location = shape.serialization.get("location")
        name = shape.serialization.get("name", member)
        if location == "uri":
            params[member] = path[member]
        elif location == "querystring" and name in query:
            values = query[name] if isinstance(query[name], list) else [query[name]]
            params[member] = values if shape.type_name == "list" else _from_query(shape, values[0])
        elif location is None and name in body:
            params[member] = body[name]
    return params


def _from_query(shape: Shape, text: str) -> Any:
    if shape.type_name not in ("integer", "long"):
        return text
    try:
        return int(text)
    except ValueError as error:
        raise ApiError("SerializationException", f"{text!r} is not a number") from error


def fitted(shape: Shape | None, value: Any) -> Any:
    """`value` without the members that `shape` lacks: what an operation keeps may be more than what it answers."""
    if shape is None:
        return {}
    if shape.type_name == "structure":
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        return {
            name: fitted(members[name], item) for name, item in value.items() if name in members and item is not None
        }
    if shape.type_name == "list":
        return [fitted(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: fitted(shape.value, item) for key, item in value.items()}
    return value


def input_faults(operation: OperationModel, params: dict[str, Any]) -> list[str]:
    """What is wrong with `params` by the model's constraints, each in the wording AWS uses in a ValidationException."""
    return list(_faults(operation.input_shape, params, "")) if operation.input_shape else []


def _faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        yield from _structure_faults(shape, value, path)
    elif shape.type_name == "list":
        yield from _size_faults(shape, len(value), value, path, "length")
        for i, item in enumerate(value):
            yield from _faults(shape.member, item, f"{path}.{i + 1}.member")
    elif shape.type_name == "map":
        yield from _size_faults(shape, len(value), value, path, "length")
        for key, item in value.items():
            yield from _faults(shape.key, key, f"{path}.key")
            yield from _faults(shape.value, item, f"{path}.{key}.member")
    elif shape.type_name == "string":
        yield from _size_faults(shape, len(value), value, path, "length")
        yield from _string_faults(shape, value, path)
    elif shape.type_name in ("integer", "long"):
        yield from _size_faults(shape, value, value, path, "value")


def _structure_faults(shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Value null at '{_dotted(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _faults(member, value[name], _dotted(path, name))


def _size_faults(shape: Shape, size: int, value: Any, path: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _unmet(value, path, f"Member must have {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield _unmet(value, path, f"Member must have {what} less than or equal to {most}")


def _string_faults(shape: Shape, value: str, path: str) -> Iterator[str]:
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        yield _unmet(value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield _unmet(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _unmet(value: Any, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        # The models' patterns are Java's. One that Python cannot read constrains nothing here.
        return True


def _dotted(path: str, name: str) -> str:
    # AWS spells members in these messages with a small first letter.
    name = name[0].lower() + name[1:]
    return f"{path}.{name}" if path else name
