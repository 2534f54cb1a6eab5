"""Access points of EFS, and the tags of file systems and access points."""

import secrets
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import efs

from local_region.callers import Caller
from local_region.efs_file_systems import (
    SERVICE,
    EfsFileSystems,
    arn_of,
    bad_request,
    check_tags,
    fault,
    paged_by_token,
    require_tagging,
    tag_map,
)
from local_region.operations import add_rest_operations
from local_region.settings import Settings
from local_region.status_changes import StatusChanges


class EfsAccessPoints:
    """The Region's access points by id."""

    def __init__(self, settings: Settings, changes: StatusChanges, file_systems: EfsFileSystems) -> None:
        self._settings = settings
        self._changes = changes
        self._file_systems = file_systems
        add_rest_operations(
            SERVICE,
            {
                "CreateAccessPoint": self._create,
                "DeleteAccessPoint": self._delete,
                "DescribeAccessPoints": self._describe,
                "ListTagsForResource": self._list_tags,
                "TagResource": self._tag,
                "UntagResource": self._untag,
            },
        )

    def add(self, given: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
        """A new access point, which is being created, from the members of CreateAccessPoint."""
        owner, token = self._file_systems.available(given["FileSystemId"]), given["ClientToken"]
        for existing in efs._access_points.values():
            if existing["ClientToken"] == token:
                point_id = existing["AccessPointId"]
                raise fault(
                    "AccessPointAlreadyExists",
                    f"Access point '{point_id}' already exists with client token '{token}'",
                    AccessPointId=point_id,
                )
        point_id = f"fsap-{secrets.token_hex(9)[:17]}"
        record = {
            "AccessPointId": point_id,
            "AccessPointArn": arn_of("access-point", point_id),
            "ClientToken": token,
            "FileSystemId": owner["FileSystemId"],
            "OwnerId": get_account_id(),
            "PosixUser": given.get("PosixUser"),
            # Without CreationInfo, EFS does not make the directory: a mount fails if it is missing.
            "RootDirectory": {"Path": "/"} | (given.get("RootDirectory") or {}),
            "LifeCycleState": "",
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            "Name": tags.get("Name"),
        }
        efs._access_points[point_id] = record
        return record

    def complete(self, record: dict[str, Any]) -> None:
        """Let an access point be available."""
        self._changes.set(record, "available")

    def get(self, id_or_arn: str) -> dict[str, Any]:
        """An access point, whatever its state, or AccessPointNotFound."""
        record = efs._access_points.get(id_or_arn.rpartition("/")[2])
        if record is None or id_or_arn not in (record["AccessPointId"], record["AccessPointArn"]):
            raise fault("AccessPointNotFound", f"Access point '{id_or_arn}' does not exist.")
        return record

    def _create(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        tags = tag_map(params.get("Tags"))
        check_tags(tags)
        require_tagging(caller, "access-point", "CreateAccessPoint", tags)
        record = self.add(params, tags)
        steps = [("creating", self._settings.file_system_seconds)]
        self._changes.run(record, None, steps, lambda: None, "available")
        return record

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        point_id, fs_id = params.get("AccessPointId"), params.get("FileSystemId")
        if point_id and fs_id:
            raise bad_request("AccessPointId and FileSystemId are mutually exclusive")
        if point_id:
            return paged_by_token("AccessPoints", [self.get(point_id)], params)
        owner = self._file_systems.get(fs_id)["FileSystemId"] if fs_id else None
        found = [point for point in efs._access_points.values() if owner in (None, point["FileSystemId"])]
        return paged_by_token("AccessPoints", found, params)

    def _delete(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = self.get(params["AccessPointId"])
        if record["LifeCycleState"] != "deleting":
            steps = [("deleting", self._settings.file_system_change_seconds)]
            point_id = record["AccessPointId"]
            self._changes.run(record, None, steps, lambda: efs._access_points.pop(point_id, None), "deleted")
        return {}

    def _resource(self, resource_id: str) -> dict[str, Any]:
        is_point = resource_id.rpartition("/")[2].startswith("fsap-")
        return self.get(resource_id) if is_point else self._file_systems.get(resource_id)

    def _tag(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record, added = self._resource(params["ResourceId"]), tag_map(params["Tags"])
        check_tags(added)
        kept = tag_map(record["Tags"]) | added
        check_tags({key: value for key, value in kept.items() if not key.startswith("aws:")})
        _set_tags(record, kept)
        return {}

    def _untag(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record, keys = self._resource(params["ResourceId"]), params["TagKeys"]
        check_tags(dict.fromkeys(keys, ""))
        _set_tags(record, {key: value for key, value in tag_map(record["Tags"]).items() if key not in keys})
        return {}

    def _list_tags(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return paged_by_token("Tags", self._resource(params["ResourceId"])["Tags"], params)


def _set_tags(record: dict[str, Any], tags: dict[str, str]) -> None:
    record["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    record["Name"] = tags.get("Name")
