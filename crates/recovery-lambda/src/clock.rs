//! The time that Lambda leaves to an invocation.

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use lambda_runtime::Context;
use recovery_core::ports::Clock;

/// The clock of one invocation: it ends when Lambda ends the function.
#[derive(Debug)]
pub struct InvocationClock {
    deadline: Instant,
}

impl InvocationClock {
    /// The clock of the invocation that `context` belongs to.
    pub fn of(context: &Context) -> InvocationClock {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the clock that everyone else is given"
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
            reason = "this is the clock that everyone else is given"
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
