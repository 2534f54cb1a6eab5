//! Decides what Rapid Recovery does: values in, values out.
//!
//! No I/O, no clock, no environment, no AWS SDK. What the deciding code needs of the world stands
//! in [`ports`]; only [`integration`], [`reconciliation`], [`planning`], [`reporting`],
//! [`restore_start`], [`restore_test`], [`fail_over`], [`region_switch`], [`response`], [`job_tracking`] and
//! [`ops_item::find_or_create`] walk through them.
//!
//! A restored volume, from event to attachment: [`event::backup`] → [`restore_job`] → [`tags`] →
//! [`integrate`] and, for a group of instances, [`auto_scaling`] (the decisions), called by
//! [`integration`] (looks and acts).
//! What no event told of: [`reconciliation`] leads every restore of late through the same integration.
//! A whole recovery begins with a plan: [`plan`], called by [`planning`]; each restore of it is
//! begun by [`restore_start`], and the traffic follows by [`fail_over`]. It ends with a report:
//! [`report`], called by [`reporting`]. [`region_switch`] makes the whole of it a step of a plan of ARC
//! Region switch.
//! A restore test is judged by [`restore_test`].
//! A Health event: [`event::health`] → [`respond`] (the decision), called by [`response`].

pub mod arn;
pub mod auto_scaling;
pub mod calls;
pub mod error;
pub mod event;
pub mod fail_over;
#[cfg(feature = "fakes")]
pub mod fakes;
pub mod integrate;
pub mod integration;
pub mod job_tracking;
pub mod ops_item;
pub mod outcome;
pub mod plan;
pub mod planning;
pub mod ports;
pub mod reconciliation;
pub mod region_switch;
pub mod report;
pub mod reporting;
pub mod respond;
pub mod response;
pub mod restore_job;
pub mod restore_start;
pub mod restore_test;
pub mod tags;
pub mod text;

/// The version of Rapid Recovery.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
