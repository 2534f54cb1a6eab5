//! How large a function is to upload, and what it consists of.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use crate::trouble::{Result, Trouble};

/// What a zip archive needs beside the compressed file `bootstrap`: local header, central
/// directory, end.
const ARCHIVE: u64 = 30 + 9 + 46 + 9 + 22;

/// The size of the zip archive with the program in it, in bytes: deflated at the usual level, as
/// cargo-lambda does.
pub(crate) fn zip(program: &Path) -> Result<u64> {
    let size = || deflated(&std::fs::read(program)?);
    let size = size().map_err(unreadable(program))?;
    Ok(size + ARCHIVE)
}

fn unreadable(program: &Path) -> impl FnOnce(io::Error) -> Trouble + use<> {
    Trouble::because(
        format!("{} cannot be read", program.display()),
        "It was built for this benchmark just now: run it again.",
    )
}

fn deflated(bytes: &[u8]) -> io::Result<u64> {
    let mut encoder = DeflateEncoder::new(Counter(0), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.0)
}

struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A part of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// Bytes as they are.
    pub(crate) bytes: u64,
    /// Bytes that it takes in the archive, compressed by itself.
    pub(crate) zipped: u64,
}

/// What a program consists of.
#[derive(Debug, Default)]
pub(crate) struct Composition {
    /// Sections that are loaded, the largest first.
    pub(crate) sections: Vec<Part>,
    /// The code by the crate that it was written in, the largest first.
    pub(crate) crates: Vec<Part>,
}

/// Looks into a program that was linked with its symbols.
///
/// Generic code counts for the crate that defines it, wherever it was instantiated; code that the
/// linker left without a symbol counts as `(no symbol)`.
pub(crate) fn composition(program: &Path) -> Result<Composition> {
    let bytes = std::fs::read(program).map_err(unreadable(program))?;
    read(&bytes).map_err(Trouble::because(
        format!("{} cannot be taken apart", program.display()),
        "The benchmark reads programs in the ELF format only: run it on Linux.",
    ))
}

fn read(bytes: &[u8]) -> std::result::Result<Composition, Box<dyn std::error::Error>> {
    let file = object::File::parse(bytes)?;
    let mut sections = Vec::new();
    let mut by_crate: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for section in file.sections() {
        if !matches!(
            section.kind(),
            SectionKind::Text
                | SectionKind::Data
                | SectionKind::ReadOnlyData
                | SectionKind::ReadOnlyString
                | SectionKind::Elf(_)
                | SectionKind::Metadata
        ) || section.address() == 0
        {
            continue;
        }
        let data = section.data()?;
        sections.push(Part {
            name: section.name()?.to_owned(),
            bytes: section.size(),
            zipped: deflated(data)?,
        });
        if section.name()? == ".text" {
            let (start, end) = (section.address(), section.address() + section.size());
            let mut functions: Vec<(u64, u64, String)> = file
                .symbols()
                .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
                .filter(|symbol| (start..end).contains(&symbol.address()))
                .map(|symbol| {
                    let name = symbol.name().map(crate_of).unwrap_or_default();
                    (symbol.address(), symbol.address() + symbol.size(), name)
                })
                .collect();
            functions.sort_unstable();
            let mut reached = start;
            for (from, to, name) in functions {
                // Several names of one function count once.
                let (from, to) = (from.max(reached), to.min(end));
                if from >= to {
                    continue;
                }
                let slice = |a: u64, b: u64| &data[(a - start) as usize..(b - start) as usize];
                let gap = slice(reached, from);
                by_crate
                    .entry("(no symbol)".to_owned())
                    .or_default()
                    .extend(gap);
                by_crate.entry(name).or_default().extend(slice(from, to));
                reached = to;
            }
        }
    }
    let mut crates = by_crate
        .into_iter()
        .map(|(name, code)| {
            Ok(Part {
                name,
                bytes: code.len() as u64,
                zipped: deflated(&code)?,
            })
        })
        .collect::<io::Result<Vec<_>>>()?;
    let order = |part: &Part| std::cmp::Reverse(part.zipped);
    sections.sort_by_key(order);
    crates.sort_by_key(order);
    Ok(Composition { sections, crates })
}

/// The crate of a function: the first path in its name, or, where the name is no Rust one, what
/// brought it.
fn crate_of(symbol: &str) -> String {
    if symbol.contains("ring_core_") {
        return "ring".to_owned();
    }
    let Ok(name) = rustc_demangle::try_demangle(symbol) else {
        return "(not Rust)".to_owned();
    };
    let name = format!("{name:#}");
    // `<alloc::vec::Vec<T> as core::ops::Drop>::drop`, `<&T as …>`, `<[T] as …>`, `core::ptr::…`.
    let path = name
        .trim_start_matches(|c: char| !c.is_ascii_alphabetic() && c != '_')
        .trim_start_matches("dyn ")
        .trim_start_matches("mut ");
    let first: String = path
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    match first.as_str() {
        "core" | "alloc" | "std" => {
            // What is generic over somebody's type was made for that one.
            let of_others = name
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
                .filter_map(|path| path.split_once("::"))
                .map(|(first, _)| first)
                .find(|first| !["core", "alloc", "std", ""].contains(first));
            of_others.unwrap_or("std").to_owned()
        }
        "" => "(other)".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigns_symbols_to_crates() {
        for (symbol, expected) in [
            (
                "_ZN11aws_sdk_ec26client6Client3new17h0123456789abcdefE",
                "aws_sdk_ec2",
            ),
            ("_ZN4core9panicking5panic17h0123456789abcdefE", "std"),
            (
                "_ZN4core3ptr40drop_in_place$LT$rustls..conn..State$GT$17h0123456789abcdefE",
                "rustls",
            ),
            (
                "_ZN71_$LT$alloc..vec..Vec$LT$hyper..Body$GT$$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE",
                "hyper",
            ),
            ("_RNvNtCs1234_11aws_sdk_ssm3ops3get", "aws_sdk_ssm"),
            (
                "_RINvNtC4core3ptr13drop_in_placeNtC6rustls5StateEB0_",
                "rustls",
            ),
            ("ring_core_0_17_14__x25519_sc_mask", "ring"),
            ("memcpy", "(not Rust)"),
        ] {
            assert_eq!(crate_of(symbol), expected, "{symbol}");
        }
    }

    /// Measured on this test program, which has symbols.
    #[test]
    fn parts_add_up_to_at_least_95_percent() {
        let program = std::env::current_exe().unwrap();
        let parts = composition(&program).unwrap();
        let code = parts
            .sections
            .iter()
            .find(|part| part.name == ".text")
            .unwrap();
        let known: u64 = parts.crates.iter().map(|part| part.bytes).sum();
        assert!(known <= code.bytes);
        assert!(known * 100 > code.bytes * 95, "{known} of {}", code.bytes);
        assert!(parts.crates.iter().any(|part| part.name == "bench"));
        assert!(zip(&program).unwrap() < std::fs::metadata(&program).unwrap().len());
    }
}
