"""AWS Backup's settings of a Region: which types it backs up by itself, and which it manages fully."""

from typing import Any

from ministack.core.responses import AccountRegionScopedDict

from local_region.callers import Caller
from local_region.operations import add_rest_operations

MEMBERS = ("ResourceTypeManagementPreference", "ResourceTypeOptInPreference")


class RegionSettings:
    """The preferences by type of resource."""

    def __init__(self) -> None:
        self._preferences = AccountRegionScopedDict()
        add_rest_operations("backup", {"DescribeRegionSettings": self._describe, "UpdateRegionSettings": self._update})

    def manages_fully(self, resource_type: str) -> bool:
        """Whether recovery points of a type are AWS Backup's own: of DynamoDB, its advanced features."""
        return bool(self._of("ResourceTypeManagementPreference").get(resource_type))

    def _of(self, member: str) -> dict[str, bool]:
        return self._preferences.get(member) or {}

    def _describe(self, _params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return {member: self._of(member) for member in MEMBERS}

    def _update(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        for member in MEMBERS:
            self._preferences[member] = self._of(member) | (params.get(member) or {})
        return {}
