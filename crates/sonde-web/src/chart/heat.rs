//! Cells in rows over time: how many of many, or how well.

use std::fmt::Write as _;

use sonde_core::Timestamp;

use super::plot::Plot;
use super::short;

pub(crate) struct Cell {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// From the ground up.
    pub(crate) row: usize,
    pub(crate) class: &'static str,
}

/// One path per class; `rows` of the same height.
pub(crate) fn cells(plot: &Plot<'_>, rows: usize, cells: &[Cell]) -> String {
    let mut paths: Vec<(&'static str, String)> = Vec::new();
    #[expect(clippy::cast_precision_loss, reason = "there are a few dozen")]
    let (each, place) = (plot.height / rows.max(1) as f64, |row: usize| row as f64);
    for cell in cells {
        let Some((x, width)) = plot.axis.between(cell.from, cell.to) else {
            continue;
        };
        let known = paths.iter().position(|(class, _)| *class == cell.class);
        let index = known.unwrap_or_else(|| {
            paths.push((cell.class, String::new()));
            paths.len() - 1
        });
        let bottom = plot.height - each * place(cell.row);
        if let Some((_, path)) = paths.get_mut(index) {
            // Writing to a String cannot fail.
            let _ = write!(
                path,
                "M{} {}h{}v-{}h-{}z",
                short(x),
                short(bottom - 0.5),
                short(width * 0.96),
                short(each - 1.0),
                short(width * 0.96)
            );
        }
    }
    let mut svg = String::new();
    for (class, path) in paths {
        let _ = write!(svg, r#"<path class="{class}" d="{path}"/>"#);
    }
    svg
}
