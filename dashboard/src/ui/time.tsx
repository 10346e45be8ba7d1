// Moments as people read them, with the exact one behind them.

import { away, exact, moment } from "../format";
import { now } from "../live/clock";

/// When it was or will be; how far that is from now stands behind it.
export function Moment(props: { at: string; class?: string }) {
  return (
    <time dateTime={props.at} class={props.class} title={`${away(props.at, now())}, ${exact(props.at)}`}>
      {moment(props.at, now())}
    </time>
  );
}

/// How long ago or how long until; when that is stands behind it.
export function Away(props: { at: string }) {
  return (
    <time dateTime={props.at} title={exact(props.at)}>
      {away(props.at, now())}
    </time>
  );
}
