//! Figures beside their goals, shown as they come and once more together at the end.

use crate::figures::say;

#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<String>,
}

impl Report {
    /// One figure that has a goal.
    pub(crate) fn goal(&mut self, what: &str, measured: &str, goal: &str, met: bool) {
        let met = if met { "met" } else { "NOT MET" };
        say(format!("  {what}: {measured} (goal: {goal}, {met})"));
        self.rows
            .push(format!("| {what} | {measured} | {goal} | {met} |"));
    }

    /// A goal that was not measured, and why.
    pub(crate) fn missing(&mut self, what: &str, goal: &str, why: &str) {
        say(format!("  {what}: not measured: {why}"));
        self.rows
            .push(format!("| {what} | {why} | {goal} | NOT MEASURED |"));
    }

    pub(crate) fn finish(self) {
        say("\n| what | measured | goal | |");
        say("|---|---|---|---|");
        for row in self.rows {
            say(row);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
