// An annotation as it is typed: its pipeline or its mistake, the menu, and what it computes for a series.

import { type Entry, type Explanation, type History, type Run, get, objectPath, request } from "./api";
import { Chart } from "./chart";
import { append, h, setText } from "./dom";
import { count } from "./format";
import { menu } from "./menu";
import { type Work, Retries } from "./retry";
import { link, replace } from "./route";
import { legend } from "./samples";
import { Source } from "./source";
import { type View, alertBox } from "./view";

/** How long after the last key the annotation is sent, in milliseconds. */
const PAUSE = 150;

const FIRST = "1.DSSum-value:DSAnomaly:EWM:0.1";

export function tryIt(view: View): void {
  new TryView(view).start();
}

class TryView {
  private readonly alert = alertBox();
  private readonly input = h("input", { id: "annotation", class: "mono", spellcheck: "false", autocomplete: "off", autocapitalize: "off", maxlength: 1024, "aria-describedby": "mistake", oninput: () => this.later() });
  private readonly period = h("input", { id: "period", type: "number", min: 1, max: 86_400, value: 60, oninput: () => this.later() });
  private readonly source: Source;
  private readonly csv = h("textarea", { id: "csv", class: "mono", rows: 8, spellcheck: "false", oninput: () => this.typed() });
  private readonly mistake = h("div", { id: "mistake", class: "mistake", role: "status" });
  private readonly pipeline = h("ol", { class: "pipeline", "aria-label": "Pipeline" });
  private readonly facts = h("dl", { class: "facts" });
  private readonly outcome = h("p", { role: "status" });
  private readonly warnings = h("ul", { class: "warnings" });
  private readonly menu = h("div", { class: "menu" });
  private readonly chart = new Chart("Result of the annotation", () => undefined);
  private readonly key = h("p", { class: "legend" });
  private timer: number | undefined;
  private choosing = new AbortController();
  private running = new AbortController();
  private readonly retries: Retries;

  constructor(private readonly view: View) {
    this.retries = new Retries(view, this.alert.show, (work) => this.guard(work));
    this.source = new Source(view, () => this.guard(this.choose), (error) => view.fail(error, this.alert.show));
  }

  start(): void {
    const parameters = this.view.route.parameters;
    this.input.value = parameters.get("a") ?? FIRST;
    this.period.value = parameters.get("period") ?? "60";
    const field = (text: string, control: HTMLElement, note = "") =>
      h("div", { class: "field" }, h("label", { for: control.id }, text, note && ` (${note})`), control);
    append(this.view.main, [
      h("h1", {}, "Try an annotation"),
      this.alert.element,
      h("div", { class: "annotation" }, field("Annotation", this.input), field("Period", this.period, "s")),
      this.mistake,
      this.pipeline,
      this.facts,
      h(
        "div",
        { class: "columns wide" },
        h(
          "section",
          { "aria-labelledby": "run" },
          h("h2", { id: "run" }, "On a series"),
          this.source.element(field),
          this.outcome,
          this.warnings,
          this.chart.element,
          this.key,
          field("Rows", this.csv, "time,value; a time is ISO 8601 or a number of s, ms, µs or ns since 1970"),
        ),
        h("section", { "aria-labelledby": "menu" }, h("h2", { id: "menu" }, "Menu"), this.menu),
      ),
    ]);
    this.view.finally(() => {
      clearTimeout(this.timer);
      this.running.abort();
      this.chart.end();
    });
    this.guard(this.begin);
  }

  /** Runs work; what fails runs again. */
  private guard(work: Work): void {
    void this.retries.run(work);
  }

  private readonly begin = async (): Promise<void> => {
    const [entries] = await Promise.all([get<Entry[]>("api/v1/annotations/menu", this.view.signal), this.source.begin()]);
    this.menu.replaceChildren(
      ...menu(entries, (annotation) => {
        this.input.value = annotation;
        this.input.focus();
        this.guard(this.update);
      }),
    );
    this.guard(this.choose);
  };

  /** Takes the recent values of the chosen series as rows, and nothing of one that was chosen before. */
  private readonly choose = async (): Promise<void> => {
    this.choosing.abort();
    this.choosing = new AbortController();
    const chosen = this.source.value;
    if (!chosen) {
      this.csv.value ||= example();
    } else {
      const signal = AbortSignal.any([this.choosing.signal, this.view.signal]);
      const [type = "", name = "", uve, attribute] = chosen;
      const history = await get<History>(objectPath("api/v1/history", type, name), signal);
      const series = history.series.find((one) => one.uve === uve && one.attribute === attribute);
      const points = series?.points ?? [];
      const rows = points.flatMap(([start, , value]) => (value === null ? [] : [`${new Date(start / 1000).toISOString().replace(".000Z", "Z")},${value}`]));
      this.csv.value = `timestamp,value\n${rows.join("\n")}\n`;
      const window = points[0] && (points[0][1] - points[0][0]) / 1e6;
      if (window) {
        this.period.value = String(Math.round(window));
      }
    }
    this.guard(this.update);
  };

  /** The rows are those that are typed, and not those of a series that come later. */
  private typed(): void {
    this.choosing.abort();
    this.retries.forget(this.choose);
    this.later();
  }

  private later(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.guard(this.update), PAUSE);
  }

  private readonly update = async (): Promise<void> => {
    this.running.abort();
    this.running = new AbortController();
    const signal = AbortSignal.any([this.running.signal, this.view.signal]);
    const text = this.input.value;
    replace(this.address());
    const query = `annotation=${encodeURIComponent(text)}`;
    const explanation = await get<Explanation>(`api/v1/annotations/explain?${query}&type=f64`, signal);
    this.explain(text, explanation);
    if (!explanation.valid) {
      setText(this.outcome, "Not run: the annotation has a mistake.");
      return;
    }
    if (!(Number(this.period.value) >= 1)) {
      setText(this.outcome, "Not run: the period is a number of seconds, 1 or more.");
      return;
    }
    if (this.csv.value.trim() === "" || this.csv.value.trim() === "timestamp,value") {
      setText(this.outcome, "There are no rows to run on.");
      return;
    }
    const path = `api/v1/annotations/run?${query}&period=${encodeURIComponent(this.period.value)}`;
    const response = await request(path, { method: "POST", body: this.csv.value, signal });
    this.result((await response.json()) as Run, explanation);
  };

  private address(): string {
    const { parameters } = this.view.route;
    const own = Object.fromEntries(["type", "name", "uve", "attribute"].map((name) => [name, parameters.get(name) ?? undefined]));
    return link("try", [], { ...own, a: this.input.value, period: this.period.value });
  }

  private explain(text: string, { valid, error, links, lines, fields, facts }: Explanation): void {
    this.input.setAttribute("aria-invalid", String(!valid));
    if (error) {
      const [before, wrong] = slices(text, error.start, error.end);
      // The spaces are as wide as what precedes the mistake.
      const carets = `${" ".repeat([...before].length)}${"^".repeat(Math.max(1, [...wrong].length))}`;
      this.mistake.replaceChildren(h("pre", { "aria-hidden": "true" }, `${text}\n${carets}`), h("p", {}, error.message));
      this.pipeline.replaceChildren();
      this.facts.replaceChildren();
      return;
    }
    this.mistake.replaceChildren();
    const step = (name: string, sentence: string, kind: string) => h("li", { class: kind }, h("strong", {}, name), h("span", {}, sentence));
    const every = facts?.period ? `at the end of every ${facts.period.every === 1 ? "period" : `${facts.period.every} periods`}` : "after every sample";
    const results = (fields ?? []).map((field) => field.name).join(", ");
    this.pipeline.replaceChildren(
      step(facts?.source ?? "", `samples of type ${facts?.type}`, "input"),
      ...(links ?? []).map(({ name, sentence }) => step(name, sentence, "link")),
      step("result", `${every}: ${results}`, "output"),
    );
    this.facts.replaceChildren(
      ...[...(lines ?? []), ["state", `at most ${facts?.state_bytes} bytes for each object`] as [string, string]].flatMap(([label, line]) => [
        h("dt", {}, label),
        h("dd", {}, line),
      ]),
    );
  }

  private result(run: Run, { fields }: Explanation): void {
    if (!run.valid) {
      this.chart.show([], [0, 1]);
      this.warnings.replaceChildren();
      setText(this.outcome, `Not run: ${run.error?.message ?? ""}`);
      return;
    }
    const samples = run.points.map(([at, value, score, expected, low, high, anomaly]) => ({
      at: at / 1e6,
      value,
      score,
      expected,
      low,
      high,
      anomaly: anomaly === 1,
      partial: false,
    }));
    const [first, last] = [samples[0]?.at ?? 0, samples.at(-1)?.at ?? 1];
    this.chart.show(samples, [first, Math.max(last, first + 1)]);
    this.key.replaceChildren(...legend((fields ?? []).some((field) => field.role === "score")));
    const anomalies = samples.filter((sample) => sample.anomaly).length;
    const of: [string, string] = run.periods ? ["period", "periods"] : ["sample", "samples"];
    setText(
      this.outcome,
      samples.length === 0
        ? "No result: the detector is in its warm-up for all rows, or the result has no single value."
        : `${count(samples.length, of[0], of[1])} with a result, ${count(anomalies, "anomaly", "anomalies")}.`,
    );
    const counts: [number, string][] = [
      [run.refused, "refused: the time is before that of an earlier row"],
      [run.missing, "without a value"],
      [run.bad_lines, "not readable"],
    ];
    this.warnings.replaceChildren(
      ...counts.filter(([rows]) => rows > 0).map(([rows, text]) => h("li", {}, `${count(rows, "row", "rows")} ${text}`)),
      ...run.errors.map(({ line, error }) => h("li", {}, `line ${line}: ${error}`)),
    );
  }
}

/** The text before a span of bytes, and that in it. */
function slices(text: string, start: number, end: number): [string, string] {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  return [decoder.decode(bytes.slice(0, start)), decoder.decode(bytes.slice(start, end))];
}

/** Two hours of minutes with a burst. */
function example(): string {
  const first = Date.UTC(2017, 1, 25, 5, 20);
  const row = (minute: number) => {
    const value = Math.round(100 + 20 * Math.sin(minute / 9) + ((minute * 7919) % 11)) * (minute >= 90 && minute < 93 ? 4 : 1);
    return `${new Date(first + minute * 60_000).toISOString().slice(0, 19)}Z,${value}`;
  };
  return `timestamp,value\n${Array.from({ length: 120 }, (_, minute) => row(minute)).join("\n")}\n`;
}
