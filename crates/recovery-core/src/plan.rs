//! The plan of a recovery: for each protected resource of a workload the newest usable recovery
//! point, in which order they are restored, and for which target.
//!
//! Pure: facts in, a [`Plan`] out. The code that collects the facts is in
//! [`planning`](crate::plan::run). In the order of its making: [`request`] (what is asked for),
//! [`candidates`] (one recovery point for each resource), [`history`] (the others, of a resource whose
//! candidate has no usable tags), [`judge`] (does it belong to the workload, can it be restored),
//! [`earlier`] (is it older than the last recovery of its resource), [`Plan::of`] (claims of one
//! device, order, totals and hash), [`changes`] (what differs from an earlier plan).

pub mod candidates;
pub mod changes;
mod devices;
pub mod earlier;
pub mod ebs;
pub mod history;
pub mod refusal;
pub mod request;
pub mod resource_type;
pub mod run;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::aws::arn::{Arn, RecoveryPointArn};
use crate::integrate::volume::DeviceName;
use crate::tags::{self, IntegrationTarget, Tags, integration_target};
use crate::text::shown;

use self::candidates::Candidate;
use self::refusal::{ItemRefusal, PlanRefusal};
use self::request::{Mode, Request};
use self::resource_type::Support;

/// The version of the plan's form. A plan of another version is not read.
pub const VERSION: u32 = 1;

/// A recovery point, as `backup:ListRecoveryPointsByBackupVault` tells it.
///
/// See <https://docs.aws.amazon.com/aws-backup/latest/devguide/API_RecoveryPointByBackupVault.html>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryPoint {
    /// Its ARN.
    pub arn: RecoveryPointArn,
    /// What was backed up, in the primary Region.
    pub resource: Arn,
    /// `EBS`, `RDS`, …; empty where AWS Backup does not say.
    pub resource_type: String,
    /// `COMPLETED`, `AVAILABLE`, `PARTIAL`, `EXPIRED`, …
    pub status: String,
    /// When the backup was made. A copy keeps the moment of its source.
    pub created: DateTime<Utc>,
    /// Its size in bytes. For a volume, the size of the volume.
    pub size_bytes: Option<u64>,
    /// Whether it is the parent of a composite recovery point (a whole stack).
    pub is_parent: bool,
    /// Whether it is a part of a composite recovery point.
    pub is_child: bool,
    /// Whether a scan found malware in it.
    pub threats_found: bool,
    /// When its lifecycle moves it, or moved it, to cold storage.
    pub cold_from: Option<DateTime<Utc>>,
    /// Whether its lifecycle holds for types that are archived only where the owner asked for that.
    pub archives: bool,
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// SHA-256 of what is to be done, in hexadecimal. Ages, sizes, zones, refusals and the time of
    /// planning do not count.
    pub hash: String,
    /// The workload.
    pub workload: String,
    /// A recovery or a drill.
    pub mode: Mode,
    /// The moment asked for: no recovery point is later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_to: Option<DateTime<Utc>>,
    /// When the plan was made.
    pub planned_at: DateTime<Utc>,
    /// The backup vault that was looked into.
    pub vault: String,
    /// The stacks that have to stand for it, by name. A plan of before they were noted has none.
    #[serde(default)]
    pub stacks: Vec<Stack>,
    /// What is restored, in the order of the waves.
    pub waves: Vec<Wave>,
    /// What belongs, or may belong, to the workload and is not restored, and why.
    pub refusals: Vec<Refused>,
    /// Counts and sums.
    pub totals: Totals,
}

/// A stack that targets belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stack {
    /// Its name, in this Region: that of the tags, or the drill's.
    pub stack: String,
    /// The stack that the tags name, whose template it is made of.
    pub template: String,
}

/// Restores that begin together, when those of all lower waves are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// The value of `recovery:wave`, 0 to 9.
    pub wave: u8,
    /// In the order of their resources' ARNs.
    pub items: Vec<Item>,
}

/// One restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The protected resource, in the primary Region.
    pub resource_arn: String,
    /// The recovery point to restore.
    pub recovery_point_arn: String,
    /// `EBS`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// When the recovery point was made.
    pub created_at: DateTime<Utc>,
    /// Seconds from then to the planning: the data that is lost.
    pub age_seconds: i64,
    /// 0 to 9, lower first.
    pub wave: u8,
    /// Where the restored resource belongs.
    pub target: Target,
    /// What is known already of the metadata for `StartRestoreJob`; the rest is looked up when the
    /// restore starts.
    pub metadata: BTreeMap<String, String>,
    /// Size of the recovery point in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size_bytes: Option<u64>,
    /// What the restore will take.
    pub predictions: Predictions,
    /// The recovery point that identifies the resource, where the one to restore has no usable tags.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tags_from: Option<TagsFrom>,
}

/// Another recovery point of the same resource, whose tags stand in for those that are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagsFrom {
    /// Its ARN.
    pub recovery_point_arn: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Where a restored resource belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The stack, in this Region: that of the tags, or the drill's.
    pub stack: String,
    /// Logical id of an instance or an Auto Scaling group in it.
    pub logical_id: String,
    /// The device name the owner wants.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// Where the guest is to mount it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mount: Option<String>,
    /// Optional tags whose values cannot be used, and what is left for a person because of them. Their
    /// defaults apply.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unusable_tags: Vec<String>,
    /// Whether stack and logical id are only CloudFormation's own tags.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub assumed: bool,
    /// Device names on the target that other volumes of the workload claim.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub reserved: Vec<String>,
    /// What stood against the target when the plan was made. It is looked at again at the restore.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

/// What a restore will take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predictions {
    /// Size of the volume in GiB, which counts against the Region's quota for volume storage.
    #[serde(rename = "volumeGiB", skip_serializing_if = "Option::is_none", default)]
    pub volume_gib: Option<u64>,
}

/// A resource that the plan does not restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The protected resource, in the primary Region.
    pub resource_arn: String,
    /// The recovery point that was considered last.
    pub recovery_point_arn: String,
    /// The resource type, for example EBS or RDS.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// When that recovery point was created.
    pub created_at: DateTime<Utc>,
    /// The reason code, in kebab case.
    pub reason: String,
    /// What was found.
    pub why: String,
    /// What fixes it.
    pub remedy: String,
}

/// Counts and sums of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Restores.
    pub items: usize,
    /// Resources that are not restored.
    pub refusals: usize,
    /// Recovery points looked at, of all workloads.
    pub recovery_points: usize,
    /// Recovery points of which AWS Backup names no ARN, no resource or no date.
    pub unreadable_recovery_points: usize,
    /// Sum of the sizes that are known.
    pub size_bytes: u64,
    /// Sum of the volumes' sizes in GiB.
    #[serde(rename = "volumeGiB")]
    pub volume_gib: u64,
    /// Seconds since the oldest recovery point of the plan: the greatest loss of data.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest_age_seconds: Option<i64>,
}

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It belongs to another workload.
    NotOurs,
    /// Its tags name no workload: another recovery point of the same resource may.
    Unidentified,
    /// It is restored.
    Item(Item),
    /// It is ours, or may be, and is not restored.
    Refused(Refused),
}

/// Decides on the candidate of one resource. `tags` are those of its recovery point, with what it
/// lacks taken from `tags_from`.
pub fn judge(
    workload: &str,
    now: DateTime<Utc>,
    candidate: &Candidate,
    tags: &Tags,
    tags_from: Option<TagsFrom>,
) -> Judged {
    let point = &candidate.point;
    let refused = |refusal: ItemRefusal| Judged::Refused(Refused::new(point, &refusal));
    match tags::workload(tags) {
        None => return Judged::Unidentified,
        Some(named) if named != workload => return Judged::NotOurs,
        Some(_) => {}
    }
    let rules = resource_type::rules(&point.resource_type);
    if let Support::NotYet(why) = rules.support {
        return refused(ItemRefusal::TypeNotRestored {
            resource_type: point.resource_type.clone(),
            why,
        });
    }
    if let Some(unusable) = &candidate.unusable {
        return refused(ItemRefusal::NoUsablePoint(unusable.clone()));
    }
    let (wave, unusable_wave) = match tags::wave(tags) {
        Ok(wave) => (wave, None),
        Err(unusable) => (0, Some(unusable)),
    };
    let target = match integration_target(tags) {
        Ok(Some(target)) => target,
        Ok(None) => return refused(ItemRefusal::Untagged),
        Err(refusal) => return refused(ItemRefusal::Tags(refusal)),
    };
    Judged::Item(Item {
        resource_arn: point.resource.to_string(),
        recovery_point_arn: point.arn.to_string(),
        resource_type: point.resource_type.clone(),
        created_at: point.created,
        age_seconds: (now - point.created).num_seconds(),
        wave,
        target: Target {
            stack: target.stack,
            logical_id: target.logical_id,
            device: target.device.map(|device| device.as_str().to_owned()),
            mount: target.mount,
            unusable_tags: unusable_wave
                .into_iter()
                .chain(target.unusable_tags)
                .map(|unusable| format!("{unusable}. {}", unusable.remedy()))
                .collect(),
            assumed: target.assumed,
            reserved: Vec::new(),
            problem: None,
        },
        metadata: BTreeMap::new(),
        size_bytes: point.size_bytes,
        predictions: Predictions {
            volume_gib: point.size_bytes.map(|bytes| bytes.div_ceil(1 << 30)),
        },
        tags_from,
    })
}

impl Refused {
    /// The resource of `point`, refused so.
    pub fn new(point: &RecoveryPoint, refusal: &ItemRefusal) -> Refused {
        Refused {
            resource_arn: point.resource.to_string(),
            recovery_point_arn: point.arn.to_string(),
            resource_type: point.resource_type.clone(),
            created_at: point.created,
            reason: refusal.reason().to_owned(),
            why: refusal.to_string(),
            remedy: refusal.remedy(),
        }
    }

    /// The resource of `item`, refused so.
    pub fn of_item(item: &Item, refusal: &ItemRefusal) -> Refused {
        Refused {
            resource_arn: item.resource_arn.clone(),
            recovery_point_arn: item.recovery_point_arn.clone(),
            resource_type: item.resource_type.clone(),
            created_at: item.created_at,
            reason: refusal.reason().to_owned(),
            why: refusal.to_string(),
            remedy: refusal.remedy(),
        }
    }

    /// Whether nobody knows that the resource belongs to the workload.
    pub fn may_be_elsewhere(&self) -> bool {
        [ItemRefusal::TAGS_ELSEWHERE, ItemRefusal::TAGS_UNREAD].contains(&self.reason.as_str())
    }
}

impl Item {
    /// What an operator should know of the item, if anything.
    pub fn note(&self) -> Option<String> {
        let from = self.tags_from.as_ref()?;
        Some(format!(
            "Recovery point {} of {} has no usable tags. It is restored, with the tags of recovery point {} of {}.",
            shown(&self.recovery_point_arn),
            shown(&self.resource_arn),
            shown(&from.recovery_point_arn),
            from.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        ))
    }
}

impl Target {
    /// The target as the integration looks for it.
    ///
    /// # Errors
    /// What is wrong with it, where it did not come from a plan.
    pub fn integration_target(&self) -> Result<IntegrationTarget, String> {
        if !tags::is_stack_name(&self.stack) {
            return Err(format!("{} is no name of a stack", shown(&self.stack)));
        }
        if !tags::is_logical_id(&self.logical_id) {
            return Err(format!("{} is no logical id", shown(&self.logical_id)));
        }
        let device = match &self.device {
            None => None,
            Some(device) => Some(
                DeviceName::parse(device)
                    .ok_or_else(|| format!("{} is no device name", shown(device)))?,
            ),
        };
        Ok(IntegrationTarget {
            stack: self.stack.clone(),
            logical_id: self.logical_id.clone(),
            device,
            mount: self.mount.clone(),
            unusable_tags: Vec::new(),
            assumed: self.assumed,
        })
    }
}

impl Plan {
    /// The plan with these items and refusals, ordered and hashed. Items that claim the same device
    /// are refused.
    ///
    /// # Errors
    /// A [`PlanRefusal`] for a drill whose stack cannot stand for what the tags name.
    pub fn of(
        request: &Request,
        vault: &str,
        now: DateTime<Utc>,
        items: Vec<Item>,
        mut refusals: Vec<Refused>,
    ) -> Result<Plan, PlanRefusal> {
        let (mut items, conflicting) = devices::settle(items);
        refusals.extend(conflicting);
        // By name: no two of them have the same.
        let named: BTreeSet<String> = items.iter().map(|item| item.target.stack.clone()).collect();
        if let Some(stack) = &request.stack {
            retarget(stack, &mut items)?;
        }
        let stacks = named
            .into_iter()
            .map(|template| Stack {
                stack: request.stack.clone().unwrap_or_else(|| template.clone()),
                template,
            })
            .collect();
        items.sort_by(|a, b| (a.wave, &a.resource_arn).cmp(&(b.wave, &b.resource_arn)));
        refusals.sort_by(|a, b| a.resource_arn.cmp(&b.resource_arn));
        let totals = Totals {
            items: items.len(),
            refusals: refusals.len(),
            size_bytes: items.iter().filter_map(|item| item.size_bytes).sum(),
            volume_gib: items
                .iter()
                .filter_map(|item| item.predictions.volume_gib)
                .sum(),
            oldest_age_seconds: items.iter().map(|item| item.age_seconds).max(),
            ..Totals::default()
        };
        let hash = hash(&request.workload, request.mode, &items);
        let mut waves: Vec<Wave> = Vec::new();
        for item in items {
            match waves.last_mut().filter(|last| last.wave == item.wave) {
                Some(last) => last.items.push(item),
                None => waves.push(Wave {
                    wave: item.wave,
                    items: vec![item],
                }),
            }
        }
        Ok(Plan {
            version: VERSION,
            hash,
            workload: request.workload.clone(),
            mode: request.mode,
            restore_to: request.restore_to,
            planned_at: now,
            vault: vault.to_owned(),
            stacks,
            waves,
            refusals,
            totals,
        })
    }

    /// All items, in order.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.waves.iter().flat_map(|wave| &wave.items)
    }

    /// All items, in order.
    pub fn items_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        self.waves.iter_mut().flat_map(|wave| &mut wave.items)
    }
}

/// Puts the drill's stack in the place of the one that the tags name.
fn retarget(stack: &str, items: &mut [Item]) -> Result<(), PlanRefusal> {
    let named: BTreeSet<&str> = items
        .iter()
        .map(|item| item.target.stack.as_str())
        .collect();
    if named.contains(stack) {
        return Err(PlanRefusal::DrillTarget {
            stack: stack.to_owned(),
        });
    }
    if named.len() > 1 {
        return Err(PlanRefusal::SeveralStacks {
            stacks: named.into_iter().map(str::to_owned).collect(),
        });
    }
    for item in items {
        item.target.stack = stack.to_owned();
    }
    Ok(())
}

/// The hash of what is to be done. No part can be read as another: parts are ended, and what is
/// absent is empty, as no device name and no path is.
fn hash(workload: &str, mode: Mode, items: &[Item]) -> String {
    let version = VERSION.to_string();
    let waves: Vec<String> = items.iter().map(|item| item.wave.to_string()).collect();
    let mut parts = vec![version.as_str(), workload, mode.as_str()];
    for (item, wave) in items.iter().zip(&waves) {
        let target = &item.target;
        parts.extend([
            item.resource_arn.as_str(),
            &item.recovery_point_arn,
            &item.resource_type,
            wave,
            &target.stack,
            &target.logical_id,
            if target.assumed { "assumed" } else { "" },
            target.device.as_deref().unwrap_or_default(),
            target.mount.as_deref().unwrap_or_default(),
        ]);
        // The first part of an item is an ARN, so this is not read as another item.
        if let Some(from) = &item.tags_from {
            parts.extend(["tags from", &from.recovery_point_arn]);
        }
    }
    digest(parts)
}

/// SHA-256 of `parts`, each ended by a byte that no text has, in hexadecimal.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0xff]);
    }
    let digest = digest.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
