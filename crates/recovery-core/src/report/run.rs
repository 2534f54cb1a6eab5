//! Reports a recovery: reads the results of its plan, makes the [`Report`], stores it with its page, writes
//! it into the OpsItem, and notifies operators once.
//!
//! The report that was stored first is the one that counts: page, OpsItem and notification are made from it
//! in every later run. Whether operators were notified is read from the OpsItem.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};

use crate::aws::arn::{Arn, OpsItemId, RestoreJobId, VolumeId};
use crate::aws::bucket::bucket_name;
use crate::aws::database::DatabaseId;
use crate::aws::file_system::FileSystemId;
use crate::aws::instance::instance_id;
use crate::aws::table::table_name;
use crate::error::{Error, Fault};
use crate::integrate::bucket::kind::S3_BUCKET;
use crate::integrate::database::kind::DATABASE;
use crate::integrate::file_system::kind::FILE_SYSTEM;
use crate::integrate::instance::kind::INSTANCE;
use crate::integrate::kind::ResourceKind;
use crate::integrate::mount::record::Mount;
use crate::integrate::mount::{MOUNT, MOUNTED};
use crate::integrate::table::kind::DYNAMODB_TABLE;
use crate::ops_item::restore_key;
use crate::ops_item::run::find_or_create;
use crate::ops_item::{INTEGRATION, says};
use crate::ops_item::{KEY, NOT_CREATED, OpsItem, OpsItemChange, RESTORE, Status, unless_at_quota};
use crate::outcome::Outcome;
use crate::plan::recovery_plan::Plan;
use crate::plan::request::Mode;
use crate::ports::{
    Buckets, Clock, DbClusters, DbInstances, EfsFileSystems, FsxFileSystems, Metrics,
    Notifications, Objects, OpsItems, Page, ReportingPorts, RestoreJobs, Servers, Tables,
    VOLUMES_AT_ONCE, Volumes,
};
use crate::report::observation::{Observed, Store, trace};
use crate::report::recovery_report::Report;
use crate::report::request::{Objectives, Request, Task};
use crate::report::words::{REPORT, TOLD};
use crate::report::{measures, page, words};
use crate::{plan, report};

/// Items that an answer of `verify` names.
const UNFINISHED_NAMED: usize = 50;
/// Batches of volumes that are described concurrently.
const CONCURRENCY: usize = 4;
/// Time that a run keeps for storing and notifying: a call may take 20 s with all its attempts.
const RESERVE: Duration = Duration::from_secs(90);

/// What the owner set, and where the function runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportConfig {
    /// Name of the recovery bucket, for people: the ports have their own.
    pub bucket: String,
    /// The objectives that the stack sets.
    pub objectives: Objectives,
    /// ARN of the role that a drill restores with.
    pub drill_role: String,
}

/// Does what `payload` asks for (see [`Request::parse`]).
///
/// # Errors
/// [`Error::Permanent`] for input that cannot be read, for a recovery that stops, or a call that failed
/// for good; [`Error::Retryable`] for one that may succeed later.
pub async fn handle(
    ports: &impl ReportingPorts,
    metrics: &impl Metrics,
    clock: &impl Clock,
    config: &ReportConfig,
    payload: &Value,
) -> Result<Outcome, Error> {
    let request = Request::parse(payload)?;
    match request.task {
        Task::Verify => verify(ports, clock, config, &request).await,
        Task::Report => report(ports, metrics, clock, config, &request).await,
        Task::Stop => stop(&request),
    }
}

/// Whether each planned item is restored and integrated.
async fn verify(
    ports: &impl ReportingPorts,
    clock: &impl Clock,
    config: &ReportConfig,
    request: &Request,
) -> Result<Outcome, Error> {
    let Some(plan) = kept_plan(ports, request).await? else {
        let problem = json!([{
            "step": "plan",
            "subject": request.workload,
            "reason": "no-plan",
            "why": "no recovery plan could be read",
        }]);
        return Ok(verified(Outcome::unfinished(), 0, 0).with_member("unfinishedItems", problem));
    };
    // EC2 shows that a volume is attached, and only its OpsItem whether it is mounted.
    let records = async {
        match has_mounts(&plan) {
            true => {
                let since = restored_since(request, &plan);
                let items = ports.ops_items();
                let both = try_join(
                    items.list_open(RESTORE),
                    items.list_resolved(RESTORE, since),
                );
                both.await.map(Some)
            }
            false => Ok(None),
        }
    };
    let (mut observed, records) =
        try_join(observe(ports, clock, config, request, &plan), records).await?;
    if let Some((open, resolved)) = records {
        add_unmounted(&by_key(&open), &by_key(&resolved), &plan, &mut observed);
    }
    let traced = trace(&plan, &observed);
    let left: Vec<_> = traced
        .iter()
        .filter_map(|traced| traced.unfinished.as_ref())
        .collect();
    let outcome = if left.is_empty() {
        Outcome::verified()
    } else {
        Outcome::unfinished()
    };
    let named: Vec<Value> = left
        .iter()
        .take(UNFINISHED_NAMED)
        .map(|left| {
            json!({
                "step": left.step,
                "subject": left.resource,
                "reason": left.reason,
                "why": left.why,
            })
        })
        .collect();
    Ok(verified(outcome, traced.len(), left.len()).with_member("unfinishedItems", json!(named)))
}

fn verified(outcome: Outcome, items: usize, unfinished: usize) -> Outcome {
    outcome
        .with_count("items", items)
        .with_count("integrated", items - unfinished)
        .with_count("unfinished", unfinished)
}

/// Fails, unless the execution has been redriven since.
fn stop(request: &Request) -> Result<Outcome, Error> {
    if request.redrives > request.round {
        return Ok(Outcome::resumed()
            .with("workload", &request.workload)
            .with_count("redrives", usize::try_from(request.redrives).unwrap_or(0)));
    }
    let named = request.problems.first().map_or(String::new(), |first| {
        format!(": {} {}: {}", first.step, first.subject, first.why)
    });
    let more = match request.problems.len().saturating_sub(1) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Err(Error::Permanent(Fault::new(
        "recovery",
        request.workload.as_str(),
        format!(
            "The recovery of {} is incomplete{named}{more}",
            request.workload
        ),
        format!(
            "Fix the causes, then redrive the execution: `{}`.",
            words::redrive_of(&request.execution.arn)
        ),
    )))
}

/// Makes and stores the report unless it is stored already, writes it into the OpsItem and notifies operators.
async fn report(
    ports: &impl ReportingPorts,
    metrics: &impl Metrics,
    clock: &impl Clock,
    config: &ReportConfig,
    request: &Request,
) -> Result<Outcome, Error> {
    let key = report::key(&request.workload, &request.execution.name, request.redrives);
    let (kept, incident) = try_join(
        kept_report(ports, &key),
        incident_item(ports, request.ops_item.as_ref()),
    )
    .await?;
    let report = match kept {
        Some(report) => report,
        None => {
            let plan = kept_plan(ports, request).await?;
            let observed = match &plan {
                Some(plan) => {
                    let mut observed = observe(ports, clock, config, request, plan).await?;
                    add_records(ports, request, plan, &mut observed).await?;
                    observed
                }
                None => Observed::default(),
            };
            let (objectives, now) = (config.objectives, clock.now());
            let (incident, plan) = (incident.as_ref(), plan.as_ref());
            let made = Report::of(request, objectives, incident, plan, &observed, now);
            ports.objects().put(&key, text_of(&made)?).await?;
            // Another run may have been first.
            kept_report(ports, &key).await?.unwrap_or(made)
        }
    };
    let item = record_and_notify(ports, metrics, config, &report, incident).await?;
    Ok(answer(&report, item.as_ref()))
}

fn answer(report: &Report, item: Option<&OpsItemId>) -> Outcome {
    let mut outcome = Outcome::reported()
        .with("workload", &report.workload)
        .with("mode", report.mode.as_str())
        .with("reportKey", report.key())
        .with("reportPageKey", report.page_key())
        .with_item(item)
        .with_count("items", report.totals.items)
        .with_count("integrated", report.totals.integrated)
        .with_count("unfinished", report.totals.unfinished)
        .with_count("problems", report.totals.problems)
        .with_count("openOpsItems", report.open_ops_items())
        .with_member("complete", json!(report.complete));
    if report.complete {
        outcome = outcome.with_member("rtoSeconds", json!(report.rto.achieved_seconds));
    }
    if let Some(met) = report.rto.met {
        outcome = outcome.with_member("rtoMet", json!(met));
    }
    if let Some(rpo) = &report.rpo {
        outcome = outcome.with_member("rpoSeconds", json!(rpo.result.achieved_seconds));
        if let Some(met) = rpo.result.met {
            outcome = outcome.with_member("rpoMet", json!(met));
        }
    }
    outcome
}

/// Writes the report into its OpsItem and notifies operators, once. Returns `None` if OpsCenter's quota is used up.
async fn record_and_notify(
    ports: &impl ReportingPorts,
    metrics: &impl Metrics,
    config: &ReportConfig,
    report: &Report,
    incident: Option<OpsItem>,
) -> Result<Option<OpsItemId>, Error> {
    let key = crate::text::one_line(&report.key());
    let notified = |item: &OpsItem| item.data.get(TOLD) == Some(&key);
    if let Some(item) = incident.as_ref().filter(|item| notified(item)) {
        return Ok(Some(item.id.clone()));
    }
    let own = incident.is_none();
    let written = unless_at_quota(match incident {
        Some(item) => written_into(ports, report, item).await,
        None => written_of_its_own(ports, config, report).await,
    });
    if let Ok(Some(item)) = &written
        && notified(item)
    {
        return Ok(Some(item.id.clone()));
    }
    // Stored first, since the notification says where it is.
    let page = match page::html(report) {
        Ok(page) => ports.objects().put(&report.page_key(), page).await,
        Err(error) => Err(error),
    };
    metrics.record(&measures::of(report));
    let id = match &written {
        Ok(Some(item)) => item.id.as_str(),
        Ok(None) => NOT_CREATED,
        Err(_) => "could not be created or updated",
    };
    let sent = ports
        .notifications()
        .publish(&words::notification(report, &config.bucket, id)?)
        .await;
    let written = written?;
    sent?;
    page?;
    let Some(item) = written else {
        return Ok(None);
    };
    let wanted = if report.complete {
        Status::Resolved
    } else {
        Status::Open
    };
    let mark = OpsItemChange {
        // Operators decide when an incident is over.
        status: (own && item.status != wanted).then_some(wanted),
        data: [(TOLD, key)].into(),
        ..OpsItemChange::default()
    };
    ports.ops_items().update(&item.id, &mark).await?;
    Ok(Some(item.id))
}

/// The incident's OpsItem, with the report in its operational data. Title and description stay those of the
/// signal, whose next update would overwrite others.
async fn written_into(
    ports: &impl ReportingPorts,
    report: &Report,
    item: OpsItem,
) -> Result<OpsItem, Error> {
    let data = words::data(report);
    if data
        .iter()
        .any(|(key, value)| item.data.get(*key) != Some(value))
    {
        let change = OpsItemChange {
            data,
            ..OpsItemChange::default()
        };
        ports.ops_items().update(&item.id, &change).await?;
    }
    Ok(item)
}

/// The recovery's own OpsItem, with this report.
async fn written_of_its_own(
    ports: &impl ReportingPorts,
    config: &ReportConfig,
    report: &Report,
) -> Result<OpsItem, Error> {
    let new = words::item(report, &config.bucket)?;
    let item = find_or_create(ports.ops_items(), &new).await?;
    let known = item.data.get(REPORT);
    if known != new.data.get(REPORT) {
        let change = OpsItemChange {
            title: Some(new.limited_title()),
            description: Some(new.limited_description()),
            severity: Some(new.severity),
            // A recovery that is incomplete after a redrive opens its OpsItem again.
            status: (!report.complete && item.status == Status::Resolved).then_some(Status::Open),
            data: words::data(report),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(&item.id, &change).await?;
    }
    Ok(item)
}

/// The OpsItem that the input names; `None` where it does not exist, since a report needs none.
async fn incident_item(
    ports: &impl ReportingPorts,
    id: Option<&OpsItemId>,
) -> Result<Option<OpsItem>, Error> {
    match id {
        Some(id) => ports.ops_items().find(id).await,
        None => Ok(None),
    }
}

/// The report that is stored under `key`.
///
/// Refuses a report of another version: its JSON would be misread, or would lose members. That happens
/// where the functions were updated between two attempts of one report.
async fn kept_report(ports: &impl ReportingPorts, key: &str) -> Result<Option<Report>, Error> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Some(text) = ports.objects().get(key).await? else {
        return Ok(None);
    };
    let refused = |what: String| {
        Fault::new(
            "read report",
            key,
            what,
            "Redrive the execution: each redrive makes a new report.",
        )
    };
    let version = serde_json::from_str::<Versioned>(&text).map(|report| report.version);
    if let Ok(version) = version
        && version != report::VERSION
    {
        return Err(Error::Permanent(refused(format!(
            "the report stored there has version {version}; this function reads version {}",
            report::VERSION
        ))));
    }
    serde_json::from_str::<Report>(&text)
        .map(Some)
        .map_err(|error| {
            let fault = refused(format!("the object stored there is not a report: {error}"));
            Error::Permanent(fault.with_source(error))
        })
}

/// The plan; `None` where it does not exist or cannot be read.
async fn kept_plan(ports: &impl ReportingPorts, request: &Request) -> Result<Option<Plan>, Error> {
    let Some(plan) = &request.plan else {
        return Ok(None);
    };
    let text = ports.objects().get(&plan.key).await?;
    Ok(text
        .and_then(|text| serde_json::from_str::<Plan>(&text).ok())
        .filter(|plan| plan.version == plan::VERSION))
}

/// No restore of this recovery is older.
fn restored_since(request: &Request, plan: &Plan) -> DateTime<Utc> {
    match request.mode {
        // Another recovery may have restored an item, at any time since its recovery point was made.
        Mode::Recover => {
            let made = plan.items().map(|item| item.created_at).min();
            made.map_or(plan.planned_at, |made| made.min(plan.planned_at))
        }
        // A drill does not use the restores of others.
        Mode::Drill => request.execution.started_at,
    }
}

/// Whether the plan mounts something.
fn has_mounts(plan: &Plan) -> bool {
    plan.items().any(|item| item.target.mount().is_some())
}

/// OpsItems by their key. Of several with one key, the oldest counts.
fn by_key(items: &[OpsItem]) -> HashMap<String, OpsItem> {
    let keyed = items.iter().rev();
    keyed
        .filter_map(|item| Some((item.data.get(KEY)?.clone(), item.clone())))
        .collect()
}

/// Adds for which restore jobs nothing shows that a volume or file system is mounted. An item that a person resolved
/// says that it was mounted by hand.
fn add_unmounted(
    open: &HashMap<String, OpsItem>,
    resolved: &HashMap<String, OpsItem>,
    plan: &Plan,
    observed: &mut Observed,
) {
    let jobs: Vec<RestoreJobId> = observed.completed(plan).map(|job| job.id.clone()).collect();
    for job in jobs {
        let key = restore_key(&job);
        let key = key.as_str();
        let known = match open.get(key) {
            Some(item) => match item.data.get(MOUNT) {
                Some(state) if state == MOUNTED => continue,
                Some(state) => format!("the integration records {}", crate::text::shown(state)),
                None => "the integration records no mount".to_owned(),
            },
            None if resolved.contains_key(key) => continue,
            None => "no OpsItem records it".to_owned(),
        };
        observed.add_unmounted(job, known);
    }
}

/// Adds what only the OpsItems of the restore jobs record: which are still open, when databases and tables were
/// integrated, and what is mounted.
async fn add_records(
    ports: &impl ReportingPorts,
    request: &Request,
    plan: &Plan,
    observed: &mut Observed,
) -> Result<(), Error> {
    let jobs: Vec<RestoreJobId> = observed.completed(plan).map(|job| job.id.clone()).collect();
    if jobs.is_empty() {
        return Ok(());
    }
    let reads_resolved = has_mounts(plan) || !observed.stores_of(plan).is_empty();
    let since = restored_since(request, plan);
    let (open, resolved) = try_join(ports.ops_items().list_open(RESTORE), async {
        match reads_resolved {
            true => ports.ops_items().list_resolved(RESTORE, since).await,
            false => Ok(Vec::new()),
        }
    })
    .await?;
    let (open, resolved) = (by_key(&open), by_key(&resolved));
    add_unmounted(&open, &resolved, plan, observed);
    for job in jobs {
        let key = restore_key(&job);
        let key = key.as_str();
        let recorded = resolved.get(key).or_else(|| open.get(key));
        if let Some(after) = recorded.and_then(integrated_after) {
            observed.add_integration(job.clone(), after);
        }
        if let Some(mount) = recorded.and_then(Mount::recorded) {
            observed.add_mount(job.clone(), mount);
        }
        if let Some(item) = open.get(key) {
            observed.add_open_item(job, item.id.clone());
        }
    }
    Ok(())
}

/// Reads the restore jobs of this recovery, and what they restored.
async fn observe(
    ports: &impl ReportingPorts,
    clock: &impl Clock,
    config: &ReportConfig,
    request: &Request,
    plan: &Plan,
) -> Result<Observed, Error> {
    let mut observed = Observed::default();
    let since = restored_since(request, plan);
    let mut next: Option<String> = None;
    loop {
        in_time(clock, "backup:ListRestoreJobs", since)?;
        let Page { listed, next: more } = ports
            .restore_jobs()
            .list(None, since, next.as_deref())
            .await?;
        for job in listed {
            // A job that failed before the plan was made does not belong to this recovery.
            let over = job.has_failed() && job.created.is_some_and(|at| at < plan.planned_at);
            if request.mode == Mode::Drill || !over {
                observed.add_job(job, request.mode, &config.drill_role);
            }
        }
        next = more;
        if next.is_none() {
            break;
        }
    }
    let ids = observed.volumes_of(plan);
    let mut waiting = ids.chunks(VOLUMES_AT_ONCE);
    let read = |ids: &[VolumeId]| {
        let ids = ids.to_vec();
        async move { ports.volumes().list(&ids).await }
    };
    let mut reads: FuturesUnordered<_> = waiting.by_ref().take(CONCURRENCY).map(read).collect();
    while let Some(volumes) = reads.next().await {
        for volume in volumes? {
            observed.add_volume(volume);
        }
        in_time(clock, "ec2:DescribeVolumes", since)?;
        reads.extend(waiting.next().map(read));
    }
    let mut waiting = observed.stores_of(plan).into_iter();
    let read = |arn: Arn| async move { read_store(ports, &arn).await.map(|store| (arn, store)) };
    let mut reads: FuturesUnordered<_> = waiting.by_ref().take(CONCURRENCY).map(read).collect();
    while let Some(read_one) = reads.next().await {
        if let (arn, Some(store)) = read_one? {
            observed.add_store(arn, store);
        }
        in_time(clock, "rds:DescribeDBInstances", since)?;
        reads.extend(waiting.next().map(read));
    }
    Ok(observed)
}

/// How long after the end of the restore job its database or table was integrated, as the OpsItem of the job records it:
/// AWS does not.
fn integrated_after(item: &OpsItem) -> Option<TimeDelta> {
    let kinds: [&ResourceKind; 5] = [
        &DATABASE,
        &DYNAMODB_TABLE,
        &FILE_SYSTEM,
        &S3_BUCKET,
        &INSTANCE,
    ];
    let kind = kinds
        .into_iter()
        .find(|kind| says(item, INTEGRATION, kind.integrated))?;
    TimeDelta::try_seconds(item.data.get(kind.seconds_key)?.parse().ok()?)
}

/// The database or table with this ARN; `None` if it does not exist.
async fn read_store(ports: &impl ReportingPorts, arn: &Arn) -> Result<Option<Store>, Error> {
    if let Some(name) = table_name(arn) {
        let table = ports.tables().describe(name).await?;
        return Ok(table.as_ref().map(Store::of_table));
    }
    if let Some(id) = instance_id(arn) {
        let found = ports.servers().find(&id).await?;
        return Ok(found.as_ref().map(Store::of_server));
    }
    if let Some(name) = bucket_name(arn) {
        let found = ports.buckets().is_versioned(name).await?;
        return Ok(found.map(|_| Store::of_bucket()));
    }
    match FileSystemId::of(arn) {
        None => {}
        Some(FileSystemId::Efs(id)) => {
            let (found, targets) = try_join(
                ports.efs().describe(&id),
                ports.efs().list_mount_targets(&id),
            )
            .await?;
            return Ok(found.map(|found| Store::of_efs(&found, &targets)));
        }
        Some(FileSystemId::Fsx(id)) => {
            let found = ports.fsx().describe(&id).await?;
            return Ok(found.as_ref().map(Store::of_fsx));
        }
        Some(FileSystemId::Volume(id)) => {
            let found = ports.fsx().volume(&id).await?;
            return Ok(found.as_ref().map(Store::of_volume));
        }
    }
    Ok(match DatabaseId::of(arn) {
        None => None,
        Some(DatabaseId::Instance(id)) => {
            let instance = ports.db_instances().describe(&id).await?;
            instance.as_ref().map(Store::of_instance)
        }
        Some(DatabaseId::Cluster(id)) => {
            let (cluster, instances) = try_join(
                ports.db_clusters().describe(&id),
                ports.db_instances().list_of_cluster(&id),
            )
            .await?;
            cluster.map(|cluster| Store::of_cluster(&cluster, &instances))
        }
    })
}

fn in_time(clock: &impl Clock, operation: &'static str, since: DateTime<Utc>) -> Result<(), Error> {
    if clock.remaining() > RESERVE {
        return Ok(());
    }
    Err(Error::Retryable(Fault::new(
        operation,
        format!("restores since {}", since.to_rfc3339()),
        "the function's time is used up",
        "No action needed. The report is retried automatically. If it fails again, set a longer timeout for the function.",
    )))
}

fn text_of(report: &Report) -> Result<String, Error> {
    serde_json::to_string(report).map_err(|error| {
        Error::Permanent(
            Fault::new(
                "write report",
                "report",
                "the report could not be converted to JSON",
                "Report this as a defect of Rapid Recovery.",
            )
            .with_source(error),
        )
    })
}
