//! Standard output and standard error, either of which may be closed before we are done.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use spp_wgpu::Error;
use spp_wgpu::case::write_whole;

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

/// Columns of numbers, `-` where there is none, are aligned on the right.
pub(crate) fn say_table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        let numbers = rows.iter().filter(|row| row[i].parse::<f64>().is_ok()).count();
        if numbers > 0 && rows.iter().filter(|row| row[i] == "-").count() + numbers == rows.len() {
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
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}").expect("the template is sound");
    ProgressBar::new(len as u64).with_style(style)
}

/// Whether [`write_file`] stands a chance, to know before an hour of measuring. Errors: a path without a file name or
/// in a folder that does not exist, a folder, a file that exists already unless `force` is given.
pub(crate) fn writable(path: &Path, force: bool) -> Result<(), Error> {
    let bad = |reason: &str| Err(Error::File { path: path.into(), reason: reason.into() });
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if path.file_name().is_none() || path.is_dir() {
        return bad("is a folder, not the name of a file");
    }
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return bad("there is no such folder");
    }
    if path.symlink_metadata().is_ok() && !force {
        return bad("exists; --force overwrites it");
    }
    Ok(())
}

/// Writes a whole file, or none.
pub(crate) fn write_file(path: &Path, content: &[u8], force: bool) -> Result<(), Error> {
    writable(path, force)?;
    write_whole(path, content).map_err(|error| Error::File { path: path.into(), reason: error.to_string() })
}
