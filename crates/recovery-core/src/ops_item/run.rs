//! Finds the OpsItem of a key, or creates it.

use crate::aws::arn::{Arn, OpsItemId};
use crate::error::{Error, Fault};
use crate::notification::Notification;
use crate::ops_item::{
    Claim, ItemKey, KEY, NOTIFIED, NewOpsItem, OpsItem, OpsItemChange, RESOURCES, Status,
    with_resources,
};
use crate::ports::{Notifications, OpsItems, TrackingPorts};

/// Finds the OpsItem for `new.key`, in whatever status, or creates it.
///
/// OpsCenter refuses a duplicate only while the first item is open, so a resolved one is searched for. Two
/// callers at the same time can still both create an item. The later caller then resolves its own.
///
/// # Errors
/// Those of the port.
pub async fn find_or_create(items: &impl OpsItems, new: &NewOpsItem) -> Result<OpsItem, Error> {
    find_or_create_where(items, new, |_| true, |_, _| true).await
}

/// As [`find_or_create`], among the items for which `counts` is true. It must be true for an open item,
/// because OpsCenter refuses a second one. `repeats(first, younger)` says whether the younger item, which is
/// open, is a duplicate of the first.
///
/// # Errors
/// Those of the port.
pub(crate) async fn find_or_create_where(
    items: &impl OpsItems,
    new: &NewOpsItem,
    counts: impl Fn(&OpsItem) -> bool,
    repeats: impl Fn(&OpsItem, &OpsItem) -> bool,
) -> Result<OpsItem, Error> {
    if let Some(item) = first_where(items, &new.key, None, &counts, &repeats).await? {
        return Ok(item);
    }
    match items.create(new).await? {
        Claim::Existing(id) => {
            let item = items.get(&id).await?;
            match item.data.get(KEY) {
                Some(key) if key == new.key.as_str() => Ok(item),
                _ => Err(other_key(&id, &new.key)),
            }
        }
        Claim::Created(id) => resolve_duplicate(items, new, id, counts, repeats).await,
    }
}

/// The error if an open item with another key prevents the creation of one for `key`.
fn other_key(id: &OpsItemId, key: &ItemKey) -> Error {
    Error::Permanent(Fault::new(
        "ssm:CreateOpsItem",
        key.as_str(),
        format!("the open OpsItem {id} has the same deduplication string, but another {KEY}"),
        "Check whether someone changed the operational data of that OpsItem. Resolve it, then replay the event.",
    ))
}

/// The item for `new.key` after one was created as `id`: that one, or an older one.
///
/// # Errors
/// Those of the port.
pub(crate) async fn resolve_duplicate(
    items: &impl OpsItems,
    new: &NewOpsItem,
    id: OpsItemId,
    counts: impl Fn(&OpsItem) -> bool,
    repeats: impl Fn(&OpsItem, &OpsItem) -> bool,
) -> Result<OpsItem, Error> {
    let own = new.as_created(id);
    let first = first_where(items, &new.key, Some(own.clone()), counts, repeats).await?;
    Ok(first.unwrap_or(own))
}

/// The oldest item with this key. Younger ones that are open are resolved as duplicates.
///
/// # Errors
/// Those of the port.
pub(crate) async fn first_of(
    items: &impl OpsItems,
    key: &ItemKey,
) -> Result<Option<OpsItem>, Error> {
    first_where(items, key, None, |_| true, |_, _| true).await
}

/// The oldest item with this key for which `counts` is true. `created`, which may not be listed yet, is the
/// youngest. It is resolved as a duplicate, and so are others that are open and repeat the oldest: a run that
/// crashed may have left them.
async fn first_where(
    items: &impl OpsItems,
    key: &ItemKey,
    created: Option<OpsItem>,
    counts: impl Fn(&OpsItem) -> bool,
    repeats: impl Fn(&OpsItem, &OpsItem) -> bool,
) -> Result<Option<OpsItem>, Error> {
    let mut found: Vec<OpsItem> = items.list(key).await?.into_iter().filter(counts).collect();
    let own = created.as_ref().map(|created| created.id.clone());
    if let Some(created) = created
        && found.iter().all(|item| item.id != created.id)
    {
        found.push(created);
    }
    let mut found = found.into_iter();
    let Some(first) = found.next() else {
        return Ok(None);
    };
    let duplicates = |item: &OpsItem| {
        own.as_ref() == Some(&item.id) || (item.status == Status::Open && repeats(&first, item))
    };
    for younger in found.filter(duplicates) {
        let duplicate = OpsItemChange {
            status: Some(Status::Resolved),
            description: Some(format!(
                "Duplicate of {}: both were created at the same time for the same cause. It is resolved.",
                first.id
            )),
            ..OpsItemChange::default()
        };
        items.update(&younger.id, &duplicate).await?;
    }
    Ok(Some(first))
}

/// Notifies operators, and records that under [`NOTIFIED`] in `item`. If the item could not be created or updated, they
/// are still notified. Returns `None` if OpsCenter's quota is used up.
///
/// # Errors
/// The error of `item`, and those of the ports.
pub(crate) async fn notify_and_record(
    ports: &impl TrackingPorts,
    item: Result<Option<OpsItemId>, Error>,
    notification: &Notification,
    notified: &str,
) -> Result<Option<OpsItemId>, Error> {
    let sent = ports.notifications().publish(notification).await;
    let item = item?;
    sent?;
    if let Some(id) = &item {
        let mark = OpsItemChange {
            data: [(NOTIFIED, notified.to_owned())].into(),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(id, &mark).await?;
    }
    Ok(item)
}

/// Adds `resources` to those that the item lists. A new item has none, because OpsCenter's duplicate check
/// includes them, and not every function that creates the item knows them.
///
/// # Errors
/// Those of the port.
pub(crate) async fn add_resources(
    items: &impl OpsItems,
    item: &OpsItem,
    resources: &[Arn],
) -> Result<(), Error> {
    let known = item.data.get(RESOURCES).map(String::as_str);
    if let Some(all) = with_resources(known, resources) {
        let change = OpsItemChange {
            data: [(RESOURCES, all)].into(),
            ..OpsItemChange::default()
        };
        items.update(&item.id, &change).await?;
    }
    Ok(())
}
