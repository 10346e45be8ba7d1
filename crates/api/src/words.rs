//! What a reader of JSON expects, in the words of the API instead of those of the program.

/// The sentence for what `serde` says was expected: `u32` is "a whole number from 0 to 4294967295".
pub fn expected(text: &str) -> String {
    let whole = |max: u64| format!("a whole number from 0 to {max}");
    match text {
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" => whole(u64::MAX),
        "i64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        text if text.starts_with("struct ") => "an object".to_owned(),
        text => text.replace("string or map", "a word, or an object with one field"),
    }
}

/// What was found instead: "invalid type: string \"x\"" is "this is the text \"x\"".
pub fn found(text: &str) -> String {
    if let Some(word) = text.strip_prefix("unknown variant ") {
        // Of a query the reader says in the same breath what there is.
        return match word.split_once(", expected ") {
            Some((word, known)) => format!("{word} is not known; expected {known}"),
            None => format!("{word} is not known"),
        };
    }
    let kinds = [
        ("string ", "the text "),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", ""),
        ("sequence", "a list"),
        ("map", "an object"),
        ("null", "null"),
    ];
    let Some(value) =
        text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "))
    else {
        return text.to_owned();
    };
    for (kind, word) in kinds {
        if let Some(rest) = value.strip_prefix(kind) {
            return format!("this is {word}{}", rest.replace('`', ""));
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_program_become_words() {
        assert_eq!(expected("u32"), "a whole number from 0 to 4294967295");
        assert_eq!(expected("struct OrgSpec"), "an object");
        assert_eq!(expected("`weight` or `cap`"), "`weight` or `cap`");
        assert_eq!(found("invalid type: string \"x\""), "this is the text \"x\"");
        assert_eq!(found("invalid value: integer `-1`"), "this is the number -1");
        assert_eq!(found("invalid type: boolean `true`"), "this is true");
        assert_eq!(found("unknown variant `fast`"), "`fast` is not known");
        let query = found("unknown variant `foo`, expected one of `pending`, `failed`");
        assert_eq!(query, "`foo` is not known; expected one of `pending`, `failed`");
        assert_eq!(found("unknown field `x`"), "unknown field `x`");
    }
}
