//! Links between documents point to existing files and headings, and the documents that code names
//! exist.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::support::repository::{documents, files_ending, root, text};

/// The targets of the links to documents of the repository.
fn targets(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.contains(' '))
        .filter(|target| target.starts_with('#') || target.contains(".md"))
        .collect()
}

/// The anchors of a document: its headings in GitHub's form, and its `id`s.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors: BTreeSet<String> = text
        .split("<a id=\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    let mut in_code = false;
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if in_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                '-' | '_' => Some(c),
                c => c.is_alphanumeric().then_some(c),
            })
            .collect();
        anchors.insert(anchor);
    }
    anchors
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// The problem of a link in a document.
fn wrong(document: &str, target: &str) -> Option<String> {
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target, None),
    };
    let path = if file.is_empty() {
        PathBuf::from(document)
    } else {
        let folder = Path::new(document).parent().unwrap_or(Path::new(""));
        normal(&folder.join(file))
    };
    if !root().join(&path).is_file() {
        return Some(format!("{document}: {target}: the file does not exist"));
    }
    let anchor = anchor?;
    let known = anchors(&text(&path.to_string_lossy()));
    (!known.contains(anchor)).then(|| format!("{document}: {target}: the heading does not exist"))
}

#[test]
fn links_point_to_existing_documents_and_headings() {
    let mut checked = 0;
    let mut problems = Vec::new();
    for document in documents() {
        for target in targets(&text(&document)) {
            checked += 1;
            problems.extend(wrong(&document, target));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(checked >= 50, "only {checked} links");
}

/// The documents `docs/….md` that a text names.
fn named(text: &str) -> Vec<String> {
    text.split("docs/")
        .skip(1)
        .filter_map(|rest| {
            let name = rest
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .next()?;
            let file = rest.strip_prefix(name)?.strip_prefix(".md")?;
            (!name.is_empty() && !file.starts_with(char::is_alphanumeric))
                .then(|| format!("docs/{name}.md"))
        })
        .collect()
}

#[test]
fn documents_named_in_code_exist() {
    let mut checked = 0;
    let mut missing = Vec::new();
    // This file names documents that do not exist.
    let files = files_ending(&[".rs", ".yaml", ".toml", ".py"])
        .into_iter()
        .filter(|file| file != "tests/links.rs");
    for file in files {
        for document in named(&text(&file)) {
            checked += 1;
            if !root().join(&document).is_file() {
                missing.push(format!("{file}: {document}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(checked >= 5, "only {checked} documents");
}

#[test]
fn finds_documents_named_in_code() {
    assert_eq!(
        named("See docs/recover.md. docs/no-such.md, docs/report.schema.json, docs/ and docs/.md"),
        ["docs/recover.md", "docs/no-such.md"]
    );
}

#[test]
fn finds_broken_links() {
    assert_eq!(
        targets("[a](b.md#c) [d](https://example.com/e.md) [f](#g) ![h](i.png)"),
        ["b.md#c", "#g"]
    );
    assert!(wrong("docs/deploy.md", "../README.md#documents").is_none());
    assert!(wrong("docs/deploy.md", "#lock-the-vault").is_none());
    assert!(wrong("docs/deploy.md", "glossary.md#rto").is_none());
    assert!(wrong("docs/deploy.md", "#lock-the-door").is_some());
    assert!(wrong("docs/deploy.md", "README.md").is_some());
}
