//! The files that the lists in CONTRIBUTING.md name exist.

use crate::support::repository::{files, root, text};

/// The sections with a list, and how many paths each names at least.
const LISTS: [(&str, usize); 4] = [
    ("## Add a function", 14),
    ("## Add a resource type", 20),
    ("## Add an event", 8),
    ("## Add an operation of the local Region", 6),
];

/// The paths in the first column of the table in a section.
fn paths<'a>(document: &'a str, heading: &str) -> Vec<&'a str> {
    let section = document
        .split_once(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("CONTRIBUTING.md has no section \"{heading}\""))
        .1;
    section
        .split("\n## ")
        .next()
        .unwrap_or(section)
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split(", "))
        .map(|path| path.trim_matches('`'))
        .collect()
}

/// Whether the repository has this path. `<…>` in the last part stands for any name.
fn exists(path: &str) -> bool {
    let Some((before, rest)) = path.split_once('<') else {
        return root().join(path).is_file();
    };
    let (folder, prefix) = before.rsplit_once('/').expect("a file in a folder");
    let suffix = rest.split_once('>').expect("a closing bracket").1;
    files(folder).iter().any(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        file.is_file() && name.starts_with(prefix) && name.ends_with(suffix)
    })
}

#[test]
fn files_listed_in_contributing_md_exist() {
    let document = text("CONTRIBUTING.md");
    let mut missing = Vec::new();
    for (heading, at_least) in LISTS {
        let paths = paths(&document, heading);
        assert!(paths.len() >= at_least, "{heading}: only {}", paths.len());
        missing.extend(paths.into_iter().filter(|path| !exists(path)));
    }
    assert!(
        missing.is_empty(),
        "CONTRIBUTING.md names files that do not exist: {missing:#?}"
    );
}

#[test]
fn finds_missing_files_in_the_lists() {
    let document = "## Add\n\n| file | change |\n|---|---|\n| `README.md`, `gone.md` | both |\n\n## Next\n\n| `other.md` | no |\n";
    assert_eq!(paths(document, "## Add"), ["README.md", "gone.md"]);
    assert!(exists("README.md"));
    assert!(exists("events/<name>.json"));
    assert!(!exists("gone.md"));
    assert!(!exists("events/<name>.rs"));
}
