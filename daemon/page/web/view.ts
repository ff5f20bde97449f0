// What a view gets: its place, its address, and timers and requests that end with it.

import type { Status } from "./api";
import { h } from "./dom";
import type { Route } from "./route";

export class View {
  private readonly controller = new AbortController();
  private readonly timers: number[] = [];
  private readonly atEnd: (() => void)[] = [];
  private onStatus: (() => void) | undefined;

  constructor(
    readonly main: HTMLElement,
    readonly route: Route,
    private readonly status: () => Status | undefined,
    private readonly readAt: () => number,
  ) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** The newest status of the daemon, if it has answered. */
  get daemon(): Status | undefined {
    return this.status();
  }

  /** The daemon's time in microseconds: ages are shown by its clock. */
  get now(): number {
    const status = this.status();
    return status ? status.now + (performance.now() - this.readAt()) * 1000 : Date.now() * 1000;
  }

  /** Calls `work` now and every so many milliseconds while the view is shown; errors go to `failed`. */
  every(milliseconds: number, work: () => Promise<void>, failed: (text: string) => void): void {
    let busy = false;
    const tick = async () => {
      if (busy || document.hidden) {
        return;
      }
      busy = true;
      try {
        await work();
      } catch (error) {
        this.fail(error, failed);
      }
      busy = false;
    };
    void tick();
    this.timers.push(window.setInterval(() => void tick(), milliseconds));
  }

  /** Shows an error, unless the view has ended, or nobody wanted the answer any more. */
  fail(error: unknown, failed: (text: string) => void): void {
    if (!this.isUnwanted(error)) {
      failed(errorText(error));
    }
  }

  /** Whether an error is that of a request whose answer nobody wanted any more. */
  isUnwanted(error: unknown): boolean {
    return this.signal.aborted || (error instanceof DOMException && error.name === "AbortError");
  }

  /** Calls `work` with each new status. */
  whenRefreshed(work: () => void): void {
    this.onStatus = work;
  }

  refreshed(): void {
    this.onStatus?.();
  }

  /** Calls `work` when the view ends. */
  finally(work: () => void): void {
    this.atEnd.push(work);
  }

  end(): void {
    this.controller.abort();
    this.timers.forEach((timer) => clearInterval(timer));
    this.atEnd.forEach((work) => work());
  }
}

export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A place for an error, with a way to show and to hide it. */
export function alertBox(): { element: HTMLElement; show: (text: string) => void } {
  const element = h("p", { class: "alert", role: "alert", hidden: true });
  const show = (text: string) => {
    element.hidden = text === "";
    if (element.textContent !== text) {
      element.textContent = text;
    }
  };
  return { element, show };
}
