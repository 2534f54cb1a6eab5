//! What the `main` of every function needs: settings from the environment, logs in Lambda's format, the runtime loop,
//! metrics, and errors with the two `errorType`s.

mod clock;
mod failure;
mod logs;
mod metrics;
mod responder;
mod serve;
mod settings;

pub use clock::InvocationClock;
pub use failure::Failure;
pub use metrics::{LoggedMetrics, NAMESPACE};
pub use responder::ResponderSettings;
pub use serve::{serve, start};
pub use settings::{Settings, SettingsError, Variables};
