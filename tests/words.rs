//! The documents use plain words. For each phrase that is hard to read there is a better one, and a
//! failed test names it.

use regex_lite::{Regex, RegexBuilder};

use crate::support::repository::{documents, text};

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
        found: r"\blook(s|ed|ing)? (at|again|whether|into)\b|\b(a|an|one|each|every|another|the first|next|last) look\b|\blooks( \w+)?\b|\blooked\b",
        hint: "look",
        except: r"(?i)^look(s|ed) (for|up)$",
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
        found: r"\bsettl(e|es|ed|ing)\b",
        hint: "settl",
        except: NOTHING,
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

/// What is checked: the documents. The changelog is history, and a program writes the page on performance.
fn sources() -> Vec<Source> {
    documents()
        .into_iter()
        .filter(|file| !["CHANGELOG.md", "docs/performance.md"].contains(&file.as_str()))
        .flat_map(|file| paragraphs(&file, &text(&file)))
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

#[test]
fn the_documents_use_plain_words() {
    let sources = sources();
    assert!(sources.len() >= 500, "only {} paragraphs", sources.len());
    let findings = findings(&sources);
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
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
                 The function looks for the tag. A whole Region is failing. `TellWithoutReport` is a state. \
                 It leads to an error. `settle_attached` records it.";
    assert_eq!(findings([&source(plain)]), Vec::<String>::new());
}
