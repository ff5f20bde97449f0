// The buttons that move, zoom and follow the range of the charts of an object.

import type { Range } from "./chart";
import { h } from "./dom";

/** The ranges to follow, in seconds. */
const RANGES: [string, number][] = [
  ["15 min", 900],
  ["1 h", 3600],
  ["6 h", 21_600],
  ["24 h", 86_400],
];

export interface Controls {
  /** The range that is shown. */
  shown: () => Range;
  choose: (range: Range) => void;
  chooseAll: () => void;
  follow: (seconds: number) => void;
  copyLink: () => void;
  /** What is beside the buttons. */
  state: HTMLElement;
}

export function rangeBar({ shown, choose, chooseAll, follow, copyLink, state }: Controls): HTMLElement {
  const button = (text: string, label: string, onclick: () => void) =>
    h("button", { type: "button", "aria-label": /^\p{L}/u.test(text) ? undefined : label, title: label, onclick }, text);
  const zoom = (factor: number) => {
    const [from, to] = shown();
    const pad = ((to - from) * (factor - 1)) / 2;
    choose([from - pad, to + pad]);
  };
  const pan = (by: number) => {
    const [from, to] = shown();
    choose([from + (to - from) * by, to + (to - from) * by]);
  };
  return h(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Range" },
    ...RANGES.map(([text, seconds]) => button(text, `Follow the newest ${text}`, () => follow(seconds))),
    button("All", "Everything that was read", chooseAll),
    h("span", { class: "gap" }),
    button("←", "Earlier", () => pan(-0.5)),
    button("→", "Later", () => pan(0.5)),
    button("+", "Zoom in", () => zoom(0.5)),
    button("−", "Zoom out", () => zoom(2)),
    h("span", { class: "gap" }),
    button("Copy link", "Copy a link to what is shown", copyLink),
    state,
  );
}
