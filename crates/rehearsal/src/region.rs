//! The local Region: starts it, deploys to it, calls it and ends it.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::observations::Played;
use crate::problem::Problem;
use crate::progress::{Display, Progress};
use crate::routing::Routing;
use crate::setup::Workspace;
use crate::workload::{ACCOUNT, PRIMARY_REGION, REGION};

/// The host name of this machine inside a container.
const CONTAINER_HOST: &str = "host.docker.internal";
/// The length of a minute in seconds, if the rehearsal waits for the schedule.
const SHORT_MINUTE: &str = "5";
/// What takes time: the instances of the workload's stack, restores, and new databases, tables and mount targets. A
/// database takes longest, as in AWS.
const TIMES: [&str; 28] = [
    "--stack-seconds-of",
    "AWS::EC2::Instance=3",
    "--restore-seconds-of",
    "RDS=4",
    "--restore-seconds-of",
    "Aurora=3",
    "--restore-seconds-of",
    "DynamoDB=2",
    "--restore-seconds-of",
    "EFS=2",
    "--restore-seconds-of",
    "FSx=3",
    "--restore-seconds-of",
    "S3=2",
    "--restore-seconds-of",
    "EC2=2",
    "--instance-seconds",
    "0.5",
    "--instance-check-seconds",
    "0.5",
    "--target-seconds",
    "0.5",
    "--database-seconds",
    "2",
    "--table-seconds",
    "0.3",
    "--file-system-seconds",
    "1",
];
/// The longest time without progress while work is pending: longer than any wait of the system, and as long as a call
/// with all its attempts and the retries of its function.
const LONGEST_STILLNESS: Duration = Duration::from_secs(120);
/// The longest wait for one answer: the longest timeout of a function.
const LONGEST_ANSWER: Duration = Duration::from_secs(900);

/// The message of the local Region when it is ready.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    endpoint: String,
    access_key_id: String,
    secret_access_key: String,
}

/// The result of a deployment.
#[derive(Debug, Deserialize)]
pub(crate) struct Deployed {
    pub(crate) outputs: std::collections::BTreeMap<String, String>,
    pub(crate) resources: std::collections::BTreeMap<String, String>,
}

/// A local Region of this process. It ends, with all its functions, when it is dropped.
#[derive(Debug)]
pub(crate) struct LocalRegion {
    python: PathBuf,
    package: PathBuf,
    ready: Ready,
    agent: ureq::Agent,
    child: Child,
    /// Closed when this is dropped or this process ends, which ends the Region.
    lifeline: Option<ChildStdin>,
    kept: Cell<bool>,
    /// The log of the Region. It is deleted with the Region after a success.
    log: PathBuf,
    succeeded: Cell<bool>,
    watch: RefCell<Watch>,
}

/// The known part of the journal.
#[derive(Debug, Default)]
struct Watch {
    next: u64,
    progress: Progress,
    display: Display,
}

impl LocalRegion {
    /// Starts a Region on a free port of the loopback address. With `keep`, it outlives this process.
    pub(crate) fn start(
        python: &Path,
        workspace: &Workspace,
        arguments: &Arguments,
    ) -> Result<LocalRegion, Problem> {
        eprintln!("Starting the local Region …");
        let package = workspace.root.join("local-region");
        let mut command = module(python, &package);
        command
            .args([
                "serve",
                "--port",
                "0",
                "--region",
                REGION,
                "--account",
                ACCOUNT,
            ])
            .args(TIMES)
            .stdout(Stdio::piped());
        if arguments.adversity.unplugged {
            command.args(["--minute-seconds", SHORT_MINUTE]);
        }
        // Several rehearsals may run concurrently.
        let log = workspace
            .scratch()?
            .join(format!("local-region-{}.log", std::process::id()));
        let file = std::fs::File::create(&log).map_err(|error| {
            Problem::new(format!("{} could not be created", log.display()), error)
        })?;
        command.stderr(file);
        if arguments.keep {
            command.stdin(Stdio::null());
        } else {
            command.arg("--exit-with-stdin").stdin(Stdio::piped());
        }
        let mut child = command
            .spawn()
            .map_err(|error| Problem::new("the local Region could not be started", error))?;
        let lifeline = child.stdin.take();
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            // A line that cannot be parsed is not a ready message.
            let _ = BufReader::new(output).read_line(&mut line);
        }
        let ready: Result<Ready, _> = serde_json::from_str(&line);
        let ready = ready.map_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
            Problem::said(format!(
                "the local Region did not start. Read its log: {}.",
                log.display()
            ))
        })?;
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(LONGEST_ANSWER))
            .build()
            .new_agent();
        let region = LocalRegion {
            python: python.to_owned(),
            package,
            ready,
            agent,
            child,
            lifeline,
            kept: Cell::new(false),
            log,
            succeeded: Cell::new(false),
            watch: RefCell::default(),
        };
        region.refuse_real_aws()?;
        Ok(region)
    }

    /// The log of the Region.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Deletes the log after a success.
    pub(crate) fn succeeded(&self) {
        self.succeeded.set(true);
    }

    /// Checks that the endpoint is on this machine. All calls go to it.
    fn refuse_real_aws(&self) -> Result<(), Problem> {
        let host = self
            .ready
            .endpoint
            .strip_prefix("http://")
            .and_then(|rest| rest.rsplit_once(':'))
            .and_then(|(host, _)| host.parse::<IpAddr>().ok());
        if host.is_some_and(|host| host.is_loopback()) {
            Ok(())
        } else {
            Err(Problem::said(format!(
                "the local Region reports the endpoint {}, which is not a loopback address. A rehearsal calls only loopback addresses.",
                self.ready.endpoint
            )))
        }
    }

    /// Configuration of SDK clients for a Region that call only this process, whatever the environment sets.
    pub(crate) fn sdk_config(&self, region: &'static str) -> aws_config::SdkConfig {
        let credentials = Credentials::new(
            &self.ready.access_key_id,
            &self.ready.secret_access_key,
            None,
            None,
            "local-region",
        );
        aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(&self.ready.endpoint)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build()
    }

    /// Deploys a template, as `sam deploy` would, with the functions from `binaries` and with these tags
    /// of the stack.
    pub(crate) fn deploy(
        &self,
        template: &Path,
        stack: &str,
        binaries: &Path,
        parameters: &[(&str, &str)],
        tags: &[(&str, &str)],
    ) -> Result<Deployed, Problem> {
        let answer =
            module(&self.python, &self.package)
                .args(["deploy", "--endpoint", &self.ready.endpoint])
                .args([
                    "--region",
                    REGION,
                    "--stack-name",
                    stack,
                    "--capability",
                    "CAPABILITY_IAM",
                ])
                .arg("--template")
                .arg(template)
                .arg("--binaries")
                .arg(binaries)
                .args(parameters.iter().flat_map(|(name, value)| {
                    ["--parameter".to_owned(), format!("{name}={value}")]
                }))
                .args(
                    tags.iter()
                        .flat_map(|(key, value)| ["--tag".to_owned(), format!("{key}={value}")]),
                )
                .stdin(Stdio::null())
                .output()
                .map_err(|error| Problem::new("the deployment could not be started", error))?;
        if !answer.status.success() {
            return Err(Problem::said(format!(
                "{} could not be deployed as stack {stack}: {}",
                template.display(),
                String::from_utf8_lossy(&answer.stderr).trim()
            )));
        }
        serde_json::from_slice(&answer.stdout).map_err(|error| {
            Problem::new("the answer of the deployment could not be parsed", error)
        })
    }

    /// Emits these events in the Region, as AWS would.
    pub(crate) fn emit(&self, events: &[Value]) -> Result<(), Problem> {
        self.post("/_local-region/events", &json!(events))
            .map(|_| ())
    }

    /// Starts a restore test of this recovery point.
    pub(crate) fn run_restore_test(&self, recovery_point: &str, zone: &str) -> Result<(), Problem> {
        let request =
            json!({"recoveryPointArn": recovery_point, "metadata": {"availabilityZone": zone}});
        self.post("/_local-region/restore-tests", &request)
            .map(|_| ())
    }

    /// Makes the next restores of this recovery point fail.
    pub(crate) fn fail_restores(
        &self,
        recovery_point: &str,
        message: &str,
        count: usize,
    ) -> Result<(), Problem> {
        let request =
            json!({"recoveryPointArn": recovery_point, "message": message, "count": count});
        self.post("/_local-region/restore-failures", &request)
            .map(|_| ())
    }

    /// Makes the next restore of this recovery point leave these objects out.
    pub(crate) fn fail_objects(&self, recovery_point: &str, keys: &[&str]) -> Result<(), Problem> {
        let request = json!({"recoveryPointArn": recovery_point, "keys": keys, "count": 1});
        self.post("/_local-region/object-failures", &request)
            .map(|_| ())
    }

    /// Gives new databases and tables of this name this status instead of `available`; `None` removes the rule.
    pub(crate) fn end_in_status(&self, name: &str, status: Option<&str>) -> Result<(), Problem> {
        let request = json!({"name": name, "status": status});
        self.post("/_local-region/status-ends", &request)
            .map(|_| ())
    }

    /// What is mounted in the guest of each instance, by instance id.
    pub(crate) fn mounts(&self) -> Result<Value, Problem> {
        Ok(self.get("/_local-region/mounts")?["mounts"].take())
    }

    /// The directories at the root of a file system of EFS, which only a mount shows.
    pub(crate) fn directories(&self, file_system: &str) -> Result<Value, Problem> {
        let mut all = self.get("/_local-region/file-system-directories")?;
        Ok(all["directories"][file_system].take())
    }

    /// Lets each guest, also each later one, have these files.
    pub(crate) fn set_guest_files(&self, files: &[&str]) -> Result<(), Problem> {
        self.post("/_local-region/guest-files", &json!({"files": files}))
            .map(|_| ())
    }

    /// Fires a scheduled rule now.
    pub(crate) fn fire(&self, rule: &str) -> Result<(), Problem> {
        self.post("/_local-region/schedules", &json!({"rule": rule}))
            .map(|_| ())
    }

    /// Creates two routing controls, of which one must be On: that of the primary Region is.
    pub(crate) fn make_routing_controls(&self) -> Result<Routing, Problem> {
        let request = json!({
            "controlPanel": "shop",
            "controls": {PRIMARY_REGION: "On", REGION: "Off"},
            "atLeastOn": 1,
        });
        let made = self.post("/_local-region/routing", &request)?;
        Routing::read(&made)
    }

    /// Makes the cluster's endpoint in the primary Region, and all others except one, unavailable.
    pub(crate) fn impair_routing(&self) -> Result<(), Problem> {
        let request = json!({"unavailable": [1, 2, 4, 5]});
        self.post("/_local-region/routing-endpoints", &request)
            .map(|_| ())
    }

    /// The current state of the routing controls.
    pub(crate) fn routing(&self) -> Result<Routing, Problem> {
        Routing::read(&self.get("/_local-region/routing")?)
    }

    /// Injects these faults into the calls of the functions.
    pub(crate) fn disturb(&self, faults: &Value) -> Result<(), Problem> {
        self.post("/_local-region/faults", faults).map(|_| ())
    }

    /// Removes all faults.
    pub(crate) fn leave_in_peace(&self) -> Result<(), Problem> {
        self.delete("/_local-region/faults")
    }

    /// Makes AWS Backup forget the idempotency tokens of all restores so far.
    pub(crate) fn forget_restore_tokens(&self) -> Result<(), Problem> {
        self.delete("/_local-region/restore-tokens")
    }

    fn delete(&self, path: &str) -> Result<(), Problem> {
        let request = self.agent.delete(format!("{}{path}", self.ready.endpoint));
        read(path, request.call()).map(|_| ())
    }

    /// Disables a rule, like `aws events disable-rule`.
    pub(crate) fn disable_rule(&self, rule: &str) -> Result<(), Problem> {
        self.set_rule(rule, "DisableRule")
    }

    /// Enables a rule.
    pub(crate) fn enable_rule(&self, rule: &str) -> Result<(), Problem> {
        self.set_rule(rule, "EnableRule")
    }

    fn set_rule(&self, rule: &str, operation: &str) -> Result<(), Problem> {
        let request = self.agent.post(format!("{}/", self.ready.endpoint));
        let answer = request
            .header("Authorization", self.authorization("events"))
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("X-Amz-Target", format!("AWSEvents.{operation}"))
            .send(json!({"Name": rule}).to_string());
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Problem::said(format!(
                "{operation} of the rule {rule} failed: {}",
                answer.status()
            ))),
            Err(error) => Err(Problem::new(
                format!("{operation} of the rule {rule} failed"),
                error,
            )),
        }
    }

    /// Shows the progress of a recovery of `count` resources while waiting.
    pub(crate) fn expect_restores(&self, count: usize) -> Result<(), Problem> {
        self.read_on()?;
        let mut watch = self.watch.borrow_mut();
        watch.display = Display::of(count, &watch.progress);
        Ok(())
    }

    /// Waits until no work is pending, while there is progress.
    pub(crate) fn wait_until_idle(&self) -> Result<(), Problem> {
        let mut last_move = Instant::now();
        let ended = loop {
            let answer = self.get("/_local-region/idle?timeout=1")?;
            if self.read_on()? {
                last_move = Instant::now();
            }
            if answer["idle"] == true {
                break Ok(());
            }
            if last_move.elapsed() > LONGEST_STILLNESS {
                break Err(Problem::said(format!(
                    "no progress for {} s, but work is pending: {}",
                    LONGEST_STILLNESS.as_secs(),
                    answer["pending"]
                )));
            }
        };
        self.watch.borrow_mut().display.clear();
        ended
    }

    /// Reads and shows the new entries of the journal. Returns whether there was progress.
    fn read_on(&self) -> Result<bool, Problem> {
        let mut watch = self.watch.borrow_mut();
        let answer = self.get(&format!("/_local-region/journal?since={}", watch.next))?;
        let (Some(next), Value::Array(entries)) = (answer["next"].as_u64(), &answer["entries"])
        else {
            return Err(unreadable_journal());
        };
        let before = watch.progress.moves;
        watch.next = next;
        watch.progress.read(entries);
        let Watch {
            progress, display, ..
        } = &mut *watch;
        display.show(progress);
        Ok(progress.moves > before)
    }

    /// The complete journal.
    pub(crate) fn journal(&self) -> Result<Vec<Value>, Problem> {
        let answer = self.get("/_local-region/journal?since=0")?;
        match &answer["entries"] {
            Value::Array(entries) => Ok(entries.clone()),
            _ => Err(unreadable_journal()),
        }
    }

    /// Invokes a function and waits for its answer, like `aws lambda invoke`.
    pub(crate) fn invoke(&self, function: &str, payload: &Value) -> Result<Value, Problem> {
        self.post(
            &format!("/2015-03-31/functions/{function}/invocations"),
            payload,
        )
    }

    fn get(&self, path: &str) -> Result<Value, Problem> {
        let request = self.agent.get(format!("{}{path}", self.ready.endpoint));
        let answer = request
            .header("Authorization", self.authorization("lambda"))
            .call();
        read(path, answer)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Problem> {
        let request = self.agent.post(format!("{}{path}", self.ready.endpoint));
        let answer = request
            .header("Authorization", self.authorization("lambda"))
            .send_json(body);
        read(path, answer)
    }

    /// The local Region reads the caller from the key id, and does not check the signature.
    fn authorization(&self, service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0",
            self.ready.access_key_id
        )
    }

    /// Leaves the Region running, and returns how to use it.
    pub(crate) fn keep(&self, workspace: &Workspace, played: &Played) -> Result<(), Problem> {
        let mut functions = serde_json::Map::new();
        for (logical_id, name) in &played.functions {
            let configuration = self.get(&format!("/2015-03-31/functions/{name}/configuration"))?;
            let mut variables = configuration["Environment"]["Variables"].clone();
            // In a container, the loopback address is the container itself.
            variables["AWS_ENDPOINT_URL"] =
                json!(self.ready.endpoint.replace("127.0.0.1", CONTAINER_HOST));
            functions.insert(
                logical_id.clone(),
                json!({
                    "Type": "AWS::Serverless::Function",
                    "Properties": {
                        "CodeUri": workspace.root.join(".aws-sam/build").join(logical_id),
                        "Handler": "bootstrap",
                        "Runtime": "provided.al2023",
                        "Architectures": configuration["Architectures"],
                        "MemorySize": configuration["MemorySize"],
                        "Timeout": configuration["Timeout"],
                        "Environment": {"Variables": variables},
                    },
                }),
            );
        }
        // `sam local invoke --env-vars` sets only variables that the template declares, and template.yaml declares no
        // endpoint. Therefore this template has the variables.
        let template = json!({"Transform": "AWS::Serverless-2016-10-31", "Resources": functions});
        let file = workspace.scratch()?.join("sam-local.json");
        std::fs::write(&file, template.to_string()).map_err(|error| {
            Problem::new(format!("{} could not be written", file.display()), error)
        })?;
        self.kept.set(true);
        eprintln!(
            "\nThe local Region keeps running. To talk to it:\n\
             \n  export AWS_ENDPOINT_URL={endpoint} AWS_DEFAULT_REGION={REGION} AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret}\
             \n  aws ssm describe-ops-items\
             \n  curl --data @events/health-multiple-services.json {endpoint}/_local-region/events\
             \n\nTo run a function in the Lambda image against it, after `sam build --parameter-overrides Architecture={architecture}`\
             \n(on Linux, the first line lets containers reach the Region; Docker Desktop needs it not):\n\
             \n  socat TCP-LISTEN:{port},bind=172.17.0.1,fork,reuseaddr TCP:127.0.0.1:{port} &\
             \n  sam local invoke RestoreIntegratorFunction --template {file} --event events/restore-completed-ebs.json --add-host {CONTAINER_HOST}:host-gateway\
             \n\nTo end it:\n\n  kill {pid}\n",
            endpoint = self.ready.endpoint,
            key = self.ready.access_key_id,
            secret = self.ready.secret_access_key,
            file = file.display(),
            architecture = architecture(),
            port = self.ready.endpoint.rsplit(':').next().unwrap_or_default(),
            pid = self.child.id(),
        );
        Ok(())
    }
}

impl Drop for LocalRegion {
    fn drop(&mut self) {
        if self.kept.get() {
            return;
        }
        // The end of its standard input ends it and its functions. With `keep`, it has no standard input, and a
        // signal ends it.
        if self.lifeline.take().is_none() {
            let _ = Command::new("kill")
                .arg(self.child.id().to_string())
                .status();
        }
        let _ = self.child.wait();
        if self.succeeded.get() {
            // Only a log file is left.
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

fn unreadable_journal() -> Problem {
    Problem::said("the journal of the local Region cannot be parsed")
}

/// The time now.
pub(crate) fn now() -> chrono::DateTime<chrono::Utc> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the rehearsal runs in real time; no tested code uses it"
    )]
    chrono::Utc::now()
}

/// The architecture of this machine, in Lambda's terms.
pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    }
}

/// The command of the local Region, without variables that select real AWS or a proxy.
fn module(python: &Path, package: &Path) -> Command {
    let mut command = Command::new(python);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        if upper.starts_with("AWS_") || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command
        .args(["-m", "local_region"])
        .env("PYTHONPATH", package);
    command
}

fn read(
    path: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Value, Problem> {
    let mut answer = answer
        .map_err(|error| Problem::new(format!("the local Region did not answer {path}"), error))?;
    let status = answer.status();
    let body: Value = answer
        .body_mut()
        .with_config()
        .limit(256 * 1024 * 1024)
        .read_json()
        .map_err(|error| {
            Problem::new(
                format!("the answer of the local Region to {path} cannot be parsed"),
                error,
            )
        })?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(Problem::said(format!(
            "the local Region refused {path}: {status} {body}"
        )))
    }
}
