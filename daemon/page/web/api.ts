// The daemon's API. Every address is relative to that of the page: a proxy may have it below a path that it strips.

export interface Alarms {
  groups: { rule: string; table: string; uve_type: string; severity: number; firing: number; pending: number }[];
  alarms: ShownAlarm[];
  next: string | null;
}

/** An alarm that fires or is pending. */
export interface ShownAlarm {
  key: string;
  uve_type: string;
  name: string;
  uve: string;
  /** The stream. */
  proxy: string;
  /** The attribute of the first comparison of its rule. */
  attribute?: string;
  /** Those that a rule over several proxy types compares besides. */
  other_uves?: string[];
  type: string;
  severity: number;
  state: string;
  since: number;
  /** The range of the chart that explains it. */
  from: number;
  to: number;
  description: string;
}

/** An alarm of an object that fires or did. */
export interface ObjectAlarm {
  rule: string;
  severity: number;
  uve: string;
  /** Those that a rule over several proxy types compares besides. */
  other_uves?: string[];
  proxy: string;
  since: number;
  fired: number;
  resolved: number | null;
  reason: string | null;
  text: string;
}

/** The newest numbers of a proxy UVE. */
export interface Newest {
  name: string;
  uve: string;
  proxy: string;
  /** The attribute of the numbers; empty for a proxy UVE that is gone. */
  attribute: string;
  value: number | null;
  score: number | null;
  expected: number | null;
  anomaly: boolean;
  partial: boolean;
}

export interface Loud extends Newest {
  key: string;
  type: string;
  since: number | null;
  start: number;
  end: number;
  values: number[];
}

export interface Status {
  version: string;
  now: number;
  ready: boolean;
  reason: string | null;
  needs_restart: string | null;
  results: { first: number; next: number } | null;
  sinks: { name: string; lag: number | null; durable: boolean; problem: string | null }[];
  /** The name of the token of the session; null without a session. */
  session: string | null;
}

export interface Partition {
  stream: string;
  partition: number;
  lag: number;
  watermark: number;
  objects: number;
  owner?: string;
  closing?: boolean;
  records?: Record<string, number>;
}

export interface Field {
  name: string;
  group: string | null;
  role: string | null;
  unit: string | null;
  meaning: string;
}

export interface Proxy {
  uve: string;
  stream: string;
  attributes: { name: string; algorithm: string; window: number | null; number: boolean; fields: Field[] }[];
}

/** Start, end, value, score, expected value, lower and upper bound, anomaly, partial. */
export type Point = [
  number,
  number,
  number | null,
  number | null,
  number | null,
  number | null,
  number | null,
  number,
  number,
];

export interface Series {
  uve: string;
  proxy: string;
  attribute: string;
  points: Point[];
}

export interface History {
  key: string;
  series: Series[];
  alarms: ObjectAlarm[];
  first: number;
  committed?: number;
  end: number;
  next: number | null;
  read_bytes: number;
  unindexed_bytes: number;
}

export interface Mistake {
  message: string;
  start: number;
  end: number;
}

export interface Explanation {
  valid: boolean;
  error?: Mistake;
  links?: { name: string; sentence: string }[];
  lines?: [string, string][];
  fields?: Field[];
  facts?: { annotation: string; source: string; type: string; metric: string; state_bytes: number; period?: { every: number } };
}

export interface Entry {
  name: string;
  summary: string;
  roles: { inline: boolean; period: boolean; pre_aggregation: boolean; detector: boolean };
  arguments: {
    name: string;
    expected: string;
    example: string;
    required: boolean;
    named: boolean;
    default: string | null;
  }[];
}

export interface Run {
  valid: boolean;
  error?: { message: string };
  points: [number, number | null, number | null, number | null, number | null, number | null, number][];
  periods: boolean;
  refused: number;
  missing: number;
  bad_lines: number;
  errors: { line: number; error: string }[];
}

/** An answer that is not a success, with the daemon's reason. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    text: string,
    /** The time after which the daemon wants the next request, in seconds; 0 if the answer has none. */
    readonly retryAfter = 0,
  ) {
    super(text);
  }
}

/** How often a request is sent again for which the daemon has no room. */
const MAX_RETRIES = 3;

/** The longest pause before that, in seconds. */
const MAX_PAUSE = 10;

/**
 * Sends a request. If the daemon has no room for it, as where several pages share the address of a proxy, it is sent
 * again after the time that the answer has, and what is shown stays until then.
 */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  for (let retries = 0; ; retries += 1) {
    const response = await sent(path, init);
    const pause = Number(response.headers.get("retry-after"));
    if (response.status !== 429 || retries === MAX_RETRIES || !(pause > 0 && pause <= MAX_PAUSE)) {
      return successful(response);
    }
    void response.body?.cancel();
    // Not all pages at the same moment.
    await rest(pause * (1 + Math.random() / 2), init.signal);
  }
}

async function sent(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init);
  } catch (error) {
    if (init.signal?.aborted) {
      throw error;
    }
    throw new Error("The daemon does not answer. It is stopped, or the network to it is down; the page tries again.");
  }
}

async function successful(response: Response): Promise<Response> {
  if (!response.ok) {
    const text = await response.text();
    let reason = text.trim() || response.statusText;
    try {
      reason = (JSON.parse(text) as { error: string }).error;
    } catch {
      // A plain text, as of a proxy in between.
    }
    throw new Refused(response.status, reason, Number(response.headers.get("retry-after")) || 0);
  }
  return response;
}

/** Waits so many seconds, or until nobody wants the answer any more. */
function rest(seconds: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", end);
    if (signal?.aborted) {
      end();
    }
  });
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, signal ? { signal } : {})).json() as Promise<T>;
}

/** The address of an object below a prefix, with its name in the query: browsers take `..` out of a path. */
export function objectPath(prefix: string, type: string, name: string): string {
  return `${prefix}/${encodeURIComponent(type)}?name=${encodeURIComponent(name)}`;
}
