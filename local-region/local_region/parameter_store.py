"""SSM parameters: created with tags only by who may set them, found by tag, deleted ten at a time by who may."""

import json
from typing import Any

from ministack import app
from ministack.core.responses import get_account_id, get_region
from ministack.services import ssm

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import Answer, add_json_operations
from local_region.pages import page, with_next_token

LARGEST_PAGE, MOST_DELETED = 50, 10
TAG = "tag:"
# The filters that need no tag. Ministack applies them.
KEYS = ("DataType", "KeyId", "Label", "Name", "Path", "Tier", "Type")


def add_parameter_operations() -> None:
    """Serve the operations that ministack serves to everybody, or without a filter by tag."""
    add_json_operations("ssm", {"DeleteParameters": _delete, "DescribeParameters": _describe})


def _describe(params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
    size = params.get("MaxResults", LARGEST_PAGE)
    if size > LARGEST_PAGE:
        raise ApiError("ValidationException", f"MaxResults must be at most {LARGEST_PAGE}")
    found = list(ssm._parameters.values())
    for wanted in params.get("ParameterFilters") or []:
        key, values = wanted["Key"], wanted.get("Values") or []
        if key.startswith(TAG):
            found = [each for each in found if _has_tag(each, key.removeprefix(TAG), values)]
        elif key in KEYS:
            option = wanted.get("Option", "Equals")
            found = [each for each in found if ssm._apply_filter(each, key, option, values)]
        else:
            raise ApiError("ValidationException", f"The following filter key is not valid: {key}")
    found.sort(key=lambda each: each["Name"])
    shown, token = page(found, size, params.get("NextToken"))
    # Members that have no value are left out.
    described = [{name: value for name, value in each.items() if value} for each in shown]
    return with_next_token({"Parameters": described}, token)


def _has_tag(parameter: dict[str, Any], key: str, values: list[str]) -> bool:
    tags = ssm._tags.get(ssm._parameter_tag_arn("Parameter", parameter["Name"])) or {}
    return key in tags and (not values or tags[key] in values)


def _delete(params: dict[str, Any], caller: Caller) -> dict[str, Any]:
    names = params["Names"]
    if len(names) > MOST_DELETED:
        raise ApiError("ValidationException", f"Names must have at most {MOST_DELETED} members")
    for name in names:
        caller.require("ssm:DeleteParameters", _arn(name))
    return json.loads(ssm._delete_parameters({"Names": names})[2])


def _arn(name: str) -> str:
    return f"arn:aws:ssm:{get_region()}:{get_account_id()}:parameter/{name.lstrip('/')}"


def check_tags_of_new_parameters() -> None:
    """Refuse a parameter with tags to callers who may not set them."""
    serve_by_ministack = app.SERVICE_HANDLERS["ssm"]

    async def serve(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        if headers.get("x-amz-target", "").endswith(".PutParameter"):
            try:
                _check_tags(json.loads(body or b"{}"), Caller.of(headers))
            except ApiError as error:
                content = {"__type": error.code, "message": error.message}
                return error.status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(content).encode()
        return await serve_by_ministack(method, path, headers, body, query)

    app.SERVICE_HANDLERS["ssm"] = serve


def _check_tags(given: dict, caller: Caller) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in given.get("Tags") or []}
    if not tags:
        return
    context = {f"aws:RequestTag/{key}": value for key, value in tags.items()} | {"aws:TagKeys": list(tags)}
    caller.require("ssm:AddTagsToResource", _arn(given["Name"]), **context)
