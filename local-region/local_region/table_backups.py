"""AWS Backup of DynamoDB tables: with its advanced features, a recovery point is AWS Backup's own; without, not."""

import secrets
import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import kms

from local_region.api_error import ApiError
from local_region.backup_types import NewRecoveryPoint, Restore
from local_region.region_settings import RegionSettings
from local_region.restore_metadata import RestoreMetadata
from local_region.status_changes import StatusChanges
from local_region.tables import Tables

KEYS = {"encryptiontype", "kmsmasterkeyarn", "targettablename"}
# What DynamoDB asks for of who restores a table.
RESTORE_ACTIONS = (
    "BatchWriteItem",
    "DeleteItem",
    "DescribeTable",
    "GetItem",
    "PutItem",
    "Query",
    "RestoreTableFromAwsBackup",
    "Scan",
    "UpdateItem",
)


class TableBackups:
    """Backs up and restores tables."""

    name = "DynamoDB"

    def __init__(self, changes: StatusChanges, tables: Tables, settings: RegionSettings) -> None:
        self._changes = changes
        self._tables = tables
        self._settings = settings
        self._snapshots = AccountRegionScopedDict()
        # The recovery points that a restore reads now. Each feeds one restore at a time.
        self._in_use: set[str] = set()

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource is a table that exists."""
        return resource_arn.startswith("arn:aws:dynamodb:") and self._tables.exists(resource_arn.rpartition("/")[2])

    def back_up(self, resource_arn: str, _tags: dict[str, str]) -> NewRecoveryPoint:
        """Keep a table as it is."""
        name = resource_arn.rpartition("/")[2]
        snapshot = self._tables.snapshot(name)
        if snapshot["TableStatus"] != "ACTIVE":
            raise ApiError("InvalidRequestException", f"Table {name} is {snapshot['TableStatus']}")
        # What counts is the opt-in at the time of the backup.
        advanced = self._settings.manages_fully(self.name)
        arn = (
            _own_arn() if advanced else f"{resource_arn}/backup/{time.time_ns() // 1000000:017d}-{secrets.token_hex(4)}"
        )
        self._snapshots[arn] = snapshot
        return NewRecoveryPoint(
            arn,
            snapshot["TableSizeBytes"],
            True,
            {"encryptionType": "Default", "targetTableName": name},
            self._tables.tags_of(name),
        )

    def copy(self, point: dict[str, Any]) -> "_TableCopy":
        """A table, ready to be put into another vault."""
        if point["RecoveryPointArn"].startswith("arn:aws:dynamodb:"):
            raise ApiError(
                "InvalidRequestException",
                "A DynamoDB backup can be copied if the advanced features for Amazon DynamoDB backups are enabled when "
                "it is made.",
            )
        return _TableCopy(self._snapshots, self._snapshots[point["RecoveryPointArn"]])

    def check(self, metadata: dict[str, str]) -> None:
        """What is wrong with the metadata shows when the job runs."""

    def metadata_of_test(self, job_id: str, _point: dict[str, Any]) -> dict[str, str]:
        """A name."""
        return {"targetTableName": f"awsbackup-restore-test-{job_id}"}

    def begin(self, restore: Restore) -> None:
        """Begin to restore a table."""
        if restore.tags is not None:
            raise ApiError("InvalidRequestException", "Copying source tags is not supported for DynamoDB restores")
        # The keys of this type may be written in capitals or small letters.
        given = {key.lower(): value for key, value in restore.metadata.items()}
        metadata = RestoreMetadata(given, tuple(KEYS), ("targettablename",))
        name, encryption = metadata.text("targettablename"), metadata.text("encryptiontype") or "Default"
        key = metadata.text("kmsmasterkeyarn")
        if encryption not in ("Default", "KMS"):
            raise ApiError("InvalidParameterValueException", f"encryptionType is Default or KMS, not {encryption}")
        if key and (encryption != "KMS" or key.split(":")[3:4] != [get_region()] or not _is_enabled(key)):
            raise ApiError("InvalidParameterValueException", f"The KMS key {key} is not a usable key of {get_region()}")
        target = f"arn:aws:dynamodb:{get_region()}:{get_account_id()}:table/{name}"
        for action in RESTORE_ACTIONS:
            restore.require(f"dynamodb:{action}", target)
        key = key or (
            f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/dynamodb" if encryption == "KMS" else None
        )
        point = restore.job["RecoveryPointArn"]
        if point in self._in_use:
            raise ApiError("BackupInUseException", f"Backup is being used to restore another table: {point}")
        restore.created = self._tables.add_restored(name, self._snapshots[point], point, key)
        self._in_use.add(point)

    def abandon(self, restore: Restore) -> None:
        """The table goes."""
        if restore.created:
            self._in_use.discard(restore.job["RecoveryPointArn"])
            self._tables.forget(restore.created["TableName"])

    def finish(self, restore: Restore) -> str:
        """The table is there."""
        table = restore.created
        self._in_use.discard(restore.job["RecoveryPointArn"])
        end = self._changes.end_of(table["TableName"])
        if end:
            self._changes.set(table, end)
        else:
            self._tables.complete(table)
        return table["TableArn"]


class _TableCopy:
    def __init__(self, snapshots: AccountRegionScopedDict, snapshot: dict[str, Any]) -> None:
        self._snapshots = snapshots
        self._snapshot = snapshot

    def put(self, _key: str | None) -> str:
        arn = _own_arn()
        self._snapshots[arn] = self._snapshot
        return arn


def _own_arn() -> str:
    return f"arn:aws:backup:{get_region()}:{get_account_id()}:recovery-point:{str(uuid.uuid4()).upper()}"


def _is_enabled(key: str) -> bool:
    found = kms._resolve_key(key)
    return found is not None and found["KeyState"] == "Enabled"
