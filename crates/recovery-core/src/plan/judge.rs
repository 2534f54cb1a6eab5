//! Decides whether the candidate of a resource is restored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::integrate::publish;
use crate::plan::candidates::Candidate;
use crate::plan::database;
use crate::plan::ebs;
use crate::plan::file_system;
use crate::plan::item::{Item, Predictions, Refused, TagsFrom, Target};
use crate::plan::refusal::ItemRefusal;
use crate::plan::resource_type::{self, Restorable, Support};
use crate::plan::table;
use crate::tags::{self, Tags};

/// The decision about a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, and it is moved into a list at once"
)]
pub enum Judged {
    /// It belongs to another workload.
    OtherWorkload,
    /// Its tags do not name a workload. Those of another recovery point of the same resource may.
    Unidentified,
    /// It is restored.
    Item(Item),
    /// It belongs, or may belong, to the workload, and is not restored.
    Refused(Refused),
}

/// Decides about the candidate of one resource. `tags` are those of its recovery point, supplemented with those
/// of `tags_from`.
pub fn judge(
    workload: &str,
    now: DateTime<Utc>,
    candidate: &Candidate,
    tags: &Tags,
    tags_from: Option<TagsFrom>,
) -> Judged {
    let point = &candidate.point;
    let refused = |refusal: ItemRefusal| Judged::Refused(Refused::new(point, &refusal));
    // A drill's resource was backed up before its clean-up deleted it.
    if tags::value(tags, tags::DRILL).is_some() {
        return Judged::OtherWorkload;
    }
    match tags::workload(tags) {
        None => return Judged::Unidentified,
        Some(named) if named != workload => return Judged::OtherWorkload,
        Some(_) => {}
    }
    let restorable = match resource_type::rules(&point.resource_type).support {
        Support::Restored(restorable) => restorable,
        Support::NotYet(why) => {
            return refused(ItemRefusal::TypeNotRestored {
                resource_type: point.resource_type.clone(),
                why,
            });
        }
    };
    if let Some(unusable) = &candidate.unusable {
        return refused(ItemRefusal::NoUsablePoint(unusable.clone()));
    }
    let (wave, unusable_wave) = match tags::wave(tags) {
        Ok(wave) => (wave, None),
        Err(unusable) => (0, Some(unusable)),
    };
    let target = match restorable {
        Restorable::Volume => ebs::target(tags)
            .map(|target| target.map(|(target, unusable)| (Target::Volume(target), unusable))),
        Restorable::Database(kind) => database::target(tags, &point.resource, kind)
            .map(|(target, unusable)| Some((Target::Database(target), unusable))),
        Restorable::Table => {
            let (target, unusable) = table::target(tags, &point.resource);
            Ok(Some((Target::Table(target), unusable)))
        }
        Restorable::FileSystem => file_system::target(tags, &point.resource)
            .map(|(target, unusable)| Some((Target::FileSystem(target), unusable))),
    };
    let (target, unusable) = match target {
        Ok(Some(target)) => target,
        Ok(None) => return refused(ItemRefusal::Untagged),
        Err(refusal) => return refused(ItemRefusal::Tags(refusal)),
    };
    Judged::Item(Item {
        resource_arn: point.resource.to_string(),
        recovery_point_arn: point.arn.to_string(),
        resource_type: point.resource_type.clone(),
        created_at: point.created,
        age_seconds: (now - point.created).num_seconds(),
        wave,
        target,
        unusable_tags: unusable_wave
            .into_iter()
            .chain(unusable)
            .map(|unusable| format!("{unusable}. {}", unusable.remedy()))
            .collect(),
        problem: None,
        metadata: BTreeMap::new(),
        size_bytes: point.size_bytes,
        predictions: Predictions {
            volume_gib: point
                .size_bytes
                .filter(|_| restorable == Restorable::Volume)
                .map(|bytes| bytes.div_ceil(1 << 30)),
        },
        tags_from,
        period: Some(candidate.period),
        publish: (restorable != Restorable::Volume)
            .then(|| publish::path(tags))
            .flatten(),
    })
}
