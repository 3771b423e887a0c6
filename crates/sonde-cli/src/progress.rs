//! What is under way, on standard error: a moving line where that is a terminal, plain lines everywhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Cheap to clone; hidden when standard error is no terminal.
#[derive(Debug, Clone)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Shows how many of `total` checks are done.
    pub(crate) fn start(total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        let style = ProgressStyle::with_template("{spinner:.cyan} {pos} of {len} done, {elapsed}")
            .expect("a fixed template is valid");
        bar.set_style(style);
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    pub(crate) fn one_done(&self) {
        self.0.inc(1);
    }

    /// Runs `write` while the moving line is out of the way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
