//! Keeps the OpsItem of a restore job up to date during its integration, and notifies operators.

use futures_util::future::join;

use crate::aws::arn::OpsItemId;
use crate::aws::backup::Restore;
use crate::error::{Error, Fault};
use crate::integrate::kind::ResourceKind;
use crate::integrate::record::{Hindrance, TAGS_FROM, UNTAGGED, left_to_do, new_item};
use crate::integrate::refusal::Refusal;
use crate::ops_item::run::{find_or_create, notify_and_record, resolve_duplicate};
use crate::ops_item::says;
use crate::ops_item::{Claim, OpsItem, OpsItemChange, Status, item_named, unless_at_quota};
use crate::outcome::Outcome;
use crate::ports::{Notifications, OpsItems, TrackingPorts};

/// Records `value` under `key` in the job's item, unless the item has it. If OpsCenter's quota prevents a
/// new item, nothing is recorded.
///
/// # Errors
/// Those of the port.
pub(crate) async fn record_data(
    items: &impl OpsItems,
    restore: &Restore,
    key: &'static str,
    value: &str,
) -> Result<(), Error> {
    let Some(item) = unless_at_quota(find_or_create(items, &new_item(restore)).await)? else {
        return Ok(());
    };
    record_in(items, &item, key, value).await
}

/// Records in the job's item that its recovery point has no tags of ours, unless the item records that the
/// resource is integrated, or another recovery point with its tags.
///
/// # Errors
/// Those of the port.
pub(crate) async fn record_untagged(
    items: &impl OpsItems,
    kind: &ResourceKind,
    restore: &Restore,
) -> Result<(), Error> {
    let Some(item) = unless_at_quota(find_or_create(items, &new_item(restore)).await)? else {
        return Ok(());
    };
    if says(&item, kind.state_key, kind.integrated) || item.data.contains_key(TAGS_FROM) {
        return Ok(());
    }
    record_in(items, &item, UNTAGGED, "true").await
}

/// Records `value` under `key` in the item, unless the item has it.
///
/// # Errors
/// Those of the port.
pub(crate) async fn record_in(
    items: &impl OpsItems,
    item: &OpsItem,
    key: &'static str,
    value: &str,
) -> Result<(), Error> {
    if says(item, key, value) {
        return Ok(());
    }
    let change = OpsItemChange {
        data: [(key, value.to_owned())].into(),
        ..OpsItemChange::default()
    };
    items.update(&item.id, &change).await
}

/// Opens the job's item and records that the integration is not done, before the resource is integrated.
/// False if the item records that it is done, and `is_same` says that this was with the same resource: then
/// a person has disconnected it, or AWS does not show it yet. If OpsCenter's quota prevents a new item, the
/// integration continues without one.
///
/// # Errors
/// Those of the port.
pub(crate) async fn open_item(
    items: &impl OpsItems,
    kind: &ResourceKind,
    restore: &Restore,
    is_same: impl Fn(&OpsItem) -> bool,
) -> Result<bool, Error> {
    let Some(item) = unless_at_quota(find_or_create(items, &new_item(restore)).await)? else {
        return Ok(true);
    };
    let integrated = says(&item, kind.state_key, kind.integrated);
    if integrated && is_same(&item) {
        return Ok(false);
    }
    if integrated || item.status == Status::Resolved {
        let change = OpsItemChange {
            status: (item.status == Status::Resolved).then_some(Status::Open),
            data: [(kind.state_key, kind.integrating.to_owned())].into(),
            ..OpsItemChange::default()
        };
        items.update(&item.id, &change).await?;
    }
    Ok(true)
}

/// Resolves the item that this run created by `claim`, if the job has an earlier one. Until then, the
/// listing may show only one of the two.
///
/// # Errors
/// Those of the port.
pub(crate) async fn resolve_claim(
    items: &impl OpsItems,
    restore: &Restore,
    claim: Option<&Result<Claim, Error>>,
) -> Result<(), Error> {
    if let Some(Ok(Claim::Created(id))) = claim {
        let new = new_item(restore);
        resolve_duplicate(items, &new, id.clone(), |_| true, |_, _| true).await?;
    }
    Ok(())
}

/// Records a result in the job's item, and returns the id of the item. `claim` is the answer of OpsCenter
/// if an item was claimed while the resource was integrated. `is_recorded` says whether an item records
/// the result already; `change` records it, with what an item that was found contains. `None` if
/// OpsCenter's quota prevents a new item; operators are then notified if something is left to do.
///
/// # Errors
/// Those of the ports.
pub(crate) async fn record_result(
    ports: &impl TrackingPorts,
    restore: &Restore,
    by_this_run: bool,
    claim: Option<Result<Claim, Error>>,
    is_recorded: impl Fn(&OpsItem) -> bool,
    change: impl Fn(Option<&OpsItem>) -> OpsItemChange,
) -> Result<Option<OpsItemId>, Error> {
    let new = new_item(restore);
    match claim {
        // A resource that was not integrated most likely has an open item that does not say that it is.
        Some(Ok(Claim::Existing(id))) if by_this_run => {
            ports.ops_items().update(&id, &change(None)).await?;
            Ok(Some(id))
        }
        // An earlier item may have been resolved, by another run that recorded the result first, or by a
        // person after a refusal. In most cases there is none.
        Some(Ok(Claim::Created(id))) if by_this_run => {
            let change = change(None);
            let (written, found) = join(
                ports.ops_items().update(&id, &change),
                ports.ops_items().list(&new.key),
            )
            .await;
            written?;
            if found?.iter().all(|item| item.id == id) {
                return Ok(Some(id));
            }
            let first =
                resolve_duplicate(ports.ops_items(), &new, id, |_| true, |_, _| true).await?;
            ports.ops_items().update(&first.id, &change).await?;
            Ok(Some(first.id))
        }
        // Another run integrated it, and may have recorded that and resolved the item. Or the claim failed,
        // perhaps after it created an item.
        _ => {
            let Some(item) = unless_at_quota(find_or_create(ports.ops_items(), &new).await)? else {
                let change = change(None);
                let is_left = change.status == Some(Status::Open);
                if is_left && (by_this_run || restore.tells_unrecorded) {
                    ports.notifications().publish(&left_to_do(&change)).await?;
                }
                return Ok(None);
            };
            if !is_recorded(&item) {
                ports
                    .ops_items()
                    .update(&item.id, &change(Some(&item)))
                    .await?;
            }
            Ok(Some(item.id))
        }
    }
}

/// Records a refusal and notifies operators, once for each refusal. They are notified also if it cannot be
/// recorded.
///
/// # Errors
/// Those of the ports.
pub(crate) async fn refuse(
    ports: &impl TrackingPorts,
    kind: &ResourceKind,
    restore: &Restore,
    refusal: &impl Refusal,
) -> Result<Outcome, Error> {
    let hindrance = Hindrance::refused(kind, restore, refusal);
    // Another refusal opens the item again, whoever resolved it. The same one does not.
    let item = raise(ports, kind, restore, &hindrance, async |_| Ok(false)).await?;
    Ok(Outcome::refused(refusal.reason())
        .with("restoreJobId", restore.job.id.as_str())
        .with_item(item.as_ref()))
}

/// Records that the job restored only a part, and notifies operators, once. `state` is what the OpsItem records of it.
/// What was restored stays in use. Only another restore job adds the rest.
///
/// # Errors
/// Those of the ports.
pub(crate) async fn record_partial(
    ports: &impl TrackingPorts,
    kind: &ResourceKind,
    restore: &Restore,
    refusal: &impl Refusal,
    state: &'static str,
) -> Result<Outcome, Error> {
    let hindrance = Hindrance::partial(kind, restore, refusal, state);
    let item = raise(ports, kind, restore, &hindrance, async |_| Ok(false)).await?;
    Ok(Outcome::partial(refusal.reason())
        .with("restoreJobId", restore.job.id.as_str())
        .with("why", refusal.to_string())
        .with("remedy", refusal.remedy())
        .with_item(item.as_ref()))
}

/// Records that the integration of a job keeps failing, and notifies operators, once. An item that a person
/// has resolved is not opened again. Nor is one that records a result, unless `is_disconnected` says that
/// the resource is not integrated any more.
///
/// # Errors
/// Those of the ports, and of `is_disconnected`.
pub(crate) async fn record_failure(
    ports: &impl TrackingPorts,
    kind: &ResourceKind,
    restore: &Restore,
    failure: &Fault,
    is_disconnected: impl AsyncFnOnce() -> Result<bool, Error>,
) -> Result<(), Error> {
    let hindrance = Hindrance::failing(kind, restore, failure);
    let is_over = async |item: &OpsItem| {
        if item.status == Status::Open {
            Ok(false)
        } else if says(item, kind.state_key, kind.integrated) {
            Ok(!is_disconnected().await?)
        } else {
            Ok(true)
        }
    };
    raise(ports, kind, restore, &hindrance, is_over)
        .await
        .map(drop)
}

/// Records in the job's item what prevents its integration, and notifies operators, once for each
/// hindrance. They are notified also if it cannot be recorded. `None` if OpsCenter's quota prevents a new
/// item.
async fn raise(
    ports: &impl TrackingPorts,
    kind: &ResourceKind,
    restore: &Restore,
    hindrance: &Hindrance,
    is_over: impl AsyncFnOnce(&OpsItem) -> Result<bool, Error>,
) -> Result<Option<OpsItemId>, Error> {
    let written = unless_at_quota(
        record_hindrance(ports.ops_items(), kind, restore, hindrance, is_over).await,
    );
    let item = match written {
        Ok(Some(Recorded::Before(item))) => return Ok(Some(item)),
        Ok(None) if !restore.tells_unrecorded => return Ok(None),
        Ok(Some(Recorded::Now(item))) => Ok(Some(item)),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    let recorded = matches!(item, Ok(Some(_)));
    let notification = hindrance.notification(kind, restore, item_named(&item), recorded);
    notify_and_record(ports, item, &notification, &hindrance.told).await
}

/// When a hindrance was recorded.
enum Recorded {
    /// Before this run: operators were notified, or the hindrance is over.
    Before(OpsItemId),
    /// By this run.
    Now(OpsItemId),
}

async fn record_hindrance(
    items: &impl OpsItems,
    kind: &ResourceKind,
    restore: &Restore,
    hindrance: &Hindrance,
    is_over: impl AsyncFnOnce(&OpsItem) -> Result<bool, Error>,
) -> Result<Recorded, Error> {
    let item = find_or_create(items, &new_item(restore)).await?;
    let told = hindrance.was_told(&item);
    if told && says(&item, kind.state_key, hindrance.state) || is_over(&item).await? {
        return Ok(Recorded::Before(item.id));
    }
    items
        .update(&item.id, &hindrance.change(kind, restore))
        .await?;
    let result = |item: &OpsItem| -> Vec<Option<String>> {
        let value = |key: &&str| item.data.get(*key).cloned();
        kind.result_keys.iter().map(value).collect()
    };
    let now = items.get(&item.id).await?;
    // If another run recorded a result between the two calls, the item is open now: the next
    // reconciliation reads it, and records the result again. Operators are not notified of a hindrance that overwrote another.
    Ok(if told || result(&now) != result(&item) {
        Recorded::Before(item.id)
    } else {
        Recorded::Now(item.id)
    })
}
