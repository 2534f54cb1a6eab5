"""AWS Backup of EFS: a recovery point is AWS Backup's own, and a restore puts the data into a directory."""

import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import efs

from local_region.api_error import ApiError
from local_region.backup_types import NewRecoveryPoint, Restore
from local_region.efs_file_systems import EfsFileSystems, arn_of, tag_map
from local_region.restore_metadata import RestoreMetadata
from local_region.status_changes import StatusChanges

# The keys of a restore. The console adds an id of its request; the guide spells the items both ways.
KEYS = (
    "CreationToken",
    "Encrypted",
    "ItemsToRestore",
    "KmsKeyId",
    "PerformanceMode",
    "availabilityZoneName",
    "aws:backup:request-id",
    "file-system-id",
    "itemsToRestore",
    "newFileSystem",
    "singleAzFilesystem",
)
REQUIRED = ("file-system-id", "newFileSystem")
REQUIRED_OF_NEW = (*REQUIRED, "CreationToken", "Encrypted", "PerformanceMode")
MODES = ("generalPurpose", "maxIO")
LONGEST_TOKEN = 64
MOST_ITEMS = 5


class EfsBackups:
    """Backs up and restores file systems."""

    name = "EFS"

    def __init__(self, changes: StatusChanges, file_systems: EfsFileSystems) -> None:
        self._changes = changes
        self._file_systems = file_systems
        # Of a recovery point, the size of what it holds.
        self._sizes = AccountRegionScopedDict()

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource is a file system that exists."""
        return any(each["FileSystemArn"] == resource_arn for each in efs._file_systems.values())

    def back_up(self, resource_arn: str, _tags: dict[str, str]) -> NewRecoveryPoint:
        """Back a file system up."""
        record = self._file_systems.available(resource_arn)
        arn, size = _own_arn(), record["SizeInBytes"]
        self._sizes[arn] = size
        stored = {
            "Encrypted": _flag(record["Encrypted"]),
            "PerformanceMode": record["PerformanceMode"],
            "file-system-id": record["FileSystemId"],
        }
        if record["Encrypted"]:
            stored["KmsKeyId"] = record["KmsKeyId"]
        # What AWS itself has tagged is not the owner's.
        own = {key: value for key, value in tag_map(record["Tags"]).items() if not key.startswith("aws:")}
        # The vault's key encrypts it.
        return NewRecoveryPoint(arn, size["Value"], True, stored, own)

    def copy(self, point: dict[str, Any]) -> "_EfsCopy":
        """A file system, ready to be put into another vault."""
        return _EfsCopy(self._sizes, self._sizes[point["RecoveryPointArn"]])

    def check(self, metadata: dict[str, str]) -> None:
        """What is wrong with the metadata shows when the job runs."""

    def metadata_of_test(self, job_id: str, point: dict[str, Any]) -> dict[str, str]:
        """A new, encrypted file system."""
        return {
            "CreationToken": f"awsbackup-restore-test-{job_id}"[:LONGEST_TOKEN],
            "Encrypted": "true",
            "PerformanceMode": "generalPurpose",
            "file-system-id": point["_restore_metadata"]["file-system-id"],
            "newFileSystem": "true",
        }

    def begin(self, restore: Restore) -> None:
        """Make the file system, which is soon available, and still empty."""
        is_new = RestoreMetadata(restore.metadata, KEYS, REQUIRED).flag("newFileSystem", True)
        metadata = RestoreMetadata(restore.metadata, KEYS, REQUIRED_OF_NEW if is_new else REQUIRED)
        items = _items(metadata)
        if restore.tags is not None and (items or not is_new):
            raise _invalid("The tags of the source can be copied to a new file system only, with all its items")
        if not is_new:
            restore.require("elasticfilesystem:Restore", arn_of("file-system", metadata.text("file-system-id")))
            restore.created = self._file_systems.available(metadata.text("file-system-id"))
            return
        tags, every = restore.tags or {}, arn_of("file-system", "*")
        for action in ("CreateFileSystem", "DescribeFileSystems", "Restore", *(["TagResource"] if tags else [])):
            restore.require(f"elasticfilesystem:{action}", every)
        restore.created = self._file_systems.add(_members(metadata), tags)
        self._file_systems.begin(restore.created)

    def abandon(self, restore: Restore) -> None:
        """A new file system goes. In an existing one, what was restored stays."""
        if restore.created and _is_new(restore):
            self._changes.set(restore.created, "deleted")
            self._file_systems.forget(restore.created["FileSystemId"])
        elif restore.created:
            restore.created.setdefault("_directories", []).append(_directory("aws-backup-failed-restore"))

    def finish(self, restore: Restore) -> str:
        """The data are there, in a directory that no answer names."""
        record = restore.created
        end = self._changes.end_of(record["CreationToken"]) if _is_new(restore) else None
        if end == "error":
            self._changes.set(record, end)
            # It stays, and its token is taken.
            restore.created = None
            raise ApiError("InternalServerError", f"File system '{record['FileSystemId']}' is in the state error")
        if _is_new(restore):
            self._file_systems.complete(record)
            record["SizeInBytes"] = dict(self._sizes[restore.job["RecoveryPointArn"]])
        directory = _directory("aws-backup-restore")
        record.setdefault("_directories", []).append(directory)
        record.setdefault("_restored_from", {})[directory] = restore.job["RecoveryPointArn"]
        return record["FileSystemArn"]


class _EfsCopy:
    def __init__(self, sizes: AccountRegionScopedDict, size: dict[str, Any]) -> None:
        self._sizes = sizes
        self._size = size

    def put(self, _key: str | None) -> str:
        arn = _own_arn()
        self._sizes[arn] = self._size
        return arn


def root_directories() -> dict[str, list[str]]:
    """The names at the root of each file system of all Regions, which only a mount shows."""
    return {fs_id: list(record.get("_directories", [])) for (_, _, fs_id), record in efs._file_systems.all_items()}


def set_root_directories(fs_id: str, names: list[str]) -> dict[str, list[str]]:
    """Let a file system have these names at its root; answers those of all."""
    for (_, _, each), record in efs._file_systems.all_items():
        if each == fs_id:
            record["_directories"] = list(names)
            return root_directories()
    raise ApiError("BadRequest", f"There is no file system {fs_id}")


def _members(metadata: RestoreMetadata) -> dict[str, Any]:
    """The members of CreateFileSystem that the metadata mean."""
    token, mode = metadata.text("CreationToken"), metadata.text("PerformanceMode")
    zone = metadata.text("availabilityZoneName")
    if len(token) > LONGEST_TOKEN:
        raise _invalid(f"CreationToken has {LONGEST_TOKEN} characters at most")
    if mode not in MODES:
        raise _invalid(f"PerformanceMode is {' or '.join(MODES)}, not {mode}")
    if metadata.flag("singleAzFilesystem", False) != bool(zone):
        raise _invalid("singleAzFilesystem true requires availabilityZoneName, and the other way round")
    return {
        "AvailabilityZoneName": zone,
        "Backup": False,
        "CreationToken": token,
        "Encrypted": metadata.flag("Encrypted", True),
        "KmsKeyId": metadata.text("KmsKeyId"),
        "PerformanceMode": mode,
    }


def _items(metadata: RestoreMetadata) -> list[str] | None:
    items = metadata.texts("ItemsToRestore") or metadata.texts("itemsToRestore")
    if items and len(items) > MOST_ITEMS:
        raise _invalid("ItemsToRestore names one to five paths")
    if items and not all(item.startswith("/") for item in items):
        raise _invalid("Each of ItemsToRestore must begin with /")
    return items


def _is_new(restore: Restore) -> bool:
    return restore.metadata["newFileSystem"].lower() == "true"


def _directory(prefix: str) -> str:
    """The name of a directory of now, with nanoseconds."""
    nanoseconds = time.time_ns()
    moment = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(nanoseconds // 10**9))
    return f"{prefix}_{moment}-{nanoseconds % 10**9:09d}Z"


def _own_arn() -> str:
    return f"arn:aws:backup:{get_region()}:{get_account_id()}:recovery-point:{uuid.uuid4()}"


def _flag(value: Any) -> str:
    return str(bool(value)).lower()


def _invalid(what: str) -> ApiError:
    return ApiError("InvalidParameterValueException", f"Invalid restore metadata. {what}")
