// One object: a chart for each of its proxy UVEs, with its history and its live results.

import { isWithin, marks, objectAlarmRow } from "./alarms";
import { anomalyRow, withRest } from "./anomalies";
import type { ObjectAlarm, Series } from "./api";
import type { Range } from "./chart";
import { append, h, replaceChildren, setText } from "./dom";
import { ObjectHistory } from "./history";
import { listen } from "./live";
import { head } from "./overview";
import { Panel } from "./panel";
import { rangeBar } from "./rangebar";
import { type Work, Retries } from "./retry";
import { RawJson } from "./raw";
import { link, replace } from "./route";
import { type View, alertBox } from "./view";

/** How long after a live result the history is read, so that a burst is read once, in milliseconds. */
const SETTLE = 100;

/** The anomalies in the list, and the alarms. */
const MAX_LISTED = 50;

export function object(view: View): void {
  new ObjectView(view).start();
}

class ObjectView {
  private readonly alert = alertBox();
  readonly type: string;
  readonly name: string;
  private readonly history: ObjectHistory;
  /** By the names of their series in the history. */
  private readonly panels = new Map<string, Panel>();
  private readonly charts = h("div", { class: "charts" });
  private readonly anomalies = h("tbody");
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
  private readonly older = h("button", { type: "button", hidden: true, onclick: () => this.guard(this.readOlder) }, "Read older results");
  private readonly empty = h("p", { class: "empty", hidden: true });
  private readonly live = h("span", { class: "live", role: "status" });
  private readonly raw: RawJson;
  /** The chosen range in seconds; without one, the newest values are followed. */
  private range: Range | undefined;
  private follow = 3600;
  /** The UVE and the attribute whose chart is the first one: those that a link is about. */
  private readonly first: (string | undefined)[];
  private isListening = false;
  private isConnected: boolean | undefined;
  private due: number | undefined;
  private last: Promise<void> = Promise.resolve();
  private readonly retries: Retries;

  constructor(private readonly view: View) {
    [this.type = "", this.name = ""] = view.route.parts;
    const [from, to] = [view.route.parameters.get("from"), view.route.parameters.get("to")].map(Number);
    if (from && to && from < to) {
      this.range = [from, to];
    }
    this.follow = Number(view.route.parameters.get("last")) || this.follow;
    this.first = ["uve", "attribute"].map((name) => view.route.parameters.get(name) ?? undefined);
    this.history = new ObjectHistory(view, this.type, this.name);
    this.retries = new Retries(view, this.alert.show, (work) => this.guard(work));
    this.raw = new RawJson(view, this.type, this.name, (work) => this.guard(work));
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
      this.raw.element,
    ]);
    this.view.finally(() => {
      clearTimeout(this.due);
      this.history.stop();
      this.panels.forEach((panel) => panel.end());
    });
    this.guard(this.cover);
  }

  private toolbar(): HTMLElement {
    return rangeBar({
      shown: () => this.shown(),
      choose: (range) => this.choose(range),
      chooseAll: () => this.choose(this.extent()),
      follow: (seconds) => this.followLast(seconds),
      copyLink: () => void this.copyLink(),
      state: this.live,
    });
  }

  /** Runs one piece of work after the other, so that no results are read twice; what fails runs again. */
  private guard(work: Work): void {
    this.last = this.last.then(() => this.retries.run(work));
  }

  /** Reads what is missing of the range that is chosen or followed. */
  private readonly cover = async (): Promise<void> => {
    await this.history.cover(this.range, this.follow, () => {
      this.listen();
      this.show();
    });
    this.describeLive();
  };

  /** The same, instead of the range before. */
  private coverInstead(): void {
    this.history.stop();
    this.guard(this.cover);
  }

  private readonly readOlder = async (): Promise<void> => {
    await this.history.readOlder(0);
    this.show();
  };

  /** Follows the live results, from the first part of the history on. */
  private listen(): void {
    if (this.isListening) {
      return;
    }
    this.isListening = true;
    const changed = (isConnected: boolean) => {
      this.isConnected = isConnected;
      this.describeLive();
      // What came between the first part and the stream.
      isConnected && this.refresh();
    };
    listen(this.view, this.history.key, changed, () => this.refresh());
  }

  /** Reads what is new, once for a burst of events. */
  private refresh(): void {
    clearTimeout(this.due);
    // After a failure the retry reads what comes until then.
    this.due = window.setTimeout(() => this.retries.isWaiting(this.readNew) || this.guard(this.readNew), SETTLE);
    this.raw.refresh();
  }

  private readonly readNew = async (): Promise<void> => {
    if (this.history.isLive) {
      await this.history.readNew();
      if (this.history.isLive) {
        this.show();
      } else {
        this.coverInstead();
      }
    }
  };

  private describeLive(): void {
    const text = this.history.isLive ? "live" : "an earlier range";
    setText(this.live, this.isConnected === undefined ? "" : this.isConnected ? text : "not live: connecting again");
  }

  private show(): void {
    const range = this.shown();
    this.placePanels();
    const { series, alarms } = this.history;
    series.forEach((one, id) => this.panels.get(id)?.show(one, range, marks(alarms.values(), one), this.view.now));
    this.describe();
  }

  /** Makes a chart for each series: that of the link first, then those of its UVE, then the others by name. */
  private placePanels(): void {
    const [uve, attribute] = this.first;
    const rank = (series: Series) => (series.uve !== uve ? 2 : series.attribute !== attribute ? 1 : 0);
    const all = [...this.history.series];
    const sorted = all.sort(([a, one], [b, other]) => rank(one) - rank(other) || (a < b ? -1 : 1)).map(([id, series]) => {
      const panel = this.panels.get(id) ?? new Panel(this, series, (range) => this.choose(range));
      this.panels.set(id, panel);
      return panel.element;
    });
    if (sorted.some((element, index) => this.charts.children[index] !== element)) {
      this.charts.replaceChildren(...sorted);
    }
  }

  private describeAlarms(range: Range): void {
    const inside = [...this.history.alarms.values()].filter((alarm) => isWithin(alarm, range)).sort((a, b) => b.fired - a.fired);
    this.alarmed.hidden = inside.length === 0;
    const zoom = ({ since, fired, resolved }: ObjectAlarm) => {
      const end = resolved ?? Math.max(this.view.now, fired);
      const pad = Math.max((end - since) / 4e6, 600);
      this.choose([since / 1e6 - pad, end / 1e6 + pad]);
    };
    replaceChildren(this.alarmRows, withRest(inside, MAX_LISTED, (alarm) => objectAlarmRow(alarm, this.view.now, () => zoom(alarm))));
  }

  private describe(): void {
    const range = this.shown();
    this.describeAlarms(range);
    const rows = [...this.history.series.values()].flatMap((series) =>
      series.points
        .filter((point) => point[7] === 1 && point[0] / 1e6 >= range[0] && point[0] / 1e6 <= range[1])
        .map((point) => ({ point, series })),
    );
    rows.sort((a, b) => b.point[0] - a.point[0]);
    const found = withRest(rows, MAX_LISTED, ({ point, series }) => anomalyRow(point, series, this.view.now, (zoomed) => this.choose(zoomed)));
    const none = h("tr", {}, h("td", { colspan: 7, class: "empty" }, "No anomaly in view."));
    replaceChildren(this.anomalies, rows.length > 0 ? found : this.history.hasPart ? [none] : []);
    this.empty.hidden = this.panels.size > 0 || !this.history.hasPart;
    const why = "Its first window may still be open, a detector may be in its warm-up, or the name may be misspelt.";
    setText(this.empty, `No result of this object in what was read. ${why}`);
    setText(this.coverage, this.history.coverage());
    this.older.hidden = this.history.isWhole || !this.history.hasPart;
  }

  /** The first and the last time of all points, in seconds. */
  private extent(): Range {
    const now = this.view.now / 1e6;
    return this.history.extent() ?? [now - this.follow, now];
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
    this.panels.forEach((panel) => panel.move(range));
    this.describe();
    this.coverInstead();
  }

  private followLast(seconds: number): void {
    this.range = undefined;
    this.follow = seconds;
    this.address();
    this.show();
    this.coverInstead();
  }

  private address(): void {
    const last = this.range ? undefined : String(this.follow);
    replace(this.linkTo(this.range, last));
  }

  private linkTo(range: Range | undefined, last?: string): string {
    const [from, to] = (range ?? []).map((second) => String(Math.round(second)));
    const [uve, attribute] = this.first;
    return link("object", [this.type, this.name], { from, to, last, uve, attribute });
  }

  private async copyLink(): Promise<void> {
    const hash = this.linkTo(this.shown());
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
