// The menu of algorithms, by what they can be in an annotation.

import type { Entry } from "./api";
import { h } from "./dom";

const ROLES: [keyof Entry["roles"], string][] = [
  ["detector", "Detectors"],
  ["period", "Of a period"],
  ["pre_aggregation", "Before a detector"],
  ["inline", "Of every sample"],
];

/** A list for each role; `take` gets the annotation of the entry that the user chooses. */
export function menu(entries: Entry[], take: (annotation: string) => void): HTMLElement[] {
  return ROLES.map(([role, title]) => {
    const own = entries.filter((entry) => entry.roles[role]);
    return h(
      "details",
      { open: role === "detector" },
      h("summary", {}, `${title} (${own.length})`),
      h("ul", {}, ...own.map((one) => h("li", {}, item(one, role, take)))),
    );
  });
}

function item(entry: Entry, role: keyof Entry["roles"], take: (annotation: string) => void): HTMLElement {
  const required = entry.arguments.filter((argument) => argument.required).map((argument) => `:${argument.example}`);
  const call = `${entry.name}${required.join("")}`;
  const annotation = {
    detector: `1.DSSum-value:DSAnomaly:${call}`,
    inline: `value:${call}`,
    period: `1-value:${call}`,
    pre_aggregation: `1.${call}-value:DSAnomaly:EWM:0.1`,
  }[role];
  const list = entry.arguments.map((argument) =>
    h(
      "li",
      {},
      h("code", {}, argument.named ? `${argument.name}=` : argument.name),
      ` ${argument.required ? "" : "optional, "}${withoutName(argument)}`,
      argument.default ? `; default ${argument.default}` : "",
    ),
  );
  return h(
    "div",
    {},
    h("button", { type: "button", class: "plain", title: annotation, onclick: () => take(annotation) }, entry.name),
    ` ${entry.summary}`,
    list.length > 0 && h("ul", { class: "arguments" }, ...list),
  );
}

/** The expected form, which begins with the name where an error needs it. */
function withoutName({ name, expected }: Entry["arguments"][number]): string {
  return expected.startsWith(`${name},`) ? expected.slice(name.length + 1).trim() : expected;
}
