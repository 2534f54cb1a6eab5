//! A Lambda Runtime API on a free loopback port, and the program that polls it for events. See
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use testkit::runtime_api::{PATIENCE, Report, Response, RuntimeApi};

use super::build::binary;

/// A running function. Ends with this value, whatever happens.
pub(super) struct Lambda {
    process: Child,
    output: Vec<JoinHandle<String>>,
    runtime: RuntimeApi,
}

impl Lambda {
    /// Starts the function with these variables, those that Lambda sets, and no others.
    pub(super) fn start(package: &str, variables: &[(&str, &str)]) -> Lambda {
        let runtime = RuntimeApi::start().expect("loopback has a free port");
        let mut process = Command::new(binary(package))
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", runtime.address().as_str()),
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
            runtime,
        }
    }

    /// Gives the function an event and waits for its answer.
    pub(super) fn invoke(&self, payload: &str) -> Response {
        self.invoke_within(payload, PATIENCE)
    }

    /// The same, but tells the function that Lambda ends it after `time`.
    pub(super) fn invoke_within(&self, payload: &str, time: Duration) -> Response {
        self.runtime.send(payload, time);
        loop {
            match self.runtime.next_report(|| true) {
                Some(Report::Response(response)) => return response,
                Some(Report::Next(_)) => {}
                Some(Report::InitError(why)) => panic!("it could not start: {why}"),
                None => panic!("no answer to {payload}"),
            }
        }
    }

    /// Waits until the function exits. Returns its status and output.
    pub(super) fn wait(mut self) -> (ExitStatus, String) {
        // Should it not end after all, it asks for an event, and has none.
        self.runtime.close();
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
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("output is text");
        text
    })
}
