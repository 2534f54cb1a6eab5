//! The recovery plan: items in waves, refusals, totals and the hash.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::plan::devices;
use crate::plan::digest::digest;
use crate::plan::item::{Item, Refused};
use crate::plan::name_claims;
use crate::plan::refusal::{ItemRefusal, PlanRefusal};
use crate::plan::request::{Mode, Request};

/// The version of the plan's format. A plan of another version is not read.
pub const VERSION: u32 = 2;

/// A recovery plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// SHA-256 of the planned restores, in hexadecimal. It does not include ages, sizes, zones, refusals and
    /// the time of planning.
    pub hash: String,
    pub workload: String,
    pub mode: Mode,
    /// No recovery point is later than this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restore_to: Option<DateTime<Utc>>,
    pub planned_at: DateTime<Utc>,
    /// The backup vault whose recovery points were listed.
    pub vault: String,
    /// The stacks that the plan needs, by name. Plans of earlier versions have none.
    #[serde(default)]
    pub stacks: Vec<Stack>,
    /// The restores, in the order of the waves.
    pub waves: Vec<Wave>,
    /// Resources that belong, or may belong, to the workload and are not restored.
    pub refusals: Vec<Refused>,
    pub totals: Totals,
}

/// A stack that targets belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stack {
    /// Its name in this Region: according to the tags, or to the drill.
    pub stack: String,
    /// The stack that the tags name. Its template is deployed.
    pub template: String,
}

/// Restores that run in parallel, after those of all lower waves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// The value of `recovery:wave`, 0 to 9.
    pub wave: u8,
    /// Ordered by the ARNs of their resources.
    pub items: Vec<Item>,
}

/// Counts and sums of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    pub items: usize,
    pub refusals: usize,
    /// The listed recovery points, of all workloads.
    pub recovery_points: usize,
    /// Recovery points without an ARN, a resource or a date.
    pub unreadable_recovery_points: usize,
    /// Sum of the known sizes.
    pub size_bytes: u64,
    /// Sum of the volumes' sizes in GiB.
    #[serde(rename = "volumeGiB")]
    pub volume_gib: u64,
    /// The age of the plan's oldest recovery point, in seconds: the RPO that the plan can achieve.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest_age_seconds: Option<i64>,
}

impl Plan {
    /// The plan with these items and refusals, ordered and hashed. Of items that claim the same
    /// device, all are refused, or all but the one that replaced them.
    ///
    /// # Errors
    /// A [`PlanRefusal`] if the stack of a drill cannot replace the stacks that the tags name.
    pub fn of(
        request: &Request,
        vault: &str,
        now: DateTime<Utc>,
        items: Vec<Item>,
        mut refusals: Vec<Refused>,
    ) -> Result<Plan, PlanRefusal> {
        let (items, conflicting) = devices::refuse_conflicts(items);
        refusals.extend(conflicting);
        let (mut items, conflicting) = name_claims::refuse_conflicts(items);
        refusals.extend(conflicting);
        if request.mode == Mode::Drill {
            let (inside, outside) = items
                .into_iter()
                .partition(|item| item.target.outside_stack().next().is_none());
            items = inside;
            refusals.extend(outside.iter().map(outside_of_drill));
        }
        let named: BTreeSet<String> = items
            .iter()
            .filter_map(|item| item.target.stack().map(str::to_owned))
            .collect();
        if let Some(stack) = &request.stack {
            retarget(stack, &named, &mut items)?;
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

/// The refusal of an item that names infrastructure outside the stack of the drill.
fn outside_of_drill(item: &Item) -> Refused {
    let references = item.target.outside_stack().map(str::to_owned).collect();
    Refused::of_item(item, &ItemRefusal::OutsideOfDrill { references })
}

/// Replaces the stack that the tags name with that of the drill. `named` are the stacks of all items.
fn retarget(stack: &str, named: &BTreeSet<String>, items: &mut [Item]) -> Result<(), PlanRefusal> {
    if named.contains(stack) {
        return Err(PlanRefusal::DrillTarget {
            stack: stack.to_owned(),
        });
    }
    if named.len() > 1 {
        return Err(PlanRefusal::SeveralStacks {
            stacks: named.iter().cloned().collect(),
        });
    }
    for item in items {
        item.target.move_to(stack);
    }
    Ok(())
}

/// The hash of the planned restores. It is unambiguous: each part is terminated, and
/// [`hashed`](crate::plan::item::Target::hashed) says how many parts a target has.
fn hash(workload: &str, mode: Mode, items: &[Item]) -> String {
    let mut parts = vec![
        VERSION.to_string(),
        workload.to_owned(),
        mode.as_str().to_owned(),
    ];
    for item in items {
        parts.extend([
            item.resource_arn.clone(),
            item.recovery_point_arn.clone(),
            item.resource_type.clone(),
            item.wave.to_string(),
        ]);
        parts.extend(item.target.hashed());
        // The first part of an item is an ARN, so this part cannot begin another item.
        if let Some(from) = &item.tags_from {
            parts.extend(["tags from".to_owned(), from.recovery_point_arn.clone()]);
        }
    }
    digest(parts.iter().map(String::as_str))
}
