//! A Lambda Runtime API on a free loopback port, and the program that polls it for events. See
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::build::binary;

/// The time limit of a function, which only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The answer of a function.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether it reported an error.
    pub(super) is_error: bool,
    /// The answer or the error.
    pub(super) body: Value,
}

/// A running function. It is killed when this value is dropped.
pub(super) struct Lambda {
    process: Child,
    output: Vec<JoinHandle<String>>,
    events: Option<Sender<(String, Duration)>>,
    answers: Receiver<Answer>,
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Lambda {
    /// Starts the function with these variables, those that Lambda sets, and no others.
    pub(super) fn start(package: &str, variables: &[(&str, &str)]) -> Lambda {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let (events, to_come) = channel();
        let (answered, answers) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let serving = Arc::clone(&over);
        let to_come = Arc::new(Mutex::new(to_come));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if serving.load(Ordering::SeqCst) {
                    return;
                }
                let (to_come, answered) = (Arc::clone(&to_come), answered.clone());
                // Ends with the connection or, while it waits for an event, with the test.
                std::thread::spawn(move || serve(connection, &to_come, &answered));
            }
        });
        let mut process = Command::new(binary(package))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", package),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
                ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
                ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
            ])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a function can be started");
        let output = vec![
            collect(process.stdout.take().expect("it is piped")),
            collect(process.stderr.take().expect("it is piped")),
        ];
        Lambda {
            process,
            output,
            events: Some(events),
            answers,
            address,
            over,
        }
    }

    /// Sends an event to the function and waits for its answer.
    pub(super) fn invoke(&self, payload: &str) -> Answer {
        self.invoke_within(payload, PATIENCE)
    }

    /// The same with a deadline after `time`.
    pub(super) fn invoke_within(&self, payload: &str, time: Duration) -> Answer {
        self.events
            .as_ref()
            .expect("the function was not ended")
            .send((payload.to_owned(), time))
            .expect("the Runtime API takes events");
        self.answers
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no answer to {payload}"))
    }

    /// Waits until the function exits. Returns its status and output.
    pub(super) fn wait(mut self) -> (ExitStatus, String) {
        // If it does not exit, it polls for an event and gets none.
        self.events = None;
        let status = self.process.wait().expect("a child can be waited for");
        (status, self.collected())
    }

    /// Kills the function. Returns its output.
    pub(super) fn end(mut self) -> String {
        self.kill();
        self.collected()
    }

    fn kill(&mut self) {
        // It may already have exited.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn collected(&mut self) -> String {
        self.output
            .drain(..)
            .map(|output| output.join().expect("output is text"))
            .collect()
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.kill();
        self.events = None;
        self.over.store(true, Ordering::SeqCst);
        // One more connection makes the listener end.
        drop(TcpStream::connect(self.address));
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("output is text");
        text
    })
}

/// Answers the requests of one connection until it is closed or there are no more events.
fn serve(
    mut connection: TcpStream,
    to_come: &Mutex<Receiver<(String, Duration)>>,
    answered: &Sender<Answer>,
) {
    let mut reader = BufReader::new(connection.try_clone().expect("a socket can be shared"));
    while let Some(Request { path, body, .. }) = request(&mut reader) {
        let response = if path.ends_with("/invocation/next") {
            let events = to_come
                .lock()
                .expect("no thread panics while it has the lock");
            let Ok((payload, time)) = events.recv() else {
                return;
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the Lambda whose clock it is"
            )]
            let now = SystemTime::now();
            let deadline = (now + time)
                .duration_since(UNIX_EPOCH)
                .expect("it is later than 1970")
                .as_millis();
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                 lambda-runtime-deadline-ms: {deadline}\r\n\
                 lambda-runtime-invoked-function-arn: arn:aws:lambda:us-west-2:111122223333:function:f\r\n\
                 lambda-runtime-trace-id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700\r\n\r\n{payload}",
                payload.len()
            )
        } else {
            let answer = Answer {
                is_error: path.ends_with("/error"),
                body: serde_json::from_str(&body).unwrap_or(Value::String(body)),
            };
            // The test may no longer receive.
            let _ = answered.send(answer);
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
        };
        if connection.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// An HTTP request.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: String,
}

/// The next request.
pub(super) fn request(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ').map(str::to_owned);
    let (method, path) = (first.next()?, first.next()?);
    let length = lines
        .iter()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| {
            value.trim().parse().expect("a length is a number")
        });
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        body: String::from_utf8(body).expect("bodies are text"),
    })
}
