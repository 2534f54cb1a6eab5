"""AWS Backup's copy jobs, between vaults of one Region or of two."""

import asyncio
import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.event_bus import EventBus
from local_region.operations import add_rest_operations
from local_region.pending_work import PendingWork
from local_region.recovery_points import (
    RecoveryPoints,
    completed_within,
    existing_vault,
    iso,
    listed,
    vault_by_arn,
    within,
)
from local_region.settings import Settings


class CopyJobs:
    """Copy jobs by id."""

    def __init__(self, settings: Settings, pending: PendingWork, events: EventBus, points: RecoveryPoints) -> None:
        self._settings = settings
        self._pending = pending
        self._events = events
        self._points = points
        self._jobs = AccountRegionScopedDict()
        self._jobs_by_token = AccountRegionScopedDict()
        add_rest_operations(
            "backup",
            {
                "StartCopyJob": self._start_copy_job,
                "DescribeCopyJob": self._describe_copy_job,
                "ListCopyJobs": self._list_copy_jobs,
            },
        )

    def _start_copy_job(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        caller.require("iam:PassRole", params["IamRoleArn"], **{"iam:PassedToService": "backup.amazonaws.com"})
        source = existing_vault(params["SourceBackupVaultName"])
        destination = vault_by_arn(params["DestinationBackupVaultArn"])
        point = self._points.get(params["RecoveryPointArn"])
        if point["BackupVaultName"] != source["BackupVaultName"]:
            raise ApiError("ResourceNotFoundException", f"Recovery point does not exist: {params['RecoveryPointArn']}")
        if source is destination or point["Status"] not in ("COMPLETED", "AVAILABLE"):
            raise ApiError(
                "InvalidRequestException",
                f"Recovery point {point['RecoveryPointArn']}, {point['Status']}, can't be copied to "
                f"{destination['BackupVaultArn']}",
            )
        # Refuses what cannot be copied.
        self._points.type_of(point).copy(point)
        token = params.get("IdempotencyToken")
        if token in self._jobs_by_token:
            return self._jobs_by_token[token]
        job = {
            "AccountId": get_account_id(),
            "CopyJobId": str(uuid.uuid4()).upper(),
            "SourceBackupVaultArn": source["BackupVaultArn"],
            "SourceRecoveryPointArn": point["RecoveryPointArn"],
            "DestinationBackupVaultArn": destination["BackupVaultArn"],
            "ResourceArn": point["ResourceArn"],
            "ResourceType": point["ResourceType"],
            "CreationDate": time.time(),
            "State": "CREATED",
            "BackupSizeInBytes": point["BackupSizeInBytes"],
            "IamRoleArn": params["IamRoleArn"],
            "IsParent": False,
        }
        self._jobs[job["CopyJobId"]] = job
        if token:
            self._jobs_by_token[token] = job
        self._announce(job)
        self._pending.start("copy-job", self._run(job))
        return job

    async def _run(self, job: dict[str, Any]) -> None:
        job["State"] = "RUNNING"
        self._announce(job)
        await asyncio.sleep(self._settings.backup_seconds)
        vault = vault_by_arn(job["DestinationBackupVaultArn"])
        arn = self._points.copy(job["SourceRecoveryPointArn"], vault, job["IamRoleArn"])
        job.update(State="COMPLETED", DestinationRecoveryPointArn=arn, CompletionDate=time.time())
        self._announce(job)

    def _announce(self, job: dict[str, Any]) -> None:
        """Publish the job's state, in the shapes AWS Backup documents."""
        detail = {
            "creationDate": iso(job["CreationDate"]),
            "destinationBackupVaultArn": job["DestinationBackupVaultArn"],
            "sourceBackupVaultArn": job["SourceBackupVaultArn"],
            "state": job["State"],
        }
        if job["State"] != "CREATED":
            detail |= {
                # A number, where backup and restore jobs have a string.
                "backupSizeInBytes": job["BackupSizeInBytes"],
                "copyJobId": job["CopyJobId"],
                "destinationRecoveryPointArn": job.get("DestinationRecoveryPointArn", {}),
                "iamRoleArn": job["IamRoleArn"],
                "resourceArn": job["ResourceArn"],
                "resourceType": job["ResourceType"],
            }
        if "CompletionDate" in job:
            detail["completionDate"] = iso(job["CompletionDate"])
        self._events.publish("aws.backup", "Copy Job State Change", detail, [job["SourceRecoveryPointArn"]])

    def _describe_copy_job(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        job = self._jobs.get(params["CopyJobId"])
        if job is None:
            raise ApiError("ResourceNotFoundException", f"Copy job does not exist: {params['CopyJobId']}")
        return {"CopyJob": job}

    def _list_copy_jobs(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        jobs = [
            job
            for job in self._jobs.values()
            if params.get("ByResourceArn") in (None, job["ResourceArn"])
            and params.get("ByState") in (None, job["State"])
            and params.get("ByResourceType") in (None, job["ResourceType"])
            and params.get("ByDestinationVaultArn") in (None, job["DestinationBackupVaultArn"])
            and params.get("ByAccountId") in (None, job["AccountId"])
            and params.get("BySourceRecoveryPointArn") in (None, job["SourceRecoveryPointArn"])
            # No job here is of a composite recovery point.
            and params.get("ByParentJobId") is None
            and within(job["CreationDate"], params.get("ByCreatedAfter"), params.get("ByCreatedBefore"))
            and completed_within(job, params.get("ByCompleteAfter"), params.get("ByCompleteBefore"))
        ]
        return listed("CopyJobs", jobs, params)
