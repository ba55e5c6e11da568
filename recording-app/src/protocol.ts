// What the page and the recorder tell each other: version 1 of their contract. Both sides
// test it against contract/worker.v1.json and contract/recorder.v1.json.

export const VERSION = 1;

export interface TileMessage {
  attendeeId: string;
  content: boolean;
  width: number;
  height: number;
}

export type State =
  | { state: "loading" | "joining" | "live" | "reconnecting" }
  | { state: "ended" | "failed"; reason: string };

export type Message =
  | { type: "hello"; version: typeof VERSION }
  | ({ type: "state" } & State)
  | { type: "joined"; attendeeId: string; externalUserId: string; name: string }
  | { type: "left"; attendeeId: string; dropped: boolean }
  | { type: "muted"; attendeeId: string; muted: boolean }
  | { type: "speakers"; attendeeIds: string[] }
  | { type: "tiles"; tiles: TileMessage[] }
  | { type: "connection"; quality: "poor" | "good" }
  | { type: "heartbeat"; frames: number; concealedMs: number }
  | { type: "log"; level: "warn" | "error"; message: string };

/** What the recorder tells the page, which may say more than this page knows. */
export type Advice =
  | { type: "processorsShort" | "processorsSuffice" }
  /**
   * A picture that the browser has drawn by the one time is shown in the recording from the
   * other on; both in microseconds since 1970.
   */
  | { type: "rhythm"; drawnUs: number; shownUs: number };
