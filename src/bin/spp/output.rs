//! Standard output and standard error, either of which may be closed before we are done.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use spp_wgpu::Error;

/// A line of results.
pub(crate) fn say(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A line for people, on standard error; if nobody listens, that is all right.
pub(crate) fn note(text: impl Display) {
    let _unheard = writeln!(io::stderr().lock(), "{text}");
}

/// What `--json` prints.
pub(crate) fn say_json(value: &Value) -> io::Result<()> {
    say(format_args!("{value:#}"))
}

/// Columns of numbers are aligned on the right.
pub(crate) fn say_table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if rows.iter().all(|row| row[i].parse::<f64>().is_ok()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    say(table.trim_fmt())
}

/// A bar on standard error, if that is a terminal and there is more than one thing to wait for.
pub(crate) fn progress(len: usize) -> ProgressBar {
    if len < 2 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}");
    ProgressBar::new(len as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Writes a file under a temporary name beside it, then renames: a reader never sees half of it. Makes the folder.
pub(crate) fn write_file(path: &Path, content: &[u8], force: bool) -> Result<(), Error> {
    let bad = |reason: String| Error::File { path: path.into(), reason };
    if path.exists() && !force {
        return Err(bad("exists; --force overwrites it".into()));
    }
    let Some(name) = path.file_name() else {
        return Err(bad("is no name for a file".into()));
    };
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(beside);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = folder.map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&temporary, content));
    written.and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        // What went wrong first is what to report.
        let _left = fs::remove_file(&temporary);
        bad(error.to_string())
    })
}
