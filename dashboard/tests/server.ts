// A server for tests: `fairlane dev` on a free port and a folder of its own, ended by its id.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { test as base, expect, type Page } from "@playwright/test";

const STOP_MS = 2_000;

/// What `fairlane dev --json` says of itself.
interface Reach {
  url: string;
  key: string;
  worker_key: string;
  tenant: string;
  dashboard: string;
}

export class Server {
  constructor(
    readonly reach: Reach,
    readonly process: ChildProcess,
  ) {}

  /// Sends JSON with the operator's key, or another one.
  async send(method: string, path: string, body?: unknown, key = this.reach.key): Promise<unknown> {
    const answer = await fetch(this.reach.url + path, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) {
      throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    }
    return text === "" ? undefined : JSON.parse(text);
  }

  async workflow(name: string, source: string): Promise<void> {
    const answer = await fetch(`${this.reach.url}/v1/workflows/${name}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${this.reach.key}`, "content-type": "application/yaml" },
      body: source,
    });
    expect(answer.ok, await answer.text()).toBe(true);
  }

  async key(spec: Record<string, unknown>): Promise<string> {
    const created = (await this.send("POST", "/v1/platform/keys", spec)) as { secret: string };
    return created.secret;
  }

  async submit(tenant: string, workflow: string, input: unknown = {}): Promise<string> {
    const submitted = await this.send("POST", `/v1/tenants/${tenant}/runs`, { workflow, input });
    return (submitted as { run: string }).run;
  }

  address(path: string, key = this.reach.key): string {
    return `${this.reach.url}/ui/${path}#key=${key}`;
  }
}

export async function start(data: string, ...more: string[]): Promise<Server> {
  const binary = process.env["FAIRLANE_BINARY"];
  if (binary === undefined) {
    throw new Error("FAIRLANE_BINARY does not name the server; `cargo xtask browser` does that");
  }
  const words = ["dev", "--json", "--data", data, "--listen", "127.0.0.1:0", ...more];
  const child = spawn(binary, words, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const line of createInterface({ input: child.stdout })) {
    text += line;
    if (line.startsWith("}") || (line.startsWith("{") && line.endsWith("}"))) {
      return new Server(JSON.parse(text) as Reach, child);
    }
  }
  throw new Error(`the server ended before it said where it is: ${text}`);
}

export async function stop(server: Server): Promise<void> {
  if (server.process.exitCode !== null) {
    return;
  }
  const ended = new Promise((resolve) => server.process.once("exit", resolve));
  server.process.kill("SIGTERM");
  // Its worker would finish what it holds, which tests make long.
  const late = setTimeout(() => server.process.kill("SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(late);
}

/// All tests share a server, which is another one after a test that failed. A page that says anything on the console, or asks anybody else, fails its test.
export const test = base.extend<{ expected: RegExp | undefined; quiet: void }, { server: Server }>({
  /// What the page says on the console since the test makes it.
  expected: [undefined, { option: true }],
  server: [
    async ({}, use) => {
      const data = await mkdtemp(join(tmpdir(), "fairlane-browser-"));
      const server = await start(data, "--worker");
      await use(server);
      await stop(server);
      await rm(data, { recursive: true });
    },
    { scope: "worker" },
  ],
  quiet: [
    async ({ page, server, expected }, use) => {
      const said: string[] = [];
      page.on("console", (message) => {
        // Chromium reports refusals of the server as errors, which tests cause on purpose.
        if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
          said.push(message.text());
        }
      });
      page.on("pageerror", (error) => said.push(error.message));
      page.on("request", (request) => {
        if (!request.url().startsWith(server.reach.url) && !request.url().startsWith("data:")) {
          said.push(`asked ${request.url()}`);
        }
      });
      await use();
      expect(said.filter((text) => expected?.test(text) !== true)).toEqual([]);
    },
    { auto: true },
  ],
});

export { expect, type Page };
