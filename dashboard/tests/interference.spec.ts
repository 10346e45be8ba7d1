// Interference: what is said where nothing was compared, and of a finding each number that it rests on.

import { isAccessible } from "./axe";
import { expect, test } from "./server";

/// Half an hour of load would be needed to find one: the page is given one in the place of the server's.
const FOUND = {
  tenant: "loud",
  at: "slots",
  place: "default",
  correlation: 0.91,
  lag_us: 10_000_000,
  probability: 0.0004,
  ms_per_slot: 1.5,
  slots: 40,
  effect_us: 60_000,
  buckets: 170,
  significant: true,
};

test("without anything to compare the page says what it takes", async ({ page, server }) => {
  await page.goto(server.address("interference"));
  await expect(page.getByText("No tenant's load was compared")).toBeVisible();
  await isAccessible(page);
});

test("a tenant whose load reaches others stands with the place and the numbers", async ({ page, server }) => {
  await page.route("**/v1/platform/overview*", async (route) => {
    const answer = await route.fetch();
    const overview = (await answer.json()) as { interference: unknown[] };
    await route.fulfill({ response: answer, json: { ...overview, interference: [FOUND] } });
  });
  await page.goto(server.address("interference"));
  const row = page.getByRole("row", { name: /loud/ });
  await expect(row.first()).toContainText("60 ms");
  await expect(row.last()).toContainText("slots default");
  await expect(row.last()).toContainText("< 0.001");
  await expect(row.last()).toContainText("incomplete");
  await isAccessible(page);
});
