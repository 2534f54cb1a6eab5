//! Builds what is measured: the functions as they are deployed, and their peers.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::Program;
use crate::scenarios::{
    BUCKET_INTEGRATOR, DATABASE_INTEGRATOR, FILE_SYSTEM_INTEGRATOR, INSTANCE_INTEGRATOR,
    TABLE_INTEGRATOR,
};
use crate::trouble::{Result, Trouble};

/// The functions, with the settings that template.yaml gives them.
pub(crate) const FUNCTIONS: [Function; 16] = [
    (
        "restore-integrator",
        &[
            ("ACCOUNT_ID", "111122223333"),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("MOUNT_RUNBOOK", "MountFileSystem"),
            ("TOPIC_ARN", TOPIC),
        ],
    ),
    (DATABASE_INTEGRATOR, INTEGRATES_DATA_STORES),
    (TABLE_INTEGRATOR, INTEGRATES_DATA_STORES),
    (FILE_SYSTEM_INTEGRATOR, INTEGRATES_FILE_SYSTEMS),
    (BUCKET_INTEGRATOR, INTEGRATES_DATA_STORES),
    (INSTANCE_INTEGRATOR, INTEGRATES_INSTANCES),
    (
        "restore-reconciler",
        &[
            ("ACCOUNT_ID", "111122223333"),
            ("BUCKET_INTEGRATOR", BUCKET_INTEGRATOR),
            ("DATABASE_INTEGRATOR", DATABASE_INTEGRATOR),
            ("FILE_SYSTEM_INTEGRATOR", FILE_SYSTEM_INTEGRATOR),
            ("INSTANCE_INTEGRATOR", INSTANCE_INTEGRATOR),
            ("TABLE_INTEGRATOR", TABLE_INTEGRATOR),
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("TOPIC_ARN", TOPIC),
            ("LOOKBACK_HOURS", "24"),
            ("MOUNT_RUNBOOK", "MountFileSystem"),
            ("PATIENCE_MINUTES", "60"),
            ("RECONCILE_MINUTES", "1"),
        ],
    ),
    (
        "restore-test-validator",
        &[("ACCOUNT_ID", "111122223333"), ("TOPIC_ARN", TOPIC)],
    ),
    (
        "recovery-planner",
        // With a dot in its name, a bucket stands in the path, and not in a host that nobody knows.
        &[
            ("PLAN_BUCKET", "recovery.plans"),
            ("VAULT_NAME", "recovery"),
        ],
    ),
    (
        "recovery-reporter",
        &[
            (
                "DRILL_RESTORE_ROLE_ARN",
                "arn:aws:iam::111122223333:role/drill",
            ),
            ("PLAN_BUCKET", "recovery.plans"),
            ("RECOVERY_POINT_TARGET_MINUTES", "15"),
            ("RECOVERY_TIME_TARGET_MINUTES", "60"),
            ("TOPIC_ARN", TOPIC),
        ],
    ),
    (
        "restore-starter",
        &[
            ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
            ("PLAN_BUCKET", "recovery.plans"),
            ("INSTANCE_PROFILES", "off"),
            ("RESTORE_KEY_ARN", "off"),
            ("RESTORE_ROLE_ARN", "arn:aws:iam::111122223333:role/restore"),
            ("VAULT_NAME", "recovery"),
        ],
    ),
    (
        "routing-shifter",
        // Where the endpoints are is said by the environment, as of every other service.
        &[
            (
                "CLUSTER_ENDPOINTS",
                "us-east-1=https://us-east-1.example/v1,us-west-2=https://us-west-2.example/v1",
            ),
            (
                "ROUTING_CONTROLS_ON",
                "arn:aws:route53-recovery-control::111122223333:controlpanel/0123/routingcontrol/1",
            ),
            (
                "ROUTING_CONTROLS_OFF",
                "arn:aws:route53-recovery-control::111122223333:controlpanel/0123/routingcontrol/2",
            ),
        ],
    ),
    (
        "region-switch-action",
        &[
            ("RECOVERY_WORKLOAD", "shop"),
            (
                "STATE_MACHINE_ARN",
                "arn:aws:states:us-west-2:111122223333:stateMachine:region-recovery",
            ),
        ],
    ),
    (
        "opsitem-creator",
        &[("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE), ("TOPIC_ARN", TOPIC)],
    ),
    ("health-event-responder", RESPONDER),
    ("alarm-responder", RESPONDER),
];
/// Names of the peers in tables.
pub(crate) const FLOOR: &str = "floor, trimmed";
const FLOOR_DEFAULTS: &str = "floor, defaults";
pub(crate) const NAIVE: &str = "Rust, all defaults";
pub(crate) const PYTHON: &str = "Python, boto3";
const DRILL_ROLE: &str = "arn:aws:iam::111122223333:role/drill-restore";
const TOPIC: &str = "arn:aws:sns:us-west-2:111122223333:recovery";
const INTEGRATES_DATA_STORES: &[(&str, &str)] = &[
    ("ACCOUNT_ID", "111122223333"),
    ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
    ("PUBLISH_PATH", "/recovery/"),
    ("TOPIC_ARN", TOPIC),
];
const INTEGRATES_INSTANCES: &[(&str, &str)] = &[
    ("ACCOUNT_ID", "111122223333"),
    ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
    ("PUBLISH_PATH", "/recovery/"),
    ("TOPIC_ARN", TOPIC),
    ("VAULT_NAME", "recovery"),
];
const INTEGRATES_FILE_SYSTEMS: &[(&str, &str)] = &[
    ("ACCOUNT_ID", "111122223333"),
    ("DRILL_RESTORE_ROLE_ARN", DRILL_ROLE),
    ("MOUNT_RUNBOOK", "MountFileSystem"),
    ("PUBLISH_PATH", "/recovery/"),
    ("TOPIC_ARN", TOPIC),
];
const RESPONDER: &[(&str, &str)] = &[
    ("PRIMARY_REGION", "us-east-1"),
    ("RESPONSES", "track,notify,recover"),
    ("RECOVERY_RUNBOOK", "StartRegionRecovery"),
    ("OTHER_RUNBOOKS", "off"),
    ("TOPIC_ARN", TOPIC),
];

/// The integrator and what it is compared with.
pub(crate) fn peers() -> [&'static str; 5] {
    [FLOOR, FLOOR_DEFAULTS, FUNCTIONS[0].0, NAIVE, PYTHON]
}

/// How the functions are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As they are deployed.
    Release,
    /// As the tests build them: enough to see whether the benchmark itself works.
    Dev,
}

/// All that is measured.
pub(crate) struct Programs {
    pub(crate) functions: Vec<Program>,
    pub(crate) floor: Program,
    pub(crate) floor_defaults: Program,
    pub(crate) naive: Option<Program>,
    pub(crate) python: Program,
}

impl Programs {
    /// The one that the peers are compared with.
    pub(crate) fn integrator(&self) -> &Program {
        &self.functions[0]
    }

    /// Builds everything. For [`Profile::Dev`] there is one floor under both names, and no peer with
    /// all defaults.
    pub(crate) fn build(root: &Path, profile: Profile) -> Result<Programs> {
        let bench = root.join("bench");
        let name = match profile {
            Profile::Release => "release",
            Profile::Dev => "dev",
        };
        let functions = functions(root, name, &FUNCTIONS)?;
        let peer = |package: &str, shown: &str, arguments: &[&str]| {
            let mut all = vec!["--package", package];
            all.extend(arguments);
            let built = cargo(&bench, "build", &all, &[])?;
            Ok(Program {
                name: shown.to_owned(),
                command: vec![executable(&built, package)?],
                settings: Vec::new(),
            })
        };
        let floor_defaults = peer(
            "floor",
            FLOOR_DEFAULTS,
            &["--profile", name, "--features", "defaults"],
        )?;
        let (floor, naive) = match profile {
            Profile::Release => (
                peer("floor", FLOOR, &["--profile", "function"])?,
                Some(peer("naive", NAIVE, &["--profile", "release"])?),
            ),
            Profile::Dev => {
                let name = FLOOR.to_owned();
                let floor = Program {
                    name,
                    ..floor_defaults.clone()
                };
                (floor, None)
            }
        };
        Ok(Programs {
            functions,
            floor,
            floor_defaults,
            naive,
            python: python(&bench)?,
        })
    }
}

/// A function, with the settings that template.yaml gives it.
type Function = (&'static str, &'static [(&'static str, &'static str)]);

/// These functions, built in the profile of this name.
fn functions(root: &Path, profile: &str, wanted: &[Function]) -> Result<Vec<Program>> {
    let mut arguments = vec!["--profile", profile];
    for (package, _) in wanted {
        arguments.extend(["--package", package]);
    }
    let built = cargo(root, "build", &arguments, &[])?;
    wanted
        .iter()
        .map(|(package, settings)| {
            Ok(Program {
                name: (*package).to_owned(),
                command: vec![executable(&built, package)?],
                settings: settings.to_vec(),
            })
        })
        .collect()
}

/// The functions that CI watches, as they are deployed: the integrators. And the Python peer.
pub(crate) fn integrators_and_python(root: &Path) -> Result<(Vec<Program>, Program)> {
    let built = functions(root, "release", &FUNCTIONS[..3])?;
    Ok((built, python(&root.join("bench"))?))
}

/// What `scale` prints: how the deciding code grows, as Markdown.
pub(crate) fn scale(root: &Path) -> Result<String> {
    let arguments = ["--profile", "release", "--package", "scale"];
    let built = cargo(&root.join("bench"), "build", &arguments, &[])?;
    let remedy =
        "Run it alone: cargo run --release --manifest-path bench/Cargo.toml --package scale";
    let output = Command::new(executable(&built, "scale")?)
        .stderr(Stdio::inherit())
        .output()
        .map_err(Trouble::because("scale could not be started", remedy))?;
    if !output.status.success() {
        return Err(Trouble::new("scale failed", remedy));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The function with its symbols, for a look at what it consists of. Stands where the one without them
/// stood, until cargo builds that again.
pub(crate) fn with_symbols(root: &Path, package: &str) -> Result<PathBuf> {
    let arguments = [
        "--profile",
        "release",
        "--package",
        package,
        "--bin",
        package,
    ];
    let built = cargo(root, "rustc", &arguments, &["-C", "strip=none"])?;
    executable(&built, package)
}

fn cargo(folder: &Path, command: &str, arguments: &[&str], rustc: &[&str]) -> Result<Vec<Value>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut run = Command::new(cargo);
    run.current_dir(folder)
        .args([command, "--quiet", "--locked", "--message-format", "json"])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if !rustc.is_empty() {
        run.arg("--").args(rustc);
    }
    // `cargo run` tells this program about its own package. Build scripts that watch these variables
    // (ring's does) would take that for a change, and everything above them would be built again.
    for (name, _) in std::env::vars_os() {
        let own = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "CARGO_PRIMARY_",
        ];
        if own
            .iter()
            .any(|own| name.to_string_lossy().starts_with(own))
        {
            run.env_remove(name);
        }
    }
    let remedy = "cargo says above what is wrong. Building restore-integrator in release needs about 8 GB of free memory.";
    let output = run
        .output()
        .map_err(Trouble::because("cargo could not be started", remedy))?;
    if !output.status.success() {
        let what = format!("cargo {command} {} failed", arguments.join(" "));
        return Err(Trouble::new(what, remedy));
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

fn executable(built: &[Value], package: &str) -> Result<PathBuf> {
    built
        .iter()
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str())
        .map(PathBuf::from)
        .ok_or_else(|| {
            Trouble::new(
                format!("cargo names no program of {package}"),
                "Take the version of cargo that rust-toolchain.toml names.",
            )
        })
}

/// The Python peer, with its packages in a folder of their own.
fn python(bench: &Path) -> Result<Program> {
    // Beside the build of this very program: target/release/bench.
    let folder = std::env::current_exe()
        .ok()
        .and_then(|program| {
            program
                .ancestors()
                .nth(2)
                .map(|target| target.join("python"))
        })
        .unwrap_or_else(|| bench.join("target/python"));
    let requirements = bench.join("python/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap_or_default();
    let mark = folder.join("requirements.txt");
    let interpreter = folder.join("bin/python3");
    if std::fs::read_to_string(&mark).ok().as_deref() != Some(&wanted) {
        let remedy = "Install Python 3.10 or newer with its venv module (Debian: python3-venv), and let pip reach a package index.";
        // What an interrupted run left would not be whole.
        let _ = std::fs::remove_dir_all(&folder);
        run(
            Command::new("python3").args(["-m", "venv"]).arg(&folder),
            "the environment for the Python peer could not be made",
            remedy,
        )?;
        run(
            Command::new(&interpreter)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--requirement",
                ])
                .arg(&requirements),
            "boto3 could not be installed for the Python peer",
            remedy,
        )?;
        std::fs::write(&mark, wanted).map_err(Trouble::because(
            format!("{} could not be written", mark.display()),
            remedy,
        ))?;
    }
    Ok(Program {
        name: PYTHON.to_owned(),
        command: vec![interpreter, bench.join("python/handler.py")],
        settings: Vec::new(),
    })
}

fn run(command: &mut Command, what: &str, remedy: &'static str) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Trouble::because(what.to_owned(), remedy))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Trouble::new(format!("{what}: {}", said.trim()), remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that a function's `Settings::NAMES` lists, if it has them.
    fn names(function: &str) -> Vec<String> {
        let path = format!(
            "{}/../functions/{function}/src/lib.rs",
            env!("CARGO_MANIFEST_DIR")
        );
        let code = std::fs::read_to_string(path).unwrap();
        let list = code
            .split_once("pub const NAMES: &'static [&'static str] =")
            .and_then(|(_, rest)| rest.split_once("];"))
            .map_or("", |(list, _)| list);
        let mut names: Vec<String> = list
            .split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_function_has_its_settings() {
        let mut compared = 0;
        for (function, settings) in FUNCTIONS {
            let expected = names(function);
            // The responders share theirs.
            if expected.is_empty() {
                assert_eq!(settings, RESPONDER, "{function}");
                continue;
            }
            let mut given: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
            given.sort_unstable();
            assert_eq!(given, expected, "{function}");
            compared += 1;
        }
        assert_eq!(compared + 2, FUNCTIONS.len());
    }

    #[test]
    fn every_function_has_a_scenario() {
        let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions");
        let mut there: Vec<String> = std::fs::read_dir(functions)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort_unstable();
        let mut measured = FUNCTIONS.map(|(name, _)| name);
        measured.sort_unstable();
        assert_eq!(there, measured);
        for name in measured {
            let scenarios = crate::scenarios::all();
            assert!(
                scenarios.iter().any(|scenario| scenario.function == name),
                "{name} has no scenario"
            );
        }
    }
}
