// Reports of the simulator, as the command line writes them.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { isAccessible } from "./axe";
import { expect, test } from "./server";

const SCENARIO = fileURLToPath(new URL("../../examples/scenarios/three-banks.yaml", import.meta.url));

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

test("a file that is no report is refused with words", async ({ page, server }) => {
  await page.goto(server.address("simulator"));
  const file = (text: string) => ({ name: "other.json", mimeType: "application/json", buffer: Buffer.from(text) });
  await page.getByLabel("Report", { exact: true }).setInputFiles(file("{ not json"));
  await expect(page.getByRole("alert")).toContainText("It is not JSON");
  await page.getByLabel("Report", { exact: true }).setInputFiles(file('{"scenario": "x", "plays": []}'));
  await expect(page.getByRole("alert")).toContainText("has no `start`");
});
