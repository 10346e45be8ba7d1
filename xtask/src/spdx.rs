//! SPDX licence expressions: whether a set of allowed licences satisfies one.
//!
//! Grammar (SPDX 2.3, annex D): `OR` binds weakest, then `AND`, then `WITH`; parentheses group. The `/` of old
//! manifests means `OR`.

/// Whether the expression holds when exactly the allowed licences are true. `X WITH Y` is one licence.
pub(crate) fn is_satisfied(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut parser = Parser { words: spaced.split_whitespace().collect(), at: 0, allowed };
    let holds = parser.any()?;
    match parser.peek() {
        None => Ok(holds),
        Some(word) => Err(format!("`{word}` is not expected there")),
    }
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a [String],
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<bool, String> {
        let mut holds = self.all()?;
        while self.take("OR") {
            holds |= self.all()?;
        }
        Ok(holds)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut holds = self.one()?;
        while self.take("AND") {
            holds &= self.one()?;
        }
        Ok(holds)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let holds = self.any()?;
            return if self.take(")") { Ok(holds) } else { Err("a `)` is missing".to_owned()) };
        }
        let mut licence = self.name()?.to_owned();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.name()?);
        }
        Ok(self.allowed.contains(&licence))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        match self.peek() {
            Some(word) if !["OR", "AND", "WITH", "(", ")"].contains(&word) => {
                self.at += 1;
                Ok(word)
            }
            Some(word) => Err(format!("`{word}` stands where a licence is expected")),
            None => Err("it ends where a licence is expected".to_owned()),
        }
    }

    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.peek() == Some(word);
        self.at += usize::from(is_there);
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::is_satisfied;

    fn check(expression: &str) -> Result<bool, String> {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(String::from);
        is_satisfied(expression, &allowed)
    }

    #[test]
    fn one_allowed_side_satisfies_an_or_and_an_and_needs_both() {
        for (expression, holds) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only/MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only AND GPL-2.0-only", true),
            ("(MIT OR GPL-3.0-only) AND GPL-2.0-only", false),
            ("(MIT OR Apache-2.0) AND (GPL-2.0-only OR MIT)", true),
        ] {
            assert_eq!(check(expression), Ok(holds), "{expression}");
        }
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert_eq!(check("Apache-2.0 WITH LLVM-exception"), Ok(true));
        assert_eq!(check("MIT WITH Classpath-exception-2.0"), Ok(false));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for expression in ["", "MIT OR", "MIT Apache-2.0", "(MIT", "MIT)", "OR MIT", "MIT WITH"] {
            assert!(check(expression).is_err(), "{expression:?}");
        }
    }
}
