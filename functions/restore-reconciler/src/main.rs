//! The Lambda function `restore-reconciler`.

use recovery_aws::{IntegrationAdapters, load_config};
use restore_reconciler::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings {
        ownership,
        topic,
        window,
    } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = IntegrationAdapters::new(&aws, topic);
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &clock, &ownership, window, &payload).await
    })
    .await
}
