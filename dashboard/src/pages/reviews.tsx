// What people are asked to decide: for a reviewer the inbox, for others what is open of theirs or of all.

import { A, useNavigate, useParams } from "@solidjs/router";
import { For, Show, createMemo, createSignal, onMount } from "solid-js";

import { Failure, api, ask } from "../api/client";
import type { Review } from "../api/schema";
import { count, tail, words } from "../format";
import { now } from "../live/clock";
import { poll } from "../live/poll";
import { access, isOperator, isReviewer } from "../session";
import { Empty, Failed, Panel, Waiting } from "../ui/parts";
import { Status } from "../ui/status";
import { Away } from "../ui/time";
import { Detail } from "./reviews/detail";

const SHOWN = 200;

async function read(signal: AbortSignal): Promise<Review[]> {
  const list = async (claimed: boolean): Promise<Review[]> => {
    const query = claimed ? { limit: SHOWN, claimed } : { limit: SHOWN };
    return (await ask(api.GET("/v1/reviews", { params: { query }, signal }))).items;
  };
  if (!isReviewer()) {
    return list(false);
  }
  const [held, open] = await Promise.all([list(true), list(false)]);
  const ids = new Set(held.map((review) => review.id));
  return [...held, ...open.filter((review) => !ids.has(review.id))];
}

export function Reviews() {
  const params = useParams<{ review?: string }>();
  const navigate = useNavigate();
  const { value, failure, refresh } = poll(read);
  const [refused, setRefused] = createSignal<Failure>();
  const [isDry, setDry] = createSignal(false);
  onMount(() => (document.title = "Reviews · Fairlane"));

  const next = async (): Promise<void> => {
    setRefused(undefined);
    setDry(false);
    try {
      // Without a review whose turn it is there is no body.
      const given = await ask<Review | undefined>(api.POST("/v1/reviews/next", { body: {} }));
      if (given?.id === undefined) {
        setDry(true);
      } else {
        await refresh();
        navigate(`/reviews/${given.id}`);
      }
    } catch (error) {
      setRefused(error instanceof Failure ? error : new Failure(String(error), 0));
    }
  };
  return (
    <>
      <div class="head">
        <h1>Reviews</h1>
        <span class="muted">{value() === undefined ? "" : count(value()?.length ?? 0)}</span>
        <Show when={isReviewer()}>
          <div class="actions">
            <Show when={isDry()}>
              <span class="muted" role="status">
                Nothing waits that you may decide.
              </span>
            </Show>
            <button class="primary" onClick={() => void next()}>
              Take the next
            </button>
          </div>
        </Show>
      </div>
      <Failed of="Reviews could not be read" failure={failure()} />
      <Failed of="No review was given" failure={refused()} isTried={false} />
      <div class="columns inbox">
        <Show when={value()} fallback={<Show when={!failure()}><Waiting /></Show>}>
          {(reviews) => <Inbox reviews={reviews()} chosen={params.review} />}
        </Show>
        <Show when={params.review} keyed fallback={<Show when={(value()?.length ?? 0) > 0}><Unchosen /></Show>}>
          {(id) => <Detail id={id} onDone={refresh} />}
        </Show>
      </div>
    </>
  );
}

const Unchosen = () => (
  <section class="panel">
    <Empty>Choose a review to see what is asked.</Empty>
  </section>
);

function Inbox(props: { reviews: Review[]; chosen: string | undefined }) {
  const hasTenants = createMemo(() => access()?.tenant === undefined);
  return (
    <Panel title={isReviewer() ? "What you hold or may decide" : "Open"} note={isReviewer() ? "by due time" : undefined}>
      <Show
        when={props.reviews.length > 0}
        fallback={
          <Show when={isReviewer()} fallback={<Empty>Nobody is asked anything. A step with <code>review</code> asks people.</Empty>}>
            <Empty>Nothing waits for you. What is asked of your pools stands here at once.</Empty>
          </Show>
        }
      >
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Step</th>
                <Show when={hasTenants()}>
                  <th>Tenant</th>
                </Show>
                <th>State</th>
                <th>Pool</th>
                <th class="number">Due</th>
              </tr>
            </thead>
            <tbody>
              <For each={props.reviews}>
                {(review) => (
                  <tr classList={{ chosen: review.id === props.chosen }}>
                    <td>
                      <A href={`/reviews/${review.id}`} aria-current={review.id === props.chosen ? "true" : undefined}>
                        {review.step}
                      </A>
                      <span class="muted"> {words(review.cause) === "step" ? "" : words(review.cause)}</span>
                      <div class="muted small">
                        run <span class="mono">…{tail(review.run)}</span>
                      </div>
                    </td>
                    <Show when={hasTenants()}>
                      <td>{review.tenant}</td>
                    </Show>
                    <td>
                      <Status of={review.state} />
                      <Show when={review.claim}>
                        {(claim) => (
                          <span class="muted"> {isOperator() || claim().person !== access()?.person ? claim().person : "you"}</span>
                        )}
                      </Show>
                    </td>
                    <td class="muted">
                      {review.pool} <span title="The priority class; 0 is served first">· {review.class}</span>
                    </td>
                    <td class="number" classList={{ bad: Date.parse(review.due_at) < now() }}>
                      <Away at={review.due_at} />
                    </td>
                  </tr>
                )}
              </For>
            </tbody>
          </table>
        </div>
      </Show>
    </Panel>
  );
}
