//! How many tokens a text has, about.
//!
//! The truth is the provider's: each model cuts text in its own way. This count is for what must be known before (how
//! much money to hold) and for what a provider did not say (a stream that was cut). It is meant to be too high rather
//! than too low, and it is the same for all models.
//!
//! It is a sum over words and signs, by what vocabularies of byte pairs do with each kind. English has about 4.5
//! bytes to a token and code 3 to 4; a small letter counts a third of a token, a capital half of one, and a word at
//! least one. Digits are cut into threes by some models and singly by others; they count as single. Signs often stand
//! alone. Beyond ASCII a character of two bytes (accents, Cyrillic, Greek, Arabic) counts one token, one of three
//! (Chinese, Japanese, Hindi) two, one of four (emoji) four.
//!
//! Against the vocabularies `cl100k_base` and `o200k_base` this is 1.3 to 1.6 times the truth for English, code, JSON
//! and numbers, and up to five times for languages that newer vocabularies know well. Texts without words, such as
//! base64, have up to a fifth more tokens than this counts.

/// Of these a token has [`SHARES`].
const SMALL: u64 = 2;
const CAPITAL: u64 = 3;
const SPACE: u64 = 1;
const DIGIT: u64 = 6;
const SIGN: u64 = 4;
const TWO_BYTES: u64 = 6;
const THREE_BYTES: u64 = 12;
const FOUR_BYTES: u64 = 24;
const SHARES: u64 = 6;

/// What frames one message: its role and its marks. Known chat formats take four or five.
pub(crate) const MESSAGE_TOKENS: u32 = 8;
/// What frames a request: marks at both ends, and the lines that some models are always given.
pub(crate) const REQUEST_TOKENS: u32 = 32;
/// An image, a sound or a file within a message, whose size in tokens is not in its bytes.
pub(crate) const MEDIA_TOKENS: u32 = 4_096;

/// The estimate for one text.
pub(crate) fn tokens_of(text: &str) -> u32 {
    let mut count = Count::default();
    count.add(text);
    count.tokens()
}

/// The estimate for a text that comes in pieces. It is that of the whole text, however it is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Sum over all that has ended.
    shares: u64,
    /// Sum over the letters of the word that has not.
    word: u64,
}

impl Count {
    pub(crate) fn add(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                'a'..='z' => self.word = self.word.saturating_add(SMALL),
                'A'..='Z' => self.word = self.word.saturating_add(CAPITAL),
                _ => {
                    self.shares = self.all().saturating_add(shares(c));
                    self.word = 0;
                }
            }
        }
    }

    /// Rounded up.
    pub(crate) fn tokens(self) -> u32 {
        u32::try_from(self.all().div_ceil(SHARES)).unwrap_or(u32::MAX)
    }

    fn all(self) -> u64 {
        let word = if self.word == 0 { 0 } else { self.word.max(SHARES) };
        self.shares.saturating_add(word)
    }
}

/// Of a character that is no letter of ASCII.
fn shares(c: char) -> u64 {
    match c {
        ' ' | '\t' | '\n' | '\r' => SPACE,
        '0'..='9' => DIGIT,
        _ => match c.len_utf8() {
            1 => SIGN,
            2 => TWO_BYTES,
            3 => THREE_BYTES,
            _ => FOUR_BYTES,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_text_has_no_tokens_and_any_other_has_one() {
        assert_eq!(["", " ", "a", "ab", "abcd"].map(tokens_of), [0, 1, 1, 1, 2]);
    }

    #[test]
    fn a_text_in_pieces_counts_as_the_whole() {
        let text = "The applicant's income is 4,250 € (непроверенный, 未確認) 🙂";
        let mut count = Count::default();
        for c in text.chars() {
            count.add(c.encode_utf8(&mut [0; 4]));
        }
        assert_eq!(count.tokens(), tokens_of(text));
    }

    /// The larger of what `cl100k_base` and `o200k_base` make of each text.
    const TRUE: [(u32, &str); 11] = [
        (
            18,
            "The applicant's income is stable, and nothing in the credit report \
             speaks against the loan.",
        ),
        (16, "Hi. I am. Is it? A b c d e f g."),
        (13, "THE APPLICANT MUST PROVIDE PROOF OF INCOME."),
        (27, r#"{"score": 712, "limit": "25000.00", "flags": ["new_address", "thin_file"]}"#),
        (
            31,
            "fn tokens_of(text: &str) -> u32 {\n    let mut count = Count::default();\n    \
             count.add(text);\n    count.tokens()\n}\n",
        ),
        (22, "Das Jahreseinkommen der Antragstellerin beträgt zweiundvierzigtausend Euro."),
        (29, "Годовой доход заявителя составляет четыре миллиона рублей."),
        (36, "申请人的年收入为四万二千五百元，信用记录良好，建议批准贷款。"),
        (22, "7919.37, 15838.74, 23758.11, 31677.48"),
        (33, "3f1c9a52-8b7e-4d0a-9c61-2f5e7b8a1d44"),
        (10, "🙂🎉🏦💶"),
    ];

    #[test]
    fn the_estimate_is_above_the_truth_and_not_twice_as_high() {
        for (truth, text) in TRUE {
            let estimate = tokens_of(text);
            assert!((truth..=2 * truth).contains(&estimate), "{estimate} for {truth}: {text}");
        }
    }
}
