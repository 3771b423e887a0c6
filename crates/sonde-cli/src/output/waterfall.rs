//! The phases of an attempt as bars, each beginning where the one before it ended.

use sonde_core::Phases;

use super::style::{DIM, paint, phase_style, show_micros};

/// Cells of a bar that lasts as long as everything together; with label and number, a line has 78 columns.
const WIDTH: u64 = 54;

/// The last cell of a bar, by how many eighths of it are filled.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// One line per phase and one for the total; none when nothing was measured.
pub(super) fn draw(phases: &Phases, total_us: Option<u64>) -> Vec<String> {
    let sum = phases.iter().map(|(_, took)| took).sum::<u64>();
    let scale = total_us.unwrap_or(0).max(sum).max(1);
    let mut from = 0;
    let mut lines = Vec::new();
    for (phase, took) in phases.iter() {
        let bar = paint(phase_style(phase), bar(from, took, scale));
        lines.push(format!(
            "  {:<10}{:>9}  {bar}",
            phase.as_str(),
            show_micros(took)
        ));
        from += took;
    }
    if let Some(total) = total_us.filter(|_| !lines.is_empty()) {
        lines.push(format!(
            "  {:<10}{:>9}",
            paint(DIM, "total"),
            show_micros(total)
        ));
    }
    lines
}

/// Blanks up to the cell in which the phase begins, then its length in eighths; what happened is never invisible.
fn bar(from: u64, took: u64, scale: u64) -> String {
    let eighth = |at: u64| u128::from(at) * u128::from(WIDTH) * 8 / u128::from(scale);
    let begin = (eighth(from) / 8).min(u128::from(WIDTH) - 1);
    let length = (eighth(from + took) - eighth(from)).max(1);
    let cells = |count: u128| usize::try_from(count).unwrap_or(0);
    format!(
        "{}{}{}",
        " ".repeat(cells(begin)),
        "█".repeat(cells(length / 8)),
        EIGHTHS[cells(length % 8)]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_each_other_and_fill_the_width() {
        assert_eq!(bar(0, 100, 100).chars().count(), 54);
        assert_eq!(bar(0, 50, 100), "█".repeat(27));
        assert_eq!(bar(50, 50, 100), " ".repeat(27) + &"█".repeat(27));
        assert_eq!(bar(0, 0, 100), "▏");
        assert_eq!(bar(100, 0, 100), " ".repeat(53) + "▏");
    }

    #[test]
    fn no_phase_leaves_the_picture() {
        for (from, took) in [(0, 1), (999, 1), (1000, 0), (333, 333), (0, 1000)] {
            assert!(bar(from, took, 1000).chars().count() <= 54, "{from} {took}");
        }
    }
}
