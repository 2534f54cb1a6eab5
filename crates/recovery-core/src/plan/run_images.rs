//! The volumes that the plan's instances bring with them, in their images: each is restored once.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;

use crate::aws::arn::{Arn, RecoveryPointArn, TagHome, VolumeId};
use crate::error::Error;
use crate::plan::item::{Item, Refused, Target};
use crate::plan::recovery_plan::Plan;
use crate::plan::refusal::ItemRefusal;
use crate::ports::{Images, PlanningPorts, RecoveryPointTags};
use crate::tags::{self, SOURCE};

/// Images that are read concurrently.
const IMAGES_AT_ONCE: usize = 8;
/// Backup jobs of one schedule begin up to this much apart: the shortest start window of a backup plan, in minutes
/// (<https://docs.aws.amazon.com/aws-backup/latest/devguide/plan-options-and-configuration.html>).
const ONE_BACKUP: TimeDelta = TimeDelta::minutes(60);

/// The instance whose image contains a volume.
struct InImage {
    instance: String,
    created: DateTime<Utc>,
}

/// Refuses each volume that comes with an instance of the plan: it would be restored twice. Returns the other items, and
/// what is refused.
pub(super) async fn refuse_image_volumes(
    ports: &impl PlanningPorts,
    in_time: impl Fn() -> Result<(), Error>,
    plan: &Plan,
    items: Vec<Item>,
) -> Result<(Vec<Item>, Vec<Refused>), Error> {
    let is_volume = |item: &Item| item.target.volume().is_some();
    let instances: Vec<&Item> = match items.iter().any(is_volume) {
        false => Vec::new(),
        true => plan
            .items()
            .filter(|item| matches!(item.target, Target::Instance(_)))
            .collect(),
    };
    let mut contained: BTreeMap<VolumeId, InImage> = BTreeMap::new();
    for some in instances.chunks(IMAGES_AT_ONCE) {
        in_time()?;
        let found = try_join_all(some.iter().map(|item| volumes_in(ports, item))).await?;
        for (item, volumes) in some.iter().zip(found) {
            for volume in volumes {
                let in_image = InImage {
                    instance: item.resource_arn.clone(),
                    created: item.created_at,
                };
                contained.insert(volume, in_image);
            }
        }
    }
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for item in items {
        let volume = item.target.volume().and_then(|_| {
            let arn = Arn::parse(&item.resource_arn).ok()?;
            arn.resource_id("volume").map(VolumeId::new)
        });
        match volume.and_then(|volume| contained.get(&volume)) {
            None => kept.push(item),
            Some(image) => refused.push(Refused::of_item(&item, &image.refusal_of(&item))),
        }
    }
    Ok((kept, refused))
}

impl InImage {
    fn refusal_of(&self, volume: &Item) -> ItemRefusal {
        let instance = self.instance.clone();
        if volume.created_at <= self.created + ONE_BACKUP {
            return ItemRefusal::InImage { instance };
        }
        ItemRefusal::NewerThanImage {
            instance,
            image_created: self.created,
            volume_created: volume.created_at,
        }
    }
}

/// The volumes that the image contains, according to the tags of its snapshots.
async fn volumes_in(ports: &impl PlanningPorts, instance: &Item) -> Result<Vec<VolumeId>, Error> {
    let point = RecoveryPointArn::parse(&instance.recovery_point_arn)?;
    let TagHome::Ec2(image) = point.tag_home() else {
        return Ok(Vec::new());
    };
    // The restore of an image that does not exist is refused.
    let Some(found) = ports.images().describe(image).await? else {
        return Ok(Vec::new());
    };
    let snapshots: Vec<RecoveryPointArn> = found
        .devices
        .iter()
        .filter_map(|device| point.snapshot(&device.snapshot))
        .collect();
    if snapshots.is_empty() {
        return Ok(Vec::new());
    }
    let tags = ports
        .recovery_point_tags()
        .list_together(&snapshots)
        .await?;
    Ok(tags
        .values()
        .filter_map(|tags| tags::value(tags, SOURCE))
        .filter_map(|source| {
            source
                .split(['/', ':'])
                .find(|part| part.starts_with("vol-"))
        })
        .map(VolumeId::new)
        .collect())
}
