// All proxy UVEs of a type: one row for each object and UVE, loaded page by page, searched and sorted here, and drawn
// only where it is seen.

import { allAlarms, explained } from "./alarms";
import { type Proxy, type ShownAlarm, get, proxies, request } from "./api";
import { append, h, replaceChildren, setText } from "./dom";
import { estimate, number, score, uveName } from "./format";
import { link, replace } from "./route";
import { type View, alertBox } from "./view";

const PAGE = 1000;
const ROW_HEIGHT = 26;
const OVERSCAN = 10;
const REFRESH = 4000;

/** Rows beyond this are not loaded: then the search is one by prefix, which the daemon does. */
const MAX_ROWS = 400_000;

/** The longest query of names for the rows in view. */
const MAX_QUERY = 3000;

interface Row {
  name: string;
  lower: string;
  uve: string;
  value: number | null;
  score: number | null;
  expected: number | null;
  anomaly: boolean;
  partial: boolean;
}

const NO_ALARMS: ShownAlarm[] = [];

type Order = "name" | "uve" | "value" | "score" | "expected" | "alarm";
type Structure = Record<string, unknown>;
type Entry = { name: string; value: Record<string, Structure> };

const COLUMNS: [Order, string, boolean][] = [
  ["name", "Object", false],
  ["uve", "Proxy UVE", false],
  ["value", "Value", true],
  ["expected", "Expected", true],
  ["score", "Score", true],
  ["alarm", "Alarm", true],
];

/** The choices of alarms that are not names of rules. */
const ALARM_STATES: [string, string][] = [
  ["", "all objects"],
  ["any", "any alarm"],
  ["firing", "firing"],
  ["pending", "pending"],
];

export function table(view: View): void {
  new TableView(view).start();
}

class TableView {
  private readonly alert = alertBox();
  private readonly types = h("select", { id: "type", onchange: () => this.reload() });
  private readonly uves = h("select", { id: "uve", onchange: () => this.reload() });
  private readonly search = h("input", { id: "search", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "part of a name", oninput: () => this.typed() });
  private readonly loud = h("input", { id: "loud", type: "checkbox", onchange: () => this.select() });
  private readonly alarmed = h("select", { id: "alarm", onchange: () => (this.address(), this.select()) });
  private readonly count = h("p", { class: "dim", role: "status" });
  private readonly body = h("tbody");
  private readonly table = h("table", { class: "virtual", "aria-label": "Proxy UVEs" });
  private readonly frame = h("div", { class: "frame", tabindex: 0, role: "region", "aria-label": "Proxy UVEs, scrollable", onscroll: () => this.draw() });
  private readonly headers = new Map<Order, HTMLTableCellElement>();
  private readonly fields = new Map<string, (structure: Structure) => Omit<Row, "name" | "lower" | "uve">>();
  private readonly streams = new Map<string, string>();
  /** The alarms by object and UVE. */
  private alarms = new Map<string, Map<string, ShownAlarm[]>>();
  /** The alarms as they were read, as a text. */
  private alarmsRead = "";
  private hasAllAlarms = true;
  private rows: Row[] = [];
  private byName = new Map<string, Row[]>();
  private selected: Row[] = [];
  private order: Order = "name";
  private isDescending = false;
  private isComplete = false;
  private isCut = false;
  private loading = new AbortController();
  private drawn = "";
  private resting = 0;
  private pending: number | undefined;

  constructor(private readonly view: View) {}

  start(): void {
    const field = (text: string, control: HTMLElement) => h("div", { class: "field" }, h("label", { for: control.id }, text), control);
    this.table.append(this.tableHead(), this.body);
    this.frame.append(this.table);
    append(this.view.main, [
      h("h1", { class: "visually-hidden" }, "Objects"),
      this.alert.element,
      h(
        "form",
        { class: "toolbar", role: "search", onsubmit: (event: Event) => event.preventDefault() },
        field("Type", this.types),
        field("Proxy UVE", this.uves),
        field("Search", this.search),
        field("Alarm", this.alarmed),
        h("div", { class: "field check" }, this.loud, h("label", { for: "loud" }, "Anomalies only")),
        h("button", { type: "button", onclick: () => this.reload() }, "Load again"),
        this.count,
      ),
      this.frame,
    ]);
    const sizes = new ResizeObserver(() => this.draw());
    sizes.observe(this.frame);
    this.view.finally(() => {
      sizes.disconnect();
      this.loading.abort();
      clearTimeout(this.pending);
    });
    this.readAddress();
    void this.guard(this.begin());
  }

  private readAddress(): void {
    const parameters = this.view.route.parameters;
    this.search.value = parameters.get("q") ?? "";
    this.loud.checked = parameters.get("loud") === "1";
    this.chooseAlarms([]);
    const sort = parameters.get("sort") ?? "";
    const order = COLUMNS.find(([name]) => name === sort.replace(/^-/, ""));
    this.order = order?.[0] ?? "name";
    this.isDescending = sort.startsWith("-");
  }

  private async guard(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) {
        this.view.fail(error, this.alert.show);
      }
    }
  }

  private async begin(): Promise<void> {
    const [types, known] = await Promise.all([
      get<{ name: string }[]>("/analytics/uves", this.view.signal),
      proxies(),
    ]);
    for (const proxy of known) {
      this.fields.set(proxy.uve, reader(proxy));
      this.streams.set(proxy.uve, proxy.stream);
    }
    const wanted = this.view.route.parameters.get("type") ?? "";
    const names = types.map((type) => type.name);
    this.types.replaceChildren(...names.map((name) => h("option", { value: name, selected: name === wanted }, name)));
    const uve = this.view.route.parameters.get("uve") ?? "";
    this.uves.replaceChildren(
      h("option", { value: "" }, "all"),
      ...known.map((proxy) => h("option", { value: proxy.uve, selected: proxy.uve === uve }, proxy.uve)),
    );
    if (names.length === 0) {
      setText(this.count, "No object has a result yet: the first windows are open, or no samples arrive.");
      return;
    }
    await Promise.all([this.load(), this.readAlarms()]);
    this.view.every(REFRESH, () => this.refreshSeen(), this.alert.show);
    // Very many are read by "Load again" only.
    this.view.every(REFRESH, async () => (this.alarms.size < PAGE ? this.readAlarms() : undefined), this.alert.show);
  }

  /** Reads the alarms of all objects of the type: the filter has to know those that are not in view. */
  private async readAlarms(): Promise<void> {
    const { alarms, isComplete } = await allAlarms(this.view.signal);
    const type = this.types.value.replace(/s$/, "");
    const ofType = alarms.filter((alarm) => alarm.uve_type === type);
    this.alarms = new Map();
    for (const alarm of ofType) {
      const byUve = this.alarms.get(alarm.name) ?? new Map<string, ShownAlarm[]>();
      this.alarms.set(alarm.name, byUve);
      for (const uve of [alarm.uve, ...(alarm.other_uves ?? [])]) {
        byUve.set(uve, [...(byUve.get(uve) ?? []), alarm]);
      }
    }
    this.hasAllAlarms = isComplete;
    this.chooseAlarms(alarms);
    const before = this.alarmsRead;
    this.alarmsRead = JSON.stringify(ofType);
    if (this.alarmsRead !== before) {
      this.select();
    }
  }

  /** The choices of the filter by alarm: states, and the rules with alarms. */
  private chooseAlarms(alarms: ShownAlarm[]): void {
    const chosen = this.alarmed.value || (this.view.route.parameters.get("alarm") ?? "");
    const rules = [...new Set(alarms.map((alarm) => `rule:${alarm.type}`))].sort();
    const own = chosen.startsWith("rule:") && !rules.includes(chosen) ? [chosen, ...rules] : rules;
    const choices: [string, string][] = [...ALARM_STATES, ...own.map((rule): [string, string] => [rule, rule.slice("rule:".length)])];
    const shown = [...this.alarmed.options].map((option) => option.value);
    if (choices.some(([value], index) => shown[index] !== value) || shown.length !== choices.length) {
      const options = choices.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
      this.alarmed.replaceChildren(...options);
    }
  }

  /** The alarms of a row that the filter wants. */
  private alarmsOf(row: Row): ShownAlarm[] {
    const wanted = this.alarmed.value;
    const found = this.alarms.get(row.name)?.get(row.uve) ?? NO_ALARMS;
    return wanted === "" || wanted === "any" ? found : found.filter((alarm) => alarm.state === wanted || `rule:${alarm.type}` === wanted);
  }

  private reload(): void {
    this.address();
    void this.guard(this.readAlarms());
    void this.guard(this.load());
  }

  /** Loads all pages, one after the other; the rows are shown as they come. */
  private async load(): Promise<void> {
    this.loading.abort();
    this.loading = new AbortController();
    const signal = AbortSignal.any([this.loading.signal, this.view.signal]);
    [this.rows, this.byName, this.isComplete] = [[], new Map(), false];
    const prefix = this.isCut ? this.search.value : "";
    this.resting = 0;
    let next: string | undefined = `${this.path(prefix)}?limit=${PAGE}${this.filter()}`;
    while (next !== undefined && this.rows.length < MAX_ROWS) {
      const response: Response = await request(next, { signal });
      const page = (await response.json()) as { value: Entry[] };
      page.value.forEach((entry) => this.take(entry));
      next = /^<([^>]*)>; rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
      this.alert.show("");
      // Sorting many rows for each page would take more time than loading them.
      if (performance.now() > this.resting) {
        const from = performance.now();
        this.select();
        this.resting = performance.now() + 5 * (performance.now() - from);
      }
    }
    this.isComplete = next === undefined;
    this.isCut = this.isCut || !this.isComplete;
    this.select();
  }

  private path(prefix: string): string {
    const type = this.types.value.replace(/s$/, "");
    return `/analytics/uves/${encodeURIComponent(type)}/${encodeURIComponent(prefix)}*`;
  }

  private filter(): string {
    return this.uves.value ? `&cfilt=${encodeURIComponent(this.uves.value)}` : "";
  }

  private take({ name, value }: Entry): void {
    const rows = Object.entries(value).map(([uve, structure]): Row => {
      const read = this.fields.get(uve) ?? unknown;
      return { name, lower: name.toLowerCase(), uve, ...read(structure) };
    });
    const known = this.byName.get(name);
    if (!known) {
      this.byName.set(name, rows);
      // One by one: there may be more rows than a call may have arguments.
      rows.forEach((row) => this.rows.push(row));
      return;
    }
    for (const row of rows) {
      const same = known.find((old) => old.uve === row.uve);
      if (same) {
        Object.assign(same, row);
      }
    }
  }

  private typed(): void {
    clearTimeout(this.pending);
    this.pending = window.setTimeout(() => (this.isCut ? this.reload() : (this.address(), this.select())), 120);
  }

  /** Chooses and sorts the rows that pass the search. */
  private select(): void {
    const wanted = this.search.value.trim().toLowerCase();
    const isLoud = this.loud.checked;
    const isAlarmed = this.alarmed.value !== "";
    this.selected = this.rows.filter(
      (row) => (!isLoud || row.anomaly) && (!isAlarmed || this.alarmsOf(row).length > 0) && row.lower.includes(wanted),
    );
    const [order, sign] = [this.order, this.isDescending ? -1 : 1];
    if (order === "score") {
      sort(this.selected, sign, (row) => (row.score === null ? null : Math.abs(row.score)));
    } else if (order === "value" || order === "expected") {
      sort(this.selected, sign, (row) => row[order]);
    } else if (order === "alarm") {
      // Firing ones first, then by severity.
      const rank = (alarm: ShownAlarm) => (alarm.state === "firing" ? 10 : 5) - alarm.severity;
      sort(this.selected, sign, (row) => Math.max(...this.alarmsOf(row).map(rank), -1));
    } else if (order === "uve") {
      this.selected.sort((a, b) => sign * (a.uve < b.uve ? -1 : a.uve > b.uve ? 1 : 0));
    } else if (this.isDescending) {
      this.selected.reverse();
    }
    this.describe();
    this.drawn = "";
    this.draw();
  }

  private describe(): void {
    const shown = this.selected.length === this.rows.length ? "" : `${number(this.selected.length)} of `;
    const state = this.isComplete ? "" : this.rows.length >= MAX_ROWS ? "; the search is by prefix, as there are more" : ", loading…";
    const cut = this.hasAllAlarms ? "" : "; there are more alarms than are shown here";
    setText(this.count, `${shown}${number(this.rows.length)} rows${state}${cut}`);
    this.table.setAttribute("aria-rowcount", String(this.selected.length + 1));
    for (const [name, cell] of this.headers) {
      const isHere = name === this.order;
      cell.setAttribute("aria-sort", isHere ? (this.isDescending ? "descending" : "ascending") : "none");
    }
  }

  private tableHead(): HTMLTableSectionElement {
    const cells = COLUMNS.map(([name, text, isNumber]) => {
      const button = h("button", { type: "button", class: "plain", onclick: () => this.sortBy(name, isNumber) }, text);
      const cell = h("th", { scope: "col", class: isNumber ? "r" : undefined, "aria-sort": "none" }, button);
      this.headers.set(name, cell);
      return cell;
    });
    return h("thead", {}, h("tr", { "aria-rowindex": 1 }, ...cells));
  }

  private sortBy(order: Order, largestFirst: boolean): void {
    this.isDescending = this.order === order ? !this.isDescending : largestFirst;
    if (order === "name") {
      // They were loaded in the order of the names.
      this.rows.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    }
    this.order = order;
    this.address();
    this.select();
  }

  private address(): void {
    replace(
      link("objects", [], {
        type: this.types.value,
        uve: this.uves.value,
        q: this.search.value,
        loud: this.loud.checked ? "1" : undefined,
        alarm: this.alarmed.value,
        sort: this.order === "name" && !this.isDescending ? undefined : `${this.isDescending ? "-" : ""}${this.order}`,
      }),
    );
  }

  /** The rows in view: the first one, and the one after the last. */
  private seen(): [number, number] {
    const count = Math.ceil(this.frame.clientHeight / ROW_HEIGHT);
    // A filter may leave fewer rows than are above the place that was scrolled to.
    const first = Math.min(Math.floor(this.frame.scrollTop / ROW_HEIGHT), Math.max(0, this.selected.length - count));
    return [Math.max(0, first - OVERSCAN), Math.min(this.selected.length, first + count + OVERSCAN)];
  }

  private draw(): void {
    const [from, to] = this.seen();
    const id = `${from}-${to}`;
    if (id === this.drawn) {
      return;
    }
    this.drawn = id;
    const rows = this.selected.slice(from, to).map((row, index) => this.row(row, from + index));
    replaceChildren(this.body, [spacer(from), ...rows, spacer(this.selected.length - to)]);
    if (this.selected.length === 0) {
      const text = this.rows.length === 0 ? "No object." : "No row passes the filters.";
      this.body.replaceChildren(h("tr", {}, h("td", { colspan: COLUMNS.length, class: "empty" }, text)));
    }
  }

  private row(row: Row, index: number): HTMLTableRowElement {
    const [type, stream] = uveName(row.uve, this.streams.get(row.uve) ?? "");
    const alarms = this.alarmsOf(row);
    const [first] = alarms;
    // Who chose alarms wants the time of the alarm, and others the newest values.
    const object = first && this.alarmed.value ? explained(first) : link("object", [this.types.value.replace(/s$/, ""), row.name]);
    return h(
      "tr",
      { class: row.anomaly ? "anomalous" : undefined, "aria-rowindex": index + 2 },
      h("td", { class: "name" }, h("a", { href: object, title: row.name }, row.name)),
      h("td", { title: row.uve }, type, h("span", { class: "dim" }, ` ${stream}`)),
      h("td", { class: "r" }, number(row.value), row.partial && h("abbr", { title: "partial window" }, "*")),
      h("td", { class: "r dim" }, estimate(row.expected)),
      h("td", { class: "r score" }, score(row.score)),
      h("td", { class: "r alarm", title: alarms.map((alarm) => alarm.description).join("\n") }, alarmText(alarms)),
    );
  }

  /** Reads the objects in view again: the others are as they were loaded. */
  private async refreshSeen(): Promise<void> {
    const [from, to] = this.seen();
    const names = [...new Set(this.selected.slice(from, to).map((row) => row.name))].filter((name) => !/[,*]/.test(name));
    const chosen: string[] = [];
    let length = 0;
    for (const name of names.map(encodeURIComponent)) {
      length += name.length + 1;
      if (length > MAX_QUERY) {
        break;
      }
      chosen.push(name);
    }
    if (chosen.length === 0 || this.loading.signal.aborted) {
      return;
    }
    const page = await get<{ value: Entry[] }>(`${this.path("")}?kfilt=${chosen.join("%2C")}${this.filter()}`, this.view.signal);
    const before = JSON.stringify(this.selected.slice(from, to));
    page.value.forEach((entry) => this.take(entry));
    this.alert.show("");
    if (JSON.stringify(this.selected.slice(from, to)) !== before) {
      this.drawn = "";
      this.draw();
    }
  }
}

/** The state and the rule of the first alarm, and the number of the others. */
function alarmText(alarms: ShownAlarm[]): string {
  const first = alarms.find((alarm) => alarm.state === "firing") ?? alarms[0];
  const more = alarms.length > 1 ? ` +${alarms.length - 1}` : "";
  return first ? `${first.type} ${first.state}${more}` : "";
}

function sort(rows: Row[], sign: number, key: (row: Row) => number | null): void {
  // Each number is read once, and not for each comparison. Rows without it come last in both directions.
  const numbered = rows.map((row) => ({ row, number: sign * (key(row) ?? sign * Infinity) }));
  numbered.sort((a, b) => (a.number === b.number ? 0 : a.number < b.number ? -1 : 1));
  numbered.forEach(({ row }, index) => (rows[index] = row));
}

function spacer(rows: number): HTMLTableRowElement {
  const row = h("tr", { "aria-hidden": "true" });
  row.style.height = `${rows * ROW_HEIGHT}px`;
  return row;
}

const NOTHING = { value: null, score: null, expected: null, anomaly: false, partial: false };

function unknown(structure: Structure): Omit<Row, "name" | "lower" | "uve"> {
  return { ...NOTHING, partial: structure.partial === true };
}

/** The reader of the structures of a UVE: it knows the place of each role in the JSON. */
function reader(proxy: Proxy): (structure: Structure) => Omit<Row, "name" | "lower" | "uve"> {
  const scored = proxy.attributes.find((attribute) => attribute.fields.some((field) => field.role === "score"));
  const attribute = scored ?? proxy.attributes[0];
  if (!attribute) {
    return unknown;
  }
  const place = (role: string) => attribute.fields.find((field) => field.role === role);
  const places = { value: place("value"), score: place("score"), expected: place("expected"), alarm: place("alarm") };
  return (structure) => {
    const found = structure[attribute.name];
    const at = (field: (typeof places)["value"]): number | null => {
      if (typeof found === "number" || found === undefined || found === null) {
        return field?.role === "value" && typeof found === "number" ? found : null;
      }
      const group = field?.group ? (found as Structure)[field.group] : found;
      const name = attribute.number && field?.role === "value" ? "value" : field?.name;
      const value = name === undefined ? undefined : (group as Structure | undefined)?.[name];
      return value === undefined ? null : Number(value);
    };
    const row = { value: at(places.value), score: at(places.score), expected: at(places.expected) };
    const anomaly = places.alarm ? at(places.alarm) === 1 : Math.abs(row.score ?? 0) >= LOUD;
    return { ...row, anomaly, partial: structure.partial === true };
  };
}

/** The size of a score that is an anomaly, for a detector without alarms; that of the daemon. */
const LOUD = 2.5;
