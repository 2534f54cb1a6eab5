//! The time that Lambda leaves to an invocation.

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use lambda_runtime::Context;
use recovery_core::ports::Clock;

/// The clock of one invocation, with the time until its timeout.
#[derive(Debug)]
pub struct InvocationClock {
    deadline: Instant,
}

impl InvocationClock {
    pub fn of(context: &Context) -> InvocationClock {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the only clock; all other code gets it as an argument"
        )]
        let left = context
            .deadline()
            .duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO);
        InvocationClock {
            deadline: Instant::now() + left,
        }
    }
}

impl Clock for InvocationClock {
    fn now(&self) -> DateTime<Utc> {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the only clock; all other code gets it as an argument"
        )]
        SystemTime::now().into()
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
