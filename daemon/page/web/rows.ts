// The rows of the table that were read: those in sight and some beyond, of as many objects as there are.

import { type Newest, type ShownAlarm, Refused, get } from "./api";
import type { View } from "./view";

/** The rows that are read beyond those in sight, on each side: a small movement shows no gap. */
const AHEAD = 40;

/** The most rows of a request. */
const MAX_READ = 1000;

/** The most rows that are kept. */
const MAX_KEPT = 2000;

export interface Row extends Newest {
  alarms: ShownAlarm[];
}

export interface Page {
  total: number;
  matched: number;
  rows: Row[];
}

/** The numbers of rows: the first one, and the one after the last. */
export type Span = [number, number];

/** The page of a type that the daemon does not know, as one whose objects are gone. */
export function withoutObjects(error: unknown): Page {
  if (error instanceof Refused && error.status === 404) {
    return { total: 0, matched: 0, rows: [] };
  }
  throw error;
}

export class Rows {
  private readonly rows = new Map<number, Row>();
  /** The numbers of rows: all, and those that pass the filters; unknown before the first answer. */
  total: number | undefined;
  matched = 0;
  private isReading = false;
  private isWanted = false;
  /** The request under way, and the rows of which it is. */
  private request = new AbortController();
  private requested: Span = [0, 0];
  /** The number of choices until now, and that of the choice whose rows are here: they stay in sight until the answer. */
  private choices = 0;
  private choice = 0;

  /** `query` has the parameters of a request, `seen` the rows in sight; `taken` is called with each answer. */
  constructor(
    private readonly view: View,
    private readonly query: () => Record<string, string>,
    private readonly seen: () => Span,
    private readonly taken: (isFirst: boolean) => void,
  ) {}

  get(index: number): Row | undefined {
    return this.rows.get(index);
  }

  /** The UVEs of the rows that are here. */
  uves(): string[] {
    return [...this.rows.values()].map((row) => row.uve);
  }

  has([from, to]: Span): boolean {
    for (let index = from; index < to; index += 1) {
      if (!this.rows.has(index)) {
        return false;
      }
    }
    return true;
  }

  /** Whether the rows are those of what is chosen. */
  get isCurrent(): boolean {
    return this.choice === this.choices;
  }

  /** Something else was chosen: nobody wants the answer of the request under way. */
  chosen(): void {
    this.choices += 1;
    this.request.abort();
  }

  /** The table was scrolled: a request for rows that are out of sight is ended. */
  scrolled(): void {
    const [[from, to], [first, end]] = [this.seen(), this.requested];
    if (this.total !== undefined && (to <= first || from >= end)) {
      this.request.abort();
    }
  }

  /** Reads the rows in sight, with one request at a time: what is wanted meanwhile is read after it. */
  async read(): Promise<void> {
    this.isWanted = true;
    if (this.isReading) {
      return;
    }
    this.isReading = true;
    try {
      while (this.isWanted && !this.view.signal.aborted) {
        this.isWanted = false;
        await this.readOnce();
      }
    } finally {
      this.isReading = false;
    }
  }

  private async readOnce(): Promise<void> {
    const request = new AbortController();
    this.request = request;
    const [choice, [from, to]] = [this.choices, this.seen()];
    const offset = Math.max(0, from - AHEAD);
    const limit = Math.min(MAX_READ, to - offset + AHEAD);
    this.requested = [offset, offset + limit];
    const query = new URLSearchParams({ offset: String(offset), limit: String(limit) });
    Object.entries(this.query()).forEach(([name, value]) => value && query.set(name, value));
    const signal = AbortSignal.any([request.signal, this.view.signal]);
    const page = await get<Page>(`api/v1/objects?${query.toString()}`, signal)
      .catch(withoutObjects)
      .catch((error: unknown) => {
        if (request.signal.aborted) {
          return undefined;
        }
        throw error;
      });
    if (!page || request.signal.aborted) {
      // Who ended it reads what is wanted instead.
      return;
    }
    if (choice !== this.choice || this.rows.size > MAX_KEPT) {
      // Rows that are far away are read again when they are seen.
      this.rows.clear();
    }
    this.choice = choice;
    const isFirst = this.total === undefined;
    [this.total, this.matched] = [page.total, page.matched];
    for (let index = 0; index < limit; index += 1) {
      const row = page.rows[index];
      row ? this.rows.set(offset + index, row) : this.rows.delete(offset + index);
    }
    this.taken(isFirst || this.isElsewhere());
  }

  /** Whether the table was scrolled beyond what was read. */
  private isElsewhere(): boolean {
    const [from, to] = this.seen();
    return from < this.requested[0] || to > this.requested[1];
  }
}
