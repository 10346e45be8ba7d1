// Signing in, the frame around the pages, and what the page may do.

import { expect, test } from "./server";

test("a key in the address opens the overview and does not stay there", async ({ page, server }) => {
  await page.goto(server.reach.dashboard);
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  expect(page.url()).toBe(`${server.reach.url}/ui/overview`);
  await expect(page.getByRole("status")).toHaveText("live");
  // Nor in the history.
  await page.goBack();
  expect(page.url()).not.toContain("key=");
});

test("a key that is pasted is kept for the tab, and a wrong one is refused with words", async ({ page, server }) => {
  await page.goto(`${server.reach.url}/`);
  await page.getByLabel("API key").fill("fl_0000000000000000_00");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("No such key");
  await page.getByLabel("API key").fill(server.reach.key);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.reload();
  await expect(page.getByLabel("API key")).toBeVisible();
});

test.describe("code within the page", () => {
  test.use({ expected: /violates the following Content Security Policy/ });

  test("code that the server did not send as a file does not run", async ({ page, server }) => {
    await page.goto(server.reach.dashboard);
    await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
    const ran = await page.evaluate(async () => {
      const script = document.createElement("script");
      script.textContent = "document.documentElement.dataset.ran = 'yes'";
      document.head.append(script);
      return document.documentElement.dataset["ran"];
    });
    expect(ran).toBeUndefined();
  });
});
