"""The Region's own endpoints, under /_local-region: what AWS does itself and a customer cannot, and what happened."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from local_region.api_error import ApiError
from local_region.bucket_backups import BucketBackups
from local_region.efs_backups import root_directories, set_root_directories
from local_region.event_bus import EventBus
from local_region.faults import Faults
from local_region.guests import OWN_FOLDERS, Guests
from local_region.instances import TROUBLES as TROUBLES_OF_INSTANCES
from local_region.instances import Instances
from local_region.journal import Journal
from local_region.ops_items import OpsItems
from local_region.pending_work import PendingWork
from local_region.restore_jobs import RestoreJobs
from local_region.routing_controls import PATH as ROUTING_ENDPOINT
from local_region.routing_controls import RoutingControls
from local_region.schedules import Schedules
from local_region.status_changes import StatusChanges
from local_region.volumes import TROUBLES, Volumes

PREFIX = "/_local-region/"
Asgi = Callable[[dict, Callable, Callable], Awaitable[None]]


class Control:
    """An ASGI application that serves the control endpoints and hands every other request on."""

    def __init__(
        self,
        rest: Asgi,
        ready: dict[str, Any],
        journal: Journal,
        pending: PendingWork,
        events: EventBus,
        schedules: Schedules,
        restores: RestoreJobs,
        faults: Faults,
        routing: RoutingControls,
        ops_items: OpsItems,
        volumes: Volumes,
        changes: StatusChanges,
        guests: Guests,
        buckets: BucketBackups,
        instances: Instances,
    ) -> None:
        self._rest = rest
        self._ready = ready
        self._journal = journal
        self._pending = pending
        self._events = events
        self._schedules = schedules
        self._restores = restores
        self._faults = faults
        self._routing = routing
        self._ops_items = ops_items
        self._volumes = volumes
        self._changes = changes
        self._guests = guests
        self._buckets = buckets
        self._instances = instances
        self._endpoints = {
            ("POST", "events"): self._post_events,
            ("GET", "journal"): self._get_journal,
            ("GET", "idle"): self._get_idle,
            ("GET", "ready"): self._get_ready,
            ("POST", "restore-tests"): self._post_restore_tests,
            ("POST", "restore-failures"): self._post_restore_failures,
            ("GET", "restore-failures"): self._get_restore_failures,
            ("DELETE", "restore-failures"): self._delete_restore_failures,
            ("POST", "object-failures"): self._post_object_failures,
            ("GET", "object-failures"): self._get_object_failures,
            ("DELETE", "object-failures"): self._delete_object_failures,
            ("DELETE", "restore-tokens"): self._delete_restore_tokens,
            ("GET", "routing"): self._get_routing,
            ("POST", "routing"): self._post_routing,
            ("POST", "routing-endpoints"): self._post_routing_endpoints,
            ("GET", "ops-item-quota"): self._get_ops_item_quota,
            ("POST", "ops-item-quota"): self._post_ops_item_quota,
            ("POST", "schedules"): self._post_schedules,
            ("POST", "volume-troubles"): self._post_volume_troubles,
            ("POST", "instance-troubles"): self._post_instance_troubles,
            ("POST", "status-ends"): self._post_status_ends,
            ("GET", "file-system-directories"): self._get_directories,
            ("POST", "file-system-directories"): self._post_directories,
            ("GET", "mounts"): self._get_mounts,
            ("POST", "guest-files"): self._post_guest_files,
            ("POST", "faults"): self._post_faults,
            ("GET", "faults"): self._get_faults,
            ("DELETE", "faults"): self._delete_faults,
        }

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Serve one ASGI connection."""
        is_own = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        if not is_own or ROUTING_ENDPOINT.match(scope["path"]):
            await self._rest(scope, receive, send)
            return
        endpoint = self._endpoints.get((scope["method"], scope["path"][len(PREFIX) :]))
        try:
            if endpoint is None:
                known = ", ".join(f"{method} {PREFIX}{name}" for method, name in self._endpoints)
                raise ApiError("NotFound", f"this control endpoint does not exist; known are {known}", 404)
            query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
            status, answer = 200, await endpoint(query, await _body(receive))
        except ApiError as error:
            status, answer = error.status, {"error": error.code, "message": error.message}
        await _send_json(send, status, answer)

    async def _post_events(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        events = _json(body)
        return {"eventIds": self._events.accept(events if isinstance(events, list) else [events])}

    async def _get_journal(self, query: dict[str, str], _body: bytes) -> dict[str, Any]:
        since, timeout = int(_number(query, "since", "0")), _number(query, "timeout", "0")
        if timeout:
            await asyncio.to_thread(self._journal.wait, since, timeout)
        return self._journal.since(since)

    async def _get_idle(self, query: dict[str, str], _body: bytes) -> dict[str, Any]:
        idle = await self._pending.idle(_number(query, "timeout", "30"))
        return {"idle": idle, "pending": self._pending.counts()}

    async def _get_ready(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        return self._ready

    async def _post_restore_tests(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        request = _json(body)
        if not isinstance(request, dict) or not isinstance(request.get("recoveryPointArn"), str):
            raise ApiError("BadRequest", 'expected {"recoveryPointArn": "...", "metadata": {...}}')
        return {"restoreJobId": self._restores.start_test(request["recoveryPointArn"], request.get("metadata") or {})}

    async def _post_restore_failures(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        message, arn, count = _failures(body, "message", str)
        self._restores.fail(message, arn, count)
        return {"failures": self._restores.failures()}

    async def _get_restore_failures(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        return {"failures": self._restores.failures()}

    async def _delete_restore_failures(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        self._restores.forget_failures()
        return {"failures": []}

    async def _post_object_failures(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        keys, arn, count = _failures(body, "keys", list)
        if not keys or not all(isinstance(key, str) for key in keys):
            raise ApiError("BadRequest", "expected keys of objects")
        self._buckets.fail_objects(keys, arn, count)
        return {"failures": self._buckets.object_failures()}

    async def _get_object_failures(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        return {"failures": self._buckets.object_failures()}

    async def _delete_object_failures(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        self._buckets.forget_object_failures()
        return {"failures": []}

    async def _delete_restore_tokens(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        self._restores.forget_tokens()
        return {"tokens": []}

    async def _get_routing(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        return self._routing.report()

    async def _post_routing(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        return self._routing.make(_json(body))

    async def _post_routing_endpoints(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        return self._routing.take_away(_json(body))

    async def _get_ops_item_quota(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        return {"left": self._ops_items.left}

    async def _post_ops_item_quota(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        request = _json(body)
        left = request.get("left") if isinstance(request, dict) else -1
        if not isinstance(request, dict) or list(request) != ["left"] or not _is_count_or_none(left):
            raise ApiError("BadRequest", 'expected {"left": 0}: how many more OpsItems may be created, or null')
        self._ops_items.left = left
        return {"left": left}

    async def _post_schedules(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        request = _json(body)
        if not isinstance(request, dict) or not isinstance(request.get("rule"), str) or not request["rule"]:
            raise ApiError("BadRequest", 'expected {"rule": "..."}: the name of a scheduled rule')
        return self._schedules.fire(request["rule"])

    async def _post_volume_troubles(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        request = _json(body)
        if (
            not isinstance(request, dict)
            or set(request) != {"resourceId", "trouble"}
            or not isinstance(request["resourceId"], str)
            or request["trouble"] not in (*TROUBLES, None)
        ):
            known = ", ".join(TROUBLES)
            raise ApiError("BadRequest", f'expected {{"resourceId": "vol-..", "trouble": ..}}, one of {known} or null')
        return {"troubles": self._volumes.let_have(request["resourceId"], request["trouble"])}

    async def _post_instance_troubles(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        request = _json(body)
        if (
            not isinstance(request, dict)
            or set(request) != {"instanceType", "zone", "trouble"}
            or not isinstance(request["instanceType"], str)
            or not isinstance(request["zone"], str)
            or request["trouble"] not in (*TROUBLES_OF_INSTANCES, None)
        ):
            known = ", ".join(TROUBLES_OF_INSTANCES)
            raise ApiError(
                "BadRequest",
                f'expected {{"instanceType": "..", "zone": "..", "trouble": ..}}, * for any, one of {known} or null',
            )
        return {"troubles": self._instances.let_have(request["instanceType"], request["zone"], request["trouble"])}

    async def _post_status_ends(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        request = _json(body)
        if (
            not isinstance(request, dict)
            or set(request) != {"name", "status"}
            or not isinstance(request["name"], str)
            or not isinstance(request["status"], (str, type(None)))
        ):
            raise ApiError("BadRequest", 'expected {"name": "..", "status": ".." or null}')
        return {"ends": self._changes.let_end_in(request["name"], request["status"])}

    async def _get_directories(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        return {"directories": root_directories()}

    async def _post_directories(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        request = _json(body)
        names = request.get("directories") if isinstance(request, dict) else None
        if (
            not isinstance(names, list)
            or set(request) != {"fileSystemId", "directories"}
            or not all(isinstance(name, str) for name in names)
        ):
            raise ApiError("BadRequest", 'expected {"fileSystemId": "fs-..", "directories": [..]}')
        return {"directories": set_root_directories(request["fileSystemId"], names)}

    async def _get_mounts(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        return {"mounts": await asyncio.to_thread(self._guests.mounts)}

    async def _post_guest_files(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        request = _json(body)
        files = request.get("files") if isinstance(request, dict) else None
        if not isinstance(files, list) or list(request) != ["files"] or not all(_is_own_file(name) for name in files):
            folders = " or ".join(OWN_FOLDERS)
            raise ApiError("BadRequest", f'expected {{"files": ["/srv/.."]}}: files below {folders}')
        return {"files": await asyncio.to_thread(self._guests.set_files, files)}

    async def _post_faults(self, _query: dict[str, str], body: bytes) -> dict[str, Any]:
        asked = _json(body)
        return {"faults": self._faults.add(asked if isinstance(asked, list) else [asked])}

    async def _get_faults(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        return self._faults.report()

    async def _delete_faults(self, _query: dict[str, str], _body: bytes) -> dict[str, Any]:
        self._faults.clear()
        return self._faults.report()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise ApiError("BadRequest", f"the request body is not JSON: {error}") from error


def _is_own_file(name: Any) -> bool:
    """Whether it is the name of a file that a guest may have without touching this machine."""
    if not isinstance(name, str) or not name.startswith(tuple(f"{own}/" for own in OWN_FOLDERS)):
        return False
    return all(part not in ("", ".", "..") for part in name[1:].split("/"))


def _failures(body: bytes, what: str, of: type) -> tuple[Any, str | None, int]:
    """What is to fail, of which recovery point, and how many times."""
    request = _json(body)
    wrong = not isinstance(request, dict) or set(request) - {"recoveryPointArn", what, "count"}
    count, arn = (1, None) if wrong else (request.get("count", 1), request.get("recoveryPointArn"))
    if (
        wrong
        or not isinstance(request.get(what), of)
        or not isinstance(count, int)
        or count < 1
        or not isinstance(arn, (str, type(None)))
    ):
        raise ApiError("BadRequest", f'expected {{"recoveryPointArn": "...", "{what}": .., "count": 1}}')
    return request[what], arn, count


def _is_count_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _number(query: dict[str, str], name: str, default: str) -> float:
    try:
        return float(query.get(name, default))
    except ValueError as error:
        raise ApiError("BadRequest", f"{name}={query[name]} is not a number") from error


async def _body(receive: Callable) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _send_json(send: Callable, status: int, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
