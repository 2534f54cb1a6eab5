//! Makes the plan of a recovery: lists the recovery points of the vault, selects one for each resource, reads
//! their tags and the reports of earlier recoveries, decides ([`judge`], [`EarlierRecoveries`]), and stores the
//! plan for the state machine. If a resource's recovery point does not name a workload, the tags of its other
//! recovery points are read.
//!
//! The number of calls grows with the pages of the vault and with the batches of tags, not with the volumes.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::aws::arn::{RecoveryPointArn, TagHome};
use crate::aws::backup::RecoveryPoint;
use crate::error::{Error, Fault};
use crate::integrate::instance::run::stack_instance;
use crate::integrate::run_target::find_instance;
use crate::integrate::target::{ServerReference, Target};
use crate::integrate::volume::kind::EBS_VOLUME;
use crate::integrate::volume::run::stack_volume;
use crate::outcome::Outcome;
use crate::plan::candidates::{Candidate, Candidates};
use crate::plan::changes::changes;
use crate::plan::earlier::EarlierRecoveries;
use crate::plan::history::{History, POINTS_ASKED, Points};
use crate::plan::item::{Item, Refused, TagsFrom, Target as PlannedTarget};
use crate::plan::judge::{Judged, judge};
use crate::plan::recovery_plan::{Plan, VERSION};
use crate::plan::refusal::{ItemRefusal, PlanRefusal};
use crate::plan::request::{Mode, Request};
use crate::plan::run_images::refuse_image_volumes;
use crate::plan::run_names::refuse_taken;
use crate::ports::{
    Clock, Objects, Page, PlanningPorts, RecoveryPointTags, RecoveryPoints, SNAPSHOTS_AT_ONCE,
};
use crate::tags::{Tags, own_logical_id, supplemented, workload};

/// The longest plan, in bytes of JSON, that the answer contains. Step Functions passes at most 256 KiB between two
/// states, and the answer contains more than the plan
/// (<https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>).
pub const INLINE_LIMIT: usize = 100_000;
/// The most targets that the planner checks. This is only a prediction: the restore checks again.
const TARGETS_CHECKED: usize = 50;
/// Reports that are read concurrently.
const REPORTS_AT_ONCE: usize = 8;
/// The most changes that an answer names.
const CHANGES_NAMED: usize = 50;
/// The most notes on items in an answer. The plan has all.
const NOTES_NAMED: usize = 50;
/// Time that a run keeps for the last call and the answer: a call may take 20 s with all its attempts.
const RESERVE: Duration = Duration::from_secs(45);

/// The settings of the planner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannerConfig {
    /// Name of the backup vault in this Region.
    pub vault: String,
    /// Name of the recovery bucket, for the answer. The ports have their own setting.
    pub bucket: String,
}

/// Makes the plan for `payload` (see [`Request::parse`]), or refuses it.
///
/// # Errors
/// [`Error::Permanent`] for invalid input or a call that failed for good, [`Error::Retryable`] for a call that may
/// succeed later.
pub async fn handle(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    config: &PlannerConfig,
    payload: &Value,
) -> Result<Outcome, Error> {
    let request = Request::parse(payload)?;
    let mut plan = match make(ports, clock, &config.vault, &request).await? {
        Ok(plan) => plan,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    if plan.totals.items == 0 && plan.refusals.iter().all(Refused::may_be_elsewhere) {
        return Ok(refused(&PlanRefusal::UnknownWorkload {
            workload: request.workload,
            vault: config.vault.clone(),
        }));
    }
    check_targets(ports, clock, &mut plan).await?;
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
        .with("planBucket", &config.bucket)
        .with("planKey", &key)
        .with_member("summary", summary(&plan))
        .with_member("notes", notes(&plan))
        .with_member("stacks", json!(plan.stacks))
        .with_member("waves", waves(&plan));
    Ok(if inline {
        outcome.with_member("plan", json!(plan))
    } else {
        outcome
    })
}

/// Makes the plan, without storing it.
async fn make(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    vault: &str,
    request: &Request,
) -> Result<Result<Plan, PlanRefusal>, Error> {
    let now = clock.now();
    let mut candidates = Candidates::new(request.restore_to, now);
    let mut unreadable = 0;
    list(ports, clock, vault, |point| match point {
        Some(point) => candidates.add(point),
        None => unreadable += 1,
    })
    .await?;
    let seen = candidates.seen();
    let mut sorted = Sorted {
        workload: &request.workload,
        now,
        items: Vec::new(),
        refusals: Vec::new(),
        own_logical_ids: BTreeMap::new(),
        unidentified: Vec::new(),
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
            TagHome::Backup | TagHome::Rds | TagHome::Fsx => {
                in_time(clock, vault, seen)?;
                sorted.add_read_alone(ports, candidate).await?;
            }
            TagHome::Elsewhere => {
                let refusal = ItemRefusal::TagsElsewhere {
                    resource_type: candidate.point.resource_type.clone(),
                };
                sorted
                    .refusals
                    .push(Refused::new(&candidate.point, &refusal));
            }
        }
    }
    if !batch.is_empty() {
        sorted.add_snapshots(ports, batch).await?;
    }
    sorted.identify(ports, clock, vault).await?;
    sorted.refuse_stack_resources(ports, clock, request).await?;
    let Sorted {
        mut items,
        mut refusals,
        ..
    } = sorted;
    if request.mode == Mode::Recover {
        let (kept, refused) = refuse_taken(ports, clock, RESERVE, items).await?;
        items = kept;
        refusals.extend(refused);
    }
    if !items.is_empty() {
        let mut earlier = earlier_recoveries(ports, clock, &request.workload).await?;
        if let Some(since) = request.primary_since {
            earlier.runs_in_the_primary_region_since(since);
        }
        let (kept, refused) = earlier.judge(items);
        items = kept;
        refusals.extend(refused);
    }
    // Only what is planned without this refusal restores volumes: an instance can be refused for what others claim.
    let plan = match Plan::of(request, vault, now, items.clone(), refusals.clone()) {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(plan) => plan,
    };
    let in_time = || in_time(clock, vault, seen);
    let (items, refused) = refuse_image_volumes(ports, in_time, &plan, items).await?;
    let plan = match refused.is_empty() {
        true => Ok(plan),
        false => {
            refusals.extend(refused);
            Plan::of(request, vault, now, items, refusals)
        }
    };
    Ok(plan.map(|mut plan| {
        plan.totals.recovery_points = seen;
        plan.totals.unreadable_recovery_points = unreadable;
        plan
    }))
}

/// Lists every recovery point of the vault.
async fn list(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    vault: &str,
    mut add: impl FnMut(Option<RecoveryPoint>),
) -> Result<(), Error> {
    let mut page: Option<String> = None;
    let mut seen = 0;
    loop {
        in_time(clock, vault, seen)?;
        let Page { listed, next } = ports.recovery_points().list(vault, page.as_deref()).await?;
        seen += listed.len();
        listed.into_iter().for_each(&mut add);
        page = next;
        if page.is_none() {
            return Ok(());
        }
    }
}

/// Reads the reports of the workload's earlier recoveries.
async fn earlier_recoveries(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    workload: &str,
) -> Result<EarlierRecoveries, Error> {
    let prefix = format!("reports/{workload}/");
    let mut keys = Vec::new();
    let mut page: Option<String> = None;
    loop {
        let Page { listed, next } = ports.objects().list(&prefix, page.as_deref()).await?;
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
                    "the function's time is used up after {} of {} reports",
                    number * REPORTS_AT_ONCE,
                    keys.len()
                ),
                "No action needed. The plan is retried automatically. If it fails again, set a longer timeout for the function.",
            )));
        }
        let texts = try_join_all(some.iter().map(|key| ports.objects().get(key))).await?;
        for (key, text) in some.iter().zip(texts) {
            let Some(text) = text else { continue };
            earlier.add(key, &text).map_err(|error| {
                Error::Permanent(
                    Fault::new(
                        "read report",
                        key,
                        format!("the object is not a report of a recovery: {error}"),
                        "Read the object in the recovery bucket. If it is not a report, move it out of reports/. Then plan again.",
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
        format!("the function's time is used up after {seen} recovery points"),
        "No action needed. The plan is retried automatically. If it fails again, set a longer timeout for the function, or distribute the recovery points over several vaults.",
    )))
}

/// The decided candidates.
struct Sorted<'a> {
    workload: &'a str,
    now: DateTime<Utc>,
    items: Vec<Item>,
    refusals: Vec<Refused>,
    /// The logical ids of volumes and instances that a stack created, by resource ARN.
    own_logical_ids: BTreeMap<String, String>,
    /// Candidates whose tags do not name a workload, with these tags.
    unidentified: Vec<(Candidate, Tags)>,
}

/// A resource whose workload is still unknown.
struct Unidentified {
    candidate: Candidate,
    tags: Tags,
    /// Recovery points whose tags are not read yet.
    points: Points,
    /// Why the tags of some could not be read.
    unread: Option<String>,
}

impl Sorted<'_> {
    fn add(&mut self, candidate: Candidate, tags: Tags, from: Option<TagsFrom>) {
        match judge(self.workload, self.now, &candidate, &tags, from) {
            Judged::OtherWorkload => {}
            Judged::Unidentified => self.unidentified.push((candidate, tags)),
            Judged::Item(item) => {
                if let Some(logical_id) = own_logical_id(&tags) {
                    let resource = item.resource_arn.clone();
                    self.own_logical_ids.insert(resource, logical_id.to_owned());
                }
                self.items.push(item);
            }
            Judged::Refused(refused) => self.refusals.push(refused),
        }
    }

    /// Adds candidates whose tags EC2 has.
    async fn add_snapshots(
        &mut self,
        ports: &impl PlanningPorts,
        batch: Vec<Candidate>,
    ) -> Result<(), Error> {
        let ids: Vec<&str> = batch
            .iter()
            .filter_map(|candidate| snapshot_id(&candidate.point.arn))
            .collect();
        let mut tags = ports.recovery_point_tags().list_planned(&ids).await?;
        for candidate in batch {
            let tags = snapshot_id(&candidate.point.arn).and_then(|id| tags.remove(id));
            self.add(candidate, tags.unwrap_or_default(), None);
        }
        Ok(())
    }

    /// Adds one candidate whose tags AWS Backup has. If its tags cannot be read, it is refused, and the others
    /// are not affected.
    async fn add_read_alone(
        &mut self,
        ports: &impl PlanningPorts,
        candidate: Candidate,
    ) -> Result<(), Error> {
        match ports.recovery_point_tags().list(&candidate.point.arn).await {
            Ok(tags) => self.add(candidate, tags, None),
            Err(Error::Permanent(fault)) => self.refuse_unread(&candidate, fault.to_string()),
            Err(later) => return Err(later),
        }
        Ok(())
    }

    fn refuse_unread(&mut self, candidate: &Candidate, why: String) {
        let refusal = ItemRefusal::TagsUnread { why };
        self.refusals.push(Refused::new(&candidate.point, &refusal));
    }

    /// Reads the tags of the other recovery points of each unidentified resource, the newest first, until one of
    /// them names a workload. Lists the vault a second time, so that the recovery points of the other resources
    /// are not kept in memory.
    async fn identify(
        &mut self,
        ports: &impl PlanningPorts,
        clock: &impl Clock,
        vault: &str,
    ) -> Result<(), Error> {
        let candidates = std::mem::take(&mut self.unidentified);
        if candidates.is_empty() {
            return Ok(());
        }
        let resources = candidates.iter().map(|(it, _)| it.point.resource.clone());
        let mut history = History::of(resources);
        list(ports, clock, vault, |point| {
            if let Some(point) = point {
                history.add(point);
            }
        })
        .await?;
        let mut open: Vec<Unidentified> = candidates
            .into_iter()
            .map(|(candidate, tags)| Unidentified {
                points: history.take(&candidate.point.resource),
                candidate,
                tags,
                unread: None,
            })
            .collect();
        while !open.is_empty() && clock.remaining() > RESERVE {
            open = self.ask_further_back(ports, open).await?;
        }
        for unidentified in open {
            let why = "the function's time was used up before the tags of all its recovery points were read";
            self.refuse_unread(&unidentified.candidate, why.to_owned());
        }
        Ok(())
    }

    /// Reads the tags of the next recovery points of these resources: one batch in total. Returns the resources
    /// that have more recovery points.
    async fn ask_further_back(
        &mut self,
        ports: &impl PlanningPorts,
        open: Vec<Unidentified>,
    ) -> Result<Vec<Unidentified>, Error> {
        let share = (SNAPSHOTS_AT_ONCE / open.len()).max(1);
        let asked: Vec<(Unidentified, Vec<_>)> = open
            .into_iter()
            .map(|mut one| {
                let next = one.points.next(share, &one.candidate.point.arn);
                (one, next)
            })
            .collect();
        let ids: Vec<&str> = asked
            .iter()
            .flat_map(|(_, points)| points)
            .filter_map(|(_, arn)| snapshot_id(arn))
            .collect();
        let mut snapshots = BTreeMap::new();
        for ids in ids.chunks(SNAPSHOTS_AT_ONCE) {
            snapshots.extend(ports.recovery_point_tags().list_planned(ids).await?);
        }
        let mut left = Vec::new();
        for (mut one, points) in asked {
            let mut found = None;
            for (created, arn) in points {
                let tags = match arn.tag_home() {
                    TagHome::Ec2(id) => snapshots.get(id).cloned().unwrap_or_default(),
                    TagHome::Backup | TagHome::Rds | TagHome::Fsx => {
                        match ports.recovery_point_tags().list(&arn).await {
                            Ok(tags) => tags,
                            Err(Error::Permanent(fault)) => {
                                one.unread = Some(fault.to_string());
                                continue;
                            }
                            Err(later) => return Err(later),
                        }
                    }
                    TagHome::Elsewhere => {
                        let kept =
                            "the tags of some of its recovery points are in their own service";
                        one.unread = Some(kept.to_owned());
                        continue;
                    }
                };
                if workload(&tags).is_some() {
                    found = Some((created, arn, tags));
                    break;
                }
            }
            if let Some((created, arn, tags)) = found {
                let from = TagsFrom {
                    recovery_point_arn: arn.to_string(),
                    created_at: created,
                };
                let tags = supplemented(&one.tags, &tags);
                self.add(one.candidate, tags, Some(from));
            } else if !one.points.is_empty() {
                left.push(one);
            } else if let Some(why) = one.unread {
                self.refuse_unread(&one.candidate, why);
            } else if one.points.more {
                let why = format!(
                    "its newest {POINTS_ASKED} recovery points do not name a workload, and older ones are not read"
                );
                self.refuse_unread(&one.candidate, why);
            }
        }
        Ok(left)
    }

    /// Refuses each item whose volume or instance the target's stack creates, if that stack exists already.
    async fn refuse_stack_resources(
        &mut self,
        ports: &impl PlanningPorts,
        clock: &impl Clock,
        request: &Request,
    ) -> Result<(), Error> {
        let mut asked = 0;
        for item in std::mem::take(&mut self.items) {
            let own = item
                .target
                .stack()
                .map(|stack| request.stack.as_deref().unwrap_or(stack))
                .zip(self.own_logical_ids.get(&item.resource_arn));
            let is_in_time = asked < TARGETS_CHECKED && clock.remaining() > RESERVE;
            let refusal = match (&item.target, own.filter(|_| is_in_time)) {
                (PlannedTarget::Volume(_), Some((stack, own))) => {
                    asked += 1;
                    let refusal = stack_volume(ports, stack, own).await?;
                    refusal.map(ItemRefusal::StackVolume)
                }
                (PlannedTarget::Instance(_), Some((stack, own))) => {
                    asked += 1;
                    let refusal = stack_instance(ports, Some(stack), Some(own.as_str())).await?;
                    refusal.map(ItemRefusal::StackInstance)
                }
                _ => None,
            };
            match refusal {
                None => self.items.push(item),
                Some(refusal) => self.refusals.push(Refused::of_item(&item, &refusal)),
            }
        }
        Ok(())
    }
}

/// The resource id for `ec2:DescribeTags`.
fn snapshot_id(arn: &RecoveryPointArn) -> Option<&str> {
    match arn.tag_home() {
        TagHome::Ec2(id) => Some(id),
        TagHome::Backup | TagHome::Rds | TagHome::Fsx | TagHome::Elsewhere => None,
    }
}

/// Sets the Availability Zone of each target that exists, or why it cannot be used.
async fn check_targets(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    plan: &mut Plan,
) -> Result<(), Error> {
    type Seen = (Option<String>, Option<String>);
    let mut checked: BTreeMap<(Option<String>, String), Seen> = BTreeMap::new();
    for item in plan.items_mut() {
        let Some(volume) = item.target.volume() else {
            continue;
        };
        let Ok(target) = volume.integration_target() else {
            continue;
        };
        let key = (volume.stack.clone(), volume.logical_id.clone());
        if !checked.contains_key(&key) {
            if checked.len() == TARGETS_CHECKED || clock.remaining() < RESERVE {
                continue;
            }
            let seen = match find_instance(ports, ServerReference::from(&target)).await {
                Ok(Target::Found(instance)) => (Some(instance.zone), None),
                Ok(Target::Refused(refusal)) => (None, Some(refusal.why(&EBS_VOLUME))),
                Ok(Target::Untagged) => (
                    None,
                    Some("CloudFormation's own tags do not name an instance".to_owned()),
                ),
                // It does not exist yet, as before a recovery. The restore waits for it.
                Ok(Target::NotYet(_)) | Err(Error::Retryable(_)) => (None, None),
                Err(permanent) => return Err(permanent),
            };
            checked.insert(key.clone(), seen);
        }
        if let Some((zone, problem)) = checked.get(&key) {
            if let Some(zone) = zone {
                item.metadata
                    .insert("availabilityZone".to_owned(), zone.clone());
            }
            item.problem.clone_from(problem);
        }
    }
    Ok(())
}

/// Why the plan is refused, if it is.
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

fn plan_key(workload: &str, hash: &str) -> String {
    format!("plans/{workload}/{hash}.json")
}

/// The object key of a wave's items: a JSON array for a Distributed Map.
fn wave_key(plan: &Plan, wave: u8) -> String {
    format!("plans/{}/{}/wave-{wave}.json", plan.workload, plan.hash)
}

fn text_of(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        Error::Permanent(
            Fault::new(
                "write plan",
                "plan",
                "the plan could not be converted to JSON",
                "Report this as a defect of Rapid Recovery.",
            )
            .with_source(error),
        )
    })
}

/// Stores the waves, and then the plan: a stored plan always has its waves.
async fn store(ports: &impl PlanningPorts, plan: &Plan, body: String) -> Result<String, Error> {
    for wave in &plan.waves {
        ports
            .objects()
            .put(&wave_key(plan, wave.wave), text_of(&wave.items)?)
            .await?;
    }
    let key = plan_key(&plan.workload, &plan.hash);
    ports.objects().put(&key, body).await?;
    Ok(key)
}

/// The differences from the plan with the hash `expected`, if that is still stored.
async fn changes_since(
    ports: &impl PlanningPorts,
    expected: &str,
    plan: &Plan,
) -> Result<Option<Value>, Error> {
    let before = ports
        .objects()
        .get(&plan_key(&plan.workload, expected))
        .await?;
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

/// What an operator should know about single items.
fn notes(plan: &Plan) -> Value {
    plan.items()
        .filter_map(Item::note)
        .take(NOTES_NAMED)
        .collect()
}

/// The waves, with the object keys of their items.
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
