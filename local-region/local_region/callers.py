"""Who calls the Region's APIs, and what they may do."""

import contextvars
import re
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc, sts

from local_region.api_error import ApiError

OPERATOR = "operator"
# The parts of the Region that call its APIs themselves: Step Functions, Lambda for destinations, and EventBridge.
STATE_MACHINE = "state-machine"
LAMBDA = "lambda"
EVENT_BRIDGE = "eventbridge"


_current: contextvars.ContextVar["Caller"] = contextvars.ContextVar("caller")


def user_agent(name: str) -> str:
    """What a part of the Region adds to the user agent of its calls, for them to be known as its own."""
    return f"local-region-caller/{name}"


@dataclass(frozen=True)
class Caller:
    """The holder of the credentials a request is signed with."""

    access_key_id: str
    name: str
    """A function's name, a session's, `state-machine`, `lambda`, `eventbridge`, or `operator`: the account's own."""
    state_machine: str | None = None
    """The name of the state machine that calls, if one does."""

    @classmethod
    def of(cls, headers: dict[str, str]) -> "Caller":
        """The caller of a request with these headers."""
        access_key_id = extract_access_key_id(headers, {}) or ""
        own = re.search(user_agent("([a-z-]+)"), headers.get("user-agent", ""))
        session = sts._sessions.get(access_key_id)
        if own:
            return cls(access_key_id, own[1], (session or {}).get("StateMachine"))
        # arn:aws:sts::<account>:assumed-role/<role>/<session>; a function's session bears the function's name.
        return cls(access_key_id, session["Arn"].rpartition("/")[2] if session else OPERATOR)

    @classmethod
    def current(cls) -> "Caller":
        """The caller of the request that is being served."""
        return _current.get()

    @staticmethod
    def is_current_function() -> bool:
        """Whether a deployed function made the request that is being served, if one is."""
        caller = _current.get(None)
        return caller is not None and caller.is_function

    def is_served(self) -> None:
        """Be the caller of the request that is being served from here on."""
        _current.set(self)

    @property
    def principal_arn(self) -> str:
        """The ARN IAM knows the caller by."""
        session = sts._sessions.get(self.access_key_id)
        return session["Arn"] if session else f"arn:aws:iam::{get_account_id()}:root"

    @property
    def is_function(self) -> bool:
        """Whether a deployed function calls."""
        return self._function() is not None

    @property
    def function_logical_id(self) -> str | None:
        """The logical id of the function that calls, in its stack."""
        return ((self._function() or {}).get("tags") or {}).get("aws:cloudformation:logical-id")

    def _function(self) -> dict[str, Any] | None:
        if self.name in (EVENT_BRIDGE, LAMBDA, OPERATOR, STATE_MACHINE):
            return None
        return lambda_svc._get_func_record_for_ref(self.name)[0]

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
            principal = getattr(denied, "principal_arn", "") or self.principal_arn
            raise ApiError(
                "AccessDeniedException",
                f"User: {principal} is not authorized to perform: {action} on resource: {resource} "
                f"because no identity-based policy allows the {action} action",
                403,
            )
