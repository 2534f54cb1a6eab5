//! The Lambda function `opsitem-creator`.

use opsitem_creator::{Settings, handle};
use recovery_aws::{OpsCenter, load_config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings = recovery_lambda::start(Settings::from_variables)?;
    let ports = OpsCenter::new(&load_config().await);
    recovery_lambda::serve(async |payload, _| handle(&ports, &payload).await).await
}
