//! Order of numbers of different kinds, as mathematics has it and not as rounding would.

use std::cmp::Ordering;

use super::value::Value;

/// How two values compare as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// One of them is no number.
    None,
    /// One of them is "not a number" of IEEE 754: nothing holds between the two.
    Unordered,
    Ordered(Ordering),
}

pub(super) fn compare(left: &Value<'_>, right: &Value<'_>) -> Comparison {
    let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) else {
        return Comparison::None;
    };
    let order = match (left, right) {
        (Number::Whole(a), Number::Whole(b)) => Some(a.cmp(&b)),
        (Number::Double(a), Number::Double(b)) => a.partial_cmp(&b),
        (Number::Whole(a), Number::Double(b)) => whole_with_double(a, b),
        (Number::Double(a), Number::Whole(b)) => whole_with_double(b, a).map(Ordering::reverse),
    };
    order.map_or(Comparison::Unordered, Comparison::Ordered)
}

enum Number {
    Whole(i128),
    Double(f64),
}

impl Number {
    fn of(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Int(value) => Some(Self::Whole(i128::from(*value))),
            Value::Uint(value) => Some(Self::Whole(i128::from(*value))),
            Value::Double(value) => Some(Self::Double(*value)),
            _ => None,
        }
    }
}

fn whole_with_double(whole: i128, double: f64) -> Option<Ordering> {
    /// Past this no whole number of 64 bits reaches; below it a double's whole part is exact in 128 bits.
    const BEYOND: f64 = 1e30;
    if double.is_nan() {
        return None;
    }
    if double.abs() > BEYOND {
        return Some(if double > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    #[expect(clippy::cast_possible_truncation, reason = "below BEYOND the whole part fits")]
    let truncated = double.trunc() as i128;
    let order = whole.cmp(&truncated);
    if order != Ordering::Equal {
        return Some(order);
    }
    0.0_f64.partial_cmp(&double.fract())
}
