// What was read of the history of an object: its series and alarms, and the range that they cover.

import { alarmId } from "./alarms";
import { type History, type ObjectAlarm, type Point, type Series, get, objectPath } from "./api";
import type { Range } from "./chart";
import { utc } from "./format";
import type { View } from "./view";

/** The most parts that are read for one range, and of new results. */
const MAX_PARTS = 5;

/** The results of a part of those that are new: the most that the daemon allows, so that a long pause needs few parts. */
const NEW_RESULTS = 20_000;

/** What is read on each side of a range, as a part of it, so that the lines go to the edges and a small move reads nothing. */
const MARGIN = 0.25;

export class ObjectHistory {
  /** By UVE, stream and attribute. */
  readonly series = new Map<string, Series>();
  readonly alarms = new Map<string, ObjectAlarm>();
  /** The key of the object. */
  key = "";
  /** The end of the newest window that is known, in seconds. */
  newest = 0;
  /** Windows that start from here on were read, in microseconds; `Infinity` before the first answer. */
  private from = Infinity;
  /** The end of what was read; `Infinity` if it goes on with live results, `-Infinity` before the first answer. */
  private to = -Infinity;
  /** The part before `from` of which the newest results were read, those from the offset `next` on. */
  private part: { from: number; next: number | null } | undefined;
  /** The offset after the newest result that was read; `undefined` as long as there is no part with live results. */
  private end: number | undefined;
  private committed: number | undefined;
  /** Ends what is read for a range that is not wanted any more. */
  private covering = new AbortController();

  constructor(
    private readonly view: View,
    private readonly type: string,
    private readonly name: string,
  ) {}

  /** Whether what was read goes on with live results. */
  get isLive(): boolean {
    return this.to === Infinity;
  }

  /** Whether a part of the range was read. Before that nothing is known about the object. */
  get hasPart(): boolean {
    return this.from !== Infinity || this.part !== undefined;
  }

  /** Whether everything that the log has was read. */
  get isWhole(): boolean {
    return this.from === 0;
  }

  /** Finds the newest result and begins to read anew: up to the end of the chosen range, or with live results. */
  private async begin(range: Range | undefined, signal: AbortSignal): Promise<void> {
    const history = await this.request({ limit: 1 }, signal);
    const ends = history.series.flatMap(({ points }) => points.map((point) => point[1] / 1e6));
    this.newest = Math.max(...ends, ends.length === 0 ? this.view.now / 1e6 : 0);
    this.key = history.key;
    const to = range ? outer(range)[1] : Infinity;
    [this.from, this.to] = [Infinity, to < this.newest ? to * 1e6 : Infinity];
    [this.part, this.end] = [undefined, undefined];
    this.series.forEach((series, id) => this.series.set(id, { ...series, points: [] }));
  }

  /** Another range is wanted than the one that is being read. */
  stop(): void {
    this.covering.abort();
  }

  /** Reads what is missing of a range, or else of the newest seconds, in a few parts; `taken` is called after each. */
  async cover(chosen: Range | undefined, newest: number, taken: () => void): Promise<void> {
    this.covering = new AbortController();
    const signal = AbortSignal.any([this.covering.signal, this.view.signal]);
    if (this.to < (chosen?.[1] ?? Infinity) * 1e6) {
      await this.begin(chosen, signal);
    }
    const range: Range = chosen ?? [this.newest - newest, this.newest];
    const from = Math.max(0, range[0] * 1e6);
    const isMissing = () => this.from > from && !(this.part && (this.extent()?.[0] ?? Infinity) * 1e6 <= from);
    for (let part = 0; part < MAX_PARTS && isMissing(); part += 1) {
      await this.readOlder(outer(range)[0] * 1e6, signal);
      taken();
    }
  }

  /** Reads a part before what was read, of windows that start at `from` or later. */
  async readOlder(from: number, signal = this.view.signal): Promise<void> {
    const part = this.part ?? { from, next: null };
    const to = Math.min(this.from, this.to);
    const history = await this.request({ from: part.from, to, before: part.next }, signal);
    if (to === Infinity && part.next === null) {
      this.end = history.end;
    }
    this.merge(history, true);
    this.committed = history.committed ?? this.committed;
    if (history.next === null) {
      [this.from, this.part] = [part.from, undefined];
    } else {
      this.part = { ...part, next: history.next };
    }
  }

  /**
   * Reads the results since the last ones; nothing before there are any, since the first part has them. If they are more
   * than a few parts, or the log has not kept all of them, nothing is live any more, and `cover` begins anew: what was
   * read would have a hole.
   */
  async readNew(): Promise<void> {
    const after = this.end;
    if (after === undefined) {
      return;
    }
    const parts: History[] = [];
    let oldest: History | undefined;
    do {
      oldest = await this.request({ after, before: oldest?.next ?? null, limit: NEW_RESULTS }, this.view.signal);
      parts.unshift(oldest);
    } while (oldest.first > after && oldest.next !== null && parts.length < MAX_PARTS);
    if (oldest.first > after) {
      [this.from, this.to, this.part] = [Infinity, -Infinity, undefined];
      return;
    }
    this.end = parts.at(-1)?.end;
    parts.forEach((part) => this.merge(part, false));
  }

  /** The first and the last time of all points, in seconds. */
  extent(): Range | undefined {
    const all = [...this.series.values()].map((series) => series.points).filter((points) => points.length > 0);
    const from = Math.min(...all.map((points) => points[0]?.[0] ?? Infinity));
    const to = Math.max(...all.map((points) => points.at(-1)?.[1] ?? -Infinity));
    return all.length === 0 ? undefined : [from / 1e6, to / 1e6];
  }

  /** For which times everything was read; empty before the first part. */
  coverage(): string {
    if (!this.hasPart) {
      return "";
    }
    if (this.part) {
      return this.committed === undefined ? "" : `Complete for results since ${utc(this.committed)}.`;
    }
    const to = this.isLive ? "" : ` to ${utc(this.to)}`;
    return this.isWhole ? `All that the log has${to}.` : `Complete for windows from ${utc(this.from)}${to}.`;
  }

  private request(parameters: Record<string, number | null>, signal: AbortSignal): Promise<History> {
    const given = Object.entries(parameters).filter(([, value]) => value !== null && Number.isFinite(value));
    const query = given.map(([name, value]) => `${name}=${value}`).join("&");
    return get<History>(`${objectPath("api/v1/history", this.type, this.name)}&${query}`, signal);
  }

  private merge(found: History, isOlder: boolean): void {
    for (const alarm of found.alarms) {
      const id = alarmId(alarm);
      // Of two parts the one with its end is right, whichever is read first.
      if (alarm.resolved !== null || !this.alarms.has(id)) {
        this.alarms.set(id, alarm);
      }
    }
    for (const series of found.series) {
      const id = `${series.uve}\n${series.proxy}\n${series.attribute}`;
      this.newest = Math.max(this.newest, (series.points.at(-1)?.[1] ?? 0) / 1e6);
      const own = this.series.get(id)?.points ?? [];
      const points = isOlder ? merged(series.points, own) : merged(own, series.points);
      this.series.set(id, { ...series, points });
    }
  }
}

/** Points by time. A window that both lists have is there once, as in the newer one. */
function merged(older: Point[], newer: Point[]): Point[] {
  // Samples may have the same time: they are windows without a length.
  const id = ([start, end, value]: Point) => (end > start ? start : `${start} ${value}`);
  const known = new Set(newer.map(id));
  return [...older.filter((point) => !known.has(id(point))), ...newer].sort((a, b) => a[0] - b[0]);
}

/** A range with its margin. */
function outer([from, to]: Range): Range {
  const margin = (to - from) * MARGIN;
  return [Math.max(0, Math.floor(from - margin)), Math.ceil(to + margin)];
}
