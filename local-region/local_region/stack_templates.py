"""Templates in S3, by the address AWS gives an object: https://<bucket>.s3.<Region>.amazonaws.com/<key>."""

import re
from typing import Any
from urllib.parse import urlsplit

from ministack.services.cloudformation import helpers

VIRTUAL_HOST = re.compile(r"(?P<bucket>[a-z0-9.-]+)\.s3[.-][a-z0-9-.]*amazonaws\.com(\.cn)?")


def object_of(url: str) -> tuple[str, str] | None:
    """The bucket and key of an object that AWS's own address names; None when it is none."""
    address = urlsplit(url)
    found = VIRTUAL_HOST.fullmatch(address.hostname or "")
    return (found["bucket"], address.path.lstrip("/")) if found else None


def read_templates_by_virtual_host() -> None:
    """Have CloudFormation find templates by addresses that begin with the bucket; ministack knows others only."""
    resolve = helpers._resolve_document

    def resolved(params: dict[str, Any], body_key: str, url_key: str, label: str) -> Any:
        address = urlsplit(helpers._p(params, url_key))
        found = VIRTUAL_HOST.fullmatch(address.hostname or "")
        if found:
            params = params | {url_key: [f"https://{address.hostname}/{found['bucket']}{address.path}"]}
        return resolve(params, body_key, url_key, label)

    helpers._resolve_document = resolved
