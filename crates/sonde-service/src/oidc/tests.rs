//! Whole sign-ins, against a provider of the test's own and stores in files.

mod provider;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sonde_config::settings::{OidcSettings, Secret};
use sonde_core::{Clock as _, ManualClock, Role, Timestamp};
use sonde_probe::{Egress, Targets};
use sonde_queue::SealingKeys;
use sonde_queue::memory::MemoryQueue;
use sonde_results::libsql::LibsqlResults;
use sonde_store::libsql::LibsqlStore;
use tempfile::TempDir;

use self::provider::{CODE, Provider};
use super::*;
use crate::accounts::Newcomer;
use crate::authenticate::Presented;
use crate::{Access, Parts};

const ADA: &str = "ada@example.org";
const OWNER: &str = "owner@example.org";
const PASSWORD: &str = "correct horse";

struct Fixture {
    service: Service,
    provider: Provider,
    clock: Arc<ManualClock>,
    redirect: Url,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        // Fails when another test was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let provider = Provider::start().await;
        let secret = Some(Secret::new("a secret that two share"));
        let settings = OidcSettings::new(&provider.issuer, "sonde".to_owned(), secret).unwrap();
        let store = LibsqlStore::open(&path("store.db"), SealingKeys::none()).await;
        let store = Arc::new(store.unwrap());
        let results = LibsqlResults::open(&path("results.db")).await.unwrap();
        let queue = Arc::new(MemoryQueue::new());
        let start = Timestamp::UNIX_EPOCH + Duration::from_hours(24 * 20_000);
        let clock = Arc::new(ManualClock::at(start));
        let queues = sonde_config::parse_queues("queues.toml", sonde_config::DEFAULT_QUEUES);
        let service = Service::new(Parts {
            store: Arc::clone(&store) as _,
            accounts: Arc::clone(&store) as _,
            alerts: store,
            pictures: sonde_store::Pictures::in_folder(folder.path()).unwrap(),
            results: Arc::new(results),
            queue: Arc::clone(&queue) as _,
            bus: queue,
            clock: Arc::clone(&clock) as _,
            partitions: 1,
            queues: queues.unwrap(),
            task_keys: SealingKeys::none(),
            reading: sonde_config::Options {
                check_interval: None,
                allow_exec: false,
                default_region: None,
            },
            targets: Targets::new(Egress::open(), None).unwrap(),
            open_until_set_up: false,
            oidc: Some(OidcProvider::new(settings).unwrap()),
            public_url: None,
        });
        let redirect = "http://sonde.example/v1/session/oidc/callback".parse();
        Self {
            service,
            provider,
            clock,
            redirect: redirect.unwrap(),
            _folder: folder,
        }
    }

    /// Somebody with a password, who may invite.
    async fn owner(&self) -> Access {
        let token = self.service.set_up_token().await.unwrap().unwrap();
        let newcomer = Newcomer {
            name: "Owner".to_owned(),
            password: PASSWORD.to_owned(),
        };
        let workspace = WorkspaceId::local();
        let set_up = self
            .service
            .set_up(&token, OWNER, &newcomer, workspace, None);
        let presented = Presented::Cookie(set_up.await.unwrap().session);
        let access = self.service.authenticate(&presented, None, None).await;
        access.unwrap()
    }

    /// A browser goes to the provider and comes back with a token that says `claims` and what every token does.
    async fn sign_in(&self, ticket: Option<&Token>, claims: Value) -> Result<SignedIn> {
        let departure = self.service.oidc_start(&self.redirect, ticket).await?;
        let query: HashMap<_, _> = departure.provider.query_pairs().into_owned().collect();
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["redirect_uri"], self.redirect.as_str());
        let now = self.clock.now().as_micros() / 1_000_000;
        let mut all = json!({
            "iss": self.provider.issuer,
            "aud": "sonde",
            "sub": "ada",
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            "name": "Ada",
            "email": ADA,
            "email_verified": true,
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.provider.say(all, &query["code_challenge"]);
        self.come_back(&departure, &query["state"]).await
    }

    async fn come_back(&self, departure: &Departure, state: &str) -> Result<SignedIn> {
        let arrival = Arrival {
            code: CODE,
            state,
            flow: Some(&departure.flow),
            redirect: &self.redirect,
        };
        self.service.oidc_finish(arrival, None).await
    }

    async fn refusal(&self, claims: Value) -> String {
        self.sign_in(None, claims).await.unwrap_err().to_string()
    }

    async fn roles(&self, user: &User) -> Vec<Role> {
        let workspaces = self.service.workspaces(user).await.unwrap();
        workspaces.into_iter().map(|(_, it)| it.role).collect()
    }
}

#[tokio::test]
async fn who_is_invited_gets_an_account_and_is_known_from_then_on() {
    let it = Fixture::new().await;
    let owner = it.owner().await;
    let (_, link) = owner.invite(ADA, Role::Editor, None).await.unwrap();
    let other = json!({ "sub": "eve", "email": "eve@example.org" });
    let refused = it.sign_in(Some(&link), other).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Refused(_)), "{refused}");

    let ada = it.sign_in(Some(&link), json!({})).await.unwrap().user;
    assert_eq!(
        (&*ada.email, &*ada.name, &ada.password),
        (ADA, "Ada", &None)
    );
    assert_eq!(it.roles(&ada).await, [Role::Editor]);
    let again = it.sign_in(Some(&link), json!({})).await.unwrap_err();
    assert!(matches!(again, ServiceError::Unauthenticated(_)), "{again}");
    // The subject is who they are, whatever becomes of the address.
    let moved = json!({ "email": "new@example.org", "email_verified": false });
    let signed_in = it.sign_in(None, moved).await.unwrap();
    assert_eq!(signed_in.user, ada);
    let user = it.service.session_user(&signed_in.session).await.unwrap();
    assert_eq!(user, ada);
    let without = it.service.sign_in(ADA, "", None).await;
    assert!(matches!(without, Err(ServiceError::Unauthenticated(_))));
}

#[tokio::test]
async fn an_account_is_linked_by_its_verified_address_alone() {
    let it = Fixture::new().await;
    it.owner().await;
    let message = it.refusal(json!({})).await;
    assert_eq!(message, format!("nobody has invited {ADA}"));
    for verified in [json!(false), Value::Null] {
        let claims = json!({ "email": OWNER, "email_verified": verified });
        let message = it.refusal(claims).await;
        assert!(message.contains("really yours"), "{message}");
    }
    let claims = json!({ "email": "Owner@Example.org" });
    let linked = it.sign_in(None, claims).await.unwrap().user;
    assert_eq!(linked.email, OWNER);
    assert_eq!(it.roles(&linked).await, [Role::Owner]);
    // The password stays.
    it.service.sign_in(OWNER, PASSWORD, None).await.unwrap();
}

#[tokio::test]
async fn an_account_that_is_invited_elsewhere_is_linked_and_joins() {
    let it = Fixture::new().await;
    let owner = it.owner().await;
    let (_, link) = owner.invite(ADA, Role::Viewer, None).await.unwrap();
    it.sign_in(Some(&link), json!({})).await.unwrap();
    let elsewhere: WorkspaceId = "elsewhere".parse().unwrap();
    let session = it.service.sign_in(OWNER, PASSWORD, None).await;
    let session = session.unwrap().session;
    let user = it.service.session_user(&session).await.unwrap();
    let created = it.service.create_workspace(&user, elsewhere.clone());
    created.await.unwrap();
    let presented = Presented::Cookie(session);
    let access = it
        .service
        .authenticate(&presented, Some(&elsewhere), None)
        .await;
    let invited = access.unwrap().invite(ADA, Role::Admin, None).await;
    let ada = it.sign_in(Some(&invited.unwrap().1), json!({})).await;
    let roles = it.roles(&ada.unwrap().user).await;
    assert_eq!(roles, [Role::Viewer, Role::Admin]);
}

#[tokio::test]
async fn the_set_up_link_makes_the_first_owner_once() {
    let it = Fixture::new().await;
    let link = it.service.set_up_token().await.unwrap().unwrap();
    let message = it.refusal(json!({})).await;
    assert_eq!(message, format!("nobody has invited {ADA}"));
    let first = it.sign_in(Some(&link), json!({})).await.unwrap().user;
    assert_eq!(it.roles(&first).await, [Role::Owner]);
    let other = json!({ "sub": "eve", "email": "eve@example.org" });
    let second = it.sign_in(Some(&link), other).await.unwrap_err();
    assert_eq!(second.to_string(), "nobody has invited eve@example.org");
}

#[tokio::test]
async fn a_token_that_was_not_made_for_this_sign_in_is_refused() {
    let it = Fixture::new().await;
    let link = it.service.set_up_token().await.unwrap().unwrap();
    it.sign_in(Some(&link), json!({})).await.unwrap();
    let now = it.clock.now().as_micros() / 1_000_000;
    for wrong in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "aud": "another" }),
        json!({ "aud": ["sonde", "another"] }),
        json!({ "iss": "https://another.example" }),
        json!({ "exp": now - 1 }),
    ] {
        let refused = it.sign_in(None, wrong.clone()).await;
        assert!(
            matches!(refused, Err(ServiceError::Provider { .. })),
            "{wrong}: {refused:?}"
        );
    }
    it.provider.forge(true);
    let refused = it.sign_in(None, json!({})).await;
    assert!(matches!(refused, Err(ServiceError::Provider { .. })));
    it.provider.forge(false);
    it.sign_in(None, json!({})).await.unwrap();
}

#[tokio::test]
async fn what_comes_back_has_to_be_what_left() {
    let it = Fixture::new().await;
    let link = it.service.set_up_token().await.unwrap().unwrap();
    let departure = it.service.oidc_start(&it.redirect, Some(&link)).await;
    let departure = departure.unwrap();
    let refused = it.come_back(&departure, "another").await.unwrap_err();
    assert!(refused.to_string().contains("not begun"), "{refused}");
    // A code that the provider does not know (any more).
    let query: HashMap<_, _> = departure.provider.query_pairs().into_owned().collect();
    let refused = it.come_back(&departure, &query["state"]).await.unwrap_err();
    assert!(
        matches!(refused, ServiceError::Unauthenticated(_)),
        "{refused}"
    );
    it.provider.say(json!({}), "the challenge of another");
    let refused = it.come_back(&departure, &query["state"]).await.unwrap_err();
    assert!(
        matches!(refused, ServiceError::Unauthenticated(_)),
        "{refused}"
    );
}

#[tokio::test]
async fn a_provider_is_asked_once_until_its_keys_change() {
    let it = Fixture::new().await;
    let link = it.service.set_up_token().await.unwrap().unwrap();
    it.sign_in(Some(&link), json!({})).await.unwrap();
    it.sign_in(None, json!({})).await.unwrap();
    assert_eq!(it.provider.looked_at(), 1);
    it.provider.change_key();
    it.sign_in(None, json!({})).await.unwrap();
    assert_eq!(it.provider.looked_at(), 2);
}
