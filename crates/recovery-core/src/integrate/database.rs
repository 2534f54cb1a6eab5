//! Integrates a restored database of RDS, Aurora, DocumentDB or Neptune: a cluster gets its instances,
//! settings that the restore lost are applied, and the addresses are published.
//!
//! [`wanted`] reads the tags, [`decide`] decides each step, and [`run`] carries the steps out until a step
//! takes minutes: then the answer is `pending`, and a later run continues.

pub mod decide;
pub(crate) mod kind;
mod record;
pub mod refusal;
pub mod run;
pub mod wanted;
