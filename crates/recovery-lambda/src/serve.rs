//! The runtime loop.

use lambda_runtime::{Context, LambdaEvent, service_fn};
use recovery_core::error::Error;
use recovery_core::outcome::Outcome;
use serde_json::Value;

use crate::clock::InvocationClock;
use crate::failure::Failure;
use crate::settings::{SettingsError, Variables};

/// Starts logging, then reads the settings, so that a bad setting fails the function's start and
/// not an incident.
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
    settings(&variables).map_err(|error| {
        tracing::error!(%error, "the function cannot start");
        error.into()
    })
}

/// Hands each event to `handle` and its answer back to Lambda, for as long as Lambda wants.
///
/// # Errors
/// Those of the runtime itself.
pub async fn serve(
    handle: impl AsyncFn(Value, InvocationClock) -> Result<Outcome, Error>,
) -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let LambdaEvent { payload, context } = event;
        answer(&handle, payload, &context).await
    }))
    .await
}

async fn answer(
    handle: &impl AsyncFn(Value, InvocationClock) -> Result<Outcome, Error>,
    payload: Value,
    context: &Context,
) -> Result<Outcome, Failure> {
    // On the heap: the futures of the SDK nest so deep that the compiler's limit on computing their
    // layout is reached otherwise.
    let outcome = Box::pin(handle(payload, InvocationClock::of(context)))
        .await
        .map_err(Failure)?;
    match serde_json::to_value(outcome.for_the_log()) {
        Ok(fields) => tracing::info!(outcome = %fields, "done"),
        Err(error) => tracing::warn!(%error, "the outcome could not be logged"),
    }
    Ok(outcome)
}
