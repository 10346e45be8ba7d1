//! What limits and budgets allow: tools of the catalog, budget classes, budgets and their accounts.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;
use crate::catalog::Endpoint;

/// Digits that a JSON number keeps whatever reads it.
const DIGITS_MAX: usize = 15;

/// An amount of money: a decimal text such as `"0.05"`, with at most nine decimal places and at most a thousand
/// million. A JSON number is taken too, if it has at most 15 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(value_type = String, example = "0.05")]
pub struct Amount(pub String);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for Amount {
    fn default() -> Self {
        Self("0".to_owned())
    }
}

impl From<&str> for Amount {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadAmount)
    }
}

struct ReadAmount;

impl Visitor<'_> for ReadAmount {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount such as \"0.05\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        Ok(Amount(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
        Ok(Amount(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
        Ok(Amount(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Amount, E> {
        let text = number.to_string();
        let digits = text.trim_start_matches(['-', '0', '.']);
        if digits.bytes().filter(u8::is_ascii_digit).count() > DIGITS_MAX {
            let found = serde::de::Unexpected::Float(number);
            return Err(E::invalid_value(found, &"an amount of so many digits in quotes"));
        }
        Ok(Amount(text))
    }
}

/// Body of `PUT /v1/catalog/tools/{tool}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolSpec {
    /// What all tenants together may call; all of them hold. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub limits: Vec<Rule>,
    /// How the server calls it. Absent: only workers do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// When its provider is left alone because its calls fail. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// Where it works on what it is sent: a region of the catalog. Absent: nobody knows, which is outside of every zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where it keeps what it is sent: a region of the catalog, or `none` if it keeps nothing. Absent: nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_region: Option<String>,
    /// What it is certified for, as adequacy decisions may need it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 1_000)]
    pub certificates: Vec<String>,
}

/// So many failures in a row open the circuit: no tenant calls the tool for a while, and after that one call at a time
/// tries it, until one is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Failures that workers report with `provider_down`.
    #[schema(minimum = 1, maximum = 1000)]
    pub failures: u32,
    /// How long it stays open at first; doubled for each trial that fails, up to 16 times that. A duration such as `30s`,
    /// of at least 1 ms and at most a day.
    pub open_for: String,
}

/// A tool of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tool {
    pub name: String,
    #[serde(default)]
    pub limits: Vec<Rule>,
    /// Absent: only workers call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// Where it works on what it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where it keeps what it is sent; `none`: it keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_region: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
}

/// One limit. A call takes one unit of a rule that counts calls, and its tokens of one that counts tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// So many units in each window of the calendar; new at its boundary.
    Window {
        #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
        units: u64,
        every: Every,
        /// An IANA name.
        #[serde(default = "default_time_zone")]
        #[schema(default = "UTC")]
        time_zone: String,
        #[serde(default, skip_serializing_if = "Unit::is_calls")]
        of: Unit,
    },
    /// So many units per period, spread evenly.
    Bucket {
        #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
        units: u64,
        /// A duration such as `1s`, `1h30m` or `250ms`, of at least 1 ms and at most 366 days.
        per: String,
        /// Most units at once.
        #[schema(minimum = 1, maximum = 1_000_000_000_000_u64)]
        burst: u64,
        #[serde(default, skip_serializing_if = "Unit::is_calls")]
        of: Unit,
    },
    /// So many calls under way at once.
    Concurrent {
        #[schema(minimum = 1)]
        calls: u32,
    },
}

/// What a rule counts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    #[default]
    Calls,
    Tokens,
}

impl Unit {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_calls(&self) -> bool {
        *self == Self::Calls
    }
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    Minute,
    Hour,
    Day,
    Month,
}

/// Body of `PUT /v1/budget-classes/{class}`: what each tenant of the class may call and spend. It acts at once, on work
/// that is under way too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetClassSpec {
    /// By tool, at most 1,000. A tool that is not named has its own limits only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas: BTreeMap<String, Vec<Rule>>,
    #[serde(default)]
    pub budget: Budget,
}

/// A named set of quotas and budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetClass {
    pub name: String,
    #[serde(default)]
    pub quotas: BTreeMap<String, Vec<Rule>>,
    pub budget: Budget,
}

/// What a tenant may spend. Absent: no bound at that level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// For one run. It is given to a run when it is admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Amount>,
    /// Part of the run's budget that is kept back: its steps stop there, and not at zero.
    #[serde(default)]
    pub reserve: Amount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<Amount>,
    /// Where its days and months begin: an IANA name.
    #[serde(default = "default_time_zone")]
    #[schema(default = "UTC")]
    pub time_zone: String,
    /// What is done, in this order, with a step that its run's budget has no money for. Empty: the run is paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub short: Vec<Rung>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            run: None,
            reserve: Amount::default(),
            day: None,
            month: None,
            time_zone: default_time_zone(),
            short: Vec::new(),
        }
    }
}

/// One rung of the ladder that a run without money goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Call a cheaper candidate of the model.
    CheaperModel,
    /// Let less come out of the model.
    ShorterOutput,
    /// Leave the step out, if it is optional.
    SkipOptional,
    /// Pause the run until an operator resolves it.
    Escalate,
    /// Pause the run and offer the choices to the tenant.
    Pause,
    /// Fail the step.
    Fail,
}

/// What the tenants of an organisation may spend together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgBudget {
    pub month: Amount,
    /// Where its months begin: an IANA name.
    #[serde(default = "default_time_zone")]
    #[schema(default = "UTC")]
    pub time_zone: String,
}

/// Body of `PUT .../budgets/{every}`: changes an account in the period that is under way. What is absent is set to 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountSpec {
    /// What it has on top of its budget.
    #[serde(default)]
    pub topped_up: Amount,
    /// What of its debt is let off.
    #[serde(default)]
    pub forgiven: Amount,
}

/// Body of `PUT .../runs/{run}/budget`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunBudget {
    /// What the run may spend in all.
    pub limit: Amount,
}

/// What a run may spend, and has spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunMoney {
    /// Absent: it has no budget of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
    /// Part of the limit that is kept back.
    pub reserve: Amount,
    /// What its attempts have cost so far.
    pub posted: Amount,
    /// Part of `posted` that nobody has confirmed: attempts whose worker fell silent or whose time was over.
    pub uncertain: Amount,
    /// Set aside for attempts that are under way. Only for a run that has not ended, read by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Amount>,
    /// It is paused, since a step of it could not be paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short: Option<Short>,
}

/// A step that could not be paid for, and what can be done: raise the run's budget (`PUT .../runs/{run}/budget`), which
/// lets it go on; let a cheaper model stand in, or give the step's output (`POST .../runs/{run}/resolve`); resume it,
/// which tries again; or cancel it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Short {
    /// `escalate` or `pause`: who is to decide, the operator or the tenant.
    pub rung: Rung,
    pub need: Amount,
    pub left: Amount,
    pub since: Timestamp,
}

/// Accounts of a tenant or an organisation, in the periods that are under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accounts {
    pub accounts: Vec<Account>,
}

/// An account in one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// `day` or `month`.
    pub every: Every,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    /// Absent: it is counted and bounds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Amount>,
    pub posted: Amount,
    /// Part of `posted` that nobody has confirmed.
    pub uncertain: Amount,
    /// Set aside for attempts that are under way.
    pub held: Amount,
    pub topped_up: Amount,
    pub forgiven: Amount,
    /// How far `posted` and `held` are above `budget`, `topped_up` and `forgiven` together.
    pub debt: Amount,
    /// What may still be held; absent without a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Amount>,
    /// What will be posted at the end of the period at the rate so far. In its first thirtieth, as if that had passed.
    pub forecast: Amount,
}

/// How much of limits is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limits {
    pub limits: Vec<LimitUse>,
    /// Whether the tool is called; absent where it is asked about a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<Circuit>,
}

/// Whether a tool is called at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Circuit {
    pub state: CircuitState,
    /// Why it is not closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// Until when an open one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// It is called.
    Closed,
    /// Nobody calls it.
    Open,
    /// One call at a time tries it.
    HalfOpen,
}

/// Why a tool is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its provider asked to be left alone.
    RetryAfter,
    /// So many calls failed in a row, or the one that tried it.
    Failures,
}

/// How much of one rule is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitUse {
    pub tool: String,
    /// Such as `hour@Europe/Berlin`, `bucket@1000000` (its period in microseconds) or `concurrent`; with `tokens:` before
    /// it if it counts tokens.
    pub rule: String,
    pub used: u64,
    pub of: u64,
    /// When a window is new, or a full bucket has room for one more call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
}

fn default_time_zone() -> String {
    "UTC".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_texts_or_numbers_that_lose_nothing() {
        for (json, amount) in [
            (r#""0.05""#, "0.05"),
            ("0.05", "0.05"),
            ("0.000000001", "0.000000001"),
            ("7", "7"),
            ("-1", "-1"),
            ("0.50", "0.5"),
            ("123456789012345", "123456789012345"),
        ] {
            assert_eq!(serde_json::from_str::<Amount>(json).unwrap().0, amount);
        }
        for json in ["0.1234567890123456", "null", "true", "[]", "{}"] {
            assert!(serde_json::from_str::<Amount>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn rules_are_named_by_their_kind() {
        let rules: Vec<Rule> = serde_json::from_str(
            r#"[{"window": {"units": 500, "every": "hour"}},
                {"bucket": {"units": 100, "per": "1s", "burst": 20, "of": "tokens"}},
                {"concurrent": {"calls": 10}}]"#,
        )
        .unwrap();
        let time_zone = "UTC".to_owned();
        let (every, of) = (Every::Hour, Unit::Calls);
        assert_eq!(rules[0], Rule::Window { units: 500, every, time_zone, of });
        assert!(matches!(rules[1], Rule::Bucket { of: Unit::Tokens, .. }));
        let written = serde_json::to_string(&rules[0]).unwrap();
        assert!(!written.contains("of"), "calls are what is meant without it: {written}");
        assert_eq!(rules[2], Rule::Concurrent { calls: 10 });
        assert!(serde_json::from_str::<Rule>(r#"{"concurrent": {"calls": 1, "x": 1}}"#).is_err());
    }
}
