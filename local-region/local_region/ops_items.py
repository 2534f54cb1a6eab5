"""SSM OpsCenter: OpsItems, their deduplication and how they are found."""

import datetime
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.event_bus import EventBus
from local_region.journal import Journal
from local_region.operations import add_json_operations
from local_region.pages import page, with_next_token

# What a source may not say, and how a key of operational data may not begin.
RESERVED_SOURCES = ("amazon", "amzn", "aws")
RESERVED_KEY_PREFIXES = ("/amazon", "/amzn", "/aws", "amazon", "amzn", "aws", "ssm")
# The keys under a reserved prefix that customers are meant to use.
CUSTOMER_KEYS = ("/aws/automations", "/aws/dedup", "/aws/resources")
DATA_VALUE_LIMIT = 20 * 1024
# Only these block a new OpsItem with the same deduplication string.
ACTIVE = ("InProgress", "Open")
# OpsItems that an account may create in a month.
QUOTA = 10_000
UPDATABLE = ("Category", "Description", "Notifications", "Priority", "RelatedOpsItems", "Severity", "Status", "Title")


class OpsItems:
    """The OpsItems of an account and Region, by id."""

    def __init__(self, journal: Journal, events: EventBus) -> None:
        self._journal = journal
        self._events = events
        self._items = AccountRegionScopedDict()
        # What an item was told duplicates by when it was created: later changes do not count.
        self._identities = AccountRegionScopedDict()
        # How many more OpsItems may be created; any number, when None.
        self.left: int | None = None
        add_json_operations(
            "ssm",
            {
                "CreateOpsItem": self._create,
                "DeleteOpsItem": self._delete,
                "DescribeOpsItems": self._describe,
                "GetOpsItem": self._get,
                "UpdateOpsItem": self._update,
            },
        )

    def _create(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        _check_source(params["Source"])
        _check_data(params.get("OperationalData") or {})
        twin = self._active_twin(params.get("OperationalData") or {})
        if twin:
            raise ApiError("OpsItemAlreadyExistsException", "OpsItem already exists", OpsItemId=twin)
        if self.left == 0:
            raise ApiError(
                "OpsItemLimitExceededException",
                "The request caused OpsItems to exceed one or more quotas",
                ResourceTypes=["OpsItem"],
                Limit=QUOTA,
                LimitType="OpsItemsPerMonth",
            )
        if params.get("Tags"):
            caller.require("ssm:AddTagsToResource", f"arn:aws:ssm:{get_region()}:{get_account_id()}:opsitem/*")
        item_id = f"oi-{uuid.uuid4().hex[:12]}"
        now = time.time()
        arn = f"arn:aws:ssm:{get_region()}:{get_account_id()}:opsitem/{item_id}"
        by = _principal(caller)
        given = {
            name: params[name] for name in (*UPDATABLE, "OperationalData", "Source") if params.get(name) is not None
        }
        self._items[item_id] = {
            "OpsItemType": "/aws/issue",
            "Status": "Open",
            **given,
            "OpsItemId": item_id,
            "OpsItemArn": arn,
            "Version": "1",
            "CreatedBy": by,
            "CreatedTime": now,
            "LastModifiedBy": by,
            "LastModifiedTime": now,
        }
        self._identities[item_id] = _identity(params.get("OperationalData") or {})
        if self.left is not None:
            self.left -= 1
        self._announce("created", "OpsItem Create", self._items[item_id])
        return {"OpsItemId": item_id, "OpsItemArn": arn}

    def _get(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return {"OpsItem": self._existing(params["OpsItemId"])}

    def _update(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        item = self._existing(params["OpsItemId"])
        data = item.get("OperationalData") or {}
        changes = params.get("OperationalData") or {}
        _check_data(changes)
        if "/aws/dedup" in changes and changes["/aws/dedup"] != data.get("/aws/dedup"):
            raise ApiError(
                "OpsItemInvalidParameterException",
                "The deduplication string of an OpsItem can't be changed",
                ParameterNames=["OperationalData"],
            )
        # Given keys are added or replaced; keys left out stay.
        data = {**data, **changes}
        for key in params.get("OperationalDataToDelete") or []:
            data.pop(key, None)
        item.update({name: params[name] for name in UPDATABLE if params.get(name) is not None})
        item.update(
            LastModifiedBy=_principal(caller),
            LastModifiedTime=time.time(),
            Version=str(int(item["Version"]) + 1),
            OperationalData=data,
        )
        self._announce("updated", "OpsItem Update", item)
        return {}

    def _delete(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        # Deleting what is not there succeeds.
        self._items.pop(params["OpsItemId"], None)
        return {}

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        filters = params.get("OpsItemFilters") or []
        for each in filters:
            _check_filter(each)
        found = [item for item in self._items.values() if all(_matches(item, each) for each in filters)]
        newest_first = sorted(found, key=lambda item: -item["CreatedTime"])
        shown, token = page(newest_first, params.get("MaxResults", 50), params.get("NextToken"), "ValidationException")
        return with_next_token({"OpsItemSummaries": shown}, token)

    def _existing(self, item_id: str) -> dict[str, Any]:
        item = self._items.get(item_id)
        if item is None:
            raise ApiError("OpsItemNotFoundException", f"OpsItem ID {item_id} not found")
        return item

    def _active_twin(self, data: dict[str, Any]) -> str | None:
        """The active OpsItem that this operational data would duplicate, if there is one."""
        identity = _identity(data)
        if identity is None:
            return None
        for item_id, item in self._items.items():
            if item["Status"] in ACTIVE and self._identities[item_id] == identity:
                return item_id
        return None

    def _announce(self, change: str, detail_type: str, item: dict[str, Any]) -> None:
        self._journal.record(
            "ops-item",
            change=change,
            opsItemId=item["OpsItemId"],
            status=item["Status"],
            title=item["Title"],
            source=item["Source"],
            severity=item.get("Severity"),
        )
        self._events.publish(
            "aws.ssm",
            detail_type,
            {
                "ops-item-id": item["OpsItemId"],
                "status": item["Status"],
                "source": item["Source"],
                "title": item["Title"],
                "severity": item.get("Severity", ""),
                "category": item.get("Category", ""),
            },
            [item["OpsItemArn"]],
        )


def _identity(data: dict[str, Any]) -> tuple[str, str] | None:
    """What identifies a duplicate for OpsCenter: the deduplication string, ignoring case, and the resources."""
    if "/aws/dedup" not in data:
        return None
    return json.loads(data["/aws/dedup"]["Value"])["dedupString"].casefold(), data.get("/aws/resources", {}).get(
        "Value", ""
    )


def _check_source(source: str) -> None:
    if any(word in source.lower() for word in RESERVED_SOURCES):
        raise ApiError(
            "OpsItemInvalidParameterException",
            f"Source can't contain the reserved words {', '.join(RESERVED_SOURCES)}",
            ParameterNames=["Source"],
        )


def _check_data(data: dict[str, Any]) -> None:
    for key, value in data.items():
        if key.lower().startswith(RESERVED_KEY_PREFIXES) and key not in CUSTOMER_KEYS:
            raise _invalid_data(f"Operational data key {key} begins with a reserved prefix")
        if len(value.get("Value", "").encode()) > DATA_VALUE_LIMIT:
            raise _invalid_data(f"The value of operational data key {key} is larger than {DATA_VALUE_LIMIT} bytes")
        if key == "/aws/dedup" and not _is_dedup(value):
            raise _invalid_data('The value of /aws/dedup must be {"dedupString": "..."}, of type SearchableString')


def _is_dedup(value: dict[str, Any]) -> bool:
    try:
        return value["Type"] == "SearchableString" and isinstance(json.loads(value["Value"])["dedupString"], str)
    except (KeyError, TypeError, ValueError):
        return False


def _invalid_data(message: str) -> ApiError:
    return ApiError("OpsItemInvalidParameterException", message, ParameterNames=["OperationalData"])


def _principal(caller: Caller) -> str:
    return f"arn:aws:sts::{get_account_id()}:assumed-role/{caller.name}"


# A filter's key -> what of an OpsItem it looks at, and the operators it allows.
FILTERS: dict[str, tuple[Callable[[dict[str, Any]], list[str]], tuple[str, ...]]] = {
    "AutomationId": (lambda item: _values_under(item, "/aws/automations", "automationId"), ("Equal",)),
    "Category": (lambda item: [item.get("Category", "")], ("Equal",)),
    "CreatedBy": (lambda item: [item["CreatedBy"]], ("Contains", "Equal")),
    "CreatedTime": (lambda item: [item["CreatedTime"]], ("GreaterThan", "LessThan")),
    "LastModifiedTime": (lambda item: [item["LastModifiedTime"]], ("GreaterThan", "LessThan")),
    "OperationalData": (lambda item: _searchable_pairs(item), ("Equal",)),
    "OperationalDataKey": (lambda item: list(item.get("OperationalData") or {}), ("Equal",)),
    "OperationalDataValue": (lambda item: [value for _, value in _searchable(item)], ("Contains", "Equal")),
    "OpsItemId": (lambda item: [item["OpsItemId"]], ("Equal",)),
    "OpsItemType": (lambda item: [item["OpsItemType"]], ("Equal",)),
    "Priority": (lambda item: [str(item.get("Priority", ""))], ("Equal",)),
    "ResourceId": (lambda item: _values_under(item, "/aws/resources", "arn"), ("Contains", "Equal")),
    "Severity": (lambda item: [item.get("Severity", "")], ("Equal",)),
    "Source": (lambda item: [item["Source"]], ("Contains", "Equal")),
    "Status": (lambda item: [item["Status"]], ("Equal",)),
    "Title": (lambda item: [item["Title"]], ("Contains", "Equal")),
}


def _check_filter(each: dict[str, Any]) -> None:
    if each["Key"] not in FILTERS:
        raise ApiError("ValidationException", f"The local Region does not imitate the OpsItem filter {each['Key']}")
    if each["Operator"] not in FILTERS[each["Key"]][1]:
        raise ApiError("ValidationException", f"Filter {each['Key']} does not support operator {each['Operator']}")


def _matches(item: dict[str, Any], each: dict[str, Any]) -> bool:
    actual = FILTERS[each["Key"]][0](item)
    if each["Operator"] == "GreaterThan":
        return any(value > _moment(wanted) for value in actual for wanted in each["Values"])
    if each["Operator"] == "LessThan":
        return any(value < _moment(wanted) for value in actual for wanted in each["Values"])
    if each["Key"] == "OperationalData":
        return any(pair == json.loads(wanted) for pair in actual for wanted in each["Values"])
    if each["Operator"] == "Contains":
        return any(wanted in value for value in actual for wanted in each["Values"])
    return any(value == wanted for value in actual for wanted in each["Values"])


def _searchable(item: dict[str, Any]) -> list[tuple[str, str]]:
    """The operational data that can be searched by value; data of type String cannot."""
    data = item.get("OperationalData") or {}
    return [(key, value.get("Value", "")) for key, value in data.items() if value.get("Type") == "SearchableString"]


def _searchable_pairs(item: dict[str, Any]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in _searchable(item)]


def _values_under(item: dict[str, Any], key: str, name: str) -> list[str]:
    """The members `name` of the JSON list kept under a well-known key of operational data."""
    try:
        return [each[name] for each in json.loads((item.get("OperationalData") or {})[key]["Value"])]
    except (KeyError, TypeError, ValueError):
        return []


def _moment(text: str) -> float:
    try:
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise ApiError("ValidationException", f"{text} is not a time in ISO 8601") from error
