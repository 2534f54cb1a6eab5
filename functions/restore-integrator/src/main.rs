//! The Lambda function `restore-integrator`.

use recovery_aws::{IntegrationAdapters, load_config};
use restore_integrator::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { domain, topic } = recovery_lambda::start(Settings::from_variables)?;
    let config = load_config();
    let ports = IntegrationAdapters::new(&config, topic);
    recovery_lambda::serve(config.calls(), async |payload, clock| {
        handle(&ports, &clock, &domain, &payload).await
    })
    .await
}
