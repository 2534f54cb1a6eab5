"""Parameters of Systems Manager: what AWS asks of who creates one with tags."""

import json

from ministack import app
from ministack.core.responses import get_account_id, get_region

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import Answer


def check_tags_of_new_parameters() -> None:
    """Refuse a parameter with tags to callers who may not set them."""
    serve_by_ministack = app.SERVICE_HANDLERS["ssm"]

    async def serve(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        if headers.get("x-amz-target", "").endswith(".PutParameter"):
            try:
                _check(json.loads(body or b"{}"), Caller.of(headers))
            except ApiError as error:
                content = {"__type": error.code, "message": error.message}
                return error.status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(content).encode()
        return await serve_by_ministack(method, path, headers, body, query)

    app.SERVICE_HANDLERS["ssm"] = serve


def _check(given: dict, caller: Caller) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in given.get("Tags") or []}
    if not tags:
        return
    name = given["Name"].removeprefix("/")
    context = {f"aws:RequestTag/{key}": value for key, value in tags.items()} | {"aws:TagKeys": list(tags)}
    arn = f"arn:aws:ssm:{get_region()}:{get_account_id()}:parameter/{name}"
    caller.require("ssm:AddTagsToResource", arn, **context)
