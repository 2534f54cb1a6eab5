"""Who calls the Region's APIs, and what they may do."""

from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import sts

from local_region.api_error import ApiError

OPERATOR = "operator"
STATE_MACHINE_USER_AGENT = "local-region-state-machine"


@dataclass(frozen=True)
class Caller:
    """The holder of the credentials a request is signed with."""

    access_key_id: str
    name: str
    """The function's name, `state-machine`, or `operator` for the account's own credentials."""

    @classmethod
    def of(cls, headers: dict[str, str]) -> "Caller":
        """The caller of a request with these headers."""
        access_key_id = extract_access_key_id(headers, {}) or ""
        if STATE_MACHINE_USER_AGENT in headers.get("user-agent", ""):
            return cls(access_key_id, "state-machine")
        session = sts._sessions.get(access_key_id)
        # arn:aws:sts::<account>:assumed-role/<role>/<session>; a function's session bears the function's name.
        return cls(access_key_id, session["Arn"].rpartition("/")[2] if session else OPERATOR)

    def require(self, action: str, resource: str, **context: Any) -> None:
        """Refuse unless the caller's policies allow `action` on `resource`."""
        denied = iam_evaluator.enforce(
            self.access_key_id,
            action,
            action.partition(":")[0],
            get_region(),
            resource,
            context,
        )
        if denied:
            principal = getattr(denied, "principal_arn", "") or f"arn:aws:iam::{get_account_id()}:root"
            raise ApiError(
                "AccessDeniedException",
                f"User: {principal} is not authorized to perform: {action} on resource: {resource} "
                f"because no identity-based policy allows the {action} action",
                403,
            )
