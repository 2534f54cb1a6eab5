"""AWS Backup's vaults, backup jobs and recovery points."""

import asyncio
import datetime
import time
import uuid
from typing import Any

from botocore.utils import parse_timestamp
from ministack.core.responses import AccountRegionScopedDict, get_account_id, request_scope
from ministack.services import backup

from local_region.api_error import ApiError
from local_region.backup_types import MOST_TAGS, BackupType, with_tags_of_rule
from local_region.callers import Caller
from local_region.event_bus import EventBus
from local_region.operations import add_rest_operations
from local_region.pages import page, with_next_token
from local_region.pending_work import PendingWork
from local_region.settings import Settings

# The most MaxResults may be.
LARGEST_PAGE = 1000
# The ARNs of recovery points that are AWS Backup's own begin so.
OWN_ARN = "arn:aws:backup:"
# The options that backups of a type know. Each is `enabled` or `disabled`.
OPTIONS = {"EC2": ("WindowsVSS",), "S3": ("S3BackupACLs", "S3BackupObjectTags")}


class RecoveryPoints:
    """Recovery points by ARN. Most are snapshots of their service, which keeps their tags; some are AWS Backup's."""

    def __init__(self, settings: Settings, pending: PendingWork, events: EventBus, types: list[BackupType]) -> None:
        self._settings = settings
        self._pending = pending
        self._events = events
        self._types = types
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
                "TagResource": self._tag_resource,
                "UntagResource": self._untag_resource,
            },
        )

    def get(self, arn: str) -> dict[str, Any]:
        """The recovery point `arn`, as DescribeRecoveryPoint answers it, or ResourceNotFoundException."""
        point = self._points.get(arn)
        if point is None:
            raise ApiError("ResourceNotFoundException", f"Recovery point does not exist: {arn}", Type="RecoveryPoint")
        return point

    def type_of(self, point: dict[str, Any]) -> BackupType:
        """The type of what a recovery point is of."""
        return next(each for each in self._types if each.name == point["ResourceType"])

    def own_tags(self, arn: str) -> dict[str, str] | None:
        """The tags of a recovery point that AWS Backup keeps itself; None of any other."""
        point = self._points.get(arn)
        return point["_tags"] if point and arn.startswith(OWN_ARN) else None

    def copy(self, arn: str, vault: dict[str, Any], role: str) -> str:
        """Copy a recovery point, with all its tags, into a vault, which may be of another Region; answers the ARN."""
        source = self.get(arn)
        copied = self.type_of(source).copy(source)
        with request_scope(get_account_id(), region_of(vault["BackupVaultArn"])):
            key = vault.get("EncryptionKeyArn") or None
            copied_arn = copied.put(key)
            # CreationDate stays the source's: the state of the data is of then.
            point = source | {
                "RecoveryPointArn": copied_arn,
                "BackupVaultName": vault["BackupVaultName"],
                "BackupVaultArn": vault["BackupVaultArn"],
                "IamRoleArn": role,
                "CompletionDate": time.time(),
                "_tags": dict(source["_tags"]),
            }
            if key and source["ResourceType"] != "EBS":
                point |= {"IsEncrypted": True, "EncryptionKeyArn": key}
            self._points[copied_arn] = point
        vault["NumberOfRecoveryPoints"] += 1
        return copied_arn

    def _start_backup_job(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        caller.require("iam:PassRole", params["IamRoleArn"], **{"iam:PassedToService": "backup.amazonaws.com"})
        vault, resource = existing_vault(params["BackupVaultName"]), params["ResourceArn"]
        backup_type = next((each for each in self._types if each.covers(resource)), None)
        if backup_type is None:
            known = ", ".join(each.name for each in self._types)
            raise ApiError(
                "InvalidParameterValueException",
                f"Resource not found: {resource}. The local Region backs up what is of these types: {known}",
            )
        _check_options(backup_type.name, params.get("BackupOptions") or {})
        token = params.get("IdempotencyToken")
        if token in self._jobs_by_token:
            return self._jobs_by_token[token]
        job = self._start(params, vault, backup_type)
        if token:
            self._jobs_by_token[token] = job
        return job

    def _start(self, params: dict[str, Any], vault: dict[str, Any], backup_type: BackupType) -> dict[str, Any]:
        now, of_rule = time.time(), params.get("RecoveryPointTags") or {}
        made = backup_type.back_up(params["ResourceArn"], of_rule)
        job = {
            "AccountId": get_account_id(),
            "BackupJobId": str(uuid.uuid4()),
            "BackupVaultName": vault["BackupVaultName"],
            "BackupVaultArn": vault["BackupVaultArn"],
            "RecoveryPointArn": made.arn,
            "ResourceArn": params["ResourceArn"],
            "ResourceType": backup_type.name,
            "IamRoleArn": params["IamRoleArn"],
            "CreationDate": now,
            "StartBy": now + 3600,
            "State": "RUNNING",
            "PercentDone": "0.0",
            "BackupSizeInBytes": made.size,
            "BytesTransferred": 0,
            "IsParent": False,
            "BackupOptions": params.get("BackupOptions"),
        }
        self._jobs[job["BackupJobId"]] = job
        self._points[made.arn] = {
            "RecoveryPointArn": made.arn,
            "BackupVaultName": vault["BackupVaultName"],
            "BackupVaultArn": vault["BackupVaultArn"],
            "SourceBackupVaultArn": vault["BackupVaultArn"],
            "ResourceArn": params["ResourceArn"],
            "ResourceType": backup_type.name,
            "IamRoleArn": params["IamRoleArn"],
            "Status": "CREATING",
            "CreationDate": now,
            "BackupSizeInBytes": made.size,
            "IsEncrypted": made.is_encrypted,
            "StorageClass": "WARM",
            "VaultType": "BACKUP_VAULT",
            "IsParent": False,
            "_restore_metadata": made.restore_metadata,
            "_options": params.get("BackupOptions") or {},
            # What a restore can copy, which later changes of the recovery point's tags do not reach.
            "_source_tags": made.tags,
            "_tags": with_tags_of_rule(made.tags, of_rule),
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
            # A copy's is that of its source, and names what is in the source's Region.
            "RestoreMetadata": point["_restore_metadata"],
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
                # AWS leaves it out for volumes.
                "BackupVaultName": None if point["ResourceType"] == "EBS" else point["BackupVaultName"],
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
        return {"Tags": self._kept_tags(params["ResourceArn"])}

    def _tag_resource(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        kept = self._kept_tags(params["ResourceArn"])
        if sum(not key.startswith("aws:") for key in kept | params["Tags"]) > MOST_TAGS:
            raise ApiError("LimitExceededException", f"{params['ResourceArn']} can have {MOST_TAGS} tags at most")
        kept.update(params["Tags"])
        return {}

    def _untag_resource(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        kept = self._kept_tags(params["ResourceArn"])
        for key in params["TagKeyList"]:
            kept.pop(key, None)
        return {}

    def _kept_tags(self, arn: str) -> dict[str, str]:
        """The tags that AWS Backup keeps of a vault, a plan or a recovery point of its own."""
        if not arn.startswith("arn:aws:backup:"):
            raise ApiError("ResourceNotFoundException", f"AWS Backup keeps no tags of {arn}")
        own = self.own_tags(arn)
        if own is not None:
            return own
        for records, name, tags in (
            (backup._vaults, "BackupVaultArn", "BackupVaultTags"),
            (backup._plans, "BackupPlanArn", "Tags"),
        ):
            for record in records.values():
                if record[name] == arn:
                    return record[tags]
        raise ApiError("ResourceNotFoundException", f"Resource does not exist: {arn}")


def _check_options(resource_type: str, options: dict[str, str]) -> None:
    for name, value in options.items():
        if name not in OPTIONS.get(resource_type, ()) or value not in ("enabled", "disabled"):
            raise ApiError(
                "InvalidParameterValueException", f"Invalid backup option of {resource_type}: {name}={value}"
            )


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


def vault_by_arn(arn: str) -> dict[str, Any]:
    """A backup vault of any Region, or ResourceNotFoundException."""
    parts = arn.split(":", 6)
    if len(parts) == 7 and parts[5] == "backup-vault":
        with request_scope(get_account_id(), region_of(arn)):
            vault = backup._vaults.get(parts[6])
        if vault and vault["BackupVaultArn"] == arn:
            return vault
    raise ApiError("ResourceNotFoundException", f"Backup vault does not exist: {arn}")


def region_of(arn: str) -> str:
    """The Region in an ARN."""
    return arn.split(":")[3]
