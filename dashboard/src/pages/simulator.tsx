// Reports of the simulator. A report is read from a file of whoever looks, in this page: nothing is sent anywhere.

import { For, Show, createSignal, onMount } from "solid-js";

import { base, count, micros, millis, moment } from "../format";
import { now } from "../live/clock";
import { Empty, Panel } from "../ui/parts";
import { Desks, SimulatedPools } from "./simulator/desks";
import { Compared, Groups } from "./simulator/groups";
import { OnePlay } from "./simulator/play";
import { type Report, parse } from "./simulator/report";

export default function Simulator() {
  const [report, setReport] = createSignal<Report>();
  const [refused, setRefused] = createSignal<string>();
  const [isOver, setOver] = createSignal(false);
  const [chosen, choose] = createSignal(0);
  onMount(() => (document.title = "Simulator · Fairlane"));

  const open = async (file: File | undefined): Promise<void> => {
    if (file === undefined) {
      return;
    }
    const found = parse(await file.text());
    if (typeof found === "string") {
      setRefused(`${file.name} is no report. ${found} A report is what \`fairlane simulate SCENARIO --json\` prints.`);
    } else {
      setRefused(undefined);
      choose(0);
      setReport(found);
    }
  };
  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    void open(event.dataTransfer?.files[0]);
  };
  const onDragOver = (event: DragEvent): void => {
    event.preventDefault();
    setOver(true);
  };
  return (
    <div class="stack drop" classList={{ over: isOver() }} onDrop={onDrop} onDragOver={onDragOver} onDragLeave={() => setOver(false)}>
      <div class="head">
        <h1>Simulator</h1>
        <span class="muted" title={report()?.scenario}>
          {base(report()?.scenario ?? "")}
        </span>
        <div class="actions">
          <label for="report">Report</label>
          <input
            id="report"
            type="file"
            accept=".json,application/json"
            onChange={(event) => void open(event.currentTarget.files?.[0])}
          />
        </div>
      </div>
      <Show when={refused()}>
        <div class="failure" role="alert">
          {refused()}
        </div>
      </Show>
      <Show when={report()} fallback={<Nothing />}>
        {(report) => (
          <>
            <p class="muted">
              {millis(report().lasts_us / 1_000)} from {moment(report().start, now())}, played by the scheduler, the limits and
              the budgets of the server in {micros(report().took_us)}. Waits are to the first attempt; latency is to the end,
              of completed runs.
            </p>
            <Groups plays={report().plays} />
            <Desks plays={report().plays} />
            <SimulatedPools plays={report().plays} />
            <Compared differences={report().differences} />
            <div class="choice" role="group" aria-label="Play">
              <For each={report().plays}>
                {(play, index) => (
                  <button aria-pressed={chosen() === index()} onClick={() => choose(index())}>
                    {play.name}
                  </button>
                )}
              </For>
              <span class="muted">{count(Object.keys(report().plays[chosen()]?.tenants ?? {}).length)} tenants</span>
            </div>
            <Show when={report().plays[chosen()]} keyed>
              {(play) => <OnePlay play={play} columnUs={report().column_us} />}
            </Show>
          </>
        )}
      </Show>
    </div>
  );
}

const Nothing = () => (
  <Panel title="No report is open">
    <Empty command="fairlane simulate examples/scenarios/monday.yaml --json > report.json">
      A scenario is played in virtual time, a day in about a second, under the policies that are to be compared. Choose its
      report above, or drop it here. It is read in this page and sent nowhere.
    </Empty>
  </Panel>
);
