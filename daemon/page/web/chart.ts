// A chart of one series: value, expected value, band, anomalies. uPlot draws; the keyboard and the texts are here.

import uPlot from "uplot";
import { h, setText } from "./dom";
import { count, estimate, number, score, utc } from "./format";
import { type Sample, columns, padded } from "./samples";

export type Range = [number, number];

/** An alarm on a chart: the times of the samples with which it fired and ended, in seconds. */
export interface Mark {
  rule: string;
  fired: number;
  resolved: number | null;
}

const HEIGHT = 220;

export class Chart {
  readonly element: HTMLElement;
  private readonly host: HTMLElement;
  private readonly readout: HTMLElement;
  private plot: uPlot | undefined;
  private samples: Sample[] = [];
  private marks: Mark[] = [];
  /** Where the marks are drawn: elements over the plot, which need no colours of their own. */
  private readonly overlay = h("div", { class: "marks", "aria-hidden": "true" });
  private range: Range = [0, 1];
  private at = -1;
  /** Whether the sample of the readout was chosen with the keys: it stays when results come. */
  private isHeld = false;
  private readonly scheme = matchMedia("(prefers-color-scheme: dark)");
  private readonly sizes: ResizeObserver;
  private readonly redraw = () => this.draw();

  /** `onRange` gets each range that the user chooses. */
  constructor(
    private readonly label: string,
    private readonly onRange: (range: Range) => void,
  ) {
    this.readout = h("p", { class: "readout", role: "status" });
    this.host = h("div", { class: "plot", tabindex: 0, role: "group", "aria-label": label, onkeydown: (event: KeyboardEvent) => this.key(event) });
    this.element = h("figure", { class: "chart", hidden: true }, this.host, this.readout);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.host);
    this.scheme.addEventListener("change", this.redraw);
  }

  /** Shows samples, in the order of their times, and alarms, within a range. */
  show(samples: Sample[], range: Range, marks: Mark[] = []): void {
    const isSame = this.samples.length > 0 && samples.length > 0;
    const held = this.isHeld ? this.samples[this.at]?.at : undefined;
    this.samples = samples;
    this.marks = marks;
    this.range = range;
    this.at = -1;
    this.element.hidden = samples.length === 0;
    if (this.plot && isSame) {
      this.plot.setData(columns(samples), false);
      this.plot.setScale("x", { min: range[0], max: range[1] });
      // The same data in the same range are not drawn again, and an alarm may have come.
      this.drawMarks(this.plot);
    } else {
      this.draw();
    }
    this.describe();
    if (held !== undefined) {
      // After uPlot has taken the new range, which it does in a microtask too.
      queueMicrotask(() => this.hold(this.samples.findIndex((sample) => sample.at === held)));
    }
  }

  /** Moves to another range. */
  move(range: Range): void {
    this.range = range;
    this.plot?.setScale("x", { min: range[0], max: range[1] });
    this.describe();
  }

  end(): void {
    this.sizes.disconnect();
    this.scheme.removeEventListener("change", this.redraw);
    this.plot?.destroy();
  }

  private describe(): void {
    const inside = this.samples.filter((sample) => sample.at >= this.range[0] && sample.at <= this.range[1]);
    const values = inside.flatMap((sample) => (sample.value === null ? [] : [sample.value]));
    const anomalies = inside.filter((sample) => sample.anomaly).length;
    const alarms = this.marks.filter((mark) => mark.fired <= this.range[1] && (mark.resolved ?? Infinity) >= this.range[0]).length;
    const partial = inside.filter((sample) => sample.partial).length;
    const windows = partial > 0 ? `, ${count(partial, "partial window", "partial windows")}` : "";
    const raised = windows + (alarms > 0 ? `, ${count(alarms, "alarm", "alarms")}` : "");
    const extent = values.length > 0 ? `from ${number(min(values))} to ${number(max(values))}` : "none";
    this.host.setAttribute(
      "aria-label",
      `${this.label}: ${count(values.length, "value", "values")}, ${extent}; ${count(anomalies, "anomaly", "anomalies")}${raised}. Arrow keys read values, plus and minus zoom.`,
    );
    if (this.at < 0) {
      setText(this.readout, values.length > 0 ? `${count(values.length, "value", "values")}, ${count(anomalies, "anomaly", "anomalies")}${raised} in view` : "No values in this range.");
    }
  }

  private resize(): void {
    const width = this.host.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) {
      this.plot.setSize({ width, height: HEIGHT });
    }
  }

  private draw(): void {
    this.plot?.destroy();
    const [min, max] = this.range;
    const plot = new uPlot(this.options(), columns(this.samples), this.host);
    plot.setScale("x", { min, max });
    this.plot = plot;
  }

  private options(): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const axis: uPlot.Axis = {
      stroke: color("dim"),
      font: "12px system-ui, sans-serif",
      grid: { stroke: color("grid"), width: 1 },
      ticks: { stroke: color("grid"), width: 1 },
    };
    const line = (stroke: string, width: number, more: Partial<uPlot.Series> = {}): uPlot.Series => ({
      stroke,
      width,
      points: { show: false },
      ...more,
    });
    // Hollow ones are of partial windows.
    const dots = (stroke: string, fill: string, size: number): uPlot.Series => ({
      width: 0,
      stroke,
      paths: () => null,
      points: { show: true, size, width: 2, stroke, fill },
    });
    return {
      width: this.host.clientWidth || 800,
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      legend: { show: false },
      scales: { y: { range: (_plot, low, high) => padded(low, high) } },
      axes: [
        { ...axis, space: 80, size: 32, values: (_plot, splits) => splits.map(tick) },
        { ...axis, size: 72, values: (_plot, splits) => splits.map((split) => number(split)) },
      ],
      series: [
        {},
        line(color("band-line"), 1),
        line(color("band-line"), 1),
        line(color("expected"), 1, { dash: [5, 4] }),
        line(color("value"), 1.5, { points: { show: this.samples.length < 200, size: 4, fill: color("value") } }),
        dots(color("value"), color("box"), 11),
        dots(color("bad"), color("bad"), 10),
        dots(color("bad"), color("box"), 12),
      ],
      bands: [{ series: [2, 1], fill: color("band") }],
      cursor: {
        drag: { x: true, y: false, setScale: false },
        y: false,
        points: { size: 8 },
        bind: { dblclick: () => () => (this.zoom(2), null) },
      },
      hooks: {
        ready: [(plot) => plot.over.append(this.overlay)],
        draw: [(plot) => this.drawMarks(plot)],
        setCursor: [(plot) => this.read(plot.cursor.idx ?? -1)],
        // The selection of a drag, and not each change of the scale: those of this class are not choices of the user.
        setSelect: [
          (plot) => {
            const { left, width } = plot.select;
            if (width > 0) {
              this.to([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            }
          },
        ],
      },
    };
  }

  /** Draws a line where each alarm fired and where it ended, and the time between them. */
  private drawMarks(plot: uPlot): void {
    const { width } = plot.over.getBoundingClientRect();
    const place = (seconds: number) => plot.valToPos(seconds, "x");
    const line = (kind: string, left: number) => {
      const element = h("div", { class: `mark ${kind}` });
      element.style.left = `${left}px`;
      return left >= 0 && left <= width ? [element] : [];
    };
    const drawn = this.marks.flatMap(({ fired, resolved }) => {
      const [from, to] = [place(fired), resolved === null ? width : place(resolved)];
      const [left, right] = [Math.max(from, 0), Math.min(to, width)];
      const span = h("div", { class: "mark span" });
      span.style.left = `${left}px`;
      span.style.width = `${right - left}px`;
      return [...(right > left ? [span] : []), ...line("fired", from), ...(resolved === null ? [] : line("resolved", to))];
    });
    this.overlay.replaceChildren(...drawn);
  }

  private to(range: Range): void {
    this.move(range);
    this.onRange(range);
  }

  private zoom(factor: number): void {
    const [min, max] = this.range;
    const pad = ((max - min) * (factor - 1)) / 2;
    this.to([min - pad, max + pad]);
  }

  /** Shows the numbers of a sample. */
  private read(index: number): void {
    this.at = index;
    this.isHeld = false;
    const sample = this.samples[index];
    if (!sample) {
      return this.describe();
    }
    const band = sample.low === null && sample.high === null ? "" : `, normal ${estimate(sample.low)} to ${estimate(sample.high)}`;
    const rest = sample.expected === null ? "" : `, expected ${estimate(sample.expected)}${band}`;
    const found = sample.score === null ? "" : `, score ${score(sample.score)}`;
    const marks = `${sample.anomaly ? ", anomaly" : ""}${sample.partial ? ", partial window" : ""}`;
    const alarms = this.marks.flatMap(({ rule, fired, resolved }) => [
      ...(fired === sample.at ? [`, alarm ${rule} fires`] : []),
      ...(resolved === sample.at ? [`, alarm ${rule} ends`] : []),
    ]);
    setText(this.readout, `${utc(sample.at * 1e6)}: ${number(sample.value)}${rest}${found}${marks}${alarms.join("")}`);
  }

  private key(event: KeyboardEvent): void {
    switch (event.key) {
      case "ArrowLeft":
      case "ArrowRight":
        this.step(event.key === "ArrowRight" ? 1 : -1);
        break;
      case "+":
      case "=":
        this.zoom(0.5);
        break;
      case "-":
        this.zoom(2);
        break;
      default:
        return;
    }
    event.preventDefault();
  }

  private step(by: number): void {
    const last = this.samples.length - 1;
    this.hold(this.at < 0 ? last : Math.min(Math.max(this.at + by, 0), last));
  }

  /** Puts the cursor on a sample and shows its numbers, also when results come. */
  private hold(index: number): void {
    const sample = this.samples[index];
    if (sample && this.plot) {
      this.plot.setCursor({ left: this.plot.valToPos(sample.at, "x"), top: this.plot.valToPos(sample.value ?? 0, "y") }, false);
      this.read(index);
      this.isHeld = true;
    }
  }
}

function min(values: number[]): number {
  return values.reduce((least, value) => Math.min(least, value), Infinity);
}

function max(values: number[]): number {
  return values.reduce((most, value) => Math.max(most, value), -Infinity);
}

/** The text of a tick: the time in UTC, and the date at midnight. */
function tick(seconds: number): string {
  const text = new Date(seconds * 1000).toISOString();
  if (seconds % 86_400 === 0) {
    return text.slice(0, 10);
  }
  return seconds % 60 === 0 ? text.slice(11, 16) : text.slice(11, 19);
}
