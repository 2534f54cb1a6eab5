//! The report of a recovery: what was restored and attached, how long each phase took, and how much
//! data was lost, held against what was promised.
//!
//! Pure: what was asked for and what was observed in, a [`Report`] out. The code that observes, keeps
//! and tells is in [`reporting`](crate::reporting). In the order of its making: [`request`] (what is
//! asked for), [`observation`] (what became of each item of the plan), [`phases`] (one partition of
//! the time), [`Report::of`]. What is made of a report: [`page`], [`words`], [`measures`].

pub mod measures;
pub mod observation;
pub mod page;
pub mod phases;
pub mod request;
pub mod words;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::event;
use crate::ops_item::BEGAN;
use crate::plan::request::Mode;
use crate::plan::{Plan, Refused};
use crate::text;

use self::observation::{DatedItem, Observed, Traced, trace};
use self::phases::{Moments, Phase};
use self::request::{Request, Stack};

/// The version of the report's form, which `docs/report.schema.json` describes.
pub const VERSION: u32 = 1;

/// Problems, and resources that the plan refused, that are named; of more there is the number.
pub const NAMED: usize = 200;

/// What a recovery came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The workload.
    pub workload: String,
    /// A recovery or a drill.
    pub mode: Mode,
    /// The execution of the state machine.
    pub execution: Execution,
    /// How often it had been redriven.
    pub redrives: u32,
    /// The incident that it answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<String>,
    /// The incident's OpsItem.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ops_item_id: Option<String>,
    /// The moment that it went back to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_to: Option<DateTime<Utc>>,
    /// The plan; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<PlanMade>,
    /// Whether every planned item is restored and attached, and nothing else stands against it.
    pub complete: bool,
    /// When the report was made.
    pub reported_at: DateTime<Utc>,
    /// Where the recovery time begins: with the trouble, or with the execution.
    pub began_at: DateTime<Utc>,
    /// Where it ends: with the last phase that is known.
    pub ended_at: DateTime<Utc>,
    /// One behind the other from `beganAt` to `endedAt`; a phase that did not happen is absent.
    pub phases: Vec<Phase>,
    /// From `beganAt` to `endedAt`.
    pub recovery_time: Held,
    /// How old the data are, at the worst.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recovery_point: Option<Loss>,
    /// The stacks that the items are for.
    pub stacks: Vec<Stack>,
    /// Counts.
    pub totals: Totals,
    /// Of the items that have such a number.
    pub statistics: Statistics,
    /// What stands against it; the first [`NAMED`].
    pub problems: Vec<Problem>,
    /// What the plan did not restore, and why; the first [`NAMED`].
    pub refusals: Vec<Refused>,
    /// What the plan restored, in its order.
    pub items: Vec<ItemReport>,
}

/// The execution of the state machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// When it started first.
    pub started_at: DateTime<Utc>,
}

/// The plan that was followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanMade {
    /// Its hash.
    pub hash: String,
    /// Its object in the recovery bucket.
    pub key: String,
}

/// A time, held against its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The time. Of a recovery that is not whole: so far.
    pub seconds: i64,
    /// The target, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target_seconds: Option<i64>,
    /// Whether it is met, where there is one. A recovery that is not whole has not met it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub met: Option<bool>,
}

/// The loss of data of the worst item, held against its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// The loss.
    #[serde(flatten)]
    pub held: Held,
    /// The moment that it counts back from: what was asked to go back to, or the incident's beginning.
    pub at: DateTime<Utc>,
    /// The resource with this loss.
    pub resource_arn: String,
}

/// Something that stands against the recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `plan`, `infrastructure`, `start`, `restore`, `integrate`, `verify`, `fail-over`.
    pub step: String,
    /// The resource, stack or function it is about.
    pub subject: String,
    /// The rule, as one kebab-case word.
    pub reason: String,
    /// What is so.
    pub why: String,
    /// What lifts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
}

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Items of the plan.
    pub items: usize,
    /// Those that are restored and attached.
    pub integrated: usize,
    /// The others.
    pub unfinished: usize,
    /// Problems, also those that are not named.
    pub problems: usize,
    /// Resources that the plan did not restore, also those that are not named.
    pub refusals: usize,
}

/// Of how long it took, and how old the data are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// From the job's creation to its completion.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_seconds: Option<Spread>,
    /// From the job's completion to the attachment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub integrate_seconds: Option<Spread>,
    /// The loss of data.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss_seconds: Option<Spread>,
}

/// The least, the middle and the greatest of some numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub min: i64,
    /// The one in the middle; of two, the smaller.
    pub median: i64,
    /// The greatest.
    pub max: i64,
}

impl Spread {
    fn of(numbers: impl Iterator<Item = i64>) -> Option<Spread> {
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        Some(Spread {
            min: *numbers.first()?,
            median: *numbers.get((numbers.len() - 1) / 2)?,
            max: *numbers.last()?,
        })
    }
}

/// What became of one item of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemReport {
    /// The protected resource, in the primary Region.
    pub resource_arn: String,
    /// The recovery point that it was restored from.
    pub recovery_point_arn: String,
    /// `EBS`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Its wave.
    pub wave: u8,
    /// The stack of its target.
    pub stack: String,
    /// The logical id of its target.
    pub logical_id: String,
    /// What the plan says of it besides: that its tags are those of another recovery point.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// Whether it is restored and attached.
    pub integrated: bool,
    /// From the making of the recovery point to the moment that losses count from.
    pub loss_seconds: i64,
    /// The restore job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job_id: Option<String>,
    /// Its status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job_status: Option<String>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it was completed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub completed_at: Option<DateTime<Utc>>,
    /// From the one to the other.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_seconds: Option<i64>,
    /// Restore jobs of it that failed before that one was created.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failed_before: Vec<FailedJob>,
    /// The restored volume.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub volume_id: Option<String>,
    /// The instance that it is attached to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instance_id: Option<String>,
    /// As which device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attached_at: Option<DateTime<Utc>>,
    /// From the job's completion to that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub integrate_seconds: Option<i64>,
}

/// A restore job that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedJob {
    /// Its id.
    pub job_id: String,
    /// `FAILED` or `ABORTED`.
    pub status: String,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<DateTime<Utc>>,
}

/// What was promised, in minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Targets {
    /// From the beginning of the trouble to its end.
    pub recovery_time_minutes: Option<u32>,
    /// The loss of data.
    pub recovery_point_minutes: Option<u32>,
}

impl Targets {
    /// These, and `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: Targets) -> Targets {
        Targets {
            recovery_time_minutes: self.recovery_time_minutes.or(others.recovery_time_minutes),
            recovery_point_minutes: self
                .recovery_point_minutes
                .or(others.recovery_point_minutes),
        }
    }
}

fn held(seconds: i64, minutes: Option<u32>, reached: bool) -> Held {
    let target = minutes.map(|minutes| i64::from(minutes) * 60);
    Held {
        seconds,
        target_seconds: target,
        met: target.map(|target| reached && seconds <= target),
    }
}

/// Seconds from the one moment to the other, counted from second to second, and never less than none:
/// not all of these clocks are the same.
pub(crate) fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    (to.timestamp() - from.timestamp()).max(0)
}

impl Report {
    /// The report of what `request` asks for, with these observations.
    pub fn of(
        request: &Request,
        targets: Targets,
        incident: Option<&DatedItem>,
        plan: Option<&Plan>,
        observed: &Observed,
        now: DateTime<Utc>,
    ) -> Report {
        let incident = incident.filter(|_| request.mode == Mode::Recover);
        let began = incident.and_then(|dated| event::date(dated.item.data.get(BEGAN)?));
        let tracked = incident.and_then(|dated| dated.created);
        let traced = plan.map_or_else(Vec::new, |plan| trace(plan, observed));
        let (start, phases) = phases::partition(&moments(request, began, tracked, &traced));
        let end = phases.last().map_or(start, |phase| phase.to);
        // What was asked for as the newest is no loss.
        let loses_from = request
            .restore_to
            .or(began)
            .or(tracked)
            .unwrap_or(request.execution.started_at);
        let items: Vec<ItemReport> = traced
            .iter()
            .map(|traced| item_report(traced, loses_from))
            .collect();
        let (problems, count) = problems(request, plan, &traced);
        let complete = plan.is_some() && count == 0;
        let integrated = items.iter().filter(|item| item.integrated).count();
        let targets = request.targets.or(targets);
        let worst = items.iter().max_by(|a, b| {
            (a.loss_seconds, &b.resource_arn).cmp(&(b.loss_seconds, &a.resource_arn))
        });
        let recovery_point = worst.map(|worst| Loss {
            held: held(worst.loss_seconds, targets.recovery_point_minutes, true),
            at: loses_from,
            resource_arn: worst.resource_arn.clone(),
        });
        Report {
            version: VERSION,
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
            recovery_time: held(
                seconds_between(start, end),
                targets.recovery_time_minutes,
                complete,
            ),
            phases,
            recovery_point,
            stacks: request.stacks.clone(),
            totals: Totals {
                items: items.len(),
                integrated,
                unfinished: items.len() - integrated,
                problems: count,
                refusals: plan.map_or(0, |plan| plan.refusals.len()),
            },
            statistics: Statistics {
                restore_seconds: Spread::of(items.iter().filter_map(|item| item.restore_seconds)),
                integrate_seconds: Spread::of(
                    items.iter().filter_map(|item| item.integrate_seconds),
                ),
                loss_seconds: Spread::of(items.iter().map(|item| item.loss_seconds)),
            },
            problems,
            refusals: plan.map_or_else(Vec::new, |plan| {
                plan.refusals.iter().take(NAMED).cloned().collect()
            }),
            items,
        }
    }

    /// The key of this report's JSON.
    pub fn key(&self) -> String {
        key(&self.workload, &self.execution.name, self.redrives)
    }

    /// The key of this report's page.
    pub fn page_key(&self) -> String {
        page_key(&self.workload, &self.execution.name, self.redrives)
    }
}

/// The key of a report's JSON.
pub fn key(workload: &str, execution: &str, redrives: u32) -> String {
    format!("reports/{workload}/{execution}/{redrives}.json")
}

/// The key of a report's page.
pub fn page_key(workload: &str, execution: &str, redrives: u32) -> String {
    format!("reports/{workload}/{execution}/{redrives}.html")
}

/// When each phase ended, as far as that is known.
fn moments(
    request: &Request,
    began: Option<DateTime<Utc>>,
    tracked: Option<DateTime<Utc>>,
    traced: &[Traced<'_>],
) -> Moments {
    let jobs = || traced.iter().filter_map(|traced| traced.job);
    let failed = traced.iter().flat_map(|traced| &traced.failed_before);
    let first_restore = jobs()
        .chain(failed.copied())
        .filter_map(|job| job.created)
        .min();
    Moments {
        began,
        tracked,
        started: request.execution.started_at,
        planned: request.plan.as_ref().and_then(|plan| plan.planned_at),
        // After a redrive the stacks are looked at again; they had stood when the first restore began.
        stood: request
            .infrastructure_to
            .map(|stood| first_restore.map_or(stood, |first| stood.min(first))),
        // One that failed took its time, too.
        restored: jobs()
            .filter(|job| job.is_completed() || job.has_failed())
            .filter_map(|job| job.completed)
            .max(),
        integrated: traced
            .iter()
            .filter_map(|traced| traced.attachment?.since)
            .max(),
        verified: request.verification_to,
        failed_over: request.fail_over_to,
    }
}

fn item_report(traced: &Traced<'_>, loses_from: DateTime<Utc>) -> ItemReport {
    let Traced {
        item,
        job,
        failed_before,
        volume,
        attachment,
        unfinished,
    } = traced;
    let completed = job.filter(|job| job.is_completed());
    let (started_at, completed_at) = (
        job.and_then(|job| job.created),
        job.and_then(|job| job.completed),
    );
    let attached_at = attachment.and_then(|attachment| attachment.since);
    let between = |from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| {
        from.zip(to).map(|(from, to)| seconds_between(from, to))
    };
    ItemReport {
        resource_arn: item.resource_arn.clone(),
        recovery_point_arn: item.recovery_point_arn.clone(),
        resource_type: item.resource_type.clone(),
        wave: item.wave,
        stack: item.target.stack.clone(),
        logical_id: item.target.logical_id.clone(),
        note: item.note(),
        integrated: unfinished.is_none(),
        loss_seconds: seconds_between(item.created_at, loses_from),
        job_id: job.map(|job| job.id.to_string()),
        job_status: job.map(|job| job.status.clone()),
        started_at,
        completed_at,
        restore_seconds: completed.and_then(|_| between(started_at, completed_at)),
        failed_before: failed_before
            .iter()
            .map(|job| FailedJob {
                job_id: job.id.to_string(),
                status: job.status.clone(),
                started_at: job.created,
                ended_at: job.completed,
            })
            .collect(),
        volume_id: volume.as_ref().map(ToString::to_string),
        instance_id: attachment.map(|attachment| attachment.instance.to_string()),
        device: attachment.map(|attachment| attachment.device.clone()),
        attached_at,
        integrate_seconds: between(completed_at, attached_at),
    }
}

/// What stands against the recovery: what the state machine collected, as far as it is still so, and
/// what was observed of items that nothing was said of. The first [`NAMED`], and how many there are.
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
    // An item that is attached by now has no problem, whatever it had on its way.
    let over = |problem: &Problem| {
        ["start", "restore", "integrate"].contains(&problem.step.as_str())
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
        why: "there is no plan that could be read".to_owned(),
        remedy: Some("Ask recovery-planner for a plan, and start the recovery again.".to_owned()),
    });
    let mut problems: Vec<Problem> = said.iter().map(|said| (*said).clone()).collect();
    problems.extend(gone);
    problems.extend(seen);
    let count = problems.len();
    problems.truncate(NAMED);
    (problems, count)
}

/// The time as people read it: to the second, in UTC.
pub(crate) fn clock_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The last part of an ARN, which tells it from its neighbours.
pub(crate) fn short(arn: &str) -> String {
    let last = arn.rsplit(['/', ':']).next().unwrap_or(arn);
    text::shown(last)
}
