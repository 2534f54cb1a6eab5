//! Starts one planned restore: finds the target, which determines the Availability Zone, and starts a restore
//! job of AWS Backup.
//!
//! Safe to repeat, also hours later. The id of each restore job is recorded in the recovery bucket for the
//! execution (`jobs/<name>/<start>/<item>/<attempt>.json`) before the item counts as started. The record is read
//! first. Without a record, AWS Backup's list of restore jobs is searched for a job of the same recovery point
//! and role: this execution may have started it without recording it, or another recovery may have started it.
//! Only if the list has none, a restore is started. The idempotency token covers the seconds until the list
//! shows the job: AWS documents no lifetime for it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::arn::{Arn, RecoveryPointArn, RestoreJobId, VolumeId};
use crate::aws::backup::{RestoreJob, RestoreRequest, StartAnswer};
use crate::aws::bucket::Restored;
use crate::aws::ec2::{Instance, Volume};
use crate::aws::file_system::FileSystemId;
use crate::aws::instance::instance_id;
use crate::error::{Error, Fault};
use crate::event::date;
use crate::outcome::Outcome;
use crate::plan::bucket;
use crate::plan::digest::digest;
use crate::plan::file_system::is_same_place;
use crate::plan::instance;
use crate::plan::item::Item;
use crate::plan::request::{Mode, is_drill_name, is_hash};
use crate::plan::resource_type::rules;
use crate::plan::restore_metadata::{MetadataFacts, stored};
use crate::plan::run_names::{holder, is_restored_by};
use crate::ports::{
    EfsFileSystems, FsxFileSystems, Objects, RecoveryPoints, RestoreJobs, Servers, StartingPorts,
    VOLUMES_AT_ONCE, Volumes,
};
use crate::report::request::is_execution_name;
use crate::restore::metadata::metadata;
use crate::restore::refusal::{ATTEMPTS, StartRefusal};
use crate::restore::run_place::{Destination, Located, locate};
use crate::text::shown;

/// The settings for restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreConfig {
    /// Name of the backup vault in this Region.
    pub vault: String,
    /// ARN of the role that AWS Backup restores with.
    pub role: String,
    /// ARN of the role that it restores with in drills, and only in drills.
    pub drill_role: String,
    /// ARN of the KMS key of this Region for restored resources. `None`: the key of the recovery point.
    pub key: Option<String>,
    /// Whether instances get the instance profile that they had.
    pub instance_profiles: bool,
    /// This Region.
    pub region: String,
}

const REMEDY: &str = "Pass {\"planHash\": \"…\", \"mode\": \"recover\" or \"drill\", \"item\": {…}, \"execution\": {\"name\": \"…\", \"startedAt\": \"…\"}} with an item of a plan of recovery-planner, and the name and start (RFC 3339) of the execution that the restore belongs to.";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    plan_hash: String,
    mode: Mode,
    item: Item,
    execution: InputExecution,
    stack_problems: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InputExecution {
    name: String,
    started_at: String,
}

/// Starts the restore in `payload`, or refuses it.
///
/// # Errors
/// [`Error::Retryable`] if the target does not exist yet, or a failed call may succeed later;
/// [`Error::Permanent`] for invalid input or a call that failed for good.
pub async fn handle(
    ports: &impl StartingPorts,
    config: &RestoreConfig,
    payload: &Value,
) -> Result<Outcome, Error> {
    let Start {
        plan_hash,
        mode,
        item,
        execution,
        stack_problems,
    } = &Start::parse(payload)?;
    let point = RecoveryPointArn::parse(&item.recovery_point_arn)?;
    let refused = |refusal: StartRefusal| {
        Ok(Outcome::refused(refusal.reason())
            .with("resourceArn", &item.resource_arn)
            .with("recoveryPointArn", point.as_str())
            .with("why", refusal.to_string())
            .with("remedy", refusal.remedy()))
    };
    let pending =
        |awaited: String| Ok(Outcome::pending(awaited).with("resourceArn", &item.resource_arn));
    let started = |id: &RestoreJobId| {
        let started = match mode {
            Mode::Recover => Outcome::started(),
            Mode::Drill => Outcome::started().with("drill", &execution.name),
        };
        Ok(started
            .with("restoreJobId", id.as_str())
            .with("mode", mode.as_str())
            .with("planHash", plan_hash)
            .with("resourceArn", &item.resource_arn)
            .with("recoveryPointArn", point.as_str()))
    };
    let mut failed = 0;
    let mut last = String::new();
    while let Some(id) = recorded(ports, &execution.record_key(item, failed)).await? {
        match fate(ports, &id).await? {
            Fate::Alive => return started(&id),
            Fate::Failed(message) => last = message,
        }
        failed += 1;
        if failed == ATTEMPTS {
            return refused(StartRefusal::KeepsFailing(last));
        }
    }
    let drill = (*mode == Mode::Drill).then_some(execution.name.as_str());
    let located = locate(
        ports,
        item,
        drill,
        stack_problems.as_deref(),
        // With its role, the copy of a drill would act on what the workload uses.
        config.instance_profiles && *mode == Mode::Recover,
    );
    let destination = match located.await? {
        Located::Ready(destination) => destination,
        Located::Pending(awaited) => return pending(awaited),
        Located::Refused(refusal) => return refused(refusal),
    };
    let mut request = RestoreRequest {
        point: point.clone(),
        resource_type: item.resource_type.clone(),
        metadata: BTreeMap::new(),
        role: match mode {
            Mode::Recover => config.role.clone(),
            Mode::Drill => config.drill_role.clone(),
        },
        token: String::new(),
        // With the workload's tags, a drill's resource would belong to the workload.
        copy_tags: rules(&item.resource_type).copies_tags && *mode == Mode::Recover,
    };
    let since = match mode {
        // Another recovery may have restored it at any time since the recovery point was created.
        Mode::Recover => item.created_at,
        // A drill does not use the restores of others.
        Mode::Drill => execution.started_at,
    };
    // Another drill has its own file systems.
    let tokens: Vec<String> = match mode {
        Mode::Recover => Vec::new(),
        Mode::Drill => (0..ATTEMPTS)
            .map(|attempt| execution.token(item, attempt))
            .collect(),
    };
    for attempt in failed..ATTEMPTS {
        let id = match listed(ports, &request, since, &destination, &tokens).await? {
            Reusable::Job(id) => id,
            Reusable::NameTaken(refusal) => return refused(refusal),
            Reusable::Pending(awaited) => return pending(awaited),
            Reusable::None => {
                // Read as late as possible: the state machine asks again while the answer is `pending`.
                request.token = execution.token(item, attempt);
                let place = (&destination, request.token.as_str());
                request.metadata = match metadata_of(ports, config, &point, place).await? {
                    Ok(metadata) => metadata,
                    Err(refusal) => return refused(refusal),
                };
                match ports.restore_jobs().start(&request).await? {
                    StartAnswer::Started(id) => id,
                    StartAnswer::PointGone(fault) => {
                        return refused(StartRefusal::PointGone(fault.message().to_owned()));
                    }
                    StartAnswer::Rejected(fault) => {
                        return refused(StartRefusal::Rejected(fault.message().to_owned()));
                    }
                }
            }
        };
        let key = execution.record_key(item, attempt);
        ports
            .objects()
            .put(&key, record(&id, plan_hash, item))
            .await?;
        // Another run may have been first.
        let id = recorded(ports, &key).await?.unwrap_or(id);
        // The token may return the job of a run that crashed before it recorded the job. That job may have failed
        // by now.
        match fate(ports, &id).await? {
            Fate::Alive => {
                return started(&id).map(|outcome| match &destination {
                    Destination::Volume(instance) => {
                        outcome.with("availabilityZone", &instance.zone)
                    }
                    _ => outcome,
                });
            }
            Fate::Failed(message) => last = message,
        }
    }
    refused(StartRefusal::KeepsFailing(last))
}

/// The metadata for the restore of the recovery point.
async fn metadata_of(
    ports: &impl StartingPorts,
    config: &RestoreConfig,
    point: &RecoveryPointArn,
    (destination, token): (&Destination, &str),
) -> Result<Result<BTreeMap<String, String>, StartRefusal>, Error> {
    let stored = ports
        .recovery_points()
        .restore_metadata(&config.vault, point)
        .await?;
    let Some(stored) = stored else {
        return Ok(Err(StartRefusal::PointGone(format!(
            "the vault {} does not contain it",
            config.vault
        ))));
    };
    let facts = MetadataFacts {
        place: destination.place(),
        stored: &stored,
        key: config.key.as_deref(),
        token,
    };
    Ok(metadata(facts, &config.region))
}

fn wrong(member: &str, what: String) -> Error {
    Error::Permanent(Fault::new("parse input", member, what, REMEDY))
}

struct Start {
    plan_hash: String,
    mode: Mode,
    item: Item,
    execution: Execution,
    /// The prefix of the objects in which the state machine records that a stack failed.
    stack_problems: Option<String>,
}

impl Start {
    fn parse(payload: &Value) -> Result<Start, Error> {
        let Input {
            plan_hash,
            mode,
            item,
            execution,
            stack_problems,
        } = serde_path_to_error::deserialize(payload).map_err(|error| {
            wrong(
                &format!("member {}", error.path()),
                shown(&error.inner().to_string()),
            )
        })?;
        if !is_hash(&plan_hash) {
            let what = format!("{} is not the hash of a plan", shown(&plan_hash));
            return Err(wrong("planHash", what));
        }
        let name = &execution.name;
        if !is_execution_name(name) {
            let what = format!("{} is not the name of an execution", shown(name));
            return Err(wrong("execution.name", what));
        }
        if mode == Mode::Drill && !is_drill_name(name) {
            let what = format!("{} is not 1 to 80 of a-z A-Z 0-9 _ -", shown(name));
            return Err(wrong("execution.name", what));
        }
        let Some(started_at) = date(&execution.started_at) else {
            let what = format!("{} is not a date", shown(&execution.started_at));
            return Err(wrong("execution.startedAt", what));
        };
        item.check().map_err(|what| wrong("item.target", what))?;
        if let Some(prefix) = stack_problems
            .as_ref()
            .filter(|prefix| !prefix.starts_with("infrastructure/"))
        {
            let what = format!("{} does not begin with infrastructure/", shown(prefix));
            return Err(wrong("stackProblems", what));
        }
        Ok(Start {
            plan_hash,
            mode,
            item,
            execution: Execution {
                name: execution.name,
                started_at,
            },
            stack_problems,
        })
    }
}

/// The execution of the state machine that the restore belongs to. Its name alone does not identify it:
/// Step Functions admits a name again 90 days after its execution has ended.
struct Execution {
    name: String,
    started_at: DateTime<Utc>,
}

impl Execution {
    /// Where the job of an attempt to restore an item is recorded.
    fn record_key(&self, item: &Item, attempt: u32) -> String {
        format!(
            "jobs/{}/{}/{}/{attempt}.json",
            self.name,
            self.started_at.format("%Y%m%dT%H%M%SZ"),
            digest(identity(item)),
        )
    }

    /// The token of an attempt to restore an item.
    fn token(&self, item: &Item, attempt: u32) -> String {
        let started_at = self.started_at.to_rfc3339();
        let attempt = attempt.to_string();
        let execution = [self.name.as_str(), &started_at, &attempt];
        digest(execution.into_iter().chain(identity(item)))
    }
}

/// What identifies an item. The plan does not: if it is made again because something else has changed, an item
/// that is restored stays restored.
fn identity(item: &Item) -> [&str; 4] {
    let [kind, name] = item.target.identity();
    [&item.resource_arn, &item.recovery_point_arn, kind, name]
}

/// The record of a restore job. Only its id is read again. The rest is for operators.
fn record(id: &RestoreJobId, plan_hash: &str, item: &Item) -> String {
    json!({
        "restoreJobId": id.as_str(),
        "planHash": plan_hash,
        "resourceArn": item.resource_arn,
        "recoveryPointArn": item.recovery_point_arn,
        "target": item.target,
    })
    .to_string()
}

/// The restore job in the record under `key`.
async fn recorded(ports: &impl StartingPorts, key: &str) -> Result<Option<RestoreJobId>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record {
        restore_job_id: String,
    }
    let Some(text) = ports.objects().get(key).await? else {
        return Ok(None);
    };
    match serde_json::from_str::<Record>(&text) {
        Ok(record) => Ok(Some(RestoreJobId::new(record.restore_job_id))),
        Err(error) => Err(Error::Permanent(
            Fault::new(
                "read restore job record",
                key,
                format!("the object is not the record of a restore job: {error}"),
                "Read the object in the recovery bucket. Delete it if it is not a record: AWS Backup's list of restore jobs is then searched for the job.",
            )
            .with_source(error),
        )),
    }
}

/// The state of a restore job.
enum Fate {
    /// It is running or completed.
    Alive,
    /// It failed, or left objects out, with this message.
    Failed(String),
}

async fn fate(ports: &impl StartingPorts, id: &RestoreJobId) -> Result<Fate, Error> {
    let job = ports.restore_jobs().describe(id).await?;
    Ok(match job.status.as_deref() {
        Some("FAILED" | "ABORTED") => Fate::Failed(job.status_message.unwrap_or_default()),
        // Another job adds what is missing, and leaves out what is there.
        _ if job.restored() == Some(Restored::Partial) => {
            Fate::Failed(job.status_message.unwrap_or_default())
        }
        _ => Fate::Alive,
    })
}

/// Whether an earlier restore job can be used instead of a new one.
enum Reusable {
    Job(RestoreJobId),
    None,
    /// No, and a new one would fail: the name is in use.
    NameTaken(StartRefusal),
    /// No, and a new one must wait for this.
    Pending(String),
}

/// The restore job that can be used instead of a new one, among those created at `since` or later.
async fn listed(
    ports: &impl StartingPorts,
    request: &RestoreRequest,
    since: DateTime<Utc>,
    destination: &Destination,
    tokens: &[String],
) -> Result<Reusable, Error> {
    let named = match destination.name() {
        None => None,
        Some((kind, name)) => Some((kind, name, holder(ports, kind, name).await?)),
    };
    if let Some((_, _, Some(holder))) = &named
        && holder.is_deleting
    {
        return Ok(Reusable::Pending(format!(
            "the deletion of {} to end",
            shown(holder.arn.as_str())
        )));
    }
    let mut jobs = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = ports
            .restore_jobs()
            .list(None, since, next.as_deref())
            .await?;
        jobs.extend(page.listed.into_iter().filter(|job| {
            job.recovery_point.as_ref() == Some(&request.point)
                && job.iam_role.as_ref().map(Arn::as_str) == Some(&request.role)
                && !job.restore_test
                && !job.has_failed()
        }));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    match destination {
        Destination::Volume(instance) => {
            let ids: Vec<VolumeId> = jobs.iter().filter_map(RestoreJob::created_volume).collect();
            let mut volumes = Vec::new();
            for some in ids.chunks(VOLUMES_AT_ONCE) {
                volumes.extend(ports.volumes().list(some).await?);
            }
            Ok(best(&jobs, &volumes, instance).map_or(Reusable::None, Reusable::Job))
        }
        Destination::FileSystem(destination) => {
            jobs.sort_by(|a, b| b.rank().cmp(&a.rank()));
            for job in jobs {
                let metadata = ports.restore_jobs().metadata(&job.id).await?;
                if !is_same_place(&metadata, &destination.place(), tokens) {
                    continue;
                }
                // What a completed job restored may have been deleted since.
                let is_there = match job.created_resource.as_ref().and_then(FileSystemId::of) {
                    Some(id) if !job.is_running() => exists(ports, &id).await?,
                    _ => job.is_running(),
                };
                if is_there {
                    return Ok(Reusable::Job(job.id));
                }
            }
            Ok(Reusable::None)
        }
        // What a completed job restored may have been deleted since, and AWS Backup leaves out what is there: another
        // job is safe.
        Destination::Bucket(destination) => {
            jobs.retain(RestoreJob::is_running);
            jobs.sort_by(|a, b| b.rank().cmp(&a.rank()));
            for job in jobs {
                let metadata = ports.restore_jobs().metadata(&job.id).await?;
                if bucket::is_same_place(&metadata, destination.place()) {
                    return Ok(Reusable::Job(job.id));
                }
            }
            Ok(Reusable::None)
        }
        Destination::Instance(destination) => {
            jobs.sort_by(|a, b| b.rank().cmp(&a.rank()));
            for job in jobs {
                let metadata = ports.restore_jobs().metadata(&job.id).await?;
                if !instance::is_same_place(&metadata, destination.place()) {
                    continue;
                }
                // What a completed job restored may have been terminated since.
                let is_there = match job.created_resource.as_ref().and_then(instance_id) {
                    Some(id) if !job.is_running() => {
                        let found = ports.servers().find(&id).await?;
                        found.is_some_and(|server| !server.state.is_ending())
                    }
                    _ => job.is_running(),
                };
                if is_there {
                    return Ok(Reusable::Job(job.id));
                }
            }
            Ok(Reusable::None)
        }
        Destination::Database(_) | Destination::Table(_) => {
            let Some((kind, name, holder)) = named else {
                return Ok(Reusable::None);
            };
            let Some(holder) = holder else {
                // What a completed job restored was deleted. A running job has not created anything yet.
                let mut running: Vec<&RestoreJob> = jobs
                    .iter()
                    .filter(|job| job.created_resource.is_none())
                    .collect();
                running.sort_by(|a, b| b.rank().cmp(&a.rank()));
                for job in running {
                    // A job of a person or of another drill restores under another name.
                    let metadata = ports.restore_jobs().metadata(&job.id).await?;
                    let restored = stored(&metadata, kind.metadata_key());
                    if restored.is_none_or(|other| kind.stored(other) == kind.stored(name)) {
                        return Ok(Reusable::Job(job.id.clone()));
                    }
                }
                return Ok(Reusable::None);
            };
            let own = jobs
                .iter()
                .filter(|job| is_restored_by(job, request.point.as_str(), &holder.arn));
            Ok(match newest(own) {
                Reusable::None => Reusable::NameTaken(StartRefusal::NameTaken {
                    name: name.to_owned(),
                    kind,
                }),
                job => job,
            })
        }
    }
}

/// Whether the file system exists, and can be used or will be.
async fn exists(ports: &impl StartingPorts, id: &FileSystemId) -> Result<bool, Error> {
    Ok(match id {
        FileSystemId::Efs(id) => {
            let found = ports.efs().describe(id).await?;
            found.is_some_and(|found| !found.state.is_dead())
        }
        FileSystemId::Fsx(id) => {
            let found = ports.fsx().describe(id).await?;
            found.is_some_and(|found| !found.state.is_dead())
        }
        FileSystemId::Volume(id) => {
            let found = ports.fsx().volume(id).await?;
            found.is_some_and(|found| !found.state.is_dead())
        }
    })
}

/// The newest of the jobs.
fn newest<'a>(jobs: impl Iterator<Item = &'a RestoreJob>) -> Reusable {
    jobs.max_by(|a, b| a.rank().cmp(&b.rank()))
        .map_or(Reusable::None, |job| Reusable::Job(job.id.clone()))
}

/// The best job that can be used: its volume is attached to the instance, or can be attached, or does not exist
/// yet. A job whose volume was deleted, is in another zone or is attached elsewhere cannot be used.
fn best(jobs: &[RestoreJob], volumes: &[Volume], instance: &Instance) -> Option<RestoreJobId> {
    let serves = |job: &&RestoreJob| -> Option<(bool, bool, Option<DateTime<Utc>>, RestoreJobId)> {
        let attached = match job.created_volume() {
            None => false,
            Some(id) => {
                let volume = volumes.iter().find(|volume| volume.id == id)?;
                let elsewhere = volume
                    .attachments
                    .iter()
                    .any(|attachment| attachment.instance != instance.id);
                if elsewhere || volume.zone != instance.zone {
                    return None;
                }
                !volume.attachments.is_empty()
            }
        };
        Some((attached, job.is_completed(), job.created, job.id.clone()))
    };
    jobs.iter()
        .filter_map(|job| serves(&job))
        .max()
        .map(|(_, _, _, id)| id)
}
