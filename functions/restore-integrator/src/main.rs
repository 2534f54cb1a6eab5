//! The Lambda function `restore-integrator`.

use recovery_aws::{IntegrationAdapters, load_config};
use restore_integrator::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings {
        ownership,
        topic,
        mount_runbook,
    } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = IntegrationAdapters::new(&aws, topic, mount_runbook);
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &clock, &ownership, &payload).await
    })
    .await
}
