// The samples of a chart: from the points of a history to the columns of uPlot, and what the marks in them mean.

import type uPlot from "uplot";
import type { Point } from "./api";
import { h } from "./dom";

/** Time in seconds, value, score, expected value, lower and upper bound, anomaly, partial window. */
export interface Sample {
  at: number;
  value: number | null;
  score: number | null;
  expected: number | null;
  low: number | null;
  high: number | null;
  anomaly: boolean;
  partial: boolean;
}

export function sample([start, , value, found, expected, low, high, anomaly, partial]: Point): Sample {
  return { at: start / 1e6, value, score: found, expected, low, high, anomaly: anomaly === 1, partial: partial === 1 };
}

/** Adds a sample without value where windows are missing, so that no line is drawn over a gap. */
export function withGaps(samples: Sample[]): Sample[] {
  const steps = samples.slice(1).map((sample, index) => sample.at - (samples[index]?.at ?? 0));
  const usual = steps.sort((a, b) => a - b)[steps.length >> 1] ?? 0;
  const empty = { value: null, score: null, expected: null, low: null, high: null, anomaly: false, partial: false };
  return samples.flatMap((sample, index) => {
    const before = samples[index - 1];
    const isGap = before !== undefined && usual > 0 && sample.at - before.at > 2.5 * usual;
    return isGap ? [{ at: before.at + usual, ...empty }, sample] : [sample];
  });
}

/** The columns of the series of a chart, in their order: lines, and points of partial windows and anomalies. */
export function columns(samples: Sample[]): uPlot.AlignedData {
  const only = (isDrawn: (sample: Sample) => boolean) => samples.map((sample) => (isDrawn(sample) ? sample.value : null));
  return [
    samples.map((sample) => sample.at),
    samples.map((sample) => sample.low),
    samples.map((sample) => sample.high),
    samples.map((sample) => sample.expected),
    samples.map((sample) => sample.value),
    only((sample) => sample.partial && !sample.anomaly),
    only((sample) => sample.anomaly && !sample.partial),
    only((sample) => sample.anomaly && sample.partial),
  ];
}

/** The range of an axis around values. */
export function padded(low: number | null, high: number | null): [number, number] {
  const [from, to] = [low ?? 0, high ?? 1];
  const pad = (to - from || Math.abs(to) || 1) * 0.08;
  return [from >= 0 && from - pad < 0 ? 0 : from - pad, to + pad];
}

/** What the marks of a chart mean; `isOfObject` if it may have alarms and partial windows. */
export function legend(isScored: boolean, isOfObject = false): HTMLElement[] {
  const key = (kind: string, text: string) => h("span", {}, h("span", { class: `key ${kind}`, "aria-hidden": "true" }), text);
  const scored = [key("expected", "expected"), key("band", "normal"), key("anomaly", "anomaly")];
  const others = [key("partial", "partial window"), key("fired", "alarm fires"), key("resolved", "alarm ends")];
  return [key("value", "value"), ...(isScored ? scored : []), ...(isOfObject ? others : [])];
}
