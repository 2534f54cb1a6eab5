//! The plan of a recovery: for each protected resource of a workload the newest usable recovery
//! point, in which order they are restored, and for which target.
//!
//! Pure: facts in, a [`Plan`] out. The code that collects the facts is in
//! [`run`]. In the order of its making: [`request`] (what is asked for),
//! [`candidates`] (one recovery point for each resource), [`history`] (the others, of a resource whose
//! candidate has no usable tags), [`judge()`] (does it belong to the workload, can it be restored),
//! [`earlier`] (is it older than the last recovery of its resource), [`Plan::of`] (claims of one
//! device, order, totals and hash), [`changes`] (what differs from an earlier plan).

pub(crate) mod bucket;
pub mod candidates;
pub mod changes;
pub mod database;
mod devices;
pub(crate) mod digest;
pub mod earlier;
pub mod ebs;
pub mod file_system;
pub mod history;
pub(crate) mod instance;
pub mod item;
pub mod judge;
mod name_claims;
pub mod names;
pub mod recovery_plan;
pub mod refusal;
pub mod request;
pub mod resource_type;
pub mod restore_metadata;
pub mod run;
mod run_images;
pub(crate) mod run_names;
pub mod table;

pub use self::item::{
    BucketTarget, DatabaseTarget, FileSystemTarget, InstanceTarget, Item, Predictions, Refused,
    TableTarget, TagsFrom, Target, VolumeTarget,
};
pub use self::judge::{Judged, judge};
pub use self::recovery_plan::{Plan, Stack, Totals, VERSION, Wave};
