// Asks the API with the key of the session, and turns every way in which that fails into a `Failure`.

import createClient from "openapi-fetch";

import type { Problem, paths } from "./schema";

/// Why something could not be read or done: the server's own words where there are any.
export class Failure extends Error {
  constructor(
    /// What was wrong, for people.
    override readonly message: string,
    /// The HTTP status; 0 if nothing answered.
    readonly status: number,
    readonly problem?: Problem,
  ) {
    super(message);
  }

  /// The key opens nothing.
  get isUnknownKey(): boolean {
    return this.status === 401;
  }
}

let key = "";

export function useKey(secret: string): void {
  key = secret;
}

export const api = createClient<paths>({ baseUrl: "/" });

api.use({
  onRequest({ request }) {
    if (key !== "") {
      request.headers.set("authorization", `Bearer ${key}`);
    }
    return request;
  },
});

interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/// What was answered, or a `Failure`.
export async function ask<T>(asked: Promise<Answered<T>>): Promise<T> {
  let answered: Answered<T>;
  try {
    answered = await asked;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") {
      throw error;
    }
    throw new Failure("The server does not answer.", 0);
  }
  const { data, error, response } = answered;
  if (response.ok) {
    return data as T;
  }
  throw failure(response.status, error);
}

export function failure(status: number, body: unknown): Failure {
  if (isProblem(body)) {
    const mistakes = (body.mistakes ?? []).map((mistake) => mistake.message);
    const parts = [body.title, body.detail, ...mistakes].filter((part) => part != null && part !== "");
    const expected = body.expected == null ? "" : ` Expected: ${body.expected}.`;
    return new Failure(`${parts.join(": ")}.${expected}`, status, body);
  }
  return new Failure(`The server answered with status ${status}.`, status);
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "title" in body;
}
