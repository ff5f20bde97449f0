// The overview: what is loud, and how the daemon is.

import { SEVERITIES, explained } from "./alarms";
import { type Alarms, type Loud, type Partition, Refused, type Status, get } from "./api";
import { append, h, replaceChildren, setText, sparkline } from "./dom";
import { ABSENT, age, clock, duration, estimate, number, score, utc, uveName } from "./format";
import { link } from "./route";
import { type View, alertBox } from "./view";

const REFRESH = 2000;
const LOUDEST = 20;
const ALARMS = 20;

/** The outcomes of records, with the words for them. Those that are not here are shown by their names. */
const OUTCOMES: Record<string, string> = {
  aggregated: "Aggregated",
  duplicate: "Duplicate",
  future: "Ahead of their time",
  late: "Late",
  malformed_key: "Malformed keys",
  malformed_payload: "Malformed payloads",
  malformed_value: "Malformed values",
  over_limit: "Over limit",
  refused: "Refused",
};

/** The outcomes that are shown also when no record has them. */
const ALWAYS = new Set(["aggregated", "late", "over_limit", "refused"]);

interface Totals {
  at: number;
  objects: number;
  lag: number;
  watermark: number;
  records: Map<string, number>;
}

export function overview(view: View): void {
  const alert = alertBox();
  const tiles = h("dl", { class: "tiles", "aria-label": "State of the daemon" });
  const loudest = h("tbody");
  const empty = h("p", { class: "empty", hidden: true });
  const alarms = h("tbody");
  const groups = h("p", { class: "alarm-groups" });
  const firing = h(
    "section",
    { "aria-labelledby": "alarms", hidden: true },
    h("h2", { id: "alarms" }, "Alarms"),
    groups,
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": "Alarms" },
      h("table", {}, head(["Severity", "Alarm", "State", "Since", "Object", "Text", "Proxy UVE"]), alarms),
    ),
  );
  const sinks = h("tbody");
  const partitions = h("tbody");
  append(view.main, [
    h("h1", { class: "visually-hidden" }, "Overview"),
    alert.element,
    tiles,
    firing,
    h(
      "section",
      { "aria-labelledby": "loudest" },
      h("h2", { id: "loudest" }, "Loudest now"),
      h(
        "div",
        { class: "scroll", tabindex: 0, role: "group", "aria-label": "Loudest objects" },
        h("table", {}, head(["Score:r", "Since", "Value:r", "Expected:r", "Recent values", "Object", "Proxy UVE", "Last window:r"]), loudest),
      ),
      empty,
    ),
    h(
      "div",
      { class: "columns" },
      h(
        "section",
        { "aria-labelledby": "partitions" },
        h("h2", { id: "partitions" }, "Streams"),
        h(
          "div",
          { class: "scroll", tabindex: 0, role: "group", "aria-label": "Streams" },
          h("table", {}, head(["Stream", "Partitions:r", "Objects:r", "Not applied:r", "Watermark:r", "Behind:r"]), partitions),
        ),
      ),
      h(
        "section",
        { "aria-labelledby": "sinks" },
        h("h2", { id: "sinks" }, "Sinks"),
        h("table", {}, head(["Sink", "Records behind:r", "Problem"]), sinks),
      ),
    ),
  ]);
  const drawAlarms = (raised: Alarms) => {
    replaceChildren(alarms, alarmRows(raised, view.now));
    replaceChildren(groups, raised.groups.map(groupLink));
    firing.hidden = raised.alarms.length === 0;
  };
  const drawLoudest = (list: Loud[]) => {
    replaceChildren(loudest, list.map((loud) => loudRow(loud, view.now)));
    empty.hidden = list.length > 0;
    setText(
      empty,
      "No result has a score yet. A detector has its first result after its warm-up: ten periods for EWM with alpha 0.1, " +
        "a day for Seasonal.",
    );
  };
  let before: Totals | undefined;
  const drawPartitions = (rows: Partition[]) => {
    const totals = sum(rows);
    tiles.replaceChildren(...tilesOf(totals, before, view.now));
    before = totals;
    partitions.replaceChildren(...streams(rows, view.now));
  };
  const drawSinks = () => {
    sinks.replaceChildren(...(view.daemon?.sinks ?? []).map(sinkRow));
  };
  // Before all is restored: the reason is in the bar.
  const isExpected = (error: unknown) => !view.daemon?.ready && error instanceof Refused && error.status === 503;
  const read = async () => {
    if (!view.daemon) {
      return;
    }
    drawSinks();
    // Each part is drawn when it is there, also if another one fails.
    const parts = await Promise.allSettled([
      get<Alarms>(`api/v1/alarms?sort=severity&limit=${ALARMS}`, view.signal).then(drawAlarms),
      get<Loud[]>(`api/v1/loudest?limit=${LOUDEST}`, view.signal).then(drawLoudest),
      get<Partition[]>("api/v1/partitions", view.signal).then(drawPartitions),
    ]);
    const failed = parts.find((part) => part.status === "rejected" && !isExpected(part.reason));
    if (failed) {
      throw (failed as PromiseRejectedResult).reason;
    }
    alert.show("");
  };
  view.every(REFRESH, read, alert.show);
  view.whenRefreshed(() => before || void read().catch((error: unknown) => view.fail(error, alert.show)));
}

/** The head of a table; `:r` behind a name aligns its column right. */
export function head(names: string[]): HTMLTableSectionElement {
  const cells = names.map((name) => {
    const [text = "", align] = name.split(":");
    return h("th", { scope: "col", class: align }, text);
  });
  return h("thead", {}, h("tr", {}, ...cells));
}

/** The number of alarms of a rule and a table, with a link to its objects. */
function groupLink({ rule, table, uve_type, severity, firing, pending }: Alarms["groups"][number]): HTMLElement {
  const href = link("objects", [], { type: `${uve_type}s`, alarm: `rule:${rule}` });
  const counts = [firing > 0 && `${number(firing)} firing`, pending > 0 && `${number(pending)} pending`].filter(Boolean);
  const label = `${rule}, ${table}`;
  return h("span", {}, h("a", { href }, label), ` ${(SEVERITIES[severity] ?? String(severity)).toLowerCase()}: ${counts.join(", ")}`);
}

/** The worst alarms, and a last row with the number of those that are left out. */
function alarmRows(raised: Alarms, now: number): HTMLTableRowElement[] {
  const rows = raised.alarms.map((alarm) => {
    const [type, stream] = uveName(alarm.uve, alarm.proxy);
    return h(
      "tr",
      {},
      h("td", {}, SEVERITIES[alarm.severity] ?? String(alarm.severity)),
      h("th", { scope: "row" }, alarm.type),
      h("td", {}, alarm.state),
      h("td", {}, age(alarm.since, now)),
      h("td", {}, h("a", { href: explained(alarm) }, alarm.name)),
      h("td", {}, alarm.description),
      h("td", { class: "uve", title: alarm.uve }, type, h("span", { class: "dim" }, ` ${stream}`)),
    );
  });
  const all = raised.groups.reduce((sum, group) => sum + group.firing + group.pending, 0);
  const more = all - raised.alarms.length;
  return more > 0 ? [...rows, h("tr", {}, h("td", { colspan: 7 }, `and ${number(more)} more`))] : rows;
}

function loudRow(loud: Loud, now: number): HTMLTableRowElement {
  const [type, stream] = uveName(loud.uve, loud.proxy);
  const since = loud.since === null ? ABSENT : age(loud.since, now);
  return h(
    "tr",
    { class: loud.anomaly ? "anomalous" : undefined },
    h("td", { class: "r score" }, score(loud.score), loud.anomaly && h("span", { class: "visually-hidden" }, " anomaly")),
    h("td", { title: loud.since === null ? undefined : utc(loud.since) }, since),
    h("td", { class: "r" }, number(loud.value)),
    h("td", { class: "r dim" }, estimate(loud.expected)),
    h("td", {}, sparkline(loud.values, loud.anomaly)),
    h("td", { class: "name" }, h("a", { href: link("object", [loud.type, loud.name]) }, loud.name)),
    h("td", { class: "uve", title: loud.uve }, type, h("span", { class: "dim" }, ` ${stream}${loud.attribute === "value" ? "" : ` · ${loud.attribute}`}`)),
    h("td", { class: "r dim", title: utc(loud.end) }, age(loud.end, now)),
  );
}

function sinkRow(sink: Status["sinks"][number]): HTMLTableRowElement {
  return h(
    "tr",
    { class: sink.problem === null ? undefined : "anomalous" },
    h("th", { scope: "row" }, sink.name),
    h("td", { class: "r" }, number(sink.lag)),
    h("td", { class: "problem" }, sink.problem ?? ""),
  );
}

function sum(rows: Partition[]): Totals {
  const records = new Map<string, number>();
  const totals = { at: performance.now(), objects: 0, lag: 0, watermark: 0, records };
  for (const row of rows) {
    totals.objects += row.objects;
    totals.lag += row.lag;
    if (row.watermark > 0 && (totals.watermark === 0 || row.watermark < totals.watermark)) {
      totals.watermark = row.watermark;
    }
    for (const [outcome, count] of Object.entries(row.records ?? {})) {
      records.set(outcome, (records.get(outcome) ?? 0) + count);
    }
  }
  return totals;
}

function tilesOf(totals: Totals, before: Totals | undefined, now: number): HTMLElement[] {
  const all = (of: Totals) => [...of.records.values()].reduce((sum, count) => sum + count, 0);
  const seconds = before ? (totals.at - before.at) / 1000 : 0;
  const rate = before && seconds > 0 ? Math.max(0, all(totals) - all(before)) / seconds : undefined;
  const tile = (name: string, text: string, unit: string, state?: string) =>
    h("div", { class: state }, h("dt", {}, name), h("dd", {}, text, unit && h("span", { class: "unit" }, ` ${unit}`)));
  const tiles = [
    tile("Objects", number(totals.objects), ""),
    tile("Records", rate === undefined ? "…" : number(Math.round(rate)), "/s"),
    tile("Not applied", number(totals.lag), "records"),
    tile("Watermark behind", totals.watermark ? duration((now - totals.watermark) / 1e6) : ABSENT, ""),
  ];
  for (const [outcome, count] of totals.records) {
    const isLoss = outcome !== "aggregated";
    const grew = count > (before?.records.get(outcome) ?? count);
    const state = isLoss && grew ? "bad" : undefined;
    const name = OUTCOMES[outcome] ?? outcome.replaceAll("_", " ");
    if (count > 0 || ALWAYS.has(outcome)) {
      tiles.push(tile(name, number(count), "", state));
    }
  }
  return tiles;
}

function streams(rows: Partition[], now: number): HTMLTableRowElement[] {
  const names = [...new Set(rows.map((row) => row.stream))];
  return names.map((name) => {
    const own = rows.filter((row) => row.stream === name);
    const { objects, lag, watermark } = sum(own);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      h("td", { class: "r" }, number(own.length)),
      h("td", { class: "r" }, number(objects)),
      h("td", { class: "r" }, number(lag)),
      h("td", { class: "r", title: watermark ? utc(watermark) : undefined }, watermark ? `${clock(watermark)}Z` : ABSENT),
      h("td", { class: "r" }, watermark ? duration((now - watermark) / 1e6) : ABSENT),
    );
  });
}
