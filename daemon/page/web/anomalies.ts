// The rows of anomalies in the table below the charts of an object.

import type { Point, Series } from "./api";
import type { Range } from "./chart";
import { h } from "./dom";
import { ABSENT, age, estimate, number, score, utc, uveName } from "./format";

/** A row of an anomaly; `choose` gets the range around it. */
export function anomalyRow(point: Point, series: Series, now: number, choose: (range: Range) => void): HTMLTableRowElement {
  const [type, stream] = uveName(series.uve, series.proxy);
  const [start, end, value, found, expected, low, high] = point;
  const around = (end - start) / 1e6 || 60;
  const show = () => choose([start / 1e6 - 15 * around, end / 1e6 + 15 * around]);
  return h(
    "tr",
    { class: "anomalous" },
    h("td", {}, h("button", { type: "button", class: "plain", onclick: show, title: "Zoom to it" }, utc(start))),
    h("td", { class: "dim" }, age(start, now)),
    h("td", { class: "r" }, number(value)),
    h("td", { class: "r dim" }, estimate(expected)),
    h("td", { class: "r dim" }, low === null && high === null ? ABSENT : `${estimate(low)} – ${estimate(high)}`),
    h("td", { class: "r score" }, score(found)),
    h("td", { class: "dim" }, `${type} ${stream}`),
  );
}

/** The rows of the newest ones, and one with the number of the others. */
export function withRest<T>(newest: T[], most: number, row: (one: T) => HTMLTableRowElement): HTMLTableRowElement[] {
  const rows = newest.slice(0, most).map(row);
  const rest = newest.length - rows.length;
  return rest === 0 ? rows : [...rows, h("tr", {}, h("td", { colspan: 7, class: "dim" }, `and ${number(rest)} earlier ones: zoom in`))];
}
