//! The Lambda function `opsitem-creator`.

use opsitem_creator::{Settings, handle};
use recovery_aws::{OpsCenter, load_config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings = recovery_lambda::start(Settings::from_variables)?;
    let config = load_config();
    let ports = OpsCenter::new(&config);
    recovery_lambda::serve(config.calls(), async |payload, _| {
        handle(&ports, &payload).await
    })
    .await
}
