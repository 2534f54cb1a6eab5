//! The Lambda function `file-system-integrator`.

use file_system_integrator::{Settings, handle};
use recovery_aws::{FileSystemAdapters, load_config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings {
        config,
        topic,
        mount_runbook,
    } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = FileSystemAdapters::new(&aws, topic, mount_runbook);
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &clock, &config, &payload).await
    })
    .await
}
