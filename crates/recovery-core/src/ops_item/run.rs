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
/// OpsCenter refuses a duplicate only while the first item is open, so one that was resolved has
/// to be looked for. Two callers that looked at the same moment may still both create one when
/// the first was resolved in between: the later one then resolves its own in favour of the first.
///
/// # Errors
/// Those of the port.
pub async fn find_or_create(items: &impl OpsItems, new: &NewOpsItem) -> Result<OpsItem, Error> {
    find_or_create_where(items, new, |_| true, |_, _| true).await
}

/// As [`find_or_create`], among the items that count. An open one must always count, since it
/// stands in the way of a second. `repeats(first, younger)` says whether the younger one, which is
/// open, is about nothing else than the first.
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
                _ => Err(not_ours(&id, &new.key)),
            }
        }
        Claim::Created(id) => resolve_duplicate(items, new, id, counts, repeats).await,
    }
}

/// The error for an open item that stands in the way of one for `key` and has another key.
fn not_ours(id: &OpsItemId, key: &ItemKey) -> Error {
    Error::Permanent(Fault::new(
        "ssm:CreateOpsItem",
        key.as_str(),
        format!("the open OpsItem {id} has the same deduplication string and another {KEY}"),
        "Resolve that OpsItem if its data were changed by hand; then send the event again.",
    ))
}

/// The item that counts for `new.key` after one was created under `id`: that one, or an older one.
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

/// The oldest item with this key. Younger ones that are open are resolved in its favour.
///
/// # Errors
/// Those of the port.
pub(crate) async fn first_of(
    items: &impl OpsItems,
    key: &ItemKey,
) -> Result<Option<OpsItem>, Error> {
    first_where(items, key, None, |_| true, |_, _| true).await
}

/// The oldest item with this key that counts; `created`, which may not be listed yet, is the youngest.
/// That one, and others that are open and repeat the oldest, are resolved in its favour: also those that
/// a run left behind when it died.
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
    let given_up = |item: &OpsItem| {
        own.as_ref() == Some(&item.id) || (item.status == Status::Open && repeats(&first, item))
    };
    for younger in found.filter(given_up) {
        let duplicate = OpsItemChange {
            status: Some(Status::Resolved),
            description: Some(format!(
                "Created at the same moment as {} for the same cause, and resolved in its favour.",
                first.id
            )),
            ..OpsItemChange::default()
        };
        items.update(&younger.id, &duplicate).await?;
    }
    Ok(Some(first))
}

/// Notifies operators of what was written into `item`, and records under [`NOTIFIED`] that they were. They
/// are notified also if the item could not be written. `None` if OpsCenter's quota prevents a new item.
///
/// # Errors
/// The error of `item`, and those of the ports.
pub(crate) async fn notify_and_record(
    ports: &impl TrackingPorts,
    item: Result<Option<OpsItemId>, Error>,
    notification: &Notification,
    notified: &str,
) -> Result<Option<OpsItemId>, Error> {
    let told = ports.notifications().publish(notification).await;
    let item = item?;
    told?;
    if let Some(id) = &item {
        let mark = OpsItemChange {
            data: [(NOTIFIED, notified.to_owned())].into(),
            ..OpsItemChange::default()
        };
        ports.ops_items().update(id, &mark).await?;
    }
    Ok(item)
}

/// Adds `resources` to those that the item lists. They are no part of a new item, because
/// OpsCenter's duplicate check includes them, and not everyone who may create an item knows them.
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
