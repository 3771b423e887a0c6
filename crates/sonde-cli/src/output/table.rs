//! Tables for people: aligned columns without borders, which wrap where the terminal is too narrow.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Row, Table};

/// Rows below a header.
pub(crate) struct Columns(Table);

impl Columns {
    /// `numbers` are the places of the columns that are aligned on the right.
    pub(crate) fn new(header: &[&str], numbers: &[usize]) -> Self {
        Self::spaced(header, numbers, 2)
    }

    /// With numbers so close to what is left of them that much fits into a line.
    pub(crate) fn dense(header: &[&str], numbers: &[usize]) -> Self {
        Self::spaced(header, numbers, 1)
    }

    fn spaced(header: &[&str], numbers: &[usize], before_number: u16) -> Self {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            // The stream strips what the terminal does not have.
            .enforce_styling()
            .set_header(header.iter().map(dim));
        for (place, column) in table.column_iter_mut().enumerate() {
            let gap = match place + 1 {
                next if next == header.len() => 0,
                next if numbers.contains(&next) => before_number,
                _ => 2,
            };
            column.set_padding((0, gap));
            if numbers.contains(&place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self(table)
    }

    pub(crate) fn row(&mut self, cells: impl Into<Row>) {
        self.0.add_row(cells);
    }

    /// The whole table, with a line break at its end.
    pub(crate) fn text(&self) -> String {
        self.0.trim_fmt() + "\n"
    }
}

pub(crate) fn plain(text: impl ToString) -> Cell {
    Cell::new(text)
}

pub(crate) fn bold(text: impl ToString) -> Cell {
    Cell::new(text).add_attribute(Attribute::Bold)
}

pub(crate) fn warning(text: impl ToString) -> Cell {
    Cell::new(text).fg(Color::DarkYellow)
}

pub(crate) fn bad(text: impl ToString) -> Cell {
    Cell::new(text).fg(Color::DarkRed)
}

pub(crate) fn dim(text: impl ToString) -> Cell {
    Cell::new(text).add_attribute(Attribute::Dim)
}
