//! One process of a program under test: started, given events, measured, ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::Value;
use testkit::runtime_api::{Report, RuntimeApi};

use crate::throttle::{Held, Throttle};
use crate::trouble::{Result, Trouble};

/// How long a function may take: the timeout of restore-integrator.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Something that can be started as a function.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// Its name in tables.
    pub(crate) name: String,
    pub(crate) command: Vec<PathBuf>,
    /// What it is set to, beside what Lambda and the fake AWS set.
    pub(crate) settings: Vec<(&'static str, &'static str)>,
}

/// Where and how processes run.
pub(crate) struct Place<'a> {
    /// Leads to the fake AWS.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// For what the processes print.
    pub(crate) folder: &'a Path,
    /// Throttled to the processor share of a function with so many megabytes of memory.
    pub(crate) throttle: Option<(&'a Throttle, u32)>,
}

/// A running process. Ends with this value.
pub(crate) struct Running {
    name: String,
    child: Child,
    runtime: RuntimeApi,
    log: PathBuf,
    spawned: Instant,
    before: Duration,
    _held: Option<Held>,
}

/// An answer to an event.
#[derive(Debug)]
pub(crate) struct Answer {
    /// From the event handed over to the answer.
    pub(crate) took: Duration,
    /// From the start of the process to the answer.
    pub(crate) since_start: Duration,
    /// When the event was handed over.
    pub(crate) handed: Instant,
    pub(crate) body: Value,
}

/// What a process has used in all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// Processor time, of the user and of the system.
    pub(crate) cpu: Duration,
    /// The most memory it held at a time, in bytes.
    pub(crate) peak: u64,
}

impl Running {
    /// Starts the program and waits until it asks for its first event: the process, and how long
    /// that took.
    pub(crate) fn start(program: &Program, place: &Place<'_>) -> Result<(Running, Duration)> {
        let runtime = RuntimeApi::start().map_err(Trouble::because(
            "no free port on 127.0.0.1",
            "Let programs listen on loopback.",
        ))?;
        let log = place.folder.join("log.txt");
        let start = || -> std::io::Result<Child> {
            let output = File::create(&log)?;
            let mut command = Command::new(&program.command[0]);
            command
                .args(&program.command[1..])
                .env_clear()
                .envs(place.variables)
                .envs([
                    ("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE"),
                    (
                        "AWS_SECRET_ACCESS_KEY",
                        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                    ),
                    ("AWS_SESSION_TOKEN", "AQoDYXdzEJr-example-session-token"),
                    ("AWS_REGION", "us-west-2"),
                    ("AWS_DEFAULT_REGION", "us-west-2"),
                    ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
                    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
                    ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
                    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/measured"),
                    ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
                    ("LANG", "en_US.UTF-8"),
                    ("TZ", ":UTC"),
                    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
                ])
                .env("AWS_LAMBDA_RUNTIME_API", runtime.address())
                .envs(program.settings.iter().copied())
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output);
            command.spawn()
        };
        let before = children_cpu();
        let spawned = Instant::now();
        let child = start().map_err(Trouble::because(
            format!("{} could not be started", program.command[0].display()),
            "It was built for this benchmark just now: remove bench/target and run it again.",
        ))?;
        let mut running = Running {
            name: program.name.clone(),
            child,
            runtime,
            log,
            spawned,
            before,
            _held: None,
        };
        if let Some((throttle, memory)) = place.throttle {
            let held = throttle
                .hold(running.child.id(), memory)
                .map_err(Trouble::because(
                    "the process could not be throttled",
                    "Run as a user who may write control groups, or with --throttle signals.",
                ))?;
            running._held = Some(held);
        }
        let asked = running.until_next()?;
        Ok((running, asked - spawned))
    }

    /// Hands it the event and waits for the answer, which must be none that is an error, and until it
    /// asks for the next event.
    pub(crate) fn invoke(&mut self, event: &str) -> Result<Answer> {
        self.runtime.send(event, TIMEOUT);
        let answered = match self.next_report()? {
            Report::Response(response) if !response.is_error => response,
            other => return Err(self.misbehaved(&words(&other))),
        };
        self.until_next()?;
        Ok(Answer {
            took: answered.received - answered.sent,
            since_start: answered.received - self.spawned,
            handed: answered.sent,
            body: answered.body,
        })
    }

    /// Ends it: what it has used.
    pub(crate) fn end(mut self) -> Result<Used> {
        let peak = self.peak()?;
        self.stop();
        Ok(Used {
            cpu: children_cpu().saturating_sub(self.before),
            peak,
        })
    }

    fn until_next(&mut self) -> Result<Instant> {
        match self.next_report()? {
            Report::Next(at) => Ok(at),
            other => Err(self.misbehaved(&words(&other))),
        }
    }

    fn next_report(&mut self) -> Result<Report> {
        let process = format!("/proc/{}/stat", self.child.id());
        let alive = || {
            std::fs::read_to_string(&process).is_ok_and(|stat| {
                // The state stands behind the name, which may hold anything but ends with the last ).
                !stat
                    .rsplit(')')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .starts_with('Z')
            })
        };
        match self.runtime.next_report(alive) {
            Some(report) => Ok(report),
            None => Err(self.misbehaved("it ended or kept silent")),
        }
    }

    fn misbehaved(&mut self, how: &str) -> Trouble {
        self.stop();
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        Trouble::new(
            format!(
                "{} did not do its work: {how}\nIt printed last:\n{last}",
                self.name
            ),
            "The fake AWS under bench/src/aws must know every call that the program makes.",
        )
    }

    /// Its `VmHWM`. The kernel's `ru_maxrss` is no measure here: it begins with what the benchmark
    /// itself held when it started the process.
    fn peak(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|size| size.trim().strip_suffix("kB"))
            .and_then(|size| size.trim().parse::<u64>().ok())
            .map(|size| size * 1024)
            .ok_or_else(|| {
                Trouble::new(
                    format!("{path} names no VmHWM"),
                    "The benchmark runs on Linux with /proc mounted.",
                )
            })
    }

    fn stop(&mut self) {
        self._held = None;
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Processor time of all children that were waited for. There is one at a time, so that a difference
/// is that of one.
fn children_cpu() -> Duration {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Duration::ZERO, |usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(micros.try_into().unwrap_or(0))
    })
}

/// What the process did, in words, for when it is not what was expected.
fn words(report: &Report) -> String {
    match report {
        Report::Next(_) => "it asked for an event without answering the last".to_owned(),
        Report::Response(response) => format!("it answered {}", response.body),
        Report::InitError(why) => format!("it could not start: {why}"),
    }
}
