"""AWS Backup's restore jobs: a resource out of a recovery point, and the events on the way."""

import asyncio
import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from local_region.api_error import ApiError
from local_region.backup_types import BackupType, Restore
from local_region.callers import Caller
from local_region.event_bus import EventBus
from local_region.journal import Journal
from local_region.operations import add_rest_operations
from local_region.pending_work import PendingWork
from local_region.recovery_points import RecoveryPoints, completed_within, iso, listed, within
from local_region.settings import Settings

# The tag AWS Backup puts on what a restore test creates.
RESTORE_TEST_TAG = "awsbackup-restore-test"
RESTORE_TEST_ROLE = "service-role/AWSBackupDefaultServiceRole"
# The most that the metadata of a job may hold.
METADATA_BYTES = 200_000
# The types whose restored resources can be tagged as they are made.
TAGGED_BY_TESTS = ("EBS", "RDS", "Aurora", "DocumentDB", "Neptune", "EFS", "FSx", "EC2")


class _Asked(ApiError):
    """A failure that a tester asked for."""


class RestoreJobs:
    """Restore jobs by id."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        pending: PendingWork,
        events: EventBus,
        points: RecoveryPoints,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._pending = pending
        self._events = events
        self._points = points
        self._jobs = AccountRegionScopedDict()
        # Of a token, the job that it started and the moment.
        self._tokens = AccountRegionScopedDict()
        self._failures: list[dict[str, Any]] = []
        add_rest_operations(
            "backup",
            {
                "StartRestoreJob": self._start_restore_job,
                "DescribeRestoreJob": self._describe_restore_job,
                "GetRestoreJobMetadata": self._get_restore_job_metadata,
                "ListRestoreJobs": self._list_restore_jobs,
                "PutRestoreValidationResult": self._put_validation_result,
            },
        )

    def start_test(self, recovery_point_arn: str, metadata: dict[str, str]) -> str:
        """Restore as AWS Backup restore testing does, which picks a zone or a name itself; answers the job's id."""
        plan = f"arn:aws:backup:{get_region()}:{get_account_id()}:restore-testing-plan:local_region-{uuid.uuid4()}"
        role = f"arn:aws:iam::{get_account_id()}:role/{RESTORE_TEST_ROLE}"
        return self._start(recovery_point_arn, metadata, role, restore_testing_plan=plan)

    def fail(self, message: str, recovery_point_arn: str | None, count: int) -> None:
        """Have the next `count` jobs fail with a message: those of a recovery point, or of any."""
        self._failures.append({"message": message, "recoveryPointArn": recovery_point_arn, "count": count})

    def failures(self) -> list[dict[str, Any]]:
        """The failures that are still to come."""
        return [failure for failure in self._failures if failure["count"]]

    def forget_failures(self) -> None:
        """Let all jobs do as they can."""
        self._failures.clear()

    def forget_tokens(self) -> None:
        """Forget every idempotency token, as AWS Backup does after a time that it does not promise."""
        self._tokens = AccountRegionScopedDict()

    def _start_restore_job(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        role = params.get("IamRoleArn")
        if not role:
            raise ApiError("MissingParameterValueException", "Missing required parameter: IamRoleArn")
        caller.require("iam:PassRole", role, **{"iam:PassedToService": "backup.amazonaws.com"})
        token = params.get("IdempotencyToken")
        job_id, started = self._tokens.get(token) or ("", float("-inf"))
        if time.time() - started < self._settings.restore_token_seconds:
            # The job already started with this token: success, and nothing more happens.
            return {"RestoreJobId": job_id}
        job_id = self._start(
            params["RecoveryPointArn"],
            params["Metadata"],
            role,
            copy_tags=bool(params.get("CopySourceTagsToRestoredResource")),
            resource_type=params.get("ResourceType"),
        )
        if token:
            self._tokens[token] = (job_id, time.time())
        return {"RestoreJobId": job_id}

    def _start(
        self,
        recovery_point_arn: str,
        metadata: dict[str, str],
        role: str,
        copy_tags: bool = False,
        resource_type: str | None = None,
        restore_testing_plan: str | None = None,
    ) -> str:
        point = self._points.get(recovery_point_arn)
        if point["Status"] not in ("COMPLETED", "AVAILABLE"):
            raise ApiError(
                "InvalidRequestException",
                f"Recovery point {recovery_point_arn} can't be restored in its state: {point['Status']}",
            )
        if resource_type not in (None, point["ResourceType"]):
            raise ApiError(
                "InvalidParameterValueException",
                f"ResourceType {resource_type} is not that of the recovery point: {point['ResourceType']}",
            )
        job_id, backup_type = str(uuid.uuid4()).upper(), self._points.type_of(point)
        if restore_testing_plan:
            metadata = backup_type.metadata_of_test(job_id, point) | metadata
        _check_is_of_strings(metadata)
        backup_type.check(metadata)
        job = {
            "AccountId": get_account_id(),
            "RestoreJobId": job_id,
            "RecoveryPointArn": recovery_point_arn,
            "SourceResourceArn": point["ResourceArn"],
            "BackupVaultArn": point["BackupVaultArn"],
            "RecoveryPointCreationDate": point["CreationDate"],
            "CreationDate": time.time(),
            "Status": "PENDING",
            "PercentDone": "0.00%",
            "BackupSizeInBytes": point["BackupSizeInBytes"],
            "IamRoleArn": role,
            "ResourceType": point["ResourceType"],
            "IsParent": False,
        }
        if restore_testing_plan:
            job["CreatedBy"] = {"RestoreTestingPlanArn": restore_testing_plan}
        self._jobs[job_id] = (job, metadata)
        self._announce(job)
        tags = dict(point["_source_tags"]) if copy_tags else None
        restore = Restore(job, metadata, tags, point["_options"])
        if restore_testing_plan and job["ResourceType"] in TAGGED_BY_TESTS:
            restore.tags = {RESTORE_TEST_TAG: job_id}
        self._pending.start("restore-job", self._run(restore, backup_type))
        return job_id

    async def _run(self, restore: Restore, backup_type: BackupType) -> None:
        job = restore.job
        job["Status"] = "RUNNING"
        self._announce(job)
        try:
            backup_type.begin(restore)
            await asyncio.sleep(self._settings.restore_seconds_of(job["ResourceType"]))
            self._fail_if_asked_to(job)
            arn = backup_type.finish(restore)
        except (ApiError, ValueError) as error:
            backup_type.abandon(restore)
            message = error.message if isinstance(error, _Asked) else str(error)
            job.update(Status="FAILED", StatusMessage=message, CompletionDate=time.time())
        else:
            job.update(Status="COMPLETED", PercentDone="100.00%", CreatedResourceArn=arn, CompletionDate=time.time())
            if restore.message:
                job["StatusMessage"] = restore.message
        self._announce(job)

    def _fail_if_asked_to(self, job: dict[str, Any]) -> None:
        for failure in self.failures():
            if failure["recoveryPointArn"] in (None, job["RecoveryPointArn"]):
                failure["count"] -= 1
                raise _Asked("AskedFor", failure["message"])

    def _announce(self, job: dict[str, Any]) -> None:
        """Journal and publish the job's state, in the shapes AWS Backup documents."""
        self._journal.record(
            "restore-job",
            restoreJobId=job["RestoreJobId"],
            resourceType=job["ResourceType"],
            status=job["Status"],
            recoveryPointArn=job["RecoveryPointArn"],
            createdResourceArn=job.get("CreatedResourceArn"),
            statusMessage=job.get("StatusMessage"),
        )
        detail = {
            "restoreJobId": job["RestoreJobId"],
            # A string, while percentDone is a number, and stays 0.
            "backupSizeInBytes": str(job["BackupSizeInBytes"]),
            "creationDate": iso(job["CreationDate"]),
            "iamRoleArn": job["IamRoleArn"],
            "percentDone": 0,
            "resourceType": job["ResourceType"],
            "status": job["Status"],
        }
        if job["Status"] == "COMPLETED":
            detail |= {
                "backupVaultArn": job["BackupVaultArn"],
                "recoveryPointArn": job["RecoveryPointArn"],
                "sourceResourceArn": job["SourceResourceArn"],
                "createdResourceArn": job["CreatedResourceArn"],
                "completionDate": iso(job["CompletionDate"]),
            }
        if job["Status"] == "FAILED":
            detail["statusMessage"] = job["StatusMessage"]
        if "CreatedBy" in job:
            detail["restoreTestingPlanArn"] = job["CreatedBy"]["RestoreTestingPlanArn"]
        self._events.publish("aws.backup", "Restore Job State Change", detail, [job["RecoveryPointArn"]])

    def _job(self, job_id: str) -> tuple[dict[str, Any], dict[str, str]]:
        found = self._jobs.get(job_id)
        if found is None:
            raise ApiError("ResourceNotFoundException", f"Restore job does not exist: {job_id}")
        return found

    def _describe_restore_job(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return self._job(params["RestoreJobId"])[0]

    def _get_restore_job_metadata(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return {"RestoreJobId": params["RestoreJobId"], "Metadata": self._job(params["RestoreJobId"])[1]}

    def _list_restore_jobs(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        jobs = [
            job
            for job, _ in self._jobs.values()
            if params.get("ByStatus") in (None, job["Status"])
            and params.get("ByAccountId") in (None, job["AccountId"])
            and params.get("ByResourceType") in (None, job["ResourceType"])
            and params.get("ByRestoreTestingPlanArn") in (None, job.get("CreatedBy", {}).get("RestoreTestingPlanArn"))
            # No job here has a parent: only composite recovery points are restored by several jobs.
            and params.get("ByParentJobId") is None
            and within(job["CreationDate"], params.get("ByCreatedAfter"), params.get("ByCreatedBefore"))
            and completed_within(job, params.get("ByCompleteAfter"), params.get("ByCompleteBefore"))
        ]
        return listed("RestoreJobs", jobs, params)

    def _put_validation_result(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        job = self._job(params["RestoreJobId"])[0]
        if "CreatedBy" not in job:
            raise ApiError("InvalidRequestException", "Only a job of a restore testing plan can be validated")
        if job.get("ValidationStatus") not in (None, "VALIDATING"):
            raise ApiError(
                "InvalidRequestException",
                f"The validation status is {job['ValidationStatus']} already and cannot change",
            )
        job["ValidationStatus"] = params["ValidationStatus"]
        if params.get("ValidationStatusMessage"):
            job["ValidationStatusMessage"] = params["ValidationStatusMessage"]
        return {}


def _check_is_of_strings(metadata: dict[str, Any]) -> None:
    """Metadata is a map of strings to strings: whoever sends a list in it is refused before a job exists."""
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ApiError("SerializationException", f"Metadata.{key} is not a string: {value!r}")
    if sum(len(key) + len(value) for key, value in metadata.items()) > METADATA_BYTES:
        raise ApiError("InvalidParameterValueException", f"Metadata is longer than {METADATA_BYTES} bytes")
