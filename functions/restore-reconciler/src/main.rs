//! The Lambda function `restore-reconciler`.

use recovery_aws::{IntegrationAdapters, load_config};
use restore_reconciler::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings {
        domain,
        topic,
        horizon,
    } = recovery_lambda::start(Settings::from_variables)?;
    let config = load_config();
    let ports = IntegrationAdapters::new(&config, topic);
    recovery_lambda::serve(config.calls(), async |payload, clock| {
        handle(&ports, &clock, &domain, horizon, &payload).await
    })
    .await
}
