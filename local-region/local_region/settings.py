"""The settings of one local Region."""

import os
import re
from dataclasses import dataclass, field
from typing import Any

# Functions mostly wait for the Region's answers. More processes than this only take time from each other.
FUNCTIONS_PER_PROCESSOR = 8
# What AWS Backup backs up and restores here.
BACKUP_TYPES = ("EBS", "RDS", "Aurora", "DocumentDB", "Neptune", "DynamoDB", "EFS", "FSx", "S3", "EC2")


@dataclass(frozen=True)
class Settings:
    """The choices behind one running Region. Region and account have no default, as everywhere here."""

    region: str
    account: str
    port: int = 0
    """Port to listen on; 0 takes a free one."""
    restore_seconds: float = 1.0
    """How long a restore job stays RUNNING."""
    restore_seconds_by_type: dict[str, float] = field(default_factory=dict)
    """How long one of a certain type does, in place of the others."""
    restore_token_seconds: float = 3600.0
    """How long StartRestoreJob remembers an idempotency token. AWS documents no time; older texts say one hour."""
    backup_seconds: float = 0.0
    """How long a backup job stays RUNNING."""
    attach_seconds: float = 0.05
    """How long an attachment stays `attaching`."""
    instance_seconds: float = 0.05
    """How long an instance that AWS Backup restores is `pending`."""
    instance_check_seconds: float = 0.05
    """How long its status checks are `initializing` then."""
    agent_seconds: float = 0.05
    """How long the agent of an instance takes to connect; only with a profile that allows it."""
    modify_seconds: float = 0.05
    """How long a volume is `modifying`, and cannot be attached; it can while it is `optimizing`."""
    database_seconds: float = 0.05
    """How long a new DB instance or cluster is `creating`."""
    database_change_seconds: float = 0.05
    """How long a database is `backing-up`, `modifying`, `rebooting` or `deleting`."""
    table_seconds: float = 0.05
    """How long a table is CREATING, UPDATING or DELETING."""
    table_repeat_seconds: float = 0.05
    """How long DynamoDB refuses a setting that changed a moment ago; 3 to 15 seconds in AWS."""
    table_tags_in_policies: bool = True
    """Whether policies see the tags of tables: attribute-based access control, which some accounts have not enabled."""
    file_system_seconds: float = 0.05
    """How long a new file system, mount target, access point or volume of FSx is being created."""
    file_system_change_seconds: float = 0.05
    """How long it is being updated or deleted."""
    target_seconds: float = 0.05
    """How long a target of a target group is `initial`, or `draining`."""
    stack_seconds_by_type: dict[str, float] = field(default_factory=dict)
    """How long CloudFormation takes for a resource of a certain type; nothing for others."""
    wait_scale: float = 0.01
    """How long the waits of runbooks and state machines take, as a part of what they say."""
    retry_seconds: tuple[float, ...] = (0.2, 0.4)
    """Pauses before Lambda's retries of an asynchronous invocation; one and two minutes in AWS."""
    function_timeout_seconds: float | None = None
    """How long every function has to answer; what each is configured with, when None."""
    functions_at_once: int = FUNCTIONS_PER_PROCESSOR * (os.cpu_count() or 1)
    """How many invocations run at the same time. Others wait; their timeouts count from their start."""
    minute_seconds: float = 60.0
    """How long a minute of the schedules' clock takes."""
    verbose: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", self.region):
            raise ValueError(f"--region {self.region!r} is not the name of an AWS Region, such as us-west-2")
        if not re.fullmatch(r"\d{12}", self.account):
            raise ValueError(f"--account {self.account!r} is not an AWS account id: 12 digits")
        if len(self.retry_seconds) != 2:
            raise ValueError("--retry-seconds must be two numbers: the pauses before the first and the second retry")

        if self.function_timeout_seconds is not None and not self.function_timeout_seconds > 0:
            raise ValueError("--function-timeout-seconds must be greater than 0")
        if self.functions_at_once < 1:
            raise ValueError("--functions-at-once must be greater than 0")
        unknown = sorted(set(self.restore_seconds_by_type) - set(BACKUP_TYPES))
        if unknown:
            raise ValueError(f"--restore-seconds-of must be one of {', '.join(BACKUP_TYPES)}: not {', '.join(unknown)}")
        if not self.restore_token_seconds >= 0:
            raise ValueError("--restore-token-seconds must not be negative")
        if not self.wait_scale >= 0:
            raise ValueError("--wait-scale must not be negative")
        if not self.minute_seconds > 0:
            raise ValueError("--minute-seconds must be greater than 0")

    def restore_seconds_of(self, resource_type: str) -> float:
        """How long a restore job of one of AWS Backup's types stays RUNNING."""
        return self.restore_seconds_by_type.get(resource_type, self.restore_seconds)

    @property
    def access_key_id(self) -> str:
        """The operator's access key id. ministack reads the account out of a key of 12 digits."""
        return self.account

    @property
    def secret_access_key(self) -> str:
        """The operator's secret. It signs, but ministack does not check the signature of an account's own key."""
        return "local-region"

    def ready(self, endpoint: str) -> dict[str, Any]:
        """What clients need to know of the Region once it serves at `endpoint`."""
        return {
            "ready": True,
            "endpoint": endpoint,
            "region": self.region,
            "account": self.account,
            "accessKeyId": self.access_key_id,
            "secretAccessKey": self.secret_access_key,
        }
