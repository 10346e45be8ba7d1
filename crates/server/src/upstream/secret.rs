//! Keys of providers and tools, which come from the environment.

use std::fmt;

use hyper::header::HeaderValue;

/// What the name of a readable variable begins with. A catalog entry names the variable; without a prefix it could
/// send the server's own passwords to a host of its choice.
pub(crate) const PREFIX: &str = "FAIRLANE_SECRET_";
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// A key. It is shown nowhere; it leaves the server in a header only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "{name} is not the name of a secret: one begins with {PREFIX}, goes on with A-Z, 0-9 and _, and \
         has at most {NAME_BYTES_MAX} bytes"
    )]
    Name { name: Box<str> },
    #[error("the environment variable {name} is not set")]
    Missing { name: Box<str> },
    #[error("the environment variable {name} is empty or has characters that a header cannot have")]
    Value { name: Box<str> },
}

impl Secret {
    /// From the environment of the process.
    pub(crate) fn from_env(name: &str) -> Result<Self, Error> {
        Self::from_variables(name, |name| std::env::var_os(name)?.into_string().ok())
    }

    /// As [`Secret::from_env`], from the given variables.
    pub(crate) fn from_variables(
        name: &str,
        variable: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        check_name(name)?;
        let value = variable(name).ok_or_else(|| Error::Missing { name: name.into() })?;
        let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if value.trim().is_empty() || value.trim() != value || !value.bytes().all(is_visible) {
            return Err(Error::Value { name: name.into() });
        }
        Ok(Self(value))
    }

    /// As the value of a header such as `x-api-key`.
    pub(crate) fn header(&self) -> HeaderValue {
        marked(&self.0)
    }

    /// As the value of `Authorization`.
    pub(crate) fn bearer(&self) -> HeaderValue {
        marked(&format!("Bearer {}", self.0))
    }
}

/// Whether a secret can have that name; for checks before anything is read.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let is_good = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let rest = name.strip_prefix(PREFIX).filter(|rest| !rest.is_empty());
    if name.len() <= NAME_BYTES_MAX && rest.is_some_and(|rest| rest.bytes().all(is_good)) {
        return Ok(());
    }
    let start = name.chars().filter(|c| !c.is_control()).take(NAME_BYTES_MAX).collect::<String>();
    Err(Error::Name { name: start.into() })
}

fn marked(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).expect("visible ASCII is a header's value");
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: Option<&str>) -> Result<Secret, Error> {
        Secret::from_variables(name, |_| value.map(str::to_owned))
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = read("FAIRLANE_SECRET_A", Some("sk-123")).unwrap();
        let shown = format!("{secret:?} {:?} {:?}", secret.bearer(), secret.header());
        assert!(!shown.contains("sk-"), "{shown}");
        assert_eq!(secret.bearer(), "Bearer sk-123");
        assert_eq!(secret.header(), "sk-123");
    }

    #[test]
    fn only_variables_that_are_meant_as_secrets_are_read() {
        let long = format!("{PREFIX}{}", "A".repeat(NAME_BYTES_MAX));
        for name in ["PATH", "FAIRLANE_SECRET_", "FAIRLANE_SECRET_a", "XFAIRLANE_SECRET_A", &long] {
            let read = Secret::from_variables(name, |_| panic!("{name} was read"));
            assert!(matches!(read, Err(Error::Name { .. })), "{name}");
        }
    }

    #[test]
    fn a_missing_secret_is_named() {
        let error = Secret::from_env("FAIRLANE_SECRET_NEVER_SET").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable FAIRLANE_SECRET_NEVER_SET is not set"
        );
    }

    #[test]
    fn a_value_that_no_header_can_have_is_refused_without_being_shown() {
        for value in ["", " ", "a\nb: c", " a", "a\n", "ключ", "a\u{7f}"] {
            let error = read("FAIRLANE_SECRET_A", Some(value)).unwrap_err();
            assert_eq!(error, Error::Value { name: "FAIRLANE_SECRET_A".into() }, "{value:?}");
        }
    }
}
