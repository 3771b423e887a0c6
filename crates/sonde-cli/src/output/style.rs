//! Colours, marks and numbers as people read them. Escape codes are always written; the stream strips them.

use std::fmt;

use anstyle::{AnsiColor, Style};
use sonde_core::{Outcome, Phase};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const RED: Style = AnsiColor::Red.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();

/// `text` in a style, padded as the format asks for, the escape codes not counted.
pub(super) fn paint<T: fmt::Display>(style: Style, text: T) -> Painted<T> {
    Painted { style, text }
}

pub(super) struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style)?;
        self.text.fmt(f)?;
        write!(f, "{:#}", self.style)
    }
}

pub(super) const fn outcome_style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Ok => AnsiColor::Green.on_default(),
        Outcome::Degraded => YELLOW,
        Outcome::Failed => RED,
        Outcome::Missed => AnsiColor::Magenta.on_default(),
    }
}

/// One character, told apart without colour too.
pub(super) const fn mark(outcome: Outcome) -> char {
    match outcome {
        Outcome::Ok => '✓',
        Outcome::Degraded => '!',
        Outcome::Failed => '✗',
        Outcome::Missed => '?',
    }
}

pub(super) const fn phase_style(phase: Phase) -> Style {
    let color = match phase {
        Phase::Dns => AnsiColor::Cyan,
        Phase::Connect => AnsiColor::Blue,
        Phase::Tls => AnsiColor::Magenta,
        Phase::Send => AnsiColor::BrightBlack,
        Phase::Wait => AnsiColor::Yellow,
        Phase::Receive => AnsiColor::Green,
    };
    color.on_default()
}

/// Three digits that matter, in the unit that fits: `812 µs`, `12.3 ms`, `1.23 s`.
pub(crate) fn show_micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", three_digits(micros, 1_000)),
        _ => format!("{} s", three_digits(micros, 1_000_000)),
    }
}

/// `value / unit`, at least one, with as many decimals as make three digits. Cut, not rounded: 999.9 ms is not 1000.
fn three_digits(value: u64, unit: u64) -> String {
    let whole = value / unit;
    let thousandths = value % unit * 1_000 / unit;
    match whole {
        0..10 => format!("{whole}.{:02}", thousandths / 10),
        10..100 => format!("{whole}.{}", thousandths / 100),
        _ => whole.to_string(),
    }
}

pub(super) fn show_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", three_digits(bytes, 1_000)),
        _ => format!("{} MB", three_digits(bytes, 1_000_000)),
    }
}

/// `text`, cut to `width` characters with an ellipsis where it is longer.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_matter() {
        let shown = [
            0, 999, 1_000, 12_345, 123_456, 999_999, 1_234_567, 75_000_000,
        ]
        .map(show_micros);
        assert_eq!(
            shown,
            [
                "0 µs", "999 µs", "1.00 ms", "12.3 ms", "123 ms", "999 ms", "1.23 s", "75.0 s"
            ]
        );
        assert_eq!(
            [12, 12_345, 10_485_760].map(show_bytes),
            ["12 B", "12.3 kB", "10.4 MB"]
        );
    }

    #[test]
    fn a_cut_text_is_never_longer_than_asked() {
        assert_eq!(
            [cut("abc", 3), cut("abcd", 3), cut("äöüß", 3)],
            ["abc", "ab…", "äö…"]
        );
    }
}
