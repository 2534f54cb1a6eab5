//! Device names on one target: each belongs to one volume.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::ec2::slot;
use crate::plan::candidates::{BackupPeriod, replacement};
use crate::plan::item::{Item, Refused, Target, VolumeTarget};
use crate::plan::refusal::{Claimed, ItemRefusal};

/// The stack, and the reference to the instance.
type Instance = (Option<String>, String);

fn instance(target: &VolumeTarget) -> Instance {
    (target.stack.clone(), target.logical_id.clone())
}

/// A volume that claims a device.
#[derive(Debug, Clone)]
struct Claimant {
    resource_arn: String,
    period: Option<BackupPeriod>,
}

/// Refuses items that claim one device of one target. If one volume has been backed up repeatedly since the
/// others were backed up for the last time, it replaced them, and only the others are refused. Otherwise all are: no
/// tag says which one is right, and the order of the restores must not decide. An item without a device
/// lists the device names that it must leave free.
pub(super) fn refuse_conflicts(items: Vec<Item>) -> (Vec<Item>, Vec<Refused>) {
    let mut claims: BTreeMap<(Instance, String), Vec<Claimant>> = BTreeMap::new();
    let mut reserved: BTreeMap<Instance, BTreeSet<String>> = BTreeMap::new();
    for item in &items {
        let Some(target) = item.target.volume() else {
            continue;
        };
        let Some(device) = &target.device else {
            continue;
        };
        let instance = instance(target);
        let claim = (instance.clone(), slot(device).to_owned());
        claims.entry(claim).or_default().push(Claimant {
            resource_arn: item.resource_arn.clone(),
            period: item.period,
        });
        reserved.entry(instance).or_default().insert(device.clone());
    }
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for mut item in items {
        let Target::Volume(target) = &mut item.target else {
            kept.push(item);
            continue;
        };
        let instance = instance(target);
        let logical_id = target.logical_id.clone();
        let Some(device) = target.device.clone() else {
            let names = reserved.get(&instance).into_iter().flatten();
            target.reserved = names.cloned().collect();
            kept.push(item);
            continue;
        };
        let claimants = claims
            .get(&(instance, slot(&device).to_owned()))
            .map_or(&[][..], Vec::as_slice);
        let periods = claimants.iter().map(|it| (&*it.resource_arn, it.period));
        let refusal = match replacement(periods) {
            _ if claimants.len() == 1 => None,
            Some((by, _)) if by == item.resource_arn => None,
            Some((by, period)) => Some(ItemRefusal::Replaced {
                by: by.to_owned(),
                since: period.first,
                claimed: Claimed::Device,
            }),
            None => Some(ItemRefusal::DeviceClaimedTwice {
                device,
                logical_id,
                others: claimants
                    .iter()
                    .map(|claimant| claimant.resource_arn.clone())
                    .filter(|arn| *arn != item.resource_arn)
                    .collect(),
            }),
        };
        match refusal {
            None => kept.push(item),
            Some(refusal) => refused.push(Refused::of_item(&item, &refusal)),
        }
    }
    (kept, refused)
}
