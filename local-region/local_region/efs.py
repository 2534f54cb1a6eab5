"""EFS's API, and the backups of its file systems."""

from dataclasses import dataclass

from local_region.efs_access_points import EfsAccessPoints
from local_region.efs_file_systems import EfsFileSystems
from local_region.efs_mount_targets import EfsMountTargets
from local_region.network_interfaces import NetworkInterfaces
from local_region.settings import Settings
from local_region.status_changes import StatusChanges


@dataclass(frozen=True)
class Efs:
    """The parts of EFS in the Region."""

    file_systems: EfsFileSystems
    mount_targets: EfsMountTargets
    access_points: EfsAccessPoints


def serve_efs(settings: Settings, changes: StatusChanges, interfaces: NetworkInterfaces) -> Efs:
    """Serve EFS from here."""
    file_systems = EfsFileSystems(settings, changes)
    points = EfsAccessPoints(settings, changes, file_systems)
    return Efs(file_systems, EfsMountTargets(settings, changes, interfaces, file_systems, points), points)
