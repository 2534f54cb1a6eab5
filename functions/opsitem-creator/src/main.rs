//! The Lambda function `opsitem-creator`.

use opsitem_creator::{Settings, handle};
use recovery_aws::{OpsCenter, load_config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { drill_role } = recovery_lambda::start(Settings::from_variables)?;
    let config = load_config();
    let ports = OpsCenter::new(&config);
    recovery_lambda::serve(config.calls(), async |payload, _| {
        handle(&ports, &drill_role, &payload).await
    })
    .await
}
