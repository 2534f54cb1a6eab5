//! Integrates a restored database: creates the instances of a cluster, applies settings that the restore lost,
//! publishes the addresses, and records the result.
//!
//! It can be repeated, and run twice at the same time: each step first reads whether it is done. RDS takes
//! minutes for an instance, and hours for a large restore. A run waits for nothing that takes longer than
//! `WORK`: it answers `pending`, and the state machine and the reconciler run it again.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::{join, try_join};

use crate::aws::arn::Arn;
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::database::{CreateAnswer, DatabaseId, DbChange, NewDbInstance};
use crate::error::{Error, Fault};
use crate::integrate::backoff::{Backoff, RESERVE};
use crate::integrate::database::decide::{Observed, Progress, Step, next_step};
use crate::integrate::database::kind::DATABASE;
use crate::integrate::database::record::{Integrated, addresses, outcome, records_all};
use crate::integrate::database::refusal::DatabaseRefusal;
use crate::integrate::database::wanted::{Wanted, is_tagged};
use crate::integrate::record::TAGS_FROM;
use crate::integrate::run_job::{Admission, admit, source_of};
use crate::integrate::run_publish::publish;
use crate::integrate::run_record::{
    record_data, record_failure, record_result, record_untagged, refuse,
};
use crate::integrate::run_tags::tags_of;
use crate::integrate::skip::{Ownership, check_drill_stack, drill_name};
use crate::ops_item::restore_key;
use crate::ops_item::run::first_of;
use crate::outcome::Outcome;
use crate::plan::names::NameKind;
use crate::ports::{Clock, DatabasePorts, DbClusters, DbInstances};
use crate::tags::{IDENTIFIER, STACK, Tags, value};

/// The longest time that a run waits and acts.
const WORK: Duration = Duration::from_secs(45);
/// The pause before a check of something that takes seconds.
const SOON: Duration = Duration::from_secs(5);

/// What the deployment permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// The account, Region and drill role that this deployment may act on.
    pub ownership: Ownership,
    /// The path, with a slash at its end, below which addresses are published.
    pub publish_path: String,
}

/// Integrates a restore. Fields of its job that the event lacks are read from AWS Backup.
///
/// A database that a drill restored is only integrated if that drill asks for it. Everything that is made for
/// it has the tag of the drill. A drill gets no other database.
///
/// # Errors
/// [`Error::Retryable`] if a call failed that can succeed later; [`Error::Permanent`] if a call cannot
/// succeed. A refusal is not an error, because retrying cannot help: operators are notified, or the answer
/// contains the remedy.
pub async fn integrate(
    ports: &impl DatabasePorts,
    clock: &impl Clock,
    config: &DatabaseConfig,
    restore: impl Into<Restore>,
) -> Result<Outcome, Error> {
    let DatabaseConfig {
        ownership,
        publish_path,
    } = config;
    let admission = admit(ports.restore_jobs(), ownership, &DATABASE, restore.into()).await?;
    let (restore, created) = match admission {
        Admission::Integrate { restore, created } => (restore, created),
        Admission::Skip(outcome) => return Ok(outcome),
    };
    let Some(id) = DatabaseId::of(&created) else {
        return Ok(Outcome::ignored("resource-type"));
    };
    if let Some(refusal) = ownership.refuses(&created) {
        return refuse(ports, &DATABASE, &restore, &refusal).await;
    }
    let drill = drill_name(&restore)?;
    // The item of the plan comes with each request; only the reconciler needs the record.
    if let Some(from) = &restore.planned.tags_from {
        record_data(ports.ops_items(), &restore, TAGS_FROM, from.as_str()).await?;
    }
    let mut waits = Waits::new(clock, &id);
    let (tags, seen) = loop {
        let (tags, seen) = join(
            tags_of(ports, &restore.job, restore.planned.tags_from.as_ref()),
            observe(ports, &id),
        )
        .await;
        match (tags, seen) {
            (Ok(tags), Ok(seen)) => break (tags, seen),
            (Err(error), _) | (_, Err(error)) => waits.after_failed_read(error).await?,
        }
    };
    let Some(seen) = seen else {
        let refusal = DatabaseRefusal::DatabaseGone { id };
        return refuse(ports, &DATABASE, &restore, &refusal).await;
    };
    let ignored = |reason| Ok(Outcome::ignored(reason).with("databaseId", id.as_str()));
    if seen.is_restore_test() {
        return ignored("restore-test");
    }
    if !is_tagged(&tags) {
        record_untagged(ports.ops_items(), &DATABASE, &restore).await?;
        return ignored("untagged");
    }
    if let Err(outcome) = check_drill_stack(&restore, value(&tags, STACK)) {
        return Ok(outcome);
    }
    if drill.is_none()
        && let Some(refusal) = other_name(ports, &restore.job, &tags, &id).await?
    {
        return refuse(ports, &DATABASE, &restore, &refusal).await;
    }
    let wanted = match Wanted::of(&tags, &id, publish_path, drill) {
        Ok(wanted) => wanted,
        Err(refusal) => return refuse(ports, &DATABASE, &restore, &refusal).await,
    };
    let mut run = Run {
        ports,
        restore: &restore,
        id: &id,
        wanted: &wanted,
        progress: Progress::default(),
        acted: false,
        replaced: Vec::new(),
        waits,
    };
    match run.advance(seen).await {
        Ok(End::Integrated(seen)) => run.record(clock, &seen).await,
        Ok(End::Recorded(outcome)) => Ok(outcome),
        Ok(End::Pending(what)) => Ok(Outcome::pending(what)
            .with("restoreJobId", restore.job.id.as_str())
            .with("databaseId", id.as_str())),
        Ok(End::Refused(refusal)) => refuse(ports, &DATABASE, &restore, &refusal).await,
        // No later run succeeds either, so this run records it.
        Err(Error::Permanent(fault)) if is_ours(&fault) => {
            let is_disconnected = async || Ok(true);
            match record_failure(ports, &DATABASE, &restore, &fault, is_disconnected).await {
                Err(later @ Error::Retryable(_)) => Err(later),
                Ok(()) | Err(Error::Permanent(_)) => Err(Error::Permanent(fault)),
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether the failed call belongs to the integration itself, and not to its record.
fn is_ours(fault: &Fault) -> bool {
    let operation = fault.operation();
    operation.starts_with("rds:")
        || operation.ends_with("Parameter")
        || operation.ends_with("Parameters")
}

/// The refusal of a database that has another name than the workload's: a person may have restored a copy for
/// another purpose.
///
/// # Errors
/// Those of the port.
async fn other_name(
    ports: &impl DatabasePorts,
    job: &RestoreJob,
    tags: &Tags,
    id: &DatabaseId,
) -> Result<Option<DatabaseRefusal>, Error> {
    let kind = match id {
        DatabaseId::Instance(_) => NameKind::DbInstance,
        DatabaseId::Cluster(_) => NameKind::DbCluster,
    };
    let tagged = value(tags, IDENTIFIER).filter(|name| kind.accepts(name));
    let wanted = match tagged {
        Some(name) => Some(kind.stored(name)),
        None => {
            let source = source_of(ports.restore_jobs(), job).await?;
            source.and_then(|source| source_name(kind, &source))
        }
    };
    Ok(
        (wanted.as_deref() != Some(id.as_str())).then(|| DatabaseRefusal::OtherName {
            id: id.clone(),
            wanted,
        }),
    )
}

/// The name of the protected database.
fn source_name(kind: NameKind, source: &Arn) -> Option<String> {
    DatabaseId::of(source).map(|id| kind.stored(id.as_str()))
}

/// The database as it is now; `None` if it does not exist.
async fn observe(ports: &impl DatabasePorts, id: &DatabaseId) -> Result<Option<Observed>, Error> {
    match id {
        DatabaseId::Instance(id) => {
            let instance = ports.db_instances().describe(id).await?;
            Ok(instance.map(Observed::Instance))
        }
        DatabaseId::Cluster(id) => {
            let (cluster, instances) = try_join(
                ports.db_clusters().describe(id),
                ports.db_instances().list_of_cluster(id),
            )
            .await?;
            Ok(cluster.map(|cluster| Observed::Cluster(cluster, instances)))
        }
    }
}

/// How a run ended.
enum End {
    /// Everything is done.
    Integrated(Observed),
    /// It was done, and recorded, before this run.
    Recorded(Outcome),
    /// This takes minutes.
    Pending(String),
    /// A rule forbids it.
    Refused(DatabaseRefusal),
}

/// One run of an integration.
struct Run<'a, P, C> {
    ports: &'a P,
    restore: &'a Restore,
    id: &'a DatabaseId,
    wanted: &'a Wanted,
    progress: Progress,
    /// Whether it changed something.
    acted: bool,
    /// The parameters that it replaced.
    replaced: Vec<String>,
    waits: Waits<'a, C>,
}

impl<P: DatabasePorts, C: Clock> Run<'_, P, C> {
    /// Carries out the steps until the database is integrated, or a step takes minutes.
    async fn advance(&mut self, first: Observed) -> Result<End, Error> {
        let mut seen = first;
        loop {
            let step = next_step(&seen, self.wanted, &self.progress);
            let failed = match step {
                Step::Done => return Ok(End::Integrated(seen)),
                Step::Refuse(refusal) => return Ok(End::Refused(refusal)),
                Step::Wait { what, soon } => {
                    if !soon || !self.waits.pause(SOON).await {
                        return Ok(End::Pending(what));
                    }
                    None
                }
                Step::Publish => match self.publish(&seen).await? {
                    None => continue,
                    Some(outcome) => return Ok(End::Recorded(outcome)),
                },
                Step::Create(new) => match self.create(new).await {
                    Ok(None) => None,
                    Ok(Some(refusal)) => return Ok(End::Refused(refusal)),
                    Err(error) => Some(error),
                },
                Step::Scale(ref id, scaling) => {
                    let answer = self.ports.db_clusters().scale(id, scaling).await;
                    self.progress.scaled = answer.is_ok();
                    self.acted |= answer.is_ok();
                    answer.err()
                }
                Step::Change(id, change) => self.change(id, change).await.err(),
            };
            if let Some(error) = failed {
                let busy = is_busy(&error);
                match error {
                    Error::Retryable(fault) if self.waits.pause(SOON).await => drop(fault),
                    Error::Retryable(_) if busy => {
                        return Ok(End::Pending(format!("{} to accept a change", self.id)));
                    }
                    error => return Err(error),
                }
            }
            seen = loop {
                match observe(self.ports, self.id).await {
                    Ok(Some(seen)) => break seen,
                    Ok(None) => {
                        let id = self.id.clone();
                        return Ok(End::Refused(DatabaseRefusal::DatabaseGone { id }));
                    }
                    Err(error) => self.waits.after_failed_read(error).await?,
                }
            };
        }
    }

    /// Publishes the addresses, if the tags ask for it. Returns the outcome if the OpsItem of the job records
    /// that everything was done before.
    async fn publish(&mut self, seen: &Observed) -> Result<Option<Outcome>, Error> {
        let key = restore_key(&self.restore.job.id);
        let item = first_of(self.ports.ops_items(), &key).await?;
        if let Some(item) = item.filter(|item| records_all(item, seen)) {
            let job = &self.restore.job;
            return Ok(Some(outcome(false, seen, job, Some(&item.id))));
        }
        if let Some(publication) = &self.wanted.publication {
            let addresses = addresses(seen);
            let published = publish(self.ports, self.restore, publication, &addresses).await?;
            self.acted |= published.written;
            self.replaced = published.replaced;
        }
        self.progress.published = true;
        Ok(None)
    }

    /// Creates an instance. Its identifier may exist: another run has created the instance, or it
    /// belongs to another cluster.
    async fn create(&mut self, new: NewDbInstance) -> Result<Option<DatabaseRefusal>, Error> {
        match self.ports.db_instances().create(&new).await? {
            CreateAnswer::Created => {
                self.acted = true;
                self.progress.created.push(new.id);
                Ok(None)
            }
            CreateAnswer::Exists => {
                let Some(found) = self.ports.db_instances().describe(&new.id).await? else {
                    return Err(Error::Retryable(Fault::new(
                        "rds:DescribeDBInstances",
                        new.id.as_str(),
                        "the instance exists, and does not exist a moment later",
                        "No action needed. The instance is created again automatically.",
                    )));
                };
                if found.cluster.as_ref() == Some(&new.cluster) {
                    self.progress.created.push(new.id);
                    return Ok(None);
                }
                Ok(Some(DatabaseRefusal::IdentifierTaken {
                    id: new.id,
                    cluster: new.cluster,
                    other: found.cluster,
                }))
            }
            CreateAnswer::Refused(trouble, fault) => Ok(Some(DatabaseRefusal::NotCreated {
                id: new.id,
                class: new.class,
                trouble,
                message: fault.message().to_owned(),
            })),
        }
    }

    /// Applies a setting. One that RDS does not accept is recorded, and prevents nothing else.
    async fn change(&mut self, id: DatabaseId, change: DbChange) -> Result<(), Error> {
        let answer = match &id {
            DatabaseId::Instance(id) => self.ports.db_instances().modify(id, &change).await,
            DatabaseId::Cluster(id) => self.ports.db_clusters().modify(id, &change).await,
        };
        match answer {
            Ok(()) => {
                self.acted = true;
                self.progress.changed.push((id, change));
                Ok(())
            }
            Err(Error::Permanent(fault)) => {
                let message = fault.message().to_owned();
                self.progress.rejected.push((id, change, message));
                Ok(())
            }
            Err(later) => Err(later),
        }
    }

    /// Records the result in the OpsItem of the job.
    async fn record(&self, clock: &C, seen: &Observed) -> Result<Outcome, Error> {
        let integrated = Integrated {
            seen,
            wanted: self.wanted,
            progress: &self.progress,
            replaced: &self.replaced,
        };
        let now = clock.now();
        let recorded = Cell::new(false);
        let item = record_result(
            self.ports,
            self.restore,
            self.acted,
            None,
            |item| {
                recorded.set(integrated.is_recorded(item));
                recorded.get()
            },
            |item| integrated.change(self.restore, item, now),
        )
        .await?;
        let by_this_run = self.acted || !recorded.get();
        Ok(outcome(by_this_run, seen, &self.restore.job, item.as_ref()))
    }
}

/// Whether RDS is busy with another change of the database.
fn is_busy(error: &Error) -> bool {
    let busy = ["InvalidDBInstanceState", "InvalidDBClusterStateFault"];
    error
        .fault()
        .code()
        .is_some_and(|code| busy.contains(&code))
}

/// The pauses of a run, and their end.
struct Waits<'a, C> {
    clock: &'a C,
    backoff: Backoff,
    end: chrono::DateTime<chrono::Utc>,
}

impl<'a, C: Clock> Waits<'a, C> {
    fn new(clock: &'a C, id: &DatabaseId) -> Waits<'a, C> {
        Waits {
            clock,
            backoff: Backoff::of(id.as_str()),
            end: clock.now() + WORK,
        }
    }

    /// Waits, if time is left for it.
    async fn pause(&self, pause: Duration) -> bool {
        let is_time =
            self.clock.now() + pause <= self.end && self.clock.remaining() >= pause + RESERVE;
        if is_time {
            self.clock.sleep(pause).await;
        }
        is_time
    }

    /// Waits before a read is repeated that may succeed later.
    ///
    /// # Errors
    /// The error, if it cannot succeed or no time is left.
    async fn after_failed_read(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Retryable(fault) if fault.code().is_some() && fault.is_read_only() => {
                let pause = self.backoff.next();
                if self.pause(pause).await {
                    return Ok(());
                }
                Err(Error::Retryable(fault))
            }
            error => Err(error),
        }
    }
}
