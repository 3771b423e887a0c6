//! Passwords: argon2id with the parameters of OWASP's recommendation, which are the library's defaults.

use std::sync::{Arc, LazyLock};

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use tokio::sync::Semaphore;

use crate::{Result, ServiceError};

const SHORTEST: usize = 10;
/// Longer ones would only be work.
const LONGEST: usize = 1024;
/// Each takes 19 MiB and a core for tens of milliseconds.
const AT_ONCE: usize = 2;

static WORKERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));
/// What an unknown account is compared with, so that the answer takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hashed("nobody has this password"));

pub(crate) fn check(path: &str, password: &str) -> Result<()> {
    let length = password.chars().count();
    if length < SHORTEST {
        let message = format!("must have {SHORTEST} characters or more, has {length}");
        return Err(ServiceError::invalid(path, message));
    }
    if password.len() > LONGEST {
        let message = format!("must have {LONGEST} bytes or less");
        return Err(ServiceError::invalid(path, message));
    }
    Ok(())
}

/// A PHC string.
pub(crate) async fn hash(password: &str) -> String {
    let password = password.to_owned();
    work(move || hashed(&password)).await
}

/// Takes as long when there is no hash.
pub(crate) async fn verify(password: &str, hash: Option<&str>) -> bool {
    let known = hash.is_some();
    let (password, hash) = (password.to_owned(), hash.map(str::to_owned));
    let right = work(move || {
        let hash = hash.as_deref().unwrap_or(&NOBODY);
        let parsed = PasswordHash::new(hash);
        parsed.is_ok_and(|hash| {
            let verified = Argon2::default().verify_password(password.as_bytes(), &hash);
            verified.is_ok()
        })
    });
    right.await && known
}

fn hashed(password: &str) -> String {
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.expect("the default parameters are valid").to_string()
}

async fn work<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let permit = Arc::clone(&WORKERS).acquire_owned().await;
    let worked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    worked.await.expect("hashing does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_somebody_fits() {
        let hash = hash("correct horse battery").await;
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify("correct horse battery", Some(&hash)).await);
        assert!(!verify("correct horse", Some(&hash)).await);
        assert!(!verify("nobody has this password", None).await);
        assert!(!verify("x", Some("no hash")).await);
    }

    #[test]
    fn a_short_password_is_refused_at_its_place() {
        let error = check("password", "short").unwrap_err().to_string();
        assert_eq!(error, "password: must have 10 characters or more, has 5");
        check("password", "0123456789").unwrap();
        check("password", &"x".repeat(2000)).unwrap_err();
    }
}
