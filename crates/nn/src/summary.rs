//! Keras' table of a model.

use std::fmt::Write as _;

use kiln_graph::Variable;

use crate::layer::{Dims, shape_text};
use crate::sequential::Entry;

/// The width of the table, borders included: as much as the contents need within these bounds.
const WIDTH: std::ops::RangeInclusive<usize> = 65..=88;
/// Least widths of the columns' contents: with borders they make the least width.
const COLUMNS: [usize; 3] = [26, 19, 10];
const HEADER: [&str; 3] = ["Layer (type)", "Output Shape", "Param #"];

/// The table of the layers and the sums below it.
pub(crate) fn text(
    name: &str,
    entries: &[Entry],
    input: Option<&[Option<usize>]>,
    failed: Option<&str>,
) -> String {
    let rows = rows(entries, input);
    let widths = widths(&rows);
    let mut out = format!("Model: \"{name}\"\n");
    let rule = |left: &str, fill: &str, middle: &str, right: &str| {
        let cells: Vec<String> = widths.iter().map(|w| fill.repeat(w + 2)).collect();
        format!("{left}{}{right}\n", cells.join(middle))
    };
    out += &rule("┏", "━", "┳", "┓");
    out += &row(&HEADER.map(String::from), &widths, "┃");
    out += &rule("┡", "━", "╇", "┩");
    for (i, cells) in rows.iter().enumerate() {
        if i > 0 {
            out += &rule("├", "─", "┼", "┤");
        }
        out += &row(cells, &widths, "│");
    }
    out += &rule("└", "─", "┴", "┘");
    let variables: Vec<Variable> = entries.iter().flat_map(|e| e.layer.variables()).collect();
    let (trained, frozen): (Vec<&Variable>, Vec<&Variable>) =
        variables.iter().partition(|v| v.is_trainable());
    for (label, part) in [
        ("Total params", variables.iter().collect()),
        ("Trainable params", trained),
        ("Non-trainable params", frozen),
    ] {
        let count: usize = part.iter().map(|v| v.len()).sum();
        let bytes: usize = part.iter().map(|v| v.len() * v.dtype().host_size()).sum();
        let _ = writeln!(out, " {label}: {} ({})", thousands(count), size(bytes));
    }
    if let Some(message) = failed {
        let _ = writeln!(out, " Error: {message}");
    }
    out
}

/// Name and class, output shape and number of parameters of each layer.
fn rows(entries: &[Entry], input: Option<&[Option<usize>]>) -> Vec<[String; 3]> {
    let mut shape: Option<Dims> = input.map(<[_]>::to_vec);
    let mut rows = vec![];
    for Entry { name, layer, .. } in entries {
        shape = shape.and_then(|shape| layer.output_shape(&shape).ok());
        let parameters = thousands(layer.count_params());
        rows.push(match &shape {
            Some(shape) => [format!("{name} ({})", layer.class_name()), shape_text(shape), parameters],
            None => {
                [format!("{name} ({})", layer.class_name()), "?".into(), format!("{parameters} (unbuilt)")]
            }
        });
    }
    rows
}

/// The widths of the columns' contents: grown to what the rows need while there is room.
fn widths(rows: &[[String; 3]]) -> [usize; 3] {
    let mut widths = COLUMNS;
    let mut room = WIDTH.end() - WIDTH.start();
    for column in [2, 1, 0] {
        let needed = rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let more = needed.saturating_sub(widths[column]).min(room);
        widths[column] += more;
        room -= more;
    }
    widths
}

/// A row, in as many lines as its longest cell needs; the last column is right-aligned.
fn row(cells: &[String; 3], widths: &[usize; 3], border: &str) -> String {
    let wrapped: Vec<Vec<String>> =
        cells.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for line in 0..height {
        out += border;
        for (column, width) in widths.iter().enumerate() {
            let text = wrapped[column].get(line).map_or("", String::as_str);
            let _ = match column {
                2 => write!(out, " {text:>width$} {border}"),
                _ => write!(out, " {text:<width$} {border}"),
            };
        }
        out.push('\n');
    }
    out
}

/// Words in lines; a word that is longer than a line ends in `…`.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split(' ') {
        let word = match word.chars().count() {
            length if length > width => word.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
            _ => word.to_string(),
        };
        match lines.last_mut().filter(|l| l.chars().count() + 1 + word.chars().count() <= width) {
            Some(line) => {
                line.push(' ');
                line.push_str(&word);
            }
            None => lines.push(word),
        }
    }
    lines
}

/// `54,538`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `213.04 KB`.
pub(crate) fn size(bytes: usize) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "KB", "MB", "GB", "TB"] {
        if amount < 1024.0 {
            return format!("{amount:.2} {unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.2} PB")
}
