"""What FSx keeps: file systems, storage virtual machines, volumes and backups, by ARN, with their tags."""

from collections.abc import Iterator
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import tagging

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import add_json_operations
from local_region.pages import page, with_next_token

SERVICE = "fsx"
MOST_TAGS = 50
# The most records on a page; FSx does not say its own limit.
PAGE = 100
# Of each kind of resource, as its ARN says, the error of one that does not exist.
NOT_FOUND = {
    "file-system": "FileSystemNotFound",
    "storage-virtual-machine": "StorageVirtualMachineNotFound",
    "volume": "VolumeNotFound",
    "backup": "BackupNotFound",
}

_records = AccountRegionScopedDict()


class FsxResources:
    """All resources of FSx in the Region."""

    def __init__(self) -> None:
        tagging._COLLECTORS[SERVICE] = _collect
        # What a request token made: the request and the ARN.
        self._requests = AccountRegionScopedDict()
        add_json_operations(
            SERVICE,
            {"ListTagsForResource": self._list_tags, "TagResource": self._tag, "UntagResource": self._untag},
        )

    def keep(self, record: dict[str, Any]) -> None:
        """Keep a new resource."""
        _records[record["ResourceARN"]] = record

    def forget(self, record: dict[str, Any]) -> None:
        """The resource is gone."""
        _records.pop(record["ResourceARN"], None)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """All resources of a kind."""
        return [record for arn, record in _records.items() if _kind(arn) == kind]

    def find(self, kind: str, resource_id: str) -> dict[str, Any]:
        """A resource by its id, or the error of its kind."""
        for record in self.of_kind(kind):
            if record["ResourceARN"].rpartition("/")[2] == resource_id:
                return record
        raise fault(NOT_FOUND[kind], f"{kind.replace('-', ' ').capitalize()} '{resource_id}' does not exist.")

    def listed(
        self, name: str, kind: str, ids: list[str] | None, params: dict[str, Any], filters: dict[str, Any]
    ) -> dict[str, Any]:
        """A page of a kind: those that are named, or all that fulfil the request's filters.

        `filters` are readers of a record by the filters' names.
        """
        found = [self.find(kind, each) for each in ids] if ids else self.of_kind(kind)
        for given in params.get("Filters") or []:
            read = filters.get(given.get("Name"))
            if read is None:
                raise fault("BadRequest", f"The filter {given.get('Name')} is not supported here")
            found = [record for record in found if read(record) in (given.get("Values") or [])]
        shown, token = page(found, params.get("MaxResults") or PAGE, params.get("NextToken"), "BadRequest")
        return with_next_token({name: shown}, token)

    def repeated(self, params: dict[str, Any]) -> dict[str, Any] | None:
        """What the request's token made before, None when it is new; other parameters are refused."""
        made = self._requests.get(params.get("ClientRequestToken"))
        if made is None:
            return None
        request, arn = made
        changed = sorted(name for name in {*request, *params} if request.get(name) != params.get(name))
        if changed:
            message = "The client request token was used with other parameters before"
            raise fault("IncompatibleParameterError", message, Parameter=changed[0])
        return _records.get(arn)

    def remember(self, params: dict[str, Any], record: dict[str, Any]) -> None:
        """Remember what a request's token made."""
        if params.get("ClientRequestToken"):
            self._requests[params["ClientRequestToken"]] = (params, record["ResourceARN"])

    def _list_tags(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        tags = _existing(params["ResourceARN"]).get("Tags") or []
        shown, token = page(tags, params.get("MaxResults") or PAGE, params.get("NextToken"), "BadRequest")
        return with_next_token({"Tags": shown}, token)

    def _tag(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record, added = _existing(params["ResourceARN"]), tag_map(params["Tags"])
        check_tags(added)
        set_tags(record, tag_map(record.get("Tags")) | added)
        return {}

    def _untag(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        record = _existing(params["ResourceARN"])
        set_tags(
            record,
            {key: value for key, value in tag_map(record.get("Tags")).items() if key not in params["TagKeys"]},
        )
        return {}


def fault(shape: str, message: str, **members: Any) -> ApiError:
    """A modelled error."""
    return ApiError(shape, message, **members)


def arn_of(kind: str, *ids: str) -> str:
    """The ARN of a resource of FSx in this Region."""
    return f"arn:aws:fsx:{get_region()}:{get_account_id()}:{'/'.join((kind, *ids))}"


def tag_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Tags as a map."""
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def tags_of(arn: str) -> dict[str, str] | None:
    """The tags of a resource of FSx; None of one that does not exist."""
    record = _records.get(arn)
    return tag_map(record.get("Tags")) if record else None


def set_tags(record: dict[str, Any], tags: dict[str, str]) -> None:
    """Let a resource have these tags and no others."""
    if sum(not key.startswith("aws:") for key in tags) > MOST_TAGS:
        raise fault("BadRequest", f"A resource can have {MOST_TAGS} tags at most")
    # A record without tags has no member for them.
    record["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()] or None


def check_tags(tags: dict[str, str]) -> None:
    """Refuse tags that only AWS may set."""
    for key in tags:
        if key.lower().startswith("aws:"):
            raise fault("BadRequest", f"The tag key {key} is reserved: it begins with aws:")


def require_tagging(caller: Caller, arn: str, tags: dict[str, str]) -> None:
    """Refuse tags of a new resource unless the caller may set them."""
    check_tags(tags)
    if tags:
        about = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        caller.require("fsx:TagResource", arn, **about, **{"aws:TagKeys": list(tags)})


def resource_of(operation: str, given: dict[str, Any]) -> str:
    """The resource that a call is authorized on; `*` for those that know none."""
    if operation.startswith("Describe"):
        return "*"
    if given.get("ResourceARN"):
        return str(given["ResourceARN"])
    for member in ("VolumeId", "StorageVirtualMachineId", "FileSystemId"):
        named = [arn for arn in _records if arn.rpartition("/")[2] == given.get(member)]
        if named and not operation.startswith("Create"):
            return named[0]
    kinds = {"FileSystem": "file-system", "StorageVirtualMachine": "storage-virtual-machine", "Volume": "volume"}
    kind = next((kind for name, kind in kinds.items() if operation.endswith(name)), None)
    return arn_of(kind, "*") if kind else "*"


def _existing(arn: str) -> dict[str, Any]:
    if not arn.startswith(f"arn:aws:fsx:{get_region()}:{get_account_id()}:"):
        raise fault("NotServiceResourceError", f"{arn} is not a resource of FSx in {get_region()}", ResourceARN=arn)
    if arn not in _records:
        raise fault("ResourceNotFound", f"The resource {arn} does not exist", ResourceARN=arn)
    return _records[arn]


def _kind(arn: str) -> str:
    return arn.split(":", 5)[5].split("/")[0]


def _collect() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The resources of this Region that have tags, as GetResources of the tagging API lists them."""
    for arn, record in _records.items():
        if record.get("Tags"):
            yield arn, record["Tags"]
