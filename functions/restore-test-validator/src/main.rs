//! The Lambda function `restore-test-validator`.

use recovery_aws::{ValidationAdapters, load_config};
use restore_test_validator::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { scope, topic } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = ValidationAdapters::new(&aws, topic);
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &clock, &scope, &payload).await
    })
    .await
}
