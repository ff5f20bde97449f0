// Numbers and times as texts.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });

export const ABSENT = "–";

/** A number with at most six significant digits; a whole one with all of them. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined) {
    return ABSENT;
  }
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e15 || size < 1e-4)) {
    return value.toExponential(3);
  }
  return Number.isInteger(value) ? whole.format(value) : digits.format(value);
}

/** A number that is an estimate: with fewer digits, so that columns of them can be compared. */
export function estimate(value: number | null | undefined): string {
  const size = Math.abs(value ?? 0);
  if (value === null || value === undefined || size === 0 || size >= 1e6 || size < 0.01) {
    return number(value);
  }
  const decimals = size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** A number of things. */
export function count(value: number, one: string, many: string): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** A score with two decimals. */
export function score(value: number | null | undefined): string {
  if (value === null || value === undefined) {
    return ABSENT;
  }
  return Math.abs(value) < 1000 ? value.toFixed(2).replace(/^-(0\.00)$/, "$1") : number(value);
}

/** A duration in seconds, in one or two units. */
export function duration(seconds: number): string {
  const rest = Math.max(0, Math.round(seconds));
  if (rest < 120) {
    return `${rest} s`;
  }
  if (rest < 7200) {
    const s = rest % 60;
    return `${Math.floor(rest / 60)} min${s && rest < 600 ? ` ${s} s` : ""}`;
  }
  if (rest < 172_800) {
    return `${Math.floor(rest / 3600)} h ${Math.floor((rest % 3600) / 60)} min`;
  }
  return `${Math.floor(rest / 86_400)} d ${Math.floor((rest % 86_400) / 3600)} h`;
}

/** A time in microseconds: the time of the day in UTC. */
export function clock(micros: number): string {
  return new Date(micros / 1000).toISOString().slice(11, 19);
}

/** A time in microseconds: date and time in UTC. */
export function utc(micros: number): string {
  return `${new Date(micros / 1000).toISOString().slice(0, 19).replace("T", " ")}Z`;
}

/** How long ago a time in microseconds was, by the daemon's clock. */
export function age(micros: number, now: number): string {
  const seconds = (now - micros) / 1e6;
  return seconds < -1 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}

/** `AggProxySum-UveVirtualNetworkAgent-egress_flow_count` as the name of the type and of the stream. */
export function uveName(uve: string, proxy: string): [string, string] {
  return proxy && uve.endsWith(`-${proxy}`) ? [uve.slice(0, -proxy.length - 1), proxy] : [uve, ""];
}
