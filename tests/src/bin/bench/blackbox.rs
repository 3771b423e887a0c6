//! The real peer: `prometheus-blackbox-exporter`, with the module that its own documentation begins with.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::figures::{Cost, cpu_of};

const PROBES: u32 = 2_000;
const CONCURRENCY: u32 = 8;

const CONFIGURATION: &str = "\
modules:
  http_2xx:
    prober: http
    http:
      preferred_ip_protocol: ip4
      fail_if_body_not_matches_regexp: ['\"database\":\"up\"']
";

/// Its own CPU time per probe; `None` where it is not installed.
pub(crate) async fn cost(target: SocketAddr) -> anyhow::Result<Option<Cost>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("blackbox.yml");
    std::fs::write(&file, CONFIGURATION)?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let started = Command::new("prometheus-blackbox-exporter")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--log.level=error")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let process = match started {
        Ok(process) => process,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let pid = process.id().context("the exporter ended early")?;
    let url =
        format!("http://127.0.0.1:{port}/probe?module=http_2xx&target=http://{target}/health");
    let client = sonde_tests::http::client();
    sonde_tests::wait_until(Duration::from_secs(10), async || {
        client.get(&url).send().await.is_ok()
    })
    .await;
    for _ in 0..100 {
        probe(&client, &url).await?;
    }
    let (cpu, start) = (cpu_of(pid)?, std::time::Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (client, url) = (client.clone(), url.clone());
        tasks.spawn(async move {
            for _ in 0..PROBES / CONCURRENCY {
                probe(&client, &url).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let cpu = cpu_of(pid)?.saturating_sub(cpu) / PROBES;
    Ok(Some(Cost {
        cpu,
        wall: start.elapsed() / PROBES,
    }))
}

async fn probe(client: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    let text = client.get(url).send().await?.text().await?;
    ensure!(
        text.contains("probe_success 1"),
        "the exporter's probe failed: {text}"
    );
    Ok(())
}
