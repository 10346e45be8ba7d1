//! The page for browsers, as it is sent: whether or not the dashboard was built before the server was.

use hyper::Method;

use crate::harness::Harness;

#[tokio::test]
async fn the_page_is_for_everybody_and_runs_nothing_but_what_the_server_sends() {
    let harness = Harness::start().await;
    let anonymous = harness.anonymous();
    for path in ["/", "/ui"] {
        let reply = anonymous.get(path).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.headers["location"]),
            (307, &"/ui/".parse().unwrap())
        );
    }
    for path in ["/ui/", "/ui/tenants/a", "/ui/tenants/a/runs/b"] {
        let reply = anonymous.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        let said = |name: &str| reply.headers[name].to_str().unwrap();
        assert_eq!(said("content-type"), "text/html; charset=utf-8");
        let policy: Vec<&str> = said("content-security-policy").split("; ").collect();
        assert!(policy.contains(&"default-src 'none'"), "{policy:?}");
        assert!(policy.contains(&"script-src 'self'"), "{policy:?}");
        assert!(policy.contains(&"frame-ancestors 'none'"), "{policy:?}");
        assert!(!policy.concat().contains("unsafe"), "{policy:?}");
        assert_eq!(
            (said("x-content-type-options"), said("referrer-policy")),
            ("nosniff", "no-referrer")
        );
        assert_eq!(said("cache-control"), "no-cache");
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(text.contains("Fairlane"), "{text}");
        for within in ["<style", "style=", "<script>", "onload=", "://"] {
            assert!(!text.contains(within), "{within} in {text}");
        }
    }
}

#[tokio::test]
async fn a_browser_that_has_the_page_is_not_sent_it_again() {
    let harness = Harness::start().await;
    let anonymous = harness.anonymous();
    let tag = anonymous.get("/ui/").await.headers["etag"].clone();
    let mut request = anonymous.request(Method::GET, "/ui/", "");
    request.headers_mut().insert("if-none-match", tag.clone());
    let reply = anonymous.send(request).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (304, 0));
    assert_eq!(reply.headers["etag"], tag);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_problem() {
    let harness = Harness::start().await;
    let reply = harness.anonymous().get("/ui/assets/gone.js").await;
    assert_eq!(reply.refusal(), (404, "unknown-path".into(), String::new()));
    assert_eq!(harness.anonymous().delete("/ui/").await.status, 405);
}
