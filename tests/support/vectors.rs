//! Test vectors: facts that other systems produced, and the lines that say how many of them hold.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Database;

/// Every case of `<name>.json`, from the folder that `AUCTION_LEDGER_VECTORS` names or else from `tests/vectors`.
pub(crate) fn vectors(name: &str) -> Vec<Value> {
    let folder = match std::env::var_os("AUCTION_LEDGER_VECTORS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"),
    };
    let path = folder.join(name).with_extension("json");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Says that `ok` of the `total` cases of a file hold on a database: `django_atomic postgres: 500 of 500`.
/// `scripts/test` collects these lines through the file that `AUCTION_LEDGER_REPORT` names.
pub(crate) fn report(name: &str, database: Database, ok: usize, total: usize) {
    let line = format!("{name} {}: {ok} of {total}\n", database.label());
    let Some(path) = std::env::var_os("AUCTION_LEDGER_REPORT") else {
        print!("{line}");
        return;
    };
    // One write in append mode: tests of several threads do not mix up their lines.
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", Path::new(&path).display()));
}
