//! Standard output and standard error, either of which may be closed before we are done.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

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
