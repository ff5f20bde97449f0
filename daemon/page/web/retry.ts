// Work that runs again after a failure until it succeeds, at a bounded rate, while its view is shown.

import { Refused } from "./api";
import { type View, errorText } from "./view";

export type Work = () => Promise<void>;

/** The pause after the first failure in a row, in seconds. It is doubled with each further one, up to the longest. */
const FIRST_PAUSE = 2;
const LONGEST_PAUSE = 30;

/** The longest `Retry-After` that is kept to, in seconds. */
const LONGEST_RETRY_AFTER = 300;

/** The responses to a request that is wrong itself: the same one has the same response. */
const FINAL = [400, 413, 414];

/** The pause after so many failures in a row, in milliseconds; not that of all pages at the same moment. */
export function pauseAfter(count: number, retryAfter = 0): number {
  const own = Math.min(FIRST_PAUSE * 2 ** (count - 1), LONGEST_PAUSE);
  return Math.max(own, Math.min(retryAfter, LONGEST_RETRY_AFTER)) * 1000 * (1 + Math.random() / 4);
}

interface Failure {
  error: unknown;
  /** The failures in a row. */
  count: number;
  /** Of the next run; `undefined` from its begin on. */
  timer: number | undefined;
}

export class Retries {
  /** The work that has failed and not succeeded since. */
  private readonly failed = new Map<Work, Failure>();

  /** `show` gets the text of the newest error, and an empty one when all has succeeded; `again` runs work once more. */
  constructor(
    private readonly view: View,
    private readonly show: (text: string) => void,
    private readonly again: (work: Work) => void,
  ) {
    view.finally(() => this.failed.forEach(({ timer }) => clearTimeout(timer)));
  }

  /** Whether work has failed and its next run has not begun. */
  isWaiting(work: Work): boolean {
    return this.failed.get(work)?.timer !== undefined;
  }

  /** Runs work. After a failure it runs again; the same function is the same work. */
  async run(work: Work): Promise<void> {
    try {
      await work();
      this.forget(work);
    } catch (error) {
      if (!this.view.isUnwanted(error)) {
        this.plan(work, error);
      }
    }
  }

  /** Work has succeeded, or nobody wants its result any more. */
  forget(work: Work): void {
    clearTimeout(this.failed.get(work)?.timer);
    this.failed.delete(work);
    this.describe();
  }

  private plan(work: Work, error: unknown): void {
    const before = this.failed.get(work);
    clearTimeout(before?.timer);
    const count = (before?.count ?? 0) + 1;
    const [isFinal, retryAfter] = error instanceof Refused ? [FINAL.includes(error.status), error.retryAfter] : [false, 0];
    const failure: Failure = { error, count, timer: undefined };
    if (!isFinal) {
      failure.timer = window.setTimeout(() => {
        failure.timer = undefined;
        this.again(work);
      }, pauseAfter(count, retryAfter));
    }
    // The newest failure is the last one.
    this.failed.delete(work);
    this.failed.set(work, failure);
    this.describe();
  }

  private describe(): void {
    const newest = [...this.failed.values()].at(-1);
    this.show(newest === undefined ? "" : errorText(newest.error));
  }
}
