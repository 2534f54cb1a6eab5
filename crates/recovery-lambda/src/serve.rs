//! The runtime loop.

use std::time::Duration;

use lambda_runtime::{Context, LambdaEvent, service_fn};
use recovery_core::calls::Calls;
use recovery_core::error::{Error, Fault};
use recovery_core::outcome::Outcome;
use recovery_core::ports::Clock;
use serde_json::Value;

use crate::clock::InvocationClock;
use crate::failure::Failure;
use crate::settings::{SettingsError, Variables};

/// Starts logging, logs the version and reads the settings. An invalid setting makes the start of the function fail,
/// instead of its response to an incident.
///
/// # Errors
/// Those of `settings`.
pub fn start<S>(
    settings: impl FnOnce(Variables<'_>) -> Result<S, SettingsError>,
) -> Result<S, lambda_runtime::Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that reads the environment; all other code gets variables as an argument"
    )]
    let variables = |name: &str| std::env::var(name).ok();
    crate::logs::init(variables);
    tracing::info!(version = recovery_core::VERSION, "the function starts");
    settings(&variables).map_err(|error| {
        tracing::error!(%error, "the function cannot start");
        error.into()
    })
}

/// Time that an invocation keeps to report that its time was not enough.
const FAREWELL: Duration = Duration::from_secs(1);

/// Passes each event to `handle` and returns its answer to Lambda. A run that is almost out of time ends with an error
/// that names its `calls`.
///
/// # Errors
/// Those of the runtime itself.
pub async fn serve(
    calls: &Calls,
    handle: impl AsyncFn(Value, InvocationClock) -> Result<Outcome, Error>,
) -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        calls.forget();
        answer(calls, &handle, payload, &context).await
    }))
    .await
}

async fn answer(
    calls: &Calls,
    handle: &impl AsyncFn(Value, InvocationClock) -> Result<Outcome, Error>,
    payload: Value,
    context: &Context,
) -> Result<Outcome, Failure> {
    // On the heap, because the futures of the SDK are nested deeper than the compiler's limit for their layout.
    let clock = InvocationClock::of(context);
    let time = clock.remaining().saturating_sub(FAREWELL);
    let run = Box::pin(handle(payload, clock));
    let outcome = match tokio::time::timeout(time, run).await {
        Ok(outcome) => outcome.map_err(Failure)?,
        Err(_) => return Err(Failure(out_of_time(calls, context))),
    };
    match serde_json::to_value(outcome.redacted()) {
        Ok(fields) => tracing::info!(outcome = %fields, "done"),
        Err(error) => tracing::warn!(%error, "the outcome could not be logged"),
    }
    Ok(outcome)
}

/// The error of a run that is almost out of time. Its running calls may take effect. The next run reads the state before
/// it acts, like every run.
fn out_of_time(calls: &Calls, context: &Context) -> Error {
    Error::Retryable(Fault::new(
        "lambda:Invoke",
        &context.env_config.function_name,
        format!("the function's time is almost used up; {calls}"),
        "No action needed. The function is retried automatically, and continues from the current state.",
    ))
}
