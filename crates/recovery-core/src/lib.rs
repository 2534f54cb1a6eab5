//! Decides what Rapid Recovery does: values in, values out.
//!
//! No I/O, no clock, no environment, no AWS SDK. There is one folder for each phase of a recovery. The
//! decisions in it are pure. Only its files `run.rs` and `run_*.rs` are async: they call AWS through
//! [`ports`].
//!
//! | phase | folder | runs |
//! |---|---|---|
//! | a signal becomes an incident | [`event`], [`detect`] | [`detect::run`] |
//! | each job has an OpsItem | [`event::backup`], [`track`] | [`track::run`] |
//! | which recovery points, in which order | [`plan`] | [`plan::run`] |
//! | a restore starts; a restore test is validated | [`restore`] | [`restore::run`], [`restore::run_test_validation`] |
//! | a restored volume is attached | [`tags`], [`integrate`] | [`integrate::volume::run`], [`integrate::run_reconcile`] |
//! | the traffic moves | [`fail_over`] | [`fail_over::run`], [`fail_over::run_region_switch`] |
//! | the achieved RTO and RPO | [`report`] | [`report::run`] |

pub mod aws;
pub mod calls;
pub mod detect;
pub mod error;
pub mod event;
pub mod explanation;
pub mod fail_over;
#[cfg(feature = "fakes")]
pub mod fakes;
pub mod integrate;
pub mod notification;
pub mod ops_item;
pub mod outcome;
pub mod plan;
pub mod ports;
pub mod reference;
pub mod report;
pub mod restore;
pub mod tags;
pub mod text;
pub mod track;

/// The version of Rapid Recovery.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
