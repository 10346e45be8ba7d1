// Reviews: a reviewer claims one, fills in its form and decides it, and the run goes on.

import { isAccessible } from "./axe";
import { expect, type Server, test } from "./server";

const ASKED = `
workflow: asked
version: 1
steps:
  manual:
    with: { applicant: input.applicant, amount: input.amount }
    review:
      pool: underwriters
      form:
        type: object
        required: [limit]
        properties:
          limit: { type: integer, minimum: 1, title: Limit, description: What may be lent }
          grade: { enum: [A, B, C] }
          note: { type: string }
          urgent: { type: boolean }
  decide:
    after: manual
    task: decide
    with: { limit: steps.manual.output.data.limit }
`;

async function declare(server: Server): Promise<string> {
  const members = [{ person: "ada" }, { person: "bob" }];
  await server.send("PUT", "/v1/catalog/reviewer-pools/underwriters", { pick: true, members });
  await server.workflow("asked", ASKED);
  return server.key({ role: "reviewer", person: "ada" });
}

test("a reviewer claims a review, fills in its form and decides it", async ({ page, server }) => {
  const ada = await declare(server);
  await page.goto(server.address("", ada));
  await expect(page.getByText("Nothing waits for you")).toBeVisible();
  const run = await server.submit("dev", "asked", { applicant: "Eva", amount: 9_000 });
  await page.getByRole("link", { name: "manual" }).click();
  await expect(page.getByText("Eva")).toBeVisible();
  await isAccessible(page);
  await page.getByRole("button", { name: "Claim" }).click();
  await page.getByRole("button", { name: "approved" }).click();
  await page.getByLabel("Limit").fill("5000");
  await page.getByLabel("grade").selectOption("B");
  await page.getByLabel("urgent").check();
  await isAccessible(page);
  await page.getByRole("button", { name: "Decide: approved" }).click();
  await expect(page.getByText("Decided: approved.")).toBeVisible();
  await expect(page.getByRole("link", { name: "manual" })).toHaveCount(0);
  await expect
    .poll(async () => ((await server.send("GET", `/v1/tenants/dev/runs/${run}`)) as { run: { status: string } }).run.status)
    .toBe("completed");
  const detail = (await server.send("GET", `/v1/tenants/dev/runs/${run}/output`)) as object;
  expect(JSON.stringify(detail)).not.toContain("null");
});

test("the next review is taken, commented, given to somebody else, and not decided any more", async ({ page, server }) => {
  const ada = await declare(server);
  await server.submit("dev", "asked", { applicant: "Ida", amount: 1 });
  await page.goto(server.address("", ada));
  await page.getByRole("button", { name: "Take the next" }).click();
  await expect(page.getByRole("button", { name: "approved" })).toBeVisible();
  await page.getByRole("button", { name: "Comment" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("the income is missing");
  await page.getByRole("dialog").getByRole("button", { name: "Comment" }).click();
  await expect(page.locator(".record")).toContainText("the income is missing");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.getByRole("button", { name: "Give to" }).click();
  await page.getByLabel("Person").fill("bob");
  await page.getByRole("dialog").getByRole("button", { name: "Give" }).click();
  await expect(page.getByRole("button", { name: "approved" })).toHaveCount(0);
  const bob = await server.key({ role: "reviewer", person: "bob" });
  await page.goto(server.address("", bob));
  await page.getByRole("link", { name: "manual" }).click();
  await page.getByRole("button", { name: "rejected" }).click();
  await page.getByLabel("Limit").fill("1");
  await page.getByRole("button", { name: "Decide: rejected" }).click();
  await expect(page.getByText("Decided: rejected.")).toBeVisible();
});

test("what the form asks for is needed, and a decision without it is not sent", async ({ page, server }) => {
  const ada = await declare(server);
  await server.submit("dev", "asked", { applicant: "Uma", amount: 2 });
  await page.goto(server.address("", ada));
  await page.getByRole("button", { name: "Take the next" }).click();
  await page.getByRole("button", { name: "approved" }).click();
  await page.getByRole("button", { name: "Decide: approved" }).click();
  await expect(page.getByLabel("Limit")).toBeFocused();
  await page.getByRole("button", { name: "Give back" }).click();
  await expect(page.getByText("It is open again.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Claim" })).toBeVisible();
});

test("an operator sees all reviews and decides none", async ({ page, server }) => {
  await declare(server);
  await server.submit("dev", "asked", { applicant: "Zoe", amount: 3 });
  await page.goto(server.address("reviews"));
  await page.getByRole("link", { name: "manual" }).first().click();
  await expect(page.getByText("What it is about")).toBeVisible();
  await expect(page.getByRole("button", { name: "Claim" })).toHaveCount(0);
  await expect(page.getByRole("button", { name: "Escalate" })).toBeVisible();
  await isAccessible(page);
});
