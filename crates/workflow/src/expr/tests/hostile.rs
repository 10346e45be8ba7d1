//! Expressions that are meant to exhaust the stack, the memory or the clock.

use super::{Fault, check_refused, compile, expect, value};

/// Runs on a stack much smaller than any thread of the server has.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(work).unwrap();
    thread.join().expect("the work ends without a panic");
}

#[test]
fn deep_texts_are_refused_before_the_parser_recurses() {
    on_a_small_stack(|| {
        for (open, close) in
            [("(", ")"), ("[", "]"), ("{'a': ", "}"), ("!(", ")"), ("size(", ")"), ("-(", ")")]
        {
            for (depth, closed) in [(10_000, true), (600, true), (600, false)] {
                let tail = if closed { close.repeat(depth) } else { String::new() };
                let text = format!("{}1{tail}", open.repeat(depth));
                assert!(compile(&text).is_err(), "{open} {depth} {closed}");
            }
        }
        for part in [
            "1 + ",
            "1 - ",
            "1 == ",
            "true ? 1 : ",
            "1 in ",
            "- ",
            "!",
            "input.",
            "1 ? ",
            "a(",
            ")",
            "]",
            "\"",
            "'",
            "a.b(c).",
            "[0]",
        ] {
            for times in [100, 150, 1_000] {
                let text = format!("{}1", part.repeat(times));
                let _ = compile(&text);
                let _ = compile(&format!("input{}", part.repeat(times)));
            }
        }
    });
}

#[test]
fn long_chains_are_refused_before_the_parser_recurses() {
    on_a_small_stack(|| {
        for part in [
            ".a", "+1", "[0]", "*1", "<1", ".a()", "?1:1", " in a", "-1", "%1", "==1", ".a[0]",
            "(1)", "{a:1}",
        ] {
            let text = format!("a{}", part.repeat(4_000 / part.len()));
            assert_eq!(
                compile(&text).unwrap_err()[0].message,
                "the expression is too deep",
                "{part}"
            );
        }
    });
}

#[test]
fn the_deepest_texts_that_pass_fit_a_small_stack() {
    on_a_small_stack(|| {
        let deep = format!("{}1{}", "(".repeat(32), ")".repeat(32));
        assert!(compile(&deep).is_ok());
        let lists = format!("{}1{}", "[".repeat(32), "]".repeat(32));
        assert!(value(&lists, "{}").is_ok());
        let fields = format!("input{}", ".a".repeat(35));
        assert!(compile(&fields).is_ok());
        let sums = vec!["1"; 38].join(" + ");
        assert_eq!(value(&sums, "{}").unwrap(), "38");
        let choices = format!("{}1", "false ? 0 : ".repeat(35));
        assert_eq!(value(&choices, "{}").unwrap(), "1");
        let both = vec!["true"; 300].join(" && ");
        assert_eq!(value(&both, "{}").unwrap(), "true");
    });
}

#[test]
fn every_short_text_of_tokens_is_answered_without_a_panic() {
    let tokens = [
        "input", ".", "a", "(", ")", "[", "]", "{", "}", ",", ":", "?", "1", "'s'", "!", "-", "+",
        "in", "has", "map", "`", "\\", "é",
    ];
    on_a_small_stack(move || {
        for first in tokens {
            for second in tokens {
                for third in tokens {
                    let _ = compile(&format!("{first}{second} {third}"));
                    let _ = compile(&format!("{first}{second}{third}{second}{first}"));
                }
            }
        }
    });
}

#[test]
fn caps_on_the_text_name_their_number() {
    let long = format!("'{}'", "a".repeat(5_000));
    let many = format!("[{}]", vec!["1"; 1_100].join(","));
    let loops = "[1].map(a, [1].map(b, [1].map(c, c)))";
    let terms = compile(&long).unwrap_err()[0].message.clone()
        + " / "
        + &compile(&many).unwrap_err()[0].message;
    expect!["the expression has 5002 bytes / the expression has 1101 terms"].assert_eq(&terms);
    check_refused(
        &[loops],
        &expect![[r#"
            [1].map(a, [1].map(b, [1].map(c, c)))
              at 26: loops are nested too deep; expected at most 2 loops inside one another [expression-too-large]
        "#]],
    );
}

/// A list of numbers as `input.list`.
fn numbers(count: usize) -> String {
    let items: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    format!("{{\"list\": [{}]}}", items.join(","))
}

#[test]
fn an_evaluation_ends_when_its_operations_are_used_up() {
    let input = numbers(3_000);
    for text in [
        "input.list.map(x, input.list.map(y, x * y))",
        "input.list.all(x, input.list.all(y, x != y || true))",
        "input.list.all(x, input == input)",
        "input.list.map(x, input.list + input.list)",
        "input.list.all(x, x in [-1] || !(-1 in input.list))",
        "input.list.exists(x, false || input.list.map(y, y) == [])",
    ] {
        assert_eq!(value(text, &input), Err(Fault::Spent), "{text}");
    }
    assert_eq!(
        value("input.list.map(x, x + 1).filter(x, x % 2 == 0).size()", &input).unwrap(),
        "1500"
    );
}

#[test]
fn growing_texts_and_results_are_bounded() {
    let input = format!(
        "{{\"text\": \"{}\", \"list\": [{}]}}",
        "a".repeat(100_000),
        vec!["1"; 5_000].join(",")
    );
    assert_eq!(value("input.list.map(x, input.text + input.text)", &input), Err(Fault::Spent));
    assert_eq!(value("input.list.map(x, input.text)", &input), Err(Fault::ResultTooLarge));
    assert_eq!(value("input.list.map(x, {'a': input})", &input), Err(Fault::ResultTooLarge));
    assert_eq!(
        value("input.list.all(x, input.text.matches('(a|b)*c') || true)", &input),
        Err(Fault::Spent)
    );
    let doubling =
        (0..9).fold("input.text".to_owned(), |text, _| format!("[{text}].map(x, x + x)[0]"));
    assert_eq!(value(&doubling, &input), Err(Fault::Spent));
}

#[test]
fn payloads_that_are_too_large_or_too_deep_are_faults() {
    let large = format!("{{\"a\": \"{}\"}}", "a".repeat(5 * 1024 * 1024));
    assert_eq!(value("input.a == ''", &large), Err(Fault::DataTooLarge));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(matches!(value("input == 1", &deep), Err(Fault::Payload { .. })));
    assert!(matches!(value("input == 1", "not json"), Err(Fault::Payload { .. })));
    assert!(value("true || input == 1", "not json").is_ok(), "a payload is parsed when it is read");
    assert!(matches!(value("input == 1 || true", "not json"), Err(Fault::Payload { .. })));
}
