//! A Region in virtual time: each call takes a while, and EC2 grants only so many.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use recovery_core::aws::ec2::AttachAnswer;
use recovery_core::error::{Error, Fault};
use recovery_core::fakes::{Call, Effect, Intercepted, Interceptor, World};
use recovery_core::ports::Clock;
use tokio::time::Instant;

/// How long a call takes.
const LATENCY: Duration = Duration::from_millis(30);
/// What the SDK does about a call that is refused: crates/recovery-aws/src/client.rs.
const ATTEMPTS: u32 = 4;
const OPERATION: Duration = Duration::from_secs(20);

/// Tokens of one action: how many there can be, and how many come each second.
fn quota(action: &str) -> Option<(f64, f64)> {
    match action {
        "ec2:AttachVolume" => Some((50.0, 5.0)),
        action if action.starts_with("ec2:Describe") => Some((100.0, 20.0)),
        _ => None,
    }
}

struct Bucket {
    tokens: f64,
    since: Instant,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) calls: usize,
    pub(crate) refused: usize,
}

/// The Region.
pub(crate) type Region<'a> = Intercepted<&'a World, Quotas>;

/// What EC2 grants, and what was counted.
pub(crate) struct Quotas {
    buckets: Mutex<BTreeMap<&'static str, Bucket>>,
    counts: Mutex<Counts>,
    random: Mutex<fastrand::Rng>,
}

impl Quotas {
    pub(crate) fn of(world: &World) -> Region<'_> {
        Intercepted {
            ports: world,
            interceptor: Quotas {
                buckets: Mutex::default(),
                counts: Mutex::default(),
                random: Mutex::new(fastrand::Rng::with_seed(7)),
            },
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        *locked(&self.counts)
    }

    fn granted(&self, action: &'static str) -> bool {
        let Some((most, each_second)) = quota(action) else {
            return true;
        };
        let now = Instant::now();
        let mut buckets = locked(&self.buckets);
        let bucket = buckets.entry(action).or_insert(Bucket {
            tokens: most,
            since: now,
        });
        let came = (now - bucket.since).as_secs_f64() * each_second;
        bucket.tokens = (bucket.tokens + came).min(most);
        bucket.since = now;
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        }
        granted
    }
}

impl Interceptor for Quotas {
    /// The call as the SDK makes it: what is refused is tried again after a pause, except an attachment.
    async fn intercept<T, F>(&self, call: Call<'_>, make: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let attempts = match call.effect {
            Effect::Attach(..) => 1,
            _ => ATTEMPTS,
        };
        let begun = Instant::now();
        for attempt in 1.. {
            locked(&self.counts).calls += 1;
            tokio::time::sleep(LATENCY).await;
            if self.granted(call.operation) {
                return make().await;
            }
            locked(&self.counts).refused += 1;
            let pause = locked(&self.random).f64() * f64::from(1_u32 << attempt.min(5)) / 2.0;
            let pause = Duration::from_secs_f64(pause.min(20.0));
            if attempt >= attempts || begun.elapsed() + pause > OPERATION {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        let fault = Fault::new(call.operation, "a call", "Request limit exceeded.", "Wait.");
        let fault = fault.with_code("RequestLimitExceeded");
        if let Effect::Attach(..) = call.effect {
            let busy: Box<dyn Any> = Box::new(AttachAnswer::Busy(fault));
            return match busy.downcast() {
                Ok(busy) => Ok(*busy),
                Err(_) => Err(Error::Permanent(Fault::new(
                    call.operation,
                    "a call",
                    "it is not answered by an AttachAnswer",
                    "Change this benchmark with the port.",
                ))),
            };
        }
        Err(Error::Retryable(fault))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The clock of a run that has this much time.
pub(crate) struct RunClock {
    begun: Instant,
    time: Duration,
    epoch: (Instant, DateTime<Utc>),
}

impl RunClock {
    pub(crate) fn new(time: Duration, epoch: (Instant, DateTime<Utc>)) -> RunClock {
        RunClock {
            begun: Instant::now(),
            time,
            epoch,
        }
    }
}

impl Clock for RunClock {
    fn now(&self) -> DateTime<Utc> {
        let (instant, date) = self.epoch;
        date + TimeDelta::from_std(instant.elapsed()).unwrap_or_default()
    }

    fn remaining(&self) -> Duration {
        self.time.saturating_sub(self.begun.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
