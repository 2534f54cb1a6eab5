"""Lambda's asynchronous invocation (retries, destinations, dead-letter queues), and a journal of every invocation."""

import asyncio
import contextlib
import contextvars
import datetime
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.config
import botocore.session
from botocore.exceptions import ClientError
from ministack.core import lambda_runtime
from ministack.core.arn import parse_arn
from ministack.core.concurrency import run_reentrant
from ministack.services import lambda_svc

from local_region.callers import LAMBDA, Caller, user_agent
from local_region.journal import Journal
from local_region.pending_work import PendingWork
from local_region.settings import Settings

# Lambda's default when a function has no EventInvokeConfig.
DEFAULT_RETRIES = 2
DEFAULT_MAXIMUM_AGE_SECONDS = 6 * 3600
# Of the server's own environment, what a function's process gets.
PASSED_ON = ("AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED", "LANG", "LD_LIBRARY_PATH", "PATH", "TZ")
# The error of a function that did not answer within its timeout.
TIMED_OUT = "Sandbox.Timedout"
# How much of a failed invocation's log the journal keeps.
LOG_TAIL = 4096
# AWS's default quota of concurrent executions. How many run at once here follows the machine, and is no quota.
CONCURRENT_EXECUTIONS = 1000


@dataclass(frozen=True)
class Attempt:
    """One of the attempts at one invocation. All attempts share a request id, as in AWS."""

    request_id: str
    number: int
    event_id: str | None


_attempt: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar("attempt", default=None)


class Functions:
    """Invokes functions, and ends their processes with the Region."""

    def __init__(self, settings: Settings, journal: Journal, pending: PendingWork, endpoint: str) -> None:
        self._settings = settings
        self._journal = journal
        self._pending = pending
        self._endpoint = endpoint
        self._closed = False
        self._cold: set[str] = set()
        # An asynchronous invocation waits as an event, a synchronous one as a request, which Lambda begins at once:
        # there are never more events before it than run at the same time.
        self._events_begun = asyncio.Semaphore(settings.functions_at_once)
        self._running = threading.Semaphore(settings.functions_at_once)
        self._execute = lambda_svc._execute_function_dispatch
        self._worker_invoke = lambda_runtime.ProvidedWorker.invoke
        self._worker_env = lambda_svc._provided_worker_env
        self._runtime_api = lambda_runtime.ProvidedWorker._build_handler_class
        functions = self

        def worker_invoke(worker: Any, event: Any, request_id: str, **headers: Any) -> dict[str, Any]:
            seconds = settings.function_timeout_seconds
            if seconds:
                worker.config = worker.config | {"Timeout": seconds}
            result = functions._worker_invoke(worker, event, request_id, **headers)
            if result.get("cold_start"):
                functions._cold.add(request_id)
            error = result.get("error_payload")
            if isinstance(error, dict) and error.get("errorType") == TIMED_OUT:
                error["errorMessage"] = f"Task timed out after {worker.config['Timeout']:.2f} seconds"
            return result

        def prompt_runtime_api(worker: Any, *rest: Any) -> Any:
            handler = functions._runtime_api(worker, *rest)
            # It writes an event in two pieces; the second would wait 40 ms for the first to be acknowledged.
            handler.disable_nagle_algorithm = True
            return handler

        lambda_svc._get_account_settings = _account_settings(lambda_svc._get_account_settings)
        lambda_svc._execute_function_dispatch = self._execute_journalled
        lambda_svc.invoke_async_with_retry = self.invoke_async
        lambda_svc._provided_worker_env = self._function_environment
        # A function that has no extension gets no time to end in (LMB lambda-runtime-environment).
        lambda_runtime._signal = _kill
        lambda_runtime.ProvidedWorker.invoke = worker_invoke
        lambda_runtime.ProvidedWorker._build_handler_class = prompt_runtime_api

    def invoke_async(self, func: dict[str, Any], event: Any, event_id: str | None = None) -> None:
        """Queue an event for a function, as Lambda's invocation type Event does; `event_id` is EventBridge's."""
        self._pending.start("invocation", self._run_attempts(func, event, event_id))

    def close(self) -> None:
        """End every function's process; nothing is invoked after this."""
        self._closed = True
        lambda_runtime.reset()

    async def _run_attempts(self, func: dict[str, Any], event: Any, event_id: str | None) -> None:
        options = func.get("event_invoke_config") or (func.get("event_invoke_configs") or {}).get("$LATEST") or {}
        retries = int(options.get("MaximumRetryAttempts", DEFAULT_RETRIES))
        maximum_age = int(options.get("MaximumEventAgeInSeconds", DEFAULT_MAXIMUM_AGE_SECONDS))
        queued_at = time.monotonic()
        request_id = str(uuid.uuid4())
        number = 1
        while True:
            _attempt.set(Attempt(request_id, number, event_id))
            async with self._events_begun:
                result = await run_reentrant(lambda_svc._execute_function_with_config_scope, _as_it_is_now(func), event)
            pause = self._settings.retry_seconds[min(number, 2) - 1]
            too_old = time.monotonic() - queued_at + pause > maximum_age
            condition = _condition(result, number > retries, too_old)
            if condition:
                break
            # A throttled event goes back to the queue, and that is no attempt.
            number += 0 if result.get("throttle") else 1
            await asyncio.sleep(pause)
        await run_reentrant(self._finish, func, event, options, result, condition, _attempt.get())

    def _finish(
        self,
        func: dict[str, Any],
        event: Any,
        options: dict[str, Any],
        result: dict[str, Any],
        condition: str,
        last: Attempt,
    ) -> None:
        """Send the result of an asynchronous invocation to its destination, and a failure to the dead-letter queue."""
        config = func["config"]
        outcome = "OnSuccess" if condition == "Success" else "OnFailure"
        destination = ((options.get("DestinationConfig") or {}).get(outcome) or {}).get("Destination")
        if destination:
            record = _invocation_record(config, event, result, condition, last)
            self._send(config, destination, record, {}, condition, outcome == "OnFailure", last)
        queue = (config.get("DeadLetterConfig") or {}).get("TargetArn")
        if queue and condition != "Success":
            attributes = {
                "RequestID": last.request_id,
                "ErrorCode": "200",
                "ErrorMessage": _error(result)["errorMessage"][:1024],
            }
            self._send(config, queue, event, attributes, condition, True, last)

    def _send(
        self,
        config: dict[str, Any],
        target: str,
        body: Any,
        attributes: dict[str, str],
        condition: str,
        failed: bool,
        last: Attempt,
    ) -> None:
        """Send to a destination with the function's own role, so that a role which may not is refused as in AWS."""
        refusal = None
        try:
            self._call_destination(config, target, json.dumps(body), attributes)
        except ClientError as error:
            refusal = str(error)
        if failed or refusal:
            self._journal.record(
                "dead-letter",
                queue=target,
                attributes=attributes,
                reason=condition,
                delivered=refusal is None,
                refusal=refusal,
                function=config["FunctionName"],
                requestId=last.request_id,
                eventId=last.event_id,
            )

    def _call_destination(self, config: dict[str, Any], target: str, body: str, attributes: dict[str, str]) -> None:
        arn = parse_arn(target)
        # The types of LMB invocation-async-retain-records.
        named = {
            name: {"DataType": "Number" if name == "ErrorCode" else "String", "StringValue": value}
            for name, value in attributes.items()
        }
        client = self._client_of(
            config, {"sqs": "sqs", "sns": "sns", "lambda": "lambda", "events": "events"}[arn.service], arn.region
        )
        if arn.service == "sqs":
            url = f"{self._endpoint}/{arn.account_id}/{arn.resource}"
            client.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=named)
        elif arn.service == "sns":
            client.publish(TopicArn=target, Message=body, MessageAttributes=named)
        elif arn.service == "lambda":
            client.invoke(FunctionName=target, InvocationType="Event", Payload=body)
        else:
            end = "Success" if json.loads(body)["requestContext"]["condition"] == "Success" else "Failure"
            client.put_events(
                Entries=[
                    {
                        "EventBusName": target,
                        "Source": "lambda",
                        "Detail": body,
                        "DetailType": f"Lambda Function Invocation Result - {end}",
                        "Resources": [config["FunctionArn"]],
                    }
                ]
            )

    def _client_of(self, config: dict[str, Any], service: str, region: str) -> Any:
        credentials = lambda_runtime.execution_credentials(config)
        return botocore.session.Session().create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint,
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=credentials["AWS_SESSION_TOKEN"],
            config=botocore.config.Config(user_agent_extra=user_agent(LAMBDA)),
        )

    def _execute_journalled(
        self, func: dict[str, Any], config: dict[str, Any], event: Any, request_id: str, started: float
    ) -> dict[str, Any]:
        """Run one attempt at an invocation, synchronous ones included, in the thread it was given."""
        if self._closed:
            return {
                "error": True,
                "body": {"errorType": "Region.Closed", "errorMessage": "The local Region is shutting down"},
            }
        attempt = _attempt.get() or Attempt(request_id, 1, None)
        about = {
            "function": config["FunctionName"],
            "logicalId": (func.get("tags") or {}).get("aws:cloudformation:logical-id"),
            "requestId": attempt.request_id,
            "attempt": attempt.number,
            "eventId": attempt.event_id,
        }
        with self._pending.counted("invocation"), self._may_run():
            self._journal.record("invocation-started", **about)
            began = time.perf_counter()
            result = self._execute(func, config, event, attempt.request_id, started)
            outcome = (
                {"error": _error(result), "log": result.get("log", "")[-LOG_TAIL:]}
                if result.get("error")
                else {"result": result.get("body")}
            )
            self._journal.record(
                "invocation",
                **about,
                cold=attempt.request_id in self._cold,
                durationMs=round((time.perf_counter() - began) * 1000, 2),
                **outcome,
            )
            self._cold.discard(attempt.request_id)
        return result

    def _may_run(self) -> contextlib.AbstractContextManager[Any]:
        """Waits until this invocation may run. One that a function waits for may at once: that function runs, too."""
        is_nested = _attempt.get() is None and Caller.is_current_function()
        return contextlib.nullcontext() if is_nested else self._running

    def _function_environment(self, config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        """What a function's process sees: what Lambda would set, and nothing of the server's own environment."""
        environment = self._worker_env(config, code_dir, port)
        own = lambda_svc._runtime_env_vars(config)
        logging = config.get("LoggingConfig") or {}
        ours = {
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}",
            "AWS_LAMBDA_LOG_FORMAT": logging.get("LogFormat") or "Text",
        }
        if logging.get("ApplicationLogLevel"):
            ours["AWS_LAMBDA_LOG_LEVEL"] = logging["ApplicationLogLevel"]
        return ours | {
            name: value
            for name, value in environment.items()
            if name in own or name in lambda_svc._RESERVED_RUNTIME_ENV_VARS or name in PASSED_ON
        }


def _kill(process: "subprocess.Popen[bytes] | None") -> None:
    if process is not None:
        process.kill()


def _as_it_is_now(func: dict[str, Any]) -> dict[str, Any]:
    """A function with the code and concurrency it has by now; as it was, when it has been deleted since."""
    current, config, _ = lambda_svc._get_func_record_for_ref(func["config"]["FunctionArn"])
    return lambda_svc._execution_record_for_config(current, config) if current and config else func


def _condition(result: dict[str, Any], last_attempt: bool, too_old: bool) -> str | None:
    """Why an asynchronous invocation is over, in a destination's words; None when it is to be tried again."""
    if not result.get("error"):
        return "Success"
    if last_attempt and not result.get("throttle"):
        return "RetriesExhausted"
    return "EventAgeExceeded" if too_old else None


def _error(result: dict[str, Any]) -> dict[str, Any]:
    body = result.get("body")
    if not isinstance(body, dict):
        return {"errorType": "Unknown", "errorMessage": str(body)}
    return {
        "errorType": body.get("errorType") or body.get("__type") or "Unknown",
        "errorMessage": str(body.get("errorMessage") or body.get("message") or ""),
    }


def _invocation_record(
    config: dict[str, Any], event: Any, result: dict[str, Any], condition: str, last: Attempt
) -> dict[str, Any]:
    """What Lambda sends to a destination."""
    context: dict[str, Any] = {"statusCode": 200, "executedVersion": config.get("Version", "$LATEST")}
    if result.get("error"):
        context["functionError"] = result.get("function_error") or "Unhandled"
    return {
        "version": "1.0",
        "timestamp": datetime.datetime.now(datetime.timezone.utc)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "requestContext": {
            "requestId": last.request_id,
            "functionArn": f"{config['FunctionArn']}:{config.get('Version', '$LATEST')}",
            "condition": condition,
            "approximateInvokeCount": last.number,
        },
        "requestPayload": event,
        "responseContext": context,
        "responsePayload": result.get("body"),
    }


def _account_settings(answer: Callable[[], Any]) -> Callable[[], Any]:
    """GetAccountSettings with AWS's quota, less what functions have reserved of it."""

    def answered() -> Any:
        status, headers, body = answer()
        settings = json.loads(body)
        reserved = sum(int(function.get("concurrency") or 0) for function in lambda_svc._functions.values())
        settings["AccountLimit"] |= {
            "ConcurrentExecutions": CONCURRENT_EXECUTIONS,
            "UnreservedConcurrentExecutions": CONCURRENT_EXECUTIONS - reserved,
        }
        return status, headers, json.dumps(settings).encode()

    return answered
