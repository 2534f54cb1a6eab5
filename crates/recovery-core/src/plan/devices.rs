//! Device names on one target: each belongs to one volume.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::ec2::slot;
use crate::plan::item::{Item, Refused, Target};
use crate::plan::refusal::ItemRefusal;

/// The stack, and the logical id of the instance in it.
type Instance = (String, String);

fn instance(target: &Target) -> Instance {
    (target.stack.clone(), target.logical_id.clone())
}

/// Refuses all items that claim the same device of the same target: no tag says which of them is right, and the
/// order of the restores must not decide. Items without a device get the names that they must not use.
pub(super) fn refuse_conflicts(items: Vec<Item>) -> (Vec<Item>, Vec<Refused>) {
    let mut claims: BTreeMap<(Instance, String), Vec<String>> = BTreeMap::new();
    let mut reserved: BTreeMap<Instance, BTreeSet<String>> = BTreeMap::new();
    for item in &items {
        let Some(device) = &item.target.device else {
            continue;
        };
        let instance = instance(&item.target);
        claims
            .entry((instance.clone(), slot(device).to_owned()))
            .or_default()
            .push(item.resource_arn.clone());
        reserved.entry(instance).or_default().insert(device.clone());
    }
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for mut item in items {
        let instance = instance(&item.target);
        let Some(device) = item.target.device.clone() else {
            let names = reserved.get(&instance).into_iter().flatten();
            item.target.reserved = names.cloned().collect();
            kept.push(item);
            continue;
        };
        let claimants = claims.get(&(instance, slot(&device).to_owned()));
        let others: Vec<String> = claimants
            .into_iter()
            .flatten()
            .filter(|claimant| **claimant != item.resource_arn)
            .cloned()
            .collect();
        if others.is_empty() {
            kept.push(item);
        } else {
            let refusal = ItemRefusal::DeviceClaimedTwice {
                device,
                logical_id: item.target.logical_id.clone(),
                others,
            };
            refused.push(Refused::of_item(&item, &refusal));
        }
    }
    (kept, refused)
}
