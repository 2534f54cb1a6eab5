"""S3 buckets: what S3 asks of who reads and deletes objects, and buckets in stacks."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ministack.core import iam_actions
from ministack.services import s3
from ministack.services.cloudformation import provisioners

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import Answer

# A resource's physical id, and the attributes Fn::GetAtt reads.
Created = tuple[str, dict[str, Any]]


def bucket_arn(name: str) -> str:
    """The ARN of a bucket, which names neither account nor Region."""
    return f"arn:aws:s3:::{name}"


def owner_is_enforced(name: str) -> bool:
    """Whether a bucket's Object Ownership disables ACLs."""
    return s3._bucket_owner_enforced(s3._buckets[name])


def check_bucket_calls() -> None:
    """Have calls on objects answered by what their caller may do, and system tags kept, where ministack does not."""
    action_of, dispatch = iam_actions.extract_iam_action, s3._dispatch

    def action(service: str, method: str, path: str, headers: dict, body: bytes, query: dict[str, Any]) -> str | None:
        # S3 decides on each key of a batch.
        if service == "s3" and _is_batch(method, path.strip("/").partition("/")[2], query):
            return None
        return action_of(service, method, path, headers, body, query)

    def dispatched(method: str, bucket: str, key: str, headers: dict, body: bytes, query: dict[str, Any]) -> Answer:
        caller = Caller.of(headers) if "authorization" in headers else None
        if caller and _is_batch(method, key, query):
            allowed, refused = _by_right(caller, bucket, body)
            return _with_refused(dispatch(method, bucket, key, headers, allowed, query), refused)
        if method in ("PUT", "DELETE") and not key and "tagging" in query and not _keeps_system_tags(bucket, body):
            return s3._error("InvalidTag", "System Tags cannot be removed by requester", 400, f"/{bucket}")
        answer = dispatch(method, bucket, key, headers, body, query)
        if caller and key and method in ("GET", "HEAD") and answer[0] == 404 and bucket in s3._buckets:
            # S3 reveals whether an object exists only to callers that may list the bucket.
            try:
                caller.require("s3:ListBucket", bucket_arn(bucket))
            except ApiError:
                return s3._error("AccessDenied", "Access Denied", 403)
        return answer

    iam_actions.extract_iam_action = action
    s3._dispatch = dispatched


def add_bucket_resources() -> None:
    """Have stacks make buckets with their ownership and encryption, and keep those that are not empty."""
    buckets = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"] = buckets | {
        "create": _configured(buckets["create"]),
        "update": _configured(buckets["update"]),
        "delete": _delete_empty,
    }


def _configured(act: Callable[..., Created]) -> Callable[..., Created]:
    """A bucket with what ministack leaves out of its properties."""

    def create_or_update(*args: Any) -> Created:
        bucket, attributes = act(*args)
        # Create takes (logical id, properties, ...), update (physical id, old properties, new properties, ...).
        props = args[2] if isinstance(args[2], dict) else args[1]
        for rule in (props.get("OwnershipControls") or {}).get("Rules") or []:
            s3._put_bucket_ownership_controls(
                bucket, _document("OwnershipControls", {"ObjectOwnership": rule["ObjectOwnership"]})
            )
        for rule in (props.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration") or []:
            default = {"ApplyServerSideEncryptionByDefault": rule.get("ServerSideEncryptionByDefault") or {}}
            s3._put_bucket_encryption(bucket, _document("ServerSideEncryptionConfiguration", default))
        if (props.get("VersioningConfiguration") or {}).get("Status") == "Suspended":
            s3._bucket_versioning[bucket] = "Suspended"
        return bucket, attributes

    return create_or_update


def _document(root: str, rule: dict[str, Any]) -> bytes:
    """A configuration of one rule, as S3 takes it."""
    return f'<{root} xmlns="{s3.S3_NS}"><Rule>{_elements(rule)}</Rule></{root}>'.encode()


def _elements(values: dict[str, Any]) -> str:
    return "".join(
        f"<{name}>{_elements(value) if isinstance(value, dict) else escape(str(value))}</{name}>"
        for name, value in values.items()
    )


def _delete_empty(bucket: str, _props: dict[str, Any]) -> None:
    status, _, body = s3._delete_bucket(bucket)
    if status == 409:
        raise ValueError("The bucket you tried to delete is not empty. You must delete all versions in the bucket.")
    # What is gone already is deleted.
    if status >= 400 and status != 404:
        raise ValueError(body.decode())


def _is_batch(method: str, key: str, query: dict[str, Any]) -> bool:
    """Whether a request is DeleteObjects."""
    return method == "POST" and not key and "delete" in query


def _keeps_system_tags(bucket: str, body: bytes) -> bool:
    """Whether the tags of a request, which replace those of a bucket, have the tags that AWS itself gave it."""
    system = {key: value for key, value in s3._bucket_tags.get(bucket, {}).items() if key.startswith("aws:")}
    try:
        given = s3._parse_tags_xml(body) if body else {}
    except ElementTree.ParseError:
        return True
    return system.items() <= given.items()


def _by_right(caller: Caller, bucket: str, body: bytes) -> tuple[bytes, list[dict[str, str]]]:
    """The body of DeleteObjects with the objects that a caller may delete; and the other objects."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return body, []
    refused = []
    for element in list(root):
        given = {_name(child): child.text or "" for child in element if _name(child) in ("Key", "VersionId")}
        if _name(element) != "Object" or not given.get("Key"):
            continue
        action = "s3:DeleteObjectVersion" if given.get("VersionId") else "s3:DeleteObject"
        try:
            caller.require(action, f"{bucket_arn(bucket)}/{given['Key']}")
        except ApiError:
            refused.append(given)
            root.remove(element)
    return ElementTree.tostring(root), refused


def _with_refused(answer: Answer, refused: list[dict[str, str]]) -> Answer:
    """The answer to DeleteObjects with an error for each object that its caller may not delete."""
    status, headers, body = answer
    if status != 200 or not refused:
        return answer
    root = ElementTree.fromstring(body)
    for given in refused:
        error = ElementTree.SubElement(root, root.tag.replace("DeleteResult", "Error"))
        for name, value in (given | {"Code": "AccessDenied", "Message": "Access Denied"}).items():
            ElementTree.SubElement(error, root.tag.replace("DeleteResult", name)).text = value
    return status, headers, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
