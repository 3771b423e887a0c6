//! An identity provider that says what a test wants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::form_urlencoded;

pub(super) const CODE: &str = "the code";

pub(super) struct Provider {
    pub(super) issuer: String,
    state: Arc<Mutex<Saying>>,
    _server: JoinSet<()>,
}

struct Saying {
    issuer: String,
    key: Ed25519KeyPair,
    key_id: String,
    /// Signs in place of the key that is shown.
    forger: Option<Ed25519KeyPair>,
    claims: Value,
    /// Of PKCE; a code is good for one use.
    challenge: Option<String>,
    looked_at: u32,
}

type Shared = Arc<Mutex<Saying>>;

fn new_key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

impl Provider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Saying {
            issuer: issuer.clone(),
            key: new_key(),
            key_id: "1".to_owned(),
            forger: None,
            claims: Value::Null,
            challenge: None,
            looked_at: 0,
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&state));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            issuer,
            state,
            _server: server,
        }
    }

    /// What the next ID token says, and of which challenge the verifier has to be.
    pub(super) fn say(&self, claims: Value, challenge: &str) {
        let mut state = self.state.lock().unwrap();
        state.claims = claims;
        state.challenge = Some(challenge.to_owned());
    }

    pub(super) fn change_key(&self) {
        let mut state = self.state.lock().unwrap();
        state.key = new_key();
        state.key_id.push('1');
    }

    pub(super) fn forge(&self, forges: bool) {
        self.state.lock().unwrap().forger = forges.then(new_key);
    }

    /// How often it was asked what it is.
    pub(super) fn looked_at(&self) -> u32 {
        self.state.lock().unwrap().looked_at
    }
}

async fn metadata(State(state): State<Shared>) -> Json<Value> {
    let mut state = state.lock().unwrap();
    state.looked_at += 1;
    let issuer = &state.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256"],
    }))
}

async fn keys(State(state): State<Shared>) -> Json<Value> {
    let state = state.lock().unwrap();
    let public = URL_SAFE_NO_PAD.encode(state.key.public_key());
    let key =
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": state.key_id, "x": public });
    Json(json!({ "keys": [key] }))
}

async fn token(State(state): State<Shared>, body: String) -> (StatusCode, Json<Value>) {
    let mut state = state.lock().unwrap();
    let form: HashMap<_, _> = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
    if state.challenge.take() != Some(challenge) || form["code"] != CODE {
        let refused = Json(json!({ "error": "invalid_grant" }));
        return (StatusCode::BAD_REQUEST, refused);
    }
    let header = json!({ "alg": "EdDSA", "kid": state.key_id });
    let signed = format!("{}.{}", encoded(&header), encoded(&state.claims));
    let key = state.forger.as_ref().unwrap_or(&state.key);
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    let answer = json!({
        "access_token": "x",
        "token_type": "Bearer",
        "id_token": format!("{signed}.{signature}"),
    });
    (StatusCode::OK, Json(answer))
}
