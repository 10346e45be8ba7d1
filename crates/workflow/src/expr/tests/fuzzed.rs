//! Expressions and data that nobody would write: compiled or refused with the place, and computed within the budget.

use std::collections::BTreeSet;

use fairlane_fuzz::Target;
use serde_json::Value as Json;

use super::super::term::Compiled;
use super::super::{OPERATIONS_MAX, Path, RESULT_BYTES_MAX, TEXT_BYTES_MAX};
use super::oracle::second_opinion_on;
use super::*;

/// Between an expression and what it reads as `input`.
const SPLIT: &str = "\n---\n";
/// The second opinion has no budget of its own: what took us more is not asked of it.
const ASKED_MAX: u64 = 5_000;

fn seeds() -> Vec<String> {
    let texts = [
        "input.amount > 1000 && input.name != 'Bob'",
        "steps.credit.output.score >= 600 || steps.skipped.status == 'skipped'",
        "input.items.filter(x, x.price > 15).map(x, x.id)",
        "input.tags.exists(t, t == 'b') ? 'yes' : 'no'",
        "input.items.all(x, has(x.price) && x.price / 2 > 1)",
        "{'sum': input.amount + 1, 'list': [1, 2u, 3.5, null], 'in': 'a' in input.tags}",
        "timestamp(input.due) - duration('1h30m') < timestamp('2026-03-01T12:00:00Z')",
        "size(input.tags) * 2 - int('7') % 3 == -(-1)",
        "input.name.matches('^A[a-z]{1,3}$') || input.name.startsWith(\"A\")",
        "string(input.rate) + r'raw\\n' + '''long ' text'''",
        "[1, 2, 3].map(x, x > 1, [x].map(y, y * x)).size()",
        "item.n + index == 7 && tenant.attributes.limit < 1000 && run.id != ''",
        "input.nested.x.y[0] in [7, 8] && !(input.none == null)",
        "[input.tags].map(x, x + x)[0].map(x, x + x).exists_one(x, x == 'aa')",
        "9223372036854775807 - 1 + int(1.5) == 0 && 18446744073709551615u > 1u",
    ];
    let path =
        format!("input.nested.x{SPLIT}{{\"nested\": {{\"x\": 1, \"\\u0078\": [2] }}, \"é\": 1e2}}");
    texts.into_iter().map(str::to_owned).chain([path]).collect()
}

const WORDS: &[&str] = &[
    "input",
    "steps.credit.output",
    "steps.skipped.output",
    "tenant",
    "item",
    "index",
    "run.id",
    "input.items",
    "input.tags",
    "input.nested",
    "has(",
    "size(",
    "int(",
    "uint(",
    "double(",
    "string(",
    "bool(",
    "timestamp(",
    "duration(",
    ".map(x, ",
    ".filter(x, ",
    ".all(x, ",
    ".exists(x, ",
    ".exists_one(x, ",
    ".matches('",
    ".contains('",
    "in",
    "&&",
    "||",
    "==",
    "!=",
    "<=",
    "? 1 : 2",
    "null",
    "true",
    "false",
    "'2026-01-01T00:00:00Z'",
    "'-3660d'",
    "1e308",
    "\\u00e9",
    "\"\"\"",
    "'''",
    "r'",
    "b'",
    "//",
    "0x1F",
    "1u",
    SPLIT,
];

#[test]
fn every_expression_is_refused_with_the_place_or_computed_within_its_budget() {
    Target::new("expression", 6_000).seeds(seeds()).words(WORDS.iter().copied()).run(|bytes| {
        let whole = String::from_utf8_lossy(bytes);
        let (text, input) = whole.split_once(SPLIT).unwrap_or((&whole, INPUT));
        match compile(text) {
            Err(wrongs) => are_in_the_text(text, &wrongs),
            Ok(compiled) => is_computed(text, &compiled, input),
        }
    });
}

fn are_in_the_text(text: &str, wrongs: &[super::super::Wrong]) -> String {
    assert!(!wrongs.is_empty(), "what is refused has a reason");
    let mut met = BTreeSet::new();
    for wrong in wrongs {
        assert!(text.is_char_boundary(wrong.offset), "not in the text: {wrong:?}");
        assert!(!wrong.message.is_empty() && !wrong.expected.is_empty(), "{wrong:?}");
        met.insert(wrong.code.as_str());
    }
    format!("{met:?}")
}

fn is_computed(text: &str, compiled: &Compiled, input: &str) -> String {
    assert!(text.len() <= TEXT_BYTES_MAX, "{} bytes are compiled", text.len());
    assert!(compiled.spots.iter().all(|spot| text.is_char_boundary(spot.offset)), "spots");
    let (outcome, spent) = computed(compiled, input, OPERATIONS_MAX);
    // Each operation that is counted is one that it needs: so much suffices, and one less does not.
    assert_eq!(computed(compiled, input, spent), (outcome.clone(), spent), "with what it needs");
    if spent > 0 {
        let (short, _) = computed(compiled, input, spent - 1);
        assert_eq!(short, Err(Fault::Spent), "with one operation less");
    }
    if let Some(path) = Path::parse(text) {
        is_the_same_on_bytes(&path, input, &outcome);
    }
    let Ok(json) = &outcome else {
        return format!("{:?}", outcome.map_err(|fault| std::mem::discriminant(&fault)));
    };
    let ours: Json = serde_json::from_str(json).expect("a value is JSON");
    if spent <= ASKED_MAX
        && let Some(theirs) = second_opinion_on(text, input)
    {
        assert_eq!(ours, theirs, "the interpreter of the cel crate says something else");
    }
    let size = json.len().checked_ilog2().unwrap_or(0);
    format!(
        "{} {size} {} {:?}",
        ours.is_object(),
        spent.checked_ilog2().unwrap_or(0),
        compiled.refs
    )
}

/// The value as JSON, or the fault; and the operations that it took.
fn computed(compiled: &Compiled, input: &str, operations: u64) -> (Result<String, Fault>, u64) {
    with_scope(input, |scope| {
        let (session, budget) = (Session::new(scope), Budget::of(operations));
        let mut out = Vec::new();
        let value = run(compiled, &session, &budget);
        let spent = operations - budget.left();
        let outcome = value.and_then(|value| write(&mut out, &value));
        let bytes_max = RESULT_BYTES_MAX + input.len().max(INPUT.len());
        assert!(out.len() <= bytes_max, "{} bytes of result", out.len());
        (outcome.map(|()| String::from_utf8(out).expect("JSON is text")), spent)
    })
}

/// A plain path is looked up on the bytes, without compiling: it finds the same.
fn is_the_same_on_bytes(path: &Path<'_>, input: &str, outcome: &Result<String, Fault>) {
    let found = with_scope(input, |scope| {
        let found = path.find(scope.payload(&path.root));
        found.map(|bytes| serde_json::from_slice::<Json>(bytes).ok())
    });
    // What is no JSON at all never comes so far: it was checked when it came in.
    if matches!(outcome, Err(Fault::Payload { .. })) {
        return;
    }
    let computed = outcome.as_ref().map(|json| serde_json::from_str::<Json>(json).ok());
    assert_eq!(found.ok(), computed.ok(), "on the bytes, and computed");
}
