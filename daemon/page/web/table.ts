// All proxy UVEs of a type: one row for each object and UVE. The daemon searches, filters and sorts; the rows in sight are
// read and drawn, and read again while they are seen.

import { explained } from "./alarms";
import { type Alarms, Refused, type ShownAlarm, get, proxies } from "./api";
import { append, h, replaceChildren, setText } from "./dom";
import { estimate, number, score, uveName } from "./format";
import { link, replace } from "./route";
import { type View, alertBox } from "./view";

const ROW_HEIGHT = 26;
const OVERSCAN = 10;
const REFRESH = 4000;

/** How long after a key or a movement of the scroll bar rows are read, in milliseconds. */
const SETTLE = 80;

/** The rows that are read beyond those in sight, on each side: a small movement shows no gap. */
const AHEAD = 40;

/** The most rows of a request. */
const MAX_READ = 1000;

/** The most rows that are kept. */
const MAX_KEPT = 2000;

/** The most rows that can be scrolled to: browsers limit the height of an element. */
const MAX_SCROLLED = 500_000;

interface Row {
  name: string;
  uve: string;
  proxy: string;
  value: number | null;
  score: number | null;
  expected: number | null;
  anomaly: boolean;
  partial: boolean;
  alarms: ShownAlarm[];
}

interface Page {
  total: number;
  matched: number;
  rows: Row[];
}

type Order = "name" | "uve" | "value" | "score" | "expected" | "alarm";

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

const RULE = "rule:";

/** The page of a type that the daemon does not know, as one whose objects are gone. */
function withoutObjects(error: unknown): Page {
  if (error instanceof Refused && error.status === 404) {
    return { total: 0, matched: 0, rows: [] };
  }
  throw error;
}

export function table(view: View): void {
  new TableView(view).start();
}

class TableView {
  private readonly alert = alertBox();
  private readonly types = h("select", { id: "type", onchange: () => this.changed() });
  private readonly uves = h("select", { id: "uve", onchange: () => this.changed() });
  private readonly search = h("input", { id: "search", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "part of a name", oninput: () => this.changed() });
  private readonly loud = h("input", { id: "loud", type: "checkbox", onchange: () => this.changed() });
  private readonly alarmed = h("select", { id: "alarm", onchange: () => this.changed() });
  private readonly count = h("p", { class: "dim", role: "status" });
  private readonly body = h("tbody");
  private readonly table = h("table", { class: "virtual", "aria-label": "Proxy UVEs" });
  private readonly frame = h("div", { class: "frame", tabindex: 0, role: "region", "aria-label": "Proxy UVEs, scrollable", onscroll: () => this.scrolled() });
  private readonly headers = new Map<Order, HTMLTableCellElement>();
  /** The rows that were read, by their numbers. */
  private readonly rows = new Map<number, Row>();
  /** The numbers of rows: all, and those that pass the filters; unknown before the first answer. */
  private total: number | undefined;
  private matched = 0;
  private order: Order = "name";
  private isDescending = false;
  /** Whether there are types to choose. */
  private hasChoice = false;
  private isReading = false;
  private isWanted = false;
  /** The number of choices until now, and that of the choice whose rows are here: they stay in sight until the answer. */
  private choices = 0;
  private choice = 0;
  private drawn = "";
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
        this.count,
      ),
      this.frame,
    ]);
    const sizes = new ResizeObserver(() => this.scrolled());
    sizes.observe(this.frame);
    this.view.finally(() => {
      sizes.disconnect();
      clearTimeout(this.pending);
    });
    this.readAddress();
    setText(this.count, "loading…");
    this.view.every(REFRESH, () => this.refresh(), this.alert.show);
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

  private async refresh(): Promise<void> {
    if (!this.hasChoice) {
      await this.begin();
    }
    await this.read();
    await this.readRules();
  }

  private hasTypes(): boolean {
    return this.types.options.length > 0;
  }

  /** Reads what can be chosen. */
  private async begin(): Promise<void> {
    const [types, known] = await Promise.all([
      get<{ name: string }[]>("analytics/uves", this.view.signal),
      proxies(),
    ]);
    const wanted = this.types.value || (this.view.route.parameters.get("type") ?? "");
    const names = types.map((type) => type.name);
    this.hasChoice = names.length > 0;
    // A link may lead to a type whose objects are gone: it has alarms, or new objects later.
    const choices = wanted === "" || names.includes(wanted) ? names : [...names, wanted];
    this.types.replaceChildren(...choices.map((name) => h("option", { value: name, selected: name === wanted }, name)));
    const uve = this.uves.value || (this.view.route.parameters.get("uve") ?? "");
    this.uves.replaceChildren(
      h("option", { value: "" }, "all"),
      ...known.map((proxy) => h("option", { value: proxy.uve, selected: proxy.uve === uve }, proxy.uve)),
    );
    if (choices.length === 0) {
      setText(this.count, "No object has a result yet: the first windows are open, or no samples arrive.");
    }
  }

  /** Reads the names of the rules with alarms. */
  private async readRules(): Promise<void> {
    const { groups } = await get<Alarms>("api/v1/alarms?limit=1", this.view.signal);
    this.chooseAlarms(groups.map((group) => group.rule));
  }

  /** The choices of the filter by alarm: states, and the rules with alarms. */
  private chooseAlarms(names: string[]): void {
    const chosen = this.alarmed.value || (this.alarmed.options.length === 0 ? (this.view.route.parameters.get("alarm") ?? "") : "");
    const rules = [...new Set(names.map((name) => RULE + name))].sort();
    const own = chosen.startsWith(RULE) && !rules.includes(chosen) ? [chosen, ...rules] : rules;
    const choices: [string, string][] = [...ALARM_STATES, ...own.map((rule): [string, string] => [rule, rule.slice(RULE.length)])];
    const shown = [...this.alarmed.options].map((option) => option.value);
    if (choices.some(([value], index) => shown[index] !== value) || shown.length !== choices.length) {
      const options = choices.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
      this.alarmed.replaceChildren(...options);
    }
  }

  /** Begins anew with what is chosen now; the answer of a request under way is dropped. */
  private changed(): void {
    this.address();
    this.describe();
    this.choices += 1;
    this.frame.scrollTop = 0;
    this.draw();
    this.soon();
  }

  private scrolled(): void {
    this.draw();
    const [from, to] = this.seen();
    if (this.total !== undefined && !this.hasAll(from, to)) {
      this.soon();
    }
  }

  /** Reads what is in sight in a moment. */
  private soon(): void {
    this.pending ??= window.setTimeout(() => {
      this.pending = undefined;
      void this.read().catch((error: unknown) => this.view.fail(error, this.alert.show));
    }, SETTLE);
  }

  private hasAll(from: number, to: number): boolean {
    for (let index = from; index < to; index += 1) {
      if (!this.rows.has(index)) {
        return false;
      }
    }
    return true;
  }

  /** Reads the rows in sight, with one request at a time: what is wanted meanwhile is read after it. */
  private async read(): Promise<void> {
    this.isWanted = true;
    if (this.isReading || !this.hasTypes()) {
      return;
    }
    this.isReading = true;
    try {
      while (this.isWanted && !this.view.signal.aborted) {
        this.isWanted = false;
        await this.readOnce();
      }
    } finally {
      this.isReading = false;
    }
  }

  private async readOnce(): Promise<void> {
    const choice = this.choices;
    const [from, to] = this.seen();
    const offset = Math.max(0, from - AHEAD);
    const limit = Math.min(MAX_READ, to - offset + AHEAD);
    const page = await get<Page>(`api/v1/objects?${this.query(offset, limit)}`, this.view.signal).catch(withoutObjects);
    if (choice !== this.choices) {
      this.isWanted = true;
      return;
    }
    if (choice !== this.choice || this.rows.size > MAX_KEPT) {
      // Rows that are far away are read again when they are seen.
      this.rows.clear();
    }
    this.choice = choice;
    this.take(offset, limit, page);
  }

  private query(offset: number, limit: number): string {
    const query = new URLSearchParams({ type: this.types.value.replace(/s$/, ""), offset: String(offset), limit: String(limit) });
    query.set("sort", `${this.isDescending ? "-" : ""}${this.order}`);
    const alarm = this.alarmed.value;
    const isRule = alarm.startsWith(RULE);
    const rest = { uve: this.uves.value, search: this.search.value.trim(), alarm: isRule ? "" : alarm, rule: isRule ? alarm.slice(RULE.length) : "" };
    Object.entries(rest).forEach(([name, value]) => value && query.set(name, value));
    if (this.loud.checked) {
      query.set("anomaly", "true");
    }
    return query.toString();
  }

  private take(offset: number, limit: number, page: Page): void {
    this.alert.show("");
    const isFirst = this.total === undefined;
    [this.total, this.matched] = [page.total, page.matched];
    for (let index = 0; index < limit; index += 1) {
      const row = page.rows[index];
      row ? this.rows.set(offset + index, row) : this.rows.delete(offset + index);
    }
    this.describe();
    this.draw();
    const [from, to] = this.seen();
    // The table was scrolled meanwhile, or the height of the frame became known.
    if ((isFirst || from < offset || to > offset + limit) && !this.hasAll(from, to)) {
      this.soon();
    }
  }

  private describe(): void {
    if (this.total !== undefined) {
      const shown = this.matched === this.total ? "" : `${number(this.matched)} of `;
      const cut = this.matched > MAX_SCROLLED ? `; the first ${number(MAX_SCROLLED)} can be scrolled to: search for others` : "";
      setText(this.count, `${shown}${number(this.total)} rows${cut}`);
      this.table.setAttribute("aria-rowcount", String(this.matched + 1));
    }
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
    this.order = order;
    this.changed();
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

  /** The number of rows that can be scrolled to. */
  private length(): number {
    return Math.min(this.matched, MAX_SCROLLED);
  }

  /** The rows in sight: the first one, and the one after the last; before the first answer those that fit. */
  private seen(): [number, number] {
    const count = Math.ceil(this.frame.clientHeight / ROW_HEIGHT);
    if (this.total === undefined) {
      return [0, count + OVERSCAN];
    }
    // A filter may leave fewer rows than are above the place that was scrolled to.
    const first = Math.min(Math.floor(this.frame.scrollTop / ROW_HEIGHT), Math.max(0, this.length() - count));
    return [Math.max(0, first - OVERSCAN), Math.min(this.length(), first + count + OVERSCAN)];
  }

  private draw(): void {
    if (this.total === undefined) {
      return;
    }
    const [from, to] = this.seen();
    const numbers = Array.from({ length: to - from }, (_, index) => from + index);
    const id = JSON.stringify([this.types.value, from, this.choice === this.choices, this.matched, this.total, numbers.map((index) => this.rows.get(index))]);
    if (id === this.drawn) {
      return;
    }
    this.drawn = id;
    this.table.setAttribute("aria-busy", String(this.choice !== this.choices || !this.hasAll(from, to)));
    if (this.matched === 0) {
      const text = this.total === 0 ? `The type ${this.types.value} has no objects.` : "No row passes the filters.";
      this.body.replaceChildren(h("tr", {}, h("td", { colspan: COLUMNS.length, class: "empty" }, text)));
      return;
    }
    const rows = numbers.map((index) => this.row(this.rows.get(index), index));
    replaceChildren(this.body, [spacer(from), ...rows, spacer(this.length() - to)]);
  }

  private row(row: Row | undefined, index: number): HTMLTableRowElement {
    if (!row) {
      return h("tr", { "aria-rowindex": index + 2 }, h("td", { colspan: COLUMNS.length, class: "dim" }, "…"));
    }
    const [type, stream] = uveName(row.uve, row.proxy);
    const [first] = row.alarms;
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
      h("td", { class: "r alarm", title: row.alarms.map((alarm) => alarm.description).join("\n") }, alarmText(row.alarms)),
    );
  }
}

/** The state and the rule of the worst alarm, and the number of the others. */
function alarmText([first, ...others]: ShownAlarm[]): string {
  return first ? `${first.type} ${first.state}${others.length > 0 ? ` +${others.length}` : ""}` : "";
}

function spacer(rows: number): HTMLTableRowElement {
  const row = h("tr", { "aria-hidden": "true" });
  row.style.height = `${rows * ROW_HEIGHT}px`;
  return row;
}
