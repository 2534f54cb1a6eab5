//! Names of databases and tables, buckets that are restored into, and the paths below which addresses are published:
//! each belongs to one resource.

use std::collections::BTreeMap;

use crate::aws::arn::{DbClusterId, DbInstanceId};
use crate::integrate::database::wanted::InstanceGroups;
use crate::plan::candidates::replacement;
use crate::plan::item::{Item, Refused, Target};
use crate::plan::names::NameKind;
use crate::plan::refusal::{Claimed, ItemRefusal};
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

/// What only one resource can have.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Name(NameKind, String),
    /// The bucket of this reference, in this stack: objects of two buckets can have one name.
    Bucket(Option<String>, String),
    /// The path of its parameters. Databases and tables both publish `arn`; parameters below different paths have
    /// different names.
    Path(String),
}

fn claims(item: &Item) -> impl Iterator<Item = Claim> {
    let of_instance = |id: DbInstanceId| Claim::Name(NameKind::DbInstance, id.to_string());
    let own = claim(item).map(|(kind, name)| Claim::Name(kind, name));
    let path = item.publish.clone().map(Claim::Path);
    let bucket = match &item.target {
        Target::Bucket(target) => Some(Claim::Bucket(target.stack.clone(), target.bucket.clone())),
        _ => None,
    };
    own.into_iter()
        .chain(bucket)
        .chain(instances(item).into_iter().map(of_instance))
        .chain(path)
}

/// Refuses items that claim one name, one bucket or one path. If one resource replaced the others (see [`replacement`]), only
/// the others are refused. Otherwise all are: no tag says which one is right, and the order of the restores must
/// not decide.
pub(super) fn refuse_conflicts(items: Vec<Item>) -> (Vec<Item>, Vec<Refused>) {
    let mut claimants: BTreeMap<Claim, Vec<&Item>> = BTreeMap::new();
    for item in &items {
        for claim in claims(item) {
            claimants.entry(claim).or_default().push(item);
        }
    }
    let refusals: Vec<Option<ItemRefusal>> = items
        .iter()
        .map(|item| claims(item).find_map(|claim| refusal(item, &claimants[&claim], claim)))
        .collect();
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

/// Why the item cannot have what all the claimants claim.
fn refusal(item: &Item, claimants: &[&Item], claim: Claim) -> Option<ItemRefusal> {
    if claimants.len() == 1 {
        return None;
    }
    let periods = claimants.iter().map(|it| (&*it.resource_arn, it.period));
    if let Some((by, period)) = replacement(periods) {
        return (by != item.resource_arn).then(|| ItemRefusal::Replaced {
            by: by.to_owned(),
            since: period.first,
            claimed: match claim {
                Claim::Name(..) => Claimed::Name,
                Claim::Bucket(..) => Claimed::Bucket,
                Claim::Path(_) => Claimed::Path,
            },
        });
    }
    let others = claimants
        .iter()
        .filter(|other| other.resource_arn != item.resource_arn);
    Some(match claim {
        Claim::Name(kind, name) => {
            let is_of_instance = |item: &Item| {
                kind == NameKind::DbInstance && self::claim(item).is_some_and(|(it, _)| it != kind)
            };
            ItemRefusal::NameClaimedTwice {
                name,
                of_instance: is_of_instance(item),
                others: others
                    .map(|other| match is_of_instance(other) {
                        true => format!("an instance of {}", other.resource_arn),
                        false => other.resource_arn.clone(),
                    })
                    .collect(),
            }
        }
        Claim::Bucket(_, bucket) => ItemRefusal::BucketClaimedTwice {
            bucket,
            others: others.map(|other| other.resource_arn.clone()).collect(),
        },
        Claim::Path(path) => ItemRefusal::PublishClaimedTwice {
            path,
            others: others.map(|other| other.resource_arn.clone()).collect(),
        },
    })
}
