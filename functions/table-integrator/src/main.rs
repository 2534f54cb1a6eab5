//! The Lambda function `table-integrator`.

use recovery_aws::{TableAdapters, load_config};
use table_integrator::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { config, topic } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = TableAdapters::new(&aws, topic);
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &clock, &config, &payload).await
    })
    .await
}
