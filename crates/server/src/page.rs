//! Lists that are read page by page: the parameters and the cut.

use fairlane_api::Code;
use fairlane_api::page::Page;
use fairlane_core::cell::input::QUERY_ROWS_MAX;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::Refused;

/// Entries of a page if the request does not say.
pub(crate) const LIMIT_DEFAULT: u32 = 100;
/// Most entries of a page.
pub(crate) const LIMIT_MAX: u32 = 1_000;
// What comes from a cell has to be able to show that there is more.
const _: () = assert!(LIMIT_MAX < QUERY_ROWS_MAX, "a page is larger than what a cell gives");

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// Most entries, 1 to 1,000; 100 if absent.
    #[param(minimum = 1, maximum = 1_000)]
    pub(crate) limit: Option<u32>,
}

impl Paging {
    pub(crate) fn limit(&self) -> Result<usize, Refused> {
        limit(self.limit)
    }

    /// The name that the page comes after.
    pub(crate) fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, Refused> {
        self.cursor.as_deref().map(after).transpose()
    }
}

pub(crate) fn limit(limit: Option<u32>) -> Result<usize, Refused> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit as usize),
        other => Err(Refused::new(Code::MalformedRequest)
            .detail(format!("the parameter `limit` is {other}"))
            .expected(format!("1 to {LIMIT_MAX}"))),
    }
}

pub(crate) fn after<T: std::str::FromStr>(cursor: &str) -> Result<T, Refused> {
    cursor.parse().map_err(|_| {
        Refused::new(Code::MalformedRequest)
            .detail("the parameter `cursor` is not one that this list gave")
            .expected("`next` of the page before")
    })
}

/// Makes a page of entries that were read one beyond the limit.
pub(crate) fn page<T, U>(
    mut read: Vec<T>,
    limit: usize,
    cursor: impl FnOnce(&T) -> String,
    view: impl FnMut(T) -> U,
) -> Page<U> {
    let has_more = read.len() > limit;
    read.truncate(limit);
    let next = if has_more { read.last().map(cursor) } else { None };
    Page { items: read.into_iter().map(view).collect(), next }
}
