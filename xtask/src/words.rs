//! Reading source lines: words and comments.

/// Whether the word stands in the text by itself, not as a part of a longer one.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

/// A line of Rust without its comment.
pub(crate) fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::{code, has_word};

    #[test]
    fn a_part_of_a_longer_word_is_not_the_word() {
        assert!(has_word("use cel::Program;", "cel"));
        assert!(has_word("excel, cel", "cel"));
        assert!(!has_word("use cell::Cell; excel; cel_", "cel"));
    }

    #[test]
    fn a_comment_is_no_code() {
        assert_eq!(code("let a = 1; // b"), "let a = 1; ");
        assert_eq!(code("//! b"), "");
    }
}
