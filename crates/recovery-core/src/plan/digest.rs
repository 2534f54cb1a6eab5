//! What identifies a list of texts.

use sha2::{Digest, Sha256};

/// SHA-256 of `parts` in hexadecimal. Each part is terminated by a byte that UTF-8 never contains.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0xff]);
    }
    let digest = digest.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
