"""RDS's API, which serves the databases of RDS, Aurora, DocumentDB and Neptune; and their backups."""

from ministack.core import router

from local_region.backup_types import BackupType
from local_region.db_cluster_backups import DbClusterBackups
from local_region.db_clusters import DbClusters
from local_region.db_engines import CLUSTER_TYPES
from local_region.db_groups import add_group_operations
from local_region.db_instance_backups import DbInstanceBackups
from local_region.db_instances import DbInstances
from local_region.db_snapshots import DbSnapshots
from local_region.db_tags import DbTags
from local_region.settings import Settings
from local_region.status_changes import StatusChanges


def database_backups(settings: Settings, changes: StatusChanges) -> list[BackupType]:
    """Serve databases from here; answers what AWS Backup knows of their types."""
    # Ministack has DocumentDB apart. In AWS, one API answers for all.
    router._documentdb_claims = lambda _params: False
    tags = DbTags()
    snapshots = DbSnapshots(tags)
    clusters = DbClusters(settings, changes, tags, snapshots)
    instances = DbInstances(settings, changes, tags, snapshots, clusters)
    add_group_operations(lambda kind, name: instances.using(kind, name) + clusters.using(kind, name))
    return [
        DbInstanceBackups(changes, snapshots, instances),
        *(DbClusterBackups(name, changes, snapshots, clusters) for name in CLUSTER_TYPES),
    ]
