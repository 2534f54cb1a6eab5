//! Prepares a rehearsal: the Python packages and the compiled functions.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::problem::Problem;

/// The oldest version of Python that the local Region supports.
const PYTHON: (u32, u32) = (3, 10);

/// The project's files.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// The workspace of this program.
    pub(crate) fn find() -> Result<Workspace, Problem> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().map_err(|error| {
            Problem::new(
                format!(
                    "the project is no longer at {}. Run cargo rehearse in its new folder.",
                    root.display()
                ),
                error,
            )
        })?;
        Ok(Workspace { root })
    }

    /// The template to deploy: `--template`, or template.yaml of the project.
    pub(crate) fn template(&self, named: Option<&Path>) -> Result<PathBuf, Problem> {
        let template = named.map_or_else(|| self.root.join("template.yaml"), Path::to_owned);
        if template.is_file() {
            Ok(template)
        } else {
            Err(Problem::said(format!(
                "the template {} does not exist. Pass an existing file with --template.",
                template.display()
            )))
        }
    }

    /// The packages of the functions: one folder for each.
    fn functions(&self) -> Result<Vec<String>, Problem> {
        let folder = self.root.join("functions");
        let mut names = Vec::new();
        let entries = std::fs::read_dir(&folder).map_err(|error| {
            Problem::new(format!("{} could not be read", folder.display()), error)
        })?;
        for entry in entries.flatten() {
            if entry.path().join("Cargo.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The folder for the files of the rehearsal: beside the compiled code, so that `cargo clean` deletes it.
    pub(crate) fn scratch(&self) -> Result<PathBuf, Problem> {
        let beside = std::env::current_exe()
            .ok()
            .and_then(|program| Some(program.parent()?.parent()?.to_owned()))
            .unwrap_or_else(|| self.root.join("target"));
        let scratch = beside.join("rehearsal");
        std::fs::create_dir_all(&scratch).map_err(|error| {
            Problem::new(format!("{} could not be created", scratch.display()), error)
        })?;
        Ok(scratch)
    }
}

/// A Python environment with the packages of `local-region/requirements.txt`. It is created by the first run, and again
/// when the requirements change.
pub(crate) fn python_environment(workspace: &Workspace) -> Result<PathBuf, Problem> {
    let requirements = workspace.root.join("local-region/requirements.txt");
    let wanted = std::fs::read(&requirements).map_err(|error| {
        Problem::new(
            format!("{} could not be read", requirements.display()),
            error,
        )
    })?;
    let scratch = workspace.scratch()?;
    // Concurrent rehearsals (tests run several) must not install into the same folder.
    let lock = std::fs::File::create(scratch.join("python.lock"))
        .and_then(|file| file.lock().map(|()| file))
        .map_err(|error| Problem::new("the Python environment could not be locked", error))?;
    let environment = scratch.join("python");
    let python = environment.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let stamp = environment.join("requirements.installed");
    let installed = std::fs::read(&stamp).is_ok_and(|installed| installed == wanted);
    if !installed || !python.is_file() {
        eprintln!("Installing the local Region's Python packages (once, about half a minute) …");
        let system = system_python()?;
        run(
            Command::new(&system)
                .args(["-m", "venv", "--clear"])
                .arg(&environment),
            "Python could not create a virtual environment. On Debian and Ubuntu, install the package python3-venv",
        )?;
        run(
            Command::new(&python)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-input",
                    "-r",
                ])
                .arg(&requirements),
            "pip could not install local-region/requirements.txt. Check that this machine reaches its Python package index",
        )?;
        std::fs::write(&stamp, &wanted).map_err(|error| {
            Problem::new(format!("{} could not be written", stamp.display()), error)
        })?;
    }
    drop(lock);
    Ok(python)
}

fn system_python() -> Result<PathBuf, Problem> {
    let code = "import sys; print(sys.version_info[0], sys.version_info[1])";
    for name in ["python3", "python"] {
        let Ok(answer) = Command::new(name).args(["-c", code]).output() else {
            continue;
        };
        let text = String::from_utf8_lossy(&answer.stdout);
        let mut numbers = text.split_whitespace().filter_map(|part| part.parse().ok());
        if let (Some(major), Some(minor)) = (numbers.next(), numbers.next())
            && (major, minor) >= PYTHON
        {
            return Ok(name.into());
        }
    }
    Err(Problem::said(format!(
        "Python {}.{} or newer was not found as python3 or python. Install it, and run cargo rehearse again.",
        PYTHON.0, PYTHON.1
    )))
}

fn run(command: &mut Command, otherwise: &str) -> Result<(), Problem> {
    // Standard output is only for results.
    let answer = command.stdin(Stdio::null()).output().map_err(|error| {
        Problem::new(
            format!("{:?} could not be started", command.get_program()),
            error,
        )
    })?;
    if answer.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    Err(Problem::said(format!(
        "{otherwise}. Its last output: {}",
        last.into_iter().rev().collect::<Vec<_>>().join(" / ")
    )))
}

/// Compiles the functions in the profile of the tests. Returns the folder of the binaries.
pub(crate) fn build_functions(workspace: &Workspace) -> Result<PathBuf, Problem> {
    eprintln!(
        "Building the functions (the first time takes minutes: the SDK's EC2 crate is large) …"
    );
    let functions = workspace.functions()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .current_dir(&workspace.root)
        .args([
            "build",
            "--locked",
            "--message-format=json-render-diagnostics",
        ])
        .args(
            functions
                .iter()
                .flat_map(|function| ["--package", function.as_str()]),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // Cargo sets variables about this package. For build scripts that read them, such as that of ring, this would be a
    // change, and everything that depends on them would be compiled again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "CARGO_PRIMARY_",
        ]
        .iter()
        .any(|own| text.starts_with(own))
            || text == "OUT_DIR"
        {
            build.env_remove(name);
        }
    }
    let mut child = build
        .spawn()
        .map_err(|error| Problem::new("cargo could not be started", error))?;
    let output = child
        .stdout
        .take()
        .ok_or_else(|| Problem::said("cargo's output could not be read"))?;
    let executables: Vec<PathBuf> = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .collect();
    let status = child
        .wait()
        .map_err(|error| Problem::new("cargo could not be waited for", error))?;
    if !status.success() {
        return Err(Problem::said(
            "the functions do not compile. Read the messages above.",
        ));
    }
    executables
        .first()
        .and_then(|executable| executable.parent())
        .map(Path::to_owned)
        .filter(|_| executables.len() == functions.len())
        .ok_or_else(|| {
            Problem::said(format!(
                "cargo built {} of the {} functions. Run `cargo build` to see why.",
                executables.len(),
                functions.len()
            ))
        })
}
