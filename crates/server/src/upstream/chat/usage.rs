//! What an answer took, and whether that is known.

use serde_json::Value;

/// More tokens than this no call takes: whoever says so is wrong.
const TOKENS_MAX: u64 = 100_000_000;

/// Tokens of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "each says what it counts")]
pub(crate) struct Usage {
    /// All that was read, with those that were cached.
    pub(crate) input_tokens: u32,
    /// Of the input, what the provider had read before.
    pub(crate) cached_tokens: u32,
    /// All that was written, with what a model thinks and does not show.
    pub(crate) output_tokens: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) usage: Usage,
    /// Whether all of it is what the provider says. If not, what it did not say is an own count, see `tokens`; what a
    /// model thinks and does not show is not in it.
    pub(crate) is_certain: bool,
}

impl Counted {
    /// What the provider says, field by field if it can be; the own count elsewhere.
    pub(super) fn of(said: Option<&Value>, own: Usage) -> Self {
        let input = said.and_then(|said| tokens(&said["prompt_tokens"]));
        let output = said.and_then(|said| tokens(&said["completion_tokens"]));
        let cached = match said.map(|said| &said["prompt_tokens_details"]["cached_tokens"]) {
            None | Some(Value::Null) => Some(0),
            Some(cached) => tokens(cached).filter(|cached| *cached <= input.unwrap_or(0)),
        };
        let usage = Usage {
            input_tokens: input.unwrap_or(own.input_tokens),
            cached_tokens: cached.unwrap_or(0),
            output_tokens: output.unwrap_or(own.output_tokens),
        };
        Self { usage, is_certain: input.is_some() && output.is_some() && cached.is_some() }
    }
}

impl Counted {
    /// The same for what has no output.
    pub(in crate::upstream) fn of_input(said: Option<&Value>, own_tokens: u32) -> Self {
        let input = said.and_then(|said| tokens(&said["prompt_tokens"]));
        let input_tokens = input.unwrap_or(own_tokens);
        Self { usage: Usage { input_tokens, ..Usage::default() }, is_certain: input.is_some() }
    }
}

fn tokens(value: &Value) -> Option<u32> {
    value.as_u64().filter(|tokens| *tokens <= TOKENS_MAX).and_then(|tokens| tokens.try_into().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OWN: Usage = Usage { input_tokens: 70, cached_tokens: 0, output_tokens: 7 };

    fn counted(said: &Value) -> (u32, u32, u32, bool) {
        let Counted { usage, is_certain } = Counted::of(Some(said), OWN);
        (usage.input_tokens, usage.cached_tokens, usage.output_tokens, is_certain)
    }

    #[test]
    fn what_the_provider_says_is_certain() {
        let said = json!({ "prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55 });
        assert_eq!(counted(&said), (50, 0, 5, true));
        let said = json!({
            "prompt_tokens": 50,
            "completion_tokens": 5,
            "prompt_tokens_details": { "cached_tokens": 20 },
        });
        assert_eq!(counted(&said), (50, 20, 5, true));
        let said =
            json!({ "prompt_tokens": 1, "completion_tokens": 0, "prompt_tokens_details": null });
        assert_eq!(counted(&said), (1, 0, 0, true));
    }

    #[test]
    fn what_cannot_be_is_counted_here_and_uncertain() {
        for wrong in [json!(-1), json!(1.5), json!("5"), json!(null), json!(100_000_001), json!([])]
        {
            let output = json!({ "prompt_tokens": 50, "completion_tokens": wrong });
            assert_eq!(counted(&output), (50, 0, 7, false), "{wrong}");
            let input = json!({ "prompt_tokens": wrong, "completion_tokens": 5 });
            assert_eq!(counted(&input), (70, 0, 5, false), "{wrong}");
        }
        for none in [json!({}), json!([]), json!("x"), json!(null)] {
            assert_eq!(counted(&none), (70, 0, 7, false), "{none}");
        }
        assert_eq!(Counted::of(None, OWN), Counted { usage: OWN, is_certain: false });
    }

    #[test]
    fn more_cached_than_read_is_wrong_and_nothing_is_taken_off() {
        for wrong in [json!(51), json!(-1), json!("1")] {
            let said = json!({
                "prompt_tokens": 50,
                "completion_tokens": 5,
                "prompt_tokens_details": { "cached_tokens": wrong },
            });
            assert_eq!(counted(&said), (50, 0, 5, false), "{wrong}");
        }
    }
}
