// The event stream of the results of an object.

import { pauseAfter } from "./retry";
import type { View } from "./view";

/**
 * Calls `taken` with each result of an object until the view ends, and `changed` when the stream is open or lost. A
 * browser connects again after a lost connection, but not after a response with an error, as 429 or that of a proxy.
 */
export function listen(view: View, key: string, changed: (isConnected: boolean) => void, taken: () => void): void {
  let [failures, timer]: [number, number | undefined] = [0, undefined];
  let events: EventSource;
  const open = () => {
    events = new EventSource(`api/v1/results/stream?key=${encodeURIComponent(key)}`);
    events.onopen = () => {
      failures = 0;
      changed(true);
    };
    events.onmessage = taken;
    events.onerror = () => {
      changed(false);
      if (events.readyState === EventSource.CLOSED) {
        failures += 1;
        timer = window.setTimeout(open, pauseAfter(failures));
      }
    };
  };
  open();
  view.finally(() => {
    clearTimeout(timer);
    events.close();
  });
}
