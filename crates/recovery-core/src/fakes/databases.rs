//! Databases of RDS.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::aws::arn::{Arn, DbClusterId, DbInstanceId};
use crate::aws::backup::RestoreJob;
use crate::aws::database::{
    CreateAnswer, CreateTrouble, DatabaseId, DbChange, DbCluster, DbInstance, DbSettings, DbStatus,
    NewDbInstance, Scaling,
};
use crate::error::{Error, Fault};
use crate::fakes::{FakeClock, RESTORE_ROLE, World, completed_job};
use crate::ports::{Clock, DbClusters, DbInstances};

/// What comes into effect some reads later.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Setting(DbChange),
    Scaling(Scaling),
}

/// Instances, clusters, and what RDS makes of calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Databases {
    /// DB instances.
    pub instances: BTreeMap<DbInstanceId, DbInstance>,
    /// DB clusters.
    pub clusters: BTreeMap<DbClusterId, DbCluster>,
    /// What instances were created with.
    pub created: Vec<NewDbInstance>,
    /// Every change that RDS accepted, as `identifier change`.
    pub changes: Vec<String>,
    /// Reads of an instance until one that was created is available; `usize::MAX`: never.
    pub reads_until_created: usize,
    /// Reads of a database until a change is in effect. It is `available` at the first of them, and
    /// `modifying` at the others. `usize::MAX`: until [`end_changes`](Databases::end_changes).
    pub reads_until_changed: usize,
    /// Why RDS creates no instance.
    pub create_trouble: Option<CreateTrouble>,
    /// Changes that RDS does not accept, by the word in the tag.
    pub refused_changes: Vec<&'static str>,
    pending: BTreeMap<String, (usize, Vec<Change>)>,
    creating: BTreeMap<DbInstanceId, usize>,
}

impl Databases {
    /// Makes every database available.
    pub fn complete(&mut self) {
        for instance in self.instances.values_mut() {
            instance.status = DbStatus::Available;
        }
        for cluster in self.clusters.values_mut() {
            cluster.status = DbStatus::Available;
        }
        self.creating.clear();
        self.reads_until_created = 0;
    }

    /// RDS begins with the changes of a database that it accepted.
    pub fn begin_changes(&mut self, id: &DatabaseId) {
        if self.pending.contains_key(&format!("{id:?}"))
            && let Some(status) = self.status(id)
            && *status == DbStatus::Available
        {
            *status = DbStatus::Modifying;
        }
    }

    /// Brings the changes of a database into effect that RDS accepted.
    pub fn end_changes(&mut self, id: &DatabaseId) {
        let Some((_, changes)) = self.pending.remove(&format!("{id:?}")) else {
            return;
        };
        if let Some(status) = self.status(id)
            && *status == DbStatus::Modifying
        {
            *status = DbStatus::Available;
        }
        for change in changes {
            self.apply(id, change);
        }
    }

    fn read_instance(&mut self, id: &DbInstanceId) -> Option<DbInstance> {
        if let Some(reads) = self.creating.get_mut(id) {
            if *reads == 0 {
                self.creating.remove(id);
                self.instances.get_mut(id)?.status = DbStatus::Available;
            } else if *reads < usize::MAX {
                *reads -= 1;
            }
        }
        self.advance(&DatabaseId::Instance(id.clone()));
        self.instances.get(id).cloned()
    }

    fn advance(&mut self, id: &DatabaseId) {
        if self.reads_until_changed == usize::MAX {
            return;
        }
        let key = format!("{id:?}");
        let Some((reads, _)) = self.pending.get_mut(&key) else {
            return;
        };
        if *reads > 0 {
            let first = *reads == self.reads_until_changed;
            *reads -= 1;
            if !first && let Some(status) = self.status(id) {
                *status = DbStatus::Modifying;
            }
            return;
        }
        self.end_changes(id);
    }

    fn status(&mut self, id: &DatabaseId) -> Option<&mut DbStatus> {
        match id {
            DatabaseId::Instance(id) => self.instances.get_mut(id).map(|it| &mut it.status),
            DatabaseId::Cluster(id) => self.clusters.get_mut(id).map(|it| &mut it.status),
        }
    }

    fn apply(&mut self, id: &DatabaseId, change: Change) {
        let settings = match id {
            DatabaseId::Instance(id) => self.instances.get_mut(id).map(|it| &mut it.settings),
            DatabaseId::Cluster(id) => self.clusters.get_mut(id).map(|it| &mut it.settings),
        };
        let Some(settings) = settings else {
            return;
        };
        match change {
            Change::Setting(DbChange::Protect) => settings.deletion_protection = true,
            Change::Setting(DbChange::Retention(days)) => settings.retention_days = days,
            Change::Setting(DbChange::IamAuthentication) => settings.iam_authentication = true,
            Change::Setting(DbChange::ExportLogs(types)) => settings.log_exports.extend(types),
            Change::Setting(DbChange::PerformanceInsights) => settings.performance_insights = true,
            Change::Scaling(scaling) => {
                if let DatabaseId::Cluster(id) = id
                    && let Some(cluster) = self.clusters.get_mut(id)
                {
                    cluster.scaling = Some(scaling);
                }
            }
        }
    }

    /// Accepts a change, or the error of RDS.
    fn change(
        &mut self,
        operation: &'static str,
        id: &DatabaseId,
        change: Change,
    ) -> Result<(), Error> {
        let fault = |code: &str, message: String| {
            Fault::new(operation, id.as_str(), message, "Call it again later.").with_code(code)
        };
        let (busy, gone) = match id {
            DatabaseId::Instance(_) => ("InvalidDBInstanceState", "DBInstanceNotFound"),
            DatabaseId::Cluster(_) => ("InvalidDBClusterStateFault", "DBClusterNotFoundFault"),
        };
        let Some(status) = self.status(id).cloned() else {
            return Err(Error::Permanent(fault(gone, "not found".to_owned())));
        };
        if status != DbStatus::Available {
            let message = format!("{id} is not in available state: {status}");
            return Err(Error::Retryable(fault(busy, message)));
        }
        let word = match &change {
            Change::Setting(setting) => setting.to_string(),
            Change::Scaling(scaling) => format!("scaling {scaling}"),
        };
        if self.refused_changes.iter().any(|refused| *refused == word) {
            return Err(Error::Permanent(fault(
                "InvalidParameterCombination",
                format!("{word} is not supported"),
            )));
        }
        self.changes.push(format!("{id} {word}"));
        if self.reads_until_changed == 0 {
            self.apply(id, change);
            return Ok(());
        }
        // Equal values change nothing.
        if self.has(id, &change) {
            return Ok(());
        }
        let start = (self.reads_until_changed, Vec::new());
        let (_, pending) = self.pending.entry(format!("{id:?}")).or_insert(start);
        if !pending.contains(&change) {
            pending.push(change);
        }
        Ok(())
    }

    fn has(&self, id: &DatabaseId, change: &Change) -> bool {
        let mut changed = self.clone();
        changed.apply(id, change.clone());
        (&changed.instances, &changed.clusters) == (&self.instances, &self.clusters)
    }

    fn create(&mut self, new: &NewDbInstance) -> Result<CreateAnswer, Error> {
        let fault = |code: &str, message: &str| {
            Fault::new(
                "rds:CreateDBInstance",
                new.id.as_str(),
                message,
                "Call it again later.",
            )
            .with_code(code)
        };
        let busy = |message: &str| {
            Err(Error::Retryable(fault(
                "InvalidDBClusterStateFault",
                message,
            )))
        };
        if self.instances.contains_key(&new.id) {
            return Ok(CreateAnswer::Exists);
        }
        let Some(cluster) = self.clusters.get(&new.cluster) else {
            return Err(Error::Permanent(fault(
                "DBClusterNotFoundFault",
                "not found",
            )));
        };
        if cluster.status != DbStatus::Available {
            return busy("the cluster is not in available state");
        }
        if new.class == "db.serverless" && cluster.scaling.is_none() {
            return busy(
                "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2 DB instance.",
            );
        }
        if let Some(trouble) = self.create_trouble {
            let fault = fault("Refused", "RDS has something against it");
            return Ok(CreateAnswer::Refused(trouble, fault));
        }
        let instance = DbInstance {
            id: new.id.clone(),
            arn: format!("arn:aws:rds:us-west-2:111122223333:db:{}", new.id),
            status: match self.reads_until_created {
                0 => DbStatus::Available,
                _ => DbStatus::Creating,
            },
            cluster: Some(new.cluster.clone()),
            engine: cluster.engine.clone(),
            engine_version: cluster.engine_version.clone(),
            endpoint: cluster
                .endpoint
                .as_ref()
                .map(|(_, port)| (format!("{}.example", new.id), *port)),
            settings: DbSettings::default(),
            restore_test: false,
        };
        if self.reads_until_created > 0 {
            self.creating
                .insert(new.id.clone(), self.reads_until_created);
        }
        self.instances.insert(new.id.clone(), instance);
        self.created.push(new.clone());
        Ok(CreateAnswer::Created)
    }
}

impl DbInstances for World {
    async fn describe(&self, id: &DbInstanceId) -> Result<Option<DbInstance>, Error> {
        self.call("rds:DescribeDBInstances", id.as_str(), |state| {
            Ok(state.databases.read_instance(id))
        })
    }

    async fn list_of_cluster(&self, cluster: &DbClusterId) -> Result<Vec<DbInstance>, Error> {
        self.call("rds:DescribeDBInstances", cluster.as_str(), |state| {
            let databases = &mut state.databases;
            let ids: Vec<DbInstanceId> = databases
                .instances
                .values()
                .filter(|instance| instance.cluster.as_ref() == Some(cluster))
                .map(|instance| instance.id.clone())
                .collect();
            Ok(ids
                .iter()
                .filter_map(|id| databases.read_instance(id))
                .collect())
        })
    }

    async fn create(&self, new: &NewDbInstance) -> Result<CreateAnswer, Error> {
        self.call("rds:CreateDBInstance", new.id.as_str(), |state| {
            state.databases.create(new)
        })
    }

    async fn modify(&self, id: &DbInstanceId, change: &DbChange) -> Result<(), Error> {
        let operation = "rds:ModifyDBInstance";
        self.call(operation, id.as_str(), |state| {
            let change = Change::Setting(change.clone());
            let id = DatabaseId::Instance(id.clone());
            state.databases.change(operation, &id, change)
        })
    }
}

impl DbClusters for World {
    async fn describe(&self, id: &DbClusterId) -> Result<Option<DbCluster>, Error> {
        self.call("rds:DescribeDBClusters", id.as_str(), |state| {
            state.databases.advance(&DatabaseId::Cluster(id.clone()));
            Ok(state.databases.clusters.get(id).cloned())
        })
    }

    async fn modify(&self, id: &DbClusterId, change: &DbChange) -> Result<(), Error> {
        self.change_cluster(id, Change::Setting(change.clone()))
    }

    async fn scale(&self, id: &DbClusterId, scaling: Scaling) -> Result<(), Error> {
        self.change_cluster(id, Change::Scaling(scaling))
    }
}

impl World {
    fn change_cluster(&self, id: &DbClusterId, change: Change) -> Result<(), Error> {
        let operation = "rds:ModifyDBCluster";
        self.call(operation, id.as_str(), |state| {
            let id = DatabaseId::Cluster(id.clone());
            state.databases.change(operation, &id, change)
        })
    }

    /// Adds the completed restore of a PostgreSQL instance `shop`, job `job-db`, with these tags.
    pub fn add_restored_instance(&self, tags: &[(&str, &str)]) {
        let arn = "arn:aws:rds:us-west-2:111122223333:db:shop";
        self.add_database_job("RDS", "snapshot", arn, tags);
        let instance = DbInstance {
            id: DbInstanceId::new("shop"),
            arn: arn.to_owned(),
            status: DbStatus::Available,
            cluster: None,
            engine: "postgres".to_owned(),
            engine_version: "17.4".to_owned(),
            endpoint: Some(("shop.abc.us-west-2.rds.example".to_owned(), 5432)),
            settings: restored_settings(),
            restore_test: false,
        };
        let mut state = self.state();
        state
            .databases
            .instances
            .insert(instance.id.clone(), instance);
    }

    /// Adds the completed restore of an Aurora cluster `shop` without instances, job `job-db`, with these
    /// tags.
    pub fn add_restored_cluster(&self, tags: &[(&str, &str)]) {
        let arn = "arn:aws:rds:us-west-2:111122223333:cluster:shop";
        self.add_database_job("Aurora", "cluster-snapshot", arn, tags);
        let cluster = DbCluster {
            id: DbClusterId::new("shop"),
            arn: arn.to_owned(),
            status: DbStatus::Available,
            engine: "aurora-postgresql".to_owned(),
            engine_version: "17.4".to_owned(),
            endpoint: Some(("shop.cluster-abc.us-west-2.rds.example".to_owned(), 5432)),
            reader_endpoint: Some("shop.cluster-ro-abc.us-west-2.rds.example".to_owned()),
            scaling: None,
            settings: restored_settings(),
            restore_test: false,
        };
        let mut state = self.state();
        state.databases.clusters.insert(cluster.id.clone(), cluster);
    }

    fn add_database_job(&self, kind: &str, snapshot: &str, arn: &str, tags: &[(&str, &str)]) {
        let point = format!("arn:aws:rds:us-west-2:111122223333:{snapshot}:awsbackup:copyjob-1");
        let completed = FakeClock::new().now() - TimeDelta::seconds(42);
        let job = RestoreJob {
            resource_type: Some(kind.to_owned()),
            source_resource: Arn::parse(&arn.replace("us-west-2", "us-east-1")).ok(),
            created_resource: Arn::parse(arn).ok(),
            ..completed_job("db", &point, RESTORE_ROLE, completed, completed)
        };
        let mut state = self.state();
        let tags = tags.iter();
        let tags = tags.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        state.tags.insert(point, tags.collect());
        state.restore_jobs.insert(job.id.to_string(), job);
    }
}

/// What a database has after its restore, whatever its source had.
fn restored_settings() -> DbSettings {
    DbSettings {
        retention_days: 1,
        ..DbSettings::default()
    }
}
