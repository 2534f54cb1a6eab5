"""One Region, put together: every piece, and what it is given.

Importing this module imports ministack, which reads the process environment then: see `environment`.
"""

import asyncio
from dataclasses import dataclass

from ministack import app

from local_region.authorization import (
    count_loopback_as_tls,
    know_tags_of_resources,
    name_resources_as_aws,
    read_models_ahead,
)
from local_region.auto_scaling import AutoScaling
from local_region.bucket_backups import BucketBackups
from local_region.buckets import add_bucket_resources, check_bucket_calls
from local_region.calls import Calls
from local_region.commands import Commands
from local_region.connections import follow_connections
from local_region.control import Asgi, Control
from local_region.copy_jobs import CopyJobs
from local_region.database_resources import add_database_resources
from local_region.databases import database_backups
from local_region.documents import Documents
from local_region.ec2_tags import add_tag_actions
from local_region.efs import serve_efs
from local_region.efs_backups import EfsBackups
from local_region.encryption import require_keys
from local_region.event_bus import EventBus
from local_region.event_targets import EventTargets
from local_region.faults import Faults
from local_region.file_system_resources import add_file_system_resources
from local_region.fsx import serve_fsx
from local_region.fsx_backups import FsxBackups
from local_region.functions import Functions
from local_region.guests import Guests
from local_region.image_builder import ImageBuilder
from local_region.images import add_image_actions
from local_region.instance_backups import InstanceBackups
from local_region.instances import Instances
from local_region.journal import Journal
from local_region.network_interfaces import NetworkInterfaces
from local_region.notifications import check_message_structure, record_messages
from local_region.ops_items import OpsItems
from local_region.parameter_store import add_parameter_operations, check_tags_of_new_parameters
from local_region.pending_work import PendingWork
from local_region.recovery_points import RecoveryPoints
from local_region.region_settings import RegionSettings
from local_region.restore_jobs import RestoreJobs
from local_region.routing_controls import RoutingControls
from local_region.runbooks import Runbooks
from local_region.schedules import Schedules
from local_region.settings import Settings
from local_region.stack_calls import check_stack_calls
from local_region.stack_progress import StackProgress
from local_region.stack_resources import StackResources
from local_region.stack_templates import read_templates_by_virtual_host
from local_region.state_machines import StateMachines
from local_region.status_changes import StatusChanges
from local_region.table_backups import TableBackups
from local_region.tables import Tables
from local_region.target_groups import TargetGroups
from local_region.volume_backups import VolumeBackups
from local_region.volumes import Volumes


@dataclass(frozen=True)
class Region:
    """A Region ready to be served."""

    asgi: Asgi
    functions: Functions
    stacks: StackProgress
    guests: Guests

    def close(self) -> None:
        """End the processes of functions and guests, and what waits in threads."""
        self.guests.close()
        self.stacks.close()
        self.functions.close()


def assemble(settings: Settings, endpoint: str, loop: asyncio.AbstractEventLoop) -> Region:
    """Put our pieces into ministack, which becomes the Region, served by `loop`.

    Once per process: ministack's state is global.
    """
    journal, pending = Journal(), PendingWork(loop)
    name_resources_as_aws(settings.table_tags_in_policies)
    count_loopback_as_tls()
    check_bucket_calls()
    require_keys()
    follow_connections()
    faults = Faults()
    Calls(journal, faults)
    record_messages(journal)
    check_message_structure()
    functions = Functions(settings, journal, pending, endpoint)
    targets = EventTargets(settings, journal, pending, faults, functions)
    events = EventBus(journal, targets)
    schedules = Schedules(settings, journal, targets, loop)
    volumes = Volumes(settings, journal, pending, events)
    instances = Instances(settings, pending, volumes, events)
    add_image_actions()
    groups = AutoScaling(instances)
    add_tag_actions()
    changes = StatusChanges(journal, pending)
    tables = TableBackups(changes, Tables(settings, pending, changes), RegionSettings())
    databases = database_backups(settings, changes)
    interfaces = NetworkInterfaces()
    efs = serve_efs(settings, changes, interfaces)
    fsx = serve_fsx(settings, changes, interfaces)
    buckets = BucketBackups()
    types = [
        VolumeBackups(volumes),
        *databases,
        tables,
        EfsBackups(changes, efs.file_systems),
        FsxBackups(changes, fsx.file_systems, fsx.volumes, fsx.backups),
        buckets,
        InstanceBackups(changes, instances),
    ]
    points = RecoveryPoints(settings, pending, events, types)
    know_tags_of_resources(points.own_tags, settings.table_tags_in_policies)
    add_parameter_operations()
    CopyJobs(settings, pending, events, points)
    restores = RestoreJobs(settings, journal, pending, events, points)
    ops_items = OpsItems(journal, events)
    check_tags_of_new_parameters()
    documents = Documents()
    targets.start_runbooks_by(Runbooks(settings, endpoint, pending, events, documents).start)
    guests = Guests(settings)
    Commands(settings, journal, pending, documents, guests, fsx.resources)
    StackResources(instances, volumes, groups, documents)
    add_database_resources()
    add_file_system_resources(efs, fsx)
    add_bucket_resources()
    TargetGroups(settings, pending, changes)
    ImageBuilder(changes, pending, events)
    read_templates_by_virtual_host()
    check_stack_calls()
    stacks = StackProgress(settings, journal, pending)
    StateMachines(settings, endpoint, journal, pending, events)
    read_models_ahead()
    routing = RoutingControls(endpoint)
    control = Control(
        app.app,
        settings.ready(endpoint),
        journal,
        pending,
        events,
        schedules,
        restores,
        faults,
        routing,
        ops_items,
        volumes,
        changes,
        guests,
        buckets,
        instances,
    )
    return Region(control, functions, stacks, guests)
