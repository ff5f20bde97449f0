// What is chosen of the table: type, proxy UVE, search, alarm, anomalies. The daemon filters; the address has the choices.

import { type Alarms, type Proxy, get } from "./api";
import { h, offer } from "./dom";
import type { View } from "./view";

/** The choices of alarms that are not names of rules. */
const ALARM_STATES: [string, string][] = [
  ["", "all objects"],
  ["any", "any alarm"],
  ["firing", "firing"],
  ["pending", "pending"],
];

const RULE = "rule:";

/** How long types and proxy UVEs are taken for current, in milliseconds: a change of the configuration brings others. */
const CURRENT = 8_000;

/** Some names, and the chosen one if it is none of them. */
function withChosen(names: string[], chosen: string): string[] {
  return chosen === "" || names.includes(chosen) ? names : [...names, chosen];
}

export class Choices {
  private readonly types: HTMLSelectElement;
  private readonly uves: HTMLSelectElement;
  private readonly search: HTMLInputElement;
  private readonly loud: HTMLInputElement;
  private readonly alarmed: HTMLSelectElement;
  /** Until when what can be chosen is taken for current. */
  private currentUntil = 0;

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

  /** Whether what can be chosen is to be read. */
  get isDue(): boolean {
    return performance.now() >= this.currentUntil;
  }

  get isByAlarm(): boolean {
    return this.alarmed.value !== "";
  }

  /** Reads what can be chosen, and returns the names of the proxy UVEs. */
  async read(): Promise<string[]> {
    const [types, known] = await Promise.all([
      get<{ name: string }[]>("analytics/uves", this.view.signal),
      get<Proxy[]>("api/v1/proxies", this.view.signal),
    ]);
    const wanted = this.wantedType;
    const names = types.map((type) => type.name);
    this.currentUntil = names.length > 0 ? performance.now() + CURRENT : 0;
    // A link may lead to a type whose objects are gone: it has alarms, or new objects later.
    offer(this.types, withChosen(names, wanted).map((name) => [name, name]), wanted);
    const uve = this.uve;
    const uves = known.map((proxy) => proxy.uve);
    offer(this.uves, [["", "all"], ...withChosen(uves, uve).map((name): [string, string] => [name, name])], uve);
    return uves;
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
    offer(this.alarmed, choices, chosen);
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
