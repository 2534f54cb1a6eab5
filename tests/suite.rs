//! One test binary: see the README for what each part proves.
