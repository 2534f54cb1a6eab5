//! Invokes the functions that integrate databases, tables, file systems, buckets and instances, for every recent restore that is not
//! integrated: for example because its event was lost, or because it waits for something.
//!
//! The OpsItem of the job says whether it is integrated. A restore whose item is resolved, or records that it
//! is integrated or cannot be, costs no call, unless the item records settings that RDS accepts later, or a mount that
//! continues. If the plan of a recovery took the tags from another recovery
//! point, the item names it, and so does the payload.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::aws::backup::{Restore, RestoreJob};
use crate::error::Error;
use crate::integrate::backoff::RESERVE;
use crate::integrate::bucket::kind::{PARTIAL, S3_BUCKET};
use crate::integrate::database::kind::{DATABASE, has_deferred_settings};
use crate::integrate::file_system::kind::FILE_SYSTEM;
use crate::integrate::instance::kind::INSTANCE;
use crate::integrate::kind::ResourceKind;
use crate::integrate::mount::is_unfinished;
use crate::integrate::record::{TAGS_FROM, UNTAGGED, was_told};
use crate::integrate::skip::{Ownership, skip_reason};
use crate::integrate::table::kind::DYNAMODB_TABLE;
use crate::ops_item::restore_key;
use crate::ops_item::{INTEGRATION, says};
use crate::ops_item::{KEY, OpsItem, RESTORE};
use crate::ports::{Clock, Functions, OpsItems, ReconciliationPorts};

/// The functions that integrate databases, tables, file systems, buckets and instances, by name or ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrators {
    pub database: String,
    pub table: String,
    pub file_system: String,
    pub bucket: String,
    pub instance: String,
}

impl Integrators {
    /// The kind of the job's resource, and the function that integrates it.
    fn of(&self, job: &RestoreJob) -> Option<(&'static ResourceKind, &str)> {
        let name = job.resource_type.as_deref()?;
        [
            (&DATABASE, self.database.as_str()),
            (&DYNAMODB_TABLE, self.table.as_str()),
            (&FILE_SYSTEM, self.file_system.as_str()),
            (&S3_BUCKET, self.bucket.as_str()),
            (&INSTANCE, self.instance.as_str()),
        ]
        .into_iter()
        .find(|(kind, _)| kind.resource_types.contains(&name))
    }
}

/// Whether the item records that the recovery point has no tags of ours, and nothing since then.
fn is_untagged(item: &OpsItem) -> bool {
    item.data.contains_key(UNTAGGED) && !item.data.contains_key(INTEGRATION)
}

/// Invokes the integrator of each of these jobs that is not integrated. `jobs` completed in the lookback window,
/// and were created after `since`; `open` are the open OpsItems of restores, by key. Returns how many were
/// invoked.
///
/// # Errors
/// Those of the listing, and the last one of the invocations: the others are made nevertheless.
pub(super) async fn invoke_integrators(
    ports: &impl ReconciliationPorts,
    clock: &impl Clock,
    ownership: &Ownership,
    integrators: &Integrators,
    jobs: Vec<RestoreJob>,
    open: &BTreeMap<String, OpsItem>,
    since: DateTime<Utc>,
) -> Result<usize, Error> {
    let restores: Vec<Restore> = jobs
        .into_iter()
        .map(Restore::from)
        .filter(|restore| {
            let kind = integrators.of(&restore.job).map(|(kind, _)| kind);
            kind.is_some_and(|kind| skip_reason(ownership, kind, restore).is_none())
        })
        .collect();
    if restores.is_empty() {
        return Ok(0);
    }
    let resolved = ports.ops_items().list_resolved(RESTORE, since).await?;
    let key = |item: &OpsItem| item.data.get(KEY).cloned();
    let resolved: BTreeSet<String> = resolved.iter().filter_map(key).collect();
    let mut invoked = 0;
    let mut failed = None;
    for Restore { job, .. } in restores {
        let Some((kind, function)) = integrators.of(&job) else {
            continue;
        };
        let own = restore_key(&job.id);
        let item = open.get(own.as_str());
        let tags_from = item.and_then(|item| item.data.get(TAGS_FROM));
        let is_done = match item {
            Some(item) => {
                says(item, INTEGRATION, kind.integrated)
                    && !has_deferred_settings(item)
                    && !is_unfinished(item)
                    || says(item, INTEGRATION, PARTIAL) && was_told(item)
                    || is_untagged(item) && tags_from.is_none()
            }
            None => resolved.contains(own.as_str()),
        };
        if is_done || clock.remaining() < RESERVE {
            continue;
        }
        let mut payload = serde_json::json!({"restoreJobId": job.id.as_str()});
        if let Some(from) = tags_from {
            payload["tagsFrom"] = from.as_str().into();
        }
        match ports.functions().invoke(function, &payload).await {
            Ok(()) => invoked += 1,
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        None => Ok(invoked),
        Some(error) => Err(error),
    }
}
