//! Shared by the fuzz targets: assertions on answers and texts, and a mutator for JSON.

use recovery_core::error::Error;
use recovery_core::fakes::World;
use recovery_core::outcome::Outcome;
use serde_json::Value;

/// The code of the functions without their packages, which depend on the AWS SDK.
#[path = "../../functions/restore-integrator/src/lib.rs"]
pub mod restore_integrator;

/// Longest message of an error, in bytes.
const MESSAGE_LIMIT: usize = 4_000;

/// Asserts that an error is one line and ends with its remedy.
pub fn assert_error(error: &Error) {
    let message = error.to_string();
    let remedy = error.fault().remedy();
    assert!(matches!(error.error_type(), "Retryable" | "Permanent"));
    assert!(message.len() <= MESSAGE_LIMIT, "{} bytes", message.len());
    assert_visible(&message);
    assert!(remedy.len() > 10 && remedy.ends_with('.'), "{remedy:?}");
    assert!(message.ends_with(remedy), "{message:?}");
}

/// Asserts that an outcome has a valid kind and reason, that an error has a remedy, and that both fit
/// into a log line.
pub fn assert_answer(answer: &Result<Outcome, Error>) {
    match answer {
        Ok(outcome) => {
            let word = |text: &str| {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            };
            assert!(word(outcome.kind()), "{outcome:?}");
            assert!(outcome.reason().is_none_or(word), "{outcome:?}");
            let json = serde_json::to_string(outcome).expect("an outcome is JSON");
            assert!(json.len() <= 10_000, "{} bytes", json.len());
        }
        Err(error) => assert_error(error),
    }
}

/// Asserts that all writes satisfy the limits of AWS, and that nothing was notified twice.
pub fn assert_acceptable(world: &World) {
    let state = world.state();
    assert!(state.problems.is_empty(), "{:#?}", state.problems);
    assert!(state.executions.len() <= 1, "recovered twice");
    assert!(state.items.len() <= 1, "two OpsItems");
    let told = &state.notifications;
    let again = |n: usize| told[..n].contains(&told[n]);
    assert!(!(0..told.len()).any(again), "notified twice: {told:#?}");
}

/// Asserts that a text is one line without invisible characters: no controls, no bidirectional controls,
/// and no zero-width characters in an ASCII text.
pub fn assert_visible(line: &str) {
    let mut before = ' ';
    for c in line.chars() {
        let code = u32::from(c);
        let turns = matches!(code, 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
        let breaks = c.is_control() || matches!(code, 0x2028 | 0x2029);
        let hides = matches!(code, 0xad | 0x200b | 0x2060..=0x2064 | 0xfeff | 0xe0000..=0xe007f);
        let joins = matches!(code, 0x200c | 0x200d | 0xfe00..=0xfe0f) && before.is_ascii();
        assert!(!(turns || breaks || hides || joins), "{line:?} has {c:?}");
        before = c;
    }
}

/// Changes one text or number of a JSON document and keeps the rest. Other input, and sometimes JSON,
/// too, is changed byte by byte. Returns the new size.
pub fn mutate_json(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mutate = |data: &mut [u8]| libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    if seed.is_multiple_of(4) {
        return mutate(data);
    }
    let Ok(mut document) = serde_json::from_slice::<Value>(&data[..size]) else {
        return mutate(data);
    };
    let mut leaves = 0;
    each_leaf(&mut document, &mut |_| leaves += 1);
    if leaves == 0 {
        return mutate(data);
    }
    let chosen = seed as usize / 4 % leaves;
    let mut leaf = 0;
    each_leaf(&mut document, &mut |value| {
        if leaf == chosen {
            *value = mutated(value, seed / 64);
        }
        leaf += 1;
    });
    let text = document.to_string();
    if text.len() > max_size {
        return mutate(data);
    }
    data[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

fn each_leaf(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(members) => members
            .values_mut()
            .for_each(|value| each_leaf(value, visit)),
        Value::Array(elements) => elements
            .iter_mut()
            .for_each(|value| each_leaf(value, visit)),
        leaf => visit(leaf),
    }
}

fn mutated(value: &Value, seed: u32) -> Value {
    match seed % 16 {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => serde_json::json!({}),
        3 => serde_json::json!([value]),
        4 => serde_json::json!(i64::from(seed) - 1_000_000),
        5 => serde_json::json!(""),
        _ => {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let mut bytes = text.into_bytes();
            let size = bytes.len();
            bytes.resize(size * 2 + 64, 0);
            let most = bytes.len();
            let size = libfuzzer_sys::fuzzer_mutate(&mut bytes, size, most);
            String::from_utf8_lossy(&bytes[..size]).into_owned().into()
        }
    }
}
