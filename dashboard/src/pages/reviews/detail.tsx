// One review: what is asked, what happened so far, and the decision.

import { A } from "@solidjs/router";
import { For, Show, createSignal } from "solid-js";

import { Failure, api, ask } from "../../api/client";
import type { ReviewDetail } from "../../api/schema";
import { away, moment, words } from "../../format";
import { now } from "../../live/clock";
import { poll } from "../../live/poll";
import { access, isOperator, isReviewer } from "../../session";
import { Badge, Failed, Panel, Waiting } from "../../ui/parts";
import { Status } from "../../ui/status";
import { Away, Moment } from "../../ui/time";
import { Decide } from "./decide";
import { Hand } from "./hand";

const isOpen = (review: ReviewDetail): boolean => review.state === "open" || review.state === "claimed";

export function Detail(props: { id: string; onDone: () => Promise<void> }) {
  const path = { review: props.id };
  const { value, failure, refresh } = poll((signal) =>
    ask(api.GET("/v1/reviews/{review}", { params: { path }, signal })),
  );
  const [refused, setRefused] = createSignal<Failure>();
  const [done, setDone] = createSignal<string>();
  const mine = () => value()?.claim != null && value()?.claim?.person === access()?.person;
  /// Does it, and says why not.
  const perform = async (action: () => Promise<string | undefined>): Promise<void> => {
    setRefused(undefined);
    try {
      setDone(await action());
      await Promise.all([refresh(), props.onDone()]);
    } catch (error) {
      setRefused(error instanceof Failure ? error : new Failure(String(error), 0));
    }
  };
  const claim = () =>
    perform(async () => {
      await ask(api.POST("/v1/reviews/{review}/claim", { params: { path } }));
      return undefined;
    });
  return (
    <Panel title={value() === undefined ? "Review" : `${value()?.step} of ${value()?.tenant}`}>
      <Failed of="The review could not be read" failure={failure()} />
      <Show when={value()} fallback={<Show when={!failure()}><Waiting /></Show>}>
        {(review) => (
          <div class="body stack">
            <Facts review={review()} />
            <Show when={done()}>{(done) => <div role="status" class="said">{done()}</div>}</Show>
            <Failed of="It was not done" failure={refused()} isTried={false} />
            <Show when={review().subject !== undefined && review().subject !== null}>
              <div class="field">
                <span class="label">What it is about</span>
                <Subject of={review().subject} />
              </div>
            </Show>
            <Show when={isOpen(review()) && isReviewer()}>
              <Show
                when={mine()}
                fallback={
                  <div class="actions">
                    <button class="primary" disabled={review().state === "claimed"} onClick={() => void claim()}>
                      Claim
                    </button>
                    <span class="muted">Whoever has claimed it decides it; nobody else can meanwhile.</span>
                  </div>
                }
              >
                <Decide review={review()} perform={perform} />
              </Show>
            </Show>
            <Show when={isOpen(review()) && (isReviewer() || isOperator())}>
              <Hand review={review()} perform={perform} />
            </Show>
            <Record review={review()} />
          </div>
        )}
      </Show>
    </Panel>
  );
}

function Facts(props: { review: ReviewDetail }) {
  const review = () => props.review;
  return (
    <dl class="facts">
      <dt>State</dt>
      <dd>
        <Status of={review().state} /> <Show when={review().outcome}>{(outcome) => <Badge>{outcome()}</Badge>}</Show>
        <Show when={review().claim}>
          {(claim) => (
            <span class="muted">
              {" "}
              by {claim().person}, until {moment(claim().until, now())}
            </span>
          )}
        </Show>
      </dd>
      <dt>Asked</dt>
      <dd>
        {review().kind}, <Away at={review().opened_at} />
        <Show when={review().cause !== "step"}>, because of {words(review().cause)}</Show>
      </dd>
      <dt>Due</dt>
      <dd>
        {away(review().due_at, now())}, {moment(review().due_at, now())}
      </dd>
      <dt>Pool</dt>
      <dd>
        {review().pool}, class {review().class}
        <Show when={review().before != null}>, {review().before} come before it</Show>
      </dd>
      <Show when={review().persons > 1}>
        <dt>Persons</dt>
        <dd>
          {review().persons}
          <Show when={(review().decided_by ?? []).length > 0}>, agreed to by {review().decided_by?.join(", ")}</Show>
          <Show when={review().proposed}>{(proposed) => <> ({proposed()} is proposed)</>}</Show>
        </dd>
      </Show>
      <dt>Run</dt>
      <dd class="mono">
        <Show when={!isReviewer()} fallback={review().run}>
          <A href={`/tenants/${review().tenant}/runs/${review().run}`}>{review().run}</A>
        </Show>
      </dd>
    </dl>
  );
}

/// Members of an object by name, as far as they are short; anything else as JSON.
function Subject(props: { of: unknown }) {
  const members = (): [string, unknown][] | undefined => {
    const { of } = props;
    return typeof of === "object" && of !== null && !Array.isArray(of) ? Object.entries(of) : undefined;
  };
  const written = (value: unknown) =>
    typeof value === "object" && value !== null ? (
      <pre tabIndex={0}>{JSON.stringify(value, null, 2)}</pre>
    ) : (
      <span>{String(value)}</span>
    );
  return (
    <Show when={members()} fallback={<pre tabIndex={0}>{JSON.stringify(props.of, null, 2)}</pre>}>
      {(members) => (
        <dl class="facts subject">
          <For each={members()}>
            {([name, value]) => (
              <>
                <dt>{name}</dt>
                <dd>{written(value)}</dd>
              </>
            )}
          </For>
        </dl>
      )}
    </Show>
  );
}

function Record(props: { review: ReviewDetail }) {
  return (
    <div class="field">
      <span class="label">Record</span>
      <ol class="record">
        <For each={props.review.record}>
          {(entry) => (
            <li>
              <Moment at={entry.at} class="muted" /> <span>{words(entry.what)}</span>{" "}
              <span class="muted">{facts(entry.facts)}</span>
            </li>
          )}
        </For>
      </ol>
    </div>
  );
}

/// Fences and digests are for programs.
function facts(facts: unknown): string {
  if (typeof facts !== "object" || facts === null) {
    return "";
  }
  const shown = Object.entries(facts).filter(([name, value]) => name !== "fence" && name !== "digest" && value !== null);
  return shown.map(([name, value]) => `${words(name)}: ${written(value)}`).join(", ");
}

const TIME = /^\d{4}-\d\d-\d\dT/;

function written(value: unknown): string {
  if (typeof value !== "string") {
    return JSON.stringify(value);
  }
  return TIME.test(value) ? moment(value, now()) : value;
}
