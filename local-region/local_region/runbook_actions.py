"""The actions of runbooks' steps, carried out: scripts, API calls, waits, state machines."""

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from ministack.core.concurrency import run_reentrant
from ministack.core.responses import get_region

from local_region.roles import Credentials
from local_region.runbook_values import Invalid, selected
from local_region.settings import Settings

SCRIPT = Path(__file__).with_name("runbook_script.py")
# What a script's process gets of the server's environment.
PASSED_ON = ("AWS_CONFIG_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_ENDPOINT_URL", "AWS_SHARED_CREDENTIALS_FILE")
PASSED_ON += ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "NO_PROXY", "PATH", "PYTHONPATH", "TZ", "VIRTUAL_ENV")
# Pauses between two looks at a resource, before --wait-scale, and the shortest there are.
LOOK_SECONDS = 10
SHORTEST_PAUSE_SECONDS = 0.05
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
OF_CALLS = ("Service", "Api", "PropertySelector", "DesiredValues")


class StepFailed(Exception):
    """A step that failed, and why."""


@dataclass(frozen=True)
class Doing:
    """One step that is being carried out: with which inputs, and in whose name."""

    inputs: dict[str, Any]
    credentials: Credentials

    def input(self, name: str) -> Any:
        """One of the inputs, which must be there."""
        if self.inputs.get(name) in (None, ""):
            raise StepFailed(f"The input {name} is missing.")
        return self.inputs[name]


class RunbookActions:
    """Carries out steps. Each action answers what selectors and outputs are read from."""

    def __init__(self, settings: Settings, endpoint: str) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._session = botocore.session.Session()
        self._lock = threading.Lock()
        self._actions: dict[str, Callable[[Doing], Awaitable[Any]]] = {
            "aws:assertAwsResourceProperty": self._assert_property,
            "aws:executeAwsApi": self._execute_api,
            "aws:executeScript": self._execute_script,
            "aws:executeStateMachine": self._execute_state_machine,
            "aws:sleep": self._sleep,
            "aws:waitForAwsResourceProperty": self._wait_for_property,
        }

    async def carry_out(self, action: str, doing: Doing) -> Any:
        """Carry out one step; answers its result, or raises StepFailed."""
        if action not in self._actions:
            raise StepFailed(f"The local Region does not imitate {action}.")
        try:
            return await self._actions[action](doing)
        except Invalid as error:
            raise StepFailed(str(error)) from error

    async def call(self, doing: Doing, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """The answer of an API operation, called with the step's credentials."""
        answer = await run_reentrant(self._call, doing.credentials, service, operation, params)
        return {name: _plain(value) for name, value in answer.items() if name != "ResponseMetadata"}

    def _call(self, credentials: Credentials, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            # Making clients of one session is not safe in several threads at once.
            with self._lock:
                client = self._session.create_client(
                    service,
                    region_name=get_region(),
                    endpoint_url=self._endpoint,
                    aws_access_key_id=credentials.access_key_id,
                    aws_secret_access_key=credentials.secret_access_key,
                    aws_session_token=credentials.session_token,
                )
            if operation not in client.meta.service_model.operation_names:
                raise StepFailed(f"The service {service} has no operation {operation}.")
            return client._make_api_call(operation, params)
        except (BotoCoreError, ClientError) as error:
            raise StepFailed(str(error)) from error

    async def _execute_api(self, doing: Doing) -> Any:
        params = {name: value for name, value in doing.inputs.items() if name not in OF_CALLS}
        return await self.call(doing, doing.input("Service"), doing.input("Api"), params)

    async def _property(self, doing: Doing) -> Any:
        return selected(await self._execute_api(doing), doing.input("PropertySelector"))

    async def _assert_property(self, doing: Doing) -> Any:
        found = await self._property(doing)
        if not _is_desired(found, doing):
            raise StepFailed(f"{doing.input('PropertySelector')} is {found}, not in {doing.input('DesiredValues')}.")
        return {}

    async def _wait_for_property(self, doing: Doing) -> Any:
        while not _is_desired(await self._property(doing), doing):
            await self._pause(LOOK_SECONDS)
        return {}

    async def _sleep(self, doing: Doing) -> Any:
        duration = DURATION.fullmatch(doing.input("Duration"))
        if not duration:
            raise StepFailed(f"The local Region does not imitate the duration {doing.inputs['Duration']}.")
        days, hours, minutes, seconds = (int(part or 0) for part in duration.groups())
        await self._pause(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
        return {}

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(max(SHORTEST_PAUSE_SECONDS, seconds * self._settings.wait_scale))

    async def _execute_state_machine(self, doing: Doing) -> Any:
        wanted = {name: doing.inputs[name] for name in ("name", "input") if doing.inputs.get(name)}
        wanted["stateMachineArn"] = doing.input("stateMachineArn")
        started = await self.call(doing, "stepfunctions", "StartExecution", wanted)
        about = {"executionArn": started["executionArn"]}
        try:
            while (execution := await self.call(doing, "stepfunctions", "DescribeExecution", about))[
                "status"
            ] == "RUNNING":
                await self._pause(LOOK_SECONDS)
        except asyncio.CancelledError:
            # A step that is cancelled or has taken too long does not leave its execution running.
            await self.call(doing, "stepfunctions", "StopExecution", about)
            raise
        if execution["status"] != "SUCCEEDED":
            reason = ": ".join(execution[name] for name in ("error", "cause") if execution.get(name))
            raise StepFailed(f"The execution {execution['executionArn']} ended {execution['status']}. {reason}".strip())
        return execution

    async def _execute_script(self, doing: Doing) -> Any:
        runtime = str(doing.input("Runtime"))
        if not runtime.startswith("python3"):
            raise StepFailed(f"The local Region does not imitate scripts of runtime {runtime}.")
        with tempfile.TemporaryDirectory(prefix="runbook-script-") as folder:
            answer_file = Path(folder) / "answer.json"
            given = {
                "script": doing.input("Script"),
                "handler": doing.input("Handler"),
                "payload": doing.inputs.get("InputPayload") or {},
                "waitScale": self._settings.wait_scale,
                "answer": str(answer_file),
            }
            log = await _run_script(given, folder, self._script_environment(doing.credentials, folder))
            # A script that ends its own process leaves no answer.
            answer = json.loads(answer_file.read_text()) if answer_file.exists() else {"error": log}
        if "error" in answer:
            raise StepFailed(answer["error"].strip())
        return {"Payload": answer["payload"]}

    def _script_environment(self, credentials: Credentials, folder: str) -> dict[str, str]:
        own = {
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_DEFAULT_REGION": get_region(),
            "AWS_REGION": get_region(),
            "HOME": folder,
            "TMPDIR": folder,
        }
        if credentials.session_token:
            own["AWS_SESSION_TOKEN"] = credentials.session_token
        return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | own


async def _run_script(given: dict[str, Any], folder: str, environment: dict[str, str]) -> str:
    """Run a script to its end; answers what it printed. Its process ends with the step, whatever ends that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT.read_text(),
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate(json.dumps(given).encode())
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    return output.decode(errors="replace") or f"The script's process ended with exit code {process.returncode}."


def _is_desired(found: Any, doing: Doing) -> bool:
    return str(found).lower() in [str(value).lower() for value in doing.input("DesiredValues")]


def _plain(value: Any) -> Any:
    """An SDK's answer as JSON."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.isoformat() if hasattr(value, "isoformat") else value
