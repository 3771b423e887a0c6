//! Secrets, sealed so that neither the broker's disk nor the configuration's holds any in the clear.
//!
//! XChaCha20-Poly1305 with a nonce that is a keyed hash of context and secret, so that the same secret of the same thing
//! seals to the same text: what did not change is seen not to have changed, and nothing else is. (The idea of RFC 5297.)

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Generate as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use ring::hmac;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The keys that seal and open secrets. The first seals, each opens: a new one is put first once all who open have it,
/// and the old one leaves when nothing sealed with it is left.
#[derive(Clone, Default)]
pub struct SealingKeys(Arc<[SealingKey]>);

struct SealingKey {
    cipher: XChaCha20Poly1305,
    nonces: hmac::Key,
}

impl SealingKey {
    fn new(bytes: &[u8]) -> Option<Self> {
        let cipher = XChaCha20Poly1305::new_from_slice(bytes).ok()?;
        // Another key than the cipher's, made of the same bytes.
        let of_nonces = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"nonces");
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, of_nonces.as_ref());
        Some(Self { cipher, nonces })
    }

    fn nonce(&self, secret: &[u8], context: &[u8]) -> XNonce {
        let mut hash = hmac::Context::with_key(&self.nonces);
        hash.update(&(context.len() as u64).to_be_bytes());
        hash.update(context);
        hash.update(secret);
        let hash = hash.sign();
        let nonce = hash.as_ref().first_chunk::<NONCE_BYTES>();
        XNonce::from(*nonce.expect("a SHA-256 is longer than a nonce"))
    }
}

/// The text is not a list of keys. It is a secret, so the error shows nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "key {position} is not {KEY_BYTES} bytes in base64: make one with `openssl rand -base64 32`"
)]
pub struct InvalidKey {
    /// From 1.
    pub position: usize,
}

impl SealingKeys {
    /// Seals nothing: for queues that never leave the process.
    pub fn none() -> Self {
        Self::default()
    }

    /// Keys of 32 bytes in base64, separated by commas.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let keys = text.split(',').zip(1..).map(|(key, position)| {
            let bytes = STANDARD.decode(key.trim()).ok();
            let key = bytes.and_then(|bytes| SealingKey::new(&bytes));
            key.ok_or(InvalidKey { position })
        });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// A new key, as [`SealingKeys::parse`] reads it.
    pub fn generate() -> String {
        STANDARD.encode(Key::generate())
    }

    /// Whether there is no key: nothing is sealed, and nothing sealed can be opened.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nonce and ciphertext in base64; it opens with the same `context` only. `None` without a key.
    pub fn seal(&self, secret: &[u8], context: &[u8]) -> Option<String> {
        let key = self.0.first()?;
        let nonce = key.nonce(secret, context);
        let payload = Payload {
            msg: secret,
            aad: context,
        };
        let sealed = key.cipher.encrypt(&nonce, payload);
        let sealed = sealed.expect("a secret is far shorter than the cipher's limit of 256 GiB");
        Some(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// `None` when no key fits, or when what was sealed is not as it was.
    pub fn open(&self, sealed: &str, context: &[u8]) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let nonce = XNonce::from(*nonce);
        self.0.iter().find_map(|key| {
            let payload = Payload {
                msg: sealed,
                aad: context,
            };
            key.cipher.decrypt(&nonce, payload).ok()
        })
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKeys(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: &[&str]) -> SealingKeys {
        SealingKeys::parse(&texts.join(", ")).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_context_only() {
        let (one, other) = (SealingKeys::generate(), SealingKeys::generate());
        let sealed = keys(&[&one]).seal(b"secret", b"a").unwrap();
        assert_eq!(keys(&[&one]).open(&sealed, b"a").unwrap(), b"secret");
        assert_eq!(keys(&[&one]).open(&sealed, b"b"), None);
        assert_eq!(keys(&[&other]).open(&sealed, b"a"), None);
        assert_eq!(SealingKeys::none().open(&sealed, b"a"), None);
        assert_eq!(SealingKeys::none().seal(b"secret", b"a"), None);
    }

    #[test]
    fn keys_rotate_the_first_seals_and_all_open() {
        let (old, new) = (SealingKeys::generate(), SealingKeys::generate());
        let of_old = keys(&[&old]).seal(b"1", b"").unwrap();
        let both = keys(&[&new, &old]);
        assert_eq!(both.open(&of_old, b"").unwrap(), b"1");
        let of_both = both.seal(b"2", b"").unwrap();
        assert_eq!(keys(&[&new]).open(&of_both, b"").unwrap(), b"2");
        assert_eq!(keys(&[&old]).open(&of_both, b""), None);
    }

    #[test]
    fn only_the_same_seals_alike_and_nothing_opens_when_changed() {
        let keys = keys(&[&SealingKeys::generate()]);
        let sealed = keys.seal(b"secret", b"").unwrap();
        assert_eq!(sealed, keys.seal(b"secret", b"").unwrap());
        assert_ne!(sealed, keys.seal(b"secret", b"s").unwrap());
        assert_ne!(sealed, keys.seal(b"Secret", b"").unwrap());
        let bytes = STANDARD.decode(&sealed).unwrap();
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            assert_eq!(keys.open(&STANDARD.encode(bytes), b""), None, "{place}");
        }
        for cut in ["", "AAAA", "not base64"] {
            assert_eq!(keys.open(cut, b""), None, "{cut}");
        }
    }

    #[test]
    fn a_bad_key_is_named_by_its_place_and_shown_nowhere() {
        let good = SealingKeys::generate();
        for (text, position) in [
            (String::new(), 1),
            (format!("{good},"), 2),
            (format!("{good},aHVudGVyMg=="), 2),
        ] {
            let error = SealingKeys::parse(&text).unwrap_err();
            assert_eq!(error, InvalidKey { position });
            assert!(!error.to_string().contains("aHVudGVyMg"));
        }
        assert_eq!(format!("{:?}", keys(&[&good])), "SealingKeys(…)");
    }
}
