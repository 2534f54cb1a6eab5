//! The Lambda function `restore-starter`.

use recovery_aws::{StartingAdapters, load_config};
use restore_starter::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { means, bucket } = recovery_lambda::start(Settings::from_variables)?;
    let config = load_config();
    let ports = StartingAdapters::new(&config, bucket);
    recovery_lambda::serve(config.calls(), async |payload, _| {
        handle(&ports, &means, &payload).await
    })
    .await
}
