// What stands around each page: where else to go, whether the server answers, who looks.

import { A, type RouteSectionProps, useLocation } from "@solidjs/router";
import { For, Show, Suspense, createEffect, on } from "solid-js";

import { light } from "./live/health";
import { access, isOperator, isReviewer, signOut } from "./session";
import { nextTheme, theme } from "./ui/theme";

interface Place {
  href: string;
  name: string;
}

function places(): Place[] {
  const simulator = { href: "/simulator", name: "Simulator" };
  const reviews = { href: "/reviews", name: "Reviews" };
  const tenant = access()?.tenant;
  if (isOperator()) {
    const own = [["/overview", "Overview"], ["/tenants", "Tenants"], ["/interference", "Interference"]] as const;
    return [...own.map(([href, name]) => ({ href, name })), reviews, simulator];
  }
  if (isReviewer()) {
    return [reviews, simulator];
  }
  return tenant === undefined ? [simulator] : [{ href: `/tenants/${tenant}`, name: tenant }, reviews, simulator];
}

export function Frame(props: RouteSectionProps) {
  let main!: HTMLElement;
  const location = useLocation();
  // Who reads by ear or moves by keys begins at the top of the page that came.
  createEffect(on(() => location.pathname, () => main.focus({ preventScroll: true }), { defer: true }));
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.focus())}>
        To the page
      </a>
      <header class="top">
        <A class="brand" href="/">
          <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" />
          Fairlane
        </A>
        <nav aria-label="Pages">
          <For each={places()}>{(place) => <Link {...place} />}</For>
        </nav>
        <div class="side">
          <Show when={light()}>
            {(light) => (
              <span class={`light ${light()}`} role="status">
                {{ connecting: "connecting", live: "live", failing: "no answer, trying again" }[light()]}
              </span>
            )}
          </Show>
          <span class="who">{who()}</span>
          <button class="quiet" onClick={nextTheme} title="Colours: as the system has it, light, dark">
            <span aria-hidden="true">◐ </span>
            {{ system: "Auto", light: "Light", dark: "Dark" }[theme()]}
          </button>
          <button class="quiet" onClick={() => signOut()}>
            Sign out
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1} ref={main} classList={{ stale: light() === "failing" }}>
        <Suspense>{props.children}</Suspense>
      </main>
    </>
  );
}

function Link(props: Place) {
  const location = useLocation();
  const isHere = (): boolean => {
    const path = `/ui${props.href}`;
    return location.pathname === path || location.pathname.startsWith(`${path}/`);
  };
  return (
    <a href={`/ui${props.href}`} aria-current={isHere() ? "page" : undefined}>
      {props.name}
    </a>
  );
}

function who(): string {
  const found = access();
  if (found === undefined) {
    return "";
  }
  return [found.role, found.person ?? found.tenant].filter((part) => part !== undefined).join(" ");
}
