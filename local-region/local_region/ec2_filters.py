"""EC2's filters: which of them a Describe action knows, how many values a call may have, and what they match."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ministack.services import ec2

from local_region.api_error import ApiError

# Reads one filter's value, or its values, off a record. Several values: one match suffices.
Reader = Callable[[dict[str, Any]], Any]
TAG_FILTERS = ("tag:", "tag-key", "tag-value")
# All values of all filters of one call together, and the characters of one value.
MOST_VALUES = 200
LONGEST_VALUE = 255


def filters_of(params: dict[str, Any], known: Collection[str]) -> dict[str, list[str]]:
    """A request's filters. One that EC2 does not know is refused: silently ignored, it would match everything."""
    filters = ec2._parse_filters(params)
    for name in filters:
        if name not in known and not name.startswith(TAG_FILTERS):
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    values = [value for each in filters.values() for value in each]
    if len(values) > MOST_VALUES:
        raise ApiError(
            "FilterLimitExceeded", f"The maximum number of filter values specified on a single call is {MOST_VALUES}"
        )
    if any(len(value) > LONGEST_VALUE for value in values):
        raise ApiError("FilterLimitExceeded", f"The maximum length for a filter value is {LONGEST_VALUE} characters")
    return filters


def fulfils(
    resource_id: str, record: dict[str, Any], filters: dict[str, list[str]], readers: Mapping[str, Reader]
) -> bool:
    """Whether a resource has a wanted value for each of the filters, those on tags included."""
    return ec2._resource_matches_tag_filters(resource_id, filters) and all(
        matches(readers[name](record), wanted) for name, wanted in filters.items() if name in readers
    )


def matches(actual: Any, wanted: list[str]) -> bool:
    """Whether a value, or one of several, is one of those wanted, which may hold the wildcards * and ?."""
    values = actual if isinstance(actual, list) else [actual]
    return any(ec2._glob_match(pattern, value) for value in values for pattern in wanted)
