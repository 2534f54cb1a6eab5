//! The Lambda function `recovery-planner`.

use recovery_aws::{PlanningAdapters, load_config};
use recovery_planner::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { config } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = PlanningAdapters::new(&aws, config.bucket.clone());
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &clock, &config, &payload).await
    })
    .await
}
