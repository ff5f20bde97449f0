// The frame of the page: views by address, the health of the daemon, and the timers that end with a view.

import { type Status, Refused, get, request } from "./api";
import { append, h, setText } from "./dom";
import { object } from "./object";
import { overview } from "./overview";
import { current, link } from "./route";
import { table } from "./table";
import { tryIt } from "./try";
import { View } from "./view";

const VIEWS: [string, string, (view: View) => void][] = [
  ["", "Overview", overview],
  ["objects", "Objects", table],
  ["try", "Try it", tryIt],
];

/** How often the health is read, in milliseconds. */
const HEALTH = 2000;

const main = document.getElementById("main") as HTMLElement;
const health = document.getElementById("health") as HTMLElement;
const nav = document.getElementById("nav") as HTMLElement;
const session = document.getElementById("session") as HTMLElement;
const links = VIEWS.map(([name, label]) => h("a", { href: link(name) }, label));
let shown: View | undefined;
let status: Status | undefined;
/** When it was read, by the clock of the browser that never steps, in milliseconds. */
let readAt = 0;

function show(isFirst: boolean): void {
  shown?.end();
  const route = current();
  const known = VIEWS.find(([name]) => name === route.view);
  main.replaceChildren();
  VIEWS.forEach(([name], index) => {
    const isHere = name === route.view || (name === "objects" && route.view === "object");
    links[index]?.[isHere ? "setAttribute" : "removeAttribute"]("aria-current", "page");
  });
  const view = new View(main, route, () => status, () => readAt);
  shown = view;
  document.title = `${known?.[1] ?? route.parts[1] ?? "Unknown"} · derived-statsd`;
  if (known) {
    known[2](view);
  } else if (route.view === "object" && route.parts.length === 2) {
    object(view);
  } else {
    append(main, [h("h1", {}, "No such view"), h("p", {}, "The address leads to no view. Choose one above.")]);
  }
  if (!isFirst) {
    main.focus();
  }
  scrollTo(0, 0);
}

/** Ends the session; the browser then has no right to the page. */
async function logOut(): Promise<void> {
  try {
    await request("logout", { method: "POST" });
    location.assign("login?logged_out");
  } catch (error) {
    setText(health, error instanceof Error ? error.message : String(error));
  }
}

/** Shows who is logged in, and the button that ends the session; nothing without a session. */
function showSession(name: string | null): void {
  if (name === null || session.childElementCount > 0) {
    return;
  }
  const button = h("button", { id: "logout", title: `Logged in as ${name}`, onclick: () => void logOut() }, "Log out");
  session.replaceChildren(button);
}

/** Shows that the session is over, also by a logout elsewhere, and the way to the next one, which leads back to this view. */
function showEnd(): void {
  if (health.childElementCount === 0) {
    health.replaceChildren("The session has ended. ", h("a", { href: `login${location.hash}` }, "Log in again"));
  }
}

async function readHealth(): Promise<void> {
  try {
    status = await get<Status>("api/v1/status");
    readAt = performance.now();
    const state = status.needs_restart ? "bad" : status.ready ? "good" : "warn";
    health.className = `health ${state}`;
    const reason = status.needs_restart ?? status.reason;
    showSession(status.session);
    setText(health, reason ? `Not ready: ${reason}` : "Ready");
  } catch (error) {
    health.className = "health bad";
    if (error instanceof Refused && error.status === 401 && session.childElementCount > 0) {
      showEnd();
    } else {
      setText(health, error instanceof Error ? error.message : String(error));
    }
  }
  shown?.refreshed();
}

document.getElementById("skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
append(nav, links);
addEventListener("hashchange", () => show(false));
show(true);
void readHealth();
setInterval(() => document.hidden || void readHealth(), HEALTH);
document.addEventListener("visibilitychange", () => document.hidden || void readHealth());
