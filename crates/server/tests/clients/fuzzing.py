"""Asks every operation of the API in the ways that its document allows, and in ways that it does not.

The test that runs this sets up the server, see `fuzzing.rs`. What it gives in the environment:

- `FUZZING_URL`: the server; `FUZZING_KEY`: whose requests these are.
- `FUZZING_NAMES`: of each parameter, the names of what exists.
- `FUZZING_EXAMPLES`: requests of one operation in each phase that makes them up.
"""

import json
import os
import sys
import tempfile

import schemathesis
from schemathesis.cli import schemathesis as command
from schemathesis.core.failures import AcceptedNegativeData

NAMES = json.loads(os.environ["FUZZING_NAMES"])
OWN_KEY = os.environ["FUZZING_KEY"].split("_")[1]
# Longest that a request may wait for something to happen. Most things that these requests wait for never do.
WAIT_MS = 20
WAIT_MS_MAX = 60_000
BATCHES = ("/v1/reviews/decide", "/v1/tenants/{tenant}/runs:batch")
LEFT_OUT = [
    # The document does not say which names exist, and what has to go with what: much that it allows is refused.
    "positive_data_acceptance",
    # What is declared with `dry_run=true` is not there afterwards, and the check takes it for declared.
    "ensure_resource_availability",
]


def config():
    """The configuration, as the TOML that its reader wants."""
    lines = ["max-stream-events = 1", "request-timeout = 10", "continue-on-failure = true"]
    for name, values in NAMES.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    for name in NAMES:
        for place, probability in [("path", 0.8), ("body", 0.7)]:
            lines.append(f'"{place}.{name}" = {{ dictionary = "{name}", probability = {probability} }}')
    lines += ["[auth.openapi.key]", 'bearer = "${FUZZING_KEY}"']
    return "\n".join(lines)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Tells what exists, and what of the document is meant for those who write clients."""
    # An amount is a text in every answer, and clients are to send it so. The server takes a number, too.
    amount = raw_schema["components"]["schemas"]["Amount"]
    amount["anyOf"] = [{"type": amount.pop("type")}, {"type": "number"}]
    adapt(raw_schema)


def adapt(value):
    """The same of what is below: names what exists, and takes what clients alone are told."""
    if isinstance(value, list):
        for item in value:
            adapt(item)
    elif isinstance(value, dict):
        if value.get("in") == "path" and value.get("name") in NAMES:
            value["schema"]["examples"] = NAMES[value["name"]]
        # Clients take these formats for their own integers. The server's have no sign, and hold more.
        if value.get("format") in ("int32", "int64"):
            del value["format"]
        for item in value.values():
            adapt(item)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps requests from waiting, and from what would leave nothing to ask."""
    for given in (case.query, case.body):
        if isinstance(given, dict) and is_long(given.get("wait_ms")):
            given["wait_ms"] = WAIT_MS
    operation = case.operation
    # A closed valve refuses all runs, as it should.
    if operation.method == "put" and operation.path == "/v1/platform/valve":
        case.query = {**(case.query or {}), "dry_run": "true"}
    if operation.method == "delete" and (case.path_parameters or {}).get("key") == OWN_KEY:
        case.path_parameters["key"] = "0"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Whether it is one. A batch is answered with 200, and says of each of its items what was wrong with it."""
    is_accepted = isinstance(failure, AcceptedNegativeData)
    return not (is_accepted and case.operation.path in BATCHES and b'"problem":' in response.content)


def is_long(wait):
    try:
        return WAIT_MS < int(wait) <= WAIT_MS_MAX
    except (TypeError, ValueError):
        return False


with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
    file.write(config())
    file.flush()
    options = {
        "checks": "all",
        "exclude-checks": ",".join(LEFT_OUT),
        "max-examples": os.environ["FUZZING_EXAMPLES"],
        "phases": os.environ.get("FUZZING_PHASES", "examples,coverage,fuzzing,stateful"),
        "seed": os.environ.get("FUZZING_SEED", "1"),
        "generation-database": "none",
        "warnings": "off",
    }
    sys.argv[1:] = ["--config-file", file.name, "run", os.environ["FUZZING_URL"] + "/openapi.json"]
    sys.argv += [f"--{name}={value}" for name, value in options.items()]
    sys.argv.append("--no-color")
    sys.exit(command())
