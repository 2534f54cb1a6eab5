"""Lists of RDS: filters by exact values, and pages of 20 to 100."""

from collections.abc import Callable, Mapping
from typing import Any

from local_region.api_error import ApiError
from local_region.pages import page

SMALLEST_PAGE, LARGEST_PAGE = 20, 100
# From a record to what a filter compares.
Reader = Callable[[dict[str, Any]], str]


def filtered(
    records: list[dict[str, Any]], params: dict[str, Any], readers: Mapping[str, Reader]
) -> list[dict[str, Any]]:
    """The records that have a wanted value for each of the filters."""
    for wanted in params.get("Filters") or []:
        if wanted["Name"] not in readers:
            raise ApiError("InvalidParameterValue", f"Unrecognized filter name: {wanted['Name']}")
        read = readers[wanted["Name"]]
        # An ARN may stand for an identifier.
        values = {value.rpartition(":")[2] for value in wanted["Values"]}
        records = [record for record in records if read(record) in values]
    return records


def paged(name: str, records: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    """The answer of a Describe operation: a page, and the Marker of the next."""
    size = params.get("MaxRecords", LARGEST_PAGE)
    if not SMALLEST_PAGE <= size <= LARGEST_PAGE:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid value {size} for MaxRecords. Must be between {SMALLEST_PAGE} and {LARGEST_PAGE}",
        )
    shown, marker = page(records, size, params.get("Marker"), "InvalidParameterValue")
    return {name: shown} | ({"Marker": marker} if marker else {})
