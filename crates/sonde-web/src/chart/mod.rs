//! Charts: SVG drawn here from the numbers that the API returns, with the same numbers as a table below it. The page's script
//! reads values and instants from that table, so that what it shows is what is drawn.

pub(crate) mod axis;
mod bars;
mod heat;
mod lines;
pub(crate) mod phases;
mod plot;
pub(crate) mod strip;

use askama::Template;

pub(crate) use axis::TimeAxis;
pub(crate) use bars::{Stack, bars};
pub(crate) use heat::{Cell, cells};
pub(crate) use lines::{Line, lines};
pub(crate) use plot::{Band, BandKind, Plot};

/// A chart with its heading, its legend, and its numbers.
#[derive(Template)]
#[template(path = "figure.html")]
pub(crate) struct Figure {
    /// Unique on its page.
    pub(crate) id: &'static str,
    pub(crate) title: String,
    /// What one has to know to read it.
    pub(crate) note: String,
    pub(crate) svg: String,
    pub(crate) legend: Vec<Key>,
    pub(crate) table: Table,
}

/// What a colour stands for, or a kind of line.
pub(crate) struct Key {
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) is_line: bool,
}

/// The numbers of a chart: a row for each of its steps.
#[derive(Default)]
pub(crate) struct Table {
    /// Of the columns after the first.
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<TableRow>,
}

pub(crate) struct TableRow {
    /// Where it is drawn: a share of the width in percent.
    pub(crate) percent: String,
    pub(crate) label: String,
    pub(crate) values: Vec<String>,
}

impl Key {
    pub(crate) fn new(class: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            class: class.into(),
            name: name.into(),
            is_line: false,
        }
    }

    /// Shown as it is drawn, so that dashes tell what colours do.
    pub(crate) fn line(class: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            is_line: true,
            ..Self::new(class, name)
        }
    }
}

impl TableRow {
    /// `middle` is in the units of the plot.
    pub(crate) fn new(middle: f64, label: String, values: Vec<String>) -> Self {
        Self {
            percent: format!("{:.2}", middle / axis::WIDTH * 100.0),
            label,
            values,
        }
    }
}

/// With its least digits, as SVG takes it.
pub(crate) fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}
