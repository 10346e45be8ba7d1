// Numbers, times and money as people read them. Nothing is computed here that the server would have to agree with.

const whole = new Intl.NumberFormat("en-US");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "2-digit" });

export const count = (value: number): string => whole.format(value);

const complete = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

/// `12.3 k`, where there is no room for all digits.
export function short(value: number): string {
  for (const [unit, suffix] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]] as const) {
    if (Math.abs(value) >= unit) {
      const divisor = suffix === "k" ? 1e3 : unit;
      // The space does not break.
      return `${three(value / divisor)}\u00a0${suffix}`;
    }
  }
  return whole.format(Math.round(value * 100) / 100);
}

/// Three significant digits.
function three(value: number): string {
  return Number(value.toPrecision(3)).toString();
}

export const ratio = (value: number): string => value.toFixed(3);
export const percent = (part: number): string => `${percents(part).format(part * 100)} %`;

const hundredths = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percents = (part: number): Intl.NumberFormat => (part > 0 && part < 0.1 ? tenths : hundredths);

/// A length of time from microseconds.
export function micros(value: number): string {
  if (value < 1_000) {
    return value === 0 ? "0" : `${Math.round(value)} µs`;
  }
  if (value < 1_000_000) {
    return `${three(value / 1_000)} ms`;
  }
  return millis(value / 1_000);
}

/// A length of time in one unit, where many of them stand beneath each other.
export function brief(value: number): string {
  // The shortest that the percentiles of reports know stands for nothing at all.
  if (value <= 1) {
    return "0";
  }
  const units = [["d", 86_400e6], ["h", 3_600e6], ["min", 60e6]] as const;
  const unit = units.find(([, size]) => value >= size);
  return unit === undefined ? micros(value) : `${three(value / unit[1])} ${unit[0]}`;
}

export function millis(value: number): string {
  if (value < 1_000) {
    return value === 0 ? "0" : `${Math.round(value)} ms`;
  }
  const seconds = value / 1_000;
  if (seconds < 60) {
    return `${three(seconds)} s`;
  }
  const units = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]] as const;
  const first = units.findIndex(([, size]) => seconds >= size);
  const parts: string[] = [];
  let rest = Math.round(seconds);
  for (const [name, size] of units.slice(first, first + 2)) {
    const part = Math.floor(rest / size);
    rest -= part * size;
    if (part > 0) {
      parts.push(`${part} ${name}`);
    }
  }
  return parts.join(" ");
}

export const time = (at: string): string => clock.format(new Date(at));

/// The time, with its day unless that is today.
export function moment(at: string, now: number): string {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date(now).toDateString();
  return isToday ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

/// The whole of it, to the second, with the zone.
export const exact = (at: string): string => complete.format(new Date(at));

/// How long ago, or how long until.
export function away(at: string, now: number): string {
  const distance = Date.parse(at) - now;
  if (Math.abs(distance) < 1_000) {
    return "now";
  }
  return distance < 0 ? `${millis(-distance)} ago` : `in ${millis(distance)}`;
}

/// From one moment to another, or until now. Clocks of two machines may say that something is yet to begin.
export function took(from: string, until: string | null | undefined, now: number): string {
  return millis(Math.max(0, (until == null ? now : Date.parse(until)) - Date.parse(from)));
}

/// `data-residency` and `data_residency` as words.
export const words = (name: string): string => name.replaceAll(/[_-]/g, " ");

/// The end of a path, which says most of it.
export const base = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/// The end of an id, which tells ids of the same minute apart.
export const tail = (id: string): string => id.slice(-8);
