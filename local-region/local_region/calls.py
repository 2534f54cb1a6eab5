"""Every API call to the Region, into the journal; and the faults that are put in its way."""

import json
import re
import time
from typing import Any

from ministack import app

from local_region.callers import Caller
from local_region.faults import Faults
from local_region.journal import Journal
from local_region.operations import Answer
from local_region.request import Request


class Calls:
    """Serves each call that reaches the Region, and journals it: by whom, of what, answered how, how fast."""

    def __init__(self, journal: Journal, faults: Faults) -> None:
        self._journal = journal
        self._faults = faults
        self._dispatch = app._dispatch_service_request
        app._dispatch_service_request = self._serve

    async def _serve(
        self, method: str, path: str, headers: dict, body: bytes, query: dict[str, Any], request_id: str
    ) -> Any:
        started = time.perf_counter()
        request, caller = Request.of(request_id, method, path, headers, body, query), Caller.of(headers)
        caller.is_served()
        fault = self._faults.draw(request.service, request.operation, caller)
        answer: Answer | None = None
        if fault is None or fault.takes_effect:
            answer = await self._dispatch(method, path, headers, body, query, request_id)
        if fault:
            answer = fault.answer(request, answer)
        status, answer_headers, answer_body = answer or (None, {}, b"")
        seq = self._journal.record(
            "call",
            service=request.service,
            operation=request.operation,
            caller=caller.name,
            status=status,
            errorCode=error_code(answer_headers, answer_body) if status and status >= 400 else None,
            durationMs=round((time.perf_counter() - started) * 1000, 2),
            fault=fault.kind if fault else None,
            **({"stateMachine": caller.state_machine} if caller.state_machine else {}),
        )
        if fault:
            self._faults.note(fault, request.service, request.operation, caller, seq)
            await fault.disturb()
        # What is answered on a closed connection reaches nobody.
        return answer or (500, {}, b"")


def error_code(headers: dict[str, str], answer: Any) -> str | None:
    """The error code in an answer, in any of AWS's protocols; None when it names none."""
    named = {name.lower(): value for name, value in headers.items()}.get("x-amzn-errortype")
    if named:
        return named.split(":")[0]
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    xml = re.search(r"<Code>([^<]+)</Code>", text)
    if xml:
        return xml.group(1)
    try:
        return json.loads(text)["__type"].rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        return None
