//! The Lambda function `restore-starter`.

use recovery_aws::{StartingAdapters, load_config};
use restore_starter::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { config, bucket } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = StartingAdapters::new(&aws, bucket);
    recovery_lambda::serve(aws.calls(), async |payload, _| {
        handle(&ports, &config, &payload).await
    })
    .await
}
