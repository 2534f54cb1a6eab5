//! The Lambda function `alarm-responder`.

use alarm_responder::{Settings, handle};
use recovery_aws::{ResponseAdapters, load_config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { policy, topic } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = ResponseAdapters::new(&aws, topic);
    recovery_lambda::serve(aws.calls(), async |payload, _| {
        handle(&ports, &policy, &payload).await
    })
    .await
}
