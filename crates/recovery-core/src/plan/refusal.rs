//! Why a resource, or a whole plan, is refused, with the remedy.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::integrate::instance::refusal::InstanceRefusal;
use crate::integrate::refusal::Refusal;
use crate::integrate::volume::kind::EBS_VOLUME;
use crate::integrate::volume::refusal::VolumeRefusal;
use crate::plan::candidates::Unusable;
use crate::plan::resource_type::{ByHand, by_hand_remedy};
use crate::tags::TagRefusal;
use crate::text::shown;

/// Why the plan does not restore a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemRefusal {
    /// None of its recovery points can be restored. The reason why the best one cannot be restored.
    NoUsablePoint(Unusable),
    /// Its type is not restored by a plan.
    TypeNotRestored {
        resource_type: String,
        by_hand: ByHand,
    },
    /// Its workload is unknown: a service that the planner does not call has its tags.
    TagsElsewhere { resource_type: String },
    /// Its workload is unknown: its tags could not be read.
    TagsUnread { why: String },
    /// It belongs to the workload, but no tag names its target.
    Untagged,
    /// Its recovery point was created after the workload was recovered in this Region.
    NewerThanRecovery {
        /// The start of that recovery.
        restored_at: DateTime<Utc>,
        /// The name of its execution.
        execution: String,
    },
    /// A tag is missing or cannot be used.
    Tags(TagRefusal),
    /// The stack of the target creates the volume itself, and has created an empty one in this Region.
    StackVolume(VolumeRefusal),
    /// The stack of the target creates the instance itself, and has created it in this Region.
    StackInstance(InstanceRefusal),
    /// Other volumes of the workload claim the same device of the same target.
    DeviceClaimedTwice {
        device: String,
        /// The target in its stack.
        logical_id: String,
        /// The other resources.
        others: Vec<String>,
    },
    /// Other resources of the workload, or instances of their clusters, would get the same name.
    NameClaimedTwice {
        name: String,
        /// Whether it is the name of an instance of this cluster.
        of_instance: bool,
        /// The other resources.
        others: Vec<String>,
    },
    /// The image of an instance that the plan restores contains this volume.
    InImage {
        /// The instance.
        instance: String,
    },
    /// The same, and the image is older than the recovery point of the volume.
    NewerThanImage {
        /// The instance.
        instance: String,
        image_created: DateTime<Utc>,
        volume_created: DateTime<Utc>,
    },
    /// Other buckets of the workload would be restored into the same bucket.
    BucketClaimedTwice {
        /// The reference to it.
        bucket: String,
        /// The other resources.
        others: Vec<String>,
    },
    /// Other resources of the workload would publish their addresses below the same path.
    PublishClaimedTwice {
        path: String,
        /// The other resources.
        others: Vec<String>,
    },
    /// This database or table of the recovery Region has its name, and was not restored from its recovery point.
    NameTaken { holder: String },
    /// This DB instance of the recovery Region has the name that an instance of the cluster gets, and does not
    /// belong to the cluster.
    InstanceNameTaken { holder: String },
    /// A drill restores only into its own stack, and these references name infrastructure outside.
    OutsideOfDrill { references: Vec<String> },
    /// Another resource of the workload claims the same, and has been backed up repeatedly since this one was
    /// backed up for the last time.
    Replaced {
        /// The resource that replaced it.
        by: String,
        /// When the oldest recovery point of that resource was created.
        since: DateTime<Utc>,
        /// What both claim.
        claimed: Claimed,
    },
}

/// What two resources claim, and only one can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// A device of a target.
    Device,
    /// A name, or the name of an instance of a cluster.
    Name,
    /// A bucket to restore into.
    Bucket,
    /// The path of the published addresses.
    Path,
}

impl Claimed {
    /// What the other resource does, in a sentence.
    fn claims(self) -> &'static str {
        match self {
            Claimed::Device => "has the same device of the same target",
            Claimed::Name => "gets the same name",
            Claimed::Bucket => "is restored into the same bucket",
            Claimed::Path => "publishes its addresses below the same path",
        }
    }

    /// What gives each resource its own.
    fn separate(self) -> &'static str {
        match self {
            Claimed::Device => "give each its own recovery:device",
            Claimed::Name => "give each its own recovery:identifier",
            Claimed::Bucket => "give each its own bucket in recovery:logical-id",
            Claimed::Path => "give each its own recovery:publish",
        }
    }
}

impl ItemRefusal {
    pub(super) const TAGS_ELSEWHERE: &str = "tags-elsewhere";
    pub(super) const TAGS_UNREAD: &str = "tags-unread";

    /// The reason code, in kebab case.
    pub fn reason(&self) -> &'static str {
        match self {
            ItemRefusal::NoUsablePoint(unusable) => unusable.reason(),
            ItemRefusal::TypeNotRestored { .. } => "type-not-restored",
            ItemRefusal::TagsElsewhere { .. } => ItemRefusal::TAGS_ELSEWHERE,
            ItemRefusal::TagsUnread { .. } => ItemRefusal::TAGS_UNREAD,
            ItemRefusal::Untagged => "untagged",
            ItemRefusal::NewerThanRecovery { .. } => "newer-than-recovery",
            ItemRefusal::Tags(refusal) => refusal.reason(),
            ItemRefusal::StackVolume(refusal) => refusal.reason(),
            ItemRefusal::StackInstance(refusal) => refusal.reason(),
            ItemRefusal::DeviceClaimedTwice { .. } => "device-claimed-twice",
            ItemRefusal::NameClaimedTwice { .. } => "name-claimed-twice",
            ItemRefusal::InImage { .. } => "volume-in-image",
            ItemRefusal::NewerThanImage { .. } => "volume-newer-than-image",
            ItemRefusal::BucketClaimedTwice { .. } => "bucket-claimed-twice",
            ItemRefusal::PublishClaimedTwice { .. } => "publish-claimed-twice",
            ItemRefusal::NameTaken { .. } | ItemRefusal::InstanceNameTaken { .. } => "name-taken",
            ItemRefusal::OutsideOfDrill { .. } => "outside-of-drill",
            ItemRefusal::Replaced { .. } => "replaced",
        }
    }

    /// The instruction to the operator.
    pub fn remedy(&self) -> String {
        let by_hand = "Restore it yourself in AWS Backup";
        match self {
            ItemRefusal::NoUsablePoint(Unusable::LaterThanAsked) => {
                "Pass a later \"restoreTo\". If the resource did not exist yet at that time, no action is needed.".to_owned()
            }
            ItemRefusal::NoUsablePoint(Unusable::ThreatsFound) => {
                "Pass an earlier \"restoreTo\", from before the infection, if its recovery points still exist.".to_owned()
            }
            ItemRefusal::NoUsablePoint(Unusable::ColdStorage { .. }) => {
                format!("{by_hand}, and set the number of days to keep it out of cold storage. Start early: retrieval takes hours.")
            }
            ItemRefusal::NoUsablePoint(Unusable::Composite | Unusable::CompositeChild) => {
                format!("{by_hand}, as a part of its stack. Also back up the resource by itself.")
            }
            ItemRefusal::NoUsablePoint(Unusable::Status(_)) => {
                format!("Check the recovery point in AWS Backup. {by_hand} if possible. Find out why newer copies are missing.")
            }
            ItemRefusal::TypeNotRestored { by_hand, .. } => by_hand.remedy.to_owned(),
            ItemRefusal::TagsElsewhere { resource_type } => format!(
                "If it belongs to this workload: {}",
                by_hand_remedy(resource_type)
            ),
            ItemRefusal::TagsUnread { .. } => {
                format!("{by_hand} if it belongs to this workload.")
            }
            ItemRefusal::Untagged => {
                "Add the tags recovery:stack and recovery:logical-id to the recovery point, and to the protected resource for later recovery points. Then plan again.".to_owned()
            }
            ItemRefusal::Tags(refusal @ TagRefusal::RootVolume { .. }) => refusal.remedy(EBS_VOLUME.by_hand),
            ItemRefusal::StackVolume(refusal) => refusal.remedy(),
            ItemRefusal::StackInstance(refusal) => refusal.remedy(),
            ItemRefusal::DeviceClaimedTwice { .. } => {
                "Set a different recovery:device for each of these volumes: change the tag of the recovery points, and of the protected resources for later recovery points. If one of them is a root volume, remove its recovery: tags. Then plan again.".to_owned()
            }
            ItemRefusal::NameClaimedTwice { .. } => {
                "Set a different recovery:identifier for each of these resources: change the tag of the recovery points, and of the protected resources for later recovery points. Then plan again.".to_owned()
            }
            ItemRefusal::InImage { .. } => {
                "No action needed: the volume is restored with its instance, and this refusal does not prevent the fail over. To restore it from its own recovery points instead, remove the tag recovery:workload from the recovery points of the instance, and plan again.".to_owned()
            }
            ItemRefusal::NewerThanImage { .. } => {
                "Decide which data counts. If the older data of the image is enough, pass acceptRefusals. If not, remove the tag recovery:workload from the recovery points of the instance, and plan again: the volume is then restored, and you restore the instance by hand. For later recoveries, back up the instance as often as the volume, or only one of them.".to_owned()
            }
            ItemRefusal::BucketClaimedTwice { .. } => {
                "Name a different bucket in recovery:logical-id of each of these buckets: change the tag of the recovery points, and of the protected resources for later recovery points. Then plan again.".to_owned()
            }
            ItemRefusal::PublishClaimedTwice { .. } => {
                "Set a different recovery:publish for each of these resources: change the tag of the recovery points, and of the protected resources for later recovery points. Then plan again.".to_owned()
            }
            ItemRefusal::NameTaken { holder } | ItemRefusal::InstanceNameTaken { holder } => format!(
                "If {} is not in use, delete or rename it yourself. If a stack of the recovery Region creates it, remove it from the template. Or set the tag recovery:identifier to another name: on the recovery points, and on the protected resource for later recovery points. Then plan again.",
                shown(holder)
            ),
            ItemRefusal::OutsideOfDrill { .. } => {
                "Name this infrastructure by its logical id in the stack of recovery:stack. A drill can then use that of its own stack. Otherwise this resource can only be recovered, not drilled.".to_owned()
            }
            ItemRefusal::Replaced { by, claimed, .. } => format!(
                "No action is needed for the restore: the plan restores {}. This refusal prevents the fail over. If it replaced the other one on purpose, pass \"acceptRefusals\": true to the recovery, or remove the tag recovery:workload from the recovery points of the old one and plan again. If both are needed, {}.",
                shown(by),
                claimed.separate()
            ),
            ItemRefusal::NewerThanRecovery { restored_at, .. } => {
                let at = second(*restored_at);
                format!("To restore data from before that recovery, pass \"restoreTo\": \"{at}\". If the workload runs in the primary Region again since a later time, pass that time as \"primarySince\". After a fail back, also record it as docs/recover.md describes.")
            }
            ItemRefusal::Tags(_) => {
                "Correct the tag of the recovery point, and of the protected resource for later recovery points. Then plan again.".to_owned()
            }
        }
    }
}

impl fmt::Display for ItemRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemRefusal::NoUsablePoint(unusable) => write!(
                f,
                "none of its recovery points can be restored; of the best one: {unusable}"
            ),
            ItemRefusal::TypeNotRestored {
                resource_type,
                by_hand,
            } => write!(
                f,
                "{} is not restored by a plan: {}",
                shown(resource_type),
                by_hand.why
            ),
            ItemRefusal::TagsElsewhere { resource_type } => write!(
                f,
                "its workload is unknown: the tags of {} recovery points are in their own service, which the planner does not call",
                shown(resource_type)
            ),
            ItemRefusal::TagsUnread { why } => write!(
                f,
                "its workload is unknown, because its tags could not be read: {}",
                shown(why)
            ),
            ItemRefusal::Untagged => {
                write!(
                    f,
                    "it belongs to the workload, but has no tag that names its target"
                )
            }
            ItemRefusal::NewerThanRecovery {
                restored_at,
                execution,
            } => write!(
                f,
                "the recovery {}, which started at {}, restored it, and its newest recovery point was created later: it contains data of the primary Region, not of the recovered workload",
                shown(execution),
                second(*restored_at)
            ),
            ItemRefusal::Replaced { by, since, claimed } => write!(
                f,
                "{} replaced it: it {}, has been backed up since {}, and this {} has no recovery point of that time",
                shown(by),
                claimed.claims(),
                second(*since),
                match claimed {
                    Claimed::Device => "volume",
                    Claimed::Name | Claimed::Bucket | Claimed::Path => "resource",
                }
            ),
            ItemRefusal::Tags(refusal) => refusal.fmt(f),
            ItemRefusal::StackVolume(refusal) => refusal.fmt(f),
            ItemRefusal::StackInstance(refusal) => refusal.fmt(f),
            ItemRefusal::DeviceClaimedTwice {
                device,
                logical_id,
                others,
            } => write!(
                f,
                "{} of {} is also claimed by {}, and it is unknown which volume is right",
                shown(device),
                shown(logical_id),
                some_of(others)
            ),
            ItemRefusal::NameClaimedTwice {
                name,
                of_instance,
                others,
            } => write!(
                f,
                "{} would also get the name {}{}, and a name can exist only once",
                some_of(others),
                shown(name),
                match of_instance {
                    true => ", which an instance of this cluster gets",
                    false => "",
                }
            ),
            ItemRefusal::NameTaken { holder } => write!(
                f,
                "{} has its name, and was not restored from this recovery point",
                shown(holder)
            ),
            ItemRefusal::InImage { instance } => write!(
                f,
                "the image of {} contains this volume, and the plan restores the image",
                shown(instance)
            ),
            ItemRefusal::NewerThanImage {
                instance,
                image_created,
                volume_created,
            } => write!(
                f,
                "the image of {} contains this volume as of {}, and the volume has a recovery point of {}: restored with the image, it would lose the data in between",
                shown(instance),
                second(*image_created),
                second(*volume_created)
            ),
            ItemRefusal::BucketClaimedTwice { bucket, others } => write!(
                f,
                "{} is also restored into the bucket {}, and objects of the same name would be left out",
                some_of(others),
                shown(bucket)
            ),
            ItemRefusal::PublishClaimedTwice { path, others } => write!(
                f,
                "{} also publishes its addresses below {}, and the application would read those of the last one",
                some_of(others),
                shown(path)
            ),
            ItemRefusal::InstanceNameTaken { holder } => write!(
                f,
                "{} has the name that an instance of this cluster gets, and does not belong to the cluster",
                shown(holder)
            ),
            ItemRefusal::OutsideOfDrill { references } => write!(
                f,
                "{} names infrastructure outside the stack of the drill",
                some_of(references)
            ),
        }
    }
}

/// The first three, and how many follow.
fn some_of(all: &[String]) -> String {
    let named: Vec<String> = all.iter().take(3).map(|one| shown(one)).collect();
    match all.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// A time in RFC 3339, to the second.
fn second(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Why a whole plan is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanRefusal {
    /// No recovery point has the workload's tag.
    UnknownWorkload { workload: String, vault: String },
    /// Everything that belongs to the workload is refused.
    NothingToRestore {
        /// The number of its resources.
        refusals: usize,
    },
    /// The stack of the drill is the stack of the workload.
    DrillTarget { stack: String },
    /// A drill has one stack, and the tags name several.
    SeveralStacks { stacks: Vec<String> },
    /// The plan has changed since it was approved.
    PlanChanged {
        /// The hash of the approved plan.
        expected: String,
        /// The hash of the current plan.
        found: String,
    },
}

impl PlanRefusal {
    /// The reason code, in kebab case.
    pub fn reason(&self) -> &'static str {
        match self {
            PlanRefusal::UnknownWorkload { .. } => "unknown-workload",
            PlanRefusal::NothingToRestore { .. } => "nothing-to-restore",
            PlanRefusal::DrillTarget { .. } => "drill-target",
            PlanRefusal::SeveralStacks { .. } => "several-stacks",
            PlanRefusal::PlanChanged { .. } => "plan-changed",
        }
    }

    /// The instruction to the operator.
    pub fn remedy(&self) -> &'static str {
        match self {
            PlanRefusal::UnknownWorkload { .. } => {
                "Compare the name of the workload with the tag recovery:workload of the recovery points. Check whether copies arrive in the vault."
            }
            PlanRefusal::NothingToRestore { .. } => {
                "Read the plan: it has the reason and the remedy of each resource."
            }
            PlanRefusal::DrillTarget { .. } => "Pass another stack name for the drill.",
            PlanRefusal::SeveralStacks { .. } => {
                "Drill a workload whose resources belong to one stack, or use a different recovery:workload for each stack."
            }
            PlanRefusal::PlanChanged { .. } => {
                "Read the current plan. Then start the recovery with its hash, or without a hash."
            }
        }
    }
}

impl fmt::Display for PlanRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanRefusal::UnknownWorkload { workload, vault } => write!(
                f,
                "no recovery point in the vault {} has the tag recovery:workload with the value {workload}",
                shown(vault)
            ),
            PlanRefusal::NothingToRestore { refusals } => write!(
                f,
                "nothing can be restored: {refusals} of {refusals} resources are refused"
            ),
            PlanRefusal::DrillTarget { stack } => {
                write!(f, "{stack} is the stack of the workload itself")
            }
            PlanRefusal::SeveralStacks { stacks } => write!(
                f,
                "a drill has one stack, but the workload's resources belong to {}",
                shown(&stacks.join(", "))
            ),
            PlanRefusal::PlanChanged { expected, found } => write!(
                f,
                "the plan has changed: its hash is {found}, not {expected}"
            ),
        }
    }
}
