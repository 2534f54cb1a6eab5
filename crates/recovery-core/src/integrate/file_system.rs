//! File systems of EFS and FSx: gives those of EFS their network, publishes the addresses, and mounts them on their
//! instances.

pub mod decide;
pub mod kind;
mod mount;
mod record;
pub mod refusal;
pub mod run;
mod run_mount;
mod run_reach;
