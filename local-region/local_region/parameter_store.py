"""SSM parameters: found by tag as well, deleted ten at a time, each only by who may delete it."""

import json
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ssm

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import add_json_operations
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
