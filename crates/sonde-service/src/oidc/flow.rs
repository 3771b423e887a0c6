//! What a browser keeps for us between leaving for the provider and coming back, so that any process of the API can finish
//! what another began.
//!
//! It is not sealed: its holder is who signs in, and everything in it is theirs. That nobody else's answer is taken for
//! theirs is what `state` is for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::token::Token;
use crate::{Result, ServiceError};

const NOT_BEGUN: &str = "this sign-in was not begun in this browser, or too long ago: begin again";

#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) struct Flow {
    pub(super) state: String,
    pub(super) nonce: String,
    /// Of PKCE (RFC 7636).
    pub(super) verifier: String,
    /// The token of an invitation or of the set-up link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ticket: Option<String>,
}

impl Flow {
    /// The value of a cookie.
    pub(super) fn cookie(&self) -> Token {
        let json = serde_json::to_vec(self).expect("strings are JSON");
        Token::presented(&URL_SAFE_NO_PAD.encode(json))
    }

    /// What the cookie holds, if it is of the same flow as the answer.
    pub(super) fn resumed(cookie: Option<&Token>, state: &str) -> Result<Self> {
        let json = cookie.and_then(|cookie| URL_SAFE_NO_PAD.decode(cookie.expose()).ok());
        let flow = json.and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        let same = |flow: &Self| {
            // By their hashes: how long the comparison takes says nothing of what was expected.
            let [theirs, ours] = [state, &flow.state].map(|state| Token::presented(state).hash());
            !state.is_empty() && theirs == ours
        };
        flow.filter(same)
            .ok_or(ServiceError::Unauthenticated(NOT_BEGUN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_browser_that_left_comes_back() {
        let flow = Flow {
            state: "s".to_owned(),
            nonce: "n".to_owned(),
            verifier: "v".to_owned(),
            ticket: Some("sonde_invite_x".to_owned()),
        };
        let cookie = flow.cookie();
        assert_eq!(Flow::resumed(Some(&cookie), "s").unwrap(), flow);
        let unsound = Token::presented("!");
        let stateless = Flow {
            state: String::new(),
            ..flow
        };
        let stateless = stateless.cookie();
        for (cookie, state) in [
            (Some(&cookie), "t"),
            (Some(&cookie), ""),
            (Some(&unsound), "s"),
            (Some(&stateless), ""),
            (None, "s"),
        ] {
            let refused = Flow::resumed(cookie, state).unwrap_err();
            assert!(refused.to_string().contains("begin again"), "{refused}");
        }
    }
}
