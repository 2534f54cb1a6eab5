//! Makes the plan of a recovery: lists the recovery points of the vault, keeps one for each
//! resource, asks for their tags, reads the reports of earlier recoveries, decides ([`judge`],
//! [`EarlierRecoveries`]) and keeps the plan where a state machine can read it.
//!
//! The calls grow with the pages of the vault and with the batches of tags, not with the volumes.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::arn::TagHome;
use crate::error::{Error, Fault};
use crate::integration::{NoInstance, find_instance};
use crate::outcome::Outcome;
use crate::plan::candidates::{Candidate, Candidates};
use crate::plan::changes::changes;
use crate::plan::earlier::EarlierRecoveries;
use crate::plan::refusal::{ItemRefusal, PlanRefusal};
use crate::plan::request::Request;
use crate::plan::{Item, Judged, Plan, Refused, VERSION, judge};
use crate::ports::{Clock, Page, PlanningPorts, SNAPSHOTS_AT_ONCE};

/// The longest plan, in bytes of JSON, that stands in the answer itself: Step Functions passes
/// 256 KiB between two states, and there is more than the plan in it
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>).
pub const INLINE_LIMIT: usize = 100_000;
/// How many targets are looked at while planning. It is only a prediction: the restore looks again.
const TARGETS_LOOKED_AT: usize = 50;
/// How many reports are read at the same time.
const REPORTS_AT_ONCE: usize = 8;
/// How many changes are named in an answer.
const CHANGES_NAMED: usize = 50;
/// Left of a run's time for the last call and the answer: a call may take 20 s with all its attempts.
const RESERVE: Duration = Duration::from_secs(45);

/// Where the planner looks, and where it keeps plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Name of the backup vault in this Region.
    pub vault: String,
    /// Name of the bucket in this Region, for the answer: the ports have their own.
    pub bucket: String,
}

/// The plan that `payload` asks for (see [`Request::parse`]), or why there is none.
///
/// # Errors
/// [`Error::Permanent`] for input that cannot be read or a call that failed for good,
/// [`Error::Retryable`] for one that may succeed later.
pub async fn handle(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    places: &Places,
    payload: &Value,
) -> Result<Outcome, Error> {
    let request = Request::parse(payload)?;
    let mut plan = match make(ports, clock, &places.vault, &request).await? {
        Ok(plan) => plan,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    if plan.totals.items == 0 && plan.refusals.iter().all(Refused::may_be_elsewhere) {
        return Ok(refused(&PlanRefusal::UnknownWorkload {
            workload: request.workload,
            vault: places.vault.clone(),
        }));
    }
    look_at_targets(ports, clock, &mut plan).await?;
    let body = text_of(&plan)?;
    let inline = body.len() <= INLINE_LIMIT;
    let key = store(ports, &plan, body).await?;
    let outcome = match objection(&request, &plan) {
        None => Outcome::planned(),
        Some(refusal) => {
            let changed = match &refusal {
                PlanRefusal::PlanChanged { expected, .. } => {
                    changes_since(ports, expected, &plan).await?
                }
                _ => None,
            };
            match changed {
                Some(changes) => refused(&refusal).with_member("changes", changes),
                None => refused(&refusal),
            }
        }
    };
    let outcome = outcome
        .with("workload", &plan.workload)
        .with("mode", plan.mode.as_str())
        .with("planHash", &plan.hash)
        .with("planBucket", &places.bucket)
        .with("planKey", &key)
        .with_member("summary", summary(&plan))
        .with_member("stacks", json!(plan.stacks))
        .with_member("waves", waves(&plan));
    Ok(if inline {
        outcome.with_member("plan", json!(plan))
    } else {
        outcome
    })
}

/// Lists, keeps, asks for tags, decides.
async fn make(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    vault: &str,
    request: &Request,
) -> Result<Result<Plan, PlanRefusal>, Error> {
    let now = clock.now();
    let mut candidates = Candidates::new(request.restore_to, now);
    let mut unreadable = 0;
    let mut page: Option<String> = None;
    loop {
        in_time(clock, vault, candidates.seen())?;
        let Page { listed, next } = ports.recovery_points(vault, page.as_deref()).await?;
        for point in listed {
            match point {
                Some(point) => candidates.add(point),
                None => unreadable += 1,
            }
        }
        page = next;
        if page.is_none() {
            break;
        }
    }
    let seen = candidates.seen();
    let mut sorted = Sorted {
        workload: &request.workload,
        now,
        items: Vec::new(),
        refusals: Vec::new(),
    };
    let mut batch: Vec<Candidate> = Vec::new();
    for candidate in candidates.into_kept() {
        match candidate.point.arn.tag_home() {
            TagHome::Ec2(_) => {
                batch.push(candidate);
                if batch.len() == SNAPSHOTS_AT_ONCE {
                    in_time(clock, vault, seen)?;
                    sorted
                        .add_snapshots(ports, std::mem::take(&mut batch))
                        .await?;
                }
            }
            TagHome::Backup => {
                in_time(clock, vault, seen)?;
                sorted.add_held_by_backup(ports, &candidate).await?;
            }
            TagHome::Elsewhere => sorted.add(judge(&request.workload, now, &candidate, None)),
        }
    }
    if !batch.is_empty() {
        sorted.add_snapshots(ports, batch).await?;
    }
    let Sorted {
        mut items,
        mut refusals,
        ..
    } = sorted;
    if !items.is_empty() {
        let mut earlier = earlier_recoveries(ports, clock, &request.workload).await?;
        if let Some(since) = request.primary_since {
            earlier.runs_in_the_primary_region_since(since);
        }
        let (kept, refused) = earlier.judge(items);
        items = kept;
        refusals.extend(refused);
    }
    Ok(
        Plan::of(request, vault, now, items, refusals).map(|mut plan| {
            plan.totals.recovery_points = seen;
            plan.totals.unreadable_recovery_points = unreadable;
            plan
        }),
    )
}

/// What the reports of the workload say of its earlier recoveries.
async fn earlier_recoveries(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    workload: &str,
) -> Result<EarlierRecoveries, Error> {
    let prefix = format!("reports/{workload}/");
    let mut keys = Vec::new();
    let mut page: Option<String> = None;
    loop {
        let Page { listed, next } = ports.kept(&prefix, page.as_deref()).await?;
        keys.extend(listed.into_iter().filter(|key| key.ends_with(".json")));
        page = next;
        if page.is_none() {
            break;
        }
    }
    let mut earlier = EarlierRecoveries::default();
    for (number, some) in keys.chunks(REPORTS_AT_ONCE).enumerate() {
        if clock.remaining() <= RESERVE {
            return Err(Error::Retryable(Fault::new(
                "s3:GetObject",
                prefix,
                format!(
                    "the time of this run is up after {} of {} reports",
                    number * REPORTS_AT_ONCE,
                    keys.len()
                ),
                "It is tried again from the beginning. If that does not help, give the function more time.",
            )));
        }
        let texts = try_join_all(some.iter().map(|key| ports.stored(key))).await?;
        for (key, text) in some.iter().zip(texts) {
            let Some(text) = text else { continue };
            earlier.add(key, &text).map_err(|error| {
                Error::Permanent(
                    Fault::new(
                        "read report",
                        key,
                        format!("the object is not a report of a recovery: {error}"),
                        "Read the object in the recovery bucket, and move it out of reports/ if it is not a report; then plan again.",
                    )
                    .with_source(error),
                )
            })?;
        }
    }
    Ok(earlier)
}

fn in_time(clock: &impl Clock, vault: &str, seen: usize) -> Result<(), Error> {
    if clock.remaining() > RESERVE {
        return Ok(());
    }
    Err(Error::Retryable(Fault::new(
        "backup:ListRecoveryPointsByBackupVault",
        vault,
        format!("the time of this run is up after {seen} recovery points"),
        "It is tried again from the beginning. If that does not help, give the function more time, or spread the recovery points over vaults.",
    )))
}

/// What the candidates turn out to be.
struct Sorted<'a> {
    workload: &'a str,
    now: DateTime<Utc>,
    items: Vec<Item>,
    refusals: Vec<Refused>,
}

impl Sorted<'_> {
    fn add(&mut self, judged: Judged) {
        match judged {
            Judged::NotOurs => {}
            Judged::Item(item) => self.items.push(item),
            Judged::Refused(refused) => self.refusals.push(refused),
        }
    }

    /// Candidates whose tags EC2 has.
    async fn add_snapshots(
        &mut self,
        ports: &impl PlanningPorts,
        batch: Vec<Candidate>,
    ) -> Result<(), Error> {
        let id = |candidate: &Candidate| match candidate.point.arn.tag_home() {
            TagHome::Ec2(id) => id.to_owned(),
            TagHome::Backup | TagHome::Elsewhere => String::new(),
        };
        let ids: Vec<String> = batch.iter().map(id).collect();
        let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut tags = ports.snapshot_tags(&asked).await?;
        for (candidate, id) in batch.iter().zip(&ids) {
            let tags = tags.remove(id).unwrap_or_default();
            self.add(judge(self.workload, self.now, candidate, Some(&tags)));
        }
        Ok(())
    }

    /// A candidate whose tags AWS Backup has, one at a time. One that cannot be asked for its tags
    /// does not stop the others.
    async fn add_held_by_backup(
        &mut self,
        ports: &impl PlanningPorts,
        candidate: &Candidate,
    ) -> Result<(), Error> {
        let judged = match ports.tags(&candidate.point.arn).await {
            Ok(tags) => judge(self.workload, self.now, candidate, Some(&tags)),
            Err(Error::Permanent(fault)) => Judged::Refused(Refused::new(
                &candidate.point,
                &ItemRefusal::TagsUnread {
                    why: fault.to_string(),
                },
            )),
            Err(later) => return Err(later),
        };
        self.add(judged);
        Ok(())
    }
}

/// Notes where the targets lie that exist already, and what stands against them.
async fn look_at_targets(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    plan: &mut Plan,
) -> Result<(), Error> {
    let mut looked_at: BTreeMap<(String, String), (Option<String>, Option<String>)> =
        BTreeMap::new();
    for item in plan.items_mut() {
        let Ok(target) = item.target.integration_target() else {
            continue;
        };
        let key = (target.stack.clone(), target.logical_id.clone());
        if !looked_at.contains_key(&key) {
            if looked_at.len() == TARGETS_LOOKED_AT || clock.remaining() < RESERVE {
                continue;
            }
            let seen = match find_instance(ports, &target).await {
                Ok(Ok(instance)) => (Some(instance.zone), None),
                Ok(Err(NoInstance::Refused(refusal))) => (None, Some(refusal.to_string())),
                Ok(Err(NoInstance::Untagged)) => (
                    None,
                    Some("CloudFormation's own tags lead to no instance".to_owned()),
                ),
                // Not there yet, as before a recovery: the restore waits for it.
                Err(Error::Retryable(_)) => (None, None),
                Err(permanent) => return Err(permanent),
            };
            looked_at.insert(key.clone(), seen);
        }
        if let Some((zone, problem)) = looked_at.get(&key) {
            if let Some(zone) = zone {
                item.metadata
                    .insert("availabilityZone".to_owned(), zone.clone());
            }
            item.target.problem.clone_from(problem);
        }
    }
    Ok(())
}

/// What stands against the plan as a whole.
fn objection(request: &Request, plan: &Plan) -> Option<PlanRefusal> {
    if let Some(expected) = request
        .plan_hash
        .as_ref()
        .filter(|expected| **expected != plan.hash)
    {
        return Some(PlanRefusal::PlanChanged {
            expected: expected.clone(),
            found: plan.hash.clone(),
        });
    }
    (plan.totals.items == 0).then_some(PlanRefusal::NothingToRestore {
        refusals: plan.totals.refusals,
    })
}

fn refused(refusal: &PlanRefusal) -> Outcome {
    Outcome::refused(refusal.reason())
        .with("why", refusal.to_string())
        .with("remedy", refusal.remedy())
}

/// The key of a plan.
fn plan_key(workload: &str, hash: &str) -> String {
    format!("plans/{workload}/{hash}.json")
}

/// The key of a wave's items by themselves: a JSON array, as a Distributed Map reads it.
fn wave_key(plan: &Plan, wave: u8) -> String {
    format!("plans/{}/{}/wave-{wave}.json", plan.workload, plan.hash)
}

fn text_of(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        Error::Permanent(
            Fault::new(
                "write plan",
                "plan",
                "it could not be written as JSON",
                "Report this as a defect of Rapid Recovery.",
            )
            .with_source(error),
        )
    })
}

/// Keeps the waves, and then the plan, so that a plan that is there is there with its waves.
async fn store(ports: &impl PlanningPorts, plan: &Plan, body: String) -> Result<String, Error> {
    for wave in &plan.waves {
        ports
            .store(&wave_key(plan, wave.wave), text_of(&wave.items)?)
            .await?;
    }
    let key = plan_key(&plan.workload, &plan.hash);
    ports.store(&key, body).await?;
    Ok(key)
}

/// What differs from the plan with the hash `expected`, if that is still kept.
async fn changes_since(
    ports: &impl PlanningPorts,
    expected: &str,
    plan: &Plan,
) -> Result<Option<Value>, Error> {
    let before = ports.stored(&plan_key(&plan.workload, expected)).await?;
    Ok(before
        .and_then(|text| serde_json::from_str::<Plan>(&text).ok())
        .filter(|before| before.version == VERSION)
        .map(|before| {
            let changes = changes(&before, plan);
            json!({
                "count": changes.len(),
                "modeDiffers": before.mode != plan.mode,
                "named": changes.iter().take(CHANGES_NAMED).collect::<Vec<_>>(),
            })
        }))
}

/// The plan in numbers.
fn summary(plan: &Plan) -> Value {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for refused in &plan.refusals {
        *reasons.entry(&refused.reason).or_default() += 1;
    }
    let mut summary = json!(plan.totals);
    summary["refusalsByReason"] = json!(reasons);
    summary["plannedAt"] = json!(plan.planned_at);
    summary
}

/// The waves, with where each one's items are kept.
fn waves(plan: &Plan) -> Value {
    plan.waves
        .iter()
        .map(|wave| {
            json!({
                "wave": wave.wave,
                "items": wave.items.len(),
                "key": wave_key(plan, wave.wave),
            })
        })
        .collect()
}
