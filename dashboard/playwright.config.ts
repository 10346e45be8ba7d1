// How the dashboard is tried: in the system's own Chromium, against servers that the tests start; see tests/server.ts.

import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests",
  outputDir: "test-results",
  fullyParallel: false,
  workers: 1,
  forbidOnly: true,
  reporter: "list",
  timeout: 120_000,
  expect: { timeout: 30_000 },
  use: {
    viewport: { width: 1280, height: 800 },
    screenshot: "only-on-failure",
    launchOptions: {
      executablePath: process.env["FAIRLANE_BROWSER"] ?? "/usr/bin/chromium",
      args: ["--no-sandbox"],
    },
  },
});
