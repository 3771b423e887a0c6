//! What drives a browser, of a test's own. It and the browser that it starts are one process group.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::private::{Launch, Process};
use super::{chromium, setting};

/// A server that speaks WebDriver.
pub struct Chromedriver {
    pub url: String,
    /// The program that it is to start.
    pub chromium: String,
    process: Process,
}

/// Starts the server that `SONDE_TEST_CHROMEDRIVER` names.
pub async fn chromedriver() -> Option<Chromedriver> {
    let program = setting("SONDE_TEST_CHROMEDRIVER", "chromedriver")?;
    let chromium = chromium()?;
    let process = Process::start(1, |_, port| Launch {
        command: ["setsid", &program, &format!("--port={port}")]
            .map(str::to_owned)
            .to_vec(),
        ready: format!("http://127.0.0.1:{port}/status"),
        pid_file: None,
    });
    let process = process.await;
    Some(Chromedriver {
        url: format!("http://127.0.0.1:{}", process.port),
        chromium,
        process,
    })
}

/// The script of axe-core that `SONDE_TEST_AXE` names.
pub fn axe() -> Option<String> {
    let path = setting("SONDE_TEST_AXE", "axe-core")?;
    let script = std::fs::read_to_string(&path);
    Some(script.unwrap_or_else(|error| unreachable!("SONDE_TEST_AXE, {path}: {error}")))
}

impl Chromedriver {
    /// The group of its processes.
    pub fn group(&self) -> i32 {
        self.process.pid().cast_signed()
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        const PAUSE: Duration = Duration::from_millis(10);
        const PAUSES: u32 = 300;
        let group = Pid::from_raw(self.group());
        let _ = killpg(group, Signal::SIGKILL);
        self.process.kill();
        // Until the others are gone too, so that none of them writes to a folder that is being deleted.
        for _ in 0..PAUSES {
            if killpg(group, Signal::SIGKILL) == Err(Errno::ESRCH) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
