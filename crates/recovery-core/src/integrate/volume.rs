//! Attaches a restored EBS volume to its instance.

pub mod decide;
pub mod run;
