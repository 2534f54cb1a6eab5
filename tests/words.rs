//! Everything that people read uses plain words: documents, messages, comments and descriptions. For each
//! phrase that is hard to read there is a better one, and a failed test names it.

use regex_lite::{Regex, RegexBuilder};

use crate::support::repository::{documents, files_ending, text};

/// A phrase that is hard to read.
struct Phrase {
    /// A regular expression. A space stands for any white space; case does not matter.
    found: &'static str,
    /// Words separated by `|`. A text without any of them is not searched.
    hint: &'static str,
    /// A found text that matches this regular expression is allowed.
    except: &'static str,
    /// What to write instead.
    write: &'static str,
    /// Sentences in which it is found.
    examples: &'static [&'static str],
}

const NOTHING: &str = "^$";

const REPLACE: &[Phrase] = &[
    Phrase {
        found: r"\b(tell|tells|telling|told)\b",
        hint: "tell|told",
        except: NOTHING,
        write: "notifies, operators are notified; reports; names; says",
        examples: &[
            "It tells people.",
            "People are told.",
            "AWS Backup is told.",
        ],
    },
    Phrase {
        found: r"\b(hold|holds|held)( \S+){0,5} against\b|\b(is|are|was|were|be|been) held to\b",
        hint: "against|held",
        except: NOTHING,
        write: "is compared with, must satisfy",
        examples: &[
            "The time is held against the target.",
            "It holds the volume against its recovery point.",
            "Each role is held to rules.",
        ],
    },
    Phrase {
        found: r"\blook(s|ed|ing)? (at|again|whether|into)\b|\b(a|an|one|each|every|another|the first|next|last) look\b|\blook(s|ed)( \w+)?\b",
        hint: "look",
        except: r"(?i)^look(s|ed)\s(for|up|like)$",
        write: "reads, checks, checks again, a check",
        examples: &[
            "It looks at the volume.",
            "The volume is looked at.",
            "It looks.",
            "with a look every 30 s",
        ],
    },
    Phrase {
        found: r"\bof late\b|\bsome time since\b",
        hint: "late|since",
        except: NOTHING,
        write: "recent",
        examples: &["the restores of late"],
    },
    Phrase {
        found: r"\b(is|are|was|were|be|been|stay|stays|not) whole\b",
        hint: "whole",
        except: NOTHING,
        write: "is complete, is incomplete",
        examples: &["The recovery is\nwhole.", "one that is not whole"],
    },
    Phrase {
        found: r"\b(\w+ )?(is|are|was|were) no \w+",
        hint: "no",
        except: r"(?i)^there\s|\sno\s+(longer|more|later|earlier|less|smaller|larger|greater|older)$",
        write: "is not a ...",
        examples: &[
            "What is no event is an error.",
            "It is no function of ours.",
        ],
    },
    Phrase {
        found: r"\bthere (is|are) no such\b",
        hint: "such",
        except: NOTHING,
        write: "does not exist",
        examples: &["There is no such stack."],
    },
    Phrase {
        found: r"\bbut (for|what)\b",
        hint: "but",
        except: NOTHING,
        write: "except",
        examples: &[
            "Nothing is deleted but for drills.",
            "nothing but what it made",
        ],
    },
    Phrase {
        found: r"\bmend(s|ed|ing)?\b|\b(make|makes|made|making) good\b",
        hint: "mend|good",
        except: NOTHING,
        write: "fixes, repairs",
        examples: &["until it is mended", "The loss is made good."],
    },
    Phrase {
        found: r"\b(is|are|was|were|been) promised\b|\bloss of data\b",
        hint: "promised|loss",
        except: NOTHING,
        write: "RTO, RPO; achieved RPO",
        examples: &["the time that was promised", "times and loss of data"],
    },
    Phrase {
        found: r"\bwhat is (not )?(its|his|her|their|our|your) own\b|\bwhose it is\b|\bwhat is whose\b|\bis not ours\b",
        hint: "own|whose|ours",
        except: NOTHING,
        write: "the noun: account, stack, drill, ...",
        examples: &["It asks for what is not its own.", "It knows whose it is."],
    },
    Phrase {
        found: r"\b(bring|brings|bringing|brought)( \S+){0,6} (together|back|home)\b|\b(is|are|was|were|be|been) brought\b",
        hint: "br",
        except: NOTHING,
        write: "attach, attached; restore, restored",
        examples: &[
            "It brings the volume and the instance together.",
            "The volume is brought to the instance.",
        ],
    },
    Phrase {
        found: r"\b(lead|leads|led|leading)( \S+){0,6} through\b|\b(go|goes|went|going) on\b|\b(end|ends|ended) in\b",
        hint: "through|go|went|end",
        except: NOTHING,
        write: "the verb: integrates, updates, continues, returns, ends with",
        examples: &[
            "leads each restore through the same integration",
            "A redrive goes on from there.",
            "It ends in a refusal.",
        ],
    },
    Phrase {
        found: r"\b(to the letter|letter for letter|word for word|so many)\b",
        hint: "letter|word|many",
        except: NOTHING,
        write: "exactly; N",
        examples: &["It is copied word for word.", "every so many minutes"],
    },
    Phrase {
        found: r"\b(give|gives|gave|given|giving) up\b|\b(a|its|their|another|the next) turn\b",
        hint: "up|turn",
        except: NOTHING,
        write: "stops after N attempts; the next run",
        examples: &["what a function gave up on", "The rest has its turn."],
    },
    Phrase {
        // A program has this name.
        found: r"\b(udevadm )?settl(e|es|ed|ing)\b",
        hint: "settl",
        except: "^udevadm",
        write: "one verb for each meaning: completes, resolves, records, checks",
        examples: &["A lost answer is settled by observing."],
    },
];

/// A text that people read.
struct Source {
    /// Its file, from the root of the repository.
    file: String,
    /// The line of the file in which the text begins.
    line: usize,
    text: String,
}

/// The documents. The changelog is history, and a program writes the page on performance.
fn document_texts() -> Vec<Source> {
    documents()
        .into_iter()
        .filter(|file| !["CHANGELOG.md", "docs/performance.md"].contains(&file.as_str()))
        .flat_map(|file| paragraphs(&file, &text(&file)))
        .collect()
}

/// The files in these folders whose names have this ending.
fn files_in(folders: &[&str], ending: &str) -> Vec<String> {
    files_ending(&[ending])
        .into_iter()
        .filter(|file| folders.iter().any(|folder| file.starts_with(folder)))
        .collect()
}

/// The messages and comments of the functions, their crates and the rehearsal.
fn rust_texts() -> Vec<Source> {
    files_in(&["crates/", "functions/"], ".rs")
        .into_iter()
        .filter(|file| file.contains("/src/"))
        .flat_map(|file| rust(&file, &text(&file)))
        .collect()
}

/// The templates of the report, its notification and its OpsItem.
fn report_texts() -> Vec<Source> {
    [".html", ".md", ".txt"]
        .into_iter()
        .flat_map(|ending| files_in(&["crates/recovery-core/templates/"], ending))
        .flat_map(|file| paragraphs(&file, &text(&file)))
        .collect()
}

/// The descriptions and comments of the stack templates and the state machines.
fn template_texts() -> Vec<Source> {
    files_in(&["template.yaml", "infra/", "crates/"], ".yaml")
        .into_iter()
        .flat_map(|file| paragraphs(&file, &text(&file)))
        .collect()
}

/// The messages of the local Region.
fn local_region_texts() -> Vec<Source> {
    files_in(&["local-region/local_region/"], ".py")
        .into_iter()
        .flat_map(|file| python(&file, &text(&file)))
        .collect()
}

/// The paragraphs of a document.
fn paragraphs(file: &str, document: &str) -> Vec<Source> {
    let mut line = 1;
    document
        .split("\n\n")
        .map(|text| {
            let paragraph = Source {
                file: file.to_owned(),
                line,
                text: text.to_owned(),
            };
            line += text.matches('\n').count() + 2;
            paragraph
        })
        .collect()
}

/// The code of a file that is not read yet.
struct Cursor<'a> {
    file: &'a str,
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn new(file: &'a str, code: &'a str) -> Cursor<'a> {
        Cursor {
            file,
            rest: code,
            line: 1,
        }
    }

    /// Takes the next `length` bytes.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Takes the next character: nothing at the end.
    fn character(&mut self) -> &'a str {
        self.take(self.rest.chars().next().map_or(0, char::len_utf8))
    }

    /// Takes one word of code, or one other character.
    fn skip(&mut self) {
        let word = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        if word == 0 {
            self.character();
        } else {
            self.take(word);
        }
    }

    /// Takes a string whose opening quotes are taken already, and its closing quotes `end`.
    fn string(&mut self, end: &str, raw: bool) -> Source {
        let (line, mut text) = (self.line, String::new());
        while !self.rest.is_empty() && !self.rest.starts_with(end) {
            match self.character() {
                // The escape of a line break is white space, and so is an escaped line break.
                "\\" if !raw => match self.character() {
                    "n" => text.push('\n'),
                    other => text.push_str(other),
                },
                other => text.push_str(other),
            }
        }
        self.take(end.len().min(self.rest.len()));
        self.source(line, text)
    }

    /// Takes a comment, and those of the next lines.
    fn comments(&mut self) -> Source {
        let (line, mut text) = (self.line, String::new());
        while self.rest.trim_start_matches(' ').starts_with("//") {
            let length = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
            let comment = self.take(length).trim_start().trim_start_matches('/');
            text.push_str(comment.strip_prefix('!').unwrap_or(comment));
        }
        self.source(line, text)
    }

    fn source(&self, line: usize, text: String) -> Source {
        Source {
            file: self.file.to_owned(),
            line,
            text,
        }
    }
}

/// What people read in Rust code: comments, and strings of more than one word.
fn rust(file: &str, code: &str) -> Vec<Source> {
    let mut cursor = Cursor::new(file, code);
    let mut found = Vec::new();
    while !cursor.rest.is_empty() {
        let raw = ["r#\"", "r\""]
            .into_iter()
            .find(|start| cursor.rest.starts_with(start));
        if cursor.rest.starts_with("//") {
            found.push(cursor.comments());
        } else if let Some(start) = raw {
            cursor.take(start.len());
            let end = if start == "r#\"" { "\"#" } else { "\"" };
            found.push(cursor.string(end, true));
        } else if cursor.rest.starts_with('"') {
            cursor.take(1);
            found.push(cursor.string("\"", false));
        } else if let Some(length) = character_literal(cursor.rest) {
            cursor.take(length);
        } else {
            cursor.skip();
        }
    }
    found.retain(|source| source.text.trim().contains(char::is_whitespace));
    found
}

/// The length of the character literal with which the code begins, if it does. A lifetime has one quote only.
fn character_literal(code: &str) -> Option<usize> {
    let inner = code.strip_prefix('\'')?;
    let length = match inner.strip_prefix('\\') {
        Some(escaped) => 2 + escaped.get(1..)?.find('\'')?,
        None => inner.chars().next()?.len_utf8(),
    };
    let ends = inner.get(length..)?.starts_with('\'');
    ends.then_some(length + 2)
}

/// What people read in Python code: strings of more than one word.
fn python(file: &str, code: &str) -> Vec<Source> {
    let mut cursor = Cursor::new(file, code);
    let mut found = Vec::new();
    while !cursor.rest.is_empty() {
        let quotes = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quotes| cursor.rest.starts_with(quotes));
        if cursor.rest.starts_with('#') {
            let length = cursor.rest.find('\n').unwrap_or(cursor.rest.len());
            cursor.take(length);
        } else if let Some(quotes) = quotes {
            cursor.take(quotes.len());
            found.push(cursor.string(quotes, false));
        } else {
            cursor.skip();
        }
    }
    found.retain(|source| source.text.trim().contains(char::is_whitespace));
    found
}

fn regex(pattern: &str) -> Regex {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .build()
        .unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

/// Each phrase that a text contains: file and line, what was found, what to write instead.
fn findings<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Vec<String> {
    let phrases: Vec<(&Phrase, Regex, Regex)> = REPLACE
        .iter()
        .map(|phrase| {
            let found = regex(&phrase.found.replace(' ', r"\s+"));
            (phrase, found, regex(phrase.except))
        })
        .collect();
    let mut findings = Vec::new();
    for source in sources {
        let lower = source.text.to_lowercase();
        for (phrase, found, except) in &phrases {
            if !phrase.hint.split('|').any(|word| lower.contains(word)) {
                continue;
            }
            for hit in found.find_iter(&source.text) {
                if except.is_match(hit.as_str()) {
                    continue;
                }
                let line = source.line + source.text[..hit.start()].matches('\n').count();
                let words = hit.as_str().split_whitespace().collect::<Vec<_>>();
                findings.push(format!(
                    "{}:{line}: \"{}\": write: {}",
                    source.file,
                    words.join(" "),
                    phrase.write
                ));
            }
        }
    }
    findings
}

/// Searches the texts, of which there are at least `expected`.
fn check(sources: &[Source], expected: usize) {
    assert!(sources.len() >= expected, "only {} texts", sources.len());
    let findings = findings(sources);
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn the_documents_use_plain_words() {
    check(&document_texts(), 500);
}

#[test]
fn the_messages_and_comments_of_the_code_use_plain_words() {
    check(&rust_texts(), 3_000);
}

#[test]
fn the_report_uses_plain_words() {
    check(&report_texts(), 10);
}

#[test]
fn the_templates_use_plain_words() {
    check(&template_texts(), 50);
}

#[test]
fn the_messages_of_the_local_region_use_plain_words() {
    check(&local_region_texts(), 500);
}

fn source(text: &str) -> Source {
    Source {
        file: "a.md".to_owned(),
        line: 7,
        text: text.to_owned(),
    }
}

#[test]
fn every_phrase_is_found_with_its_line_and_its_replacement() {
    for phrase in REPLACE {
        assert!(!phrase.examples.is_empty(), "{}", phrase.found);
        for example in phrase.examples {
            let findings = findings([&source(&format!("Good.\n{example}"))]);
            assert!(
                findings
                    .iter()
                    .any(|finding| finding.starts_with("a.md:8: ")
                        && finding.ends_with(&format!("write: {}", phrase.write))),
                "{example}: {findings:?}"
            );
        }
    }
}

#[test]
fn a_paragraph_knows_its_line() {
    let lines: Vec<(usize, String)> = paragraphs("a.md", "one\ntwo\n\nfour\n\n\nseven\n")
        .into_iter()
        .map(|paragraph| (paragraph.line, paragraph.text))
        .collect();
    let expected = [(1, "one\ntwo"), (4, "four"), (6, "\nseven\n")];
    assert_eq!(lines, expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn plain_sentences_pass() {
    let plain = "There is no database. The volume is no smaller than the snapshot. Look up the id. \
                 The function looks for the tag. A whole Region is failing. `TellTale` is a name. \
                 It leads to an error. `settle_attached` records it.";
    assert_eq!(findings([&source(plain)]), Vec::<String>::new());
}

/// Line and text of each source, with single spaces.
fn lines_and_texts(sources: &[Source]) -> Vec<(usize, String)> {
    sources
        .iter()
        .map(|source| {
            let words: Vec<&str> = source.text.split_whitespace().collect();
            (source.line, words.join(" "))
        })
        .collect()
}

#[test]
fn comments_and_strings_of_rust_are_found() {
    let code = r##"//! One
//! two.
fn f<'a>(c: char) {
    // A comment.
    let a = ('"', '\'', b'"', "one-word");
    let b = "It says \"go\", \
        and stops.\nThen";
    let c = r#"a "raw" one"#;
}
"##;
    let expected = [
        (1, "One two."),
        (4, "A comment."),
        (6, "It says \"go\", and stops. Then"),
        (8, "a \"raw\" one"),
    ];
    assert_eq!(
        lines_and_texts(&rust("a.rs", code)),
        expected.map(|(line, text)| (line, text.to_owned()))
    );
}

#[test]
fn strings_of_python_are_found() {
    let code = r#"# It's a comment
x = {'one-word': f"two {words}"}
y = """a "long"
one"""
z = 'it\'s it'
"#;
    let expected = [(2, "two {words}"), (3, "a \"long\" one"), (5, "it's it")];
    assert_eq!(
        lines_and_texts(&python("a.py", code)),
        expected.map(|(line, text)| (line, text.to_owned()))
    );
}
