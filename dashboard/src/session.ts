// Who looks: the key, kept for this tab only, and what the server says that it opens.

import { createSignal } from "solid-js";

import { Failure, api, ask, useKey } from "./api/client";
import type { Me, Role } from "./api/schema";

const AGAIN_MS = 2_000;
const KEPT_AS = "fairlane-key";

/// Whoever looks, as far as the pages care.
export interface Access {
  role: Role;
  /// Of a tenant's key: the one tenant that there is.
  tenant: string | undefined;
  person: string | undefined;
  label: string;
}

const [access, setAccess] = createSignal<Access>();
const [refused, setRefused] = createSignal<string>();
const [isAsking, setAsking] = createSignal(false);

/// A key that was there already is asked about: whoever comes back does not see the question for it pass by.
const [isBeginning, setBeginning] = createSignal(false);

export { access, isAsking, isBeginning, refused };

export const isOperator = (): boolean => access()?.role === "operator";
/// Whether the key may change what a tenant's own key may change.
export const mayAct = (): boolean => isOperator() || access()?.role === "tenant";
export const isReviewer = (): boolean => access()?.role === "reviewer";

/// A key that came behind `#` of the address. It is taken out of the address, and so of the history, at once.
export function takeFromAddress(): string | undefined {
  const within = new URLSearchParams(location.hash.slice(1));
  const key = within.get("key");
  if (key === null) {
    return undefined;
  }
  history.replaceState(history.state, "", location.pathname + location.search);
  return key;
}

/// Begins with a key from the address or from before.
export function begin(): void {
  const key = takeFromAddress() ?? sessionStorage.getItem(KEPT_AS) ?? "";
  addEventListener("hashchange", () => {
    const other = takeFromAddress();
    if (other !== undefined) {
      void signIn(other);
    }
  });
  if (key !== "") {
    setBeginning(true);
    void signIn(key).finally(() => setBeginning(false));
  }
}

export async function signIn(key: string): Promise<void> {
  const trimmed = key.trim();
  setAsking(true);
  useKey(trimmed);
  // Kept at once: whoever goes on before the answer is there is not asked again.
  sessionStorage.setItem(KEPT_AS, trimmed);
  try {
    setAccess(accessOf(await ask(api.GET("/v1/me"))));
    setRefused(undefined);
  } catch (error) {
    if (error instanceof Failure && error.isUnknownKey) {
      sessionStorage.removeItem(KEPT_AS);
      setRefused("No such key here. It may have been deleted or have expired.");
    } else if (error instanceof Failure && (error.status === 0 || error.status >= 500)) {
      setRefused(`${error.message} It is tried again.`);
      again(trimmed);
    } else {
      setRefused(error instanceof Error ? error.message : String(error));
    }
    setAccess(undefined);
  } finally {
    setAsking(false);
  }
}

/// A server that does not answer says nothing about the key: it is asked again, unless another one was given meanwhile.
function again(key: string): void {
  setTimeout(() => {
    if (access() === undefined && !isAsking() && sessionStorage.getItem(KEPT_AS) === key) {
      void signIn(key);
    }
  }, AGAIN_MS);
}

/// `why` is shown where the next key is asked for.
export function signOut(why?: string): void {
  sessionStorage.removeItem(KEPT_AS);
  useKey("");
  setAccess(undefined);
  setRefused(why);
}

/// The key that may do most, if there are several.
function accessOf(me: Me): Access {
  const order: Role[] = ["operator", "tenant", "reviewer", "viewer", "auditor", "worker"];
  const keys = [...me.keys].sort((one, other) => order.indexOf(one.role) - order.indexOf(other.role));
  const first = keys[0];
  if (first === undefined) {
    throw new Failure("The server knows who you are, and no key is meant for you.", 403);
  }
  return {
    role: first.role,
    tenant: first.tenant ?? undefined,
    person: me.person ?? first.person ?? undefined,
    label: first.label,
  };
}
