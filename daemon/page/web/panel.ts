// The chart of one series of an object.

import type { Mark } from "./chart";
import type { Point, Series } from "./api";
import { Chart, type Range } from "./chart";
import { h, setText } from "./dom";
import { age, duration, estimate, number, score, utc, uveName } from "./format";
import { link } from "./route";
import { legend, sample, withGaps } from "./samples";

export class Panel {
  readonly element: HTMLElement;
  private readonly chart: Chart;
  private readonly newest = h("p", { class: "newest" });
  private readonly keys = h("span", { class: "keys" });
  /** Whether the legend has the keys of scores; `undefined` before the first points. */
  private isScored: boolean | undefined;

  /** `choose` gets each range that the user selects in the chart. */
  constructor(object: { type: string; name: string }, series: Series, choose: (range: Range) => void) {
    const [type, stream] = uveName(series.uve, series.proxy);
    const label = `${type} ${stream}${series.attribute === "value" ? "" : ` ${series.attribute}`}`;
    this.chart = new Chart(label, choose);
    const run = link("try", [], { ...object, uve: series.uve, attribute: series.attribute });
    this.element = h(
      "section",
      { class: "panel", "aria-label": label },
      h("h2", {}, type, h("span", { class: "dim" }, ` ${stream}${series.attribute === "value" ? "" : ` · ${series.attribute}`}`)),
      this.newest,
      this.chart.element,
      h("p", { class: "legend" }, this.keys, h("a", { href: run }, "Try another annotation on these values")),
    );
  }

  show(series: Series, range: Range, marks: Mark[], now: number): void {
    this.chart.show(withGaps(series.points.map(sample)), range, marks);
    setText(this.newest, newestText(series.points.at(-1), now));
    this.describeKeys(series.points.some((point) => point[3] !== null));
  }

  /** The first score of a series may come after its first points. */
  private describeKeys(isScored: boolean): void {
    if (isScored !== this.isScored) {
      this.isScored = isScored;
      this.keys.replaceChildren(...legend(isScored, true));
    }
  }

  move(range: Range): void {
    this.chart.move(range);
  }

  end(): void {
    this.chart.end();
  }
}

function newestText(point: Point | undefined, now: number): string {
  if (!point) {
    return "";
  }
  const [start, end, value, found, expected, , , anomaly, partial] = point;
  const rest = expected === null ? "" : ` · expected ${estimate(expected)} · score ${score(found)}${anomaly ? " · anomaly" : ""}`;
  const window = end > start ? `window of ${duration((end - start) / 1e6)}` : "sample";
  return `${number(value)}${rest} · ${window} at ${utc(start)}, ${age(end, now)}${partial ? " · partial" : ""}`;
}
