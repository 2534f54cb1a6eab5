//! Databases and tables, as far as an integration reads and changes them.

use std::collections::{BTreeMap, BTreeSet};

use super::world::ids;

/// An instance or a cluster of RDS.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) engine: &'static str,
    pub(crate) status: &'static str,
    /// The cluster of an instance.
    pub(crate) cluster: Option<String>,
    /// Its settings.
    pub(crate) settings: DbSettings,
    /// The settings after the changes that RDS has accepted, and how many answers still show the ones
    /// before. In RDS it takes seconds to minutes; counted in answers, so that the number of calls is the
    /// same on every machine.
    pub(crate) accepted: Option<(usize, DbSettings)>,
}

/// The settings that a restore loses.
#[derive(Debug, Clone, Default)]
pub(crate) struct DbSettings {
    pub(crate) protected: bool,
    pub(crate) retention_days: u32,
    pub(crate) iam_authentication: bool,
    pub(crate) logs: BTreeSet<String>,
    pub(crate) performance_insights: bool,
}

impl Database {
    /// One that AWS Backup has restored, without the settings that a restore loses.
    pub(crate) fn restored(engine: &'static str) -> Database {
        Database {
            engine,
            status: "available",
            cluster: None,
            settings: DbSettings {
                retention_days: 1,
                ..DbSettings::default()
            },
            accepted: None,
        }
    }

    /// Lets an answer pass: what was accepted takes effect when its time has come.
    pub(super) fn pass(&mut self) {
        match self.accepted.take() {
            Some((0, settings)) => self.settings = settings,
            Some((answers, settings)) => self.accepted = Some((answers - 1, settings)),
            None => {}
        }
    }
}

/// A table of DynamoDB.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// How many answers still show `UPDATING`.
    pub(crate) updating: usize,
    pub(crate) tags: BTreeMap<String, String>,
    /// The view type of its stream.
    pub(crate) stream: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) protected: bool,
    /// For how many days point-in-time recovery is possible.
    pub(crate) recovery_days: Option<u64>,
    /// The attribute of its time to live.
    pub(crate) ttl: Option<String>,
}

/// The databases and tables that AWS Backup has restored, and what belongs to them.
#[derive(Debug, Clone)]
pub(crate) struct DataStores {
    /// Tags of the recovery points of databases.
    pub(crate) database_tags: BTreeMap<String, String>,
    /// Tags of the recovery point of the table.
    pub(crate) table_tags: BTreeMap<String, String>,
    /// The instances, by their identifiers.
    pub(crate) instances: BTreeMap<String, Database>,
    /// The cluster [`ids::DB_CLUSTER`].
    pub(crate) cluster: Database,
    /// The table [`ids::TABLE`].
    pub(crate) table: Table,
    /// The parameters of Parameter Store.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Default for DataStores {
    /// As after the restores of `events/restore-completed-{rds,aurora,dynamodb}.json`.
    fn default() -> DataStores {
        let tags = |tags: &[(&str, &str)]| {
            tags.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        DataStores {
            database_tags: tags(&[
                ("recovery:workload", ids::PLANNED_STACK),
                ("recovery:instances", "db.r6g.large x2"),
                ("recovery:publish", "/recovery/shop/database"),
                ("Name", "orders database"),
            ]),
            table_tags: tags(&[
                ("recovery:workload", ids::PLANNED_STACK),
                ("recovery:identifier", ids::TABLE),
                (
                    "recovery:table",
                    "pitr=14 ttl=expires stream=NEW_AND_OLD_IMAGES class=STANDARD_INFREQUENT_ACCESS protected nothing-else",
                ),
                ("recovery:publish", "/recovery/shop/sessions"),
                ("Name", "sessions"),
            ]),
            instances: [(ids::DB_INSTANCE.to_owned(), Database::restored("postgres"))].into(),
            cluster: Database::restored("aurora-postgresql"),
            table: Table::default(),
            parameters: BTreeMap::new(),
        }
    }
}
