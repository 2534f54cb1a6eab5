"""FSx's API, which ministack lacks."""

from dataclasses import dataclass

from ministack import app
from ministack.core import iam_actions, router

from local_region.fsx_file_systems import FsxFileSystems
from local_region.fsx_own_backups import FsxOwnBackups
from local_region.fsx_resources import SERVICE, FsxResources
from local_region.fsx_volumes import FsxVolumes
from local_region.network_interfaces import NetworkInterfaces
from local_region.operations import Answer
from local_region.settings import Settings
from local_region.status_changes import StatusChanges

TARGET = "AWSSimbaAPIService_v20180301"


@dataclass(frozen=True)
class Fsx:
    """The parts of FSx in the Region."""

    resources: FsxResources
    file_systems: FsxFileSystems
    volumes: FsxVolumes
    backups: FsxOwnBackups


def serve_fsx(settings: Settings, changes: StatusChanges, interfaces: NetworkInterfaces) -> Fsx:
    """Serve FSx from here."""
    router.SERVICE_PATTERNS[SERVICE] = {"target_prefixes": [TARGET], "credential_scope": SERVICE}
    iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
    app.SERVICE_HANDLERS[SERVICE] = _unknown
    resources = FsxResources()
    backups = FsxOwnBackups(resources)
    volumes = FsxVolumes(settings, changes, resources, backups)
    file_systems = FsxFileSystems(settings, changes, interfaces, resources, backups, volumes)
    return Fsx(resources, file_systems, volumes, backups)


async def _unknown(_method: str, _path: str, _headers: dict, _body: bytes, _query: dict) -> Answer:
    body = b'{"__type": "UnknownOperationException"}'
    return 400, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": "UnknownOperationException"}, body
