//! What the `main` of every function needs: settings from the environment, logs as Lambda wants
//! them, the runtime loop, and errors as the two `errorType`s.

mod clock;
mod failure;
mod logs;
mod responder;
mod serve;
mod settings;

pub use clock::InvocationClock;
pub use failure::Failure;
pub use responder::ResponderSettings;
pub use serve::{serve, start};
pub use settings::{Settings, SettingsError, Variables};
