//! A world in which chosen calls go wrong, or in which others act between two calls.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use recovery_core::error::{Error, Fault};
use recovery_core::fakes::{Call, FakeClock, Intercepted, Interceptor, World};
use recovery_core::outcome::Outcome;
use recovery_core::ports::Clock;

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// The process ends before the call is made.
    CrashBefore,
    /// The process ends when the call has taken effect.
    CrashAfter,
    /// AWS asks to come back later; nothing happened.
    Throttled,
    /// AWS answers with an error of its own; nothing happened.
    ServerErrorBefore,
    /// AWS answers with an error of its own, and yet the call took effect.
    ServerErrorAfter,
    /// It takes effect, and no answer comes in time.
    TimeoutAfter,
    /// The connection breaks before the request arrives.
    ResetBefore,
    /// The connection breaks when the call has taken effect.
    ResetAfter,
    /// No answer comes until Lambda ends the process, its time being up; nothing happened.
    OverdueBefore,
    /// The same, and the call took effect.
    OverdueAfter,
    /// It takes effect, and the answer comes when the function's time is nearly up.
    Late,
    /// It takes effect, the answer is lost, the SDK asks again, and that answer arrives.
    Repeated,
    /// AWS refuses it, until someone allows it.
    Denied,
}

impl Trouble {
    /// Every kind of trouble.
    pub(crate) const ALL: [Trouble; 13] = [
        Trouble::CrashBefore,
        Trouble::CrashAfter,
        Trouble::Throttled,
        Trouble::ServerErrorBefore,
        Trouble::ServerErrorAfter,
        Trouble::TimeoutAfter,
        Trouble::ResetBefore,
        Trouble::ResetAfter,
        Trouble::OverdueBefore,
        Trouble::OverdueAfter,
        Trouble::Late,
        Trouble::Repeated,
        Trouble::Denied,
    ];

    /// One of each that can differ for the code: whether the call took effect, and whether the
    /// process goes on, with which kind of error.
    pub(crate) const DISTINCT: [Trouble; 7] = [
        Trouble::CrashBefore,
        Trouble::CrashAfter,
        Trouble::Throttled,
        Trouble::ResetAfter,
        Trouble::Late,
        Trouble::Repeated,
        Trouble::Denied,
    ];

    /// Its name in the name of a case.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Trouble::CrashBefore => "crash-before",
            Trouble::CrashAfter => "crash-after",
            Trouble::Throttled => "throttled",
            Trouble::ServerErrorBefore => "5xx-before",
            Trouble::ServerErrorAfter => "5xx-after",
            Trouble::TimeoutAfter => "timeout-after",
            Trouble::ResetBefore => "reset-before",
            Trouble::ResetAfter => "reset-after",
            Trouble::OverdueBefore => "overdue-before",
            Trouble::OverdueAfter => "overdue-after",
            Trouble::Late => "late",
            Trouble::Repeated => "repeated",
            Trouble::Denied => "denied",
        }
    }

    /// Whether the process ends.
    pub(crate) fn ends_the_process(self) -> bool {
        matches!(
            self,
            Trouble::CrashBefore
                | Trouble::CrashAfter
                | Trouble::OverdueBefore
                | Trouble::OverdueAfter
        )
    }

    /// Whether this can happen to a call. The SDK never repeats an `AttachVolume`, or a call to an
    /// endpoint of a cluster: its retry is off.
    pub(crate) fn can_happen_to(self, operation: &str) -> bool {
        let once = [
            "ec2:AttachVolume",
            "route53-recovery-cluster:GetRoutingControlState",
            "route53-recovery-cluster:UpdateRoutingControlStates",
        ];
        self != Trouble::Repeated || !once.contains(&operation)
    }
}

/// Trouble at one call: the n-th call of an operation in a run, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Disturbance {
    /// The operation.
    pub(crate) operation: String,
    /// Which of its calls.
    pub(crate) occurrence: usize,
    /// What happens there.
    pub(crate) trouble: Trouble,
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Disturbance {
            operation,
            occurrence,
            trouble,
        } = self;
        write!(f, "{operation}#{occurrence}/{}", trouble.name())
    }
}

/// A call that a run made, or tried to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// The IAM action.
    pub(crate) operation: &'static str,
    /// Which call of this operation in its run, counted from 1.
    pub(crate) occurrence: usize,
    /// What it was about, several separated by spaces; of a notification, its message.
    pub(crate) subject: String,
    /// Whether the run heard an answer that is no error.
    pub(crate) answered: bool,
}

/// What another party does to the world.
type Intrusion<'a> = Box<dyn FnOnce(&World) + Send + 'a>;

/// When another party acts.
enum Moment {
    /// Before the call with this number, counted from 0.
    Call(usize),
    /// Before the first call of this operation.
    Operation(&'static str),
}

/// The ports and the clock of one run in a disturbed world.
pub(crate) type Ports<'a> = Intercepted<&'a World, Disturbed<'a>>;

/// What goes wrong in one run, what it called, and the time that Lambda leaves to it.
pub(crate) struct Disturbed<'a> {
    world: &'a World,
    disturbances: Vec<Disturbance>,
    /// Calls before which the run is held until it is polled again, by number, counted from 0.
    pauses: Vec<usize>,
    /// Where a run is held: what wakes it.
    held: Mutex<Vec<Waker>>,
    /// Whether the process has ended.
    dead: AtomicBool,
    intrusion: Mutex<Option<(Moment, Intrusion<'a>)>>,
    made: Mutex<Vec<Made>>,
    began: Duration,
    spent: Mutex<Duration>,
    budget: Duration,
}

impl<'a> Disturbed<'a> {
    /// The world as it is.
    pub(crate) fn not(world: &'a World) -> Ports<'a> {
        Disturbed::usual(world).ports()
    }

    /// These calls meet trouble.
    pub(crate) fn by(world: &'a World, disturbances: &[Disturbance]) -> Ports<'a> {
        Disturbed {
            disturbances: disturbances.to_vec(),
            ..Disturbed::usual(world)
        }
        .ports()
    }

    /// The run is held before each of these calls until it is polled again.
    pub(crate) fn pausing(world: &'a World, pauses: &[usize]) -> Ports<'a> {
        Disturbed {
            pauses: pauses.to_vec(),
            ..Disturbed::usual(world)
        }
        .ports()
    }

    /// Someone else acts right before the call with this number.
    pub(crate) fn between(
        world: &'a World,
        call: usize,
        act: impl FnOnce(&World) + Send + 'a,
    ) -> Ports<'a> {
        Disturbed {
            intrusion: Mutex::new(Some((Moment::Call(call), Box::new(act)))),
            ..Disturbed::usual(world)
        }
        .ports()
    }

    /// Someone else acts right before the first call of this operation.
    pub(crate) fn before(
        world: &'a World,
        operation: &'static str,
        act: impl FnOnce(&World) + Send + 'a,
    ) -> Ports<'a> {
        Disturbed {
            intrusion: Mutex::new(Some((Moment::Operation(operation), Box::new(act)))),
            ..Disturbed::usual(world)
        }
        .ports()
    }

    fn usual(world: &'a World) -> Disturbed<'a> {
        Disturbed {
            world,
            disturbances: Vec::new(),
            pauses: Vec::new(),
            held: Mutex::new(Vec::new()),
            dead: AtomicBool::new(false),
            intrusion: Mutex::new(None),
            made: Mutex::new(Vec::new()),
            began: Duration::ZERO,
            spent: Mutex::new(Duration::ZERO),
            budget: Duration::from_secs(300),
        }
    }

    fn ports(self) -> Ports<'a> {
        Intercepted {
            ports: self.world,
            interceptor: self,
        }
    }

    /// The same run, which begins this long after the world did, and has this much time.
    pub(crate) fn lasting(mut ports: Ports<'a>, began: Duration, budget: Duration) -> Ports<'a> {
        ports.interceptor.began = began;
        ports.interceptor.budget = budget;
        ports
    }

    /// Lets a run that is held go on, when it is polled.
    pub(crate) fn release(&self) {
        for held in self.held.lock().expect(UNBROKEN).drain(..) {
            held.wake();
        }
    }

    /// The calls made.
    pub(crate) fn made(&self) -> Vec<Made> {
        self.made.lock().expect(UNBROKEN).clone()
    }

    /// When the run ended, as far as it came, counted from the beginning of the world.
    pub(crate) fn ended(&self) -> Duration {
        self.began + *self.spent.lock().expect(UNBROKEN)
    }

    /// Lets others go first, once.
    async fn pause(&self) {
        let mut held = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut held, true) {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            self.held.lock().expect(UNBROKEN).push(waker);
            Poll::Pending
        })
        .await;
    }

    /// Makes the call as far as the trouble lets it be made.
    async fn meet<T, F>(
        &self,
        operation: &'static str,
        trouble: Option<Trouble>,
        call: impl Fn() -> F + Send,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send,
        T: Send,
    {
        let fault = |message: &str| Fault::new(operation, "a call", message, "Deliver it again.");
        if trouble.is_some_and(Trouble::ends_the_process) {
            self.dead.store(true, Ordering::SeqCst);
        }
        let overdue = || *self.spent.lock().expect(UNBROKEN) = self.budget;
        match trouble {
            None => call().await,
            Some(Trouble::CrashBefore) => std::future::pending().await,
            Some(Trouble::CrashAfter) => {
                // Whatever it answered, nobody hears it.
                drop(call().await);
                std::future::pending().await
            }
            Some(Trouble::OverdueBefore) => {
                overdue();
                std::future::pending().await
            }
            Some(Trouble::OverdueAfter) => {
                drop(call().await);
                overdue();
                std::future::pending().await
            }
            Some(Trouble::Throttled) => Err(Error::Retryable(
                fault("rate exceeded").with_code("ThrottlingException"),
            )),
            Some(Trouble::ServerErrorBefore) => Err(Error::Retryable(
                fault("an internal error").with_code("InternalServerError"),
            )),
            Some(Trouble::ResetBefore) => Err(Error::Retryable(fault("the connection was reset"))),
            // What failed by itself has an answer to lose, too.
            Some(Trouble::ServerErrorAfter) => {
                drop(call().await);
                Err(Error::Retryable(
                    fault("an internal error").with_code("InternalServerError"),
                ))
            }
            Some(Trouble::TimeoutAfter | Trouble::ResetAfter) => {
                drop(call().await);
                Err(Error::Retryable(fault(
                    "the call got no answer, and may have taken effect",
                )))
            }
            Some(Trouble::Late) => {
                let answer = call().await;
                *self.spent.lock().expect(UNBROKEN) = self.budget - Duration::from_secs(1);
                answer
            }
            Some(Trouble::Repeated) => {
                drop(call().await);
                call().await
            }
            Some(Trouble::Denied) => Err(Error::Permanent(
                fault("not authorized").with_code("AccessDeniedException"),
            )),
        }
    }
}

impl Interceptor for Disturbed<'_> {
    async fn intercept<T, F>(&self, call: Call<'_>, make: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let operation = call.operation;
        // Of a process that has ended, nothing goes on, at the same time or later.
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let (number, occurrence) = {
            let mut made = self.made.lock().expect(UNBROKEN);
            let earlier = made.iter().filter(|made| made.operation == operation);
            let occurrence = earlier.count() + 1;
            made.push(Made {
                operation,
                occurrence,
                subject: call.subject.to_owned(),
                answered: false,
            });
            (made.len() - 1, occurrence)
        };
        if self.pauses.contains(&number) {
            self.pause().await;
        }
        let intrusion = {
            let mut intrusion = self.intrusion.lock().expect(UNBROKEN);
            let due = matches!(&*intrusion,
                Some((Moment::Call(at), _)) if *at == number)
                || matches!(&*intrusion, Some((Moment::Operation(at), _)) if *at == operation);
            if due { intrusion.take() } else { None }
        };
        if let Some((_, act)) = intrusion {
            act(self.world);
        }
        let trouble = self
            .disturbances
            .iter()
            .find(|at| at.operation == operation && at.occurrence == occurrence)
            .map(|at| at.trouble);
        let answer = self.meet(operation, trouble, make).await;
        self.made.lock().expect(UNBROKEN)[number].answered = answer.is_ok();
        answer
    }
}

const UNBROKEN: &str = "no test panics while it holds this";

/// The answer of a run, or nothing if the process ended in the middle.
///
/// Nothing in these worlds waits for anything, so one poll is the whole run: no runtime, no time.
pub(crate) fn run(
    handle: impl Future<Output = Result<Outcome, Error>>,
) -> Option<Result<Outcome, Error>> {
    handle.now_or_never()
}

/// The answer of a run in which no process ends.
pub(crate) fn finish(
    handle: impl Future<Output = Result<Outcome, Error>>,
) -> Result<Outcome, Error> {
    run(handle).expect("nothing in this world waits")
}

impl Clock for Disturbed<'_> {
    fn now(&self) -> DateTime<Utc> {
        FakeClock::new().now() + self.ended()
    }

    fn remaining(&self) -> Duration {
        self.budget
            .saturating_sub(*self.spent.lock().expect(UNBROKEN))
    }

    async fn sleep(&self, duration: Duration) {
        *self.spent.lock().expect(UNBROKEN) += duration;
    }
}
