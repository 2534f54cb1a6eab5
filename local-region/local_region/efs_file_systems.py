"""EFS file systems: ministack's, with the states, refusals and settings that AWS has."""

import json
import secrets
import time
import uuid
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, efs, kms

from local_region import api_models
from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import add_rest_operations
from local_region.pages import page
from local_region.settings import Settings
from local_region.status_changes import StatusChanges

SERVICE = "elasticfilesystem"
MOST_TAGS = 50
# The most items on a page, whatever MaxItems says.
PAGE = 100
# The throughput mode changes, and provisioned throughput decreases, once in this time.
THROUGHPUT_CHANGE_SECONDS = 24 * 3600
# What an empty file system is metered with.
EMPTY_BYTES = 6144
BACKED_UP = {"Key": "aws:elasticfilesystem:default-backup", "Value": "enabled"}
# What using a customer's key takes.
KEY_ACTIONS = ("kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext")


class EfsFileSystems:
    """The Region's file systems by id."""

    def __init__(self, settings: Settings, changes: StatusChanges) -> None:
        self._settings = settings
        self._changes = changes
        add_rest_operations(
            SERVICE,
            {
                "CreateFileSystem": self._create,
                "DeleteFileSystem": self._delete,
                "DeleteFileSystemPolicy": self._delete_policy,
                "DescribeBackupPolicy": self._describe_backup_policy,
                "DescribeFileSystemPolicy": self._describe_policy,
                "DescribeFileSystems": self._describe,
                "DescribeLifecycleConfiguration": self._describe_lifecycle,
                "PutBackupPolicy": self._put_backup_policy,
                "PutFileSystemPolicy": self._put_policy,
                "PutLifecycleConfiguration": self._put_lifecycle,
                "UpdateFileSystem": self._update,
                "UpdateFileSystemProtection": self._update_protection,
            },
        )

    def add(self, given: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
        """A new file system, which is being created, from the members of CreateFileSystem."""
        token, zone, now = given["CreationToken"], given.get("AvailabilityZoneName"), int(time.time())
        for existing in efs._file_systems.values():
            if existing["CreationToken"] == token:
                fs_id = existing["FileSystemId"]
                message = f"File system '{fs_id}' already exists with creation token '{token}'"
                raise fault("FileSystemAlreadyExists", message, FileSystemId=fs_id)
        self._check(given)
        fs_id = f"fs-{secrets.token_hex(9)[:17]}"
        record = {
            "FileSystemId": fs_id,
            "FileSystemArn": arn_of("file-system", fs_id),
            "OwnerId": get_account_id(),
            "CreationToken": token,
            "CreationTime": now,
            "LifeCycleState": "",
            "NumberOfMountTargets": 0,
            "SizeInBytes": {"Value": EMPTY_BYTES, "ValueInIA": 0, "ValueInStandard": EMPTY_BYTES, "ValueInArchive": 0},
            "PerformanceMode": given.get("PerformanceMode", "generalPurpose"),
            "ThroughputMode": given.get("ThroughputMode", "bursting"),
            "ProvisionedThroughputInMibps": given.get("ProvisionedThroughputInMibps"),
            "Encrypted": bool(given.get("Encrypted")),
            "KmsKeyId": _key_arn(given.get("KmsKeyId")) if given.get("Encrypted") else None,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            "Name": tags.get("Name"),
            "FileSystemProtection": {"ReplicationOverwriteProtection": "ENABLED"},
            # The names at the root, which no API answers: whoever mounts the file system sees them.
            "_directories": [],
        }
        if zone:
            record |= {"AvailabilityZoneName": zone, "AvailabilityZoneId": ec2._az_id_for_zone_name(zone)}
        efs._file_systems[fs_id] = record
        # One Zone file systems are backed up unless somebody says no.
        if given.get("Backup", bool(zone)):
            self.set_backup_policy(record, "ENABLED")
        return record

    def begin(self, record: dict[str, Any]) -> None:
        """Let a new file system become available in its time."""
        steps = [("creating", self._settings.file_system_seconds)]
        self._changes.run(record, record["CreationToken"], steps, lambda: None, "available")

    def complete(self, record: dict[str, Any]) -> None:
        """Let a file system be available, unless a tester said otherwise."""
        self._changes.set(record, self._changes.end_of(record["CreationToken"]) or "available")

    def get(self, id_or_arn: str) -> dict[str, Any]:
        """A file system, whatever its state, or FileSystemNotFound."""
        fs_id = id_or_arn.rpartition("/")[2]
        record = efs._file_systems.get(fs_id)
        if record is None or id_or_arn not in (fs_id, record["FileSystemArn"]):
            raise fault("FileSystemNotFound", f"File system '{id_or_arn}' does not exist.")
        return record

    def available(self, id_or_arn: str) -> dict[str, Any]:
        """A file system that takes changes, or IncorrectFileSystemLifeCycleState."""
        record = self.get(id_or_arn)
        if record["LifeCycleState"] != "available":
            # It has no message, as public reports show.
            raise fault("IncorrectFileSystemLifeCycleState", "")
        return record

    def forget(self, fs_id: str) -> None:
        """The file system is gone, with its settings and access points."""
        for store in (efs._file_systems, efs._lifecycle_configs, efs._backup_policies):
            store.pop(fs_id, None)
        for point_id in [key for key, point in efs._access_points.items() if point["FileSystemId"] == fs_id]:
            del efs._access_points[point_id]

    def check_unused(self, record: dict[str, Any]) -> None:
        """Refuse to delete a file system that has mount targets or is replicated."""
        fs_id = record["FileSystemId"]
        if any(target["FileSystemId"] == fs_id for target in efs._mount_targets.values()):
            raise fault("FileSystemInUse", f"File system '{fs_id}' has mount targets: delete them first.")
        if efs._replication_of(fs_id):
            raise fault("FileSystemInUse", f"File system '{fs_id}' is replicated: delete the replication first.")

    def _check(self, given: dict[str, Any]) -> None:
        """Refuse members that do not fit together."""
        mode, zone = given.get("ThroughputMode", "bursting"), given.get("AvailabilityZoneName")
        if given.get("KmsKeyId") and not given.get("Encrypted"):
            raise bad_request("KmsKeyId requires an encrypted file system: Encrypted must be true")
        if (mode == "provisioned") != (given.get("ProvisionedThroughputInMibps") is not None):
            raise bad_request("ProvisionedThroughputInMibps is required with ThroughputMode provisioned, and only then")
        if given.get("PerformanceMode") == "maxIO" and (zone or mode == "elastic"):
            raise bad_request("maxIO is not supported for One Zone file systems and Elastic throughput")
        if zone and not zone.startswith(get_region()):
            raise bad_request(f"{zone} is not an Availability Zone of {get_region()}")

    def _create(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        tags = tag_map(params.get("Tags"))
        check_tags(tags)
        require_tagging(caller, "file-system", "CreateFileSystem", tags)
        if params.get("Encrypted"):
            require_key(caller, params.get("KmsKeyId"))
        record = self.add(params, tags)
        self.begin(record)
        return record

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        fs_id, token = params.get("FileSystemId"), params.get("CreationToken")
        if fs_id and token:
            raise bad_request("FileSystemId and CreationToken are mutually exclusive")
        found = [self.get(fs_id)] if fs_id else list(efs._file_systems.values())
        return paged_by_marker(
            "FileSystems", [each for each in found if token in (None, each["CreationToken"])], params
        )

    def _update(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = self.available(params["FileSystemId"])
        mode = params.get("ThroughputMode") or record["ThroughputMode"]
        wanted = params.get("ProvisionedThroughputInMibps")
        before = record.get("ProvisionedThroughputInMibps")
        if wanted is not None and mode != "provisioned":
            raise bad_request("ProvisionedThroughputInMibps requires ThroughputMode provisioned")
        if mode == "provisioned" and wanted is None and before is None:
            raise bad_request("ThroughputMode provisioned requires ProvisionedThroughputInMibps")
        is_limited = mode != record["ThroughputMode"] or bool(wanted and before and wanted < before)
        if is_limited and time.time() - record.get("_throughput_changed", 0) < THROUGHPUT_CHANGE_SECONDS:
            raise fault(
                "TooManyRequests", "The throughput of a file system can be changed, or decreased, once in 24 hours"
            )
        record["ThroughputMode"] = mode
        record["ProvisionedThroughputInMibps"] = (wanted or before) if mode == "provisioned" else None
        if is_limited:
            record["_throughput_changed"] = time.time()
        steps = [("updating", self._settings.file_system_change_seconds)]
        self._changes.run(record, None, steps, lambda: None, "available")
        return record

    def _delete(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = self.get(params["FileSystemId"])
        self.check_unused(record)
        if record["LifeCycleState"] != "deleting":
            steps = [("deleting", self._settings.file_system_change_seconds)]
            self._changes.run(record, None, steps, lambda: self.forget(record["FileSystemId"]), "deleted")
        return {}

    def _put_lifecycle(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        record, policies = self.available(params["FileSystemId"]), params["LifecyclePolicies"]
        if record["Encrypted"]:
            require_key(caller, record["KmsKeyId"])
        transitions = [name for policy in policies for name in policy]
        if any(len(policy) != 1 for policy in policies) or len(set(transitions)) < len(transitions):
            raise bad_request("Each LifecyclePolicy must have one transition, and each transition one LifecyclePolicy")
        if "TransitionToArchive" in transitions and record["ThroughputMode"] != "elastic":
            raise bad_request("TransitionToArchive requires Elastic throughput")
        efs._lifecycle_configs[record["FileSystemId"]] = policies
        return {"LifecyclePolicies": policies}

    def _describe_lifecycle(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        fs_id = self.get(params["FileSystemId"])["FileSystemId"]
        return {"LifecyclePolicies": efs._lifecycle_configs.get(fs_id) or []}

    def _put_policy(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = self.available(params["FileSystemId"])
        status, _, body = efs._put_file_system_policy(record["FileSystemId"], params)
        answer = json.loads(body)
        if status >= 400:
            raise fault(answer["ErrorCode"], answer["Message"])
        return answer

    def _describe_policy(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = self.get(params["FileSystemId"])
        if not record.get("FileSystemPolicy"):
            raise fault("PolicyNotFound", f"File system '{record['FileSystemId']}' has no file system policy.")
        return {"FileSystemId": record["FileSystemId"], "Policy": record["FileSystemPolicy"]}

    def _delete_policy(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        self.available(params["FileSystemId"]).pop("FileSystemPolicy", None)
        return {}

    def _put_backup_policy(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record, status = self.available(params["FileSystemId"]), params["BackupPolicy"]["Status"]
        if status not in ("ENABLED", "DISABLED"):
            raise bad_request("The status of a backup policy is set to ENABLED or DISABLED")
        self.set_backup_policy(record, status)
        return {"BackupPolicy": {"Status": status}}

    def _describe_backup_policy(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        fs_id = self.get(params["FileSystemId"])["FileSystemId"]
        return {"BackupPolicy": efs._backup_policies.get(fs_id) or {"Status": "DISABLED"}}

    def set_backup_policy(self, record: dict[str, Any], status: str) -> None:
        """Switch automatic backups on or off, which is a tag as well."""
        efs._backup_policies[record["FileSystemId"]] = {"Status": status}
        others = [tag for tag in record["Tags"] if tag["Key"] != BACKED_UP["Key"]]
        record["Tags"] = [*others, BACKED_UP] if status == "ENABLED" else others

    def _update_protection(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = self.available(params["FileSystemId"])
        status, _, body = efs._update_file_system_protection(record["FileSystemId"], params)
        answer = json.loads(body)
        if status >= 400:
            raise fault(answer["ErrorCode"], answer["Message"])
        return answer


def fault(shape: str, message: str, **members: Any) -> ApiError:
    """A modelled error, with the code in the body as well."""
    known = api_models.service_model(SERVICE).shape_for(shape).metadata["error"]
    return ApiError(shape, message, known["httpStatusCode"], ErrorCode=shape, **members)


def bad_request(message: str) -> ApiError:
    """The error of members that do not fit."""
    return fault("BadRequest", message)


def arn_of(kind: str, resource_id: str) -> str:
    """The ARN of a resource of EFS in this Region."""
    return f"arn:aws:elasticfilesystem:{get_region()}:{get_account_id()}:{kind}/{resource_id}"


def tag_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Tags as a map."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def check_tags(tags: dict[str, str]) -> None:
    """Refuse tags that only AWS may set, and more than a resource may have."""
    for key in tags:
        if key.lower().startswith("aws:"):
            # The model's pattern excludes them.
            raise ApiError(
                "ValidationException",
                f"1 validation error detected: Value '{key}' at 'tags.1.member.key' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern",
            )
    if len(tags) > MOST_TAGS:
        raise bad_request(f"A resource can have {MOST_TAGS} tags at most")


def require_tagging(caller: Caller, kind: str, action: str, tags: dict[str, str]) -> None:
    """Refuse tags of a new resource unless the caller may set them with this action."""
    if tags:
        about = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        about |= {"aws:TagKeys": list(tags), "elasticfilesystem:CreateAction": action}
        caller.require("elasticfilesystem:TagResource", arn_of(kind, "*"), **about)


def require_key(caller: Caller, key_id: str | None) -> None:
    """Refuse unless the caller may use a customer's key with EFS."""
    key = kms._resolve_key(key_id) if key_id else None
    if key:
        via = {"kms:ViaService": f"elasticfilesystem.{get_region()}.amazonaws.com"}
        for action in KEY_ACTIONS:
            caller.require(action, key["Arn"], **via)


def paged_by_marker(name: str, records: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    """A page of a list that continues with a marker."""
    shown, marker = page(records, PAGE, params.get("Marker"), "BadRequest")
    return {name: shown, "Marker": params.get("Marker"), "NextMarker": marker}


def paged_by_token(name: str, records: list[Any], params: dict[str, Any]) -> dict[str, Any]:
    """A page of a list that continues with a token."""
    shown, token = page(records, params.get("MaxResults") or PAGE, params.get("NextToken"), "BadRequest")
    return {name: shown, "NextToken": token}


def _key_arn(key_id: str | None) -> str:
    """The ARN of a key of this Region that can be used; AWS's own when none is named."""
    if not key_id:
        own = uuid.uuid5(uuid.NAMESPACE_URL, f"{get_account_id()}/{get_region()}/aws/elasticfilesystem")
        return f"arn:aws:kms:{get_region()}:{get_account_id()}:key/{own}"
    of_other_region = key_id.startswith("arn:") and key_id.split(":")[3] != get_region()
    key = None if of_other_region else kms._resolve_key(key_id)
    if key is None or key["KeyState"] != "Enabled":
        raise bad_request(f"The KMS key {key_id} does not exist in {get_region()}, or cannot be used")
    return key["Arn"]
