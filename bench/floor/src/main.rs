//! The least a Rust function can be: takes an event, makes no call, answers.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let _ = event;
    Ok(json!({"outcome": "integrated"}))
}

#[cfg_attr(feature = "defaults", tokio::main)]
#[cfg_attr(not(feature = "defaults"), tokio::main(flavor = "current_thread"))]
async fn main() -> Result<(), Error> {
    #[cfg(feature = "defaults")]
    lambda_runtime::tracing::init_default_subscriber();
    run(service_fn(handle)).await
}
