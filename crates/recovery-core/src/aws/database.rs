//! Databases of RDS, Aurora, DocumentDB and Neptune: all have the API of RDS.

use std::collections::BTreeSet;
use std::fmt;

use crate::aws::arn::{Arn, DbClusterId, DbInstanceId};
use crate::error::Fault;

/// The types of AWS Backup that RDS serves.
pub const DATABASE_TYPES: &[&str] = &["RDS", "Aurora", "DocumentDB", "Neptune"];

/// What a restore job of a database created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseId {
    /// An instance of RDS.
    Instance(DbInstanceId),
    /// A cluster, without any instance.
    Cluster(DbClusterId),
}

impl DatabaseId {
    /// The database with this ARN. A cluster of Aurora, DocumentDB and Neptune has the same form.
    pub fn of(arn: &Arn) -> Option<DatabaseId> {
        if arn.service() != "rds" {
            return None;
        }
        match arn.resource().split_once(':')? {
            (_, "") => None,
            ("db", id) => Some(DatabaseId::Instance(DbInstanceId::new(id))),
            ("cluster", id) => Some(DatabaseId::Cluster(DbClusterId::new(id))),
            _ => None,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            DatabaseId::Instance(id) => id.as_str(),
            DatabaseId::Cluster(id) => id.as_str(),
        }
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

state! {
    /// The status of an instance or a cluster.
    ///
    /// See <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html>.
    DbStatus {
        Available = "available",
        BackingUp = "backing-up",
        Creating = "creating",
        Deleting = "deleting",
        Failed = "failed",
        InaccessibleKey = "inaccessible-encryption-credentials",
        InaccessibleKeyRecoverable = "inaccessible-encryption-credentials-recoverable",
        IncompatibleCreate = "incompatible-create",
        IncompatibleNetwork = "incompatible-network",
        IncompatibleOptionGroup = "incompatible-option-group",
        IncompatibleParameters = "incompatible-parameters",
        IncompatibleRestore = "incompatible-restore",
        InsufficientCapacity = "insufficient-capacity",
        Maintenance = "maintenance",
        Modifying = "modifying",
        RestoreError = "restore-error",
        Stopped = "stopped",
        StorageFull = "storage-full",
        StorageInitialization = "storage-initialization",
        StorageOptimization = "storage-optimization",
    }
}

impl DbStatus {
    /// Whether applications can connect. A restored instance can be `backing-up` for hours.
    pub fn is_reachable(&self) -> bool {
        match self {
            DbStatus::Available
            | DbStatus::BackingUp
            | DbStatus::Maintenance
            | DbStatus::Modifying
            | DbStatus::StorageInitialization
            | DbStatus::StorageOptimization => true,
            DbStatus::Other(word) => word.starts_with("configuring-"),
            _ => false,
        }
    }

    /// Whether it stays so until a person does something.
    pub fn is_dead(&self) -> bool {
        match self {
            DbStatus::Deleting
            | DbStatus::Failed
            | DbStatus::InaccessibleKey
            | DbStatus::InaccessibleKeyRecoverable
            | DbStatus::IncompatibleCreate
            | DbStatus::IncompatibleNetwork
            | DbStatus::IncompatibleOptionGroup
            | DbStatus::IncompatibleParameters
            | DbStatus::IncompatibleRestore
            | DbStatus::InsufficientCapacity
            | DbStatus::RestoreError
            | DbStatus::Stopped
            | DbStatus::StorageFull => true,
            DbStatus::Other(word) => word.starts_with("incompatible-"),
            _ => false,
        }
    }

    /// Whether a change is worth an attempt. RDS documents only for `available` that it accepts one.
    pub fn may_accept_changes(&self) -> bool {
        self.is_reachable() && !matches!(self, DbStatus::Maintenance | DbStatus::Modifying)
    }
}

/// Settings that a restore loses, as they are or are about to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DbSettings {
    pub deletion_protection: bool,
    /// Days for which automated backups are kept.
    pub retention_days: u32,
    pub iam_authentication: bool,
    /// Types of logs that are exported to CloudWatch Logs.
    pub log_exports: BTreeSet<String>,
    /// Of an instance. A cluster has it in its instances.
    pub performance_insights: bool,
}

/// A DB instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbInstance {
    pub id: DbInstanceId,
    pub arn: String,
    pub status: DbStatus,
    /// The cluster that it belongs to.
    pub cluster: Option<DbClusterId>,
    pub engine: String,
    pub engine_version: String,
    /// Host and port. An instance that is being created has none.
    pub endpoint: Option<(String, u16)>,
    pub settings: DbSettings,
    /// Whether a restore testing plan created it.
    pub restore_test: bool,
}

/// A DB cluster of Aurora, DocumentDB or Neptune, or a Multi-AZ DB cluster of RDS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbCluster {
    pub id: DbClusterId,
    pub arn: String,
    pub status: DbStatus,
    pub engine: String,
    pub engine_version: String,
    /// Host and port of the writer.
    pub endpoint: Option<(String, u16)>,
    /// The host of the readers.
    pub reader_endpoint: Option<String>,
    /// The capacity of its serverless instances.
    pub scaling: Option<Scaling>,
    pub settings: DbSettings,
    /// Whether a restore testing plan created it.
    pub restore_test: bool,
}

/// Aurora capacity units, or those of DocumentDB or Neptune, in halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capacity {
    pub halves: u32,
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = if self.halves.is_multiple_of(2) {
            ""
        } else {
            ".5"
        };
        write!(f, "{}{half}", self.halves / 2)
    }
}

/// The least and the most capacity of each serverless instance of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    pub least: Capacity,
    pub most: Capacity,
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.least, self.most)
    }
}

/// One change of an instance or a cluster. It is applied immediately.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DbChange {
    /// Turns deletion protection on.
    Protect,
    /// Keeps automated backups for this number of days.
    Retention(u32),
    /// Turns IAM database authentication on.
    IamAuthentication,
    /// Exports these types of logs, too.
    ExportLogs(BTreeSet<String>),
    /// Turns Performance Insights on; of an instance only.
    PerformanceInsights,
}

impl fmt::Display for DbChange {
    /// As the word in the tag [`DATABASE`](crate::tags::DATABASE).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DbChange::Protect => f.write_str("protected"),
            DbChange::Retention(days) => write!(f, "retention={days}"),
            DbChange::IamAuthentication => f.write_str("iam-auth"),
            DbChange::ExportLogs(types) => {
                let types: Vec<&str> = types.iter().map(String::as_str).collect();
                write!(f, "logs={}", types.join("+"))
            }
            DbChange::PerformanceInsights => f.write_str("performance-insights"),
        }
    }
}

/// An instance to create in a cluster. Network, version, storage and password are the cluster's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDbInstance {
    pub id: DbInstanceId,
    pub cluster: DbClusterId,
    pub engine: String,
    /// `db.r6g.large`, `db.serverless`, …
    pub class: String,
    /// The order of fail overs within the cluster: 0 to 15, the lowest first.
    pub promotion_tier: u8,
    pub tags: Vec<(&'static str, String)>,
}

/// The result of `CreateDBInstance`.
#[derive(Debug)]
pub enum CreateAnswer {
    /// It is being created.
    Created,
    /// An instance has this identifier, in this or another cluster.
    Exists,
    /// RDS does not create it.
    Refused(CreateTrouble, Fault),
}

/// Why RDS does not create an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateTrouble {
    /// A quota of the account is used up.
    Quota,
    /// The Availability Zones have no capacity for the class.
    Capacity,
    /// The subnet group of the cluster cannot be used.
    Network,
    /// The key of the cluster cannot be used.
    Key,
    /// RDS does not accept the request, for example because the engine does not support the class.
    Request,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_database_by_its_arn() {
        let of = |text: &str| {
            DatabaseId::of(&Arn::parse(&format!("arn:aws:{text}")).unwrap())
                .map(|id| (matches!(id, DatabaseId::Cluster(_)), id.to_string()))
        };
        let found = |cluster, id: &str| Some((cluster, id.to_owned()));
        assert_eq!(of("rds:us-west-2:1:db:shop"), found(false, "shop"));
        assert_eq!(of("rds:us-west-2:1:cluster:shop"), found(true, "shop"));
        for other in [
            "rds:us-west-2:1:db:",
            "rds:us-west-2:1:db",
            "rds:us-west-2:1:snapshot:shop",
            "dynamodb:us-west-2:1:db:shop",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn statuses_are_reachable_dead_or_passing() {
        for reachable in [
            "available",
            "backing-up",
            "storage-initialization",
            "storage-optimization",
            "configuring-log-exports",
            "modifying",
            "maintenance",
        ] {
            let status = DbStatus::from(reachable);
            assert!(status.is_reachable() && !status.is_dead(), "{reachable}");
        }
        for dead in [
            "failed",
            "incompatible-network",
            "incompatible-option-group",
            "incompatible-parameters",
            "incompatible-restore",
            "incompatible-create",
            "incompatible-unheard-of",
            "inaccessible-encryption-credentials",
            "inaccessible-encryption-credentials-recoverable",
            "insufficient-capacity",
            "restore-error",
            "storage-full",
            "stopped",
            "deleting",
        ] {
            let status = DbStatus::from(dead);
            assert!(status.is_dead() && !status.is_reachable(), "{dead}");
            assert!(!status.may_accept_changes());
        }
        for passing in [
            "creating",
            "rebooting",
            "starting",
            "upgrading",
            "unheard-of",
        ] {
            let status = DbStatus::from(passing);
            assert!(!status.is_dead() && !status.is_reachable(), "{passing}");
        }
    }

    #[test]
    fn capacity_is_shown_in_halves() {
        let shown = |halves| Capacity { halves }.to_string();
        assert_eq!([shown(0), shown(1), shown(32)], ["0", "0.5", "16"]);
    }
}
