//! What tells answers apart, and what is no difference.

use super::*;

fn answer(status: u16, header: &str, body: &str) -> Answer {
    let headers = BTreeMap::from([("x".to_owned(), header.to_owned())]);
    Answer { status, headers, body: body.to_owned() }
}

#[test]
fn a_twin_has_the_form_of_what_it_is_the_twin_of_and_stands_beside_it() {
    let mut random = Random::new(1);
    for value in [
        "0199d2a4-1f2e-7c3b-8a4d-0123456789ab",
        "conformance-tenant-a-0011aabb",
        "0.0199d2a4-1f2e-7c3b-8a4d-0123456789ab",
        "0123456789abcdef",
    ] {
        let twin = twin(value, &mut random);
        assert_eq!(
            (twin.len(), &twin[..value.len() - 8]),
            (value.len(), &value[..value.len() - 8])
        );
        assert_ne!(twin, value);
    }
    let lease = "conformance-a-0011aabb.0199d2a4-1f2e-7c3b-8a4d-0123456789ab.0.-1.42";
    let other = twin(lease, &mut random);
    assert!(other.starts_with("conformance-a-0011aabb.0199d2a4-1f2e-7c3b-8a4d-0123"), "{other}");
    assert!(other.ends_with(".0.-1.42") && other != lease, "{other}");
}

#[test]
fn answers_differ_by_status_by_a_header_and_by_one_letter_of_the_body() {
    let one = answer(404, "y", "no run RUN");
    assert_eq!(difference(&one, &one.clone()), None);
    for (other, said) in [
        (answer(403, "y", "no run RUN"), "the status is 404 and 403"),
        (answer(404, "z", "no run RUN"), "the header x is `y` and `z`"),
        (Answer { headers: BTreeMap::new(), ..one.clone() }, "the header x is `y` and absent"),
        (answer(404, "y", "no run RUN."), "the bodies differ"),
    ] {
        assert_eq!(difference(&one, &other).as_deref(), Some(said));
    }
}

#[test]
fn what_was_asked_for_is_no_difference_and_all_else_is() {
    let [foreign, missing] =
        ["aaaa0000", "aaaa1111"].map(|id| answer(404, id, &format!("no {id}!")));
    let masked_as = |one: &Answer, id: &str| masked(one, id, false);
    assert_eq!(masked_as(&foreign, "aaaa0000"), masked_as(&missing, "aaaa1111"));
    let chatty = answer(404, "aaaa0000", "no aaaa0000! it is of aaaa2222");
    assert_ne!(masked_as(&chatty, "aaaa0000"), masked_as(&missing, "aaaa1111"));
}

#[test]
fn new_ids_and_times_are_left_out_only_where_something_new_is_made() {
    let of =
        |id: &str, at: &str| answer(201, "", &format!(r#"{{"run":"{id}","at":"{at}","n":17}}"#));
    let one = of("0199d2a4-1f2e-7c3b-8a4d-0123456789ab", "2026-01-31T09:30:00.000000Z");
    let other = of("0199d2a4-1f2e-7c3b-8a4d-0123456789ff", "2026-01-31T09:30:00.000001Z");
    assert_ne!(masked(&one, "k", false), masked(&other, "k", false));
    assert_eq!(masked(&one, "k", true), masked(&other, "k", true));
    assert_eq!(masked(&one, "k", true).body, r#"{"run":"{new}","at":"{new}","n":17}"#);
}

#[test]
fn a_word_of_somebody_else_is_a_leak_unless_the_request_had_it() {
    let request = Request {
        method: Method::GET,
        target: "/v1/tenants/theirs".to_owned(),
        headers: Vec::new(),
        body: None,
    };
    let words = ["theirs".to_owned(), "secret".to_owned()];
    assert_eq!(leaked(&words, &request, &answer(404, "", "no tenant theirs")), None);
    assert_eq!(leaked(&words, &request, &answer(404, "", "a secret")), Some("secret"));
    assert_eq!(leaked(&words, &request, &answer(404, "secret", "")), Some("secret"));
}
