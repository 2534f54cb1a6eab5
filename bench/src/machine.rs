//! On what and with what was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::Program;

/// Crates whose versions are shown.
const CRATES: [&str; 6] = [
    "aws-sdk-ec2",
    "aws-smithy-http-client",
    "lambda_runtime",
    "ring",
    "rustls",
    "tokio",
];

/// On what and with what was measured: names and values, in the order to show them.
pub(crate) fn facts(root: &Path, python: &Program) -> Vec<(&'static str, String)> {
    let line = |path: &str, name: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let said = |program: &Path, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .current_dir(root)
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .ok()
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let versions = "import boto3, platform; print(f'Python {platform.python_version()}, boto3 {boto3.__version__}')";
    vec![
        ("Date", said(Path::new("date"), &["-u", "+%Y-%m-%d"])),
        (
            "Commit",
            said(
                Path::new("git"),
                &["describe", "--always", "--dirty=, with changes"],
            ),
        ),
        (
            "Machine",
            format!(
                "{}, {cores} cores, {} of memory, {}",
                line("/proc/cpuinfo", "model name"),
                line("/proc/meminfo", "MemTotal"),
                said(Path::new("uname"), &["-srm"]),
            ),
        ),
        ("Rust", said(Path::new("rustc"), &["--version"])),
        ("Crates", crates(root)),
        ("Python peer", said(&python.command[0], &["-c", versions])),
    ]
}

fn crates(root: &Path) -> String {
    let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let mut lines = lock.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let name = line
            .strip_prefix("name = \"")
            .and_then(|rest| rest.strip_suffix('"'));
        let Some(name) = name.filter(|name| CRATES.contains(name)) else {
            continue;
        };
        if let Some(version) = lines
            .next()
            .and_then(|line| line.strip_prefix("version = \""))
        {
            found.push(format!("{name} {}", version.trim_end_matches('"')));
        }
    }
    found.join(", ")
}
