"""Faults at the wire: calls that are refused, lost, answered late or not at all, as a tester asked for."""

import fnmatch
import itertools
import random
import threading
from dataclasses import dataclass, field
from typing import Any

from local_region import api_models, error_answers
from local_region.api_error import ApiError
from local_region.callers import EVENT_BRIDGE, Caller
from local_region.connections import Connection
from local_region.operations import Answer
from local_region.request import Request

# Kinds that answer an error, and kinds that answer nothing; in neither has the call taken effect.
REFUSALS = ("throttled", "server-error", "denied", "refused")
BEFORE = ("reset-before", "no-answer-before")
# Kinds of a call that has taken effect.
AFTER = ("reset-after", "no-answer-after", "delayed")
KINDS = (*REFUSALS, *BEFORE, *AFTER)


@dataclass
class Fault:
    """What is to happen to some calls, and to which."""

    kind: str
    service: str | None = None
    """A service's name in the SDKs, or ministack's; any, when None."""
    operation: str | None = None
    caller: str | None = None
    """A pattern with the wildcards * and ? of callers' names, or a function's logical id; any function, when None."""
    skip: int = 0
    """How many of the calls that match go undisturbed first."""
    count: int | None = None
    """How many are disturbed then; any number, when None."""
    probability: float = 1.0
    seed: int = 0
    status: int = 500
    """The HTTP status of a server-error."""
    code: str | None = None
    """The code of an error of the service, of a call that is refused."""
    message: str = ""
    seconds: float = 0.0
    """How long a delayed answer takes."""
    id: int = 0
    matched: int = 0
    injected: int = 0
    _random: random.Random = field(default_factory=random.Random, repr=False)

    @classmethod
    def of(cls, asked: Any) -> "Fault":
        """The fault a tester asks for, or a refusal that says what is wrong with it."""
        if not isinstance(asked, dict):
            raise ApiError("BadRequest", "a fault is a JSON object")
        unknown = sorted(set(asked) - set(MEMBERS))
        if unknown:
            raise ApiError("BadRequest", f"a fault has no member {unknown}, only {', '.join(MEMBERS)}")
        for name, value in asked.items():
            kind = MEMBERS[name]
            if (
                not isinstance(value, kind)
                or isinstance(value, bool)
                or (isinstance(value, (int, float)) and value < 0)
            ):
                raise ApiError("BadRequest", f"a fault's {name} cannot be {value!r}")
        _check(asked)
        # Once, unless the calls are picked by chance.
        fault = cls(**({} if "probability" in asked else {"count": 1}) | asked)
        fault._random = random.Random(fault.seed)
        return fault

    @property
    def takes_effect(self) -> bool:
        """Whether a call it disturbs is carried out nevertheless."""
        return self.kind in AFTER

    @property
    def is_over(self) -> bool:
        """Whether it has disturbed as many calls as it was to."""
        return self.count is not None and self.injected >= self.count

    def strikes(self, service: str, operation: str, caller: Caller) -> bool:
        """Whether this call is to be disturbed; counts it if it is one of those the fault is about."""
        if self.is_over or not self._is_about(service, operation, caller):
            return False
        self.matched += 1
        if self.matched <= self.skip or self._random.random() >= self.probability:
            return False
        self.injected += 1
        return True

    def answer(self, request: Request, answer: Answer | None) -> Answer | None:
        """What the caller is answered in place of `answer`; None when it gets no answer."""
        if self.kind == "throttled":
            return error_answers.throttled(request)
        if self.kind == "server-error":
            return error_answers.server_error(request, self.status)
        if self.kind == "denied":
            return error_answers.denied(request)
        if self.kind == "refused":
            return error_answers.refused(request, self.code, self.message)
        return answer if self.kind == "delayed" else None

    async def disturb(self) -> None:
        """Do to the caller's connection what the fault does to it."""
        if self.kind.startswith("reset"):
            Connection.current().reset()
        elif self.kind.startswith("no-answer"):
            await Connection.current().closed()
        elif self.kind == "delayed":
            await Connection.current().closed(self.seconds)

    def described(self) -> dict[str, Any]:
        """The fault as it was asked for, with its id and what it did so far."""
        asked = {name: getattr(self, name) for name in MEMBERS if getattr(self, name) != getattr(Fault, name, None)}
        return {"id": self.id, "matched": self.matched, "injected": self.injected} | asked

    def _is_about(self, service: str, operation: str, caller: Caller) -> bool:
        return (
            self.service in (None, service, api_models.MODEL_NAMES.get(service))
            and self.operation in (None, operation)
            and self._is_by(caller)
        )

    def _is_by(self, caller: Caller) -> bool:
        if self.caller is None:
            return caller.is_function
        return fnmatch.fnmatchcase(caller.name, self.caller) or caller.function_logical_id == self.caller


# What a tester may say of a fault.
MEMBERS: dict[str, Any] = {
    "kind": str,
    "service": str,
    "operation": str,
    "caller": str,
    "skip": int,
    "count": int,
    "probability": (int, float),
    "seed": int,
    "status": int,
    "code": str,
    "message": str,
    "seconds": (int, float),
}


class Faults:
    """The faults asked for, in their order, and those that happened. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []
        self._injected: list[dict[str, Any]] = []

    def add(self, asked: list[Any]) -> list[int]:
        """Add faults; answers their ids. All are checked before the first is added."""
        faults = [Fault.of(each) for each in asked]
        with self._lock:
            for fault in faults:
                fault.id = next(self._ids)
            self._faults += faults
        return [fault.id for fault in faults]

    def clear(self) -> None:
        """Forget all faults, and what they did."""
        with self._lock:
            self._faults, self._injected = [], []

    def report(self) -> dict[str, Any]:
        """What was injected so far, and the faults of which there is more to come."""
        with self._lock:
            left = [fault.described() for fault in self._faults if not fault.is_over]
            return {"injected": list(self._injected), "left": left}

    def draw(self, service: str, operation: str, caller: Caller) -> Fault | None:
        """The first fault that strikes this call, if one does."""
        with self._lock:
            return next((fault for fault in self._faults if fault.strikes(service, operation, caller)), None)

    def note(self, fault: Fault, service: str, operation: str, caller: Caller, seq: int) -> None:
        """Keep that a fault was injected into the call that is the journal's entry `seq`."""
        with self._lock:
            self._injected.append(
                {
                    "seq": seq,
                    "fault": fault.id,
                    "kind": fault.kind,
                    "service": service,
                    "operation": operation,
                    "caller": caller.name,
                }
            )


def _check(asked: dict[str, Any]) -> None:
    """Refuse what could never happen as it was asked for."""
    kind = asked.get("kind")
    if kind not in KINDS:
        raise ApiError("BadRequest", f"a fault's kind is one of {', '.join(KINDS)}")
    if ("seconds" in asked) != (kind == "delayed"):
        raise ApiError("BadRequest", "a fault has seconds if its kind is delayed, and only then")
    if "status" in asked and (kind != "server-error" or asked["status"] not in error_answers.SERVER_ERRORS):
        raise ApiError("BadRequest", "a fault may have status 500 or 503 if its kind is server-error, and only then")
    if ("code" in asked) != (kind == "refused") or ("message" in asked and kind != "refused"):
        raise ApiError(
            "BadRequest", "a fault has a code, and may have a message, if its kind is refused, and only then"
        )
    if kind == "refused" and asked.get("caller") == EVENT_BRIDGE:
        raise ApiError("BadRequest", "a delivery of eventbridge is not refused; it can be throttled or denied")
    if asked.get("probability", 1) > 1:
        raise ApiError("BadRequest", "a fault's probability is a number from 0 to 1")
    if "seed" in asked and "probability" not in asked:
        raise ApiError("BadRequest", "a fault with a seed needs a probability")
    if "operation" in asked:
        model = api_models.service_model(asked.get("service", ""))
        if model is None:
            raise ApiError("BadRequest", f"a fault with an operation needs a service, not {asked.get('service')!r}")
        if asked["operation"] not in model.operation_names:
            raise ApiError("BadRequest", f"{asked['service']} has no operation {asked['operation']!r}")
    elif "service" in asked and api_models.service_model(asked["service"]) is None:
        raise ApiError("BadRequest", f"the service {asked['service']!r} does not exist")
