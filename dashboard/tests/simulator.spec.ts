// Reports of the simulator, as the command line writes them.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { isAccessible } from "./axe";
import { expect, test } from "./server";

const SCENARIO = fileURLToPath(new URL("../../examples/scenarios/three-banks.yaml", import.meta.url));
const REVIEWERS = fileURLToPath(new URL("../../examples/scenarios/reviewers.yaml", import.meta.url));

test("a report is opened from a file and sent nowhere", async ({ page, server }) => {
  const binary = process.env["FAIRLANE_BINARY"] ?? "fairlane";
  const report = execFileSync(binary, ["simulate", SCENARIO, "--json"], { stdio: ["ignore", "pipe", "ignore"] });
  await page.goto(server.address("simulator"));
  await expect(page.getByText("No report is open")).toBeVisible();
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.method()));
  await page.getByLabel("Report", { exact: true }).setInputFiles({ name: "report.json", mimeType: "application/json", buffer: report });
  await expect(page.getByRole("heading", { name: "Groups" })).toBeVisible();
  const plays = JSON.parse(report.toString()).plays as { name: string }[];
  for (const play of plays) {
    await page.getByRole("group", { name: "Play" }).getByRole("button", { name: play.name, exact: true }).click();
    await expect(page.getByRole("grid", { name: `Tenants of ${play.name}` })).toBeVisible();
  }
  await isAccessible(page);
  expect(asked).toEqual([]);
});

test("a report in which people decide says whether there are enough of them", async ({ page, server }) => {
  const binary = process.env["FAIRLANE_BINARY"] ?? "fairlane";
  const report = execFileSync(binary, ["simulate", REVIEWERS, "--json"], { stdio: ["ignore", "pipe", "ignore"] });
  await page.goto(server.address("simulator"));
  await page.getByLabel("Report", { exact: true }).setInputFiles({ name: "report.json", mimeType: "application/json", buffer: report });
  const { plays } = JSON.parse(report.toString()) as { plays: { name: string; desks: { name: string; people: number }[] }[] };
  const rows = page.getByRole("region", { name: "Reviewers" }).getByRole("row");
  await expect(rows).toHaveCount(1 + plays.reduce((sum, play) => sum + play.desks.length, 0));
  await expect(rows.nth(1)).toContainText(`${plays[0]?.desks[0]?.name}`);
  await expect(page.getByRole("grid").getByRole("columnheader", { name: "Review p95" })).toBeVisible();
  await isAccessible(page);
});

test("a file that is no report is refused with words", async ({ page, server }) => {
  await page.goto(server.address("simulator"));
  const file = (text: string) => ({ name: "other.json", mimeType: "application/json", buffer: Buffer.from(text) });
  await page.getByLabel("Report", { exact: true }).setInputFiles(file("{ not json"));
  await expect(page.getByRole("alert")).toContainText("It is not JSON");
  await page.getByLabel("Report", { exact: true }).setInputFiles(file('{"scenario": "x", "plays": []}'));
  await expect(page.getByRole("alert")).toContainText("has no `start`");
});
