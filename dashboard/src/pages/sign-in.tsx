// Where a key is asked for. It is kept for this tab only.

import { Show, createSignal } from "solid-js";

import { isAsking, refused, signIn } from "../session";

export function SignIn() {
  const [key, setKey] = createSignal("");
  const submit = (event: Event): void => {
    event.preventDefault();
    void signIn(key());
  };
  document.title = "Sign in · Fairlane";
  return (
    <main class="sign-in">
      <h1 class="brand">
        <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" />
        Fairlane
      </h1>
      <section class="panel">
        <form class="form" onSubmit={submit}>
          <div class="field">
            <label for="key">API key</label>
            <input
              id="key"
              type="password"
              autocomplete="off"
              spellcheck={false}
              placeholder="fl_…"
              required
              autofocus
              value={key()}
              onInput={(event) => setKey(event.currentTarget.value)}
            />
            <span class="hint">
              An operator's key shows the platform, a tenant's key that tenant, a reviewer's key what that person may
              decide. It stays in this tab, and goes with it.
            </span>
          </div>
          <Show when={refused()}>
            <div class="failure" role="alert">
              {refused()}
            </div>
          </Show>
          <div class="actions">
            <button class="primary" type="submit" disabled={isAsking()}>
              {isAsking() ? "Asking …" : "Sign in"}
            </button>
          </div>
        </form>
      </section>
      <p class="muted small">
        <code>fairlane dev</code> and <code>fairlane demo</code> print an address that has the key already;{" "}
        <code>fairlane key create</code> makes one.
      </p>
    </main>
  );
}
