"""The engines of RDS, Aurora, DocumentDB and Neptune, all served by RDS's API."""

from dataclasses import dataclass

from local_region.api_error import ApiError


@dataclass(frozen=True)
class Engine:
    """An engine, with the versions that a Region offers, oldest first."""

    name: str
    versions: tuple[str, ...]
    default_version: str
    port: int
    license_model: str
    backup_type: str
    """AWS Backup's name of what it backs up."""
    family_prefix: str
    """A parameter group family is this and the major version."""
    parts_of_major: int
    """How many numbers of a version make its major version."""
    storage_types: tuple[str, ...]
    """The storage of a cluster, without and with optimized I/O; of an instance, what it may have."""
    serverless_capacity: tuple[float, float] | None = None
    """Least and most units of a serverless instance."""

    @property
    def has_clusters(self) -> bool:
        """Whether its instances belong to clusters, which hold the data."""
        return self.backup_type != "RDS"

    def family(self, version: str) -> str:
        """The family of the parameter groups that a version takes."""
        # A version 16.00 of SQL Server takes sqlserver-se-16.0.
        return f"{self.family_prefix}{self.major(version)}".replace(".00", ".0")

    def major(self, version: str) -> str:
        """A version's major version."""
        return ".".join(version.split(".")[: self.parts_of_major])

    def has_name(self, *prefixes: str) -> bool:
        """Whether it is an edition of one of these, such as `oracle`."""
        return self.name.startswith(prefixes)

    def check_version(self, version: str) -> None:
        """Refuse a version that the Region does not offer."""
        if version not in self.versions:
            raise ApiError("InvalidParameterCombination", f"Cannot find version {version} for {self.name}")

    def is_older(self, version: str, other: str) -> bool:
        """Whether a version comes before another."""
        return self.versions.index(version) < self.versions.index(other)


_INSTANCE_STORAGE = ("gp2", "gp3", "io1", "io2", "standard")
_ENGINES = (
    Engine(
        "postgres",
        ("15.10", "16.4", "16.8", "17.4"),
        "17.4",
        5432,
        "postgresql-license",
        "RDS",
        "postgres",
        1,
        _INSTANCE_STORAGE,
    ),
    Engine(
        "mysql",
        ("8.0.40", "8.0.41", "8.4.4"),
        "8.4.4",
        3306,
        "general-public-license",
        "RDS",
        "mysql",
        2,
        _INSTANCE_STORAGE,
    ),
    Engine(
        "mariadb",
        ("10.11.10", "11.4.4"),
        "11.4.4",
        3306,
        "general-public-license",
        "RDS",
        "mariadb",
        2,
        _INSTANCE_STORAGE,
    ),
    Engine(
        "oracle-se2",
        ("19.0.0.0.ru-2024-10.rur-2024-10.r1", "19.0.0.0.ru-2025-01.rur-2025-01.r1"),
        "19.0.0.0.ru-2025-01.rur-2025-01.r1",
        1521,
        "license-included",
        "RDS",
        "oracle-se2-",
        1,
        _INSTANCE_STORAGE,
    ),
    Engine(
        "sqlserver-se",
        ("15.00.4420.2.v1", "16.00.4185.3.v1"),
        "16.00.4185.3.v1",
        1433,
        "license-included",
        "RDS",
        "sqlserver-se-",
        2,
        _INSTANCE_STORAGE,
    ),
    Engine(
        "aurora-postgresql",
        ("15.10", "16.4", "16.8", "17.4"),
        "17.4",
        5432,
        "postgresql-license",
        "Aurora",
        "aurora-postgresql",
        1,
        ("aurora", "aurora-iopt1"),
        (0, 256),
    ),
    Engine(
        "aurora-mysql",
        ("8.0.mysql_aurora.3.08.0", "8.0.mysql_aurora.3.08.2", "8.0.mysql_aurora.3.10.0"),
        "8.0.mysql_aurora.3.10.0",
        3306,
        "general-public-license",
        "Aurora",
        "aurora-mysql",
        2,
        ("aurora", "aurora-iopt1"),
        (0, 256),
    ),
    Engine(
        "docdb", ("4.0.0", "5.0.0"), "5.0.0", 27017, "na", "DocumentDB", "docdb", 2, ("standard", "iopt1"), (0.5, 256)
    ),
    Engine(
        "neptune",
        ("1.3.2.1", "1.4.5.0"),
        "1.4.5.0",
        8182,
        "amazon-license",
        "Neptune",
        "neptune",
        2,
        ("standard", "iopt1"),
        (1, 128),
    ),
)
ENGINES = {engine.name: engine for engine in _ENGINES}
CLUSTER_TYPES = tuple(dict.fromkeys(engine.backup_type for engine in _ENGINES if engine.has_clusters))


def engine_of(name: str) -> Engine:
    """An engine by its name, or the refusal of one that does not exist."""
    if name not in ENGINES:
        raise ApiError("InvalidParameterValue", f"Invalid DB engine: {name}")
    return ENGINES[name]
