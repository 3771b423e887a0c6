//! The icmp kind: echo requests, their loss and round trips.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use futures_util::future::join_all;
use sonde_core::{IcmpDetail, IcmpSpec, Phase, Reason};
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::dial;
use crate::environment::Environment;
use crate::observe::{Failure, Observation};

/// Between two packets, when there is time enough.
const SPACING: Duration = Duration::from_millis(100);

/// Waiting for replies ends this much before the deadline, so that those that came are still counted.
const MARGIN: Duration = Duration::from_millis(5);

/// Bytes of payload at most: replies are read into 2048 bytes, with up to 60 of IP header and 8 of ICMP header.
const LARGEST_PAYLOAD: u16 = 1980;

/// Datagram sockets tell replies apart by host and sequence number alone, so that no two requests of a process
/// may share a number while they are under way.
static SEQUENCE: AtomicU16 = AtomicU16::new(0);

/// Raw sockets see the replies to other processes too; this tells ours from theirs.
static IDENTIFIER: LazyLock<u16> = LazyLock::new(rand::random);

pub(crate) async fn probe(
    environment: &Environment,
    spec: &IcmpSpec,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let addresses = dial::resolve(environment, &spec.host, &spec.network, seen).await?;
    let address = *addresses.first().ok_or_else(|| {
        let text = format!("{} has no address", spec.host);
        Failure::new(Reason::DnsNoAddress, text)
    })?;
    seen.remote_address = Some(address.to_string());
    if spec.payload_size > LARGEST_PAYLOAD {
        let text = format!("a payload may have at most {LARGEST_PAYLOAD} bytes here");
        return Err(Failure::new(Reason::Unsupported, text));
    }
    let client = environment.icmp.client(address, spec.ttl)?;
    let start = Instant::now();
    let left = seen.deadline.saturating_duration_since(start);
    let deadline = seen.deadline - MARGIN.min(left);
    let packets = spec.packets.max(1);
    // All are sent in the first half of the time, so that the last one's reply can come.
    let spacing = SPACING.min(left / 2 / u32::from(packets));
    let payload = vec![0; spec.payload_size.into()];
    let echoes = (0..packets).map(|n| {
        let at = start + spacing * u32::from(n);
        echo(&client, address, &payload, at, deadline)
    });
    let echoes = join_all(echoes).await;
    let trips: Vec<Duration> = (echoes.iter().flatten().copied().flatten()).collect();
    let detail = tally(packets, &trips);
    seen.latency = detail.avg_us.map(Duration::from_micros);
    // One packet's wait, as for other kinds: not how long all of them took.
    seen.add(Phase::Wait, seen.latency.unwrap_or_else(|| start.elapsed()));
    seen.icmp = Some(detail);
    let refused = echoes.into_iter().find_map(Result::err);
    refused.filter(|_| trips.is_empty()).map_or(Ok(()), Err)
}

/// One request and its round trip; `None` when no reply came.
async fn echo(
    client: &Client,
    address: IpAddr,
    payload: &[u8],
    at: Instant,
    deadline: Instant,
) -> Result<Option<Duration>, Failure> {
    sleep_until(at).await;
    let sequence = PingSequence(SEQUENCE.fetch_add(1, Ordering::Relaxed));
    let identifier = PingIdentifier(*IDENTIFIER);
    let mut pinger = client.pinger(address, identifier).await;
    // The deadline is kept here; the library's own 2 s must not be the shorter one.
    pinger.timeout(deadline.saturating_duration_since(at) + MARGIN);
    let unreachable = |text: String| Failure::new(Reason::IcmpUnreachable, text);
    let sending = Instant::now();
    match timeout_at(deadline, pinger.ping(sequence, payload)).await {
        Ok(Ok((packet, trip))) => match complaint(&packet) {
            // The library's clock starts when the packet is out; on loopback the reply can be back before that.
            None if trip.is_zero() => Ok(Some(sending.elapsed())),
            None => Ok(Some(trip)),
            Some(text) => Err(unreachable(format!("{text} on the way to {address}"))),
        },
        Ok(Err(SurgeError::IOError(error))) => {
            Err(unreachable(format!("cannot send to {address} ({error})")))
        }
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

/// What a router says instead of passing a packet on (RFC 792 and 4443).
fn complaint(packet: &IcmpPacket) -> Option<String> {
    let (kind, source): (_, IpAddr) = match packet {
        IcmpPacket::V4(packet) => (packet.get_icmp_type().0, packet.get_source().into()),
        IcmpPacket::V6(packet) => (packet.get_icmpv6_type().0, packet.get_source().into()),
    };
    match (packet, kind) {
        (IcmpPacket::V4(_), 0) | (IcmpPacket::V6(_), 129) => None,
        (IcmpPacket::V4(_), 11) | (IcmpPacket::V6(_), 3) => {
            Some(format!("the time to live ran out at {source}"))
        }
        _ => Some(format!("{source} says that the host cannot be reached")),
    }
}

fn tally(sent: u16, trips: &[Duration]) -> IcmpDetail {
    let micros = |trip: &Duration| u64::try_from(trip.as_micros()).unwrap_or(u64::MAX);
    let received = u16::try_from(trips.len()).unwrap_or(sent);
    let total: u64 = trips.iter().map(micros).sum();
    IcmpDetail {
        sent,
        received,
        min_us: trips.iter().map(micros).min(),
        avg_us: total.checked_div(received.into()),
        max_us: trips.iter().map(micros).max(),
    }
}

/// The sockets of one process: one per family and time to live, which is a setting of the socket.
#[derive(Default)]
pub(crate) struct Sockets(Mutex<HashMap<(bool, Option<u8>), Client>>);

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").finish_non_exhaustive()
    }
}

impl Sockets {
    /// Opens a datagram socket, or else a raw one. A lack of rights is found out again each time: that costs two
    /// system calls, and it ends as soon as somebody grants them.
    fn client(&self, address: IpAddr, ttl: Option<u8>) -> Result<Client, Failure> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address.is_ipv6(), ttl);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let config = Config {
            kind: if address.is_ipv6() {
                ICMP::V6
            } else {
                ICMP::V4
            },
            ttl: ttl.map(u32::from),
            ..Config::default()
        };
        let client = Client::new(&config).map_err(|error| unable(&error, address))?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn unable(error: &io::Error, address: IpAddr) -> Failure {
    let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
    if error.kind() != io::ErrorKind::PermissionDenied {
        let text = format!("this machine cannot open an ICMP socket for {family} ({error})");
        return Failure::new(Reason::Unsupported, text);
    }
    let text = format!(
        "this process may not send ICMP over {family}: allow it with \
         `sysctl net.ipv4.ping_group_range=\"0 2147483647\"`, or with `setcap cap_net_raw+ep` on the sonde binary \
         (AmbientCapabilities=CAP_NET_RAW under systemd, the NET_RAW capability in a container)"
    );
    Failure::new(Reason::Unsupported, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_loss_and_round_trips() {
        let trips = [3, 1].map(Duration::from_millis);
        let detail = tally(4, &trips);
        assert_eq!((detail.sent, detail.received), (4, 2));
        assert_eq!(detail.min_us, Some(1_000));
        assert_eq!(detail.avg_us, Some(2_000));
        assert_eq!(detail.max_us, Some(3_000));
        assert_eq!(tally(3, &[]).avg_us, None);
    }

    #[test]
    fn a_lack_of_rights_says_what_to_do() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let failure = unable(&denied, [127, 0, 0, 1].into());
        assert_eq!(failure.reason, Reason::Unsupported);
        for hint in ["cap_net_raw+ep", "NET_RAW", "ping_group_range"] {
            assert!(failure.message.contains(hint), "{}", failure.message);
        }
    }

    fn environment() -> Environment {
        Environment::new(crate::Settings {
            egress: crate::Egress::open(),
            resolver: None,
            allow_exec: false,
            rdap_bootstrap: None,
            checker_id: String::new(),
        })
        .unwrap()
    }

    /// `None` where the tests have no right to send ICMP.
    async fn ping(environment: &Environment, host: &str, timeout: Duration) -> Option<Observation> {
        let spec = IcmpSpec {
            host: host.to_owned(),
            packets: 3,
            payload_size: 56,
            ttl: None,
            network: sonde_core::NetworkOptions::default(),
        };
        let mut seen = Observation::until(Instant::now() + timeout);
        match probe(environment, &spec, &mut seen).await {
            Err(failure) if failure.reason == Reason::Unsupported => None,
            done => {
                assert_eq!(done, Ok(()));
                Some(seen)
            }
        }
    }

    #[tokio::test]
    async fn loopback_answers_every_packet_of_concurrent_checks_over_both_families() {
        let environment = environment();
        for host in ["127.0.0.1", "::1"] {
            let start = Instant::now();
            let checks = (0..20).map(|_| ping(&environment, host, Duration::from_secs(10)));
            let checks = join_all(checks).await;
            for seen in checks.into_iter().flatten() {
                assert!(start.elapsed() >= 2 * SPACING);
                let detail = seen.icmp.unwrap();
                assert_eq!((detail.sent, detail.received), (3, 3), "{host}");
                assert!(detail.min_us <= detail.avg_us && detail.avg_us <= detail.max_us);
                assert_eq!(seen.phases.wait, detail.avg_us);
                assert_eq!(seen.latency, detail.avg_us.map(Duration::from_micros));
            }
        }
    }

    #[tokio::test]
    async fn what_has_not_come_by_the_deadline_is_lost() {
        if let Some(seen) = ping(&environment(), "127.0.0.1", Duration::ZERO).await {
            let detail = seen.icmp.unwrap();
            assert_eq!((detail.sent, detail.received), (3, 0));
            assert_eq!(seen.latency, None);
        }
    }
}
