//! Builds the functions with the profile of this test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::repository::{function_packages, root};

/// The program of a function package, built from the sources as they are.
pub(super) fn binary(package: &str) -> &'static Path {
    static BINARIES: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(build);
    BINARIES
        .get(package)
        .unwrap_or_else(|| panic!("cargo built no {package}"))
}

/// All functions by name. Takes a second if they are up to date.
fn build() -> BTreeMap<String, PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root())
        .args(["build", "--quiet", "--message-format", "json", "--profile"])
        .arg(profile())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    for package in function_packages() {
        command.args(["--package", &package]);
    }
    // Cargo sets variables of the test's package. Build scripts that watch these variables (ring's does)
    // would run again, and with them everything that depends on them would be rebuilt, now and in the
    // next build.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let own = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "CARGO_PRIMARY_",
        ];
        if own.iter().any(|own| name.starts_with(own)) || name == "OUT_DIR" {
            command.env_remove(&*name);
        }
    }
    let output = command.output().expect("cargo can be started");
    assert!(
        output.status.success(),
        "cargo could not build the functions"
    );
    String::from_utf8(output.stdout)
        .expect("cargo speaks UTF-8")
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let path = PathBuf::from(message["executable"].as_str()?);
            Some((message["target"]["name"].as_str()?.to_owned(), path))
        })
        .collect()
}

/// The profile of this test, from the name of its folder.
fn profile() -> String {
    let test = std::env::current_exe().expect("a running test has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .expect("tests lie in target/<profile>/deps");
    match folder {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    }
}
