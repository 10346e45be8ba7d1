//! From the CEL parser's tree to a [`Term`]: names, functions and caps are checked on the way.
//!
//! The CEL parser is given no macros, so that loops arrive as the calls that were written.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};
use fairlane_core::id::StepName;

use super::term::{Compiled, Function, Loop, LoopKind, Operator, Source, Spot, Term};
use super::{DEPTH_MAX, LOOPS_MAX, PATTERN_BYTES_MAX, Refs, TERMS_MAX, Wrong};
use crate::mistake::{Code, nearest};
use crate::scope::{STATUSES, TENANT_FIELDS};
use crate::tree::quote;

/// What an expression may begin with, for messages.
const ROOTS: &str = "input, steps.NAME.output, steps.NAME.status, tenant, run.id, item or index";

pub(super) fn compile(text: &str) -> Result<Compiled, Vec<Wrong>> {
    // The parser is not ours: a panic in it is a text that cannot be read, and must not end the process.
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        let environment = cel::Env::default().with_optional_support(false);
        environment.parser().error_recovery_limit(1).parse_with_source_info(text)
    }));
    let (tree, places) = match parsed {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(errors)) => return Err(syntax(text, &errors)),
        Err(_) => return Err(vec![unreadable(0, "the expression cannot be read")]),
    };
    let mut lowering = Lowering {
        places: &places,
        text,
        wrongs: Vec::new(),
        never: Vec::new(),
        variables: Vec::new(),
        steps: Vec::new(),
        statuses: BTreeSet::new(),
        outputs: BTreeSet::new(),
        refs: Refs::default(),
        spots: Vec::new(),
        terms: 0,
    };
    let term = lowering.term(&tree, 0);
    if lowering.terms > TERMS_MAX {
        lowering.wrong_at(
            0,
            Code::ExpressionTooLarge,
            format!("the expression has {} terms", lowering.terms),
            format!("at most {TERMS_MAX}"),
        );
    }
    if lowering.wrongs.is_empty() { Ok(lowering.finish(term)) } else { Err(lowering.wrongs) }
}

/// The parser's first error: those after it are mostly its consequences.
fn syntax(text: &str, errors: &cel::ParseErrors) -> Vec<Wrong> {
    let Some(error) = errors.errors.first() else {
        return vec![unreadable(0, "the expression cannot be read")];
    };
    let (line, column) = error.pos;
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let offset =
        text[start..].char_indices().nth(column - 1).map_or(text.len(), |(at, _)| start + at);
    let message =
        error.msg.trim_start_matches("Syntax error: ").split(" expecting").next().unwrap_or("");
    if message.ends_with("'<EOF>'") {
        return vec![unreadable(offset, "the expression ends too early")];
    }
    vec![unreadable(offset, &format!("the expression cannot be read: {message}"))]
}

fn unreadable(offset: usize, message: &str) -> Wrong {
    Wrong {
        offset,
        code: Code::Expression,
        message: message.to_owned(),
        expected:
            "an expression of CEL such as input.amount > 1000; a text is written '\"in quotes\"'"
                .to_owned(),
    }
}

struct Lowering<'t> {
    places: &'t cel::common::ast::SourceInfo,
    text: &'t str,
    wrongs: Vec<Wrong>,
    never: Vec<Wrong>,
    /// Variables of the enclosing loops.
    variables: Vec<String>,
    steps: Vec<StepName>,
    outputs: BTreeSet<StepName>,
    statuses: BTreeSet<StepName>,
    refs: Refs,
    spots: Vec<Spot>,
    terms: usize,
}

impl Lowering<'_> {
    fn finish(self, term: Term) -> Compiled {
        let refs = Refs {
            steps: self.outputs.into_iter().collect(),
            statuses: self.statuses.into_iter().collect(),
            ..self.refs
        };
        Compiled { term, steps: self.steps, refs, spots: self.spots, never: self.never }
    }

    fn term(&mut self, tree: &IdedExpr, depth: usize) -> Term {
        self.terms += 1;
        if depth == DEPTH_MAX {
            let expected = format!("at most {DEPTH_MAX} terms inside one another");
            return self.wrong(
                tree,
                Code::ExpressionTooLarge,
                "the expression is too deep",
                expected,
            );
        }
        match &tree.expr {
            Expr::Literal(literal) => self.literal(tree, literal),
            Expr::Ident(name) => self.name(tree, name),
            Expr::Select(select) => self.select(tree, select, depth),
            Expr::Call(call) => self.call(tree, call, depth),
            Expr::List(list) => Term::List(self.all(&list.elements, depth)),
            Expr::Map(map) => {
                let mut pairs = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(pair) = &entry.expr {
                        let key = self.term(&pair.key, depth + 1);
                        pairs.push((key, self.term(&pair.value, depth + 1)));
                    }
                }
                Term::Object(pairs)
            }
            Expr::Struct(_) => self.wrong(
                tree,
                Code::Expression,
                "messages cannot be made",
                "an object such as {\"key\": value}",
            ),
            Expr::Comprehension(_) | Expr::Unspecified => {
                self.wrong(tree, Code::Expression, "a part of the expression is missing", "a value")
            }
        }
    }

    fn all(&mut self, trees: &[IdedExpr], depth: usize) -> Vec<Term> {
        trees.iter().map(|tree| self.term(tree, depth + 1)).collect()
    }

    fn literal(&mut self, tree: &IdedExpr, literal: &LiteralValue) -> Term {
        match literal {
            LiteralValue::Null => Term::Null,
            LiteralValue::Boolean(value) => Term::Bool(*value.inner()),
            LiteralValue::Int(value) => Term::Int(*value.inner()),
            LiteralValue::UInt(value) => Term::Uint(*value.inner()),
            LiteralValue::Double(value) => Term::Double(*value.inner()),
            LiteralValue::String(text) => Term::Text(text.inner().to_owned()),
            LiteralValue::Bytes(_) => {
                self.wrong(tree, Code::Expression, "bytes cannot be used", "a text in quotes")
            }
        }
    }

    fn name(&mut self, tree: &IdedExpr, name: &str) -> Term {
        if let Some(slot) = self.variables.iter().rposition(|variable| variable == name) {
            return Term::Variable(slot);
        }
        match name {
            "input" => {
                self.refs.input = true;
                Term::Root(Source::Input)
            }
            "tenant" => {
                self.refs.tenant = true;
                Term::Root(Source::Tenant)
            }
            "item" | "index" => {
                self.refs.item = true;
                let offset = self.offset(tree);
                self.spots.push(Spot { offset, step: None });
                Term::Root(if name == "item" { Source::Item } else { Source::Index })
            }
            "steps" => self.wrong(
                tree,
                Code::UnknownVariable,
                "steps cannot be used as a whole",
                "steps.NAME.output or steps.NAME.status",
            ),
            "run" => {
                self.wrong(tree, Code::UnknownVariable, "run cannot be used as a whole", "run.id")
            }
            _ => self.unknown_name(tree, name),
        }
    }

    fn unknown_name(&mut self, tree: &IdedExpr, name: &str) -> Term {
        let known = ["input", "steps", "tenant", "run", "item", "index"];
        let candidates = known.iter().copied().chain(self.variables.iter().map(String::as_str));
        let expected = match nearest(name, candidates) {
            Some(meant) => format!("{meant} (did you mean that?), or another of {ROOTS}"),
            None => format!("{ROOTS}; a text is written in quotes, as in '\"{name}\"'"),
        };
        self.wrong(tree, Code::UnknownVariable, format!("there is no variable {name}"), expected)
    }

    fn select(&mut self, tree: &IdedExpr, select: &SelectExpr, depth: usize) -> Term {
        if let Some(step) = self.step_of(&select.operand) {
            return self.step_field(tree, &select.operand, step, &select.field);
        }
        match self.root_of(&select.operand) {
            Some("steps") => {
                let field = &select.field;
                return self.wrong(
                    tree,
                    Code::UnknownVariable,
                    format!("steps.{field} cannot be used as a whole"),
                    format!("steps.{field}.output or steps.{field}.status"),
                );
            }
            Some("run") if select.field == "id" => {
                self.refs.run = true;
                return Term::Root(Source::Run);
            }
            Some(root @ ("run" | "tenant")) => {
                if let Some(term) = self.fixed_field(tree, root, &select.field) {
                    return term;
                }
            }
            _ => {}
        }
        Term::Field(Box::new(self.term(&select.operand, depth + 1)), select.field.clone())
    }

    /// The mistake of a field that the root does not have.
    fn fixed_field(&mut self, tree: &IdedExpr, root: &str, field: &str) -> Option<Term> {
        let fields: &[&str] = if root == "run" { &["id"] } else { &TENANT_FIELDS };
        if fields.contains(&field) {
            return None;
        }
        let expected = match nearest(field, fields.iter().copied()) {
            Some(meant) => format!("{root}.{meant} (did you mean that?)"),
            None => format!("one of {}", fields.join(", ")),
        };
        let message = format!("{root} has no field {field}");
        Some(self.wrong(tree, Code::UnknownVariable, message, expected))
    }

    /// The name of a step, if this is `steps.NAME`.
    fn step_of<'e>(&self, tree: &'e IdedExpr) -> Option<&'e str> {
        match &tree.expr {
            Expr::Select(select) if self.root_of(&select.operand) == Some("steps") => {
                Some(&select.field)
            }
            _ => None,
        }
    }

    /// The name, if this is a name that no loop has taken.
    fn root_of<'e>(&self, tree: &'e IdedExpr) -> Option<&'e str> {
        match &tree.expr {
            Expr::Ident(name) if !self.variables.contains(name) => Some(name),
            _ => None,
        }
    }

    fn step_field(&mut self, tree: &IdedExpr, step: &IdedExpr, name: &str, field: &str) -> Term {
        if field != "output" && field != "status" {
            let expected = format!("steps.{name}.output or steps.{name}.status");
            let message = format!("a step has no field {field}");
            return self.wrong(tree, Code::UnknownVariable, message, expected);
        }
        let Ok(step_name) = StepName::parse(name) else {
            let message = format!("{} cannot be a step's name", quote(name));
            return self.wrong(tree, Code::UnknownStep, message, "a name of letters, digits and _");
        };
        // The place of `steps.NAME` is its dot; the name begins behind it.
        let offset = (self.offset(step) + 1).min(self.text.len());
        self.spots.push(Spot { offset, step: Some(step_name.clone()) });
        let slot = self.steps.iter().position(|known| *known == step_name).unwrap_or_else(|| {
            self.steps.push(step_name.clone());
            self.steps.len() - 1
        });
        if field == "output" {
            self.outputs.insert(step_name);
            Term::Root(Source::Output(slot))
        } else {
            self.statuses.insert(step_name);
            Term::Root(Source::Status(slot))
        }
    }

    fn call(&mut self, tree: &IdedExpr, call: &CallExpr, depth: usize) -> Term {
        if let Some(kind) = loop_kind(call) {
            return self.loop_over(tree, call, kind, depth);
        }
        match (call.func_name.as_str(), &call.target, call.args.as_slice()) {
            (operators::CONDITIONAL, None, [a, b, c]) => Term::Choose(Box::new([
                self.term(a, depth + 1),
                self.term(b, depth + 1),
                self.term(c, depth + 1),
            ])),
            (operators::LOGICAL_AND, None, [a, b]) => Term::And(Box::new(self.pair(a, b, depth))),
            (operators::LOGICAL_OR, None, [a, b]) => Term::Or(Box::new(self.pair(a, b, depth))),
            (operators::LOGICAL_NOT, None, [a]) => Term::Not(Box::new(self.term(a, depth + 1))),
            (operators::NEGATE, None, [a]) => Term::Negate(Box::new(self.term(a, depth + 1))),
            (operators::INDEX, None, [a, b]) => {
                let [of, index] = self.pair(a, b, depth);
                Term::Index(Box::new(of), Box::new(index))
            }
            ("has", None, [a]) => self.has(tree, a, depth),
            ("matches", Some(of), [pattern]) => self.matches(of, pattern, depth),
            ("matches", None, [of, pattern]) => self.matches(of, pattern, depth),
            (name, None, [a, b]) if operator(name).is_some() => {
                let pair = self.pair(a, b, depth);
                operator(name).map_or(Term::Null, |operator| {
                    self.check_status(operator, [a, b], &pair);
                    Term::Binary(operator, Box::new(pair))
                })
            }
            _ => self.function(tree, call, depth),
        }
    }

    /// Notes a comparison of a status with a text that no status is.
    fn check_status(&mut self, operator: Operator, trees: [&IdedExpr; 2], pair: &[Term; 2]) {
        match (operator, pair) {
            (
                Operator::Equal | Operator::NotEqual,
                [Term::Root(Source::Status(_)), Term::Text(text)],
            ) => self.check_word(trees[1], text),
            (
                Operator::Equal | Operator::NotEqual,
                [Term::Text(text), Term::Root(Source::Status(_))],
            ) => self.check_word(trees[0], text),
            (Operator::In, [Term::Root(Source::Status(_)), Term::List(items)]) => {
                let Expr::List(list) = &trees[1].expr else { return };
                for (tree, item) in list.elements.iter().zip(items) {
                    if let Term::Text(text) = item {
                        self.check_word(tree, text);
                    }
                }
            }
            _ => {}
        }
    }

    fn check_word(&mut self, tree: &IdedExpr, text: &str) {
        if STATUSES.contains(&text) {
            return;
        }
        let expected = match nearest(text, STATUSES) {
            Some(meant) => format!("{meant} (did you mean that?)"),
            None => format!("one of {}", STATUSES.join(", ")),
        };
        self.never.push(Wrong {
            offset: self.offset(tree),
            code: Code::OutOfRange,
            message: format!("the status of a step is never {}", quote(text)),
            expected,
        });
    }

    fn pair(&mut self, a: &IdedExpr, b: &IdedExpr, depth: usize) -> [Term; 2] {
        [self.term(a, depth + 1), self.term(b, depth + 1)]
    }

    fn function(&mut self, tree: &IdedExpr, call: &CallExpr, depth: usize) -> Term {
        let name = call.func_name.as_str();
        let count = call.args.len() + usize::from(call.target.is_some());
        let function = Function::find(name, call.target.is_some(), count);
        if function.is_none() && Function::NAMES.contains(&name) {
            let message = format!("{name} is not called like this");
            return self.wrong(tree, Code::UnknownFunction, message, usage(name));
        }
        let mut arguments = Vec::with_capacity(count);
        if let Some(target) = &call.target {
            arguments.push(self.term(target, depth + 1));
        }
        arguments.extend(self.all(&call.args, depth));
        if let Some(function) = function {
            return Term::Call(function, arguments);
        }
        let expected = match nearest(name, Function::NAMES.iter().copied()) {
            Some(meant) => format!("{meant} (did you mean that?)"),
            None => format!("one of {}", Function::NAMES.join(", ")),
        };
        self.wrong(tree, Code::UnknownFunction, format!("there is no function {name}"), expected)
    }

    fn has(&mut self, tree: &IdedExpr, argument: &IdedExpr, depth: usize) -> Term {
        let Expr::Select(select) = &argument.expr else {
            return self.wrong(tree, Code::Expression, "has() tests a field", "has(input.field)");
        };
        let fixed = self.step_of(&select.operand).is_some()
            || matches!(self.root_of(&select.operand), Some("steps" | "run"));
        if fixed {
            // The output of a step that was skipped is null, and so is not there.
            let root = self.select(argument, select, depth);
            return Term::Binary(Operator::NotEqual, Box::new([root, Term::Null]));
        }
        if self.root_of(&select.operand) == Some("tenant")
            && let Some(wrong) = self.fixed_field(argument, "tenant", &select.field)
        {
            return wrong;
        }
        Term::Has(Box::new(self.term(&select.operand, depth + 1)), select.field.clone())
    }

    fn matches(&mut self, of: &IdedExpr, pattern: &IdedExpr, depth: usize) -> Term {
        /// Compiled size of a pattern: refuses counted repetitions that unfold into a large automaton.
        const COMPILED_BYTES_MAX: usize = 256 * 1024;
        let of = self.term(of, depth + 1);
        let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
            let message = "the pattern of matches() is not a text in quotes";
            return self.wrong(
                pattern,
                Code::Expression,
                message,
                "a literal such as '^[A-Z]{2}$'",
            );
        };
        let text = text.inner();
        if text.len() > PATTERN_BYTES_MAX {
            let message = format!("the pattern has {} bytes", text.len());
            let expected = format!("at most {PATTERN_BYTES_MAX}");
            return self.wrong(pattern, Code::ExpressionTooLarge, message, expected);
        }
        match regex::RegexBuilder::new(text)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build()
        {
            Ok(regex) => Term::Matches(Box::new(of), Box::new(regex)),
            Err(error) => {
                let detail = error.to_string();
                let detail = detail.lines().last().unwrap_or("").trim_start_matches("error: ");
                let message = format!("the pattern {} cannot be used: {detail}", quote(text));
                self.wrong(
                    pattern,
                    Code::Expression,
                    message,
                    "a regular expression in the syntax of RE2",
                )
            }
        }
    }

    fn loop_over(
        &mut self,
        tree: &IdedExpr,
        call: &CallExpr,
        kind: LoopKind,
        depth: usize,
    ) -> Term {
        let (Some(target), [variable, rest @ ..]) = (&call.target, call.args.as_slice()) else {
            return self.wrong(
                tree,
                Code::UnknownFunction,
                "a loop is called on a list",
                usage("map"),
            );
        };
        let over = self.term(target, depth + 1);
        let Expr::Ident(variable) = &variable.expr else {
            let message = format!("the first argument of {}() is not a name", call.func_name);
            return self.wrong(variable, Code::Expression, message, usage("map"));
        };
        if self.variables.len() == LOOPS_MAX {
            let expected = format!("at most {LOOPS_MAX} loops inside one another");
            return self.wrong(
                tree,
                Code::ExpressionTooLarge,
                "loops are nested too deep",
                expected,
            );
        }
        self.variables.push(variable.clone());
        let mut parts = self.all(rest, depth);
        self.variables.pop();
        let body = parts.pop().unwrap_or(Term::Null);
        Term::Loop(Box::new(Loop { kind, over, only: parts.pop(), body }))
    }

    fn offset(&self, tree: &IdedExpr) -> usize {
        let offset = self.places.offset_for(tree.id).map_or(0, |(start, _)| start as usize);
        self.text.char_indices().nth(offset).map_or(self.text.len(), |(at, _)| at)
    }

    fn wrong(
        &mut self,
        tree: &IdedExpr,
        code: Code,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Term {
        let mut offset = self.offset(tree);
        match &tree.expr {
            // The parser places a selection at its dot, and a call at its bracket.
            Expr::Select(_) => offset = (offset + 1).min(self.text.len()),
            Expr::Call(call) if self.text[..offset].ends_with(&call.func_name) => {
                offset -= call.func_name.len();
            }
            _ => {}
        }
        self.wrong_at(offset, code, message, expected);
        Term::Null
    }

    fn wrong_at(
        &mut self,
        offset: usize,
        code: Code,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.wrongs.push(Wrong {
            offset,
            code,
            message: message.into(),
            expected: expected.into(),
        });
    }
}

fn loop_kind(call: &CallExpr) -> Option<LoopKind> {
    call.target.as_ref()?;
    match (call.func_name.as_str(), call.args.len()) {
        ("all", 2) => Some(LoopKind::All),
        ("exists", 2) => Some(LoopKind::Exists),
        ("exists_one" | "existsOne", 2) => Some(LoopKind::ExistsOne),
        ("map", 2 | 3) => Some(LoopKind::Map),
        ("filter", 2) => Some(LoopKind::Filter),
        _ => None,
    }
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessOrEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterOrEqual,
        operators::IN => Operator::In,
        _ => return None,
    })
}

fn usage(name: &str) -> String {
    match name {
        "has" => "has(input.field)".to_owned(),
        "matches" => "text.matches('pattern')".to_owned(),
        "all" | "exists" | "exists_one" | "existsOne" | "filter" => {
            format!("list.{name}(x, condition)")
        }
        "map" => "list.map(x, value) or list.map(x, condition, value)".to_owned(),
        "contains" | "startsWith" | "endsWith" => format!("text.{name}('text')"),
        "size" => "size(value) or value.size()".to_owned(),
        name => format!("{name}(value)"),
    }
}
