//! What earlier recoveries restored, according to their reports.
//!
//! After the primary Region returns, its backup plan backs up the old volumes again. Their copies are newer than
//! what was restored, but the workload runs, and writes, in the recovery Region. Therefore a recovery point that
//! was created after a recovery of its resource is refused, until an operator records that the workload runs in
//! the primary Region again.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::plan::item::{Item, Refused};
use crate::plan::refusal::ItemRefusal;
use crate::plan::request::Mode;

/// When a resource was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Restored {
    /// The start of the recovery.
    at: DateTime<Utc>,
    /// The name of its execution.
    execution: String,
}

/// The newest recovery of each resource, and since when the workload runs in the primary Region again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EarlierRecoveries {
    restored: BTreeMap<String, Restored>,
    primary_since: Option<DateTime<Utc>>,
}

/// The part of a report that is used here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    mode: Mode,
    execution: ReportedExecution,
    items: Vec<ReportedItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReportedExecution {
    name: String,
    started_at: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReportedItem {
    resource_arn: String,
    integrated: bool,
}

/// What an operator records after a fail back.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailedBack {
    primary_since: DateTime<Utc>,
}

impl EarlierRecoveries {
    /// Adds the object `text`, which is stored under `key` among the reports. A drill does not count, because it
    /// restores into a separate stack.
    ///
    /// # Errors
    /// If it is neither a report nor the record of a fail back.
    pub fn add(&mut self, key: &str, text: &str) -> Result<(), serde_json::Error> {
        if key.ends_with(PRIMARY_SINCE) {
            let FailedBack { primary_since } = serde_json::from_str(text)?;
            self.runs_in_the_primary_region_since(primary_since);
            return Ok(());
        }
        let Reported {
            mode,
            execution,
            items,
        } = serde_json::from_str(text)?;
        if mode == Mode::Drill {
            return Ok(());
        }
        for item in items.into_iter().filter(|item| item.integrated) {
            let restored = Restored {
                at: execution.started_at,
                execution: execution.name.clone(),
            };
            let newest = self
                .restored
                .entry(item.resource_arn)
                .or_insert_with(|| restored.clone());
            if newest.at < restored.at {
                *newest = restored;
            }
        }
        Ok(())
    }

    /// The workload runs in the primary Region again since then.
    pub fn runs_in_the_primary_region_since(&mut self, since: DateTime<Utc>) {
        self.primary_since = self.primary_since.max(Some(since));
    }

    /// Divides the items into those that may be restored and those that are refused, because the
    /// recovery point was created after a recovery of its resource.
    pub fn judge(&self, items: Vec<Item>) -> (Vec<Item>, Vec<Refused>) {
        let mut kept = Vec::new();
        let mut refused = Vec::new();
        for item in items {
            match self.refusal(&item) {
                None => kept.push(item),
                Some(refusal) => refused.push(Refused::of_item(&item, &refusal)),
            }
        }
        (kept, refused)
    }

    fn refusal(&self, item: &Item) -> Option<ItemRefusal> {
        let restored = self.restored.get(&item.resource_arn)?;
        let of_the_primary_region = self
            .primary_since
            .is_some_and(|since| since >= restored.at && item.created_at >= since);
        (item.created_at > restored.at && !of_the_primary_region).then(|| {
            ItemRefusal::NewerThanRecovery {
                restored_at: restored.at,
                execution: restored.execution.clone(),
            }
        })
    }
}

/// The last part of the key of the record of a fail back, beside the reports of the workload.
pub const PRIMARY_SINCE: &str = "/primary-since.json";
