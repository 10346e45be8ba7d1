//! OpenAI's own client for Python against the gateway.
//!
//! It is installed by pip, once, into a virtual environment under `target`: for that this test needs `python3` and, the
//! first time, its package index.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fairlane_fake_provider::{Answer, Reply as Says};
use serde_json::json;

use crate::gateway::Gateway;

const CLIENT: &str = "openai==3.57.0";
const CHECKS: usize = 10;

#[tokio::test]
async fn openais_client_works_with_another_base_url_and_key() {
    let gateway = Gateway::start().await;
    gateway.eu.always(Says::answer("one two three"));
    let half = Says::HalfStream { answer: Answer::new("one two three"), events: 3 };
    gateway.us.always(half);
    let operator = &gateway.harness.operator;
    gateway.model(&[("eu", "large")]).await;
    let broken = json!({ "candidates": [{ "endpoint": "us", "model": "small" }] });
    operator.put("/v1/catalog/models/broken", broken).await.ok();
    let hour = json!({ "window": { "units": 1, "every": "hour" } });
    let mut variables = vec![
        ("GATEWAY_URL", format!("http://{}/v1", gateway.harness.server.addr())),
        ("TENANT_KEY", gateway.tenant.key.clone().unwrap()),
    ];
    for (tenant, variable, class) in [
        ("poor", "POOR_KEY", json!({ "budget": { "month": "0.001" } })),
        ("limited", "LIMITED_KEY", json!({ "quotas": { "eu": [hour] } })),
    ] {
        operator.put(&format!("/v1/budget-classes/{tenant}"), class).await.ok();
        let body = json!({ "org": "org", "tier": "standard", "budget_class": tenant });
        operator.put(&format!("/v1/tenants/{tenant}"), body).await.ok();
        let client = gateway.harness.client(json!({ "role": "tenant", "tenant": tenant })).await;
        variables.push((variable, client.key.unwrap()));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/openai_client.py");
    let ran = tokio::task::spawn_blocking(move || {
        run(Command::new(installed()).arg(script).envs(variables).env_remove("OPENAI_BASE_URL"))
    });
    let said = ran.await.unwrap();
    let passed = said.lines().filter(|line| line.starts_with("passed: ")).count();
    assert_eq!(passed, CHECKS, "{said}");
    gateway.spent().await;
}

/// The interpreter of the environment that has the client, which is made if it is missing.
fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(CLIENT.replace("==", "-"));
    let python = folder.join("bin/python");
    let is_done = folder.join("is-installed");
    if is_done.exists() {
        return python;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", CLIENT]));
    std::fs::write(is_done, CLIENT).unwrap();
    python
}

/// What it printed, if it went well.
fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| {
        panic!(
            "{command:?} does not start ({error}): this test needs python3 with venv and pip; \
             `apt-get install python3-venv` or `brew install python` installs them"
        )
    });
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        status.success(),
        "{command:?} failed; it needs python3 with venv and pip (`apt-get install python3-venv`, `brew install \
         python`), and the first time a package index to install {CLIENT} from\n{stdout}\n{stderr}"
    );
    stdout
}
