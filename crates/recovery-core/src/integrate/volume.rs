//! Attaches a restored EBS volume to its instance: [`run`] finds the instance, `run_attach` calls EC2 until
//! the volume is attached, `attempt` is the state of that, and [`decide`] decides each step.

mod attempt;
pub mod decide;
pub(crate) mod kind;
mod record;
pub mod refusal;
pub mod run;
mod run_attach;
