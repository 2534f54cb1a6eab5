//! The Lambda function `routing-shifter`.

use recovery_aws::{RoutingCluster, load_config};
use routing_shifter::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { routing } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = RoutingCluster::new(&aws);
    recovery_lambda::serve(aws.calls(), async |payload, _| {
        handle(&ports, &routing, &payload).await
    })
    .await
}
