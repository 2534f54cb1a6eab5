//! Files of the repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in a folder of the repository")
}

/// The text of a file, named from the root.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files of `events/` except the expectations, by name without `.json`.
pub(crate) fn events() -> &'static BTreeMap<String, Value> {
    static EVENTS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
        files("events")
            .into_iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .filter_map(|path| {
                let name = path.file_stem()?.to_str()?.to_owned();
                (name != "expectations").then(|| {
                    let text = fs::read_to_string(&path).expect("an event file can be read");
                    let event = serde_json::from_str(&text)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    (name, event)
                })
            })
            .collect()
    });
    &EVENTS
}

/// The event in `events/<name>.json`.
pub(crate) fn event(name: &str) -> Value {
    events()
        .get(name)
        .unwrap_or_else(|| panic!("events/{name}.json does not exist"))
        .clone()
}

/// The same event with `value` at `pointer` (RFC 6901), which names a member of an existing object.
pub(crate) fn event_with(name: &str, pointer: &str, value: Value) -> Value {
    let mut event = event(name);
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
    match event.pointer_mut(parent) {
        Some(Value::Object(members)) => members.insert(key.to_owned(), value),
        _ => panic!("events/{name}.json has nothing at {parent}"),
    };
    event
}

/// Which rules match which event file when the parameters have their defaults:
/// `events/expectations.json`, names without `.json`.
pub(crate) fn expectations() -> BTreeMap<String, Vec<String>> {
    let listed: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&text("events/expectations.json"))
            .expect("events/expectations.json maps files to lists of rules");
    listed
        .into_iter()
        .map(|(file, rules)| {
            let name = file.strip_suffix(".json").expect("an event file is JSON");
            (name.to_owned(), rules)
        })
        .collect()
}

/// The names of the function packages: the folders under `functions/` with a manifest.
pub(crate) fn function_packages() -> Vec<String> {
    files("functions")
        .into_iter()
        .filter(|path| path.join("Cargo.toml").is_file())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect()
}

/// The entries of a folder, sorted.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| entry.expect("a folder can be listed").path())
        .collect();
    paths.sort();
    paths
}

/// All Markdown documents of the repository, named from the root, sorted.
pub(crate) fn documents() -> Vec<String> {
    files_ending(&[".md"])
}

/// All files of the repository whose names end with one of these, named from the root, sorted.
/// Built, installed and hidden folders are left out.
pub(crate) fn files_ending(endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be listed") {
            let path = entry.expect("a folder can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let from_root = path.strip_prefix(root()).expect("it lies in the root");
                found.push(from_root.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
