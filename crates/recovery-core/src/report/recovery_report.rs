//! The report of a recovery: items, phases, problems, and the achieved RTO and RPO with their objectives.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::aws::arn::Arn;
use crate::event;
use crate::integrate::mount::record::Mount;
use crate::ops_item::{BEGAN, OpsItem};
use crate::plan::item::Refused;
use crate::plan::recovery_plan::Plan;
use crate::plan::request::Mode;
use crate::report::format::seconds_between;
use crate::report::observation::{Observed, Traced, trace};
use crate::report::phases;
use crate::report::phases::{Phase, PhaseEnds};
use crate::report::problem::Problem;
use crate::report::request::{Execution, Objectives, Request, Stack};

/// The version of the report's JSON, which `docs/report.schema.json` describes. A change that a reader of
/// the JSON has to know of raises it.
pub const VERSION: u32 = 3;

/// Problems, and refusals, that a report lists; of more it has the number.
pub const NAMED: usize = 200;

/// Report of a recovery or a drill, as `recovery-reporter` stores it under `reports/` in the recovery
/// bucket. Lengths of time are in seconds. Members that do not apply are absent, never null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this JSON format.
    #[cfg_attr(feature = "schema", schemars(extend("const" = VERSION)))]
    pub version: u32,
    /// The version of Rapid Recovery that made the report.
    pub software_version: String,
    /// The workload.
    pub workload: String,
    /// A recovery, or a drill in its own stack.
    pub mode: Mode,
    /// The execution of the state machine.
    pub execution: Execution,
    /// How often the execution had been redriven.
    pub redrives: u32,
    /// The key of the incident that the recovery answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<String>,
    /// The incident's OpsItem.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ops_item_id: Option<String>,
    /// The moment to restore to, where the input named one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_to: Option<DateTime<Utc>>,
    /// The recovery plan; absent where planning failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<PlanMade>,
    /// Whether every planned item is restored and integrated and no problem is left.
    pub complete: bool,
    /// When the report was made.
    pub reported_at: DateTime<Utc>,
    /// Start of the achieved RTO: when the incident began, or else when the execution started.
    pub began_at: DateTime<Utc>,
    /// The end of the last phase that is known; with it a complete recovery ends.
    pub ended_at: DateTime<Utc>,
    /// The phases from beganAt to endedAt, without gaps. A phase that did not happen, or whose end is not
    /// known, is absent; its time counts in the next one.
    pub phases: Vec<Phase>,
    /// The achieved RTO: the time from beganAt to endedAt, or to reportedAt while the recovery is incomplete.
    pub rto: ObjectiveResult,
    /// The achieved RPO: that of the item with the oldest data; absent where no item was planned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rpo: Option<Rpo>,
    /// The stacks that the items belong to.
    pub stacks: Vec<Stack>,
    /// Counts.
    pub totals: Totals,
    /// Minimum, median and maximum over the items.
    pub statistics: Statistics,
    /// What keeps the recovery from being complete; at most 200, totals.problems counts all.
    #[cfg_attr(feature = "schema", schemars(length(max = NAMED)))]
    pub problems: Vec<Problem>,
    /// Resources that the plan does not restore; at most 200, totals.refusals counts all.
    #[cfg_attr(feature = "schema", schemars(length(max = NAMED)))]
    pub refusals: Vec<Refused>,
    /// The items of the plan, in its order.
    pub items: Vec<ItemReport>,
}

/// A recovery plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanMade {
    /// The plan's hash.
    pub hash: String,
    /// The plan's object key in the recovery bucket.
    pub key: String,
}

/// A measurement compared with its objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveResult {
    /// The measurement.
    pub achieved_seconds: i64,
    /// The objective, where one is set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub objective_seconds: Option<i64>,
    /// Whether the objective is met; absent without an objective. An incomplete recovery has not met its
    /// RTO.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub met: Option<bool>,
}

impl ObjectiveResult {
    /// Whether the objective is exceeded; while a recovery is incomplete, it may be neither met nor missed.
    pub fn is_missed(&self) -> bool {
        self.objective_seconds
            .is_some_and(|objective| self.achieved_seconds > objective)
    }

    fn of(seconds: i64, objective_minutes: Option<u32>, finished: bool) -> ObjectiveResult {
        let objective = objective_minutes.map(|minutes| i64::from(minutes) * 60);
        ObjectiveResult {
            achieved_seconds: seconds,
            objective_seconds: objective,
            met: objective.map(|objective| finished && seconds <= objective),
        }
    }
}

/// The achieved RPO: the age of the oldest data that was planned to be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rpo {
    /// The age, compared with the objective.
    #[serde(flatten)]
    pub result: ObjectiveResult,
    /// The moment that ages count back from: restoreTo, or when the incident began, or when the execution
    /// started.
    pub counted_from: DateTime<Utc>,
    /// The resource with the oldest data.
    pub resource_arn: String,
}

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Items of the plan.
    pub items: usize,
    /// Items that are restored and integrated.
    pub integrated: usize,
    /// Items that are not.
    pub unfinished: usize,
    /// Problems, including those that are not listed.
    pub problems: usize,
    /// Resources that the plan does not restore, including those that are not listed.
    pub refusals: usize,
}

/// Distributions over the items that have the number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// From the creation of the restore job to its completion.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_seconds: Option<Distribution>,
    /// From the completion of the restore job to the integration.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub integrate_seconds: Option<Distribution>,
    /// The achieved RPO.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rpo_seconds: Option<Distribution>,
}

/// Minimum, median and maximum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Distribution {
    /// The least.
    pub min: i64,
    /// The median; of an even number, the lower one.
    pub median: i64,
    /// The greatest.
    pub max: i64,
}

impl Distribution {
    fn of(numbers: impl Iterator<Item = i64>) -> Option<Distribution> {
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        Some(Distribution {
            min: *numbers.first()?,
            median: *numbers.get((numbers.len() - 1) / 2)?,
            max: *numbers.last()?,
        })
    }
}

/// An item of the plan and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ItemReport {
    /// The protected resource, in the primary Region.
    pub resource_arn: String,
    /// The recovery point that it is restored from.
    pub recovery_point_arn: String,
    /// The resource type, for example EBS.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The wave, 0 to 9.
    #[cfg_attr(feature = "schema", schemars(range(max = 9)))]
    pub wave: u8,
    /// The stack of the target, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stack: Option<String>,
    /// The reference to the instance of a volume: its logical id in that stack, in most cases.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub logical_id: Option<String>,
    /// The name of a restored database or table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// What the plan says of it besides: that its tags are those of another recovery point.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// Whether it is restored and integrated.
    pub integrated: bool,
    /// The achieved RPO of this item: from the creation of the recovery point to rpo.countedFrom.
    pub rpo_seconds: i64,
    /// The restore job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job_id: Option<String>,
    /// The status of the restore job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job_status: Option<String>,
    /// When the restore job was created.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<DateTime<Utc>>,
    /// When the restore job ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub completed_at: Option<DateTime<Utc>>,
    /// From startedAt to completedAt, of a restore job that completed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_seconds: Option<i64>,
    /// Restore jobs of the item that failed before this one was created; absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failed_before: Vec<FailedJob>,
    /// The restored volume.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub volume_id: Option<String>,
    /// The instance that the volume is attached to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instance_id: Option<String>,
    /// The device name of the attachment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// Where the restored volume or file system is mounted in guest operating systems, as the instances answered. It is
    /// absent if nothing is mounted, or if the OpsItem of the restore job does not contain it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mount: Option<Mount>,
    /// The ARN of the restored database or table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restored_arn: Option<String>,
    /// Where applications reach the restored database: host and port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<String>,
    /// When the volume was attached, or the database or table integrated. AWS does not record the latter: it is absent
    /// if the OpsItem of the restore job does not contain it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub integrated_at: Option<DateTime<Utc>>,
    /// The OpsItem of the restore job, if it was open when the report was made. It says what is left to do, although the
    /// item may be integrated: for example connect the consumers of a stream.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub open_ops_item_id: Option<String>,
    /// From completedAt to integratedAt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub integrate_seconds: Option<i64>,
}

/// A restore job that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FailedJob {
    /// The job's id.
    pub job_id: String,
    /// The job's status.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["FAILED", "ABORTED"])))]
    pub status: String,
    /// When the job was created.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<DateTime<Utc>>,
    /// When the job ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<DateTime<Utc>>,
}

impl Report {
    /// The report of the recovery that `request` names. Objectives of the request take precedence over
    /// `objectives`.
    pub fn of(
        request: &Request,
        objectives: Objectives,
        incident: Option<&OpsItem>,
        plan: Option<&Plan>,
        observed: &Observed,
        now: DateTime<Utc>,
    ) -> Report {
        let incident = incident.filter(|_| request.mode == Mode::Recover);
        let began = incident.and_then(|item| event::date(item.data.get(BEGAN)?));
        let tracked = incident.and_then(|item| item.created);
        let traced = plan.map_or_else(Vec::new, |plan| trace(plan, observed));
        let (start, phases) = phases::partition(&phase_ends(request, began, tracked, &traced));
        let end = phases.last().map_or(start, |phase| phase.to);
        // Data newer than `restoreTo` is left out on purpose, so does not count.
        let counted_from = request
            .restore_to
            .or(began)
            .or(tracked)
            .unwrap_or(request.execution.started_at);
        let items: Vec<ItemReport> = traced
            .iter()
            .map(|traced| item_report(traced, counted_from))
            .collect();
        let (problems, count) = problems(request, plan, &traced);
        let complete = plan.is_some() && count == 0;
        let integrated = items.iter().filter(|item| item.integrated).count();
        let objectives = request.objectives.or(objectives);
        let oldest = items
            .iter()
            .max_by(|a, b| (a.rpo_seconds, &b.resource_arn).cmp(&(b.rpo_seconds, &a.resource_arn)));
        let rpo = oldest.map(|oldest| Rpo {
            result: ObjectiveResult::of(oldest.rpo_seconds, objectives.rpo_minutes, true),
            counted_from,
            resource_arn: oldest.resource_arn.clone(),
        });
        Report {
            version: VERSION,
            software_version: crate::VERSION.to_owned(),
            workload: request.workload.clone(),
            mode: request.mode,
            execution: request.execution.clone(),
            redrives: request.redrives,
            incident: request.incident.clone(),
            ops_item_id: request.ops_item.as_ref().map(ToString::to_string),
            restore_to: request.restore_to,
            plan: request.plan.as_ref().map(|plan| PlanMade {
                hash: plan.hash.clone(),
                key: plan.key.clone(),
            }),
            complete,
            reported_at: now,
            began_at: start,
            ended_at: end,
            rto: ObjectiveResult::of(
                // What is left takes its time, too: none of it passes for a short recovery.
                seconds_between(start, if complete { end } else { end.max(now) }),
                objectives.rto_minutes,
                complete,
            ),
            phases,
            rpo,
            stacks: request.stacks.clone(),
            totals: Totals {
                items: items.len(),
                integrated,
                unfinished: items.len() - integrated,
                problems: count,
                refusals: plan.map_or(0, |plan| plan.refusals.len()),
            },
            statistics: Statistics {
                restore_seconds: Distribution::of(
                    items.iter().filter_map(|item| item.restore_seconds),
                ),
                integrate_seconds: Distribution::of(
                    items.iter().filter_map(|item| item.integrate_seconds),
                ),
                rpo_seconds: Distribution::of(items.iter().map(|item| item.rpo_seconds)),
            },
            problems,
            refusals: plan.map_or_else(Vec::new, |plan| {
                plan.refusals.iter().take(NAMED).cloned().collect()
            }),
            items,
        }
    }

    /// Integrated items whose OpsItems are open.
    pub fn open_ops_items(&self) -> usize {
        let open = |item: &&ItemReport| item.integrated && item.open_ops_item_id.is_some();
        self.items.iter().filter(open).count()
    }

    /// The object key of the report's JSON.
    pub fn key(&self) -> String {
        key(&self.workload, &self.execution.name, self.redrives)
    }

    /// The object key of the report's page.
    pub fn page_key(&self) -> String {
        page_key(&self.workload, &self.execution.name, self.redrives)
    }
}

/// The object key of the JSON.
pub fn key(workload: &str, execution: &str, redrives: u32) -> String {
    format!("reports/{workload}/{execution}/{redrives}.json")
}

/// The object key of the page.
pub fn page_key(workload: &str, execution: &str, redrives: u32) -> String {
    format!("reports/{workload}/{execution}/{redrives}.html")
}

/// When each phase ended, as far as it is known.
fn phase_ends(
    request: &Request,
    began: Option<DateTime<Utc>>,
    tracked: Option<DateTime<Utc>>,
    traced: &[Traced<'_>],
) -> PhaseEnds {
    let jobs = || traced.iter().filter_map(|traced| traced.job);
    let failed = traced.iter().flat_map(|traced| &traced.failed_before);
    let first_restore = jobs()
        .chain(failed.copied())
        .filter_map(|job| job.created)
        .min();
    PhaseEnds {
        began,
        tracked,
        started: request.execution.started_at,
        planned: request.plan.as_ref().and_then(|plan| plan.planned_at),
        // A redrive checks the stacks again, but they were deployed before the first restore started.
        stood: request
            .infrastructure_to
            .map(|stood| first_restore.map_or(stood, |first| stood.min(first))),
        // The time of a failed job counts, too.
        restored: jobs()
            .filter(|job| job.is_completed() || job.has_failed())
            .filter_map(|job| job.completed)
            .max(),
        integrated: traced
            .iter()
            .filter_map(|traced| traced.integrated_at)
            .max(),
        verified: request.verification_to,
        failed_over: request.fail_over_to,
    }
}

fn item_report(traced: &Traced<'_>, counted_from: DateTime<Utc>) -> ItemReport {
    let Traced {
        item,
        job,
        failed_before,
        volume,
        attachment,
        store,
        mount,
        integrated_at,
        open_item,
        unfinished,
    } = traced;
    let completed = job.filter(|job| job.is_completed());
    let (started_at, completed_at) = (
        job.and_then(|job| job.created),
        job.and_then(|job| job.completed),
    );
    let integrated_at = *integrated_at;
    let between = |from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| {
        from.zip(to).map(|(from, to)| seconds_between(from, to))
    };
    ItemReport {
        resource_arn: item.resource_arn.clone(),
        recovery_point_arn: item.recovery_point_arn.clone(),
        resource_type: item.resource_type.clone(),
        wave: item.wave,
        stack: item.target.stack().map(str::to_owned),
        logical_id: item.target.volume().map(|target| target.logical_id.clone()),
        name: item.target.name().map(str::to_owned),
        note: item.note(),
        integrated: unfinished.is_none(),
        rpo_seconds: seconds_between(item.created_at, counted_from),
        job_id: job.map(|job| job.id.to_string()),
        job_status: job.map(|job| job.status.clone().unwrap_or_default()),
        started_at,
        completed_at,
        restore_seconds: completed.and_then(|_| between(started_at, completed_at)),
        failed_before: failed_before
            .iter()
            .map(|job| FailedJob {
                job_id: job.id.to_string(),
                status: job.status.clone().unwrap_or_default(),
                started_at: job.created,
                ended_at: job.completed,
            })
            .collect(),
        volume_id: volume.as_ref().map(ToString::to_string),
        instance_id: attachment.map(|attachment| attachment.instance.to_string()),
        device: attachment.map(|attachment| attachment.device.clone()),
        mount: mount.cloned(),
        restored_arn: completed
            .filter(|_| item.target.volume().is_none())
            .and_then(|job| job.created_resource.as_ref())
            .map(ToString::to_string),
        endpoint: store.and_then(|store| store.endpoint.clone()),
        integrated_at,
        open_ops_item_id: open_item.map(ToString::to_string),
        integrate_seconds: between(completed_at, integrated_at),
    }
}

/// What keeps the recovery from being complete: the problems that the state machine collected, without
/// those of items that are attached by now, and what is left of items that it has no problem of. Returns
/// the first [`NAMED`], and the number of all.
fn problems(
    request: &Request,
    plan: Option<&Plan>,
    traced: &[Traced<'_>],
) -> (Vec<Problem>, usize) {
    let (done, left): (Vec<_>, Vec<_>) = traced
        .iter()
        .partition(|traced| traced.unfinished.is_none());
    let whole = plan.is_some() && left.is_empty();
    let done: HashSet<&str> = done.iter().flat_map(|traced| traced.names()).collect();
    // An EBS volume that is attached, and mounted if it has a path, is integrated. What the integration of other types
    // sets and publishes is not observed, so their problems stay.
    let is_observed = |problem: &Problem| {
        let service = Arn::parse(&problem.subject).map(|arn| arn.service().to_owned());
        service.is_ok_and(|service| service == "ec2") || !problem.subject.starts_with("arn:")
    };
    let over = |problem: &Problem| {
        ["start", "restore", "integrate"].contains(&problem.step.as_str())
            && is_observed(problem)
            && (whole || done.contains(problem.subject.as_str()))
    };
    let said: Vec<&Problem> = request.problems.iter().filter(|said| !over(said)).collect();
    let named: HashSet<&str> = said.iter().map(|said| said.subject.as_str()).collect();
    let seen = left
        .iter()
        .filter(|traced| traced.names().all(|name| !named.contains(name)))
        .filter_map(|traced| Some(traced.unfinished.as_ref()?.problem()));
    let gone = plan.is_none() && (request.plan.is_some() || said.is_empty());
    let gone = gone.then(|| Problem {
        step: "plan".to_owned(),
        subject: request.workload.clone(),
        reason: "no-plan".to_owned(),
        why: "no recovery plan could be read".to_owned(),
        remedy: Some(
            "Invoke recovery-planner for a plan, then start the recovery again.".to_owned(),
        ),
    });
    let mut problems: Vec<Problem> = said.iter().map(|said| (*said).clone()).collect();
    problems.extend(gone);
    problems.extend(seen);
    let count = problems.len();
    problems.truncate(NAMED);
    (problems, count)
}
