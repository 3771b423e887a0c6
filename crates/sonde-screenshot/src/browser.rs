//! Chromium, run for one picture: a process group of its own, with limits, that is gone when its picture is there or its
//! time is over.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use sonde_probe::Dialler;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use crate::proxy::Proxy;

/// Names that it goes by, the usual ones first.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "headless_shell",
];
/// From the start of the process to its end.
const DEADLINE: Duration = Duration::from_secs(20);
/// A page that is not loaded by then is shown as far as it is.
const LOADING: &str = "10000";
/// What channels and browsers show without thinking twice.
const LARGEST: u64 = 2 * 1024 * 1024;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// What was killed is gone within milliseconds; where nobody collects the dead, nobody waits for ever.
const LOOKS_FOR_THE_DEAD: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Becomes the browser with less of the machine than it would take: no core dumps, 30 s of CPU for each of its processes,
/// files of 256 MiB (in blocks of 512 bytes; what its processes share counts too), the lowest priority.
const LIMITED: &str = r#"ulimit -c 0; ulimit -t 30; ulimit -f 524288; exec nice -n 19 "$@""#;

/// As the vendor's tests run it: it asks nobody but us for anything, and keeps to the proxy in all it does. The policy for
/// WebRTC has two names, for older and newer ones; without it STUN goes around the proxy by UDP.
const FLAGS: &[&str] = &[
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-client-side-phishing-detection",
    "--disable-notifications",
    "--deny-permission-prompts",
    "--block-new-web-contents",
    "--mute-audio",
    "--no-pings",
    "--password-store=basic",
    "--disable-features=HttpsUpgrades,MediaRouter,OptimizationHints,Translate,NetworkTimeServiceQuerying",
    "--js-flags=--max-old-space-size=256",
    "--disable-quic",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--hide-scrollbars",
    "--window-size=1280,800",
];

/// Where Chromium is.
#[derive(Debug, Clone)]
pub struct Browser(PathBuf);

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum ShotError {
    #[error("cannot run the browser")]
    Run(#[source] std::io::Error),
    #[error("the browser was not done after {} s", DEADLINE.as_secs())]
    TooSlow,
    #[error("the page cannot be reached: {0}")]
    NoPage(String),
    #[error("the browser made no picture: {0}")]
    NoPicture(String),
    #[error("the picture has {0} bytes, more than {LARGEST}")]
    TooLarge(u64),
}

impl Browser {
    /// The program that `named` is, or the first one on `path`, a list of folders as in `PATH`.
    pub fn find(named: Option<&Path>, path: Option<&OsStr>) -> Option<Self> {
        if let Some(named) = named {
            let named = std::path::absolute(named).ok()?;
            return is_program(&named).then_some(Self(named));
        }
        let folders: Vec<PathBuf> = std::env::split_paths(path?).collect();
        let programs = NAMES
            .iter()
            .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        programs.into_iter().find(|it| is_program(it)).map(Self)
    }

    pub fn program(&self) -> &Path {
        &self.0
    }

    /// What a visitor of `page` sees, as PNG. Dropped, it kills what it started. `scale` is 1 for 1280 by 800 points.
    pub async fn take(
        &self,
        page: &Url,
        dialler: &Dialler,
        scale: f32,
    ) -> Result<Vec<u8>, ShotError> {
        let until = Instant::now() + DEADLINE;
        let folder = TempDir::with_prefix("sonde-screenshot-").map_err(ShotError::Run)?;
        let proxy = Proxy::start(dialler, page, until).await;
        let proxy = proxy.map_err(ShotError::Run)?;
        let mut command = self.command(&folder, &proxy, page, scale);
        let output = std::fs::File::create(folder.path().join("output"));
        let output = output.map_err(ShotError::Run)?;
        let mut child = command.stderr(output).spawn().map_err(ShotError::Run)?;
        let group = Group::of(&child);
        let ended = timeout_at(until, child.wait()).await;
        // Also what the browser left behind.
        group.end(&mut child).await;
        proxy.reached_page().map_err(ShotError::NoPage)?;
        let status = ended.map_err(|_| ShotError::TooSlow)?;
        let status = status.map_err(ShotError::Run)?;
        read(folder.path()).inspect_err(|_| {
            let said = std::fs::read(folder.path().join("output")).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            tracing::debug!(%status, said = &*said, "the browser made no picture");
        })
    }

    fn command(&self, folder: &TempDir, proxy: &Proxy, page: &Url, scale: f32) -> Command {
        let folder = folder.path();
        let shown = folder.display();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LIMITED, "sh"]).arg(&self.0).args(FLAGS);
        if geteuid().is_root() {
            // It refuses to run as root with its sandbox.
            command.arg("--no-sandbox");
        }
        command
            .arg(format!("--proxy-server=http://{}", proxy.address))
            .arg(format!("--user-data-dir={shown}/profile"))
            .arg(format!("--screenshot={shown}/picture.png"))
            .arg(format!("--force-device-scale-factor={scale}"))
            .arg(format!("--timeout={LOADING}"))
            .arg(page.as_str());
        // Nothing that this process knows is in its environment.
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .env("XDG_RUNTIME_DIR", folder)
            .env("LANG", "C.UTF-8")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn read(folder: &Path) -> Result<Vec<u8>, ShotError> {
    let path = folder.join("picture.png");
    let none = |error: std::io::Error| ShotError::NoPicture(error.to_string());
    let size = std::fs::metadata(&path).map_err(none)?.len();
    if size > LARGEST {
        return Err(ShotError::TooLarge(size));
    }
    let png = std::fs::read(&path).map_err(none)?;
    if !png.starts_with(PNG) {
        return Err(ShotError::NoPicture("it wrote something else".to_owned()));
    }
    Ok(png)
}

/// A browser and all processes that it started. Killed when dropped.
struct Group(Option<Pid>);

impl Group {
    /// The child leads it.
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.map(Pid::from_raw))
    }

    /// Returns when they are gone, so that nobody writes into a folder that is being removed.
    async fn end(mut self, leader: &mut Child) {
        let _ = self.kill();
        // A leader that nobody asked for is still there, if dead.
        let _ = leader.wait().await;
        for _ in 0..LOOKS_FOR_THE_DEAD {
            if self.kill() == Err(Errno::ESRCH) {
                break;
            }
            sleep(BETWEEN_LOOKS).await;
        }
        self.0 = None;
    }

    fn kill(&self) -> Result<(), Errno> {
        self.0
            .map_or(Err(Errno::ESRCH), |group| killpg(group, Signal::SIGKILL))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_found_by_its_name_or_by_its_usual_names() {
        let folder = tempfile::tempdir().unwrap();
        let [own, usual, data] =
            ["mine", "google-chrome", "chromium"].map(|it| folder.path().join(it));
        for (path, mode) in [(&own, 0o755), (&usual, 0o755), (&data, 0o644)] {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = OsString::from(format!("/nowhere:{}", folder.path().display()));
        let found = |named, path| Browser::find(named, path).map(|it| it.0);
        assert_eq!(found(None, Some(&path)), Some(usual.clone()));
        assert_eq!(found(Some(&own), Some(&path)), Some(own.clone()));
        assert_eq!(found(Some(&data), Some(&path)), None);
        assert_eq!(found(None, Some(OsStr::new("/nowhere"))), None);
        assert_eq!(found(None, None), None);
    }

    #[test]
    fn only_pictures_that_are_not_too_large_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        assert!(matches!(read(folder.path()), Err(ShotError::NoPicture(_))));
        fs::write(&path, "<html>").unwrap();
        assert!(matches!(read(folder.path()), Err(ShotError::NoPicture(_))));
        fs::write(&path, PNG).unwrap();
        assert_eq!(read(folder.path()).unwrap(), PNG);
        fs::File::create(&path)
            .unwrap()
            .set_len(LARGEST + 1)
            .unwrap();
        assert!(matches!(read(folder.path()), Err(ShotError::TooLarge(_))));
    }
}
