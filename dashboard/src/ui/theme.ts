// Dark, light, or as the system has it; and colours as canvases need them.

import { createSignal } from "solid-js";

export type Theme = "system" | "light" | "dark";

const KEPT_AS = "fairlane-theme";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

const [theme, set] = createSignal<Theme>(kept());
const system = matchMedia("(prefers-color-scheme: dark)");
const [isSystemDark, setSystemDark] = createSignal(system.matches);
system.addEventListener("change", () => setSystemDark(system.matches));
apply(theme());

export { theme };

/// Read by what draws by itself, to draw again when it changes.
export const isDark = (): boolean => (theme() === "system" ? isSystemDark() : theme() === "dark");

export function nextTheme(): void {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length] ?? "system";
  localStorage.setItem(KEPT_AS, next);
  apply(next);
  set(next);
}

/// What a custom property is as a colour, now.
export function colour(property: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function kept(): Theme {
  const found = localStorage.getItem(KEPT_AS);
  return THEMES.find((theme) => theme === found) ?? "system";
}

function apply(theme: Theme): void {
  if (theme === "system") {
    delete document.documentElement.dataset["theme"];
  } else {
    document.documentElement.dataset["theme"] = theme;
  }
}
