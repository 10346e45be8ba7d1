// One run: where its steps are in time, what each waits for, which way calls of models went and what they cost, and
// how its plan changed.

import { A, useParams } from "@solidjs/router";
import { Show, createEffect, createResource } from "solid-js";

import { api, ask } from "../api/client";
import type { Run as Shown, RunDetail } from "../api/schema";
import { moment, tail, took } from "../format";
import { now } from "../live/clock";
import { poll } from "../live/poll";
import { isZero } from "../money";
import { isOperator, mayAct } from "../session";
import { Copy } from "../ui/copy";
import { Failed, Panel, Tile, Waiting } from "../ui/parts";
import { Status } from "../ui/status";
import { Moment } from "../ui/time";
import { Actions } from "./run/actions";
import { Calls } from "./run/calls";
import { Replans } from "./run/replans";
import { Timeline } from "./run/timeline";

export function Run() {
  const params = useParams<{ tenant: string; run: string }>();
  return (
    <Show when={`${params.tenant}/${params.run}`} keyed>
      <One tenant={params.tenant} id={params.run} />
    </Show>
  );
}

function One(props: { tenant: string; id: string }) {
  const path = { tenant: props.tenant, run: props.id };
  const detail = poll((signal) => ask(api.GET("/v1/tenants/{tenant}/runs/{run}", { params: { path }, signal })));
  createEffect(() => {
    const status = detail.value()?.run.status;
    document.title = `Run …${tail(props.id)}${status === undefined ? "" : ` ${status}`} · Fairlane`;
  });
  return (
    <>
      <div class="head">
        <Show when={isOperator()}>
          <A href="/tenants" class="crumbs">
            Tenants
          </A>
          <span class="muted" aria-hidden="true">
            /
          </span>
        </Show>
        <A href={`/tenants/${props.tenant}`} class="crumbs">
          {props.tenant}
        </A>
        <span class="muted" aria-hidden="true">
          /
        </span>
        <h1 class="mono">{props.id}</h1>
        <Copy text={props.id} what="the run's id" />
        <Show when={detail.value()}>
          {(seen) => (
            <>
              <Status of={seen().run.status} />
              <Show when={mayAct()}>
                <Actions tenant={props.tenant} run={seen().run} onDone={detail.refresh} />
              </Show>
            </>
          )}
        </Show>
      </div>
      <Failed of="The run could not be read" failure={detail.failure()} />
      <Show when={detail.value()} fallback={<Show when={!detail.failure()}><Waiting /></Show>}>
        {(seen) => (
          <>
            <Tiles run={seen().run} />
            <Why detail={seen()} />
            <Timeline tenant={props.tenant} detail={seen()} />
            <Replans replans={seen().replans ?? []} />
            <Calls tenant={props.tenant} run={props.id} />
            <Show when={seen().run.status === "completed" && !seen().run.payloads_expired}>
              <Output tenant={props.tenant} run={props.id} />
            </Show>
          </>
        )}
      </Show>
    </>
  );
}

function Tiles(props: { run: Shown }) {
  const run = () => props.run;
  const money = () => run().money;
  return (
    <dl class="tiles">
      <Tile
        name="Workflow"
        value={
          <>
            {run().workflow} <span class="muted">v{run().version}</span>
          </>
        }
        note={`lane ${run().lane}${run().schedule == null ? "" : `, by schedule ${run().schedule}`}`}
      />
      <Tile name="Submitted" value={<Moment at={run().created_at} />} note={`revision ${run().revision}`} />
      <Tile
        name={run().ended_at == null ? "Runs for" : "Took"}
        value={took(run().created_at, run().ended_at, now())}
        note={run().deadline_at == null ? "no deadline" : `deadline ${moment(run().deadline_at ?? "", now())}`}
      />
      <Tile
        name="Cost"
        value={money()?.posted ?? "0.00"}
        note={[
          money()?.limit == null ? "no budget of its own" : `of ${money()?.limit}`,
          money()?.held == null || isZero(money()?.held ?? "0") ? "" : `${money()?.held} held`,
        ]
          .filter((part) => part !== "")
          .join(", ")}
      />
    </dl>
  );
}

/// What a run failed of, or cannot pay for.
function Why(props: { detail: RunDetail }) {
  const failure = () => props.detail.run.failure;
  const short = () => props.detail.run.money?.short;
  return (
    <>
      <Show when={failure()}>
        {(failure) => (
          <div class="failure">
            <span class="strong">{failure().class}</span>
            <span>
              {failure().step == null ? "" : `${failure().step}: `}
              {failure().message}
            </span>
          </div>
        )}
      </Show>
      <Show when={short()}>
        {(short) => (
          <div class="failure">
            A step needs {short().need}, and {short().left} is left: {short().rung === "escalate" ? "the operator" : "the tenant"}{" "}
            decides. With a larger budget it goes on.
          </div>
        )}
      </Show>
    </>
  );
}

function Output(props: { tenant: string; run: string }) {
  const read = (): Promise<unknown> => {
    const path = { tenant: props.tenant, run: props.run };
    return ask<unknown>(api.GET("/v1/tenants/{tenant}/runs/{run}/output", { params: { path } }));
  };
  const [output] = createResource(() => read().then((found) => JSON.stringify(found, null, 2), String));
  return (
    <Panel title="Output">
      <div class="body">
        <pre tabIndex={0}>{output()}</pre>
      </div>
    </Panel>
  );
}
