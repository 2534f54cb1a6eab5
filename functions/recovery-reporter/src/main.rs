//! The Lambda function `recovery-reporter`.

use recovery_aws::{ReportingAdapters, load_config};
use recovery_lambda::LoggedMetrics;
use recovery_reporter::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings { terms, topic } = recovery_lambda::start(Settings::from_variables)?;
    let config = load_config();
    let ports = ReportingAdapters::new(&config, terms.bucket.clone(), topic);
    recovery_lambda::serve(config.calls(), async |payload, clock| {
        handle(&ports, &LoggedMetrics, &clock, &terms, &payload).await
    })
    .await
}
