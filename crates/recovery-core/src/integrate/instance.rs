//! Restored EC2 instances: registers them with their target groups, follows their health, and publishes their addresses.

pub mod decide;
pub mod kind;
mod record;
pub mod refusal;
pub mod run;
