// The overview: live, and with words where there is nothing.

import { isAccessible } from "./axe";
import { expect, test } from "./server";

const SLOW = `
workflow: slow
version: 1
steps:
  work:
    task: work
    with: { sleep_ms: input.sleep_ms }
`;

test("what tenants hold shows within a second or two, and in the plot", async ({ page, server }) => {
  await server.workflow("slow", SLOW);
  await page.goto(server.reach.dashboard);
  const slots = page.locator(".tile", { hasText: "Slots in use" }).locator("dd").first();
  await expect(slots).toHaveText("0");
  await server.submit("dev", "slow", { sleep_ms: 20_000 });
  await expect(slots).toHaveText("1", { timeout: 3_000 });
  await expect(page.getByRole("img", { name: /Slots that each tenant holds/ })).toBeVisible();
  await expect(page.locator(".legend li", { hasText: "dev" })).toContainText("1");
  await isAccessible(page);
});

test("a server that falls silent is said, and found again", async ({ page, server }) => {
  await page.goto(server.reach.dashboard);
  await expect(page.getByRole("status")).toHaveText("live");
  await page.route("**/v1/**", (route) => route.abort());
  await expect(page.getByRole("status")).toHaveText("no answer, trying again");
  await expect(page.getByRole("alert")).toContainText("The server does not answer");
  await expect(page.getByRole("alert")).toContainText("What is shown is from");
  // What was seen stays.
  await expect(page.getByRole("heading", { name: "Pools" })).toBeVisible();
  await page.unroute("**/v1/**");
  await expect(page.getByRole("status")).toHaveText("live");
  await expect(page.getByRole("alert")).toHaveCount(0);
});

test("what has the keyboard keeps it while the page is read again", async ({ page, server }) => {
  await server.workflow("slow", SLOW);
  await server.submit("dev", "slow", { sleep_ms: 20_000 });
  await page.goto(server.reach.dashboard);
  const tenant = page.locator(".legend").getByRole("link", { name: "dev" });
  await tenant.focus();
  for (let read = 0; read < 3; read += 1) {
    await page.waitForResponse("**/v1/platform/overview*");
  }
  await expect(tenant).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "dev" })).toBeVisible();
});

test("a page that is loaded while no server answers is there as soon as one does", async ({ page, server }) => {
  await page.goto(server.reach.dashboard);
  await expect(page.getByRole("status")).toHaveText("live");
  await page.route("**/v1/**", (route) => route.abort());
  await page.reload();
  await expect(page.getByRole("alert")).toContainText("The server does not answer");
  await page.unroute("**/v1/**");
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
});

test("a tab that nobody looks at asks nothing", async ({ page, server }) => {
  await page.goto(server.reach.dashboard);
  await expect(page.getByRole("status")).toHaveText("live");
  const see = (state: string) =>
    page.evaluate((state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  let asked = 0;
  page.on("request", () => (asked += 1));
  await see("hidden");
  // What was under way may end, and nothing comes after it.
  await page.waitForTimeout(500);
  asked = 0;
  await page.waitForTimeout(2_500);
  expect(asked).toBe(0);
  await see("visible");
  await expect.poll(() => asked).toBeGreaterThan(0);
});
