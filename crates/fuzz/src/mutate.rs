//! Changes to an input. Most keep its form: they cut, double, swap and nest what is a word, a number, a line or a pair of
//! brackets with all that is in it.

use std::ops::Range;

use crate::INPUT_BYTES_MAX;
use crate::random::Random;

/// Bytes that mean something in most languages.
const MARKS: &[u8] = b"{}[]()<>\"'`,:;.-+*/\\|&!?=#%@~_ \t\n\r\0\x7f\x80\xc3\xff09aZ";
/// Numbers at the ends of ranges, and some that are numbers only to some.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "+1",
    "00",
    "007",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211455",
    "1e3",
    "1E+2",
    "1e308",
    "1e309",
    "-1e309",
    "1e-400",
    "0.1",
    "1.0",
    "1.",
    ".5",
    "0x1f",
    "1e99999999999",
    "0.30000000000000004",
    "NaN",
];
const BRACKETS: &[(u8, u8)] = &[(b'(', b')'), (b'[', b']'), (b'{', b'}')];
/// Changes to one input at most.
const CHANGES_MAX: usize = 5;
/// Inputs of the pool's end that are changed as often as all others together.
const NEWEST: usize = 32;

/// Makes a new input of one of those that there are.
pub(crate) fn mutate(random: &mut Random, pool: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
    // What met something new last is where most that is new lies.
    let newest = &pool[pool.len().saturating_sub(NEWEST)..];
    let from = if random.one_in(2) { newest } else { pool };
    let mut input = random.pick(from).cloned().unwrap_or_default();
    for _ in 0..=random.below(CHANGES_MAX) {
        let other = random.pick(pool).map_or(&[][..], Vec::as_slice);
        change(random, &mut input, other, words);
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>]) {
    match random.below(17) {
        0 => flip(random, input),
        1 => {
            let at = random.below(input.len() + 1);
            input.insert(at, mark(random));
        }
        2 => {
            let at = random.below(input.len());
            if let Some(byte) = input.get_mut(at) {
                *byte = mark(random);
            }
        }
        3 => drop(input.drain(range(random, input))),
        4 => input.truncate(random.below(input.len() + 1)),
        5 => {
            let piece = input[range(random, input)].to_vec();
            put(random, input, &piece);
        }
        6 => {
            let piece = range(random, other);
            put(random, input, &other[piece]);
        }
        7 => {
            let (here, there) = (random.below(input.len() + 1), random.below(other.len() + 1));
            input.splice(here.., other[there..].iter().copied());
        }
        8 | 9 => number(random, input),
        10 => nest(random, input),
        11 | 12 => part(random, input, other, pair),
        13 => part(random, input, other, line),
        14 => member(random, input),
        _ => word(random, input, other, words),
    }
}

fn flip(random: &mut Random, input: &mut [u8]) {
    let at = random.below(input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn mark(random: &mut Random) -> u8 {
    random.pick(MARKS).copied().unwrap_or_default()
}

fn range(random: &mut Random, of: &[u8]) -> Range<usize> {
    let start = random.below(of.len());
    start..of.len().min(start + random.length(of.len()))
}

fn put(random: &mut Random, input: &mut Vec<u8>, piece: &[u8]) {
    let at = random.below(input.len() + 1);
    input.splice(at..at, piece.iter().copied());
}

/// Puts another number in the place of one, or counts it up or down.
fn number(random: &mut Random, input: &mut Vec<u8>) {
    let Some(found) = found(random, input, |byte| byte.is_ascii_digit()) else { return };
    let text = String::from_utf8_lossy(&input[found.clone()]).into_owned();
    let near = text.parse::<u64>().map(|n| n.wrapping_add(random.next() % 5).wrapping_sub(2));
    let other = match near {
        Ok(near) if random.one_in(3) => near.to_string(),
        _ => (*random.pick(NUMBERS).unwrap_or(&"0")).to_owned(),
    };
    input.splice(found, other.into_bytes());
}

/// Puts a piece into brackets, many times over now and then.
fn nest(random: &mut Random, input: &mut Vec<u8>) {
    let (open, close) = *random.pick(BRACKETS).unwrap_or(&(b'(', b')'));
    let inner = pair(random, input).unwrap_or_else(|| range(random, input));
    let depth = if random.one_in(8) { 1 + random.below(300) } else { 1 + random.below(3) };
    let piece = [vec![open; depth], input[inner.clone()].to_vec(), vec![close; depth]].concat();
    input.splice(inner, piece);
}

/// Takes a part out, doubles it, or puts a part of the other input in its place.
fn part(
    random: &mut Random,
    input: &mut Vec<u8>,
    other: &[u8],
    find: fn(&mut Random, &[u8]) -> Option<Range<usize>>,
) {
    let Some(here) = find(random, input) else { return };
    match random.below(4) {
        0 => drop(input.drain(here)),
        1 => {
            let piece = input[here.clone()].to_vec();
            let times = if random.one_in(8) { 1 + random.below(100) } else { 1 };
            input.splice(here.end..here.end, piece.repeat(times));
        }
        2 => {
            let piece = find(random, input).map(|there| input[there].to_vec());
            input.splice(here, piece.unwrap_or_default());
        }
        _ => {
            let piece = find(random, other).map(|there| other[there].to_vec());
            input.splice(here, piece.unwrap_or_default());
        }
    }
}

/// A pair of brackets or quotes with what is between.
fn pair(random: &mut Random, of: &[u8]) -> Option<Range<usize>> {
    let start = random.below(of.len());
    let opens = |byte: &u8| *byte == b'"' || BRACKETS.iter().any(|(open, _)| open == byte);
    let open = start + of.get(start..)?.iter().position(opens)?;
    if of[open] == b'"' {
        let close = of[open + 1..].iter().position(|byte| *byte == b'"')?;
        return Some(open..open + close + 2);
    }
    let (begin, end) = *BRACKETS.iter().find(|(begin, _)| *begin == of[open])?;
    let mut depth = 0_usize;
    for (at, byte) in of.iter().enumerate().skip(open) {
        depth += usize::from(*byte == begin);
        depth -= usize::from(*byte == end);
        if depth == 0 {
            return Some(open..at + 1);
        }
    }
    None
}

/// Doubles a member of an object: its key, and the value up to the comma or the bracket that ends it.
fn member(random: &mut Random, input: &mut Vec<u8>) {
    let from = random.below(input.len());
    let quotes = input.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'"');
    let mut quotes = quotes.map(|(at, _)| at);
    let (Some(open), Some(close)) = (quotes.next(), quotes.next()) else { return };
    let mut depth = 0_usize;
    let ends = |byte: &u8| {
        let is_end = depth == 0 && b",]})".contains(byte);
        depth += usize::from(b"[{(".contains(byte));
        depth = depth.saturating_sub(usize::from(b"]})".contains(byte)));
        is_end
    };
    let end = input[close..].iter().position(ends).map_or(input.len(), |end| close + end);
    let piece = [&input[open..end], b","].concat();
    input.splice(open..open, piece);
}

/// A line with its end, or some.
fn line(random: &mut Random, of: &[u8]) -> Option<Range<usize>> {
    let inside = random.below(of.len());
    let start = of.get(..inside)?.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = if random.one_in(2) { 1 } else { 1 + random.below(5) };
    let ends = of[start..].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let end = ends.map(|(at, _)| start + at + 1).nth(lines - 1).unwrap_or(of.len());
    Some(start..end)
}

/// Puts another word in the place of one, or a word in between.
fn word(random: &mut Random, input: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>]) {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let piece = if words.is_empty() || random.one_in(3) {
        found(random, other, is_word).map(|there| other[there].to_vec())
    } else {
        random.pick(words).cloned()
    };
    let piece = piece.unwrap_or_default();
    match found(random, input, is_word) {
        Some(here) if !random.one_in(4) => drop(input.splice(here, piece)),
        _ => put(random, input, &piece),
    }
}

/// A run of such bytes.
fn found(random: &mut Random, of: &[u8], is: fn(u8) -> bool) -> Option<Range<usize>> {
    let from = random.below(of.len());
    let start = from + of.get(from..)?.iter().position(|byte| is(*byte))?;
    let before = of[..start].iter().rposition(|byte| !is(*byte)).map_or(0, |at| at + 1);
    let length = of[start..].iter().position(|byte| !is(*byte)).unwrap_or(of.len() - start);
    Some(before..start + length)
}
