// The JSON of an object, as the API has it: read while it is open.

import { Refused, get, objectPath } from "./api";
import { h, setText } from "./dom";
import type { View } from "./view";

/** How long after a live result it is read, so that it is read once a second at most, in milliseconds. */
const SETTLE = 1000;

export class RawJson {
  private readonly text = h("pre", { tabindex: 0, "aria-label": "JSON of the object" });
  readonly element = h("details", { ontoggle: () => this.element.open && this.guard(this.read) }, h("summary", {}, "Raw JSON"), this.text);
  private due: number | undefined;

  /** `guard` runs a piece of work and shows its error. */
  constructor(
    private readonly view: View,
    private readonly type: string,
    private readonly name: string,
    private readonly guard: (work: () => Promise<void>) => void,
  ) {
    view.finally(() => clearTimeout(this.due));
  }

  /** There are new results. */
  refresh(): void {
    if (this.element.open) {
      this.due ??= window.setTimeout(() => {
        this.due = undefined;
        this.guard(this.read);
      }, SETTLE);
    }
  }

  private readonly read = async (): Promise<void> => {
    try {
      const document = await get<unknown>(`${objectPath("analytics/uves", this.type, this.name)}&flat`, this.view.signal);
      setText(this.text, JSON.stringify(document, null, 2));
    } catch (error) {
      if (!(error instanceof Refused)) {
        throw error;
      }
      setText(this.text, error.message);
    }
  };
}
