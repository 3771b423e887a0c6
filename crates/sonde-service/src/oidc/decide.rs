//! Whom somebody is to us whom the provider knows: pure, over what the stores say.

use sonde_store::User;

use crate::{Result, ServiceError, names};

/// Whom the provider vouches for.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) name: Option<String>,
    pub(super) address: Option<Address>,
}

#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) text: String,
    /// Whether the provider says that it is theirs.
    pub(super) verified: bool,
}

/// What the stores say about an identity, and what it came with.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) by_identity: Option<User>,
    /// Who has its verified address.
    pub(super) by_address: Option<User>,
    /// Whom the invitation that came along is for.
    pub(super) invited: Option<String>,
    /// The set-up link came along, and nobody has an account.
    pub(super) may_set_up: bool,
}

/// An invitation that came along is redeemed in each of these but the last.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    SignIn(User),
    /// The account gets the identity.
    Link(User),
    /// A new account with this address.
    Create(String),
    /// The first account, with this address.
    SetUp(String),
}

impl Identity {
    /// In lower case. Never one that the provider does not say is theirs.
    pub(super) fn verified_address(&self) -> Option<String> {
        let address = self.address.as_ref().filter(|address| address.verified)?;
        // ASCII only: beyond it other people's letters become ours, as the Kelvin sign becomes a `k`.
        let address = address.text.to_ascii_lowercase();
        names::email("email", &address).ok().map(|_| address)
    }

    /// What to call who has no account yet.
    pub(super) fn display_name(&self, address: &str) -> String {
        let sound = |name: &&str| names::problem("name", name).is_none();
        let name = self.name.as_deref().filter(sound);
        name.unwrap_or(address).to_owned()
    }

    fn missing_address(&self) -> ServiceError {
        refused(match &self.address {
            Some(Address { text, .. }) => {
                format!("the identity provider does not say that {text} is really yours")
            }
            None => "the identity provider does not tell your e-mail address".to_owned(),
        })
    }
}

pub(super) fn decide(identity: &Identity, known: Known) -> Result<Decision> {
    let address = identity.verified_address();
    if let Some(user) = known.by_identity {
        let own = [Some(&user.email), address.as_ref()];
        return match known.invited {
            Some(invited) if !own.contains(&Some(&invited)) => Err(mismatch(&invited, &user.email)),
            _ => Ok(Decision::SignIn(user)),
        };
    }
    let address = address.ok_or_else(|| identity.missing_address())?;
    if let Some(invited) = known.invited.as_ref().filter(|it| **it != address) {
        return Err(mismatch(invited, &address));
    }
    match known.by_address {
        Some(user) => Ok(Decision::Link(user)),
        None if known.invited.is_some() => Ok(Decision::Create(address)),
        None if known.may_set_up => Ok(Decision::SetUp(address)),
        None => Err(refused(format!("nobody has invited {address}"))),
    }
}

fn mismatch(invited: &str, address: &str) -> ServiceError {
    refused(format!(
        "the invitation is for {invited}, and you signed in as {address}"
    ))
}

fn refused(message: String) -> ServiceError {
    ServiceError::Refused(message)
}

#[cfg(test)]
mod tests {
    use sonde_core::Timestamp;

    use super::*;

    fn identity(address: &str, verified: bool) -> Identity {
        Identity {
            issuer: "https://id.example".to_owned(),
            subject: "7".to_owned(),
            name: Some("Ada".to_owned()),
            address: Some(Address {
                text: address.to_owned(),
                verified,
            }),
        }
    }

    fn user(email: &str) -> User {
        User {
            id: "u1".to_owned(),
            email: email.to_owned(),
            name: "Ada".to_owned(),
            password: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[track_caller]
    fn check(identity: &Identity, known: Known, expected: Result<Decision, &str>) {
        let decided = decide(identity, known).map_err(|error| error.to_string());
        assert_eq!(decided, expected.map_err(str::to_owned));
    }

    fn invited(address: &str) -> Known {
        Known {
            invited: Some(address.to_owned()),
            ..Known::default()
        }
    }

    #[test]
    fn who_is_known_signs_in_whatever_their_address_is_now() {
        let known = |invited: Option<&str>| Known {
            by_identity: Some(user("ada@example.org")),
            invited: invited.map(str::to_owned),
            ..Known::default()
        };
        let ada = || Ok(Decision::SignIn(user("ada@example.org")));
        check(&identity("new@example.org", false), known(None), ada());
        let invited = known(Some("ada@example.org"));
        check(&identity("new@example.org", false), invited, ada());
        let moved = known(Some("new@example.org"));
        check(&identity("new@example.org", true), moved, ada());
        let unverified = known(Some("new@example.org"));
        let message = "the invitation is for new@example.org, and you signed in as ada@example.org";
        check(
            &identity("new@example.org", false),
            unverified,
            Err(message),
        );
    }

    #[test]
    fn an_invitation_makes_an_account_or_links_the_one_that_has_its_address() {
        let ada = identity("Ada@Example.org", true);
        let made = Decision::Create("ada@example.org".to_owned());
        check(&ada, invited("ada@example.org"), Ok(made));
        let known = Known {
            by_address: Some(user("ada@example.org")),
            ..invited("ada@example.org")
        };
        check(&ada, known, Ok(Decision::Link(user("ada@example.org"))));
        let message = "the invitation is for eve@example.org, and you signed in as ada@example.org";
        check(&ada, invited("eve@example.org"), Err(message));
    }

    #[test]
    fn an_account_is_linked_by_a_verified_address() {
        let known = Known {
            by_address: Some(user("ada@example.org")),
            ..Known::default()
        };
        let linked = Decision::Link(user("ada@example.org"));
        check(&identity("ada@example.org", true), known, Ok(linked));
    }

    #[test]
    fn an_address_that_is_not_verified_opens_nothing() {
        let all = || Known {
            by_address: Some(user("ada@example.org")),
            may_set_up: true,
            ..invited("ada@example.org")
        };
        let message = "the identity provider does not say that ada@example.org is really yours";
        check(&identity("ada@example.org", false), all(), Err(message));
        let nobody = Identity {
            address: None,
            ..identity("", true)
        };
        let message = "the identity provider does not tell your e-mail address";
        check(&nobody, all(), Err(message));
        // U+212A, which is no `k`.
        let kelvin = identity("\u{212a}@example.org", true);
        assert_ne!(kelvin.verified_address().unwrap(), "k@example.org");
    }

    #[test]
    fn the_set_up_link_makes_the_first_owner_and_nobody_else_comes_unasked() {
        let ada = identity("ada@example.org", true);
        let known = Known {
            may_set_up: true,
            ..Known::default()
        };
        let first = Decision::SetUp("ada@example.org".to_owned());
        check(&ada, known, Ok(first));
        let message = "nobody has invited ada@example.org";
        check(&ada, Known::default(), Err(message));
    }

    #[test]
    fn a_name_that_is_none_is_the_address() {
        let ada = identity("ada@example.org", true);
        assert_eq!(ada.display_name("ada@example.org"), "Ada");
        let strange = Identity {
            name: Some("\u{7}".to_owned()),
            ..ada
        };
        assert_eq!(strange.display_name("ada@example.org"), "ada@example.org");
    }
}
