//! Small templates, and what becomes of them.

use serde_json::json;

use super::*;

fn inputs() -> Map<String, serde_json::Value> {
    let inputs = json!({
        "name": "Ann \"A\" <Lee>",
        "credit": { "score": 712, "flags": ["new", "thin"], "limit": 25000.5 },
        "none": null,
        "yes": true,
    });
    inputs.as_object().unwrap().clone()
}

fn check(source: &str, mode: Mode) -> Result<(), TemplateMistake> {
    Template::parse(source, mode).map(drop)
}

fn render(mode: Mode, source: &str) -> String {
    let template = match Template::parse(source, mode) {
        Ok(template) => template,
        Err(mistake) => return format!("mistake: {mistake}"),
    };
    template.render(&inputs()).unwrap_or_else(|error| format!("error: {error}"))
}

fn text(source: &str) -> String {
    render(Mode::Text, source)
}

#[test]
fn a_prompt_has_texts_as_they_are_and_the_rest_as_json() {
    assert_eq!(
        text("For {{ name }}: {{ credit }}"),
        concat!("For Ann \"A\" <Lee>: ", r#"{"flags":["new","thin"],"limit":25000.5,"score":712}"#)
    );
    assert_eq!(text("{{ none }} {{ yes }} {{ credit.limit }}"), "null true 25000.5");
    assert_eq!(text("{{ name | tojson }}"), r#""Ann \"A\" <Lee>""#);
}

#[test]
fn conditions_loops_and_filters_work() {
    let source = "{% if credit.score > 700 %}good{% else %}bad{% endif %}: \
                  {% for flag in credit.flags %}{{ loop.index }}={{ flag | upper }} {% endfor %}";
    assert_eq!(text(source), "good: 1=NEW 2=THIN ");
    assert_eq!(text("{{ credit.flags | join('+') }} {{ credit.flags | length }}"), "new+thin 2");
    assert_eq!(text("{% set n = credit.score + 1 %}{{ n }}"), "713");
    assert_eq!(text("a{{ 'b' if not yes }}c"), "ac");
    assert_eq!(text("{{ credit.nick | default('none') }}"), "none");
}

#[test]
fn a_name_that_is_not_given_is_named_with_what_is_there() {
    assert_eq!(text("{{ nam }}"), "error: `nam` is not given; there are credit, name, none, yes");
    assert_eq!(
        text("{{ credit.scor }}"),
        "error: `credit.scor` is not given; in `credit` are flags, limit, score"
    );
    assert_eq!(
        text("ok\n{% for flag in credit.flags %}{{ flag.x }}{% endfor %}"),
        "error: line 2: undefined value"
    );
    let template = Template::parse("{{ a }}", Mode::Text).unwrap();
    let error = template.render(&Map::new()).unwrap_err();
    assert_eq!(error.to_string(), "`a` is not given; there is nothing");
}

#[test]
fn the_names_that_a_template_needs_are_known_before() {
    let source = "{% for x in b %}{{ x }}{{ a.c }}{% endfor %}\
                  {% for i in range(3) %}{{ i }}{% endfor %}";
    let template = Template::parse(source, Mode::Text).unwrap();
    assert_eq!(template.names().iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn mistakes_have_their_line() {
    let line = |source| check(source, Mode::Text).map_err(|mistake| mistake.line);
    assert_eq!(line("fine {{ x }}"), Ok(()));
    assert_eq!(line("a\nb {{ x"), Err(2));
    assert_eq!(line("a\n\n{% if x %}"), Err(3));
    let mistake = check("a\n{% endfor %}", Mode::Text).unwrap_err();
    assert!(mistake.to_string().starts_with("line 2: syntax error: "), "{mistake}");
}

#[test]
fn no_way_leads_to_another_template() {
    for source in [
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% extends 'x' %}",
        "{% block x %}{% endblock %}",
        "{% macro x() %}{% endmacro %}",
    ] {
        assert!(check(source, Mode::Text).is_err(), "{source}");
    }
}

#[test]
fn nothing_turns_escaping_on_or_off() {
    assert!(text("{{ name | safe }}").starts_with("error: line 1: unknown filter"));
    assert!(text("{{ debug() }}").starts_with("error: "));
    let switched = "{% autoescape 'html' %}{{ name }}{% endautoescape %}";
    assert_eq!(text(switched), "Ann \"A\" <Lee>");
}

#[test]
fn in_json_each_value_is_one_value() {
    let json = |source| render(Mode::Json, source);
    assert_eq!(
        json(r#"{"n": {{ name }}, "c": {{ credit.flags }}, "x": {{ none }}}"#),
        r#"{"n": "Ann \"A\" <Lee>", "c": ["new","thin"], "x": null}"#
    );
    assert_eq!(
        json("[{{ name | tojson }}, {{ name | lower }}]"),
        r#"["Ann \"A\" <Lee>", "ann \"a\" <lee>"]"#
    );
    let quoted = json(r#"{"n": "{{ name }}"}"#);
    assert!(quoted.starts_with("error: the text is no JSON: "), "{quoted}");
}

#[test]
fn in_an_address_each_value_is_one_part() {
    let url = |source| render(Mode::Url, source);
    assert_eq!(
        url("/v1/{{ name }}?s={{ credit.score }}&y={{ yes }}"),
        "/v1/Ann%20%22A%22%20%3CLee%3E?s=712&y=true"
    );
    assert_eq!(
        url("/{{ 'a/b?c#d&e=é%2e' }}/{{ 'A-z_0.9~' }}"),
        "/a%2Fb%3Fc%23d%26e%3D%C3%A9%252e/A-z_0.9~"
    );
    assert_eq!(url("/{{ name | tojson }}"), "/%22Ann%20%5C%22A%5C%22%20%3CLee%3E%22");
    for (source, what) in [
        ("/{{ '..' }}/x", "`.` and `..` cannot"),
        ("/{{ '.' }}", "`.` and `..` cannot"),
        ("/{{ credit }}", "only a text, a number or a boolean"),
        ("/{{ none }}", "only a text, a number or a boolean"),
    ] {
        assert!(url(source).contains(what), "{source}: {}", url(source));
    }
}

#[test]
fn a_text_beyond_its_bound_is_refused() {
    let source = "{% for i in range(9000) %}{{ 'x' * 1000 }}{% endfor %}";
    assert_eq!(text(source), "error: the text is larger than 4194304 bytes");
}

#[test]
fn a_template_that_works_too_long_is_ended() {
    let loops = "{% for i in range(9000) %}{% for j in range(9000) %}{% endfor %}{% endfor %}";
    assert_eq!(text(loops), "error: line 1: the template works too long");
    for source in [
        "{{ ('x' * 99999999) | length }}",
        "{% set ns = namespace(x='x' * 1000) %}\
         {% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{{ '%999999999d' | format(1) }}",
        "{{ 'x' | indent(999999999, true) }}",
    ] {
        assert!(text(source).starts_with("error: "), "{source}");
    }
}

#[test]
fn deep_expressions_are_a_mistake_and_no_crash() {
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(check(&deep, Mode::Text).is_err());
    let deep = format!("{}{}", "{% if yes %}".repeat(100_000), "{% endif %}".repeat(100_000));
    assert!(check(&deep, Mode::Text).is_err());
}
