//! Virtual time and its tasks: one thread, no async runtime, no real clock.
//!
//! Every wait ends at a time on the agenda. The times are drawn from the seed, so the seed determines
//! the order of all steps. The clock advances only to the next time on the agenda.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Virtual milliseconds since the beginning.
pub(crate) type Millis = u64;

/// A task: one attempt of one invocation.
pub(crate) type TaskId = usize;

/// Locks what only this thread uses.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Due<A> {
    Wake(Waker),
    Act(A),
}

/// Scheduled actions and wake-ups by time; those of the same time in the order in which they were added.
pub(crate) struct Agenda<A> {
    now: Millis,
    noted: u64,
    due: BTreeMap<(Millis, u64), Due<A>>,
    condemned: Vec<TaskId>,
}

impl<A> Agenda<A> {
    /// An empty agenda at the beginning of time.
    pub(crate) fn new() -> Agenda<A> {
        Agenda {
            now: 0,
            noted: 0,
            due: BTreeMap::new(),
            condemned: Vec::new(),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// Notes that `act` is to happen at `at`, or now if that is over.
    pub(crate) fn at(&mut self, at: Millis, act: A) {
        self.note(at, Due::Act(act));
    }

    /// Ends a task as soon as it waits, as if its process had been terminated.
    pub(crate) fn condemn(&mut self, task: TaskId) {
        self.condemned.push(task);
    }

    fn note(&mut self, at: Millis, due: Due<A>) {
        self.due.insert((at.max(self.now), self.noted), due);
        self.noted += 1;
    }
}

/// Waits until the agenda has reached `until`.
pub(crate) async fn wait<A>(agenda: &Mutex<Agenda<A>>, until: Millis) {
    let mut noted = false;
    std::future::poll_fn(|context| {
        let mut agenda = lock(agenda);
        if agenda.now >= until {
            return Poll::Ready(());
        }
        // A task that waits for several futures polls all of them with the same waker.
        if !noted {
            agenda.note(until, Due::Wake(context.waker().clone()));
            noted = true;
        }
        Poll::Pending
    })
    .await;
}

/// The next step of an executor.
pub(crate) enum Next<A, T> {
    /// This is to be done now.
    Act(A),
    /// A task has ended: with an answer, or with none because its process died.
    Ended(TaskId, Option<T>),
    /// Nothing is left to happen.
    Nothing,
}

type Woken = Arc<Mutex<VecDeque<TaskId>>>;

struct TaskWaker {
    id: TaskId,
    woken: Woken,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        lock(&self.woken).push_back(self.id);
    }
}

struct Task<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    waker: Waker,
}

/// Runs tasks along an agenda.
pub(crate) struct Executor<A, T> {
    agenda: Arc<Mutex<Agenda<A>>>,
    tasks: BTreeMap<TaskId, Task<T>>,
    woken: Woken,
}

impl<A, T> Executor<A, T> {
    /// An executor without tasks.
    pub(crate) fn new(agenda: Arc<Mutex<Agenda<A>>>) -> Executor<A, T> {
        Executor {
            agenda,
            tasks: BTreeMap::new(),
            woken: Woken::default(),
        }
    }

    /// Begins a task.
    pub(crate) fn spawn(&mut self, id: TaskId, future: impl Future<Output = T> + 'static) {
        let waker = Waker::from(Arc::new(TaskWaker {
            id,
            woken: self.woken.clone(),
        }));
        waker.wake_by_ref();
        let future = Box::pin(future);
        self.tasks.insert(id, Task { future, waker });
    }

    /// Ends a task that has not finished. Returns whether it existed.
    pub(crate) fn kill(&mut self, id: TaskId) -> bool {
        self.tasks.remove(&id).is_some()
    }

    /// Runs until the caller has to do something.
    pub(crate) fn next(&mut self) -> Next<A, T> {
        loop {
            let woken = lock(&self.woken).pop_front();
            if let Some(id) = woken {
                let Some(task) = self.tasks.get_mut(&id) else {
                    continue;
                };
                let polled = task
                    .future
                    .as_mut()
                    .poll(&mut Context::from_waker(&task.waker));
                let dies = {
                    let condemned = &mut lock(&self.agenda).condemned;
                    let dies = condemned.contains(&id);
                    condemned.clear();
                    dies
                };
                match polled {
                    Poll::Ready(answer) if !dies => {
                        self.tasks.remove(&id);
                        return Next::Ended(id, Some(answer));
                    }
                    _ if dies => {
                        self.tasks.remove(&id);
                        return Next::Ended(id, None);
                    }
                    _ => continue,
                }
            }
            let due = {
                let mut agenda = lock(&self.agenda);
                let Some(((at, _), due)) = agenda.due.pop_first() else {
                    return Next::Nothing;
                };
                agenda.now = at;
                due
            };
            match due {
                Due::Wake(waker) => waker.wake(),
                Due::Act(act) => return Next::Act(act),
            }
        }
    }
}
