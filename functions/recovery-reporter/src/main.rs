//! The Lambda function `recovery-reporter`.

use recovery_aws::{ReportingAdapters, load_config};
use recovery_lambda::LoggedMetrics;
use recovery_reporter::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let (Settings { config, topic }, metrics) = recovery_lambda::start(|variables| {
        let settings = Settings::from_variables(variables)?;
        Ok((settings, LoggedMetrics::from_variables(variables)))
    })?;
    let aws = load_config();
    let ports = ReportingAdapters::new(&aws, config.bucket.clone(), topic);
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &metrics, &clock, &config, &payload).await
    })
    .await
}
