// The list of tenants and the page of one: finding, sorting, changing a cap and a budget and seeing it act.

import { isAccessible } from "./axe";
import { expect, type Server, test } from "./server";

const HELD = `
workflow: held
version: 1
steps:
  work:
    task: work
    with: { sleep_ms: input.sleep_ms }
    cost: 0.60
`;

/// Both of two runs are let in before either of them costs anything.
const PAID = `
workflow: paid
version: 1
steps:
  begin:
    task: work
    with: { sleep_ms: input.sleep_ms }
  work:
    after: begin
    task: work
    with: { sleep_ms: 1 }
    cost: 0.60
`;

async function declare(server: Server): Promise<void> {
  await server.workflow("held", HELD);
  await server.send("PUT", "/v1/orgs/group", {});
  await server.send("PUT", "/v1/budget-classes/small", { quotas: {}, budget: { month: "1.00" } });
  await server.send("PUT", "/v1/tiers/standard", { weight: 1, cap: 2 });
  await server.send("PUT", "/v1/tiers/paying", { weight: 1, cap: 8, budget_class: "small" });
  for (const name of ["capped", "other-1", "other-2"]) {
    await server.send("PUT", `/v1/tenants/${name}`, { org: "group", tier: "standard" });
  }
  await server.send("PUT", "/v1/tenants/paying", { org: "group", tier: "paying" });
}

test("tenants are searched, sorted and opened by keys alone", async ({ page, server }) => {
  await declare(server);
  await page.goto(server.address("tenants"));
  const grid = page.getByRole("grid", { name: "Tenants" });
  await expect(grid.getByRole("row")).toHaveCount(1 + 5);
  await isAccessible(page);
  await page.keyboard.press("/");
  await page.keyboard.type("other");
  await expect(grid.getByRole("row")).toHaveCount(1 + 2);
  expect(page.url()).toContain("q=other");
  await grid.getByRole("button", { name: "Tenant" }).press("Enter");
  await expect(grid.getByRole("columnheader", { name: "Tenant" })).toHaveAttribute("aria-sort", "ascending");
  await grid.getByRole("button", { name: "Tenant" }).press("Enter");
  await expect(grid.getByRole("columnheader", { name: "Tenant" })).toHaveAttribute("aria-sort", "descending");
  await expect(grid.getByRole("row").nth(1)).toContainText("other-2");
  // One of them has a budget, and none of it is spent.
  await page.getByLabel("Search tenants").fill("");
  await grid.getByRole("button", { name: "Budget" }).press("Enter");
  await expect(grid.getByRole("row").nth(1)).toContainText("paying");
  await expect(grid.getByRole("row").nth(1)).toContainText("0 %");
  await page.getByLabel("Search tenants").fill("other");
  await grid.getByRole("button", { name: "Tenant" }).press("Enter");
  await grid.getByRole("button", { name: "Tenant" }).press("Enter");
  await grid.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await expect(grid.getByRole("row", { selected: true })).toContainText("other-1");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "other-1" })).toBeVisible();
});

test("from the search one goes on into what was found, and comes back to it", async ({ page, server }) => {
  await declare(server);
  await page.goto(server.address("tenants?q=other&sort=tenant"));
  const grid = page.getByRole("grid", { name: "Tenants" });
  await expect(grid.getByRole("row")).toHaveCount(1 + 2);
  await page.keyboard.press("/");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await expect(grid.getByRole("row", { selected: true })).toContainText("other-2");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "other-2" })).toBeVisible();
  await page.goBack();
  await expect(grid.getByRole("row", { selected: true })).toContainText("other-2");
});

test("what stands in the columns is said without a pointer", async ({ page, server }) => {
  await declare(server);
  await page.goto(server.address("tenants"));
  await page.getByText("Columns", { exact: true }).press("Enter");
  await expect(page.getByText("Slot time had ahead of its share")).toBeVisible();
  await isAccessible(page);
  await page.keyboard.press("Escape");
  await expect(page.getByText("Slot time had ahead of its share")).toBeHidden();
});

test("a search that finds nobody says so", async ({ page, server }) => {
  await page.goto(server.address("tenants?q=nobody"));
  await expect(page.getByText('No tenant has "nobody"')).toBeVisible();
});

test("a cap that is raised lets more of what waits through at once", async ({ page, server }) => {
  await declare(server);
  for (let run = 0; run < 6; run += 1) {
    await server.submit("capped", "held", { sleep_ms: 600_000 });
  }
  await page.goto(server.address("tenants/capped"));
  const slots = page.locator(".tile", { hasText: "of its cap" }).locator("dd").first();
  await expect(slots).toHaveText("2 / 2");
  await page.getByRole("button", { name: "Change cap or weight" }).click();
  await page.getByLabel("Cap", { exact: true }).fill("4");
  await page.getByRole("button", { name: "Change", exact: true }).click();
  await expect(slots).toHaveText("4 / 4", { timeout: 3_000 });
  await expect(page.getByRole("dialog")).toHaveCount(0);
  // What is the tier's stays the tier's: only the cap is the tenant's own.
  await server.send("PUT", "/v1/tiers/standard", { weight: 7, cap: 2 });
  const tenant = (await server.send("GET", "/v1/tenants/capped")) as { weight: number; cap: number };
  expect(tenant).toMatchObject({ weight: 7, cap: 4 });
  await isAccessible(page);
});

test("a cap that cannot be is refused with the server's words, and the dialog stays", async ({ page, server }) => {
  await declare(server);
  await page.goto(server.address("tenants/other-1"));
  await page.getByRole("button", { name: "Change cap or weight" }).click();
  const asked = page.getByLabel("Cap", { exact: true });
  // The field itself lets nothing else through.
  await asked.evaluate((input) => input.removeAttribute("max"));
  await asked.fill("1000001");
  await page.getByRole("button", { name: "Change", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("1000001");
  await isAccessible(page);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
});

test("a tenant is suspended and resumed", async ({ page, server }) => {
  await declare(server);
  await page.goto(server.address("tenants/other-2"));
  await page.getByRole("button", { name: "Suspend" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Suspend" }).click();
  await expect(page.getByText("suspended", { exact: true })).toBeVisible();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Resume" }).click();
  await expect(page.getByText("suspended", { exact: true })).toHaveCount(0);
});

test("a budget that is topped up lets the run go on that waited for it", async ({ page, server }) => {
  await declare(server);
  // There is money for one of them.
  await server.workflow("paid", PAID);
  const [first, second] = [1_500, 2_500].map((sleep_ms) => ({ workflow: "paid", input: { sleep_ms } }));
  const batch = await server.send("POST", "/v1/tenants/paying/runs:batch", { runs: [first, second] });
  const waiting = (batch as { results: { run: string }[] }).results[1]?.run ?? "";
  await page.goto(server.address(`tenants/paying/runs/${waiting}`));
  await expect(page.getByText(/Waits at the gate\s+budget/)).toBeVisible();
  await isAccessible(page);
  await page.getByRole("link", { name: "paying" }).click();
  await page.getByRole("button", { name: "Top up the month" }).click();
  await page.getByLabel("Amount to add").fill("2.5");
  await expect(page.getByText("It has 3.50 in all then")).toBeVisible();
  await page.getByRole("dialog").getByRole("button", { name: "Top up" }).click();
  await expect(page.getByRole("row", { name: /^month/ })).toContainText("1.20 / 3.50");
  // Among the runs; its decisions lead to it, too.
  const row = page.getByRole("region", { name: "Runs" }).getByRole("row", { name: waiting.slice(-8) });
  await expect(row).toContainText("completed");
});

test("a tenant's key sees that tenant, and nothing beside it", async ({ page, server }) => {
  await declare(server);
  const key = await server.key({ role: "tenant", tenant: "other-1" });
  await page.goto(server.address("", key));
  await expect(page.getByRole("heading", { name: "other-1" })).toBeVisible();
  await expect(page.getByRole("navigation").getByRole("link")).toHaveText(["other-1", "Reviews", "Simulator"]);
  await expect(page.getByRole("button", { name: "Change cap or weight" })).toHaveCount(0);
  await expect(page.getByRole("button", { name: /Top up/ })).toHaveCount(0);
  await isAccessible(page);
  await page.goto(`${server.reach.url}/ui/tenants/other-2`);
  await expect(page.getByRole("alert").first()).toContainText("could not be read");
  await expect(page.getByText("Context")).toHaveCount(0);
  await page.goto(`${server.reach.url}/ui/overview`);
  await expect(page.getByText("This page is for operators")).toBeVisible();
});
