// The life of the page as a table: what happens leads from state to state. Pure.

import type { State } from "./protocol";

export type Happening =
  | { kind: "joining" }
  /** The SDK is in the meeting and its sound plays. */
  | { kind: "joined" }
  /** The first tiles show a picture, or have had their time. */
  | { kind: "drawn" }
  | { kind: "interrupted" }
  | { kind: "stopped"; status: string }
  | { kind: "broken"; reason: string };

/** Sessions that end with these are over by a decision; any other end is a failure. */
const DECISIONS = new Set([
  "MeetingEnded",
  "AudioAttendeeRemoved",
  "AudioAuthenticationRejected",
  "AudioJoinedFromAnotherDevice",
  "AudioCallAtCapacity",
  "VideoCallAtSourceCapacity",
]);

export interface Life {
  state: State;
  /** Whether the sound has played, in the state `joining`. */
  joined: boolean;
}

export const BORN: Life = { state: { state: "loading" }, joined: false };

/**
 * | state        | joining | joined | drawn           | interrupted  | stopped, broken |
 * |--------------|---------|--------|-----------------|--------------|-----------------|
 * | loading      | joining | –      | –               | –            | ended or failed |
 * | joining      | –       | –      | live, if joined | –            | ended or failed |
 * | live         | –       | –      | –               | reconnecting | ended or failed |
 * | reconnecting | –       | live   | –               | –            | ended or failed |
 * | ended        | –       | –      | –               | –            | –               |
 * | failed       | –       | –      | –               | –            | –               |
 */
export function next(life: Life, happening: Happening): Life {
  const { state } = life.state;
  if (state === "ended" || state === "failed") {
    return life;
  }
  switch (happening.kind) {
    case "stopped": {
      const state = DECISIONS.has(happening.status) ? "ended" : "failed";
      return { ...life, state: { state, reason: happening.status } };
    }
    case "broken":
      return { ...life, state: { state: "failed", reason: happening.reason } };
    case "joining":
      return state === "loading" ? { ...life, state: { state: "joining" } } : life;
    case "joined":
      if (state === "reconnecting") {
        return { joined: true, state: { state: "live" } };
      }
      return state === "joining" ? { ...life, joined: true } : life;
    case "drawn":
      return state === "joining" && life.joined ? { ...life, state: { state: "live" } } : life;
    case "interrupted":
      return state === "live" ? { ...life, state: { state: "reconnecting" } } : life;
  }
}
