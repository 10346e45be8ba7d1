// Accessibility, as far as a program can tell: no page may have a violation of WCAG 2.2 AA.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

import { expect, type Page } from "./server";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

interface Violation {
  id: string;
  help: string;
  nodes: { target: string[]; failureSummary: string }[];
}

/// In both colours: contrast differs.
export async function isAccessible(page: Page): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    // Evaluated by the browser's own tools, which the page's policy does not bind.
    await page.evaluate(source);
    const found = await page.evaluate(async (tags) => {
      const { axe } = globalThis as unknown as {
        axe: { run: (context: Document, options: unknown) => Promise<{ violations: Violation[] }> };
      };
      const { violations } = await axe.run(document, { runOnly: { type: "tag", values: tags } });
      return violations.map(({ id, help, nodes }) => ({
        id,
        help,
        where: nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`),
      }));
    }, TAGS);
    expect(found, colorScheme).toEqual([]);
  }
}
