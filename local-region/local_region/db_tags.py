"""Tags of RDS's resources, by ARN. Ministack keeps them, and those of the groups that stacks make."""

from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import rds, tagging

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.query_operations import add_query_operations, fault

# Tags of AWS's own begin so, and do not count.
RESERVED = "aws:"
MOST_TAGS = 50
# Of a kind of resource, as its ARN says, the error of one that does not exist.
NOT_FOUND = {
    "db": "DBInstanceNotFoundFault",
    "cluster": "DBClusterNotFoundFault",
    "snapshot": "DBSnapshotNotFoundFault",
    "cluster-snapshot": "DBClusterSnapshotNotFoundFault",
}


class DbTags:
    """The tags of databases and snapshots."""

    def __init__(self) -> None:
        self._exists: list[Callable[[str], bool]] = []
        tagging._COLLECTORS["rds"] = self._collect
        add_query_operations(
            "rds",
            {
                "AddTagsToResource": self._add,
                "ListTagsForResource": self._list,
                "RemoveTagsFromResource": self._remove,
            },
        )

    def know(self, exists: Callable[[str], bool]) -> None:
        """Ask `exists`, too, whether there is a resource of an ARN."""
        self._exists.append(exists)

    def _add(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        arn, added = self._checked(params["ResourceName"]), as_map(params["Tags"])
        check_tags(tags_of(arn) | added)
        check_not_reserved(added)
        set_tags(arn, tags_of(arn) | added)
        return {}

    def _list(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return {"TagList": as_list(tags_of(self._checked(params["ResourceName"])))}

    def _remove(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        arn = self._checked(params["ResourceName"])
        check_not_reserved(dict.fromkeys(params["TagKeys"], ""))
        set_tags(arn, {key: value for key, value in tags_of(arn).items() if key not in params["TagKeys"]})
        return {}

    def _checked(self, arn: str) -> str:
        """The ARN of an existing resource of this Region, or the refusal."""
        parts = arn.split(":", 6)
        if len(parts) < 7 or parts[:5] != ["arn", "aws", "rds", get_region(), get_account_id()]:
            raise ApiError("InvalidParameterValue", f"Invalid resource name: {arn}")
        if not self._is_there(arn):
            if parts[5] in NOT_FOUND:
                raise fault("rds", NOT_FOUND[parts[5]], f"{arn} not found.")
            raise ApiError(
                "InvalidParameterValue", f"The specified resource name does not match an RDS resource: {arn}"
            )
        return arn

    def _is_there(self, arn: str) -> bool:
        kind, name = arn.split(":", 6)[5:]
        groups = {
            "subgrp": rds._subnet_groups,
            "pg": rds._param_groups,
            "cluster-pg": rds._db_cluster_param_groups,
            "og": rds._option_groups,
        }
        return name in groups[kind] if kind in groups else any(exists(arn) for exists in self._exists)

    def _collect(self) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """The resources of this Region that have tags, as GetResources of the tagging API lists them."""
        for arn, tags in rds._tags.items():
            if tags and arn.split(":")[3] == get_region() and self._is_there(arn):
                yield arn, tags


def tags_of(arn: str) -> dict[str, str]:
    """The tags of a resource."""
    return as_map(rds._tags.get(arn) or [])


def set_tags(arn: str, tags: dict[str, str]) -> None:
    """Let a resource have these tags and no others."""
    rds._tags[arn] = as_list(tags)


def forget_tags(arn: str) -> None:
    """Let a resource that is gone have no tags."""
    rds._tags.pop(arn, None)


def check_tags(tags: dict[str, str]) -> None:
    """Refuse more tags than a resource may have."""
    if sum(not key.startswith(RESERVED) for key in tags) > MOST_TAGS:
        raise ApiError("InvalidParameterValue", f"The number of tags exceeds the limit of {MOST_TAGS}.")


def check_not_reserved(tags: dict[str, str]) -> None:
    """Refuse tags that only AWS may set."""
    for key in tags:
        if key.lower().startswith(RESERVED):
            raise ApiError("InvalidParameterValue", f"The tag key {key} is reserved: it begins with aws:")


def as_map(tags: list[dict[str, str]]) -> dict[str, str]:
    """Tags as a map."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags}


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as RDS lists them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
