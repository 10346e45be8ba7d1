//! The dashboard: a page for browsers at `/ui/`, embedded when the server is built.
//!
//! It is files and nothing else. What they show they ask of the API, with the key of whoever looks: nothing here
//! knows a tenant, and nothing here needs a credential. Where the dashboard was not built there is a page that says how.
//!
//! INVARIANT: a page of the dashboard runs and loads only what the server itself sends as a file of its own; see
//! [`POLICY`].

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use fairlane_api::Code;
use sha2::{Digest, Sha256};

use crate::cells::App;
use crate::problem::Refused;

/// What a page may do: run and show what came from here, and ask here. No code and no style within it, no frame
/// around it, no form that goes anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// The page that all addresses of the dashboard show.
const INDEX: &str = "index.html";
/// Files in this folder have their contents' hash in their name.
const HASHED: &str = "assets/";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_EACH_TIME: &str = "no-cache";

/// Path and contents of each file, as `build.rs` found them.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dashboard.in"));
/// Shown in the place of a dashboard that was not built.
const NOT_BUILT: &[(&str, &[u8])] = &[
    (INDEX, include_bytes!("dashboard/not_built.html")),
    ("not_built.css", include_bytes!("dashboard/not_built.css")),
];

static SERVED: LazyLock<Vec<File>> = LazyLock::new(|| {
    let files = if FILES.is_empty() { NOT_BUILT } else { FILES };
    files.iter().map(|(path, contents)| File::new(path, contents)).collect()
});

/// A file with what is said of it.
#[derive(Debug)]
struct File {
    path: &'static str,
    contents: &'static [u8],
    tag: HeaderValue,
}

impl File {
    fn new(path: &'static str, contents: &'static [u8]) -> Self {
        let digest = Sha256::digest(contents);
        let tag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{tag}\"")).expect("digits are a header");
        Self { path, contents, tag }
    }
}

/// Not in the API's document: it is no part of the API.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(async || Redirect::temporary("/ui/")))
        .route("/ui", get(async || Redirect::temporary("/ui/")))
        .route("/ui/", get(async |headers: HeaderMap| answer("", &headers)))
        .route(
            "/ui/{*path}",
            get(async |Path(path): Path<String>, headers: HeaderMap| answer(&path, &headers)),
        )
}

fn answer(path: &str, asked: &HeaderMap) -> Response {
    let Some(file) = find(&SERVED, path) else {
        return Refused::new(Code::UnknownPath).into_response();
    };
    let kept = if file.path.starts_with(HASHED) { FOR_EVER } else { ASK_EACH_TIME };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type(file.path))),
        (header::ETAG, file.tag.clone()),
    ];
    if has(asked, &file.tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, file.contents).into_response()
}

/// The file of that path. The dashboard has addresses of its own, which are no files: all of them are its page.
fn find<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    let named = |path: &str| files.iter().find(|file| file.path == path);
    let is_address = !path.starts_with(HASHED);
    named(path).or_else(|| if is_address { named(INDEX) } else { None })
}

/// Whether whoever asks has the contents already.
fn has(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = asked.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_same = |known: &str| known.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes();
    known.is_some_and(|known| known.split(',').any(is_same))
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<File> {
        let files: [(&str, &[u8]); 3] =
            [("index.html", b"page"), ("icon.svg", b"icon"), ("assets/a-1.js", b"code")];
        files.into_iter().map(|(path, contents)| File::new(path, contents)).collect()
    }

    #[test]
    fn addresses_are_the_page_and_files_are_themselves() {
        let files = files();
        let path_of = |asked| find(&files, asked).map(|file| file.path);
        for (asked, found) in [
            ("", Some("index.html")),
            ("index.html", Some("index.html")),
            ("tenants/bank-001", Some("index.html")),
            ("tenants/a.b", Some("index.html")),
            ("icon.svg", Some("icon.svg")),
            ("assets/a-1.js", Some("assets/a-1.js")),
            ("assets/a-2.js", None),
        ] {
            assert_eq!(path_of(asked), found, "{asked}");
        }
    }

    #[test]
    fn the_page_of_a_build_without_the_dashboard_has_all_that_it_names() {
        let files: Vec<File> = NOT_BUILT.iter().map(|(path, text)| File::new(path, text)).collect();
        let page = std::str::from_utf8(find(&files, "").unwrap().contents).unwrap();
        let named = page.split("/ui/").skip(1).map(|rest| rest.split('"').next().unwrap());
        let paths: Vec<&str> = named.map(|path| find(&files, path).unwrap().path).collect();
        assert_eq!(paths, ["not_built.css"]);
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let file = File::new("icon.svg", b"icon");
        let tag = file.tag.to_str().unwrap();
        for (said, has_it) in [
            (tag.to_owned(), true),
            (format!("W/{tag}"), true),
            (format!("\"x\", {tag}"), true),
            ("\"x\"".to_owned(), false),
        ] {
            let asked = HeaderMap::from_iter([(
                header::IF_NONE_MATCH,
                HeaderValue::try_from(&said).unwrap(),
            )]);
            assert_eq!(has(&asked, &file.tag), has_it, "{said}");
        }
        assert!(!has(&HeaderMap::new(), &file.tag));
    }
}
