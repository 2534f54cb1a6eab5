"""The backups of FSx itself: AWS Backup's recovery points, and those that FSx makes before a deletion."""

import copy
import secrets
import time
from typing import Any

from ministack.core.responses import get_account_id

from local_region.callers import Caller
from local_region.fsx_resources import FsxResources, arn_of, require_tagging, set_tags, tag_map
from local_region.operations import add_json_operations

FILTERS = {
    "backup-type": lambda backup: backup["Type"],
    "file-system-id": lambda backup: backup["FileSystem"]["FileSystemId"],
    "file-system-type": lambda backup: backup["FileSystem"]["FileSystemType"],
    "volume-id": lambda backup: (backup.get("Volume") or {}).get("VolumeId"),
}


class FsxOwnBackups:
    """Backups by id."""

    def __init__(self, resources: FsxResources) -> None:
        self._resources = resources
        add_json_operations("fsx", {"DescribeBackups": self._describe})

    def add(
        self,
        file_system: dict[str, Any],
        volume: dict[str, Any] | None,
        volumes: list[dict[str, Any]],
        made_by: str,
        tags: dict[str, str],
    ) -> dict[str, Any]:
        """Back up a file system with its volumes, or one volume of ONTAP."""
        record = {
            "FileSystem": copy.deepcopy(file_system),
            "Volume": copy.deepcopy(volume),
            "ResourceType": "VOLUME" if volume else "FILE_SYSTEM",
            "KmsKeyId": file_system.get("KmsKeyId"),
            "SizeInBytes": _size_of(file_system, volume),
            "_volumes": copy.deepcopy(volumes),
        }
        return self.put(record, made_by, tags)

    def put(self, record: dict[str, Any], made_by: str, tags: dict[str, str]) -> dict[str, Any]:
        """Keep a backup in the Region that is current, under a new id."""
        backup_id = f"backup-{secrets.token_hex(9)[:17]}"
        kept = record | {
            "BackupId": backup_id,
            "ResourceARN": arn_of("backup", backup_id),
            "OwnerId": get_account_id(),
            "Lifecycle": "AVAILABLE",
            "ProgressPercent": 100,
            "Type": made_by,
            "CreationTime": time.time(),
        }
        set_tags(kept, tags)
        self._resources.keep(kept)
        return kept

    def get(self, arn: str) -> dict[str, Any]:
        """A backup by its ARN."""
        return self._resources.find("backup", arn.rpartition("/")[2])

    def before_deletion(
        self, caller: Caller, file_system: dict[str, Any], volume: dict[str, Any] | None, asked: dict[str, Any]
    ) -> dict[str, Any]:
        """The last backup of what is deleted, which needs the right to it; answers the members that describe it."""
        tags = tag_map(asked.get("FinalBackupTags"))
        caller.require("fsx:CreateBackup", arn_of("backup", "*"))
        require_tagging(caller, arn_of("backup", "*"), tags)
        made = self.add(file_system, volume, [], "USER_INITIATED", tags)
        return {"FinalBackupId": made["BackupId"], "FinalBackupTags": made["Tags"]}

    def _describe(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return self._resources.listed("Backups", "backup", params.get("BackupIds"), params, FILTERS)


def _size_of(file_system: dict[str, Any], volume: dict[str, Any] | None) -> int:
    if volume:
        return volume["OntapConfiguration"]["SizeInBytes"]
    return file_system["StorageCapacity"] << 30
