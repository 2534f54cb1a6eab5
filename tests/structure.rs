//! The structure of `recovery-core`: decisions are pure, and no crate has an import circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use crate::support::repository::root;

const CORE: &str = "crates/recovery-core/src";
const REHEARSAL: &str = "crates/rehearsal/src";

/// The Rust files below `folder`, without those of the fakes.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder exists") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "fakes"));
    found.retain(|path| !path.ends_with("fakes.rs"));
    found
}

/// The code of the file, without its tests and comments.
fn code(text: &str) -> String {
    let code = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether a file of this name may be async.
fn calls_ports(name: &str) -> bool {
    name == "ports.rs" || name == "run.rs" || name.starts_with("run_")
}

fn is_async(code: &str) -> bool {
    code.contains("async fn") || code.contains(".await") || code.contains("impl Future")
}

#[test]
fn only_ports_and_run_files_are_async() {
    for path in files(&root().join(CORE)) {
        let name = path.file_name().expect("it has a name").to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        assert!(
            calls_ports(&name) || !is_async(&code(&text)),
            "{} is async: move what calls ports into run.rs of its folder",
            path.display()
        );
    }
    assert!(is_async("pub async fn run() {}") && !calls_ports("volume.rs"));
}

/// The module of each file and the modules that it imports from the same crate.
fn imports(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<String, String> = files(source)
        .into_iter()
        .map(|path| {
            let relative = path
                .strip_prefix(source)
                .expect("it is below")
                .with_extension("");
            let module: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            let text = std::fs::read_to_string(&path).expect("it can be read");
            (module.join("::"), code(&text))
        })
        .filter(|(module, _)| module != "lib" && module != "main")
        .collect();
    modules
        .iter()
        .map(|(module, code)| {
            let found = paths(module, code)
                .iter()
                .filter_map(|path| module_of(path, &modules))
                .filter(|imported| imported != module)
                .collect();
            (module.clone(), found)
        })
        .collect()
}

/// Every path in `code` that begins at the crate, at the module or above it.
fn paths(module: &str, code: &str) -> Vec<String> {
    let single = Regex::new(r"\b(crate|super|self)(::[A-Za-z_][A-Za-z0-9_]*)+").expect("valid");
    let group = Regex::new(r"\b((?:crate|super|self)(?:::[A-Za-z_][A-Za-z0-9_]*)*)::\{([^{}]*)\}")
        .expect("valid");
    let absolute = |path: &str| {
        let mut base: Vec<&str> = module.split("::").collect();
        let mut rest = Vec::new();
        for part in path.split("::") {
            match part {
                "crate" => base.clear(),
                "super" => drop(base.pop()),
                "self" => {}
                part => rest.push(part),
            }
        }
        [base, rest].concat().join("::")
    };
    let grouped = group.captures_iter(code).flat_map(|found| {
        found[2]
            .split(',')
            .map(|name| format!("{}::{}", &found[1], name.trim()))
            .collect::<Vec<_>>()
    });
    let paths = single
        .find_iter(code)
        .map(|found| found.as_str().to_owned());
    paths.chain(grouped).map(|path| absolute(&path)).collect()
}

/// The module that holds what `path` names.
fn module_of(path: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let parts: Vec<&str> = path.split("::").collect();
    (1..=parts.len())
        .rev()
        .map(|length| parts[..length].join("::"))
        .find(|module| modules.contains_key(module))
}

/// Modules that import each other, if there are any.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut left = imports.clone();
    loop {
        let leaves: BTreeSet<String> = left
            .iter()
            .filter(|(_, imported)| imported.iter().all(|it| !left.contains_key(it)))
            .map(|(module, _)| module.clone())
            .collect();
        if leaves.is_empty() {
            return (!left.is_empty()).then(|| left.into_keys().collect());
        }
        left.retain(|module, _| !leaves.contains(module));
    }
}

#[test]
fn no_modules_import_each_other() {
    for (source, importer, imported) in [
        (CORE, "integrate::volume::run", "ports"),
        (REHEARSAL, "story", "region"),
    ] {
        let imports = imports(&root().join(source));
        assert!(imports[importer].contains(imported), "{imports:?}");
        assert_eq!(circle(&imports), None, "{source}");
    }
    let pair = |a: &str, b: &str| (a.to_owned(), BTreeSet::from([b.to_owned()]));
    assert!(circle(&BTreeMap::from([pair("a", "b"), pair("b", "a")])).is_some());
}
