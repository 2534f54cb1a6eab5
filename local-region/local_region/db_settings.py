"""Settings that DB instances and clusters have in common."""

import uuid
from typing import Any

from ministack.core.responses import get_account_id, get_region

from local_region.api_error import ApiError
from local_region.db_groups import key_arn


def memberships(groups: list[str]) -> list[dict[str, str]]:
    """Security groups as a database lists them."""
    return [{"VpcSecurityGroupId": group, "Status": "active"} for group in groups]


def check_retention(days: int | None, least: int) -> None:
    """Refuse a retention that RDS does not keep automated backups for."""
    if days is not None and not least <= days <= 35:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid backup retention period: {days}. Must be between {least} and 35.",
        )


def exported_logs(record: dict[str, Any], change: dict[str, Any]) -> list[str]:
    """The kinds of logs that a database exports after a change."""
    kept = set(record["EnabledCloudwatchLogsExports"]) - set(change.get("DisableLogTypes") or [])
    return sorted(kept | set(change.get("EnableLogTypes") or []))


def new_secret(key_id: str | None) -> dict[str, str]:
    """A new secret for a master password that RDS manages: of another ARN than any before."""
    name = f"rds!db-{uuid.uuid4()}-{uuid.uuid4().hex[:6]}"
    secret = {
        "SecretArn": f"arn:aws:secretsmanager:{get_region()}:{get_account_id()}:secret:{name}",
        "SecretStatus": "creating",
    }
    return secret | ({"KmsKeyId": key_arn(key_id)} if key_id else {})
