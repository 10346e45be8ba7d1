//! How often a schema looks at one value of a payload.
//!
//! A validator follows references and branches as they are written, so a short schema can take for ever:
//! `allOf` of twice the same reference doubles the work, and does so again at each level of a schema that refers
//! to itself. This is found out once, when the schema is compiled: a visit count is computed for each depth of
//! payload, exactly but for which keys a payload has, where the worst is taken. A schema that visits a value at
//! the top too often is refused; one that grows with depth gets a bound on the depth of its payloads.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// Most visits of one value. Schemas that people write stay below 50.
const VISITS_MAX: u64 = 1_000;
/// Deepest payload that is read at all: the JSON parser's own bound.
const DEPTH_ALL: usize = 128;
/// Most steps of the computation, which takes milliseconds.
const WORK_MAX: usize = 2_000_000;

/// The deepest payload that the schema can be applied to; `None` if depth does not matter.
pub(super) fn depth_max(schema: &Json) -> Result<Option<usize>, String> {
    let graph = Graph::of(schema)?;
    let order = graph.order().ok_or("it refers to itself without descending into the value")?;
    let mut visits = graph.visits_at_once(&order);
    let mut work = 0;
    for depth in 0..=DEPTH_ALL {
        if visits[ROOT] > VISITS_MAX {
            let too_often = "its references and branches look at one value too often";
            return if depth <= 1 { Err(too_often.to_owned()) } else { Ok(Some(depth - 1)) };
        }
        let next =
            graph.visits_below(&order, &visits, &mut work).ok_or("it has too many branches")?;
        if next == visits {
            return Ok(None);
        }
        visits = next;
    }
    Ok(None)
}

/// How deep the lists and objects of a JSON text nest.
pub(super) fn depth_of(payload: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in payload {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

const ROOT: usize = 0;

/// The subschemas and which of them each applies.
#[derive(Default)]
struct Graph<'s> {
    nodes: Vec<Node<'s>>,
    /// Pointers and anchors, as references write them behind the `#`.
    places: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Node<'s> {
    /// Applied to the same value.
    in_place: Vec<usize>,
    /// Applied to one member.
    named: Vec<(&'s str, usize)>,
    /// Applied to members whatever their key.
    any: Vec<usize>,
    /// Looks at what the others have looked at once more.
    twice: bool,
}

impl<'s> Graph<'s> {
    fn of(schema: &'s Json) -> Result<Self, String> {
        let mut graph = Self::default();
        let mut references = Vec::new();
        let mut left = vec![(ROOT, String::new(), schema)];
        graph.place(String::new());
        while let Some((node, pointer, schema)) = left.pop() {
            if let Json::Object(keywords) = schema {
                graph.anchors(node, keywords)?;
                for (keyword, value) in keywords {
                    if matches!(keyword.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef") {
                        references.push((node, value.as_str().unwrap_or("")));
                    }
                    for (key, member, path) in members(keyword, value) {
                        let pointer = format!("{pointer}/{}{path}", escape(keyword));
                        let target = graph.place(pointer.clone());
                        graph.link(node, keyword, key, target);
                        left.push((target, pointer, member));
                    }
                }
            }
        }
        for (node, reference) in references {
            let target = reference
                .strip_prefix('#')
                .and_then(|fragment| graph.places.get(&percent_decoded(fragment)).copied())
                .ok_or_else(|| {
                    format!("there is nothing at {reference:?}; references begin with #")
                })?;
            graph.nodes[node].in_place.push(target);
        }
        Ok(graph)
    }

    fn place(&mut self, pointer: String) -> usize {
        self.nodes.push(Node::default());
        self.places.insert(pointer, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn anchors(&mut self, node: usize, keywords: &Map<String, Json>) -> Result<(), String> {
        if node != ROOT && keywords.contains_key("$id") {
            return Err("only the whole schema may have an $id".to_owned());
        }
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = keywords.get(keyword).and_then(Json::as_str) {
                self.places.insert(name.to_owned(), node);
            }
        }
        Ok(())
    }

    fn link(&mut self, node: usize, keyword: &str, key: &'s str, target: usize) {
        let node = &mut self.nodes[node];
        match keyword {
            "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" | "dependentSchemas"
            | "dependencies" => node.in_place.push(target),
            "properties" | "prefixItems" => node.named.push((key, target)),
            "unevaluatedItems" | "unevaluatedProperties" => {
                node.twice = true;
                node.any.push(target);
            }
            "$defs" | "definitions" => {}
            _ => node.any.push(target),
        }
    }

    /// The nodes, each behind those that it applies in place; `None` if these go round.
    fn order(&self) -> Option<Vec<usize>> {
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        let mut left: Vec<usize> = self.nodes.iter().map(|node| node.in_place.len()).collect();
        for (at, node) in self.nodes.iter().enumerate() {
            for target in &node.in_place {
                users[*target].push(at);
            }
        }
        let mut order: Vec<usize> = (0..left.len()).filter(|at| left[*at] == 0).collect();
        let mut done = 0;
        while let Some(at) = order.get(done).copied() {
            done += 1;
            for user in &users[at] {
                left[*user] -= 1;
                if left[*user] == 0 {
                    order.push(*user);
                }
            }
        }
        (order.len() == self.nodes.len()).then_some(order)
    }

    /// For each node the visits of the value that it is applied to.
    fn visits_at_once(&self, order: &[usize]) -> Vec<u64> {
        let mut visits = vec![0_u64; self.nodes.len()];
        for at in order {
            let node = &self.nodes[*at];
            let inner =
                node.in_place.iter().fold(1_u64, |sum, target| sum.saturating_add(visits[*target]));
            visits[*at] = if node.twice { inner.saturating_mul(2) } else { inner };
        }
        visits
    }

    /// For each node the most visits of a value one level further down than `visits` says; `None` if it takes
    /// too much work to find out.
    fn visits_below(&self, order: &[usize], visits: &[u64], work: &mut usize) -> Option<Vec<u64>> {
        let mut below = vec![0_u64; self.nodes.len()];
        let mut members: Vec<Members<'_>> = Vec::with_capacity(self.nodes.len());
        members.resize_with(self.nodes.len(), Members::default);
        for at in order {
            let node = &self.nodes[*at];
            let mut sums = Members::default();
            for target in &node.any {
                sums.any = sums.any.saturating_add(visits[*target]);
            }
            for (key, target) in &node.named {
                sums.add(key, visits[*target]);
            }
            for target in &node.in_place {
                let inner = &members[*target];
                sums.any = sums.any.saturating_add(inner.any);
                for (key, visits) in &inner.named {
                    sums.add(key, *visits);
                }
                *work += inner.named.len();
            }
            *work += node.any.len() + node.named.len() + 1;
            if *work > WORK_MAX {
                return None;
            }
            if node.twice {
                sums.any = sums.any.saturating_mul(2);
                sums.named.values_mut().for_each(|visits| *visits = visits.saturating_mul(2));
            }
            let most = sums.named.values().copied().max().unwrap_or(0);
            below[*at] = sums.any.saturating_add(most);
            members[*at] = sums;
        }
        Some(below)
    }
}

/// Visits of the members of one value, by their key.
#[derive(Default)]
struct Members<'s> {
    any: u64,
    named: BTreeMap<&'s str, u64>,
}

impl<'s> Members<'s> {
    fn add(&mut self, key: &'s str, visits: u64) {
        let sum = self.named.entry(key).or_default();
        *sum = sum.saturating_add(visits);
    }
}

/// The subschemas of a keyword: the member that each is for, itself, and its pointer within the keyword.
fn members<'s>(keyword: &str, value: &'s Json) -> Vec<(&'s str, &'s Json, String)> {
    match (keyword, value) {
        (
            "not"
            | "if"
            | "then"
            | "else"
            | "additionalProperties"
            | "items"
            | "additionalItems"
            | "contains"
            | "propertyNames"
            | "unevaluatedItems"
            | "unevaluatedProperties",
            Json::Object(_) | Json::Bool(_),
        ) => vec![("", value, String::new())],
        ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Json::Array(items)) => {
            items.iter().enumerate().map(|(at, item)| ("", item, format!("/{at}"))).collect()
        }
        (
            "properties" | "patternProperties" | "dependentSchemas" | "dependencies" | "$defs"
            | "definitions",
            Json::Object(object),
        ) => object
            .iter()
            .map(|(key, item)| (key.as_str(), item, format!("/{}", escape(key))))
            .collect(),
        _ => Vec::new(),
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The fragment of a reference as the text that it stands for.
fn percent_decoded(fragment: &str) -> String {
    let bytes = fragment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = fragment.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
