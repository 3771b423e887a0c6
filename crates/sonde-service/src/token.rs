//! Secrets that Sonde gives out: made of randomness, shown once, kept as a hash.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use sonde_core::Timestamp;
use sonde_store::NewCredential;

/// 256 bits: nothing that could be guessed, so that one fast hash is enough.
const BYTES: usize = 32;

/// What a token opens, as its prefix says, so that scanners for leaked secrets know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    ApiKey,
    Session,
    Invitation,
    SetUp,
    Heartbeat,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "sonde_key_",
            Self::Session => "sonde_session_",
            Self::Invitation => "sonde_invite_",
            Self::SetUp => "sonde_setup_",
            Self::Heartbeat => "sonde_beat_",
        }
    }
}

/// A secret in the clear. Prints nothing of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub(crate) fn generate(kind: TokenKind) -> Self {
        let mut bytes = [0; BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system has randomness");
        Self(format!(
            "{}{}",
            kind.prefix(),
            URL_SAFE_NO_PAD.encode(bytes)
        ))
    }

    /// What somebody presents.
    pub fn presented(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn is(&self, kind: TokenKind) -> bool {
        self.0.starts_with(kind.prefix())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> String {
        hex(digest(&SHA256, self.0.as_bytes()).as_ref())
    }

    pub(crate) fn credential(&self, expires_at: Option<Timestamp>) -> NewCredential {
        NewCredential {
            hash: self.hash(),
            expires_at,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings take everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_opens_and_prints_nothing() {
        let (one, other) = (
            Token::generate(TokenKind::ApiKey),
            Token::generate(TokenKind::ApiKey),
        );
        assert!(one.is(TokenKind::ApiKey) && !one.is(TokenKind::Session));
        assert_ne!(one, other);
        assert_eq!(one.hash().len(), 64);
        assert_eq!(Token::presented(one.expose()).hash(), one.hash());
        assert_eq!(format!("{one:?}"), "Token(…)");
    }
}
