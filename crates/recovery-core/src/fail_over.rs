//! Moves the traffic to the recovery Region.

pub mod run;
pub mod run_region_switch;
