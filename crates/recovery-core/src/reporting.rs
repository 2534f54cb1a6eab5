//! Reports a recovery: observes what became of its plan, decides ([`Report::of`]), keeps the report
//! and its page, writes it into the OpsItem, and tells people once.
//!
//! A report that is kept is the one that counts: what is told and shown is made of it, however often
//! it is asked for. What remains to be done is read from the OpsItem.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};

use crate::arn::{OpsItemId, VolumeId};
use crate::error::{Error, Fault};
use crate::ops_item::{
    NOT_CREATED, OpsItem, OpsItemChange, Status, find_or_create, unless_at_quota,
};
use crate::outcome::Outcome;
use crate::plan::request::Mode;
use crate::plan::{self, Plan};
use crate::ports::{Clock, Metrics, Page, ReportingPorts, VOLUMES_AT_ONCE};
use crate::report::observation::{DatedItem, Observed, trace};
use crate::report::request::{Request, Task};
use crate::report::words::{self, REPORT, TOLD};
use crate::report::{self, Report, Targets, measures, page};

/// Items that an answer of `verify` names.
const UNFINISHED_NAMED: usize = 50;
/// Batches of volumes that are looked at together.
const LANES: usize = 4;
/// Left of a run's time for keeping and telling: a call may take 20 s with all its attempts.
const RESERVE: Duration = Duration::from_secs(90);

/// What the owner set, and where the function runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Name of the recovery bucket, for people: the ports have their own.
    pub bucket: String,
    /// What was promised.
    pub targets: Targets,
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
    terms: &Terms,
    payload: &Value,
) -> Result<Outcome, Error> {
    let request = Request::parse(payload)?;
    match request.task {
        Task::Verify => verify(ports, clock, terms, &request).await,
        Task::Report => report(ports, metrics, clock, terms, &request).await,
        Task::Stop => stop(&request),
    }
}

/// Whether each planned item is restored and attached.
async fn verify(
    ports: &impl ReportingPorts,
    clock: &impl Clock,
    terms: &Terms,
    request: &Request,
) -> Result<Outcome, Error> {
    let Some(plan) = kept_plan(ports, request).await? else {
        let problem = json!([{
            "step": "plan",
            "subject": request.workload,
            "reason": "no-plan",
            "why": "there is no plan that could be read",
        }]);
        return Ok(verified(Outcome::unfinished(), 0, 0).with_member("unfinishedItems", problem));
    };
    let observed = observe(ports, clock, terms, request, &plan).await?;
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
            "The recovery of {} is not whole{named}{more}",
            request.workload
        ),
        format!(
            "Remove the causes, then redrive the execution with {} on a command line.",
            words::redrive_of(&request.execution.arn)
        ),
    )))
}

/// Makes the report, unless it is kept already; keeps it, writes it down, tells people.
async fn report(
    ports: &impl ReportingPorts,
    metrics: &impl Metrics,
    clock: &impl Clock,
    terms: &Terms,
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
                Some(plan) => observe(ports, clock, terms, request, plan).await?,
                None => Observed::default(),
            };
            let (targets, now) = (terms.targets, clock.now());
            let (incident, plan) = (incident.as_ref(), plan.as_ref());
            let made = Report::of(request, targets, incident, plan, &observed, now);
            ports.store(&key, text_of(&made)?).await?;
            // Another run may have been first.
            kept_report(ports, &key).await?.unwrap_or(made)
        }
    };
    let item = tell(
        ports,
        metrics,
        terms,
        &report,
        incident.map(|dated| dated.item),
    )
    .await?;
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
        .with_member("complete", json!(report.complete));
    let time = &report.recovery_time;
    if report.complete {
        outcome = outcome.with_member("recoverySeconds", json!(time.seconds));
    }
    if let Some(point) = &report.recovery_point {
        outcome = outcome.with_member("recoveryPointSeconds", json!(point.held.seconds));
        if let Some(met) = point.held.met {
            outcome = outcome.with_member("recoveryPointMet", json!(met));
        }
    }
    match time.met {
        Some(met) => outcome.with_member("recoveryTimeMet", json!(met)),
        None => outcome,
    }
}

/// Writes the report into its OpsItem, and tells people of it, once. `None` where OpsCenter's quota lets
/// no item be created.
async fn tell(
    ports: &impl ReportingPorts,
    metrics: &impl Metrics,
    terms: &Terms,
    report: &Report,
    incident: Option<OpsItem>,
) -> Result<Option<OpsItemId>, Error> {
    let key = crate::text::one_line(&report.key());
    let told = |item: &OpsItem| item.data.get(TOLD) == Some(&key);
    if let Some(item) = incident.as_ref().filter(|item| told(item)) {
        return Ok(Some(item.id.clone()));
    }
    let own = incident.is_none();
    let written = unless_at_quota(match incident {
        Some(item) => written_into(ports, report, item).await,
        None => written_of_its_own(ports, terms, report).await,
    });
    if let Ok(Some(item)) = &written
        && told(item)
    {
        return Ok(Some(item.id.clone()));
    }
    // Before people are told where it is.
    let page = ports.store(&report.page_key(), page::html(report)).await;
    metrics.record(&measures::of(report));
    let id = match &written {
        Ok(Some(item)) => item.id.as_str(),
        Ok(None) => NOT_CREATED,
        Err(_) => "could not be written",
    };
    let sent = ports
        .notify(&words::notification(report, &terms.bucket, id))
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
        // An incident is over when its trouble is; that is not ours to say.
        status: (own && item.status != wanted).then_some(wanted),
        data: [(TOLD, key)].into(),
        ..OpsItemChange::default()
    };
    ports.update(&item.id, &mark).await?;
    Ok(Some(item.id))
}

/// The incident's OpsItem, with the report in its data. Its words stay those of the signal, whose next
/// news would overwrite others.
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
        ports.update(&item.id, &change).await?;
    }
    Ok(item)
}

/// The recovery's own OpsItem, as this report has it.
async fn written_of_its_own(
    ports: &impl ReportingPorts,
    terms: &Terms,
    report: &Report,
) -> Result<OpsItem, Error> {
    let new = words::item(report, &terms.bucket);
    let item = find_or_create(ports, &new).await?;
    let known = item.data.get(REPORT);
    if known != new.data.get(REPORT) {
        let change = OpsItemChange {
            title: Some(new.limited_title()),
            description: Some(new.limited_description()),
            severity: Some(new.severity),
            // What is not whole after a redrive is open again.
            status: (!report.complete && item.status == Status::Resolved).then_some(Status::Open),
            data: words::data(report),
            ..OpsItemChange::default()
        };
        ports.update(&item.id, &change).await?;
    }
    Ok(item)
}

/// The OpsItem that the input names. One that is not there is none: a report goes without.
async fn incident_item(
    ports: &impl ReportingPorts,
    id: Option<&OpsItemId>,
) -> Result<Option<DatedItem>, Error> {
    match id {
        Some(id) => ports.dated_item(id).await,
        None => Ok(None),
    }
}

async fn kept_report(ports: &impl ReportingPorts, key: &str) -> Result<Option<Report>, Error> {
    let Some(text) = ports.stored(key).await? else {
        return Ok(None);
    };
    serde_json::from_str::<Report>(&text)
        .map(Some)
        .map_err(|error| {
            Error::Permanent(
                Fault::new(
                    "read report",
                    key,
                    format!("what is kept there is no report: {error}"),
                    "Look at the object; nothing of ours overwrites it.",
                )
                .with_source(error),
            )
        })
}

/// The plan, or nothing where there is none that can be read.
async fn kept_plan(ports: &impl ReportingPorts, request: &Request) -> Result<Option<Plan>, Error> {
    let Some(plan) = &request.plan else {
        return Ok(None);
    };
    let text = ports.stored(&plan.key).await?;
    Ok(text
        .and_then(|text| serde_json::from_str::<Plan>(&text).ok())
        .filter(|plan| plan.version == plan::VERSION))
}

/// The restore jobs of this recovery, and the volumes that they made.
async fn observe(
    ports: &impl ReportingPorts,
    clock: &impl Clock,
    terms: &Terms,
    request: &Request,
    plan: &Plan,
) -> Result<Observed, Error> {
    let mut observed = Observed::default();
    let since = match request.mode {
        // The same plan may be followed again: its restores are then those of before.
        Mode::Recover => plan.planned_at,
        // Each drill restores anew.
        Mode::Drill => request.execution.started_at,
    };
    let mut next: Option<String> = None;
    loop {
        in_time(clock, "backup:ListRestoreJobs", since)?;
        let Page { listed, next: more } = ports.jobs_since(since, next.as_deref()).await?;
        for job in listed {
            observed.add_job(job, request.mode, &terms.drill_role);
        }
        next = more;
        if next.is_none() {
            break;
        }
    }
    let ids = observed.volumes_of(plan);
    let mut waiting = ids.chunks(VOLUMES_AT_ONCE);
    let look = |ids: &[VolumeId]| {
        let ids = ids.to_vec();
        async move { ports.recovered_volumes(&ids).await }
    };
    let mut looks: FuturesUnordered<_> = waiting.by_ref().take(LANES).map(look).collect();
    while let Some(volumes) = looks.next().await {
        for volume in volumes? {
            observed.add_volume(volume);
        }
        in_time(clock, "ec2:DescribeVolumes", since)?;
        looks.extend(waiting.next().map(look));
    }
    Ok(observed)
}

fn in_time(clock: &impl Clock, operation: &'static str, since: DateTime<Utc>) -> Result<(), Error> {
    if clock.remaining() > RESERVE {
        return Ok(());
    }
    Err(Error::Retryable(Fault::new(
        operation,
        format!("restores since {}", since.to_rfc3339()),
        "the time of this run is up",
        "It is tried again from the beginning. If that does not help, give the function more time.",
    )))
}

fn text_of(report: &Report) -> Result<String, Error> {
    serde_json::to_string(report).map_err(|error| {
        Error::Permanent(
            Fault::new(
                "write report",
                "report",
                "it could not be written as JSON",
                "Report this as a defect of Rapid Recovery.",
            )
            .with_source(error),
        )
    })
}
