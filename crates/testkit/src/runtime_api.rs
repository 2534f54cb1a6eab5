//! A Lambda Runtime API on a free port of loopback, for one process.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::http::{self, Incoming};

/// How long [`RuntimeApi::next_report`] waits. Nothing takes that long; it ends what hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A request of the process to the Runtime API.
#[derive(Debug)]
pub enum Report {
    /// It asks for an event.
    Next(Instant),
    /// It responds to the event, or reports an error of this invocation.
    Response(Response),
    /// It reports that it cannot start.
    InitError(String),
}

/// What the process says about an event.
#[derive(Debug)]
pub struct Response {
    /// When the process received the event.
    pub sent: Instant,
    /// When the response arrived.
    pub received: Instant,
    /// Whether it is an error of the invocation.
    pub is_error: bool,
    /// The response or the error. A body that is not JSON is a JSON string.
    pub body: Value,
}

/// The Runtime API. Dropped, it ends.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    events: Option<Sender<Event>>,
    reports: Receiver<Report>,
    ended: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Event {
    payload: String,
    time: Duration,
}

impl RuntimeApi {
    /// Starts to listen.
    ///
    /// # Errors
    /// Those of listening on loopback.
    pub fn start() -> io::Result<RuntimeApi> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (events, pending) = channel();
        let (reporter, reports) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        let listening = Arc::clone(&ended);
        let shared = Arc::new(Shared {
            pending: Mutex::new(pending),
            sent: Mutex::new(Instant::now()),
            reporter,
        });
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if listening.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // A process that was ended breaks its connections.
                    let _ = serve(connection, &shared);
                });
            }
        });
        Ok(RuntimeApi {
            address,
            events: Some(events),
            reports,
            ended,
        })
    }

    /// Host and port, for `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sends the event to the process, now or when it asks next. Its deadline, after which Lambda ends the
    /// process, is in `time`.
    pub fn send(&self, payload: &str, time: Duration) {
        if let Some(events) = &self.events {
            // It can only fail when the listener is gone, and then `next_report` says so.
            let _ = events.send(Event {
                payload: payload.to_owned(),
                time,
            });
        }
    }

    /// Sends no more events: a process that asks for one loses its connection.
    pub fn close(&mut self) {
        self.events = None;
    }

    /// The next request of the process. `None` when it is no longer `alive`, or has sent nothing for
    /// [`PATIENCE`].
    pub fn next_report(&self, alive: impl Fn() -> bool) -> Option<Report> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.reports.recv_timeout(Duration::from_millis(200)) {
                Ok(report) => return Some(report),
                Err(RecvTimeoutError::Timeout) if alive() => {}
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.close();
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it ends.
        let _ = TcpStream::connect(self.address);
    }
}

/// What the connections share.
struct Shared {
    pending: Mutex<Receiver<Event>>,
    /// When the last event was sent.
    sent: Mutex<Instant>,
    reporter: Sender<Report>,
}

fn serve(mut connection: TcpStream, shared: &Shared) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut incoming = Incoming::default();
    while let Some(request) = incoming.next(&mut connection)? {
        let received = Instant::now();
        match request.target.rsplit('/').next() {
            Some("next") => {
                let _ = shared.reporter.send(Report::Next(received));
                let event = {
                    let pending = lock(&shared.pending);
                    let Ok(event) = pending.recv() else {
                        return Ok(());
                    };
                    event
                };
                *lock(&shared.sent) = Instant::now();
                let deadline = deadline(event.time);
                let headers = [
                    ("content-type", "application/json"),
                    (
                        "lambda-runtime-aws-request-id",
                        "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                    ),
                    ("lambda-runtime-deadline-ms", &deadline),
                    (
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:us-west-2:111122223333:function:f",
                    ),
                    (
                        "lambda-runtime-trace-id",
                        "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
                    ),
                ];
                http::answer(&mut connection, 200, &headers, &event.payload)?;
            }
            Some(kind @ ("response" | "error")) => {
                let body = String::from_utf8_lossy(&request.body).into_owned();
                let report = if request.target.contains("/init/") {
                    Report::InitError(body)
                } else {
                    Report::Response(Response {
                        sent: *lock(&shared.sent),
                        received,
                        is_error: kind == "error",
                        body: serde_json::from_str(&body).unwrap_or(Value::String(body)),
                    })
                };
                let _ = shared.reporter.send(report);
                let headers = [("content-type", "application/json")];
                http::answer(&mut connection, 202, &headers, r#"{"status":"OK"}"#)?;
            }
            _ => http::answer(&mut connection, 404, &[], "")?,
        }
    }
    Ok(())
}

/// The end of an invocation that may take `time`, in milliseconds since 1970, as Lambda passes it.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of this Lambda is the machine's"
)]
fn deadline(time: Duration) -> String {
    (SystemTime::now() + time)
        .duration_since(UNIX_EPOCH)
        .map_or(0, |end| end.as_millis())
        .to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
