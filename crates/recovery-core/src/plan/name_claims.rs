//! Names of databases and tables: each belongs to one resource.

use std::collections::BTreeMap;

use crate::aws::arn::{DbClusterId, DbInstanceId};
use crate::integrate::database::wanted::InstanceGroups;
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

/// The names that the instances of a restored cluster get.
pub(super) fn instances(item: &Item) -> Vec<DbInstanceId> {
    let Some((NameKind::DbCluster, cluster)) = claim(item) else {
        return Vec::new();
    };
    let groups = item.target.instances().and_then(InstanceGroups::parse);
    groups.map_or_else(Vec::new, |groups| groups.ids(&DbClusterId::new(cluster)))
}

/// The names that an item claims, with `true` for those of the instances of its cluster.
fn claims(item: &Item) -> impl Iterator<Item = ((NameKind, String), bool)> {
    let of_instance = |id: DbInstanceId| ((NameKind::DbInstance, id.to_string()), true);
    let own = claim(item).into_iter().map(|claim| (claim, false));
    own.chain(instances(item).into_iter().map(of_instance))
}

/// Refuses all items that claim one name: no tag says which one is right, and the order of the restores must
/// not decide.
pub(super) fn refuse_conflicts(items: Vec<Item>) -> (Vec<Item>, Vec<Refused>) {
    let mut claimants: BTreeMap<(NameKind, String), Vec<(&str, bool)>> = BTreeMap::new();
    for item in &items {
        for (claim, of_instance) in claims(item) {
            let claimants = claimants.entry(claim).or_default();
            claimants.push((&item.resource_arn, of_instance));
        }
    }
    let refusal = |item: &Item| {
        claims(item).find_map(|((kind, name), of_instance)| {
            let others: Vec<String> = claimants[&(kind, name.clone())]
                .iter()
                .filter(|(arn, _)| *arn != item.resource_arn)
                .map(|(arn, of_instance)| match of_instance {
                    true => format!("an instance of {arn}"),
                    false => (*arn).to_owned(),
                })
                .collect();
            (!others.is_empty()).then_some(ItemRefusal::NameClaimedTwice {
                name,
                of_instance,
                others,
            })
        })
    };
    let refusals: Vec<Option<ItemRefusal>> = items.iter().map(refusal).collect();
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for (item, refusal) in items.into_iter().zip(refusals) {
        match refusal {
            None => kept.push(item),
            Some(refusal) => refused.push(Refused::of_item(&item, &refusal)),
        }
    }
    (kept, refused)
}
