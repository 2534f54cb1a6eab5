"""AWS Backup's vaults, backup jobs and recovery points, for EBS volumes."""

import asyncio
import datetime
import time
import uuid
from typing import Any

from botocore.utils import parse_timestamp
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import backup, ec2

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.event_bus import EventBus
from local_region.operations import add_rest_operations
from local_region.pages import page, with_next_token
from local_region.pending_work import PendingWork
from local_region.settings import Settings
from local_region.volumes import set_tags, tags_of

# The system tag AWS Backup puts on the snapshots it makes.
SOURCE_TAG = "aws:backup:source-resource"
# The most MaxResults may be.
LARGEST_PAGE = 1000
# The most tags of its owner that a snapshot has.
MOST_TAGS = 50


class RecoveryPoints:
    """Recovery points by ARN. That of a volume is a snapshot: its ARN, and its tags, are EC2's."""

    def __init__(self, settings: Settings, pending: PendingWork, events: EventBus) -> None:
        self._settings = settings
        self._pending = pending
        self._events = events
        self._points = AccountRegionScopedDict()
        self._jobs = AccountRegionScopedDict()
        self._jobs_by_token = AccountRegionScopedDict()
        add_rest_operations(
            "backup",
            {
                "StartBackupJob": self._start_backup_job,
                "DescribeBackupJob": self._describe_backup_job,
                "ListBackupJobs": self._list_backup_jobs,
                "DescribeBackupVault": self._describe_backup_vault,
                "DescribeRecoveryPoint": self._describe_recovery_point,
                "GetRecoveryPointRestoreMetadata": self._get_restore_metadata,
                "ListRecoveryPointsByBackupVault": self._list_by_vault,
                "ListRecoveryPointsByResource": self._list_by_resource,
                "ListProtectedResources": self._list_protected_resources,
                "ListTags": self._list_tags,
            },
        )

    def get(self, arn: str) -> dict[str, Any]:
        """The recovery point `arn`, as DescribeRecoveryPoint answers it, or ResourceNotFoundException."""
        point = self._points.get(arn)
        if point is None:
            raise ApiError("ResourceNotFoundException", f"Recovery point does not exist: {arn}", Type="RecoveryPoint")
        return point

    def copy(self, arn: str, vault: dict[str, Any], role: str) -> str:
        """Copy a recovery point, with all its tags, into another vault; answers the copy's ARN."""
        source, snapshot_id = self.get(arn), ec2._new_snapshot_id()
        copied = f"arn:aws:ec2:{get_region()}::snapshot/{snapshot_id}"
        # EC2 gives a copy the id of no volume (model of CopySnapshot: an arbitrary one).
        ec2._snapshots[snapshot_id] = ec2._snapshots[arn.rpartition("/")[2]] | {
            "SnapshotId": snapshot_id,
            "VolumeId": "vol-ffffffff",
            "StartTime": ec2._now_ts(),
        }
        set_tags(snapshot_id, tags_of(arn.rpartition("/")[2]))
        # CreationDate stays the source's: the state of the data is of then.
        self._points[copied] = source | {
            "RecoveryPointArn": copied,
            "BackupVaultName": vault["BackupVaultName"],
            "BackupVaultArn": vault["BackupVaultArn"],
            "IamRoleArn": role,
            "CompletionDate": time.time(),
        }
        vault["NumberOfRecoveryPoints"] += 1
        return copied

    def _start_backup_job(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        caller.require("iam:PassRole", params["IamRoleArn"], **{"iam:PassedToService": "backup.amazonaws.com"})
        vault = existing_vault(params["BackupVaultName"])
        volume_id = params["ResourceArn"].rpartition("/")[2]
        if ":volume/" not in params["ResourceArn"]:
            raise ApiError(
                "InvalidRequestException", f"The local Region backs up EBS volumes only, not {params['ResourceArn']}"
            )
        if volume_id not in ec2._volumes:
            raise ApiError("InvalidParameterValueException", f"Volume not found: {params['ResourceArn']}")
        token = params.get("IdempotencyToken")
        if token in self._jobs_by_token:
            return self._jobs_by_token[token]
        job = self._start(params, vault, volume_id)
        if token:
            self._jobs_by_token[token] = job
        return job

    def _start(self, params: dict[str, Any], vault: dict[str, Any], volume_id: str) -> dict[str, Any]:
        snapshot_id = ec2._new_snapshot_id()
        volume = ec2._volumes[volume_id]
        now = time.time()
        ec2._snapshots[snapshot_id] = {
            "SnapshotId": snapshot_id,
            "VolumeId": volume_id,
            "VolumeSize": volume["Size"],
            "Description": "This snapshot is created by the AWS Backup service.",
            "State": "completed",
            "StartTime": ec2._now_ts(),
            "Progress": "100%",
            "OwnerId": get_account_id(),
            "Encrypted": volume["Encrypted"],
            "StorageTier": "standard",
        }
        # The resource's tags are copied; those of the backup rule win. What does not fit leaves a recovery
        # point without tags.
        tags = tags_of(volume_id) | (params.get("RecoveryPointTags") or {})
        if sum(not key.startswith("aws:") for key in tags) > MOST_TAGS:
            tags = {}
        set_tags(snapshot_id, tags | {SOURCE_TAG: params["ResourceArn"]})
        arn = f"arn:aws:ec2:{get_region()}::snapshot/{snapshot_id}"
        job = {
            "AccountId": get_account_id(),
            "BackupJobId": str(uuid.uuid4()),
            "BackupVaultName": vault["BackupVaultName"],
            "BackupVaultArn": vault["BackupVaultArn"],
            "RecoveryPointArn": arn,
            "ResourceArn": params["ResourceArn"],
            "ResourceType": "EBS",
            "IamRoleArn": params["IamRoleArn"],
            "CreationDate": now,
            "StartBy": now + 3600,
            "State": "RUNNING",
            "PercentDone": "0.0",
            "BackupSizeInBytes": volume["Size"] << 30,
            "BytesTransferred": 0,
            "IsParent": False,
        }
        self._jobs[job["BackupJobId"]] = job
        self._points[arn] = {
            "RecoveryPointArn": arn,
            "BackupVaultName": vault["BackupVaultName"],
            "BackupVaultArn": vault["BackupVaultArn"],
            "SourceBackupVaultArn": vault["BackupVaultArn"],
            "ResourceArn": params["ResourceArn"],
            "ResourceType": "EBS",
            "IamRoleArn": params["IamRoleArn"],
            "Status": "CREATING",
            "CreationDate": now,
            "BackupSizeInBytes": volume["Size"] << 30,
            "IsEncrypted": volume["Encrypted"],
            "StorageClass": "WARM",
            "VaultType": "BACKUP_VAULT",
            "IsParent": False,
        }
        if self._settings.backup_seconds:
            self._announce(job)
            self._pending.start("backup-job", self._complete_later(job))
        else:
            self._complete(job)
        return job

    async def _complete_later(self, job: dict[str, Any]) -> None:
        await asyncio.sleep(self._settings.backup_seconds)
        self._complete(job)

    def _complete(self, job: dict[str, Any]) -> None:
        now = time.time()
        job.update(
            State="COMPLETED", PercentDone="100.0", CompletionDate=now, BytesTransferred=job["BackupSizeInBytes"]
        )
        self._points[job["RecoveryPointArn"]].update(Status="COMPLETED", CompletionDate=now)
        backup._vaults[job["BackupVaultName"]]["NumberOfRecoveryPoints"] += 1
        self._announce(job)

    def _announce(self, job: dict[str, Any]) -> None:
        done = job["State"] == "COMPLETED"
        detail = {
            "backupJobId": job["BackupJobId"],
            # Strings here and numbers in copy jobs' events, as AWS Backup documents them.
            "backupSizeInBytes": str(job["BackupSizeInBytes"]),
            "bytesTransferred": str(job["BytesTransferred"]),
            "backupVaultArn": job["BackupVaultArn"],
            "backupVaultName": job["BackupVaultName"],
            "creationDate": iso(job["CreationDate"]),
            "iamRoleArn": job["IamRoleArn"],
            "percentDone": float(job["PercentDone"]),
            "resourceArn": job["ResourceArn"],
            "resourceType": job["ResourceType"],
            "startBy": iso(job["StartBy"]),
            "state": job["State"],
        }
        if done:
            detail["completionDate"] = iso(job["CompletionDate"])
        self._events.publish("aws.backup", "Backup Job State Change", detail, [job["RecoveryPointArn"]] if done else [])

    def _describe_backup_job(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        job = self._jobs.get(params["BackupJobId"])
        if job is None:
            raise ApiError("ResourceNotFoundException", f"Backup job does not exist: {params['BackupJobId']}")
        return job

    def _list_backup_jobs(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        jobs = [
            job
            for job in self._jobs.values()
            if params.get("ByState") in (None, job["State"])
            and params.get("ByResourceArn") in (None, job["ResourceArn"])
            and params.get("ByBackupVaultName") in (None, job["BackupVaultName"])
            and params.get("ByResourceType") in (None, job["ResourceType"])
            and within(job["CreationDate"], params.get("ByCreatedAfter"), params.get("ByCreatedBefore"))
        ]
        return listed("BackupJobs", jobs, params)

    def _describe_backup_vault(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        vault = existing_vault(params["BackupVaultName"])
        # A vault without its own key has no EncryptionKeyArn here; ministack keeps an empty one.
        return {name: value for name, value in vault.items() if value != ""} | {
            "VaultType": "BACKUP_VAULT",
            "VaultState": "AVAILABLE",
        }

    def _describe_recovery_point(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return self._in_vault(params)

    def _get_restore_metadata(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        point = self._in_vault(params)
        return {
            "BackupVaultArn": point["BackupVaultArn"],
            "RecoveryPointArn": point["RecoveryPointArn"],
            "ResourceType": point["ResourceType"],
            # What is stored with an EBS backup names no zone: whoever restores has to choose one.
            "RestoreMetadata": {
                "encrypted": str(point["IsEncrypted"]).lower(),
                "volumeId": point["ResourceArn"].rpartition("/")[2],
            },
        }

    def _in_vault(self, params: dict[str, Any]) -> dict[str, Any]:
        existing_vault(params["BackupVaultName"])
        point = self.get(params["RecoveryPointArn"])
        if point["BackupVaultName"] != params["BackupVaultName"]:
            raise ApiError("ResourceNotFoundException", f"Recovery point does not exist: {params['RecoveryPointArn']}")
        return point

    def _list_by_vault(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        existing_vault(params["BackupVaultName"])
        points = [
            point
            for point in self._points.values()
            if point["BackupVaultName"] == params["BackupVaultName"]
            and params.get("ByResourceArn") in (None, point["ResourceArn"])
            and params.get("ByResourceType") in (None, point["ResourceType"])
            and within(point["CreationDate"], params.get("ByCreatedAfter"), params.get("ByCreatedBefore"))
        ]
        return listed("RecoveryPoints", points, params)

    def _list_by_resource(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        points = [
            {
                "RecoveryPointArn": point["RecoveryPointArn"],
                "CreationDate": point["CreationDate"],
                "Status": point["Status"],
                "BackupSizeBytes": point["BackupSizeInBytes"],
                # AWS leaves BackupVaultName out for volumes.
                "IsParent": point["IsParent"],
                "VaultType": point["VaultType"],
            }
            for point in self._points.values()
            if point["ResourceArn"] == params["ResourceArn"]
        ]
        return listed("RecoveryPoints", points, params)

    def _list_protected_resources(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        resources = {
            point["ResourceArn"]: {
                "ResourceArn": point["ResourceArn"],
                "ResourceType": point["ResourceType"],
                "LastBackupTime": point["CreationDate"],
                "LastBackupVaultArn": point["BackupVaultArn"],
                "LastRecoveryPointArn": point["RecoveryPointArn"],
            }
            for point in self._points.values()
        }
        return listed("Results", list(resources.values()), params)

    def _list_tags(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        arn = params["ResourceArn"]
        if not arn.startswith("arn:aws:backup:"):
            raise ApiError("ResourceNotFoundException", f"AWS Backup keeps no tags of {arn}")
        for records, name, tags in (
            (backup._vaults, "BackupVaultArn", "BackupVaultTags"),
            (backup._plans, "BackupPlanArn", "Tags"),
        ):
            for record in records.values():
                if record[name] == arn:
                    return {"Tags": record[tags]}
        raise ApiError("ResourceNotFoundException", f"Resource does not exist: {arn}")


def listed(name: str, records: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    """The answer of a List operation of AWS Backup: newest first, a page at a time."""
    newest_first = sorted(records, key=lambda record: -record.get("CreationDate", 0))
    shown, token = page(
        newest_first,
        params.get("MaxResults") or LARGEST_PAGE,
        params.get("NextToken"),
        "InvalidParameterValueException",
    )
    return with_next_token({name: shown}, token)


def within(moment: float, after: Any, before: Any) -> bool:
    """Whether `moment` lies in the range a List operation was asked for, both ends optional."""
    return (after is None or moment >= _seconds(after)) and (before is None or moment <= _seconds(before))


def completed_within(job: dict[str, Any], after: Any, before: Any) -> bool:
    """Whether a job was completed in the range a List operation was asked for; any job, when it was asked for none."""
    if after is None and before is None:
        return True
    return "CompletionDate" in job and within(job["CompletionDate"], after, before)


def iso(moment: float) -> str:
    """A moment as AWS Backup's events write it."""
    return (
        datetime.datetime.fromtimestamp(moment, datetime.timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _seconds(moment: Any) -> float:
    """A moment out of a request's query, where a timestamp is a number of seconds or ISO 8601."""
    try:
        return parse_timestamp(moment).timestamp()
    except ValueError as error:
        raise ApiError("InvalidParameterValueException", f"{moment} is not a timestamp") from error


def existing_vault(name: str) -> dict[str, Any]:
    """A backup vault, however it was made, or ResourceNotFoundException."""
    vault = backup._vaults.get(name)
    if vault is None:
        raise ApiError("ResourceNotFoundException", f"Backup vault does not exist: {name}")
    return vault
