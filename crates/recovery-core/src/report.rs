//! The report of a recovery: what was restored and integrated, how long each phase took, and the achieved
//! RTO and RPO compared with their objectives.
//!
//! Pure: [`Report::of`] makes a [`Report`] of the [`request`], of the [`observation`] of each item of the
//! plan, and of the [`phases`] that the time is divided into. The code that observes, stores and notifies
//! is in [`run`]. A report is shown as a [`page`], in [`words`] and as [`measures`].

pub mod format;
pub mod measures;
pub mod observation;
pub mod page;
pub mod phases;
pub mod problem;
pub mod recovery_report;
pub mod request;
pub mod run;
pub mod words;

pub use self::problem::Problem;
pub use self::recovery_report::{
    Distribution, FailedJob, ItemReport, NAMED, ObjectiveResult, PlanMade, Report, Rpo, Statistics,
    Totals, VERSION, key, page_key,
};
pub use self::request::{Execution, Objectives};
