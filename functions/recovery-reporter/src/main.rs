//! The Lambda function `recovery-reporter`.

use recovery_aws::{ReportingAdapters, load_config};
use recovery_lambda::LoggedMetrics;
use recovery_reporter::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let (Settings { terms, topic }, metrics) = recovery_lambda::start(|variables| {
        let settings = Settings::from_variables(variables)?;
        Ok((settings, LoggedMetrics::from_variables(variables)))
    })?;
    let config = load_config();
    let ports = ReportingAdapters::new(&config, terms.bucket.clone(), topic);
    recovery_lambda::serve(config.calls(), async |payload, clock| {
        handle(&ports, &metrics, &clock, &terms, &payload).await
    })
    .await
}
