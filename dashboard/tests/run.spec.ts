// The page of a run: its steps in time, what they wait for, and what may be done with it.

import { isAccessible } from "./axe";
import { expect, test } from "./server";

const STEPS = `
workflow: steps
version: 1
steps:
  first:
    task: first
    with: { sleep_ms: 1 }
  second:
    after: first
    task: second
    with: { sleep_ms: input.sleep_ms, fail: input.fail }
  third:
    after: second
    wait: { signal: go }
  last:
    after: third
    task: last
    with: { sleep_ms: 1 }
`;

test("steps stand in time with what they wait for, and a run is paused, resumed and cancelled", async ({ page, server }) => {
  await server.workflow("steps", STEPS);
  const run = await server.submit("dev", "steps", { sleep_ms: 10, fail: false });
  await page.goto(server.address(`tenants/dev/runs/${run}`));
  await expect(page.getByText("2 of 4 done")).toBeVisible();
  await expect(page.getByText(/Waits\s+for signal/)).toBeVisible();
  await expect(page.locator(".timeline .bar")).toHaveCount(3);
  await isAccessible(page);
  for (const [action, status] of [["Pause", "paused"], ["Resume", "running"], ["Cancel", "cancelled"]] as const) {
    await page.getByRole("button", { name: action }).click();
    await page.getByRole("dialog").getByRole("button", { name: action }).click();
    await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(page.locator("main .head .badge")).toHaveText(status);
  }
});

test("a run that failed says of what, and is tried again", async ({ page, server }) => {
  await server.workflow("steps", STEPS);
  const run = await server.submit("dev", "steps", { sleep_ms: 1, fail: true });
  await page.goto(server.address(`tenants/dev/runs/${run}`));
  await expect(page.locator("main .head .badge")).toHaveText("failed");
  await expect(page.locator(".failure")).toContainText("second:");
  await isAccessible(page);
  const revision = page.getByText(/^revision \d+$/);
  const before = await revision.textContent();
  await page.getByRole("button", { name: "Retry" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
  // It fails again, later.
  await expect(revision).not.toHaveText(before ?? "");
  await expect(page.locator("main .head .badge")).toHaveText("failed");
});

test("the end of a run shows by itself, with its output", async ({ page, server }) => {
  await server.workflow("steps", STEPS);
  const run = await server.submit("dev", "steps", { sleep_ms: 1, fail: false });
  await page.goto(server.address(`tenants/dev/runs/${run}`));
  await expect(page.getByText(/Waits\s+for signal/)).toBeVisible();
  await server.send("POST", `/v1/tenants/dev/runs/${run}/signals/go`, {});
  await expect(page.locator("main .head .badge")).toHaveText("completed", { timeout: 3_000 });
  await expect(page.getByRole("heading", { name: "Output" })).toBeVisible();
});

test("a run that is not there is said once, and not asked for for ever", async ({ page, server }) => {
  await page.goto(server.address("tenants/dev/runs/01a21ccc-7081-772a-8ca9-d4f0bf1d1f01"));
  await expect(page.getByRole("alert").first()).toContainText("The run could not be read");
});
