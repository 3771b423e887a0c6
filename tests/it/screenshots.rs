//! Screenshots with a real browser: what it shows, what it may reach, and that nothing of it stays.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sonde_core::{
    Clock, HttpSpec, IncidentCause, Monitor, MonitorId, Spec, SystemClock, WorkspaceId,
};
use sonde_probe::{Dialler, Egress};
use sonde_screenshot::{Browser, Screenshotter, ShotError};
use sonde_seal::SealingKeys;
use sonde_store::libsql::LibsqlStore;
use sonde_store::{
    AlertChange, AlertStore, Bucket, ConfigStore, IncidentChange, IncidentEventKind, Pictures,
};
use sonde_tests::services;
use sonde_tests::stub::http::{HttpStub, Received, Reply};
use sonde_tests::stub::tcp::Refusing;
use sonde_tests::wait_until;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);
/// Of all pages here that end.
pub(crate) const COLOUR: [u8; 3] = [0x20, 0x80, 0x40];
pub(crate) const PAGE: &str =
    "<!doctype html><title>down</title><body style='background:#208040'><h1>Out of order</h1>";

fn browser() -> Option<Browser> {
    let chromium = services::chromium()?;
    let found = Browser::find(Some(Path::new(&chromium)), None);
    assert!(found.is_some(), "{chromium} is no program");
    found
}

fn html(body: impl Into<String>) -> Reply {
    page_with_status(200, body)
}

pub(crate) fn page_with_status(status: u16, body: impl Into<String>) -> Reply {
    let body: String = body.into();
    Reply::status(status)
        .header("content-type", "text/html")
        .body(body)
}

fn dialler(egress: Egress) -> Dialler {
    Dialler::new(egress, None).unwrap()
}

/// Width, height, and the colour in its lower right.
#[track_caller]
pub(crate) fn look_at(png: &[u8]) -> (u32, u32, [u8; 3]) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let samples = info.color_type.samples();
    let last = pixels[..info.buffer_size()]
        .rchunks(samples)
        .next()
        .unwrap();
    (info.width, info.height, [last[0], last[1], last[2]])
}

/// A browser also looks for an icon.
fn of_the_page(stub: &HttpStub) -> Vec<Received> {
    let requests = stub.requests().into_iter();
    requests.filter(|request| request.path == "/").collect()
}

/// Processes of this machine whose command line has this in it, and the groups that they are in.
fn groups(part: &str) -> BTreeSet<i32> {
    processes(|_, command| command.contains(part))
}

fn members(group: i32) -> usize {
    let mut count = 0;
    processes(|of, _| {
        count += usize::from(of == group);
        false
    });
    count
}

/// The groups of those that `is_meant` holds for, by group and command line. Who is dead already is none.
fn processes(mut is_meant: impl FnMut(i32, &str) -> bool) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(status) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The name before may have anything in it.
        let Some((_, fields)) = status.rsplit_once(") ") else {
            continue;
        };
        let fields: Vec<&str> = fields.split(' ').collect();
        let group: i32 = fields[2].parse().unwrap();
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if fields[0] != "Z" && is_meant(group, &String::from_utf8_lossy(&command)) {
            found.insert(group);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_shows_the_page_and_asks_for_it_as_a_visitor() {
    let Some(browser) = browser() else {
        return;
    };
    let stub = HttpStub::start([("/", page_with_status(503, PAGE))]).await;
    let page = stub.url("/").parse().unwrap();
    let dialler = dialler(Egress::open());
    let png = browser.take(&page, &dialler, 1.0).await.unwrap();
    assert_eq!(look_at(&png), (1280, 800, COLOUR));
    let png = browser.take(&page, &dialler, 0.5).await.unwrap();
    assert_eq!(look_at(&png), (640, 400, COLOUR));
    let requests = of_the_page(&stub);
    assert_eq!(requests.len(), 2, "{requests:?}");
    for request in requests {
        assert_eq!(request.method, "GET");
        for name in ["authorization", "cookie", "proxy-connection"] {
            assert!(!request.headers.contains_key(name), "{request:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_reached_has_no_picture() {
    let Some(browser) = browser() else {
        return;
    };
    let refusing = Refusing::new();
    let guarded = Egress::guarded(Vec::new());
    for (scheme, egress, expected) in [
        ("http", Egress::open(), "connection refused"),
        ("https", Egress::open(), "connection refused"),
        ("http", guarded, "the egress guard"),
    ] {
        let page = format!("{scheme}://{}/", refusing.address());
        let page = page.parse().unwrap();
        let shot = browser.take(&page, &dialler(egress), 1.0).await;
        let error = shot.unwrap_err();
        assert!(
            matches!(&error, ShotError::NoPage(why) if why.contains(expected)),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_never_ends_is_killed_with_all_that_it_started() {
    let Some(browser) = browser() else {
        return;
    };
    let endless = html("<body>before<script>while (true) {}</script>");
    let stub = HttpStub::start([("/", endless)]).await;
    let dialler = dialler(Egress::open());

    // In time, and when somebody asks the screenshotter to stop.
    for stop in [false, true] {
        let page = stub.url("/").parse().unwrap();
        let mut taking = Box::pin(browser.take(&page, &dialler, 1.0));
        let mut found = BTreeSet::new();
        let many = wait_until(PATIENCE, async || {
            found = groups(page.as_str());
            found.first().is_some_and(|group| members(*group) > 2)
        });
        tokio::select! {
            ended = &mut taking => unreachable!("it ended: {ended:?}"),
            () = many => {}
        }
        assert_eq!(found.len(), 1, "all in one group");
        let group = *found.first().unwrap();
        if stop {
            drop(taking);
            wait_until(PATIENCE, async || members(group) == 0).await;
        } else {
            let error = taking.await.unwrap_err();
            assert!(matches!(error, ShotError::TooSlow), "{error}");
            assert_eq!(members(group), 0);
        }
    }
}

/// What a page tries in order to get at an address.
fn curious(tcp: SocketAddr, udp: SocketAddr) -> String {
    format!(
        "<body style='background:#208040'>
        <link rel=preconnect href='http://{tcp}/'><link rel=stylesheet href='http://{tcp}/style.css'>
        <img src='http://{tcp}/secret.png'><iframe src='http://{tcp}/frame' width=9 height=9></iframe>
        <iframe src='/elsewhere' width=9 height=9></iframe><img src='https://{tcp}/secret.png'>
        <script>
            fetch('http://{tcp}/fetched', {{ mode: 'no-cors' }});
            new WebSocket('ws://{tcp}/socket');
            const peer = new RTCPeerConnection({{ iceServers: [
                {{ urls: 'stun:{udp}' }}, {{ urls: 'turn:{udp}', username: 'a', credential: 'b' }} ] }});
            peer.createDataChannel('x');
            peer.createOffer().then(offer => peer.setLocalDescription(offer));
        </script>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_nothing_of_a_guarded_address_whatever_it_tries() {
    let Some(browser) = browser() else {
        return;
    };
    let tcp = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let udp = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let (at, udp_at) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let (count, connections) = tokio::sync::watch::channel(0_usize);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while tcp.accept().await.is_ok() {
            count.send_modify(|count| *count += 1);
        }
    });
    let elsewhere = Reply::redirect(302, &format!("http://{at}/redirected"));
    let stub = HttpStub::start([("/", html(curious(at, udp_at))), ("/elsewhere", elsewhere)]).await;
    let page = stub.url("/").parse().unwrap();
    let only_the_page = || {
        let nets = ["127.0.0.1/32", "::1/128"].map(|net| net.parse().unwrap());
        dialler(Egress::guarded(nets.to_vec()))
    };
    let png = browser.take(&page, &only_the_page(), 1.0).await.unwrap();
    assert_eq!(look_at(&png), (1280, 800, COLOUR));
    let asked = stub.requests();
    assert!(asked.iter().any(|it| it.path == "/elsewhere"), "{asked:?}");
    assert_eq!(*connections.borrow(), 0);
    assert!(udp.try_recv(&mut [0; 9]).is_err(), "something came by UDP");

    // Where it may, it does.
    let open = dialler(Egress::open());
    let _ = browser.take(&page, &open, 1.0).await;
    assert!(*connections.borrow() > 4, "{}", *connections.borrow());
    assert!(udp.try_recv(&mut [0; 9]).is_err(), "something came by UDP");

    let there = stub.url("/elsewhere").parse().unwrap();
    let before = *connections.borrow();
    let _ = browser.take(&there, &only_the_page(), 1.0).await;
    assert_eq!(*connections.borrow(), before);
}

/// An incident of a monitor `shop` of this page, which has just opened.
pub(crate) async fn incident(store: &(impl ConfigStore + AlertStore), page: &str) -> Uuid {
    let local = WorkspaceId::local();
    let mut monitor = Monitor::sample();
    monitor.id = MonitorId::new("shop").unwrap();
    monitor.spec = Spec::Http(Box::new(HttpSpec::get(page.parse().unwrap())));
    let monitors = [monitor.clone()];
    store.replace_monitors(&local, &monitors).await.unwrap();
    let id = Uuid::new_v4();
    let opened = IncidentChange {
        id,
        workspace: local,
        monitor: monitor.id,
        event: IncidentEventKind::Opened,
        at: SystemClock.now(),
        cause: IncidentCause::Down,
        flapping: false,
        caused_by: None,
        detail: "{}".to_owned(),
    };
    let change = AlertChange {
        incidents: vec![opened],
        ..AlertChange::default()
    };
    store.decide(change).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn two_screenshotters_take_one_picture() {
    let Some(browser) = browser() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let stub = HttpStub::start([("/", html(PAGE))]).await;
    let file = folder.path().join("store.db");
    let store = LibsqlStore::open(&file, SealingKeys::none()).await.unwrap();
    let store = Arc::new(store);
    let pictures = Pictures::in_folder(folder.path()).unwrap();
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for _ in 0..2 {
        let screenshotter = Screenshotter {
            alerts: Arc::clone(&store) as _,
            monitors: Arc::clone(&store) as _,
            pictures: pictures.clone(),
            browser: browser.clone(),
            dialler: dialler(Egress::open()),
            clock: Arc::new(SystemClock),
            opened: Arc::new(Notify::new()),
        };
        running.spawn(screenshotter.run(stop.clone()));
    }
    let local = WorkspaceId::local();
    let taken = async |id| {
        let found = store.screenshot(&local, id).await.unwrap();
        found.is_some_and(|it| it.taken.is_some())
    };
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(incident(&*store, &stub.url("/")).await);
    }
    for id in ids {
        wait_until(PATIENCE, async || taken(id).await).await;
        let found = store.screenshot(&local, id).await.unwrap().unwrap();
        assert_eq!(found.attempts, 1);
        let png = pictures.get(&local, id).await.unwrap().unwrap();
        assert_eq!(look_at(&png).2, COLOUR);
    }
    assert_eq!(of_the_page(&stub).len(), 3);
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn pictures_are_kept_in_a_bucket() {
    let Some(s3) = services::s3("sonde").await else {
        return;
    };
    let pictures = bucket(&s3.url, "sonde");
    let (local, id) = (WorkspaceId::local(), Uuid::from_u128(1));
    assert_eq!(pictures.get(&local, id).await.unwrap(), None);
    for png in ["first", "second"] {
        pictures.put(&local, id, png.into()).await.unwrap();
        let found = pictures.get(&local, id).await.unwrap();
        assert_eq!(found.as_deref(), Some(png.as_bytes()));
    }
    let listed = format!("{}/sonde?list-type=2", s3.url);
    let listed = sonde_tests::http::get(listed).await.unwrap();
    let listed = listed.text().await.unwrap();
    let key = format!("<Key>a/b/screenshots/{local}/{id}.png</Key>");
    assert!(listed.contains(&key), "{listed}");
    for _ in 0..2 {
        pictures.delete(&local, id).await.unwrap();
    }
    assert_eq!(pictures.get(&local, id).await.unwrap(), None);
    let nowhere = bucket(&s3.url, "nowhere");
    nowhere.put(&local, id, b"lost".to_vec()).await.unwrap_err();
}

pub(crate) fn bucket(endpoint: &str, name: &str) -> Pictures {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bucket = Bucket {
        name: name.to_owned(),
        prefix: "a/b".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        region: None,
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some("secret".to_owned()),
        session_token: None,
    };
    Pictures::in_bucket(bucket).unwrap()
}
