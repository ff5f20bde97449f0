// Elements without HTML texts: whatever comes from outside becomes a text node.

type Child = Node | string | number | null | undefined | false;
type Attributes = Record<string, string | number | boolean | ((event: never) => void) | undefined>;

const SVG = "http://www.w3.org/2000/svg";

function fill(element: Element, attributes: Attributes, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== undefined && value !== false) {
      element.setAttribute(name, String(value));
    }
  }
  append(element, children);
}

export function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(typeof child === "number" ? String(child) : child);
    }
  }
}

/** An element with attributes (`onclick` adds a listener) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/** An element of SVG. */
export function svg(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS(SVG, tag) as SVGElement;
  fill(element, attributes, children);
  return element;
}

/** Sets the text only if it is another one, so that a screen reader does not repeat it. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** The width of the longest of some texts in the font of an element, in pixels. */
export function textWidth(texts: string[], like: Element): number {
  const context = document.createElement("canvas").getContext("2d");
  if (!context) {
    return 0;
  }
  const { fontSize, fontFamily, fontWeight } = getComputedStyle(like);
  // The shorthand is empty with figures of one width.
  context.font = `${fontWeight} ${fontSize} ${fontFamily}`;
  return texts.reduce((most, text) => Math.max(most, context.measureText(text).width), 0);
}

/** Offers values with their texts; an open list stays as it is if they are the same ones. */
export function offer(select: HTMLSelectElement, choices: [string, string][], chosen: string): void {
  const shown = [...select.options].map((option) => option.value);
  if (shown.length !== choices.length || choices.some(([value], index) => shown[index] !== value)) {
    select.replaceChildren(...choices.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  }
}

/** Replaces the children of an element; a link or button that has the focus keeps it, if there is the same one again. */
export function replaceChildren(element: Element, children: Node[]): void {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const id = (control: Element) => control.getAttribute("href") ?? control.textContent;
  element.replaceChildren(...children);
  if (focused && !focused.isConnected) {
    const same = [...element.querySelectorAll<HTMLElement>("a, button")].find((control) => id(control) === id(focused));
    same?.focus({ preventScroll: true });
  }
}

/** A line of recent values, the newest one marked. */
export function sparkline(values: number[], anomaly: boolean): SVGElement {
  const [width, height, pad] = [120, 22, 2];
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const step = (width - 2 * pad) / Math.max(values.length - 1, 1);
  const x = (index: number) => (pad + index * step).toFixed(1);
  const y = (value: number) => (height - pad - ((value - low) / span) * (height - 2 * pad)).toFixed(1);
  const points = values.map((value, index) => `${x(index)},${y(value)}`).join(" ");
  const last = values.length - 1;
  return svg(
    "svg",
    { class: anomaly ? "spark anomalous" : "spark", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
    values.length > 1 && svg("polyline", { points }),
    values.length > 0 && svg("circle", { cx: x(last), cy: y(values[last] ?? 0), r: 2 }),
  );
}
