//! How much of the server one caller or one address may have.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sonde_service::{Access, Principal};

use crate::Api;
use crate::caller::From;
use crate::problem::ApiError;

/// A single address may speak for many callers: a network behind one router.
const ADDRESS_FACTOR: NonZeroU32 = NonZeroU32::new(4).expect("four is not zero");
/// Of one heartbeat in a minute: the shortest interval has twelve.
const PINGS: NonZeroU32 = NonZeroU32::new(60).expect("sixty is not zero");
/// Above it, who has not asked for a while is forgotten.
const MANY: usize = 10_000;

/// Requests by caller and by address.
pub(crate) struct Limits {
    callers: DefaultKeyedRateLimiter<String>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    /// By a hash of their tokens.
    heartbeats: DefaultKeyedRateLimiter<u64>,
    hashes: RandomState,
}

impl Limits {
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        let many = per_minute.saturating_mul(ADDRESS_FACTOR);
        Self {
            callers: RateLimiter::keyed(Quota::per_minute(per_minute)),
            addresses: RateLimiter::keyed(Quota::per_minute(many)),
            heartbeats: RateLimiter::keyed(Quota::per_minute(PINGS)),
            hashes: RandomState::new(),
        }
    }
}

fn admit<K: Clone + Eq + std::hash::Hash>(
    limiter: &DefaultKeyedRateLimiter<K>,
    who: &K,
) -> Result<(), ApiError> {
    if limiter.len() > MANY {
        limiter.retain_recent();
    }
    limiter.check_key(who).map_err(|refused| {
        let wait = refused.wait_time_from(DefaultClock::default().now());
        ApiError::TooFast(wait.max(Duration::from_secs(1)))
    })
}

pub(crate) fn admit_caller(api: &Api, access: &Access) -> Result<(), ApiError> {
    let who = match access.principal() {
        // On this machine nobody has to share.
        Principal::Local => return Ok(()),
        Principal::User(user) => format!("user {}", user.id),
        Principal::ApiKey { id, .. } => format!("key {}/{id}", access.workspace()),
    };
    admit(&api.limits.callers, &who)
}

/// One job that runs wild holds up no other.
pub(crate) fn admit_ping(api: &Api, token: &str) -> Result<(), ApiError> {
    let limits = &api.limits;
    admit(&limits.heartbeats, &limits.hashes.hash_one(token))
}

/// Before anything is read of a request.
pub(crate) async fn admit_address(
    State(api): State<Api>,
    From(peer): From,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match peer {
        Some(address) if !address.is_loopback() => admit(&api.limits.addresses, &address)?,
        _ => {}
    }
    Ok(next.run(request).await)
}
