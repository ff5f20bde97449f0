// The series to try an annotation on: the loudest ones, or those of objects whose names have a text.

import { type Loud, get } from "./api";
import { h, offer, setText } from "./dom";
import { number, uveName } from "./format";
import { type Page, withoutObjects } from "./rows";
import type { View } from "./view";

/** How long after the last key objects are searched, in milliseconds. */
const PAUSE = 250;

/** The series to choose from. */
const MOST = 50;

/** The names in the address of a series. */
const NAMES = ["type", "name", "uve", "attribute"];

/** A series as the values of `NAMES`, and its stream. */
interface Series {
  id: string[];
  proxy: string;
}

export class Source {
  private readonly select: HTMLSelectElement;
  private readonly types = h("select", { id: "of-type", onchange: () => this.later() });
  private readonly search = h("input", { id: "of-name", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "part of a name", oninput: () => this.later() });
  private readonly found = h("p", { class: "dim", "aria-live": "polite" });
  private loudest: Series[] = [];
  private timer: number | undefined;
  private searching = new AbortController();

  /** `chosen` is called with each choice of the user, `failed` with what goes wrong. */
  constructor(
    private readonly view: View,
    chosen: () => void,
    private readonly failed: (error: unknown) => void,
  ) {
    this.select = h("select", { id: "source", onchange: chosen });
    view.finally(() => {
      clearTimeout(this.timer);
      this.searching.abort();
    });
  }

  /** The controls. */
  element(field: (text: string, control: HTMLElement) => HTMLElement): HTMLElement {
    const search = h("div", { class: "find" }, field("Type", this.types), field("Search", this.search));
    return h("div", {}, search, this.found, field("Values of", this.select));
  }

  /** The chosen series as the values of `type`, `name`, `uve` and `attribute`; `undefined` for the rows of the user. */
  get value(): string[] | undefined {
    return this.select.value === "" ? undefined : (JSON.parse(this.select.value) as string[]);
  }

  /** Offers the series of the address and the loudest ones. */
  async begin(): Promise<void> {
    const [loud] = await Promise.all([get<Loud[]>(`api/v1/loudest?limit=${MOST}`, this.view.signal), this.readTypes()]);
    this.loudest = loud.map(({ type, name, uve, attribute, proxy }) => ({ id: [type, name, uve, attribute], proxy }));
    const given = NAMES.map((name) => this.view.route.parameters.get(name) ?? "");
    this.offer(this.loudest, given.every((name) => name !== "") ? JSON.stringify(given) : "");
  }

  private async readTypes(): Promise<void> {
    const types = await get<{ name: string }[]>("analytics/uves", this.view.signal);
    const wanted = this.types.value || `${this.view.route.parameters.get("type") ?? ""}s`;
    offer(this.types, types.map(({ name }) => [name, name]), wanted);
  }

  private later(): void {
    clearTimeout(this.timer);
    this.searching.abort();
    this.searching = new AbortController();
    const signal = AbortSignal.any([this.searching.signal, this.view.signal]);
    this.timer = window.setTimeout(() => void this.find(signal).catch((error: unknown) => signal.aborted || this.failed(error)), PAUSE);
  }

  /** Offers what is searched for, and without a text the loudest ones. */
  private async find(signal: AbortSignal): Promise<void> {
    const text = this.search.value.trim();
    if (text === "") {
      this.offer(this.loudest, this.select.value);
      setText(this.found, "");
      return;
    }
    await this.readTypes();
    const type = this.types.value.replace(/s$/, "");
    const query = new URLSearchParams({ type, search: text, limit: String(MOST) });
    const page = await get<Page>(`api/v1/objects?${query.toString()}`, signal).catch(withoutObjects);
    this.offer(page.rows.map(({ name, uve, attribute, proxy }) => ({ id: [type, name, uve, attribute], proxy })), this.select.value);
    const more = page.matched > page.rows.length ? `, the first ${number(page.rows.length)} of them below: write more of the name` : "";
    setText(this.found, page.matched === 0 ? "No name of this type has the text." : `${number(page.matched)} found${more}`);
  }

  /** The rows of the user, the chosen series, and others. */
  private offer(series: Series[], chosen: string): void {
    const all = new Map(series.map(({ id, proxy }) => [JSON.stringify(id), label(id, proxy)]));
    const known = [...this.select.options].find((option) => option.value === chosen)?.textContent;
    const own: [string, string][] = chosen === "" || all.has(chosen) ? [] : [[chosen, known ?? label(JSON.parse(chosen) as string[], "")]];
    offer(this.select, [["", "the rows below"], ...own, ...all], chosen);
  }
}

function label([, name = "", uve = ""]: string[], proxy: string): string {
  return `${name} · ${uveName(uve, proxy).join(" ").trim()}`;
}
