// A tenant's runs, newest first.

import { A } from "@solidjs/router";
import { For, Show, createEffect, createSignal, on } from "solid-js";

import { api, ask } from "../../api/client";
import type { RunStatus } from "../../api/schema";
import { tail, took } from "../../format";
import { now } from "../../live/clock";
import { poll } from "../../live/poll";
import { Empty, Failed, Panel, Waiting } from "../../ui/parts";
import { Status } from "../../ui/status";
import { Moment } from "../../ui/time";

const STATUSES: readonly RunStatus[] = ["running", "paused", "stopping", "compensating", "completed", "failed", "cancelled"];
const SHOWN = 25;

export function Runs(props: { tenant: string }) {
  const [status, setStatus] = createSignal<RunStatus>();
  /// Where each page that was gone through began; the newest has no beginning.
  const [cursors, setCursors] = createSignal<readonly string[]>([]);
  const query = () => {
    const [cursor, wanted] = [cursors().at(-1), status()];
    return { limit: SHOWN, ...(cursor === undefined ? {} : { cursor }), ...(wanted === undefined ? {} : { status: wanted }) };
  };
  const { value, failure, refresh } = poll((signal) => {
    const path = { tenant: props.tenant };
    return ask(api.GET("/v1/tenants/{tenant}/runs", { params: { path, query: query() }, signal }));
  });
  createEffect(on([status, cursors], () => void refresh(), { defer: true }));
  const only = (wanted: string): void => {
    setCursors([]);
    setStatus(STATUSES.find((status) => status === wanted));
  };
  const older = (): void => {
    const next = value()?.next;
    if (next != null) {
      setCursors([...cursors(), next]);
    }
  };
  const actions = (
    <>
      <label class="hidden-visually" for="status">
        Only runs that are
      </label>
      <select id="status" value={status() ?? ""} onChange={(event) => only(event.currentTarget.value)}>
        <option value="">all</option>
        <For each={STATUSES}>{(status) => <option value={status}>{status}</option>}</For>
      </select>
      <button disabled={cursors().length === 0} onClick={() => setCursors(cursors().slice(0, -1))}>
        Newer
      </button>
      <button disabled={value()?.next == null} onClick={older}>
        Older
      </button>
    </>
  );
  return (
    <Panel title="Runs" note="newest first" actions={actions}>
      <Failed of="Runs could not be read" failure={failure()} />
      <Show when={value()} fallback={<Waiting />}>
        {(seen) => (
          <Show
            when={seen().items.length > 0}
            fallback={
              <Show when={status() === undefined && cursors().length === 0} fallback={<Empty>No such run here.</Empty>}>
                <Empty command={`fairlane run WORKFLOW --tenant ${props.tenant} --input '{}'`}>
                  It has submitted no run yet.
                </Empty>
              </Show>
            }
          >
            <div class="scroll">
              <table>
                <thead>
                  <tr>
                    <th>Run</th>
                    <th>Workflow</th>
                    <th>Status</th>
                    <th>Lane</th>
                    <th>Submitted</th>
                    <th class="number">Took</th>
                    <th class="number">Cost</th>
                  </tr>
                </thead>
                <tbody>
                  <For each={seen().items}>
                    {(run) => (
                      <tr>
                        <td class="mono">
                          <A href={`/tenants/${props.tenant}/runs/${run.id}`} title={run.id}>
                            …{tail(run.id)}
                          </A>
                        </td>
                        <td>
                          {run.workflow} <span class="muted">v{run.version}</span>
                        </td>
                        <td>
                          <Status of={run.status} />
                        </td>
                        <td class="muted">{run.lane}</td>
                        <td class="muted">
                          <Moment at={run.created_at} />
                        </td>
                        <td class="number">
                          {took(run.created_at, run.ended_at, now())}
                        </td>
                        <td class="number">{run.money?.posted ?? ""}</td>
                      </tr>
                    )}
                  </For>
                </tbody>
              </table>
            </div>
          </Show>
        )}
      </Show>
    </Panel>
  );
}
