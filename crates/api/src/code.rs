//! The stable codes of problem documents, with their HTTP status and title. One list for server, client and
//! documentation; a code never changes its meaning.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it stands in documents.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that comes with it, unless the answer says otherwise: a thing named in the path
            /// that does not exist is 404, one named in the body is 422 with a pointer.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    MalformedJson = "malformed-json", 400, "The body is not valid JSON";
    /// The path, the query or a header cannot be read.
    MalformedRequest = "malformed-request", 400, "The request cannot be read";
    Unauthenticated = "unauthenticated", 401, "A valid API key is needed";
    /// An account has too little left to admit the run; `facts` say which.
    BudgetExhausted = "budget-exhausted", 402, "There is not enough money left";
    /// A model that the run needs has no candidate for the tenant.
    ModelUnavailable = "model-unavailable", 422, "No candidate of the model can serve the tenant";
    /// The lease that a call was made under is over.
    StaleLease = "stale-lease", 409, "The lease is over";
    /// The tenant's own quota of a tool is used up; `facts` say when it opens.
    TenantLimit = "tenant-limit", 429, "The tenant's quota is used up";
    /// The limit that all tenants share is reached.
    ProviderLimit = "provider-limit", 429, "The provider's limit is reached";
    /// The key, or all keys of the tenant together, sent more than they may; `facts` say which.
    TooManyRequests = "too-many-requests", 429, "There are too many requests";
    Forbidden = "forbidden", 403, "The API key does not allow this";
    TenantSuspended = "tenant-suspended", 403, "The tenant is suspended";
    /// What it was given was kept for long enough, and is gone.
    NotKept = "not-kept", 409, "What the run was given is not kept any more";
    /// All of a tenant is erased only when nothing new comes in.
    TenantNotSuspended = "tenant-not-suspended", 409, "The tenant is not suspended";
    UnknownPath = "unknown-path", 404, "There is nothing at this path";
    UnknownTenant = "unknown-tenant", 404, "There is no such tenant";
    UnknownOrg = "unknown-org", 404, "There is no such organisation";
    UnknownTier = "unknown-tier", 404, "There is no such tier";
    UnknownTool = "unknown-tool", 404, "There is no such tool";
    UnknownModel = "unknown-model", 404, "There is no such model";
    UnknownPrice = "unknown-price", 404, "There is no such price";
    UnknownRegion = "unknown-region", 404, "There is no such region";
    UnknownZone = "unknown-zone", 404, "There is no such zone";
    UnknownAdequacy = "unknown-adequacy", 404, "There is no adequacy of this country";
    UnknownPolicy = "unknown-policy", 404, "There is no such policy";
    UnknownBudgetClass = "unknown-budget-class", 404, "There is no such budget class";
    UnknownReviewerPool = "unknown-reviewer-pool", 404, "There is no such reviewer pool";
    /// Missing, ended, or not for whoever asks.
    UnknownReview = "unknown-review", 404, "There is no such review";
    UnknownChannel = "unknown-channel", 404, "There is no such channel";
    /// Missing, delivered, or another tenant's.
    UnknownNotice = "unknown-notice", 404, "There is no such notice";
    /// The tenant has disabled it, or its receiver said that it is no more.
    ChannelClosed = "channel-closed", 409, "Nothing is sent through the channel";
    /// Only webhooks are signed.
    NoSecret = "no-secret", 409, "The channel has no secret";
    /// `smtp` is not configured.
    NoMailRelay = "no-mail-relay", 422, "The server cannot send mail";
    /// The person may not decide it; `facts` say why.
    NotEligible = "not-eligible", 403, "The person may not decide this review";
    /// The person works outside of where the tenant's data may be, or nobody knows where.
    ReviewerOutside = "reviewer-outside-zone", 451, "The person is outside of the tenant's zone";
    /// The members of the pool take the review whose turn it is.
    ReviewNotNext = "review-not-next", 409, "Another review comes first";
    /// It was decided, was not decided in time, or is not wanted any more.
    ReviewEnded = "review-ended", 409, "The review has ended";
    ReviewClaimed = "review-claimed", 409, "Another person has the review";
    ReviewNotClaimed = "review-not-claimed", 409, "Nobody has claimed the review";
    /// The claim expired, was released, reassigned, escalated, or has decided.
    ClaimOver = "claim-over", 409, "The claim is over";
    /// The fence is not that of the claim.
    StaleFence = "stale-fence", 409, "The claim is another one";
    /// Something else was decided on than what is there now.
    WrongDigest = "wrong-digest", 409, "What was decided on is not what is there";
    UnknownOutcome = "unknown-outcome", 422, "The review has no such outcome";
    /// The data does not match the review's form.
    InvalidForm = "invalid-form", 422, "The data does not match the form";
    /// The ladder of the review has no rung left.
    NoRung = "no-rung", 409, "The review cannot be escalated any more";
    /// A review would approve because nobody decided.
    ApprovesItself = "approves-itself", 422, "A review must not approve by itself";
    UnknownPool = "unknown-pool", 404, "There is no such pool";
    UnknownWorkflow = "unknown-workflow", 404, "There is no such workflow or version";
    /// Missing, or another tenant's: the answers are the same.
    UnknownRun = "unknown-run", 404, "There is no such run";
    UnknownStep = "unknown-step", 404, "The workflow has no such step";
    UnknownErasure = "unknown-erasure", 404, "There is no such erasure";
    UnknownKey = "unknown-key", 404, "There is no such key";
    /// Missing, or no checkpoint closes it yet; the detail says which.
    UnknownRecord = "unknown-record", 404, "There is no such record in the audit log";
    /// Rows are kept in memory only.
    NotDurable = "not-durable", 409, "The server keeps nothing that could be proven";
    /// The server has no root key that it could change; the detail says why.
    NoRootKey = "no-root-key", 409, "The root key is not the server's to change";
    /// Its owner exists, and has no budget for such periods.
    NoAccount = "no-account", 404, "There is no such account";
    NoOutput = "no-output", 404, "The run has no output";
    MethodNotAllowed = "method-not-allowed", 405, "The path does not support this method";
    VersionExists = "version-exists", 409, "This version exists with other content";
    IdempotencyConflict = "idempotency-conflict", 409, "The idempotency key was used for another request";
    /// Models name the tool, which would not be one that they can use.
    EndpointInUse = "endpoint-in-use", 409, "Models use this endpoint";
    WrongStatus = "wrong-status", 409, "The run's status does not allow this";
    BodyTooLarge = "body-too-large", 413, "The body is too large";
    UnsupportedMediaType = "unsupported-media-type", 415, "The content type is not supported";
    UnknownField = "unknown-field", 422, "The body has a field that is not known here";
    /// The JSON is well formed, and a value has the wrong type or form.
    InvalidValue = "invalid-value", 422, "A value has the wrong type or form";
    InvalidName = "invalid-name", 422, "A name is not well formed";
    OutOfRange = "out-of-range", 422, "A number is out of range";
    TooLong = "too-long", 422, "A value is too long";
    TooDeep = "too-deep", 422, "A value is nested too deeply";
    TooMany = "too-many", 422, "There are too many of something";
    /// The definition has mistakes, all of them in `mistakes`.
    InvalidWorkflow = "invalid-workflow", 422, "The workflow definition has mistakes";
    /// The policy has mistakes, all of them in `mistakes`.
    InvalidPolicy = "invalid-policy", 422, "The policy has mistakes";
    /// The input does not match the workflow's schema.
    InvalidInput = "invalid-input", 422, "The input does not match the workflow's schema";
    /// A candidate of a model names a tool that the server does not call for chat completions.
    NoEndpoint = "no-endpoint", 422, "The tool has no such endpoint";
    /// A price is given in another currency than the platform's; `facts` has that.
    WrongCurrency = "wrong-currency", 422, "The platform counts in another currency";
    /// The tool, or every endpoint of the model, is outside of where the tenant's data may be.
    OutsideZone = "outside-zone", 451, "The tenant's data may not go there";
    /// The tenant may not use the tool.
    ToolDenied = "tool-denied", 451, "The tenant may not use this tool";
    /// The tenant's data rests where it may not be after this.
    StoreOutside = "store-outside", 451, "The tenant's data is kept elsewhere";
    TenantQueueFull = "tenant-queue-full", 429, "The tenant has as many live runs as it may have";
    InboxFull = "inbox-full", 429, "The run's inbox of signals is full";
    /// Policy does not let the tenant do it; `facts` have the policy, the action and the thing.
    PolicyDenied = "policy-denied", 451, "Policy does not allow this";
    /// No provider of the model answered as it should; `facts` have the class of what went wrong with the last one.
    ProviderFailed = "provider-failed", 502, "The provider of the model failed";
    /// The provider of the model did not take the request.
    ProviderRefused = "provider-refused", 502, "The provider of the model refused the request";
    Internal = "internal", 500, "The server made a mistake";
    ValveClosed = "valve-closed", 503, "The platform takes no more of this work now";
    StoreFull = "store-full", 503, "The store is full";
    StoreUnavailable = "store-unavailable", 503, "The store does not answer";
    Overloaded = "overloaded", 503, "The server has more requests than it can queue";
    /// Nobody can sign in now; API keys go on.
    SignInUnavailable = "sign-in-unavailable", 503, "The identity provider does not answer";
    Starting = "starting", 503, "The server is starting";
    ShuttingDown = "shutting-down", 503, "The server is stopping";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_is_kebab_case_and_is_read_back() {
        for code in Code::ALL {
            let text = code.as_str();
            assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{text}");
            assert_eq!(Code::parse(text), Some(*code));
            assert!((400..600).contains(&code.status()), "{text}");
        }
    }
}
