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

use crate::http;
use crate::http::Incoming;
use crate::trouble::{Result, Trouble};

/// How long a function may take over anything. Nothing takes that long; it ends what hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the process told the Runtime API.
#[derive(Debug)]
pub(crate) enum Told {
    /// It asks for an event.
    Next(Instant),
    /// It answered the event.
    Answered(Answered),
    /// It could not start.
    CouldNotStart(String),
}

impl Told {
    /// In words, for when it is not what was expected.
    pub(crate) fn words(&self) -> String {
        match self {
            Told::Next(_) => "it asked for an event without answering the last".to_owned(),
            Told::Answered(answered) => format!("it answered {}", answered.body),
            Told::CouldNotStart(why) => format!("it could not start: {why}"),
        }
    }
}

/// An answer to an event.
#[derive(Debug)]
pub(crate) struct Answered {
    /// When the event was handed over.
    pub(crate) handed: Instant,
    /// When the answer was there.
    pub(crate) at: Instant,
    pub(crate) is_error: bool,
    pub(crate) body: Value,
}

/// The Runtime API. Ends with this value.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    events: Option<Sender<String>>,
    told: Receiver<Told>,
    over: Arc<AtomicBool>,
}

impl RuntimeApi {
    /// Starts to listen.
    pub(crate) fn start() -> Result<RuntimeApi> {
        let listen = || -> io::Result<(TcpListener, SocketAddr)> {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = listen().map_err(Trouble::because(
            "no free port on 127.0.0.1",
            "Let programs listen on loopback.",
        ))?;
        let (events, to_come) = channel();
        let (tell, told) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let desk = Arc::new(Desk {
            to_come: Mutex::new(to_come),
            handed: Mutex::new(Instant::now()),
            tell,
        });
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let desk = Arc::clone(&desk);
                std::thread::spawn(move || {
                    // A process that was ended breaks its connections.
                    let _ = serve(connection, &desk);
                });
            }
        });
        Ok(RuntimeApi {
            address,
            events: Some(events),
            told,
            over,
        })
    }

    /// Host and port, for `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Hands the event to the process, now or when it asks next.
    pub(crate) fn hand(&self, event: &str) {
        if let Some(events) = &self.events {
            // It can only fail when the listener is gone, and then `told` says so.
            let _ = events.send(event.to_owned());
        }
    }

    /// What the process tells next; nothing when it has kept silent for too long.
    pub(crate) fn told(&self, alive: impl Fn() -> bool) -> Option<Told> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.told.recv_timeout(Duration::from_millis(200)) {
                Ok(told) => return Some(told),
                Err(RecvTimeoutError::Timeout) if alive() => {}
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.events = None;
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

/// What the connections share.
struct Desk {
    to_come: Mutex<Receiver<String>>,
    /// When the last event was handed over.
    handed: Mutex<Instant>,
    tell: Sender<Told>,
}

fn serve(mut connection: TcpStream, desk: &Desk) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut incoming = Incoming::default();
    while let Some(request) = incoming.next(&mut connection)? {
        let at = Instant::now();
        match request.target.rsplit('/').next() {
            Some("next") => {
                let _ = desk.tell.send(Told::Next(at));
                let event = {
                    let to_come = lock(&desk.to_come);
                    let Ok(event) = to_come.recv() else {
                        return Ok(());
                    };
                    event
                };
                *lock(&desk.handed) = Instant::now();
                let deadline = deadline();
                let headers = [
                    ("content-type", "application/json"),
                    (
                        "lambda-runtime-aws-request-id",
                        "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                    ),
                    ("lambda-runtime-deadline-ms", &deadline),
                    (
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:us-west-2:111122223333:function:measured",
                    ),
                ];
                http::answer(&mut connection, 200, &headers, &event)?;
            }
            Some(kind @ ("response" | "error")) => {
                let body = String::from_utf8_lossy(&request.body);
                let told = if request.target.contains("/init/") {
                    Told::CouldNotStart(body.into_owned())
                } else {
                    Told::Answered(Answered {
                        handed: *lock(&desk.handed),
                        at,
                        is_error: kind == "error",
                        body: serde_json::from_str(&body).unwrap_or(Value::Null),
                    })
                };
                let _ = desk.tell.send(told);
                let headers = [("content-type", "application/json")];
                http::answer(&mut connection, 202, &headers, r#"{"status":"OK"}"#)?;
            }
            _ => http::answer(&mut connection, 404, &[], "")?,
        }
    }
    Ok(())
}

/// Five minutes from now, as Lambda tells it: the timeout of restore-integrator.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of this Lambda is the machine's"
)]
fn deadline() -> String {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_millis() + 300_000)
        .to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
