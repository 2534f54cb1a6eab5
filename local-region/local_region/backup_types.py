"""What AWS Backup knows of each type of resource that it backs up: one class for each type."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.roles import CannotAssume, assume

PRINCIPAL = "backup.amazonaws.com"
# The most tags of its owner that a recovery point has.
MOST_TAGS = 50


@dataclass(frozen=True)
class NewRecoveryPoint:
    """What a backup puts into a vault."""

    arn: str
    size: int
    is_encrypted: bool
    restore_metadata: dict[str, str]
    """What a restore needs, as it was in the Region of the resource. Copies keep it."""
    tags: dict[str, str]
    """The tags that the resource had."""


@dataclass
class Restore:
    """A restore job at work."""

    job: dict[str, Any]
    """The job as DescribeRestoreJob answers it."""
    metadata: dict[str, str]
    tags: dict[str, str] | None
    """The tags that the resource had when it was backed up, if they are to be copied."""
    options: dict[str, str] = field(default_factory=dict)
    """The options that the backup was made with."""
    created: Any = None
    """What `begin` made."""
    message: str | None = None
    """The status message of a job that completes, if it has one."""
    _caller: Caller | None = field(default=None, repr=False)

    def require(self, action: str, arn: str, **context: Any) -> None:
        """Fail unless the job's role, which must trust AWS Backup, may do this."""
        if self._caller is None:
            self._caller = self._assume()
        self._caller.require(action, arn, **context)

    def _assume(self) -> Caller:
        role, point = self.job["IamRoleArn"], self.job["RecoveryPointArn"]
        try:
            session = assume(role, f"AWSBackup-{self.job['RestoreJobId']}", PRINCIPAL, point)
        except CannotAssume as error:
            raise ApiError("AccessDenied", f"{error} AWS Backup cannot work with it.") from error
        return Caller(session.access_key_id, "backup")


class BackupType(Protocol):
    """One type of resource. Refusals are ApiErrors: of a restore, they become the job's StatusMessage."""

    name: str
    """AWS Backup's ResourceType."""

    def covers(self, resource_arn: str) -> bool:
        """Whether a resource that exists, by its ARN, is of this type."""

    def back_up(self, resource_arn: str, tags: dict[str, str]) -> NewRecoveryPoint:
        """Back a resource up; `tags` come from the backup rule."""

    def copy(self, point: dict[str, Any]) -> "PendingCopy":
        """A recovery point of this Region, ready to be put into a vault of this or another Region."""

    def check(self, metadata: dict[str, str]) -> None:
        """Refuse what StartRestoreJob refuses at once."""

    def metadata_of_test(self, job_id: str, point: dict[str, Any]) -> dict[str, str]:
        """What a restore testing plan chooses by itself."""

    def begin(self, restore: Restore) -> None:
        """Begin to make the resource; what it makes goes into `restore.created`."""

    def abandon(self, restore: Restore) -> None:
        """Take back what `begin` made, since the job fails."""

    def finish(self, restore: Restore) -> str:
        """Let the resource be there; answers its ARN."""


class PendingCopy(Protocol):
    """A recovery point on its way into another vault."""

    def put(self, key: str | None) -> str:
        """Put the copy into the Region that is current, encrypted with the vault's key; answers its ARN."""


def with_tags_of_rule(own: dict[str, str], of_rule: dict[str, str]) -> dict[str, str]:
    """The tags of a recovery point: those of the backup rule win. What does not fit leaves it without any."""
    tags = own | of_rule
    return {} if sum(not key.startswith("aws:") for key in tags) > MOST_TAGS else tags
