// What of `getStats` is of interest: the streams that come in, as plain counts. Pure. It
// must not know what follows from them.

import type { Buffered } from "./lipsync";

/** The fields of a stream that comes in; which of them are there is the browser's business. */
export type Stats = Partial<Omit<RTCInboundRtpStreamStats, "type">> & { type: string; id: string };

/** Anything that is gone through like an `RTCStatsReport`. */
export interface Report {
  forEach(each: (stats: Stats) => void): void;
}

/** The stream of the sound, and those of the pictures, by their ids. */
export function buffered(report: Report): [[string, Buffered] | undefined, Map<string, Buffered>] {
  let sound: [string, Buffered] | undefined;
  const pictures = new Map<string, Buffered>();
  report.forEach((one) => {
    if (one.type !== "inbound-rtp" || one.jitterBufferDelay === undefined || !one.jitterBufferEmittedCount) {
      return;
    }
    const stream = {
      delay: one.jitterBufferDelay,
      count: one.jitterBufferEmittedCount,
      least: one.jitterBufferMinimumDelay ?? 0,
      processing: one.totalProcessingDelay ?? 0,
      decoded: one.framesDecoded ?? 0,
    };
    if (one.kind === "audio") {
      sound = [one.id, stream];
    } else {
      pictures.set(one.id, stream);
    }
  });
  return [sound, pictures];
}

/** Samples that were made up, other than silence, and the stream they belong to. */
export function concealed(report: Report): [string, number] | undefined {
  let found: [string, number] | undefined;
  report.forEach((one) => {
    if (one.type === "inbound-rtp" && one.kind === "audio") {
      found = [one.id, (one.concealedSamples ?? 0) - (one.silentConcealedSamples ?? 0)];
    }
  });
  return found;
}
