//! The operators and functions on values.
//!
//! Numbers of different kinds compare, but do not add up: that is CEL's rule, and it keeps amounts exact.

use std::cmp::Ordering;

use super::Fault;
use super::number::{Comparison, compare as compare_numbers};
use super::run::Budget;
use super::term::{Function, Operator};
use super::value::{List, Value};

pub(super) fn binary<'v>(
    operator: Operator,
    left: &Value<'v>,
    right: &Value<'v>,
    budget: &Budget,
) -> Result<Value<'v>, Fault> {
    match operator {
        Operator::Add => add(left, right, budget),
        Operator::Subtract => subtract(left, right),
        Operator::Multiply | Operator::Divide | Operator::Remainder => scale(operator, left, right),
        Operator::Less => order("<", left, right, budget, Ordering::is_lt),
        Operator::LessOrEqual => order("<=", left, right, budget, Ordering::is_le),
        Operator::Greater => order(">", left, right, budget, Ordering::is_gt),
        Operator::GreaterOrEqual => order(">=", left, right, budget, Ordering::is_ge),
        Operator::In => contained(left, right, budget).map(Value::Bool),
        Operator::Equal => equal(left, right, budget).map(Value::Bool),
        Operator::NotEqual => equal(left, right, budget).map(|same| Value::Bool(!same)),
    }
}

/// Equality of CEL: values of different types differ, numbers compare by value.
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>, budget: &Budget) -> Result<bool, Fault> {
    budget.spend(1)?;
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => {
            budget.spend_text(a.len().min(b.len()))?;
            **a == **b
        }
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(&a, &b, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(a), Value::Object(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            let keys = a.keys();
            budget.spend(keys.len())?;
            for key in keys {
                let Value::Text(key) = key else { continue };
                match (a.get(&key), b.get(&key)) {
                    (Some(a), Some(b)) if equal(&a, &b, budget)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (a, b) => compare_numbers(a, b) == Comparison::Ordered(Ordering::Equal),
    })
}

fn add<'v>(left: &Value<'v>, right: &Value<'v>, budget: &Budget) -> Result<Value<'v>, Fault> {
    let overflow = || Fault::Overflow { operation: "+" };
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or_else(overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(*b).ok_or_else(overflow)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        (Value::Text(a), Value::Text(b)) => {
            budget.spend_made(a.len() + b.len())?;
            Value::made_text(&[&**a, &**b].concat())
        }
        (Value::List(a), Value::List(b)) => {
            budget.spend_elements(a.len() + b.len())?;
            Value::List(List::Made(a.iter().chain(b.iter()).collect()))
        }
        (Value::Timestamp(at), Value::Duration(span))
        | (Value::Duration(span), Value::Timestamp(at)) => {
            Value::Timestamp(at.checked_add(*span).map_err(|_| overflow())?)
        }
        (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_add(*b).ok_or_else(overflow)?)
        }
        (a, b) => return Err(kinds("+", a, b)),
    })
}

fn subtract<'v>(left: &Value<'v>, right: &Value<'v>) -> Result<Value<'v>, Fault> {
    let overflow = || Fault::Overflow { operation: "-" };
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_sub(*b).ok_or_else(overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_sub(*b).ok_or_else(overflow)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a - b),
        (Value::Timestamp(at), Value::Duration(span)) => {
            Value::Timestamp(at.checked_sub(*span).map_err(|_| overflow())?)
        }
        (Value::Timestamp(a), Value::Timestamp(b)) => Value::Duration(a.duration_since(*b)),
        (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_sub(*b).ok_or_else(overflow)?)
        }
        (a, b) => return Err(kinds("-", a, b)),
    })
}

fn scale<'v>(operator: Operator, left: &Value<'v>, right: &Value<'v>) -> Result<Value<'v>, Fault> {
    let operation = match operator {
        Operator::Multiply => "*",
        Operator::Divide => "/",
        _ => "%",
    };
    let divides = operator != Operator::Multiply;
    let overflow = || Fault::Overflow { operation };
    Ok(match (left, right) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) if divides => {
            return Err(Fault::DivisionByZero);
        }
        (Value::Int(a), Value::Int(b)) => Value::Int(
            match operator {
                Operator::Multiply => a.checked_mul(*b),
                Operator::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            }
            .ok_or_else(overflow)?,
        ),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(
            match operator {
                Operator::Multiply => a.checked_mul(*b),
                Operator::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            }
            .ok_or_else(overflow)?,
        ),
        (Value::Double(a), Value::Double(b)) if operator == Operator::Multiply => {
            Value::Double(a * b)
        }
        (Value::Double(a), Value::Double(b)) if operator == Operator::Divide => {
            Value::Double(a / b)
        }
        (a, b) => return Err(kinds(operation, a, b)),
    })
}

pub(super) fn negate<'v>(value: &Value<'v>) -> Result<Value<'v>, Fault> {
    let overflow = || Fault::Overflow { operation: "-" };
    Ok(match value {
        Value::Int(a) => Value::Int(a.checked_neg().ok_or_else(overflow)?),
        Value::Double(a) => Value::Double(-a),
        Value::Duration(a) => Value::Duration(a.checked_neg().ok_or_else(overflow)?),
        other => return Err(Fault::Kinds { operation: "-", kinds: vec![other.kind()] }),
    })
}

fn order<'v>(
    operation: &'static str,
    left: &Value<'v>,
    right: &Value<'v>,
    budget: &Budget,
    holds: fn(Ordering) -> bool,
) -> Result<Value<'v>, Fault> {
    let order = match (left, right) {
        (Value::Text(a), Value::Text(b)) => {
            budget.spend_text(a.len().min(b.len()))?;
            Some((**a).cmp(&**b))
        }
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (a, b) => match compare_numbers(a, b) {
            Comparison::None => return Err(kinds(operation, a, b)),
            Comparison::Unordered => None,
            Comparison::Ordered(order) => Some(order),
        },
    };
    Ok(Value::Bool(order.is_some_and(holds)))
}

fn contained(left: &Value<'_>, right: &Value<'_>, budget: &Budget) -> Result<bool, Fault> {
    match (left, right) {
        (value, Value::List(list)) => {
            for element in list.iter() {
                if equal(value, &element, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::Text(key), Value::Object(object)) => Ok(object.get(key).is_some()),
        // A key of another kind is never there, because objects here have texts as keys.
        (Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Object(_)) => {
            Ok(false)
        }
        (a, b) => Err(kinds("in", a, b)),
    }
}

pub(super) fn call<'v>(
    function: Function,
    arguments: &[Value<'v>],
    budget: &Budget,
) -> Result<Value<'v>, Fault> {
    match (function, arguments) {
        (Function::Size, [value]) => size(value, budget),
        (Function::Contains, [Value::Text(text), Value::Text(part)]) => {
            budget.spend_text(text.len() + part.len())?;
            Ok(Value::Bool(text.contains(&**part)))
        }
        (Function::StartsWith, [Value::Text(text), Value::Text(part)]) => {
            budget.spend_text(part.len())?;
            Ok(Value::Bool(text.starts_with(&**part)))
        }
        (Function::EndsWith, [Value::Text(text), Value::Text(part)]) => {
            budget.spend_text(part.len())?;
            Ok(Value::Bool(text.ends_with(&**part)))
        }
        (Function::Text, [value @ Value::Text(_)]) => Ok(value.clone()),
        (_, [value]) => {
            if let Value::Text(text) = value {
                budget.spend_text(text.len())?;
            }
            convert(function, value)
        }
        _ => Err(wrong_kinds(function, arguments)),
    }
}

fn size<'v>(value: &Value<'v>, budget: &Budget) -> Result<Value<'v>, Fault> {
    let size = match value {
        Value::Text(text) => {
            budget.spend_text(text.len())?;
            text.chars().count()
        }
        Value::List(list) => list.len(),
        Value::Object(object) => object.len(),
        other => return Err(Fault::Kinds { operation: "size()", kinds: vec![other.kind()] }),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn convert<'v>(function: Function, value: &Value<'v>) -> Result<Value<'v>, Fault> {
    let name = function.name();
    let overflow = || Fault::Overflow { operation: name };
    let unreadable =
        |text: &str| Fault::Unreadable { function: name, text: text.chars().take(60).collect() };
    Ok(match (function, value) {
        (Function::Int, Value::Int(_))
        | (Function::Uint, Value::Uint(_))
        | (Function::Double, Value::Double(_))
        | (Function::Bool, Value::Bool(_))
        | (Function::Timestamp, Value::Timestamp(_))
        | (Function::Duration, Value::Duration(_)) => value.clone(),
        (Function::Int, Value::Uint(a)) => Value::Int(i64::try_from(*a).map_err(|_| overflow())?),
        (Function::Int, Value::Double(a)) => Value::Int(whole(*a).ok_or_else(overflow)?),
        (Function::Int, Value::Text(a)) => Value::Int(a.parse().map_err(|_| unreadable(a))?),
        (Function::Int, Value::Timestamp(a)) => Value::Int(a.as_second()),
        (Function::Uint, Value::Int(a)) => Value::Uint(u64::try_from(*a).map_err(|_| overflow())?),
        (Function::Uint, Value::Double(a)) => {
            let whole = whole(*a).and_then(|a| u64::try_from(a).ok());
            Value::Uint(whole.ok_or_else(overflow)?)
        }
        (Function::Uint, Value::Text(a)) => Value::Uint(a.parse().map_err(|_| unreadable(a))?),
        #[expect(clippy::cast_precision_loss, reason = "CEL rounds here")]
        (Function::Double, Value::Int(a)) => Value::Double(*a as f64),
        #[expect(clippy::cast_precision_loss, reason = "CEL rounds here")]
        (Function::Double, Value::Uint(a)) => Value::Double(*a as f64),
        (Function::Double, Value::Text(a)) => Value::Double(a.parse().map_err(|_| unreadable(a))?),
        (Function::Bool, Value::Text(a)) => match &**a {
            "true" | "True" | "TRUE" | "t" | "1" => Value::Bool(true),
            "false" | "False" | "FALSE" | "f" | "0" => Value::Bool(false),
            other => return Err(unreadable(other)),
        },
        (Function::Timestamp, Value::Text(a)) => {
            Value::Timestamp(a.parse().map_err(|_| unreadable(a))?)
        }
        (Function::Duration, Value::Text(a)) => {
            Value::Duration(duration(a).ok_or_else(|| unreadable(a))?)
        }
        (Function::Text, value) => Value::made_text(
            &text_of(value).ok_or_else(|| wrong_kinds(function, std::slice::from_ref(value)))?,
        ),
        (function, value) => return Err(wrong_kinds(function, std::slice::from_ref(value))),
    })
}

/// The number without its fraction, if `int` can hold it.
fn whole(value: f64) -> Option<i64> {
    /// Two to the 63rd: the first double above every `int`.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (value > -BEYOND && value < BEYOND).then_some(value as i64)
}

/// The span as the format writes it, with a sign.
fn duration(text: &str) -> Option<jiff::SignedDuration> {
    let (negative, span) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let micros = i64::try_from(crate::span::parse(span)?.0).ok()?;
    Some(jiff::SignedDuration::from_micros(if negative { -micros } else { micros }))
}

/// The text that `string()` makes, and that JSON gets for times and durations.
pub(super) fn text_of(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Bool(a) => a.to_string(),
        Value::Int(a) => a.to_string(),
        Value::Uint(a) => a.to_string(),
        Value::Double(a) => a.to_string(),
        Value::Timestamp(a) => a.to_string(),
        Value::Duration(a) => format!("{}s", a.as_secs_f64()),
        _ => return None,
    })
}

fn kinds(operation: &'static str, left: &Value<'_>, right: &Value<'_>) -> Fault {
    Fault::Kinds { operation, kinds: vec![left.kind(), right.kind()] }
}

fn wrong_kinds(function: Function, arguments: &[Value<'_>]) -> Fault {
    Fault::Kinds { operation: function.name(), kinds: arguments.iter().map(Value::kind).collect() }
}
