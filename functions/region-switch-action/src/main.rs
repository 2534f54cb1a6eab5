//! The Lambda function `region-switch-action`.

use recovery_aws::{StateMachine, load_config};
use region_switch_action::{Settings, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let Settings {
        state_machine,
        config,
    } = recovery_lambda::start(Settings::from_variables)?;
    let aws = load_config();
    let ports = StateMachine::new(&aws, state_machine);
    recovery_lambda::serve(aws.calls(), async |payload, clock| {
        handle(&ports, &clock, &config, &payload).await
    })
    .await
}
