//! Why a database is not integrated, with the remedy.

use std::fmt;

use crate::aws::arn::{DbClusterId, DbInstanceId};
use crate::aws::database::{CreateTrouble, DatabaseId, DbStatus};
use crate::integrate::database::kind::DATABASE;
use crate::integrate::refusal::Refusal;
use crate::tags::{INSTANCES, UnusableTag};
use crate::text::code;

/// Why a database is not integrated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseRefusal {
    /// The recovery point of a cluster does not say which instances the cluster needs.
    InstancesMissing,
    /// Its tag with the instances cannot be read.
    InstancesInvalid(UnusableTag),
    /// The database, or an instance of the cluster, is in a status that only a person can end.
    DatabaseUnusable { id: DatabaseId, status: DbStatus },
    /// The database does not exist, although AWS Backup restored it.
    DatabaseGone { id: DatabaseId },
    /// It has another name than the workload's database.
    OtherName {
        id: DatabaseId,
        wanted: Option<String>,
    },
    /// A cluster of an engine whose instances are not created here.
    EngineUnsupported { id: DbClusterId, engine: String },
    /// An instance of the cluster has the identifier that another one has.
    IdentifierTaken {
        id: DbInstanceId,
        cluster: DbClusterId,
        /// The cluster that the other instance belongs to.
        other: Option<DbClusterId>,
    },
    /// RDS does not create an instance.
    NotCreated {
        id: DbInstanceId,
        class: String,
        trouble: CreateTrouble,
        /// The words of RDS.
        message: String,
    },
}

const AGAIN: &str = "Then run the integration of this restore job again.";

impl Refusal for DatabaseRefusal {
    fn reason(&self) -> &'static str {
        match self {
            DatabaseRefusal::InstancesMissing => "tag-missing",
            DatabaseRefusal::InstancesInvalid(_) => "tag-invalid",
            DatabaseRefusal::DatabaseUnusable { .. } => "database-unusable",
            DatabaseRefusal::DatabaseGone { .. } => "database-gone",
            DatabaseRefusal::OtherName { .. } => "database-name",
            DatabaseRefusal::EngineUnsupported { .. } => "engine-unsupported",
            DatabaseRefusal::IdentifierTaken { .. } => "identifier-taken",
            DatabaseRefusal::NotCreated { trouble, .. } => match trouble {
                CreateTrouble::Quota => "instance-quota",
                CreateTrouble::Capacity => "no-capacity",
                CreateTrouble::Network => "network-unusable",
                CreateTrouble::Key => "key-unusable",
                CreateTrouble::Request => "instance-rejected",
            },
        }
    }

    fn remedy(&self) -> String {
        match self {
            DatabaseRefusal::InstancesMissing => format!(
                "Create an instance of the cluster yourself. Or add the tag {INSTANCES} to the recovery point (`aws rds add-tags-to-resource`), and run the integration of this restore job again. For later recoveries, add it to the protected resource in the primary Region."
            ),
            DatabaseRefusal::InstancesInvalid(_) => format!(
                "Create an instance of the cluster yourself. Or correct the tag {INSTANCES} of the recovery point (`aws rds add-tags-to-resource`), and run the integration of this restore job again. For later recoveries, correct it on the protected resource in the primary Region."
            ),
            DatabaseRefusal::DatabaseUnusable { id, status } => {
                format!("{} {AGAIN}", remedy_of_status(id, status))
            }
            DatabaseRefusal::DatabaseGone { id } => format!(
                "Check whether someone deleted {} (CloudTrail: DeleteDBInstance, DeleteDBCluster). If so, start a recovery with another name, which restores it again.",
                code(id.as_str())
            ),
            DatabaseRefusal::OtherName { id, .. } => format!(
                "If it replaces the database of the workload, set the tag recovery:identifier of the recovery point to {} (`aws rds add-tags-to-resource`), and run the integration of this restore job again. Otherwise no action is needed.",
                code(id.as_str())
            ),
            DatabaseRefusal::EngineUnsupported { .. } => format!(
                "Check the cluster in the console, and connect the workload to its endpoint. {} yourself.",
                DATABASE.by_hand
            ),
            DatabaseRefusal::IdentifierTaken { id, cluster, .. } => format!(
                "Rename the other instance {} (`aws rds modify-db-instance --new-db-instance-identifier`), or delete it if nobody needs it. {AGAIN} Or create the instances of {} yourself.",
                code(id.as_str()),
                code(cluster.as_str())
            ),
            DatabaseRefusal::NotCreated { id, trouble, .. } => {
                let cause = match trouble {
                    CreateTrouble::Quota => "Request a higher quota of RDS in Service Quotas, or delete instances that nobody needs.".to_owned(),
                    CreateTrouble::Capacity => format!("Create {} yourself with another instance class. For later recoveries, correct the tag recovery:instances of the protected resource in the primary Region, or reserve capacity.", code(id.as_str())),
                    CreateTrouble::Network => "Check the subnet group of the cluster: it needs subnets in two Availability Zones, with free addresses.".to_owned(),
                    CreateTrouble::Key => "Check the key of the cluster: it must be enabled and not pending deletion, and its policy must let the role of database-integrator use it through RDS (kms:CreateGrant, kms:DescribeKey).".to_owned(),
                    CreateTrouble::Request => format!("Create {} yourself with an instance class that the engine supports in this Region. For later recoveries, correct the tag recovery:instances of the protected resource in the primary Region.", code(id.as_str())),
                };
                format!("{cause} {AGAIN}")
            }
        }
    }
}

/// What ends a status in which a database stays.
fn remedy_of_status(id: &DatabaseId, status: &DbStatus) -> String {
    match status {
        DbStatus::InaccessibleKey | DbStatus::InaccessibleKeyRecoverable => format!(
            "Enable the KMS key of {0}, and allow its use to RDS. If the status stays, start the database (`aws rds start-db-instance`, `start-db-cluster`) or delete it and start a recovery with another name.",
            code(id.as_str())
        ),
        DbStatus::IncompatibleNetwork => "Check the subnet group and the security groups: RDS needs free addresses in their subnets. Then start the database. Or delete it, and start a recovery with another name.".to_owned(),
        DbStatus::IncompatibleOptionGroup => "Give the database an option group that fits its engine and version.".to_owned(),
        DbStatus::IncompatibleParameters => "Give the database a parameter group with values that fit its class, and reboot it.".to_owned(),
        DbStatus::InsufficientCapacity => "Use another instance class, or wait for capacity. Delete the database, then start a recovery with another name.".to_owned(),
        DbStatus::StorageFull => "Give the database more storage.".to_owned(),
        DbStatus::Stopped => "Start the database (`aws rds start-db-instance`, `start-db-cluster`).".to_owned(),
        DbStatus::Deleting => "Find out who deletes the database (CloudTrail). When it is deleted, start a recovery with another name.".to_owned(),
        _ => match id {
            DatabaseId::Instance(_) => "Read the events of the instance (`aws rds describe-events`). If it is an instance of a cluster, delete it. Otherwise delete it if it is lost, and start a recovery with another name.".to_owned(),
            DatabaseId::Cluster(_) => "Read the events of the cluster (`aws rds describe-events`). Delete it if it is lost, and start a recovery with another name.".to_owned(),
        },
    }
}

impl fmt::Display for DatabaseRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseRefusal::OtherName { id, wanted } => write!(
                f,
                "{} does not have the name of the workload's database ({}). It may be a copy for another purpose, to which the application must not be led",
                code(id.as_str()),
                code(wanted.as_deref().unwrap_or("not known"))
            ),
            DatabaseRefusal::InstancesMissing => write!(
                f,
                "the recovery point has no tag {INSTANCES}: AWS Backup restores a cluster without instances, and it serves nobody until it has one"
            ),
            DatabaseRefusal::InstancesInvalid(unusable) => unusable.fmt(f),
            DatabaseRefusal::DatabaseUnusable { id, status } => {
                write!(
                    f,
                    "{} has the status {}",
                    code(id.as_str()),
                    code(status.as_str())
                )
            }
            DatabaseRefusal::DatabaseGone { id } => write!(
                f,
                "{} does not exist, although AWS Backup restored it",
                code(id.as_str())
            ),
            DatabaseRefusal::EngineUnsupported { id, engine } => write!(
                f,
                "the cluster {} has the engine {}, whose instances RDS manages itself",
                code(id.as_str()),
                code(engine)
            ),
            DatabaseRefusal::IdentifierTaken { id, cluster, other } => {
                write!(
                    f,
                    "the identifier {} for an instance of {} is in use by an instance ",
                    code(id.as_str()),
                    code(cluster.as_str())
                )?;
                match other {
                    Some(other) => write!(f, "of the cluster {}", code(other.as_str())),
                    None => f.write_str("without a cluster"),
                }
            }
            DatabaseRefusal::NotCreated {
                id, class, message, ..
            } => write!(
                f,
                "RDS does not create {} with the class {}: {}",
                code(id.as_str()),
                code(class),
                code(message)
            ),
        }
    }
}
