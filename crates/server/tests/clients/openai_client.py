"""What OpenAI's own client does against the gateway: each check prints its name when it has passed.

The test that runs this sets up the server and the provider, see `openai_client.rs`.
"""

import os

from openai import APIError, APIStatusError, NotFoundError, OpenAI, RateLimitError

BASE_URL = os.environ["GATEWAY_URL"]
MESSAGES = [{"role": "user", "content": "Say it."}]


def client(key):
    return OpenAI(base_url=BASE_URL, api_key=os.environ[key], max_retries=0)


def chat(of, **fields):
    return of.chat.completions.create(model="reasoner", messages=MESSAGES, **fields)


def passed(name):
    print(f"passed: {name}", flush=True)


tenant = client("TENANT_KEY")

answer = chat(tenant, max_tokens=100)
assert answer.choices[0].message.content == "one two three", answer
assert answer.usage.completion_tokens == 3, answer
passed("chat")

raw = tenant.chat.completions.with_raw_response.create(model="reasoner", messages=MESSAGES)
assert raw.headers["x-fairlane-served-by"] == "eu/large", raw.headers
assert int(raw.headers["x-fairlane-call"]) > 0, raw.headers
passed("headers")

chunks = list(chat(tenant, stream=True))
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
assert text == "one two three", chunks
assert all(chunk.usage is None for chunk in chunks), chunks
passed("streaming")

chunks = list(chat(tenant, stream=True, stream_options={"include_usage": True}))
assert chunks[-1].usage.completion_tokens == 3, chunks
assert not chunks[-1].choices, chunks
passed("streaming with usage")

vectors = tenant.embeddings.create(model="reasoner", input=["one", "two"], encoding_format="float")
assert [vector.index for vector in vectors.data] == [0, 1], vectors
assert len(vectors.data[0].embedding) == 4, vectors
passed("embeddings")

assert [model.id for model in tenant.models.list()] == ["broken", "reasoner"]
assert tenant.models.retrieve("reasoner").owned_by == "fairlane"
passed("models")

try:
    tenant.chat.completions.create(model="none", messages=MESSAGES)
    raise AssertionError("there is no such model")
except NotFoundError as error:
    assert (error.code, error.param) == ("model_not_found", "model"), error
passed("an unknown model")

try:
    chat(client("POOR_KEY"), max_tokens=1000)
    raise AssertionError("there is no money")
except APIStatusError as error:
    assert (error.status_code, error.code) == (402, "budget-exhausted"), error
    assert error.body["fairlane"]["facts"]["account"] == "tenant_month", error.body
passed("a budget refusal")

limited = client("LIMITED_KEY")
chat(limited)
try:
    chat(limited)
    raise AssertionError("the quota is used up")
except RateLimitError as error:
    assert error.code == "tenant-limit", error
    assert int(error.response.headers["retry-after"]) > 0, error.response.headers
passed("a limit refusal")

try:
    list(tenant.chat.completions.create(model="broken", messages=MESSAGES, stream=True))
    raise AssertionError("the stream breaks off")
except APIError as error:
    assert error.code == "provider-failed", error
passed("a stream that breaks off")
