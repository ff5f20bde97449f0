// One object: a chart for each of its proxy UVEs, with its history and its live results.

import { alarmId, isWithin, marks, objectAlarmRow } from "./alarms";
import { type History, type ObjectAlarm, type Point, type Series, Refused, get, objectPath } from "./api";
import { Chart, type Range, type Sample, withGaps } from "./chart";
import { append, h, replaceChildren, setText } from "./dom";
import { ABSENT, age, duration, estimate, number, score, utc, uveName } from "./format";
import { head } from "./overview";
import { link, replace } from "./route";
import { type View, alertBox } from "./view";

/** The ranges to choose, in seconds. */
const RANGES: [string, number][] = [
  ["15 min", 900],
  ["1 h", 3600],
  ["6 h", 21_600],
  ["24 h", 86_400],
];

/** How long after a live result the history is read, so that a burst is read once, in milliseconds. */
const SETTLE = 100;

/** The most parts that are read for one range. */
const MAX_PARTS = 5;

/** What is read on each side of a range, as a part of it, so that the lines go to the edges and a small move reads nothing. */
const MARGIN = 0.25;

/** The anomalies in the list, and the alarms. */
const MAX_LISTED = 50;

interface Panel {
  series: Series;
  chart: Chart;
  newest: HTMLElement;
  element: HTMLElement;
}

export function object(view: View): void {
  new ObjectView(view).start();
}

class ObjectView {
  private readonly alert = alertBox();
  private readonly type: string;
  private readonly name: string;
  private readonly panels = new Map<string, Panel>();
  private readonly charts = h("div", { class: "charts" });
  private readonly anomalies = h("tbody");
  private readonly alarms = new Map<string, ObjectAlarm>();
  private readonly alarmRows = h("tbody");
  private readonly alarmed = h(
    "section",
    { "aria-labelledby": "alarms", hidden: true },
    h("h2", { id: "alarms" }, "Alarms in view"),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": "Alarms in view" },
      h("table", {}, head(["Fired", "Ago", "Ended", "Severity", "Alarm", "Text", "Proxy UVE"]), this.alarmRows),
    ),
  );
  private readonly coverage = h("p", { class: "dim" });
  private readonly older = h("button", { type: "button", onclick: () => this.guard(() => this.readOlder(0).then(() => this.show())) }, "Read older results");
  private readonly empty = h("p", { class: "empty", hidden: true });
  private readonly live = h("span", { class: "live", role: "status" });
  private readonly raw = h("pre", { tabindex: 0, "aria-label": "JSON of the object" });
  /** The chosen range in seconds; without one, the newest values are followed. */
  private range: Range | undefined;
  private follow = 3600;
  /** Windows that start from here on were read, in microseconds; `Infinity` before the first answer. */
  private from = Infinity;
  /** The end of what was read; `Infinity` if it goes on with live results. */
  private to = Infinity;
  /** The part before `from` of which the newest results were read, those from the offset `next` on. */
  private part: { from: number; next: number | null } | undefined;
  /** The end of the newest window that is known, in seconds. */
  private newest = 0;
  private isConnected: boolean | undefined;
  private end = 0;
  private committed: number | undefined;
  private key = "";
  private due: number | undefined;
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly view: View) {
    [this.type = "", this.name = ""] = view.route.parts;
    const [from, to] = [view.route.parameters.get("from"), view.route.parameters.get("to")].map(Number);
    if (from && to && from < to) {
      this.range = [from, to];
    }
    this.follow = Number(view.route.parameters.get("last")) || this.follow;
  }

  start(): void {
    append(this.view.main, [
      h("p", { class: "crumb" }, h("a", { href: link("objects", [], { type: `${this.type}s` }) }, this.type), " /"),
      h("h1", { class: "object-name" }, this.name),
      this.alert.element,
      this.toolbar(),
      this.charts,
      this.empty,
      h("p", { class: "coverage" }, this.coverage, " ", this.older),
      this.alarmed,
      h(
        "section",
        { "aria-labelledby": "anomalies" },
        h("h2", { id: "anomalies" }, "Anomalies in view"),
        h(
          "div",
          { class: "scroll", tabindex: 0, role: "group", "aria-label": "Anomalies in view" },
          h("table", {}, head(["Window", "Ago", "Value:r", "Expected:r", "Normal:r", "Score:r", "Proxy UVE"]), this.anomalies),
        ),
      ),
      h("details", { ontoggle: (event: Event) => (event.target as HTMLDetailsElement).open && this.guard(() => this.readRaw()) }, h("summary", {}, "Raw JSON"), this.raw),
    ]);
    this.view.finally(() => {
      clearTimeout(this.due);
      this.panels.forEach((panel) => panel.chart.end());
    });
    this.guard(() => this.load());
  }

  private toolbar(): HTMLElement {
    const button = (text: string, label: string, onclick: () => void) =>
      h("button", { type: "button", "aria-label": /^\p{L}/u.test(text) ? undefined : label, title: label, onclick }, text);
    const zoom = (factor: number) => {
      const [from, to] = this.shown();
      const pad = ((to - from) * (factor - 1)) / 2;
      this.choose([from - pad, to + pad]);
    };
    const pan = (by: number) => {
      const [from, to] = this.shown();
      this.choose([from + (to - from) * by, to + (to - from) * by]);
    };
    return h(
      "div",
      { class: "toolbar", role: "toolbar", "aria-label": "Range" },
      ...RANGES.map(([text, seconds]) => button(text, `Follow the newest ${text}`, () => this.followLast(seconds))),
      button("All", "Everything that was read", () => this.choose(this.extent())),
      h("span", { class: "gap" }),
      button("←", "Earlier", () => pan(-0.5)),
      button("→", "Later", () => pan(0.5)),
      button("+", "Zoom in", () => zoom(0.5)),
      button("−", "Zoom out", () => zoom(2)),
      h("span", { class: "gap" }),
      button("Copy link", "Copy a link to what is shown", () => void this.copyLink()),
      this.live,
    );
  }

  /** Runs one piece of work after the other, so that no results are read twice. */
  private guard(work: () => Promise<void>): void {
    this.last = this.last.then(work).then(
      () => this.alert.show(""),
      (error: unknown) => this.view.fail(error, this.alert.show),
    );
  }

  private history(parameters: Record<string, number | null>): Promise<History> {
    const given = Object.entries(parameters).filter(([, value]) => value !== null && Number.isFinite(value));
    const query = given.map(([name, value]) => `${name}=${value}`).join("&");
    return get<History>(`${objectPath("api/v1/history", this.type, this.name)}&${query}`, this.view.signal);
  }

  private async load(): Promise<void> {
    await this.begin();
    this.listen();
    await this.cover();
  }

  /** Finds the newest result and begins to read anew: up to the end of the chosen range, or with live results. */
  private async begin(): Promise<void> {
    const history = await this.history({ limit: 1 });
    const ends = history.series.flatMap(({ points }) => points.map((point) => point[1] / 1e6));
    this.newest = Math.max(...ends, ends.length === 0 ? this.view.now / 1e6 : 0);
    this.key = history.key;
    const to = this.range ? this.outer(this.range)[1] : Infinity;
    [this.from, this.to, this.part] = [Infinity, to < this.newest ? to * 1e6 : Infinity, undefined];
    this.panels.forEach((panel) => (panel.series = { ...panel.series, points: [] }));
  }

  /** A range with its margin. */
  private outer([from, to]: Range): Range {
    const margin = (to - from) * MARGIN;
    return [Math.max(0, Math.floor(from - margin)), Math.ceil(to + margin)];
  }

  /** Reads what is missing of the range that is chosen or followed, at most so many parts. */
  private async cover(): Promise<void> {
    if (this.to < (this.range?.[1] ?? Infinity) * 1e6) {
      await this.begin();
    }
    const range: Range = this.range ?? [this.newest - this.follow, this.newest];
    const from = Math.max(0, range[0] * 1e6);
    const isMissing = () => this.from > from && !(this.part && this.extent()[0] * 1e6 <= from);
    for (let part = 0; part < MAX_PARTS && isMissing(); part += 1) {
      await this.readOlder(this.outer(range)[0] * 1e6);
      this.show();
    }
    this.describeLive();
  }

  /** Reads a part before what was read, of windows that start at `from` or later. */
  private async readOlder(from: number): Promise<void> {
    const part = this.part ?? { from, next: null };
    const to = Math.min(this.from, this.to);
    const history = await this.history({ from: part.from, to, before: part.next });
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

  private listen(): void {
    const events = new EventSource(`api/v1/results/stream?key=${encodeURIComponent(this.key)}`);
    events.onopen = () => {
      this.isConnected = true;
      this.describeLive();
      // What came between the first part and the stream.
      this.refresh();
    };
    events.onmessage = () => this.refresh();
    events.onerror = () => {
      this.isConnected = false;
      this.describeLive();
    };
    this.view.finally(() => events.close());
  }

  /** Reads what is new, once for a burst of events. */
  private refresh(): void {
    clearTimeout(this.due);
    this.due = window.setTimeout(() => this.guard(() => this.readNew()), SETTLE);
  }

  private async readNew(): Promise<void> {
    if (this.to === Infinity) {
      const history = await this.history({ after: this.end });
      this.end = history.end;
      this.merge(history, false);
      this.show();
    }
  }

  private describeLive(): void {
    const text = this.to === Infinity ? "live" : "an earlier range";
    setText(this.live, this.isConnected === undefined ? "" : this.isConnected ? text : "not live: connecting again");
  }

  private async readRaw(): Promise<void> {
    try {
      const document = await get<unknown>(`${objectPath("analytics/uves", this.type, this.name)}&flat`, this.view.signal);
      setText(this.raw, JSON.stringify(document, null, 2));
    } catch (error) {
      if (!(error instanceof Refused)) {
        throw error;
      }
      setText(this.raw, error.message);
    }
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
      const panel = this.panels.get(id);
      this.newest = Math.max(this.newest, (series.points.at(-1)?.[1] ?? 0) / 1e6);
      if (panel) {
        const own = panel.series.points;
        const points = isOlder ? [...series.points, ...own] : [...own, ...series.points];
        panel.series = { ...series, points };
      } else {
        this.panels.set(id, this.panel(series));
      }
    }
    const sorted = [...this.panels].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, panel]) => panel.element);
    if (sorted.some((element, index) => this.charts.children[index] !== element)) {
      this.charts.replaceChildren(...sorted);
    }
  }

  private panel(series: Series): Panel {
    const [type, stream] = uveName(series.uve, series.proxy);
    const label = `${type} ${stream}${series.attribute === "value" ? "" : ` ${series.attribute}`}`;
    const chart = new Chart(label, (range) => this.choose(range));
    const newest = h("p", { class: "newest" });
    const run = link("try", [], { type: this.type, name: this.name, uve: series.uve, attribute: series.attribute });
    const element = h(
      "section",
      { class: "panel", "aria-label": label },
      h("h2", {}, type, h("span", { class: "dim" }, ` ${stream}${series.attribute === "value" ? "" : ` · ${series.attribute}`}`)),
      newest,
      chart.element,
      h("p", { class: "legend" }, ...legend(series.points.some((point) => point[3] !== null), true), h("a", { href: run }, "Try another annotation on these values")),
    );
    return { series, chart, newest, element };
  }

  private show(): void {
    const range = this.shown();
    for (const panel of this.panels.values()) {
      panel.chart.show(withGaps(panel.series.points.map(sample)), range, marks(this.alarms.values(), panel.series));
      setText(panel.newest, newestText(panel.series.points.at(-1), this.view.now));
    }
    this.describe();
  }

  private describeAlarms(range: Range): void {
    const inside = [...this.alarms.values()].filter((alarm) => isWithin(alarm, range)).sort((a, b) => b.fired - a.fired);
    this.alarmed.hidden = inside.length === 0;
    const zoom = ({ since, fired, resolved }: ObjectAlarm) => {
      const end = resolved ?? Math.max(this.view.now, fired);
      const pad = Math.max((end - since) / 4e6, 600);
      this.choose([since / 1e6 - pad, end / 1e6 + pad]);
    };
    replaceChildren(this.alarmRows, [
      ...inside.slice(0, MAX_LISTED).map((alarm) => objectAlarmRow(alarm, this.view.now, () => zoom(alarm))),
      ...(inside.length > MAX_LISTED
        ? [h("tr", {}, h("td", { colspan: 7, class: "dim" }, `and ${number(inside.length - MAX_LISTED)} earlier ones: zoom in`))]
        : []),
    ]);
  }

  private describe(): void {
    const range = this.shown();
    this.describeAlarms(range);
    const rows = [...this.panels.values()].flatMap(({ series }) =>
      series.points
        .filter((point) => point[7] === 1 && point[0] / 1e6 >= range[0] && point[0] / 1e6 <= range[1])
        .map((point) => ({ point, series })),
    );
    rows.sort((a, b) => b.point[0] - a.point[0]);
    replaceChildren(this.anomalies, [
      ...rows.slice(0, MAX_LISTED).map(({ point, series }) => this.anomaly(point, series)),
      ...(rows.length === 0 ? [h("tr", {}, h("td", { colspan: 7, class: "empty" }, "No anomaly in view."))] : []),
      ...(rows.length > MAX_LISTED
        ? [h("tr", {}, h("td", { colspan: 7, class: "dim" }, `and ${number(rows.length - MAX_LISTED)} earlier ones: zoom in`))]
        : []),
    ]);
    this.empty.hidden = this.panels.size > 0;
    setText(
      this.empty,
      `No result of this object in what was read. Its first window may still be open, a detector may be in its warm-up, or the name may be misspelt.`,
    );
    setText(this.coverage, this.coverageText());
    this.older.hidden = this.from === 0;
  }

  private coverageText(): string {
    if (this.part) {
      return this.committed === undefined ? "" : `Complete for results since ${utc(this.committed)}.`;
    }
    const to = this.to === Infinity ? "" : ` to ${utc(this.to)}`;
    return this.from === 0 ? `All that the log has${to}.` : `Complete for windows from ${utc(this.from)}${to}.`;
  }

  private anomaly(point: Point, series: Series): HTMLTableRowElement {
    const [type, stream] = uveName(series.uve, series.proxy);
    const [start, end, value, found, expected, low, high] = point;
    const around = (end - start) / 1e6 || 60;
    const show = () => this.choose([start / 1e6 - 15 * around, end / 1e6 + 15 * around]);
    return h(
      "tr",
      { class: "anomalous" },
      h("td", {}, h("button", { type: "button", class: "plain", onclick: show, title: "Zoom to it" }, utc(start))),
      h("td", { class: "dim" }, age(start, this.view.now)),
      h("td", { class: "r" }, number(value)),
      h("td", { class: "r dim" }, estimate(expected)),
      h("td", { class: "r dim" }, low === null && high === null ? ABSENT : `${estimate(low)} – ${estimate(high)}`),
      h("td", { class: "r score" }, score(found)),
      h("td", { class: "dim" }, `${type} ${stream}`),
    );
  }

  /** The first and the last time of all points, in seconds. */
  private extent(): Range {
    const all = [...this.panels.values()].map((panel) => panel.series.points).filter((points) => points.length > 0);
    const from = Math.min(...all.map((points) => points[0]?.[0] ?? Infinity));
    const to = Math.max(...all.map((points) => points.at(-1)?.[1] ?? -Infinity));
    const now = this.view.now;
    return all.length === 0 ? [now / 1e6 - this.follow, now / 1e6] : [from / 1e6, to / 1e6];
  }

  private shown(): Range {
    if (this.range) {
      return this.range;
    }
    const [first, last] = this.extent();
    return [Math.max(last - this.follow, Math.min(first, last - 60)), last];
  }

  private choose(range: Range): void {
    if (!(range[1] - range[0] > 0.5)) {
      return;
    }
    this.range = range;
    this.address();
    this.panels.forEach((panel) => panel.chart.move(range));
    this.describe();
    this.guard(() => this.cover());
  }

  private followLast(seconds: number): void {
    this.range = undefined;
    this.follow = seconds;
    this.address();
    this.show();
    this.guard(() => this.cover());
  }

  private address(): void {
    const range = this.range;
    replace(
      link("object", [this.type, this.name], {
        from: range && String(Math.round(range[0])),
        to: range && String(Math.round(range[1])),
        last: range ? undefined : String(this.follow),
      }),
    );
  }

  private async copyLink(): Promise<void> {
    const [from, to] = this.shown();
    const hash = link("object", [this.type, this.name], { from: String(Math.round(from)), to: String(Math.round(to)) });
    const url = `${location.origin}${location.pathname}${hash}`;
    replace(hash);
    try {
      await navigator.clipboard.writeText(url);
      setText(this.live, "link copied");
    } catch {
      // Without permission, or over plain HTTP: the address bar has it.
      setText(this.live, "the link is in the address bar");
    }
  }
}

export function sample([start, , value, found, expected, low, high, anomaly, partial]: Point): Sample {
  return { at: start / 1e6, value, score: found, expected, low, high, anomaly: anomaly === 1, partial: partial === 1 };
}

/** What the marks of a chart mean. */
export function legend(isScored: boolean, hasAlarms = false): HTMLElement[] {
  const key = (kind: string, text: string) => h("span", {}, h("span", { class: `key ${kind}`, "aria-hidden": "true" }), text);
  const scored = [key("expected", "expected"), key("band", "normal"), key("anomaly", "anomaly")];
  const alarms = hasAlarms ? [key("fired", "alarm fires"), key("resolved", "alarm ends")] : [];
  return [key("value", "value"), ...(isScored ? scored : []), ...alarms];
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
