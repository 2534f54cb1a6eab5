//! The Lambda function `restore-reconciler`.

use recovery_aws::{ReconciliationAdapters, load_config};
use restore_reconciler::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings {
        ownership,
        topic,
        mount_runbook,
        integrators,
        window,
    } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = ReconciliationAdapters::new(&aws, topic, mount_runbook);
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &clock, &ownership, &integrators, window, &payload).await
    })
    .await
}
