//! Names of databases and tables: each belongs to one resource.

use std::collections::BTreeMap;

use crate::plan::item::{Item, Refused, Target};
use crate::plan::names::NameKind;
use crate::plan::refusal::ItemRefusal;
use crate::plan::resource_type::{self, Restorable, Support};

/// The name that the restored resource gets, in its namespace.
pub(super) fn claim(item: &Item) -> Option<(NameKind, String)> {
    match (
        &item.target,
        resource_type::rules(&item.resource_type).support,
    ) {
        (Target::Database(target), Support::Restored(Restorable::Database(kind))) => {
            Some((kind, target.identifier.clone()))
        }
        (Target::Table(target), _) => Some((NameKind::Table, target.name.clone())),
        _ => None,
    }
}

/// Refuses all items that claim one name: no tag says which one is right, and the order of the restores must
/// not decide.
pub(super) fn refuse_conflicts(items: Vec<Item>) -> (Vec<Item>, Vec<Refused>) {
    let mut claims: BTreeMap<(NameKind, String), Vec<String>> = BTreeMap::new();
    for item in &items {
        if let Some(claim) = claim(item) {
            claims
                .entry(claim)
                .or_default()
                .push(item.resource_arn.clone());
        }
    }
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for item in items {
        let others: Vec<String> = claim(&item)
            .and_then(|claim| claims.get(&claim))
            .into_iter()
            .flatten()
            .filter(|arn| **arn != item.resource_arn)
            .cloned()
            .collect();
        match others.as_slice() {
            [] => kept.push(item),
            _ => {
                let name = item.target.name().unwrap_or_default().to_owned();
                let refusal = ItemRefusal::NameClaimedTwice { name, others };
                refused.push(Refused::of_item(&item, &refusal));
            }
        }
    }
    (kept, refused)
}
