//! The relay that mail is handed to.

use std::fmt;

use fairlane_core::id::RegionName;
use lettre::message::Mailbox;
use serde::Deserialize;

use super::Error;
use crate::notify::mail::Mailer;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// `smtps://name:password@host`, or `smtp://host:port`, with `?tls=required` for STARTTLS.
    pub url: RelayUrl,
    /// The sender, such as `Fairlane <fairlane@bank.example>`.
    pub from: String,
    /// The region where the relay is. Absent: outside of every zone, so that it sends nothing for tenants with a constraint.
    pub region: Option<String>,
}

/// The address of the relay, which may have a password in it: it is shown nowhere.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RelayUrl(String);

impl RelayUrl {
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayUrl(..)")
    }
}

impl Smtp {
    /// # Errors
    /// If a value is not what it has to be. The address is not shown.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |field, value: &str, expected| {
            Err(Error::Range { field, value: value.to_owned(), expected })
        };
        let url = &self.url.0;
        if url.contains('@') && url.starts_with("smtp://") && !url.contains("tls=required") {
            let expected = "a connection with TLS for a password: `smtps://` or `?tls=required`";
            return wrong("smtp.url", "(not shown)", expected);
        }
        if self.from.parse::<Mailbox>().is_err() {
            return wrong("smtp.from", &self.from, "an address such as fairlane@bank.example");
        }
        if Mailer::new(self).is_none() {
            let expected = "a URL such as smtps://name:password@mail.example";
            return wrong("smtp.url", "(not shown)", expected);
        }
        match &self.region {
            Some(region) if RegionName::parse(region).is_err() => {
                wrong("smtp.region", region, "1 to 64 of a-z 0-9 - _")
            }
            _ => Ok(()),
        }
    }
}

/// What the file says, and the variables instead where they say something: `URL`, `FROM`, `REGION`.
pub(super) fn with(
    file: Option<Smtp>,
    [url, from, region]: [Option<(String, String)>; 3],
) -> Option<Smtp> {
    if url.is_none() && from.is_none() && region.is_none() {
        return file;
    }
    let mut smtp = file.unwrap_or_default();
    if let Some((_, url)) = url {
        smtp.url = RelayUrl(url);
    }
    if let Some((_, from)) = from {
        smtp.from = from;
    }
    if let Some((_, region)) = region {
        smtp.region = Some(region);
    }
    Some(smtp)
}
