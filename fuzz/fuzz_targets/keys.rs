//! A key is one short line without special characters, and different ids have different keys.
#![no_main]

use fuzz::assert_visible;
use libfuzzer_sys::fuzz_target;
use recovery_core::ops_item::{ItemKey, KEY_LIMIT};

fuzz_target!(|ids: (String, String)| {
    let [a, b] = [&ids.0, &ids.1].map(|id| ItemKey::new("alarm", id));
    assert_eq!(a == b, ids.0 == ids.1, "{a}");
    assert_eq!(a.token("recover") == b.token("recover"), ids.0 == ids.1);
    assert_eq!(a, ItemKey::new("alarm", &ids.0));
    assert_ne!(a, ItemKey::new("health-event", &ids.0));
    for key in [a, b] {
        assert!(key.as_str().starts_with("alarm/") && key.as_str().len() <= KEY_LIMIT);
        assert!(
            !key.as_str().contains(['"', '\\', '{', '}', '`', '<', '>']),
            "{key}"
        );
        assert_visible(key.as_str());
        let token = key.token("recover");
        let parts: Vec<usize> = token.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert!(token.chars().all(|c| c == '-' || c.is_ascii_hexdigit()));
    }
});
