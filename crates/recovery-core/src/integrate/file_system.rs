//! File systems of EFS and FSx: gives those of EFS their network, publishes their addresses.

pub mod decide;
pub mod kind;
mod record;
pub mod refusal;
pub mod run;
