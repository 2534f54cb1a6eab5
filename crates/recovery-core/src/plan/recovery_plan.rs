//! The recovery plan: items in waves, refusals, totals and the hash.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::devices;
use crate::plan::item::{Item, Refused};
use crate::plan::refusal::PlanRefusal;
use crate::plan::request::{Mode, Request};

/// The version of the plan's form. A plan of another version is not read.
pub const VERSION: u32 = 1;

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

impl Plan {
    /// The plan with these items and refusals, ordered and hashed. Of items that claim the same
    /// device, all are refused, or all but the one that replaced them.
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
        let (mut items, conflicting) = devices::refuse_conflicts(items);
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
