// Alarms: their marks on a chart, their rows in tables, and links to the chart that explains one.

import type { ObjectAlarm, Series, ShownAlarm } from "./api";
import type { Mark, Range } from "./chart";
import { h } from "./dom";
import { age, utc, uveName } from "./format";
import { link } from "./route";

export const SEVERITIES = ["Critical", "Major", "Minor"];

/** What an alarm is the same by in the parts of a history. */
export function alarmId(alarm: ObjectAlarm): string {
  return [alarm.fired, alarm.rule, alarm.uve, alarm.proxy].join("\n");
}

/** The marks of the alarms of a series. An alarm fires at the end of a window: its mark is where the window is drawn. */
export function marks(alarms: Iterable<ObjectAlarm>, series: Series): Mark[] {
  const starts = new Map(series.points.map((point) => [point[1], point[0]]));
  const place = (end: number) => (starts.get(end) ?? end) / 1e6;
  const compares = (alarm: ObjectAlarm) => alarm.uve === series.uve || (alarm.other_uves ?? []).includes(series.uve);
  const own = [...alarms].filter((alarm) => compares(alarm) && alarm.proxy === series.proxy);
  return own.map(({ rule, fired, resolved }) => ({ rule, fired: place(fired), resolved: resolved === null ? null : place(resolved) }));
}

/** Whether an alarm fired at some time of a range in seconds. */
export function isWithin(alarm: ObjectAlarm, [from, to]: Range): boolean {
  return alarm.fired / 1e6 <= to && (alarm.resolved ?? Infinity) / 1e6 >= from;
}

/** A row of the alarms of an object; `onZoom` shows what is around it. */
export function objectAlarmRow(alarm: ObjectAlarm, now: number, onZoom: () => void): HTMLTableRowElement {
  const [type, stream] = uveName(alarm.uve, alarm.proxy);
  const types = [type, ...(alarm.other_uves ?? []).map((uve) => uveName(uve, alarm.proxy)[0])];
  const ended = alarm.resolved === null ? "fires" : `${utc(alarm.resolved)}${alarm.reason ? `, ${alarm.reason}` : ""}`;
  return h(
    "tr",
    { class: alarm.resolved === null ? "anomalous" : undefined },
    h("td", {}, h("button", { type: "button", class: "plain", onclick: onZoom, title: "Zoom to it" }, utc(alarm.fired))),
    h("td", { class: "dim" }, age(alarm.fired, now)),
    h("td", {}, ended),
    h("td", {}, SEVERITIES[alarm.severity] ?? String(alarm.severity)),
    h("th", { scope: "row" }, alarm.rule),
    h("td", {}, alarm.text),
    h("td", { class: "dim" }, `${types.join(", ")} ${stream}`),
  );
}

/** The address of the chart that explains an alarm. */
export function explained(alarm: ShownAlarm): string {
  const seconds = (micros: number) => String(Math.round(micros / 1e6));
  const chart = { uve: alarm.uve, attribute: alarm.attribute };
  return link("object", [alarm.uve_type, alarm.name], { from: seconds(alarm.from), to: seconds(alarm.to), ...chart });
}
