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

/// Starts logging and logs the version, then reads the settings, so that a bad setting fails the function's
/// start and not an incident.
///
/// # Errors
/// What `settings` finds wrong.
pub fn start<S>(
    settings: impl FnOnce(Variables<'_>) -> Result<S, SettingsError>,
) -> Result<S, lambda_runtime::Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment; everyone else is given variables"
    )]
    let variables = |name: &str| std::env::var(name).ok();
    crate::logs::init(variables);
    tracing::info!(version = recovery_core::VERSION, "the function starts");
    settings(&variables).map_err(|error| {
        tracing::error!(%error, "the function cannot start");
        error.into()
    })
}

/// Left of an invocation's time to report that it was not enough.
const FAREWELL: Duration = Duration::from_secs(1);

/// Hands each event to `handle` and its answer back to Lambda, for as long as Lambda wants. A run that
/// takes longer than Lambda gives it ends in time to say which of its `calls` it came to.
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
    // On the heap: the futures of the SDK nest so deep that the compiler's limit on computing their
    // layout is reached otherwise.
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

/// Whatever was under way may have taken effect: the next run looks before it acts, like every run.
fn out_of_time(calls: &Calls, context: &Context) -> Error {
    Error::Retryable(Fault::new(
        "lambda:Invoke",
        &context.env_config.function_name,
        format!("the function's time is nearly up; {calls}"),
        "Nothing to do yet: it is tried again, and goes on from what it finds.",
    ))
}
