//! Databases and tables: what is restored, what its tags want, and what becomes of it.
//!
//! What a data store is to become is drawn here, and the tags are derived from it. The invariants compare the
//! world with what was drawn, not with what the code under test reads from the tags.

use std::sync::Arc;

use chrono::TimeDelta;
use fastrand::Rng;
use recovery_core::aws::arn::{Arn, DbClusterId, DbInstanceId, RecoveryPointArn, RestoreJobId};
use recovery_core::aws::backup::{Drill, PlannedAs, Restore, RestoreJob};
use recovery_core::aws::database::{
    Capacity, CreateTrouble, DatabaseId, DbChange, DbCluster, DbInstance, DbSettings, Scaling,
};
use recovery_core::aws::table::{DYNAMODB, StreamView, TableClass, TableStatus};
use recovery_core::error::Error;
use recovery_core::fakes::{DRILL_ROLE, FakeTable, Parameter, RESTORE_ROLE, State};
use recovery_core::outcome::Outcome;
use recovery_core::tags::Tags;

use crate::executor::Millis;
use crate::parties::{Act, Integrator, MINUTE, Plan, Work, chance, pick};
use crate::world::{Sim, time};

/// The drill that restores some of the data stores.
pub(crate) const DRILL: &str = "d-1";
/// The stack that the tags of every data store name.
const STACK: &str = "workload";
/// What belongs to nobody here.
pub(crate) const STRANGER: &str = "stranger";
/// How long RDS takes to create an instance of a cluster.
const CREATION: std::ops::Range<Millis> = 20_000..5 * MINUTE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Instance,
    Cluster,
    Table,
}

/// Why a data store was restored, and what the tags of its recovery point say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorePurpose {
    Tagged,
    Untagged,
    Test,
    /// A cluster whose tags name no instances.
    WithoutInstances,
    /// A copy of another data store for a person: it has the same tags, but another name.
    Copy,
}

/// The settings that the tags want for a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableWish {
    pub(crate) pitr: Option<u8>,
    pub(crate) ttl: bool,
    pub(crate) stream: bool,
    pub(crate) class: bool,
    pub(crate) protected: bool,
    pub(crate) nothing_else: bool,
}

/// A restored database or table.
#[derive(Debug, Clone)]
pub(crate) struct DataStore {
    pub(crate) id: RestoreJobId,
    pub(crate) kind: StoreKind,
    pub(crate) name: String,
    pub(crate) purpose: StorePurpose,
    pub(crate) drill: bool,
    /// The name of the protected resource, and the last part of the path where it is published.
    pub(crate) source: String,
    resource_type: &'static str,
    engine: &'static str,
    /// The classes of the instances of a cluster, in their order.
    pub(crate) classes: Vec<&'static str>,
    /// The capacity that the tags want for serverless instances.
    pub(crate) scaling: Option<Scaling>,
    /// The capacity that the cluster already has.
    pub(crate) found_scaling: Option<Scaling>,
    pub(crate) changes: Vec<DbChange>,
    pub(crate) table: TableWish,
    pub(crate) is_published: bool,
    /// Whether only an older recovery point has the tags. The plan of a recovery names it.
    pub(crate) is_tagged_by_plan: bool,
    /// A setting that RDS or DynamoDB rejects.
    rejected: Option<&'static str>,
    /// Its status when the restore job has completed.
    first: &'static str,
    /// Whether a person deletes or replaces it.
    pub(crate) is_disturbed: bool,
    /// Whether nothing and nobody stands in its way.
    pub(crate) quiet: bool,
    pub(crate) completed: Millis,
}

/// Something that happens to a database or a table.
#[derive(Debug, Clone)]
pub(crate) enum StoreAct {
    Begun(usize),
    Completed(usize),
    Status(usize, &'static str),
    /// A person deletes it.
    Deleted(usize),
    /// A person deletes a table, and makes another one of its name.
    Replaced(usize),
    /// The owner of a configured table turns a setting off.
    OwnerUnprotects(usize),
    /// An instance of another cluster takes this identifier.
    IdentifierTaken(DbInstanceId),
    /// RDS has no capacity for instances, or has it again.
    Capacity(Option<CreateTrouble>),
    InstanceStatus(DbInstanceId, &'static str),
    /// RDS begins with the changes that it accepted.
    ChangesBegin(DatabaseId),
    ChangesEnd(DatabaseId),
    TableActive(String),
}

fn halves(least: u32, most: u32) -> Scaling {
    Scaling {
        least: Capacity { halves: least },
        most: Capacity { halves: most },
    }
}

impl Plan {
    /// Databases and tables, in two of five worlds.
    pub(crate) fn draw_stores(&mut self, rng: &mut Rng) {
        if chance(rng, 60) {
            return;
        }
        let stores = rng.usize(1..=4).min(rng.usize(1..=4));
        let words = ["iam-auth", "performance-insights"];
        let rejected = chance(rng, 10).then(|| pick(rng, &words));
        for n in 0..stores {
            let store = self.draw_store(rng, n, rejected);
            self.stores.push(Arc::new(store));
        }
        if chance(rng, 10) {
            let from = rng.u64(0..self.weather.calm);
            let until = rng.u64(from..self.weather.calm);
            let trouble = Some(CreateTrouble::Capacity);
            for store in &mut self.stores {
                Arc::make_mut(store).quiet = false;
            }
            self.add(from, Act::Store(StoreAct::Capacity(trouble)));
            self.add(until, Act::Store(StoreAct::Capacity(None)));
        }
    }

    fn draw_store(&mut self, rng: &mut Rng, n: usize, rejected: Option<&'static str>) -> DataStore {
        let calm = self.weather.calm;
        let completed = rng.u64(0..calm / 2);
        let mut store = DataStore {
            rejected,
            ..draw_wish(rng, n, completed)
        };
        if store.kind == StoreKind::Table {
            let words = ["stream", "class", "tags"];
            store.rejected = chance(rng, 10).then(|| pick(rng, &words));
        }
        if n > 0 && self.stores[0].purpose == StorePurpose::Tagged && chance(rng, 10) {
            store = DataStore {
                id: store.id,
                name: store.name,
                purpose: StorePurpose::Copy,
                completed,
                drill: false,
                is_tagged_by_plan: false,
                ..(*self.stores[0]).clone()
            };
        }
        let began = completed - rng.u64(0..=completed.min(10 * MINUTE));
        self.add(began, Act::Store(StoreAct::Begun(n)));
        self.add(completed, Act::Store(StoreAct::Completed(n)));
        self.draw_statuses(rng, n, &mut store);
        self.draw_disturbance(rng, n, &mut store);
        if store.kind == StoreKind::Cluster && chance(rng, 8) {
            store.quiet = false;
            let number = rng.usize(1..=store.classes.len());
            let id = DbInstanceId::new(format!("{}-{number}", store.name));
            let at = rng.u64(0..calm);
            self.add(at, Act::Store(StoreAct::IdentifierTaken(id)));
        }
        let job = store.job();
        self.draw_events(rng, store.integrator(), &job, completed);
        let integrator = store.integrator();
        self.draw_requests(rng, integrator, &store.asked(), STACK, completed);
        if chance(rng, 8) {
            store.quiet = false;
            let at = rng.u64(completed..calm);
            self.add(at, Act::PersonResolves(store.id.clone()));
        }
        store.quiet &= store.purpose == StorePurpose::Tagged
            && !store.drill
            && !store.is_tagged_by_plan
            && store.rejected.is_none()
            && self.weather.faults == 0;
        store
    }

    /// The statuses after the restore: of a database perhaps a backup, of each perhaps one that only a person
    /// ends.
    fn draw_statuses(&mut self, rng: &mut Rng, n: usize, store: &mut DataStore) {
        let calm = self.weather.calm;
        let is_table = store.kind == StoreKind::Table;
        let ready = if is_table { "ACTIVE" } else { "available" };
        let mut at = store.completed;
        let mut becomes = |plan: &mut Plan, rng: &mut Rng, longest: Millis, status| {
            at = (at + rng.u64(1..longest)).min(calm);
            plan.add(at, Act::Store(StoreAct::Status(n, status)));
        };
        if store.first != ready {
            if (is_table || store.first == "creating") && chance(rng, 5) {
                return;
            }
            if !is_table && chance(rng, 30) {
                becomes(self, rng, 3 * MINUTE, "backing-up");
            }
            becomes(self, rng, 5 * MINUTE, ready);
        }
        match rng.u32(0..100) {
            0..8 => {
                store.quiet = false;
                let dead = match store.kind {
                    StoreKind::Table => "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
                    _ => pick(rng, &["stopped", "storage-full", "incompatible-network"]),
                };
                becomes(self, rng, 10 * MINUTE, dead);
                if chance(rng, 60) {
                    becomes(self, rng, 10 * MINUTE, ready);
                }
            }
            8..25 if !is_table => {
                let busy = pick(rng, &["backing-up", "maintenance", "storage-optimization"]);
                becomes(self, rng, 5 * MINUTE, busy);
                becomes(self, rng, 10 * MINUTE, ready);
            }
            _ => {}
        }
    }

    fn draw_disturbance(&mut self, rng: &mut Rng, n: usize, store: &mut DataStore) {
        let at = rng.u64(store.completed..self.weather.calm);
        match rng.u32(0..100) {
            0..3 => {
                store.is_disturbed = true;
                self.add(at, Act::Store(StoreAct::Deleted(n)));
            }
            3..10 if store.kind == StoreKind::Table => {
                store.is_disturbed = true;
                self.add(at, Act::Store(StoreAct::Replaced(n)));
            }
            10..30 if store.kind == StoreKind::Table && store.table.protected => {
                self.add(at, Act::Store(StoreAct::OwnerUnprotects(n)));
            }
            _ => {}
        }
        store.quiet &= !store.is_disturbed;
    }

    /// The state machines of recoveries and drills, and drills that ask for what is not theirs. `own` is the stack that
    /// the tags name.
    pub(crate) fn draw_requests(
        &mut self,
        rng: &mut Rng,
        integrator: Integrator,
        asked: &Restore,
        own: &str,
        completed: Millis,
    ) {
        let calm = self.weather.calm;
        let is_tagged_by_plan = asked.planned.tags_from.is_some();
        if chance(rng, if is_tagged_by_plan { 85 } else { 50 }) {
            let at = (completed + rng.u64(0..30_000)).min(calm);
            let asked = Arc::new(asked.clone());
            self.invoke(at, Work::Recover(integrator, asked, 0));
        }
        if chance(rng, 6) {
            let stack = pick(rng, &["another", own]);
            let asked = Restore {
                drill: Some(drill(stack)),
                ..asked.clone()
            };
            let at = rng.u64(completed..calm);
            self.integrate(at, integrator, asked);
        }
    }
}

pub(crate) fn drill(stack: &str) -> Drill {
    Drill {
        stack: stack.to_owned(),
        name: Some(DRILL.to_owned()),
    }
}

/// What the tags of the data store want.
fn draw_wish(rng: &mut Rng, n: usize, completed: Millis) -> DataStore {
    let kind = match rng.u32(0..100) {
        0..30 => StoreKind::Instance,
        30..65 => StoreKind::Cluster,
        _ => StoreKind::Table,
    };
    let (resource_type, engine) = match kind {
        StoreKind::Instance => ("RDS", "postgres"),
        StoreKind::Table => (DYNAMODB, ""),
        StoreKind::Cluster => pick(
            rng,
            &[
                ("Aurora", "aurora-postgresql"),
                ("Aurora", "aurora-mysql"),
                ("DocumentDB", "docdb"),
                ("Neptune", "neptune"),
            ],
        ),
    };
    let is_cluster = kind == StoreKind::Cluster;
    let mut classes = Vec::new();
    if is_cluster {
        let class = pick(rng, &["db.r6g.large", "db.serverless"]);
        classes = vec![class; rng.usize(1..=3)];
    }
    let is_serverless = classes.first() == Some(&"db.serverless");
    let all = [
        DbChange::Protect,
        DbChange::Retention(7),
        DbChange::IamAuthentication,
        DbChange::ExportLogs(["audit".to_owned(), "error".to_owned()].into()),
        DbChange::PerformanceInsights,
    ];
    let mut changes: Vec<DbChange> = match kind {
        StoreKind::Table => Vec::new(),
        _ => all.into_iter().filter(|_| chance(rng, 30)).collect(),
    };
    let drill = chance(rng, 12);
    let mut table = match kind {
        StoreKind::Table => TableWish {
            pitr: chance(rng, 60).then(|| rng.u8(1..=35)),
            ttl: chance(rng, 50),
            stream: chance(rng, 30),
            class: chance(rng, 30),
            protected: chance(rng, 50),
            nothing_else: chance(rng, 90),
        },
        _ => TableWish::default(),
    };
    let mut first: Vec<&'static str> = vec!["available", "creating", "backing-up", "modifying"];
    if kind == StoreKind::Table {
        first = vec!["ACTIVE", "ACTIVE", "CREATING"];
    }
    let purpose = match rng.u32(0..100) {
        0..5 => StorePurpose::Untagged,
        5..9 => StorePurpose::Test,
        9..13 if is_cluster => StorePurpose::WithoutInstances,
        _ => StorePurpose::Tagged,
    };
    if drill {
        // A drill is deleted afterwards.
        changes.retain(|change| *change != DbChange::Protect);
        table.protected = false;
    }
    DataStore {
        id: RestoreJobId::new(format!("store-{n}")),
        kind,
        name: format!("data-{n}"),
        purpose,
        drill,
        source: format!("data-{n}"),
        resource_type,
        engine,
        scaling: is_serverless.then(|| halves(1, 32)),
        found_scaling: (is_serverless && chance(rng, 15)).then(|| halves(4, 8)),
        classes,
        changes,
        table,
        is_published: chance(rng, 80),
        is_tagged_by_plan: purpose == StorePurpose::Tagged && chance(rng, 12),
        rejected: None,
        first: pick(rng, &first),
        is_disturbed: false,
        quiet: true,
        completed,
    }
}

/// When the state machine of a recovery invokes an integrator again: after how long, how long it has waited by
/// then, and which attempt it is.
pub(crate) fn state_machine_again(
    attempt: usize,
    waited: Millis,
    answer: Option<&Result<Outcome, Error>>,
) -> Option<(Millis, Millis, usize)> {
    match answer {
        Some(Ok(outcome)) if outcome.kind() == "pending" && waited < 60 * MINUTE => {
            let pause = (waited / 40).clamp(30_000, 5 * MINUTE);
            Some((pause, waited + pause, 1))
        }
        Some(Ok(_) | Err(Error::Permanent(_))) => None,
        Some(Err(Error::Retryable(_))) | None => {
            let pause = (5_000 << (attempt - 1)).min(120_000);
            (attempt < 9).then_some((pause, waited, attempt + 1))
        }
    }
}

impl DataStore {
    pub(crate) fn integrator(&self) -> Integrator {
        match self.kind {
            StoreKind::Table => Integrator::Table,
            StoreKind::Instance | StoreKind::Cluster => Integrator::Database,
        }
    }

    /// What the state machine of its recovery or drill asks for.
    fn asked(&self) -> Restore {
        let older = RecoveryPointArn::parse(&self.point("older")).ok();
        Restore {
            drill: self.drill.then(|| drill("drill")),
            planned: PlannedAs {
                tags_from: older.filter(|_| self.is_tagged_by_plan),
                ..PlannedAs::default()
            },
            ..Restore::from(RestoreJob::known_by_id(self.id.clone()))
        }
    }

    fn point(&self, which: &str) -> String {
        let name = &self.name;
        match self.kind {
            StoreKind::Instance => {
                format!(
                    "arn:aws:rds:us-west-2:111122223333:snapshot:awsbackup:copyjob-{which}-{name}"
                )
            }
            StoreKind::Cluster => format!(
                "arn:aws:rds:us-west-2:111122223333:cluster-snapshot:awsbackup:copyjob-{which}-{name}"
            ),
            StoreKind::Table => {
                format!("arn:aws:backup:us-west-2:111122223333:recovery-point:{which}-{name}")
            }
        }
    }

    fn arn_in(&self, region: &str, name: &str) -> String {
        match self.kind {
            StoreKind::Instance => format!("arn:aws:rds:{region}:111122223333:db:{name}"),
            StoreKind::Cluster => format!("arn:aws:rds:{region}:111122223333:cluster:{name}"),
            StoreKind::Table => format!("arn:aws:dynamodb:{region}:111122223333:table/{name}"),
        }
    }

    fn arn(&self) -> String {
        self.arn_in("us-west-2", &self.name)
    }

    /// The job as AWS Backup knows it.
    fn job(&self) -> RestoreJob {
        let role = if self.drill { DRILL_ROLE } else { RESTORE_ROLE };
        RestoreJob {
            status: Some("COMPLETED".to_owned()),
            resource_type: Some(self.resource_type.to_owned()),
            created_resource: Arn::parse(&self.arn()).ok(),
            recovery_point: RecoveryPointArn::parse(&self.point("own")).ok(),
            source_resource: Arn::parse(&self.arn_in("us-east-1", &self.source)).ok(),
            iam_role: Arn::parse(role).ok(),
            restore_test: self.purpose == StorePurpose::Test,
            completed: Some(time(self.completed)),
            ..RestoreJob::known_by_id(self.id.clone())
        }
    }

    pub(crate) fn database(&self) -> Option<DatabaseId> {
        match self.kind {
            StoreKind::Instance => Some(DatabaseId::Instance(DbInstanceId::new(&self.name))),
            StoreKind::Cluster => Some(DatabaseId::Cluster(DbClusterId::new(&self.name))),
            StoreKind::Table => None,
        }
    }

    /// The identifiers of the instances of a cluster.
    pub(crate) fn instances(&self) -> impl Iterator<Item = DbInstanceId> {
        let numbers = 1..=self.classes.len();
        numbers.map(|number| DbInstanceId::new(format!("{}-{number}", self.name)))
    }

    /// The path of its parameters.
    pub(crate) fn path(&self) -> String {
        match self.drill {
            true => format!("/recovery/{}/drill/{DRILL}", self.source),
            false => format!("/recovery/{}", self.source),
        }
    }

    /// The parameters that it is to have, with their values in this state of the world.
    pub(crate) fn parameters(&self, state: &State) -> Vec<(String, String)> {
        let mut values: Vec<(&str, String)> = Vec::new();
        let endpoint = format!("{}.example", self.name);
        match self.kind {
            StoreKind::Table => {
                values.extend([("name", self.name.clone()), ("arn", self.arn())]);
                let stream = state.tables.get(&self.name);
                let stream = stream.and_then(|table| table.table.stream.as_ref());
                values.extend(stream.map(|stream| ("stream-arn", stream.arn.clone())));
            }
            StoreKind::Instance | StoreKind::Cluster => {
                values.extend([
                    ("endpoint", endpoint),
                    ("port", "5432".to_owned()),
                    ("arn", self.arn()),
                    ("id", self.name.clone()),
                    ("engine", self.engine.to_owned()),
                ]);
            }
        }
        if self.kind == StoreKind::Cluster {
            values.push(("reader-endpoint", format!("{}.readers.example", self.name)));
        }
        let path = self.path();
        values
            .into_iter()
            .map(|(leaf, value)| (format!("{path}/{leaf}"), value))
            .collect()
    }

    /// The tags that the protected resource has.
    fn tags(&self) -> Tags {
        let mut tags = vec![
            ("recovery:workload", "shop".to_owned()),
            ("recovery:stack", STACK.to_owned()),
        ];
        if !self.classes.is_empty() && self.purpose != StorePurpose::WithoutInstances {
            let mut instances = self.classes.join(" ");
            instances.extend(self.scaling.map(|scaling| format!(" {scaling}")));
            tags.push(("recovery:instances", instances));
        }
        if !self.changes.is_empty() {
            let words: Vec<String> = self.changes.iter().map(ToString::to_string).collect();
            tags.push(("recovery:database", words.join(" ")));
        }
        if self.kind == StoreKind::Table {
            let TableWish {
                pitr,
                ttl,
                stream,
                class,
                protected,
                nothing_else,
            } = self.table;
            let words = [
                pitr.map(|days| format!("pitr={days}")),
                ttl.then(|| "ttl=expires".to_owned()),
                stream.then(|| "stream=NEW_IMAGE".to_owned()),
                class.then(|| "class=STANDARD_INFREQUENT_ACCESS".to_owned()),
                protected.then(|| "protected".to_owned()),
                nothing_else.then(|| "nothing-else".to_owned()),
            ];
            let words: Vec<String> = words.into_iter().flatten().collect();
            tags.push(("recovery:table", words.join(" ")));
        }
        if self.is_published {
            tags.push(("recovery:publish", format!("/recovery/{}", self.source)));
        }
        tags.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// Whether the database or table has what its tags want, and is published; otherwise what is missing.
    /// Settings that AWS rejects do not count.
    pub(crate) fn missing(&self, state: &State) -> Vec<String> {
        let mut missing = Vec::new();
        let mut check = |is_there: bool, what: &str| {
            if !is_there && self.rejected != Some(what) {
                missing.push(what.to_owned());
            }
        };
        let databases = &state.databases;
        match self.kind {
            StoreKind::Instance => {
                let instance = databases.instances.get(&DbInstanceId::new(&self.name));
                let settings = instance.map(|it| it.settings.clone()).unwrap_or_default();
                for change in &self.changes {
                    check(has(&settings, change), &change.to_string());
                }
            }
            StoreKind::Cluster => {
                let cluster = databases.clusters.get(&DbClusterId::new(&self.name));
                let own = cluster.map(|it| it.settings.clone()).unwrap_or_default();
                for id in self.instances() {
                    let instance = databases.instances.get(&id);
                    let is_ours = |it: &&DbInstance| {
                        it.cluster.as_ref().map(DbClusterId::as_str) == Some(&self.name)
                    };
                    let instance = instance.filter(is_ours);
                    check(instance.is_some(), id.as_str());
                    let settings = instance.map(|it| it.settings.clone()).unwrap_or_default();
                    if self.changes.contains(&DbChange::PerformanceInsights) {
                        check(settings.performance_insights, "performance-insights");
                    }
                }
                for change in &self.changes {
                    if *change != DbChange::PerformanceInsights {
                        check(has(&own, change), &change.to_string());
                    }
                }
                let scaling = self.found_scaling.or(self.scaling);
                check(cluster.is_some_and(|it| it.scaling == scaling), "scaling");
            }
            StoreKind::Table => {
                let wish = &self.table;
                let table = state.tables.get(&self.name);
                let table = |is: fn(&FakeTable) -> bool| table.is_some_and(is);
                check(!wish.ttl || table(|it| it.ttl.attribute.is_some()), "ttl");
                check(
                    !wish.stream
                        || table(|it| {
                            let stream = it.table.stream.as_ref();
                            stream.is_some_and(|stream| stream.view == StreamView::NewImage)
                        }),
                    "stream",
                );
                check(
                    !wish.class || table(|it| it.table.class == TableClass::InfrequentAccess),
                    "class",
                );
                check(
                    !wish.protected || table(|it| it.table.protected),
                    "protection",
                );
                let days = state.tables.get(&self.name).map(|it| it.backups.days);
                check(wish.pitr.is_none() || days == Some(wish.pitr), "pitr");
                let tags = state.tables.get(&self.name).map(|it| &it.tags);
                let is_tagged = tags.is_some_and(|it| it.contains_key("recovery:workload"));
                check(is_tagged != self.drill, "tags");
            }
        }
        if self.is_published {
            for (name, value) in self.parameters(state) {
                let found = state.parameters.get(&name).map(|it| &it.value);
                check(found == Some(&value), &name);
            }
        }
        missing
    }

    /// Whether a person has something left to do, once everything is done.
    pub(crate) fn leaves_something(&self) -> bool {
        match self.kind {
            StoreKind::Table => {
                self.rejects_something()
                    || !self.table.nothing_else
                    || self.table.stream && !self.drill && self.rejected != Some("stream")
            }
            StoreKind::Instance | StoreKind::Cluster => self.rejects_something(),
        }
    }

    fn rejects_something(&self) -> bool {
        match self.rejected {
            None => false,
            Some("stream") => self.table.stream,
            Some("class") => self.table.class,
            Some("tags") => !self.drill,
            Some(word) => self.changes.iter().any(|change| change.to_string() == word),
        }
    }
}

/// Whether the settings contain what the change makes.
fn has(settings: &DbSettings, change: &DbChange) -> bool {
    match change {
        DbChange::Protect => settings.deletion_protection,
        DbChange::Retention(days) => settings.retention_days == *days,
        DbChange::IamAuthentication => settings.iam_authentication,
        DbChange::ExportLogs(types) => settings.log_exports == *types,
        DbChange::PerformanceInsights => settings.performance_insights,
    }
}

/// What belongs to others and must stay as it is: an instance, a cluster, a table, and a parameter next to
/// those of each data store.
pub(crate) fn add_strangers(sim: &Sim, stores: &[Arc<DataStore>]) {
    if stores.is_empty() {
        return;
    }
    let mut state = sim.world.state();
    let instance = instance(STRANGER, "postgres", "available");
    let cluster = cluster(STRANGER, "aurora-postgresql", "available", None);
    state
        .databases
        .instances
        .insert(instance.id.clone(), instance);
    state.databases.clusters.insert(cluster.id.clone(), cluster);
    if let Some(table) = table(STRANGER, 0) {
        state.tables.insert(STRANGER.to_owned(), table);
    }
    // The simulation ends creations and changes, not a number of reads.
    state.databases.reads_until_created = usize::MAX;
    state.databases.reads_until_changed = usize::MAX;
    let databases = stores.iter().find(|it| it.kind != StoreKind::Table);
    let rejected = databases.and_then(|it| it.rejected);
    state.databases.refused_changes = rejected.into_iter().collect();
    for store in stores {
        for (leaf, value) in [("password", STRANGER), ("id", "of-the-last-recovery")] {
            let parameter = Parameter {
                value: value.to_owned(),
                tags: std::collections::BTreeMap::new(),
                version: 1,
            };
            let name = format!("/recovery/{}/{leaf}", store.source);
            state.parameters.insert(name, parameter);
        }
    }
}

pub(crate) fn instance(name: &str, engine: &str, status: &str) -> DbInstance {
    DbInstance {
        id: DbInstanceId::new(name),
        arn: format!("arn:aws:rds:us-west-2:111122223333:db:{name}"),
        status: status.into(),
        cluster: None,
        engine: engine.to_owned(),
        engine_version: "17.4".to_owned(),
        endpoint: (status != "creating").then(|| (format!("{name}.example"), 5432)),
        settings: DbSettings {
            retention_days: 1,
            ..DbSettings::default()
        },
        restore_test: false,
    }
}

pub(crate) fn cluster(
    name: &str,
    engine: &str,
    status: &str,
    scaling: Option<Scaling>,
) -> DbCluster {
    DbCluster {
        id: DbClusterId::new(name),
        arn: format!("arn:aws:rds:us-west-2:111122223333:cluster:{name}"),
        status: status.into(),
        engine: engine.to_owned(),
        engine_version: "17.4".to_owned(),
        endpoint: Some((format!("{name}.example"), 5432)),
        reader_endpoint: Some(format!("{name}.readers.example")),
        scaling,
        settings: DbSettings {
            retention_days: 1,
            ..DbSettings::default()
        },
        restore_test: false,
    }
}

fn table(name: &str, created: Millis) -> Option<FakeTable> {
    let arn = Arn::parse(&format!(
        "arn:aws:dynamodb:us-west-2:111122223333:table/{name}"
    ))
    .ok()?;
    let mut table = FakeTable::restored(arn, time(created));
    table.table.id = format!("{name}-{created}");
    table.reads_until_active = None;
    table.reads_of_a_change = usize::MAX;
    Some(table)
}

/// Lets something happen to a database or a table.
pub(crate) fn act(sim: &Sim, stores: &[Arc<DataStore>], act: &StoreAct) {
    let now = sim.now();
    match act {
        StoreAct::Begun(n) => {
            let store = &stores[*n];
            let job = RestoreJob {
                status: Some("RUNNING".to_owned()),
                created_resource: None,
                completed: None,
                ..store.job()
            };
            let mut state = sim.world.state();
            state.restore_jobs.insert(store.id.to_string(), job);
        }
        StoreAct::Completed(n) => complete(sim, &stores[*n]),
        StoreAct::Status(n, to) => {
            let store = &stores[*n];
            let mut state = sim.world.state();
            match store.database() {
                Some(DatabaseId::Instance(id)) => {
                    if let Some(instance) = state.databases.instances.get_mut(&id) {
                        instance.status = (*to).into();
                        instance.endpoint = Some((format!("{id}.example"), 5432));
                    }
                }
                Some(DatabaseId::Cluster(id)) => {
                    if let Some(cluster) = state.databases.clusters.get_mut(&id) {
                        cluster.status = (*to).into();
                    }
                }
                None => {
                    if let Some(table) = state.tables.get_mut(&store.name) {
                        table.table.status = (*to).into();
                    }
                }
            }
        }
        StoreAct::Deleted(n) => {
            let store = &stores[*n];
            let mut state = sim.world.state();
            match store.database() {
                Some(DatabaseId::Instance(id)) => _ = state.databases.instances.remove(&id),
                Some(DatabaseId::Cluster(id)) => _ = state.databases.clusters.remove(&id),
                None => _ = state.tables.remove(&store.name),
            }
        }
        StoreAct::Replaced(n) => {
            let store = &stores[*n];
            let mut state = sim.world.state();
            if let Some(other) = table(&store.name, now)
                && state.tables.contains_key(&store.name)
            {
                state.tables.insert(store.name.clone(), other);
            }
        }
        StoreAct::OwnerUnprotects(n) => {
            let store = &stores[*n];
            let key = recovery_core::ops_item::restore_key(&store.id);
            let mut state = sim.world.state();
            let is_configured = state.items.iter().any(|stored| {
                let said = stored.item.data.get("recovery:integration");
                stored.key == key && said.map(String::as_str) == Some("configured")
            });
            if let Some(table) = state.tables.get_mut(&store.name)
                && is_configured
            {
                table.table.protected = false;
                sim.inner().ledger.unprotected(now, &store.name);
            }
        }
        StoreAct::IdentifierTaken(id) => {
            let mut state = sim.world.state();
            let other = DbInstance {
                cluster: Some(DbClusterId::new(STRANGER)),
                ..instance(id.as_str(), "aurora-postgresql", "available")
            };
            state.databases.instances.entry(id.clone()).or_insert(other);
        }
        StoreAct::Capacity(trouble) => sim.world.state().databases.create_trouble = *trouble,
        StoreAct::InstanceStatus(id, to) => {
            let mut state = sim.world.state();
            if let Some(instance) = state.databases.instances.get_mut(id) {
                instance.status = (*to).into();
            }
        }
        StoreAct::ChangesBegin(id) => sim.world.state().databases.begin_changes(id),
        StoreAct::ChangesEnd(id) => sim.world.state().databases.end_changes(id),
        StoreAct::TableActive(name) => {
            let mut state = sim.world.state();
            if let Some(table) = state.tables.get_mut(name)
                && table.table.status == TableStatus::Updating
            {
                table.table.status = TableStatus::Active;
            }
        }
    }
    note_reachable(sim);
}

/// Records which databases can be reached.
fn note_reachable(sim: &Sim) {
    let state = sim.world.state();
    let mut inner = sim.inner();
    for instance in state.databases.instances.values() {
        if instance.status.is_reachable() && instance.endpoint.is_some() {
            inner.ledger.reachable.insert(instance.id.clone());
        }
    }
}

fn complete(sim: &Sim, store: &DataStore) {
    let mut state = sim.world.state();
    let state = &mut *state;
    let job = store.job();
    state.restore_jobs.insert(store.id.to_string(), job);
    let untagged = Tags::from([("Name".to_owned(), "data".to_owned())]);
    let is_tagged = store.purpose != StorePurpose::Untagged && !store.is_tagged_by_plan;
    let tags = if is_tagged { store.tags() } else { untagged };
    state.tags.insert(store.point("own"), tags);
    if store.is_tagged_by_plan {
        state.tags.insert(store.point("older"), store.tags());
    }
    match store.kind {
        StoreKind::Instance => {
            let instance = instance(&store.name, store.engine, store.first);
            let instances = &mut state.databases.instances;
            instances.insert(instance.id.clone(), instance);
        }
        StoreKind::Cluster => {
            let cluster = cluster(&store.name, store.engine, store.first, store.found_scaling);
            let clusters = &mut state.databases.clusters;
            clusters.insert(cluster.id.clone(), cluster);
        }
        StoreKind::Table => {
            let created = store.completed.saturating_sub(1_000);
            if let Some(mut table) = table(&store.name, created) {
                table.table.created = time(store.completed) - TimeDelta::minutes(3);
                table.table.status = store.first.into();
                table.backups_unavailable = usize::from(store.name.ends_with(['1', '3']));
                table.rejects = store.rejected.into_iter().collect();
                state.tables.insert(store.name.clone(), table);
                sim.table_begins(&store.name);
            }
        }
    }
}

/// What follows from the creation of an instance: it is reachable after minutes, or `can_fail` and fails.
pub(crate) fn creation(rng: &mut Rng, can_fail: bool) -> (Millis, &'static str) {
    let status = match can_fail && chance(rng, 5) {
        true => pick(rng, &["failed", "incompatible-network"]),
        false => "available",
    };
    (rng.u64(CREATION), status)
}
