//! What people call themselves and things: one line of text.

use crate::FieldProblem;

const LONGEST: usize = 200;
/// RFC 5321's bound of a path.
const LONGEST_EMAIL: usize = 254;

/// What is wrong with a name, if anything.
pub(crate) fn problem(path: &str, name: &str) -> Option<FieldProblem> {
    let message = if name.trim().is_empty() {
        "must not be empty".to_owned()
    } else if name.chars().count() > LONGEST {
        format!("must have {LONGEST} characters or less")
    } else if name.chars().any(char::is_control) {
        "must have no control characters".to_owned()
    } else {
        return None;
    };
    Some(FieldProblem::new(path, message))
}

/// The address in lower case, or what is wrong with it. Whether mail arrives there is another question.
pub(crate) fn email(path: &str, email: &str) -> Result<String, FieldProblem> {
    let wrong = || {
        let message = "must be an e-mail address, as in `ada@example.org`";
        FieldProblem::new(path, message)
    };
    let (local, domain) = email.split_once('@').ok_or_else(wrong)?;
    let strange = |c: char| c.is_control() || c.is_whitespace() || "@<>,;\"\\".contains(c);
    let sound = !local.is_empty()
        && !domain.is_empty()
        && email.len() <= LONGEST_EMAIL
        && !local.chars().any(strange)
        && !domain.chars().any(strange);
    if sound {
        Ok(email.to_lowercase())
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_two_sides_and_nothing_strange() {
        assert_eq!(
            email("email", "Ada@Example.org").unwrap(),
            "ada@example.org"
        );
        for wrong in [
            "",
            "ada",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nBcc: c@d",
            "<a@b>",
        ] {
            assert_eq!(email("email", wrong).unwrap_err().path, "email", "{wrong}");
        }
        assert!(problem("name", "Ada Lovelace").is_none());
        for wrong in ["", "  ", "a\nb", &"x".repeat(201)] {
            assert!(problem("name", wrong).is_some(), "{wrong}");
        }
    }
}
