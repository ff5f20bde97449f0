// What is chosen of the table: type, proxy UVE, search, alarm, anomalies. The daemon filters; the address has the choices.

import { type Alarms, get, proxies } from "./api";
import { h } from "./dom";
import type { View } from "./view";

/** The choices of alarms that are not names of rules. */
const ALARM_STATES: [string, string][] = [
  ["", "all objects"],
  ["any", "any alarm"],
  ["firing", "firing"],
  ["pending", "pending"],
];

const RULE = "rule:";

export class Choices {
  private readonly types: HTMLSelectElement;
  private readonly uves: HTMLSelectElement;
  private readonly search: HTMLInputElement;
  private readonly loud: HTMLInputElement;
  private readonly alarmed: HTMLSelectElement;
  /** Whether there are types to choose. */
  isComplete = false;

  /** `changed` is called with each choice of the user. */
  constructor(
    private readonly view: View,
    changed: () => void,
  ) {
    this.types = h("select", { id: "type", onchange: changed });
    this.uves = h("select", { id: "uve", onchange: changed });
    this.search = h("input", { id: "search", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "part of a name", oninput: changed });
    this.loud = h("input", { id: "loud", type: "checkbox", onchange: changed });
    this.alarmed = h("select", { id: "alarm", onchange: changed });
    const parameters = view.route.parameters;
    this.search.value = parameters.get("q") ?? "";
    this.loud.checked = parameters.get("loud") === "1";
    this.offerAlarms([]);
  }

  /** The controls, and a text beside them. */
  form(text: HTMLElement): HTMLElement {
    const field = (label: string, control: HTMLElement) => h("div", { class: "field" }, h("label", { for: control.id }, label), control);
    return h(
      "form",
      { class: "toolbar", role: "search", onsubmit: (event: Event) => event.preventDefault() },
      field("Type", this.types),
      field("Proxy UVE", this.uves),
      field("Search", this.search),
      field("Alarm", this.alarmed),
      h("div", { class: "field check" }, this.loud, h("label", { for: "loud" }, "Anomalies only")),
      text,
    );
  }

  /** The chosen type in the plural; empty as long as there is none. */
  get type(): string {
    return this.types.value;
  }

  /** The type that is chosen, or before there are types that of the address. */
  private get wantedType(): string {
    return this.types.value || (this.view.route.parameters.get("type") ?? "");
  }

  /** The proxy UVE that is chosen, or before there are some that of the address; empty for all. */
  private get uve(): string {
    return this.uves.options.length > 0 ? this.uves.value : (this.view.route.parameters.get("uve") ?? "");
  }

  get hasTypes(): boolean {
    return this.types.options.length > 0;
  }

  get isByAlarm(): boolean {
    return this.alarmed.value !== "";
  }

  /** Reads what can be chosen, and returns the names of the proxy UVEs. */
  async read(): Promise<string[]> {
    const [types, known] = await Promise.all([
      get<{ name: string }[]>("analytics/uves", this.view.signal),
      proxies(),
    ]);
    const wanted = this.wantedType;
    const names = types.map((type) => type.name);
    this.isComplete = names.length > 0;
    // A link may lead to a type whose objects are gone: it has alarms, or new objects later.
    const offered = wanted === "" || names.includes(wanted) ? names : [...names, wanted];
    this.types.replaceChildren(...offered.map((name) => h("option", { value: name, selected: name === wanted }, name)));
    const uve = this.uve;
    this.uves.replaceChildren(
      h("option", { value: "" }, "all"),
      ...known.map((proxy) => h("option", { value: proxy.uve, selected: proxy.uve === uve }, proxy.uve)),
    );
    return known.map((proxy) => proxy.uve);
  }

  /** Reads the names of the rules with alarms. */
  async readRules(): Promise<void> {
    const { groups } = await get<Alarms>("api/v1/alarms?limit=1", this.view.signal);
    this.offerAlarms(groups.map((group) => group.rule));
  }

  /** The choices of the filter by alarm: states, and the rules with alarms. */
  private offerAlarms(names: string[]): void {
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

  /** The parameters of a request for rows. */
  query(): Record<string, string> {
    const alarm = this.alarmed.value;
    const isRule = alarm.startsWith(RULE);
    return {
      type: this.types.value.replace(/s$/, ""),
      uve: this.uves.value,
      search: this.search.value.trim(),
      alarm: isRule ? "" : alarm,
      rule: isRule ? alarm.slice(RULE.length) : "",
      anomaly: this.loud.checked ? "true" : "",
    };
  }

  /** The parameters of the address. */
  address(): Record<string, string | undefined> {
    return {
      type: this.wantedType,
      uve: this.uve,
      q: this.search.value,
      loud: this.loud.checked ? "1" : undefined,
      alarm: this.alarmed.value,
    };
  }
}
