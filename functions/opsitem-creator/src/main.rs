//! The Lambda function `opsitem-creator`.

use opsitem_creator::{Settings, handle};
use recovery_aws::{TrackingAdapters, load_config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { drill_role, topic } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = TrackingAdapters::new(&aws, topic);
    recovery_lambda::serve(aws.calls(), async |payload, _| {
        handle(&ports, &drill_role, &payload).await
    })
    .await
}
