//! The identity provider at which people sign in.

use serde::Deserialize;

use super::{Error, is_trusted_url};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oidc {
    /// The provider, as its tokens name it: `https://id.example.com`.
    pub issuer: String,
    /// Whom its tokens must be for: the id that the provider has given to Fairlane.
    pub audience: String,
    /// The claim that names the person. `email` counts only where the provider has verified it.
    pub person_claim: String,
    /// The client that `fairlane login` is at the provider. The audience, if absent.
    pub client_id: Option<String>,
    /// What `fairlane login` asks for.
    pub scopes: String,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            person_claim: "sub".to_owned(),
            client_id: None,
            scopes: "openid email profile".to_owned(),
        }
    }
}

impl Oidc {
    pub(crate) fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or(&self.audience)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |field, value: &str, expected| {
            Err(Error::Range { field, value: value.to_owned(), expected })
        };
        if !is_trusted_url(&self.issuer) {
            let expected = "a URL with TLS such as https://id.example.com";
            return wrong("oidc.issuer", &self.issuer, expected);
        }
        if self.audience.is_empty() {
            return wrong("oidc.audience", "empty", "the id of Fairlane at the provider");
        }
        if self.person_claim.is_empty() {
            return wrong("oidc.person_claim", "empty", "a claim such as sub or email");
        }
        Ok(())
    }
}

/// What the file says, and the variables instead where they say something: `ISSUER`, `AUDIENCE`, `PERSON_CLAIM`, `CLIENT_ID`,
/// `SCOPES`.
pub(super) fn with(file: Option<Oidc>, given: [Option<(String, String)>; 5]) -> Option<Oidc> {
    if given.iter().all(Option::is_none) {
        return file;
    }
    let mut oidc = file.unwrap_or_default();
    let [issuer, audience, person_claim, client_id, scopes] =
        given.map(|given| given.map(|(_, value)| value));
    let set = |field: &mut String, value: Option<String>| {
        if let Some(value) = value {
            *field = value;
        }
    };
    set(&mut oidc.issuer, issuer);
    set(&mut oidc.audience, audience);
    set(&mut oidc.person_claim, person_claim);
    set(&mut oidc.scopes, scopes);
    oidc.client_id = client_id.or(oidc.client_id);
    Some(oidc)
}
