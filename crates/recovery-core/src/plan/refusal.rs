//! Why a resource, or a whole plan, is refused, and what lifts it.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::integrate::refusal::Refusal;
use crate::integrate::volume::kind::EBS_VOLUME;
use crate::integrate::volume::refusal::VolumeRefusal;
use crate::plan::candidates::Unusable;
use crate::tags::TagRefusal;
use crate::text::shown;

/// Why a resource is not restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemRefusal {
    /// None of its recovery points can be restored; of the one that came nearest, why.
    NoUsablePoint(Unusable),
    /// Its type is not restored yet.
    TypeNotRestored {
        /// The type.
        resource_type: String,
        /// What is missing.
        why: &'static str,
    },
    /// Nobody can say which workload it belongs to: its tags are kept by a service that is not asked.
    TagsElsewhere {
        /// The type.
        resource_type: String,
    },
    /// Nobody can say which workload it belongs to: its tags could not be read.
    TagsUnread {
        /// Why not.
        why: String,
    },
    /// It belongs to the workload, but no tag names its target.
    Untagged,
    /// Its recovery point was made after the workload had been recovered here.
    NewerThanRecovery {
        /// The start of that recovery.
        restored_at: DateTime<Utc>,
        /// The name of its execution.
        execution: String,
    },
    /// A tag is missing or cannot be followed.
    Tags(TagRefusal),
    /// The target's stack owns the volume, and has created an empty one in this Region.
    StackVolume(VolumeRefusal),
    /// Other volumes of the workload claim the same device of the same target.
    DeviceClaimedTwice {
        /// The device.
        device: String,
        /// The target in its stack.
        logical_id: String,
        /// The other resources.
        others: Vec<String>,
    },
}

impl ItemRefusal {
    pub(super) const TAGS_ELSEWHERE: &str = "tags-elsewhere";
    pub(super) const TAGS_UNREAD: &str = "tags-unread";

    /// The rule, as one kebab-case word.
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
            ItemRefusal::DeviceClaimedTwice { .. } => "device-claimed-twice",
        }
    }

    /// What lifts it, as an instruction to the person on call.
    pub fn remedy(&self) -> String {
        let by_hand = "Restore it by hand in AWS Backup";
        match self {
            ItemRefusal::NoUsablePoint(Unusable::LaterThanAsked) => {
                "Ask for a later moment, or leave the resource out: it may not have existed then.".to_owned()
            }
            ItemRefusal::NoUsablePoint(Unusable::ThreatsFound) => {
                "Ask for an earlier moment, from before the infection, if its recovery points are still kept.".to_owned()
            }
            ItemRefusal::NoUsablePoint(Unusable::ColdStorage { .. }) => {
                format!("{by_hand}, with the number of days to keep it out of cold storage, and early: the hours count from then.")
            }
            ItemRefusal::NoUsablePoint(Unusable::Composite | Unusable::CompositeChild) => {
                format!("{by_hand} as the part of the stack it is; back the resource up by itself as well.")
            }
            ItemRefusal::NoUsablePoint(Unusable::Status(_)) => {
                format!("Look at the recovery point in AWS Backup. {by_hand} if it can be; see why newer copies are missing.")
            }
            ItemRefusal::TypeNotRestored { .. } => format!("{by_hand}."),
            ItemRefusal::TagsElsewhere { .. } | ItemRefusal::TagsUnread { .. } => {
                format!("{by_hand} if it belongs to this workload.")
            }
            ItemRefusal::Untagged => {
                "Add the tags recovery:stack and recovery:logical-id to the recovery point now, and to the protected resource for the next time.".to_owned()
            }
            ItemRefusal::Tags(refusal @ TagRefusal::RootVolume { .. }) => refusal.remedy(EBS_VOLUME.by_hand),
            ItemRefusal::StackVolume(refusal) => refusal.remedy(),
            ItemRefusal::DeviceClaimedTwice { .. } => {
                "Give each of these volumes a recovery:device of its own: correct the tag of the recovery points now, and of the protected resources for the next time. If one of them is a root volume, remove its recovery: tags. Then plan again.".to_owned()
            }
            ItemRefusal::NewerThanRecovery { restored_at, .. } => {
                let at = second(*restored_at);
                format!("To restore data from before that recovery, pass \"restoreTo\": \"{at}\". If the workload has run in the primary Region again since a later moment, pass that moment as \"primarySince\"; after a fail back, also record it as docs/recover.md describes.")
            }
            ItemRefusal::Tags(_) => {
                "Correct the tag of the recovery point now, and of the protected resource for the next time.".to_owned()
            }
        }
    }
}

impl fmt::Display for ItemRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemRefusal::NoUsablePoint(unusable) => write!(
                f,
                "no recovery point of it can be restored; of the nearest one, {unusable}"
            ),
            ItemRefusal::TypeNotRestored { resource_type, why } => {
                write!(f, "{} is not restored yet: {why}", shown(resource_type))
            }
            ItemRefusal::TagsElsewhere { resource_type } => write!(
                f,
                "the tags of {} recovery points are kept by their own service, which is not asked yet; it may belong to any workload",
                shown(resource_type)
            ),
            ItemRefusal::TagsUnread { why } => write!(
                f,
                "its tags could not be read, so it may belong to any workload: {}",
                shown(why)
            ),
            ItemRefusal::Untagged => {
                write!(f, "it belongs to the workload, but no tag names its target")
            }
            ItemRefusal::NewerThanRecovery {
                restored_at,
                execution,
            } => write!(
                f,
                "the recovery {} restored it on {}, and its newest recovery point was made later: it holds data of the primary Region that the recovered workload does not continue",
                shown(execution),
                second(*restored_at)
            ),
            ItemRefusal::Tags(refusal) => refusal.fmt(f),
            ItemRefusal::StackVolume(refusal) => refusal.fmt(f),
            ItemRefusal::DeviceClaimedTwice {
                device,
                logical_id,
                others,
            } => {
                let named: Vec<String> = others.iter().take(3).map(|arn| shown(arn)).collect();
                let more = match others.len() - named.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(
                    f,
                    "{} of {} is also claimed by {}{more}, and nothing says which volume is the right one",
                    shown(device),
                    shown(logical_id),
                    named.join(", ")
                )
            }
        }
    }
}

/// A moment as RFC 3339, to the second.
fn second(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Why a whole plan is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanRefusal {
    /// No recovery point has the workload's tag.
    UnknownWorkload {
        /// The workload.
        workload: String,
        /// The vault.
        vault: String,
    },
    /// Everything that belongs to the workload is refused.
    NothingToRestore {
        /// How much that is.
        refusals: usize,
    },
    /// The drill's stack is the workload's own.
    DrillTarget {
        /// The stack.
        stack: String,
    },
    /// A drill has one stack, and the tags name several.
    SeveralStacks {
        /// The stacks.
        stacks: Vec<String>,
    },
    /// The plan is another than the one that was looked at.
    PlanChanged {
        /// The hash of the plan that was looked at.
        expected: String,
        /// The hash of the plan as it is now.
        found: String,
    },
}

impl PlanRefusal {
    /// The rule, as one kebab-case word.
    pub fn reason(&self) -> &'static str {
        match self {
            PlanRefusal::UnknownWorkload { .. } => "unknown-workload",
            PlanRefusal::NothingToRestore { .. } => "nothing-to-restore",
            PlanRefusal::DrillTarget { .. } => "drill-target",
            PlanRefusal::SeveralStacks { .. } => "several-stacks",
            PlanRefusal::PlanChanged { .. } => "plan-changed",
        }
    }

    /// What lifts it, as an instruction to the person on call.
    pub fn remedy(&self) -> &'static str {
        match self {
            PlanRefusal::UnknownWorkload { .. } => {
                "Compare the workload's name with the tag recovery:workload of the recovery points, and see whether copies arrive in the vault."
            }
            PlanRefusal::NothingToRestore { .. } => {
                "Each resource's own reason and remedy stand in the plan."
            }
            PlanRefusal::DrillTarget { .. } => "Give the drill a stack of its own.",
            PlanRefusal::SeveralStacks { .. } => {
                "Hold a drill for a workload whose resources belong to one stack, or give each stack a workload of its own."
            }
            PlanRefusal::PlanChanged { .. } => {
                "Look at the plan as it is now; start the recovery with its hash, or without one."
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
                write!(f, "the drill's stack {stack} is the workload's own")
            }
            PlanRefusal::SeveralStacks { stacks } => write!(
                f,
                "a drill has one stack, and the workload's resources belong to {}",
                shown(&stacks.join(", "))
            ),
            PlanRefusal::PlanChanged { expected, found } => write!(
                f,
                "the plan is another than the one that was looked at: its hash is {found}, not {expected}"
            ),
        }
    }
}
