"""DynamoDB tables: ministack's, with the statuses, and the limits of changes, that AWS has."""

import asyncio
import copy
import json
import time
import uuid
import zlib
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import dynamodb

from local_region.api_error import ApiError
from local_region.operations import Answer
from local_region.pending_work import PendingWork
from local_region.settings import Settings
from local_region.status_changes import StatusChanges

# What a table that is being created answers, by the operation; all others say that it is not found.
WHILE_CREATING = ("CreateTable", "DescribeTable", "DeleteTable")
BACKUP_OPERATIONS = ("DescribeContinuousBackups", "UpdateContinuousBackups")
# A change of UpdateTable is of one of these kinds, and of one only.
KINDS = {
    "BillingMode": "throughput",
    "ProvisionedThroughput": "throughput",
    "OnDemandThroughput": "throughput",
    "WarmThroughput": "throughput",
    "StreamSpecification": "stream",
    "GlobalSecondaryIndexUpdates": "indexes",
    "SSESpecification": "encryption",
    "TableClass": "table class",
    "DeletionProtectionEnabled": "deletion protection",
    "ReplicaUpdates": "replicas",
}
# What a new table with on-demand capacity takes at once.
ON_DEMAND_READS, ON_DEMAND_WRITES = 12000, 4000
# For how many days point-in-time recovery goes back at most, and if nobody says it.
RECOVERY_DAYS = 35
# TTL can be changed once in this time. The guide says about an hour.
TTL_CHANGE_SECONDS = 3600


class Tables:
    """The Region's tables by name."""

    def __init__(self, settings: Settings, pending: PendingWork, changes: StatusChanges) -> None:
        self._settings = settings
        self._pending = pending
        self._changes = changes
        # When something last happened to a table: by its name and what it was.
        self._moments = AccountRegionScopedDict()
        # For how many days point-in-time recovery goes back, by the name of the table.
        self._recovery_days = AccountRegionScopedDict()
        self._describe_by_ministack = dynamodb._table_description
        dynamodb._table_description = self._described
        self._serve_by_ministack = app.SERVICE_HANDLERS["dynamodb"]
        app.SERVICE_HANDLERS["dynamodb"] = self._serve
        self._checks: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
            "DeleteTable": self._check_deletion,
            "TagResource": self._check_tagging,
            "UntagResource": self._check_tagging,
            "UpdateContinuousBackups": self._check_continuous_backups,
            "UpdateTable": self._check_update,
            "UpdateTimeToLive": self._check_ttl,
        }

    def exists(self, name: str) -> bool:
        """Whether there is a table of this name, whatever its status."""
        return name in dynamodb._tables

    def snapshot(self, name: str) -> dict[str, Any]:
        """A table as it is, with its items."""
        return copy.deepcopy(dynamodb._tables[name])

    def tags_of(self, name: str) -> dict[str, str]:
        """A table's tags."""
        tags = dynamodb._tags.get(dynamodb._tables[name]["TableArn"]) or []
        return {tag["Key"]: tag["Value"] for tag in tags}

    def add_restored(self, name: str, snapshot: dict[str, Any], source: str, key_arn: str | None) -> dict[str, Any]:
        """A new table, `CREATING`, with the items of a snapshot and without the settings that a backup loses.

        `source` is the ARN of the backup.
        """
        if self.exists(name):
            raise ApiError("TableAlreadyExistsException", f"Table already exists: {name}")
        arn = f"arn:aws:dynamodb:{get_region()}:{get_account_id()}:table/{name}"
        kept = copy.deepcopy(snapshot)
        for lost in ("StreamSpecification", "LatestStreamLabel", "LatestStreamArn", "TableClassSummary", "Replicas"):
            kept.pop(lost, None)
        for index in [*kept["GlobalSecondaryIndexes"], *kept["LocalSecondaryIndexes"]]:
            index["IndexArn"] = f"{arn}/index/{index['IndexName']}"
        table = kept | {
            "TableName": name,
            "TableArn": arn,
            "TableId": str(uuid.uuid4()),
            "CreationDateTime": int(time.time()),
            "DeletionProtectionEnabled": False,
            "StreamSpecification": None,
            "SSEDescription": {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key_arn} if key_arn else None,
            "TableStatus": "",
            # Gone as soon as the table is there: nothing shows afterwards that it was restored.
            "_restore_summary": {
                "SourceBackupArn": source,
                "RestoreDateTime": time.time(),
                "RestoreInProgress": True,
            },
        }
        dynamodb._tables[name] = table
        for by_name in (dynamodb._ttl_settings, dynamodb._pitr_settings, dynamodb._kinesis_destinations):
            by_name.pop(name, None)
        for by_arn in (dynamodb._tags, dynamodb._resource_policies):
            by_arn.pop(arn, None)
        self._changes.set(table, "CREATING")
        return table

    def complete(self, table: dict[str, Any]) -> None:
        """Let a new table be `ACTIVE`."""
        table.pop("_restore_summary", None)
        self._note(table["TableName"], "active")
        self._changes.set(table, "ACTIVE")

    def forget(self, name: str) -> None:
        """Let a table never have been."""
        table = dynamodb._tables.pop(name, None)
        if table:
            dynamodb._tags.pop(table["TableArn"], None)

    async def _serve(self, method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        given = _json(body)
        name = _table_name(given)
        try:
            self._check(operation, name, given)
            if operation == "DeleteTable" and name in dynamodb._tables:
                return self._delete(name)
            answer = await self._serve_by_ministack(method, path, headers, body, query)
        except ApiError as error:
            return _answer(error.status, {"__type": error.code, "message": error.message}, error.code)
        return self._follow(operation, name, given, answer) if answer[0] == 200 else answer

    def _check(self, operation: str, name: str | None, given: dict[str, Any]) -> None:
        table = dynamodb._tables.get(name) if name else None
        if table is None:
            return
        status = table["TableStatus"]
        if status in ("CREATING", "DELETING") and operation not in WHILE_CREATING:
            if operation in BACKUP_OPERATIONS:
                raise ApiError("TableNotFoundException", f"Table not found: {name}")
            raise ApiError("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")
        if operation in self._checks:
            self._checks[operation](table, given)

    def _check_deletion(self, table: dict[str, Any], _given: dict[str, Any]) -> None:
        name = table["TableName"]
        if table["TableStatus"] == "DELETING":
            raise ApiError(
                "ResourceInUseException",
                f"Attempt to change a resource which is still in use: Table is being deleted: {name}",
            )
        if table["TableStatus"] != "ACTIVE":
            did = "created" if table["TableStatus"] == "CREATING" else "updated"
            raise ApiError(
                "ResourceInUseException",
                f"Attempt to change a resource which is still in use: Table is being {did}: {name}",
            )
        if table.get("DeletionProtectionEnabled"):
            raise ApiError(
                "ValidationException",
                f"Resource cannot be deleted as it is currently protected against deletion. Disable deletion "
                f"protection first: {name}",
            )

    def _check_update(self, table: dict[str, Any], given: dict[str, Any]) -> None:
        name = table["TableName"]
        if table["TableStatus"] != "ACTIVE":
            raise ApiError(
                "ResourceInUseException",
                f"Attempt to change a resource which is still in use: Table is being updated: {name}",
            )
        kinds = sorted({kind for member, kind in KINDS.items() if member in given})
        if len(kinds) > 1:
            raise ApiError(
                "ValidationException",
                f"One or more parameter values were invalid: UpdateTable makes one kind of change at a time, not "
                f"{' and '.join(kinds)}",
            )
        stream = given.get("StreamSpecification")
        if stream:
            enabled = bool((table.get("StreamSpecification") or {}).get("StreamEnabled"))
            if bool(stream.get("StreamEnabled")) == enabled:
                state = "an enabled" if enabled else "a disabled"
                raise ApiError("ValidationException", f"Table already has {state} stream: TableName: {name}")
        protected = given.get("DeletionProtectionEnabled")
        if protected not in (None, table["DeletionProtectionEnabled"]) and self._is_recent(name, "protection"):
            raise ApiError("ThrottlingException", "Deletion protection was changed a moment ago. Try again later.")

    def _check_ttl(self, table: dict[str, Any], given: dict[str, Any]) -> None:
        name, asked = table["TableName"], given.get("TimeToLiveSpecification") or {}
        setting = dynamodb._ttl_settings.get(name, {})
        enabled = setting.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
        if bool(asked.get("Enabled")) == enabled:
            if enabled and asked.get("AttributeName") != setting["AttributeName"]:
                raise ApiError(
                    "ValidationException",
                    "TimeToLive is active on a different AttributeName: current AttributeName is "
                    f"{setting['AttributeName']}",
                )
            raise ApiError("ValidationException", f"TimeToLive is already {'enabled' if enabled else 'disabled'}")
        if time.time() - self._moment(name, "ttl") < TTL_CHANGE_SECONDS:
            raise ApiError(
                "ValidationException", "Time to live has been modified multiple times within a fixed interval"
            )

    def _check_continuous_backups(self, table: dict[str, Any], given: dict[str, Any]) -> None:
        days = (given.get("PointInTimeRecoverySpecification") or {}).get("RecoveryPeriodInDays", RECOVERY_DAYS)
        if not 1 <= days <= RECOVERY_DAYS:
            raise ApiError("ValidationException", f"RecoveryPeriodInDays must be 1 to {RECOVERY_DAYS}, not {days}")
        if self._is_recent(table["TableName"], "active"):
            raise ApiError(
                "ContinuousBackupsUnavailableException",
                f"Backups are being enabled for the table: {table['TableName']}. Please retry later",
            )

    def _check_tagging(self, table: dict[str, Any], _given: dict[str, Any]) -> None:
        if self._is_recent(table["TableName"], "tags"):
            raise ApiError("LimitExceededException", "Subscriber limit exceeded: Table tags are being updated")

    def _delete(self, name: str) -> Answer:
        """The table, and its name, are there until the deletion is over."""
        table = dynamodb._tables[name]
        steps = [("DELETING", self._settings.table_seconds)]

        def end() -> None:
            if dynamodb._tables.get(name) is table:
                dynamodb._delete_table({"TableName": name})

        self._changes.run(table, None, steps, end, "DELETED")
        return _answer(200, {"TableDescription": dynamodb._table_description(name)})

    def _follow(self, operation: str, name: str | None, given: dict[str, Any], answer: Answer) -> Answer:
        """What follows a call that succeeded: the statuses on the way to its effect."""
        if operation == "CreateTable":
            return self._begin(name, "CREATING", answer)
        if operation in BACKUP_OPERATIONS:
            return self._show_recovery_days(name, given, answer)
        if operation == "UpdateTable":
            if "DeletionProtectionEnabled" in given:
                # It has no status on the way.
                self._note(name, "protection")
                return answer
            return self._begin(name, "UPDATING", answer)
        if operation == "UpdateTimeToLive":
            self._note(name, "ttl")
            self._change_ttl(name)
        if operation in ("TagResource", "UntagResource"):
            self._note(name, "tags")
        return answer

    def _show_recovery_days(self, name: str, given: dict[str, Any], answer: Answer) -> Answer:
        """The period of point-in-time recovery, which ministack does not know. It is shown while it is enabled."""
        specified = given.get("PointInTimeRecoverySpecification")
        if specified:
            self._recovery_days[name] = specified.get("RecoveryPeriodInDays", RECOVERY_DAYS)
        output = json.loads(answer[2])
        recovery = output["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        if recovery["PointInTimeRecoveryStatus"] == "ENABLED":
            recovery["RecoveryPeriodInDays"] = self._recovery_days.get(name, RECOVERY_DAYS)
        return _answer(200, output)

    def _change_ttl(self, name: str) -> None:
        """TTL is on its way for a while."""
        setting = dynamodb._ttl_settings[name]
        last = setting["TimeToLiveStatus"]

        async def end() -> None:
            await asyncio.sleep(self._settings.table_seconds)
            setting["TimeToLiveStatus"] = last

        setting["TimeToLiveStatus"] = "ENABLING" if last == "ENABLED" else "DISABLING"
        self._pending.start("status", end())

    def _begin(self, name: str, status: str, answer: Answer) -> Answer:
        table = dynamodb._tables[name]

        def end() -> None:
            if status == "CREATING":
                self._note(name, "active")

        # The new record says ACTIVE already.
        table["TableStatus"] = ""
        self._changes.run(table, name, [(status, self._settings.table_seconds)], end, "ACTIVE")
        output = json.loads(answer[2])
        output["TableDescription"]["TableStatus"] = status
        return _answer(200, output)

    def _described(self, name: str) -> dict[str, Any]:
        """A table with the warm throughput of its billing mode, where ministack has none."""
        table, description = dynamodb._tables[name], self._describe_by_ministack(name)
        if "WarmThroughput" not in table:
            provisioned = table["ProvisionedThroughput"]
            description["WarmThroughput"] = {
                "ReadUnitsPerSecond": provisioned["ReadCapacityUnits"] or ON_DEMAND_READS,
                "WriteUnitsPerSecond": provisioned["WriteCapacityUnits"] or ON_DEMAND_WRITES,
                "Status": "ACTIVE",
            }
        if table.get("_restore_summary"):
            description["RestoreSummary"] = table["_restore_summary"]
        return description

    def _note(self, name: str, what: str) -> None:
        self._moments[(name, what)] = time.time()

    def _moment(self, name: str, what: str) -> float:
        # What happened to a former table of this name does not count.
        moment = self._moments.get((name, what), 0.0)
        return moment if moment >= dynamodb._tables[name]["CreationDateTime"] else 0.0

    def _is_recent(self, name: str, what: str) -> bool:
        return time.time() - self._moment(name, what) < self._settings.table_repeat_seconds


def _table_name(given: dict[str, Any]) -> str | None:
    name = given.get("TableName") or given.get("ResourceArn")
    # An ARN may stand for a name.
    return name.rpartition("table/")[2].split("/")[0] if isinstance(name, str) else None


def _json(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _answer(status: int, output: dict[str, Any], error: str | None = None) -> Answer:
    body = json.dumps(output).encode()
    # Clients compare the answer with this sum.
    headers = {"Content-Type": "application/x-amz-json-1.0", "x-amz-crc32": str(zlib.crc32(body) & 0xFFFFFFFF)}
    return status, headers | ({"x-amzn-errortype": error} if error else {}), body
