//! Gives a restored DynamoDB table the settings that a restore loses: [`settings`] reads the tag that names
//! them, [`decide`] decides each step, [`run`] carries it out and publishes the name.

pub mod decide;
pub(crate) mod kind;
mod record;
pub mod refusal;
pub mod run;
pub mod settings;
