//! What a replica does when its primary goes away, when its file breaks, and when its process is killed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{ManualClock, SystemClock, Timestamp, WorkspaceId};
use sonde_store::libsql::{LibsqlStore, Replica, SyncStatus};
use sonde_store::{ConfigStore, StoreError};
use sonde_tests::services::{self, Libsql};
use sonde_tests::stub::link::Link;
use sonde_tests::wait_until;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::store_harness::{
    Execute, PATIENCE, beside, child, keys, monitor, open, open_at, path, primary, reopen, text,
    told_to,
};

/// A server that is migrated and holds `monitors`.
async fn server(monitors: &[&str]) -> Option<Libsql> {
    let server = services::libsql().await?;
    LibsqlStore::migrate(&primary(&server)).await.unwrap();
    configure(&server, monitors).await;
    Some(server)
}

async fn configure(server: &Libsql, monitors: &[&str]) {
    let store = LibsqlStore::remote(&primary(server), keys()).await.unwrap();
    let monitors: Vec<_> = monitors.iter().copied().map(monitor).collect();
    let local = WorkspaceId::local();
    store.replace_monitors(&local, &monitors).await.unwrap();
}

/// The ids that the replica holds, or what it says instead.
async fn seen(replica: &Replica) -> Result<Vec<String>, String> {
    let found = replica.monitors(&WorkspaceId::local()).await;
    let found = found.map_err(|error| text(&error))?;
    Ok(found
        .monitors
        .iter()
        .map(|it| it.value.id.to_string())
        .collect())
}

async fn comes_to_see(replica: &Replica, ids: &[&str]) {
    let comes = wait_until(2 * PATIENCE, async || {
        seen(replica).await.is_ok_and(|seen| seen == ids)
    });
    if tokio::time::timeout(PATIENCE, comes).await.is_err() {
        let status = replica.status().borrow().clone();
        panic!("{:?} instead of {ids:?}, {status:?}", seen(replica).await);
    }
}

/// A replica whose loop runs, as in a role.
struct Running {
    replica: Arc<Replica>,
    nudge: Arc<Notify>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    fn start(replica: Replica, period: Duration) -> Self {
        let replica = Arc::new(replica.every(period));
        let (nudge, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let own = (replica.clone(), nudge.clone(), stop.clone());
        tasks.spawn(async move { own.0.run(&own.1, &own.2).await });
        Self {
            replica,
            nudge,
            stop,
            tasks,
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

const OFTEN: Duration = Duration::from_millis(50);
const NEVER: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_replica_that_was_never_synced_is_not_ready() {
    let Some(server) = server(&["a"]).await else {
        return;
    };
    let (_folder, replica) = open(&server).await;
    let error = replica.changes(None).await.unwrap_err();
    assert!(matches!(error, StoreError::Unsynced), "{error}");
    assert_eq!(replica.status().borrow().synced_at, None);
    replica.sync().await.unwrap();
    assert_eq!(seen(&replica).await.unwrap(), ["a"]);
    assert!(replica.status().borrow().synced_at.is_some());
}

#[tokio::test]
async fn without_its_primary_a_replica_is_read_and_grows_stale_and_recovers() {
    let Some(mut server) = server(&["a"]).await else {
        return;
    };
    let (folder, clock) = (tempfile::tempdir().unwrap(), manual_clock());
    let replica = open_at(&folder, &server.url, clock.clone()).await;
    let running = Running::start(replica.unwrap(), OFTEN);
    let replica = &running.replica;
    comes_to_see(replica, &["a"]).await;
    let synced_at = replica.status().borrow().synced_at;
    assert!(synced_at.is_some());

    server.process.kill();
    clock.advance(Duration::from_mins(1));
    let mut status = replica.status();
    status.wait_for(|it| it.error.is_some()).await.unwrap();
    assert_eq!(status.borrow().synced_at, synced_at);
    assert_eq!(seen(replica).await.unwrap(), ["a"]);
    let refused = replica.replace_monitors(&WorkspaceId::local(), &[]).await;
    let refused = text(&refused.unwrap_err());
    assert!(
        refused.starts_with("the configuration store is unavailable: "),
        "{refused}"
    );
    assert_eq!(seen(replica).await.unwrap(), ["a"]);

    server.process.restart().await;
    configure(&server, &["a", "b"]).await;
    comes_to_see(replica, &["a", "b"]).await;
    status.wait_for(|it| it.error.is_none()).await.unwrap();
    assert!(status.borrow().synced_at > synced_at);
    running.stop().await;
}

fn manual_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_micros(
        1_700_000_000_000_000,
    )))
}

#[tokio::test]
async fn a_replica_opens_without_its_primary_and_tells_how_old_it_is() {
    let Some(mut server) = server(&["a"]).await else {
        return;
    };
    let (folder, clock) = (tempfile::tempdir().unwrap(), manual_clock());
    let open = async || open_at(&folder, &server.url, clock.clone()).await.unwrap();
    open().await.sync().await.unwrap();
    let synced_at = open().await.status().borrow().synced_at;
    assert!(synced_at.is_some());
    server.process.kill();
    clock.advance(Duration::from_hours(1));
    let replica = open_at(&folder, &server.url, clock.clone()).await;
    let replica = replica.unwrap();
    assert_eq!(seen(&replica).await.unwrap(), ["a"]);
    replica.sync().await.unwrap_err();
    assert_eq!(replica.status().borrow().synced_at, synced_at);
}

#[tokio::test]
async fn a_nudge_brings_news_at_once_and_ones_own_write_is_seen() {
    let Some(server) = server(&["a"]).await else {
        return;
    };
    let (_folder, replica) = open(&server).await;
    let running = Running::start(replica, NEVER);
    comes_to_see(&running.replica, &["a"]).await;
    configure(&server, &["a", "b"]).await;
    running.nudge.notify_one();
    comes_to_see(&running.replica, &["a", "b"]).await;
    let own = [monitor("c")];
    let local = WorkspaceId::local();
    running
        .replica
        .replace_monitors(&local, &own)
        .await
        .unwrap();
    assert_eq!(seen(&running.replica).await.unwrap(), ["c"]);
    running.stop().await;
}

#[tokio::test]
async fn a_primary_that_says_nothing_does_not_hang_its_readers() {
    let Some(server) = server(&["a"]).await else {
        return;
    };
    let target = server.url.trim_start_matches("http://").parse().unwrap();
    let link = Link::start(target).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", link.address());
    let replica = open_at(&folder, &url, Arc::new(SystemClock)).await;
    let running = Running::start(replica.unwrap(), OFTEN);
    comes_to_see(&running.replica, &["a"]).await;
    link.silence();
    let mut status = running.replica.status();
    let said = status.wait_for(|status| status.error.is_some());
    tokio::time::timeout(PATIENCE, said).await.unwrap().unwrap();
    assert_eq!(seen(&running.replica).await.unwrap(), ["a"]);
    link.heal();
    configure(&server, &["b"]).await;
    running.nudge.notify_one();
    comes_to_see(&running.replica, &["b"]).await;
    running.stop().await;
}

fn overwrite(path: &Path) {
    let length = std::fs::metadata(path).map_or(4096, |it| it.len().max(4096));
    let garbage = vec![0x5a; usize::try_from(length).unwrap()];
    std::fs::write(path, garbage).unwrap();
}

/// Breaks a replica's files while its loop runs, and waits until it is whole again.
async fn heals_from(damage: impl Fn(&Path)) {
    let Some(server) = server(&["a", "b"]).await else {
        return;
    };
    let (folder, replica) = open(&server).await;
    let running = Running::start(replica, OFTEN);
    comes_to_see(&running.replica, &["a", "b"]).await;
    let mut healing = JoinSet::new();
    healing.spawn(is_never_without_an_age(running.replica.status()));
    damage(&path(&folder));
    configure(&server, &["b", "c"]).await;
    comes_to_see(&running.replica, &["b", "c"]).await;
    running.replica.sync().await.unwrap();
    configure(&server, &["d"]).await;
    comes_to_see(&running.replica, &["d"]).await;
    running.stop().await;
    healing.join_next().await.unwrap().unwrap();

    let replica = reopen(&folder, &server).await.unwrap();
    assert_eq!(seen(&replica).await.unwrap(), ["d"]);
    damage(&path(&folder));
    drop(replica);
    let replica = reopen(&folder, &server).await.unwrap();
    replica.sync().await.unwrap();
    assert_eq!(seen(&replica).await.unwrap(), ["d"]);
}

/// When it was last in step stays known while it is healed, until its replica is gone.
async fn is_never_without_an_age(mut status: watch::Receiver<SyncStatus>) {
    while status.changed().await.is_ok() {
        assert!(status.borrow_and_update().synced_at.is_some());
    }
}

#[tokio::test]
async fn a_file_full_of_garbage_heals_without_a_restart() {
    heals_from(|path| {
        for suffix in ["", "-wal", "-shm"] {
            overwrite(&beside(path, suffix));
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_half_gone_heals_without_a_restart() {
    heals_from(|path| {
        let _ = std::fs::remove_file(beside(path, "-wal"));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(4096).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_gone_comes_back_without_a_restart() {
    heals_from(|path| {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(path, suffix));
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_or_wrong_index_heals_without_a_restart() {
    heals_from(|path| {
        let _ = std::fs::remove_file(beside(path, "-client_wal_index"));
    })
    .await;
    heals_from(|path| overwrite(&beside(path, "-client_wal_index"))).await;
}

#[tokio::test]
async fn an_index_that_claims_the_future_is_not_believed() {
    let Some(server) = server(&["a"]).await else {
        return;
    };
    let (folder, replica) = open(&server).await;
    replica.sync().await.unwrap();
    drop(replica);
    let index = beside(&path(&folder), "-client_wal_index");
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[16..24].copy_from_slice(&1_000_000_u64.to_le_bytes()); // the last frame that it has
    std::fs::write(&index, bytes).unwrap();
    configure(&server, &["b"]).await;
    let replica = reopen(&folder, &server).await.unwrap();
    replica.sync().await.unwrap();
    assert_eq!(seen(&replica).await.unwrap(), ["b"]);
}

#[tokio::test]
async fn a_primary_made_anew_replaces_what_the_old_one_had() {
    let Some(old) = server(&["a", "b", "c"]).await else {
        return;
    };
    let new = server(&["x"]).await.unwrap();
    let target = |server: &Libsql| server.url.trim_start_matches("http://").parse().unwrap();
    let link = Link::start(target(&old)).await;
    let address = link.address();
    let url = format!("http://{address}");
    let folder = tempfile::tempdir().unwrap();
    let replica = open_at(&folder, &url, Arc::new(SystemClock)).await.unwrap();
    replica.sync().await.unwrap();
    let before = replica.changes(None).await.unwrap().revision;
    drop(link);
    old_address_leads_to(&replica, address, target(&new)).await;
    assert_eq!(seen(&replica).await.unwrap(), ["x"]);
    assert!(replica.changes(Some(before)).await.unwrap().complete);
}

async fn old_address_leads_to(
    replica: &Replica,
    address: std::net::SocketAddr,
    target: std::net::SocketAddr,
) {
    let mut listener = None;
    wait_until(PATIENCE, async || {
        listener = tokio::net::TcpListener::bind(address).await.ok();
        listener.is_some()
    })
    .await;
    let listener = listener.unwrap();
    let forward = async {
        let mut connections = JoinSet::new();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    };
    let synced = wait_until(PATIENCE, async || replica.sync().await.is_ok());
    tokio::select! {
        () = synced => {}
        () = forward => unreachable!("it forwards for ever"),
    }
}

#[tokio::test]
async fn a_process_killed_in_its_first_sync_leaves_nothing_that_counts() {
    let Some(server) = big_server().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let mut process = child(
        "SYNC",
        &[("URL", &server.url), ("PATH", path.to_str().unwrap())],
    )
    .spawn()
    .unwrap();
    // Some of it has come, and not all.
    let begun = || std::fs::metadata(beside(&path, "-wal")).is_ok_and(|it| it.len() > 200_000);
    wait_until(PATIENCE, async || begun()).await;
    process.kill().await.unwrap();
    if beside(&path, "-synced").exists() {
        return; // the machine was too fast; what follows is tried by the others
    }
    let replica = reopen(&folder, &server).await.unwrap();
    assert!(matches!(
        replica.changes(None).await,
        Err(StoreError::Unsynced)
    ));
    replica.sync().await.unwrap();
    let all = replica.changes(None).await.unwrap();
    assert_eq!(all.changed.len(), 20_000);
}

#[tokio::test]
async fn a_process_killed_while_it_syncs_again_and_again_leaves_a_whole_replica() {
    let Some(server) = server(&["a"]).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    for round in 0..5 {
        let mut process = child(
            "SYNC",
            &[("URL", &server.url), ("PATH", path.to_str().unwrap())],
        )
        .spawn()
        .unwrap();
        wait_until(PATIENCE, async || beside(&path, "-synced").exists()).await;
        for n in 0..=10 {
            configure(&server, &["a", &format!("m-{round}-{n}")]).await;
        }
        process.kill().await.unwrap();
        let replica = reopen(&folder, &server).await.unwrap();
        assert_eq!(seen(&replica).await.unwrap()[0], "a");
        replica.sync().await.unwrap();
        let expected = ["a".to_owned(), format!("m-{round}-10")];
        assert_eq!(seen(&replica).await.unwrap(), expected);
    }
}

async fn big_server() -> Option<Libsql> {
    let server = server(&[]).await?;
    let store = LibsqlStore::remote(&primary(&server), keys())
        .await
        .unwrap();
    let monitors: Vec<_> = (0..20_000).map(|n| monitor(&format!("m-{n}"))).collect();
    let local = WorkspaceId::local();
    store.replace_monitors(&local, &monitors).await.unwrap();
    Some(server)
}

/// What `child("SYNC", …)` runs, until it is killed.
#[tokio::test]
async fn process_that_syncs() {
    let Some(primary) = told_to("SYNC") else {
        return;
    };
    let path = std::env::var("STORE_TEST_PATH").unwrap();
    let replica = Replica::open(Path::new(&path), &primary, keys(), Arc::new(SystemClock)).await;
    let replica = replica.unwrap().every(Duration::from_millis(1));
    let forever = (Notify::new(), CancellationToken::new());
    replica.run(&forever.0, &forever.1).await;
}

#[tokio::test]
async fn a_replica_of_another_primary_is_not_taken_over() {
    let Some(server) = server(&["a"]).await else {
        return;
    };
    let (folder, replica) = open(&server).await;
    replica.sync().await.unwrap();
    drop(replica);
    let other = server.url.replace("127.0.0.1", "localhost");
    let replica = open_at(&folder, &other, Arc::new(SystemClock))
        .await
        .unwrap();
    assert!(matches!(replica.regions().await, Err(StoreError::Unsynced)));
    replica.sync().await.unwrap();
    assert_eq!(seen(&replica).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn an_unreadable_monitor_at_the_primary_does_not_hide_the_others() {
    let Some(server) = server(&["a", "b", "c"]).await else {
        return;
    };
    let (_folder, replica) = open(&server).await;
    server
        .execute("UPDATE resources SET body = '{}' WHERE id = 'b'")
        .await;
    replica.sync().await.unwrap();
    assert_eq!(seen(&replica).await.unwrap(), ["a", "c"]);
    let found = replica.changes(None).await.unwrap();
    assert_eq!((found.changed.len(), found.unreadable.len()), (2, 1));
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_a_replica() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(server) = server(&["a"]).await else {
        return;
    };
    let (folder, replica) = open(&server).await;
    replica.sync().await.unwrap();
    for suffix in ["", "-wal", "-shm", "-client_wal_index"] {
        let file = beside(&path(&folder), suffix);
        if let Ok(metadata) = std::fs::metadata(&file) {
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file:?}");
        }
    }
}
