// All proxy UVEs of a type: one row for each object and UVE. The daemon searches, filters and sorts; the rows in sight are
// read and drawn, and read again while they are seen.

import { explained } from "./alarms";
import type { ShownAlarm } from "./api";
import { Choices } from "./choices";
import { append, h, replaceChildren, setText, textWidth } from "./dom";
import { estimate, number, score, uveName } from "./format";
import { link, replace } from "./route";
import { type Row, Rows, type Span } from "./rows";
import { type View, alertBox } from "./view";

const ROW_HEIGHT = 26;
const OVERSCAN = 10;
const REFRESH = 4000;

/** How long after a key or a movement of the scroll bar rows are read, in milliseconds. */
const SETTLE = 80;

/** The most rows that can be scrolled to: browsers limit the height of an element. */
const MAX_SCROLLED = 500_000;

type Order = "name" | "uve" | "value" | "score" | "expected" | "alarm";

const COLUMNS: [Order, string, boolean][] = [
  ["name", "Object", false],
  ["uve", "Proxy UVE", false],
  ["value", "Value", true],
  ["expected", "Expected", true],
  ["score", "Score", true],
  ["alarm", "Alarm", true],
];

export function table(view: View): void {
  new TableView(view).start();
}

class TableView {
  private readonly alert = alertBox();
  private readonly choices: Choices;
  private readonly rows: Rows;
  private readonly count = h("p", { class: "dim", role: "status" });
  private readonly body = h("tbody");
  private readonly table = h("table", { class: "virtual", "aria-label": "Proxy UVEs" });
  private readonly frame = h("div", { class: "frame", tabindex: 0, role: "region", "aria-label": "Proxy UVEs, scrollable", onscroll: () => this.scrolled() });
  private readonly headers = new Map<Order, HTMLTableCellElement>();
  private order: Order = "name";
  private isDescending = false;
  private drawn = "";
  /** The names of UVEs for which the column has room, and its width. */
  private readonly fitted = new Set<string>();
  private width = 0;
  private pending: number | undefined;

  constructor(private readonly view: View) {
    this.choices = new Choices(view, () => this.changed());
    const query = () => ({ ...this.choices.query(), sort: this.sort() });
    this.rows = new Rows(view, query, () => this.seen(), (isMoved) => this.taken(isMoved));
    const sort = view.route.parameters.get("sort") ?? "";
    const order = COLUMNS.find(([name]) => name === sort.replace(/^-/, ""));
    this.order = order?.[0] ?? "name";
    this.isDescending = sort.startsWith("-");
  }

  start(): void {
    this.table.append(this.tableHead(), this.body);
    this.frame.append(this.table);
    append(this.view.main, [
      h("h1", { class: "visually-hidden" }, "Objects"),
      this.alert.element,
      this.choices.form(this.count),
      this.frame,
    ]);
    const sizes = new ResizeObserver(() => this.scrolled());
    sizes.observe(this.frame);
    this.view.finally(() => {
      sizes.disconnect();
      clearTimeout(this.pending);
    });
    setText(this.count, "loading…");
    this.view.every(REFRESH, () => this.refresh(), this.alert.show);
  }

  private async refresh(): Promise<void> {
    if (this.choices.isDue) {
      this.fit(await this.choices.read());
      if (!this.choices.hasTypes) {
        setText(this.count, "No object has a result yet: the first windows are open, or no samples arrive.");
      }
    }
    await this.read();
    await this.choices.readRules();
    // Without types no rows are read, so that no answer ends the alert.
    this.alert.show("");
  }

  /** Makes room for the whole names of proxy UVEs: a frame that is too narrow for them is scrolled. */
  private fit(names: string[]): void {
    const further = [...new Set(names)].filter((name) => !this.fitted.has(name));
    if (further.length > 0) {
      further.forEach((name) => this.fitted.add(name));
      this.width = Math.max(this.width, Math.ceil(textWidth(further, this.table)));
      this.table.style.setProperty("--uve", `${this.width}px`);
    }
  }

  private async read(): Promise<void> {
    if (this.choices.hasTypes) {
      await this.rows.read();
    }
  }

  /** Begins anew with what is chosen now; the request under way is ended. */
  private changed(): void {
    this.address();
    this.describe();
    this.rows.chosen();
    this.frame.scrollTop = 0;
    this.draw();
    this.soon();
  }

  private scrolled(): void {
    this.draw();
    if (this.rows.total !== undefined && !this.rows.has(this.seen())) {
      this.rows.scrolled();
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

  /** `isMoved` if the table was scrolled meanwhile, or the height of the frame became known. */
  private taken(isMoved: boolean): void {
    this.alert.show("");
    this.fit(this.rows.uves());
    this.describe();
    this.draw();
    if (isMoved && !this.rows.has(this.seen())) {
      this.soon();
    }
  }

  private describe(): void {
    const { total, matched } = this.rows;
    if (total !== undefined) {
      const shown = matched === total ? "" : `${number(matched)} of `;
      const cut = matched > MAX_SCROLLED ? `; the first ${number(MAX_SCROLLED)} can be scrolled to: search for others` : "";
      setText(this.count, `${shown}${number(total)} rows${cut}`);
      this.table.setAttribute("aria-rowcount", String(matched + 1));
    }
    for (const [name, cell] of this.headers) {
      const isHere = name === this.order;
      cell.setAttribute("aria-sort", isHere ? (this.isDescending ? "descending" : "ascending") : "none");
    }
  }

  private tableHead(): HTMLTableSectionElement {
    const cells = COLUMNS.map(([name, text, isNumber]) => {
      const button = h("button", { type: "button", class: "plain", onclick: () => this.sortBy(name, isNumber) }, text);
      const cell = h("th", { scope: "col", class: isNumber ? "r" : name, "aria-sort": "none" }, button);
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

  private sort(): string {
    return `${this.isDescending ? "-" : ""}${this.order}`;
  }

  private address(): void {
    const sort = this.sort();
    replace(link("objects", [], { ...this.choices.address(), sort: sort === "name" ? undefined : sort }));
  }

  /** The number of rows that can be scrolled to. */
  private length(): number {
    return Math.min(this.rows.matched, MAX_SCROLLED);
  }

  /** The rows in sight; before the first answer those that fit. */
  private seen(): Span {
    const count = Math.ceil(this.frame.clientHeight / ROW_HEIGHT);
    if (this.rows.total === undefined) {
      return [0, count + OVERSCAN];
    }
    // A filter may leave fewer rows than are above the place that was scrolled to.
    const first = Math.min(Math.floor(this.frame.scrollTop / ROW_HEIGHT), Math.max(0, this.length() - count));
    return [Math.max(0, first - OVERSCAN), Math.min(this.length(), first + count + OVERSCAN)];
  }

  private draw(): void {
    const { total, matched, isCurrent } = this.rows;
    if (total === undefined) {
      return;
    }
    const [from, to] = this.seen();
    const numbers = Array.from({ length: to - from }, (_, index) => from + index);
    const id = JSON.stringify([this.choices.type, from, isCurrent, matched, total, numbers.map((index) => this.rows.get(index))]);
    if (id === this.drawn) {
      return;
    }
    this.drawn = id;
    this.table.setAttribute("aria-busy", String(!isCurrent || !this.rows.has([from, to])));
    if (matched === 0) {
      const text = total === 0 ? `The type ${this.choices.type} has no objects.` : "No row passes the filters.";
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
    const object = first && this.choices.isByAlarm ? explained(first) : link("object", [this.choices.type.replace(/s$/, ""), row.name]);
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
