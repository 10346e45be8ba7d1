//! Models, prices and endpoints: what is declared, what is refused and why, and what outlives the server.

use std::sync::Arc;

use crate::calendar::Calendar;
use crate::catalog::{
    ANSWER_BYTES_MAX, CANDIDATES_MAX, Candidate, Endpoint, HEADERS_MAX, Header, Method, Model,
    PRICE_MAX, PRICE_VERSIONS_MAX, Price, PriceVersion, Protocol, Rates, Request, SURCHARGE_MAX,
    TOKENS_MAX,
};
use crate::cell::change::Snapshot;
use crate::cell::effect::Response;
use crate::cell::input::{Configure, Input, ReplyId};
use crate::cell::{Cell, Turn};
use crate::limiter::{Caller, Units};
use crate::money::Nano;
use crate::quota::Tool;
use crate::reject::{CandidateFault, Rejection};
use crate::time::{Span, Time};

use super::desk::{Desk, name, step, workflow};
use super::quota::window;

fn desk() -> Desk {
    let mut desk = Desk::new(workflow("flow", vec![step("work", &[])]));
    desk.declare(Configure::Tool(tool("provider", Some(endpoint()))));
    desk.declare(Configure::Price(price(vec![version(0)])));
    desk
}

pub(super) fn tool(tool: &str, endpoint: Option<Endpoint>) -> Tool {
    Tool { endpoint, ..Tool::new(name(tool), Vec::new()) }
}

fn endpoint() -> Endpoint {
    Endpoint {
        protocol: Protocol::Chat,
        url: "https://models.example/v1".into(),
        key: None,
        allow_private: false,
        timeout: Span::from_secs(60),
        answer_bytes_max: 1 << 20,
        surcharge_permille: 0,
    }
}

fn http(headers: usize) -> Protocol {
    let header: (Arc<str>, Header) = ("X-A".into(), Header::Text("b".into()));
    Protocol::Http(Request { method: Method::Post, headers: vec![header; headers], body: None })
}

fn rates(nano: u64) -> Rates {
    Rates { input: Nano(nano), cached: None, output: Nano(nano) }
}

fn version(from: u64) -> PriceVersion {
    let rates = rates(2_000_000_000);
    PriceVersion { from: Time(from), rates, long: None, context: None, output_max: None }
}

fn price(versions: Vec<PriceVersion>) -> Price {
    Price { name: name("gpt-5.5"), versions }
}

fn candidate(endpoint: &str, price: &str) -> Candidate {
    Candidate {
        endpoint: name(endpoint),
        model: "gpt-5.5".into(),
        price: name(price),
        tiers: Vec::new(),
    }
}

fn model(candidates: Vec<Candidate>) -> Model {
    Model { name: name("reasoner"), candidates }
}

fn refusal(desk: &mut Desk, configure: Configure) -> Rejection {
    match desk.ask(|reply| Input::Configure(reply, None, configure)) {
        Response::Rejected(rejection) => rejection,
        response => panic!("{response:?}"),
    }
}

fn out_of_range(desk: &mut Desk, configure: Configure) -> &'static str {
    match refusal(desk, configure) {
        Rejection::OutOfRange { field, .. } => field,
        rejection => panic!("{rejection:?}"),
    }
}

fn is_changed(desk: &mut Desk, configure: &Configure) -> bool {
    match desk.ask(|reply| Input::Configure(reply, None, configure.clone())) {
        Response::Configured { changed } => changed,
        response => panic!("{response:?}"),
    }
}

#[test]
fn models_prices_and_endpoints_outlive_the_server() {
    let mut desk = desk();
    let declared = [
        Configure::Tool(tool("provider", Some(endpoint()))),
        Configure::Price(price(vec![version(0), version(9)])),
        Configure::Model(model(vec![candidate("provider", "gpt-5.5")])),
    ];
    assert_eq!(declared.each_ref().map(|one| is_changed(&mut desk, one)), [false, true, true]);
    desk.restart();
    assert_eq!(declared.each_ref().map(|one| is_changed(&mut desk, one)), [false; 3]);
}

#[test]
fn what_a_candidate_names_is_there() {
    let mut desk = desk();
    desk.declare(Configure::Tool(tool("bureau", None)));
    let by_template = Endpoint { protocol: http(0), ..endpoint() };
    desk.declare(Configure::Tool(tool("http", Some(by_template))));
    let tiers = |tier: &str| vec![name("small"), name(tier)];
    let good = Candidate { tiers: tiers("large"), ..candidate("provider", "gpt-5.5") };
    let nobodys = Candidate { tiers: tiers("tiny"), ..good.clone() };
    for (bad, fault) in [
        (candidate("absent", "gpt-5.5"), CandidateFault::UnknownTool { tool: name("absent") }),
        (candidate("bureau", "gpt-5.5"), CandidateFault::NoChatEndpoint { tool: name("bureau") }),
        (candidate("http", "gpt-5.5"), CandidateFault::NoChatEndpoint { tool: name("http") }),
        (nobodys, CandidateFault::UnknownTier { tier: name("tiny") }),
        (candidate("provider", "none"), CandidateFault::UnknownPrice { price: name("none") }),
    ] {
        let model = model(vec![good.clone(), bad]);
        let rejection = refusal(&mut desk, Configure::Model(model));
        assert_eq!(rejection, Rejection::BadCandidate { at: 1, fault });
    }
}

#[test]
fn a_model_has_a_few_candidates() {
    let mut desk = desk();
    for count in [0, CANDIDATES_MAX + 1] {
        let model = model(vec![candidate("provider", "gpt-5.5"); count]);
        assert_eq!(out_of_range(&mut desk, Configure::Model(model)), "/candidates");
    }
}

#[test]
fn a_tool_that_models_name_remains_their_endpoint() {
    let mut desk = desk();
    desk.declare(Configure::Model(model(vec![candidate("provider", "gpt-5.5")])));
    let by_template = Endpoint { protocol: http(0), ..endpoint() };
    for other in [None, Some(by_template)] {
        let rejection = refusal(&mut desk, Configure::Tool(tool("provider", other)));
        assert_eq!(rejection, Rejection::EndpointInUse { model: name("reasoner") });
    }
    let elsewhere = Endpoint { url: "https://other.example/v1".into(), ..endpoint() };
    desk.declare(Configure::Tool(tool("provider", Some(elsewhere))));
    desk.declare(Configure::Tool(tool("other", Some(endpoint()))));
    desk.declare(Configure::Model(model(vec![candidate("other", "gpt-5.5")])));
    desk.declare(Configure::Tool(tool("provider", None)));
}

#[test]
fn versions_of_a_price_begin_one_after_the_other() {
    let mut desk = desk();
    for versions in
        [vec![version(0), version(7), version(7)], vec![version(3), version(8), version(4)]]
    {
        let rejection = refusal(&mut desk, Configure::Price(price(versions)));
        assert_eq!(rejection, Rejection::VersionOutOfOrder { at: 2 });
    }
    for count in [0, PRICE_VERSIONS_MAX as u64 + 1] {
        let price = price((0..count).map(version).collect());
        assert_eq!(out_of_range(&mut desk, Configure::Price(price)), "/versions");
    }
    let most = (0..PRICE_VERSIONS_MAX as u64).map(version).collect();
    desk.declare(Configure::Price(price(most)));
}

#[test]
fn prices_are_bounded() {
    let mut desk = desk();
    let dear = rates(PRICE_MAX.0 + 1);
    let cached = Rates { cached: Some(Nano(PRICE_MAX.0 + 1)), ..rates(1) };
    let output = Rates { output: Nano(PRICE_MAX.0 + 1), ..rates(1) };
    let own = |rates| PriceVersion { rates, ..version(0) };
    for (bad, field) in [
        (own(dear), "/versions/input"),
        (own(cached), "/versions/cached_input"),
        (own(output), "/versions/output"),
        (PriceVersion { long: Some((1, dear)), ..version(0) }, "/versions/input"),
        (PriceVersion { long: Some((0, rates(1))), ..version(0) }, "/versions/long/above"),
        (PriceVersion { context: Some(0), ..version(0) }, "/versions/context"),
        (PriceVersion { context: Some(TOKENS_MAX + 1), ..version(0) }, "/versions/context"),
        (PriceVersion { output_max: Some(TOKENS_MAX + 1), ..version(0) }, "/versions/output_max"),
    ] {
        assert_eq!(out_of_range(&mut desk, Configure::Price(price(vec![bad]))), field);
    }
    let most = own(rates(PRICE_MAX.0));
    let most = PriceVersion { long: Some((TOKENS_MAX, most.rates)), ..most };
    desk.declare(Configure::Price(price(vec![most])));
}

#[test]
fn endpoints_are_bounded() {
    let mut desk = desk();
    for (bad, field) in [
        (Endpoint { timeout: Span(999), ..endpoint() }, "/endpoint/timeout"),
        (Endpoint { timeout: Span::from_secs(3_601), ..endpoint() }, "/endpoint/timeout"),
        (Endpoint { answer_bytes_max: 0, ..endpoint() }, "/endpoint/answer_bytes_max"),
        (
            Endpoint { answer_bytes_max: ANSWER_BYTES_MAX + 1, ..endpoint() },
            "/endpoint/answer_bytes_max",
        ),
        (Endpoint { surcharge_permille: SURCHARGE_MAX + 1, ..endpoint() }, "/endpoint/surcharge"),
        (Endpoint { protocol: http(HEADERS_MAX + 1), ..endpoint() }, "/endpoint/request/headers"),
    ] {
        let tool = tool("provider", Some(bad));
        assert_eq!(out_of_range(&mut desk, Configure::Tool(tool)), field);
    }
    let most = Endpoint { protocol: http(HEADERS_MAX), ..endpoint() };
    desk.declare(Configure::Tool(tool("new", Some(most))));
}

#[test]
fn what_waits_at_a_tool_tries_again_when_the_catalog_changes() {
    let now = Time(5);
    let mut turn = Turn::default();
    let mut cell = Cell::load(now, 1, Snapshot::default(), &mut turn);
    let limited = |endpoint| Tool {
        endpoint: Some(endpoint),
        ..Tool::new(name("provider"), vec![window(1, Calendar::Month)])
    };
    cell.declare_tool(limited(endpoint()), &mut turn).unwrap();
    let caller = Caller { tenant: 7, tool: 0, quota: &[] };
    let taken = cell.limiter.take(now, &caller, Units::CALL).unwrap();
    let elsewhere = Endpoint { url: "https://other.example/v1".into(), ..endpoint() };
    let model = model(vec![candidate("provider", "gpt-5.5")]);
    for (what, change) in [
        ("a price", Configure::Price(price(vec![version(0)]))),
        ("a model", Configure::Model(model)),
        ("an endpoint", Configure::Tool(limited(elsewhere))),
    ] {
        assert!(cell.limiter.take(now, &caller, Units::CALL).is_err());
        assert!(cell.limiter.wake(now).is_empty(), "it waits for the window to turn");
        cell.configure(ReplyId(1), None, change, &mut turn);
        assert!(cell.limiter.wake(now).contains(&taken.wake()), "{what}");
    }
}
