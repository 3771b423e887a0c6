//! Bars that stand on each other: outcomes, phases. Where nothing was, nothing is drawn.

use std::fmt::Write as _;

use sonde_core::Timestamp;

use super::plot::Plot;
use super::short;

/// What stands over one step of time.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// From the ground up; as many as there are classes.
    pub(crate) parts: Vec<f64>,
}

/// The share of a step that its bar leaves free.
const GAP: f64 = 0.12;

/// One path per class, which keeps a page small.
pub(crate) fn bars(plot: &Plot<'_>, classes: &[&str], stacks: &[Stack]) -> String {
    let mut paths = vec![String::new(); classes.len()];
    for stack in stacks {
        let Some((x, width)) = plot.axis.between(stack.from, stack.to) else {
            continue;
        };
        let (x, width) = (x + width * GAP / 2.0, width * (1.0 - GAP));
        let mut below = 0.0;
        for (part, path) in stack.parts.iter().zip(&mut paths) {
            if *part <= 0.0 {
                continue;
            }
            let (bottom, top) = (plot.y(below), plot.y(below + part));
            below += part;
            // One of ten thousand is still to be seen.
            let top = top.min(bottom - 1.0);
            // Writing to a String cannot fail.
            let _ = write!(
                path,
                "M{} {}h{}V{}h-{}z",
                short(x),
                short(bottom),
                short(width),
                short(top),
                short(width)
            );
        }
    }
    let mut svg = String::new();
    for (class, path) in classes.iter().zip(paths) {
        if !path.is_empty() {
            let _ = write!(svg, r#"<path class="{class}" d="{path}"/>"#);
        }
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_on_each_other_and_a_gap_is_a_gap() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let plot = Plot::sample();
        let stack = |from: i64, parts: [f64; 2]| Stack {
            from: at(from),
            to: at(from + 10),
            parts: parts.to_vec(),
        };
        let svg = bars(
            &plot,
            &["ok", "failed"],
            &[stack(0, [5.0, 2.0]), stack(50, [10.0, 0.0])],
        );
        assert_eq!(
            svg,
            "<path class=\"ok\" d=\"M6 100h88V50h-88zM506 100h88V0h-88z\"/>\
             <path class=\"failed\" d=\"M6 50h88V30h-88z\"/>"
        );
    }
}
