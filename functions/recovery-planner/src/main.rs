//! The Lambda function `recovery-planner`.

use recovery_aws::{PlanningAdapters, load_config};
use recovery_planner::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { places } = recovery_lambda::start(Settings::from_variables)?;
    let config = load_config();
    let ports = PlanningAdapters::new(&config, places.bucket.clone());
    recovery_lambda::serve(config.calls(), async |payload, clock| {
        handle(&ports, &clock, &places, &payload).await
    })
    .await
}
