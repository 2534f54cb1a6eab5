"""What EFS asks of its callers: the resource of a call, and its condition keys."""

import json
from typing import Any

from ministack.services import efs

from local_region import api_models
from local_region.efs_file_systems import SERVICE, arn_of, tag_map


def resource_of(method: str, path: str, query: dict[str, Any], body: bytes) -> str:
    """The file system or access point that a call is authorized on; all file systems where it names none."""
    named = _named(method, path, query, body)
    if named.get("ResourceId"):
        return _arn(named["ResourceId"])
    target = efs._mount_targets.get(named.get("MountTargetId"))
    if target:
        # A mount target is not a resource of policies: its file system is.
        return arn_of("file-system", target["FileSystemId"])
    return _arn(named.get("AccessPointId") or named.get("FileSystemId") or "*")


def condition_keys(operation: str, body: bytes, query: dict[str, Any]) -> dict[str, Any]:
    """The condition keys of a call that ministack does not know."""
    if operation == "CreateFileSystem":
        return {"elasticfilesystem:Encrypted": str(bool(_json(body).get("Encrypted"))).lower()}
    if operation == "UntagResource":
        keys = query.get("tagKeys", [])
        return {"aws:TagKeys": keys if isinstance(keys, list) else [keys]}
    return {}


def tags_of(arn: str) -> dict[str, str] | None:
    """The tags of a file system or access point; None of any other resource."""
    resource_id = arn.rpartition("/")[2]
    record = efs._file_systems.get(resource_id) or efs._access_points.get(resource_id)
    return tag_map(record["Tags"]) if record else None


def _named(method: str, path: str, query: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The members of a call that name a resource."""
    route = api_models.rest_operation(SERVICE, method, path)
    if route is None:
        return {}
    given = {name: value[0] if isinstance(value, list) else value for name, value in query.items()}
    return given | _json(body) | route[1]


def _arn(resource_id: str) -> str:
    if resource_id.startswith("arn:"):
        return resource_id
    return arn_of("access-point" if resource_id.startswith("fsap-") else "file-system", resource_id)


def _json(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}
